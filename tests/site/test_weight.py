"""What a page weighs and says of itself, and that it has all it needs: icons, styles, room on any screen."""

import gzip
import re

import pytest
import rjsmin
from browser import (
    figures,
    open_page,
    requests,
    set_screen,
    soup,
    target,
    wait,
    want_no_motion,
)
from conftest import ROOT
from fontTools.ttLib import TTFont
from PIL import Image
from selenium.webdriver.common.by import By
from sphinx_external_toc.parsing import parse_toc_yaml

from notes.site import weight
from notes.site.cards import plain
from notes.site.contents import Contents

PAGES = [f"site/{name}.html" for name in parse_toc_yaml(ROOT / "_toc.yml")]
CHAPTERS = [f"site/book/{chapter.path.stem}.html" for chapter in Contents(ROOT).chapters]
INTRO = "site/book/intro.html"
RAW, SENT = 1_700_000, 450_000  # bytes before the first move, as they lie and as a server sends them
TEXT = {".css", ".html", ".js", ".svg"}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_little_before_the_first_move(browser, server, page):
    want_no_motion(browser)  # a figure that starts by itself is a first move
    browser.execute_cdp_cmd("Network.clearBrowserCache", {})
    open_page(browser, server.url(page))
    complete = "return document.readyState === 'complete'"
    wait(browser, lambda: browser.execute_script(complete), "the page goes on loading", 20)
    files = {server.file(url) for url in requests(browser)}
    names = {path.name for path in files}
    assert names >= {"pydata-sphinx-theme.css", "bootstrap.js", "book.js"}
    assert not names & {"fontawesome.js", "fa-solid-900.woff2", "searchindex.js", "design-tabs.js"}
    data = {path: path.read_bytes() for path in files if path.name != "tex-chtml.js"}
    sent = [len(gzip.compress(content, 6) if path.suffix in TEXT else content) for path, content in data.items()]
    assert sum(map(len, data.values())) < RAW
    assert sum(sent) < SENT
    images = soup(server.file(server.url(page))).select("article img")
    assert [image.get("loading") for image in images] == [None, *["lazy"] * (len(images) - 1)][: len(images)]


def test_the_site_keeps_nothing_that_no_page_loads(site):
    static = site / "_static"
    assert [path for path in static.rglob("*") if path.suffix in (".map", ".ttf", ".woff2", ".po", ".mo")] == []
    assert sum(path.stat().st_size for path in static.rglob("*.css")) < 250_000


SHOWN = """
const drawn = /^"([\\ue000-\\uf8ff])"/, icons = {};
for (const e of document.querySelectorAll("body *"))
  for (const part of ["::before", "::after"]) {
    const style = getComputedStyle(e, part), icon = drawn.exec(style.content)?.[1];
    if (icon) (icons[icon] ??= []).push([style.fontFamily, style.fontWeight, style.fontSize, style.content]);
  }
return icons"""
EMPTY = """
return [...document.querySelectorAll("i, span")]
  .filter((e) => [...e.classList].some((name) => name.startsWith("fa-")))
  .filter((e) => !/[\\ue000-\\uf8ff]/.test(getComputedStyle(e, "::before").content)
    || (e.checkVisibility() && !(e.getBoundingClientRect().width > 5))).map((e) => e.outerHTML)"""


@pytest.mark.parametrize("width", [1280, 390])
def test_every_icon_is_in_the_font_and_is_not_read_out(browser, server, site, width):
    font = TTFont(site / "_static/vendor/fontawesome/webfonts/fa-solid-900.woff")
    outlines, names = {chr(code): font["glyf"][name] for code, name in font.getBestCmap().items()}, set()
    assert {record.toUnicode() for record in font["name"].names if record.nameID in (1, 4)} == {"Icons"}
    set_screen(browser, width, mobile=width < 600)
    for page in [INTRO, "site/book/langevin.html", "site/search.html", "site/genindex.html"]:
        open_page(browser, server.url(page))
        browser.execute_async_script("document.fonts.ready.then(arguments[0])")
        assert browser.execute_script(EMPTY) == []
        for icon, places in browser.execute_script(SHOWN).items():
            names.add(icon)
            assert outlines[icon].numberOfContours > 0
            for family, face, size, content in places:
                assert family.strip('"').startswith("Icons")
                assert face == "900"
                assert float(size.removesuffix("px")) > 8
                assert content.endswith('/ ""')
        assert "Icons 6 Free" in browser.execute_script(
            "return [...document.fonts].filter((f) => f.status === 'loaded').map((f) => f.family.replaceAll('\"', ''))"
        )
    assert (
        len(names) >= 10
    )  # the three of the theme's switch, sidebars, search, download, back to the top, previous, next


def test_what_a_reader_opens_is_styled(browser, server):
    open_page(browser, server.url("site/book/langevin.html"))
    browser.find_element(By.CSS_SELECTOR, ".dropdown-download-buttons button").click()
    menu = browser.find_element(By.CSS_SELECTOR, ".dropdown-download-buttons .dropdown-menu")
    wait(browser, menu.is_displayed, "no menu")
    assert menu.value_of_css_property("position") == "absolute"
    tip = """const e = document.querySelector(".theme-switch-button");
      bootstrap.Tooltip.getOrCreateInstance(e, {animation: false}).show();
      const tip = document.querySelector(".tooltip");
      return [getComputedStyle(tip).position, getComputedStyle(tip.querySelector(".tooltip-arrow")).position]"""
    assert browser.execute_script(tip) == ["absolute", "absolute"]
    set_screen(browser, 390, mobile=True)
    open_page(browser, server.url("site/book/langevin.html"))
    for button, drawer in [
        ("primary-toggle", "pst-primary-sidebar-modal"),
        ("secondary-toggle", "pst-secondary-sidebar-modal"),
    ]:
        browser.find_element(By.CLASS_NAME, button).click()
        dialog = browser.find_element(By.ID, drawer)
        wait(browser, lambda dialog=dialog: dialog.is_displayed() and dialog.rect["width"] > 200, "no sidebar")
        assert dialog.find_elements(By.CSS_SELECTOR, "a[href]")
        assert dialog.value_of_css_property("position") == "fixed"
        browser.execute_script("arguments[0].close()", dialog)


def test_a_rule_stays_if_all_that_it_names_is_used():
    names = {"a", "used"}
    assert weight.used(".a{color:red}.b{color:red}", names) == ".a{color:red}"
    assert (
        weight.used(".a .b, .a #used, p > .a:not(.b) { color : red }", names) == ".a #used,p > .a:not(.b){color : red}"
    )
    assert (
        weight.used("@media print{.b{color:red}}@media print { .a{color:red} }", names)
        == "@media print {.a{color:red}}"
    )
    kept = '@font-face{src:url(x.woff)}:root{--x:".b"}[data-x=".b"]{top:1.5em}'
    assert weight.used(kept, names) == kept
    assert weight.used("/*! License */ /* a remark */ .b{}", names) == "/*! License */"


SCRIPTS = sorted((ROOT / "book" / "assets").glob("*.js"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_loses_its_comments_and_blanks_and_no_word(path):
    source = path.read_text(encoding="utf-8")
    made = rjsmin.jsmin(source)
    words = re.findall(r"`[^`\n]*`|\"(?:[^\"\\\n]|\\.)*\"", re.sub(r"(?m)(^|\s)// .*$", "", source))
    assert words
    assert [word for word in words if word not in made] == []
    assert not re.search(r"\$\{[^{}`]*`", source)  # a template within a template would lose blanks
    assert len(made) < 0.9 * len(source)


def test_a_description_is_plain_words():
    assert plain("Two\nlines [Hyv05, Vin11]. A field $x$. With \\(x_i\\). The end.") == "Two lines. The end."
    assert plain("One. " + "Many words. " * 40).endswith("words.")
    assert plain("word " * 100).endswith("word…")
    assert max(len(plain("One. " + "Many words. " * 40)), len(plain("word " * 100))) <= 300


def test_every_page_has_a_title_a_description_and_a_card(site):
    book, titles = "Sampling with a score", set()
    for path in sorted(path for path in site.rglob("*.html") if "_static" not in path.parts):
        page = soup(path)
        (title,) = page.select("head title")
        found = {}
        for tag in page.select("head meta[content]"):
            name = tag.get("property") or tag.get("name")
            if name and name != "viewport":
                assert name not in found, f"{path}: {name}"
                found[name] = tag["content"]
        assert title.text.count(book) == 1, title.text
        assert (title.text == book) == (path.name in ("intro.html", "index.html") and "_modules" not in path.parts)
        titles.add(title.text)
        assert 15 <= len(found["description"]) <= 300
        assert not re.search(r"[\\$]|\[|\s\s", found["description"])
        assert found["og:title"] == found["twitter:title"]
        assert found["og:title"] in title.text
        assert found["og:description"] == found["twitter:description"] == found["description"]
        assert found["og:type"] in ("website", "article")
        assert found["twitter:card"] == "summary_large_image"
        assert found["og:image"] == found["twitter:image"]
        assert len(found["og:image:alt"]) > 20
        with Image.open(path.parent / found["og:image"]) as picture:
            assert picture.format == "PNG"
            assert picture.size == (int(found["og:image:width"]), int(found["og:image:height"]))
            assert len(picture.convert("RGB").getcolors(2**20)) > 10
    assert len(titles) > 20


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_said_wrongly_to_those_who_listen(server, page):
    html = soup(server.file(server.url(page)))
    assert html.select("summary[aria-label], [role=doc-biblioentry], th:has(> p:empty)") == []
    assert all(entry.parent.get("role") == "list" for entry in html.select("[role=listitem]"))
    assert html.select_one("#pst-primary-sidebar")["role"] == "complementary"
    assert not html.select_one(".search-button-field").has_attr("aria-label")


SEEN = """
const header = document.querySelector(".bd-header-article").getBoundingClientRect();
const top = header.top <= 0 ? header.bottom : 0;
return arguments[0].map((e) => e.getBoundingClientRect()).map((r) => r.top >= top - 1 && r.bottom <= innerHeight + 1
  && r.left >= 0 && r.right <= innerWidth && r.width > 20 && r.height > 10)"""


@pytest.mark.parametrize("page", CHAPTERS)
def test_on_a_phone_held_sideways_a_picture_is_seen_with_each_of_its_controls(browser, server, page):
    set_screen(browser, 844, 390, mobile=True)
    open_page(browser, server.url(page))
    for figure in figures(browser):
        figure.scroll_to(figure.image)
        for at, labels in enumerate(figure.labels):
            for item in {target(figure, at, value) for value in range(len(labels))}:
                browser.execute_script("arguments[0].scrollIntoView({block: 'nearest', behavior: 'instant'})", item)
                assert browser.execute_script(SEEN, [figure.image, item]) == [True, True], figure.id
        picture = figure.image.rect
        width, height = (int(figure.image.get_dom_attribute(side)) for side in ("width", "height"))
        assert picture["height"] > 200
        assert picture["width"] <= picture["height"] * width / height + 1


@pytest.mark.parametrize(("width", "height"), [(1280, 600), (1280, 760), (390, 844)])
def test_the_first_figure_is_seen_whole_with_its_play_button(browser, server, width, height):
    set_screen(browser, width, height, mobile=width < 600)
    open_page(browser, server.url(INTRO))
    hero = figures(browser)[0]
    assert browser.execute_script(SEEN, [hero.image, hero.play]) == [True, True]
    assert hero.image.rect["width"] >= 0.3 * min(width, 800)
