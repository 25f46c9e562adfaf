"""``python tools/audit.py``: whether a version pinned in requirements.txt has a known vulnerability, says pip-audit.

``make audit`` runs it. pip-audit lives in ``.venv-audit``, apart from what it looks at. Left to itself it calls all
well when it could look nothing up; here only what was looked up counts.
"""

import json
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv-audit"
TOOL = ROOT / "tests" / "audit-requirements.txt"


def make():
    """Make the environment of pip-audit, or bring it up to date. Returns what went wrong in one line, or None."""
    stamp = VENV / "made-from.txt"
    if stamp.exists() and stamp.read_text() == TOOL.read_text():
        return None
    venv.EnvBuilder(clear=True, symlinks=True, with_pip=True).create(VENV)
    pip = [VENV / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet"]
    if subprocess.run([*pip, "-r", TOOL]).returncode:
        return "No audit: pip could not install pip-audit, as said above. Is there a network? Then run the same again."
    stamp.write_text(TOOL.read_text())
    return None


def ask():
    """What pip-audit prints as JSON, and what it says besides."""
    options = ["--format=json", "--progress-spinner=off", "--disable-pip", "--no-deps", "-r", "requirements.txt"]
    command = [VENV / "bin" / "python", "-m", "pip_audit", *options]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return run.stdout, run.stderr


def verdict(printed, said):
    """The lines to show, and whether every package was looked up and none has a known vulnerability."""
    try:
        packages = json.loads(printed)["dependencies"]
    except ValueError:
        reason = said.strip().splitlines()[-1] if said.strip() else "pip-audit says nothing"
        return [f"No audit: the advisories cannot be reached. {reason}"], False
    known = [package for package in packages if "skip_reason" not in package]
    if not known:
        return [f"No audit: not one of {len(packages)} packages could be looked up. Is there a network?"], False
    lines = [
        f"{package['name']} {package['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'none'}"
        for package in known
        for found in package["vulns"]
    ]
    lines += [package["skip_reason"] for package in packages if "skip_reason" in package]
    return lines or [f"No known vulnerability in {len(known)} packages."], not lines


def main():
    problem = make()
    if problem is None:
        lines, well = verdict(*ask())
        print("\n".join(lines), file=sys.stdout if well else sys.stderr)
        return 0 if well else 1
    return problem


if __name__ == "__main__":
    sys.exit(main())
