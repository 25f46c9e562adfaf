"""What a book holds and how its chapters would run: as Jupyter Book and MyST-NB have it."""

import json
import re

import pytest
from myst_parser.config.main import MdParserConfig
from sphinx_external_toc.parsing import MalformedError

from notes.site import contents
from notes.site.contents import Contents

CELL = "```{code-cell} ipython3\n1 + 1\n```\n"
CONFIG = """
only_build_toc_files: true
exclude_patterns: [book/left.md, ".*"]
execute: {execute_notebooks: cache, exclude_patterns: ["*/named.md"], timeout: 7}
sphinx: {config: {nb_kernel_rgx_aliases: {py.*: python3}, html_static_path: [book/assets]}}
"""


def header(**settings):
    kernel = {"display_name": "Python 3", "language": "python", "name": "pypy"}
    return f"---\nfile_format: mystnb\nkernelspec: {json.dumps(kernel)}\n{json.dumps(settings)[1:-1]}\n---\n"


@pytest.fixture
def book(tmp_path):
    """A function that makes a book of files and of contents, from which its pages are read."""

    def make(listed, files, config=CONFIG):
        toc = f"format: jb-book\nroot: book/intro\nchapters:\n{listed}"
        for name, text in {"_toc.yml": toc, "_config.yml": config, "book/intro.md": "# Intro\n", **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return Contents(tmp_path)

    return make


def names(paths):
    return [f"{path.parent.name}/{path.name}" for path in paths]


def test_pages_are_found_by_name_with_a_suffix_and_by_a_pattern_in_their_order(book):
    files = {f"book/{name}": "# A page\n" for name in ("z.md", "a.md", "many/2.md", "many/1.md")}
    files |= {"book/stored.ipynb": "{}", "parts/one.md": "# One\n"}
    listed = """
  - file: book/z.md
    sections:
      - file: book/a
      - glob: book/many/*
  - url: https://elsewhere.example
  - file: parts/one
  - file: book/stored.ipynb
"""
    pages = names(book(listed, files).pages)
    assert pages[:4] == ["book/intro.md", "book/z.md", "book/a.md", "parts/one.md"]
    assert sorted(pages[4:]) == ["book/stored.ipynb", "many/1.md", "many/2.md"]


def test_a_page_that_is_not_listed_is_forgotten_where_it_is_a_chapter_or_beside_a_page(book):
    files = {"book/draft.md": header() + CELL, "book/prose.md": "# Prose\n", "drafts/one.md": header() + CELL}
    files |= {
        "README.md": "# Read me\n",
        "book/left.md": "# Left out\n",
        ".hidden/x.md": header(),
        "book/assets/y.md": "",
    }
    files |= {"book/stays.md": "# Stays\n"}
    listed = "  - file: book/stays\n"
    assert names(book(listed, files).forgotten) == ["book/draft.md", "book/prose.md", "drafts/one.md"]
    everything = CONFIG.replace("files: true", "files: false")  # Sphinx takes them all, and warns
    assert book(listed, files, everything).forgotten == []


@pytest.mark.parametrize(
    ("listed", "config", "said"),
    [
        ("book/nonesuch", CONFIG, "_toc.yml: it lists book/nonesuch, which is not there"),
        ("book/nonesuch.md", CONFIG, "_toc.yml: it lists book/nonesuch, which is not there"),
        ("book/left", CONFIG, "_toc.yml: it lists book/left, which exclude_patterns of _config.yml leaves out"),
        ("book/latin", CONFIG, "book/latin.md: 'utf-8' codec can't decode byte 0xfc in position 2"),
        ("book/stored.ipynb", CONFIG, "book/stored.ipynb: Notebook does not appear to be JSON"),
        ("book/loads", CONFIG, "book/loads.md: Can't read file from :load:"),
        ("book/cell", CONFIG, "book/cell.md: Code cell 0 at line 6 could not be read"),
        ("book/left", "execute: {timeout: soon}", "_config.yml: 'execution_timeout' must be of type"),
        ("book/left", "execute: [", "_config.yml: while parsing"),
    ],
)
def test_what_cannot_be_read_is_named(book, listed, config, said):
    files = {"book/latin.md": "# \u00fc\n".encode("latin-1"), "book/stored.ipynb": "{", "book/left.md": "# Left out\n"}
    files["book/loads.md"] = header() + CELL.replace("1 + 1", ":load: nonesuch.py")
    files["book/cell.md"] = header() + CELL.replace("1 + 1", "---\ntags: [\n---")
    with pytest.raises(MalformedError, match=re.escape(said)):
        _ = book(f"  - file: {listed}\n", files, config).chapters


@pytest.mark.parametrize(
    ("name", "settings", "cached"),
    [
        ("one", {}, True),
        ("one", {"execution_mode": "off"}, False),
        ("one", {"execution_mode": False}, False),  # as YAML reads a bare off
        ("one", {"execution_mode": "force"}, False),
        ("one", {"execution_mode": "never"}, True),  # MyST-NB warns, and goes by the book's own
        ("one", {"execution_excludepatterns": ["one.*"]}, False),
        ("named", {}, False),
    ],
)
def test_a_chapters_outputs_are_cached_as_the_settings_say(book, name, settings, cached):
    pages = book(f"  - file: book/{name}\n", {f"book/{name}.md": header(mystnb=settings) + CELL})
    (chapter,) = pages.chapters
    assert chapter.cached == cached


def test_a_chapter_has_the_books_settings_and_its_own(book):
    files = {"book/one.md": header(mystnb={"execution_in_temp": True}) + CELL}
    (chapter,) = book("  - file: book/one\n", files).chapters
    assert (chapter.settings.execution_timeout, chapter.settings.execution_in_temp) == (7, True)
    assert chapter.notebook.metadata.kernelspec.name == "python3"  # by its alias


@pytest.mark.parametrize("text", ["\ufeff{}", "\n{}", "{}", "{}\n\n"], ids=["mark", "windows", "no end", "end"])
def test_a_chapter_reads_the_same_whatever_its_encoding_says_and_its_lines_end_with(tmp_path, text):
    path = tmp_path / "one.md"
    plain = f"{header()}# One\n\n{CELL}"
    text = text.lstrip("\n").format(plain.strip()) if text != "\n{}" else plain.replace("\n", "\r\n")
    path.write_bytes(text.encode())
    chapter = contents.read(path, contents.text_of(path), MdParserConfig(), contents.Settings())
    assert [cell.source for cell in chapter.notebook.cells] == ["# One", "1 + 1"]
    assert chapter.notebook.metadata.kernelspec.name == "pypy"
