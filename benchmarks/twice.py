"""The same book twice: two cold builds compared file by file, and what other numbers of threads change of it.

Run ``make twice``, with nothing beside it. Kernels of a build have one thread each; here each chapter also runs with
more. It fails when a file of the site differs between the two builds, or a claim fails with some number of threads, and
writes ``benchmarks/results/threads.md``.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from jupyter_cache import get_cache

from notes import claims, explore
from notes.site.build import execute
from notes.site.contents import Contents
from notes.site.dependencies import execution_cache
from notes.site.kernels import kernel_environment

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "threads.md"
MORE_THREADS = [2, 4]


def built(root):
    """The book in another folder, built from nothing."""
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns(".*"))
    shutil.copytree(ROOT / "benchmarks" / "results", root / "benchmarks" / "results")  # which a page shows
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, root)
    print(f"Building the book in {root}", flush=True)
    if subprocess.run([sys.executable, "-m", "notes.site.build", root], cwd=ROOT, stdout=subprocess.DEVNULL).returncode:
        sys.exit("The book is not built, as said above.")
    return root


def site(root):
    """Every file of the site, by its name; less Sphinx's hash of the configuration, in which stands the folder."""
    html = root / "_build" / "html"
    files = (path for path in html.rglob("*") if path.is_file() and path.name != ".buildinfo")
    return {path.relative_to(html).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def results(notebook):
    """The claims of an executed chapter, by their statements, and the hashes of its frames, in order."""
    outputs = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    found = [data[claims.MIME] for data in outputs if claims.MIME in data]
    frames = [
        hashlib.sha256(frame.encode()).hexdigest()
        for data in outputs
        if explore.MIME in data
        for frame in data[explore.MIME]["frames"]
    ]
    return {claim["statement"]: claims.Claim(**claim) for claim in found}, frames


def with_one_thread(root):
    """What a build computed, chapter by chapter."""
    caches = {chapter: get_cache(execution_cache(root, chapter)) for chapter in Contents(root).chapters}
    return {
        chapter.path.stem: results(cache.merge_match_into_notebook(chapter.notebook)[1])
        for chapter, cache in caches.items()
    }


def with_threads(chapter, root, threads):
    """What a chapter computes with some threads; a claim that fails ends it all."""
    number = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    os.environ.update(kernel_environment() | number)
    notebook, seconds, problem = execute(chapter, root)
    if problem:
        sys.exit(f"With {threads} threads a chapter fails:\n{problem}")
    print(f"{chapter.path.stem} with {threads} threads: {seconds:.0f} s", flush=True)
    return results(notebook)


def changes(chapter, threads, one, more):
    """A row for each claim of a chapter whose number, as it is shown, another number of threads changes."""
    for statement, claim in one.items():
        was, now = claim.words(), more[statement].words()
        if was["measured"] != now["measured"]:
            difference = abs(more[statement].measured - claim.measured)
            share = f"{difference / abs(claim.measured):.1g}" if claim.measured else "–"
            used = f"{100 * difference / claim.width:.1g} %" if claim.width else "–"
            row = [was["measured"], now["measured"], share, was["tolerance"], used]
            yield [chapter, statement.replace("|", "\\|"), threads, *row]


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def main():
    with tempfile.TemporaryDirectory() as name:
        first, second = (built(Path(name) / word) for word in ("one", "two"))
        one, two = site(first), site(second)
        unlike = sorted(file for file in one.keys() | two.keys() if one.get(file) != two.get(file))
        pictures = sum(file.endswith((".png", ".webp")) for file in one)
        print(f"{len(one)} files, {pictures} of them pictures: {len(unlike)} differ", *unlike, flush=True)
        alone = with_one_thread(first)
        counts, rows = [], []
        for threads in MORE_THREADS:
            more = {chapter.path.stem: with_threads(chapter, first, threads) for chapter in Contents(first).chapters}
            other = [
                ours != theirs for name in alone for ours, theirs in zip(alone[name][1], more[name][1], strict=True)
            ]
            changed = [row for name in alone for row in changes(name, threads, alone[name][0], more[name][0])]
            n_claims = sum(len(found) for found, _ in alone.values())
            counts.append([threads, f"{sum(other)} of {len(other)}", f"{len(changed)} of {n_claims}"])
            rows += changed
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(report(counts, rows), encoding="utf-8")
    print(RESULT.read_text(encoding="utf-8"))
    return f"{len(unlike)} files differ between two cold builds." if unlike else None


def report(counts, rows):
    machine = f"{platform.system()}, {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    return "\n\n".join(
        [
            f"What changes when a chapter's kernel has more threads than the one of a build ({machine}). Every claim "
            "holds with each number of threads.",
            table(["threads", "frames that differ", "claims whose shown number differs"], counts),
            table(
                ["chapter", "claim", "threads", "with one", "with more", "relative", "tolerance", "of the tolerance"],
                sorted(rows, key=lambda row: row[:3]),
            )
            if rows
            else "So there is no difference that a tolerance would have to cover.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
