"""The figures of the chapter on the score."""

import functools

import numpy as np
import torch
from matplotlib.figure import Figure

from notes import plots
from notes.figures import cast
from notes.fokker_planck import spectral_gap
from notes.langevin import langevin
from notes.mixtures import GaussianMixture
from notes.scenes import Scene, opens

__all__ = ["three_views", "field", "magnitude", "energy", "normaliser", "two_gradients", "blind"]

EXTENT = (-6.0, 6.0, -3.0, 3.0)
WELLS = GaussianMixture([[-1.5], [1.5]], 0.8, [0.7, 0.3])


def _pair(separation, dim=1, weight=0.6, unit=1.0):
    """Two Gaussians of standard deviation 1 on the first axis; ``weight`` is that of the left one."""
    means = unit * cast.on_first_axis([-separation / 2, separation / 2], dim)
    return GaussianMixture(means, unit, [weight, 1 - weight])


@opens(lambda separation: Scene(_pair(separation)))
@plots.styled
def three_views(x: float = 0.75, separation: float = 4.0) -> Figure:
    """p, log p with its tangent at x, and the score, whose height is the tangent's slope."""
    density, grid = _pair(separation), torch.linspace(-6, 6, 401)
    here = torch.tensor([[float(x)]])
    log_p, slope = density.log_prob(here).item(), density.score(here).item()
    figure, axes = plots.canvas(3, 1, height=5.6, sharex=True)
    rows = [
        (density.log_prob(grid[:, None]).exp(), np.exp(log_p), (0, 0.36), "p", 0.26),
        (density.log_prob(grid[:, None]), log_p, (-10, 1.4), "log p", -1.4),
        (density.score(grid[:, None])[:, 0], slope, (-4.4, 4.4), "score", -4.0),
    ]
    for ax, (values, value, ylim, name, y) in zip(axes, rows, strict=True):
        cast.line_axes(ax, xlim=(-6, 6), ylim=ylim)
        ax.axvline(x, color=plots.FAINT, linewidth=1)
        ax.plot(grid, values, color=plots.TRUTH)
        ax.plot(x, value, "o", color=plots.ESTIMATE, markersize=8, zorder=4)
        plots.label(ax, -5.9, y, name, ha="left", fontsize=14)
    reach = 1.6 / np.hypot(1, slope / 2)
    axes[1].plot([x - reach, x + reach], [log_p - reach * slope, log_p + reach * slope], color=plots.ESTIMATE, lw=2.5)
    axes[2].axhline(0, color=plots.FAINT, linewidth=1)
    axes[2].plot([x, x], [0, slope], color=plots.ESTIMATE, linewidth=2.5)
    side, ha = (-0.2, "right") if x > 2 else (0.2, "left")
    number = f"{slope:.2f}".replace("-", "−")
    plots.label(axes[1], x + side, -9.4, f"slope {number}", plots.ESTIMATE, ha=ha)
    plots.label(axes[2], x + side, 2.9 if slope < 0 else -3.9, f"score {number}", plots.ESTIMATE, ha=ha)
    axes[2].set_xlabel("x")
    return figure


@functools.cache
def _paths(separation, weight):
    """Where points on a ring travel when they follow the score alone."""
    angle = torch.arange(10) * (2 * torch.pi / 10) + 0.2
    ring = torch.stack([5.2 * angle.cos(), 2.6 * angle.sin()], 1)
    return langevin(_pair(separation, 2, weight).score, ring, 0.1, 600, temperature=0, record_every=1)


@opens(lambda separation, weight: Scene(_pair(separation, 2, weight), temperature=0, start="uniform"))
@plots.styled
def field(separation: float = 3.0, weight: float = 0.6) -> Figure:
    """The score as arrows on the contours, and the ways that points take along them; ``weight`` of the left mode."""
    density = _pair(separation, 2, weight)
    figure, ax = plots.canvas(height=3.1)
    cast.arrow_field(ax, density, density.score, "#777777", EXTENT, across=23, fine=140)
    path = _paths(separation, weight)
    for way in path.transpose(0, 1):
        ax.plot(*way.T, color=plots.ESTIMATE, linewidth=1.4)
    plots.particles(ax, path[0], plots.ESTIMATE, size=22)
    plots.particles(ax, path[-1], plots.CONTRAST, size=60)
    return figure


def _stationary(separation):
    """Where the score vanishes on the axis, and whether as a peak: the sign changes of the score on a fine grid."""
    line = torch.linspace(-6, 6, 12_001, dtype=torch.float64)
    s = _pair(separation).score(line[:, None])[:, 0]
    at = torch.nonzero(s[:-1] * s[1:] <= 0)[:, 0]
    return [(line[i].item(), bool(s[i] > s[i + 1])) for i in at]


@opens(lambda separation: Scene(_pair(separation, 2), temperature=0, start="uniform"))
@plots.styled
def magnitude(separation: float = 3.0) -> Figure:
    """log p above, the length of the score below: pale is weak, at the peaks and at the saddle."""
    density = _pair(separation, 2)
    figure, axes = plots.canvas(2, 1, height=6.1)
    lengths = np.array([0.3, 0.6, *np.arange(1, 4.6, 0.5)])
    maps = [
        (density.log_prob, np.arange(-16, -1.4, 1), "log p", ("saddle", "peak", "tail")),
        (lambda x: density.score(x).norm(dim=1), lengths, "‖s‖", ("weak", "weak", "strong")),
    ]
    for ax, (values, levels, name, words) in zip(axes, maps, strict=True):
        plots.plane(ax, EXTENT)
        plots.shades(ax, values, EXTENT, levels)
        plots.label(ax, -5.8, 2.3, name, ha="left", fontsize=14)
        for x, peak in _stationary(separation):
            ax.plot(x, 0, "o" if peak else "x", color=plots.CONTRAST, markersize=7, markeredgewidth=2.5)
            plots.label(ax, x, 0.3 if peak else -0.95, words[peak], plots.TRUTH)
        plots.label(ax, 5.8, -2.8, words[2], ha="right")
    return figure


STEP_SIZE = 0.02


@functools.cache
def _slide(temperature):
    """Many beads from an even start over both wells, every fifth of 300 steps, and their energies."""
    x0 = torch.linspace(-4, 4, 4_000)[:, None]
    generator = cast.seeded(3)
    path = langevin(WELLS.score, x0, STEP_SIZE, 300, temperature=temperature, generator=generator, record_every=5)
    return path[..., 0], -WELLS.log_prob(path.reshape(-1, 1)).reshape(path.shape[:2]) - _energies()[0]


@functools.cache
def _energies():
    """The lowest energy, and the mean energy under p."""
    grid = torch.linspace(-8, 8, 16_001, dtype=torch.float64)
    log_p = WELLS.log_prob(grid[:, None])
    return -log_p.max().item(), -torch.trapezoid(log_p.exp() * log_p, grid).item()


@opens(lambda temperature: Scene(WELLS, step_size=STEP_SIZE, temperature=temperature, start="uniform"))
@plots.styled
def energy(time: int = 60, temperature: float = 1.0) -> Figure:
    """Beads on the energy −log p, moved by the drift alone or by drift and noise; below, their mean energy."""
    lowest, mean = _energies()
    figure, (ax, side) = plots.canvas(2, 1, height=5.8, gridspec_kw={"height_ratios": [1.25, 1]})
    grid = torch.linspace(-4.1, 4.1, 400)
    ax.plot(grid, -WELLS.log_prob(grid[:, None]) - lowest, color=plots.TRUTH)
    now, beads = time // 5, slice(20, None, 80)  # of the many a few are drawn
    names = {0.0: "noise off", 1.0: "noise on"}
    for other in sorted(names, key=lambda choice: choice == temperature):
        path, heights = _slide(other)
        chosen = other == temperature
        color = plots.ESTIMATE if chosen else plots.FAINT
        side.plot(np.arange(len(path)) * 5, heights.mean(1), color=color)
        y = 0.84 if other else 0.14
        plots.label(side, 295, y, names[other], color if chosen else plots.MUTED, ha="right")
    ax.plot(path[now, beads], heights[now, beads], "o", color=plots.ESTIMATE, markersize=7, alpha=0.7)
    side.plot(time, heights[now].mean(), "o", color=plots.ESTIMATE, markersize=8, clip_on=False)
    side.axhline(mean - lowest, color=plots.TRUTH, **plots.DOTTED)
    plots.label(side, 150, 0.535, "mean under p", va="center")
    side.set(xlim=(0, 300), ylim=(0, 2), yticks=[0, 1, 2], xlabel="steps", ylabel="mean energy")
    cast.line_axes(ax, xlim=(-4.1, 4.1), ylim=(-0.4, 6.2))
    ax.spines["bottom"].set_visible(False)
    ax.set_xticks([])
    plots.label(ax, 0, 4.2, "E = −log p", fontsize=14)
    return figure


@opens(lambda: Scene(_pair(4.0)))
@plots.styled
def normaliser(log_c: float = 1.0) -> Figure:
    """c·p, its logarithm and the score: the first is stretched, the second shifted, the third stays."""
    density, grid = _pair(4.0), torch.linspace(-6, 6, 401)
    log_p, s = density.log_prob(grid[:, None]), density.score(grid[:, None])[:, 0]
    figure, axes = plots.canvas(3, 1, height=5.6, sharex=True)
    rows = [
        (log_p.exp(), (log_p + log_c).exp(), (0, 0.68), "c p", 0.5),
        (log_p, log_p + log_c, (-10, 1), "log (c p)", -1.2),
        (s, s, (-4.4, 4.4), "score", -3.8),
    ]
    for ax, (before, after, ylim, name, y) in zip(axes, rows, strict=True):
        cast.line_axes(ax, xlim=(-6, 6), ylim=ylim)
        ax.plot(grid, before, color=plots.TRUTH, linewidth=1 if before is not after else 4)
        ax.plot(grid, after, color=plots.CONTRAST)
        plots.label(ax, -5.9, y, name, plots.CONTRAST, ha="left", fontsize=14)
    plots.label(axes[0], -4.6, 0.5, "p", fontsize=14)
    bottom = density.log_prob(torch.zeros(1, 1)).item()
    plots.arrow(axes[1], (0, bottom), (0, bottom + log_c), plots.CONTRAST)
    plots.label(axes[1], 0, -8.3, f"log c = {log_c:g}".replace("-", "−"), plots.CONTRAST)
    axes[2].axhline(0, color=plots.FAINT, linewidth=1, zorder=0)
    axes[2].set_xlabel("x")
    return figure


DATA = torch.tensor([1.9, -0.3, 0.6, 1.8])


def _model(theta, sigma):
    return GaussianMixture([[float(theta)]], sigma)


@opens(lambda theta, sigma: Scene(_model(theta, sigma), temperature=0, start="uniform"))
@plots.styled
def two_gradients(theta: float = -1.0, sigma: float = 1.0) -> Figure:
    """The same data and model N(θ, σ²): above each point follows its Stein score, below θ its Fisher score."""
    grid, rate = torch.linspace(-5.5, 7.5, 500), 0.4
    figure, axes = plots.canvas(2, 1, height=5.0, sharex=True)
    moved = theta + rate * (DATA.mean().item() - theta) / sigma**2
    heights = 0.06 + 0.06 * torch.arange(len(DATA))
    for ax, color in zip(axes, [plots.ESTIMATE, plots.TRUTH], strict=True):
        cast.line_axes(ax, xlim=(-5.5, 7.5), ylim=(0, 0.74))
        plots.curve(ax, _model(theta, sigma), grid)
        ax.plot(DATA, heights, "o", color=color, markersize=5, zorder=4)
    for x, y in zip(DATA.tolist(), heights.tolist(), strict=True):
        plots.arrow(axes[0], (x, y), (x + rate * (theta - x) / sigma**2, y), plots.ESTIMATE)
    plots.curve(axes[1], _model(moved, sigma), grid, plots.CONTRAST, linestyle=(0, (3, 1.5)))
    top = 0.4 / sigma
    plots.arrow(axes[1], (theta, top), (moved, top), plots.CONTRAST)
    plots.label(axes[0], -5.4, 0.55, "the data move:\ngradient in x", plots.ESTIMATE, ha="left")
    plots.label(axes[1], -5.4, 0.55, "the model moves:\ngradient in θ", plots.CONTRAST, ha="left")
    for ax in axes:
        plots.label(ax, theta, top + 0.03, "θ")
    axes[1].set_xlabel("x")
    return figure


SEPARATIONS = torch.arange(2.0, 10.1, 0.25).tolist()


@functools.cache
def _errors(weight):
    """For q with that weight and p of equal weights, at each separation: KL, error in the score, and gap of q."""
    grid = torch.linspace(-12, 12, 4_801, dtype=torch.float64)
    rows = []
    for separation in SEPARATIONS:
        p, q = _pair(separation, 1, 0.5), _pair(separation, 1, weight)
        log_p, log_q = p.log_prob(grid[:, None]), q.log_prob(grid[:, None])
        error = (p.score(grid[:, None]) - q.score(grid[:, None]))[:, 0] ** 2
        means = [torch.trapezoid(log_p.exp() * values, grid).item() for values in (log_p - log_q, error)]
        rows.append([*means, spectral_gap(q, torch.linspace(-separation / 2 - 5, separation / 2 + 5, 301))])
    return np.array(rows).T


@opens(lambda separation, weight: Scene(_pair(separation, 1, weight, unit=0.5)))  # or the modes are out of its sight
@plots.styled
def blind(separation: float = 8.0, weight: float = 0.75) -> Figure:
    """Above, p of equal weights and q of ``weight``; below, their divergence, the error in the score and q's gap."""
    figure, (ax, below) = plots.canvas(2, 1, height=5.6, gridspec_kw={"height_ratios": [1, 1.7]})
    cast.line_axes(ax, xlim=(-8.5, 8.5), ylim=(0, 0.52))
    grid = torch.linspace(-8.5, 8.5, 601)
    plots.curve(ax, _pair(separation, 1, weight), grid, plots.CONTRAST)
    plots.curve(ax, _pair(separation, 1, 0.5), grid)
    plots.label(ax, -8.4, 0.43, "p, equal weights", ha="left")
    plots.label(ax, 8.4, 0.43, f"q, {weight:g} on the left", plots.CONTRAST, ha="right")
    divergence, error, gap = _errors(weight)
    lines = [
        (divergence, "divergence KL(p ‖ q)", plots.CONTRAST, {}),
        (error, "error in the score", plots.ESTIMATE, {}),
        (gap, "gap λ of q", plots.MUTED, {"linestyle": (0, (3, 1.5))}),
    ]
    now = SEPARATIONS.index(separation)
    for values, _, color, style in lines:
        below.plot(SEPARATIONS, np.log10(values), color=color, **style)
        below.plot(separation, np.log10(values[now]), "o", color=color, markersize=8, clip_on=False, zorder=4)
    below.set(xlim=(2, 10), ylim=(-6.5, 0.7), xlabel="separation of the modes")
    below.set_yticks([-6, -4, -2, 0], ["10⁻⁶", "10⁻⁴", "0.01", "1"])
    for y, (_, name, color, _) in zip((-4, -5, -6), lines, strict=True):
        plots.label(below, 2.2, y, name, color, ha="left")
    return figure
