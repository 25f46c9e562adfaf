"""Every claim of the book can fail: tests/bites/ lists slips and the claims that each makes fail, and this makes them.

``python tests/bite.py`` does so for every chapter, ``python tests/bite.py score`` for one. A chapter runs as it stands
beside a copy of the package with one slip in it. Its figures are not drawn, and its claims are noted, not enforced.
"""

import contextlib
import io
import multiprocessing
import os
import shutil
import sys
import tempfile
import tomllib
import warnings
from pathlib import Path

from myst_nb.core.read import read_myst_markdown_notebook
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
TABLES = ROOT / "tests" / "bites"


class _Enough(BaseException):
    """Every claim that a slip is to fail was reached."""


def chapters():
    """The chapters that have a table."""
    return sorted(path.stem for path in TABLES.glob("*.toml"))


def slips(chapter):
    """Each with its name, the file and the text in it that gives way to another, and the claims that then fail."""
    return tomllib.loads((TABLES / f"{chapter}.toml").read_text(encoding="utf-8"))["slip"]


def gaps(chapter, statements):
    """What the table of a chapter that claims these statements lacks, a line each."""
    listed = {statement for slip in slips(chapter) for statement in slip["fails"]}
    yield from (f"{chapter}: no slip makes this claim fail: {line}" for line in sorted(statements - listed))
    yield from (f"{chapter}: the table lists a claim that is not there: {line}" for line in sorted(listed - statements))
    for slip in slips(chapter):
        count = (ROOT / slip["file"]).read_text(encoding="utf-8").count(slip["old"])
        if count != 1:
            yield f"{chapter}, {slip['name']}: once in {slip['file']} there must be {slip['old']!r}, got {count}"


def run(chapter, slip=None):
    """Run a chapter with a slip, or as it is, in a process that has not imported the package.

    Returns a dict of the statements that it came to, with whether each held, and the errors of its cells. With a slip
    it stops when the claims that are to fail were all reached.
    """
    os.environ.update(OMP_NUM_THREADS="1", TQDM_DISABLE="1")
    with tempfile.TemporaryDirectory() as folder:
        for part in ("notes", "book"):
            shutil.copytree(ROOT / part, Path(folder, part), ignore=shutil.ignore_patterns("__pycache__", "assets"))
        if slip:
            path = Path(folder, slip["file"])
            text = path.read_text(encoding="utf-8").replace(slip["old"], slip["new"])
            path.write_text(text, encoding="utf-8")
        sys.path.insert(0, folder)
        path = Path(folder, "book", f"{chapter}.md")
        notebook = read_myst_markdown_notebook(path.read_text(encoding="utf-8"), path=path)
        sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        return _execute(sources, set(slip["fails"]) if slip else None)


def _execute(sources, awaited):
    import torch

    from notes import claims, explore

    torch.set_num_threads(1)
    held, errors, claim = {}, [], claims.claim

    def note(statement, measured, expected, *, rtol=0.0, atol=0.0, error=None):
        try:
            claim(statement, measured, expected, rtol=rtol, atol=atol)
            held[statement] = True
        except AssertionError:
            held[statement] = False
        if awaited is not None and awaited <= held.keys():
            raise _Enough

    claims.claim, claims.display = note, lambda *args, **kwargs: None
    explore.explore = lambda *args, **kwargs: None
    names = {}
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), contextlib.suppress(_Enough):
        warnings.simplefilter("ignore")
        for source in sources:
            try:
                exec(source, names)
            except Exception as error:  # not a claim's failure: what it leaves out keeps claims from being reached
                errors.append(f"{type(error).__name__}: {error}")
    return held, errors


def problems(task):
    """What is wrong with a chapter as it is, where the slip is None, or with one of its slips; a line each."""
    chapter, slip = task
    held, errors = run(chapter, slip)
    if slip is None:
        failed = [f"{chapter} as it is: {line}" for line in [*errors, *(line for line in held if not held[line])]]
        return [*failed, *gaps(chapter, held.keys())]
    here = f"{chapter}, {slip['name']}:"
    states = {True: "this claim holds all the same", None: "this claim is not reached"}
    return [f"{here} {states[held.get(line)]}: {line}" for line in slip["fails"] if held.get(line) is not False]


def main(chosen):
    tasks = [(chapter, slip) for chapter in chosen for slip in (None, *slips(chapter))]
    found = []
    context = multiprocessing.get_context("forkserver")  # every run in a process of its own, with PyTorch loaded
    context.set_forkserver_preload(["torch", "matplotlib.figure", "ipywidgets", "myst_nb.core.read"])
    with context.Pool(os.cpu_count(), maxtasksperchild=1) as pool, tqdm(total=len(tasks), unit="run") as progress:
        for lines in pool.imap_unordered(problems, tasks):
            for line in lines:
                progress.write(line, file=sys.stderr)
            found += lines
            progress.update()
        pool.close()
        pool.join()
    count = sum(len(slip["fails"]) for _, slip in tasks if slip)
    print(f"{count} claims in {len(chosen)} chapters: {len(found) or 'no'} problems")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or chapters()))
