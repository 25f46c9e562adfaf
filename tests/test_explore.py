"""One figure in two places: what explore refuses, draws, shows and remembers."""

import base64
import dataclasses
import functools
import gc
import inspect
import io
import itertools
import json
import re
import tracemalloc
import weakref

import ipywidgets
import numpy as np
import pytest
from conftest import displayed_by
from ipywidgets.widgets.widget import _instances
from matplotlib.figure import Figure
from PIL import Image

from notes import explore as module
from notes.explore import MIME, explore, play, png

VIEW = "application/vnd.jupyter.widget-view+json"


def line(height=1, slope=0.5, thick=False):
    figure = Figure(figsize=(1, 0.8), dpi=40)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 10))
    axes.plot([0, 1], [height, height + slope], linewidth=8 if thick else 2)
    return figure


class Counted:
    """A figure function that keeps account of what it was asked to draw."""

    def __init__(self, function=line):
        self.function, self.calls = function, []
        self.__name__ = "counted"
        self.__signature__ = inspect.signature(function)

    def __call__(self, **values):
        self.calls.append(values)
        return self.function(**values)


@pytest.fixture
def shown(monkeypatch):
    """The bundles that were displayed, in a live kernel."""
    monkeypatch.delenv("NOTES_SITE", raising=False)
    return displayed_by(module, monkeypatch)


@pytest.fixture
def site(monkeypatch, shown):
    """The bundles that were displayed, in a build of the site."""
    monkeypatch.setenv("NOTES_SITE", "1")
    return shown


@pytest.fixture(params=["live", "site"])
def anywhere(request, monkeypatch, shown):
    if request.param == "site":
        monkeypatch.setenv("NOTES_SITE", "1")
    return shown


def decoded(text):
    return base64.b64decode(text, validate=True)


class Widgets:
    """The parts of the one widget that was shown, found as a front end finds them: by the model's id."""

    def __init__(self, bundle):
        self.box = _instances[bundle[VIEW]["model_id"]]
        self.all = list(self._within(self.box))
        (self.image,) = self.of(ipywidgets.Image)
        (self.message,) = self.of(ipywidgets.HTML)
        self.sliders = {slider.description: slider for slider in self.of(ipywidgets.SelectionSlider)}
        self.choices = {choice.description: choice for choice in self.of(ipywidgets.ToggleButtons)}
        self.checkboxes = {checkbox.description: checkbox for checkbox in self.of(ipywidgets.Checkbox)}

    def _within(self, widget):
        yield widget
        for child in getattr(widget, "children", ()):
            yield from self._within(child)

    def of(self, kind):
        return [widget for widget in self.all if isinstance(widget, kind)]


@pytest.mark.parametrize("name", ["q", "name", "id", "constructor", "self", "figure", "controls", "σ"])
def test_a_control_may_have_any_name(anywhere, name):
    def figure(**values):
        return line(**{"height": values[name]})

    figure.__signature__ = inspect.Signature([inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=2)])
    explore(figure, alt="A line", **{name: [1, 2, 3]})
    assert decoded(anywhere[0]["image/png"]) == png(line(2))


@pytest.mark.parametrize(
    ("controls", "error", "message"),
    [
        ({}, ValueError, "at least one control"),
        ({"height": [1]}, ValueError, "'height' needs at least two values"),
        ({"height": []}, ValueError, "'height' needs at least two values"),
        ({"width": [1, 2]}, TypeError, r"line has no parameter 'width'.*height, slope, thick"),
        ({"height": [2, 3]}, ValueError, r"'height' lacks the default of line, 1,"),
        ({"height": {"two": 2, "three": 3}}, ValueError, "'height' lacks the default"),
        ({"height": play(2, 4)}, ValueError, "'height' lacks the default"),
        ({"slope": True}, ValueError, "'slope' lacks the default"),
        ({"height": [1, 2, 2.0]}, ValueError, "'height' has two values with one label"),
        ({"height": [1, 1.00000001]}, ValueError, "'height' has two values with one label"),
        ({"height": {1: 1, "1": 2}}, ValueError, "'height' has two values with one label"),
        ({"height": 1}, TypeError, "'height' must be a list"),
        ({"height": "12"}, TypeError, "'height' must be a list"),
        ({"height": (1, 2)}, TypeError, r"'height' must be a list, a dict, a bool or play\(…\), got tuple$"),
        ({"height": np.array([1, 2])}, TypeError, "'height' must be a list"),
        ({"height": [1, 2], "slope": [0.5]}, ValueError, "'slope' needs at least two values"),
    ],
)
def test_a_control_that_cannot_work_is_refused_before_anything_is_drawn(anywhere, controls, error, message):
    counted = Counted()
    counted.__name__ = "line"
    with pytest.raises(error, match=message):
        explore(counted, alt="A line", **controls)
    assert counted.calls == []
    assert anywhere == []


@pytest.mark.parametrize("alt", ["", " \n", None, 3])
def test_a_figure_without_alternative_text_is_refused(anywhere, alt):
    with pytest.raises((TypeError, ValueError), match="alt"):
        explore(line, alt=alt, height=[1, 2])
    with pytest.raises(TypeError, match="alt"):
        explore(line, height=[1, 2])
    assert anywhere == []


@pytest.mark.parametrize("figure", [None, 3, "line", Figure()])
def test_what_is_not_a_function_is_refused(anywhere, figure):
    with pytest.raises(TypeError, match=f"^figure must be a function .* got {type(figure).__name__}$"):
        explore(figure, alt="A line", height=[1, 2])


def test_a_required_parameter_without_a_control_is_refused(anywhere):
    with pytest.raises(TypeError, match=r"^<lambda> needs a value for 'slope'"):
        explore(lambda height, slope: line(height, slope), alt="A line", height=[1, 2])
    nameless = functools.partial(lambda thick, height, slope: line(height, slope), True)
    with pytest.raises(TypeError, match=r"^functools\.partial\(.* needs a value for 'slope'"):
        explore(nameless, alt="A line", height=[1, 2])
    assert anywhere == []


def test_a_figure_function_may_take_whatever_comes(anywhere):
    explore(lambda *args, height=1, **kwargs: line(height), alt="A line", height=[1, 2])
    assert decoded(anywhere[0]["image/png"]) == png(line())


def test_a_required_parameter_may_come_from_a_control(anywhere):
    explore(lambda height, thick: line(height, thick=thick), alt="A line", height=[3, 4], thick=True)
    assert decoded(anywhere[0]["image/png"]) == png(line(3, thick=True))


@pytest.mark.parametrize("returned", [None, 3, "figure", b"png"])
def test_a_function_that_returns_no_figure_is_refused(anywhere, returned):
    with pytest.raises(TypeError, match=r"must return a matplotlib Figure"):
        explore(lambda height=1: returned, alt="A line", height=[1, 2])
    assert anywhere == []


def test_a_figure_that_raises_raises_out_of_explore(anywhere):
    def broken(height=1):
        raise ZeroDivisionError("the figure's own words")

    with pytest.raises(ZeroDivisionError, match="the figure's own words"):
        explore(broken, alt="A line", height=[1, 2])
    assert anywhere == []


@pytest.mark.parametrize(
    "arguments",
    [
        (0, 10, 0),
        (0, 10, -1),
        (10, 0, 1),
        (0, 10, 3),
        (0, 0, 1),
        (0, float("inf"), 1),
        (0, 10, float("nan")),
        (0, "10", 1),
        (None, 10, 1),
        (False, 10, 1),
    ],
)
def test_a_play_that_leads_nowhere_is_refused(arguments):
    with pytest.raises((TypeError, ValueError), match="play"):
        play(*arguments)


@pytest.mark.parametrize(
    ("given", "values"),
    [
        (play(0, 3), [0, 1, 2, 3]),
        (play(0, 200, 50), [0, 50, 100, 150, 200]),
        (play(0, 1, 0.1), [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]),
        (play(-0.3, 0.3, 0.1), [-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3]),
        (play(0, 0.003, 0.001), [0, 0.001, 0.002, 0.003]),
        (play(5, 6, 1), [5, 6]),
    ],
)
def test_play_includes_its_end_and_rounds_its_steps(given, values):
    assert given.values == values


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"label": "{:g} steps"}, TypeError, "^label of play must be a function .* got str"),
        ({"label": lambda value: value}, TypeError, "^label of play must return words, got int 0 for 0"),
        ({"label": lambda value: f"{value // 2}"}, ValueError, "'height' has two values with one label: 0, 0, 1"),
        ({"starts": 1}, TypeError, "^starts of play must be True or False, got 1"),
    ],
)
def test_a_play_with_words_or_a_start_of_no_use_is_refused(anywhere, options, error, message):
    with pytest.raises(error, match=message):
        explore(lambda height=1: line(height), alt="A line", height=play(0, 2, **options))
    assert anywhere == []


def test_a_play_says_its_values_in_the_words_given(site):
    power = play(-1, 1, label=lambda exponent: f"10{'⁻' * (exponent < 0)}{'⁰¹'[abs(exponent)]} steps")
    explore(lambda height=1: line(height), alt="A line", height=power)
    assert site[0][MIME]["controls"][0]["labels"] == ["10⁻¹ steps", "10⁰ steps", "10¹ steps"]


@pytest.mark.parametrize("step", [1e-3, 1e-7, 1e-11, 1e-15])
def test_play_takes_steps_of_any_size(step):
    assert play(0, 3 * step, step).values == pytest.approx([0, step, 2 * step, 3 * step], rel=1e-9, abs=0)


def test_a_play_stays_as_it_was_checked():
    with pytest.raises(dataclasses.FrozenInstanceError):
        play(0, 2).step = 0


def test_the_data_travel_as_json():
    assert re.fullmatch(r"application/vnd\.[a-z.]+\+json", MIME)  # Jupyter knows JSON by this ending


def test_play_of_whole_numbers_has_whole_numbers():
    assert all(type(value) is int for value in play(0, 200, 10).values)


def test_play_finds_a_default_that_a_sum_of_steps_would_miss(shown):
    assert 3 * 0.1 != 0.3
    explore(lambda height=0.3: line(height), alt="A line", height=play(0, 1, 0.1))
    assert decoded(shown[0]["image/png"]) == png(line(0.3))


@pytest.mark.parametrize(
    ("controls", "labels"),
    [
        ({"height": [1, 2]}, ["1", "2"]),
        ({"height": [1.0, 2.5, 0.0005]}, ["1", "2.5", "0.0005"]),
        ({"height": [1, -2]}, ["1", "−2"]),
        ({"height": [np.float32(1), np.float32(0.5)]}, ["1", "0.5"]),
        ({"height": {"low": 1, "high": 9}}, ["low", "high"]),
        ({"height": play(0, 2)}, ["0", "1", "2"]),
        ({"thick": True}, ["off", "on"]),
        ({"thick": [True, False]}, ["on", "off"]),
    ],
)
def test_labels_are_what_an_author_would_write(site, controls, labels):
    explore(line, alt="A line", **controls)
    assert site[0][MIME]["controls"][0]["labels"] == labels


@pytest.mark.parametrize(
    ("controls", "values"),
    [
        ({"height": [3, 1, 2]}, {"height": 1}),
        ({"height": {"high": 9, "low": 1}}, {"height": 1}),
        ({"height": play(-1, 5)}, {"height": 1}),
        ({"thick": True}, {"thick": False}),
        ({"thick": False}, {"thick": False}),
        ({"slope": [0, 0.5, 1], "height": [1, 5], "thick": True}, {"slope": 0.5, "height": 1, "thick": False}),
    ],
)
def test_the_first_frame_is_of_the_defaults(anywhere, controls, values):
    counted = Counted()
    explore(counted, alt="A line", **controls)
    assert counted.calls[0] == values
    assert decoded(anywhere[0]["image/png"]) == png(line())


@pytest.mark.parametrize(
    ("given", "value"),
    [([3, 1, 2], 3), ({"high": 9, "low": 1}, 9), (play(2, 5), 2), (True, True), (False, False)],
)
def test_without_a_default_the_first_value_or_the_one_given_is_the_first_frame(anywhere, given, value):
    counted = Counted(lambda height: line(height))
    explore(counted, alt="A line", height=given)
    assert counted.calls[0] == {"height": value}


def test_values_that_are_no_numbers_are_labelled_as_they_are_written(site):
    explore(lambda of="one-sided": line(3 + len(of)), alt="A line", of=["one-sided", "no", "both"])
    assert site[0][MIME]["controls"][0]["labels"] == ["one-sided", "no", "both"]  # and a hyphen is no minus


def test_arrays_are_the_default_only_where_they_are_one(shown):
    ones, others = np.ones(2), np.zeros(2)
    explore(lambda of=ones: line(1 + of.sum()), alt="A line", of={"others": others, "ones": ones})
    assert decoded(shown[0]["image/png"]) == png(line(3.0))


def test_a_default_is_found_by_value_and_by_identity(shown):
    marker = object()
    explore(lambda of=None: line(1 if of is None else 5), alt="A line", of={"first": marker, "second": None})
    assert decoded(shown[0]["image/png"]) == png(line(1))
    explore(lambda of=marker: line(1 if of is marker else 5), alt="A line", of={"first": 0, "second": marker})
    assert decoded(shown[1]["image/png"]) == png(line(1))


def test_the_fallbacks_are_a_picture_and_its_alternative_text(anywhere):
    explore(line, alt="A line that rises", height=[1, 2])
    (bundle,) = anywhere
    assert bundle["text/plain"] == "A line that rises"
    assert decoded(bundle["image/png"]) == png(line())


class TestPng:
    def test_is_deterministic(self):
        assert png(line(3, 2)) == png(line(3, 2))
        assert png(line(3, 2)) != png(line(3, 2.5))

    def test_of_one_figure_is_the_same_twice(self):
        figure = line()
        assert png(figure) == png(figure)

    def test_is_a_palette_picture_of_the_figure_s_own_size(self):
        picture = Image.open(io.BytesIO(png(line())))
        assert picture.format == "PNG"
        assert picture.mode == "P"
        assert picture.size == (40, 32)

    def test_shows_the_figure(self):
        figure = Figure(figsize=(1, 1), dpi=20, facecolor="#0072B2")
        pixels = np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGB")).reshape(-1, 3)
        # Of the eight bits of a channel a palette may lose the last.
        assert np.abs(pixels.astype(int) - [0x00, 0x72, 0xB2]).max() <= 1

    def test_keeps_the_colour_of_the_paper_and_all_others_nearly(self):
        paper = np.array([253, 246, 227])
        figure = Figure(figsize=(1, 1), dpi=40, facecolor=paper / 255)
        ramp = np.linspace(0, 1, 32)
        colours = np.dstack([*np.meshgrid(ramp, ramp), np.full((32, 32), 0.5)])  # a thousand
        colours[:16] = (paper - [1, 1, 0] * np.arange(32)[:, None] / 4) / 255  # and shades of the paper
        figure.figimage(colours, 4, 4)
        pixels = np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGB")).astype(int)
        exact = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
        is_paper = (exact == paper).all(2)
        assert is_paper.sum() >= 40**2 - 32**2
        assert (pixels[is_paper] == paper).all()
        # 255 colours for the ramp's square of 255 × 255 levels: each for one of 16 × 16, and off by up to 16.
        assert np.abs(pixels - exact)[~is_paper].max() <= 16

    def test_keeps_the_colour_of_a_paper_of_which_little_is_seen(self):
        paper, ink = [253, 246, 227], [0, 114, 178]
        figure = Figure(figsize=(1, 1), dpi=40, facecolor=np.array(paper) / 255)
        figure.figimage(np.tile(np.array(ink) / 255, (36, 36, 1)), 2, 2)
        pixels = np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGB")).astype(int)
        assert pixels[0, 0].tolist() == paper
        assert np.abs(pixels[20, 20] - ink).max() <= 1

    @pytest.mark.parametrize("figure", [None, b"png", "figure", 3])
    def test_refuses_what_is_not_a_figure(self, figure):
        with pytest.raises(TypeError, match=f"matplotlib Figure, got {type(figure).__name__}$"):
            png(figure)

    def test_leaves_no_figure_open_in_pyplot(self):
        import matplotlib.pyplot as plt

        plt.switch_backend("agg")
        shown, kept = (plt.figure(figsize=(1, 1), dpi=20) for _ in range(2))
        png(shown)
        assert [plt.figure(number) for number in plt.get_fignums()] == [kept]
        plt.close(kept)


class TestSite:
    def test_the_frames_are_all_states_with_the_last_control_fastest(self, site):
        explore(line, alt="A line", height=[1, 5, 9], slope=[0, 0.5], thick=True)
        data = json.loads(json.dumps(site[0][MIME]))
        states = list(itertools.product([1, 5, 9], [0, 0.5], [False, True]))
        assert len(data["frames"]) == 12
        for frame, (height, slope, thick) in zip(data["frames"], states, strict=True):
            picture = Image.open(io.BytesIO(decoded(frame)))
            assert picture.format == "WEBP"
            expected = Image.open(io.BytesIO(png(line(height=height, slope=slope, thick=thick))))
            assert picture.convert("RGB").tobytes() == expected.convert("RGB").tobytes()

    @pytest.mark.parametrize("figure", [line, functools.partial(line), functools.partial(functools.partial(line), 2)])
    def test_the_data_say_where_the_figure_function_is(self, site, figure):
        explore(figure, alt="A line", slope=[0, 0.5])
        assert site[0][MIME]["function"] == [__name__, "line"]

    def test_the_data_say_where_each_state_leads_each_address_once_and_undrawn(self, site):
        counted = Counted()
        counted.address = lambda **values: "{height},{slope},{thick}".format(**values | {"slope": 0})
        explore(counted, alt="A line", slope=[0.5, 1.5], height=[1, 2], thick=False)
        opens = site[0][MIME]["opens"]
        assert opens == {
            "addresses": ["1,0,False", "1,0,True", "2,0,False", "2,0,True"],
            "at": [0, 1, 2, 3, 0, 1, 2, 3],
        }
        assert len(counted.calls) == len(opens["at"])

    def test_a_control_that_the_address_does_not_name_changes_nothing_of_it(self, site):
        def figure(height=1, slope=0.5):
            return line(height, slope)

        figure.address = lambda **values: f"slope={values['slope']}"  # the default where no control gives it
        explore(figure, alt="A line", height=[1, 2, 3])
        assert site[0][MIME]["opens"] == {"addresses": ["slope=0.5"], "at": [0, 0, 0]}

    def test_what_a_partial_gives_reaches_the_address(self, site):
        def figure(height=1, slope=0.5, thick=False):
            return line(height, slope, thick)

        figure.address = lambda **values: "{height},{slope}".format(**values)
        explore(functools.partial(functools.partial(figure, thick=True), slope=2), alt="A line", height=[1, 3])
        assert site[0][MIME]["opens"] == {"addresses": ["1,2", "3,2"], "at": [0, 1]}

    def test_a_figure_without_an_address_leads_nowhere(self, site):
        explore(line, alt="A line", height=[1, 2])
        assert site[0][MIME]["opens"] is None

    def test_the_data_describe_picture_and_controls(self, site):
        def figure(step_size=2, time=1, sigma=False):
            return line(step_size, time, sigma)

        explore(figure, alt="A <line>", step_size={"small": 1, "large": 2}, time=play(0, 2), sigma=True)
        data = site[0][MIME]
        assert data["alt"] == "A <line>"
        assert (data["width"], data["height"]) == (40, 32)
        described = [[c[key] for key in ("name", "title", "kind", "labels", "default")] for c in data["controls"]]
        assert described == [
            ["step_size", "step size", "choice", ["small", "large"], 1],
            ["time", "time", "play", ["0", "1", "2"], 1],
            ["sigma", "σ", "checkbox", ["off", "on"], 0],
        ]

    @pytest.mark.parametrize(
        ("control", "kind", "default"),
        [
            ([1, 2], "range", 0),
            ([3, 1.5, np.float32(2)], "range", 0),
            ([True, False], "choice", 0),
            ([1, "two"], "choice", 0),
            ({"low": 1, "high": 2}, "choice", 0),
            ({"1 step": 1, "many": 2}, "range", 0),
            ({"10³": 2, "1": 1}, "range", 0),
            ({"½": 1, "one": 2}, "range", 0),
            ({"1": 1, "3": 3, "2": 2}, "choice", 0),
            ({"x₁": False, "x₂": True}, "choice", 0),
            (play(1, 2), "play", 0),
            (True, "checkbox", 1),
        ],
    )
    def test_the_kind_of_a_control_is_that_of_what_was_given(self, site, control, kind, default):
        values = list(control.values()) if isinstance(control, dict) else control
        seen = values.index if isinstance(values, list) else float  # each value has a picture
        explore(lambda height: line(1 + seen(height)), alt="A line", height=control)
        (described,) = site[0][MIME]["controls"]
        assert (described["kind"], described["default"]) == (kind, default)

    def test_nothing_of_a_live_widget_is_shown(self, site):
        before = set(_instances)
        explore(line, alt="A line", height=[1, 2])
        assert set(site[0]) == {"text/plain", "image/png", MIME}
        assert set(_instances) == before

    def test_each_frame_is_drawn_once(self, site):
        counted = Counted()
        explore(counted, alt="A line", height=[1, 2, 3], thick=True)
        assert len(counted.calls) == 6
        assert len({tuple(call.items()) for call in counted.calls}) == 6

    @pytest.mark.parametrize("dead", ["before", "after"])
    def test_a_control_that_changes_nothing_beside_the_defaults_is_refused(self, site, dead):
        def figure(height=5, slope=0.5):
            hidden = height <= 5 if dead == "before" else height >= 5
            return line(5 if hidden else height, slope)

        with pytest.raises(ValueError, match=r"'height' is dead: .*'5' to '(1|9)'"):
            explore(figure, alt="A line", slope=[0.5, 2], height=[1, 5, 9])
        assert site == []

    def test_each_choice_is_one_move_away(self, site):
        with pytest.raises(ValueError, match=r"'height' is dead: .*'low' to 'none'"):
            explore(lambda height=1: line(height), alt="A line", height={"low": 1, "high": 9, "none": 1})
        assert site == []

    @pytest.mark.parametrize(("stop", "a_second"), [(2, 4), (6, 4), (15, 8), (23, 12), (29, 15), (40, 15)])
    def test_play_has_a_pace_and_starts_by_itself_where_it_is_told_to(self, site, stop, a_second):
        described = []
        for options in ({}, {"starts": True}):
            explore(lambda height=1: line(height / 5), alt="A line", height=play(0, stop, **options))
            described.append(site[-1][MIME]["controls"][0])
        assert [control["starts"] for control in described] == [False, True]
        assert [1000 / control["interval"] for control in described] == pytest.approx([a_second] * 2, rel=0.01)

    def test_a_control_may_rest_away_from_the_defaults(self, site):
        def figure(height=1, slope=0.5):
            return line(min(height, 5), slope if height < 5 else 0)

        explore(figure, alt="A line", height=[1, 5, 9], slope=[0.5, 2])
        assert len(site[0][MIME]["frames"]) == 6

    def test_more_frames_than_a_page_should_hold_are_refused_undrawn(self, site, monkeypatch):
        counted = Counted()
        with pytest.raises(ValueError, match=r"11 × 11 = 121 frames.*at most 120"):
            explore(counted, alt="A line", height=play(0, 10), slope=play(0, 5, 0.5))
        assert len(counted.calls) <= 1
        monkeypatch.setattr(module, "MOST_FRAMES", 6)
        explore(line, alt="A line", height=[1, 2, 3], thick=True)
        with pytest.raises(ValueError, match="7 frames"):
            explore(line, alt="A line", height=play(0, 6))
        assert len(site) == 1

    def test_a_frame_that_raises_anywhere_in_the_grid_fails_the_build(self, site):
        def figure(height=1, thick=False):
            if height == 9 and thick:
                raise RuntimeError("only in the last corner")
            return line(height, thick=thick)

        with pytest.raises(RuntimeError, match="only in the last corner"):
            explore(figure, alt="A line", height=[1, 5, 9], thick=True)
        assert site == []

    def test_a_value_may_be_anything(self, site):
        class Uncopied:
            height = 5

            def __deepcopy__(self, memo):
                raise RuntimeError("a network or a walk is not to be copied for its label's sake")

        explore(lambda of=None: line(of.height if of else 1), alt="A line", of={"none": None, "some": Uncopied()})
        assert len(site[0][MIME]["frames"]) == 2


class TestLive:
    def test_no_frame_but_the_first_is_drawn_ahead(self, shown):
        counted = Counted()
        explore(counted, alt="A line", height=[1, 5, 9], thick=True)
        assert len(counted.calls) == 1
        assert Widgets(shown[0]).image.value == png(line())

    def test_many_values_are_no_burden_in_a_kernel(self, shown):
        explore(line, alt="A line", height=play(0, 200))
        assert len(shown) == 1

    @pytest.mark.built  # a tenth of all that make check takes
    def test_240_frames_leave_their_pictures_in_memory_and_no_figure(self, shown):
        figures, pictures = [], []

        def walk(step=0):
            figure = line(slope=step / 40)
            figures.append(weakref.ref(figure))
            return figure

        explore(walk, alt="A line", step=play(0, 240))
        widgets = Widgets(shown[0])
        tracemalloc.start()
        try:
            for step in range(1, 241):
                widgets.sliders["step"].index = step
                pictures.append(len(widgets.image.value))
                if step == 40:  # by then Matplotlib has what it keeps
                    gc.collect()
                    before = tracemalloc.get_traced_memory()[0]
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert len(figures) == 241
        assert [figure for figure in figures if figure()] == []
        assert grown < sum(pictures[40:]) + 200 * 1000

    def test_moving_a_slider_shows_the_frame_of_its_value(self, shown):
        explore(line, alt="A line", height=[1, 5, 9], slope=[0, 0.5, 1])
        widgets = Widgets(shown[0])
        widgets.sliders["height"].index = 2
        assert widgets.image.value == png(line(height=9))
        widgets.sliders["slope"].index = 0
        assert widgets.image.value == png(line(height=9, slope=0))
        widgets.sliders["height"].index = 1
        assert widgets.image.value == png(line(height=5, slope=0))

    def test_ticking_a_checkbox_shows_its_frame(self, shown):
        explore(line, alt="A line", thick=True, height=[1, 5])
        widgets = Widgets(shown[0])
        widgets.checkboxes["thick"].value = True
        assert widgets.image.value == png(line(thick=True))
        widgets.sliders["height"].index = 1
        assert widgets.image.value == png(line(height=5, thick=True))
        widgets.checkboxes["thick"].value = False
        assert widgets.image.value == png(line(height=5))

    def test_a_checkbox_starts_as_the_default_says(self, shown):
        explore(lambda thick=True: line(thick=thick), alt="A line", thick=False)
        assert Widgets(shown[0]).checkboxes["thick"].value is True

    def test_a_slider_starts_at_the_default_and_names_its_values(self, shown):
        explore(lambda step_size=0.0005: line(step_size), alt="A line", step_size=[0.1, 0.0005])
        slider = Widgets(shown[0]).sliders["step size"]
        assert slider.index == 1
        assert slider.label == "0.0005"
        assert slider.tooltip == "step size"
        assert slider.style.description_width == "initial"

    def test_a_screen_reader_is_told_the_name_of_each_control(self, shown):
        explore(line, alt="A line", thick=True, height=play(1, 3), slope=[0, 0.5])
        widgets = Widgets(shown[0])
        assert widgets.checkboxes["thick"].tooltip == "thick"
        assert widgets.of(ipywidgets.Play)[0].tooltip == "play height"
        assert [slider.tooltip for slider in widgets.sliders.values()] == ["height", "slope"]

    def test_picture_and_controls_have_the_width_of_the_page_up_to_their_own(self, shown):
        explore(line, alt="A line", thick=True, height=[1, 2])
        widgets = Widgets(shown[0])
        assert (widgets.image.format, widgets.image.layout.width, widgets.image.layout.max_width) == (
            "png",
            "100%",
            "680px",
        )
        layout = widgets.sliders["height"].layout
        assert (layout.width, layout.max_width) == ("100%", "480px")
        assert not widgets.checkboxes["thick"].indent  # in line with the picture

    @pytest.mark.parametrize(("stop", "interval"), [(2, 250), (60, 67)])
    def test_play_has_the_pace_of_the_website_and_waits_to_be_pressed(self, shown, stop, interval):
        explore(line, alt="A line", height=play(0, stop, starts=True))
        (button,) = Widgets(shown[0]).of(ipywidgets.Play)
        assert (button.interval, button.playing) == (interval, False)

    def test_a_choice_is_a_row_of_buttons_that_are_all_seen(self, shown):
        explore(lambda height=9: line(height), alt="A line", height={"low": 1, "a name of some length": 9, "mid": 5})
        widgets = Widgets(shown[0])
        choice = widgets.choices["height"]
        assert (choice.options, choice.index) == (("low", "a name of some length", "mid"), 1)
        assert (choice.tooltip, choice.style.button_width, choice.style.description_width) == (
            "height",
            "auto",
            "initial",
        )
        choice.index = 2
        assert widgets.image.value == png(line(5))

    def test_no_change_of_a_checkbox_but_that_of_its_value_is_a_move(self, shown):
        counted = Counted(lambda thick=False: line(thick=thick))
        explore(counted, alt="A line", thick=False)
        widgets = Widgets(shown[0])
        widgets.checkboxes["thick"].description = "1"
        widgets.checkboxes["thick"].disabled = True
        assert len(counted.calls) == 1
        assert widgets.message.value == ""

    def test_controls_stand_in_the_order_given(self, shown):
        explore(line, alt="A line", slope={"flat": 0, "steep": 0.5}, thick=True, height=[1, 5])
        described = [getattr(widget, "description", None) for widget in Widgets(shown[0]).box.children]
        assert described == [None, "slope", "thick", "height", ""]

    def test_a_figure_drawn_before_is_not_drawn_again(self, shown):
        counted = Counted()
        explore(counted, alt="A line", height=[1, 5, 9])
        slider = Widgets(shown[0]).sliders["height"]
        for index in (1, 2, 1, 0, 2, 0):
            slider.index = index
        assert [call["height"] for call in counted.calls] == [1, 5, 9]
        assert Widgets(shown[0]).image.value == png(line())

    def test_the_last_of_many_moves_is_what_stands(self, shown):
        explore(line, alt="A line", height=play(0, 9))
        widgets = Widgets(shown[0])
        for index in (3, 8, 2, 7):
            widgets.sliders["height"].index = index
        assert widgets.image.value == png(line(height=7))

    def test_play_and_slider_are_linked(self, shown):
        before = set(_instances)
        explore(line, alt="A line", height=play(-1, 5, 2))
        widgets = Widgets(shown[0])
        (button,), slider = widgets.of(ipywidgets.Play), widgets.sliders["height"]
        assert (button.min, button.max, button.value, button.step) == (0, 3, 1, 1)
        assert slider.index == 1
        (link,) = (
            _instances[i]
            for i in set(_instances) - before
            if isinstance(_instances[i], ipywidgets.widgets.widget_link.Link)
        )
        assert type(link) is ipywidgets.widgets.widget_link.Link  # both ways, where a DirectionalLink goes one
        assert {link.source, link.target} == {(button, "value"), (slider, "index")}

    def test_a_list_has_no_play_button(self, shown):
        explore(line, alt="A line", height=[1, 5])
        assert Widgets(shown[0]).of(ipywidgets.Play) == []

    def test_an_exception_in_a_redraw_is_shown_and_the_next_move_works(self, shown):
        def fragile(height=1):
            if height == 5:
                raise ValueError("no height of 5 <here>")
            return line(height)

        counted = Counted(fragile)
        explore(counted, alt="A line", height=[1, 5, 9])
        widgets = Widgets(shown[0])
        assert widgets.message.value == ""
        widgets.sliders["height"].index = 1
        assert "ValueError" in widgets.message.value
        assert "no height of 5 &lt;here&gt;" in widgets.message.value
        assert "height 5" in widgets.message.value
        assert widgets.image.value == png(line())
        widgets.sliders["height"].index = 2
        assert widgets.message.value == ""
        assert widgets.image.value == png(line(height=9))
        widgets.sliders["height"].index = 1
        assert "ValueError" in widgets.message.value
        assert [call["height"] for call in counted.calls] == [1, 5, 9, 5]

    def test_the_message_says_how_all_controls_stood(self, shown):
        explore(lambda height=1, step_size=2: line(1 / (3 - height)), alt="A line", height=[1, 3], step_size=[2, 4])
        widgets = Widgets(shown[0])
        widgets.sliders["height"].index = 1
        expected = "<b>No picture for height 3, step size 2.</b> ZeroDivisionError: division by zero"
        assert widgets.message.value == expected

    def test_a_redraw_that_returns_no_figure_is_shown_too(self, shown):
        explore(lambda height=1: line() if height == 1 else None, alt="A line", height=[1, 5])
        widgets = Widgets(shown[0])
        widgets.sliders["height"].index = 1
        assert "must return a matplotlib Figure" in widgets.message.value

    def test_two_figures_keep_to_themselves(self, shown):
        explore(line, alt="A line", height=[1, 5])
        explore(line, alt="A line", height=[1, 9])
        first, second = map(Widgets, shown)
        first.sliders["height"].index = 1
        assert first.image.value == png(line(height=5))
        assert second.image.value == png(line())
        assert second.sliders["height"].index == 0

    def test_an_empty_site_variable_is_a_live_kernel(self, shown, monkeypatch):
        monkeypatch.setenv("NOTES_SITE", "")
        explore(line, alt="A line", height=[1, 5])
        assert VIEW in shown[0]
        assert MIME not in shown[0]
