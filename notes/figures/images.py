"""The figures of the chapter on images."""

import functools

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch.nn.functional import fold, unfold

from notes import diffusion, images, plots, score_matching
from notes._extras import needs
from notes.figures.cast import seeded
from notes.full_covariance import FullCovarianceMixture
from notes.networks import ImageNetwork
from notes.training import train

with needs("images"):
    from skimage import color, restoration
    from skimage import data as photographs

__all__ = [
    "HELD_OUT",
    "ENDS",
    "SAMPLERS",
    "PHOTO_NOISES",
    "METHODS",
    "generate",
    "photo",
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


# A photograph (fig-images-photo). Greys from 0, black, to 255, white.

PHOTO_NOISES = [15, 25, 50]
METHODS = ["noisy", "Wiener", "total variation", "non-local means", "mixture"]
_TUNED = {15: (0.7, 0.6), 25: (0.8, 0.7), 50: (0.9, 0.7)}  # for each noise: TV's weight and NLM's h over σ, best here
_WINDOW = 44, 150, 280, 256  # top, left, height and width of what is shown
_DETAIL = 130, 238, 52, 100


@functools.cache
def _greys(name="camera"):
    picture = getattr(photographs, name)()
    return torch.from_numpy(255 * color.rgb2gray(picture) if picture.ndim == 3 else picture).float()


@functools.cache
def _patch_law(n_components=10):
    """A law of patches of 8 × 8 pixels, from five photographs that are not the one to denoise."""
    generator, chosen = seeded(1), []
    for name in ("astronaut", "brick", "chelsea", "coffee", "rocket"):
        rows = unfold(_greys(name)[None, None], 8, stride=2)[0].T
        chosen.append(rows[torch.randint(len(rows), (2_000,), generator=generator)])
    return FullCovarianceMixture.fit(torch.cat(chosen), n_components, regularisation=25.0)


def _by_patches(law, noisy, sigma):
    """Tweedie's line on every patch, and the mean of what the patches say of a pixel."""
    rows = diffusion.denoised(law.smoothed_score, unfold(noisy[None, None], 8, stride=2)[0].T, sigma)
    total, count = (fold(part.T[None], noisy.shape, 8, stride=2)[0, 0] for part in (rows, torch.ones_like(rows)))
    return total / count


@functools.cache
def _restored(method, sigma, law=None):
    clean = _greys()
    noisy = clean + sigma * torch.randn(clean.shape, generator=seeded(1))
    if method == "noisy":
        return noisy
    if method == "mixture":
        return _by_patches(law or _patch_law(), noisy, sigma)
    if method == "Wiener":
        return _by_patches(_patch_law(1), noisy, sigma)
    weight, h = (share * sigma for share in _TUNED[sigma])
    if method == "total variation":
        return torch.from_numpy(restoration.denoise_tv_chambolle(noisy.numpy(), weight=weight))
    return torch.from_numpy(restoration.denoise_nl_means(noisy.numpy(), 5, 6, h=h, sigma=sigma, preserve_range=True))


@plots.styled
def photo(sigma: int = 25, method: str = "mixture", mixture: FullCovarianceMixture | None = None) -> Figure:
    """A part of the photograph as one method leaves it, and a detail of it above the same detail without noise."""
    made, clean = _restored(method, sigma, mixture), _greys()
    figure, axes = plots.canvas(1, 3, height=3.4)
    figure.set_layout_engine("none")
    wide, high = figure.get_size_inches() * figure.dpi
    parts = [  # what is shown, pixels of the frame a side for one of the photograph, and where in the frame
        (made, _WINDOW, 2, 10, 0, f"{method}, σ = {sigma}: {images.psnr(made, clean, peak=255):.1f} dB"),
        (made, _DETAIL, 5, 564, 0, "the part in the frame"),
        (clean, _DETAIL, 5, 564, 306, "the same without noise"),
    ]
    for ax, (picture, (top, left, height, width), scale, right, down, words) in zip(axes, parts, strict=True):
        part = picture[top : top + height, left : left + width].double()
        ax.imshow(part, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        height, width = scale * height, scale * width
        ax.set_position((right / wide, 1 - (down + height) / high, width / wide, height / high))
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.set_xlabel(words, labelpad=2)
    top, left, height, width = _DETAIL
    corner = left - _WINDOW[1] - 0.5, top - _WINDOW[0] - 0.5
    axes[0].add_patch(Rectangle(corner, width, height, fill=False, edgecolor=plots.CONTRAST, linewidth=1.2))
    axes[1].xaxis.label.set_color(plots.CONTRAST)
    return figure
