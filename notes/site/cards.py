"""What others show of a page that they link to: its title, a description in plain words, and a picture.

Part of the Sphinx extension :mod:`notes.site.extension`. A page describes itself in its first paragraph, or by
``description`` in ``myst: html_meta:`` of its header; its picture is the default frame of its first figure, or of the
first page's where it has none.
"""

import html
import re
import textwrap
from pathlib import Path

from notes._extras import needs
from notes.site.outputs import FigureNode

with needs("site"):
    import numpy as np
    from docutils import nodes
    from markupsafe import Markup
    from PIL import Image, ImageOps

SIZE = (1200, 630)  # what the readers of cards ask for, and a PNG: few of them take WebP
_GIVEN = re.compile(r'<meta (?=[^>]*name="description")[^>]*content="([^"]*)"[^>]*>')
_TEX = re.compile(r"[\\{}^$]|\b\w_\w\b")
_UNTITLED = {"genindex": "Index", "search": "Search"}  # to the builder; their templates know


def plain(paragraph, length=300):
    """The sentences of a paragraph that are plain words, as many as fit, without citations."""
    text = re.sub(r"\s*\[[^\]]*\]", "", " ".join(paragraph.split()))
    sentences = [each for each in re.split(r"(?<=[.?]) ", text) if not _TEX.search(each)]
    while len(sentences) > 1 and len(" ".join(sentences)) > length:
        sentences.pop()
    return textwrap.shorten(" ".join(sentences), length, placeholder="…")


def _description(doctree):
    paragraphs = doctree.findall(nodes.paragraph) if doctree else ()
    return next((plain(each.astext()) for each in paragraphs if isinstance(each.parent, nodes.section)), "")


def _picture(app, doctree):
    """The card's picture, made once, and what is seen on it; or None where a document has no figure."""
    node = next(doctree.findall(FigureNode), None) if doctree else None
    if node is None:
        return None
    controls = node["figure"]["controls"]
    at, of = [control["default"] for control in controls], [len(control["labels"]) for control in controls]
    frame = Path(app.doctreedir) / "frames" / node["frames"][np.ravel_multi_index(at, of)]
    path = Path(app.outdir) / "_images" / f"{frame.stem.replace('frame', 'card')}.png"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        with Image.open(frame) as picture:
            card = ImageOps.pad(picture.convert("RGB"), SIZE, color="white")
        card.quantize(dither=Image.Dither.NONE).save(path, optimize=True)
    return path.name, node["figure"]["alt"]


def _address(app, pathto, target):
    """Where something of the site is to be had: in full where the site's own address is known."""
    base = app.config.html_baseurl
    return f"{base.rstrip('/')}/{target}" if base else pathto(target, 1)


def describe(app, pagename, templatename, context, doctree):
    """Give a page its description and its card."""
    book, title = app.config.html_title, Markup(context.get("title") or _UNTITLED.get(pagename)).striptags()
    root = app.env.get_doctree(app.config.root_doc)
    given = _GIVEN.search(context.get("metatags") or "")
    words = html.unescape(given[1]) if given else _description(doctree) or f"{title}, in the book “{book}”."
    tags = {"og:type": "article", "og:site_name": book, "og:title": title, "og:description": words}
    if pagename == app.config.root_doc:
        tags["og:type"] = "website"
    if app.config.html_baseurl:
        tags["og:url"] = context["pageurl"]
    tags |= {"twitter:card": "summary", "twitter:title": title, "twitter:description": words}
    picture = _picture(app, doctree) or _picture(app, root)
    if picture:
        image, alt = _address(app, context["pathto"], f"_images/{picture[0]}"), picture[1]
        width, height = map(str, SIZE)
        tags |= {"og:image": image, "og:image:type": "image/png", "og:image:width": width, "og:image:height": height}
        tags |= {"og:image:alt": alt, "twitter:card": "summary_large_image"}
        tags |= {"twitter:image": image, "twitter:image:alt": alt}
    tags = {"description": words} | tags
    context["metatags"] = _GIVEN.sub("", context.get("metatags") or "") + "".join(
        f'\n    <meta {"property" if name.startswith("og:") else "name"}="{name}" content="{html.escape(content)}" />'
        for name, content in tags.items()
    )


def write_index(app, exception):
    """Give the page that leads on to the book's first what a link to it shows: it was left without a head."""
    index, config = Path(app.outdir) / "index.html", app.config
    if exception or app.builder.format != "html" or not index.exists() or "<html" in index.read_text(encoding="utf-8"):
        return
    first = app.builder.get_target_uri(config.root_doc)
    context = {"title": config.html_title, "pathto": lambda target, _: target}
    context["pageurl"] = _address(app, None, first) if config.html_baseurl else None
    describe(app, config.root_doc, "", context, app.env.get_doctree(config.root_doc))
    icon = f'<link rel="icon" href="_static/{Path(config.html_favicon).name}" />' if config.html_favicon else ""
    title = html.escape(config.html_title)
    index.write_text(
        f"""<!DOCTYPE html>
<html lang="{config.language or "en"}">
<head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta http-equiv="refresh" content="0; url={first}" />{context["metatags"]}
    <title>{title}</title>
    {icon}
</head>
<body><main><h1><a href="{first}">{title}</a></h1></main></body>
</html>
""",
        encoding="utf-8",
    )


def setup(app):
    app.connect("html-page-context", describe)
    app.connect("build-finished", write_index, priority=600)  # after it was written
