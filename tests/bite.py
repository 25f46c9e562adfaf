"""Every claim of the book can fail: tests/bites/ lists slips and the claims that each makes fail, and this makes them.

``python tests/bite.py`` does so for every chapter, ``python tests/bite.py score`` for one. A chapter runs as it stands
beside a copy of the package with one slip in it. Its figures are not drawn, and its claims are noted, not enforced.
"""

import ast
import contextlib
import io
import itertools
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
    """Each with its name, its place, the expression or statement there that gives way, and the claims that then fail.

    The place is a file, a module or the chapter itself, and where ``in`` stands a function, method or class in it.
    It is compared as syntax: spaces, line breaks, quotes and parentheses do not matter.
    """
    return tomllib.loads((TABLES / f"{chapter}.toml").read_text(encoding="utf-8"))["slip"]


def sources(path):
    """The code of a file: of a module all of it, of a chapter each of its cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return [text]
    notebook = read_myst_markdown_notebook(text, path=path)
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def _named(tree, name):
    """The functions and classes in a tree that have this name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            if node.name == name:
                yield node
        else:
            yield from _named(node, name)


def places(slip, source):
    """Where in the source a slip's ``old`` stands: the syntax nodes."""
    found = [ast.parse(source)]
    for name in slip["in"].split(".") if "in" in slip else ():
        found = [node for tree in found for node in _named(tree, name)]
    (wanted,) = ast.parse(slip["old"]).body
    wanted = ast.dump(wanted.value if isinstance(wanted, ast.Expr) else wanted)
    return [node for tree in found for node in ast.walk(tree) if ast.dump(node) == wanted]


def slipped(slip, source):
    """The source with the slip in it; as it is where its ``old`` does not stand once."""
    if len(found := places(slip, source)) != 1:
        return source
    new = f"({slip['new']})" if isinstance(found[0], ast.expr) else slip["new"]
    lines = source.encode().splitlines(keepends=True)  # the columns of a node count bytes
    starts = [0, *itertools.accumulate(map(len, lines))]
    first = starts[found[0].lineno - 1] + found[0].col_offset
    last = starts[found[0].end_lineno - 1] + found[0].end_col_offset
    return b"".join([source.encode()[:first], new.encode(), source.encode()[last:]]).decode()


def gaps(chapter, statements):
    """What the table of a chapter that claims these statements lacks, a line each."""
    listed = {statement for slip in slips(chapter) for statement in slip["fails"]}
    yield from (f"{chapter}: no slip makes this claim fail: {line}" for line in sorted(statements - listed))
    yield from (f"{chapter}: the table lists a claim that is not there: {line}" for line in sorted(listed - statements))
    for slip in slips(chapter):
        count = sum(len(places(slip, source)) for source in sources(ROOT / slip["file"]))
        if count != 1:
            where = " in ".join([slip[key] for key in ("in", "file") if key in slip])
            yield f"{chapter}, {slip['name']}: once in {where} there must be {slip['old']}, got {count}"


def run(chapter, slip=None):
    """Run a chapter with a slip, or as it is, in a process that has not imported the package.

    Returns a dict of the statements that it came to, with whether each held, and the errors of its cells. With a slip
    it stops when the claims that are to fail were all reached.
    """
    os.environ.update(OMP_NUM_THREADS="1", TQDM_DISABLE="1")
    with tempfile.TemporaryDirectory() as folder:
        for part in ("notes", "book"):
            shutil.copytree(ROOT / part, Path(folder, part), ignore=shutil.ignore_patterns("__pycache__", "assets"))
        cells = sources(Path(folder, "book", f"{chapter}.md"))
        if slip and slip["file"] == f"book/{chapter}.md":
            cells = [slipped(slip, cell) for cell in cells]
        elif slip:
            path = Path(folder, slip["file"])
            path.write_text(slipped(slip, path.read_text(encoding="utf-8")), encoding="utf-8")
        sys.path.insert(0, folder)
        return _execute(cells, set(slip["fails"]) if slip else None)


def _execute(cells, awaited):
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
        for cell in cells:
            try:
                exec(cell, names)
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
    if unknown := [f"{name} has no table, tests/bites/{name}.toml" for name in chosen if name not in chapters()]:
        return "\n".join(unknown)
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
