"""What a build of the book costs: cold, with nothing changed, and with one chapter edited.

It is done on a copy of the book, with the environment that ``make`` set up.
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import timing

ROOT = Path(__file__).resolve().parent.parent
EDITED = "book/notation.md"


def build(folder):
    """Seconds of a build, and the chapters that ran in it."""
    started = time.perf_counter()
    command = [ROOT / ".venv" / "bin" / "python", "-m", "notes.site.build"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the book does not build:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - started, sorted(re.findall(r"^book/(\w+)\.md: executed", done.stdout, re.M))


def measure():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "book"
        files = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True)
        for file in filter(lambda file: (ROOT / file).is_file(), files.splitlines()):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, folder / file)
        cold, ran = build(folder)
        unchanged = [build(folder)[0] for _ in range(3)]
        page = folder / EDITED
        page.write_text(page.read_text().replace("torch.manual_seed(2026)", "torch.manual_seed(2027)"))
        edited, again = build(folder)
    rows = [
        ["cold", f"{cold:.0f}", f"all {len(ran)}"],
        ["nothing changed", timing.spread(unchanged), "none"],
        [f"`{EDITED}` edited", f"{edited:.0f}", ", ".join(again)],
    ]
    result = {"cold": cold, "unchanged": unchanged, "edited": edited, "ran": again}
    timing.save("book", result, [timing.table(["build", "seconds", "chapters run"], rows)])


if __name__ == "__main__":
    measure()
