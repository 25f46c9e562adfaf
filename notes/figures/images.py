"""The figures of the chapter on images."""

import functools
import math

import numpy as np
import torch
from matplotlib.figure import Figure

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
    "generate",
    "NOISES",
    "SHOWN",
    "denoise",
    "psnr",
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


@functools.cache
def _ways(network, sampler):
    """Twenty ways down the ladder (rung, image, pixel), the ladder, and the datum nearest to each end."""
    data, _ = _data()
    sigmas, generator = diffusion.ladder(*ENDS, 41), seeded(1)
    start = network.mean + ENDS[0] * torch.randn(20, 64, generator=generator)
    if sampler == "probability flow":
        path = diffusion.probability_flow(network, start, sigmas, record_every=1)
    elif sampler == "reverse SDE":
        path = diffusion.reverse_diffusion(network, start, sigmas, generator=generator, record_every=1)
    else:
        path = diffusion.annealed_langevin(
            network, start, sigmas[1:], 0.2 * ENDS[1] ** 2, 10, generator=generator, record_every=10
        )
    return path, sigmas, data.x[torch.cdist(path[-1], data.x).argmin(1)]


@plots.styled
def generate(time: int = 32, sampler: str = "probability flow", network: ImageNetwork | None = None) -> Figure:
    """Images on their way down the ladder, and below each, in grey, the digit of the data nearest to where it ends."""
    path, sigmas, nearest = _ways(network or _learned(), sampler)
    sigma = sigmas[time].item()
    figure, ax = plots.canvas(height=2.5)
    reach = math.hypot(1, sigma)  # greys that hold most of the noise
    on_their_way = (path[time] / reach).reshape(2, 10, 64)
    pale = (nearest.reshape(2, 10, 64) - 1) / 2
    rows = torch.stack([on_their_way, pale], 1).flatten(0, 1)
    plots.pictures(ax, rows, rows=[f"σ = {sigma:.2f}", "nearest"])
    return figure


# What they make of a noisy digit (fig-images-denoise, fig-images-psnr).

NOISES = [0.1, 0.3, 0.5, 0.8, 1.2]
SHOWN = [0, 2, 5, 8]
_COLOURS = dict.fromkeys(["clean", "noisy", "Wiener", "mixture"], plots.TRUTH)
_COLOURS = {**_COLOURS, "optimum": plots.CONTRAST, "network": plots.ESTIMATE}
_NOISES = np.geomspace(0.05, 2, 11)
_WIDER = [1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 6.0]  # h over σ


def _optimum(x, sigma):
    """The exact minimiser of the network's loss: kernels as wide as the noise on the digits to learn from."""
    return kernel_density(_data()[0].x, sigma).score(x)


def _scores(network):
    return {
        "Wiener": _gaussian().smoothed_score,
        "mixture": _mixture().smoothed_score,
        "optimum": _optimum,
        "network": network,
    }


@plots.styled
def denoise(sigma: float = 0.3, digit: int = 2, network: ImageNetwork | None = None) -> Figure:
    """A digit of the data and one of the sittings held out, noisy, and what each denoiser makes of both."""
    figure, axes = plots.canvas(2, 1, height=2.9)
    for ax, digits, name in zip(axes, _data(), ["seen", "fresh"], strict=True):
        clean = digits.x[digits.label == digit][:1]
        noisy = clean + sigma * torch.randn(clean.shape, generator=seeded(5))
        guesses = [diffusion.denoised(score, noisy, sigma) for score in _scores(network or _learned()).values()]
        found = [images.psnr(x, clean).item() for x in (noisy, *guesses)]
        words = [f"{value:.1f}" if value < 60 else "> 60" for value in found]
        plots.pictures(ax, torch.cat([clean, noisy, *guesses])[None], rows=[name], below=["dB", *words])
        for word, color in zip(ax.get_xticklabels(), _COLOURS.values(), strict=True):
            word.set_color(color)
    for k, (word, color) in enumerate(_COLOURS.items()):
        plots.label(axes[0], 3.5 + 9 * k, -1.2, word, color, va="baseline")
    return figure


@functools.cache
def _curves(network, digits):
    """Decibels of each denoiser at _NOISES, on the digits to learn from or on those of the sittings held out."""
    data, fresh = _data()
    clean = (data if digits == "seen" else fresh).x
    curves = {name: [] for name in _scores(network)}
    best = []
    for k, sigma in enumerate(_NOISES.tolist()):
        noisy = clean + sigma * torch.randn(clean.shape, generator=seeded(k))
        for name, score in _scores(network).items():
            curves[name].append(images.psnr(diffusion.denoised(score, noisy, sigma), clean).item())
        if digits == "fresh":
            scores = {h: kernel_density(data.x, h).score(noisy) for h in (sigma * wider for wider in _WIDER)}
            guesses = [noisy + reach**2 * score for h, score in scores.items() for reach in (sigma, h)]
            best.append(max(images.psnr(guess, clean).item() for guess in guesses))
    return {**curves, "kernels, best h": best} if best else curves


_BESIDE = {  # where the name of a curve begins
    "fresh": {
        "network": (0.1, 2.2),
        "mixture": (0.2, 0.75),
        "optimum": (0.33, -3.6),
        "kernels, best h": (0.055, -1.6),
        "Wiener": (1.35, -0.45),
    },
    "seen": {
        "network": (0.08, 2.55),
        "mixture": (0.2, 1.35),
        "optimum": (0.98, 3.3),
        "Wiener": (1.35, -0.45),
    },
}


@plots.styled
def psnr(digits: str = "fresh", network: ImageNetwork | None = None) -> Figure:
    """What each denoiser gains on Wiener's, in decibels against noise, on fresh digits or on those it has seen."""
    curves = _curves(network or _learned(), digits)
    figure, ax = plots.canvas(height=3.6)
    for name, decibels in curves.items():
        style = plots.DOTTED if name == "Wiener" else {"linestyle": (0, (5, 2))} if "best" in name else {}
        gain = np.subtract(decibels, curves["Wiener"])
        ax.semilogx(_NOISES, gain, color=_COLOURS.get(name, plots.MUTED), **style)
    for name, at in _BESIDE[digits].items():
        color = _COLOURS.get(name, plots.MUTED)
        plots.label(ax, *at, name, color, ha="left", va="baseline")
    ax.set(xlim=(0.045, 2.2), ylim=(-4, 4), xlabel="noise σ", ylabel="dB above Wiener")
    ax.set_xticks(ticks := [0.05, 0.1, 0.2, 0.5, 1, 2], [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    return figure
