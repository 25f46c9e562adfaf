"""What every benchmark shares: jobs that take turns, their ratios, the machine, and the files of the results."""

import datetime
import functools
import importlib
import importlib.metadata
import json
import os
import platform
import statistics
import time
from pathlib import Path

import torch
from tqdm import tqdm

RESULTS = Path(__file__).parent / "results"
PEERS = ["numpy", "scipy", "scikit-learn", "KDEpy", "pykeops", "jax", "blackjax", "torchebm", "smalldiffusion"]


def take_turns(jobs, repeats, what):
    """Time jobs by name, each once for nothing and then in turn ``repeats`` times. Returns seconds, a list a job."""
    for job in jobs.values():
        job()
    seconds = {name: [] for name in jobs}
    for _ in tqdm(range(repeats), desc=what, unit="turn", leave=False):
        for name, job in jobs.items():
            started = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def spread(values, scale=1.0):
    """Median, least and greatest, in other units where ``scale`` says so."""
    return [scale * statistics.median(values), scale * min(values), scale * max(values)]


def ratios(seconds, name="notes", others=None):
    """How many times longer each other job takes than ours, turn by turn: median, least, greatest."""
    others = [other for other in seconds if other != name] if others is None else others
    return {
        other: spread([theirs / ours for theirs, ours in zip(seconds[other], seconds[name], strict=True)])
        for other in others
    }


def machine():
    """Where and when this was measured, in one line, and with which versions."""
    model = next((line.split(":")[1] for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} torch threads"
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    names = ["torch", *PEERS]
    versions = {name: importlib.metadata.version(name) for name in names if _installed(name)}
    where = ", ".join([part for part in (model.strip() or platform.processor(), cores, system) if part])
    return {"where": where, "when": datetime.date.today().isoformat(), "versions": versions}


def save(name, result, tables, missing=()):
    """Keep a benchmark: as numbers for its figure, and as tables for the page. ``tables`` is Markdown."""
    RESULTS.mkdir(exist_ok=True)
    told = machine()
    (RESULTS / f"{name}.json").write_text(json.dumps({**result, **told}, indent=1, ensure_ascii=False) + "\n")
    left_out = f" Left out, since they do not work here: {'; '.join(missing)}." if missing else ""
    measured = f"Measured on {told['when']}: {told['where']}.{left_out}"
    (RESULTS / f"{name}.md").write_text("\n\n".join([*filter(None, tables), measured]) + "\n")
    print("\n\n".join([name, *filter(None, tables), measured]), flush=True)


def table(head, rows):
    """A table in Markdown; a row is a list of words and of (median, least, greatest)."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *[[cell(value) for value in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value):
    if isinstance(value, str):
        return value
    median, least, greatest = (count(number) for number in value)
    return f"{median}\u00a0({least}–{greatest})"


def count(number):
    """A number to two figures, or to the last one before the point."""
    return (
        f"{number:,.0f}".replace(",", "\u202f")
        if number >= 100
        else f"{number:.2g}"
        if number < 10
        else f"{number:.0f}"
    )


def _installed(name):
    try:
        return bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False


@functools.cache
def _trouble(module):
    """Why a peer cannot be imported, in a line; None where it can."""
    try:
        importlib.import_module(module)
    except Exception as error:  # whatever it is, this peer is left out and the others are not
        return f"{module} ({type(error).__name__}: {str(error).splitlines()[0]})"


def missing(*modules):
    """Those of the peers that cannot be imported here, each with the reason."""
    return [trouble for trouble in map(_trouble, modules) if trouble]


def _lines(path):
    return Path(path).read_text().splitlines() if Path(path).exists() else []
