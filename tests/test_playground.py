"""The playground in two places: a figure in a notebook, and on the website all that its page computes with."""

import base64
import io

import numpy as np
import pytest
import torch
from conftest import displayed_by
from matplotlib.figure import Figure
from PIL import Image

from notes import explore as explorer
from notes import playground as module
from notes._mime import PLAYGROUND
from notes.explore import png
from notes.mixtures import GaussianMixture
from notes.networks import NoiseConditionalNetwork
from notes.playground import playground
from notes.scenes import STARTS, Scene

SCENES = {
    "wide": Scene(GaussianMixture([[0.0, 0.0]], 1.0)),
    "narrow": Scene(GaussianMixture([[0.0, 1.0]], 0.2), step_size=0.001, start="one point"),
}


def walk(scene="wide", time=0):
    figure = Figure(figsize=(1, 0.8), dpi=40)
    figure.subplots().plot([0, len(scene)], [0, time])
    return figure


@pytest.fixture
def network():
    network = NoiseConditionalNetwork(2, width=8, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():  # the last layer begins at zero
        for parameter in network.parameters():
            parameter += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4))
    return network


def show(network, learned="narrow"):
    playground(
        walk,
        alt="A line",
        scenes=SCENES,
        network=network,
        learned=learned,
        least=0.1,
        scene=list(SCENES),
        time=[0, 1, 2],
    )


@pytest.fixture
def bundles(monkeypatch):
    """What was displayed in a live kernel and, in a second list, in a build of the site."""
    monkeypatch.delenv("NOTES_SITE", raising=False)
    return displayed_by(explorer, monkeypatch), displayed_by(module, monkeypatch)


@pytest.mark.parametrize("site", ["", "1"])
def test_a_scene_that_is_not_there_is_refused(bundles, network, site, monkeypatch):
    monkeypatch.setenv("NOTES_SITE", site)
    with pytest.raises(ValueError, match=r"^learned must be the name of a scene, got 'moons'$"):
        show(network, "moons")
    assert bundles == ([], [])


def test_in_a_notebook_it_is_a_figure_under_controls(bundles, network):
    show(network)
    (live,), site = bundles
    assert site == []
    assert "application/vnd.jupyter.widget-view+json" in live
    assert live["text/plain"] == "A line"
    assert base64.b64decode(live["image/png"]) == png(walk())


@pytest.fixture
def shown(bundles, network, monkeypatch):
    monkeypatch.setenv("NOTES_SITE", "1")
    show(network)
    live, (bundle,) = bundles
    assert live == []
    return bundle


def test_on_the_website_it_is_scenes_a_picture_and_a_network(shown):
    assert {*shown} == {"text/plain", "image/png", PLAYGROUND}
    assert shown["text/plain"] == "A line"
    assert base64.b64decode(shown["image/png"]) == png(walk())
    data = shown[PLAYGROUND]
    assert {*data} == {"alt", "width", "height", "scenes", "starts", "frames", "network"}
    assert (data["alt"], data["starts"]) == ("A line", STARTS)
    # In order: the page opens with the first.
    assert data["scenes"] == [[name, scene.address] for name, scene in SCENES.items()]
    (frame,) = data["frames"]
    picture = Image.open(io.BytesIO(base64.b64decode(frame)))
    assert picture.format == "WEBP"
    assert picture.size == (data["width"], data["height"]) == Image.open(io.BytesIO(png(walk()))).size


def test_the_weights_are_those_of_the_network_to_the_last_bit(shown, network):
    data = shown[PLAYGROUND]["network"]
    assert {*data} == {"waves", "layers", "scene", "least"}
    assert (data["waves"], data["scene"], data["least"]) == ([0.5, 1, 2], "narrow", 0.1)
    layers = [layer for layer in network.layers if isinstance(layer, torch.nn.Linear)]
    assert len(layers) > 1
    for given, layer in zip(data["layers"], layers, strict=True):
        weight, bias = (np.frombuffer(base64.b64decode(given[name]), "<f4") for name in ("weight", "bias"))
        assert given["inputs"] == layer.in_features
        assert torch.equal(torch.tensor(weight).reshape(-1, given["inputs"]), layer.weight)
        assert torch.equal(torch.tensor(bias), layer.bias)


def test_a_network_of_doubles_travels_as_floats(bundles, network, monkeypatch):
    monkeypatch.setenv("NOTES_SITE", "1")
    show(network.double())
    first, weights = bundles[1][0][PLAYGROUND]["network"]["layers"][0], next(network.parameters())
    assert len(base64.b64decode(first["weight"])) == 4 * weights.numel()
