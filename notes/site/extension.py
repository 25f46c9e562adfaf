"""The Sphinx extension behind the website: frames become files, claims become a page, chapters become notebooks.

It runs inside ``jupyter-book build``. The chapters compute; what a page needs of them travels in their cells' outputs,
as JSON that :mod:`notes.explore` and :mod:`notes.claims` emit, and is turned into pages here.
"""

import dataclasses
import functools
import os
import shutil
from pathlib import Path

from notes._extras import needs
from notes.claims import Claim
from notes.site import accessible, captions, cards, formulas, links, navigation, notebooks, search, weight
from notes.site.contents import Settings, read, text_of
from notes.site.dependencies import execution_cache
from notes.site.kernels import kernel_environment
from notes.site.outputs import ClaimNode, FigureNode, PlaygroundNode

with needs("site"):
    import jinja2
    import markupsafe
    import numpy as np
    from docutils import nodes
    from sphinx import addnodes
    from sphinx.environment.collectors import EnvironmentCollector
    from sphinx.ext import viewcode
    from sphinx.util import logging
    from sphinx.util.docutils import SphinxDirective, SphinxRole

_LOGGER = logging.getLogger(__name__)
_TEMPLATES = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True)


class ClaimsPage(nodes.General, nodes.Element):
    """Stands where the page of all claims gets its table."""


class ClaimQuote(nodes.inline):
    """A claim quoted by its statement, anywhere in the book; words alone where it is no link, as in the contents."""


def figure_html(figure, frames, folder, code=None, anchor=None, playground=None):
    """The figure as HTML: a picture that stands without a script, and controls that figures.js brings to life."""
    controls = figure["controls"]
    at, of = [control["default"] for control in controls], [len(control["labels"]) for control in controls]
    default = np.ravel_multi_index(at, of)
    return _render(
        "figure.html",
        **figure,
        frames=frames,
        folder=folder,
        default=default,
        code=code,
        anchor=anchor,
        playground=playground,
    )


def _render(template, **values):
    return _TEMPLATES.get_template(template).render(**values)


def visit_figure(self, node):
    code = None
    if "code" in node:
        page, place = node["code"]
        code = f"{self.builder.get_relative_uri(self.builder.current_docname, page)}#{place}"
    playground = node["figure"].get("opens") and _playground(self.builder)
    html = figure_html(node["figure"], node["frames"], self.builder.imgpath, code, node.get("anchor"), playground)
    self.body.append(html)


def _playground(builder):
    """The address of the playground from the present page, if the book has one."""
    for name, figure in _playgrounds(builder.env):
        return f"{builder.get_relative_uri(builder.current_docname, name)}#{figure}"
    return None


def _playgrounds(env):
    """The pages with a playground, of which a book has one or none, each with the name of its figure."""
    return [(name, page.playground) for name, page in Pages.of(env).items() if page.playground]


def visit_playground(self, node):
    frame = f"{self.builder.imgpath}/{node['frames'][0]}"
    self.body.append(_render("playground.html", **node["figure"], frame=frame))


def visit_claim(self, node):
    self.body.append(Claim(**node["claim"]).html(anchor=node["ids"][0], uri=node.get("listed", "")) + "\n")


def visit_quote(self, node):
    if "html" in node:
        self.body.append(node["html"])
        raise nodes.SkipNode


def visit_words(self, node):
    """Its words stand as they are."""


def depart(self, node):
    """Nothing to close."""


class ClaimsDirective(SphinxDirective):
    """``{claims}``: a table of every claim of the book, with its numbers and a link to its place."""

    def run(self):
        return [ClaimsPage()]


class ClaimRole(SphinxRole):
    """``{claim}`statement` ``: the claim of that very statement, wherever it was measured, with its numbers."""

    def run(self):
        quote = ClaimQuote(self.rawtext, self.text, support_smartquotes=False)  # the statement, letter by letter
        self.set_source_info(quote)
        return [quote], []


@dataclasses.dataclass(frozen=True)
class Page:
    """What a page holds for others, and for the files made at the end."""

    claims: dict[str, Claim]  # by their anchors
    files: frozenset[tuple[str, str]]  # folder and name of what waits among the doctrees for the site
    playground: str | None  # the name of its figure, if it is the page with the playground
    flows: bool  # whether it has a figure that starts by itself, and could be computed instead
    lists_claims: bool
    uses: dict[str, str]  # the names that its cells import from the package, and what they are in full
    terms: dict[str, str]  # the anchors of the terms that it defines, and their definitions as HTML


def _find_code(app, doctree):
    """Have viewcode show the code of each figure function of the package, as it does for entries of the reference.

    Its page leads back to the first figure that a page makes with the function.
    """
    seen = set()
    for node in doctree.findall(FigureNode):
        module, name = node["figure"]["function"]
        entry = addnodes.desc_signature(module=module, fullname=name)
        if module.startswith("notes."):
            viewcode.doctree_read(app, addnodes.desc("", entry, domain="py"))
        for found in entry.findall(viewcode.viewcode_anchor):
            node["code"] = found["reftarget"], found["refid"]
            node["anchor"] = "" if node["code"] in seen else f"{module}.{name}"
            seen.add(node["code"])


def _figure_of(node):
    """The name of the figure in which a node stands."""
    while not isinstance(node, nodes.figure):
        node = node.parent
    return node["ids"][0]


def _flows(node):
    return node["figure"].get("opens") and any(control.get("starts") for control in node["figure"]["controls"])


def _files(doctree):
    for kind in (FigureNode, PlaygroundNode):
        for node in doctree.findall(kind):
            yield from (("frames", name) for name in node["frames"])
            yield from (("scripts", name) for name in [node.get("script")] if name)


class Pages(EnvironmentCollector):
    """Notes each page as it is read."""

    def process_doc(self, app, doctree):
        path = Path(app.env.doc2path(app.env.docname))
        chapter = read(path, text_of(path), app.env.myst_config, Settings(**app.env.mystnb_config.as_dict()))
        cells = chapter.notebook.cells if chapter else []
        _find_code(app, doctree)
        found = {f"claim-{number}": node for number, node in enumerate(doctree.findall(ClaimNode), start=1)}
        for anchor, node in found.items():
            node["ids"] = [anchor]
        self.of(app.env)[app.env.docname] = Page(
            claims={anchor: Claim(**node["claim"]) for anchor, node in found.items()},
            files=frozenset(_files(doctree)),
            playground=next((_figure_of(node) for node in doctree.findall(PlaygroundNode)), None),
            lists_claims=any(doctree.findall(ClaimsPage)),
            flows=any(map(_flows, doctree.findall(FigureNode))),
            uses=links.imported(cell.source for cell in cells if cell.cell_type == "code"),
            terms=links.definitions(app.builder, doctree),
        )

    @staticmethod
    def of(env):
        """The pages read so far, by their names."""
        return env.__dict__.setdefault("notes_pages", {})

    def clear_doc(self, app, env, docname):
        self.of(env).pop(docname, None)

    def merge_other(self, app, env, docnames, other):
        self.of(env).update({name: page for name, page in self.of(other).items() if name in docnames})


def in_reading_order(env):
    """The documents as the table of contents leads through them."""
    order, waiting = [], [env.config.root_doc]
    while waiting:
        docname = waiting.pop(0)
        if docname not in order:
            order.append(docname)
            waiting = list(env.toctree_includes.get(docname, [])) + waiting
    return order


def fill_quotes(app, doctree, docname):
    """Make each quoted claim a link to its place that shows its numbers; one that is not there fails the build."""
    for quote in list(doctree.findall(ClaimQuote)):
        statement = quote.astext()
        places = [
            (source, anchor, claim)
            for source, page in Pages.of(app.env).items()
            for anchor, claim in page.claims.items()
            if claim.statement == statement
        ]
        if len(places) != 1:
            found = " and ".join(sorted(f"{source}#{anchor}" for source, anchor, _ in places)) or "none"
            _LOGGER.warning("one claim must state “%s”, found %s", statement, found, location=quote, type="claim")
            continue
        ((source, anchor, claim),) = places
        quote += nodes.Text(" (measured {measured}, expected {expected})".format(**claim.words()))
        if not links.inside(quote, nodes.reference):  # no link stands within another
            uri = f"{app.builder.get_relative_uri(docname, source)}#{anchor}"
            quote["uri"], quote["html"] = uri, claim.html("quote", uri=uri)


def _row(docname, anchor):
    """The anchor of a claim on the page of all claims."""
    return nodes.make_id(f"{docname}-{anchor}")


def fill_claims_page(app, doctree, docname):
    """Give the page of all claims its table, and each claim the address of its row there."""
    relative, pages = functools.partial(app.builder.get_relative_uri, docname), Pages.of(app.env)
    for place in list(doctree.findall(ClaimsPage)):
        chapters = [
            (
                app.env.titles[name].astext(),
                [
                    markupsafe.Markup(claim.html("row", anchor=_row(name, anchor), uri=f"{relative(name)}#{anchor}"))
                    for anchor, claim in pages[name].claims.items()
                ],
            )
            for name in in_reading_order(app.env)
            if name in pages and pages[name].claims
        ]
        place.replace_self(nodes.raw("", _render("claims.html", chapters=chapters), format="html"))
    for name in sorted(name for name, page in pages.items() if page.lists_claims)[:1]:
        for node in doctree.findall(ClaimNode):
            node["listed"] = f"{relative(name)}#{_row(docname, node['ids'][0])}"


def link(app, doctree, docname):
    links.resolve(app, doctree, docname, Pages.of(app.env), in_reading_order(app.env))


def finish(app, exception):
    """Put the frames that the book shows into ``_images``, and its scripts into ``_static``."""
    if exception or app.builder.format != "html":
        return
    to = {"frames": Path(app.outdir) / "_images", "scripts": Path(app.outdir) / "_static"}
    for folder, name in frozenset().union(*(page.files for page in Pages.of(app.env).values())):
        to[folder].mkdir(exist_ok=True)
        shutil.copy(Path(app.doctreedir) / folder / name, to[folder])


def add_scripts(app, pagename, templatename, context, doctree):
    """A page that computes loads what it takes: the playground, and where there is one a page with what flows."""
    page, names = Pages.of(app.env).get(pagename), []
    if page and page.playground:
        app.add_css_file("playground.css")
        networks = [name for folder, name in page.files if folder == "scripts"]
        names = [*networks, "sampler.js", "stage.js", "playground.js"]
    elif page and page.flows and _playgrounds(app.env):
        names = ["sampler.js", "stage.js", "flow.js"]
    for name in names:
        app.add_js_file(name, priority=900, defer="defer")  # after figures.js, of whose controls it makes use


def configure(app, config):
    os.environ.update(kernel_environment())
    # One line of _config.yml, the repository's address, brings the launch buttons; without it they would lead nowhere.
    if not config.html_theme_options.get("repository_url"):
        config.html_theme_options.pop("launch_buttons", None)


def find_outputs(app, docname, source):
    """Let MyST-NB look a chapter up where the outputs of its present state are."""
    settings = Settings(**app.env.mystnb_config.as_dict())
    chapter = read(Path(app.env.doc2path(docname)), source[0], app.env.myst_config, settings)
    if chapter:
        place = str(execution_cache(Path(app.srcdir), chapter))
        app.env.mystnb_config = settings.copy(execution_cache_path=place)


def setup(app):
    app.setup_extension("sphinx.ext.viewcode")
    app.add_node(FigureNode, html=(visit_figure, depart))
    app.add_node(ClaimNode, html=(visit_claim, depart))
    app.add_node(ClaimsPage)
    app.add_node(PlaygroundNode, html=(visit_playground, depart))
    quotes = dict.fromkeys(["html", "singlehtml"], (visit_quote, depart))
    quotes |= dict.fromkeys(["latex", "man", "texinfo", "text"], (visit_words, depart))
    app.add_node(ClaimQuote, **quotes)
    app.add_directive("claims", ClaimsDirective)
    app.add_role("claim", ClaimRole())
    captions.setup(app)
    links.setup(app)
    formulas.setup(app)
    navigation.setup(app)
    notebooks.setup(app)
    search.setup(app)
    accessible.setup(app)
    cards.setup(app)
    weight.setup(app)
    app.connect("config-inited", configure, priority=1)
    app.connect("source-read", find_outputs)
    app.add_env_collector(Pages)
    app.connect("doctree-resolved", fill_quotes)
    app.connect("doctree-resolved", fill_claims_page)
    app.connect("doctree-resolved", link)
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", finish)
    return {"version": "1", "env_version": 3, "parallel_read_safe": True, "parallel_write_safe": True}
