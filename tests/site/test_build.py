"""What ``notes.site.build`` promises: an unchanged book executes nothing, and a failure never passes later."""

import concurrent.futures
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
from conftest import build

pytestmark = pytest.mark.built


def add_cell(path, source):
    path.write_text(f"{path.read_text(encoding='utf-8')}\n```{{code-cell}} ipython3\n{source}\n```\n", encoding="utf-8")


def add_chapter(book, name, *cells):
    path = book / "book" / f"{name}.md"
    header = (book / "book" / "tiny.md").read_text(encoding="utf-8").partition("# Tiny")[0]
    path.write_text(f"{header}# {name}\n", encoding="utf-8")
    for source in cells:
        add_cell(path, source)
    with (book / "_toc.yml").open("a", encoding="utf-8") as toc:
        toc.write(f"  - file: book/{name}\n")


def pages(book):
    """What a built site shows: its pages, pictures and notebooks, by name, and what its search finds."""
    html = book / "_build" / "html"
    files = [*html.glob("*.html"), *html.glob("book/*"), *html.glob("_images/*"), *html.glob("_sources/book/*")]
    return {path.relative_to(html).as_posix(): path.read_bytes() for path in [*files, html / "search-index.js"]}


def test_a_new_book_executes_each_chapter_once(tiny_book):
    printed = (tiny_book / "build.log").read_text(encoding="utf-8")
    assert printed.count("executed in") == 1
    assert "book/tiny.md: executed in" in printed
    assert "Executed notebook in" not in printed  # MyST-NB's words for a chapter that it did not find in the cache


@pytest.fixture(scope="module")
def troubled(tiny_book, tmp_path_factory):
    """Books in trouble, by the kind of it, and how their builds ended; built side by side to save time."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = {}
        for trouble in (edited, killed_twice, broken_chapters, broken_page, changed_claim, damaged):
            book = shutil.copytree(tiny_book, tmp_path_factory.mktemp(trouble.__name__) / "book-root")
            runs[trouble.__name__] = book, pool.submit(trouble, book)
        return {name: (book, run.result()) for name, (book, run) in runs.items()}


def everything(book):
    """Every file of a site by its name, less Sphinx's hash of the configuration, in which stands the folder."""
    html = book / "_build" / "html"
    files = (path for path in html.rglob("*") if path.is_file() and path.name != ".buildinfo")
    return {path.relative_to(html).as_posix(): path.read_bytes() for path in files}


def cold(book):
    """The same book built where nothing was built before."""
    copy = shutil.copytree(book, book.parent / "cold" / "book-root", ignore=shutil.ignore_patterns("_build"))
    assert build(copy).returncode == 0
    found = everything(copy)
    shutil.rmtree(copy)
    return found


def edited(book):
    """For each edit the chapters that ran in the build after it; and after some, that site beside one built cold."""
    folder = book / "book"

    def replace(name, old, new):
        text = (book / name).read_text(encoding="utf-8")
        assert old in text
        (book / name).write_text(text.replace(old, new), encoding="utf-8")

    def new_chapter():
        (folder / "data.csv").write_text("1", encoding="utf-8")
        cells = "import values", 'claim("The datum", float(open("data.csv").read()), values.expected)'
        add_chapter(book, "numbers", "from notes.claims import claim", *cells)

    def older(name, text):
        """As a version system or an editor may put an old file in a new one's place."""
        (folder / name).write_text(text, encoding="utf-8")
        os.utime(folder / name, (0, 0))

    def nothing_that_runs():
        replace("book/tiny.md", "A long row", "A short row")
        replace("_config.yml", "title: Sampling with a score", "title: A tiny title")
        older("assets/book.css", "p { color: black }")

    def rename():
        (folder / "numbers.md").rename(folder / "figures.md")
        replace("_toc.yml", "book/numbers", "book/figures")

    def delete():
        (folder / "tiny.md").unlink(), (folder / "quotes.md").unlink()
        replace("_toc.yml", "  - file: book/tiny\n  - file: book/quotes\n", "")
        replace("book/glossary.md", "  {numref}`“Bars” <fig-tiny-bars>`\n", "  No more.\n")

    steps = {
        "values": lambda: older("values.py", "expected = 1.0"),
        "chapter": new_chapter,
        "prose, a setting, a style": nothing_that_runs,
        "module": lambda: older("values.py", "expected = 1"),
        "cell": lambda: replace("book/tiny.md", 'bit", 1.001', 'bit", 1.004'),
        "cell again": lambda: replace("book/tiny.md", 'bit", 1.004', 'bit", 1.001'),
        "prose with an old date": lambda: older("intro.md", "# A tiny old book\n"),
        "rename": rename,
        "left out": lambda: replace("_toc.yml", "  - file: book/proves\n", ""),
        "delete": delete,
    }
    ran, pairs = {}, {}
    for name, edit in steps.items():
        edit()
        done = build(book)
        assert done.returncode == 0, done.stdout
        assert "Executed notebook in" not in done.stdout
        ran[name] = sorted(re.findall(r"book/(\w+)\.md: executed in", done.stdout))
        if name in ("module", "rename", "delete"):
            pairs[name] = everything(book), cold(book)
    return ran, pairs


def test_an_edit_executes_the_chapters_that_it_can_reach(troubled):
    # Each chapter depends on all files beside it, so that values.py and data.csv are the tiny chapter's too.
    assert troubled["edited"][1][0] == {
        "values": ["tiny"],
        "chapter": ["numbers", "tiny"],
        "prose, a setting, a style": [],
        "module": ["numbers", "tiny"],
        "cell": ["tiny"],
        "cell again": [],
        "prose with an old date": [],
        "rename": ["figures"],
        "left out": [],
        "delete": [],
    }


@pytest.mark.parametrize("name", ["module", "rename", "delete"])
def test_a_build_after_edits_equals_a_cold_one_in_every_byte(troubled, name):
    found, expected = troubled["edited"][1][1][name]
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []


def test_nothing_stays_of_a_chapter_that_is_gone(troubled):
    found, _ = troubled["edited"][1][1]["delete"]
    assert not [name for name in found if "tiny" in name or name.startswith("_images/frame-")]


def broken_chapters(book):
    imports = "import pictures\nfrom notes.explore import explore"
    add_chapter(book, "broken", imports, 'explore(pictures.slow, height=[3, 4], alt="No bars")')
    add_cell(book / "book" / "tiny.md", 'claim("Two is one", 2.0, 1.0, rtol=0.1)')
    with (book / "book" / "pictures.py").open("a", encoding="utf-8") as module:
        module.write("\n\nslow.__defaults__ = (3,)\n")
    return [build(book), build(book)]


def test_a_figure_and_a_claim_that_fail_are_named_and_fail_each_time(troubled):
    for done in troubled["broken_chapters"][1]:
        assert done.returncode == 1
        end = done.stdout[-8000:]
        assert "book/tiny.md: code cell 7 of 7, which begins “claim(" in end
        assert "AssertionError: Two is one: measured 2, expected 1" in end
        assert "book/broken.md: code cell 2 of 2, which begins “explore(pictures.slow" in end
        assert "ArithmeticError: three <is> too many" in end
        assert "2 of its chapters failed" in end.splitlines()[-1]


def broken_page(book):
    with (book / "book" / "intro.md").open("a", encoding="utf-8") as page:
        page.write("\n```{nonesuch}\n```\nSee {numref}`fig-tiny-none` and {claim}`Nothing is something`.\n")
        page.write("\nNo {term}`nonesuch`, and {numref}`fig-tiny-never` on the next page.\n")
        page.write("\n:::{figure}\n:name: fig-tiny-lost\n\nA caption of nothing.\n:::\n")
    with (book / "book" / "glossary.md").open("a", encoding="utf-8") as page:
        page.write("\n```{glossary}\ncrate\n  A box, see {numref}`fig-tiny-bars`.\n```\n")
    return [build(book), build(book)]


def test_a_page_that_sphinx_warns_of_fails_each_time(troubled):
    for done in troubled["broken_page"][1]:
        assert done.returncode == 1
        assert "Unknown directive type: 'nonesuch'" in done.stdout  # seen when the page is read
        assert "undefined label: 'fig-tiny-none'" in done.stdout  # seen when it is written
        assert "one claim must state “Nothing is something”, found none" in done.stdout
        assert "term not in glossary: 'nonesuch'" in done.stdout
        assert "undefined label: 'fig-tiny-never'" in done.stdout  # a bad term does not hide what comes after it
        assert "a definition begins with a paragraph of words, formulas and {term} alone, found" in done.stdout
        assert "a caption stands right below a cell that shows one thing" in done.stdout
        assert "The book was not built" in done.stdout.splitlines()[-1]
        assert "executed in" not in done.stdout  # what ran well is not run again


def changed_claim(book):
    """A build after each change to a chapter; the page that quotes its claims is never touched."""
    chapter = book / "book" / "tiny.md"
    chapter.write_text(chapter.read_text(encoding="utf-8").replace('bit", 1.001', 'bit", 1.002'), encoding="utf-8")
    new_number = build(book), (book / "_build" / "html" / "book" / "quotes.html").read_text(encoding="utf-8")
    add_cell(chapter, 'claim("One is nearly one & a bit", 1.0, 1.0)')
    return new_number, build(book)


def test_a_quoted_claim_has_the_numbers_of_this_build(troubled):
    done, page = troubled["changed_claim"][1][0]
    assert done.returncode == 0, done.stdout
    assert "measured 1.002, expected 1)" in page
    assert 'http-equiv="Content-Security-Policy"' in page
    assert "1.001" not in page


def test_a_quote_that_could_mean_two_claims_fails(troubled):
    done = troubled["changed_claim"][1][1]
    assert done.returncode == 1
    expected = "one claim must state “One is nearly one & a bit”, found book/tiny#claim-1 and book/tiny#claim-4"
    assert expected in done.stdout
    assert "book/quotes.md:3: WARNING" in done.stdout


def killed_twice(book):
    shutil.rmtree(book / "_build")
    for moment in ["executed in", "writing output"]:
        build_killed_at(moment, book)
        assert not (book / "_build" / "finished").exists()
    (cached,) = book.glob("_build/.jupyter_cache/*/*/executed/*/base.ipynb")
    cached.write_bytes(cached.read_bytes()[:1000])  # as if it had been killed while it wrote this
    return build(book)


def test_a_build_that_is_killed_is_made_good_by_the_next(troubled, tiny_book):
    book, done = troubled["killed_twice"]
    assert done.returncode == 0, done.stdout
    assert (book / "_build" / "finished").exists()
    assert pages(book) == pages(tiny_book)


def damaged(book):
    """Builds of an unchanged book, and after damage to what an earlier build left: chapters' outputs, and the site."""
    build(book)  # a copy elsewhere is read as a whole; from now on nothing has changed
    unchanged = build(book), pages(book)
    (cached,) = book.glob("_build/.jupyter_cache/*/*/executed/*/base.ipynb")
    cached.write_bytes(cached.read_bytes().replace(b"1.001", b"1.003"))
    (book / "_build" / "html" / "book" / "tiny.html").write_bytes(b"")
    done = [build(book)]
    (database,) = book.glob("_build/.jupyter_cache/*/*/global.db")
    database.write_bytes(database.read_bytes()[:1000])
    return unchanged, [*done, build(book)]


def test_an_unchanged_book_executes_nothing(troubled, tiny_book):
    done, after = troubled["damaged"][1][0]
    assert done.returncode == 0, done.stdout
    assert "executed" not in done.stdout.lower()
    assert after == pages(tiny_book)


def test_damage_is_made_good_by_the_next_build(troubled, tiny_book):
    book, (_, builds) = troubled["damaged"]
    for done in builds:
        assert done.returncode == 0, done.stdout
        assert done.stdout.count("executed in") == 1
    assert pages(book) == pages(tiny_book)


def test_folder_that_cannot_be_written_is_told_in_a_line(tmp_path):
    (tmp_path / "_build").touch()
    done = build(tmp_path)
    assert done.returncode == 1
    assert done.stdout == f"\nThe book was not built: [Errno 17] File exists: '{tmp_path / '_build'}'\n"


def build_killed_at(moment, book):
    """Build, and kill the build and what it started as soon as it prints some words."""
    running = subprocess.Popen(
        [sys.executable, "-m", "notes.site.build", str(book)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    with running, contextlib.closing(running.stdout):
        printed = []
        for line in running.stdout:
            printed.append(line)
            if moment in line:
                os.killpg(running.pid, signal.SIGKILL)
                break
        assert running.wait() == -signal.SIGKILL, "".join(printed)
