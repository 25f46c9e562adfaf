"""The site's Content-Security-Policy: a page asks nothing of other sites and runs no script but the build's own.

The last step of a build (:mod:`notes.site.build`) writes the policy into each page. A browser then refuses what a page
of the theme, an extension or a chapter's output would load from elsewhere, and every inline script put in later. Where
it would, a reader sees a blank place: so the build names what stands there.
"""

import base64
import hashlib
import re
from html.parser import HTMLParser

DIRECTIVES = [
    "default-src 'self'",
    "style-src 'self' 'unsafe-inline'",  # parts of a formula bear their own, and the theme's icons style what they make
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
]
# The theme's one inline handler, of the button that prints: book.js does it.
_HANDLER = ' onclick="window.print()"'
_META = re.compile(r'\n?<meta http-equiv="Content-Security-Policy" content="[^"]*">')
_CHARSET = re.compile(r'<meta charset="[^"]*" ?/?>')
# The attributes whose address a browser loads, or sends to, and the elements that have them.
_SHAPES = {"image", "use", "feimage"}
_LOADED = {
    "src": {"img", "script", "iframe", "frame", "audio", "video", "source", "track", "input", "embed"},
    "href": {"base", "link", "script", *_SHAPES},
    "xlink:href": {"script", *_SHAPES},
    "srcset": {"img", "source"},
    "imagesrcset": {"link"},
    "poster": {"video"},
    "data": {"object"},
    "action": {"form"},
    "formaction": {"button", "input"},
    "background": {"body", "table", "thead", "tbody", "tfoot", "tr", "td", "th"},
}
_NEVER = {"base", "embed", "object"}  # refused wherever they lead
_LOADING_LINKS = {
    "stylesheet",
    "icon",
    "apple-touch-icon",
    "mask-icon",
    "manifest",
    "preload",
    "modulepreload",
    "prefetch",
}
_CANDIDATE = re.compile(r"[\s,]*(\S*[^\s,])(?:\s[^,]*)?")  # of a srcset: an address, and for which screens
_CSS_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_CSS_ADDRESS = re.compile(
    r"""(?:(?:\burl\(|@import\s|image-set\()\s*)+(?:"([^"]*)"|'([^']*)'|([^\s"')]+))""", re.IGNORECASE
)


class _Page(HTMLParser):
    """What a policy must know of a page: its inline scripts, and what no policy lets through."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.refused, self._inside = [], [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        given = {name: value or "" for name, value in attributes}
        self._inside = tag
        if tag == "script" and "src" in given:
            self._inside = None
        elif tag == "script":
            self.scripts.append("")
        for name, value in given.items():
            if (
                name.startswith("on")
                or _address(value).startswith("javascript:")
                or (name == "style" and any(map(_elsewhere, _css_addresses(value))))
                or (tag in _LOADED.get(name, ()) and _refuses(tag, name, given))
            ):
                self.refused.append(f'<{tag} {name}="{_short(value)}">')
        if tag == "iframe" and "srcdoc" in given:  # a page within the page, under its policy
            inner = _Page(given["srcdoc"])
            self.scripts += inner.scripts
            self.refused += [f"<iframe srcdoc> {found}" for found in inner.refused]

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside == "style":
            self.refused += [f"<style> {_short(address)}" for address in _css_addresses(data) if _elsewhere(address)]

    def handle_endtag(self, tag):
        self._inside = None


def _refuses(tag, name, given):
    """Whether the address that an attribute of an element bears, or one of them, is refused."""
    if tag == "link" and not _LOADING_LINKS & {*given.get("rel", "").lower().split()}:
        return False
    addresses = _CANDIDATE.findall(given[name]) if name.endswith("srcset") else [given[name]]
    return tag in _NEVER or any(map(_elsewhere, addresses))


def _short(text):
    return text if len(text) <= 80 else f"{text[:79]}…"


def _address(text):
    """An address as a browser reads it."""
    return re.sub(r"[\t\n\r]", "", text).strip("".join(map(chr, range(33)))).replace("\\", "/").lower()


def _elsewhere(address):
    """Whether an address leads out of the site, or holds what it leads to, as ``data:`` does."""
    return re.match(r"//|(?!about:)[a-z][a-z0-9+.-]*:", _address(address)) is not None


def _css_addresses(text):
    """What a style sheet, or an element's style, would load."""
    return ["".join(found) for found in _CSS_ADDRESS.findall(_CSS_COMMENT.sub("", text))]


def script_hash(text):
    """An inline script as a policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def with_policy(text):
    """A page with its policy, before all that it governs, and what of the page the policy refuses."""
    text = _META.sub("", text, count=1).replace(_HANDLER, "")
    page = _Page(text)
    hashes = sorted({script_hash(script) for script in page.scripts})
    policy = "; ".join([*DIRECTIVES, " ".join(["script-src 'self'", *hashes])])
    charset = _CHARSET.search(text)  # a browser looks for it in a page's first kilobyte
    at = charset.end() if charset else 0
    return f'{text[:at]}\n<meta http-equiv="Content-Security-Policy" content="{policy}">{text[at:]}', page.refused


def write(site):
    """Write the policy into every page of a built site that lacks it. Returns what the policy refuses, a line each."""
    for template in (site / "_static").glob("*.html"):  # of the theme, which are no pages
        template.unlink()
    problems = []
    for path in sorted(site.rglob("*.html")):
        before = path.read_text(encoding="utf-8")  # with \n at each line's end, as a browser sees a page
        after, refused = with_policy(before)
        problems += [(path, found) for found in refused]
        if after != before:
            path.write_text(after, encoding="utf-8")
    for path in sorted({*site.rglob("*.css")} - {*site.glob("_static/styles/*")}):  # the theme's marks are of no page
        addresses = _css_addresses(path.read_text(encoding="utf-8"))
        problems += [(path, _short(address)) for address in addresses if _elsewhere(address)]
    return [f"{path.relative_to(site).as_posix()}: the site's policy refuses {found}" for path, found in problems]
