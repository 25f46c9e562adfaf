"""Formulas, typeset in the build: the site holds each as it looks, as MathML for those who listen, and as TeX to copy.

MathJax, which is in the wheel sphinx-mathjax-offline, runs in QuickJS, which is a wheel too; no script of it is on the
site. What it made of each formula is kept in ``_build``, and made anew where that is damaged or missing.
"""

import contextlib
import functools
import hashlib
import importlib.resources
import itertools
import json
import re
import shutil
from html import escape
from importlib.metadata import version
from pathlib import Path

from notes._extras import needs
from notes.site.dependencies import digest

with needs("site"):
    import quickjs
    from docutils import nodes
    from fontTools import subset
    from sphinx.util import logging
    from sphinx.util.math import get_node_equation_number

    _MATHJAX = importlib.resources.files("sphinx-mathjax-offline") / "static" / "mathjax"

__all__ = ["FormulaError", "Typesetter"]

_LOGGER = logging.getLogger(__name__)
_PARTS = ["core", "loader", "adaptors/liteDOM", "input/tex-full", "output/chtml", "output/chtml/fonts/tex"]
_SCRIPTS = [*(_MATHJAX / f"{part}.js" for part in [*_PARTS, "a11y/assistive-mml"]), Path(__file__).with_suffix(".js")]
_FONTS = _MATHJAX / "output" / "chtml" / "fonts" / "woff-v2"
_FAMILY = re.compile(r"MJX[\w-]+")
_SHEET = "sheet"  # its name among the formulas, each of which begins with a dollar
# A formula is as large as the letters around it, by the height of an x, which is 0.442 em in MathJax's fonts.
_OWN = "mjx-container { font-size: calc(1ex / 0.442); position: relative; }\n"


class FormulaError(ValueError):
    """What is wrong with a formula's TeX."""


class Typesetter:
    """Makes HTML of TeX, and a style sheet for it. A file keeps what it made for the next time."""

    def __init__(self, file: Path) -> None:
        self._file, self._made = file, {}

    @functools.cached_property
    def _kept(self):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            stamp, _, text = self._file.read_text(encoding="utf-8").partition("\n")
            if stamp == _stamp(text):
                return json.loads(text)
        return {}

    def html(self, tex: str, display: bool) -> str:
        """A formula, in a line or, for display, on its own. Raises FormulaError."""
        key = f"$${tex}$$" if display else f"${tex}$"
        if key not in self._made:
            self._made[key] = self._kept.get(key) or _html(tex, display)
        return self._made[key]

    def sheet(self) -> str:
        """The rules that the formulas made so far need, a line each."""
        made = "".join(self._made.values())
        self._made[_SHEET] = self._kept.get(_SHEET) or _engine().get("sheet")()
        used = {"", "*"}
        for tag in {*re.findall(r"<([^/][^>]*)>", made)}:
            name, classes = re.match(r"[\w-]+", tag)[0], re.findall(r' class="(.*?)"', tag)
            for some in _subsets(" ".join(classes).split()):
                used |= {name + some, some}
        sheet = re.sub(r"/\*.*?\*/", "", self._made[_SHEET])
        rules = [(rule[1].strip(), " ".join(rule[2].split())) for rule in re.finditer(r"([^{}]+){([^{}]*)}", sheet)]
        kept = [rule for rule in rules if any(_parts(selector) <= used for selector in rule[0].split(","))]
        fonts = {*_FAMILY.findall(str(kept))}
        kept += [rule for rule in rules if rule[0] == "@font-face" and fonts & {*_FAMILY.findall(rule[1])}]
        return "".join(f"{selectors} {{ {body} }}\n" for selectors, body in kept)

    def keep(self) -> None:
        """Leave what was made this time, and nothing else, for the next."""
        if self._made != self._kept:
            text = json.dumps(self._made, ensure_ascii=False, sort_keys=True)
            with contextlib.suppress(OSError):  # it then takes longer
                self._file.parent.mkdir(exist_ok=True)
                self._file.write_text(f"{_stamp(text)}\n{text}", encoding="utf-8")


def _html(tex, display):
    made, problem = json.loads(_engine().get("typeset")(tex, display))
    if problem:
        raise FormulaError(problem)
    return made.replace(">", f' data-tex="{escape(tex)}">', 1)


def _stamp(text):
    """A hash of what was made, and of what it was made with."""
    made_with = digest({path.name: path for path in [*_SCRIPTS, Path(__file__)]}, version("quickjs-ng"))
    return hashlib.sha256(f"{made_with}{text}".encode()).hexdigest()


def _subsets(classes):
    """All that a selector could name of the classes of an element."""
    some = itertools.chain.from_iterable(itertools.combinations(classes, n) for n in range(len(classes) + 1))
    return ["".join(f".{name}" for name in names) for names in some]


def _parts(selector):
    """The elements that a selector names, one within the other, by tag and classes."""
    return {*re.split(r"[\s>]+", re.sub(r"\[.*?\]|::?[\w-]+(\(.*?\))?", "", selector.strip()))}


@functools.cache
def _engine():
    engine = quickjs.Context()
    for script in _SCRIPTS:
        engine.eval(script.read_text(encoding="utf-8"))
    return engine


def _source(node):
    """A formula's TeX, and whether it is displayed; parted by blank lines or broken, it is set as Sphinx sets it."""
    text = node.astext().strip()
    if isinstance(node, nodes.math):
        return text, False
    if node["nowrap"]:
        return text, True
    parts = [part.strip() for part in text.split("\n\n") if part.strip()]
    parts = [rf"\begin{{split}}{part}\end{{split}}" if r"\\" in part else part for part in parts]
    lines = r"\\".join(parts)
    return rf"\begin{{aligned}}{lines}\end{{aligned}}" if len(parts) > 1 else lines, True


def _typeset(typesetter, node):
    tex, display = _source(node)
    try:
        return typesetter.html(tex, display)
    except FormulaError as error:
        _LOGGER.warning("the formula “%s”: %s", tex, error, location=node, type="formula")
        return ""


def visit_math(typesetter, self, node):
    self.body.append(self.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    self.body.append(f"{_typeset(typesetter, node)}</span>")
    raise nodes.SkipNode


def visit_math_block(typesetter, self, node):
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append(f"{_typeset(typesetter, node)}</div>\n")
    raise nodes.SkipNode


def prepare(typesetter, app, builder):
    """Make the style sheet, and bring the fonts that it loads; the pages that are written next name its very state."""
    if builder.format != "html":
        return
    for name in builder.env.found_docs:
        for node in builder.env.get_doctree(name).findall(lambda node: isinstance(node, nodes.math | nodes.math_block)):
            with contextlib.suppress(FormulaError):  # of which the page tells that it stands on
                typesetter.html(*_source(node))
    sheet, static = typesetter.sheet(), Path(builder.outdir) / "_static"
    shutil.rmtree(static / "formulas", ignore_errors=True)
    (static / "formulas").mkdir(parents=True)
    (static / "formulas.css").write_text(_OWN + sheet, encoding="utf-8")
    for name in re.findall(r'url\("formulas/(.*?)"\)', sheet):
        _write_font(name, _text(sheet), static / "formulas")
    typesetter.keep()


def _text(sheet):
    """The characters that a sheet shows."""
    shown = re.findall(r'content: "(.*?)"', sheet)
    return "".join(re.sub(r"\\([0-9A-F]+)", lambda code: chr(int(code[1], 16)), character) for character in shown)


def _write_font(name, text, folder):
    """A font of MathJax less the glyphs that the text does without: half of it, and the same in every build."""
    options = subset.Options(flavor="woff", layout_features=[], drop_tables=["FFTM"], recalc_timestamp=False)
    font = subset.load_font(_FONTS / name, options)
    glyphs = subset.Subsetter(options)
    glyphs.populate(text=text + "\ueffc")  # which alone is in MathJax_Zero, whose lines have no height
    glyphs.subset(font)
    subset.save_font(font, folder / name, options)


def setup(app):
    typesetter = Typesetter(Path(app.srcdir) / "_build" / "formulas")
    visitors = [(functools.partial(visit, typesetter), None) for visit in (visit_math, visit_math_block)]
    app.add_html_math_renderer("formulas", *visitors)
    app.connect("write-started", functools.partial(prepare, typesetter))
    app.add_css_file("formulas.css")
