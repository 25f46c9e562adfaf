"""The figures of the chapter on images."""

import functools

import torch
from matplotlib.figure import Figure

from notes import diffusion, images, plots, score_matching
from notes.figures.cast import seeded
from notes.full_covariance import FullCovarianceMixture
from notes.networks import ImageNetwork
from notes.training import train

__all__ = [
    "HELD_OUT",
    "ENDS",
    "SAMPLERS",
    "generate",
]

HELD_OUT = [[0, 5, 9], [1, 6, 11], [2, 7, 12], [3, 8, 13], [0, 4, 10]]  # sittings, in five draws
ENDS = 8.0, 0.03  # of the ladder: near the largest distance of two digits, and a quarter of a step of grey
TAUGHT = 8.0, 0.02


@functools.cache
def _data(draw=0):
    """The digits to learn from, and those of the sittings held out."""
    return images.digits().split(HELD_OUT[draw])


@functools.cache
def _learned(draw=0):
    """The network of the chapter: all noises, with and without a label."""
    data, _ = _data(draw)
    generator = seeded(1)
    mean = data.x.mean(0)
    network = ImageNetwork(mean, (data.x - mean).std().item(), n_labels=10, generator=generator)
    loss = functools.partial(score_matching.denoising_with_labels, sigmas=TAUGHT, weight=network.weight)
    rows = torch.cat([data.x, data.label[:, None]], 1)
    train(network, loss, 2_500, data=rows, batch_size=32, lr=6e-3, generator=generator)
    return network.requires_grad_(False)


@functools.cache
def _mixture(draw=0):
    """Twenty Gaussians with covariances of their own, fitted to the digits to learn from."""
    return FullCovarianceMixture.fit(_data(draw)[0].x, 20)


@functools.cache
def _gaussian(draw=0):
    """One Gaussian: its denoiser is Wiener's."""
    return FullCovarianceMixture.fit(_data(draw)[0].x, 1, regularisation=1e-3)


# Digits out of noise (fig-images-generate).

SAMPLERS = ["probability flow", "reverse SDE", "annealed Langevin"]


@plots.styled
def generate(time: int = 40, sampler: str = "probability flow", network: ImageNetwork | None = None) -> Figure:
    """Images on their way down the ladder, and below each the digit of the data nearest to where it ends."""
    network = network or _learned()
    figure, ax = plots.canvas(height=2.6)
    path = diffusion.probability_flow(
        network,
        network.mean + ENDS[0] * torch.randn(10, 64, generator=seeded(1)),
        diffusion.ladder(*ENDS, 41),
        record_every=1,
    )
    plots.pictures(ax, path[time][None], rows=["noise to digits"])
    return figure
