r"""Down a ladder of noise: annealed Langevin dynamics, the reverse diffusion, the probability flow and its likelihood.

With :math:`p_\sigma` the law of x′ + σz, z ~ N(0, I), a score is here any callable ``score(x, sigma)``, (n, d) and a
positive number → (n, d), for ∇ log p_σ: a :class:`~notes.networks.NoiseConditionalNetwork`, or, exact, the
:meth:`~notes.mixtures.GaussianMixture.smoothed_score` of a mixture. It is called without autograd, but by
:func:`log_likelihood`; what it returns in a wider dtype is used in it. A ladder is a falling sequence of noise scales,
:math:`\sigma_1 > \dots > \sigma_L > 0`. Particles start from white noise of standard deviation σ₁, or from p_σ at σ₁
where that is known.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from notes import _arguments as check
from notes._progress import progress
from notes._threads import one_thread

__all__ = [
    "ladder",
    "annealed_langevin",
    "ladder_variance",
    "reverse_diffusion",
    "probability_flow",
    "log_likelihood",
    "denoised",
    "guided",
]

_Score = Callable[[Tensor, float], Tensor]


class _Density(Protocol):
    """A law known with its constant."""

    def log_prob(self, x: Tensor) -> Tensor: ...


def ladder(sigma_max: float, sigma_min: float, n: int) -> Tensor:
    r"""A geometric ladder of noise scales, each the same part of the one before.

    .. math:: \sigma_i = \sigma_{\max} \Bigl(\frac{\sigma_{\min}}{\sigma_{\max}}\Bigr)^{(i-1)/(n-1)},
       \qquad i = 1, \dots, n

    Parameters
    ----------
    sigma_max, sigma_min : float
        σ₁ > σ_L > 0.
    n : int
        Rungs, at least 2.

    Returns
    -------
    (n,) Tensor
        Falling, in float64; its ends are the numbers given.

    Raises
    ------
    ValueError
        Bad input, by name; so many rungs that two are equal.
    TypeError
        Input of another kind, by name.

    Examples
    --------
    >>> from notes.diffusion import ladder
    >>> ladder(4.0, 0.25, 5)
    tensor([4.0000, 2.0000, 1.0000, 0.5000, 0.2500], dtype=torch.float64)
    """
    high, low = check.positive("sigma_max", sigma_max), check.positive("sigma_min", sigma_min)
    n = check.count("n", n, least=2)
    if not low < high:
        raise ValueError(f"sigma_min must be below sigma_max={high:g}, got {low:g}")
    sigmas = torch.linspace(math.log(high), math.log(low), n, dtype=torch.float64, device="cpu").exp()
    sigmas[0], sigmas[-1] = high, low
    if not (sigmas.diff() < 0).all():
        raise ValueError(f"n must be so small that the rungs from {high} to {low} are different numbers, got {n}")
    return sigmas


@torch.no_grad()
def annealed_langevin(
    score: _Score,
    x0: Tensor,
    sigmas: Sequence[float] | Tensor,
    epsilon: float,
    n_steps: int,
    *,
    generator: torch.Generator | None = None,
    record_every: int | None = None,
) -> Tensor:
    r"""Langevin dynamics on each rung of a ladder in turn, its step as the square of the noise.

    .. math::

       \alpha_i &= \varepsilon\, \sigma_i^2 / \sigma_L^2 \\
       x &\leftarrow x + \tfrac12 \alpha_i\, s(x, \sigma_i) + \sqrt{\alpha_i}\, z

    On each rung it is :func:`~notes.langevin.langevin` with τ = α/2. What it leaves behind of a Gaussian is
    :func:`ladder_variance`; ε below 4 σ_L² is stable.

    Parameters
    ----------
    score : callable
        (n, d) and σ, a number → (n, d).
    x0 : (n, d) Tensor
        Finite, the particles' start. The walk stays in its dtype and on its device.
    sigmas : sequence of numbers
        The ladder, falling, at least two rungs; see :func:`ladder`.
    epsilon : float
        ε > 0, the step α on the last rung, in squared units of x.
    n_steps : int
        On each rung; 0 returns x0.
    generator : torch.Generator, optional
        Of the noise, on the device of x0; None is torch's default one.
    record_every : int, optional
        None for the last state alone; or a number of which all L · n_steps steps are a multiple, for the path.

    Returns
    -------
    (n, d) Tensor
        The last state; or the path, (L · n_steps // record_every + 1, n, d): every ``record_every``-th state, the
        first one x0.

    Raises
    ------
    ValueError
        Bad input, by name; a score that returns another shape.
    TypeError
        An argument of another kind, by name.
    FloatingPointError
        The walk left the finite numbers, with the step and the σ at which it did.

    References
    ----------
    Song & Ermon (2019), https://arxiv.org/abs/1907.05600, whose algorithm has ε σᵢ²/σ_L² as its step.

    Examples
    --------
    >>> import torch
    >>> from notes.diffusion import annealed_langevin, ladder
    >>> from notes.mixtures import GaussianMixture
    >>> p = GaussianMixture([[2.0], [-2.0]], [0.5, 0.2], weights=[0.6, 0.4])
    >>> sigmas = ladder(4.0, 0.05, 20)
    >>> generator = torch.Generator().manual_seed(0)
    >>> x0 = 4 * torch.randn(10_000, 1, generator=generator)
    >>> x = annealed_langevin(
    ...     p.smoothed_score, x0, sigmas, 0.0005, 50, generator=generator
    ... )
    >>> print(f"{(x < 0).double().mean():.1f}")
    0.4
    """
    sigmas, epsilon = check.falling("sigmas", sigmas), check.positive("epsilon", epsilon)
    n_steps = check.count("n_steps", n_steps, least=0)
    ratio = epsilon / sigmas[-1] / sigmas[-1]
    run = _Run(score, x0, sigmas, len(sigmas) * n_steps, generator, record_every)
    run.hint = (
        f"with epsilon={epsilon:g}: it diverges. On a Gaussian annealed Langevin is stable while epsilon < 4σ_L², "
        f"here {4 * sigmas[-1] ** 2:g}"
    )
    run.representable("epsilon", epsilon)
    run.representable("epsilon/σ_L²", ratio)
    return run.through(lambda k, x: run.langevin(x, sigmas[k // n_steps], ratio), lambda k: sigmas[k // n_steps])


def ladder_variance(
    variance: float, sigmas: Sequence[float] | Tensor, epsilon: float, n_steps: int, *, each_rung: bool = False
) -> float | Tensor:
    r"""The variance that :func:`annealed_langevin` leaves on N(0, s²), from white noise of σ₁: exact.

    .. math::

       v &\leftarrow (1 - a_i)^2\, v + \alpha_i, \qquad v_0 = \sigma_1^2 \\
       a_i &= \frac{\alpha_i}{2 (s^2 + \sigma_i^2)}, \quad \alpha_i = \varepsilon\, \sigma_i^2 / \sigma_L^2

    n_steps times on each rung. Where σ₁² ≥ s² + σ_L² it ends above s² + σ_L², that of p_σ at σ_L: a finite step has a
    bias, and a finite ladder carries something of the first noise to the end. An offset of the mean is multiplied by
    1 − a in each step.

    Parameters
    ----------
    variance : float
        s² ≥ 0; 0 for a single datum.
    sigmas, epsilon, n_steps : as in :func:`annealed_langevin`
        The walk.
    each_rung : bool
        Whether to give the variance at the end of each rung.

    Returns
    -------
    float or (L,) Tensor
        The variance at the end; or at the end of each rung, in float64. Past the stable step it grows, to infinity.

    Raises
    ------
    ValueError
        Bad input, by name.
    TypeError
        Input of another kind, by name.

    References
    ----------
    Song & Ermon (2020), https://arxiv.org/abs/2006.09011, for a single datum and a single rung.

    Examples
    --------
    >>> from notes.diffusion import ladder, ladder_variance
    >>> sigmas = ladder(4.0, 0.05, 20)
    >>> for n_steps in (5, 50):
    ...     v = ladder_variance(0.25, sigmas, 0.0005, n_steps)
    ...     print(f"{(v / (0.25 + 0.05**2)) ** 0.5:.3f}")
    1.366
    1.025
    """
    variance, sigmas = check.non_negative("variance", variance), check.falling("sigmas", sigmas)
    epsilon, n_steps = check.positive("epsilon", epsilon), check.count("n_steps", n_steps, least=0)
    ratio = epsilon / sigmas[-1] / sigmas[-1]
    now, rungs = sigmas[0] * sigmas[0], []
    for sigma in sigmas:
        alpha = ratio * sigma * sigma
        left = 1 - alpha / (variance + sigma * sigma) / 2
        for _ in range(n_steps):
            now = left * left * now + alpha
        rungs.append(now)
    return torch.tensor(rungs, dtype=torch.float64) if each_rung else now


@torch.no_grad()
def reverse_diffusion(
    score: _Score,
    x0: Tensor,
    sigmas: Sequence[float] | Tensor,
    *,
    eta: float = 1.0,
    corrector_steps: int = 0,
    corrector_ratio: float = 0.1,
    generator: torch.Generator | None = None,
    record_every: int | None = None,
) -> Tensor:
    r"""Particles carried down a ladder by the score, each step from one rung to the next.

    .. math::

       \Delta_i &= \sigma_i^2 - \sigma_{i+1}^2 \\
       x &\leftarrow x + \tfrac12 (1 + \eta)\, \Delta_i\, s(x, \sigma_i) + \sqrt{\eta\, \Delta_i}\, z

    For fine ladders every η ≥ 0 turns p_σ at σ₁ into p_σ at σ_L: η = 1 is the reverse-time SDE, η = 0 the probability
    flow, of first order (:func:`probability_flow` is of second), and what is beyond 0 is Langevin dynamics on the way.
    After each step come ``corrector_steps`` of Langevin on the new rung, with the step size α = r σ² of
    :func:`annealed_langevin`.

    Parameters
    ----------
    score : callable
        (n, d) and σ, a number → (n, d).
    x0 : (n, d) Tensor
        Finite, the particles' start, at σ₁.
    sigmas : sequence of numbers
        The ladder, falling, at least two rungs.
    eta : float
        η ≥ 0.
    corrector_steps : int
        Langevin steps on each rung but the first.
    corrector_ratio : float
        r > 0, of a corrector's α to σ²; below 4 it is stable.
    generator : torch.Generator, optional
        Of the noise, on the device of x0; None is torch's default one.
    record_every : int, optional
        None for the last state alone; or a number of which L − 1 is a multiple, for the path.

    Returns
    -------
    (n, d) Tensor
        The last state, at σ_L; or the path, ((L − 1) // record_every + 1, n, d): every ``record_every``-th rung's, the
        first one x0.

    Raises
    ------
    ValueError
        Bad input, by name; a score that returns another shape.
    TypeError
        An argument of another kind, by name.
    FloatingPointError
        The particles left the finite numbers, with the step and the σ at which they did.

    References
    ----------
    Song et al. (2021), https://arxiv.org/abs/2011.13456.

    Examples
    --------
    >>> import torch
    >>> from notes.diffusion import ladder, reverse_diffusion
    >>> from notes.mixtures import GaussianMixture
    >>> p = GaussianMixture([[2.0], [-2.0]], [0.5, 0.2], weights=[0.6, 0.4])
    >>> generator = torch.Generator().manual_seed(0)
    >>> x0 = p.smoothed(4.0).sample(10_000, generator)
    >>> x = reverse_diffusion(
    ...     p.smoothed_score, x0, ladder(4.0, 0.05, 200), generator=generator
    ... )
    >>> print(f"{(x < 0).double().mean():.1f}")
    0.4
    """
    sigmas, eta = check.falling("sigmas", sigmas), check.non_negative("eta", eta)
    corrector_steps = check.count("corrector_steps", corrector_steps, least=0)
    corrector_ratio = check.positive("corrector_ratio", corrector_ratio)
    run = _Run(score, x0, sigmas, len(sigmas) - 1, generator, record_every)
    run.representable("eta", eta)
    run.representable("corrector_ratio", corrector_ratio)

    def step(k, x):
        sigma, below = sigmas[k], sigmas[k + 1]
        change = (sigma - below) * (sigma + below)
        x = run.moved(x, run.score(x, sigma), 0.5 * (1 + eta) * change, math.sqrt(eta) * math.sqrt(change))
        for _ in range(corrector_steps):
            x = run.langevin(x, below, corrector_ratio)
        return x

    return run.through(step, lambda k: sigmas[k])


@torch.no_grad()
def probability_flow(
    score: _Score, x0: Tensor, sigmas: Sequence[float] | Tensor, *, record_every: int | None = None
) -> Tensor:
    r"""Particles carried down a ladder without noise: the probability flow, by Heun's method.

    .. math:: \frac{dx}{d\sigma} = -\sigma\, s(x, \sigma)

    It turns p_σ at σ₁ into p_σ at σ_L, each particle along a smooth path, and no two paths cross. Two evaluations of
    the score a step, and an error of the order of the square of the step; on a single datum it is exact.

    Parameters
    ----------
    score : callable
        (n, d) and σ, a number → (n, d).
    x0 : (n, d) Tensor
        Finite, the particles' start, at σ₁.
    sigmas : sequence of numbers
        The ladder, falling, at least two rungs.
    record_every : int, optional
        None for the last state alone; or a number of which L − 1 is a multiple, for the path.

    Returns
    -------
    (n, d) Tensor
        The last state, at σ_L; or the path, as in :func:`reverse_diffusion`.

    Raises
    ------
    ValueError
        Bad input, by name; a score that returns another shape.
    TypeError
        An argument of another kind, by name.
    FloatingPointError
        The particles left the finite numbers, with the step and the σ at which they did.

    References
    ----------
    Song et al. (2021), https://arxiv.org/abs/2011.13456; Karras et al. (2022), https://arxiv.org/abs/2206.00364, for
    Heun's method in σ.

    Examples
    --------
    >>> import torch
    >>> from notes.diffusion import ladder, probability_flow
    >>> from notes.mixtures import GaussianMixture
    >>> p = GaussianMixture([[0.0]], 3.0)
    >>> x0 = torch.tensor([[5.0]])  # of p_σ at 4, N(0, 25)
    >>> sigmas = ladder(4.0, 0.01, 100)
    >>> x = probability_flow(p.smoothed_score, x0, sigmas)
    >>> print(f"{x.item():.2f}")
    3.00
    """
    sigmas = check.falling("sigmas", sigmas)
    run = _Run(score, x0, sigmas, len(sigmas) - 1, None, record_every)

    def step(k, x):
        return run.heun(x, sigmas[k], sigmas[k + 1], lambda x, sigma: (run.score(x, sigma), 0.0))[0]

    return run.through(step, lambda k: sigmas[k])


def log_likelihood(
    score: _Score,
    x: Tensor,
    sigmas: Sequence[float] | Tensor,
    prior: _Density,
    *,
    n_projections: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""The log-likelihood of points under the probability flow, which carries the prior at σ₁ down to σ_L.

    .. math::

       &\log p_{\sigma_L}(x) = \log p_{\sigma_1}\bigl(x(\sigma_1)\bigr) \\
       &- \int_{\sigma_L}^{\sigma_1} \sigma\, \nabla \cdot s(x(\sigma), \sigma)\, d\sigma

    along the flow that leads up from x, by Heun's method. With the exact score and prior it is the log-density of p_σ
    at σ_L; with a learned score it is that of the law which the flow makes of the prior, not that of the law of which
    the score was learned.

    The divergence takes d backward passes; or ``n_projections``, each along a random direction v with entries ±1, the
    same all the way, since :math:`\mathbb{E}\, v^\top (\nabla s)\, v = \nabla \cdot s`.

    Parameters
    ----------
    score : callable
        (n, d) and σ, a number → (n, d), differentiable in x; each row's output a function of that row alone.
    x : (n, d) Tensor
        Finite, the points, at σ_L.
    sigmas : sequence of numbers
        The ladder, falling, at least two rungs.
    prior : object
        With ``log_prob``, (n, d) → (n,): the law at σ₁.
    n_projections : int, optional
        None for the divergence itself; or directions for each row, at least 2.
    generator : torch.Generator, optional
        Of the directions, on the device of x; None is torch's default one.

    Returns
    -------
    (n,) Tensor, or two of them
        The log-likelihood, in nats; with ``n_projections`` its mean over the directions, and the standard error of
        that.

    Raises
    ------
    ValueError
        Bad input, by name; a score of another shape, or one that does not depend on x.
    TypeError
        An argument of another kind, by name.
    FloatingPointError
        The flow left the finite numbers, with the step and the σ at which it did.

    References
    ----------
    Chen et al. (2018), https://arxiv.org/abs/1806.07366; Grathwohl et al. (2019), https://arxiv.org/abs/1810.01367, for
    the random directions; Song et al. (2021), https://arxiv.org/abs/2011.13456.

    Examples
    --------
    >>> import torch
    >>> from notes.diffusion import ladder, log_likelihood
    >>> from notes.mixtures import GaussianMixture
    >>> p = GaussianMixture([[0.0]], 3.0)
    >>> x, sigmas = torch.tensor([[1.0]]), ladder(4.0, 0.01, 200)
    >>> log_likelihood(p.smoothed_score, x, sigmas, p.smoothed(4.0))
    tensor([-2.0731])
    >>> p.log_prob(x)
    tensor([-2.0731])
    """
    sigmas = check.falling("sigmas", sigmas)[::-1]
    check.function("prior.log_prob", getattr(prior, "log_prob", None))
    run = _Run(score, x, sigmas, len(sigmas) - 1, generator, name="x")
    directions = None
    if n_projections is not None:
        n_projections = check.count("n_projections", n_projections, least=2)
        coins = torch.randint(2, (n_projections, *x.shape), generator=generator, device=x.device)
        directions = (2 * coins - 1).to(run.x0)
    integral = 0.0  # of many steps, in float64

    def step(k, x):
        nonlocal integral
        x, gain = run.heun(x, sigmas[k], sigmas[k + 1], lambda x, s: run.score_with_divergence(x, s, directions))
        integral = integral + gain
        return x

    with torch.no_grad():
        top = run.through(step, lambda k: sigmas[k])
        at_top = check.one_each("prior.log_prob", prior.log_prob(top), x)
        if (at_top.isnan() | at_top.isposinf()).any():
            raise FloatingPointError("prior.log_prob is NaN or infinite at a point to which the flow leads")
        if not torch.isfinite(integral).all():
            raise FloatingPointError("the divergence of the score is not finite on the way")
        wide = torch.promote_types(at_top.dtype, run.x0.dtype)
        if directions is None:
            return (at_top - integral).to(wide)
        mean = integral.mean(0)
        variance = (integral - mean).square().sum(0) / (n_projections - 1)
        return (at_top - mean).to(wide), (variance / n_projections).sqrt().to(wide)


@torch.no_grad()
def denoised(score: _Score, x: Tensor, sigma: float) -> Tensor:
    r"""The mean of the clean points that the noisy ones come from: Tweedie's formula.

    .. math:: D(x, \sigma) = x + \sigma^2 s(x, \sigma) = \mathbb{E}[x' \mid x]

    for x = x′ + σz and the score of p_σ; with the score of another law it is the best guess under that law.

    Parameters
    ----------
    score : callable
        (n, d) and σ, a number → (n, d).
    x : (n, d) Tensor
        Noisy points.
    sigma : float
        σ > 0 in units of x.

    Returns
    -------
    (n, d) Tensor
        The guesses.

    Raises
    ------
    ValueError
        Bad input, by name; a score that returns another shape.
    TypeError
        Input of another kind, by name.

    References
    ----------
    Robbins (1956), who has it from Tweedie; Miyasawa (1961).

    Examples
    --------
    >>> import torch
    >>> from notes.diffusion import denoised
    >>> from notes.mixtures import GaussianMixture
    >>> p = GaussianMixture([[0.0]], 1.0)
    >>> denoised(p.smoothed_score, torch.tensor([[3.0]]), 1.0)
    tensor([[1.5000]])
    """
    check.function("score", score)
    sigma = check.representable("sigma", check.positive("sigma", sigma), check.points("x", x))
    scaled = sigma * check.same_shape("score", score(x.clone(), sigma), x)
    return x + sigma * scaled  # σ² may be no number of the dtype


def guided(model: Callable[[Tensor, float, Tensor], Tensor], label: Tensor, strength: float) -> _Score:
    r"""The score of a field that knows labels, pushed towards a label and away from none: guidance.

    .. math:: (1 + w)\, s(x, \sigma, \text{label}) - w\, s(x, \sigma)

    At w = 0 it is the score given the label. Above, it is the score of
    :math:`p_\sigma(x)\, p_\sigma(\text{label} \mid x)^{1 + w}` at each σ, and these are not the laws of one p with
    noise on it, so that samples are more typical than the data, and less varied.

    Parameters
    ----------
    model : callable
        (n, d), σ, a number, and labels (n,), −1 for none → (n, d), as :class:`~notes.networks.ImageNetwork`.
    label : (n,) Tensor
        Whole numbers, one a point, as they are now.
    strength : float
        w ≥ 0.

    Returns
    -------
    callable
        (n, d) and σ, a number → (n, d), for a sampler of n points.

    Raises
    ------
    ValueError
        A negative strength; labels of another shape, here or of another number than the points have, there; a field
        of another shape.
    TypeError
        Input of another kind, by name.

    References
    ----------
    Ho & Salimans (2022), https://arxiv.org/abs/2207.12598, whose w this is.

    Examples
    --------
    >>> import torch
    >>> from notes.diffusion import guided
    >>> towards = lambda x, sigma, label: label[:, None] - x
    >>> score = guided(towards, torch.tensor([4]), 0.5)
    >>> score(torch.zeros(1, 1), 1.0)
    tensor([[6.5000]])
    """
    check.function("model", model)
    label = check.labels("label", label).to(torch.int64, copy=True)
    strength = check.non_negative("strength", strength)

    def score(x, sigma):
        check.points("x", x)
        if len(x) != len(label):
            raise ValueError(f"x must have as many rows as there are labels, {len(label)}, got shape {tuple(x.shape)}")
        told = check.same_shape("model", model(x.clone(), sigma, label.clone()), x)
        if strength == 0:
            return told
        untold = check.same_shape("model", model(x.clone(), sigma, torch.full_like(label, -1)), x)
        return (1 + strength) * told - strength * untold

    return score


class _Run:
    """What the samplers share: particles on their way, at least in float32, through so many steps."""

    hint = "the score there is not finite, or the ladder too coarse"

    def __init__(self, score, x0, sigmas, n_steps, generator, record_every=None, name="x0"):
        check.function("score", score)
        x = check.finite(name, check.points(name, x0)).detach().clone(memory_format=torch.contiguous_format)
        if record_every is not None and n_steps % (record_every := check.count("record_every", record_every)):
            raise ValueError(f"record_every must divide the number of steps, {n_steps}, got {record_every}")
        check.on_device(generator, x.device)
        self.dtype, self.x0 = x.dtype, x.to(torch.promote_types(x.dtype, torch.float32))
        limits = torch.finfo(self.x0.dtype)
        for sigma in (min(sigmas), max(sigmas)):  # a step is a small part of σ², and needs all its digits
            if not limits.tiny / limits.eps <= sigma * sigma <= limits.max:
                raise ValueError(f"sigmas must have squares with which {self.x0.dtype} can compute, got {sigma:g}")
        self.n_steps, self.generator, self.record_every = n_steps, generator, record_every
        self.own_work = one_thread(4 * x.numel())
        self._score = score

    def representable(self, name, value):
        check.representable(name, value, self.x0)

    def score(self, x, sigma):
        return check.same_shape("score", self._score(x.to(self.dtype, copy=True), sigma), x)

    def score_with_divergence(self, x, sigma, directions):
        """The score and its divergence, in float64: (n,), or one for each random direction, (k, n)."""
        with torch.inference_mode(False), torch.enable_grad(), check.names_inference("score"):
            x = x.clone().requires_grad_()
            score = self.score(x, sigma)
            if not score.requires_grad:
                raise ValueError("score must be differentiable in x, got an output that does not depend on it")

            def slopes(output):
                return torch.autograd.grad(output, x, retain_graph=True, materialize_grads=True)[0]

            if directions is None:
                divergence = sum(slopes(column.sum())[:, i] for i, column in enumerate(score.unbind(1)))
            else:
                divergence = torch.stack([(v * slopes((v * score).sum())).sum(1) for v in directions.clone()])
        return score.detach(), divergence.detach().double()

    def moved(self, x, score, length, noise_std=0.0):
        """x + length · score + noise_std · z, in the wider dtype of both."""
        with self.own_work:
            x = torch.add(x, score, alpha=length)
            if noise_std > 0:
                x.add_(torch.empty_like(self.x0).normal_(generator=self.generator), alpha=noise_std)
            return x

    def langevin(self, x, sigma, ratio):
        """A Langevin step on p_σ, with α = ratio · σ²."""
        return self.moved(x, self.score(x, sigma), 0.5 * ratio * sigma * sigma, math.sqrt(ratio) * sigma)

    def heun(self, x, here, there, evaluate):
        """A step of the flow dx/dσ = −σ s between two noises, and what the integral of σ ∇·s over σ gains on it.

        ``evaluate`` gives the score and its divergence, or anything in its place.
        """
        half = 0.5 * (here - there)
        slope, first = evaluate(x, here)
        ahead, midway = self.moved(x, slope, 2 * half * here), self.moved(x, slope, half * here)
        slope, second = evaluate(ahead, there)
        return self.moved(midway, slope, half * there), -half * (here * first + there * second)

    def through(self, step, sigma_at):
        """The last state; or the path."""
        x, path = self.x0, None
        if self.record_every is not None:
            path = x.new_empty(self.n_steps // self.record_every + 1, *x.shape, dtype=self.dtype)
            path[0] = x
        with progress(range(self.n_steps), "sampling", delay=1) as steps:
            for k in steps:
                x = step(k, x).to(self.x0)
                with self.own_work:
                    if not torch.isfinite(x.to(self.dtype)).all():
                        raise FloatingPointError(
                            f"the particles left the finite numbers at step {k + 1} of {self.n_steps}, "
                            f"at σ = {sigma_at(k):g}, {self.hint}"
                        )
                    if path is not None and (k + 1) % self.record_every == 0:
                        path[(k + 1) // self.record_every] = x
        return x.to(self.dtype) if path is None else path
