"""A figure's caption is Markdown below its cell, so that JupyterLab shows it too, and numbers it.

Part of the Sphinx extension :mod:`notes.site.extension`. A ``figure`` without a picture is the caption of what the cell
above it shows. A reference to a figure of another chapter, which JupyterLab cannot number, bears a title for it:
``{numref}`“A title” <fig-name>` ``; a page shows the number.
"""

from notes._extras import needs

with needs("site"):
    from docutils import nodes
    from sphinx import addnodes
    from sphinx.directives.patches import Figure
    from sphinx.transforms import SphinxTransform
    from sphinx.util import logging

_LOGGER = logging.getLogger(__name__)


class CaptionedFigure(Figure):
    """``figure``; without a picture its name and its caption alone, for the picture is the cell's."""

    required_arguments = 0
    optional_arguments = 1

    def run(self):
        if self.arguments:
            return super().run()
        parsed = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, parsed)
        if not parsed.children or not isinstance(parsed[0], nodes.paragraph):
            raise self.error("a caption begins with a paragraph")
        first, *rest = parsed
        figure = nodes.figure("", nodes.caption(first.rawsource, "", *first.children), of_cell=True)
        figure += [nodes.legend("", *rest)] if rest else []
        for node in (figure, figure[0]):
            node.source, node.line = self.state_machine.get_source_and_line(self.lineno)
        self.add_name(figure)
        return [figure]


class Captions(SphinxTransform):
    """Puts what a cell shows and its caption together, and leaves titles to JupyterLab."""

    default_priority = 200  # after solutions have taken in the cells between their gates

    def apply(self):
        for figure in list(self.document.findall(nodes.figure)):
            if figure.attributes.pop("of_cell", False):
                _place(figure)
        for link in self.document.findall(addnodes.pending_xref):
            if link["reftype"] == "numref" and link["refexplicit"] and not {"%", "{"} & {*link.astext()}:
                link["refexplicit"] = False


def _place(figure):
    siblings = figure.parent.children
    above = siblings[: siblings.index(figure)][-1:]
    shown = [
        part
        for cell in above
        for part in cell.findall(nodes.container)
        if part.get("nb_element") == "mime_bundle" and cell.get("nb_element") == "cell_code"
    ]
    figure.parent.remove(figure)
    if len(shown) != 1:
        _LOGGER.warning("a caption stands right below a cell that shows one thing", location=figure, type="caption")
        return
    shown[0].replace_self(figure)
    figure.insert(0, shown[0])


def setup(app):
    app.add_directive("figure", CaptionedFigure, override=True)
    app.add_transform(Captions)
