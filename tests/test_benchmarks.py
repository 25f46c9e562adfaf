"""The benchmarks' own arithmetic, and that the page on performance has what it shows."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from notes.explore import png
from notes.figures import performance

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def timing(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield __import__("timing")
    sys.modules.pop("timing")


def test_jobs_take_turns_after_a_first_round_that_is_not_timed(timing):
    done = []
    seconds = timing.take_turns({"a": lambda: done.append("a"), "b": lambda: done.append("b")}, 3, "turns")
    assert done == ["a", "b"] * 4
    assert [len(taken) for taken in seconds.values()] == [3, 3]


def test_ratios_are_taken_turn_by_turn(timing):
    # A machine that is slow in the second turn is slow for both.
    seconds = {"notes": [1.0, 10.0, 2.0], "peer": [4.0, 40.0, 6.0]}
    assert timing.ratios(seconds) == {"peer": [4.0, 3.0, 4.0]}


@pytest.mark.parametrize(
    "name", ["langevin", "kernel_density", "training", "diffusion", "frames", "playground", "book"]
)
def test_page_has_every_result(name):
    assert (BENCHMARKS / "results" / f"{name}.md").read_text().startswith("|")
    assert json.loads((BENCHMARKS / "results" / f"{name}.json").read_text())["when"]


def test_names_at_the_ends_of_lines_do_not_cover_each_other():
    lines = {f"peer {i}": [[10.0, 9.0, 11.0], [1 + i / 100] * 3] for i in range(6)}
    lines["notes"] = [[5.0, 4.0, 6.0], None]
    figure = performance.cost({"sweeps": {"points": {"x": [1, 10], "lines": lines}}}, "ns", against="points")
    png(figure)
    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]  # without their pointers
    assert len(boxes) == 7
    edges = np.sort([[box.y0, box.y1] for box in boxes], axis=0)
    assert (edges[1:, 0] >= edges[:-1, 1] - 1).all()


def test_names_below_the_ends_of_errors_do_not_cover_each_other_or_the_lines():
    error = {name: [[1.0, 0.5], [2.0 + i / 100, 0.01]] for i, name in enumerate(["notes", *"abcd"])}
    figure = performance.training({"error": error, "wanted": 0.01})
    png(figure)
    (ax,) = figure.axes
    boxes = [Text.get_window_extent(text) for text in ax.texts if text.get_text() in error]  # without their pointers
    edges = np.sort([[box.y0, box.y1] for box in boxes], axis=0)
    assert len(edges) == 5
    assert (edges[1:, 0] >= edges[:-1, 1] - 1).all()
    assert edges[-1, 1] < ax.transData.transform((1, 0.01))[1]


@pytest.mark.parametrize("name", ["langevin", "kernel_density", "training"])
def test_every_library_of_a_picture_looks_its_own(name):
    result = performance.result(name)
    pictures = [sweep["lines"] for sweep in result.get("sweeps", {}).values()] or [result["error"]]
    for names in pictures:
        libraries = {line.split(",")[0] for line in names} - {"notes", *performance.FLOORS}
        assert len({performance.LIBRARIES[library] for library in libraries}) == len(libraries)
