"""``python3 tools/environment.py``: makes ``.venv`` as requirements.txt describes it, or finds that it is made.

``make`` runs it before everything else, with the Python that the machine has. So it needs nothing but the standard
library, and it parses on Python 3.6 too: to say that this is too old.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "made-from.txt"  # written last: an environment without it is a half-made one
SOURCES = ["requirements.txt", "pyproject.toml", "tools/environment.py"]
OLDEST = (3, 11)

# JupyterLab's defaults, kept in the environment: a chapter opens as a notebook, and nothing asks the network for news.
LAB_SETTINGS = {
    "@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Jupytext Notebook"}},
    "@jupyterlab/apputils-extension:notification": {"checkForUpdates": False, "fetchNews": "false"},
}


def refusal(version=sys.version_info, find=importlib.util.find_spec):
    """Why this Python cannot make the environment, in one line; None if it can."""
    number, oldest = "{}.{}".format(*version), "{}.{}".format(*OLDEST)
    if tuple(version[:2]) < OLDEST:
        advice = f"If you have a newer one, name it: make PYTHON=python{oldest} book"
        return f"Python {number} ({sys.executable}) is too old: the book needs {oldest} or later. {advice}"
    for module in ("venv", "ensurepip"):
        if find(module) is None:
            advice = f"On Debian and Ubuntu: sudo apt install python{number}-venv"
            return f"Python {number} ({sys.executable}) has no module {module}, so it can make no environment. {advice}"
    return None


def wanted():
    """What an environment made now is made from, a line each; the first two are what pip alone cannot change."""
    lines = ["Python {}.{}".format(*sys.version_info), f"in {str(ROOT)!a}"]  # a moved environment does not work
    return lines + [f"{name} {hashlib.sha256((ROOT / name).read_bytes()).hexdigest()}" for name in SOURCES]


def found():
    """What the environment in place was made from; nothing if it is not there, not finished, or its Python is gone."""
    if not STAMP.exists() or not (VENV / "bin" / "python").exists():
        return []
    return STAMP.read_text().splitlines()


def make(lock):
    """Make the environment, or bring the one in place up to date. Returns what went wrong in one line, or None."""
    import venv  # not at the top, where its absence would be a traceback

    fresh = found()[:2] != wanted()[:2]
    if STAMP.exists():
        STAMP.unlink()
    print("Setting up .venv with Python {}.{}.{}: minutes, but only once.".format(*sys.version_info), flush=True)
    if fresh:
        try:
            venv.EnvBuilder(clear=True, symlinks=True, with_pip=True).create(str(VENV))
        except (OSError, subprocess.CalledProcessError) as error:
            return f"Python could not make the folder .venv: {error}"
    # The lock goes to pip too: should this script be killed and pip live on, the next command waits for it.
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    if subprocess.run([*pip, "-r", "requirements.txt"], cwd=str(ROOT), pass_fds=[lock]).returncode:
        return "The environment is not set up: pip failed, as said above. Is there a network? Then run the same again."
    settings = VENV / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps(LAB_SETTINGS, indent=2) + "\n")
    STAMP.write_text("\n".join(wanted()) + "\n")
    return None


def lock_folder():
    """Wait for another command that sets up the environment, and hold the next one back until the result is closed."""
    folder = os.open(str(ROOT), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Waiting for another command that sets up .venv.", flush=True)
        fcntl.flock(folder, fcntl.LOCK_EX)
    return folder


def main():
    problem = refusal()
    if problem is None:
        lock = lock_folder()
        try:
            problem = None if found() == wanted() else make(lock)
        finally:
            os.close(lock)
    return problem


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: the next command starts setting up .venv again.")
