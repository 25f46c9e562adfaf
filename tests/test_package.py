"""The package as a whole: importing it does nothing, and its modules know of each other in one direction only."""

import ast
import importlib
import importlib.metadata
import inspect
import itertools
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jupytext
import pytest

import notes

FOLDER = Path(notes.__file__).parent
SOURCES = {
    ".".join(("notes", *path.relative_to(FOLDER).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(FOLDER.rglob("*.py"))
}
MATHEMATICS = ["mixtures", "langevin", "fokker_planck", "score_matching", "networks", "training", "diffusion"]
MATHEMATICS += ["full_covariance", "images", "inpainting"]
MATHEMATICS = {f"notes.{name}" for name in MATHEMATICS}
BOOK = {f"notes.{name}" for name in ("explore", "claims", "playground")} | {
    name for name in SOURCES if name.startswith("notes.site")
}


def imports(name):
    """The modules that a module imports by name, wherever in it, in full."""
    path = SOURCES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) + 1 - node.level]) if node.level else ""
            base = ".".join(filter(None, [base, node.module]))
            found |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in SOURCES else base for alias in node.names}
    return found


def reaches(name):
    """The modules of the package that a module imports, directly or through others."""
    seen, waiting = set(), [name]
    while waiting:
        for found in imports(waiting.pop()) & set(SOURCES) - seen:
            seen.add(found)
            waiting.append(found)
    return seen


def is_figure(name):
    return name.startswith("notes.figures.")


def fresh(code, *arguments):
    """What code prints as JSON in an interpreter of its own, where it must print nothing else and warn of nothing."""
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    return json.loads(run.stdout)


IMPORT_EACH = """
import importlib, json, locale, logging, os, random, signal, socket, sys, warnings

outside, inside = json.loads(sys.argv[1])
for name in outside:
    importlib.import_module(name)

import matplotlib, numpy, torch

def refuse(*args, **kwargs):
    raise AssertionError("the network was asked for")

socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse

def state():
    return {
        "torch random state": torch.get_rng_state().tolist(),
        "NumPy random state": repr(numpy.random.get_state()),
        "Python random state": repr(random.getstate()),
        "torch settings": repr((torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(),
                                torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision(),
                                torch._tensor_str.PRINT_OPTS)),
        "NumPy settings": repr((numpy.geterr(), numpy.get_printoptions())),
        "rcParams": repr(dict(matplotlib.rcParams)),
        "styles": repr(sorted(matplotlib.style.library)) if "matplotlib.style" in sys.modules else "",
        "warning filters": repr(warnings.filters),
        "environment": repr(sorted(os.environ.items())),
        "working directory": os.getcwd(),
        "search path": repr(sys.path),
        "hooks": repr((sys.excepthook, sys.displayhook, signal.getsignal(signal.SIGINT))),
        "logging": repr((logging.root.level, logging.root.handlers)),
        "locale": repr(locale.setlocale(locale.LC_ALL)),
        "pyplot": "matplotlib.pyplot" in sys.modules,
    }

changed = {}
for name in inside:
    before = state()
    importlib.import_module(name)
    after = state()
    changed[name] = [key for key in before if before[key] != after[key]]
print(json.dumps(changed))
"""


def test_importing_a_module_changes_nothing_says_nothing_and_needs_no_pyplot():
    outside = sorted({found for name in SOURCES for found in imports(name) if found.split(".")[0] != "notes"})
    assert "torch" in outside
    changed = fresh(IMPORT_EACH, json.dumps([outside, list(SOURCES)]))
    assert changed == {name: [] for name in SOURCES}


def test_pyplot_is_imported_nowhere():
    for name in SOURCES:
        assert not {found for found in imports(name) if found.startswith(("matplotlib.pyplot", "pylab"))}, name


def test_nothing_is_re_exported():
    public = fresh("import json, notes; print(json.dumps([n for n in vars(notes) if not n.startswith('__')]))")
    assert public == []
    assert not hasattr(notes, "__all__")
    docstring, version = ast.parse(SOURCES["notes"].read_text(encoding="utf-8")).body
    assert ast.get_docstring(ast.Module([docstring], []))
    assert ast.unparse(version).startswith("__version__ = ")


def test_the_figures_package_re_exports_nothing_either():
    assert imports("notes.figures") == {"notes._extras", "numpy"}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_module_says_what_it_is(name):
    if name not in ("notes.figures", "notes.site"):
        assert ast.get_docstring(ast.parse(SOURCES[name].read_text(encoding="utf-8"))), name


# What has names for others: not the packages themselves, nor what is private as a whole.
OFFERS = sorted(
    name for name, path in SOURCES.items() if not path.name.startswith("_") and not name.startswith("notes.site")
)
SECTIONS = ["Parameters", "Returns", "Raises", "References", "Examples"]


def defined(name):
    """The public functions, classes and methods that a module defines, by their names in it, as syntax."""
    found, kinds = {}, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    waiting = [("", ast.parse(SOURCES[name].read_text(encoding="utf-8")))]
    while waiting:
        prefix, owner = waiting.pop()
        for node in owner.body:
            if isinstance(node, kinds) and (not node.name.startswith("_") or node.name == "__init__"):
                if [*map(ast.unparse, node.decorator_list)] == ["property"]:  # an attribute: its class tells of it
                    continue
                found[prefix + node.name] = node
                if isinstance(node, ast.ClassDef):
                    waiting.append((f"{prefix}{node.name}.", node))
    return found


def sections(docstring):
    """The sections of a docstring in NumPy's form, in their order: a name and its lines."""
    pieces = re.split(r"(?m)^(\w[\w ]*)\n-{3,}$", docstring)
    return {name: lines.strip("\n").splitlines() for name, lines in zip(pieces[1::2], pieces[2::2], strict=True)}


@pytest.mark.parametrize("name", sorted(MATHEMATICS))
def test_docstrings_have_the_form_that_sphinx_reads(name):
    for full, node in defined(name).items():
        owner = node
        if full.endswith(".__init__"):  # a class tells of its arguments itself
            owner = defined(name)[full.removesuffix(".__init__")]
        text = ast.get_docstring(owner)
        assert text, full
        assert not re.search(r"(?m)^(Sources?:|Example$)", text), full
        said = sections(text)
        assert list(said) == [each for each in SECTIONS if each in said], full
        assert "Examples" in said, full
        for section in {"Parameters", "Returns", "Raises"} & set(said):
            heads = [line for line in said[section] if line and not line.startswith(" ")]
            below = [after for line, after in itertools.pairwise(said[section]) if line in heads]
            assert len(below) == len(heads), f"{full}: {section}"
            assert all(line.startswith("    ") for line in below), f"{full}: {section}"
            if section == "Raises":
                assert all(re.fullmatch(r"[A-Z]\w+(Error|Warning)", head) for head in heads), full
            if section == "Parameters":
                assert all(re.fullmatch(r"[\w, ]+ : .+", head) for head in heads), full
        if "Parameters" in said and not isinstance(node, ast.ClassDef):
            arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            names = [each.arg for each in arguments if each.arg not in ("self", "cls")]
            heads = [line.partition(" : ")[0] for line in said["Parameters"] if line and not line.startswith(" ")]
            assert ", ".join(heads).split(", ") == names, full


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_no_module_imports_a_chapter(name):
    assert not {found for found in imports(name) if found.split(".")[0] in {"book", "tests", "benchmarks", "tools"}}


@pytest.mark.parametrize("name", sorted(MATHEMATICS & set(SOURCES)))
def test_mathematics_knows_no_picture_and_no_book(name):
    reached = reaches(name)
    assert not reached & (BOOK | {"notes.plots"})
    assert not any(map(is_figure, reached))
    outside = {found.split(".")[0] for found in imports(name)}
    assert not outside & {"numpy", "matplotlib", "PIL", "IPython", "ipywidgets"}


def test_mixtures_stand_on_nothing():
    assert all(name.startswith("notes._") for name in reaches("notes.mixtures"))


def test_explore_and_claims_know_no_mathematics_and_no_figure():
    reached = reaches("notes.explore") | reaches("notes.claims")
    assert not reached & (MATHEMATICS | {"notes.plots"})
    assert not any(map(is_figure, reached))
    loaded = fresh("import json, sys, notes.explore, notes.claims; print(json.dumps([*sys.modules]))")
    assert not set(loaded) & (MATHEMATICS | {"notes.plots", "torch"})
    assert not any(map(is_figure, loaded))


@pytest.mark.parametrize("name", sorted(filter(is_figure, SOURCES)))
def test_figures_know_neither_the_book_nor_each_other_but_for_their_cast(name):
    reached = reaches(name)
    assert not reached & BOOK
    assert not any(map(is_figure, reached - {"notes.figures.cast"}))


def test_plots_know_no_figure_and_not_the_book():
    reached = reaches("notes.plots") if "notes.plots" in SOURCES else set()
    assert not reached & BOOK
    assert not any(map(is_figure, reached))


@pytest.mark.parametrize("name", OFFERS)
def test_what_a_module_offers_is_all_that_is_public_in_it_and_is_annotated(name):
    module = importlib.import_module(name)
    own = [value for value in vars(module).values() if callable(value) and getattr(value, "__module__", "") == name]
    own = [value for value in own if not getattr(value, "__name__", "_").startswith("_")]
    names = [value.__name__ for value in own]
    assert [key for key in module.__all__ if key in names] == names  # in this order, which the reference takes over
    assert {*module.__all__} <= {*vars(module)}
    methods = [method for owner in own if inspect.isclass(owner) for method in vars(owner).values()]
    methods = [method for method in methods if inspect.isfunction(method) and method.__name__[0] != "_"]
    for function in [*methods, *(value for value in own if not inspect.isclass(value))]:
        signature = inspect.signature(function)
        kinds = [
            signature.return_annotation,
            *(p.annotation for p in signature.parameters.values() if p.name != "self"),
        ]
        assert inspect.Parameter.empty not in kinds, function.__qualname__


@pytest.mark.parametrize("name", [name for name in sorted(filter(is_figure, SOURCES)) if name != "notes.figures.cast"])
def test_what_a_chapter_takes_of_its_figures_is_offered(name):
    chapter = FOLDER.parent / "book" / f"{name.rpartition('.')[2]}.md"
    taken = {*re.findall(r"(?<!notes\.)figures\.(\w+)", chapter.read_text(encoding="utf-8"))}
    assert taken
    assert taken <= {*importlib.import_module(name).__all__}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_no_module_imports_itself_in_a_circle(name):
    assert name not in reaches(name)


# What is not installed

WITHOUT = """
import importlib, json, sys, warnings

warnings.filterwarnings("ignore", "Failed to initialize NumPy")  # says torch where there is none
name, *missing = json.loads(sys.argv[1])

class Missing:
    def find_spec(self, found, path=None, target=None):
        if found.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {found!r}", name=found)

sys.meta_path.insert(0, Missing())
try:
    importlib.import_module(name)
except ImportError as error:
    print(json.dumps(str(error)))
else:
    print(json.dumps(None))
"""
EXTRAS = {
    "figures": ["numpy", "matplotlib", "PIL", "IPython", "ipywidgets"],
    "images": ["skimage", "sklearn"],
    "site": ["jinja2", "jupyter_book", "jupyter_cache", "jupytext", "myst_nb", "nbclient", "sphinx", "docutils"],
}


def without(name, *missing):
    return fresh(WITHOUT, json.dumps([name, *missing]))


@pytest.mark.parametrize("name", sorted({"notes", *MATHEMATICS} - {"notes.images"}))
def test_what_computes_needs_no_extra(name):
    assert without(name, *EXTRAS["figures"], *EXTRAS["images"], *EXTRAS["site"]) is None


def test_what_judges_images_says_which_extra_brings_it():
    # scikit-learn brings NumPy, and neither draws.
    assert without("notes.images", *{*EXTRAS["figures"], *EXTRAS["site"]} - {"numpy"}) is None
    said = without("notes.images", *EXTRAS["images"])
    assert said == 'there is no module sklearn here; what needs it comes with pip install "notes[images]"'


FIT = """
import json, sys, torch
from notes.full_covariance import FullCovarianceMixture

sys.modules["sklearn"] = None
try:
    FullCovarianceMixture.fit(torch.eye(3), 1)
except ImportError as error:
    print(json.dumps(str(error)))
"""


def test_a_fit_says_which_extra_brings_it():
    assert fresh(FIT).endswith(' here; what needs it comes with pip install "notes[images]"')


def test_the_extras_are_those_of_the_project():
    pyproject = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text(encoding="utf-8"))
    extras = pyproject["project"]["optional-dependencies"]
    assert {*extras} == {*EXTRAS}
    assert "notes[figures,images]" in extras["site"]
    assert [re.split("[<>=]", line)[0] for line in extras["images"]] == ["scikit-image", "scikit-learn"]


@pytest.mark.parametrize("name", ["explore", "claims", "playground", "plots", "figures.intro", "figures.score"])
def test_what_draws_and_shows_says_which_extra_brings_it(name):
    assert without(f"notes.{name}", *EXTRAS["site"]) is None
    said = without(f"notes.{name}", *EXTRAS["figures"])
    assert said.startswith("there is no module ")
    assert said.endswith(' here; what needs it comes with pip install "notes[figures]"')


@pytest.mark.parametrize("name", ["build", "extension", "links"])
def test_what_builds_the_site_says_which_extra_brings_it(name):
    assert without(f"notes.site.{name}", *EXTRAS["site"]).endswith('pip install "notes[site]"')


def test_another_book_loads_of_this_package_what_needs_its_own_tools_alone():
    (entry,) = importlib.metadata.entry_points(group="myst_nb.mime_renderers", name="notes")
    assert without(entry.module, *{*EXTRAS["figures"], *EXTRAS["site"]} - {"docutils"}, "torch", "tqdm") is None


def test_no_module_is_a_drawer_for_odds_and_ends():
    assert not {name.rpartition(".")[2] for name in SOURCES} & {"utils", "util", "helpers", "helper", "common", "misc"}


LOADERS = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def dangers(source):
    """What in a source would load a pickle or run a text as code."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None), *(alias.name for alias in node.names)]
            found |= {name for name in names if name and name.split(".")[0] in LOADERS}
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in {"eval", "exec", "__import__", "torch.hub.load"} or called.endswith(("read_pickle", ".load")):
                found.add(called)
        elif isinstance(node, ast.keyword) and node.arg in {"allow_pickle", "weights_only"}:
            found.add(node.arg)
    return found


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_no_module_loads_a_pickle_or_runs_a_text(name):
    assert dangers(SOURCES[name].read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize("path", sorted((FOLDER.parent / "book").glob("*.md")), ids=lambda path: path.stem)
def test_no_chapter_loads_a_pickle_or_runs_a_text(path):
    cells = [cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code"]
    assert set().union(*(dangers(re.sub(r"(?m)^[%!].*$", "", cell)) for cell in cells)) == set()


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import shelve as s",
        "torch.load(path)",
        "model.load_state_dict(torch.load(path, weights_only=False))",
        "numpy.load(path, allow_pickle=True)",
        "eval('1')",
        "def f():\n    exec(text)",
    ],
)
def test_what_loads_a_pickle_or_runs_a_text_is_found(source):
    assert dangers(source)
