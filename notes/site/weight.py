"""What a page weighs: of the theme's scripts, styles and icons the site keeps those that some page uses.

Part of the Sphinx extension :mod:`notes.site.extension`. The theme brings a script that draws two thousand icons, and
style sheets for all that a page could hold. Once the pages are written, a rule stays if each class and id that it names
stands on some page or in some script, and an icon stays if such a rule shows it.
"""

import hashlib
import logging
import re
import shutil
from pathlib import Path

from notes._extras import needs

with needs("site"):
    import rjsmin
    import tinycss2
    from fontTools import subset
    from fontTools.ttLib import TTFont

TEMPLATES = Path(__file__).with_name("templates") / "theme"
_AT_ONCE = "_static/documentation_options.js"  # an inline script after it adds to what it declares
_COMPOSED = {"bs-tooltip-auto"}  # a class whose name Bootstrap puts together
_GROUPS = {"media", "supports"}
_NAMED = re.compile(r'\b(?:class|id)="([^"]*)"|<script[^>]*>(.*?)</script>', re.DOTALL)
_LEGAL = re.compile(r"!|copyright|licen[cs]e", re.IGNORECASE)
_ICON = re.compile(r'content:\s*("[\ue000-\uf8ff]"|var\(--pst-icon-[\w-]+\))')
_FONT_FILES = re.compile(r'url\(([^()]*)\.woff2\) format\("woff2"\),url\([^()]*\.ttf\) format\("truetype"\)')
_SHEET = re.compile(r'(<link [^>]*href=")([^"?:]*\.css)(?:\?[^"]*)?"')


def lighten(app, pagename, templatename, context, doctree):
    """A page does not wait for its scripts, nor for its pictures but the first."""
    body, scripts = context.get("body", ""), context["script_files"]
    if "sd-tab-set" not in body:
        scripts = [script for script in scripts if script.filename != "_static/design-tabs.js"]
    context["script_files"] = [_deferred(script) for script in scripts]
    before, image, after = body.partition("<img ")
    context["body"] = before + image + after.replace("<img ", '<img loading="lazy" ')


def _deferred(script):
    if not script.filename or script.filename == _AT_ONCE or "async" in script.attributes:
        return script
    return type(script)(script.filename, priority=script.priority, **(script.attributes | {"defer": "defer"}))


def prune(app, exception):
    """Leave of the style sheets, the icons and the files beside them what the pages use."""
    site = Path(app.outdir)
    static = site / "_static"
    if exception or app.builder.name != "html":
        return
    for path in {*static.rglob("*.map"), *static.glob("scripts/fontawesome.js*")}:
        path.unlink()
    shutil.rmtree(static / "locales", ignore_errors=True)
    pages = [path for path in site.rglob("*.html") if static not in path.parents]
    sheets = [*static.glob("*.css"), *static.glob("styles/*.css")]
    names, icons = _names(pages, [*static.glob("*.js"), *static.glob("scripts/*.js")]), set()
    for path in sheets:
        text = used(path.read_text(encoding="utf-8"), names)
        text = _ICON.sub(r'content:\1;content:\1 / ""', text)  # an icon is nothing to be read out
        text = re.sub(r"Font Awesome(?=\\? 6)", "Icons", _FONT_FILES.sub(r'url(\1.woff) format("woff")', text))
        icons.update(re.findall("[\ue000-\uf8ff]", text))
        path.write_text(text, encoding="utf-8")
    for path in static.glob("vendor/fontawesome/webfonts/*.ttf"):
        cut(path, icons)
    for folder in app.config.html_static_path:  # the book's own, whose comments stay in the repository
        for path in (Path(app.confdir) / folder).glob("*.js"):
            built = static / path.name
            built.write_text(rjsmin.jsmin(built.read_text(encoding="utf-8")), encoding="utf-8")
    versions = {path.resolve(): hashlib.sha256(path.read_bytes()).hexdigest()[:8] for path in sheets}
    for path in pages:
        text = path.read_text(encoding="utf-8")
        for start, sheet in set(_SHEET.findall(text)):
            version = versions[(path.parent / sheet).resolve()]
            text = re.sub(rf'{re.escape(start + sheet)}[^"]*"', f'{start}{sheet}?v={version}"', text)
        path.write_text(text, encoding="utf-8")


def _names(pages, scripts):
    """Every class and id on the pages, and every word of the scripts: each may be a class that they set."""
    names = {*_COMPOSED}
    for path in pages:
        for attribute, script in _NAMED.findall(path.read_text(encoding="utf-8")):
            names.update(attribute.split(), re.findall(r"[\w-]+", script))
    for path in scripts:
        names.update(re.findall(r"[\w-]+", path.read_text(encoding="utf-8")))
    return names


def used(text, names):
    """A style sheet without the selectors that ask for a class or id other than these."""
    return "".join(_kept(tinycss2.parse_stylesheet(text, skip_whitespace=True), names))


def _kept(rules, names):
    for rule in rules:
        if rule.type == "qualified-rule":
            selectors = [each for each in _selectors(rule.prelude) if names.issuperset(_asked(each))]
            if selectors:
                heads = ",".join(tinycss2.serialize(each).strip() for each in selectors)
                yield f"{heads}{{{tinycss2.serialize(rule.content).strip()}}}"
        elif rule.type == "at-rule" and rule.lower_at_keyword in _GROUPS:
            inner = "".join(_kept(tinycss2.parse_rule_list(rule.content, skip_whitespace=True), names))
            if inner:
                yield f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{inner}}}"
        elif rule.type != "comment" or _LEGAL.search(rule.value):
            yield rule.serialize()


def _selectors(prelude):
    """The selectors of a rule, as lists of tokens."""
    selectors = [[]]
    for token in prelude:
        if token == ",":
            selectors.append([])
        else:
            selectors[-1].append(token)
    return selectors


def _asked(selector):
    """The classes and ids that a selector asks for; what stands in a function, as ``:not(…)``, it may do without."""
    for before, token in zip([None, *selector], selector, strict=False):
        if token.type == "hash" or (token.type == "ident" and before == "."):
            yield token.value


def cut(path, icons):
    """Make of a font file one of these icons alone, under a name of its own as the licence wants it."""
    font = TTFont(path, recalcTimestamp=False)
    subsetter = subset.Subsetter(subset.Options(name_IDs=["*"], layout_features=[]))
    subsetter.populate(text="".join(icons))
    subsetter.subset(font)
    for record in font["name"].names:
        if record.nameID in (1, 3, 4, 6, 16):
            record.string = "Icons"
    font.flavor = "woff"
    font.save(path.with_suffix(".woff"))
    path.unlink()
    path.with_suffix(".woff2").unlink()


def setup(app):
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # or it tells of each table that it cuts
    app.config.templates_path.append(str(TEMPLATES))
    app.connect("html-page-context", lighten, priority=900)
    app.connect("build-finished", prune, priority=950)  # after all else was written
