"""What leads from page to page: code to the reference and back, a term to its definition, a claim to its row."""

import io
import os
import re
import shutil
import sys
import textwrap
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import jupytext
import pytest
from browser import open_page, set_screen, set_theme, soup, wait
from conftest import ROOT, build
from docutils import nodes
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from notes.site import dependencies, formulas, links
from notes.site.contents import Contents
from notes.site.kernels import kernel_environment

TINY = "tiny/book/tiny.html"
PAGES = {name: f"site/book/{name}.html" for name in (chapter.path.stem for chapter in Contents(ROOT).chapters)}


# What a chapter imports


def test_names_are_known_by_what_the_cells_import():
    cells = ["import torch\nfrom notes.langevin import langevin, mala as corrected", "%time 1\nlangevin(1);"]
    assert links.imported(cells) == {"langevin": "notes.langevin.langevin", "corrected": "notes.langevin.mala"}


@pytest.mark.parametrize(
    "elsewhere",
    [
        "langevin = 1",
        "def langevin(): pass",
        "class langevin: pass",
        "def f(langevin): pass",
        "lambda langevin: 1",
        "for langevin in []: pass",
        "[1 for langevin in []]",
        "import langevin",
        "import x as langevin",
        "from x import langevin",
        "from notes.figures import langevin",
        "with x as langevin: pass",
        "try: pass\nexcept OSError as langevin: pass",
        "if (langevin := 1): pass",
        "import langevin.deeper",
    ],
)
def test_a_name_that_means_two_things_is_no_link(elsewhere):
    cells = ["from notes.langevin import langevin, mala", elsewhere]
    assert links.imported(cells) == {"mala": "notes.langevin.mala"}


ODD = ["x = = 1", "f(x) = x^2", "def (", "", "%%bash\nif [ 1 ]; then", "!ls | wc", "x?", "await x", "\0", 9999 * "-"]


@pytest.mark.parametrize("cell", ODD)
def test_a_cell_that_is_not_to_be_parsed_hides_no_name(cell):
    cells = ["from notes.langevin import mala", cell]
    assert links.imported(cells) == {"mala": "notes.langevin.mala"}
    assert dependencies._reached(cells, ROOT / "book")[0]


@pytest.mark.parametrize("cell", ["import torch", "from x.notes import mala", "from notesx import mala", "mala = 1"])
def test_a_name_from_elsewhere_is_no_link(cell):
    assert links.imported([cell]) == {}


# Code


class Writer:
    """As much of Sphinx's as shows a block of code."""

    def __init__(self):
        self.body = []

    def visit_literal_block(self, node):
        import pygments.formatters
        import pygments.lexers

        formatter = pygments.formatters.HtmlFormatter()
        self.body.append(pygments.highlight(node.astext(), pygments.lexers.PythonLexer(), formatter))
        raise nodes.SkipNode


@pytest.mark.parametrize(
    ("code", "linked"),
    [
        ("mala(1)", "<a>mala</a>(1)"),
        ("f(mala)\nmala", "f(<a>mala</a>)\nmala"),
        ("x.mala\nmala(2)", "x.mala\n<a>mala</a>(2)"),
        ("f(mala=3)", "f(mala=3)"),
        ("mala == 3", "<a>mala</a> == 3"),
        ("'mala'  # mala\nmalady, f_mala", "'mala'  # mala\nmalady, f_mala"),
        ("from notes.langevin import mala", "from notes.langevin import <a>mala</a>"),
    ],
)
def test_the_first_use_of_a_name_in_a_cell_is_the_link(code, linked):
    writer = Writer()
    with pytest.raises(nodes.SkipNode):
        links.visit_code(writer, nodes.literal_block(code, code, links={"mala": "reference.html#mala"}))
    text = re.sub(r"<(?!/?a\b)[^>]*>", "", writer.body[-1]).replace('<a class="use" href="reference.html#mala">', "<a>")
    assert text.strip().replace("&#39;", "'") == linked


def test_code_without_names_to_link_stays_as_it_is():
    writer = Writer()
    with pytest.raises(nodes.SkipNode):
        links.visit_code(writer, nodes.literal_block("mala", "mala"))
    assert "<a" not in writer.body[-1]


# Pages, of a project that Sphinx builds in this process

TOY = '''
"""Toys."""

from typing import NamedTuple


class Law(NamedTuple):
    """A law."""

    mean: float

    def sample(self, n):
        """Some points."""


def step(x):
    pass


def walk(x, y):
    """Many steps."""
'''
CHAPTER = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
"""
PROJECT = {
    "index.md": """
        # Index

        ```{toctree}
        plain
        deep/two
        one
        glossary
        deep/reference
        ```
        """,
    "plain.md": """
        # Plain

        The {term}`bar` and the {term}`planks <crate>` of no {term}`nonesuch`. Not `walk`.

        ```python
        from notes.toy import walk
        ```
        """,
    "one.md": CHAPTER
    + """
        # One `walk`

        As `walk`, `walk(f(x))`, [`walk`](plain), and neither `step` nor `x.walk`.

        ```{code-cell} ipython3
        from notes.toy import step, twice, walk
        ```

        ```{parsed-literal}
        walk **on**
        ```
        """,
    "deep/two.md": CHAPTER
    + """
        # Two & more

        See `go(1)`, and the {term}`crate`.

        ```{code-cell} ipython3
        from notes.toy import Law, walk as go
        go(Law, go=go)
        ```
        """,
    "glossary.md": """
        # Glossary

        ```{glossary}
        bar
        beam
          *A box* of **height** $h$ & `width` for a {term}`crate`.

          And no more.

        crate
          A box of planks.

        wrong
          Seen with {py:func}`notes.toy.walk` ![](picture.svg) alone.
        ```
        """,
    "deep/reference.md": """
        # Reference

        ```{eval-rst}
        .. automodule:: notes.toy
           :members:

           .. py:function:: twice(x)
                            twice(x, y)

              Two ways.
        ```
        """,
    "picture.svg": "<svg/>",
}
H = formulas.Typesetter(ROOT / "none").html("h", display=False)
BAR = (
    f'<span><em>A box</em> of <strong>height</strong> <span class="math notranslate nohighlight">{H}</span> &amp; '
    '<code class="docutils literal notranslate"><span class="pre">width</span></code> for a '
    '<span class="xref std std-term">crate</span>.</span>'
)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root, warnings = tmp_path_factory.mktemp("project"), io.StringIO()
    for name, text in PROJECT.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        header, body = (CHAPTER, text.removeprefix(CHAPTER)) if text.startswith(CHAPTER) else ("", text)
        path.write_text(header + textwrap.dedent(body), encoding="utf-8")
    toy = ModuleType("notes.toy")
    exec(TOY, toy.__dict__)
    extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb", "notes.site.extension"]
    settings = {"extensions": extensions, "nb_execution_mode": "off", "myst_enable_extensions": ["dollarmath"]}
    settings |= {"html_theme": "basic", "show_warning_types": True, "napoleon_use_param": False}
    settings |= {"napoleon_use_rtype": False, "autodoc_typehints": "none"}
    html = root / "html"
    with pytest.MonkeyPatch.context() as patch, docutils_namespace():
        patch.setitem(sys.modules, "notes.toy", toy)
        for name in kernel_environment():  # put back afterwards what the extension sets
            patch.setenv(name, os.environ.get(name, ""))
        app = Sphinx(root, None, html, root / "trees", "html", settings, status=None, warning=warnings)
        app.build()
    return SimpleNamespace(
        app=app,
        text=lambda name: (html / f"{name}.html").read_text(encoding="utf-8"),
        page=lambda name: soup(html / f"{name}.html"),
        warnings=re.sub(r"\x1b\[[0-9;]*m", "", warnings.getvalue()).replace(f"{root}/", "").splitlines(),
    )


def test_a_term_shows_its_definition_and_leads_to_it(project):
    uri, place = "glossary.html#term-bar", "shown-definition-1"
    assert (
        f'<span class="term"><a class="reference internal" href="{uri}" aria-describedby="{place}">'
        '<span class="xref std std-term">bar</span></a>'
        f'<span class="definition" role="tooltip" id="{place}">{BAR}</span></span> and the'
    ) in project.text("plain")
    second = project.page("plain").select(".term")[1]
    assert second.a.get_text() == "planks"
    assert second.select_one("#shown-definition-2").get_text() == "A box of planks."
    assert project.page("deep/two").select_one(".term > a")["href"] == "../glossary.html#term-crate"
    assert project.page("glossary").select(".term") == []
    assert project.page("glossary").select_one("dd a").get_text() == "crate"


def test_a_definition_of_more_than_words_is_warned_of_and_shown_in_words(project):
    said = "a definition begins with a paragraph of words, formulas and {term} alone, found"
    assert project.warnings == [
        f"glossary.md:4: WARNING: {said} notes.toy.walk() [glossary]",
        f"glossary.md:4: WARNING: {said} image [glossary]",
        "plain.md:4: WARNING: term not in glossary: 'nonesuch' [ref.term]",
    ]
    shown = "<span>Seen with notes.toy.walk()  alone.</span>"
    assert project.app.env.notes_pages["glossary"].terms["term-wrong"] == shown


def test_a_chapter_links_what_it_imports_in_words_and_in_code_but_not_in_headings_and_links(project):
    walk, start = "reference.html#notes.toy.walk", '<a class="use reference internal" href="'
    prose = project.text("one")
    for use in ("walk", "walk(f(x))"):
        code = f'<code class="docutils literal notranslate"><span class="pre">{use}</span></code>'
        assert prose.count(f'{start}deep/{walk}">{code}</a>') == 1
    links = [(a["href"], a.get_text()) for a in project.page("one").select("a.use")]
    assert [text for _, text in links] == ["walk", "walk(f(x))", "twice", "walk"]
    assert links[3] == (f"deep/{walk}", "walk")
    assert [(a["href"], a.get_text()) for a in project.page("deep/two").select("a.use")] == [
        (walk, "go(1)"),
        ("reference.html#notes.toy.Law", "Law"),
        (walk, "go"),
    ]
    assert '<span class="n">Law</span></a>\n' not in project.text("deep/two")
    assert project.page("plain").select("a.use") == []
    assert '<pre class="literal-block">walk <strong>on</strong></pre>\n' in prose


def test_an_entry_lists_the_chapters_that_import_it_in_the_order_of_the_book(project):
    two = '<a class="reference internal" href="two.html">Two &amp; more</a>'
    one = '<a class="reference internal" href="../one.html">One walk</a>'
    page = project.page("deep/reference")
    used = {entry["id"]: entry.find_next_sibling("dd") for entry in page.select("dt.sig[id]")}
    lines = {name.removeprefix("notes.toy."): dd.select(":scope > .used-in") for name, dd in used.items()}
    said = {name: "".join(map(str, line)) for name, line in lines.items()}
    assert said == {
        "Law": f'<p class="used-in">Used in {two}</p>',
        "Law.sample": "",
        "twice": f'<p class="used-in">Used in {one}</p>',
        "walk": f'<p class="used-in">Used in {two}, {one}</p>',
    }
    assert used["notes.toy.twice"].p.get_text() == "Two ways."


def test_the_tiny_chapter_links_what_it_imports_and_nothing_else(server):
    page = soup(server.file(server.url(TINY)))
    prose = [(a.get_text(), a["href"]) for a in page.select("article p a.use, article h2 a.use")]
    assert prose == [("explore(pictures.bars, …)", "reference.html#notes.explore.explore")]
    cells = {a["href"] for a in page.select(".highlight a.use")}
    assert cells == {f"reference.html#notes.{name}" for name in ("explore.explore", "explore.play", "claims.claim")}


@pytest.mark.parametrize("name", PAGES)
def test_each_link_of_a_chapter_leads_to_the_entry_of_what_it_imports(server, name):
    source = "\n".join(c.source for c in jupytext.read(ROOT / "book" / f"{name}.md").cells if c.cell_type == "code")
    links = soup(server.file(server.url(PAGES[name]))).select("a.use")
    assert bool(links) == (name != "intro")  # whose cells are not shown
    for link in links:
        module, _, function = link["href"].removeprefix("reference.html#").rpartition(".")
        assert link.get_text().partition("(")[0] == function
        assert re.search(rf"from {module} import (\(\n[^)]*?)?.*\b{function}\b", source)


def test_each_entry_says_which_chapters_use_it(server):
    page = soup(server.file(server.url("site/book/reference.html")))
    said = {
        (dt["id"], a["href"].partition(".html")[0])
        for dt in page.select("dt.sig")
        for a in dt.find_next_sibling("dd").select(":scope > .used-in a")
    }
    sources = {name: (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8") for name in PAGES}
    imports = {
        (f"{module}.{function}", name)
        for name, source in sources.items()
        for module, functions in re.findall(r"^from (notes\.\w+) import (\([^)]*\)|.*)$", source, re.MULTILINE)
        for function in re.findall(r"\w+", functions)
        if module != "notes.figures"
    }
    assert said == imports
    assert ("notes.langevin.mala", "langevin") in said


# Terms


@pytest.fixture
def term(browser, server):
    open_page(browser, server.url(TINY))
    return browser.find_element(By.CSS_SELECTOR, ".term")


def definition(term):
    return term.find_element(By.CSS_SELECTOR, "[role=tooltip]")


def point_at(browser, element):
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
    ActionChains(browser, duration=20).move_to_element(element).perform()


def test_a_term_shows_its_definition_to_the_pointer_as_long_as_it_stays(browser, term):
    assert not definition(term).is_displayed()
    link = term.find_element(By.TAG_NAME, "a")
    point_at(browser, link)
    wait(browser, definition(term).is_displayed, "the pointer shows no definition")
    assert re.sub(r"\s+", " ", definition(term).text).startswith("A box of height")
    assert definition(term).text.endswith("drawn in each state.")
    assert definition(term).find_elements(By.CSS_SELECTOR, "em, a, mjx-container")[0].tag_name == "mjx-container"
    below = "return arguments[1].getBoundingClientRect().top - arguments[0].getClientRects()[0].bottom"
    assert -2 < browser.execute_script(below, link, definition(term)) < 12
    assert definition(term).rect["x"] == pytest.approx(term.find_element(By.XPATH, "..").rect["x"], abs=1)
    assert definition(term).rect["width"] == pytest.approx(term.find_element(By.XPATH, "..").rect["width"], abs=1)
    ActionChains(browser, duration=20).move_to_element(definition(term)).perform()  # to read it, or to mark a word
    assert definition(term).is_displayed()
    point_at(browser, browser.find_element(By.CSS_SELECTOR, "article h1"))
    wait(browser, lambda: not definition(term).is_displayed(), "the definition stays when the pointer has left")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_term_shows_its_definition_to_the_keyboard_and_escape_closes_it(browser, term, theme):
    set_theme(browser, theme)
    link = term.find_element(By.TAG_NAME, "a")
    browser.execute_script("arguments[0].focus()", link)
    wait(browser, definition(term).is_displayed, "the focus shows no definition")
    assert link.get_attribute("aria-describedby") == definition(term).get_attribute("id")
    look = "const s = getComputedStyle(arguments[0]); return [s.backgroundColor, s.color]"
    behind, text = browser.execute_script(look, definition(term))
    assert behind != text
    assert "rgba(0, 0, 0, 0)" not in behind
    link.send_keys(Keys.ESCAPE)
    assert not definition(term).is_displayed()
    browser.execute_script("arguments[0].blur(); arguments[0].focus()", link)
    wait(browser, definition(term).is_displayed, "the definition never comes back")


def test_a_tap_on_a_term_leads_to_the_glossary_on_a_phone(browser, server, term):
    set_screen(browser, 390, mobile=True)
    open_page(browser, server.url(TINY))
    browser.find_element(By.CSS_SELECTOR, ".term a").click()
    wait(browser, lambda: browser.current_url.endswith("glossary.html#term-bar"), "the tap leads nowhere")
    assert browser.find_element(By.ID, "term-bar").text.startswith("bar")


@pytest.mark.parametrize("page", [*PAGES.values(), TINY])
def test_definitions_fit_a_phone_and_formulas_in_them_are_typeset(browser, server, page):
    set_screen(browser, 390, mobile=True)
    open_page(browser, server.url(page))
    for term in browser.find_elements(By.CSS_SELECTOR, ".term"):
        browser.execute_script(
            "for (let e = arguments[0]; e; e = e.parentElement) {"
            "if (e.matches('details')) e.open = true; e.classList.remove('toggle-hidden'); }"
            "arguments[0].querySelector('a').focus()",
            term,
        )
        wait(browser, definition(term).is_displayed, f"no definition of {term.text}")
        box = definition(term).rect
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        assert "\\(" not in definition(term).text
        assert browser.execute_script("return document.scrollingElement.scrollWidth") <= 390


def test_terms_work_without_scripts(browser, server):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(server.url(TINY))
    term = browser.find_element(By.CSS_SELECTOR, ".term")
    assert not definition(term).is_displayed()
    point_at(browser, term.find_element(By.TAG_NAME, "a"))
    wait(browser, definition(term).is_displayed, "the pointer shows no definition")


def test_the_glossary_shows_each_definition_once(server):
    glossary = soup(server.file(server.url("site/book/glossary.html")))
    assert glossary.select("[role=tooltip]") == []
    entries = glossary.select("dl.glossary > dd")
    assert len(entries) >= 30
    for entry in entries:  # what shows in the chapters, then where it is defined
        words, place = entry.find_all("p", recursive=False)
        assert len(re.findall(r"[.!?](?= [A-Z\\]|$)", words.get_text().strip())) in (1, 2), words.get_text()
        assert place.find("a")


@pytest.mark.parametrize("name", PAGES)
def test_a_chapter_links_a_term_once_and_never_in_a_heading(server, name):
    page = soup(server.file(server.url(PAGES[name])))
    targets = [a["href"] for a in page.select(".term > a")]
    assert len(targets) == len(set(targets))
    assert page.select("h1 .term, h2 .term, h3 .term, h4 .term") == []


# Claims


def test_a_claim_leads_to_its_row_and_the_row_to_the_claim(browser, server):
    open_page(browser, server.url(TINY))
    claims = browser.find_elements(By.CSS_SELECTOR, "article .claim:not(.solution .claim)")
    assert len(claims) > 1
    last = claims[-1].get_attribute("id")
    claims[-1].find_element(By.CSS_SELECTOR, "a").click()
    row = wait(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "tr:target"), "no row")[0]
    assert "Nothing is nothing" in row.text
    row.find_element(By.TAG_NAME, "a").click()
    wait(browser, lambda: browser.current_url.endswith(f"tiny.html#{last}"), "the row leads elsewhere")


def test_rows_have_names_of_their_own(server):
    rows = soup(server.file(server.url("site/book/proves.html"))).select("table.claims tbody tr")
    assert len({row["id"] for row in rows}) == len(rows) > 100


def test_the_fields_of_a_named_tuple_are_no_entries_and_all_else_is():
    class Pair(NamedTuple):
        """Two numbers."""

        first: float

    assert links.without_fields(None, "class", "first", Pair.first, False, None) is True
    assert links.without_fields(None, "module", "Pair", Pair, False, None) is None
    assert links.without_fields(None, "module", "one", 1, False, None) is None


# A page follows what it links to


def test_pages_follow_what_they_link_to(tiny_book, tmp_path):
    root = tmp_path / "book-root"
    shutil.copytree(tiny_book, root)
    html = root / "_build" / "html" / "book"
    glossary, chapter = root / "book" / "glossary.md", root / "book" / "tiny.md"
    assert "Used in" in (html / "reference.html").read_text(encoding="utf-8")
    glossary.write_text(glossary.read_text(encoding="utf-8").replace("A box", "A crate"), encoding="utf-8")
    assert build(root).returncode == 0
    assert "A crate" in (html / "tiny.html").read_text(encoding="utf-8")
    text = chapter.read_text(encoding="utf-8").replace("{numref}`fig-tiny-walk`", "the walk")
    assert text.count("# Tiny\n") == 1
    text = text.replace("# Tiny\n", "# Giant\n")
    begin, end = (
        text.index("```{code-cell} ipython3\nexplore(pictures.walk"),
        text.index('```{code-cell} ipython3\nclaim("One is nearly'),
    )
    chapter.write_text((text[:begin] + text[end:]).replace("import explore, play", "import explore"), encoding="utf-8")
    assert build(root).returncode == 0
    play = soup(html / "reference.html").find(id="notes.explore.play").find_next_sibling("dd")
    assert play.select(".used-in") == []
    used = [line.get_text() for line in soup(html / "reference.html").select(".used-in")]
    assert used
    assert all("Giant" in line and "Tiny" not in line for line in used)
