"""``make mutants`` says that all is well only where it is: what is not here would show as a slip that was missed."""

import importlib.util
import json
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "mutants"
KEY = ("langevin", "mala.evaluate", 'return "σ\\n"', "return None")
OTHER = ("_attention", "", "THIN = 16", "THIN = 17")


@pytest.fixture(scope="module")
def run():
    spec = importlib.util.spec_from_file_location("mutants_run", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_modules_are_those_of_the_package_less_pictures_and_site(run):
    package = run.ROOT / "notes"
    modules = {path.relative_to(package).with_suffix("").as_posix().replace("/", ".") for path in package.rglob("*.py")}
    modules = {name for name in modules if not name.endswith("__init__") and not name.startswith("figures.")}
    pages = "accessible captions cards extension kernels navigation notebooks outputs pdf plain public search weight"
    assert modules - {*run.MODULES} == {"_mime", "plots", "site.film", *(f"site.{name}" for name in pages.split())}
    assert {module for module, *_ in run.listed(run.SURVIVORS)} <= {*run.MODULES}


@pytest.mark.parametrize("why", ["", 'why = " "'])
def test_a_listed_survivor_says_why(run, tmp_path, why):
    path = tmp_path / "survivors.toml"
    path.write_text(f"{run.as_entry(KEY)}\n{why}\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"^survivors\.toml: an entry needs module, place, before, after and why"):
        run.listed(path)


@pytest.mark.parametrize(
    ("found", "known", "status", "said"),
    [
        ({KEY: "test_a", OTHER: ""}, {OTHER}, 0, "100.00% of the slips that change a result are caught"),
        ({KEY: "", OTHER: "test_a"}, set(), 1, "1 missed"),
        ({KEY: "test_a", OTHER: "test_b"}, {OTHER}, 1, "is caught by test_b: it can go"),
        ({KEY: "test_a"}, {OTHER}, 1, "matches no slip: it can go"),
    ],
)
def test_all_is_well_where_each_slip_is_caught_or_listed_and_each_entry_is_of_use(
    run, capsys, found, known, status, said
):
    assert run.report(found, known, [KEY[0], OTHER[0]]) == status
    printed = capsys.readouterr().out
    assert said in printed
    if "1 missed" in printed:
        entry = tomllib.loads(printed[printed.index("[[survivor]]") : printed.index("\n\n50.00%")])
        assert tuple(entry["survivor"][0][name] for name in run.KEY) == KEY


def test_what_was_found_is_no_more_than_a_hint_after_a_change(run, tmp_path):
    path = tmp_path / "found.jsonl"
    run.Notes(path, "one").add(KEY, "test_a")
    assert run.Notes(path, "one").now == {KEY: "test_a"}
    changed = run.Notes(path, "two")
    assert (changed.now, changed.before) == ({}, {KEY: "test_a"})


RACE = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
import run

run.ROOT, run.WORK, run.PATIENCE = Path(sys.argv[1]), Path(sys.argv[1]) / "_build" / "mutants", 1
slips = {
    "wrong": "def double(x):\\n    return 3 * x",
    "same": "def double(x):\\n    return x + x",
    "endless": "def double(x):\\n    while True: pass",
    "no module": "raise OSError",
    "exit": "def double(x):\\n    import os; os._exit(0)",
}
there = {"place": "double", "lines": [1], "around": [1]}
slips = [SimpleNamespace(module="toy", key=key, source=text, **there) for key, text in slips.items()]
slips.append(SimpleNamespace(module="untested", key="untested", source="", **there))
tests = ["tests/test_toy.py::test_double", "tests/test_toy.py::test_nothing"]
measured = {"seconds": dict.fromkeys(tests, 0.01), "places": {"toy": {1: tests}, "untested": {1: []}}}
import os
os.chdir(run.ROOT)
print(json.dumps({slip.key: caught_by for slip, caught_by in run.race(slips, measured, {})}))
"""


def test_slips_are_caught_by_a_test_that_fails_or_never_ends_and_by_the_import(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "tests").mkdir()
    toy = "def double(x):\n    return 2 * x\n"
    (tmp_path / "notes" / "toy.py").write_text(toy)
    (tmp_path / "tests" / "test_toy.py").write_text(
        textwrap.dedent(
            """
            from notes.toy import double

            def test_nothing(): pass
            def test_double(): assert double(4) == 8
            def test_that_is_not_chosen(): assert False
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "-c", RACE, str(tmp_path)], env={"PYTHONPATH": str(FOLDER)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    double = "tests/test_toy.py::test_double"
    expected = {"wrong": double, "same": "", "endless": double, "no module": "the import", "exit": double}
    expected["untested"] = ""
    assert json.loads(done.stdout.splitlines()[-1]) == expected
    assert (tmp_path / "notes" / "toy.py").read_text() == toy
