"""The tables of ``make claims-bite`` know every claim of the book, and texts that still stand in the package."""

import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import bite
import pytest
from browser import soup


@pytest.fixture(scope="session")
def stated(site):
    """The statements of each chapter's claims, as the site lists them."""
    chapters = defaultdict(set)
    for row in soup(site / "book" / "proves.html").select("table.claims tbody tr"):
        chapters[Path(row.a["href"].split("#")[0]).stem].add(row.td.get_text())
    return chapters


def test_every_chapter_with_claims_has_a_table_and_no_other(stated):
    assert sorted(stated) == bite.chapters()


@pytest.mark.parametrize("chapter", bite.chapters())
def test_every_claim_has_a_slip_and_every_slip_its_place(stated, chapter):
    assert list(bite.gaps(chapter, stated[chapter])) == []


@pytest.mark.parametrize("chapter", bite.chapters())
def test_a_slip_changes_the_package_or_its_own_chapter_and_fails_something(chapter):
    for slip in bite.slips(chapter):
        assert slip["file"].startswith("notes/") or slip["file"] == f"book/{chapter}.md", slip["name"]
        assert slip["new"] != slip["old"], slip["name"]
        assert slip["fails"], slip["name"]


BOOK = """\
---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

```{code-cell} ipython3
from notes.claims import claim
from notes.explore import explore
from notes.langevin import stationary_variance

claim("The variance at 1", stationary_variance(1.0, 1.0), 2.0)
explore(None)  # no figure is drawn
claim("Arithmetic", 1 + 1, 2)
```

```{code-cell} ipython3
claim("Its inverse", stationary_variance(1.0, 1.0) ** -1, 0.5)
```
"""
SLIP = """\
[[slip]]
name = "{name}"
file = "{file}"
old = '{old}'
new = '{new}'
fails = {fails}
"""


@pytest.fixture
def report(tmp_path):
    """Runs a book of one chapter with a table; returns the exit status and what was reported."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "one.md").write_text(BOOK, encoding="utf-8")
    (tmp_path / "tests" / "bites").mkdir(parents=True)
    shutil.copy(bite.__file__, tmp_path / "tests")
    (tmp_path / "notes").symlink_to(bite.ROOT / "notes")

    def run(*slips):
        keys = "name", "file", "old", "new", "fails"
        table = "\n".join(SLIP.format(**dict(zip(keys, slip, strict=True))) for slip in slips)
        (tmp_path / "tests" / "bites" / "one.toml").write_text(table, encoding="utf-8")
        done = subprocess.run([sys.executable, tmp_path / "tests" / "bite.py"], capture_output=True, text=True)
        return done.returncode, sorted(line for line in done.stderr.split("\n") if line.startswith("one"))

    return run


def test_slips_that_fail_every_claim_are_all_well(report):
    bias = "bias", "notes/langevin.py", "(2 * variance)", "(4 * variance)", ["The variance at 1", "Its inverse"]
    assert report(bias, ("in the chapter", "book/one.md", "1 + 1", "1 - 1", ["Arithmetic"])) == (0, [])


def test_what_is_wrong_is_told_line_by_line(report):
    assert report(
        ("no effect", "notes/langevin.py", "(2 * variance)", "(variance * 2)", ["The variance at 1"]),
        ("crash", "notes/langevin.py", "def stationary_variance(", "def lost(", ["Arithmetic"]),
        ("lost", "notes/langevin.py", "no such text", "", ["Gone"]),
    ) == (
        1,
        [
            "one, crash: this claim is not reached: Arithmetic",
            "one, lost: once in notes/langevin.py there must be 'no such text', got 0",
            "one, lost: this claim is not reached: Gone",
            "one, no effect: this claim holds all the same: The variance at 1",
            "one: no slip makes this claim fail: Its inverse",
            "one: the table lists a claim that is not there: Gone",
        ],
    )
