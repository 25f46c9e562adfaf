"""The parts of ``notes.site.build``, each by itself: no site is built here, and a kernel is started only once."""

import concurrent.futures
import copy
import fcntl
import io
import os
import re
import runpy
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbclient.exceptions import CellTimeoutError
from sphinx_external_toc.parsing import MalformedError

from notes.site import build, dependencies, kernels
from notes.site.contents import Contents

HEADER = "---\nfile_format: mystnb\nkernelspec: {display_name: Python 3, language: python, name: python3}\n---\n"
CONFIG = """
only_build_toc_files: true
execute: {execute_notebooks: cache, timeout: 600}
sphinx: {config: {nb_execution_raise_on_error: true}}
"""
RED = "\x1b[1;31m"


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book without chapters, in a locale that knows no Umlaut, and this process in its folder."""
    monkeypatch.setattr(io, "text_encoding", lambda encoding, stacklevel=2: encoding or "ascii")
    monkeypatch.chdir(tmp_path)
    for name in kernels.kernel_environment():  # put back afterwards what the build sets
        monkeypatch.setenv(name, "of this test")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "intro.md").write_text("# No chapter: kernelspec: does not begin a line\n", encoding="utf-8")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/intro\n", encoding="utf-8")
    (tmp_path / "_config.yml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


def add(book, name, *cells, header=HEADER):
    """Add a chapter to a book."""
    path = book / "book" / f"{name}.md"
    body = "".join(f"\n```{{code-cell}} ipython3\n{source}\n```\n" for source in cells)
    path.write_text(f"{header}# Überschrift {name}\n{body}", encoding="utf-8")
    toc = (book / "_toc.yml").read_text(encoding="utf-8").partition("chapters:\n")
    (book / "_toc.yml").write_text(f"{toc[0]}chapters:\n{toc[2]}  - file: book/{name}\n", encoding="utf-8")
    return path


def read(path):
    """A chapter as the build reads it."""
    return Contents(path.parents[1]).chapter(path)


def leaving(monkeypatch):
    """A function that says what has left this process since: what was printed and flushed."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8"))
    return lambda: raw.getvalue().decode()


def test_the_book_lies_around_the_package():
    assert Path(build.__file__).resolve() == build.ROOT / "notes" / "site" / "build.py"


@pytest.mark.parametrize("line", ["  - fil: book/intro", "  - ["])
def test_contents_that_cannot_be_read_are_named(book, line):
    (book / "_toc.yml").write_text(f"format: jb-book\nroot: book/intro\nchapters:\n{line}\n", encoding="utf-8")
    with pytest.raises(MalformedError, match="^" + re.escape(f"{book / '_toc.yml'}: ")):
        Contents(book)


def test_a_chapter_with_a_cell_that_cannot_be_read_is_named(book):
    path = add(book, "a", "---\ntags: [\n---\n1")
    with pytest.raises(MalformedError, match="^" + re.escape(f"{path}: ")):
        build.execute_all(Contents(book))


def test_the_chapters_are_the_notebooks_of_the_contents_in_their_order(book):
    z, _, a = add(book, "z"), add(book, "prose", header=""), add(book, "a")
    (book / "book" / "unlisted.md").write_text(HEADER, encoding="utf-8")
    assert [chapter.path for chapter in Contents(book).chapters] == [z, a]


# One chapter


def notebook(*cells):
    """A notebook of prose and of code cells, each given as its source and whether it was begun."""
    code = [nbformat.v4.new_code_cell(source, execution_count=1 if begun else None) for source, begun in cells]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("Prose"), *code])


def test_the_cell_at_which_execution_stopped_is_the_last_that_was_begun():
    cells = ("one = 1", True), (":tags: [hide-input]\ntwo = 2\nmore = 3", True), ("three = 3", False)
    assert build._which_cell(notebook(*cells)) == "code cell 2 of 3, which begins “two = 2”"
    spoke = notebook(*cells)
    spoke.cells[3].outputs = [nbformat.v4.new_output("stream", text="a word")]  # begun, by its output
    assert build._which_cell(spoke) == "code cell 3 of 3, which begins “three = 3”"
    none = notebook(("one = 1", False), ("", False))
    assert build._which_cell(none) == "code cell 1 of 2, which begins “one = 1”"
    assert build._which_cell(notebook((":tags: [hide-input]", True))) == "code cell 1 of 1, which begins “”"


def test_colours_are_taken_out_of_a_message():
    assert build._strip_colours(f"{RED}Error\x1b[0m: [1;31m and {RED}more") == "Error: [1;31m and more"


def test_a_chapter_runs_in_its_folder_and_stops_at_the_first_cell_that_fails(book):
    fine = "import pathlib\nprint(pathlib.Path.cwd().name, get_ipython().kernel.parent.log_level)"
    path = add(book, "both", fine, 'raise OSError("no ink")', "print(3)")
    found, seconds, problem = build.execute(read(path), book)
    code = [cell for cell in found.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, None]
    assert code[0].outputs[0].text == "book 40\n"  # of warnings that are none to a reader, nothing
    assert "execution" not in code[0].metadata  # no times
    assert 0.1 < seconds < 60
    first, _, message = problem.partition("\n")
    assert first == 'book/both.md: code cell 2 of 3, which begins “raise OSError("no ink")”'
    assert message.splitlines()[-1] == "OSError: no ink"
    assert message.strip() == message
    assert "\x1b" not in message


@pytest.fixture
def client(monkeypatch):
    """Stands for the client of a kernel: notes how it was made, and ends as it is told."""
    client = SimpleNamespace(error=None)

    def execute():
        if client.error:
            raise client.error

    def make(notebook, **options):
        client.notebook, client.options, client.execute = notebook, options, execute
        return client

    monkeypatch.setattr(build, "NotebookClient", make)
    return client


def test_a_chapter_that_runs_to_its_end_has_no_problem(book, client, monkeypatch):
    monkeypatch.setattr(build, "time", SimpleNamespace(perf_counter=iter([10.0, 12.5]).__next__))
    path = add(book, "fine", "1 + 1")
    assert build.execute(read(path), book) == (client.notebook, 2.5, None)
    assert client.notebook.cells[-1].source == "1 + 1"
    assert client.options["timeout"] == 600


@pytest.mark.parametrize("error", [CellTimeoutError("too slow"), RuntimeError("the kernel died")])
def test_a_chapter_whose_kernel_hangs_or_dies_has_a_problem(book, client, error):
    client.error = error
    problem = build.execute(read(add(book, "bad", "1 + 1")), book)[2]
    assert problem == f"book/bad.md: code cell 1 of 1, which begins “1 + 1”\n{error}"


def test_a_chapter_may_load_a_cell_from_beside_it(book):
    (book / "book" / "beside.py").write_text("6 * 7", encoding="utf-8")
    path = add(book, "loads", ":load: beside.py")
    assert read(path).notebook.cells[-1].source == "6 * 7"


# All chapters


@pytest.fixture
def fake(monkeypatch):
    """Chapters are run by a function that notes their names; those named in ``failing`` fail."""
    fake = SimpleNamespace(ran=[], failing=set(), running=0, most=0)

    def execute(chapter, root):
        name, notebook = chapter.path.stem, copy.deepcopy(chapter.notebook)
        fake.ran.append(name)
        fake.running += 1
        fake.most = max(fake.most, fake.running)
        time.sleep(0.02)
        fake.running -= 1
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = [nbformat.v4.new_output("stream", text=f"ran {root.name}")]
        return notebook, 1.25, f"{name} is broken" if name in fake.failing else None

    monkeypatch.setattr(build, "execute", execute)
    monkeypatch.setattr(build.os, "cpu_count", lambda: 1)  # one after the other
    return fake


def test_each_chapter_runs_once_those_with_most_code_first(book, fake, monkeypatch):
    stdout = leaving(monkeypatch)
    for name, figures in [("a", 0), ("b", 3), ("c", 1)]:
        add(book, name, *["explore(f)"] * figures, "1 + 1")
    assert build.execute_all(Contents(book)) == []
    assert fake.ran == ["b", "c", "a"]
    assert fake.most == 1
    assert sorted(stdout().splitlines()) == [f"book/{name}.md: executed in 1.2 s" for name in "abc"]
    assert build.execute_all(Contents(book)) == []
    assert len(fake.ran) == 3
    add(book, "d", "2")
    assert build.execute_all(Contents(book)) == []
    assert fake.ran[3:] == ["d"]


def test_a_chapter_that_fails_is_told_and_run_again(book, fake, monkeypatch):
    stdout = leaving(monkeypatch)
    for name in ("good", "bad", "worse"):
        add(book, name, f"{name} = 1")  # chapters of the same cells would be one to the cache
    fake.failing = {"bad", "worse"}
    assert sorted(build.execute_all(Contents(book))) == ["bad is broken", "worse is broken"]
    assert "book/bad.md: failed after 1.2 s" in stdout().splitlines()
    fake.failing, fake.ran = set(), []
    assert build.execute_all(Contents(book)) == []
    assert sorted(fake.ran) == ["bad", "worse"]


def test_what_a_chapter_computed_that_failed_is_not_kept_where_a_failure_is_allowed(book, fake):
    config = (book / "_config.yml").read_text(encoding="utf-8")
    (book / "_config.yml").write_text(config.replace("raise_on_error: true", "raise_on_error: false"), encoding="utf-8")
    add(book, "bad", "1")
    fake.failing = {"bad"}
    for _ in range(2):
        assert build.execute_all(Contents(book)) == []
    assert fake.ran == ["bad", "bad"]


def test_as_many_chapters_run_at_once_as_there_are_cores(book, fake, monkeypatch):
    for name in "abcdef":
        add(book, name, f"{name} = 1")
    monkeypatch.setattr(build.os, "cpu_count", lambda: 2)
    assert build.execute_all(Contents(book)) == []
    assert fake.most == 2


def test_two_chapters_of_the_same_cells_are_no_trouble(book, fake):
    add(book, "a", "1 + 1"), add(book, "b", "1 + 1")
    assert build.execute_all(Contents(book)) == []
    assert sorted(fake.ran) == ["a", "b"]
    assert build.execute_all(Contents(book)) == []
    assert len(fake.ran) == 2


def test_what_goes_wrong_ends_it_at_once_and_no_chapter_is_begun_in_vain(book, monkeypatch):
    for name, figures in zip("abcd", [3, 2, 1, 0], strict=True):
        add(book, name, *["explore(f)"] * figures, "1")
    begun, ended, go_on, ran = threading.Event(), threading.Event(), threading.Event(), []

    def execute(chapter, root):
        ran.append(chapter.path.stem)
        if chapter.path.stem == "a":
            begun.wait(10)
            raise OSError("No space left")
        begun.set()
        go_on.wait(5)
        ended.set()
        return chapter.notebook, 1.0, None

    monkeypatch.setattr(build, "execute", execute)
    monkeypatch.setattr(build.os, "cpu_count", lambda: 2)
    others = {*threading.enumerate()}
    with pytest.raises(OSError, match="No space left"):
        build.execute_all(Contents(book))
    assert not ended.is_set()
    go_on.set()
    for thread in {*threading.enumerate()} - others:
        thread.join(5)
    assert "d" not in ran


def cache_of(book, name):
    return dependencies.execution_cache(book, read(book / "book" / f"{name}.md"))


def test_a_change_that_is_taken_back_executes_nothing_and_only_the_last_states_are_kept(book, fake):
    path = add(book, "one", "n = 0")
    text = path.read_text(encoding="utf-8")
    for number in [1, 2, 3, 4, 1, 5, 2, 1]:  # the 1 was used again, so that 5 replaces the 2
        path.write_text(text.replace("n = 0", f"n = {number}"), encoding="utf-8")
        assert build.execute_all(Contents(book)) == []
        fake.ran.append(number)
    assert fake.ran == ["one", 1, "one", 2, "one", 3, "one", 4, 1, "one", 5, "one", 2, 1]
    states = {path.name for path in cache_of(book, "one").parent.iterdir()}
    assert len(states) == build.STATES
    assert cache_of(book, "one").name in states


def test_outputs_of_a_chapter_that_is_gone_go_too(book, fake):
    add(book, "one", "1"), add(book, "two", "2")
    assert build.execute_all(Contents(book)) == []
    toc = (book / "_toc.yml").read_text(encoding="utf-8")
    (book / "_toc.yml").write_text(toc.replace("  - file: book/two\n", ""), encoding="utf-8")
    assert build.execute_all(Contents(book)) == []
    assert {path.name for path in (book / "_build" / ".jupyter_cache").iterdir()} == {"book-one"}


def test_what_a_chapter_computed_while_it_was_edited_is_not_kept(book, fake, monkeypatch):
    path, run = add(book, "one", "1"), build.execute

    def edit(chapter, root):
        notebook = run(chapter, root)
        (path.parent / "data.csv").touch()
        return notebook

    monkeypatch.setattr(build, "execute", edit)
    before = cache_of(book, "one")
    assert build.execute_all(Contents(book)) == []
    (path.parent / "data.csv").unlink()
    assert cache_of(book, "one") == before
    assert not build._cached(before, read(path).notebook)


# What is kept of them


@pytest.fixture
def kept(book, fake):
    """The folder in the cache of the one chapter of a book, which was executed."""
    add(book, "one", "1")
    assert build.execute_all(Contents(book)) == []
    (outputs,) = cache_of(book, "one").glob("executed/*/base.ipynb")
    return outputs.parent


def test_the_cache_holds_what_was_computed_and_how_long_it_took(book, kept):
    cache = build.get_cache(cache_of(book, "one"))
    record = cache.match_cache_notebook(read(book / "book" / "one.md").notebook)
    assert record.data == {"execution_seconds": 1.25}
    assert record.uri == str(book / "book" / "one.md")
    (output,) = cache.get_cache_bundle(record.pk).nb.cells[-1].outputs
    assert output.text == f"ran {book.name}"
    assert {path.name for path in kept.iterdir()} == {"base.ipynb", "digest"}


def cut(kept):
    (kept / "base.ipynb").write_bytes((kept / "base.ipynb").read_bytes()[:-20])


DAMAGE = {
    "half written": cut,
    "never ended": lambda kept: (kept / "digest").unlink(),
    "of another": lambda kept: (kept / "digest").write_bytes(b"0"),
    "gone": lambda kept: build.shutil.rmtree(kept),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_outputs_that_are_not_whole_are_removed_and_made_again(book, fake, kept, damage):
    DAMAGE[damage](kept)
    assert build._cached(cache_of(book, "one"), read(book / "book" / "one.md").notebook) is False
    assert not cache_of(book, "one").exists()
    assert build.execute_all(Contents(book)) == []
    assert fake.ran == ["one", "one"]
    assert nbformat.read(kept / "base.ipynb", as_version=4).cells[-1].outputs


def test_a_damaged_cache_is_made_anew(book, fake, kept):
    database = cache_of(book, "one") / "global.db"
    database.write_bytes(b"no database" * 1000)
    (kept.parent / "left").touch()
    assert build.execute_all(Contents(book)) == []
    assert fake.ran == ["one", "one"]
    assert not (kept.parent / "left").exists()
    assert build.execute_all(Contents(book)) == []
    assert len(fake.ran) == 2


def test_outputs_that_cannot_be_kept_are_told_in_a_line(tmp_path, monkeypatch):
    def cache_notebook_bundle(*_, **__):
        raise RuntimeError("database disk image is malformed")

    cache = SimpleNamespace(cache_notebook_bundle=cache_notebook_bundle)
    monkeypatch.setattr(build, "get_cache", lambda folder: cache)
    with pytest.raises(OSError, match=r"^what the chapters computed cannot be kept in ") as told:
        build._keep(tmp_path, None)
    assert str(tmp_path) in str(told.value)


def test_a_digest_changes_with_what_files_hold_and_are_called(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    digests = [dependencies.digest({})]
    for files in [{"a": a}, {"b": a}, {"a": a, "b": b}, {"a": b, "b": a}]:
        a.write_text("1", encoding="utf-8"), b.write_text("2", encoding="utf-8")
        digests += [dependencies.digest(files), dependencies.digest(files, "word")]
    a.write_text("3 more", encoding="utf-8")
    digests.append(dependencies.digest({"a": a}))
    assert len({*digests}) == len(digests)
    assert dependencies.digest({"a": b}) == dependencies.digest({"a": b})


# The whole


def test_one_build_waits_for_another(tmp_path, monkeypatch):
    stdout, lock = leaving(monkeypatch), build.lock_folder(tmp_path)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(build.lock_folder, tmp_path)
        until = time.monotonic() + 5
        while not stdout() and time.monotonic() < until:
            time.sleep(0.01)
        said, early = stdout(), concurrent.futures.wait([waiting], timeout=0.2).done
        os.close(lock)
        os.close(waiting.result(5))
    assert not early
    assert said == "Waiting for another build of this book.\n"
    assert not locked(tmp_path)


def locked(folder):
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(number)
    return False


class TestMain:
    """Without chapters and without Jupyter Book."""

    @pytest.fixture(autouse=True)
    def _stage(self, monkeypatch, book):
        self.problems, self.asked, self.error, self.body = [], [], None, "new"
        monkeypatch.setattr(build, "execute_all", self.execute_all)
        monkeypatch.setattr(build, "jupyter_book", self.jupyter_book)
        monkeypatch.setattr(build.shutil, "disk_usage", self.disk_usage)
        self.book, self.free = book, 2**20
        self.html, self.remembered = book / "_build" / "html" / "index.html", book / "_build" / ".doctrees" / "pickle"
        self.left = [book / "_build" / name for name in ("html/old.html", ".doctrees/old", "jupyter_execute/old.png")]
        self.finished = book / "_build" / "finished"

    def execute_all(self, contents):
        assert contents.root == self.book
        assert os.environ["OMP_NUM_THREADS"] == "1"
        assert locked(self.book / "_build")
        assert not self.finished.exists()
        return self.problems

    def jupyter_book(self, arguments, standalone_mode):
        self.asked.append((arguments, standalone_mode))
        assert not any(path.exists() for path in [self.html, self.remembered, *self.left])
        for path in (self.html, self.remembered):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.body, encoding="utf-8")
        for path in self.left:
            path.parent.mkdir(exist_ok=True)
            path.touch()
        if self.error is not None:
            raise self.error

    def disk_usage(self, root):
        assert root == self.book
        return SimpleNamespace(free=self.free)

    def test_says_where_the_book_is(self, book, capsys):
        assert build.main(book) == 0
        assert self.asked == [([str(book), "-W", "-n", "--keep-going"], False)]
        assert capsys.readouterr() == (f"\nThe book is built. Open {self.html.as_uri()}\n", "")
        assert "Content-Security-Policy" in self.html.read_text(encoding="utf-8")
        assert self.finished.exists()
        assert not locked(book / "_build")

    def test_says_what_it_cannot_read(self, book, capsys, monkeypatch):
        (book / "_toc.yml").write_text("- [", encoding="utf-8")
        monkeypatch.setattr(build, "execute_all", lambda contents: contents.chapters)
        assert build.main(book) == 1
        assert capsys.readouterr().err.startswith(f"\nThe book was not built: {book / '_toc.yml'}: ")

    def test_makes_no_page_where_nothing_has_changed(self, book):
        for _ in range(3):
            assert build.main(book) == 0
            assert self.finished.exists()
        assert len(self.asked) == 1

    @pytest.mark.parametrize("name", ["html", "finished"])
    def test_makes_every_page_anew_where_what_was_left_is_damaged(self, book, name):
        assert build.main(book) == 0
        getattr(self, name).write_bytes(b"")
        assert build.main(book) == 0
        assert len(self.asked) == 2

    @pytest.mark.parametrize("name", ["_config.yml", "book/other.md", "book/new.csv", "anywhere.txt"])
    def test_makes_every_page_anew_where_a_file_has_changed(self, book, name):
        assert build.main(book) == 0
        for text in ["title: one", "title: two"]:
            (book / name).write_text(text, encoding="utf-8")
            assert build.main(book) == 0
        (book / name).unlink()
        assert build.main(book) == 0
        assert len(self.asked) == 4

    def test_makes_every_page_anew_where_a_chapter_names_a_file_outside_that_has_changed(self, book, tmp_path_factory):
        data = tmp_path_factory.mktemp("outside") / "data.csv"
        add(book, "one", f"open({str(data)!r})")
        for text in "112":
            data.write_text(text, encoding="utf-8")
            assert build.main(book) == 0
        assert len(self.asked) == 2

    def test_makes_every_page_anew_where_what_is_installed_has_changed(self, book, monkeypatch):
        assert build.main(book) == 0
        newer = [SimpleNamespace(name="sphinx", version="100")]
        monkeypatch.setattr(build.importlib.metadata, "distributions", lambda: newer)
        assert build.main(book) == 0
        assert len(self.asked) == 2

    @pytest.mark.parametrize("error", [ValueError("bad page"), SystemExit(1)])
    def test_fails_where_jupyter_book_does_and_starts_over(self, book, capsys, error):
        self.error = error
        assert build.main(book) == 1
        assert capsys.readouterr() == (
            "",
            "\nThe book was not built: Jupyter Book reports errors or warnings, see above.\n",
        )
        self.error = None
        assert build.main(book) == 0
        assert len(self.asked) == 2

    def test_fails_where_chapters_do_and_names_them(self, book, capsys):
        assert build.main(book) == 0
        capsys.readouterr()
        self.problems, self.asked = ["one is broken", "two is broken"], []
        assert build.main(book) == 1
        assert self.asked == []
        said = "\n\none is broken\n\ntwo is broken\n\nThe book was not built: 2 of its chapters failed, see above.\n"
        assert capsys.readouterr() == ("", said)
        assert not self.finished.exists()

    def test_fails_where_a_browser_would_refuse_something(self, book, capsys):
        self.body = '<p onclick="go()">a</p><p onclick="stay()">b</p>'
        assert build.main(book) == 1
        refuses = "index.html: the site's policy refuses"
        assert capsys.readouterr() == (
            "",
            f'\n{refuses} <p onclick="go()">\n{refuses} <p onclick="stay()">\n'
            "\nThe book was not built: a browser would refuse what is named above.\n",
        )
        assert not self.finished.exists()

    def test_an_error_of_the_system_is_told_in_a_line(self, book, capsys):
        (book / "_build").touch()
        assert build.main(book) == 1
        assert capsys.readouterr().err == f"\nThe book was not built: [Errno 17] File exists: '{book / '_build'}'\n"

    def test_a_full_disk_is_what_is_told_whatever_failed_for_it(self, book, capsys):
        self.free, self.error = 2**20 - 1, OSError("odd")
        assert build.main(book) == 1
        said = f"\nThe book was not built: the disk is full. Make room, and build again ({book})\n"
        assert capsys.readouterr() == ("", said)


@pytest.mark.filterwarnings("ignore:'notes.site.build' found in sys.modules:RuntimeWarning")
class TestAsAScript:
    """In this process, on a book without chapters, and without Jupyter Book."""

    @pytest.fixture(autouse=True)
    def _stage(self, monkeypatch, book):
        self.book, self.error = book, None
        monkeypatch.chdir(book.parent)
        monkeypatch.setattr(sys, "argv", ["build", book.name, "and no more"])
        monkeypatch.setattr("jupyter_book.cli.main.build", self.jupyter_book)
        monkeypatch.setattr(os, "_exit", self.exit)
        monkeypatch.setattr(os, "execv", self.execv)
        monkeypatch.delenv("PYTHONUTF8", raising=False)

    def jupyter_book(self, arguments, standalone_mode):
        assert arguments[0] == str(self.book)
        if self.error is not None:
            raise self.error

    def exit(self, status):
        raise SystemExit(f"at once, {status}")

    def execv(self, path, arguments):
        raise SystemExit((path, arguments, os.environ["PYTHONUTF8"]))

    def status(self):
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("notes.site.build", run_name="__main__")
        return ended.value.code

    @pytest.mark.parametrize(("error", "status"), [(None, 0), (ValueError("bad page"), 1)])
    def test_it_ends_as_the_build_does(self, error, status):
        self.error = error
        assert self.status() == status

    def test_interrupted_it_says_so_and_ends_at_once(self, capsys):
        self.error = KeyboardInterrupt()
        assert self.status() == "at once, 130"
        assert capsys.readouterr() == ("", "\nInterrupted: the next build starts over where this one stopped.\n")

    def test_where_the_locale_is_not_of_utf_8_python_is_started_again(self, monkeypatch):
        monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
        monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "notes.site.build", "a"])
        assert self.status() == (sys.executable, [sys.executable, "-m", "notes.site.build", "a"], "1")
