"""Who appears in more than one chapter: laws, seeds, and the small set-ups of their pictures."""

import functools
from typing import Any

import torch
from matplotlib.axes import Axes

from notes import mixtures, plots, score_matching
from notes.mixtures import GaussianMixture
from notes.networks import NoiseConditionalNetwork
from notes.training import train

__all__ = [
    "EXTENT",
    "LINE",
    "MOONS",
    "NORMAL",
    "PLANE",
    "STEP_SIZE",
    "seeded",
    "on_first_axis",
    "simplex",
    "watershed",
    "share_left",
    "share_below",
    "line_axes",
    "arrow_field",
    "moments",
    "affine_field",
    "divergence",
    "taught",
]


def seeded(seed: int = 0) -> torch.Generator:
    """A new generator with that seed."""
    return torch.Generator().manual_seed(seed)


def on_first_axis(places: list[float], dim: int) -> torch.Tensor:
    """Points (len(places), dim) that differ along the first axis alone."""
    points = torch.zeros(len(places), dim)
    points[:, 0] = torch.tensor(places)
    return points


def simplex(dim: int) -> GaussianMixture:
    """d + 1 unit Gaussians at the corners of a regular simplex around 0: the variance is 1 + 9/4 in every direction.

    Two Gaussians far apart have, in many dimensions, one direction that is not Gaussian. This law has none that is.
    """
    last = torch.full((1, dim), (1 - (dim + 1) ** 0.5) / dim)
    corners = torch.cat([torch.eye(dim), last])
    return GaussianMixture(1.5 * (dim + 1) ** 0.5 * (corners - corners.mean(0)), 1.0)


# The two modes of Chan's tutorial, on the line and along the first axis of the plane.
LINE, PLANE = (GaussianMixture(on_first_axis([2.0, -2.0], dim), [0.5, 0.2], [0.6, 0.4]) for dim in (1, 2))
NORMAL = GaussianMixture([[0.0]], 1.0)
MOONS = mixtures.two_moons(std=0.2)
EXTENT = (-2.4, 2.4, -2.0, 2.0)  # of the moons
STEP_SIZE = 0.002  # of the walks on them


@functools.cache
def watershed(density: GaussianMixture) -> float:
    """Where LINE or PLANE is lowest between its modes, on the line through them: left of it, one climbs to the left."""
    between = torch.linspace(-2, 2, 40_001, dtype=torch.float64)
    x = torch.zeros(len(between), density.dim, dtype=torch.float64)
    x[:, 0] = between
    return between[density.log_prob(x).argmin()].item()


def share_left(density: GaussianMixture) -> float:
    """The share of LINE or PLANE that its left mode holds."""
    return density.weights[density.means[:, 0].argmin()].item()


def share_below(law: GaussianMixture, x: torch.Tensor) -> torch.Tensor:
    """The distribution function of a law on the line. (n,) → (n,)"""
    return (law.weights * torch.special.ndtr((x[:, None] - law.means[:, 0]) / law.stds)).sum(1)


def line_axes(ax: Axes, **settings: Any) -> None:
    """Axes of a curve over a line: without heights, and without the spine that would carry them."""
    ax.set(yticks=[], **settings)
    ax.spines["left"].set_visible(False)


def arrow_field(
    ax: Axes,
    density: GaussianMixture,
    field: plots.Field,
    color: str,
    extent: plots.Extent = EXTENT,
    *,
    across: int = 15,
    fine: int = 100,
) -> None:
    """A field (n, 2) → (n, 2), so many arrows across, on a density's contours, so many points across."""
    plots.plane(ax, extent)
    plots.contours(ax, density, extent, fine)
    plots.arrows(ax, field, extent, across, color)


def moments(density: GaussianMixture, sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean and the covariance of p_σ."""
    mean = density.weights @ density.means
    offsets = density.means - mean
    within = density.weights @ density.stds.square() + sigma**2
    return mean, offsets.T @ (density.weights[:, None] * offsets) + within * torch.eye(density.dim)


def affine_field(density: GaussianMixture, sigma: float) -> plots.Field:
    """The affine field of p_σ: the score of the Gaussian with its mean and covariance."""
    mean, covariance = moments(density, sigma)
    return lambda x: -torch.linalg.solve(covariance, (x - mean).T).T


def divergence(density: GaussianMixture, field: plots.Field, sigma: float, n: int = 4000) -> float:
    """The relative Fisher divergence of a field (n, d) → (n, d) from the score of p_σ."""
    blurred = density.smoothed(sigma)
    with torch.no_grad():
        x = blurred.sample(n, seeded(7))
        return score_matching.fisher_divergence(field, blurred.score, x, relative=True).item()


def taught(
    density: GaussianMixture, ends: tuple[float, float], n_steps: int, *, width: int = 64, **recipe: Any
) -> NoiseConditionalNetwork:
    """A small field of two arguments, learned of a law at all noise scales between two ends."""
    generator = seeded(1)
    network = NoiseConditionalNetwork(density.dim, width=width, generator=generator)
    loss = functools.partial(score_matching.denoising_over_scales, sigmas=ends)
    train(network, loss, n_steps, data=density, generator=generator, **recipe)
    return network.requires_grad_(False)
