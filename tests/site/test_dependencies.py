"""A page depends on all that it read: each chapter's state changes with it, and with nothing else."""

import shutil
from types import SimpleNamespace

import pytest
from myst_parser.config.main import MdParserConfig

from notes.site import contents, dependencies

HEADER = "---\nfile_format: mystnb\nkernelspec: {display_name: Python 3, language: python, name: python3}\n---\n"
SOURCES = {
    "__init__.py": '"""A package."""',
    "mixtures.py": "import torch",
    "langevin.py": "from notes import mixtures",
    "plots.py": "from ._numbers import number",
    "_numbers.py": "",
    "look.mplstyle": "",
    "figures/__init__.py": "",
    "figures/score.py": "from notes import plots\nimport json",
    "figures/performance.py": "from .. import plots",
    "site/__init__.py": "",
    "site/build.py": "from notes import langevin",
    "site/templates/page.html": "",
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A small package, and beside it a book without chapters."""
    for name, text in SOURCES.items():
        write(tmp_path / "notes" / name, text)
    monkeypatch.setattr(dependencies, "PACKAGE", tmp_path / "notes")
    (tmp_path / "book").mkdir()
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def chapter(root, *cells, name="one"):
    cells = "".join(f"\n```{{code-cell}} ipython3\n{cell}\n```\n" for cell in cells)
    return write(root / "book" / f"{name}.md", f"{HEADER}# A chapter\n{cells}")


def state(path):
    text = path.read_text(encoding="utf-8")
    return dependencies.state(contents.read(path, text, MdParserConfig(), contents.Settings()))


def depends(path, file):
    """Whether a chapter's state changes with what a file holds, and comes back with it."""
    before, text = state(path), file.read_text(encoding="utf-8")
    file.write_text(f"{text}\n# edited", encoding="utf-8")
    after = state(path)
    file.write_text(text, encoding="utf-8")
    assert state(path) == before
    return after != before


def reached(root, *cells):
    path = chapter(root, *cells)
    return {name for name in SOURCES if depends(path, root / "notes" / name)}


EVERY = {"__init__.py", "look.mplstyle"}
ALL = {name for name in SOURCES if not name.startswith("site/")}
SCORE = {*EVERY, "figures/__init__.py", "figures/score.py", "plots.py", "_numbers.py"}


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("1 + 1", {"look.mplstyle"}),
        ("import notes", EVERY),
        ("from notes.mixtures import two_moons", {*EVERY, "mixtures.py"}),
        ("from notes.langevin import langevin as walk", {*EVERY, "langevin.py", "mixtures.py"}),
        ("import notes.figures.score", SCORE),
        ("from notes.figures import score as figures", SCORE),
        ("def late():\n    from notes.figures import score", SCORE),
        ("%time import notes.mixtures", {*EVERY, "mixtures.py"}),
        ("%%time\nfrom notes.mixtures import two_moons", {*EVERY, "mixtures.py"}),
        ("%matplotlib inline\nimport notes.mixtures", {*EVERY, "mixtures.py"}),
        ("__import__('notes.mixtures')", ALL),
        ("from importlib import import_module as load\nload(name)", ALL),
        ("eval(text)", ALL),
        ("import runpy\nrunpy.run_path(path)", ALL),
        ("%%bash\npython -c 'import notes.mixtures' | tail", ALL),
        ("from notes.mixtures import *", {*EVERY, "mixtures.py"}),
        ("import notes.figures.performance", (SCORE - {"figures/score.py"}) | {"figures/performance.py"}),
        ("get_ipython().run_line_magic('time', words)", {"look.mplstyle"}),
    ],
)
def test_a_chapter_depends_on_the_modules_that_its_cells_reach_and_never_on_the_site(root, cell, expected):
    assert reached(root, cell) == expected


def test_a_chapter_reaches_modules_through_those_beside_it(root):
    write(root / "book" / "pictures.py", "import deep.more")
    write(root / "book" / "deep" / "__init__.py", "")
    write(root / "book" / "deep" / "more.py", "from notes.figures import score")
    assert reached(root, "import pictures") == SCORE
    assert reached(root, "%run pictures.py") == SCORE
    assert reached(root, "%time import pictures") == SCORE
    assert reached(root, "import json") == {"look.mplstyle"}


def test_a_module_that_is_not_python_may_reach_anything(root):
    write(root / "book" / "broken.py", "def (")
    assert reached(root, "import broken") == ALL


@pytest.mark.parametrize("word", ["'a\\nb'", "'\\0'", "'" + 280 * "a" + "'", "'" + 400 * "a" + "'", "' '", "'..'"])
def test_a_word_that_can_name_no_file_names_none(root, word):
    file = write(root / "data" / "points.csv", "1")
    assert not depends(chapter(root, word), file)


@pytest.mark.parametrize("name", ["data.csv", "deep/data.npy", "pictures.py", "assets/photo.png", "no_suffix"])
def test_a_chapter_depends_on_every_file_beside_it(root, name):
    path = chapter(root, "1 + 1")
    without = state(path)
    file = write(root / "book" / name, "1, 2")
    assert state(path) != without
    assert depends(path, file)
    file.unlink()
    assert state(path) == without


def test_a_chapter_depends_on_files_beside_it_that_links_lead_to(root):
    write(root / "elsewhere" / "data.csv", "1")
    (root / "book" / "data").symlink_to(root / "elsewhere", target_is_directory=True)
    (root / "elsewhere" / "round").symlink_to(root / "book", target_is_directory=True)
    (root / "book" / "broken").symlink_to(root / "nowhere")
    assert depends(chapter(root, "1 + 1"), root / "elsewhere" / "data.csv")


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("open('../data/points.csv')", "data/points.csv"),
        ("Path('../data').glob('*')", "data/points.csv"),
        ("open('glossary.md')", "book/glossary.md"),
        ("open('.hidden')", "book/.hidden"),
        ("!wc -l ../data/points.csv", "data/points.csv"),
        ("sys.path.insert(0, '../data')\nimport cell", "data/cell.py"),
    ],
)
def test_a_chapter_depends_on_the_files_that_it_names(root, cell, name):
    file = write(root / name, "1")
    assert depends(chapter(root, cell), file)
    assert not depends(chapter(root, "1 + 1"), file)


def test_a_chapter_depends_on_the_files_that_a_module_beside_it_names_and_not_on_those_of_the_package(root):
    own, packages = write(root / "data" / "own.csv", "1"), write(root / "data" / "packages.csv", "1")
    write(root / "book" / "pictures.py", "open('../data/own.csv')")
    write(root / "notes" / "mixtures.py", "open('../data/packages.csv')")
    path = chapter(root, "import pictures, notes.mixtures")
    assert depends(path, own)
    assert not depends(path, packages)


@pytest.mark.parametrize(
    "name", ["two.md", "three.rst", "glossary.md", "references.bib", "assets/book.css", ".checkpoints/a.py"]
)
def test_a_chapter_does_not_depend_on_what_makes_the_pages(root, name):
    file = write(root / "book" / name, "1")
    assert not depends(chapter(root, "1 + 1"), file)


def test_a_chapter_depends_on_its_cells_and_kernel_and_not_on_its_prose(root):
    path = chapter(root, "1 + 1")
    before, text = state(path), path.read_text(encoding="utf-8")
    states = {before}
    edits = [("# A chapter", "# Another"), ("1 + 1", "1 + 2"), ("name: python3", "name: python4")]
    edits += [("file_format: mystnb", "file_format: mystnb\nmystnb: {number_source_lines: true}")]
    for old, new in edits:
        path.write_text(text.replace(old, new), encoding="utf-8")
        states.add(state(path))
    assert len(states) == 4


def test_only_the_page_of_the_benchmarks_depends_on_what_they_measured(root):
    result = write(root / "benchmarks" / "results" / "langevin.json", "{}")
    assert depends(chapter(root, "from notes.figures import performance"), result)
    assert not depends(chapter(root, "from notes.figures import score"), result)


def test_a_chapter_depends_on_the_versions_of_what_it_imports_and_of_what_draws(root, monkeypatch):
    versions = {name: "1" for name in [*dependencies.DRAWS, "scipy"]}
    monkeypatch.setattr(dependencies.importlib.metadata, "version", lambda name: versions[name])
    path = chapter(root, "import scipy.stats, os")
    states = [state(path)]
    for name in versions:
        versions[name] = "2"
        states.append(state(path))
    monkeypatch.setattr(dependencies, "platform", SimpleNamespace(python_version=lambda: "4.0.0"))
    states.append(state(path))
    assert len({*states}) == len(states) == 7


def test_a_copy_of_a_book_is_in_the_same_state(root, tmp_path):
    write(root / "book" / "data.csv", "1")
    path = chapter(root, "from notes.figures import score")
    copy = shutil.copytree(root / "book", tmp_path / "copy" / "book")
    assert state(copy / "one.md") == state(path)
