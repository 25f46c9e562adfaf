"""``python -m notes.site.build [book]``: execute the chapters side by side and build the site; no failure passes later.

The chapters run first, each in a kernel of its own, and only those that succeed enter the execution cache that Jupyter
Book then reads. Where anything at all has changed since a build that ended well, or what it left is damaged, all pages
are made anew of what the chapters computed: a site never depends on what was built before. Of two builds at once the
second waits.
"""

import concurrent.futures
import contextlib
import copy
import fcntl
import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from notes._extras import needs
from notes.site import policy
from notes.site.contents import Contents
from notes.site.dependencies import PACKAGE, digest, execution_cache, execution_caches, files_below
from notes.site.kernels import ARGUMENTS, kernel_environment

with needs("site"):
    from jupyter_book.cli.main import build as jupyter_book
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError
    from sphinx_external_toc.parsing import MalformedError
    from sqlalchemy.exc import SQLAlchemyError

ROOT = Path(__file__).resolve().parents[2]
FINISHED = "finished"  # written at a build's good end: a hash of all that it was made of, and of the site
STATES = 4  # of a chapter are kept, so that a change that is taken back executes nothing
CACHE_ERRORS = (RuntimeError, ValueError, SQLAlchemyError)  # of an execution cache whose database is damaged


def execute(chapter, root=ROOT):
    """Run a chapter from top to bottom. Returns the notebook, the seconds it took, and what went wrong or None."""
    notebook, settings = copy.deepcopy(chapter.notebook), chapter.settings
    limits = {"timeout": settings.execution_timeout, "allow_errors": settings.execution_allow_errors}
    own = notebook.metadata.get("execution", {})
    limits |= {name: own[name] for name in limits if name in own}
    here = contextlib.nullcontext(str(chapter.path.parent))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() if settings.execution_in_temp else here as folder:
        # The times of the cells would change the key under which MyST-NB looks the chapter up; and how busy the machine
        # is, into how many pieces the words that a cell prints are cut.
        limits |= {"record_timing": False, "coalesce_streams": True}
        client = NotebookClient(notebook, **limits, resources={"metadata": {"path": folder}})
        client.extra_arguments = ARGUMENTS
        try:
            client.execute()
            problem = None
        except (CellExecutionError, CellTimeoutError, NoSuchKernel, RuntimeError) as error:  # the last: the kernel died
            problem = f"{chapter.path.relative_to(root)}: {_which_cell(notebook)}\n{_strip_colours(str(error)).strip()}"
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


def execute_all(contents):
    """Bring the execution caches up to date. Returns a list of what went wrong."""
    root = contents.root
    cached = [chapter for chapter in contents.chapters if chapter.cached]
    folders = {chapter.path: execution_cache(root, chapter) for chapter in cached}
    waiting = [chapter for chapter in cached if not _cached(folders[chapter.path], chapter.notebook)]
    waiting.sort(key=_code, reverse=True)  # the longest first, or one of them would run alone in the end
    problems = []
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    runs = {pool.submit(execute, chapter, root): chapter for chapter in waiting}
    try:
        for run in concurrent.futures.as_completed(runs):
            notebook, seconds, problem = run.result()
            path, settings = runs[run].path, runs[run].settings
            ended = "failed after" if problem else "executed in"
            print(f"{path.relative_to(root)}: {ended} {seconds:.1f} s", flush=True)
            if problem and settings.execution_raise_on_error:
                problems.append(problem)
            elif problem:
                continue  # MyST-NB runs it once more, and warns
            elif execution_cache(root, contents.chapter(path)) == folders[path]:  # it was not edited meanwhile
                _keep(folders[path], CacheBundleIn(notebook, str(path), data={"execution_seconds": seconds}))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # no chapter is begun in vain
    forget_old(root, folders)
    return problems


def _code(chapter):
    """How much code a chapter has: about in proportion to the time that it takes."""
    return sum(len(cell.source) for cell in chapter.notebook.cells if cell.cell_type == "code")


def forget_old(root, folders):
    """Remove the outputs of chapters that are gone, and of the others all but the last few states."""
    caches = {path: execution_caches(root, path) for path in folders}
    for old in (root / "_build" / ".jupyter_cache").glob("*/"):
        if old not in caches.values():
            shutil.rmtree(old)
    for path, folder in folders.items():
        if folder.exists():
            os.utime(folder)
        states = sorted(caches[path].glob("*/"), key=lambda state: state.stat().st_mtime_ns, reverse=True)
        for old in states[STATES:]:
            shutil.rmtree(old)


def _keep(folder, bundle):
    """Put an executed chapter into its cache, and last of all the hash that shows it to be whole."""
    try:
        record = get_cache(folder).cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    except CACHE_ERRORS as error:
        raise OSError(f"what the chapters computed cannot be kept in {folder}") from error
    kept = _kept(folder, record)
    (kept / "digest").write_bytes(digest({"base.ipynb": kept / "base.ipynb"}).encode())


def _kept(folder, record):
    """The folder of an executed chapter: base.ipynb and digest."""
    return folder / "executed" / record.hashkey


def _cached(folder, notebook):
    """Whether a chapter's outputs are there, whole; what is damaged, or was left half written, is removed."""
    try:
        kept = _kept(folder, get_cache(folder).match_cache_notebook(notebook))
        whole = (kept / "digest").read_bytes() == digest({"base.ipynb": kept / "base.ipynb"}).encode()
    except (KeyError, FileNotFoundError, *CACHE_ERRORS):
        whole = False
    if not whole:
        shutil.rmtree(folder, ignore_errors=True)
    return whole


def main(root=ROOT):
    os.environ.update(kernel_environment())
    build = root / "_build"
    try:
        build.mkdir(exist_ok=True)
        lock = lock_folder(build)
        try:
            contents = Contents(root)
            problem = make(contents, build)
            for path in contents.forgotten:
                print(f"{path.relative_to(root)}: not built, for _toc.yml does not list it")
        finally:
            os.close(lock)
    except (OSError, MalformedError) as error:
        problem = str(error)
    if problem:
        if shutil.disk_usage(root).free < 2**20:  # whatever it was that failed for it
            problem = f"the disk is full. Make room, and build again ({root})"
        print(f"\nThe book was not built: {problem}", file=sys.stderr)
        return 1
    print(f"\nThe book is built. Open {(build / 'html' / 'index.html').as_uri()}")
    return 0


def lock_folder(folder):
    """Wait for another build in a folder to end, and hold the next one back until the result is closed."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Waiting for another build of this book.", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def make(contents, build):
    """Build the site, and return why it was not built in one line, or None."""
    finished, html = build / FINISHED, build / "html"
    before = finished.read_bytes() if finished.exists() else b""
    finished.unlink(missing_ok=True)
    made_of = _made_of(contents)
    problems = execute_all(contents)
    if problems:
        print("\n\n".join(["", *problems]), file=sys.stderr)
        return f"{len(problems)} of its chapters failed, see above."
    if before == _stamp(made_of, html):
        finished.write_bytes(before)
        return None
    for left in (build / ".doctrees", build / "jupyter_execute", html):
        shutil.rmtree(left, ignore_errors=True)
    try:
        jupyter_book([str(contents.root), "-W", "-n", "--keep-going"], standalone_mode=False)
    except (Exception, SystemExit):  # Jupyter Book has said what, and raises one or the other
        return "Jupyter Book reports errors or warnings, see above."
    refused = policy.write(html)
    if refused:
        print("\n".join(["", *refused]), file=sys.stderr)
        return "a browser would refuse what is named above."
    finished.write_bytes(_stamp(made_of, html))
    return None


def _made_of(contents):
    """A hash of all that a site is made of: the book's folder, the package, each chapter's state, what is installed."""
    installed = sorted((found.name, found.version) for found in importlib.metadata.distributions())
    states = [execution_cache(contents.root, chapter).name for chapter in contents.chapters]
    files = {file for folder in (contents.root, PACKAGE) for file in files_below(folder)}
    return digest({os.path.relpath(file, contents.root): file for file in files}, sys.version, installed, states)


def _stamp(made_of, html):
    files = (path for path in html.rglob("*") if path.is_file())
    return digest({path.relative_to(html).as_posix(): path for path in files}, made_of).encode()


if __name__ == "__main__":
    if sys.getfilesystemencoding() != "utf-8":  # a locale of ASCII or Latin letters: not every path could be named
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    try:
        sys.exit(main(*(Path(folder).resolve() for folder in sys.argv[1:2])))
    except KeyboardInterrupt:
        print("\nInterrupted: the next build starts over where this one stopped.", file=sys.stderr)
        os._exit(130)  # at once; a kernel whose parent is gone ends by itself
