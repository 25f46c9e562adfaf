"""Faults that users of such tools met: what a book may hold and say, how it is built, and what it is told where it
cannot be. Each kind stands in one of three books, of which the first two build and the third is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from browser import soup
from conftest import ROOT, TINY, build

pytestmark = [pytest.mark.built, pytest.mark.xdist_group("book faults")]  # one process, for its books are shared

HEADER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---
"""


def new_book(folder):
    """The tiny book without its pages but the first, with the real configuration and assets."""
    book = folder / "book-root"
    (book / "book").mkdir(parents=True)
    for name in ("intro.md", "references.bib", "pictures.py"):
        shutil.copy(TINY / "book" / name, book / "book")
    shutil.copy(ROOT / "_config.yml", book)
    shutil.copytree(ROOT / "book" / "assets", book / "book" / "assets")
    return book


def cell(source, *options):
    return "\n".join(["```{code-cell} ipython3", *options, source, "```", ""])


def chapter(title, *parts, header=HEADER, **settings):
    """A chapter of parts, with settings for MyST-NB in its header."""
    own = f"mystnb: {json.dumps(settings)}\n---\n" if settings else "---\n"
    return "\n".join([header.removesuffix("---\n") + own, f"# {title}", "", *parts])


def lines(done, *words):
    """What a build printed that holds these words."""
    return [line for line in done.stdout.splitlines() if all(word in line for word in words)]


def write(book, pages):
    for name, text in pages.items():
        path = book / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


# A book of all that is allowed

ANYTHING = [
    cell("x = = 1", ":tags: [raises-exception]"),
    cell("1 / 0", ":tags: [raises-exception]"),
    cell("def (", ":tags: [skip-execution]"),
    cell("%matplotlib inline\nfrom notes.claims import claim"),
    cell("!echo of the shell"),
    cell("%%bash\nif [ 1 ]; then echo of bash; fi"),
    cell("import asyncio\n\nawait asyncio.sleep(0)\nprint('awaited')"),
    cell("print?", ":tags: [skip-execution]"),
    cell("f(x) = x^2 → $", ":tags: [skip-execution, remove-input]"),
    cell(""),
    "As `claim` says of {term}`nought`.",
]
STATEMENTS = {
    "mathematics": r"The mean $\mu < \sigma$ & \alpha",
    "quotes": 'It\'s "so" & <b>1 < 2</b>',
    "backticks": "What `langevin` returns",
}
QUOTED = [
    "Before it is measured: {claim}`Nothing is nothing`, and twice: {claim}`Nothing is nothing`.",
    "## {claim}`Nothing is nothing` in a heading",
    "- In a list {claim}`Nothing is nothing`\n",
    "| a table |\n|---|\n| {claim}`Nothing is nothing` |\n",
    "A footnote[^1], and a [link to {claim}`Nothing is nothing`](intro.md).\n",
    "[^1]: It says {claim}`Nothing is nothing`.\n",
    ":::{admonition} It is so: {claim}`Nothing is nothing`\nWords.\n:::\n",
    "```{glossary}\nnought\n  What {claim}`Nothing is nothing` says.\n```\n",
    "A {term}`nought`.\n",
    "```{figure} assets/favicon.svg\n:alt: A mark\n\nA caption: {claim}`Nothing is nothing`.\n```\n",
    "## Odd statements\n",
    *(f"{{claim}}``{statement}``\n" for statement in STATEMENTS.values()),
    cell("from notes.claims import claim", ":tags: [remove-input]"),
    cell('claim("Nothing is nothing", 0.0, 0.0)'),
    *(cell(f"claim({statement!r}, 1.0, 1.0)") for statement in STATEMENTS.values()),
]
RUN = "import pathlib\n\nprint('ran in', pathlib.Path.cwd().name)"
MARKED = chapter("Marked", "Prose.", cell("if 1:\n\tprint('a\\tb')"), cell("print('marked')"))
JUPYTEXT, KERNEL = HEADER[4:-4].split("kernelspec:\n")
SWAPPED = f"---\nkernelspec:\n{KERNEL}{JUPYTEXT}---\n"
LISTED = ["off", "bare", "no", "fails", "temporary", "swapped", "kernel", "julia", "colons"]
ALLOWED = {
    "book/anything.md": chapter("Cells that may raise", *ANYTHING),
    "book/quoted.md": chapter("Quoted", *QUOTED),
    "book/off.md": chapter("Off", cell("raise OSError('off')"), execution_mode="off"),
    "book/bare.md": chapter(
        "Bare", cell("raise OSError('bare')"), header=HEADER[:-4] + "mystnb:\n  execution_mode: off\n---\n"
    ),
    "book/no.md": chapter("Excluded", cell("raise OSError('excluded')")),
    "book/fails.md": chapter("Fails", cell("raise OSError('allowed')"), execution_allow_errors=True),
    "book/temporary.md": chapter("Temporary", cell(RUN + "  # anywhere"), execution_in_temp=True),
    "book/marked.md": f"\ufeff{MARKED}".replace("\n", "\r\n").rstrip().encode(),
    "book/swapped.md": chapter("Swapped", cell(RUN), header=SWAPPED),
    "book/kernel.md": chapter("Kernel", cell(RUN), header=HEADER.replace("python3", "notes-other")),
    "book/julia.md": chapter(
        "Julia", cell("f(x) = x^2"), header=HEADER.replace("python", "julia"), execution_mode="off"
    ),
    "book/colons.md": chapter("Colons", ":::{note}\n```python\n1\n```\n:::\n", cell(RUN + "  # colons")),
    "parts/one.md": chapter("Outside", cell(RUN + "  # outside")),
    "book/many/a.md": chapter("Many a", cell("print('a of many')")),
    "book/many/b.md": "# Many b\n",
    "book/draft.md": chapter("A draft", cell("raise OSError('draft')")),
    "book/forgotten.md": "# Prose that nobody lists\n",
    "book/scratch.md": "# Left out by name\n",
    "README.md": "# No page\n",
    "_toc.yml": """
format: jb-book
root: book/intro.md
parts:
  - caption: One
    chapters:
      - file: book/anything.md
        sections:
          - file: book/quoted
            sections:
              - file: book/marked.md
          - glob: book/many/*
      - url: https://elsewhere.example
        title: Elsewhere
  - caption: Two
    chapters:
"""
    + "".join(f"      - file: book/{name}\n" for name in LISTED)
    + "      - file: book/stored.ipynb\n      - file: parts/one\n",
}


def stored():
    """A notebook with an output that it was stored with."""
    code = nbformat.v4.new_code_cell("print('from a notebook')", outputs=[nbformat.v4.new_output("stream", text="old")])
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    cells = [nbformat.v4.new_markdown_cell("# Stored"), code]
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}))


@pytest.fixture(scope="module")
def allowed(tmp_path_factory):
    """The built book of all that is allowed, and how its build ended."""
    folder = tmp_path_factory.mktemp("allowed")
    book = new_book(folder)
    write(book, ALLOWED | {"book/stored.ipynb": stored()})
    config = (book / "_config.yml").read_text(encoding="utf-8")
    config = config.replace("execute:\n", 'execute:\n  exclude_patterns: ["*/no.md"]\n', 1)
    config = config.replace("[_build, ", "[_build, book/scratch.md, ", 1)
    (book / "_config.yml").write_text(config, encoding="utf-8")
    kernel = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "language": "python"}
    write(folder, {"jupyter/kernels/notes-other/kernel.json": json.dumps(kernel | {"display_name": "Another"})})
    return book, build(book, JUPYTER_PATH=str(folder / "jupyter"))


@pytest.fixture
def page(allowed):
    """A page of that book, as it was built."""
    book, done = allowed
    assert done.returncode == 0, done.stdout
    return lambda name: soup(book / "_build" / "html" / f"{name}.html").article


def download(book, name):
    return nbformat.read(book / "_build" / "html" / "_sources" / f"{name}.ipynb", as_version=4)


def test_each_chapter_that_is_to_run_runs_once(allowed):
    done = allowed[1]
    assert done.returncode == 0, done.stdout
    off = {"book/off.md", "book/bare.md", "book/no.md", "book/julia.md"}
    unlisted = {"book/draft.md", "book/forgotten.md", "book/scratch.md", "book/many/b.md", "README.md"}
    ran = sorted(name for name in [*ALLOWED, "book/stored.ipynb"] if name not in {*off, *unlisted, "_toc.yml"})
    assert sorted(line.partition(": ")[0] for line in lines(done, ": executed in")) == ran
    assert "Executed notebook in" not in done.stdout  # by MyST-NB, for it did not find it in the cache


def test_a_cell_that_may_raise_shows_its_traceback_and_no_cell_stops_the_build(page):
    shown = page("book/anything").get_text()
    assert "SyntaxError: invalid syntax" in shown
    assert "ZeroDivisionError: division by zero" in shown
    for words in ("of the shell", "of bash", "awaited", "def ("):
        assert words in shown


def test_names_are_linked_beside_cells_that_no_parser_reads(page):
    assert page("book/julia").get_text().count("f(x) = x^2") == 1


def test_a_claim_is_quoted_wherever_words_stand(page):
    quoted = page("book/quoted")
    quotes = quoted.select("a.claim-quote")
    anchors = [quote["href"] for quote in quotes if "Nothing is nothing" in quote.get_text()]
    assert anchors == ["#claim-1"] * 9  # all but the one within a link
    assert "Nothing is nothing (measured 0, expected 0)" in quoted.find("a", href="intro.html").get_text()
    for place in ("h2", "li p", "td", "aside", ".admonition-title", "figcaption"):
        assert quoted.select_one(f"{place} a.claim-quote"), place
    assert page("book/anything").select_one(".term .definition").get_text() == "What Nothing is nothing says."


def test_a_notebook_says_in_plain_markdown_what_its_page_says(allowed):
    notebook = download(allowed[0], "book/quoted")
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    quote = "[Nothing is nothing (measured 0, expected 0)](#claim-1)"
    for line in (f"## {quote} in a heading", f"- In a list {quote}", f"| {quote} |", f"> **It is so: {quote}**"):
        assert f"\n{line}\n" in text
    assert f"- **nought**: What {quote} says." in text
    assert "![A mark](../../_images/favicon.svg)" in text
    assert text.count('<a id="claim-1"></a>') == 1
    assert [cell for cell in download(allowed[0], "book/julia").cells if "notes" in cell.source] == []


def test_a_statement_is_quoted_letter_by_letter(page):
    quoted = page("book/quoted")
    words = [quote.contents[0].strip() for quote in quoted.select("a.claim-quote")]
    for number, statement in enumerate(STATEMENTS.values(), start=2):
        assert words.count(statement) == 1
        assert statement in quoted.find(id=f"claim-{number}").get_text()


def test_a_claim_in_a_heading_is_plain_words_in_the_contents_and_to_the_search(allowed, page):
    html = allowed[0] / "_build" / "html"
    page("book/quoted")
    heading = "Nothing is nothing in a heading"
    contents = soup(html / "book" / "quoted.html").select_one(".page-toc, #pst-page-navigation-heading-2, .toc-entry")
    assert heading in contents.find_parent("div").get_text()
    index = (html / "search-index.js").read_text(encoding="utf-8")
    titles = [title for _, _, _, title, *_ in json.loads(index.partition("= ")[2].rstrip(";\n"))["places"]]
    (title,) = (title for title in titles if title.endswith("in a heading"))
    assert title == "Nothing is nothing (measured 0, expected 0) in a heading"


@pytest.mark.parametrize(("name", "shown"), [("off", "'off'"), ("bare", "'bare'"), ("no", "'excluded'")])
def test_a_chapter_that_is_not_to_run_shows_its_code_alone(page, name, shown):
    assert shown in page(f"book/{name}").get_text()
    assert not page(f"book/{name}").select(".cell_output")


def test_a_chapter_may_allow_errors_have_a_folder_of_its_own_and_another_kernel(page):
    assert "OSError: allowed" in page("book/fails").get_text()
    assert "ran in book" in page("book/swapped").get_text()
    assert "ran in book" in page("book/kernel").get_text()
    assert "ran in tmp" in page("book/temporary").get_text()


def test_a_byte_order_mark_line_ends_of_windows_and_tabs_are_read_as_if_they_were_not_there(allowed, page):
    assert "a\tb" in page("book/marked").get_text()
    notebook = download(allowed[0], "book/marked")
    assert notebook.metadata.kernelspec.name == "python3"
    assert [c.source for c in notebook.cells if c.cell_type == "code"][1:] == [
        "if 1:\n\tprint('a\\tb')",
        "print('marked')",
    ]


def test_contents_may_name_files_with_their_suffix_notebooks_patterns_parts_and_sites(allowed, page):
    assert "from a notebook" in page("book/stored").get_text()
    assert "old" not in page("book/stored").select_one(".cell_output").get_text()
    assert "ran in parts" in page("parts/one").get_text()
    assert "a of many" in page("book/many/a").get_text()
    assert download(allowed[0], "book/stored").metadata.kernelspec.name == "python3"
    navigation = soup(allowed[0] / "_build" / "html" / "book" / "intro.html").select_one(".bd-links")
    links = [link["href"] for link in navigation.select("a")]
    assert links[5] == "https://elsewhere.example"
    assert {"marked.html", "stored.html", "many/a.html", "many/b.html", "../parts/one.html"} <= {*links}


def test_what_the_contents_do_not_list_is_named_and_fails_nothing(allowed):
    book, done = allowed
    named = lines(done, "_toc.yml does not list it")
    assert [line.partition(":")[0] for line in named] == ["book/draft.md", "book/forgotten.md"]
    assert not (book / "_build" / "html" / "book" / "draft.html").exists()


WRITTEN = {"text": "quoted.txt", "latex": "*.tex", "singlehtml": "intro.html"}


@pytest.mark.parametrize("builder", WRITTEN)
def test_another_builder_of_jupyter_book_does_not_stop(allowed, builder):
    book = allowed[0]
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(book), "--builder", "custom"]
    done = subprocess.run(
        [*command, "--custom-builder", builder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout
    (written,) = (book / "_build" / builder).rglob(WRITTEN[builder])
    assert "Nothing is nothing (measured 0, expected 0)" in written.read_text(encoding="utf-8")


# A book of what a browser would refuse: tests/site/test_policy.py has all of it

REFUSED = "# Refused\n\n![](https://elsewhere.example/a.png)\n\n<iframe src='https://elsewhere.example/b'></iframe>\n"
FINE = """# Fine

[A link](https://elsewhere.example) to another site, ![a picture](assets/favicon.svg) of this one.

```html
<img src="https://elsewhere.example/in-code.png">
```
"""
OUTPUT = cell("from IPython.display import HTML\n\nHTML(\"<img src='https://elsewhere.example/c.png'>\")")


def toc(*names):
    return "format: jb-book\nroot: book/intro\nchapters:\n" + "".join(f"  - file: book/{name}\n" for name in names)


def test_what_a_browser_would_refuse_is_named_with_its_page_and_fails_the_build(tmp_path):
    book = new_book(tmp_path)
    pages = {"refused": REFUSED, "fine": FINE, "output": chapter("Output", OUTPUT)}
    write(book, {"_toc.yml": toc(*pages)} | {f"book/{name}.md": text for name, text in pages.items()})
    with (book / "book" / "assets" / "book.css").open("a", encoding="utf-8") as styles:
        styles.write('@font-face {font-family: own; src: url("https://elsewhere.example/d.woff2")}')
    done = build(book)
    assert done.returncode == 1
    assert [line.replace("the site's policy refuses ", "") for line in lines(done, "refuses")] == [
        'book/output.html: <img src="https://elsewhere.example/c.png">',
        'book/refused.html: <img src="https://elsewhere.example/a.png">',
        'book/refused.html: <iframe src="https://elsewhere.example/b">',
        "_static/book.css: https://elsewhere.example/d.woff2",
    ]


# A book of chapters that cannot run

FAILING = {
    "slow": chapter("Slow", cell("import time\n\ntime.sleep(60)"), execution_timeout=1),
    "kernel": chapter("Kernel", cell("1"), header=HEADER.replace("python3", "nonesuch")),
    "forgiven": chapter("Forgiven", cell("raise OSError('forgiven')"), execution_raise_on_error=False),
}


def test_a_chapter_that_its_settings_stop_is_named(tmp_path):
    book = new_book(tmp_path)
    write(book, {"_toc.yml": toc(*FAILING)} | {f"book/{name}.md": text for name, text in FAILING.items()})
    done = build(book)
    assert done.returncode == 1
    assert "book/slow.md: code cell 1 of 1, which begins “import time”" in done.stdout
    assert "book/kernel.md: code cell 1 of 1, which begins “1”\nNo such kernel named nonesuch" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("2 of its chapters failed, see above.")
