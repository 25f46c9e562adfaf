"""The figures of the chapter on images."""

import functools

import torch
from matplotlib.figure import Figure
from sklearn.svm import SVC

from notes import diffusion, images, plots, score_matching
from notes.figures.cast import seeded
from notes.full_covariance import FullCovarianceMixture
from notes.mixtures import kernel_density
from notes.networks import ImageNetwork
from notes.training import train

__all__ = [
    "HELD_OUT",
    "ENDS",
    "SAMPLERS",
    "HALVES",
    "RUNGS",
    "WHO",
    "GUIDANCE",
    "generate",
    "halves",
    "label",
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


# Two halves of the data, one noise (fig-images-halves).

HALVES = {10: 1_200, 700: 900}  # digits in each half, and the steps of their networks
WHO = ["networks", "straight lines", "kernels"]
RUNGS = [0, 4, 6, 8, 10, 12, 15, 19]
_DOWN = diffusion.ladder(*ENDS, 20)
_COLUMNS = 8


@functools.cache
def _halves(n):
    """Two times n digits that have none in common."""
    order = torch.randperm(len(_data()[0].x), generator=seeded(1))
    return tuple(_data()[0].x[rows] for rows in (order[:n], order[-n:]))


@functools.cache
def _taught(n, half):
    """A network that has seen one half."""
    x, generator = _halves(n)[half], seeded(half)
    network = ImageNetwork(x.mean(0), (x - x.mean(0)).std().item(), generator=generator)
    loss = functools.partial(score_matching.denoising_over_scales, sigmas=TAUGHT, weight=network.weight)
    train(network, loss, HALVES[n], data=x, batch_size=min(32, n), lr=5e-3, generator=generator)
    return network.requires_grad_(False)


def _from_half(n, half, who):
    """A field of two arguments that was made of one half alone."""
    x = _halves(n)[half]
    if who == "networks":
        return _taught(n, half)
    return (kernel_density(x, 0.3) if who == "kernels" else FullCovarianceMixture.fit(x, 1)).smoothed_score


@functools.cache
def _same_noise(n, who, networks):
    """What both halves make of the same noise, (2, rungs, digits, 64), and the datum nearest to each end."""
    mean, noise = _data()[0].x.mean(0), torch.randn(100, 64, generator=seeded(2))
    fields = networks or [_from_half(n, half, who) for half in (0, 1)]
    paths = torch.stack(
        [diffusion.probability_flow(field, mean + ENDS[0] * noise, _DOWN, record_every=1) for field in fields]
    )
    ends = zip(_halves(n), paths[:, -1], strict=True)
    return paths, torch.stack([x[torch.cdist(end[:_COLUMNS], x).argmin(1)] for x, end in ends])


@plots.styled
def halves(
    n: int = 10,
    who: str = "networks",
    rung: int = RUNGS[-1],
    networks: dict[int, list[ImageNetwork]] | None = None,
) -> Figure:
    """What two fields, made of n digits each and none in common, make of the same noise."""
    given = tuple(networks[n]) if networks and who == "networks" else None
    paths, nearest = _same_noise(n, who, given)
    away = paths[:, rung] - _data()[0].x.mean(0)
    agreement = torch.cosine_similarity(*away).mean().item()
    shown = paths[:, rung, :_COLUMNS]
    figure, (above, below) = plots.canvas(2, 1, height=3.1)
    plots.pictures(above, shown, rows=["from A", "from B"])
    plots.pictures(below, nearest, rows=["nearest in A", "nearest in B"])
    above.set_xlabel(f"σ = {_DOWN[rung]:.2g}: agreement {agreement:.2f}", color=plots.ESTIMATE)
    return figure


# A label, and a push towards it (fig-images-label).

GUIDANCE = [0, 0.5, 1, 3]


@functools.cache
def _judge():
    """A classifier that has seen the digits to learn from, and no network."""
    data, _ = _data()
    return SVC(gamma=0.05, C=10).fit(data.x.numpy(), data.label.numpy())


@functools.cache
def _asked(guidance):
    """Fifty of each digit in turn, 0, 1, … 9, 0, … asked for with one strength, all ten from the same fifty noises."""
    noise = torch.randn(50, 64, generator=seeded(3)).repeat_interleave(10, 0)
    field = diffusion.guided(_learned(), torch.arange(500) % 10, guidance)
    return diffusion.probability_flow(field, _learned().mean + ENDS[0] * noise, _DOWN)


@plots.styled
def label(digit: int = 0, guidance: float = 0.5, drawn: dict[float, torch.Tensor] | None = None) -> Figure:
    """Digits that were asked for, from the same noise at each strength; how many are recognised, and their spread."""
    x, (data, _) = (drawn[guidance] if drawn else _asked(guidance))[digit::10], _data()
    recognised = int((_judge().predict(x.numpy()) == digit).sum())
    spread = x.var(0).sum() / data.x[data.label == digit].var(0).sum()
    figure, ax = plots.canvas(height=1.75)
    plots.pictures(ax, x[:20].reshape(2, 10, 64))
    ax.set_yticks([])
    ax.set_xlabel(f"{recognised} of {len(x)} recognised, spread {spread:.2f}", color=plots.ESTIMATE)
    return figure
