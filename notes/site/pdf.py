"""``python -m notes.site.pdf``: the built book as one PDF, printed by Chromium.

The articles of the site's pages become chapters of one document, with the site's own styles. An element's id there is
its address on the site, ``book/langevin.html#fig-langevin-walk``: so ids of two pages never meet, and a link between
pages is a link within the document. It is printed twice, for the contents must know on which page a heading stands.
"""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote, unquote, urldefrag, urljoin, urlsplit

from notes._extras import needs
from notes.site.build import FINISHED, ROOT, lock_folder
from notes.site.plain import plain

with needs("site"):
    import jinja2
    import markupsafe
    import pypdf
    import yaml
    from bs4 import BeautifulSoup
    from pypdf.generic import Fit

NAME = "sampling-with-a-score.pdf"
BROWSERS = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
]
# What a page has for a screen alone.
_SCREEN_ONLY = (
    "script, noscript, .headerlink, .viewcode-link, .definition, .toctree-wrapper, .explore > :not(img), "
    ".playground > :not(.playground-picture), .playground-picture > :not(img)"
)
_TEMPLATES = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True)


@dataclasses.dataclass(frozen=True)
class Heading:
    """A line of the contents: how deep it stands, where it leads, and its words."""

    level: int
    place: str
    html: markupsafe.Markup
    text: str


@dataclasses.dataclass(frozen=True)
class Chapter:
    """A page of the site as a chapter of the document."""

    quoted: markupsafe.Markup  # its title, as a style sheet quotes it
    headings: list[Heading]
    html: markupsafe.Markup


def pages_of(site):
    """The pages of a built site in reading order, by their addresses in it."""
    first = _parsed(site / "index.html").select_one("meta[http-equiv=Refresh i]")["content"].partition("url=")[2]
    pages, address = {}, first
    while address not in pages:
        pages[address] = _parsed(site / address)
        following = pages[address].select_one("link[rel=next]")
        if following:
            address = urljoin(address, following["href"])
    return pages


def _parsed(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def head_of(site, pages):
    """What the pages' heads hold for the look of an article, each once."""
    found = {}
    for address, page in pages.items():
        for tag in page.head.select("link[rel=stylesheet], :not(noscript) > style"):
            _to_files(site, address, tag)
            found[str(tag)] = None
    return markupsafe.Markup("\n".join(found))


def _to_files(site, address, tag):
    """Let an element load what it loads from where it lies on the disk."""
    for name in {"src", "href"} & {*tag.attrs}:
        tag[name] = urljoin((site / address).resolve().as_uri(), tag[name])


def chapter_of(site, address, page, anchors):
    """A page as a chapter: its links lead within the document, its folds are open, what is for a screen is gone."""
    article, canonical = page.article, page.select_one("link[rel=canonical]")
    online = canonical["href"].removesuffix(address) if canonical else None
    for tag in article.select(_SCREEN_ONLY):
        tag.decompose()
    for figure in article.select("figure[id]:has(.explore, .playground)"):
        figure.figcaption.append(_where_it_moves(page, f"{address}#{figure['id']}", online))
    for tag in article.select("h2, h3"):  # the heading is the place: a section may begin at the foot of the page before
        tag["id"] = tag.find_parent("section").attrs.pop("id")
    for tag in article.select("details"):
        tag["open"] = ""
    for tag in article.select("img"):
        del tag["loading"]
        _to_files(site, address, tag)
    for tag in article.select("a[href]"):
        _lead_within(tag, address, anchors, online)
    for name in ("id", "for", "aria-labelledby", "aria-describedby"):
        for tag in article.select(f"[{name}]"):
            tag[name] = " ".join(f"{address}#{word}" for word in tag[name].split())
    article.h1["id"] = address
    headings = [_heading(tag) for tag in article.select("h1, h2, h3")]
    quoted = markupsafe.Markup(json.dumps(headings[0].text, ensure_ascii=False))
    return Chapter(quoted, headings, markupsafe.Markup(article.decode_contents()))


def _where_it_moves(page, address, online):
    """A line that tells where a figure is to be had in motion."""
    line = page.new_tag("p", attrs={"class": "moves"})
    line.append("It moves at ")
    place = page.new_tag("a", href=online + address) if online else page.new_tag("span")
    place.string = (online or "") + address
    line.append(place)
    return line


def _lead_within(tag, address, anchors, online):
    """Let a link lead to its place in the document; to another page of the site where that is online, else nowhere."""
    if urlsplit(tag["href"]).scheme:
        return
    target, fragment = urldefrag(urljoin(address, tag["href"]))
    if target in anchors:
        there = unquote(fragment) in anchors[target]
        tag["href"] = f"#{_place(f'{target}#{unquote(fragment)}' if there else target)}"
    elif online:
        tag["href"] = urljoin(online, urljoin(address, tag["href"]))
    else:
        tag.name = "span"
        del tag["href"]


def _place(address):
    """An address on the site as the fragment of a link in the document."""
    return quote(address, safe="/")


def _heading(tag):
    """A heading as a line of the contents."""
    words = BeautifulSoup(tag.decode_contents(), "html.parser")
    for inner in words.select("a"):
        inner.unwrap()
    for inner in words.select("[id]"):
        del inner["id"]
    html = markupsafe.Markup(words.decode())
    for formula in words.select("mjx-container"):
        formula.replace_with(plain(formula["data-tex"]))
    return Heading(int(tag.name[1]), _place(tag["id"]), html, " ".join(words.get_text().split()))


def browser():
    """The path of Chromium, or of Chrome."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise OSError("make pdf needs Chromium: there is no chromium and no google-chrome here")
    return found


def print_file(source, target):
    """Print an HTML file into a PDF."""
    target.unlink(missing_ok=True)
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []  # with it Chromium does not run as root
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser(),
            "--headless",
            *as_root,
            "--disable-gpu",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND",  # no network
            "--font-render-hinting=none",  # letters stand where they do on paper
            "--virtual-time-budget=120000",  # for pictures and fonts
            "--no-pdf-header-footer",
            f"--user-data-dir={profile}",
            f"--print-to-pdf={target}",
            source.as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not target.exists():
        raise OSError(f"Chromium printed nothing, and said: {done.stderr.strip()[-1000:]}")


def finish(draft, target, title, author, headings):
    """Give what Chromium printed its bookmarks, and in place of its dates a title and an author."""
    writer = pypdf.PdfWriter(draft, full=True)
    places, parents = writer.named_destinations, {}
    for heading in headings:
        place = places[f"/{heading.place}"]
        parents[heading.level] = writer.add_outline_item(
            title=heading.text,
            page_number=place.page,
            parent=parents.get(heading.level - 1),
            is_open=False,
            fit=Fit.xyz(left=place.left, top=place.top),
        )
    writer.page_mode = "/UseOutlines"
    writer.metadata = {"/Title": title, "/Author": author}
    writer.write(target)


def make(root=ROOT):
    """Print the book whose site is built, unless this was done, and return the path of the PDF."""
    build, target = root / "_build", root / "_build" / "pdf" / NAME
    finished, stamp = build / FINISHED, target.with_name("made-of")
    build.mkdir(exist_ok=True)
    lock = lock_folder(build)
    try:
        if not finished.exists():
            raise OSError(f"make pdf needs the site, and {build / 'html'} is not built, or not to its end")
        made_of = finished.read_bytes()
        if not (target.exists() and stamp.exists() and stamp.read_bytes() == made_of):
            target.parent.mkdir(exist_ok=True)
            stamp.unlink(missing_ok=True)
            _make(root, target)
            stamp.write_bytes(made_of)
    finally:
        os.close(lock)
    return target


def _make(root, target):
    site = root / "_build" / "html"
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    pages = pages_of(site)
    anchors = {address: {tag["id"] for tag in page.select("article [id]")} for address, page in pages.items()}
    chapters = [chapter_of(site, address, page, anchors) for address, page in pages.items()]
    book = {"title": config["title"], "author": config["author"], "chapters": chapters, "head": head_of(site, pages)}
    headings = [heading for chapter in chapters for heading in chapter.headings]
    numbers, found = None, dict.fromkeys((heading.place for heading in headings), "000")
    with tempfile.TemporaryDirectory() as folder:
        source, draft = Path(folder) / "book.html", Path(folder) / "book.pdf"
        while found != numbers:
            numbers = found
            text = _TEMPLATES.get_template("book.html").render(**book, numbers=numbers)
            source.write_text(text, encoding="utf-8")
            print_file(source, draft)
            pdf = pypdf.PdfReader(draft)
            places = pdf.named_destinations
            found = {place: pdf.get_destination_page_number(places[f"/{place}"]) + 1 for place in numbers}
        finish(draft, target, book["title"], book["author"], headings)


def told(make, root, done, failed):
    """Make something of the book in a folder and say so, or why not. Returns the status for the shell."""
    try:
        print(f"{done}: {make(root)}")
    except OSError as error:
        print(f"{failed}: {error}", file=sys.stderr)
        return 1
    return 0


def main(root=ROOT):
    return told(make, root, "The book is printed", "The book was not printed")


if __name__ == "__main__":
    sys.exit(main(*(Path(folder).resolve() for folder in sys.argv[1:2])))
