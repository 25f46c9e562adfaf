"""What a book holds, as Jupyter Book finds it, and its chapters, as MyST-NB reads them and would run them.

Their own functions and settings decide: a chapter runs once, as it would in a plain Jupyter Book, or not at all.
"""

import contextlib
import dataclasses
import functools
import logging
import re
from pathlib import Path
from typing import Any

from notes._extras import needs

with needs("site"):
    from jupyter_book.config import get_final_config
    from myst_nb.core.config import NbParserConfig
    from myst_nb.core.execute import NotebookClientCache, create_client
    from myst_nb.core.read import create_nb_reader
    from myst_parser.config.main import MdParserConfig
    from nbformat import NotebookNode
    from sphinx.project import Project
    from sphinx.util.matching import patfilter
    from sphinx_external_toc.parsing import MalformedError, parse_toc_yaml

__all__ = ["Chapter", "Contents", "Settings", "read", "text_of"]

_LOGGER = logging.getLogger(__name__)
_LEFT_OUT = ["exclude_patterns", "templates_path", "html_static_path", "html_extra_path"]  # by Sphinx


@dataclasses.dataclass
class Settings(NbParserConfig):
    """MyST-NB's, where a bare ``off``, which YAML reads as false, is that mode in a header as it is in _config.yml."""

    def copy(self, **changes: Any) -> "Settings":
        if changes.get("execution_mode") is False:
            changes["execution_mode"] = "off"
        return super().copy(**changes)


@dataclasses.dataclass(frozen=True, eq=False)
class Chapter:
    """A notebook of the book with its settings; ``cached`` where MyST-NB would look for its outputs in the cache."""

    path: Path
    notebook: NotebookNode
    settings: Settings
    cached: bool


class Contents:
    """The pages of the book at ``root`` in the order of its contents, and those ``forgotten`` there, as paths.

    A page that is not listed is forgotten where it is a notebook, or stands in the folder of one that is listed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        settings, toc = root / "_config.yml", root / "_toc.yml"
        with _names(settings):
            config = _config(settings)
            self._settings = _section(Settings, "nb_", config)
            self._markdown = _section(MdParserConfig, "myst_", config)
        with _names(toc):
            contents = parse_toc_yaml(toc)
        suffixes = [".md", ".ipynb", ".rst", *self._settings.custom_formats]
        project = Project(root, suffixes)
        found = project.discover([pattern for name in _LEFT_OUT for pattern in config.get(name, [])])
        listed = dict.fromkeys(_without_suffix(name, suffixes) for name in contents)
        for name in listed.keys() - found:
            there = any((root / f"{name}{suffix}").exists() for suffix in suffixes)
            why = "exclude_patterns of _config.yml leaves out" if there else "is not there"
            raise MalformedError(f"{toc}: it lists {name}, which {why}")
        for pattern in contents.globs():
            listed |= dict.fromkeys(sorted(patfilter(found, pattern)))
        paths = {name: Path(project.doc2path(name, absolute=True)) for name in sorted(found)}
        self.pages = [paths[name] for name in listed]
        folders = {path.parent for path in self.pages}
        extra = [path for name, path in paths.items() if name not in listed]
        if not config.get("external_toc_exclude_missing"):  # then Sphinx takes them, and warns of them by name
            extra = []
        self.forgotten = [path for path in extra if folders & {*path.parents} or self.chapter(path)]

    @functools.cached_property
    def chapters(self) -> list[Chapter]:
        """The pages that are notebooks, as they were when first asked for."""
        return [chapter for chapter in map(self.chapter, self.pages) if chapter]

    def chapter(self, path: Path) -> Chapter | None:
        """A page that is a notebook; None if it is none."""
        with _names(path):
            return read(path, text_of(path), self._markdown, self._settings)


def read(path: Path, text: str, markdown: MdParserConfig, settings: Settings) -> Chapter | None:
    """A page as MyST-NB reads it, under a book's settings of MyST and of its own; None if it is no notebook."""
    reader = create_nb_reader(str(path), markdown, settings, text)
    if reader is None:
        return None
    notebook = reader.read(text)
    kernel = notebook.metadata.get("kernelspec", {})
    for pattern, name in settings.kernel_rgx_aliases.items():
        if re.fullmatch(pattern, kernel.get("name", "")):
            kernel["name"] = name
            break
    with contextlib.suppress(TypeError, ValueError):  # MyST-NB warns of it
        settings = settings.copy(**notebook.metadata.get(settings.metadata_key, {}))
    client = create_client(notebook, str(path), settings, _LOGGER)
    return Chapter(path, notebook, settings, isinstance(client, NotebookClientCache))


def text_of(path: Path) -> str:
    """The text of a page, as Sphinx reads it: with \\n at its lines' ends, and without the mark of its encoding."""
    return path.read_text(encoding="utf-8-sig")


@contextlib.contextmanager
def _names(path):
    """Makes an error of reading one that names the file."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise MalformedError(f"{path}: {error}") from error


def _config(path):
    return get_final_config(
        user_yaml=path if path.exists() else None,
        cli_config={"latex_individualpages": False},
        sourcedir=path.parent,
        validate=False,  # Jupyter Book does, and says so
    )[0]


def _section(kind, prefix, config):
    """The settings of MyST or of MyST-NB, which bear a prefix among those of Sphinx."""
    names = {f"{prefix}{field.name}": field.name for field in dataclasses.fields(kind)}
    return kind(**{names[name]: value for name, value in config.items() if name in names})


def _without_suffix(name, suffixes):
    return next((name.removesuffix(suffix) for suffix in suffixes if name.endswith(suffix)), name)
