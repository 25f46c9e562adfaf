"""The front door: the environment is made once and whole, or refused in a line; what is promised is there."""

import ast
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import notes

ROOT = Path(__file__).resolve().parent.parent
PROMISED = [
    *[
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "tests/README.md",
        "benchmarks/README.md",
        "LICENSE",
        "CITATION.cff",
        "Makefile",
        "pyproject.toml",
        "requirements.txt",
    ],
    *["_config.yml", "_toc.yml", ".ci/run", ".github/workflows/book.yml", "tools/environment.py"],
]
FIXED = {"jupyter-book": "1.0.4.post1", "jupyterlab": "4.5.11", "jupyterlab-myst": "2.7.0", "torch": "2.13.0"}


@pytest.fixture
def project(tmp_path):
    """A folder with a space in its name, the script in it, and nothing to install."""
    root = tmp_path / "a book"
    (root / "tools").mkdir(parents=True)
    (root / "tools" / "environment.py").write_text((ROOT / "tools" / "environment.py").read_text())
    (root / "requirements.txt").write_text("")
    (root / "pyproject.toml").write_text("")
    return root


@pytest.fixture
def environment(project, monkeypatch):
    """The script as a module, with stand-ins for ``venv`` and ``pip`` that only note when they would have run."""
    spec = importlib.util.spec_from_file_location("environment", project / "tools" / "environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.done, module.asked, module.pip_status = [], [], 0
    module.VENV = project / ".venv"
    module.STAMP = module.stamp(module.VENV)

    class Builder:
        def __init__(self, **options):
            assert options["clear"]  # nothing of an earlier environment stays

        def create(self, folder):
            module.done.append("venv")
            (Path(folder) / "bin").mkdir(parents=True, exist_ok=True)
            (Path(folder) / "bin" / "python").touch()

    def run(command, **options):
        assert not module.STAMP.exists()  # were pip killed now, nobody would take the environment for a good one
        module.done.append("pip")
        more = [Path(word).read_text().splitlines() for word in command if word.endswith("one.txt")]
        module.asked += more or [[]]
        return SimpleNamespace(returncode=1 if "missing==1" in module.asked[-1] else module.pip_status)

    monkeypatch.setattr(venv, "EnvBuilder", Builder)
    monkeypatch.setattr(module.subprocess, "run", run)
    return module


def script(project, *prefix, **variables):
    """Run the script for real, with no network. Returns the finished process."""
    command = [sys.executable, *(prefix or ["tools/environment.py"])]
    variables = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull, **variables}
    return subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, timeout=120)


def test_script_parses_on_an_old_python():
    ast.parse((ROOT / "tools" / "environment.py").read_text(), feature_version=(3, 6))


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 10, 13)])
def test_old_python_is_refused_in_one_line(environment, version):
    reason = environment.refusal(version=version)
    assert f"Python {version[0]}.{version[1]} " in reason
    assert "make PYTHON=python3.11 book" in reason
    assert "\n" not in reason


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 14, 2), (4, 0, 0)])
def test_newer_python_is_taken(environment, version):
    assert environment.refusal(version=version) is None


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_missing_module_is_said_in_one_line(project, module):
    hide = f"util.find_spec = lambda name, find=util.find_spec: None if name == {module!r} else find(name)"
    start = "runpy.run_path('tools/environment.py', run_name='__main__')"
    result = script(project, "-c", f"import runpy; from importlib import util; {hide}; {start}")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert f"no module {module}" in result.stderr
    assert "sudo apt install python{}.{}-venv".format(*sys.version_info) in result.stderr
    assert not (project / ".venv").exists()


def test_environment_is_made_once(environment):
    assert environment.main() is None
    assert environment.main() is None
    assert environment.done == ["venv", "pip"]


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_change_of_a_source_installs_again_into_the_same_environment(environment, project, name):
    environment.main()
    (project / name).write_text("# changed\n")
    assert environment.main() is None
    assert environment.done == ["venv", "pip", "pip"]


@pytest.mark.parametrize("line", [0, 1], ids=["other Python", "moved folder"])
def test_environment_of_another_python_or_place_is_made_anew(environment, line):
    environment.main()
    stamp = environment.STAMP.read_text().splitlines()
    stamp[line] = "something else"
    environment.STAMP.write_text("\n".join(stamp))
    assert environment.main() is None
    assert environment.done == ["venv", "pip", "venv", "pip"]


def test_environment_whose_python_is_gone_is_made_anew(environment):
    environment.main()
    (environment.VENV / "bin" / "python").unlink()
    assert environment.main() is None
    assert environment.done == ["venv", "pip", "venv", "pip"]


def test_failed_or_killed_installation_is_not_taken_for_good(environment):
    environment.pip_status = -9
    assert "pip failed" in environment.main()
    environment.pip_status = 0
    assert environment.main() is None
    assert environment.done == ["venv", "pip", "venv", "pip"]


def test_failed_update_is_not_taken_for_good(environment, project):
    environment.main()
    (project / "requirements.txt").write_text("# changed\n")
    environment.pip_status = 1
    assert "pip failed" in environment.main()
    (project / "requirements.txt").write_text("")  # as it was when all was well, but who knows what pip left
    environment.pip_status = 0
    assert environment.main() is None
    assert environment.done == ["venv", "pip", "pip", "venv", "pip"]


def test_lab_opens_markdown_as_notebook_by_a_setting_inside_the_environment(environment):
    environment.main()
    settings = yaml.safe_load((environment.VENV / "share/jupyter/lab/settings/overrides.json").read_text())
    assert settings["@jupyterlab/docmanager-extension:plugin"]["defaultViewers"] == {"markdown": "Jupytext Notebook"}


def test_further_environment_leaves_out_by_name_what_cannot_be_installed(environment, project, capsys):
    (project / "more.txt").write_text("# peers\n--no-binary slow\n\nmissing==1\nslow==2\n")
    assert environment.main("bench", "more.txt") is None
    assert environment.asked == [[], ["--no-binary slow", "missing==1"], ["--no-binary slow", "slow==2"]]
    assert "missing==1 cannot be installed here" in capsys.readouterr().err
    assert environment.main("bench", "more.txt") is None
    assert environment.done == ["venv", "pip", "pip", "pip"]  # and it is made once
    assert environment.stamp(project / ".venv-bench").exists()
    assert not environment.VENV.exists()
    (project / "more.txt").write_text("slow==2\n")
    environment.main("bench", "more.txt")
    assert environment.done == ["venv", "pip", "pip", "pip", "pip", "pip"]


def test_for_real(project):
    first, second = script(project), script(project)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "Setting up .venv" in first.stdout
    assert second.stdout + second.stderr == ""
    python = project / ".venv" / "bin" / "python"
    assert subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0

    (project / "requirements.txt").write_text("no-such-package-anywhere==1.0\n")
    failed = script(project)
    assert failed.returncode == 1
    assert "No matching distribution found" in failed.stderr  # pip's own word is not swallowed
    assert failed.stderr.splitlines()[-1].startswith("The environment is not set up: pip failed")
    assert "Traceback" not in failed.stderr


def recipes():
    """The Makefile's targets and their recipes' lines."""
    found = {}
    for line in (ROOT / "Makefile").read_text().splitlines():
        if target := re.match(r"([a-z-]+):", line):
            lines = found[target[1]] = []
        elif line.startswith("\t"):
            lines.append(line)
    return found


def test_targets_are_there_and_short():
    assert {"book", "test", "lab", "clean"} <= recipes().keys()
    assert {name: len(lines) for name, lines in recipes().items() if not 1 <= len(lines) <= 3} == {}


def make(*arguments):
    """Run make as from a terminal, also where make runs these tests. Returns the finished process."""
    variables = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60)


def test_make_names_a_python_that_is_not_there():
    result = make("PYTHON=/no/python/here", "book")
    assert result.returncode != 0
    assert result.stderr.startswith("There is no /no/python/here")


def test_make_alone_says_what_there_is():
    assert {line.split(":")[0] for line in make().stdout.splitlines()} == {f"make {name}" for name in recipes()}


def pins():
    """The lines of requirements.txt that name a package."""
    lines = (line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def test_every_requirement_is_pinned_exactly_and_once():
    for pin in pins():
        assert re.fullmatch(r"==[0-9a-z.]+", str(pin.specifier)), pin
    names = [canonicalize_name(pin.name) for pin in pins()]
    assert len(names) == len(set(names))
    versions = {canonicalize_name(pin.name): str(pin.specifier).lstrip("=") for pin in pins()}
    assert {name: versions[name] for name in FIXED} == FIXED


def test_requirements_name_all_that_is_installed():
    if not (ROOT / ".venv" / "made-from.txt").exists() or Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("not in the environment that make sets up: run make test")
    pinned = {canonicalize_name(pin.name): pin for pin in pins()}
    missing, different = [], []
    for package in importlib.metadata.distributions():
        pin = pinned.get(canonicalize_name(package.name))
        if pin and package.version.split("+")[0] not in pin.specifier:
            different.append((package.name, package.version))
        brought = map(Requirement, package.requires or [])
        for need in (need for need in brought if not need.marker or need.marker.evaluate({"extra": ""})):
            # What torch's default build brings of CUDA is pinned by torch, differently on each kind of machine.
            if canonicalize_name(need.name) not in pinned and not re.match("nvidia|cuda|triton", need.name):
                missing.append((package.name, need.name))
    assert (missing, different) == ([], [])


def test_package_itself_is_installed_with_its_requirements():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert "-e ." in lines
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {canonicalize_name(pin.name): str(pin.specifier).lstrip("=") for pin in pins()}
    for need in map(Requirement, project["dependencies"]):
        assert pinned[canonicalize_name(need.name)] in need.specifier, need


def tracked():
    """The files that git keeps or would be asked to keep."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        pytest.skip(f"not a git checkout that can be read: {result.stderr.strip()}")
    return [ROOT / name for name in result.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_the_host_of_a_package_registry():
    hosts = ["pypi org", "pythonhosted org", "download pytorch org", "npmjs org", "npmjs com", "anaconda org"]
    hosts = [host.replace(" ", ".") for host in hosts]  # so that this file names none either
    pattern = re.compile("|".join(map(re.escape, hosts)).encode())
    assert [str(path.relative_to(ROOT)) for path in tracked() if pattern.search(path.read_bytes())] == []


@pytest.mark.parametrize("name", PROMISED)
def test_promised_file_is_there(name):
    assert (ROOT / name).stat().st_size > 0


def test_license_covers_code_and_text():
    text = (ROOT / "LICENSE").read_text()
    assert "MIT License" in text
    assert "https://creativecommons.org/licenses/by/4.0/" in text


def test_citation_and_list_of_changes_agree_with_the_book_and_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["title"] == yaml.safe_load((ROOT / "_config.yml").read_text())["title"]
    assert str(citation["version"]) == notes.__version__
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == notes.__version__


def test_ci_stops_at_the_first_failure_and_requires_the_browser():
    path = ROOT / ".ci" / "run"
    assert os.access(path, os.X_OK)
    assert subprocess.run(["bash", "-n", path]).returncode == 0
    steps = ["set -euo pipefail", "NOTES_REQUIRE_BROWSER=1", "ruff check", "rm -rf _build", "make book", "make test"]
    positions = [path.read_text().index(step) for step in steps]
    assert positions == sorted(positions)


def test_hosted_ci_runs_the_same_script_with_the_least_rights():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "book.yml").read_text())
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in build
    assert publish["permissions"] == {"pages": "write", "id-token": "write"}
    assert publish["if"] == "github.ref == 'refs/heads/main'"
    assert any(".ci/run" in step.get("run", "") for step in build["steps"])


def test_hosted_ci_hands_no_secret_and_no_foreign_text_to_a_command():
    """What others write, as a branch's name or a title, never stands in a script, and no step sees a secret."""
    text = (ROOT / ".github" / "workflows" / "book.yml").read_text()
    workflow = yaml.safe_load(text)
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert set(workflow["jobs"]) == {"build", "publish"}
    assert not any("${{" in step.get("run", "") for step in steps)
    assert "secrets." not in text
    assert set(workflow[True]) == {"push", "pull_request", "workflow_dispatch"}  # YAML reads "on" as a truth value
    (checkout,) = (step for step in steps if step.get("uses", "").startswith("actions/checkout@"))
    assert checkout["with"]["persist-credentials"] is False
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]) for step in steps if "uses" in step)


@pytest.fixture(scope="module")
def audit():
    """The script of make audit as a module."""
    spec = importlib.util.spec_from_file_location("audit", ROOT / "tools" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GOOD = {"name": "a", "version": "1.0", "vulns": []}
BAD = {"name": "b", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1", "3.0"]}]}
UNKNOWN = {"name": "c", "skip_reason": "c (3.0) is not known"}


@pytest.mark.parametrize(
    ("packages", "lines", "well"),
    [
        ([GOOD], ["No known vulnerability in 1 packages."], True),
        ([GOOD, BAD], ["b 2.0: PYSEC-1, fixed in 2.1, 3.0"], False),
        ([GOOD, UNKNOWN], ["c (3.0) is not known"], False),
        ([UNKNOWN, UNKNOWN], ["No audit: not one of 2 packages could be looked up. Is there a network?"], False),
        (None, ["No audit: the advisories cannot be reached. ConnectionError: no such host"], False),
    ],
)
def test_an_audit_counts_only_what_was_looked_up(audit, packages, lines, well):
    printed = json.dumps({"dependencies": packages, "fixes": []}) if packages else ""
    assert audit.verdict(printed, "Traceback\nConnectionError: no such host\n") == (lines, well)


@pytest.mark.built
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_example_of_the_readme_runs_as_pasted(dtype, monkeypatch):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    names, before = {}, torch.get_default_dtype()
    monkeypatch.setenv("TQDM_DISABLE", "1")
    try:
        torch.set_default_dtype(dtype)
        with torch.random.fork_rng():
            exec(example, names)
    finally:
        torch.set_default_dtype(before)
    assert names["path"].shape == (11, 2_000, 2)
    assert names["learned"].dtype == dtype


def test_the_readme_lists_every_chapter():
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
    chapters = [entry["file"] for part in parts for entry in part["chapters"]]
    numbered = [name for name in chapters if "You will be able to" in (ROOT / f"{name}.md").read_text(encoding="utf-8")]
    listed = re.findall(r"^\d\. \[.*?\]\((.*?)\.md\)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == numbered != []
