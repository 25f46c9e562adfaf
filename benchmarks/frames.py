"""What a frame of each of the book's figures costs, live, once its data are there: the drawing and the file."""

import importlib
import inspect
import time
from pathlib import Path

import timing
from tqdm import tqdm

from notes import figures
from notes.explore import png

REPEATS = 7
HELD = 60  # ms


def all_figures():
    """Every figure function of the book: what a module of notes.figures makes with plots.styled."""
    for path in sorted(Path(figures.__path__[0]).glob("[a-z]*.py")):
        module = importlib.import_module(f"notes.figures.{path.stem}")
        for name, function in vars(module).items():
            if hasattr(function, "__wrapped__") and function.__module__ == module.__name__ and name[0] != "_":
                yield path.stem, name, function


def measure():
    chapters = {}
    found = [(chapter, name, f) for chapter, name, f in all_figures() if _has_defaults(f)]
    for chapter, name, figure in tqdm(found, desc="frames", leave=False):
        try:
            png(figure())  # what frames share is computed here
        except TypeError:
            continue  # not a figure: another function that is cached or styled
        seconds = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            drawn = figure()
            middle = time.perf_counter()
            png(drawn)
            seconds.append((time.perf_counter() - started, middle - started))
        both, first = (timing.spread(part, 1e3) for part in zip(*seconds, strict=True))
        chapters.setdefault(chapter, {})[name] = [both, first[0]]
    every = [both[0] for chapter in chapters.values() for both, _ in chapter.values()]
    middle = timing.spread(every)
    rows = [
        [chapter, str(len(names)), timing.spread([both[0] for both, _ in names.values()])]
        for chapter, names in chapters.items()
    ]
    rows.append(["all", str(len(every)), middle])
    shown = timing.table(["figures of", "how many", "ms a frame"], rows)
    timing.save("frames", {"chapters": chapters, "held": HELD}, [shown])


def _has_defaults(figure):
    return all(p.default is not p.empty for p in inspect.signature(figure).parameters.values())


if __name__ == "__main__":
    measure()
