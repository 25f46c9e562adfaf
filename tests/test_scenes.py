"""A scene of the playground: its address as the page reads it, what it refuses, and how a figure leads to it."""

import dataclasses
import math
from urllib.parse import parse_qs

import pytest
import torch

from notes.full_covariance import FullCovarianceMixture
from notes.mixtures import GaussianMixture
from notes.scenes import STARTS, Scene, opens

LINE = GaussianMixture([[2.0], [-2.0]], [0.5, 0.2], [0.6, 0.4])
PLANE = GaussianMixture([[1 / 3, -2 / 3], [0.0, 1e-5], [-12.3456, 4.0]], [0.1, 1 / 7, 3.0], [0.2, 0.3, 0.5])


def read(address):
    """The settings of an address, each given once, and its modes as rows of numbers."""
    settings = parse_qs(address, strict_parsing=True)
    assert {len(values) for values in settings.values()} == {1}
    settings = {name: value for name, (value,) in settings.items()}
    modes = [[float(number) for number in mode.split(",")] for mode in settings.pop("modes").split(";")]
    return modes, settings


def test_an_address_says_the_modes_and_the_walk():
    scene = Scene(PLANE, step_size=1e-5, temperature=1 / 3, sigma=0.25, start="p itself", corrected=True)
    modes, settings = read(scene.address)
    expected = [
        [0.3333, -0.6667, 0.1, 0.2],
        [0, 1e-5, 0.1429, 0.3],
        [-12.35, 4, 3, 0.5],
    ]
    assert modes == expected == [list(mode) for mode in scene.modes]
    assert {*settings} == {"tau", "T", "sigma", "start", "corrected"}
    assert float(settings["tau"]) == 1e-5
    assert float(settings["T"]) == 0.3333
    assert float(settings["sigma"]) == 0.25
    assert settings["start"] == "p itself"
    assert settings["corrected"] == "on"


def test_what_is_not_said_is_a_small_step_at_temperature_1_without_noise_from_white_noise():
    assert read(Scene(PLANE).address)[1] == {"tau": "0.01", "T": "1", "sigma": "0", "start": "white noise"}


@pytest.mark.parametrize("start", STARTS)
def test_an_address_says_the_start(start):
    assert read(Scene(PLANE, start=start).address)[1]["start"] == start


def test_a_law_on_the_line_is_laid_along_the_first_axis():
    assert read(Scene(LINE).address)[0] == [[2, 0, 0.5, 0.6], [-2, 0, 0.2, 0.4]]


def test_one_spread_is_that_of_every_mode():
    assert read(Scene(GaussianMixture([[0.0, 1.0], [2.0, 3.0]], 0.5)).address)[0] == [
        [0, 1, 0.5, 0.5],
        [2, 3, 0.5, 0.5],
    ]


def test_an_address_is_short_and_needs_no_quotes():
    assert Scene(LINE).address == "modes=2,0,0.5,0.6;-2,0,0.2,0.4&tau=0.01&T=1&sigma=0&start=white+noise"


def test_100_modes_may_be():
    assert len(read(Scene(GaussianMixture(torch.zeros(100, 2), 1.0)).address)[0]) == 100


@pytest.mark.parametrize(
    ("law", "said"),
    [
        (GaussianMixture(torch.zeros(2, 3), 1.0), "got 2 modes in 3 dimensions"),
        (GaussianMixture(torch.zeros(101, 2), 1.0), "got 101 modes in 2 dimensions"),
    ],
)
def test_a_law_that_the_page_cannot_show_is_refused(law, said):
    with pytest.raises(ValueError, match=f"^law must have at most 100 modes, on the line or in the plane, {said}$"):
        Scene(law)


@pytest.mark.parametrize("law", ["moons", FullCovarianceMixture(torch.zeros(1, 2), torch.eye(2)[None])])
def test_a_law_of_another_kind_is_refused(law):
    with pytest.raises(TypeError, match=f"^law must be a GaussianMixture, got {type(law).__name__}$"):
        Scene(law)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("step_size", 0, "positive"),
        ("step_size", -0.01, "positive"),
        ("step_size", math.nan, "finite"),
        ("temperature", -1, "not be negative"),
        ("temperature", math.inf, "finite"),
        ("sigma", -0.1, "not be negative"),
        ("start", "there", "one of white noise, uniform, one point, p itself, got 'there'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(name, value, said):
    with pytest.raises(ValueError, match=f"^{name} must .*{said}"):
        Scene(LINE, **{name: value})


def test_a_word_for_a_number_is_refused():
    with pytest.raises(TypeError, match=r"^sigma must be a number, got str 'much'"):
        Scene(LINE, sigma="much")


def test_all_but_the_law_is_given_by_name_and_stays():
    with pytest.raises(TypeError):
        Scene(LINE, 0.1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Scene(LINE).sigma = 1


def test_a_figure_leads_to_the_scene_of_the_controls_that_it_depends_on():
    def figure(std, time=0):
        return std, time

    decorated = opens(lambda std: Scene(GaussianMixture([[0.0]], std), sigma=2 * std))(figure)
    assert decorated is figure
    assert decorated(3, time=4) == (3, 4)
    expected = {std: Scene(GaussianMixture([[0.0, 0.0]], std), sigma=2 * std).address for std in (0.5, 1.5)}
    assert {std: decorated.address(std=std, time=9) for std in expected} == expected
    with pytest.raises(KeyError, match="std"):
        decorated.address(time=9)
