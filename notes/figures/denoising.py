"""The figures of the chapter on denoising score matching."""

import copy
import functools
import math

import numpy as np
import torch
from matplotlib.figure import Figure

from notes import langevin as walks
from notes import plots, score_matching
from notes.diffusion import annealed_langevin
from notes.figures.cast import (
    EXTENT,
    LINE,
    MOONS,
    NORMAL,
    PLANE,
    STEP_SIZE,
    arrow_field,
    line_axes,
    seeded,
    share_below,
    watershed,
)
from notes.mixtures import GaussianMixture, kernel_density
from notes.networks import ScoreNetwork
from notes.scenes import Scene, opens
from notes.training import train

__all__ = [
    "AMOUNTS",
    "BRIDGE",
    "CONSTANT",
    "LEVELS",
    "MEETING",
    "NOISES",
    "SIGMAS",
    "SLIPS",
    "STEPS",
    "TRAINED",
    "pairs",
    "average",
    "constant",
    "bridge",
    "training",
    "sigma",
    "sampling",
    "mistakes",
    "annealed",
]


@functools.cache
def _pairs():
    """Clean points of the moons, and the noise that goes with each."""
    generator = seeded(1)
    return MOONS.sample(300, generator), torch.randn(300, 2, generator=generator)


@opens(lambda sigma: Scene(MOONS, step_size=STEP_SIZE, sigma=sigma))
@plots.styled
def pairs(sigma: float = 0.3, pairs: int = 100) -> Figure:
    """Clean points, the noisy points made from them, and an arrow from each noisy point back."""
    clean, noise = (column[:pairs] for column in _pairs())
    noisy = clean + sigma * noise
    figure, ax = plots.canvas(height=4.4)
    plots.plane(ax, EXTENT)
    plots.contours(ax, MOONS, EXTENT)
    x, v = noisy.numpy(), (clean - noisy).numpy()
    ax.quiver(*x.T, *v.T, angles="xy", scale_units="xy", scale=1, width=0.003, color=plots.ESTIMATE, alpha=0.8)
    plots.particles(ax, noisy, plots.ESTIMATE, 10)
    plots.particles(ax, clean, plots.TRUTH, 7)
    length = (noise / sigma).norm(dim=1).mean()
    plots.label(ax, 0, 1.02, "clean x′", ha="left", transform=ax.transAxes, va="baseline")
    plots.label(ax, 0.18, 1.02, "noisy x = x′ + σz", plots.ESTIMATE, ha="left", transform=ax.transAxes, va="baseline")
    words = f"mean length of −z/σ: {length:.3g}"
    plots.label(ax, 1, 1.02, words, plots.ESTIMATE, ha="right", transform=ax.transAxes, va="baseline")
    return figure


PLACE = torch.tensor([[0.95, 1.05]])
CLOSE = (-1.5, 2.1, -1.3, 1.9)
MEETING = [1, 3, 10, 30, 100, 1000, 10000]


@functools.cache
def _clean_given_noisy(sigma):
    """10 000 clean points x′ of pairs whose noisy point x′ + σz is PLACE: given it, each component is normal again."""
    generator = seeded(4)
    blurred = MOONS.smoothed(sigma)
    share = torch.stack(
        [GaussianMixture(m[None], s).log_prob(PLACE)[0] for m, s in zip(blurred.means, blurred.stds, strict=True)]
    )
    k = torch.multinomial((share + MOONS.weights.log()).softmax(0), MEETING[-1], replacement=True, generator=generator)
    shrink = MOONS.stds[k, None].square() / blurred.stds[k, None].square()
    noise = torch.randn(len(k), 2, generator=generator)
    return MOONS.means[k] + shrink * (PLACE - MOONS.means[k]) + sigma * shrink.sqrt() * noise


@opens(lambda sigma: Scene(MOONS, step_size=STEP_SIZE, sigma=sigma))
@plots.styled
def average(pairs: int = 30, sigma: float = 0.4) -> Figure:
    """The arrows of pairs whose noisy point is one place, their mean, and the exact smoothed score there."""
    clean = _clean_given_noisy(sigma)
    exact = PLACE[0] + sigma**2 * MOONS.smoothed(sigma).score(PLACE)[0]
    means = clean.cumsum(0) / torch.arange(1, len(clean) + 1)[:, None]
    mean = means[pairs - 1]
    figure, (ax, side) = plots.canvas(1, 2, height=3.5, gridspec_kw={"width_ratios": [1.6, 1]})
    plots.plane(ax, CLOSE)
    plots.contours(ax, MOONS, CLOSE, 100)
    start = PLACE[0].numpy()
    v = clean[: min(pairs, 100)].numpy() - start
    origin = np.broadcast_to(start, v.shape)
    ax.quiver(*origin.T, *v.T, angles="xy", scale_units="xy", scale=1, color="#8a97a3", width=0.004)
    plots.particles(ax, clean[100 : min(pairs, 1000)], "#8a97a3", 4)
    plots.arrow(ax, start, exact.numpy(), plots.TRUTH, linewidth=5)
    plots.arrow(ax, start, mean.numpy(), plots.ESTIMATE, linewidth=2.5)
    plots.particles(ax, PLACE, plots.CONTRAST, 50)
    plots.label(ax, 0.0, 0.93, f"mean of {pairs}", plots.ESTIMATE, ha="left", transform=ax.transAxes)
    plots.label(ax, 0.0, 0.84, "$∇\\log\\,p_σ$, exact", ha="left", transform=ax.transAxes)
    size = (exact - PLACE[0]).norm()
    gaps = ((means - exact).norm(dim=1) / size).numpy()
    spread = ((clean - exact).square().sum(1).mean().sqrt() / size).item()
    side.loglog(MEETING, spread / np.sqrt(MEETING), color=plots.FAINT, linewidth=1)
    side.loglog(MEETING, gaps[np.array(MEETING) - 1], "o", color=plots.FAINT, markersize=5)
    side.loglog(pairs, gaps[pairs - 1], "o", color=plots.ESTIMATE, markersize=9)
    plots.label(side, 30, 1.6 * spread / 30**0.5, "$∝ 1/\\sqrt{n}$", plots.MUTED, ha="left")
    side.set(xlim=(0.7, 15000), ylim=(1e-3, 10), xlabel="pairs n", ylabel="relative error of the mean")
    side.set_xticks([1, 100, 10000], ["1", "100", "10⁴"])
    side.set_yticks([0.001, 0.01, 0.1, 1, 10], ["0.1 %", "1 %", "10 %", "1", "10"])
    side.minorticks_off()
    return figure


CONSTANT = [0.2, 0.3, 0.5]
THETAS = np.linspace(0, 1, 51)


@functools.cache
def _few():
    return LINE.sample(20, seeded(3)).double()


@functools.cache
def _corners():
    """Two networks that know nothing of the data."""
    return [ScoreNetwork(1, width=32, generator=seeded(seed)).double() for seed in (1, 2)]


def _field_at(theta):
    """A closed curve through the space of weights, θ turns along it: twice the network there, less x."""
    network = copy.deepcopy(_corners()[0])
    turn = 2 * np.pi * theta
    with torch.no_grad():
        for own, a, b in zip(*(net.parameters() for net in (network, *_corners())), strict=True):
            own.copy_(2 * (np.cos(turn) * a + np.sin(turn) * b))
    return lambda x: 2 * network(x).detach() - x


@functools.cache
def _losses(sigma):
    rows = [score_matching.by_quadrature(_field_at(theta), _few(), sigma) for theta in THETAS]
    return np.array(rows)


@opens(lambda sigma: Scene(kernel_density(_few(), sigma), step_size=sigma**2 / 10))
@plots.styled
def constant(theta: float = 0.36, sigma: float = 0.3) -> Figure:
    """A network's field that changes with θ, and the two losses of it: always the same distance apart."""
    explicit, denoising, difference, number = _losses(sigma).T
    at = int(np.abs(THETAS - theta).argmin())
    figure, (ax, side) = plots.canvas(1, 2, height=3.4, gridspec_kw={"width_ratios": [1, 1.35]})
    q = kernel_density(_few(), sigma)
    x = torch.linspace(-3.5, 4, 400, dtype=torch.float64)[:, None]
    ax.plot(x, q.score(x), color=plots.TRUTH)
    ax.plot(x, _field_at(theta)(x), color=plots.ESTIMATE)
    ax.plot(_few(), np.full(20, -15), "|", color=plots.TRUTH, markersize=8)
    ax.set(xlim=(-3.5, 4), ylim=(-16, 16), xlabel="x", yticks=[])
    plots.label(ax, 0.97, 0.92, "∇log q", ha="right", transform=ax.transAxes)
    plots.label(ax, 0.97, 0.83, "$s_θ$", plots.ESTIMATE, ha="right", transform=ax.transAxes)
    side.plot(THETAS, denoising, color=plots.CONTRAST)
    side.plot(THETAS, explicit, color=plots.ESTIMATE)
    side.plot([theta] * 2, [explicit[at], denoising[at]], "o-", color=plots.TRUTH, linewidth=2.5, markersize=5)
    head, top = 1.06 * denoising.max(), 1.3 * denoising.max()  # the number stands above every curve
    side.plot([theta] * 2, [denoising[at], head], color=plots.TRUTH, **plots.DOTTED)
    ha, shift = ("left", 0.02) if theta < 0.15 else ("right", -0.02) if theta > 0.85 else ("center", 0)
    plots.label(side, theta + shift, head, f"{difference[at]:.6f}", ha=ha)
    plots.label(side, 0.02, 0.93, "$J_{DSM}$", plots.CONTRAST, ha="left", transform=side.transAxes)
    plots.label(side, 0.17, 0.93, "$J_{ESM}$", plots.ESTIMATE, ha="left", transform=side.transAxes)
    plots.label(side, 0.99, 0.93, f"C = {number[0]:.6f}", ha="right", transform=side.transAxes)
    side.set(xlim=(0, 1), ylim=(0, top), xlabel="θ", xticks=[0, 0.5, 1])
    return figure


BRIDGE = [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.9]
CELLS = 15


@functools.cache
def _data():
    return MOONS.sample(40, seeded(1))


@functools.cache
def _learned(sigma):
    """A network trained on the 40 data by denoising."""
    generator = seeded()
    model = ScoreNetwork(2, width=64, generator=generator)
    loss = functools.partial(score_matching.denoising, sigma=sigma)
    train(model, loss, 700, data=_data(), batch_size=256, generator=generator)
    return model


@functools.cache
def _mean_targets(sigma):
    """The mean of −z/σ over the noisy points in each cell of a lattice that has some: centres and means (cells, 2)."""
    generator = seeded(2)
    clean = _data()[torch.randint(len(_data()), (200_000,), generator=generator)]
    noise = torch.randn(clean.shape, generator=generator)
    places, targets = (clean + sigma * noise).numpy(), (-noise / sigma).numpy()
    edges = [np.linspace(*EXTENT[:2], CELLS + 1), np.linspace(*EXTENT[2:], round(CELLS * 5 / 6) + 1)]
    count, *sums = (np.histogram2d(*places.T, edges, weights=weights)[0] for weights in (None, *targets.T))
    seen = count >= 30
    centres = np.meshgrid(*((edge[1:] + edge[:-1]) / 2 for edge in edges), indexing="ij")
    columns = np.stack([*(c[seen] for c in centres), *(total[seen] / count[seen] for total in sums)], 1)
    return torch.from_numpy(columns).float().split(2, dim=1)


@opens(lambda h: Scene(kernel_density(_data(), h), step_size=h**2 / 10))
@plots.styled
def bridge(h: float = 0.2) -> Figure:
    """One number, four pictures: the estimate, its score, the mean of the denoising targets and a learned field."""
    q = kernel_density(_data(), h)
    centres, means = _mean_targets(h)
    figure, axes = plots.canvas(2, 2, height=5.6)
    panels = [
        ("q", None, plots.TRUTH),
        ("∇log q: the explicit target", q.score(centres), plots.TRUTH),
        ("mean of the targets −z/σ", means, plots.CONTRAST),
        ("the field learned from −z/σ", _learned(h)(centres).detach(), plots.ESTIMATE),
    ]
    for ax, (name, field, color) in zip(axes.flat, panels, strict=True):
        plots.plane(ax, EXTENT)
        plots.contours(ax, q, EXTENT, 90)
        if field is None:
            plots.particles(ax, _data(), plots.CONTRAST, 8)
        else:
            plots.arrows_at(ax, centres, field, (EXTENT[1] - EXTENT[0]) / CELLS, color)
        ax.set_xlabel(name, color=color)
    return figure


STEPS = [0, 10, 30, 100, 300, 1000]
TRAINED = [0.1, 0.2, 0.4, 0.8]
WIDE = (-3.6, 3.6, -2.8, 2.8)


@functools.cache
def _trained(sigma):
    """A network trained by denoising on points of p itself: its copies at STEPS, and the loss of each step."""
    generator = seeded()
    model = ScoreNetwork(2, width=64, generator=generator)
    copies = {0: copy.deepcopy(model)}

    def look(step, _):
        if step in STEPS:
            copies[step] = copy.deepcopy(model)

    loss = functools.partial(score_matching.denoising, sigma=sigma)
    losses = train(model, loss, STEPS[-1], data=MOONS, batch_size=256, generator=generator, callback=look)
    return copies, losses.numpy()


@functools.cache
def _floor(sigma):
    """The least value of the loss, C, for points of p itself; and half of E‖∇log p_σ‖², what can be learned."""
    blurred = MOONS.smoothed(sigma)
    learnable = 0.5 * blurred.score(blurred.sample(40_000, seeded(7))).square().sum(1).mean().item()
    return 1 / sigma**2 - learnable, learnable


@opens(lambda sigma: Scene(MOONS, step_size=STEP_SIZE, sigma=sigma))
@plots.styled
def training(step: int = 100, sigma: float = 0.2, squared_error: str = "as it is") -> Figure:
    """The exact field, the learned one, where they differ, and the loss with its floor."""
    copies, losses = _trained(sigma)
    weighted = squared_error == "times the density"
    blurred, (floor, learnable) = MOONS.smoothed(sigma), _floor(sigma)
    figure, ((left, right), (wrong, side)) = plots.canvas(2, 2, height=5.4)
    fields = (left, blurred.score, plots.TRUTH, "∇log $p_σ$"), (right, copies[step], plots.ESTIMATE, "$s_θ$")
    for ax, field, color, name in fields:
        arrow_field(ax, blurred, field, color, WIDE, across=13, fine=90)
        ax.set_xlabel(name, color=color)

    def error(x):
        with torch.no_grad():
            squared = (copies[step](x) - blurred.score(x)).square().sum(1) / (2 * learnable)
        return squared.log10() + (blurred.log_prob(x) / np.log(10) if weighted else 0)

    plots.plane(wrong, WIDE)
    plots.shades(wrong, error, WIDE, np.arange(-4, 1.5, 0.5), 90)
    wrong.set_xlabel("squared error × $p_σ$" if weighted else "squared error")
    smooth = np.convolve(losses, np.full(20, 1 / 20), "valid")
    steps = np.arange(len(smooth)) + 10
    place = min(max(step, steps[0]), steps[-1])
    side.plot(steps, smooth, color=plots.ESTIMATE, alpha=0.3)
    side.plot(steps[steps <= place], smooth[steps <= place], color=plots.ESTIMATE)
    side.plot(place, smooth[place - 10], "o", color=plots.ESTIMATE)
    start = 1 / sigma**2  # a running mean begins below it
    side.axhline(start, color=plots.FAINT, **plots.DOTTED)
    side.axhline(floor, color=plots.TRUTH, **plots.DOTTED)
    plots.label(side, 1000, 1.08 * start, f"no arrows: {start:.3g}", plots.MUTED, ha="right", va="bottom")
    plots.label(side, 1000, 0.9 * floor, f"floor C = {floor:.3g}", ha="right", va="top")
    side.set(xlim=(0, 1000), ylim=(0, 1.3 * start), xlabel="step", ylabel="loss")
    return figure


NOISES = [0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8]
AMOUNTS = [300, 3000, 30000]
_BUMPS = np.linspace(-4, 5, 25)


def _features(x):
    """A field with 27 weights: 25 bumps and a straight line. (n, 1) → (n, 27)"""
    return torch.cat([torch.exp(-2 * (x - torch.from_numpy(_BUMPS)).square()), x, torch.ones_like(x)], 1)


def _least_squares(sigma, n_pairs, seed):
    """The weights of the least denoising loss on n pairs; a trace of ridge keeps bumps without a point at zero."""
    generator = seeded(seed)
    clean = LINE.sample(n_pairs, generator).double()
    noise = torch.randn(n_pairs, 1, generator=generator).double()
    features = _features(clean + sigma * noise)
    ridge = 1e-6 * n_pairs * torch.eye(features.shape[1], dtype=torch.float64)
    return torch.linalg.solve(features.T @ features + ridge, features.T @ (-noise / sigma))


@functools.cache
def _by_noise(n_pairs, fits=8):
    """For each of NOISES: the weights of one fit, and relative errors at points of p, means over fits.

    Of ∇log p_σ from ∇log p, of the fit from ∇log p_σ, of the fit from ∇log p.
    """
    x = LINE.sample(4000, seeded(99)).double()
    truth = LINE.score(x)
    drawn, rows = [], []
    for sigma in NOISES:
        weights = [_least_squares(sigma, n_pairs, seed) for seed in range(fits)]
        blurred, learned = LINE.smoothed(sigma).score(x), torch.stack([_features(x) @ w for w in weights])
        parts = [blurred - truth, learned - blurred, learned - truth]
        rows.append([(part.square().mean() / truth.square().mean()).item() for part in parts])
        drawn.append(weights[0])
    return drawn, np.array(rows).T


@opens(lambda sigma: Scene(LINE, sigma=sigma))
@plots.styled
def sigma(sigma: float = 0.2, pairs: int = 3000) -> Figure:
    """What n pairs teach at one noise, against the targets; and the parts of the error against the noise."""
    weights, errors = _by_noise(pairs)
    at = NOISES.index(sigma)
    figure, (ax, side) = plots.canvas(1, 2, height=3.5, gridspec_kw={"width_ratios": [1.1, 1]})
    generator = seeded(8)
    clean, noise = LINE.sample(1500, generator), torch.randn(1500, 1, generator=generator)
    ax.plot(clean + sigma * noise, -noise / sigma, ".", color=plots.FAINT, markersize=1.5, alpha=0.5)
    x = torch.linspace(-3.5, 4, 400, dtype=torch.float64)[:, None]
    ax.plot(x, LINE.score(x), color=plots.TRUTH)
    ax.plot(x, LINE.smoothed(sigma).score(x), color=plots.CONTRAST)
    ax.plot(x, _features(x) @ weights[at], color=plots.ESTIMATE)
    ax.set(xlim=(-3.5, 4), ylim=(-16, 16), xlabel="x", yticks=[])
    names = (0.0, "∇log p", plots.TRUTH), (0.3, "∇log $p_σ$", plots.CONTRAST), (0.66, "learned", plots.ESTIMATE)
    for place, text, color in names:  # above the axes, where no dot lies
        plots.label(ax, place, 1.03, text, color, ha="left", transform=ax.transAxes, va="baseline")
    parts = (plots.CONTRAST, "smoothing", 0.0), (plots.FAINT, "learning", 0.42), (plots.ESTIMATE, "both", 0.78)
    for error, (color, name, place) in zip(100 * errors, parts, strict=True):
        side.loglog(NOISES, error, color=color)
        side.loglog(sigma, error[at], "o", color=color)
        ink = plots.MUTED if color == plots.FAINT else color
        plots.label(side, place, 1.03, name, ink, ha="left", transform=side.transAxes, va="baseline")
    side.set(xlim=(0.045, 0.9), ylim=(0.05, 1000), xlabel="noise σ", ylabel="error in %")
    side.set_xticks([0.05, 0.1, 0.2, 0.5], ["0.05", "0.1", "0.2", "0.5"])
    side.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    side.minorticks_off()
    return figure


@functools.cache
def _walks(sigma):
    generator = seeded()
    x0 = 1.2 * torch.randn(1000, 2, generator=generator)
    fields = _trained(sigma)[0][STEPS[-1]], MOONS.smoothed(sigma).score
    return [walks.langevin(field, x0, STEP_SIZE, 250, generator=seeded(1), record_every=10) for field in fields]


@opens(lambda sigma: Scene(MOONS, step_size=STEP_SIZE, sigma=sigma))
@plots.styled
def sampling(time: int = 100, sigma: float = 0.2) -> Figure:
    """Langevin with the learned score beside Langevin with the exact one; ``time`` in steps of τ = 0.002."""
    figure, axes = plots.canvas(1, 2, height=2.9)
    names = ("with $s_θ$", plots.ESTIMATE), ("with ∇log $p_σ$", plots.TRUTH)
    for ax, path, (name, color) in zip(axes, _walks(sigma), names, strict=True):
        plots.plane(ax, EXTENT)
        plots.contours(ax, MOONS, EXTENT, 100)
        plots.particles(ax, path[time // 10], plots.colours_by_start(path[0]), 5)
        ax.set_xlabel(name, color=color)
    return figure


SIGMAS = [0.25, 0.5, 1, 2]


@functools.cache
def _standard_pairs():
    """Points x′ of N(0, 1) with their noise z, each noise also as −z and both of mean square 1: slopes are exact."""
    x, z = torch.randn(2, 1000, generator=seeded(9), dtype=torch.float64)
    x, z = torch.cat([x, x]), torch.cat([z, -z])
    return x / x.square().mean().sqrt(), z / z.square().mean().sqrt()


def _target(ax, sigma, noise, target):
    """What a linear field learns on N(0, 1) from pairs with this noise and this target of z, by least squares."""
    x, z = _standard_pairs()
    noisy = x + noise * z
    slope = ((noisy * target(z)).mean() / noisy.square().mean()).item()
    right = -1 / (1 + sigma**2)
    ends = np.array([-3, 3])
    ax.plot(ends, right * ends, color=plots.TRUTH, linewidth=5)
    ax.plot(ends, slope * ends, color=plots.CONTRAST)
    ax.axhline(0, color=plots.FAINT, linewidth=0.8, zorder=0)
    ax.set(xlim=(-3, 3), ylim=(-5, 5), xlabel="x")
    _names(ax, "∇log $p_σ$", "learned field")
    return "slope of the field\nover that of ∇log $p_σ$", slope / right, 1


def _loss(ax, sigma, half, mean):
    """The losses of the fields −θx/(1 + σ²) on N(0, I) in the plane, in closed form, and with a slip.

    ``half`` is J_ESM's; ``mean`` takes the mean over the two dimensions in both losses in place of the sum.
    """
    dim, theta = 2, np.linspace(-0.5, 2.5, 61)
    explicit = 0.5 * dim * (theta - 1) ** 2 / (1 + sigma**2)
    number = 0.5 * dim * (1 / sigma**2 - 1 / (1 + sigma**2))
    wrong = [2 * half * explicit, explicit + number]
    if mean:
        wrong = [curve / dim for curve in wrong]
    for right, slip in zip((explicit, explicit + number), wrong, strict=True):
        ax.plot(theta, right, color=plots.TRUTH, linewidth=5)
        ax.plot(theta, slip, color=plots.CONTRAST)
    top = 1.4 * max(number + explicit.max(), 2 * half * explicit.max())
    ax.set(xlim=(-0.5, 2.5), ylim=(-0.03 * number, top), xlabel="θ", xticks=[0, 1, 2])
    _names(ax, "$J_{DSM}$ and $J_{ESM}$", "with the slip")
    gap = wrong[1] - wrong[0]
    if mean:
        return "$J_{DSM} - J_{ESM}$", gap[0], number
    return "change of $J_{DSM} - J_{ESM}$\nfrom θ = 1 to θ = 0", gap[10] - gap[30], 0


def _power(ax, sigma):
    """A kernel density estimate in the plane along a line, with 1/h² and with 1/h."""
    q = kernel_density(torch.randn(10, 2, generator=seeded(4)), sigma)
    reach = 3 + 5 * sigma
    x, (rows, columns) = plots.lattice((-reach, reach, -reach, reach), 241)
    density = q.log_prob(x).exp().reshape(rows, columns)
    middle, line = density[rows // 2], x[:columns, 0]
    ax.plot(line, middle, color=plots.TRUTH, linewidth=5)
    ax.plot(line, sigma * middle, color=plots.CONTRAST)
    ax.set(xlim=(-4, 4), ylim=(0, 1.5 * max(1, sigma) * middle.max().item()), xlabel="$x_1$, at $x_2 = 0$")
    _names(ax, "$1/h^2$, h = σ", "1/h")
    return "integral of q, d = 2", sigma * density.sum().item() * (2 * reach / 240) ** 2, 1


def _noise(ax, sigma, temperature):
    """Where a walk along the exact score of p_σ ends at another temperature; τ = 0.02, p = N(0, 1)."""
    blurred = NORMAL.smoothed(sigma)
    x0 = blurred.sample(10_000, seeded(5))
    x = walks.langevin(blurred.score, x0, 0.02, 1000, temperature=temperature, generator=seeded(6))[:, 0]
    grid = torch.linspace(-6, 6, 241)
    plots.histogram(ax, x, np.linspace(-6, 6, 81), plots.CONTRAST)
    plots.curve(ax, blurred, grid, linewidth=2.5)
    ax.set(xlim=(-6, 6), ylim=(0, None), xlabel="x")
    _names(ax, "$p_σ$", "particles")
    return "variance of the particles\nover that of $p_σ$", (x.var() / (1 + sigma**2)).item(), 1


def _names(ax, right, wrong):
    line_axes(ax)
    for y, text, color in ((0.92, right, plots.TRUTH), (0.83, wrong, plots.CONTRAST)):
        plots.label(ax, 0.98, y, text, color, ha="right", transform=ax.transAxes)


WALKED = {"√τ in the walk": 0.5, "2τ in the walk": 0.04}  # at what temperature
SLIPS = {
    "no slip": lambda ax, sigma: _target(ax, sigma, sigma, lambda z: -z / sigma),
    "−z/σ²": lambda ax, sigma: _target(ax, sigma, sigma, lambda z: -z / sigma**2),
    "+z/σ": lambda ax, sigma: _target(ax, sigma, sigma, lambda z: z / sigma),
    "σ² for σ": lambda ax, sigma: _target(ax, sigma, sigma**2, lambda z: -z / sigma**2),
    "½ on one side": lambda ax, sigma: _loss(ax, sigma, half=1.0, mean=False),
    "mean over dimensions": lambda ax, sigma: _loss(ax, sigma, half=0.5, mean=True),
    "1/h in d dimensions": _power,
    **{slip: functools.partial(_noise, temperature=temperature) for slip, temperature in WALKED.items()},
}


@opens(lambda slip, sigma: Scene(NORMAL, step_size=0.02, temperature=WALKED.get(slip, 1), sigma=sigma))
@plots.styled
def mistakes(slip: str = "−z/σ²", sigma: float = 0.5) -> Figure:
    """A laboratory of slips: what each gets wrong, beside what is right, and the number that gives it away."""
    figure, (ax, side) = plots.canvas(1, 2, height=3.2, gridspec_kw={"width_ratios": [1.5, 1]})
    name, measured, expected = SLIPS[slip](ax, sigma)
    hidden = abs(measured - expected) < 0.02 * max(1, abs(expected))
    side.set_axis_off()
    for y, text, size, color in (
        (0.86, name, 10, plots.MUTED),
        (0.5, f"{measured:.2f}".replace("-", "−"), 30, plots.ESTIMATE if hidden else plots.CONTRAST),
        (0.3, f"should be {expected:.3g}", 12, plots.TRUTH),
        (0.1, "nothing to see" if hidden and slip != "no slip" else "", 12, plots.ESTIMATE),
    ):
        plots.label(side, 0.5, y, text, color, fontsize=size, va="center", transform=side.transAxes)
    return figure


LEVELS = 20
SCALES = np.geomspace(4, 0.05, LEVELS)
STEPS_A_LEVEL, EVERY, RATIO = 50, 10, 0.2  # the last is 2τ over σ²


@functools.cache
def _annealed():
    """2 000 particles from white noise: with the exact score of p alone, and down the noise scales."""
    x0 = torch.randn(2000, 2, generator=seeded(1))
    generator = seeded(2)
    plain = walks.langevin(PLANE.score, x0, 0.001, LEVELS * STEPS_A_LEVEL, generator=generator, record_every=EVERY)
    epsilon = RATIO * SCALES[-1] ** 2
    return plain, annealed_langevin(
        PLANE.smoothed_score, x0, SCALES, epsilon, STEPS_A_LEVEL, generator=generator, record_every=EVERY
    )


def _scale(level):
    return SCALES[max(math.ceil(level) - 1, 0)]


def _left(x):
    """The share of points left of PLANE's watershed. (…, n, 2) → (…)"""
    return (x[..., 0] < round(watershed(PLANE), 1)).double().mean(-1)


@opens(lambda level: Scene(PLANE, step_size=RATIO / 2 * _scale(level) ** 2, sigma=_scale(level)))
@plots.styled
def annealed(level: float = 20) -> Figure:
    """Langevin down a ladder of noise scales, beside Langevin on p alone, after as many steps; and the shares.

    A ``level`` of 2.4 is two levels and 0.4 of the third.
    """
    figure = plots.canvas(height=4.4)[0]
    figure.clear()
    axes = figure.subplot_mosaic([["plain", "ladder"], ["shares", "shares"]], height_ratios=[1.5, 1])
    extent = (-4.2, 4.2, -2.9, 2.9)
    plain, path = _annealed()
    now = round(level * STEPS_A_LEVEL / EVERY)
    scale = _scale(level)
    columns = ("plain", plain, PLANE, "p alone"), ("ladder", path, PLANE.smoothed(scale), f"ladder: σ = {scale:.2g}")
    for name, walk, law, words in columns:
        ax = axes[name]
        plots.plane(ax, extent)
        plots.contours(ax, law, extent, 120)
        plots.particles(ax, walk[now], plots.colours_by_start(walk[0]), 4)
        words += f", {100 * _left(walk[now]):.0f} % left"
        ax.set_xlabel(words, color=plots.CONTRAST if walk is plain else plots.ESTIMATE)
    side, levels = axes["shares"], np.arange(len(path)) * EVERY / STEPS_A_LEVEL
    divide = round(watershed(PLANE), 1)
    exact = [share_below(PLANE.smoothed(scale), torch.tensor([divide])).sum() for scale in SCALES]
    side.plot(np.arange(1, LEVELS + 1), exact, color=plots.TRUTH, **plots.DOTTED)
    for walk, color in ((plain, plots.CONTRAST), (path, plots.ESTIMATE)):
        shares = _left(walk)
        side.plot(levels, shares, color=color)
        side.plot(level, shares[now], "o", color=color)
    plots.label(side, 1.2, exact[0] + 0.03, "$p_{σ}$, exact", ha="left")
    side.set(xlim=(0, LEVELS + 0.3), ylim=(0, 0.6), xlabel="level", ylabel="share left")
    side.set_xticks([0, 5, 10, 15, 20])
    side.set_yticks([0, 0.2, 0.4], ["0", "20 %", "40 %"])
    return figure
