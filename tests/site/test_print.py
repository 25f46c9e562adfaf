"""What goes to paper: a page printed from the browser, the whole book as one PDF, and the site that offers it."""

import base64
import copy
import io
import itertools
import re
import shutil
import unicodedata

import pypdf
import pytest
from browser import by_keyboard, figures, open_page, set_screen, set_theme, soup, wait
from bs4 import BeautifulSoup
from conftest import REQUIRED, ROOT, build
from selenium.webdriver.common.by import By

from notes.site import pdf, public

PAGE = "site/book/langevin.html"
FOLDED = """return [...document.querySelectorAll("details, .admonition.dropdown")].map(
  (fold) => fold.matches("details:not([open]), .toggle-hidden"))"""
ON_PAPER = """window.onPaper = [];
addEventListener("beforeprint", () => onPaper.push(
  document.documentElement.dataset.theme,
  document.querySelector("article details:not([open])") == null,
  document.querySelector(".bd-sidebar-primary details").open))"""
UNSAID = "details.hide > summary, .math, .definition, .headerlink, .explore"
TOLD = "article :is(details, div.proof, div.exercise, div.solution, .claim)"  # a proof is a details


def printed(driver):
    """The page as the browser prints it."""
    return pypdf.PdfReader(io.BytesIO(base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {})["data"])))


def letters(text):
    """Letters and digits alone: on paper a line breaks anywhere, and two letters may be drawn as one."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text))


def text_of(document):
    return letters("".join(page.extract_text() for page in document.pages))


def lost(page, text):
    """What a built page tells, between its formulas, that a text lacks."""
    told = [copy.copy(element) for element in page.select(TOLD)]
    for element in told:
        for unsaid in element.select(UNSAID):
            unsaid.decompose()
    pieces = [letters(piece) for element in told for piece in element.find_all(string=True)]
    # Between two pages stands what Chromium draws last on the first of them: titles and formulas.
    return [
        piece
        for piece in pieces
        if not any(piece[:at] in text and piece[at:] in text for at in range(len(piece), -1, -1))
    ]


def pictures(document):
    """How many pictures the pages show."""
    shown = [page["/Resources"]["/XObject"] for page in document.pages if "/XObject" in page["/Resources"]]
    return sum(item.get_object()["/Subtype"] == "/Image" for objects in shown for item in objects.values())


# A page


def test_a_printed_page_loses_nothing_and_is_then_as_its_reader_left_it(browser, server):
    open_page(browser, server.url(PAGE))
    set_theme(browser, "dark")
    browser.find_element(By.CSS_SELECTOR, "details.sd-dropdown > summary").click()
    folds = browser.execute_script(FOLDED)
    assert {*folds} == {True, False}
    browser.execute_script(ON_PAPER)
    document = printed(browser)
    text, page = text_of(document), soup(server.file(server.url(PAGE)))
    assert {"proof", "solution"} <= {name for told in page.select(TOLD) for name in told["class"]}
    assert lost(page, text) == []
    assert pictures(document) == len(page.select("article figure"))
    chrome = ["Show code cell source", "Hide code cell source", "Contents", "Appendix", "By The notes", "Copyright"]
    assert [words for words in chrome if letters(words) in text] == []
    assert [term for term in page.select(".definition") if letters(term.get_text()) in text] == []
    assert browser.execute_script("return onPaper") == ["light", True, False]
    assert browser.execute_script(FOLDED) == folds
    assert browser.execute_script("return document.documentElement.dataset.theme") == "dark"


def test_a_page_printed_without_scripts_loses_nothing(browser, server):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(server.url(PAGE))
    document, page = printed(browser), soup(server.file(server.url(PAGE)))
    assert lost(page, text_of(document)) == []
    assert pictures(document) == len(page.select("article figure"))


def test_a_printed_picture_tells_a_state_that_was_chosen_and_waits_for_no_scroll(browser, server, tiny_book, tmp_path):
    (tmp_path / "book").mkdir()
    for name in ("_static", "_images", "searchindex.js"):
        (tmp_path / name).symlink_to(tiny_book / "_build" / "html" / name)
    text = (tiny_book / "_build" / "html" / "book" / "tiny.html").read_text(encoding="utf-8")
    far = text.replace("<figure", '<div class="d-print-none" style="height: 20000px"></div><figure')
    (tmp_path / "book" / "far.html").write_text(
        re.sub(r"<img (?!loading)", '<img loading="lazy" ', far), encoding="utf-8"
    )
    server.folders["far"] = tmp_path
    server.delay = lambda path: 0.3 * path.startswith("/far/_images")
    open_page(browser, server.url("far/book/far.html"))
    assert not browser.execute_script("return [...document.images].some((image) => image.naturalWidth)")
    browser.execute_script(
        """window.print = () => { window.whole = [...document.images].map((image) => image.naturalWidth > 0) };
        document.querySelector(".btn-download-pdf-button").click()"""
    )
    assert all(wait(browser, lambda: browser.execute_script("return window.whole"), "the button does not print"))
    document = printed(browser)
    assert pictures(document) == 2
    assert "Shown" not in text_of(document)
    by_keyboard(figures(browser)[1], 0, 4)
    figures(browser)[1].shows([4, 1])
    assert letters("Shown: q 4, temperature 1") in text_of(printed(browser))


@pytest.mark.parametrize("page", ["denoising", "reference", "proves"])
def test_nothing_is_wider_than_the_paper(browser, server, page):
    open_page(browser, server.url(f"site/book/{page}.html"))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    set_screen(browser, 658, 1000)  # CSS pixels between the margins of A4
    wide = browser.execute_script(
        """const right = document.querySelector("article").getBoundingClientRect().right + 1;
        return [...document.querySelectorAll("article :is(p, pre span, td, th, img, dt, mjx-container, mjx-math, svg)")]
          .filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > right).map((e) => e.outerHTML)"""
    )
    assert wide == []


# The book


@pytest.fixture(scope="module")
def pages(site):
    return pdf.pages_of(site)


@pytest.fixture(scope="module")
def book(site):
    try:
        pdf.browser()
    except OSError as error:
        pytest.fail(str(error)) if REQUIRED else pytest.skip(str(error))
    return pypdf.PdfReader(pdf.make(ROOT))


@pytest.fixture(scope="module")
def said(book):
    """What each page of the book says, without its chapter's name and its number."""
    texts = [page.extract_text() for page in book.pages]
    return [letters(re.sub(rf"\A([^\n]+\n)?{at}\n", "", text)) for at, text in enumerate(texts, start=1)]


def headings_of(page):
    """Patterns for the words of a built page's headings, between which formulas may stand."""
    found = [copy.copy(heading) for heading in page.select("article :is(h1, h2, h3)")]
    for unsaid in [tag for heading in found for tag in heading.select(".math, .headerlink")]:
        unsaid.decompose()
    return [".{0,9}".join(filter(None, map(letters, heading.find_all(string=True)))) for heading in found]


def test_the_book_in_one_file_loses_nothing(book, said, pages):
    text = "".join(said)
    assert [(address, piece) for address, page in pages.items() for piece in lost(page, text)] == []
    assert pictures(book) == sum(len(page.select("article img")) for page in pages.values())
    figures = [f"{address}#{figure['id']}" for address, page in pages.items() for figure in page.select("figure[id]")]
    assert [place for place in figures if letters(f"It moves at {place}") not in text] == []
    assert [at for at, words in enumerate(said, start=1) if not words] == []


def test_the_contents_and_the_bookmarks_lead_to_the_headings(book, said, pages):
    chapters = [headings_of(page) for page in pages.values()]
    places = [*bookmarks(book.outline)]
    marks = [book.get_destination_page_number(place) + 1 for place in places]
    contents, at = "".join(said[1 : marks[0] - 1]), 0
    for words, page in zip([words for chapter in chapters for words in chapter], marks, strict=True):
        line = re.compile(f"{words}.{{0,9}}?{page}").search(contents, at)
        assert line, f"{words} {page}"
        at = line.end()
        assert re.search(words, said[page - 1])
    firsts = itertools.accumulate(map(len, chapters[:-1]), initial=0)
    assert {places[at].top > 800 for at in firsts} == {True}  # a chapter begins a page, which is 842 points high
    assert "Why √(2τ) and no other" in [place.title for place in places]


def bookmarks(outline):
    for mark in outline:
        yield from bookmarks(mark) if isinstance(mark, list) else [mark]


def test_each_link_of_the_book_leads_to_a_place_in_it_or_out_of_it(book):
    links = [link.get_object() for page in book.pages for link in page.get("/Annots", [])]
    within = {link["/Dest"] for link in links if "/Dest" in link}
    assert len(within) > 500
    assert within <= {name for name in book.named_destinations}
    beyond = [link["/A"]["/URI"] for link in links if "/A" in link]
    assert [address for address in beyond if not address.startswith("https://")] == []


def test_the_book_has_a_title_and_no_date(book):
    assert book.metadata == {"/Title": "Sampling with a score", "/Author": "The notes authors"}


def test_a_link_to_what_is_not_in_the_book_leads_to_the_site_or_is_words(site):
    page = '<article><h1>A</h1><a href="b.html#x">1</a><a href="../_modules/c.html#y">2</a></article>'
    anchors = {"book/a.html": set(), "book/b.html": {"x"}}
    online = "https://example.org/notes/"
    for head, second in [
        ("", "<span>2</span>"),
        (f'<link rel="canonical" href="{online}book/a.html">', f'<a href="{online}_modules/c.html#y">2</a>'),
    ]:
        chapter = pdf.chapter_of(site, "book/a.html", BeautifulSoup(head + page, "html.parser"), anchors)
        assert chapter.html == f'<h1 id="book/a.html">A</h1><a href="#book/b.html%23x">1</a>{second}'


@pytest.mark.parametrize(
    ("there", "names", "said"),
    [
        ({}, [], "is not built, or not to its end"),
        ({"finished": "of a build"}, ["no-chromium-of-this-name"], "make pdf needs Chromium"),
    ],
)
def test_what_is_missing_is_said_in_a_line(tmp_path, tiny_book, monkeypatch, capsys, there, names, said):
    root = shutil.copytree(tiny_book, tmp_path / "book-root")
    shutil.rmtree(root / "_build" / "pdf", ignore_errors=True)
    (root / "_build" / "finished").unlink()
    for name, text in there.items():
        (root / "_build" / name).write_text(text)
    monkeypatch.setattr(pdf, "BROWSERS", names)
    assert pdf.main(root) == 1
    assert re.fullmatch(rf"The book was not printed: .*{said}.*\n", capsys.readouterr().err)


# The site that offers it


def test_the_published_site_offers_the_book_and_the_build_does_not_mind(tmp_path, tiny_book, monkeypatch):
    root = shutil.copytree(tiny_book, tmp_path / "book-root", symlinks=True)
    assert build(root).returncode == 0  # a new folder is a new book

    def make(root):
        path = root / "_build" / "pdf" / pdf.NAME
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"%PDF")
        return path

    monkeypatch.setattr(pdf, "make", make)
    before = state(root / "_build" / "html")
    assert public.main(root) == 0
    made = root / "_build" / "public"
    (link,) = soup(made / "book" / "intro.html").select(f'a[href$="{pdf.NAME}"]')
    assert (made / "book" / link["href"]).read_bytes() == b"%PDF"
    assert pdf.NAME not in (root / "_build" / "html" / "book" / "intro.html").read_text(encoding="utf-8")
    changed = {name for name, text in contents(made).items() if contents(root / "_build" / "html").get(name) != text}
    assert changed == {"book/intro.html", pdf.NAME}
    assert "executed" not in build(root).stdout
    assert state(root / "_build" / "html") == before


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def state(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
