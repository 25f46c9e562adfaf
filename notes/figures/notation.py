"""The figure of the page on notation: what an update, written in any of the usual ways, samples."""

import math

import numpy as np
from matplotlib.figure import Figure

from notes import plots
from notes.figures import cast
from notes.langevin import stationary_variance

__all__ = ["LETTERS", "UPDATES", "step_and_temperature", "sampled_variance", "calculator"]

# An update x ← x + a s(x) + b z as it is written, the name of its letter, and (a, b) as functions of that letter.
UPDATES = {
    "x + τ s + √(2τ) z": ("τ", lambda tau: (tau, (2 * tau) ** 0.5)),
    "x + (α/2) s + √α z": ("α", lambda alpha: (alpha / 2, alpha**0.5)),
    "½σ² s dt + σ dW": ("σ²dt", lambda variance: (variance / 2, variance**0.5)),
    "γ s dt + √(2γ) dW": ("γ dt", lambda gamma_dt: (gamma_dt, (2 * gamma_dt) ** 0.5)),
    "x + τ s + √τ z": ("τ", lambda tau: (tau, tau**0.5)),
    "x + τ s + 2τ z": ("τ", lambda tau: (tau, 2 * tau)),
    "x + (ε/2) s + z": ("ε", lambda epsilon: (epsilon / 2, 1.0)),
    "x + τ s": ("τ", lambda tau: (tau, 0.0)),
}
LETTERS = [0.01, 0.1, 0.2, 0.5, 1.0, 1.5, 2.0]


def step_and_temperature(update: str, letter: float) -> tuple[float, float]:
    """The book's τ and T of an update with that value of its letter: τ = a and T = b²/(2a)."""
    a, b = UPDATES[update][1](letter)
    return a, b**2 / (2 * a)


def sampled_variance(update: str, letter: float) -> float:
    """The variance that the update settles at on N(0, 1): T/(1 − τ/2), infinite from τ = 2 on."""
    tau, temperature = step_and_temperature(update, letter)
    return temperature * stationary_variance(1.0, tau) if tau < 2 else math.inf


@plots.styled
def calculator(update: str = "x + τ s + √τ z", letter: float = 0.2) -> Figure:
    """An update's a, b, step size and temperature in large figures, and the law it samples beside N(0, 1)."""
    name, coefficients = UPDATES[update]
    a, b = coefficients(letter)
    tau, temperature = step_and_temperature(update, letter)
    variance = sampled_variance(update, letter)
    settles = math.isfinite(variance)
    warm = plots.ESTIMATE if math.isclose(temperature, 1) else plots.CONTRAST
    color = plots.ESTIMATE if abs(variance - 1) <= 0.15 else plots.CONTRAST
    figure, (top, ax) = plots.canvas(2, 1, height=4.1, gridspec_kw={"height_ratios": [1, 1.6]})
    top.set(xlim=(0, 4), ylim=(0, 1))
    top.axis("off")
    plots.label(top, 0, 0.82, f"{update},   {name} = {letter:g}", ha="left", fontsize=14)
    numbers = [("drift a", a, plots.MUTED), ("noise b", b, plots.MUTED), ("step size τ", tau, plots.TRUTH)]
    for column, (what, value, ink) in enumerate([*numbers, ("temperature T", temperature, warm)]):
        plots.label(top, column, 0.24, f"{value:.3g}", ink, ha="left", fontsize=25)
        plots.label(top, column, 0, what, ink, ha="left")
    cast.line_axes(ax, xlim=(-4, 4), ylim=(0, 0.85), xlabel="x")
    x = np.linspace(-4, 4, 801)
    ax.plot(x, _normal(x, 1), color=plots.TRUTH)
    plots.label(ax, 1.35, 0.2, "N(0, 1), the target", ha="left")
    if variance == 0:
        plots.arrow(ax, (0, 0), (0, 0.8), color)
    elif settles:
        ax.fill_between(x, _normal(x, variance), color=color, alpha=0.25)
        ax.plot(x, _normal(x, variance), color=color)
    found = f"variance {variance:.3g}" if settles else "never settles"
    plots.label(ax, -4, 0.68, found, color, ha="left", fontsize=14)
    return figure


def _normal(x, variance):
    return np.exp(-(x**2) / (2 * variance)) / (2 * np.pi * variance) ** 0.5
