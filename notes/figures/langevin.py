"""The figures of the chapter on Langevin dynamics."""

import functools

import numpy as np
import torch
from matplotlib.figure import Figure

from notes import fokker_planck as diffusion
from notes import langevin as walks
from notes import plots
from notes.figures.cast import LINE, NORMAL, line_axes, seeded, share_left, watershed
from notes.mixtures import GaussianMixture
from notes.scenes import Scene, opens

__all__ = [
    "BIAS_STEPS",
    "COEFFICIENTS",
    "ESCAPE_STEPS",
    "walk",
    "histogram",
    "steps",
    "fokker_planck",
    "noise",
    "bias",
    "escape",
    "start",
    "mala",
]

PLANE = GaussianMixture([[-1.6, -0.7], [1.6, -0.9], [0.2, 1.3]], [0.55, 0.7, 0.4], [0.3, 0.4, 0.3])
EXTENT = (-4.0, 4.0, -2.9, 2.9)
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
GRID = torch.linspace(-4, 5, 361, dtype=torch.float64)
TRUE_LEFT = 100 * share_left(LINE)  # in per cent, as all shares here


def _left(x):
    """How many of the particles are to the left of the watershed."""
    return 100 * (x < watershed(LINE)).float().mean().item()


@functools.cache
def _walk(temperature):
    x0, _ = plots.lattice(EXTENT, 26)
    return walks.langevin(PLANE.score, x0, 0.01, 200, temperature=temperature, generator=seeded(), record_every=2)


@opens(lambda temperature: Scene(PLANE, step_size=0.01, temperature=temperature, start="uniform"))
@plots.styled
def walk(time: int = 40, temperature: float = 1.0) -> Figure:
    """Particles on the contours of a mixture in the plane, in the colours of where they began; ``time`` in steps.

    Without noise the whole climb is drawn, and how many have met at each peak, where they cover one another.
    """
    path = _walk(temperature)
    now = time // 2
    first = max(0, now - 3) if temperature > 0 else 0
    figure, ax = plots.canvas(height=4.4)
    plots.plane(ax, EXTENT)
    plots.contours(ax, PLANE, EXTENT)
    color = plots.colours_by_start(path[0])
    plots.trails(ax, path[first : now + 1], color)
    plots.particles(ax, path[now], color)
    for x, y in PLANE.means.tolist() if temperature == 0 else ():
        met = ((path[now] - torch.tensor([x, y])).norm(dim=1) < 0.15).sum().item()
        if met > 10:
            ax.plot(x, y, "o", color=plots.TRUTH, markersize=12, fillstyle="none")
            plots.label(ax, x, y + 0.16, f"{met} particles", fontweight="bold")
    return figure


def _shares(ax, x, y_left, y_right):
    left = round(_left(x))
    plots.label(ax, -2, y_left, f"{left} % here\n(p has {TRUE_LEFT:.0f} %)", plots.ESTIMATE)
    plots.label(ax, 2, y_right, f"{100 - left} % here\n(p has {100 - TRUE_LEFT:.0f} %)", plots.ESTIMATE)


@functools.cache
def _from_noise(step_size):
    """Particles that start as white noise on the line, at t = τ · steps = 0, 0.05, … 1.5."""
    every = round(0.05 / step_size)
    generator = seeded()
    x0 = torch.randn(20_000, 1, generator=generator)
    return walks.langevin(LINE.score, x0, step_size, 30 * every, generator=generator, record_every=every)[..., 0]


@opens(lambda step_size: Scene(LINE, step_size=step_size))
@plots.styled
def histogram(time: float = 1.0, step_size: float = 0.01) -> Figure:
    """Particles on the line against p: each mode's shape, and the share that it holds; ``time`` is τ · steps."""
    x = _from_noise(step_size)[round(time / 0.05)]
    figure, ax = plots.canvas()
    line_axes(ax, xlim=(-3.6, 4.4), ylim=(0, 1.05), xlabel="x")
    plots.histogram(ax, x, np.linspace(-3.6, 4.4, 121))
    plots.curve(ax, LINE, torch.linspace(-3.6, 4.4, 600))
    _shares(ax, x, 0.85, 0.72)
    plots.label(ax, 3.15, 0.12, "p", fontstyle="italic")
    plots.label(ax, 4.4, 0.95, f"step {round(time / step_size)}", ha="right")
    return figure


@functools.cache
def _laws():
    """The Fokker–Planck densities from white noise at four times a decade, and the gap."""
    times = 0.001 * 10.0 ** torch.arange(1, 10.01, 0.25, dtype=torch.float64)
    return times, diffusion.fokker_planck(LINE, (-(GRID**2) / 2).exp(), times, GRID), diffusion.spectral_gap(LINE, GRID)


@functools.cache
def _walk_by_decades():
    """The walk behind it, τ = 0.001, at the same times as far as steps will take us: 10 … 10 000 of them."""
    generator = seeded()
    x = torch.randn(10_000, 1, generator=generator)
    states, done = [], 0
    for steps in (10.0 ** torch.arange(1, 4.01, 0.25)).round().int().tolist():
        x = walks.langevin(LINE.score, x, 0.001, steps - done, generator=generator)
        states, done = [*states, x[:, 0]], steps
    return states


def steps(time: float) -> str:
    """How many steps 10^time are, in words: ``10³ steps``, ``1.8 · 10³ steps``."""
    if time < 3:
        return f"{10**time:.0f} steps"
    power, rest = divmod(time, 1)
    first = f"{10**rest:.1f} · " if rest else ""
    return f"{first}10{str(round(power)).translate(_RAISED)} steps"


@opens(lambda: Scene(LINE, step_size=0.001))
@plots.styled
def fokker_planck(time: float = 3.0) -> Figure:
    """The Fokker–Planck density beside the particles, and how long the mass that is missing on the left would take.

    The ``time`` is the decimal logarithm of the number of steps.
    """
    times, laws, gap = _laws()
    now = round((time - 1) / 0.25)
    law, walked = laws[now], _walk_by_decades()
    figure, (ax, side) = plots.canvas(1, 2, height=3.5, gridspec_kw={"width_ratios": [1.25, 1]})
    line_axes(ax, xlim=(-3.4, 4.2), ylim=(0, 1.05), xlabel="x")
    if now < len(walked):
        plots.histogram(ax, walked[now], np.linspace(-3.4, 4.2, 77))
        plots.label(ax, 4.2, 0.88, "particles", plots.ESTIMATE, ha="right")
    ax.plot(GRID, law, color=plots.CONTRAST)
    plots.curve(ax, LINE, GRID, **plots.DOTTED)
    plots.label(ax, 4.2, 0.96, "Fokker–Planck", plots.CONTRAST, ha="right")
    plots.label(ax, 3.2, 0.1, "p", fontstyle="italic")

    spacing = (GRID[1] - GRID[0]).item()
    share = laws[:, watershed(LINE) > GRID].sum(1) * spacing
    side.semilogx(times / 0.001, 100 * share, color=plots.CONTRAST)
    side.semilogx(times[now] / 0.001, 100 * share[now], "o", color=plots.CONTRAST, markersize=8)
    side.axhline(TRUE_LEFT, color=plots.TRUTH, **plots.DOTTED)
    plots.label(side, 20, TRUE_LEFT + 0.6, f"p has {TRUE_LEFT:.0f} %", ha="left")
    side.axvline(1 / (gap * 0.001), color=plots.FAINT, linewidth=1)
    plots.label(side, 0.7 / (gap * 0.001), 18.5, "1 / gap", plots.MUTED, ha="right")
    side.set(xlim=(5, 2e10), ylim=(18, 44), xlabel="steps of τ = 0.001", ylabel="% left of the watershed")
    side.set_xticks([10.0**k for k in (1, 4, 7, 10)])
    return figure


COEFFICIENTS = {
    "0": lambda tau: 0.0,
    "√τ": lambda tau: tau**0.5,
    "√(2τ)": lambda tau: (2 * tau) ** 0.5,
    "2τ": lambda tau: 2 * tau,
}


def _temperature(coefficient, step_size=0.01):
    return COEFFICIENTS[coefficient](step_size) ** 2 / (2 * step_size)


@functools.cache
def _with_coefficient(coefficient, step_size=0.01):
    temperature = _temperature(coefficient, step_size)
    generator = seeded()
    x0 = torch.randn(20_000, 1, generator=generator)
    x = walks.langevin(NORMAL.score, x0, step_size, 1000, temperature=temperature, generator=generator)
    return x[:, 0], temperature


@opens(lambda coefficient: Scene(NORMAL, step_size=0.01, temperature=_temperature(coefficient)))
@plots.styled
def noise(coefficient: str = "√τ") -> Figure:
    """The law that a walk on N(0, 1) settles at when its noise coefficient is not √(2τ), at τ = 0.01."""
    x, temperature = _with_coefficient(coefficient)
    figure, ax = plots.canvas(height=3.3)
    line_axes(ax, xlim=(-4, 4), ylim=(0, 1.0), xlabel="x")
    if temperature > 0:
        plots.histogram(ax, x, np.linspace(-4, 4, 161), plots.CONTRAST if coefficient != "√(2τ)" else plots.ESTIMATE)
    else:
        ax.axvline(0, color=plots.CONTRAST, linewidth=3)
    if coefficient == "2τ":
        peak = (2 * np.pi * temperature * walks.stationary_variance(1.0, 0.01)) ** -0.5
        plots.label(ax, 0.55, 0.92, f"↑ its peak is at {peak:.1f}", plots.CONTRAST, ha="left")
    plots.curve(ax, NORMAL, torch.linspace(-4, 4, 400))
    plots.label(ax, 1.35, 0.2, "p = N(0, 1)", ha="left")
    plots.label(
        ax, -3.9, 0.72, f"noise {coefficient}\ntemperature {temperature:.3g}\nvariance {x.var().item():.3g}", ha="left"
    )
    return figure


BIAS_STEPS = [0.1, 0.3, 0.5, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 1.9]


@functools.cache
def _settled(step_size):
    """Particles on N(0, 1) after so many steps that (1 − τ)^{2t} has forgotten the start, here N(0, 1) itself."""
    generator = seeded()
    x0 = torch.randn(20_000, 1, generator=generator)
    return walks.langevin(NORMAL.score, x0, step_size, 100, generator=generator)[:, 0]


@opens(lambda step_size: Scene(NORMAL, step_size=step_size, start="p itself"))
@plots.styled
def bias(step_size: float = 1.4) -> Figure:
    """The variance at which the walk on N(0, 1) settles: measured, and the law σ²/(1 − τ/2σ²)."""
    x = _settled(step_size)
    figure, (ax, side) = plots.canvas(1, 2, height=3.4)
    line_axes(ax, xlim=(-6, 6), ylim=(0, 0.46), xlabel="x")
    plots.histogram(ax, x, np.linspace(-6, 6, 97))
    plots.curve(ax, NORMAL, torch.linspace(-6, 6, 400))
    plots.label(ax, 1.0, 0.3, "p", ha="left", fontstyle="italic")
    plots.label(ax, -5.9, 0.4, f"τ = {step_size:g}", plots.ESTIMATE, ha="left")
    steps = np.linspace(0.01, 1.985, 400)
    side.semilogy(steps, [walks.stationary_variance(1.0, s) for s in steps], color=plots.TRUTH)
    side.semilogy(BIAS_STEPS, [_settled(s).var().item() for s in BIAS_STEPS], "o", color=plots.ESTIMATE, markersize=4)
    side.semilogy(step_size, x.var().item(), "o", color=plots.ESTIMATE, markersize=10)
    side.axvline(2, color=plots.CONTRAST, linewidth=1)
    plots.label(side, 1.86, 40, "diverges\nfrom 2σ² on", plots.CONTRAST, ha="right")
    beside = {"ha": "right"} if step_size > 0.4 else {"ha": "left"}  # there the axis is near
    plots.label(side, step_size - 0.06, x.var().item() * 1.2, f"{x.var().item():.3g}", plots.ESTIMATE, **beside)
    side.set(xlim=(0, 2.05), ylim=(0.8, 100), xlabel="step size τ", ylabel="variance")
    side.set_yticks([1, 10, 100], ["1", "10", "100"])
    return figure


ESCAPE_STEPS = [0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07]


@functools.cache
def _times_by_diffusion():
    """The diffusion's mean times from each peak to the other: ∫ F/p and ∫ (1 − F)/p between them, F the mass below."""
    y = torch.linspace(-8, 8, 16_001, dtype=torch.float64)
    p = LINE.log_prob(y[:, None]).exp()
    between = y.abs() <= 2
    left, right = p.cumsum(0), p.flip(0).cumsum(0).flip(0)
    return [0.001**2 * (mass / p)[between].sum().item() for mass in (left, right)]


@functools.cache
def _by_walk(step_size):
    """The walk's mean times, m = τ + the mean of m after a step and 0 from the other peak on; its share in the end."""
    grid = torch.linspace(-6, 6, 601, dtype=torch.float64)
    staying = torch.eye(len(grid)) - walks.transition_matrix(LINE.score, step_size, grid).T
    times = []
    for start, before in [(-2, grid < 2), (2, grid > -2)]:
        inside = staying[before][:, before]
        mean = torch.linalg.solve(inside, torch.full_like(inside[0], step_size))
        times.append(mean[(grid[before] - start).abs().argmin()].item())
    law = walks.stationary_law(LINE.score, step_size, grid)
    return *times, 100 * (law[grid < watershed(LINE)].sum() / law.sum()).item()


@opens(lambda step_size: Scene(LINE, step_size=step_size, start="p itself"))
@plots.styled
def escape(step_size: float = 0.05) -> Figure:
    """How much faster the walk leaves each mode than the diffusion does, and the share in the end that follows."""
    *times, shares = np.array([_by_walk(tau) for tau in ESCAPE_STEPS]).T
    now = ESCAPE_STEPS.index(step_size)
    figure, (ax, side) = plots.canvas(1, 2, height=3.5)
    ax.axhline(1, color=plots.FAINT, **plots.DOTTED)
    rows = [("narrow", plots.CONTRAST, 2e4), ("wide", plots.ESTIMATE, 0.035)]
    for (mode, color, y), exact, walked in zip(rows, _times_by_diffusion(), times, strict=True):
        faster = exact / walked
        ax.loglog(ESCAPE_STEPS, faster, color=color)
        ax.loglog(step_size, faster[now], "o", color=color, markersize=9)
        plots.label(ax, 0.0011, y, f"{mode} mode:\n{_three(faster[now])} × as fast", color, ha="left")
    plots.label(ax, 0.0011, 1.3, "diffusion", plots.MUTED, ha="left")
    ax.set(ylim=(0.02, 5e5), ylabel="escape rate, walk : diffusion")
    side.axhline(TRUE_LEFT, color=plots.TRUTH, **plots.DOTTED)
    plots.label(side, 0.09, TRUE_LEFT + 0.8, f"p has {TRUE_LEFT:.0f} %", ha="right")
    side.semilogx(ESCAPE_STEPS, shares, color=plots.CONTRAST)
    side.semilogx(step_size, shares[now], "o", color=plots.CONTRAST, markersize=9)
    plots.label(side, 0.0011, 6, f"{_three(shares[now])} %\nat τ = {step_size:g}", plots.CONTRAST, ha="left")
    side.set(ylim=(-1.5, 46), ylabel="% in the narrow mode in the end")
    for axis in (ax, side):
        axis.set(xlim=(9e-4, 0.1), xlabel="step size τ")
        axis.set_xticks([0.001, 0.01, 0.1], ["0.001", "0.01", "0.1"])
    return figure


def _three(number):
    """To three digits, without an exponent."""
    digits = max(0, 2 - int(np.floor(np.log10(number))))
    return f"{float(f'{number:.3g}'):,.{digits}f}".replace(",", " ")


@functools.cache
def _from_start(centre):
    generator = seeded()
    x0 = centre + 6 * torch.rand(8_000, 1, generator=generator) - 3
    return walks.langevin(LINE.score, x0, 0.001, 1000, generator=generator)[:, 0]


@opens(lambda: Scene(LINE, step_size=0.001, start="uniform"))
@plots.styled
def start(centre: float = 0.0) -> Figure:
    """Where the particles end, against where they began: all of it decided by the start's law U[c − 3, c + 3]."""
    x = _from_start(centre)
    figure, (ax, side) = plots.canvas(1, 2, height=3.5, gridspec_kw={"width_ratios": [1.25, 1]})
    line_axes(ax, xlim=(-6, 6), ylim=(0, 2.5), xlabel="x")
    plots.histogram(ax, x, np.linspace(-6, 6, 181))
    plots.curve(ax, LINE, torch.linspace(-6, 6, 800))
    ax.stairs([1 / 6], [centre - 3, centre + 3], fill=True, color=plots.CONTRAST, alpha=0.3)
    plots.label(ax, -0.2, 0.19, "start", plots.CONTRAST)  # every start of the figure holds 0
    _shares(ax, x, 2.1, 1.4)
    grid = torch.linspace(-6, 6, 1201, dtype=torch.float64)
    reach = diffusion.committor(LINE, -2, 2, grid)
    centres = np.linspace(-3, 3, 61)
    exact = [reach[(grid >= c - 3) & (grid <= c + 3)].mean().item() for c in centres]
    side.plot(centres, 100 * np.array(exact), color=plots.TRUTH)
    side.plot(centre, _left(x), "o", color=plots.ESTIMATE, markersize=9)
    side.axhline(TRUE_LEFT, color=plots.FAINT, **plots.DOTTED)
    plots.label(side, 2.9, TRUE_LEFT + 1, f"p has {TRUE_LEFT:.0f} %", plots.MUTED, ha="right")
    side.set(xlim=(-3.2, 3.2), ylim=(0, 100), xlabel="centre of the start", ylabel="% that ends on the left")
    return figure


@functools.cache
def _two_samplers(step_size):
    generator = seeded()
    x0 = LINE.sample(5000, generator)
    uncorrected = walks.langevin(LINE.score, x0, step_size, 1000, generator=generator)
    corrected, acceptance = walks.mala(LINE, x0, step_size, 1000, generator=generator)
    return uncorrected[:, 0], corrected[:, 0], acceptance


@opens(lambda step_size: Scene(LINE, step_size=step_size, start="p itself", corrected=True))
@plots.styled
def mala(step_size: float = 0.05) -> Figure:
    """A thousand steps from p itself, without and with the Metropolis correction."""
    uncorrected, corrected, acceptance = _two_samplers(step_size)
    figure, axes = plots.canvas(2, 1, height=4.6, sharex=True)
    rows = [
        (uncorrected, plots.CONTRAST, "ULA, every step taken"),
        (corrected, plots.ESTIMATE, f"MALA, {100 * acceptance:.0f} % accepted"),
    ]
    for ax, (x, color, name) in zip(axes, rows, strict=True):
        line_axes(ax, xlim=(-4, 5), ylim=(0, 1.1), xlabel="x")
        plots.histogram(ax, x, np.linspace(-4, 5, 136), color)
        plots.curve(ax, LINE, torch.linspace(-4, 5, 600))
        left = x[x < watershed(LINE)]
        spread = f", spread {left.std().item():.2f}" if len(left) > 50 else ""
        plots.label(ax, 5, 0.9, name, color, ha="right")
        plots.label(ax, 5, 0.72, f"left of −{-watershed(LINE):.2f}: {_left(x):.0f} %{spread}", color, ha="right")
    axes[0].set_xlabel("")
    return figure
