// MathJax as notes/site/formulas.py runs it: TeX in, HTML and MathML out.
"use strict";
const { mathjax } = MathJax._.mathjax, { TeX } = MathJax._.input.tex_ts, { CHTML } = MathJax._.output.chtml_ts;
const adaptor = MathJax._.adaptors.liteAdaptor.liteAdaptor();
MathJax._.a11y["assistive-mml"].AssistiveMmlHandler(MathJax._.handlers.html_ts.RegisterHTMLHandler(adaptor));
const font = new MathJax._.output.chtml.fonts.tex_ts.TeXFont({ fontURL: "formulas" });
const output = new CHTML({ adaptiveCSS: false, font });

// A document for each formula, so that none defines what another uses. What is wrong with one is not shown in its place.
const packages = ["base", "ams", "boldsymbol", "braket", "cancel"];
const formatError = (input, error) => { throw error; };
const fresh = () => mathjax.document("", { InputJax: new TeX({ packages, formatError }), OutputJax: output });

// As JSON: the HTML and what is wrong with the TeX, of which one is null. What nobody reads of the HTML is left out.
function typeset(tex, display) {
  try {
    const formula = fresh().convert(tex, { display, em: 16, ex: 8, containerWidth: 1e6 });
    for (const name of ["class", "style"]) adaptor.removeAttribute(formula, name);
    const html = adaptor.outerHTML(formula);
    if (html.includes("<mjx-labels")) throw new Error("\\tag is not for a page whose formulas Sphinx numbers");
    return JSON.stringify([html.replace(/ (?:unselectable|xmlns|texclass|data-mjx-\w+)="[^"]*"(?=[^<>]*>)/g, ""), null]);
  } catch (error) {
    return JSON.stringify([null, error.message]);
  }
}

// The rules of all glyphs. The engine joins strings when they are read, and hands out none that is still in pieces.
function sheet() {
  return adaptor.textContent(output.styleSheet(fresh())).split("").join("");
}
