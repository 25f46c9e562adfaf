"""The site's search: an index of places, each a part of a page with an anchor, and the page that looks words up in it.

Part of the Sphinx extension :mod:`notes.site.extension`. Sphinx's own index knows pages alone, and shows of them what a
page opened from disk may not fetch. This one is a script that sets one variable, and holds the text that is shown.
"""

import dataclasses
import json
import re
from pathlib import Path

from notes._extras import needs
from notes.claims import Claim
from notes.site.outputs import ClaimNode, FigureNode
from notes.site.plain import plain

with needs("site"):
    from docutils import nodes
    from sphinx import addnodes
    from sphinx_design.dropdown import dropdown_main, dropdown_title
    from sphinx_exercise.nodes import is_exercise_node, is_solution_node

_SILENT = (
    nodes.raw,
    nodes.comment,
    nodes.substitution_definition,
    nodes.system_message,
    nodes.doctest_block,
    nodes.rubric,
    nodes.thead,
    addnodes.index,
    addnodes.toctree,
    addnodes.desc_signature,
)
# What ends a line of text: words on either side of it are two.
_BLOCKS = (nodes.Body, nodes.Part, nodes.Titular, nodes.Sequential, nodes.Structural)
_NAMES, _WORDS_OR_TEX = re.compile(r"[^\W\d]{3}"), re.compile(r"""^f?["']|[\\$]""")
_NEVER_LOADED = ["searchtools.js", "language_data.js", "sphinx_highlight.js"]  # Sphinx's own


@dataclasses.dataclass(eq=False)
class Place:
    """A part of a page that a result of the search leads to."""

    label: str  # what it is, with its number if it has one: Theorem 2
    title: str
    anchor: str  # none at the top of a page
    above: int  # the place around it, by its number on the page; the first on a page is its own
    text: list[str] = dataclasses.field(default_factory=list)
    code: list[str] = dataclasses.field(default_factory=list)


def places(doctree: nodes.document, numbers: dict) -> list[Place]:
    """The places of a page, in their order, from its doctree with all references resolved.

    ``numbers`` are those that Sphinx gave to figures, theorems and exercises: by kind, then by anchor. Folds, and rows
    of tables of symbols, are given anchors.
    """
    reader = _Reader(numbers)
    reader.read(doctree, Place("", "", "", 0))
    for place in reader.places:
        place.text = [_squeezed("".join(place.text)).removesuffix(" ·")]
    return reader.places


class _Reader:
    def __init__(self, numbers):
        self.numbers, self.places = numbers, []
        self.names = set()  # the nodes that name a place, and so are no part of its text
        self.theorem = None, None  # the last one: its node and its place

    def read(self, node, place):
        for child in reversed(node.children) if isinstance(node, nodes.figure) else node.children:  # its caption first
            if isinstance(child, _SILENT) or id(child) in self.names:
                continue
            if isinstance(child, nodes.literal_block):
                place.code += _telling(child, place.code)
                continue
            if isinstance(child, nodes.Text | nodes.math | nodes.math_block):
                place.text.append(_words(child))
            elif isinstance(child, nodes.image):
                place.text.append(f"{child.get('alt', '')} ")
            elif isinstance(child, FigureNode):
                place.text.append(f" In the picture: {child['figure']['alt']} ")
            else:
                inner = self._place(child, place) or place
                self.read(child, inner)
                if isinstance(child, _BLOCKS) and not isinstance(child, nodes.Inline):
                    inner.text.append(" · " if isinstance(child, nodes.entry) else " ")

    def _place(self, node, place):
        """The place that a node opens, or None."""
        if isinstance(node, nodes.section) and node["names"]:  # one without a name is what a theorem contains
            return self._open(node, "Section" if self.places else "Page", self._name(node, nodes.title), place)
        if "realtype" in node and node["ids"]:
            title = self._name(node, nodes.title).partition("(")[2].removesuffix(")")
            label = f"{node['realtype'].title()} {self._number(node, node.get('countertype'))}"
            self.theorem = node, self._open(node, label, title, place)
            return self.theorem[1]
        if is_exercise_node(node) or is_solution_node(node):
            label, _, title = self._name(node, nodes.title).partition("(")
            label = label or f"Exercise {self._number(node, 'exercise')}"  # which is written into its title later
            return self._open(node, label, title.removesuffix(")"), place)
        if isinstance(node, nodes.figure) and node["ids"]:
            caption = next(node.findall(nodes.caption), node)
            title = self._name(caption, nodes.strong) or _squeezed(_words(caption)).partition(". ")[0]
            return self._open(node, f"Figure {self._number(node, 'figure')}", title.rstrip("."), place)
        if isinstance(node, dropdown_main):
            return self._fold(node, place)
        if isinstance(node, ClaimNode):
            claim = Claim(**node["claim"])
            found = self._open(node, "Claim", claim.statement, place)
            found.text.append("measured {measured}, expected {expected}".format(**claim.words()))
            return found
        if isinstance(node, nodes.definition_list_item) and any(term["ids"] for term in node.findall(nodes.term)):
            terms = [term for term in node.children if isinstance(term, nodes.term)]
            return self._open(terms[0], "Term", ", ".join(self._name(node, nodes.term) for _ in terms), place)
        if isinstance(node, addnodes.desc) and node[0]["ids"]:
            found = self._open(node[0], node["objtype"].title(), node[0]["fullname"], place)
            found.code.append(f"{node[0]['module']}.{node[0]['fullname']}{_parameters(node[0])}")
            return found
        if isinstance(node, nodes.citation):
            return self._open(
                node, "Source", f"[{self._name(node, nodes.label)}] {self._name(node, nodes.paragraph)}", place
            )
        if isinstance(node, nodes.row) and "symbols" in node.parent.parent.parent["classes"]:
            node["ids"] = node["ids"] or [f"symbol-{sum(place.label == 'Symbol' for place in self.places) + 1}"]
            return self._open(node, "Symbol", self._name(node, nodes.entry), place)
        return None

    def _fold(self, node, place):
        """A proof, or what else is unfolded, named after the theorem before it."""
        theorem, stated = self.theorem
        title, before = self._name(node, dropdown_title), node.parent.children[: node.parent.index(node)]
        kind = title.partition(",")[0]  # of a proof that says what it assumes
        of = bool(before) and before[-1] is theorem
        if not node["ids"]:
            name = nodes.make_id(f"{theorem['ids'][0]}-{kind}" if of else f"fold-{title}")
            again = sum(re.fullmatch(rf"{name}(-\d+)?", place.anchor) is not None for place in self.places)
            node["ids"] = [f"{name}-{again + 1}" if again else name]
        return self._open(node, f"{kind} of {stated.label}" if of else "Aside", stated.title if of else title, place)

    def _open(self, node, label, title, around):
        """A new place within another, for a node with an anchor."""
        above = self.places.index(around) if self.places else 0
        self.places.append(Place(label.strip(), title, node["ids"][0] if self.places else "", above))
        return self.places[-1]

    def _name(self, node, kind):
        """The words of the first part of a kind that was not read yet, and is no part of the text now."""
        part = next((part for part in node.findall(kind) if id(part) not in self.names), None)
        self.names.add(id(part))
        return _squeezed(_words(part)) if part else ""

    def _number(self, node, kind):
        return ".".join(map(str, self.numbers.get(kind, {}).get(node["ids"][0], ())))


def _words(node):
    """What is read of a node, formulas as plain text."""
    if isinstance(node, nodes.math | nodes.math_block):
        return plain(node.astext()) + " " * isinstance(node, nodes.math_block)
    if isinstance(node, nodes.Text):
        return node.astext()
    return "" if isinstance(node, _SILENT) else "".join(map(_words, node.children))


def _parameters(signature):
    return "".join(part.astext() for part in signature.findall(addnodes.desc_parameterlist))


def _squeezed(text):
    return " ".join(text.split())


def _telling(block, known):
    """The lines of a cell's code that name something and were not met before: none of its output, no mere words."""
    outer = block
    while outer := outer.parent:
        if isinstance(outer, nodes.Element) and outer.get("nb_element") == "cell_code_output":
            return []
    lines = dict.fromkeys(map(str.strip, block.astext().splitlines()))
    return [line for line in lines if _NAMES.search(line) and not _WORDS_OR_TEX.search(line) and line not in known]


def index(pages: list[tuple[str, list[Place]]]) -> str:
    """The script that holds the places of all pages, each with its page's address, in the order of the book.

    A source that several pages list is kept where it stands last: on the page of all.
    """
    last = {place.title: place for _, found in pages for place in found if place.label == "Source"}
    rows = []
    for number, (_, found) in enumerate(pages):
        kept = [place for place in found if place.label != "Source" or last[place.title] is place]
        first = len(rows)
        for place in kept:
            above = first + kept.index(found[place.above])
            rows.append([number, above, place.label, place.title, place.anchor, place.text[0], "\n".join(place.code)])
    data = {"pages": [uri for uri, _ in pages], "places": rows}
    return f"const searchIndex = {json.dumps(data, ensure_ascii=False, separators=(',', ':'))};\n"


def collect(app, doctree, docname):
    """Note the places of a page that is about to be written."""
    if app.builder.name == "html":
        found = places(doctree, app.env.toc_fignumbers.get(docname, {}))
        app.env.notes_places[docname] = app.builder.get_target_uri(docname), found


def write(app, exception):
    """Write the index, for the pages that Sphinx left as they were too."""
    if exception or app.builder.name != "html":
        return
    found, order = app.env.notes_places, list(app.env.collect_relations())
    for docname in order:
        if docname not in found:
            app.env.get_and_resolve_doctree(docname, app.builder)
    root = Path(app.outdir)
    (root / "search-index.js").write_text(index([found[docname] for docname in order]), encoding="utf-8")
    for name in _NEVER_LOADED:
        (root / "_static" / name).unlink(missing_ok=True)


def replace_sphinx_search(app):
    """Sphinx makes no index and no page of its own."""
    app.builder.search = False
    app.env.notes_places = {}


def search_page(app):
    return [("search", {"title": "Search"}, "search.html")] if app.builder.name == "html" else []


def choose_scripts(app, pagename, templatename, context, doctree):
    """Sphinx's marks are not loaded: marks.js does it. The search's script is, on its page."""
    files = context["script_files"]  # Sphinx's own list, which it restores for each page
    files[:] = [file for file in files if "sphinx_highlight" not in str(file.filename)]
    if pagename == "search":
        app.add_js_file("search.js", priority=900, defer="defer")  # after marks.js, which it builds on


def setup(app):
    app.connect("builder-inited", replace_sphinx_search)
    app.connect("doctree-resolved", collect, priority=900)  # when all others have had their say
    app.connect("html-collect-pages", search_page)
    app.connect("html-page-context", choose_scripts)
    app.connect("build-finished", write)
