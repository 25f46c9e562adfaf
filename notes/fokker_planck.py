"""The Fokker–Planck equation in one dimension: where all the particles of a Langevin walk are, without a particle."""

import math
from collections.abc import Sequence
from typing import Protocol

import torch

from notes import _arguments as check
from notes._threads import one_thread

__all__ = ["fokker_planck", "spectral_gap", "committor"]


class _Density(Protocol):
    """A law known up to a factor."""

    def log_prob(self, x: torch.Tensor) -> torch.Tensor: ...


def fokker_planck(
    density: _Density,
    initial: torch.Tensor | Sequence[float],
    times: torch.Tensor | Sequence[float],
    grid: torch.Tensor | Sequence[float],
) -> torch.Tensor:
    r"""The law at each time of the overdamped Langevin diffusion dx = ∇ log p(x) dt + √2 dW.

    .. math:: \frac{\partial \rho}{\partial t} = -\frac{\partial}{\partial x}\! \left(
       \rho\, \frac{d \log p}{dx} \right) + \frac{\partial^2 \rho}{\partial x^2}

    Finite volumes with Scharfetter–Gummel fluxes, closed at both ends, and exact exponentials in time: at any time the
    mass is 1, no density is negative, and p is stationary on the grid to rounding. A walk with step size τ is at time
    t = τ · steps.

    Parameters
    ----------
    density : object
        It has ``log_prob`` (n, 1) → (n,), such as a one-dimensional GaussianMixture.
    initial : (G,) Tensor
        The density at time 0 on the grid, non-negative; normalised here.
    times : (T,) Tensor
        Increasing from 0 on.
    grid : (G,) Tensor
        Evenly spaced.

    Returns
    -------
    (T, G) Tensor
        Densities in float64, each integrating to one over the grid's cells.

    Raises
    ------
    ValueError
        Bad input, by name; a log-density that is not finite on the grid.
    TypeError
        An argument of another kind, by name.

    References
    ----------
    Risken, *The Fokker–Planck Equation* (1989); Scharfetter & Gummel (1969),
    https://doi.org/10.1109/T-ED.1969.16566.

    Examples
    --------
    >>> import torch
    >>> from notes.fokker_planck import fokker_planck
    >>> from notes.mixtures import GaussianMixture
    >>> grid = torch.linspace(-6, 6, 241, dtype=torch.float64)
    >>> start = torch.exp(-2 * (grid - 2) ** 2)
    >>> p = GaussianMixture([[0.0]], 1.0)
    >>> laws = fokker_planck(p, start, [0, 1, 10], grid)
    >>> [f"{mean:.2f}" for mean in laws @ grid * 0.05]  # 2 exp(−t)
    ['2.00', '0.74', '0.00']
    """
    grid = check.even_grid("grid", grid)
    initial = check.finite("initial", check.floating("initial", initial, like=grid))
    if initial.shape != grid.shape:
        raise ValueError(f"initial must have the grid's shape {tuple(grid.shape)}, got {tuple(initial.shape)}")
    if (initial < 0).any() or initial.sum() == 0:
        raise ValueError("initial must be a density: non-negative and not zero everywhere")
    times = check.finite("times", check.floating("times", times, like=grid))
    if times.ndim != 1 or len(times) == 0 or times[0] < 0 or (times.diff() <= 0).any():
        raise ValueError(f"times must increase from 0 on, got {times.tolist()}")
    rates = _rates(density, grid)
    law = initial / initial.max()
    with one_thread(4 * rates.numel()):
        return _evolve(rates, law, times.tolist()) / (grid[1] - grid[0])


def spectral_gap(density: _Density, grid: torch.Tensor | Sequence[float]) -> float:
    r"""How slowly the last of the start is forgotten: the smallest non-zero decay rate of the Fokker–Planck operator.

    .. math:: \rho(x, t) - p(x) \sim e^{-\lambda t}

    A walk of step size τ needs several times 1/(λτ) steps to mix. Arguments as in :func:`fokker_planck`; returns λ, a
    float, one over time, to rounding however high the barriers are. A law with tails heavier than exponential has no
    gap: every grid gives a number, but it falls as the grid grows. So it is compared with that of a shorter grid, which
    ends half way into the law's tails, the cells on either side that fall to the end and hold up to 1 % of the mass. If
    the two are more than 10 % apart, the grid decides: ValueError, also for a law with a gap whose grid ends too early.
    What happens beyond the grid it cannot see.

    Examples
    --------
    >>> import torch
    >>> from notes.fokker_planck import spectral_gap
    >>> from notes.mixtures import GaussianMixture
    >>> grid = torch.linspace(-12, 12, 481, dtype=torch.float64)
    >>> gap = spectral_gap(GaussianMixture([[0.0]], 2.0), grid)
    >>> print(f"{gap:.2f}")  # 1/σ² on a Gaussian
    0.25
    """
    grid = check.even_grid("grid", grid)
    log_p = _log_prob(density, grid).log_softmax(0)
    spacing = (grid[1] - grid[0]).item()
    left, right = _tail(log_p) // 2, _tail(log_p.flip(0)) // 2
    log_gap, shorter = (-_log_time(part, spacing) for part in (log_p, log_p[left : len(log_p) - right]))
    if (shorter - log_gap).abs() > math.log(1.1):
        raise ValueError(
            f"grid decides the gap by where it ends: {log_gap.exp():.3g} on all of it, {shorter.exp():.3g} on "
            f"{grid[left]:.3g} … {grid[-1 - right]:.3g}. Widen it; where the number keeps falling there is no gap, as "
            "with tails heavier than exponential"
        )
    return log_gap.exp().item()


def committor(density: _Density, left: float, right: float, grid: torch.Tensor | Sequence[float]) -> torch.Tensor:
    r"""The chance that the diffusion from x reaches ``left`` before ``right``.

    .. math:: h(x) = \int_x^{b} \frac{dy}{p(y)} \Big/ \int_a^{b} \frac{dy}{p(y)}

    for a = ``left`` < x < b = ``right``; 1 below a and 0 above b. Returns (G,) on the grid, in float64.

    Examples
    --------
    >>> import torch
    >>> from notes.fokker_planck import committor
    >>> from notes.mixtures import GaussianMixture
    >>> grid = torch.linspace(-4, 4, 81, dtype=torch.float64)
    >>> h = committor(GaussianMixture([[-2.0], [2.0]], 1.0), -2.0, 2.0, grid)
    >>> [f"{h[i]:.2f}" for i in (10, 40, 70)]  # at −3, 0 and 3
    ['1.00', '0.50', '0.00']
    """
    left, right = check.real("left", left), check.real("right", right)
    grid = check.even_grid("grid", grid)
    if not grid[0] <= left < right <= grid[-1]:
        raise ValueError(
            f"left and right must satisfy {grid[0]:g} ≤ left < right ≤ {grid[-1]:g}, got {left} and {right}"
        )
    inside = grid.clamp(left, right)
    log_prob = _log_prob(density, inside)
    ahead = torch.cumulative_trapezoid((log_prob.min() - log_prob).exp().flip(0), -inside.flip(0)).flip(0)
    return torch.cat([ahead, ahead.new_zeros(1)]) / ahead[0]


def _evolve(rates: torch.Tensor, law: torch.Tensor, times: list[float]) -> torch.Tensor:
    """The masses exp(t R) law at each time, (T, G), each of sum one.

    exp(h R) for an h that is short enough is squared for twice the time, again and again; a time is its binary digits
    and what is left of one h. Nothing is subtracted, and the masses of a column are kept at one: an error neither grows
    with time nor with how small a mass is.
    """
    fastest = -rates.diagonal().min().item()
    unit = 2.0 ** -math.ceil(math.log2(2 * fastest))
    step = unit * (rates + fastest * torch.eye(len(rates), dtype=rates.dtype))  # h R + c I ≥ 0

    def series(start, share):  # exp(share · h R) start
        total = term = start
        for power in range(1, 20):  # ½¹⁹/19! = 2e-23
            term = step @ term * (share / power)
            total = total + term
        return total / total.sum(0)

    whole = [int(time / unit) for time in times]
    left = torch.tensor([math.fmod(time, unit) / unit for time in times], dtype=rates.dtype)
    laws = series((law / law.sum())[:, None].expand(-1, len(times)), left)
    laws[:, left == 0] = (law / law.sum())[:, None]
    longer = series(torch.eye(len(rates), dtype=rates.dtype), 1.0)
    while any(whole):
        odd = torch.tensor([n % 2 == 1 for n in whole])
        laws[:, odd] = longer @ laws[:, odd]
        whole = [n // 2 for n in whole]
        if (longer.amax(1) <= longer.amin(1) * (1 + 1e-13)).all():  # all is forgotten: longer it stays as it is
            whole = [min(n, 1) for n in whole]
        else:
            longer = longer @ longer
            longer = longer / longer.sum(0)
    return (laws / laws.sum(0)).T.contiguous()


def _log_prob(density, grid):
    """The log-density at the points of a grid, all of it finite."""
    log_prob = check.one_each("density.log_prob", density.log_prob(grid[:, None]), grid[:, None])
    return check.finite("density.log_prob on the grid", log_prob)


def _log_time(log_p, spacing):
    """log 1/λ of the law with these log-masses, to rounding."""
    log_p = log_p.log_softmax(0)
    # Let g_i be the step of f across the i-th face between cells. Then Var f = Σ K_ij g_i g_j, where for i ≤ j
    # K_ij = F_i (1 − F_j), the covariance of lying beyond the i-th face and beyond the j-th; and Var f falls at the
    # rate 2 Σ c_i g_i², with c the flow across a face. So 1/λ is the largest eigenvalue of K_ij / √(c_i c_j), in which
    # nothing cancels.
    flow = torch.minimum(log_p[1:], log_p[:-1]) + _bernoulli(-log_p.diff().abs()).log() - 2 * math.log(spacing)
    below, beyond = log_p.logcumsumexp(0)[:-1], log_p.flip(0).logcumsumexp(0).flip(0)[1:]
    covariance = below[:, None] + beyond
    times = torch.minimum(covariance, covariance.T) - (flow[:, None] + flow) / 2
    longest = times.max()  # taken out, so that no barrier overflows
    return longest + torch.linalg.eigvalsh((times - longest).exp())[-1].log()


def _tail(log_p):
    """How many cells at the beginning of a law rise and hold less than 1 % of it together."""
    light = log_p.logcumsumexp(0)[1:] < math.log(0.01)
    return ((log_p.diff() > 0) & light).long().cumprod(0).sum().item()


def _rates(density, grid):
    """The generator R of the cell masses, dρ/dt = R ρ: R[i, j] is the rate from cell j to cell i."""
    log_prob = _log_prob(density, grid)
    climb = -log_prob.diff()  # of the energy −log p, from each cell to the next
    spacing = (grid[1] - grid[0]).item()
    up, down = _bernoulli(climb) / spacing**2, _bernoulli(-climb) / spacing**2
    leave = torch.zeros_like(grid)
    leave[:-1] += up
    leave[1:] += down
    return up.diag(-1) + down.diag(1) - leave.diag()


def _bernoulli(z):
    """z / (eᶻ − 1), the Scharfetter–Gummel weight, 1 at z = 0."""
    small = z.abs() < 1e-6
    safe = torch.where(small, torch.ones_like(z), z)
    return torch.where(small, 1 - z / 2, safe / torch.expm1(safe))
