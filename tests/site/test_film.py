"""The film of the README: it moves, it is small, and it is the landing page's figure as it is drawn now."""

import io

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from notes.explore import png
from notes.figures.intro import hero
from notes.site import film


def difference(shown, drawn):
    """Of two pictures, a mean over pixels and colours, of 255."""
    return np.abs(np.asarray(shown.convert("RGB"), float) - np.asarray(drawn.convert("RGB"), float)).mean()


def test_the_film_moves_and_is_small():
    shown = Image.open(ROOT / film.PLACE)
    assert (shown.format, shown.n_frames, shown.width) == ("WEBP", len(film.TIMES), film.WIDTH)
    assert shown.info["loop"] == 0  # for ever
    assert (ROOT / film.PLACE).stat().st_size < 1_500_000


@pytest.mark.parametrize("number", [0, len(film.TIMES) - 1])
def test_the_film_is_the_figure_as_it_is_drawn_now(number):
    shown = Image.open(ROOT / film.PLACE)
    shown.seek(number)
    # What the compression loses is 2.5; the neighbouring frames differ by 9 and more.
    assert difference(shown, film.frame(film.TIMES[number])) < 3.5, "the figure has changed: make film"


def test_the_still_is_the_figures_default_state():
    drawn = Image.open(io.BytesIO(png(hero())))
    assert difference(Image.open(ROOT / film.STILL), drawn) < 1, "the figure has changed: make film"
