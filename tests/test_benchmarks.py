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


def test_spread_is_median_least_and_greatest_in_the_wanted_unit(timing):
    assert timing.spread([0.003, 0.001, 0.01], 1e3) == pytest.approx([3, 1, 10])


def test_peer_that_cannot_be_imported_is_named_with_the_reason(timing, tmp_path, monkeypatch):
    (tmp_path / "broken_peer.py").write_text("raise RuntimeError('no such operator\\nmore')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert timing.missing("numpy", "broken_peer", "no_such_peer") == [
        "broken_peer (RuntimeError: no such operator)",
        "no_such_peer (ModuleNotFoundError: No module named 'no_such_peer')",
    ]


def test_result_is_kept_as_numbers_and_as_a_table_that_says_where_and_when(timing, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timing, "RESULTS", tmp_path / "results")
    timing.save("speed", {"x": [1, 2]}, [timing.table(["job", "s"], [["ours", [0.1234, 0.1, 1234.0]]]), ""], ["peer"])
    assert json.loads((tmp_path / "results" / "speed.json").read_text())["x"] == [1, 2]
    text = (tmp_path / "results" / "speed.md").read_text()
    assert text.startswith("| job | s |\n| --- | ---: |\n| ours | 0.12\u00a0(0.1–1\u202f234) |\n\nMeasured on 20")
    assert "torch threads" in text
    assert "do not work here: peer." in text


@pytest.mark.parametrize("name", ["langevin", "kernel_density", "training", "frames", "book"])
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
