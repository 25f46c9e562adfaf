"""The list of pages: a part under a caption is folded, but where the page is one of it.

So a reader with a keyboard passes a line and not each page of an appendix on the way to every chapter.
"""


def fold(app, pagename, templatename, context, doctree):
    """Have the theme's list of pages fold the parts that have a caption."""
    make = context.get("generate_toctree_html")

    def make_folded(*args, **kwargs):
        tree = make(*args, **kwargs)
        for caption in tree.find_all("p", class_="caption", recursive=False):
            pages = caption.find_next_sibling("ul")
            part, line = tree.new_tag("details", attrs={"class": "part"}), tree.new_tag("summary")
            if pages.select_one(".current"):
                part["open"] = ""
            caption.replace_with(part)
            line.append(caption)
            part.extend([line, pages])
        return tree

    if make:
        context["generate_toctree_html"] = make_folded


def setup(app):
    app.connect("html-page-context", fold, priority=900)  # after the theme's own
