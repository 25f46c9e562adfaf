"""Formulas: typeset in the build, seen without a script, heard as MathML, copied as TeX, and no stops for Tab."""

import io
import json
import os
import re
import textwrap
from types import SimpleNamespace

import pytest
from browser import open_page, set_screen, soup, wait
from bs4 import BeautifulSoup
from conftest import ROOT
from docutils import nodes
from fontTools.ttLib import TTFont
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace
from sphinx_external_toc.parsing import parse_toc_yaml

from notes.site import formulas
from notes.site.formulas import FormulaError, Typesetter
from notes.site.kernels import kernel_environment

TINY = "tiny/book/tiny.html"
PAGES = [f"site/{name}.html" for name in parse_toc_yaml(ROOT / "_toc.yml")] + [TINY, "tiny/book/quotes.html"]


@pytest.fixture
def typesetter(tmp_path):
    return Typesetter(tmp_path / "_build" / "formulas")


@pytest.fixture
def no_engine(monkeypatch):
    monkeypatch.setattr(formulas, "_engine", lambda: pytest.fail("the engine was started"))


def mathml(html):
    """What is heard of a formula: the elements, each with what is in it."""

    def tree(element):
        parts = [tree(part) for part in element.find_all(recursive=False)]
        return f"{element.name}({' '.join(parts) or element.get_text()})"

    return tree(BeautifulSoup(html, "html.parser").math)


# One formula


@pytest.mark.parametrize(
    ("tex", "heard"),
    [
        (r"\frac{\sigma^2}{2}", "mfrac(msup(mi(σ) mn(2)) mn(2))"),
        (r"\sqrt{2\tau}", "msqrt(mn(2) mi(τ))"),
        ("x'_t < 1", "msubsup(mi(x) mi(t) mo(′)) mo(<) mn(1)"),
        (r"f(\text{if } a)", "mi(f) mo(() mtext(if ) mi(a) mo())"),
        (r"\mathbb{E}\,x", "mrow(mi(E)) mstyle(mspace()) mi(x)"),
        (
            r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}",
            "mrow(mo(() mtable(mtr(mtd(mi(a)) mtd(mi(b))) mtr(mtd(mi(c)) mtd(mi(d)))) mo()))",
        ),
    ],
)
def test_a_formula_is_heard_as_it_is_built(typesetter, tex, heard):
    html = typesetter.html(tex, display=False)
    assert mathml(html).replace("\xa0", " ") == f"math({heard})"
    assert BeautifulSoup(html, "html.parser").select_one("mjx-math")["aria-hidden"] == "true"


def test_a_formula_bears_its_tex_and_nothing_else_of_it():
    tex = '\\text{"a" & <b> data-mjx-x="1"}\n  < 2'
    element = BeautifulSoup(Typesetter(ROOT / "none").html(tex, display=True), "html.parser").contents[0]
    assert element.attrs == {"jax": "CHTML", "display": "true", "data-tex": tex}
    assert element.math.mtext.get_text() == '"a" & <b> data-mjx-x="1"'
    kept = {name for part in element.find_all() for name in part.attrs}
    assert not {name for name in kept if name in ("id", "tabindex", "xmlns", "unselectable") or name.startswith("data")}


def test_a_formula_in_a_line_is_another_than_one_on_its_own(typesetter):
    line, alone = (typesetter.html(r"\sum_i x_i", display) for display in (False, True))
    assert 'limits="false"' in line
    assert 'limits="false"' not in alone


@pytest.mark.parametrize(
    ("tex", "problem"),
    [
        (r"\frac{1", "Missing close brace"),
        (r"\nonesuch", r"Undefined control sequence \nonesuch"),
        (r"\newcommand{\x}{y}", r"Undefined control sequence \newcommand"),
        ("a & b", "Misplaced &"),
        (r"x \tag{1}", r"\tag is not for"),
    ],
)
def test_an_error_is_named_each_time(typesetter, tex, problem):
    for _ in range(2):
        with pytest.raises(FormulaError, match=re.escape(problem)):
            typesetter.html(tex, display=True)


def test_no_formula_defines_anything_for_the_next(typesetter):
    assert "argmin" in mathml(typesetter.html(r"\DeclareMathOperator{\argmin}{argmin} \argmin", display=True))
    with pytest.raises(FormulaError):
        typesetter.html(r"\argmin", display=True)
    for tex in (r"\label{a} x", r"\label{a} y"):
        typesetter.html(tex, display=True)


@pytest.mark.parametrize(
    ("node", "source"),
    [
        (nodes.math("", " a b "), ("a b", False)),
        (nodes.math_block("", "a", nowrap=False), ("a", True)),
        (nodes.math_block("", r"a\\b", nowrap=False), (r"\begin{split}a\\b\end{split}", True)),
        (nodes.math_block("", "a\n\n\nb", nowrap=False), (r"\begin{aligned}a\\b\end{aligned}", True)),
        (nodes.math_block("", "a\\\\b\n\nc", nowrap=True), ("a\\\\b\n\nc", True)),
    ],
)
def test_lines_are_parted_as_sphinx_does(node, source):
    assert formulas._source(node) == source


# The style sheet and the fonts


def test_the_sheet_has_the_rules_that_are_used_in_whatever_order(tmp_path):
    used = [(r"\mathcal{L}", False), (r"\left(\frac{a}{b}\right)", True), ("x", False)]
    sheets = []
    for number, order in enumerate((used, used[::-1])):
        typesetter = Typesetter(tmp_path / str(number))
        for formula in order:
            typesetter.html(*formula)
        sheets += [typesetter.sheet()]
    assert sheets[0] == sheets[1]
    assert "mjx-c.mjx-c1D465.TEX-I::before" in sheets[0]  # x
    assert "mjx-c.mjx-c28.TEX-S2::before" in sheets[0]  # ( as high as the fraction
    assert "1D466" not in sheets[0]  # y
    assert "mjx-c.mjx-c28.TEX-B" not in sheets[0]
    assert "mjx-msqrt" not in sheets[0]
    assert "/*" not in sheets[0]
    loaded = re.findall(r'url\("formulas/MathJax_(.*?).woff"\)', sheets[0])
    assert loaded == ["Zero", "Main-Regular", "Math-Italic", "Size2-Regular", "Calligraphic-Regular"]


def test_a_font_has_the_characters_that_are_shown_and_is_the_same_each_time(typesetter, tmp_path):
    typesetter.html(r"\sigma'", display=False)
    text = formulas._text(typesetter.sheet())
    assert {*text} >= {"𝜎", "′"} or {*text} >= {"σ", "′"}
    made = []
    for _ in range(2):
        formulas._write_font("MathJax_Math-Italic.woff", text, tmp_path)
        made += [(tmp_path / "MathJax_Math-Italic.woff").read_bytes()]
    assert made[0] == made[1]
    assert ord("σ") in TTFont(tmp_path / "MathJax_Math-Italic.woff").getBestCmap()
    formulas._write_font("MathJax_Zero.woff", text, tmp_path)
    assert TTFont(tmp_path / "MathJax_Zero.woff").getBestCmap()  # without one a browser refuses it


# What is kept of a build


def make(file):
    typesetter = Typesetter(file)
    made = [typesetter.html("x", display=False), typesetter.html(r"\int_0^1 x", display=True), typesetter.sheet()]
    typesetter.keep()
    return made


def test_what_is_kept_is_used_and_nothing_is_kept_for_ever(tmp_path, request):
    file = tmp_path / "_build" / "formulas"
    cold = make(file)
    typesetter = Typesetter(file)
    typesetter.html("y", display=False)
    typesetter.keep()
    assert "int" not in file.read_text(encoding="utf-8")
    assert make(file) == cold
    request.getfixturevalue("no_engine")
    before = file.stat().st_mtime_ns
    assert make(file) == cold
    assert file.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-500]),
        lambda file: file.write_bytes(file.read_bytes().replace(b"mi>x", b"mi>y")),
        lambda file: file.write_bytes(b"\xff\x00"),
        lambda file: file.write_text(""),
        lambda file: (file.unlink(), file.mkdir()),
    ],
)
def test_a_damaged_file_changes_nothing(tmp_path, damage):
    file = tmp_path / "_build" / "formulas"
    cold = make(file)
    damage(file)
    assert make(file) == cold
    assert make(file) == cold


def test_what_another_version_made_is_not_used(tmp_path, monkeypatch):
    file = tmp_path / "_build" / "formulas"
    make(file)
    monkeypatch.setattr(formulas, "version", lambda package: "0")
    assert not Typesetter(file)._kept
    monkeypatch.undo()
    assert Typesetter(file)._kept
    script = tmp_path / "other.js"
    script.write_text("", encoding="utf-8")
    monkeypatch.setattr(formulas, "_SCRIPTS", [*formulas._SCRIPTS, script])
    assert not Typesetter(file)._kept


def test_nothing_can_be_kept_and_all_is_made(tmp_path):
    (tmp_path / "file").touch()
    assert make(tmp_path / "file" / "formulas")[0].startswith("<mjx-container")


# A project that Sphinx builds in this process

OUTPUT = {"output_type": "display_data", "metadata": {}, "data": {"text/markdown": "The $\\omega$.", "text/plain": ""}}
LATEX = {"output_type": "display_data", "metadata": {}, "data": {"text/latex": "$\\displaystyle \\chi^2$"}}
CELL = {"cell_type": "code", "id": "b", "execution_count": 1, "metadata": {}, "source": "1", "outputs": [OUTPUT, LATEX]}
TITLE = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Shown"}
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
PROJECT = {
    "index.md": """
        # Index

        ```{toctree}
        one
        shown
        ```
        """,
    "one.md": """
        # A title with $\\alpha$

        In a line $\\beta$, and by {eq}`named`

        $$
        \\gamma = 1
        $$ (named)

        \\begin{align*}
        \\delta &= 1 \\\\
        \\epsilon &= 2
        \\end{align*}

        | $\\zeta$ |
        |---------|
        | $\\eta$  |

        ```{figure} picture.svg
        A caption with $\\theta$
        ```

        ```{math}
        :label: other

        \\kappa
        ```

        A {term}`word`.

        ```{glossary}
        word
          A definition with $\\lambda$.
        ```

        ## And $\\mu$
        """,
    "shown.ipynb": json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": KERNEL, "cells": [TITLE, CELL]}),
    "picture.svg": "<svg/>",
}


@pytest.fixture
def project(tmp_path):
    """Builds a project, written once, as often as it is called. Returns its pages' text and the warnings."""
    for name, text in PROJECT.items():
        (tmp_path / name).write_text(textwrap.dedent(text), encoding="utf-8")
    settings = {
        "extensions": ["sphinx.ext.autodoc", "myst_nb", "notes.site.extension"],
        "nb_execution_mode": "off",
        "html_theme": "basic",
    }
    settings |= {"myst_enable_extensions": ["amsmath", "dollarmath"], "nb_render_markdown_format": "myst"}

    def build(fresh=False):
        warnings = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, docutils_namespace():
            for name in kernel_environment():  # put back afterwards what the extension sets
                patch.setenv(name, os.environ.get(name, ""))
            trees, html = tmp_path / "_build" / "trees", tmp_path / "_build" / "html"
            Sphinx(tmp_path, None, html, trees, "html", settings, status=None, warning=warnings, freshenv=fresh).build(
                force_all=fresh
            )
        files = {path.relative_to(html).as_posix(): path.read_bytes() for path in html.rglob("*") if path.is_file()}
        said = re.sub(r"\x1b\[[0-9;]*m", "", warnings.getvalue()).replace(f"{tmp_path}/", "").splitlines()
        return SimpleNamespace(files=files, warnings=said)

    build.root = tmp_path
    return build


def page(built, name):
    return BeautifulSoup(built.files[name].decode(), "html.parser")


def test_formulas_stand_typeset_wherever_they_are_written(project):
    built = project()
    assert built.warnings == []
    one, index = page(built, "one.html"), page(built, "index.html")
    assert {element["data-tex"].strip("\\") for element in one.select("mjx-container")} == {
        *("alpha", "beta", "gamma = 1", "zeta", "eta", "theta", "kappa", "lambda", "mu"),
        "begin{align*}\n\\delta &= 1 \\\\\n\\epsilon &= 2\n\\end{align*}",
    }
    assert [element["data-tex"] for element in index.select("li mjx-container")] == [r"\alpha", r"\mu"]
    shown = page(built, "shown.html").select(".cell_output mjx-container")
    assert [element["data-tex"] for element in shown] == [r"\omega", r"\displaystyle \chi^2"]
    assert one.select_one("h2 mjx-container, h2 + mjx-container")
    for name in ("one", "index", "shown"):
        whole = page(built, f"{name}.html")
        assert not re.search(r"\\[a-z(\[]|\$", whole.get_text())
        assert not whole.select('script[src*="athjax"], script[src*="MathJax"]')
        assert whole.select_one('link[href^="_static/formulas.css?v="]')


def test_an_equation_keeps_its_number_and_the_links_to_it(project):
    one = page(project(), "one.html")
    equation = one.find(id="equation-named")
    assert equation.name == "div"
    assert equation.select_one(".eqno").get_text() == "(1)¶"
    assert equation.select_one("mjx-container")["display"] == "true"
    assert one.select_one('p a[href="#equation-named"]').get_text() == "(1)"
    assert one.find(id="equation-other").select_one(".eqno a")["href"] == "#equation-other"


def test_a_formula_with_an_error_is_named_with_its_page(project):
    path = project.root / "one.md"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(r"In a line $\beta$", r"In a line $\bata$"), encoding="utf-8")
    assert project().warnings == ["one.md:4: WARNING: the formula “\\bata”: Undefined control sequence \\bata"]


def of_formulas(built):
    """All that formulas bring to a site, and to a page of it."""
    files = {name: text for name, text in built.files.items() if name.startswith("_static/formulas")}
    return files, list(map(str, page(built, "one.html").select("mjx-container, link[href*='formulas']")))


def test_a_page_made_anew_leads_to_the_site_of_a_cold_build(project):
    first = project()
    path = project.root / "one.md"
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace(r"\beta", r"\mathfrak{g}"), encoding="utf-8")
    changed = project()
    assert b"TEX-FR" in changed.files["_static/formulas.css"]
    path.write_text(before, encoding="utf-8")
    again, cold = project(), project(fresh=True)
    (project.root / "_build" / "formulas").unlink()
    for built in (again, cold, project(fresh=True)):
        assert of_formulas(built) == of_formulas(first)


# The site


@pytest.mark.parametrize("name", PAGES)
def test_every_formula_of_the_site_is_typeset(server, name):
    path = server.file(server.url(name))
    whole = soup(path)
    sheet = (path.parent.parent / "_static" / "formulas.css").read_text(encoding="utf-8")
    for element in whole.select(".math"):
        (formula,) = element.select("mjx-container")
        assert formula.math.find_all(), formula["data-tex"]
        assert formula.select_one("mjx-math[aria-hidden=true] *"), formula["data-tex"]
        assert not formula.select("a, [id], [tabindex], mjx-merror")
    glyphs = whole.select("mjx-c[class], mjx-stretchy-v, mjx-stretchy-h")
    for rule in {".".join([glyph.name, *glyph["class"]]) for glyph in glyphs}:
        assert re.search(rf"(?:^|[}},]){re.escape(rule)}(::before| mjx-ext mjx-c::before)[,{{]", sheet), rule
    for font in re.findall(r'url\("(.*?)"\)', sheet):
        assert (path.parent.parent / "_static" / font).stat().st_size > 500
    assert not [script for script in whole.select("script[src]") if "mathjax" in script["src"].lower()]
    for hidden in whole.select("pre, code"):
        hidden.extract()
    raw = re.findall(r"\\\(|\\\[|\\[a-z]+|\$[^$]*\$|\{(?:numref|eq|cite|doc|ref)[a-z:]*\}`", whole.article.get_text())
    soup.cache_clear()  # from which parts were taken
    assert raw == []


def test_no_script_of_mathjax_is_on_the_site(site):
    assert [path.name for path in site.rglob("*") if "mathjax" in path.name.lower() and path.suffix != ".woff"] == []


def test_formulas_are_seen_without_a_script(browser, server):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(server.url(TINY))
    formula = browser.find_element(By.CSS_SELECTOR, "article div.math mjx-math")
    assert formula.is_displayed()
    assert formula.size["height"] > 30  # a fraction
    glyph = formula.find_element(By.CSS_SELECTOR, "mjx-c")
    assert glyph.size["width"] > 4
    look = "getComputedStyle(document.querySelector('article div.math mjx-c'), '::before').content"
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert browser.execute_script(f"return {look}") == '"d"'


def test_a_formula_is_as_large_as_its_words_whatever_their_font(browser, server):
    open_page(browser, server.url(TINY))
    wait(browser, lambda: browser.execute_script("return document.fonts.status") == "loaded", "no fonts")
    for family in ("serif", "sans-serif", "monospace"):
        found = browser.execute_script(
            """const line = document.querySelector("article p:has(mjx-container)");
            line.style.fontFamily = arguments[0];
            const probe = document.createElement("span");
            probe.style.cssText = "display: inline-block; height: 1ex";
            line.append(probe);
            const [ex, size] = [probe.getBoundingClientRect().height,
              parseFloat(getComputedStyle(line.querySelector("mjx-container")).fontSize)];
            probe.remove();
            return size * 0.442 / ex""",
            family,
        )
        assert found == pytest.approx(1, abs=0.02)


def test_a_listener_hears_the_mathml_and_no_glyph(browser, server):
    open_page(browser, server.url(TINY))
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = [node.get("role", {}).get("value", "") for node in nodes]
    assert {"MathMLMath", "MathMLFraction", "MathMLIdentifier"} <= {*roles}
    shown = len(browser.find_elements(By.CSS_SELECTOR, "mjx-container"))
    assert 0 < roles.count("MathMLMath") <= shown


def copied(driver, start, end):
    """What Ctrl+C leaves on the clipboard of all from one element to the other."""
    driver.execute_script(
        "const range = new Range(); range.setStartBefore(arguments[0]); range.setEndAfter(arguments[1]);"
        "const all = getSelection(); all.removeAllRanges(); all.addRange(range)",
        start,
        end,
    )
    ActionChains(driver).key_down(Keys.CONTROL).send_keys("c").key_up(Keys.CONTROL).perform()
    return driver.execute_async_script(
        "const done = arguments[0]; navigator.clipboard.read().then(async ([item]) => done(await Promise.all("
        "['text/plain', 'text/html'].map(async (kind) => (await item.getType(kind)).text()))))"
    )


def test_a_copied_formula_is_its_tex(browser, server):
    browser.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite"]})
    open_page(browser, server.url(TINY))
    before = browser.execute_script("return document.body.children.length")
    line = browser.find_element(By.XPATH, "//p[contains(., 'Bars of height')]")
    text, rich = copied(browser, line, line)
    assert text.strip() == "Bars of height $h$ stand in Fig. 1."
    assert "$h$" in rich
    assert "mjx-" not in rich
    assert server.address in re.search(r'href="(.*?)"', rich)[1]
    equation = browser.find_element(By.CSS_SELECTOR, "article div.math")
    long = browser.find_element(By.XPATH, "//p[contains(., 'A long row')]")
    after = browser.find_element(By.XPATH, "//p[contains(., 'a walk goes on')]")
    text, _ = copied(browser, long, after)
    assert "$$\\frac{\\mathrm{d}x}{\\mathrm{d}t} = T$$" in text
    assert "A box of height" not in text  # the definition, which is not seen
    assert "#" not in text
    assert text.index("A long row") < text.index("$$") < text.index("By (1) a walk goes on.")
    assert re.search(r"shows\.\n+.*\$\$\n+By", text, re.DOTALL)
    text, _ = copied(browser, equation, equation)
    assert "$$" in text
    plain = browser.find_element(By.CSS_SELECTOR, "article h1")
    assert copied(browser, plain, plain)[0].strip() == "Tiny"
    assert browser.execute_script("return document.body.children.length") == before


def stops(driver, limit):
    """What the Tab key leads to from a page's start, one after the other: in a formula, a control, or neither."""
    where = (
        "const e = document.activeElement; return e === document.body ? null :"
        "e.closest('.math') ? 'formula' : e.closest('.explore-controls') ? 'control' : e.outerHTML.slice(0, 80)"
    )
    for _ in range(limit):
        ActionChains(driver).send_keys(Keys.TAB).perform()
        yield driver.execute_script(where)


def test_a_figure_is_soon_reached_with_the_tab_key(browser, server):
    open_page(browser, server.url("site/book/langevin.html"))
    before = []
    for stop in stops(browser, 25):
        if stop == "control":
            break
        before.append(stop)
    assert len(before) < 25, before
    assert "formula" not in before


@pytest.mark.parametrize("width", [1280, 390])
def test_no_formula_is_a_stop(browser, server, width):
    set_screen(browser, width, mobile=width == 390)
    open_page(browser, server.url(TINY))
    seen = []
    for stop in stops(browser, 80):
        if stop is None:
            break
        seen.append(stop)
    assert len(seen) > 20
    assert "formula" not in seen


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("site/")])
def test_no_formula_scrolls_and_none_is_cut(browser, server, name):
    script = """for (const fold of document.querySelectorAll("details")) fold.open = true;
    return [...document.querySelectorAll("mjx-container[display]")].filter((e) => e.getClientRects().length
      && (e.scrollHeight > e.clientHeight + 1 || e.scrollWidth > e.clientWidth + 1)).map((e) => e.dataset.tex)"""
    open_page(browser, server.url(name))
    for width in (1280, 390):
        set_screen(browser, width, mobile=width == 390)
        assert browser.execute_script(script) == []
