"""Each chapter as a notebook that stands alone: with its outputs, its text in plain Markdown, the package beside it.

Part of the Sphinx extension :mod:`notes.site.extension`. The text is written from the page after Sphinx has resolved
it, with its numbers and links, so that a viewer needs no extension for it; the code and its outputs are those that were
executed for the page.
"""

import ast
import base64
import contextlib
import hashlib
import importlib.metadata
import io
import json
import posixpath
import re
import sys
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import notes
from notes._extras import needs
from notes.site.contents import Settings, read, text_of
from notes.site.dependencies import PACKAGE, files_below, syntax

with needs("site"):
    import nbformat
    from docutils import nodes
    from jupyter_cache import get_cache
    from packaging.requirements import Requirement
    from sphinx.util import logging

__all__ = ["WHEEL", "Markdown", "outside", "setup", "wheel"]

_LOGGER = logging.getLogger(__name__)
WHEEL = f"notes-{notes.__version__}-py3-none-any.whl"
RESULTS = PACKAGE.parent / "benchmarks" / "results"  # what one chapter reads of the repository; in the wheel, a folder
SHOWN = ("text/", "image/", "application/json")  # of an output; the rest is for a front end that runs
HIDDEN = {"jupyter": {"source_hidden": True}}  # a cell whose code is folded away
ROUND = str.maketrans("[]", "()")
_INTRODUCTION = """\
This notebook is the page {page} of the book *{book}*. It computes with the package `notes`{others}. PyPI has another \
project of that name; the book's own is the file `{wheel}`, which the menu of the chapter's page offers beside this \
notebook. Where the notebook is hosted, on Binder, Colab or Kaggle, the next cell installs what is missing. On your \
own machine it installs nothing, and says what to run."""
_INSTALLATION = """\
# On Binder, Colab or Kaggle this cell installs what is missing; elsewhere it says what to run.
import importlib.metadata
import os
import subprocess
import sys

wheel, address, others = {wheel!r}, {address!r}, {others!r}


def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


if version("notes") != {version!r} or not all(map(version, others)):
    beside = f"./{{wheel}}[figures]" if os.path.exists(wheel) else ""
    source = beside or (address and f"notes[figures] @ {{address}}")
    hosted = {{"BINDER_SERVICE_HOST", "COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE"}} & {{*os.environ}}
    if not source:
        raise ImportError(f"put {{wheel}} beside this notebook, and run this cell again")
    if not hosted:
        line = " ".join(f'"{{name}}"' for name in [source, *others])
        raise ImportError(f"run this line in a cell, and then this cell again: %pip install {{line}}")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source, *others], check=True)"""


def wheel():
    """The package as a wheel, in bytes that depend on its files alone."""
    about = importlib.metadata.metadata("notes")
    fields = ("Name", "Summary", "License-Expression", "Requires-Python", "Provides-Extra", "Requires-Dist")
    about = [f"{field}: {value}" for field in fields for value in about.get_all(field, [])]
    about = ["Metadata-Version: 2.4", f"Version: {notes.__version__}", *about, ""]
    folder = f"notes-{notes.__version__}.dist-info"
    files = {f"notes/{path.relative_to(PACKAGE).as_posix()}": path.read_bytes() for path in files_below(PACKAGE)}
    files |= {f"notes/figures/results/{path.name}": path.read_bytes() for path in RESULTS.glob("*.json")}
    own, licence = importlib.metadata.distribution("notes"), PACKAGE.parent / "LICENSE"  # the latter in a repository
    licence = text_of(licence) if licence.exists() else own.read_text("licenses/LICENSE")
    files |= {
        f"{folder}/METADATA": "\n".join(about).encode(),
        f"{folder}/WHEEL": b"Wheel-Version: 1.0\nGenerator: notes\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{folder}/entry_points.txt": own.read_text("entry_points.txt").encode(),
        f"{folder}/licenses/LICENSE": licence.encode(),
    }
    record = [f"{name},sha256={_checksum(files[name])},{len(files[name])}\n" for name in sorted(files)]
    files[f"{folder}/RECORD"] = "".join([*record, f"{folder}/RECORD,,\n"]).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name)  # as of 1980
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, files[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _checksum(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def outside(cells):
    """The distributions of what cells import beyond the package and what it draws with."""
    names = set()
    for tree in filter(None, map(syntax, cells)):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.partition(".")[0])
    required = map(Requirement, importlib.metadata.requires("notes"))
    drawn = (need.name.lower() for need in required if not need.marker or need.marker.evaluate({"extra": "figures"}))
    brought = {*drawn, "notes"}
    known = importlib.metadata.packages_distributions()
    found = {known[name][0] for name in names - sys.stdlib_module_names if name in known}
    return sorted(name for name in found if name.lower() not in brought)


def with_outputs(app, docname):
    """A chapter's notebook as it was executed for its page; None of a page that is none."""
    env = app.env
    path, settings = Path(env.doc2path(docname)), Settings(**env.mystnb_config.as_dict())
    chapter = read(path, text_of(path), env.myst_config, settings)
    if chapter is None:
        return None
    if chapter.cached:
        with contextlib.suppress(KeyError):  # it may raise, and did
            return get_cache(settings.execution_cache_path).merge_match_into_notebook(chapter.notebook)[1]
    return nbformat.read(Path(settings.output_folder, *f"{docname}.ipynb".split("/")), as_version=4)


def keep(app, doctree):
    """Keep a chapter's cells until the page is resolved."""
    docname = app.env.docname
    if "kernelspec" not in app.env.metadata[docname]:
        return
    notebook = with_outputs(app, docname)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if "data" in output:
            shown = {kind: data for kind, data in output.data.items() if kind.startswith(SHOWN)}
            output.data, output.metadata = shown, {}
    place = _kept(app, docname)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(notebook), encoding="utf-8")


def _kept(app, docname):
    return Path(app.doctreedir) / "notebooks" / f"{docname}.ipynb"


def write(app, doctree, docname):
    """Put a chapter's notebook where its page offers it."""
    if app.builder.name != "html" or "kernelspec" not in app.env.metadata[docname]:
        return
    kept = nbformat.from_dict(json.loads(_kept(app, docname).read_text(encoding="utf-8")))
    others = outside(cell.source for cell in kept.cells if cell.cell_type == "code")
    markdown = Markdown(app, doctree, docname)
    page = f"[{app.env.titles[docname].astext()}]({markdown.at_site(app.builder.get_target_uri(docname))})"
    words = {"book": app.config.html_title or app.config.project, "page": page, "wheel": WHEEL}
    words["others"] = f", and compares with {' and '.join(others)}" if others else ""
    code = {"wheel": WHEEL, "version": notes.__version__, "address": _address(app, docname), "others": others}
    kernel = kept.metadata.kernelspec
    cells = []
    if kernel.get("language", "python") == "python":
        first = nbformat.v4.new_code_cell(_INSTALLATION.format(**code), metadata=HIDDEN)
        cells = [_text(_INTRODUCTION.format(**words)), first]
    paragraphs, done = [], 0
    for piece in [*markdown.blocks(doctree), len(kept.cells)]:
        starts = isinstance(piece, int) or re.match(r"(<a id=\S+></a>\s+)?#", piece)
        if starts and paragraphs:
            cells.append(_text("\n\n".join(paragraphs)))
            paragraphs = []
        if isinstance(piece, str):
            paragraphs.append(piece)
        else:  # with the cells before it that the page does not show
            cells += [_code(cell) for cell in kept.cells[done : piece + 1] if cell.cell_type == "code"]
            done = piece + 1
    for number, cell in enumerate(cells, start=1):
        cell.id = f"cell-{number}"
    metadata = {"kernelspec": kernel, "language_info": {"name": kernel.get("language", "python")}}
    target = Path(app.outdir) / "_sources" / f"{docname}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), target)


def _text(source):
    return nbformat.v4.new_markdown_cell(source)


def _code(cell):
    tags = cell.metadata.get("tags", [])
    metadata = {"tags": tags} if tags else {}
    if {"hide-input", "hide-cell", "remove-input", "remove-cell"} & {*tags}:
        metadata |= HIDDEN
    outputs, count = cell.outputs, cell.execution_count
    return nbformat.v4.new_code_cell(cell.source, outputs=outputs, execution_count=count, metadata=metadata)


def _address(app, docname):
    """Where the package is to be had: from the site, else from the repository, as far as they have addresses."""
    site, repository = app.config.html_baseurl, app.config.html_theme_options.get("repository_url")
    if site:
        return f"{site.rstrip('/')}/_sources/{posixpath.join(posixpath.dirname(docname), WHEEL)}"
    branch = app.config.html_theme_options.get("repository_branch", "main")
    return f"git+{repository}@{branch}" if repository else ""


class Markdown:
    """A resolved page as Markdown that any viewer shows: blocks of text, and between them the numbers of code cells.

    A node that is not known here is a warning, and so fails the build.
    """

    def __init__(self, app, doctree, docname):
        self.app, self.docname = app, docname
        self.numbers = app.env.toc_fignumbers.get(docname, {})
        self.depth = 0
        links = [node for node in doctree.findall(nodes.Element) if not isinstance(node, nodes.target)]
        self.wanted = {self.target(node)[1:] for node in links if self.target(node).startswith("#")}

    def at_site(self, uri):
        """The address of a page of the site: relative to this notebook there, where the site has none."""
        site = self.app.config.html_baseurl
        return f"{site.rstrip('/')}/{uri}" if site else "../" * (self.docname.count("/") + 1) + uri

    def target(self, node):
        """Where a node leads: "#…" in this notebook, else on the site or outside; "" if nowhere."""
        if node.get("refid"):
            return f"#{node['refid']}"
        uri = node.get("refuri") or node.get("uri") or ""
        if not uri or urlsplit(uri).scheme:
            return uri
        page = self.app.builder.get_target_uri(self.docname)
        path, _, anchor = uri.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
        if path == page and anchor:
            return f"#{anchor}"
        return self.at_site(f"{path}#{anchor}" if anchor else path)

    def _method(self, kind, node):
        names = (f"{kind}_{each.__name__.lower()}" for each in type(node).__mro__)
        method = next((getattr(self, name) for name in names if hasattr(self, name)), None)
        if method is None:
            _LOGGER.warning("a notebook has no words for %s", type(node).__name__, location=node, type="notebook")
        return method

    # Blocks

    def blocks(self, node):
        """The blocks of a node, each a text without a blank line at its ends, or the number of a code cell."""
        method = self._method("block", node)
        pieces = [piece for piece in (method(node) if method else []) if piece != ""]
        anchors = "".join(f'<a id="{name}"></a>' for name in node.get("ids", []) if name in self.wanted)
        if anchors and pieces and isinstance(pieces[0], str):
            between = "" if re.match(r"\w|\*\*", pieces[0]) else "\n\n"  # only a paragraph takes it in
            pieces[0] = f"{anchors}{between}{pieces[0]}"
        elif anchors:
            pieces.insert(0, anchors)
        return pieces

    def inside(self, node, but=()):
        return [piece for child in node if not isinstance(child, but) for piece in self.blocks(child)]

    def quoted(self, title, pieces):
        """A block with a bold title, marked at its side as one."""
        return [
            piece if isinstance(piece, int) else "\n".join(f"> {line}".rstrip() for line in _flat(piece).split("\n"))
            for piece in _joined([f"**{title.strip()}**", *pieces])
        ]

    def block_document(self, node):
        return self.inside(node)

    def block_section(self, node):
        if not isinstance(node[0], nodes.title):  # that of a theorem, an exercise or a solution
            return self.inside(node)
        self.depth += 1
        pieces = [f"{'#' * min(self.depth, 6)} {self.words(node[0])}", *self.inside(node, but=nodes.title)]
        self.depth -= 1
        return pieces

    def block_paragraph(self, node):
        return [re.sub(r"^([-+#>]|\d+(?=[.)]))(?=[.)]?\s)", _escape_start, self.words(node).strip())]

    def block_rubric(self, node):
        return [f"**{self.words(node)}**"]

    def block_transition(self, node):
        return ["---"]

    def block_bullet_list(self, node):
        return self._list(node, ["-"] * len(node))

    def block_enumerated_list(self, node):
        first = node.get("start", 1)
        return self._list(node, [f"{number}." for number in range(first, first + len(node))])

    def _list(self, node, marks):
        items = [[_flat(piece) for piece in self.inside(item)] for item in node]
        between = "\n" if all(len(item) < 2 or item[1][0] in "-1" for item in items) else "\n\n"
        return [
            between.join(
                f"{mark} " + between.join(item).replace("\n", "\n" + " " * (len(mark) + 1))
                for mark, item in zip(marks, items, strict=True)
            )
        ]

    def block_definition_list(self, node):
        terms = [" / ".join(self.words(term) for term in item.findall(nodes.term)) for item in node]
        meanings = [
            [_flat(piece) for part in item if isinstance(part, nodes.definition) for piece in self.inside(part)]
            for item in node
        ]
        entries = [f"- **{term}**: " + "\n\n".join(parts) for term, parts in zip(terms, meanings, strict=True)]
        return ["\n".join(re.sub(r"\n(?=.)", "\n  ", entry) for entry in entries)]

    def block_math_block(self, node):
        tag = f" \\tag{{{node['number']}}}" if node.get("number") and not node.get("nowrap") else ""
        return [f"$$\n{_tex(node.astext())}{tag}\n$$"]

    def block_literal_block(self, node):
        language = node.get("language", "").replace("ipython3", "python")
        fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", node.astext())), 3)
        return [f"{fence}{'' if language in ('default', 'none') else language}\n{node.astext()}\n{fence}"]

    def block_block_quote(self, node):
        return self.quoted("", self.inside(node))

    def block_admonition(self, node):
        title = node.next_node(nodes.title)
        words = self.words(title) if title else type(node).__name__.title()
        pieces = self.inside(node, but=nodes.title)
        if isinstance(title, nodes.Element) and "title" in title:  # an exercise: its number is given late
            words = title["title"].replace("%s", self._number("exercise", node)) + words
        elif "realtype" in node:  # a theorem and its like
            words = f"{node['realtype'].title()} {self._number(node.get('countertype'), node)}".strip() + words
        return self.quoted(words, pieces)

    block_topic = block_admonition

    def _number(self, kind, node):
        return ".".join(map(str, self.numbers.get(kind, {}).get(node["ids"][0], ())))

    def block_dropdown_main(self, node):
        title, *rest = node
        return self.quoted(self.words(title), [piece for child in rest for piece in self.blocks(child)])

    def block_container(self, node):
        if node.get("nb_element") == "cell_code":
            anchors = {name for part in node.findall(nodes.Element) for name in part.get("ids", [])} & self.wanted
            figures = list(node.findall(nodes.figure))
            anchors -= {name for figure in figures for name in figure["ids"]}
            before = ["".join(f'<a id="{name}"></a>' for name in sorted(anchors))]
            return [*before, node["cell_index"], *(piece for figure in figures for piece in self.blocks(figure))]
        if node.get("design_component") == "card":
            return self._card(node)
        return self.inside(node)

    def _card(self, node):
        links = [link for link in node.findall(nodes.reference) if "sd-stretched-link" in link["classes"]]
        for part in list(node.findall(nodes.container)):
            if part.get("design_component") == "card-title":
                title = "".join(self.words(child) for child in part)
        linked = f"[{title}]({self.target(links[0])})" if links else title
        body = [part for part in node if part.get("design_component") == "card-body"]
        rest = [child for part in body for child in part if child.get("design_component") != "card-title"]
        return [f"**{linked}**", *(piece for child in rest for piece in self.blocks(child))]

    def block_passthroughtextelement(self, node):
        return [self.words(node)]

    def block_figure(self, node):
        pictures = [self.inline(node[0])] if isinstance(node[0], nodes.image | nodes.reference) else []
        captions = [child for child in node if isinstance(child, nodes.caption | nodes.legend)]
        return pictures + [piece for child in captions for piece in self.blocks(child)]

    def block_caption(self, node):
        number = self._number("figure", node.parent) if node.parent["ids"] else ""
        name = f"**{self.app.config.numfig_format['figure'] % number}.** " if number else ""
        return [name + self.words(node)]

    def block_legend(self, node):
        return self.inside(node)

    block_glossary = block_legend

    def block_image(self, node):
        return [self.inline_image(node)]

    def block_table(self, node):
        title, pieces = node.next_node(nodes.title), []
        if title:
            number = self._number("table", node)
            name = f"**{self.app.config.numfig_format['table'] % number}.** " if number else ""
            pieces.append(name + self.words(title))
        rows = [[self._entry(entry) for entry in row] for row in node.findall(nodes.row)]
        if not next(node.findall(nodes.thead), None):
            rows.insert(0, [""] * len(rows[0]))
        last = list(node.findall(nodes.row))[-1]
        rules = ["---:" if "text-right" in entry["classes"] else "---" for entry in last]
        lines = [" | ".join(row) for row in [rows[0], rules, *rows[1:]]]
        return [*pieces, "\n".join(f"| {line} |" for line in lines)]

    def _entry(self, entry):
        text = "<br>".join(_flat(piece).replace("\n", " ") for piece in self.inside(entry))
        text = re.sub(r"\$[^$]+\$", lambda formula: _without_bars(formula[0]), text)
        return re.sub(r"(?<!\\)\|", r"\\|", text)

    def block_citation(self, node):
        label, *rest = node
        pieces = [piece for child in rest for piece in self.blocks(child)]
        return [f"**{self.words(label)}.** {pieces[0]}", *pieces[1:]]

    block_footnote = block_citation

    def block_raw(self, node):
        return [node.astext()] if node["format"] == "html" else []

    def _nothing(self, node):
        return []

    block_comment = block_target = block_toctree = block_compound = block_substitution_definition = _nothing
    block_index = block_system_message = block_claimspage = _nothing

    # Words

    def words(self, node):
        """What stands in a line."""
        return "".join(self.inline(child) for child in node)

    def inline(self, node):
        method = self._method("inline", node)
        return method(node) if method else ""

    def inline_text(self, node):
        return _escaped(node.astext().replace("\n", " "))

    def inline_inline(self, node):
        if "sd-summary-state-marker" in node["classes"]:
            return ""
        if "bibtex-citation" in node["classes"]:  # in parentheses, for a link has brackets
            words = [nodes.Text(part.translate(ROUND)) if isinstance(part, nodes.Text) else part for part in node]
            return "".join(map(self.inline, words))
        return self.words(node)

    inline_passthroughtextelement = inline_generated = inline_inline

    def inline_emphasis(self, node):
        return _around("*", self.words(node), "*")

    inline_title_reference = inline_emphasis

    def inline_strong(self, node):
        return _around("**", self.words(node), "**")

    def inline_literal(self, node):
        text = node.astext()
        fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
        return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"

    def inline_math(self, node):
        return f"${_tex(node.astext())}$"

    def inline_subscript(self, node):
        return f"<sub>{self.words(node)}</sub>"

    def inline_superscript(self, node):
        return f"<sup>{self.words(node)}</sup>"

    def inline_reference(self, node):
        return _around("[", self.words(node), f"]({self.target(node)})")

    inline_number_reference = inline_term = inline_claimquote = inline_reference

    def inline_footnote_reference(self, node):
        return f"<sup>[{node.astext()}]({self.target(node)})</sup>"

    def inline_image(self, node):
        uri = node["uri"]
        if not urlsplit(uri).scheme:
            uri = self.at_site(posixpath.join(self.app.builder.imagedir, self.app.env.images[uri][1]))
        return f"![{_escaped(node.get('alt', ''))}]({uri})"

    def inline_target(self, node):
        return "".join(f'<a id="{name}"></a>' for name in node["ids"] if name in self.wanted) + self.words(node)

    def inline_raw(self, node):
        return node.astext() if node["format"] == "html" else ""

    def inline_problematic(self, node):
        return ""


def _joined(pieces):
    """Texts that follow one another as one."""
    joined = []
    for piece in pieces:
        if joined and isinstance(piece, str) and isinstance(joined[-1], str):
            joined[-1] += f"\n\n{piece}"
        else:
            joined.append(piece)
    return joined


def _flat(piece):
    """A text whose formulas stand in one line each: in a quote or a list, its marks would come between theirs."""
    return re.sub(r"\$\$.*?\$\$", lambda formula: formula[0].replace("\n", " "), piece, flags=re.DOTALL)


def _tex(formula):
    """A formula between dollars: no tag begins in it, and no blank line ends it."""
    return re.sub(r"\n\s*\n", "\n", re.sub(r"<(?=\S)", "< ", formula.strip()))


def _without_bars(formula):
    """A formula in a table, where a bar would begin the next cell."""
    return formula.replace(r"\|", r"\Vert ").replace("|", r"\vert ")


def _around(begin, text, end):
    """Words between marks, which stand at the words themselves and not at the spaces around them."""
    inner = text.strip()
    return text.replace(inner, f"{begin}{inner}{end}") if inner else text


def _escape_start(match):
    return match[0] + "\\" if match[0].isdigit() else f"\\{match[0]}"


def _escaped(text):
    """Text in which nothing is a mark of Markdown."""
    text = re.sub(r"&(?=#?\w+;)", "&amp;", text).replace("<", "&lt;").replace("](", "]&#40;")
    text = re.sub(r"\\(?=[!-/:-@\[-`{-~])", "&#92;", text)
    return re.sub(r"([*`$~]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def place_wheels(app, exception):
    """Put the package beside the notebooks."""
    if exception or app.builder.name != "html":
        return
    content = wheel()
    for folder in {posixpath.dirname(docname) for docname, data in app.env.metadata.items() if "kernelspec" in data}:
        (Path(app.outdir) / "_sources" / folder / WHEEL).write_bytes(content)


def offer(app, pagename, templatename, context, doctree):
    """Each chapter as a notebook behind the theme's own download button."""
    if "kernelspec" in app.env.metadata.get(pagename, {}):
        context["ipynb_source"] = f"{pagename}.ipynb"


def offer_wheel(app, pagename, templatename, context, doctree):
    """The package beside it, in the same menu."""
    for group in context.get("header_buttons", []):
        if group["label"] == "download-buttons" and context.get("ipynb_source"):
            place = posixpath.join(context["pathto"]("_sources", 1), posixpath.dirname(pagename), WHEEL)
            button = {"type": "link", "text": ".whl", "icon": "fas fa-download", "label": "download-package-button"}
            button |= {"url": place, "tooltip": "Download the package that the notebook needs"}
            group["buttons"].insert(1, button)


def setup(app):
    app.connect("doctree-read", keep)
    app.connect("doctree-resolved", write, priority=600)
    app.connect("html-page-context", offer, priority=1)
    app.connect("html-page-context", offer_wheel, priority=700)
    app.connect("build-finished", place_wheels)
