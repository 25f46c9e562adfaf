r"""What fills a hidden part: recipes that sample the other coordinates where some are known, from an ordinary score.

With :math:`x_o = v` the coordinates that are known and :math:`x_h` the hidden ones, what is wanted is the posterior
:math:`p(x_h \mid x_o = v)`. Where p is a mixture it is known exactly
(:meth:`~notes.full_covariance.FullCovarianceMixture.given`), so that what a recipe makes can be judged. A score is
here a callable ``score(x, sigma)``, as in :mod:`notes.diffusion`.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from notes import _arguments as check
from notes.diffusion import reverse_diffusion

__all__ = ["replaced", "guided_by_known", "hidden_score"]

_Score = Callable[[Tensor, float], Tensor]


@torch.no_grad()
def replaced(
    score: _Score,
    x0: Tensor,
    sigmas: Sequence[float] | Tensor,
    known: Sequence[int] | Tensor,
    values: Tensor | Sequence[float],
    *,
    passes: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""The reverse diffusion with what is known put in its place before each step, with as much noise as the rung has.

    .. math:: x_o \leftarrow v + \sigma_i z, \qquad \text{then one step from } \sigma_i \text{ to } \sigma_{i+1}

    Each step is taken ``passes`` times, with noise in between that leads back to σᵢ, so that the hidden part has more
    time to fit the known one. It is no sampler of the posterior, even with a perfect score and endless steps: the score
    pulls the hidden part by a noisy copy of what is known, and not by what is known.

    Parameters
    ----------
    score : callable
        (n, d) and σ, a number → (n, d).
    x0 : (n, d) Tensor
        The particles' start, at σ₁.
    sigmas : sequence of numbers
        The ladder, falling, at least two rungs.
    known : sequence of int
        The coordinates that are known, some of 0 to d − 1.
    values : (m,) or (n, m) Tensor
        v, what they are; or a row for each particle.
    passes : int
        At least 1.
    generator : torch.Generator, optional
        Of the noise, on the device of x0; None is torch's default one.

    Returns
    -------
    (n, d) Tensor
        At σ_L, the known coordinates as given.

    Raises
    ------
    ValueError
        Bad input, by name.
    TypeError
        Input of another kind, by name.

    References
    ----------
    Song et al. (2021), https://arxiv.org/abs/2011.13456, for one pass; Lugmayr et al. (2022),
    https://arxiv.org/abs/2201.09865, for more.

    Examples
    --------
    >>> import torch
    >>> from notes.diffusion import ladder
    >>> from notes.inpainting import replaced
    >>> from notes.mixtures import GaussianMixture
    >>> p = GaussianMixture([[2.0, 0.0], [-2.0, 0.0]], [0.5, 0.2])
    >>> generator = torch.Generator().manual_seed(0)
    >>> x0 = 4 * torch.randn(500, 2, generator=generator)
    >>> x = replaced(
    ...     p.smoothed_score, x0, ladder(4.0, 0.05, 40), [1], [0.3],
    ...     generator=generator,
    ... )
    >>> x[:, 1].unique()
    tensor([0.3000])
    """
    check.function("score", score)
    dtype = check.finite("x0", check.points("x0", x0)).dtype
    x = x0.detach().to(torch.promote_types(dtype, torch.float32), copy=True)  # in half precision small steps were lost
    known, values = _at(x, *_told(known, values))
    passes, rungs = check.count("passes", passes), check.falling("sigmas", sigmas)
    check.on_device(generator, x.device)

    def noise(shape):
        return torch.randn(shape, generator=generator, dtype=x.dtype, device=x.device)

    def in_its_dtype(x, sigma):
        return score(x.to(dtype), sigma)

    for here, there in itertools.pairwise(rungs):
        for left in reversed(range(passes)):
            x[:, known] = values + here * noise((len(x), len(known)))
            x = reverse_diffusion(in_its_dtype, x, [here, there], generator=generator)
            if left:
                x = x + math.sqrt((here - there) * (here + there)) * noise(x.shape)
    x[:, known] = values
    return x.to(dtype)


def guided_by_known(
    score: _Score, known: Sequence[int] | Tensor, values: Tensor | Sequence[float], *, spread: float = 1.0
) -> _Score:
    r"""A score with a pull towards what is known: the gradient of how far the denoised known part is off.

    .. math::

       &s(x, \sigma) - \frac{1}{2 r^2} \nabla_x \bigl\lVert v - D(x, \sigma)_o \bigr\rVert^2 \\
       &r^2 = \frac{\sigma^2 \tau^2}{\sigma^2 + \tau^2}

    with D = x + σ² s the denoiser. It takes the clean known part, given the noisy image, for Gaussian around D with
    variance r², as it is on a single Gaussian of variance τ²; on other laws the score at σ > 0 is not that of the
    posterior, so neither is what a sampler makes of it.

    Parameters
    ----------
    score : callable
        (n, d) and σ, a number → (n, d), differentiable in x.
    known : sequence of int
        The coordinates that are known.
    values : (m,) or (n, m) Tensor
        v, what they are; or a row for each particle.
    spread : float
        τ > 0, the standard deviation of a pixel, in units of x.

    Returns
    -------
    callable
        (n, d) and σ, a number → (n, d): a score for any sampler.

    Raises
    ------
    ValueError
        Bad input, by name.
    TypeError
        Input of another kind, by name.

    References
    ----------
    Song, Vahdat, Mardani & Kautz (2023), https://openreview.net/forum?id=9_gsMA8MRKQ, with this r².

    Examples
    --------
    >>> import torch
    >>> from notes.inpainting import guided_by_known
    >>> from notes.mixtures import GaussianMixture
    >>> p = GaussianMixture([[0.0, 0.0]], 1.0)
    >>> score = guided_by_known(p.smoothed_score, [1], [3.0])
    >>> score(torch.zeros(1, 2), 1.0)
    tensor([[0.0000, 3.0000]])
    """
    check.function("score", score)
    known, values = _told(known, values)
    spread = check.positive("spread", spread)

    def guided(x, sigma):
        places, target = _at(x, known, values)
        with torch.inference_mode(False), torch.enable_grad(), check.names_inference("score"):
            x = x.detach().clone().requires_grad_()
            plain = check.same_shape("score", score(x, sigma), x)
            if not plain.requires_grad:
                raise ValueError("score must be differentiable in x, got an output that does not depend on it")
            guess = x + sigma * (sigma * plain)
            miss = target - guess.detach()[:, places]
            # Each quotient of the size of the score: r² may be no number of the dtype.
            (pull,) = torch.autograd.grad(guess[:, places], x, miss / sigma / sigma + miss / spread / spread)
        return plain.detach() + pull

    return guided


def hidden_score(score: _Score, known: Sequence[int] | Tensor, values: Tensor | Sequence[float]) -> _Score:
    r"""The score in the hidden coordinates, what is known held still and clean: a field on the hidden part alone.

    .. math:: s_h\bigl((x_h, v), \sigma\bigr) = \nabla_{x_h} \log p_\sigma(x_h, v)

    That is the score of :math:`p_\sigma(x_h \mid x_o = v)`, which takes v for noisy. Where σ is small it is as good as
    that of the posterior, so Langevin dynamics by it is right as far as it has time to mix at the end of its ladder.

    Parameters
    ----------
    score : callable
        (n, d) and σ, a number → (n, d).
    known : sequence of int
        The coordinates that are known, m of them.
    values : (m,) or (n, m) Tensor
        v, what they are; or a row for each particle.

    Returns
    -------
    callable
        (n, d − m) and σ, a number → (n, d − m).

    Raises
    ------
    ValueError
        Bad input, by name.
    TypeError
        Input of another kind, by name.

    Examples
    --------
    >>> import torch
    >>> from notes.inpainting import hidden_score
    >>> from notes.mixtures import GaussianMixture
    >>> p = GaussianMixture([[0.0, 5.0]], 1.0)
    >>> hidden_score(p.smoothed_score, [1], [3.0])(torch.ones(1, 1), 1.0)
    tensor([[-0.5000]])
    """
    check.function("score", score)
    known, values = _told(known, values)

    def field(hidden, sigma):
        check.points("x", hidden)
        x = hidden.new_empty(len(hidden), hidden.shape[1] + len(known))
        places, target = _at(x, known, values)
        others = check.other_places(places, x.shape[1])
        x[:, others], x[:, places] = hidden, target
        return check.same_shape("score", score(x, sigma), x)[:, others]

    return field


def _told(known, values):
    """Places and values of what is known, as they are now, the values with all their digits."""
    known = check.places("known", known).clone()
    digits = torch.empty(0, dtype=torch.float64, device=known.device)
    values = check.finite("values", check.floating("values", values, like=digits)).detach().clone()
    if values.ndim not in (1, 2) or values.shape[-1] != len(known):
        wanted = f"({len(known)},), one a known coordinate, or have a row for each particle"
        raise ValueError(f"values must have shape {wanted}, got {tuple(values.shape)}")
    return known, values


def _at(x, known, values):
    """The same for points x: on their device and in their dtype."""
    known = check.places("known", known, check.points("x", x).shape[1])
    if values.ndim == 2 and len(values) != len(x):
        raise ValueError(f"values must have {len(x)} rows, one a particle, got shape {tuple(values.shape)}")
    return known.to(x.device), check.finite("values", values.to(x))
