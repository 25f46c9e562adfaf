"""``python3 tools/environment.py``: makes ``.venv`` as requirements.txt describes it, or finds that it is made.

``make`` runs it before everything else, with the Python that the machine has. So it needs nothing but the standard
library, and it parses on Python 3.6 too: to say that this is too old.

``python3 tools/environment.py NAME FILE`` makes ``.venv-NAME``: the same packages, and those of the requirements file
FILE, each by itself. One that cannot be installed is left out by name, since the rest is of use without it.
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


def stamp(place):
    """Where an environment says what it was made from. Written last: one without it is half-made."""
    return place / "made-from.txt"


def wanted(more=None):
    """What an environment made now is made from, a line each; the first two are what pip alone cannot change."""
    lines = ["Python {}.{}".format(*sys.version_info), f"in {str(ROOT)!a}"]  # a moved environment does not work
    sources = [*SOURCES, more] if more else SOURCES
    return lines + [f"{name} {hashlib.sha256((ROOT / name).read_bytes()).hexdigest()}" for name in sources]


def found(place):
    """What the environment in place was made from; nothing if it is not there, not finished, or its Python is gone."""
    if not stamp(place).exists() or not (place / "bin" / "python").exists():
        return []
    return stamp(place).read_text(errors="replace").splitlines()


def make(place, lock, more=None):
    """Make the environment, or bring the one in place up to date. Returns what went wrong in one line, or None."""
    import venv  # not at the top, where its absence would be a traceback

    fresh = found(place)[:2] != wanted()[:2]
    if stamp(place).exists():
        stamp(place).unlink()
    print(
        f"Setting up {place.name} with Python {{}}.{{}}.{{}}: minutes, but only once.".format(*sys.version_info),
        flush=True,
    )
    if fresh:
        try:
            venv.EnvBuilder(clear=True, symlinks=True, with_pip=True).create(str(place))
        except (OSError, subprocess.CalledProcessError) as error:
            return f"Python could not make the folder {place.name}: {error}"

    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]

    def install(*arguments):
        # The lock goes to pip too: should this script be killed and pip live on, the next command waits for it.
        command = [*pip, "-r", "requirements.txt", *arguments]
        return subprocess.run(command, cwd=str(ROOT), pass_fds=[lock]).returncode == 0

    if not install():
        return "The environment is not set up: pip failed, as said above. Is there a network? Then run the same again."
    lines = (ROOT / more).read_text().splitlines() if more else []
    lines = [line for line in lines if line and not line.startswith("#")]
    options = [line for line in lines if line.startswith("-")]
    one = place / "one.txt"  # a file, since pip takes the options of a later file for the stronger
    for line in lines:
        if line not in options:
            one.write_text("\n".join([*options, line]) + "\n")
            if not install("-r", str(one)):
                print(f"{line} cannot be installed here, as said above, and is left out.", file=sys.stderr, flush=True)
    settings = place / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps(LAB_SETTINGS, indent=2) + "\n")
    stamp(place).write_text("\n".join(wanted(more)) + "\n")
    return None


def lock_folder():
    """Wait for another command that sets up the environment, and hold the next one back until the result is closed."""
    folder = os.open(str(ROOT), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Waiting for another command that sets up an environment.", flush=True)
        fcntl.flock(folder, fcntl.LOCK_EX)
    return folder


def main(name=None, more=None):
    """Make ``.venv``, or ``.venv-name`` with what the file ``more`` lists too. Returns what went wrong, or None."""
    place = ROOT / (f".venv-{name}" if name else ".venv")
    problem = refusal()
    if problem is None:
        lock = lock_folder()
        try:
            problem = None if found(place) == wanted(more) else make(place, lock, more)
        except OSError as error:
            problem = f"The environment {place.name} cannot be set up: {error}"
        finally:
            os.close(lock)
    return problem


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: the next command starts setting up .venv again.")
