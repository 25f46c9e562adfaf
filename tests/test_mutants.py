"""The driver of ``make mutants``: what it runs against a slip, what it keeps, what it reports. Without mutmut."""

import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

FOLDER = Path(__file__).parent / "mutants"
KEY = ("langevin", "mala.evaluate", 'return "σ\\n"', "return None")
OTHER = ("mixtures", "", "_MANY = 128", "_MANY = 129")


@pytest.fixture(scope="module")
def run():
    spec = importlib.util.spec_from_file_location("mutants_run", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_slip_meets_the_tests_of_its_lines_or_else_of_its_function_or_else_of_the_files_that_reach_its_module(run):
    tests = ["a::1", "a::2", "b::1", "b::2", "c::1"]
    places = {2: ["", "b::1"], 3: [""], 4: ["a::1"], 5: ["a::1", "a::2"], 9: ["b::1"]}

    def reaching(lines, around, place="half", places=places):
        mutant = SimpleNamespace(place=place, lines=range(*lines), around=range(*around))
        return run.reaching(mutant, places, tests)

    assert reaching((4, 5), (3, 6)) == {"a::1"}
    assert reaching((4, 6), (3, 6)) == {"a::1", "a::2"}
    assert reaching((3, 4), (3, 6)) == {"a::1", "a::2"}  # a line of its head, which the import executes
    assert reaching((2, 3), (2, 3), place="") == {"a::1", "a::2", "b::1", "b::2"}
    assert reaching((9, 10), (8, 10), place="") == {"b::1"}  # such as what a script does and an import does not
    assert reaching((2, 3), (2, 3), "", {2: [""]}) == set()


def test_every_listed_survivor_is_of_a_module_here_and_says_why(run):
    assert {module for module, *_ in run.listed(run.SURVIVORS)} <= {*run.MODULES}


def test_the_modules_are_those_of_the_package_less_pictures_and_site(run):
    package = run.ROOT / "notes"
    modules = {path.relative_to(package).with_suffix("").as_posix().replace("/", ".") for path in package.rglob("*.py")}
    modules = {name for name in modules if not name.endswith("__init__") and not name.startswith("figures.")}
    assert modules - {*run.MODULES} == {"_mime", "plots", "site.extension", "site.outputs"}
    assert all(run.source_of(name, run.ROOT).exists() for name in run.MODULES)
    assert all((run.ROOT / name).exists() for name in run.TESTS)


def test_an_entry_is_read_as_it_is_printed(run, tmp_path):
    path = tmp_path / "survivors.toml"
    path.write_text(
        f'{run.as_entry(KEY)}\nwhy = "It is so."\n\n{run.as_entry(OTHER)}\nwhy = "So too."', encoding="utf-8"
    )
    assert run.listed(path) == {KEY, OTHER}


@pytest.mark.parametrize("why", ["", 'why = " "', 'why = "So."\nwhen = "now"'])
def test_an_entry_without_a_reason_or_with_more_is_refused(run, tmp_path, why):
    path = tmp_path / "survivors.toml"
    path.write_text(f"{run.as_entry(KEY)}\n{why}\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"^survivors\.toml: an entry needs module, place, before, after and why"):
        run.listed(path)


def test_all_is_well_where_each_slip_is_caught_or_listed(run, capsys):
    assert run.report({KEY: "test_a", OTHER: ""}, {OTHER}, ["langevin", "mixtures"]) == 0
    printed = capsys.readouterr().out
    assert "langevin            1 slips,     1 caught,    0 listed,    0 missed" in printed
    assert "mixtures            1 slips,     0 caught,    1 listed,    0 missed" in printed
    assert "100.00% of the slips that change a result are caught: 2 made, 1 listed." in printed


def test_a_slip_that_no_test_catches_is_reported_as_an_entry_to_paste(run, capsys):
    assert run.report({KEY: "", OTHER: "test_a"}, set(), ["langevin", "mixtures"]) == 1
    printed = capsys.readouterr().out
    entry = tomllib.loads(printed[printed.index("[[survivor]]") : printed.index("\n\n50.00%")])
    assert tuple(entry["survivor"][0][name] for name in run.KEY) == KEY


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({KEY: "test_a", OTHER: "test_b"}, "is caught by test_b: it can go"),
        ({KEY: "test_a"}, "matches no slip: it can go"),
    ],
)
def test_an_entry_that_is_of_no_use_any_more_is_reported(run, capsys, found, said):
    assert run.report(found, {OTHER}, ["langevin", "mixtures"]) == 1
    assert said in capsys.readouterr().out


def test_entries_of_modules_that_were_not_asked_for_are_left_alone(run):
    assert run.report({KEY: "test_a"}, {OTHER}, ["langevin"]) == 0


def test_what_was_found_is_kept_and_is_no_more_than_a_hint_after_a_change(run, tmp_path):
    path = tmp_path / "found.jsonl"
    notes = run.Notes(path, "one")
    notes.add(KEY, "test_a")
    notes.add(OTHER, "")
    again = run.Notes(path, "one")
    assert again.now == notes.now == {KEY: "test_a", OTHER: ""}
    changed = run.Notes(path, "two")
    assert (changed.now, changed.before) == ({}, {KEY: "test_a", OTHER: ""})
    changed.add(KEY, "test_b")
    last = run.Notes(path, "two")
    assert (last.now, last.before) == ({KEY: "test_b"}, {KEY: "test_b", OTHER: ""})
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2  # of each slip only the last word


MEASURE = """
import os, sys
from types import SimpleNamespace
import pytest, run

noted = []
plugin = run.Measure(SimpleNamespace(switch_context=noted.append))
os.chdir(sys.argv[1])
assert pytest.main(["-q", "-p", "no:cacheprovider", "test_toy.py"], plugins=[plugin]) == 0
print(noted, plugin.tests(["", "shared", "test_toy.py::test_c"]), sorted(plugin.seconds))
"""


def test_what_a_shared_fixture_reaches_is_reached_by_each_test_that_has_it(tmp_path):
    (tmp_path / "test_toy.py").write_text(
        textwrap.dedent(
            """
            import pytest

            @pytest.fixture(scope="module")
            def shared(): pass
            @pytest.fixture
            def own(shared): pass
            @pytest.fixture
            def server(): pass
            def test_a(own): pass
            def test_b(shared): pass
            def test_c(): pass
            def test_of_a_site(server): assert False
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], env={"PYTHONPATH": str(FOLDER)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    a, b, c = (f"test_toy.py::test_{name}" for name in "abc")
    noted = [a, "shared", a, a, a, "", b, "", c, ""]  # the fixture at its place, and each time back
    assert done.stdout.splitlines()[-1] == f"{noted} {['', a, b, c]} {[a, b, c]}"


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


ENDLESS = """
import os, sys
from pathlib import Path
from types import SimpleNamespace
import run

run.ROOT, run.WORK = Path(sys.argv[1]), Path(sys.argv[1]) / "_build" / "mutants"
source = "import os\\nos.write(%d, b'!')\\nwhile True: pass" % int(sys.argv[2])
slip = SimpleNamespace(module="toy", key="endless", source=source, place="", lines=[1], around=[1])
test = "tests/test_toy.py::test_nothing"
os.chdir(run.ROOT)
list(run.race([slip], {"seconds": {test: 1.0}, "places": {"toy": {1: [test]}}}, {}))
"""


def test_interrupted_it_ends_at_once_and_with_it_what_it_started(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "notes" / "toy.py").touch()
    (tmp_path / "tests" / "test_toy.py").write_text("import notes.toy\ndef test_nothing(): pass\n")
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as pipe:
        running = subprocess.Popen(
            [sys.executable, "-c", ENDLESS, str(tmp_path), str(writing)],
            env={"PYTHONPATH": str(FOLDER)},
            pass_fds=[writing],
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
        )
        os.close(writing)
        assert pipe.read(1) == b"!"  # the slip is at work
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=10)[1]
        assert said.endswith(b"KeyboardInterrupt\n")
        assert select.select([pipe], [], [], 5)[0]
        assert pipe.read(1) == b""  # nobody holds the other end any more
