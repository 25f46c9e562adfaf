// What a page does beside its figures: unfolds what hides a target, closes a definition, copies formulas, prints.
"use strict";
// A link may lead into a folded solution or proof: unfold what hides its target.
function reveal() {
  const target = document.getElementById(decodeFragment()[0]);
  if (unfold(target)) target.scrollIntoView();
}
function unfold(target) {
  let hidden = false;
  for (let outer = target; outer; outer = outer.parentElement) {
    if (outer.matches("details:not([open])")) hidden = outer.open = true;
    if (outer.matches(".toggle-hidden")) {
      outer.querySelector("button.toggle-button")?.click();
      hidden = true;
    }
  }
  return hidden;
}
addEventListener("load", reveal); // by then the theme has given the folds their buttons
addEventListener("hashchange", reveal);

// Escape closes a term's definition, until the pointer or the focus comes back.
addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const term of document.querySelectorAll(".term:is(:hover, :focus-within)")) {
    term.classList.add("closed");
    for (const back of ["pointerenter", "focusin"]) term.addEventListener(back, () => term.classList.remove("closed"), { once: true });
  }
});

// On paper nothing is folded or dark, and no picture is missing. Afterwards the page is again as its reader left it.
const unfolded = new Set();
let theme;
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("article details:not([open])")) {
    unfolded.add(fold);
    fold.open = true;
  }
  for (const image of document.images) image.loading = "eager";
  for (const figure of document.querySelectorAll(".explore")) {
    const [, state] = figure.querySelector("img").alt.split(" Now shown: ");
    if (state) figure.dataset.printed = state;
  }
  theme ??= document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
});
addEventListener("afterprint", () => {
  for (const fold of unfolded) fold.open = false;
  unfolded.clear();
  document.documentElement.dataset.theme = theme;
  theme = undefined;
});
// A copied formula is its TeX. The rest is what the browser would copy, which is what it lays out: so the copy is laid
// out too, out of sight, for as long as it takes to read it.
addEventListener("copy", (event) => {
  const selection = getSelection();
  if (!event.clipboardData || selection.isCollapsed || event.target.closest?.("input, textarea")) return;
  const copy = document.createElement("div");
  for (let i = 0; i < selection.rangeCount; i++) copy.append(selection.getRangeAt(i).cloneContents());
  const formulas = copy.querySelectorAll("mjx-container");
  if (!formulas.length) return;
  for (const formula of formulas) {
    const { tex } = formula.dataset;
    formula.replaceWith(formula.hasAttribute("display") ? `$$${tex}$$` : `$${tex}$`);
  }
  for (const left of copy.querySelectorAll("button, .headerlink")) left.remove();
  for (const link of copy.querySelectorAll("a[href]")) link.setAttribute("href", link.href);
  copy.style.cssText = "position: fixed; left: -200vw; width: 100vw; white-space: normal";
  document.body.append(copy);
  event.clipboardData.setData("text/plain", copy.innerText);
  copy.remove();
  event.clipboardData.setData("text/html", copy.innerHTML);
  event.preventDefault();
});

// The theme's button that prints: its inline handler does not pass the site's policy (notes/site/policy.py).
document.querySelector(".btn-download-pdf-button")?.addEventListener("click", async () => {
  for (const image of document.images) image.loading = "eager";
  await Promise.allSettled([...document.images].map((image) => image.decode()));
  print();
});
