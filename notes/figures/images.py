"""The figures of the chapter on images."""

import functools

import torch
from matplotlib.figure import Figure

from notes import diffusion, images, inpainting, plots, score_matching
from notes.figures.cast import seeded
from notes.full_covariance import FullCovarianceMixture
from notes.networks import ImageNetwork
from notes.training import train

__all__ = [
    "HELD_OUT",
    "ENDS",
    "SAMPLERS",
    "generate",
    "HALVES",
    "RECIPES",
    "half",
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


# What fills a hidden half (fig-images-half).

HALVES = {"9": 31, "2": 75, "4": 144, "5": 369, "7": 27}  # fresh digits; of the 9 the mixture is not sure
RECIPES = ["exact", "replaced", "5 passes", "guided", "Langevin", "network"]
_SEEN = list(range(32))


@functools.cache
def _posteriors():
    """The mixture's law of the lower half of each digit of HALVES, given its upper half."""
    values = _data()[1].x[list(HALVES.values())]
    return [_mixture().given(_SEEN, value[:32]) for value in values]


@functools.cache
def _exact(seed):
    """Eight draws from each of them: (digits, 8, 32)."""
    generator = seeded(seed)
    return torch.stack([posterior.sample(8, generator) for posterior in _posteriors()])


@functools.cache
def _filled(recipe, score):
    """What a recipe makes of the upper halves, with the score: (digits, 8, 32)."""
    values = _data()[1].x[list(HALVES.values())].repeat_interleave(8, 0)[:, :32]
    sigmas, generator = diffusion.ladder(*ENDS, 101), seeded(2)
    x0 = _data()[0].x.mean(0) + ENDS[0] * torch.randn(len(values), 64, generator=generator)
    if recipe == "Langevin":
        field = inpainting.hidden_score(score, _SEEN, values)
        x = diffusion.annealed_langevin(field, x0[:, 32:], sigmas, 0.5 * ENDS[1] ** 2, 5, generator=generator)
    elif recipe in ("guided", "network"):
        field = inpainting.guided_by_known(score, _SEEN, values, spread=0.3)
        x = diffusion.reverse_diffusion(field, x0, sigmas, generator=generator)
    else:
        passes = 5 if recipe == "5 passes" else 1
        x = inpainting.replaced(score, x0, sigmas, _SEEN, values, passes=passes, generator=generator)
    return x[:, -32:].reshape(len(HALVES), 8, 32)


@functools.cache
def _perfect():
    """The smoothed score of the mixture, which keeps what it has computed for each rung."""
    smoothed = functools.cache(_mixture().smoothed)
    return lambda x, sigma: smoothed(sigma).score(x)


@plots.styled
def half(digit: str = "5", recipe: str = "replaced", network: ImageNetwork | None = None) -> Figure:
    """A digit whose lower half is hidden: eight draws from the exact posterior, and eight fillings by a recipe.

    Below each filling is its log-density under the exact posterior less that of an exact draw on average; none where
    the score is that of ``network``, which is taught anew where none is given.
    """
    at = list(HALVES).index(digit)
    posterior, real = _posteriors()[at], _data()[1].x[HALVES[digit]]
    if recipe == "exact":
        filled = _exact(3)[at]
    else:
        filled = _filled(recipe, (network or _learned()) if recipe == "network" else _perfect())[at].double()
    known = real[:32]
    rows = torch.cat([known.expand(2, 8, 32), torch.stack([_exact(1)[at], filled])], 2)
    ends = torch.stack([torch.cat([known, torch.zeros(32)]), real])
    usual = posterior.log_prob(posterior.sample(2_000, seeded(4)))
    found = posterior.log_prob(filled)
    words = [f"{round(value):+d}".replace("-", "−") for value in (found - usual.mean()).tolist()]
    if recipe == "network":
        words = [""] * 8
    figure, ax = plots.canvas(height=1.9)
    plots.pictures(ax, torch.cat([ends[:, None], rows], 1), rows=["exact", recipe], below=["real", *words])
    for word, value in zip(ax.get_xticklabels()[1:], found, strict=True):
        word.set_color(plots.CONTRAST if value < usual.quantile(0.05) else plots.TRUTH)
    ax.get_yticklabels()[1].set_color(plots.ESTIMATE)
    return figure
