"""``python3 tools/newest.py``: the package's tests against the newest numpy, matplotlib and ipywidgets.

It makes ``.venv-newest`` anew, with all else as requirements.txt pins it, says what it found, and runs the tests that
need no site.
"""

import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".venv-newest"
NEWEST = ["numpy", "matplotlib", "ipywidgets"]
THEIRS = ["contourpy", "jupyterlab_widgets", "widgetsnbextension"]  # made for them, and free with them
TESTS = [
    *["mixtures", "langevin", "fokker_planck", "score_matching", "networks", "training"],
    *["plots", "figures", "claims", "explore", "package"],
]


def requirements():
    """The lines of requirements.txt, without the versions of what is to be the newest."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = [re.match(r"[\w-]*", line)[0].replace("-", "_") for line in lines]
    pins = [line for line, name in zip(lines, names, strict=True) if name not in {*NEWEST, *THEIRS}]
    return "\n".join([*pins, *NEWEST]) + "\n"


def main():
    venv.EnvBuilder(clear=True, symlinks=True, with_pip=True).create(PLACE)
    wanted = PLACE / "requirements.txt"
    wanted.write_text(requirements(), encoding="utf-8")
    python = PLACE / "bin" / "python"
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    if subprocess.run([*pip, "install", "--no-input", "--quiet", "-r", wanted], cwd=ROOT).returncode:
        return "The newest releases cannot be installed beside the rest, as pip says above."
    versions = subprocess.run([*pip, "freeze", "--all"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    print(*re.findall(rf"^(?:{'|'.join([*NEWEST, *THEIRS, 'torch'])})==.*", versions, re.MULTILINE), flush=True)
    tests = [ROOT / "tests" / f"test_{name}.py" for name in TESTS]
    if subprocess.run([python, "-m", "pytest", *tests], cwd=ROOT).returncode:
        return (
            "The package does not work with the newest releases, as the tests say above: mend it, or pin with a reason."
        )
    return None


if __name__ == "__main__":
    sys.exit(main())
