"""``python -m notes.site.public``: the site as it is published, in ``_build/public``: it offers the PDF of the book."""

import os
import shutil
import sys
from pathlib import Path

from notes.site import pdf
from notes.site.build import ROOT

PLACE = "<!-- here the published site offers the book as a PDF -->"  # in the book's first page
LINE = """<p><strong>Keep</strong> it: the whole book is <a href="{address}">one PDF</a> ({megabytes:.0f} MB), with \
every proof and solution, and each figure in its first state.</p>"""


def make(root=ROOT):
    """Copy the built site and put the PDF beside its pages, with a line on the first that leads to it."""
    book, site, public = pdf.make(root), root / "_build" / "html", root / "_build" / "public"
    shutil.rmtree(public, ignore_errors=True)
    shutil.copytree(site, public)
    shutil.copy(book, public)
    first = public / next(iter(pdf.pages_of(site)))
    text = first.read_text(encoding="utf-8")
    if PLACE not in text:
        raise OSError(f"{first.relative_to(public)} does not hold {PLACE}")
    address = os.path.relpath(public / book.name, first.parent)
    line = LINE.format(address=address, megabytes=book.stat().st_size / 1e6)
    first.write_text(text.replace(PLACE, line), encoding="utf-8")
    return public


def main(root=ROOT):
    return pdf.told(make, root, "The site to publish", "The site to publish was not made")


if __name__ == "__main__":
    sys.exit(main(*(Path(folder).resolve() for folder in sys.argv[1:2])))
