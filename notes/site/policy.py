"""The site's Content-Security-Policy: a page asks nothing of other sites and runs no script but the build's own.

The last step of a build (:mod:`notes.site.build`) writes the policy into each page. A browser then refuses what a page
of the theme, an extension or a chapter's output would load from elsewhere, and every inline script put in later.
"""

import base64
import hashlib
import re
from html.parser import HTMLParser

DIRECTIVES = [
    "default-src 'self'",
    "style-src 'self' 'unsafe-inline'",  # MathJax and the theme's icons style what they make as they go
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
]
# The theme's one inline handler, of the button that prints: book.js does it.
_HANDLER = ' onclick="window.print()"'
_META = re.compile(r'\n?<meta http-equiv="Content-Security-Policy" content="[^"]*">')
_CHARSET = re.compile(r'<meta charset="[^"]*" ?/?>')


class _Page(HTMLParser):
    """What a policy must know of a page: its inline scripts, and what no policy lets through."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.refused, self._inline = [], [], False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self._inline = tag == "script" and "src" not in dict(attributes)
        if self._inline:
            self.scripts.append("")
        for name, value in attributes:
            if name.startswith("on") or (value or "").strip().lower().startswith("javascript:"):
                self.refused.append(f'<{tag} {name}="{value}">')

    def handle_data(self, data):
        if self._inline:
            self.scripts[-1] += data

    def handle_endtag(self, tag):
        self._inline = False


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
        problems += [f"{path.relative_to(site)}: the site's policy refuses {found}" for found in refused]
        if after != before:
            path.write_text(after, encoding="utf-8")
    return problems
