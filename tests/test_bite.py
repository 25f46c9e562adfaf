"""The tables of ``make claims-bite`` know every claim of the book, and texts that still stand in the package."""

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
        assert "in" in slip if slip["file"].startswith("notes/") else slip["file"] == f"book/{chapter}.md", slip["name"]
        assert slip["fails"], slip["name"]


def test_a_slip_is_made_where_its_expression_stands_however_it_is_written():
    source = "σ = x / 'y'\nclass A:\n    def f(self):\n        return ('σ', (\n            x\n        ) / \"y\" * 2)\n"
    slip = {"in": "A.f", "old": "x/'y'", "new": "-x"}
    assert bite.slipped(slip, source) == source.replace('(\n            x\n        ) / "y"', "(-x)")
    assert bite.slipped({**slip, "in": "f"}, source) == source  # there is no such place
    assert bite.slipped({"old": "x / 'y'", "new": "-x"}, source) == source  # it stands there twice


def test_a_chapter_without_a_table_is_named_in_a_line():
    assert bite.main(["nonesuch"]) == "nonesuch has no table, tests/bites/nonesuch.toml"


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


def slip(name, old, new, fails, place='"notes/langevin.py"\nin = "stationary_variance"'):
    return f'[[slip]]\nname = "{name}"\nfile = {place}\nold = "{old}"\nnew = "{new}"\nfails = ["{fails}"]\n'


def test_what_is_wrong_is_told_line_by_line_and_nothing_of_what_is_well(tmp_path):
    for name, text in {
        "book/one.md": BOOK,
        "tests/bite.py": Path(bite.__file__).read_text(encoding="utf-8"),
        "tests/bites/one.toml": slip(
            "well", "step_size / variance / 2", "step_size / variance / 4", "The variance at 1"
        )
        + slip("in the chapter", "1 + 1", "1 - 1", "Arithmetic", '"book/one.md"')
        + slip("no effect", "step_size / variance / 2", "step_size / 2 / variance", "The variance at 1")
        + slip("crash", "step_size / variance / 2", "lost", "Arithmetic")
        + slip("lost", "no_such_name", "0", "Gone"),
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "notes").symlink_to(bite.ROOT / "notes")
    done = subprocess.run([sys.executable, tmp_path / "tests" / "bite.py"], capture_output=True, text=True)
    assert done.returncode == 1
    assert sorted(line for line in done.stderr.split("\n") if line.startswith("one")) == [
        "one, crash: this claim is not reached: Arithmetic",
        "one, lost: once in stationary_variance in notes/langevin.py there must be no_such_name, got 0",
        "one, lost: this claim is not reached: Gone",
        "one, no effect: this claim holds all the same: The variance at 1",
        "one: no slip makes this claim fail: Its inverse",
        "one: the table lists a claim that is not there: Gone",
    ]
