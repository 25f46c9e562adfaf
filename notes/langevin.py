"""Langevin dynamics, with and without a Metropolis correction, and the laws it is measured against."""

import math
from collections.abc import Callable
from typing import Protocol

import torch

from notes import _arguments as check
from notes._threads import one_thread

__all__ = ["langevin", "mala", "stationary_variance", "transition_matrix", "stationary_law"]

_Score = Callable[[torch.Tensor], torch.Tensor]


class _Density(Protocol):
    """A law known up to a factor, and its score."""

    def log_prob(self, x: torch.Tensor) -> torch.Tensor: ...

    def score(self, x: torch.Tensor) -> torch.Tensor: ...


@torch.no_grad()
def langevin(
    score: _Score,
    x0: torch.Tensor,
    step_size: float,
    n_steps: int,
    *,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    record_every: int | None = None,
) -> torch.Tensor:
    r"""Walk n particles along a score, with noise: the unadjusted Langevin algorithm.

    .. math::

       x_{t+1} &= x_t + \tau\, s(x_t) + \sqrt{2 \tau T}\, z_t \\
       z_t &\sim \mathcal{N}(0, I)

    For small τ and T = 1 it samples from the p with s = ∇ log p; T is the temperature, the law it aims at is
    :math:`p^{1/T}`, and T = 0 is gradient ascent on log p. A step x + τ s + b z has :math:`T = b^2 / (2\tau)`.

    Parameters
    ----------
    score : callable
        (n, d) → (n, d). It is called without autograd; one that needs it calls ``torch.enable_grad``. What it returns
        in a wider dtype is used in it.
    x0 : (n, d) Tensor
        Finite, the particles' start. The walk stays in its dtype and on its device.
    step_size : float
        τ > 0, in squared units of x.
    n_steps : int
        0 returns x0.
    temperature : float
        T ≥ 0.
    generator : torch.Generator, optional
        Of the noise, on the device of x0; None is torch's default one.
    record_every : int, optional
        None for the last state alone; or a number of which n_steps is a multiple, for the path.

    Returns
    -------
    (n, d) Tensor
        The last state; or the path, (n_steps // record_every + 1, n, d): every ``record_every``-th state, the first
        one x0.

    Raises
    ------
    ValueError
        Bad input, by name; a score that returns another shape.
    TypeError
        An argument of another kind, by name.
    FloatingPointError
        The walk left the finite numbers, with the step at which it did.

    References
    ----------
    Roberts & Tweedie (1996), https://doi.org/10.2307/3318418.

    Examples
    --------
    >>> import torch
    >>> from notes.langevin import langevin
    >>> generator = torch.Generator().manual_seed(0)
    >>> x0 = torch.zeros(100_000, 1)
    >>> x = langevin(lambda x: -x, x0, 1.0, 20, generator=generator)
    >>> print(f"{x.var():.1f}")  # not 1: the bias of so long a step
    2.0
    >>> path = langevin(lambda x: -x, x0, 1.0, 20, record_every=5)
    >>> path.shape  # states, particles, dimensions
    torch.Size([5, 100000, 1])
    """
    x, step_size, n_steps, record_every = _check_walk(x0, step_size, n_steps, record_every, generator)
    check.function("score", score)
    noise_std = math.sqrt(2 * step_size) * math.sqrt(
        check.representable("temperature", check.non_negative("temperature", temperature), x)
    )
    path = _path(x, n_steps, record_every)
    x = x.to(torch.promote_types(x0.dtype, torch.float32))  # half precision would lose small steps
    noise = torch.empty_like(x)
    own_work = one_thread(4 * x.numel())
    for step in range(1, n_steps + 1):
        drift = check.same_shape("score", score(x.to(x0.dtype)), x)
        with own_work:
            x = torch.add(x, drift, alpha=step_size).to(x)
            if noise_std > 0:
                x.add_(noise.normal_(generator=generator), alpha=noise_std)
            if not _is_finite(x):
                raise FloatingPointError(
                    f"the walk left the finite numbers at step {step} with step_size={step_size:g}: it diverges. "
                    "On a Gaussian of variance σ² a Langevin walk is stable only while step_size < 2σ²"
                )
            if path is not None and step % record_every == 0:
                path[step // record_every] = x
    return x.to(x0.dtype) if path is None else path


@torch.no_grad()
def mala(
    density: _Density,
    x0: torch.Tensor,
    step_size: float,
    n_steps: int,
    *,
    generator: torch.Generator | None = None,
    record_every: int | None = None,
) -> tuple[torch.Tensor, float]:
    r"""Langevin steps as Metropolis–Hastings proposals (MALA): exact in its stationary law at any step size.

    .. math::

       x' &\sim q(\cdot \mid x) = \mathcal{N}(x + \tau s(x),\, 2 \tau I) \\
       \alpha &= \min\!\left(1, \frac{p(x')\, q(x \mid x')}{p(x)\, q(x' \mid x)}\right)

    The particle moves to x′ with the probability α and stays at x otherwise.

    Parameters
    ----------
    density : object
        Anything with ``log_prob`` (n, d) → (n,) and ``score`` (n, d) → (n, d), such as a GaussianMixture. What they
        return in a wider dtype is used in it.
    x0, step_size, n_steps, generator, record_every : as in :func:`langevin`
        The walk.

    Returns
    -------
    x : (n, d) Tensor
        The last state, or the path, as in :func:`langevin`.
    acceptance_rate : float
        Over all particles and steps; NaN when nothing was proposed.

    Raises
    ------
    ValueError
        Bad input, by name; a start at which the density is zero or not finite.
    TypeError
        An argument of another kind, by name.
    FloatingPointError
        At a finite proposal the log-density is NaN or +∞, or where it is not −∞ the score is not finite. A proposal
        that overshoots into overflow is rejected, as is one of log-density −∞.

    References
    ----------
    Besag (1994), comment on Grenander & Miller; Roberts & Tweedie (1996), https://doi.org/10.2307/3318418.

    Examples
    --------
    >>> import torch
    >>> from notes.langevin import mala
    >>> from notes.mixtures import GaussianMixture
    >>> p, x0 = GaussianMixture([[0.0]], 1.0), torch.zeros(10_000, 1)
    >>> generator = torch.Generator().manual_seed(0)
    >>> x, rate = mala(p, x0, 0.5, 100, generator=generator)
    >>> print(f"variance {x.var():.1f}, accepted {rate:.0%}")
    variance 1.0, accepted 92%
    """
    x, step_size, n_steps, record_every = _check_walk(x0, step_size, n_steps, record_every, generator)

    for name in ("log_prob", "score"):
        check.function(f"density.{name}", getattr(density, name, None))

    def evaluate(x, step):
        """The log-density and the mean of the next proposal, each in the wider dtype of what comes and of x."""
        log_prob = check.one_each("density.log_prob", density.log_prob(x), x)
        score = check.same_shape("density.score", density.score(x), x)
        with one_thread(4 * x.numel()):
            finite = torch.isfinite(x).all(1)  # where a proposal overflows, anything may come back
            for name, bad in [
                ("log_prob", finite & (log_prob.isnan() | log_prob.isposinf())),
                ("score", finite & ~log_prob.isneginf() & ~torch.isfinite(score).all(1)),
            ]:
                if step and bad.any():
                    where = bad.nonzero()[0].item()
                    got = (log_prob if name == "log_prob" else score)[where]
                    raise FloatingPointError(
                        f"density.{name} is {'NaN' if got.isnan().any() else 'infinite'} at a proposal of step {step} "
                        f"with step_size={step_size:g}, that of particle {where}: x = {x[where].tolist()}"
                    )
            return log_prob.to(torch.promote_types(log_prob.dtype, wide)), torch.add(x.to(wide), score, alpha=step_size)

    wide = torch.promote_types(x.dtype, torch.float32)
    log_prob, centre = evaluate(x, step=0)
    if not (torch.isfinite(log_prob).all() and torch.isfinite(centre).all()):
        raise ValueError("x0 must lie where density.log_prob and density.score are finite")
    path = _path(x, n_steps, record_every)
    n_accepted = 0
    for step in range(1, n_steps + 1):
        with one_thread(4 * x.numel()):
            noise = torch.empty_like(x, dtype=wide).normal_(generator=generator)
            proposal = (centre + math.sqrt(2) * math.sqrt(step_size) * noise).to(x)
        new_log_prob, new_centre = evaluate(proposal, step)
        with one_thread(4 * x.numel()):
            # A difference of two lengths in units of √(4τ); what the rounding of a proposal moves is in both.
            there, back = ((a - b) / (2 * math.sqrt(step_size)) for a, b in ((proposal, centre), (x, new_centre)))
            log_ratio = new_log_prob - log_prob + there.square().sum(1) - back.square().sum(1)
            uniform = torch.empty_like(x[:, 0], dtype=wide).uniform_(generator=generator)
            accept = uniform.log() < log_ratio  # a ratio that is NaN compares false: such a proposal is rejected
            x = torch.where(accept[:, None], proposal, x)
            centre = torch.where(accept[:, None], new_centre, centre)
            log_prob = torch.where(accept, new_log_prob, log_prob)
            n_accepted += accept.sum().item()
            if path is not None and step % record_every == 0:
                path[step // record_every] = x
    proposed = n_steps * len(x)
    return x if path is None else path, n_accepted / proposed if proposed else math.nan


def stationary_variance(variance: float, step_size: float) -> float:
    r"""The variance that Langevin's recursion settles at on a Gaussian of variance σ².

    .. math:: \frac{\sigma^2}{1 - \tau / (2\sigma^2)}, \qquad \infty \text{ from } \tau = 2\sigma^2 \text{ on}

    The recursion is x ← (1 − τ/σ²) x + √(2τ) z, so that its variance v solves v = (1 − τ/σ²)² v + 2τ.

    Examples
    --------
    >>> from notes.langevin import stationary_variance
    >>> [stationary_variance(1.0, step_size) for step_size in (0.5, 1, 2)]
    [1.3333333333333333, 2.0, inf]
    """
    variance, step_size = check.positive("variance", variance), check.positive("step_size", step_size)
    remaining = 1 - step_size / variance / 2
    return variance / remaining if remaining > 0 else math.inf


def transition_matrix(score: _Score, step_size: float, grid: torch.Tensor) -> torch.Tensor:
    r"""One step of Langevin's recursion in one dimension as a matrix that acts on densities over a grid.

    .. math::

       \rho_{t+1}(x') &= \int P(x', x)\, \rho_t(x)\, dx \\
       P(x', x) &= \mathcal{N}(x';\, x + \tau s(x),\, 2\tau)

    ``score`` is a callable (n, 1) → (n, 1); ``grid`` is (G,), evenly spaced, wide enough for all of the mass, which
    stays on it, and fine enough for a step's noise: a spacing over √(2τ)/2 raises ValueError. Returns (G, G) in
    float64; its columns sum to one. Its powers take the walk's law from step to step, with the bias that the
    step size brings, as exactly as the grid resolves it.

    Examples
    --------
    >>> import torch
    >>> from notes.langevin import transition_matrix
    >>> grid = torch.linspace(-6, 6, 121, dtype=torch.float64)
    >>> step = transition_matrix(lambda x: -x, 0.5, grid)
    >>> mass = torch.zeros_like(grid)
    >>> mass[100] = 1.0  # all of it at 4
    >>> print(f"{grid @ step @ mass:.3f}")  # its mean after the step
    2.000
    """
    step_size = check.positive("step_size", step_size)
    grid = check.even_grid("grid", grid)
    spacing, noise_std = (grid[1] - grid[0]).item(), math.sqrt(2) * math.sqrt(step_size)
    if spacing > noise_std / 2:
        raise ValueError(
            f"grid must resolve a step's noise: spacing {spacing:.3g}, at most {noise_std / 2:.3g} is wanted"
        )
    drift = check.same_shape("score", score(grid[:, None]), grid[:, None])[:, 0]
    arrival = grid + step_size * check.finite("score on the grid", drift)
    return torch.softmax(-0.5 * ((grid[:, None] - arrival) / noise_std) ** 2, dim=0)


def stationary_law(score: _Score, step_size: float, grid: torch.Tensor) -> torch.Tensor:
    r"""Where Langevin's recursion settles in one dimension: the fixed point of its :func:`transition_matrix`.

    Arguments as there. Returns (G,), a density in float64 that integrates to one over the grid's cells; ValueError when
    it reaches the ends of the grid, as it does past the stable step size.

    Examples
    --------
    >>> import torch
    >>> from notes.langevin import stationary_law
    >>> grid = torch.linspace(-8, 8, 161, dtype=torch.float64)
    >>> law = stationary_law(lambda x: -x, 0.5, grid)
    >>> print(f"{(law * grid**2).sum() * 0.1:.3f}")  # its variance, 4/3
    1.333
    """
    transition = transition_matrix(score, step_size, grid)
    grid = check.even_grid("grid", grid)
    law = _fixed_point(transition) / (grid[1] - grid[0])
    if not torch.isfinite(law).all():
        raise ValueError("score must let the walk pass from everywhere to everywhere, or there is no one law")
    if max(law[0], law[-1]) > 1e-3 * law.max():
        raise ValueError(
            "grid must hold all of the law, which reaches its ends: widen it, or there is no stationary law"
        )
    return law


def _fixed_point(transition: torch.Tensor) -> torch.Tensor:
    """π = P π, of sum one: one state after another is taken out of the chain, and nothing is ever subtracted, so that
    each mass has all its digits (Grassmann, Taksar & Heyman 1985)."""
    chain, mass = transition.clone(), torch.ones_like(transition[0])
    for last in range(len(chain) - 1, 0, -1):
        chain[last, :last] /= chain[:last, last].sum()
        chain[:last, :last].addr_(chain[:last, last], chain[last, :last])
    for state in range(1, len(chain)):
        mass[state] = chain[state, :state] @ mass[:state]
        if mass[state] > 1:  # the largest so far is 1: what overflows would be a tail against the rest
            mass[: state + 1] /= mass[state].clone()
    return mass / mass.sum()


def _check_walk(x0, step_size, n_steps, record_every, generator):
    x = check.finite("x0", check.points("x0", x0)).detach().clone(memory_format=torch.contiguous_format)
    step_size = check.representable("step_size", check.positive("step_size", step_size), x)
    n_steps = check.count("n_steps", n_steps, least=0)
    if record_every is not None and n_steps % (record_every := check.count("record_every", record_every)):
        raise ValueError(f"n_steps must be a multiple of record_every={record_every}, got {n_steps}")
    check.on_device(generator, x.device)
    return x, step_size, n_steps, record_every


def _path(x, n_steps, record_every):
    """Room for the recorded states, with the first one in it; None where only the last is wanted."""
    if record_every is None:
        return None
    path = x.new_empty(n_steps // record_every + 1, *x.shape)
    path[0] = x
    return path


def _is_finite(x):
    # The sum is a cheap witness: only where it overflows is every entry looked at.
    return math.isfinite(x.sum().item()) or bool(torch.isfinite(x).all())
