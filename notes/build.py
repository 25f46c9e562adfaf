"""``python -m notes.build [book]``: execute the chapters side by side and build the site; no failure passes later.

The chapters run first, each in a kernel of its own, and only those that succeed enter the execution cache that Jupyter
Book then reads. What Sphinx remembers of a build that did not end well is thrown away before the next one.
"""

import concurrent.futures
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

from jupyter_book.cli.main import build as jupyter_book
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.cache.db import NbCacheRecord
from myst_nb.core.read import read_myst_markdown_notebook
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from sphinx_external_toc.parsing import parse_toc_yaml

from notes import policy
from notes.site import execution_cache, kernel_environment

ROOT = Path(__file__).resolve().parent.parent
UNFINISHED = "unfinished"  # stands in _build from a build's first act to its good end


def chapters(root=ROOT):
    """The notebooks of the table of contents, as paths."""
    documents = (root / f"{name}.md" for name in parse_toc_yaml(root / "_toc.yml"))
    return [path for path in documents if re.search(r"^kernelspec:", path.read_text(encoding="utf-8"), re.MULTILINE)]


def execute(path, root=ROOT):
    """Run a chapter from top to bottom. Returns the notebook, the seconds it took, and what went wrong or None."""
    notebook = _read(path)
    started = time.perf_counter()
    # The times of the cells would change the key under which MyST-NB looks the chapter up.
    client = NotebookClient(
        notebook, timeout=600, record_timing=False, resources={"metadata": {"path": str(path.parent)}}
    )
    # Without the kernel's warning that the loopback is not encrypted, which says nothing to a reader.
    client.extra_arguments = ["--IPKernelApp.log_level=ERROR"]
    try:
        client.execute()
        problem = None
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        problem = f"{path.relative_to(root)}: {_which_cell(notebook)}\n{_strip_colours(str(error)).strip()}"
    return notebook, time.perf_counter() - started, problem


def _which_cell(notebook):
    """The cell at which execution stopped: the last one that was begun."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    begun = [number for number, cell in enumerate(code, start=1) if cell.execution_count or cell.outputs]
    number = begun[-1] if begun else 1
    first = next((line for line in code[number - 1].source.splitlines() if not line.startswith(":")), "")
    return f"code cell {number} of {len(code)}, which begins “{first}”"


def _strip_colours(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def execute_all(root=ROOT):
    """Bring the execution cache up to date. Returns a list of what went wrong."""
    folder = execution_cache(root)
    for old in folder.parent.glob("*/"):  # of an earlier state of the package: nothing looks there again
        if old != folder:
            shutil.rmtree(old)
    cache = get_cache(folder)
    waiting = [path for path in chapters(root) if not _cached(cache, path)]
    waiting.sort(key=lambda path: path.read_text(encoding="utf-8").count("explore("), reverse=True)  # the longest first
    problems = []
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    runs = {pool.submit(execute, path, root): path for path in waiting}
    for run in concurrent.futures.as_completed(runs):
        notebook, seconds, problem = run.result()
        print(
            f"{runs[run].relative_to(root)}: {'failed after' if problem else 'executed in'} {seconds:.1f} s", flush=True
        )
        if problem:
            problems.append(problem)
        else:
            bundle = CacheBundleIn(notebook, str(runs[run]), data={"execution_seconds": seconds})
            cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    return problems


def _cached(cache, path):
    """Whether the chapter's outputs are there, whole; what a killed build has left half written is removed."""
    try:
        record = cache.match_cache_notebook(_read(path))
    except KeyError:
        return False
    try:
        json.loads((cache.path / "executed" / record.hashkey / "base.ipynb").read_bytes())
    except (OSError, ValueError):
        NbCacheRecord.remove_record(record.pk, cache.db)
        return False
    return True


def _read(path):
    """The chapter as MyST-NB itself reads it, so that its key in the cache is the one that MyST-NB looks up."""
    return read_myst_markdown_notebook(path.read_text(encoding="utf-8"), path=path)


def main(root=ROOT):
    os.environ.update(kernel_environment())
    build = root / "_build"
    unfinished = build / UNFINISHED
    build.mkdir(exist_ok=True)
    if unfinished.exists():
        for leftover in (build / ".doctrees", build / "html"):
            shutil.rmtree(leftover, ignore_errors=True)
    unfinished.touch()
    problems = execute_all(root)
    if problems:
        print("\n\n".join(["", *problems]), file=sys.stderr)
        print(f"\nThe book was not built: {len(problems)} of its chapters failed, see above.", file=sys.stderr)
        return 1
    try:
        jupyter_book([str(root), "-W", "-n", "--keep-going"], standalone_mode=False)
    except (Exception, SystemExit):  # Jupyter Book has said what, and raises one or the other
        print("\nThe book was not built: Jupyter Book reports errors or warnings, see above.", file=sys.stderr)
        return 1
    refused = policy.write(build / "html")
    if refused:
        print("\n".join(["", *refused]), file=sys.stderr)
        print("\nThe book was not built: a browser would refuse what is named above.", file=sys.stderr)
        return 1
    unfinished.unlink()
    print(f"\nThe book is built. Open {(build / 'html' / 'index.html').as_uri()}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*(Path(folder).resolve() for folder in sys.argv[1:2])))
    except KeyboardInterrupt:
        print("\nInterrupted: the next build starts over where this one stopped.", file=sys.stderr)
        os._exit(130)  # at once; a kernel whose parent is gone ends by itself
