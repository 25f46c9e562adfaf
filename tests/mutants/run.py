"""``python tests/mutants/run.py [module …]``: makes each slip in the package in turn, and sees that a test fails.

Prints the slips that every test lets pass and survivors.toml does not list, and then ends with 1. What was found is
kept in _build/mutants: an interrupted run goes on where it was, and after a change to the package or the tests each
slip first meets the test that caught it before.
"""

import collections
import contextlib
import gc
import hashlib
import importlib
import itertools
import json
import os
import resource
import shutil
import signal
import sys
import time
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "_build" / "mutants"
SURVIVORS = Path(__file__).with_name("survivors.toml")
KEY = ("module", "place", "before", "after")

# All of the package but its pictures (plots, figures), two names (_mime) and what makes pages of them (the parts of the
# Sphinx extension, the PDF), whose tests are pixels and whole books in a browser.
MODULES = ["_numbers", "_arguments", "_extras", "_threads", "_attention", "_mixing", "mixtures", "langevin"]
MODULES += ["fokker_planck", "score_matching", "networks", "training", "diffusion", "_progress", "claims", "explore"]
MODULES += ["full_covariance", "images", "inpainting", "scenes", "playground"]
MODULES += [f"site.{name}" for name in ["build", "contents", "dependencies", "figure", "formulas", "policy", "links"]]

# Not those that compare the text of a module: a slip would fail them whatever it does.
TESTS = ["arguments", "mixtures", "langevin", "fokker_planck", "score_matching", "networks", "training", "diffusion"]
TESTS += ["full_covariance", "images", "inpainting", "scenes", "playground"]
TESTS = [f"tests/test_{name}.py" for name in [*TESTS, "claims", "explore", "reference", "threads", "extras"]]
TESTS += [
    f"tests/site/test_{name}.py"
    for name in ["build_parts", "contents", "dependencies", "figure", "formulas", "policy", "links"]
]
SLOW = {"chromium", "server", "tiny_book"}  # what needs a whole site is left out too
PASSED = 99  # the exit status of a process in which every test passed: none that a slip could bring about
IMPORT = ""  # the name under which coverage notes what ran outside the tests
OTHERS = 20  # seconds of the tests in the files of other modules
PATIENCE = 20  # seconds for a test, beyond ten times what it takes: a slip may make a loop endless

# What the tests import. It is loaded once; each slip then has a copy of this process to itself.
LOADED = ["torch", "scipy.stats", "scipy.integrate", "scipy.special", "sklearn.neighbors", "sklearn.model_selection"]
LOADED += ["sklearn.datasets", "sklearn.mixture", "skimage.metrics", "scipy.linalg"]
LOADED += ["hypothesis", "IPython.display", "ipywidgets", "matplotlib.backends.backend_agg", "tqdm.auto"]
LOADED += ["bs4", "jupyter_book.cli.main", "jupyter_cache", "myst_nb.core.read", "nbclient", "nbformat", "sympy"]
LOADED += ["selenium.webdriver.common.by", "selenium.webdriver.support.ui", "sphinx.application"]
LOADED += ["mpl_toolkits.mplot3d", "jupytext", "myst_nb.sphinx_ext", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
LOADED += ["sphinx.builders.html", "fontTools.subset", "quickjs"]


class Measure:
    """Notes for each test how long it takes, and that it ran: coverage notes which lines it reaches.

    What a fixture for several tests reaches, each of them reaches; it runs under its own name.
    """

    def __init__(self, coverage):
        self.coverage, self.seconds, self.users, self.at = coverage, {}, collections.defaultdict(list), IMPORT

    def pytest_collection_modifyitems(self, items):
        items[:] = [item for item in items if not SLOW & {*item.fixturenames}]
        for item in items:
            for name in item.fixturenames:
                self.users[name].append(item.nodeid)

    @contextlib.contextmanager
    def _under(self, name):
        before, self.at = self.at, name
        self.coverage.switch_context(name)
        try:
            yield
        finally:
            self.at = before
            self.coverage.switch_context(before)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        started = time.perf_counter()
        with self._under(item.nodeid):
            result = yield
        self.seconds[item.nodeid] = time.perf_counter() - started
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        with self._under(self.at if fixturedef.scope == "function" else fixturedef.argname):
            return (yield)

    def tests(self, names):
        """The tests that reach a line which ran under these names."""
        return sorted({test for name in names for test in self.users.get(name, [name])})


class Attack:
    """Runs of a file the tests named, in that order, and ends the process at the first that fails.

    ``at`` then holds its name.
    """

    def __init__(self, tests, seconds, at):
        self.order, self.seconds, self.at = {test: i for i, test in enumerate(tests)}, seconds, at

    def pytest_collection_modifyitems(self, items):
        items[:] = [item for item in items if item.nodeid in self.order]
        items.sort(key=lambda item: self.order[item.nodeid])

    def pytest_runtest_protocol(self, item):
        self.at.write_text(item.nodeid)
        signal.alarm(PATIENCE + int(10 * self.seconds[item.nodeid]))  # then the process is killed

    def pytest_runtest_logreport(self, report):
        if report.failed:
            os._exit(1)

    def pytest_collectreport(self, report):
        if report.failed:
            os._exit(1)

    def pytest_sessionfinish(self, exitstatus):
        if exitstatus != pytest.ExitCode.OK:
            os._exit(1)


def run_tests(folder, files, plugin):
    """Run tests with the package in a folder. To be called in a copy of this process, in which it is not yet loaded."""
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = str(folder)
    os.dup2(os.open(folder / "printed.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(1, 2)
    options = ["-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:unraisableexception"]  # it looks for garbage
    options += [f"--basetemp={folder / 'tmp'}", f"--rootdir={ROOT}"]
    return pytest.main([*options, *files], plugins=[plugin])


def file_of(test):
    return test.split("::")[0]


def own_file(module):
    """The file of a module's tests, which mirror the package."""
    name = {
        "_attention": "mixtures",
        "_mixing": "mixtures",
        "_numbers": "arguments",
        "site.build": "site.build_parts",
    }.get(module, module)
    folder, _, name = name.rpartition(".")
    return "/".join(["tests", *folder.split(), f"test_{name.removeprefix('_')}.py"])


def measure(folder):
    """How long each test takes and, for each module and line, which tests reach it, as JSON in the folder."""
    import coverage

    watch = coverage.Coverage(data_file=None, include=[str(folder / "notes" / "*")], config_file=False)
    plugin = Measure(watch)
    sys.path.insert(0, str(folder))
    watch.start()
    for module in MODULES:  # before any test, and so without a name
        importlib.import_module(f"notes.{module}")
    failed = run_tests(folder, TESTS, plugin)
    watch.stop()
    data, places = watch.get_data(), {}
    for module in MODULES:
        lines = data.contexts_by_lineno(str(source_of(module, folder)))
        places[module] = {line: plugin.tests(names) for line, names in lines.items()}
    (folder / "measured.json").write_text(json.dumps({"seconds": plugin.seconds, "places": places}))
    return failed


def attack(folder, tests, seconds):
    resource.setrlimit(resource.RLIMIT_AS, (2**34, 2**34))
    for file in dict.fromkeys(file_of(test) for test in tests):  # one by one: the first catches most, and loads quickly
        signal.alarm(3 * PATIENCE)  # for the import
        run_tests(folder, [file], Attack(tests, seconds, folder / "at"))
    os._exit(PASSED)  # at once: Python would tidy up


def copy_of_this_process(function, *arguments):
    """Start it on a function that returns an exit status. Returns its number, which is that of its group too."""
    number = os.fork()
    if number:
        return number
    status = 70
    try:
        os.setsid()
        status = int(function(*arguments))
    finally:
        os._exit(status)


def reaching(mutant, places, tests):
    """Those of the tests that reach a slip: its lines, or its function or class where the import executes those.

    Outside of functions and classes: all tests in the files of those that reach any line of the module.
    """

    def reach(lines):
        return {test for line in lines for test in places.get(line, ())}

    if (found := reach(mutant.lines)) and IMPORT not in found:
        return found
    if mutant.place and (found := reach(mutant.around) - {IMPORT}):
        return found
    files = {file_of(test) for test in reach(places)}
    return {test for test in tests if file_of(test) in files}


def in_turn(tests, seconds, own, caught_by):
    """First the test that caught a slip before, then those of the module's own file, then the quickest of the others.

    Of the others no more than some seconds: what guards a module stands in its file.
    """
    tests = sorted(tests, key=lambda test: (test != caught_by, file_of(test) != own, seconds[test]))
    spent = itertools.accumulate(0 if file_of(test) == own else seconds[test] for test in tests)
    return [test for test, so_far in zip(tests, spent, strict=True) if test == caught_by or so_far < OTHERS]


def race(mutants, measured, before):
    """Make the slips, several at a time. Yields each with the test that caught it; an empty name where none did."""
    seconds, running, waiting = measured["seconds"], {}, collections.deque(mutants)
    free = [fresh_folder(f"slot{i}") for i in range(len(os.sched_getaffinity(0)))]
    try:
        while waiting or running:
            while waiting and free:
                mutant, folder = waiting.popleft(), free.pop()
                tests = reaching(mutant, measured["places"][mutant.module], seconds)
                tests = in_turn(tests, seconds, own_file(mutant.module), before.get(mutant.key))
                if not tests:
                    free.append(folder)
                    yield mutant, ""
                    continue
                (folder / "at").write_text("the import")
                source_of(mutant.module, folder).write_text(mutant.source, encoding="utf-8")
                running[copy_of_this_process(attack, folder, tests, seconds)] = mutant, folder
            if not running:
                break
            number, status = os.wait()
            kill_group(number)  # what it may have started
            mutant, folder = running.pop(number)
            shutil.copy(source_of(mutant.module, ROOT), source_of(mutant.module, folder))
            free.append(folder)
            yield mutant, "" if os.waitstatus_to_exitcode(status) == PASSED else (folder / "at").read_text()
    finally:
        for number in running:
            kill_group(number)


def kill_group(number):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(number, signal.SIGKILL)


def fresh_folder(name):
    """A folder with a copy of the package."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "notes", folder / "notes", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def source_of(module, folder):
    """The file of a module of the package, in a folder that holds the package."""
    return (folder / "notes" / module.replace(".", "/")).with_suffix(".py")


def digest():
    """Of all that decides what a slip does."""
    files = sorted([*(ROOT / "notes").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), ROOT / "requirements.txt"])
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


class Notes:
    """What was found, a line for each slip, in a file that outlives this run."""

    def __init__(self, path, made_from):
        self.path, self.made_from = path, made_from
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        last = {tuple(key): (caught_by, made) for *key, caught_by, made in map(json.loads, lines)}
        self.before = {key: caught_by for key, (caught_by, made) in last.items()}
        self.now = {key: caught_by for key, (caught_by, made) in last.items() if made == made_from}
        path.write_text("".join(self._line(key, *found) for key, found in last.items()), encoding="utf-8")

    def add(self, key, caught_by):
        self.now[key] = caught_by
        with self.path.open("a", encoding="utf-8") as file:
            file.write(self._line(key, caught_by, self.made_from))

    @staticmethod
    def _line(key, caught_by, made_from):
        return json.dumps([*key, caught_by, made_from], ensure_ascii=False) + "\n"


def listed(path):
    """The slips that are known to change nothing; each must say why."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", [])
    for given in entries:
        if not given.get("why", "").strip() or {*given} != {*KEY, "why"}:
            raise SystemExit(f"{path.name}: an entry needs {', '.join(KEY)} and why, got {given}")
    return {tuple(given[name] for name in KEY) for given in entries}


def report(found, known, modules):
    """Print the score and what is wrong; returns the exit status. ``found``: for each slip the test that caught it."""
    passed = {key for key, caught_by in found.items() if not caught_by}
    known = {key for key in known if key[0] in modules}
    for module in modules:
        keys = [key for key in found if key[0] == module]
        caught = len(keys) - len(passed & {*keys})
        rest = len({*keys} & passed & known)
        print(
            f"{module:15} {len(keys):5} slips, {caught:5} caught, {rest:4} listed, {len(keys) - caught - rest:4} missed"
        )
    for key in sorted(passed - known):
        print("\nNo test fails, and survivors.toml does not list it:\n" + as_entry(key))
    for key in sorted(known - passed):
        what = f"is caught by {found[key]}" if key in found else "matches no slip"
        print(f"\nThis entry of survivors.toml {what}: it can go.\n{as_entry(key)}")
    rest = len(passed & known)
    score = (len(found) - len(passed)) / (len(found) - rest)
    print(f"\n{score:.2%} of the slips that change a result are caught: {len(found)} made, {rest} listed.")
    return 1 if passed ^ known else 0


def as_entry(key):
    values = (json.dumps(value, ensure_ascii=False) for value in key)
    return "\n".join(["[[survivor]]", *(f"{name} = {value}" for name, value in zip(KEY, values, strict=True))])


def main(modules):
    import slips

    if unknown := {*modules} - {*MODULES}:
        raise SystemExit(f"there is no module {', '.join(unknown)} here; there are {', '.join(MODULES)}")
    os.chdir(ROOT)
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()  # the copies need not look through all of this for garbage
    import hypothesis

    first = [hypothesis.Phase.explicit, hypothesis.Phase.generate]  # an example that fails need not be the smallest
    hypothesis.settings.register_profile("mutants", phases=first, database=None, deadline=None)
    hypothesis.settings.load_profile("mutants")

    known = listed(SURVIVORS)
    WORK.mkdir(parents=True, exist_ok=True)
    made_from = digest()
    measured = WORK / f"measured-{made_from}.json"
    if not measured.exists():
        print("Each test once, to see what it reaches.", flush=True)
        folder = fresh_folder("measure")
        number = copy_of_this_process(measure, folder)
        try:
            _, status = os.waitpid(number, 0)
        finally:
            kill_group(number)  # it knows of no Ctrl-C
        if status:
            raise SystemExit(f"The tests must pass before anything is broken:\n{(folder / 'printed.txt').read_text()}")
        for old in WORK.glob("measured-*.json"):
            old.unlink()
        shutil.move(folder / "measured.json", measured)
    reached = json.loads(measured.read_text())
    for module, lines in reached["places"].items():
        reached["places"][module] = {int(line): tests for line, tests in lines.items()}

    found = Notes(WORK / "found.jsonl", made_from)
    sources = {name: source_of(name, ROOT).read_text(encoding="utf-8") for name in modules}
    mutants = [mutant for name, source in sources.items() for mutant in slips.of(name, source)]
    waiting = [mutant for mutant in mutants if mutant.key not in found.now]
    # Without tqdm: the copies would have its bar too, and share its lock, which one that is killed never gives back.
    there = len(mutants) - len(waiting)
    with contextlib.closing(race(waiting, reached, found.before)) as results:
        for done, (mutant, caught_by) in enumerate(results, start=there + 1):
            found.add(mutant.key, caught_by)
            print(f"\r{done} of {len(mutants)} slips", end="", flush=True)
    print()
    return report({mutant.key: found.now[mutant.key] for mutant in mutants}, known, modules)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:] or MODULES))
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: the same command goes on from here.")
