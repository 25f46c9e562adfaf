"""What a chapter's outputs depend on, and where they are kept: one place for each state of all that.

That is the chapter's cells, the modules that they can reach, the files beside the chapter and those that they name, and
the versions of what they import. Imports are read, not run. What makes the site of the outputs is no part of it.
"""

import ast
import functools
import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path

from notes._extras import needs

with needs("site"):
    from IPython.core.inputtransformer2 import TransformerManager

PACKAGE = Path(__file__).parents[1]
DRAWS = ["torch", "numpy", "matplotlib", "pillow"]  # on which pixels and numbers depend, imported by name or not
# What Sphinx alone reads of the files beside a chapter. One that a chapter names is read all the same.
PAGES = {".md", ".rst", ".ipynb", ".bib", ".css", ".js"}
ANYTHING = {"import_module", "__import__", "exec", "eval", "run_path", "run_module"}  # may load any module
NOT_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)  # as the parser says it


def execution_caches(root, path):
    """Where a build keeps a chapter as it was executed in its last few states."""
    return Path(root) / "_build" / ".jupyter_cache" / "-".join(path.relative_to(root).with_suffix("").parts)


def execution_cache(root, chapter):
    """Where a build keeps a chapter as it is executed in its present state."""
    return execution_caches(root, chapter.path) / state(chapter)[:16]


def state(chapter):
    """A hash of all that a chapter's outputs depend on."""
    path, notebook = chapter.path, chapter.notebook
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    settings = [notebook.metadata.get(name) for name in ("kernelspec", "execution", "mystnb")]
    settings += [chapter.settings.execution_in_temp, chapter.settings.execution_allow_errors]
    modules, named, outside = _reached([cell.source for cell in cells], path.parent)
    files = {*modules, *named, *_beside(path.parent)}
    files |= {file for file in files_below(PACKAGE) if file.suffix != ".py" and PACKAGE / "site" not in file.parents}
    if PACKAGE / "figures" / "performance.py" in modules:
        files |= {*(PACKAGE.parent / "benchmarks" / "results").glob("*.json")}
    words = [(cell.source, cell.metadata) for cell in cells], settings, _versions(outside)
    return digest({os.path.relpath(file, _home(file, path.parent)): file for file in files}, *words)


def digest(files, *words):
    """A hash of words and of files, by the names given for them."""
    total = hashlib.sha256(repr(words).encode())
    for name in sorted(files):
        total.update(Path(name).as_posix().encode() + b"\0")
        total.update(_hash(files[name], *_date_and_size(files[name])))
    return total.hexdigest()


@functools.cache
def _hash(file, *_):
    return hashlib.sha256(file.read_bytes()).digest()


def _date_and_size(file):
    """What changes with a file, as one of the arguments for which a result is kept."""
    status = file.stat()
    return status.st_mtime_ns, status.st_size


def _home(file, folder):
    """From where a file is named: a copy of a book, or of the package, elsewhere is in the same state."""
    return PACKAGE.parent if PACKAGE.parent in file.parents and folder not in file.parents else folder


def _versions(names):
    distributions = {*DRAWS}.union(*(_distributions().get(name, []) for name in names))
    return platform.python_version(), sorted((name, importlib.metadata.version(name)) for name in distributions)


@functools.cache
def _distributions():
    return importlib.metadata.packages_distributions()


def files_below(folder):
    """The files below a folder, through links too, less what builds and tools keep there."""
    seen = set()
    for here, folders, names in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(here))
        visible = [name for name in folders if not name.startswith((".", "__pycache__", "_build"))]
        folders[:] = [name for name in visible if os.path.realpath(os.path.join(here, name)) not in seen]
        files = (Path(here, name) for name in names if not name.startswith("."))
        yield from (file for file in files if file.is_file())


def _beside(folder):
    return {file for file in files_below(folder) if file.suffix not in PAGES}


def _reached(cells, folder):
    """What cells reach: the files of modules here, the files that they name, and modules from elsewhere."""
    modules, named, outside = set(), set(), set()
    waiting = [(folder, None, _mentions(syntax(cell))) for cell in cells]
    while waiting:
        here, package, (names, words) = waiting.pop()
        found = set()
        if not package:  # the words of the package's own modules name no file that a chapter reads
            found |= {file for word in words for at in {folder, here} for file in _named(word, at)}
            names = names | {word for word in words if word.startswith("notes.")}
        named |= found
        for name in names:
            files = _sources(name, folder)
            found |= files
            outside |= {name.partition(".")[0]} if not files else set()
        for file in {file for file in found if file.suffix == ".py"} - modules:
            modules.add(file)
            package = _package(file)
            waiting.append((file.parent, package, _mentions_of(file, package, *_date_and_size(file))))
    return modules, named, outside


def syntax(source):
    """The syntax of a cell; None where it is not Python's, and so may do anything."""
    if source.lstrip().startswith("%%"):  # a magic of the whole cell, such as %%time
        source = source.lstrip().partition("\n")[2]
    try:
        return ast.parse(TransformerManager().transform_cell(source))
    except NOT_PYTHON:
        return None


@functools.cache
def _mentions_of(module, package, *_):
    try:
        return _mentions(ast.parse(module.read_bytes()), package)
    except NOT_PYTHON:
        return _mentions(None)


def _mentions(tree, package=None):
    """The modules that a source imports, by their full names, * for any; and its words, which may name files."""
    if tree is None:
        return {"*"}, set()
    names, words = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = (package or "").split(".")[: len((package or "").split(".")) + 1 - node.level] if node.level else []
            base = ".".join(filter(None, [*base, node.module]))
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
            names |= {"*" for alias in node.names if alias.name in ANYTHING}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words |= {node.value, *node.value.split()}
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "run_line_magic":  # such as %time
            inner = syntax(getattr(node.args[-1], "value", ""))
            names |= _mentions(inner, package)[0] if inner else set()
        elif getattr(node, "attr", getattr(node, "id", None)) in ANYTHING:
            names.add("*")
    return names, words


def _package(file):
    """The package in which a module of this package stands, for its relative imports."""
    return ".".join(file.parent.relative_to(PACKAGE.parent).parts) if PACKAGE in file.parents else None


def _sources(name, folder):
    """The files of a module and of the packages around it, of this package or in the folder; or none."""
    if name == "*":
        return {file for file in files_below(PACKAGE) if file.suffix == ".py" and PACKAGE / "site" not in file.parents}
    parts = name.split(".")
    top = PACKAGE.parent if parts[0] == PACKAGE.name else folder
    around = [top.joinpath(*parts[:n]) for n in range(1, len(parts) + 1)]
    places = {place for path in around for place in (path / "__init__.py", path.with_suffix(".py"))}
    return {place for place in places if place.is_file()}


def _named(word, folder):
    """The file of that name, or the files below a folder of that name, which does not hold the chapter itself."""
    if not word.strip() or len(word) > 300 or "\n" in word or "\0" in word:
        return set()
    try:
        if not (folder / word).exists():  # as for nearly every word
            return set()
        path = (folder / word).resolve()
        if path.is_file():
            return {path}
        around = [folder.resolve(), *folder.resolve().parents]
        return {*files_below(path)} if path.is_dir() and path not in around else set()
    except OSError:
        return set()
