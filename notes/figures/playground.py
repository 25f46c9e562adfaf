"""The scenes of the playground, and their picture where no browser computes."""

import functools
import math

import torch
from matplotlib.figure import Figure

from notes import mixtures, plots
from notes.figures import cast
from notes.langevin import langevin
from notes.mixtures import GaussianMixture
from notes.networks import NoiseConditionalNetwork
from notes.scenes import Scene

__all__ = ["MOONS", "SCENES", "walk", "field"]

MOONS = mixtures.two_moons(n_components=16, std=0.2)
_ANGLES = 2 * math.pi * torch.arange(8) / 8
_RING = GaussianMixture(2 * torch.stack([_ANGLES.cos(), _ANGLES.sin()], 1), 0.25)
_BARRIER = GaussianMixture([[-1.2, 0.0], [1.2, 0.0]], 0.45)
SCENES = {
    "two modes": Scene(cast.PLANE),
    "ring of eight": Scene(_RING),
    "two moons": Scene(MOONS),
    "a mode that empties": Scene(cast.PLANE, step_size=0.05, start="p itself"),
    "a barrier": Scene(_BARRIER, step_size=0.02, start="one point"),
}
_EXTENT = (-3.2, 3.2, -2.4, 2.4)
_STEPS = 300  # at most


def _start(scene, generator, n=2000):
    if scene.start == "p itself":
        return scene.law.sample(n, generator)
    x0 = torch.randn(n, 2, generator=generator)
    return scene.law.means[:1].expand(n, 2).clone() if scene.start == "one point" else x0


@functools.cache
def _path(name):
    scene, generator = SCENES[name], cast.seeded(17)
    x0 = _start(scene, generator)
    return langevin(scene.law.score, x0, scene.step_size, _STEPS, generator=generator, record_every=1)


@plots.styled
def walk(scene: str = "two modes", time: int = 60) -> Figure:
    """A scene of the playground after some steps: contours, arrows, particles in the colours of their starts."""
    law, path = SCENES[scene].law, _path(scene)
    figure, ax = plots.canvas(height=4.5)
    plots.plane(ax, _EXTENT)
    plots.contours(ax, law, _EXTENT)
    plots.arrows(ax, law.score, _EXTENT, n=23, color="#c9ced3")
    color = "#0072B2" if SCENES[scene].start == "one point" else plots.colours_by_start(path[0])
    plots.particles(ax, path[time], color, size=5)
    return figure
