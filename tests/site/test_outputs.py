"""How MyST-NB reads what a cell shows: in this book's builds, and in those of others."""

from types import SimpleNamespace

import pytest

from notes import claims, explore
from notes.site.outputs import MimeRenderer


def build_with(*extensions):
    env = SimpleNamespace(app=SimpleNamespace(extensions=dict.fromkeys(extensions)))
    return SimpleNamespace(renderer=SimpleNamespace(sphinx_env=env))


@pytest.mark.parametrize("mime", [claims.MIME, explore.MIME])
@pytest.mark.parametrize("build", [build_with("myst_nb"), SimpleNamespace(renderer=SimpleNamespace(sphinx_env=None))])
def test_another_book_shows_the_html_or_the_picture_of_an_output(build, mime):
    assert MimeRenderer.handle_mime(build, SimpleNamespace(mime_type=mime, content={"frames": []}), False) == []


def test_what_is_of_others_is_left_to_them():
    build = build_with("myst_nb", "notes.site.extension")
    assert MimeRenderer.handle_mime(build, SimpleNamespace(mime_type="text/html", content=""), False) is None
