"""The figures of the book as its pages have them: what is played moves, and what is chosen has a short name."""

import json

import numpy as np
import pytest
from browser import soup


@pytest.fixture(scope="module")
def figures(site):
    """Each figure's name, the names of its frames as an array with an axis a control, and its controls."""
    found = []
    for page in sorted((site / "book").glob("*.html")):
        for figure in soup(page).select("figure .explore"):
            controls = figure.select(".explore-control")
            shape = [len(json.loads(control["data-labels"])) for control in controls]
            frames = np.array(figure["data-frames"].split()).reshape(shape)
            found.append((figure.find_parent("figure")["id"], frames, controls))
    assert len(found) > 30
    return found


def test_a_play_is_long_enough_for_twelve_frames_a_second_and_each_of_them_is_another_picture(figures):
    short, still = [], []
    for name, frames, controls in figures:
        for axis, control in enumerate(controls):
            if control["data-kind"] != "play":
                continue
            button = control.select_one(".explore-play")
            if int(button["data-interval"]) > 1000 / 12:
                short.append(name)
            states = frames.shape[axis]
            before, after = (np.take(frames, range(start, states - 1 + start), axis) for start in (0, 1))
            if (before == after).any():
                still.append(name)
    assert (short, still) == ([], [])


def test_a_choice_has_names_that_fit_on_a_phone(figures):
    choices = [control for _, _, controls in figures for control in controls if control["data-kind"] == "choice"]
    labels = [label for control in choices for label in json.loads(control["data-labels"])]
    assert [label for label in labels if len(label) > 24] == []
    assert len(labels) > 40
