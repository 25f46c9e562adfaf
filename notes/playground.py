"""The playground: a page of the website on which the reader's own browser samples."""

import base64
import io
import os
from collections.abc import Callable
from typing import Any

import torch

from notes._extras import needs
from notes._mime import PLAYGROUND
from notes.explore import SITE_VARIABLE, explore, png, webp
from notes.networks import WAVES, NoiseConditionalNetwork
from notes.scenes import STARTS, Scene

with needs("figures"):
    from IPython.display import display
    from matplotlib.figure import Figure
    from PIL import Image

__all__ = ["playground"]


def playground(
    figure: Callable[..., Figure],
    /,
    *,
    alt: str,
    scenes: dict[str, Scene],
    network: NoiseConditionalNetwork,
    learned: str,
    least: float,
    **controls: Any,
) -> None:
    """Show the playground on the website; in a notebook, a figure of the same scenes.

    Parameters
    ----------
    figure : callable
        Draws a scene: what stands where no script runs, and what a notebook recomputes.
    alt : str
        What is seen in its default state.
    scenes : dict
        By name, the first of which the page opens with.
    network : NoiseConditionalNetwork
        A learned score in the plane, s_θ(x, σ).
    learned : str
        The name of the scene that it was trained on.
    least : float
        The smallest σ that it was trained on.
    **controls
        Of the figure, as :func:`~notes.explore.explore` takes them.

    Raises
    ------
    ValueError
        A name that no scene has.

    Examples
    --------
    >>> from notes.playground import playground
    >>> unseen = {"alt": "", "network": None, "least": 0.1}
    >>> playground(None, scenes={}, learned="moons", **unseen)
    Traceback (most recent call last):
    ValueError: learned must be the name of a scene, got 'moons'
    """
    if learned not in scenes:
        raise ValueError(f"learned must be the name of a scene, got {learned!r}")
    if not os.environ.get(SITE_VARIABLE):
        explore(figure, alt=alt, **controls)
        return
    frame = png(figure())
    width, height = Image.open(io.BytesIO(frame)).size
    shown = {
        "alt": alt,
        "width": width,
        "height": height,
        "scenes": [[name, scene.address] for name, scene in scenes.items()],
        "starts": STARTS,
        "frames": [base64.b64encode(webp(frame)).decode()],
        "network": _weights(network) | {"scene": learned, "least": least},
    }
    display({"text/plain": alt, "image/png": base64.b64encode(frame).decode(), PLAYGROUND: shown}, raw=True)


def _weights(network: NoiseConditionalNetwork) -> dict[str, Any]:
    """A network's layers as the playground's script reads them: float32, little-endian, in base64, weights by rows."""
    layers = [layer for layer in network.layers if isinstance(layer, torch.nn.Linear)]
    return {
        "waves": WAVES,
        "layers": [
            {"inputs": layer.in_features, "weight": _base64(layer.weight), "bias": _base64(layer.bias)}
            for layer in layers
        ],
    }


def _base64(values):
    return base64.b64encode(values.detach().to(torch.float32).numpy().astype("<f4").tobytes()).decode()
