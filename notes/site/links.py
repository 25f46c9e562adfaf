"""What leads from page to page: from a chapter's code to the reference and back, and from a term to its definition.

Part of the Sphinx extension :mod:`notes.site.extension`. A chapter links the names that it imports from the package, in
its prose and in its cells, and each entry of the reference lists the chapters that do. Nothing of it is kept by hand.
"""

import ast
import functools
import re

from notes._extras import needs
from notes.site.dependencies import syntax

with needs("site"):
    from docutils import nodes
    from sphinx import addnodes
    from sphinx.util import logging

_LOGGER = logging.getLogger(__name__)
_WORDS = (nodes.Text, nodes.inline, nodes.emphasis, nodes.strong, nodes.literal, nodes.math)


def imported(cells):
    """What cells import from the package, by the name that they use for it: less each name that means two things."""
    meanings = {}

    def means(name, meaning):
        meanings.setdefault(name, set()).add(meaning)

    for tree in filter(None, map(syntax, cells)):  # less the cells that may raise, or are of another language
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    means(alias.asname or alias.name, f"{node.module}.{alias.name}")
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    means(alias.asname or alias.name.split(".")[0], None)
            elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                means(node.id, None)
            elif isinstance(node, ast.arg):
                means(node.arg, None)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler):
                means(node.name, None)
    only = {name: meaning.pop() for name, meaning in meanings.items() if len(meaning) == 1}
    return {name: meaning for name, meaning in only.items() if meaning and meaning.startswith("notes.")}


class Term(nodes.General, nodes.Inline, nodes.TextElement):
    """A term that leads to the glossary and shows its definition where it stands."""


def visit_term(self, node):
    self.body.append(f'<span class="term"><a class="reference internal" href="{node["uri"]}" ')
    self.body.append(f'aria-describedby="{node["ids"][0]}">')


def depart_term(self, node):
    self.body.append(f'</a><span class="definition" role="tooltip" id="{node["ids"][0]}">{node["definition"]}</span>')
    self.body.append("</span>")


def visit_code(self, node):
    """Code as Sphinx shows it, the first use of a linked name made a link; it is none as an attribute or a keyword."""
    try:
        type(self).visit_literal_block(self, node)
    except nodes.SkipNode:
        for name, uri in node.get("links", {}).items():
            use = rf'(?<!<span class="o">\.</span>)(<span class="n">{name}</span>)(?!<span class="o">=</span>)'
            self.body[-1] = re.sub(use, rf'<a class="use" href="{uri}">\1</a>', self.body[-1], count=1)
        raise


def depart_code(self, node):
    type(self).depart_literal_block(self, node)


def definitions(builder, doctree):
    """The terms that a page's glossaries define, by their anchors: what each shows where it is used."""
    found = {}
    for item in (item for glossary in doctree.findall(addnodes.glossary) for item in glossary[0]):
        definition = _definition(builder, item)
        found |= {name: definition for term in item.findall(nodes.term) for name in term["ids"]}
    return found


def _definition(builder, item):
    """A definition's first paragraph as HTML that may stand in a line, without its links."""
    words = next(item.findall(nodes.paragraph)).deepcopy()
    for link in list(words.findall(addnodes.pending_xref)):
        if link["reftype"] == "term":
            link.replace_self(link.children)
    for other in [node for node in words.children if not isinstance(node, _WORDS)]:
        _LOGGER.warning(
            "a definition begins with a paragraph of words, formulas and {term} alone, found %s",
            other.astext() or other.tagname,
            location=item,
            type="glossary",
        )
        other.replace_self(nodes.Text(other.astext()))
    return builder.render_partial(nodes.inline("", "", *words.children))["fragment"].strip()


def resolve(app, doctree, docname, pages, order):
    """Turn what a document names into links, once all documents are known; ``order`` is that of the book."""
    relative = functools.partial(app.builder.get_relative_uri, docname)
    _link_uses(doctree, pages[docname].uses, app.env.get_domain("py").objects, relative)
    for entry in doctree.findall(addnodes.desc):
        full = f"{entry[0].get('module')}.{entry[0].get('fullname')}"
        chapters = [name for name in order if full in pages[name].uses.values()]
        if chapters:
            entry[-1] += _used_in([(app.env.titles[name].astext(), relative(name)) for name in chapters])
    if (
        app.builder.format == "html" and not pages[docname].terms
    ):  # the glossary itself needs no second copy of its definitions
        known = {name: text for page in pages.values() for name, text in page.terms.items()}
        _define_terms(doctree, known)


def _link_uses(doctree, uses, entries, relative):
    uris = {
        name: f"{relative(entries[full].docname)}#{entries[full].node_id}"
        for name, full in uses.items()
        if full in entries
    }
    for block in doctree.findall(nodes.literal_block):
        block["links"] = uris
    for code in list(doctree.findall(nodes.literal)):
        uri = uris.get(code.astext().partition("(")[0])
        if uri and not inside(code, (nodes.reference, nodes.title)):
            code.replace_self(nodes.reference("", "", code.deepcopy(), refuri=uri, internal=True, classes=["use"]))


def inside(node, kinds):
    while node := node.parent:
        if isinstance(node, kinds):
            return True
    return False


def _used_in(chapters):
    line = nodes.paragraph("", "Used in ", classes=["used-in"])
    for number, (title, uri) in enumerate(chapters):
        line += [nodes.Text(", ")] * (number > 0) + [nodes.reference("", title, refuri=uri, internal=True)]
    return line


def _define_terms(doctree, definitions):
    """Make each term show its definition."""
    found = [node.parent for node in doctree.findall(nodes.inline) if "std-term" in node["classes"]]
    links = [node for node in found if isinstance(node, nodes.reference)]  # Sphinx has warned of the others
    uris = [link.get("refuri") or f"#{link['refid']}" for link in links]  # the latter where all is one page
    for number, (link, uri) in enumerate(zip(links, uris, strict=True), start=1):
        place, definition = f"shown-definition-{number}", definitions[uri.rpartition("#")[2]]
        link.replace_self(Term("", "", *link.children, uri=uri, definition=definition, ids=[place]))


def without_fields(app, what, name, obj, skip, options):
    """The fields of a named tuple are no entries of their own."""
    return True if (obj.__doc__ or "").startswith("Alias for field number") else None


def setup(app):
    app.add_node(Term, **dict.fromkeys(["html", "singlehtml"], (visit_term, depart_term)))
    app.add_node(nodes.literal_block, override=True, html=(visit_code, depart_code))
    app.connect("autodoc-skip-member", without_fields)
