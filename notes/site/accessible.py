"""What the theme and the extensions say wrongly to those who listen to a page, put right in each page.

Part of the Sphinx extension :mod:`notes.site.extension`.
"""

from pathlib import Path

_SEARCH = 'search-button-field search-button__button pst-js-only" title="Search"'
_REPAIRS = [
    # a name other than the words that are seen, for a fold and for the search's button
    ('<summary aria-label="Toggle hidden content">', "<summary>"),
    (_SEARCH + ' aria-label="Search"', _SEARCH),
    # an entry of a list whose role is no list item's, and is deprecated
    ('role="doc-biblioentry"', 'role="listitem"'),
    # a heading of a column that says nothing
    ('<th class="head"><p></p></th>', '<td class="head"><p></p></td>'),
    # the book's title in no landmark
    (
        '<div id="pst-primary-sidebar" class=',
        '<div id="pst-primary-sidebar" role="complementary" aria-label="Book" class=',
    ),
]


def repair(app, exception):
    if exception or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        for wrong, right in _REPAIRS:
            text = text.replace(wrong, right)
        path.write_text(text, encoding="utf-8")


def setup(app):
    app.connect("build-finished", repair, priority=900)
