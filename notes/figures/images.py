"""The figures of the chapter on images."""

import functools
import math

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch.nn.functional import fold, unfold

from notes import diffusion, images, inpainting, plots, score_matching
from notes._extras import needs
from notes.figures.cast import seeded
from notes.full_covariance import FullCovarianceMixture
from notes.mixtures import kernel_density
from notes.networks import ImageNetwork
from notes.training import train

with needs("images"):
    from skimage import color, restoration
    from skimage import data as photographs
    from sklearn.svm import SVC

__all__ = [
    "ENDS",
    "SAMPLERS",
    "generate",
    "NOISES",
    "SHOWN",
    "denoise",
    "psnr",
    "HALVES",
    "WHO",
    "RUNGS",
    "halves",
    "GUIDANCE",
    "label",
    "COVERED",
    "RECIPES",
    "half",
    "PHOTO_NOISES",
    "METHODS",
    "photo",
]

ENDS = 8.0, 0.03  # of the ladder: near the largest distance of two digits, and a quarter of a step of grey
TAUGHT = 8.0, 0.02


@functools.cache
def _data():
    """The digits to learn from, and those of the sittings held out."""
    return images.digits().split([0, 5, 9])


def _taught(x, generator, n_steps, lr, label=None):
    """A network that has seen these digits at all noises; with labels where they are given, and without."""
    mean, rows, loss, n_labels = x.mean(0), x, score_matching.denoising_over_scales, 0
    if label is not None:
        rows, loss, n_labels = torch.cat([x, label[:, None]], 1), score_matching.denoising_with_labels, 10
    network = ImageNetwork(mean, (x - mean).std().item(), n_labels=n_labels, generator=generator)
    loss = functools.partial(loss, sigmas=TAUGHT, weight=network.weight)
    train(network, loss, n_steps, data=rows, batch_size=min(32, len(x)), lr=lr, generator=generator)
    return network.requires_grad_(False)


@functools.cache
def _learned():
    """The network of the chapter."""
    data, _ = _data()
    return _taught(data.x, seeded(1), 2_500, 6e-3, data.label)


@functools.cache
def _mixture():
    """Twenty Gaussians with covariances of their own, fitted to the digits to learn from."""
    return FullCovarianceMixture.fit(_data()[0].x, 20)


# Digits out of noise (fig-images-generate).

SAMPLERS = ["probability flow", "reverse SDE", "annealed Langevin"]


@functools.cache
def _ways(network, sampler):
    """Twenty ways down the ladder (rung, image, pixel), the ladder, and the datum nearest to each end."""
    data, _ = _data()
    sigmas, generator = diffusion.ladder(*ENDS, 40), seeded(1)
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


@functools.cache
def _gaussian():
    """One Gaussian: its denoiser is Wiener's."""
    return FullCovarianceMixture.fit(_data()[0].x, 1, regularisation=1e-3)


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


# Two halves of the data, one noise (fig-images-halves).

HALVES = {10: 800, 700: 600}  # digits in each half, and the steps of their networks
WHO = ["networks", "straight lines", "kernels"]
RUNGS = [0, 4, 6, 8, 10, 12, 15, 19]
_DOWN = diffusion.ladder(*ENDS, 20)
_COLUMNS = 8


@functools.cache
def _halves(n):
    """Two times n digits that have none in common."""
    order = torch.randperm(len(_data()[0].x), generator=seeded(1))
    return tuple(_data()[0].x[rows] for rows in (order[:n], order[-n:]))


def _from_half(n, half, who):
    """A field of two arguments that was made of one half alone."""
    x = _halves(n)[half]
    if who == "networks":
        return _taught(x, seeded(half), HALVES[n], 8e-3)
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

GUIDANCE = [0, 0.2, 1, 3]


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
def label(digit: int = 0, guidance: float = 0.2, drawn: dict[float, torch.Tensor] | None = None) -> Figure:
    """Digits that were asked for, from the same noise at each strength; how many are recognised, and their spread."""
    x, (data, _) = (drawn[guidance] if drawn else _asked(guidance))[digit::10], _data()
    recognised = int((_judge().predict(x.numpy()) == digit).sum())
    spread = x.var(0).sum() / data.x[data.label == digit].var(0).sum()
    figure, ax = plots.canvas(height=1.75)
    plots.pictures(ax, x[:20].reshape(2, 10, 64))
    ax.set_yticks([])
    ax.set_xlabel(f"{recognised} of {len(x)} recognised, spread {spread:.2f}", color=plots.ESTIMATE)
    return figure


# What fills a hidden half (fig-images-half).

COVERED = {"9": 31, "2": 75, "4": 144, "5": 369, "7": 27}  # fresh digits; of the 9 the mixture is not sure
RECIPES = ["exact", "replaced", "5 passes", "guided", "Langevin", "network"]
_SEEN = list(range(32))


@functools.cache
def _posteriors():
    """The mixture's law of the lower half of each digit of COVERED, given its upper half."""
    values = _data()[1].x[list(COVERED.values())]
    return [_mixture().given(_SEEN, value[:32]) for value in values]


@functools.cache
def _exact(seed):
    """Eight draws from each of them: (digits, 8, 32)."""
    generator = seeded(seed)
    return torch.stack([posterior.sample(8, generator) for posterior in _posteriors()])


@functools.cache
def _filled(recipe, score):
    """What a recipe makes of the upper halves, with the score: (digits, 8, 32)."""
    values = _data()[1].x[list(COVERED.values())].repeat_interleave(8, 0)[:, :32]
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
    return x[:, -32:].reshape(len(COVERED), 8, 32)


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
    at = list(COVERED).index(digit)
    posterior, real = _posteriors()[at], _data()[1].x[COVERED[digit]]
    if recipe == "exact":
        filled = _exact(3)[at]
    else:
        filled = _filled(recipe, (network or _learned()) if recipe == "network" else _perfect())[at].double()
    known = real[:32]
    rows = torch.cat([known.expand(2, 8, 32), torch.stack([_exact(1)[at], filled])], 2)
    ends = torch.stack([torch.cat([known, torch.zeros(32)]), real])
    usual = posterior.log_prob(posterior.sample(2_000, seeded(4)))
    found = posterior.log_prob(filled)
    words = [
        "" if recipe == "network" else f"{round(value):+d}".replace("-", "−")
        for value in (found - usual.mean()).tolist()
    ]
    figure, ax = plots.canvas(height=1.9)
    plots.pictures(ax, torch.cat([ends[:, None], rows], 1), rows=["exact", recipe], below=["real", *words])
    for word, value in zip(ax.get_xticklabels()[1:], found, strict=True):
        word.set_color(plots.CONTRAST if value < usual.quantile(0.05) else plots.TRUTH)
    ax.get_yticklabels()[1].set_color(plots.ESTIMATE)
    return figure


# A photograph (fig-images-photo): greys from 0, black, to 255, white.

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
