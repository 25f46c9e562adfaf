"""The figures of the page on performance: what the benchmarks measured, from their files of results.

Each takes a benchmark's result as its first argument, a dictionary as the benchmarks write it.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from notes import plots
from notes.figures import cast

__all__ = ["result", "cost", "training", "frames"]

RESULTS = Path(__file__).with_name("results")  # in the wheel that lies beside the book's notebooks
if not RESULTS.exists():
    RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
# What is a floor and not a library: drawn dashed.
FLOORS = ["noise alone", "exponentials alone", "products alone"]
# A library looks the same in every picture, and its marks tell it apart where colours do not.
LIBRARIES = {
    "JAX": (plots.CONTRAST, "s"),
    "NumPy": ("#A97800", "^"),
    "scikit-learn": ("#A97800", "^"),
    "torchebm": ("#00795A", "D"),
    "SciPy": ("#00795A", "D"),
    "BlackJAX": ("#B5478F", "v"),
    "KeOps": ("#B5478F", "v"),
    "PyTorch": ("#B5478F", "v"),
    "KDEpy": ("#7A1F4B", "P"),
    "smalldiffusion": ("#7A1F4B", "P"),
}
RUNS = ["notes", "JAX, our recipe"]  # each point of their errors is a run of its own; the others' are of one run
SIZES = {
    "particles": "particles",
    "dimensions": "dimensions d",
    "components": "components K",
    "points": "points, and as many data points",
}


def result(name: str) -> dict[str, Any]:
    """What a benchmark found when it last ran in this checkout, or in that of the book's site.

    Raises
    ------
    FileNotFoundError
        Away from the repository, or where no such benchmark has run.
    """
    path = RESULTS / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(
            f"no result of the benchmark {name!r} in {RESULTS}: this page is run in the book's repository, "
            "where `make bench` writes them"
        )
    return json.loads(path.read_text(encoding="utf-8"))


@plots.styled
def cost(result: dict[str, Any], unit: str, against: str) -> Figure:
    """What a unit of work costs over one of the sizes, on logarithmic axes, with its physical floor."""
    sweep = result["sweeps"][against]
    figure, ax = plots.canvas(height=4.2)
    _lines(ax, sweep["x"], sweep["lines"])
    ax.set(xlabel=SIZES[against], ylabel=unit)
    return figure


@plots.styled
def training(result: dict[str, Any], view: str = "error") -> Figure:
    """How the error falls with the seconds spent, or what a step costs over the size of its batch."""
    figure, ax = plots.canvas(height=4.2)
    if view == "batch":
        _lines(ax, result["batches"]["x"], result["batches"]["lines"])
        ax.set(xlabel="points in a batch", ylabel="µs a step")
        return figure
    ends = {}
    for name, points in sorted(result["error"].items(), key=lambda item: item[0] == "notes"):
        seconds, error = np.array(points).T
        ends[name] = seconds[-1], error[-1]
        ax.plot(seconds, error, **_ink(name) | ({} if name in RUNS else {"marker": "", "linestyle": (0, (4, 1))}))
    ax.set(xscale="log", yscale="log", xlabel="seconds of training", ylabel="relative Fisher divergence")
    ax.axhline(result["wanted"], color=plots.TRUTH, linewidth=1, linestyle="--")
    left = ax.get_xlim()[0]
    plots.label(ax, left * 1.1, result["wanted"] * 0.93, f"{100 * result['wanted']:g} %", ha="left", va="top")
    _steps(ax, ends)
    return figure


@plots.styled
def frames(result: dict[str, Any], chapter: str = "langevin") -> Figure:
    """What a frame of each of a chapter's figures costs: its drawing, then its file, and what is held."""
    names = result["chapters"][chapter]
    figure, ax = plots.canvas(height=4.2)
    for row, (name, (both, drawing)) in enumerate(sorted(names.items(), key=lambda item: item[1][0][0])):
        ax.barh(row, drawing, height=0.6, color=plots.FAINT)
        ax.barh(row, both[0] - drawing, left=drawing, height=0.6, color=plots.ESTIMATE)
        ax.plot(both[1:], [row, row], color=plots.TRUTH, linewidth=1)
        plots.label(ax, -2, row, name.replace("_", " "), ha="right", va="center")
    plots.label(ax, 0.5, row + 0.35, "objects", plots.MUTED, ha="left")
    plots.label(ax, max(14, drawing + 1), row + 0.35, "pixels and file", plots.ESTIMATE, ha="left")
    longest = max(both[0] for chapter in result["chapters"].values() for both, _ in chapter.values())
    # As many rows for every chapter, so that a bar is as thick in each.
    most = max(map(len, result["chapters"].values()))
    cast.line_axes(ax, xlim=(0, 1.2 * longest), ylim=(-0.6, most + 0.8), xlabel="ms a frame")
    ax.axvline(result["held"], color=plots.TRUTH, linewidth=1, linestyle="--")
    plots.label(ax, result["held"] + 1, most + 0.8, "limit of the median", ha="left", va="top")
    return figure


def _lines(ax, x, lines):
    """A line a job with its spread, ours on top, and its name at its end."""
    ax.set(xscale="log", yscale="log")
    ends = {}
    for name, values in sorted(lines.items(), key=lambda item: item[0] == "notes"):
        at = [size for size, value in zip(x, values, strict=True) if value]
        middle, least, most = np.array([value for value in values if value]).T
        ends[name] = at[-1], middle[-1]
        ink = _ink(name)
        ax.fill_between(at, least, most, color=ink["color"], alpha=0.2)
        ax.plot(at, middle, **ink)
    _names(ax, ends)


def _ink(name):
    if name == "notes":
        return {"color": plots.ESTIMATE, "linewidth": 2.6, "marker": "o", "markersize": 4}
    if name in FLOORS:
        return {"color": plots.TRUTH, "linewidth": 1.4, "linestyle": "--"}
    color, mark = LIBRARIES.get(name.split(",")[0], (plots.MUTED, "X"))
    return {"color": color, "linewidth": 1.2, "marker": mark, "markersize": 3.5, "alpha": 0.8}


def _steps(ax, ends):
    """The names of lines below their ends: each step to the right is one down, so that no leader meets a name."""
    bottom, top = np.log(ax.get_ylim())
    room = 0.06 * (len(ends) + 0.5)  # of the axes' height
    ax.set_ylim(bottom=math.exp(top - (top - bottom) / (1 - room)))
    for row, (name, end) in enumerate(sorted(ends.items(), key=lambda item: item[1])):
        ax.annotate(
            name,
            end,
            xytext=(end[0], room - 0.06 * (row + 1)),
            textcoords=ax.get_xaxis_transform(),
            color=_ink(name)["color"],
            ha="right",
            va="center",
            arrowprops={"arrowstyle": "-", "color": plots.FAINT, "linewidth": 0.6, "relpos": (1, 1), "shrinkB": 4},
        )


def _names(ax, ends):
    """The names of lines beside their ends, in a column to the right, none on top of another."""
    least = 0.062 * np.ptp(np.log(ax.get_ylim()))  # the height of a line of words
    below = -math.inf
    for name, (x, y) in sorted(ends.items(), key=lambda item: item[1][1]):
        below = max(math.log(y), below + least)
        ax.annotate(
            name,
            (x, y),
            xytext=(1.02, math.exp(below)),
            textcoords=ax.get_yaxis_transform(),
            color=_ink(name)["color"],
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": plots.FAINT, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 3},
        )
