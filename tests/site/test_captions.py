"""A caption is Markdown below its cell, which a page shows as the figure's own."""

import re

import pytest
from browser import soup
from conftest import ROOT

BOOK = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("*.md")}


@pytest.mark.parametrize("name", [name for name, text in BOOK.items() if ":::{figure}" in text])
def test_picture_controls_and_caption_are_one_figure(site, name):
    page = soup(site / "book" / f"{name}.html").article
    figures = page.select(".cell_output > figure[id]:has(.explore, .playground)")
    assert len(figures) == BOOK[name].count(":::{figure}") == len(page.select(".explore, .playground"))
    for figure in figures:
        assert figure.select_one("figcaption .caption-number").get_text().startswith("Fig. ")
        assert figure.select_one("figcaption .caption-text").get_text().strip()


def test_a_reference_with_a_title_for_jupyterlab_is_a_number_on_the_site(tiny_book):
    assert "{numref}`“Bars” <fig-tiny-bars>`" in (tiny_book / "book" / "glossary.md").read_text(encoding="utf-8")
    (link,) = soup(tiny_book / "_build" / "html" / "book" / "glossary.html").select("a[href='tiny.html#fig-tiny-bars']")
    assert link.get_text() == "Fig. 1"


def test_a_title_for_jupyterlab_is_how_the_caption_begins():
    leads = {}
    for text in BOOK.values():
        for name, caption in re.findall(r":::\{figure\}\n:name: (\S+)\n\n(.+?)\n:::", text, re.DOTALL):
            leads[name] = re.sub(r"[*$\\]", "", caption)
    titled = [link for text in BOOK.values() for link in re.findall(r"\{numref\}`“(.+?)” <(.+?)>`", text)]
    assert titled
    for title, name in titled:
        assert leads[name].startswith(title), name
