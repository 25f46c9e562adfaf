"""The scenes of the playground, and their picture where no browser computes."""

import functools
import math

import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from notes import mixtures, plots
from notes.figures import cast
from notes.langevin import langevin
from notes.mixtures import GaussianMixture
from notes.networks import NoiseConditionalNetwork
from notes.scenes import Scene

__all__ = ["SCENES", "walk", "NOISES", "network", "divergences", "learned"]

_MOONS = mixtures.two_moons(n_components=16, std=0.2)
_ANGLES = 2 * math.pi * torch.arange(8) / 8
_RING = GaussianMixture(2 * torch.stack([_ANGLES.cos(), _ANGLES.sin()], 1), 0.25)
_BARRIER = GaussianMixture([[-1.2, 0.0], [1.2, 0.0]], 0.45)
SCENES = {
    "two modes": Scene(cast.PLANE),
    "ring of eight": Scene(_RING),
    "two moons": Scene(_MOONS),
    "a mode that empties": Scene(cast.PLANE, step_size=0.05, start="p itself"),
    "a barrier": Scene(_BARRIER, step_size=0.02, start="one point"),
}
_EXTENT = (-3.2, 3.2, -2.4, 2.4)
_STEPS = 300  # at most


def _start(scene, generator, n=2000):
    if scene.start == "p itself":
        return scene.law.sample(n, generator)
    if scene.start == "one point":
        return scene.law.means[:1].expand(n, 2)
    return torch.randn(n, 2, generator=generator)


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
    color = plots.ESTIMATE if SCENES[scene].start == "one point" else plots.colours_by_start(path[0])
    plots.particles(ax, path[time], color, size=5)
    return figure


NOISES = [0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0]
_SHARES = np.linspace(0, 1, 11)  # of the score's own size
_WRONG = LinearSegmentedColormap.from_list("wrong", ["#ffffff", plots.CONTRAST])


@functools.cache
def _straight():
    return [cast.divergence(_MOONS, cast.affine_field(_MOONS, sigma), sigma) for sigma in NOISES]


@functools.cache
def network() -> NoiseConditionalNetwork:
    """A small field of two arguments, learned of the two moons with noise from 5 to 0.08."""
    return cast.taught(_MOONS, (5.0, 0.08), 4_000, width=48, batch_size=256, lr=0.02)


@functools.cache
def _errors():
    return [cast.divergence(_MOONS, functools.partial(network(), sigma=sigma), sigma) for sigma in NOISES]


def divergences() -> list[tuple[float, float, float]]:
    """Of noises up to 0.5: σ, the network's relative divergence there, and the straight line's."""
    return [row for row in zip(NOISES, _errors(), _straight(), strict=True) if row[0] <= 0.5]


@plots.styled
def learned(sigma: float = 0.2) -> Figure:
    """The learned arrows on the law at one noise, the difference painted, and how large it is at every noise."""
    law = _MOONS.smoothed(sigma)
    figure, (left, right) = plots.canvas(1, 2, height=3.0, width_ratios=(1.35, 1))
    field = functools.partial(network(), sigma=sigma)
    x = law.sample(20_000, cast.seeded(7))
    size = law.score(x).square().sum(1).mean().sqrt()

    def off(x):
        with torch.no_grad():
            return (field(x) - law.score(x)).norm(dim=1) / size

    plots.plane(left, _EXTENT)
    x, shape = plots.lattice(_EXTENT, 120)
    at = [x[:, axis].reshape(shape) for axis in (0, 1)]
    left.contourf(*at, off(x).reshape(shape), levels=_SHARES, cmap=_WRONG, extend="max")
    p = law.log_prob(x).exp().reshape(shape)
    left.contour(*at, p, levels=p.max().item() * np.array([0.03, 0.25, 0.65]), colors="#7d90a1", linewidths=0.6)
    plots.arrows(left, field, _EXTENT, n=15, color=plots.ESTIMATE)
    left.set_xlabel(f"learned, σ = {sigma:g}", color=plots.ESTIMATE)
    right.loglog(NOISES, _straight(), color=plots.TRUTH, **plots.DOTTED)
    right.loglog(NOISES, _errors(), color=plots.ESTIMATE)
    right.loglog(sigma, _errors()[NOISES.index(sigma)], "o", color=plots.ESTIMATE)
    plots.label(right, 0.2, 0.6, "a straight line", ha="left")
    right.set(ylim=(3e-4, 2), xlabel="noise σ", ylabel="relative divergence")
    right.set_xticks([0.1, 0.3, 1, 3], ["0.1", "0.3", "1", "3"])
    right.set_yticks([0.001, 0.01, 0.1, 1], ["0.1 %", "1 %", "10 %", "1"])
    right.minorticks_off()
    return figure
