"""The figures of the chapter on noise scales."""

import copy
import functools
import math
from types import SimpleNamespace

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure

from notes import diffusion, plots, score_matching
from notes.figures.cast import (
    LINE,
    MOONS,
    PLANE,
    affine_field,
    arrow_field,
    divergence,
    moments,
    seeded,
    share_below,
    share_left,
    taught,
    watershed,
)
from notes.mixtures import GaussianMixture, kernel_density
from notes.networks import NoiseConditionalNetwork
from notes.scenes import Scene, opens
from notes.training import train

__all__ = [
    "FIELD_NOISES",
    "FIELD_STEPS",
    "FRAMES",
    "PRIORS",
    "RATIOS",
    "RUNGS",
    "SAMPLERS",
    "STEPS",
    "STEPS_A_RUNG",
    "TOPS",
    "WEIGHTS",
    "WEIGHT_SCALES",
    "field",
    "weighed",
    "unlearned",
    "weights",
    "ladder",
    "samplers",
    "sigma_at",
    "paths",
    "likelihood",
]

ENDS = 4.0, 0.05  # of the ladder: the distance of the two modes, and a quarter of the narrower one
TAUGHT = 5.0, 0.04  # the ends in training, a little beyond: a network is least sure at the ends of what it has seen


@functools.cache
def _learned():
    """The field that the chapter learns."""
    return taught(PLANE, TAUGHT, 3_000)


# The field and its weight (fig-noise-field, fig-noise-weights).

FIELD_STEPS = [0, 50, 150, 500, 1500]
FIELD_NOISES = [2, 1, 0.5, 0.2, 0.1, 0.05]
_AROUND = (-2.4, 2.4, -1.9, 1.9)


@functools.cache
def _moons():
    """A small field of two arguments learned of the moons: its copies at FIELD_STEPS, and their divergences."""
    generator = seeded(1)
    network = NoiseConditionalNetwork(2, width=64, generator=generator)
    copies = {0: copy.deepcopy(network)}

    def look(step, _):
        if step in FIELD_STEPS:
            copies[step] = copy.deepcopy(network)

    loss = functools.partial(score_matching.denoising_over_scales, sigmas=(2.5, 0.04))
    train(network, loss, FIELD_STEPS[-1], data=MOONS, batch_size=128, lr=0.02, generator=generator, callback=look)
    errors = {
        step: [divergence(MOONS, functools.partial(model, sigma=sigma), sigma) for sigma in FIELD_NOISES]
        for step, model in copies.items()
    }
    return copies, errors


@functools.cache
def _moons_straight():
    return [divergence(MOONS, affine_field(MOONS, sigma), sigma) for sigma in FIELD_NOISES]


@opens(lambda sigma: Scene(MOONS, sigma=sigma))
@plots.styled
def field(sigma: float = 0.2, step: int = 500) -> Figure:
    """The exact field and the learned one at one rung, where they differ, and how much at every rung."""
    copies, errors = _moons()
    blurred, model = MOONS.smoothed(sigma), copies[step]
    extent = tuple(end * math.hypot(1, sigma) for end in _AROUND)
    figure, ((left, right), (wrong, side)) = plots.canvas(2, 2, height=5.2)
    learned_field = functools.partial(model, sigma=sigma)
    fields = (left, blurred.score, plots.TRUTH, "∇log $p_σ$"), (right, learned_field, plots.ESTIMATE, "$s_θ(x, σ)$")
    for ax, drawn, color, name in fields:
        arrow_field(ax, blurred, drawn, color, extent, across=13, fine=90)
        ax.set_xlabel(f"{name}, σ = {sigma:g}", color=color)
    size = blurred.score(blurred.sample(20_000, seeded(7))).square().sum(1).mean()

    def error(x):
        with torch.no_grad():
            return ((learned_field(x) - blurred.score(x)).square().sum(1) / size).log10()

    plots.plane(wrong, extent)
    plots.shades(wrong, error, extent, np.arange(-4, 1.5, 0.5), 90)
    wrong.set_xlabel("squared error")
    for some in errors.values():
        side.loglog(FIELD_NOISES, some, color=plots.FAINT, linewidth=0.8)
    side.loglog(FIELD_NOISES, _moons_straight(), color=plots.TRUTH, **plots.DOTTED)
    side.loglog(FIELD_NOISES, errors[step], color=plots.ESTIMATE)
    side.loglog(sigma, errors[step][FIELD_NOISES.index(sigma)], "o", color=plots.ESTIMATE)
    plots.label(side, 0.05, 1.3, "a straight line (dotted)", ha="left")
    plots.label(side, 0.02, 0.02, f"step {step}", plots.ESTIMATE, ha="left", transform=side.transAxes)
    side.set(xlim=(0.045, 2.2), ylim=(5e-4, 4), xlabel="noise σ", ylabel="relative divergence")
    side.set_xticks([0.05, 0.2, 0.5, 2], ["0.05", "0.2", "0.5", "2"])
    side.set_yticks([0.001, 0.01, 0.1, 1], ["0.1 %", "1 %", "10 %", "1"])
    side.minorticks_off()
    return figure


WEIGHTS = {"λ = 1": torch.ones_like, "λ = σ": torch.clone, "λ = σ²": torch.square}
WEIGHT_SCALES = np.geomspace(ENDS[1], ENDS[0], 13)


@functools.cache
def weighed(weight: str, divided: bool = True, seed: int = 1) -> list[float]:
    """The relative Fisher divergence at WEIGHT_SCALES of a field of PLANE, learned in 500 steps with this weight.

    Without the division by σ the network's output is the score itself.
    """
    generator = seeded(seed)
    network = NoiseConditionalNetwork(2, width=64, generator=generator)

    def model(x, sigma):
        return network(x, sigma) if divided else sigma[:, None] * network(x, sigma)

    def loss(_, x, generator):
        return score_matching.denoising_over_scales(model, x, TAUGHT, weight=WEIGHTS[weight], generator=generator)

    train(network, loss, 500, data=PLANE, batch_size=256, lr=0.01, generator=generator)
    return [
        divergence(PLANE, lambda x, s=sigma: model(x, torch.full((len(x),), s)), sigma)
        for sigma in WEIGHT_SCALES.tolist()
    ]


@functools.cache
def unlearned() -> tuple[list[float], list[float]]:
    """The same of two fields to beat: the affine one of p_σ, and that of kernels of width σ on 1 000 points."""
    straight = [divergence(PLANE, affine_field(PLANE, sigma), sigma) for sigma in WEIGHT_SCALES.tolist()]
    draws = [PLANE.sample(1000, seeded(seed)) for seed in range(4)]
    kernels = [
        sum(divergence(PLANE, kernel_density(data, sigma).score, sigma, 1000) for data in draws) / len(draws)
        for sigma in WEIGHT_SCALES.tolist()
    ]
    return straight, kernels


@plots.styled
def weights(weight: str = "λ = σ²", divided: bool = True) -> Figure:
    """What six recipes make of one field at each noise scale, beside the affine field and a kernel estimate."""
    figure, ax = plots.canvas(height=4.2)
    for name in WEIGHTS:
        for other in (True, False):
            ax.loglog(WEIGHT_SCALES, weighed(name, other), color=plots.FAINT, linewidth=0.8)
    straight, kernels = unlearned()
    ax.loglog(WEIGHT_SCALES, kernels, color=plots.MUTED, linestyle=(0, (5, 2)), linewidth=1.2)
    ax.loglog(WEIGHT_SCALES, straight, color=plots.TRUTH, **{**plots.DOTTED, "linewidth": 1.6})
    shown = np.array(weighed(weight, divided))
    worse = shown > straight
    ax.loglog(WEIGHT_SCALES, shown, "o-", color=plots.ESTIMATE, markersize=5)
    ax.loglog(WEIGHT_SCALES[worse], shown[worse], "o", color=plots.CONTRAST, markersize=8)
    plots.label(ax, 0.2, 0.78, "a straight line", ha="left")
    plots.label(ax, 0.075, 4.5, "kernels on 1 000 points", plots.MUTED, ha="left")
    words = f"learned with {weight}, output {'over σ' if divided else 'as it is'}"
    plots.label(ax, 0.02, 0.03, words, plots.ESTIMATE, ha="left", transform=ax.transAxes)
    ax.set(xlim=(0.045, 4.5), ylim=(1e-4, 20), xlabel="noise σ", ylabel="relative divergence")
    ax.set_xticks([0.05, 0.1, 0.2, 0.5, 1, 2, 4], ["0.05", "0.1", "0.2", "0.5", "1", "2", "4"])
    ax.set_yticks([0.001, 0.01, 0.1, 1, 10], ["0.1 %", "1 %", "10 %", "1", "10"])
    ax.minorticks_off()
    return figure


# The ladder (fig-noise-ladder).

RUNGS = [5, 10, 20, 50, 100]
STEPS_A_RUNG = [2, 5, 10, 20, 50]
RATIOS = [0.2, 0.5, 1.0]
STD = 0.5  # of the Gaussian that the ladder is to leave


@functools.cache
def _down(rungs, steps, ratio):
    """The ladder, and the variance at the end of each rung over s² + σ²."""
    sigmas = diffusion.ladder(*ENDS, rungs)
    variance = diffusion.ladder_variance(STD**2, sigmas, ratio * ENDS[1] ** 2, steps, each_rung=True)
    return sigmas.numpy(), (variance / (STD**2 + sigmas**2)).numpy()


@opens(lambda ratio: Scene(GaussianMixture([[0.0]], STD), step_size=ratio / 2 * ENDS[1] ** 2, sigma=ENDS[1]))
@plots.styled
def ladder(rungs: int = 20, steps: int = 5, ratio: float = 0.2) -> Figure:
    """What a ladder leaves of N(0, s²), in closed form: rung by rung, and at the end against what it costs."""
    sigmas, left = _down(rungs, steps, ratio)
    shrink = ratio * sigmas**2 / (STD**2 + sigmas**2) / 2
    figure, (ax, side) = plots.canvas(1, 2, height=3.4, gridspec_kw={"width_ratios": [1.1, 1]})
    ax.semilogx(sigmas, np.ones_like(sigmas), color=plots.TRUTH)
    ax.semilogx(sigmas, (2 / (2 - shrink)) ** 0.5, color=plots.CONTRAST)
    ax.semilogx(sigmas, left**0.5, "o-", color=plots.ESTIMATE, markersize=4)
    ax.set(xlim=(4.6, 0.043), ylim=(0.94, 1.6), xlabel="σ, from rung to rung", ylabel="std over that of $p_σ$")
    ax.set_xticks([4, 1, 0.2, 0.05], ["4", "1", "0.2", "0.05"])
    ax.set_yticks([1, 1.2, 1.4, 1.6])
    ax.minorticks_off()
    words = (0.97, "left behind", plots.ESTIMATE), (0.89, "after endless steps", plots.CONTRAST), (0.81, "$p_σ$", None)
    for y, text, color in words:
        plots.label(
            ax, 0.03, y, text, color or plots.TRUTH, ha="left", va="top", transform=ax.transAxes, bbox=plots.PAPER
        )
    for other in RATIOS:
        states = [(n * t, _down(n, t, other)[1][-1]) for n in RUNGS for t in STEPS_A_RUNG]
        cost, end = np.array(states).T
        mine = other == ratio
        color, size = ("#7fb7d8", 6) if mine else ("#d5d5d5", 4)
        side.loglog(cost, 100 * (end**0.5 - 1), "o", color=color, markersize=size, markeredgewidth=0, zorder=1 + mine)
    fold = np.linspace(1.03, 900 * ratio, 4000)  # m, of the rule
    n, excess = 2 * fold / ratio * math.log(ENDS[0] / ENDS[1]), (1 + ratio / 4) / (fold - 1)
    side.loglog(n, 100 * ((1 + excess) ** 0.5 - 1), color=plots.TRUTH, linewidth=1)
    now = 100 * (left[-1] ** 0.5 - 1)
    side.loglog(rungs * steps, now, "o", color=plots.ESTIMATE, markersize=9, zorder=4)
    side.set(xlim=(8, 7000), ylim=(0.1, 400), xlabel="evaluations L · T", ylabel="too wide at the end, in %")
    side.set_xticks([10, 100, 1000], ["10", "100", "1000"])
    side.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    side.minorticks_off()
    at = {"ha": "left", "transform": side.transAxes}
    plots.label(side, 0.03, 0.18, "the rule", **at)
    plots.label(side, 0.03, 0.1, f"{rungs} × {steps}, r = {ratio:g}:", plots.ESTIMATE, **at)
    plots.label(side, 0.03, 0.02, f"{now:.2g} %" if now < 99.5 else f"{now:.0f} %", plots.ESTIMATE, **at)
    return figure


# Samplers side by side (fig-noise-samplers).

SAMPLERS = ["annealed Langevin", "reverse SDE", "predictor–corrector", "probability flow"]
TOPS = [4, 20]
EVALUATIONS = [20, 40, 100, 200, 400]
PARTICLES = 16_000


@functools.cache
def _learned_to_20():
    """A field learned of LINE for σ from 20 down, and the nodes at which it is tabulated, for points over √(1 + σ²)."""
    return taught(LINE, (TOPS[-1], ENDS[1]), 1_500), torch.linspace(-6, 6, 601)


def _tabulated(x, sigma):
    """The learned field by straight lines between its values at 601 nodes: on the line that is as good, and cheap."""
    network, nodes = _learned_to_20()
    wide = math.hypot(1, sigma)
    values = network(wide * nodes[:, None], sigma)[:, 0]
    return torch.from_numpy(np.interp(x[:, 0].numpy() / wide, nodes.numpy(), values.numpy())).to(x)[:, None]


def _sampled(sampler, score, top, evaluations):
    """Particles at σ_L, from σ₁z: one quantile each of the white noise, in no order."""
    generator = seeded(3)
    ranks = (torch.randperm(PARTICLES, generator=generator) + 0.5) / PARTICLES
    x0 = top * torch.special.ndtri(ranks)[:, None]

    def rungs(n):
        return diffusion.ladder(top, ENDS[1], n)

    if sampler == "annealed Langevin":
        return diffusion.annealed_langevin(
            score, x0, rungs(evaluations // 5), 0.5 * ENDS[1] ** 2, 5, generator=generator
        )
    if sampler == "probability flow":
        return diffusion.probability_flow(score, x0, rungs(evaluations // 2 + 1))
    corrector = int(sampler == "predictor–corrector")
    return diffusion.reverse_diffusion(
        score,
        x0,
        rungs(evaluations // (1 + corrector) + 1),
        corrector_steps=corrector,
        corrector_ratio=0.5,
        generator=generator,
    )


@functools.cache
def _share_and_spread(sampler, score, top):
    """For each of EVALUATIONS: the share on the left, and the mean spread of the two modes over that of p_σ at σ_L."""
    score = {"exact": LINE.smoothed_score, "learned": _tabulated}[score]
    rows = []
    for evaluations in EVALUATIONS:
        x = _sampled(sampler, score, top, evaluations)[:, 0]
        left = x < round(watershed(LINE), 1)
        spreads = [
            x[side].std().item() / math.hypot(std, ENDS[1])
            for side, std in zip((~left, left), LINE.stds.tolist(), strict=True)
        ]
        rows.append((left.double().mean().item(), sum(spreads) / 2))
    return np.array(rows).T


@functools.cache
def _kept(top):
    """The share on the left of what the exact flow makes of σ₁z: it keeps every quantile where it is."""
    at = torch.linspace(-2 * top, 2 * top, 40_001, dtype=torch.float64)
    below = share_below(LINE.smoothed(top), at)
    return torch.special.ndtr(at[(below - share_left(LINE)).abs().argmin()] / top).item()


@opens(lambda: Scene(LINE, step_size=0.25 * ENDS[1] ** 2, sigma=ENDS[1]))
@plots.styled
def samplers(sampler: str = "annealed Langevin", score: str = "exact", sigma_max: int = 4) -> Figure:
    """The share on the left and the spread of the modes, of four samplers on the line, by the score's evaluations."""
    figure, (ax, side) = plots.canvas(1, 2, height=3.4)
    error = 2 * (0.24 / PARTICLES) ** 0.5
    ax.axhspan(0.4 - error, 0.4 + error, color=plots.FAINT, alpha=0.25, linewidth=0)
    for axes, level in ((ax, 0.4), (side, 1)):
        axes.axhline(level, color=plots.TRUTH, linewidth=1.5)
    ax.axhline(_kept(sigma_max), color=plots.TRUTH, **plots.DOTTED)
    for name in [*(other for other in SAMPLERS if other != sampler), sampler]:
        style = {"color": plots.ESTIMATE, "linewidth": 2.5} if name == sampler else {"color": "#bfbfbf"}
        for axes, values in zip((ax, side), _share_and_spread(name, score, sigma_max), strict=True):
            axes.semilogx(EVALUATIONS, values, "o-", markersize=6 if name == sampler else 3, **style)
    ax.set(ylim=(0.375, 0.465), ylabel="share on the left", yticks=[0.38, 0.4, 0.42, 0.44, 0.46])
    side.set(ylim=(0.9, 1.5), ylabel="spread of the modes", yticks=[1, 1.2, 1.4])
    for axes in (ax, side):
        axes.set(xlim=(17, 480), xlabel="evaluations of the score")
        axes.set_xticks([20, 100, 400], ["20", "100", "400"])
        axes.minorticks_off()
    plots.label(ax, 0, 1.03, sampler, plots.ESTIMATE, ha="left", va="baseline", transform=ax.transAxes)
    words = f"dotted: start kept, {_kept(sigma_max):.4f}"
    plots.label(ax, 0.98, 0.03, words, ha="right", transform=ax.transAxes)
    plots.label(side, 0, 1.03, "the others", plots.MUTED, ha="left", va="baseline", transform=side.transAxes)
    return figure


# Flow and diffusion on the line (fig-noise-paths).

FRAMES = 39  # of a descent; each is six rungs
_HEIGHT = 8.5  # of the axes: 98 % of the start is between −8.5 and 8.5


def sigma_at(time: int) -> str:
    """The noise scale at a frame, in words: ``σ = 0.45``."""
    return f"σ = {_rungs()[6 * time]:.2g}"


def _rungs():
    return diffusion.ladder(*ENDS, 6 * FRAMES + 1)


@functools.cache
def _descent(eta):
    """2 000 particles of LINE, evenly spread over p_σ at the first rung, and their paths by flow or diffusion."""
    n, grid = 2_000, torch.linspace(-25, 25, 50_001, dtype=torch.float64)
    below = share_below(LINE.smoothed(ENDS[0]), grid)
    x0 = grid[torch.searchsorted(below, (torch.arange(n, dtype=torch.float64) + 0.5) / n), None]
    if eta == 0:
        path = diffusion.probability_flow(LINE.smoothed_score, x0, _rungs(), record_every=1)
    else:
        path = diffusion.reverse_diffusion(
            LINE.smoothed_score, x0, _rungs(), eta=eta, generator=seeded(2), record_every=1
        )
    return path[..., 0]


@functools.cache
def _haze():
    """The shades behind: p_σ(x) over its largest value, a column for each σ."""
    x = torch.linspace(-_HEIGHT, _HEIGHT, 341, dtype=torch.float64)
    columns = [LINE.smoothed(sigma).log_prob(x[:, None]) for sigma in _rungs()[::2].tolist()]
    return torch.stack([(column - column.max()).exp() for column in columns], 1) ** 0.5


@opens(lambda time: Scene(LINE, sigma=_rungs()[6 * time].item(), start="p itself"))
@plots.styled
def paths(eta: float = 0.0, time: int = FRAMES) -> Figure:
    """Paths down the ladder from the same starts, by the flow or a diffusion; the law of all particles beside them."""
    path, rungs = _descent(eta), _rungs().numpy()
    now = 6 * time
    figure, (ax, side) = plots.canvas(1, 2, height=3.8, sharey=True, gridspec_kw={"width_ratios": [3, 1]})
    ax.pcolormesh(
        rungs[::2], np.linspace(-_HEIGHT, _HEIGHT, 341), _haze(), cmap="Greys", vmin=0, vmax=3, rasterized=True
    )
    chosen = path[: now + 1, 40::80]  # 25 of them
    colors = colormaps["plasma"](np.linspace(0, 0.85, chosen.shape[1]))
    for x, color in zip(chosen.T, colors, strict=True):
        ax.plot(rungs[: now + 1], x, color=color, linewidth=0.9)
    ax.scatter(np.full(len(colors), rungs[now]), chosen[-1], c=colors, s=12, zorder=3, linewidths=0)
    ax.set(xscale="log", xlim=(4.3, 0.046), ylim=(-_HEIGHT, _HEIGHT), xlabel="noise scale σ", ylabel="x")
    ax.set_xticks([4, 2, 1, 0.5, 0.2, 0.1, 0.05], ["4", "2", "1", "0.5", "0.2", "0.1", "0.05"])
    ax.minorticks_off()
    law, edges = LINE.smoothed(rungs[now].item()), np.linspace(-_HEIGHT, _HEIGHT, 86)
    heights = np.histogram(path[now].numpy(), edges)[0] / path.shape[1] / np.diff(edges)
    side.stairs(heights, edges, orientation="horizontal", fill=True, color=plots.ESTIMATE, alpha=0.45)
    x = torch.linspace(-_HEIGHT, _HEIGHT, 500)
    side.plot(law.log_prob(x[:, None]).exp(), x, color=plots.TRUTH)
    side.set(xticks=[], xlim=(0, None))
    plots.label(side, side.get_xlim()[1] / 2, 4.4, r"$p_\sigma$", ha="left")
    side.spines[["left", "bottom"]].set_visible(False)
    side.tick_params(left=False)
    return figure


# Likelihood (fig-noise-likelihood).

STEPS = [5, 10, 20, 50, 100, 200]
PRIORS = {"the exact p": "exact", "N(0, σ₁²)": "white noise", "a Gaussian fit": "fit"}


@functools.cache
def _lifted(steps, field):
    """400 points of p_σ at the last rung, their known log-density, where the flow takes them, and the integral."""
    tops = []
    x = PLANE.smoothed(ENDS[1]).sample(400, seeded(3))
    prior = SimpleNamespace(log_prob=lambda top: tops.append(top) or torch.zeros(len(top)))
    change = diffusion.log_likelihood(field, x, diffusion.ladder(*ENDS, steps + 1), prior)
    return x, PLANE.smoothed(ENDS[1]).log_prob(x), tops[0], change


@opens(lambda: Scene(PLANE, sigma=ENDS[1], start="p itself"))
@plots.styled
def likelihood(
    steps: int = 20, score: str = "learned", prior: str = "exact", network: NoiseConditionalNetwork | None = None
) -> Figure:
    """The flow's log-likelihood of points against their known log-density, and its error against their place.

    The learned score is that of ``network``, which is taught anew where none is given.
    """
    field = PLANE.smoothed_score if score == "exact" else network or _learned()
    x, known, top, change = _lifted(steps, field)
    log_prob = {
        "exact": PLANE.smoothed(ENDS[0]).log_prob,
        "white noise": GaussianMixture([[0.0, 0.0]], ENDS[0]).log_prob,
        "fit": torch.distributions.MultivariateNormal(*moments(PLANE, ENDS[0])).log_prob,
    }[prior]
    found = log_prob(top) + change
    error = found - known
    color = np.where(x[:, 0] < watershed(PLANE), plots.CONTRAST, plots.ESTIMATE)
    figure, (ax, side) = plots.canvas(1, 2, height=3.3)
    ax.plot([-9, 1], [-9, 1], color=plots.TRUTH, **plots.DOTTED)
    ax.scatter(known, found, c=color, s=7, linewidths=0)
    ax.set(xlim=(-7.6, 1.2), ylim=(-7.6, 1.2), xlabel="known log-density", ylabel="by the flow")
    size = error.square().mean().sqrt().item()
    plots.label(ax, -7.2, 0.2, f"rms error {size:.2g}", ha="left")
    side.axhline(0, color=plots.TRUTH, **plots.DOTTED)
    side.scatter(x[:, 0], error.clamp(-1, 1), c=color, s=7, linewidths=0)
    side.set(xlim=(-3.4, 4.2), ylim=(-1.05, 1.05), xlabel="$x_1$", ylabel="error, in nats")
    return figure
