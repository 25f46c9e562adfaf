"""The figure of the landing page."""

import functools

import torch
from matplotlib.figure import Figure

from notes import mixtures, plots
from notes.figures import cast
from notes.langevin import langevin
from notes.scenes import Scene, opens

__all__ = ["SHAPES", "hero"]

SHAPES = {
    "two moons": mixtures.two_moons(n_components=60, std=0.1),
    "swiss roll": mixtures.swiss_roll(n_components=80, std=0.1),
    "checkerboard": mixtures.checkerboard(std=0.13),
    "rings": mixtures.rings(n_components=60, std=0.1),
}
# The playground takes 100 modes: the same shapes of fewer.
_OPENED = {"checkerboard": mixtures.checkerboard(n_per_side=3, std=0.16), "rings": mixtures.rings(std=0.1)}
STEP_SIZE, EVERY = 0.0004, 3


def _extent(shape):
    return (-2.2, 2.2, -1.65, 1.65) if shape == "two moons" else (-3.2, 3.2, -2.4, 2.4)


@functools.cache
def _flow(shape):
    generator = cast.seeded(1)
    target = SHAPES[shape]
    x0 = target.means.std() * 1.25 * torch.randn(1500, 2, generator=generator)
    return langevin(target.score, x0, STEP_SIZE, 120, generator=generator, record_every=EVERY)


@opens(lambda shape: Scene(_OPENED.get(shape, SHAPES[shape]), step_size=STEP_SIZE))
@plots.styled
def hero(time: int = 21, shape: str = "two moons") -> Figure:
    """Noise flows into a shape under its score: arrows, particles in the colours of their starts, trails of a third."""
    extent = _extent(shape)
    flow, target = _flow(shape), SHAPES[shape]
    now = time // EVERY
    figure, ax = plots.canvas(height=4.5)
    plots.plane(ax, extent)
    plots.arrows(ax, target.score, extent, n=23, color="#c9ced3")
    color = plots.colours_by_start(flow[0])
    plots.trails(ax, flow[max(0, now - 4) : now + 1, ::3], color[::3])
    plots.particles(ax, flow[now], color, size=7)
    return figure
