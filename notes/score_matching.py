"""The objectives from which a score is learned, and the divergence by which it is judged.

A model is any callable (n, d) → (n, d), one row a point, each row's output a function of that row alone. Every loss is
the mean over rows of the sum over dimensions, with the ½, as a 0-dim tensor: in the dtype of the points or of the
model's output, whichever is wider, and at least in float32. Points and noise levels are constants: no gradient flows to
them. Where autograd is off, under ``torch.no_grad`` or ``torch.inference_mode``, a loss keeps no graph. A model that
gives NaN or infinity gives a loss that is not finite.

Each objective is called as ``objective(model, x, what it needs, generator=generator)``, and so
:func:`~notes.training.train` takes each, or a ``partial`` of it. One without chance in it takes a ``generator`` and
ignores it.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from notes import _arguments as check
from notes._threads import one_thread, work_of
from notes.mixtures import kernel_density

__all__ = [
    "Losses",
    "explicit",
    "denoising",
    "denoising_over_scales",
    "denoising_with_labels",
    "implicit",
    "sliced",
    "fisher_divergence",
    "by_quadrature",
    "by_sampling",
]

Field = Callable[[Tensor], Tensor]

_FINE = 8  # nodes of a quadrature along each σ: between isolated data ‖∇log q‖² is far less smooth than q
_REACH = 9  # its grid goes so many σ beyond the data: what lies outside is below 1e-16 of the whole
_MOST = 2**20  # its nodes
_PAIRS = 2**20  # pairs of a datum and a node at a time


class Losses(NamedTuple):
    r"""The two losses of one model on the same noisy data, and the two sides of Vincent's theorem.

    .. math:: \underbrace{J_{\text{DSM}} - J_{\text{ESM}}}_{\text{difference}} =
       \underbrace{\tfrac{d}{2\sigma^2} - \tfrac12 \mathbb{E}_q \lVert \nabla \log q \rVert^2}_{\text{constant}}

    Four 0-dim tensors, in one over squared units of the data; the last one knows nothing of the model.

    Examples
    --------
    >>> import torch
    >>> from notes.score_matching import by_quadrature
    >>> clean = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    >>> losses = by_quadrature(lambda x: -x, clean, sigma=1.0)
    >>> [round(loss.item(), 4) for loss in losses]
    [0.2752, 0.5, 0.2248, 0.2248]
    """

    explicit: Tensor
    denoising: Tensor
    difference: Tensor
    constant: Tensor


def explicit(model: Field, x: Tensor, target_score: Field, *, generator: torch.Generator | None = None) -> Tensor:
    r"""Explicit score matching: half the squared distance to a score that is known.

    .. math:: J(\theta) = \tfrac12\, \mathbb{E}_x \lVert s_\theta(x) - \nabla \log q(x) \rVert^2

    Parameters
    ----------
    model : callable
        The field s_θ, (n, d) → (n, d).
    x : (n, d) Tensor
        Points drawn from q.
    target_score : callable
        The score of q, (n, d) → (n, d).
    generator : torch.Generator, optional
        Ignored: there is no chance in it.

    Returns
    -------
    Tensor
        The loss, 0-dim, in one over squared units of x.

    Raises
    ------
    ValueError
        Bad input, by name; a field of another shape.
    TypeError
        Input of another kind, by name.

    Examples
    --------
    >>> import torch
    >>> from notes.score_matching import explicit
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> explicit(lambda x: -2 * x, x, lambda x: -x)  # ½ · (1 + 4) / 2
    tensor(1.2500)
    """
    x = _points("x", x)
    return 0.5 * _squared_distance(_field("model", model, x), _field("target_score", target_score, x))


def denoising(model: Field, x: Tensor, sigma: float | Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    r"""Denoising score matching: regression of the noise that was added, scaled.

    .. math:: J(\theta) = \tfrac12\, \mathbb{E} \Bigl\lVert s_\theta(x' + \sigma z) + \frac{z}{\sigma} \Bigr\rVert^2

    with z ~ N(0, I). The minimiser is the score of the law of x′ + σz, and the loss there is not zero.

    Parameters
    ----------
    model : callable
        The field s_θ, (n, d) → (n, d).
    x : (n, d) Tensor
        The clean points x′.
    sigma : float or (n,) Tensor
        σ > 0 in units of x: a number, or one for each row.
    generator : torch.Generator, optional
        Of the noise, on the device of x; None is torch's default one.

    Returns
    -------
    Tensor
        The loss, 0-dim, in one over squared units of x.

    Raises
    ------
    ValueError
        Bad input, by name; a field of another shape.
    TypeError
        Input of another kind, by name.

    References
    ----------
    Vincent (2011), https://doi.org/10.1162/NECO_a_00142.

    Examples
    --------
    >>> import torch
    >>> from notes.score_matching import denoising
    >>> generator = torch.Generator().manual_seed(0)
    >>> x = torch.randn(100_000, 1, generator=generator)
    >>> loss = denoising(lambda x: -x / 2, x, 1.0, generator=generator)
    >>> print(f"{loss:.2f}")  # at the minimiser, the score of N(0, 2)
    0.25
    """
    x = _points("x", x)
    noise = _noise(x, generator)
    sigma = check.noise_std("sigma", sigma, noise)
    with one_thread(noise.numel()):
        noisy, target = (x + sigma * noise).to(x.dtype), -noise / sigma
    return 0.5 * _squared_distance(_field("model", model, noisy), target)


def denoising_over_scales(
    model: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    sigmas: Sequence[float] | Tensor,
    *,
    weight: Callable[[Tensor], Tensor] = torch.square,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Denoising score matching at all noise scales at once: the mean of :func:`denoising` over σ, weighted by λ(σ).

    .. math::

       J(\theta) = \tfrac12\, \mathbb{E}_\sigma\, \lambda(\sigma)\, \mathbb{E}
       \Bigl\lVert s_\theta(x' + \sigma z, \sigma) + \frac{z}{\sigma} \Bigr\rVert^2

    with log σ uniform between two ends. With the weight λ = σ², its default, the loss of no arrows is d/2 at every σ.
    Whatever the weight, as long as it is positive, the minimiser is the score of the law of x′ + σz at each σ.

    Two devices take chance out of the loss and change nothing of its mean. The n rows have noise scales of their own,
    one in each n-th part of the range, in random order. And each noise is used twice, as z and as −z, since at small σ
    most of the chance is a term that only changes its sign with it.

    Parameters
    ----------
    model : callable
        The field s_θ, (m, d) and (m,) → (m, d): points, and the σ of each, here with m = 2n.
    x : (n, d) Tensor
        The clean points x′.
    sigmas : sequence of numbers
        Noise scales σ > 0 in units of x, at least two: the least and the largest of them are the ends, so that the
        ladder of a sampler may stand here.
    weight : callable, optional
        λ, (n,) → (n,), not negative; of σ in float64.
    generator : torch.Generator, optional
        Of the noise scales and the noise, on the device of x; None is torch's default one.

    Returns
    -------
    Tensor
        The loss, 0-dim, a pure number with λ = σ².

    Raises
    ------
    ValueError
        Bad input, by name; a field of another shape; a weight that is negative or not finite.
    TypeError
        Input of another kind, by name.

    References
    ----------
    Song & Ermon (2019), https://arxiv.org/abs/1907.05600; Kingma et al. (2021), https://arxiv.org/abs/2107.00630, for
    noise scales that are spread evenly over a batch.

    Examples
    --------
    >>> import torch
    >>> from notes.score_matching import denoising_over_scales
    >>> generator = torch.Generator().manual_seed(0)
    >>> x = torch.randn(100_000, 3, generator=generator)
    >>> no_arrows = lambda x, sigma: torch.zeros_like(x)
    >>> loss = denoising_over_scales(
    ...     no_arrows, x, [4.0, 0.05], generator=generator
    ... )
    >>> print(f"{loss:.1f}")  # d/2
    1.5
    """
    x = _points("x", x)
    low, high = _ends(sigmas, x)
    check.function("model", model)
    check.function("weight", weight)
    check.on_device(generator, x.device)
    wide = torch.promote_types(x.dtype, torch.float32)
    part = torch.randperm(len(x), generator=generator, device=x.device)
    uniform = (part + torch.rand(len(x), generator=generator, dtype=wide, device=x.device)) / len(x)
    sigma = (low * (high / low) ** uniform).to(x.dtype)
    root = _root_weights(weight, sigma)
    noise = _noise(x, generator)
    noise, x, sigma, root = torch.cat([noise, -noise]), x.repeat(2, 1), sigma.repeat(2), root.repeat(2).to(noise)
    with one_thread(noise.numel()):
        noisy, target = (x + sigma[:, None] * noise).to(x.dtype), -noise / sigma[:, None]
    field = _field("model", lambda x: model(x, sigma.clone()), noisy)
    with one_thread(noise.numel()):
        # Each factor under the square: σ² alone may leave the numbers of the dtype.
        return 0.5 * (root[:, None] * (field - target)).square().sum(1).mean()


def denoising_with_labels(
    model: Callable[[Tensor, Tensor, Tensor], Tensor],
    rows: Tensor,
    sigmas: Sequence[float] | Tensor,
    *,
    unlabelled: float = 0.1,
    weight: Callable[[Tensor], Tensor] = torch.square,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""The loss :func:`denoising_over_scales` of a field that is told a label, and now and then is not.

    The minimiser is the score of the law of x′ + σz given the label, and without one that of all labels together: the
    two fields that guidance needs, in one network.

    Parameters
    ----------
    model : callable
        The field s_θ, (m, d), (m,) and (m,) → (m, d): points, the σ and the label of each, −1 for no label.
    rows : (n, d + 1) Tensor
        The clean points x′, and in the last column their labels, whole numbers from 0 on.
    sigmas : sequence of numbers
        As in :func:`denoising_over_scales`.
    unlabelled : float
        The chance of a point that its label is left out, from 0 to 1.
    weight : callable, optional
        As there.
    generator : torch.Generator, optional
        As there; it decides whose labels are left out, too.

    Returns
    -------
    Tensor
        The loss, 0-dim, a pure number with λ = σ².

    Raises
    ------
    ValueError
        Bad input, by name; a field of another shape; a weight that is negative or not finite.
    TypeError
        Input of another kind, by name.

    References
    ----------
    Ho & Salimans (2022), https://arxiv.org/abs/2207.12598.

    Examples
    --------
    >>> import torch
    >>> from notes.networks import ImageNetwork
    >>> from notes.score_matching import denoising_with_labels
    >>> generator = torch.Generator().manual_seed(0)
    >>> images = torch.zeros(5, 64)
    >>> label = torch.tensor([0, 1, 2, 3, 4])
    >>> model = ImageNetwork(images[0], 0.5, n_labels=5, generator=generator)
    >>> rows = torch.cat([images, label[:, None]], 1)
    >>> loss = denoising_with_labels(
    ...     model, rows, [4.0, 0.05], generator=generator
    ... )
    >>> loss.shape
    torch.Size([])
    """
    check.function("model", model)
    rows = _points("rows", rows)
    if rows.shape[1] < 2:
        raise ValueError(f"rows must have shape (n, d + 1), labels in the last column, got {tuple(rows.shape)}")
    x, label = rows[:, :-1].contiguous(), rows[:, -1].long()
    if not torch.equal(label.to(rows), rows[:, -1]) or label.min() < 0:
        raise ValueError("rows must have whole numbers from 0 on in the last column, the labels")
    if not 0 <= check.real("unlabelled", unlabelled) <= 1:
        raise ValueError(f"unlabelled must lie between 0 and 1, got {unlabelled}")
    check.on_device(generator, rows.device)
    told = torch.rand(len(rows), generator=generator, dtype=torch.float64, device=rows.device) >= unlabelled
    label = label.where(told, -1).repeat(2)  # as the noises are used twice

    def field(x, sigma):
        return model(x, sigma, label)

    return denoising_over_scales(field, x, sigmas, weight=weight, generator=generator)


def implicit(model: Field, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    r"""Implicit score matching: the explicit loss less a constant, with no score to aim at.

    .. math::

       J(\theta) &= \mathbb{E}_x \bigl[ \nabla \cdot s_\theta(x) + \tfrac12 \lVert s_\theta(x) \rVert^2 \bigr] \\
       J_{\text{explicit}} &= J + \tfrac12\, \mathbb{E}_x \lVert \nabla \log p(x) \rVert^2

    The divergence takes d backward passes.

    Parameters
    ----------
    model : callable
        The field s_θ, (n, d) → (n, d), differentiable in x.
    x : (n, d) Tensor
        Points drawn from a p with p·s_θ → 0 at infinity.
    generator : torch.Generator, optional
        Ignored: there is no chance in it.

    Returns
    -------
    Tensor
        The loss, 0-dim, in one over squared units of x.

    Raises
    ------
    ValueError
        Bad input, by name; a field of another shape, or one that does not depend on x.
    TypeError
        Input of another kind, by name.

    References
    ----------
    Hyvärinen (2005), https://jmlr.org/papers/v6/hyvarinen05a.html.

    Examples
    --------
    >>> import torch
    >>> from notes.score_matching import implicit
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> implicit(lambda x: -x, x).item()  # −2 + ½ · (1 + 4) / 2
    -0.75
    """

    def divergence(x, score, slopes):
        return sum(slopes(column.sum())[:, i].mean() for i, column in enumerate(score.unbind(1)))

    return _by_divergence(model, x, divergence)


def sliced(model: Field, x: Tensor, n_projections: int = 1, *, generator: torch.Generator | None = None) -> Tensor:
    r"""Sliced score matching, in its form of lower variance: the divergence along random directions only.

    .. math:: J(\theta) = \mathbb{E}_{x, v} \bigl[ v^\top (\nabla s_\theta)\, v
       + \tfrac12 \lVert s_\theta \rVert^2 \bigr]

    Each row has directions v ~ N(0, I) of its own. Its mean over them is :func:`implicit`.

    Parameters
    ----------
    model : callable
        The field s_θ, (n, d) → (n, d), differentiable in x.
    x : (n, d) Tensor
        Points drawn from a p with p·s_θ → 0 at infinity.
    n_projections : int
        Directions of each row, and backward passes.
    generator : torch.Generator, optional
        Of the directions, on the device of x; None is torch's default one.

    Returns
    -------
    Tensor
        The loss, 0-dim, in one over squared units of x.

    Raises
    ------
    ValueError
        Bad input, by name; a field of another shape, or one that does not depend on x.
    TypeError
        Input of another kind, by name.

    References
    ----------
    Song, Garg, Shi & Ermon (2020), https://arxiv.org/abs/1905.07088, where it is called SSM-VR.

    Examples
    --------
    >>> import torch
    >>> from notes.score_matching import sliced
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(50_000, 1)
    >>> generator = torch.Generator().manual_seed(0)
    >>> loss = sliced(lambda x: -x, x, generator=generator)
    >>> print(f"{loss:.1f}")  # as the implicit loss, −2 + ½
    -1.5
    """
    n_projections = check.count("n_projections", n_projections)

    def divergence(x, score, slopes):
        total = 0
        for _ in range(n_projections):
            direction = _noise(x, generator)
            total = total + (direction * slopes((direction * score).sum())).sum(1).mean()
        return total / n_projections

    return _by_divergence(model, x, divergence)


def fisher_divergence(model_score: Field, true_score: Field, x: Tensor, *, relative: bool = False) -> Tensor:
    r"""The mean squared distance of two fields at the points x; without the ½ of the losses.

    .. math::

       F &= \mathbb{E}_x \lVert a(x) - b(x) \rVert^2 \\
       F_{\text{relative}} &= F \big/ \mathbb{E}_x \lVert b(x) \rVert^2

    Parameters
    ----------
    model_score : callable
        The field a, (n, d) → (n, d).
    true_score : callable
        The field b, (n, d) → (n, d).
    x : (n, d) Tensor
        Points: where they are drawn from decides where the fields are compared.
    relative : bool
        Whether to divide by the size of b.

    Returns
    -------
    Tensor
        0-dim, in one over squared units of x; relative, a pure number: 1 for the field that is zero everywhere.

    Raises
    ------
    ValueError
        Bad input, by name; a field of another shape; relative to a field that is zero at all points.
    TypeError
        Input of another kind, by name.

    Examples
    --------
    >>> import torch
    >>> from notes.score_matching import fisher_divergence
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> fisher_divergence(lambda x: -1.5 * x, lambda x: -x, x, relative=True)
    tensor(0.2500)
    """
    x = _points("x", x)
    truth, field = _field("true_score", true_score, x), _field("model_score", model_score, x)
    if not relative:
        return _squared_distance(field, truth)
    largest = truth.detach().abs().max()  # in its units no square leaves the dtype
    if largest == 0:
        raise ValueError("true_score is zero at all points: there is nothing to be relative to")
    field, truth = field / largest, truth / largest
    return _squared_distance(field, truth) / _squared_distance(truth, torch.zeros_like(truth))


def by_quadrature(model: Field, clean: Tensor, sigma: float) -> Losses:
    r"""Both losses on finite data and the constant between them, by quadrature, in one or two dimensions.

    .. math:: J_{\text{ESM}} &= \int \tfrac12 \lVert s_\theta - \nabla \log q \rVert^2 \, q\, dx \\
       J_{\text{DSM}} &= \frac1M \sum_m \int \tfrac12 \lVert s_\theta + \tfrac{x - x_m}{\sigma^2} \rVert^2 \\
       &\qquad\quad \cdot q(x \mid x_m)\, dx

    with :math:`q(x \mid x_m) = \mathcal{N}(x;\, x_m, \sigma^2 I)` and q their mean, the kernel density estimate with
    h = σ. Both integrals are sums over one even grid of nodes at most σ/8 apart. For a ``model`` as smooth as q all
    four are off by less than 1e-10 of J_DSM or of d/2σ², whichever is larger, and difference and constant agree to
    rounding. Differentiable in the parameters of ``model``; where that is not wanted, ``torch.no_grad`` keeps the
    memory small.

    Parameters
    ----------
    model : callable
        The field s_θ, (n, d) → (n, d).
    clean : (M, d) Tensor
        The data :math:`x_m`, with d = 1 or 2; take float64, for the sums are no better than its dtype.
    sigma : float
        σ > 0 in units of the data.

    Returns
    -------
    Losses
        Both losses, their difference and the constant.

    Raises
    ------
    ValueError
        Bad input, by name; a field of another shape; a σ so small that more than 2²⁰ nodes would be needed.
    TypeError
        Input of another kind, by name; data in half precision.

    Examples
    --------
    >>> import torch
    >>> from notes.score_matching import by_quadrature
    >>> clean = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    >>> for model in (torch.zeros_like, torch.sin):
    ...     losses = by_quadrature(model, clean, sigma=0.7)
    ...     print(f"{losses.difference:.9f} {losses.constant:.9f}")
    0.468750182 0.468750182
    0.468750182 0.468750182
    """
    clean, sigma = _kernels(clean, sigma)
    dim = clean.shape[1]
    if dim > 2:
        raise ValueError(f"clean must have 1 or 2 columns for a quadrature, got {dim}: use by_sampling")
    low, high = clean.amin(0) - _REACH * sigma, clean.amax(0) + _REACH * sigma
    counts = ((high - low) * (_FINE / sigma)).ceil() + 1
    if counts.prod() > _MOST:
        raise ValueError(
            f"sigma must be larger for data as wide as these, got {sigma:g}: "
            f"the quadrature would have {counts.prod():.3g} nodes, and takes at most {_MOST}"
        )
    ends = zip(low, high, counts, strict=True)
    axes = [torch.linspace(a, b, int(n), dtype=clean.dtype, device=clean.device) for a, b, n in ends]
    kernels = kernel_density(clean, sigma)
    scale = ((high - low) / (counts - 1)).prod() / (len(clean) * (2 * math.pi * sigma**2) ** (dim / 2))
    explicit = denoising = size = 0
    for x in torch.cartesian_prod(*axes).reshape(-1, dim).split(max(1, _PAIRS // len(clean))):
        score, target = _field("model", model, x), kernels.score(x)
        with one_thread(clean.numel() * len(x)):
            pull = (clean[:, None] - x) / sigma**2  # ∇ log q(x | x_m), (M, nodes, d)
            joint = scale * torch.exp(-0.5 * sigma**2 * pull.square().sum(2))
            weight = joint.sum(0)
            explicit = explicit + (weight * _half_square(score - target)).sum()
            denoising = denoising + (joint * _half_square(score - pull)).sum()
            size = size + (weight * _half_square(target)).sum()
    return Losses(explicit, denoising, denoising - explicit, dim / (2 * sigma**2) - size)


def by_sampling(
    model: Field, clean: Tensor, sigma: float, n: int, *, generator: torch.Generator | None = None
) -> tuple[Losses, Losses]:
    r"""Both losses on finite data and the constant between them, from n noisy points, with their standard errors.

    Everything is measured at the same points x = x′ + σz, x′ drawn from the rows of ``clean``, in any d; the difference
    and the constant thus have errors of their own. Takes memory for all n points at once.

    Parameters
    ----------
    model : callable
        The field s_θ, (n, d) → (n, d).
    clean : (M, d) Tensor
        The data.
    sigma : float
        σ > 0 in units of the data.
    n : int
        Noisy points, at least 2.
    generator : torch.Generator, optional
        Of the points, on the device of the data; None is torch's default one.

    Returns
    -------
    means : Losses
        Both losses, their difference and the constant.
    errors : Losses
        The standard error of each.

    Raises
    ------
    ValueError
        Bad input, by name; a field of another shape.
    TypeError
        Input of another kind, by name; data in half precision.

    Examples
    --------
    >>> import torch
    >>> from notes.score_matching import by_sampling
    >>> generator = torch.Generator().manual_seed(0)
    >>> clean = torch.randn(50, 10, generator=generator)
    >>> model, sigma, n = torch.sin, 0.7, 100_000
    >>> means, errors = by_sampling(
    ...     model, clean, sigma, n, generator=generator
    ... )
    >>> abs(means.difference - means.constant) < 5 * errors.difference
    tensor(True)
    """
    clean, sigma = _kernels(clean, sigma)
    n = check.count("n", n, least=2)
    check.on_device(generator, clean.device)
    drawn = clean[torch.randint(len(clean), (n,), generator=generator, device=clean.device)]
    noise = _noise(drawn, generator)
    with one_thread(noise.numel()):
        x, target = drawn + sigma * noise, -noise / sigma
    score, mean_target = _field("model", model, x), kernel_density(clean, sigma).score(x)
    with one_thread(noise.numel()):
        explicit, denoising = _half_square(score - mean_target), _half_square(score - target)
        constant = _half_square(target) - _half_square(mean_target)
        rows = explicit, denoising, denoising - explicit, constant
        return Losses(*(row.mean() for row in rows)), Losses(*(row.std() / n**0.5 for row in rows))


def _by_divergence(model, x, divergence):
    """The mean of ∇ · s + ½ ‖s‖², with derivatives in x also where autograd is off; there without a graph."""
    keep = torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    with torch.inference_mode(False), torch.enable_grad(), check.names_inference("model"):
        x = _points("x", x).requires_grad_()
        score = _field("model", model, x)
        if not score.requires_grad:
            raise ValueError("model must be differentiable in x, got an output that does not depend on it")

        def slopes(output):
            (slope,) = torch.autograd.grad(output, x, create_graph=keep, retain_graph=True, materialize_grads=True)
            return _wide(slope)

        with one_thread(work_of(model, len(x))):
            loss = divergence(x, score, slopes)
        with one_thread(x.numel()):
            loss = loss + 0.5 * score.square().sum(1).mean()
    return loss if keep else loss.detach()


def _points(name, x):
    """Points as constants, the same whatever their layout in memory."""
    check.finite(name, check.points(name, x))
    if len(x) == 0:
        raise ValueError(f"{name} must have at least one row, got shape {tuple(x.shape)}")
    return x.detach().clone(memory_format=torch.contiguous_format)


def _field(name, field, x):
    """A field's output, at least in float32. The points that it sees are its own, should it write into them."""
    check.function(name, field)
    return _wide(check.same_shape(name, field(x.clone()), x))


def _wide(x):
    """At least in float32: in half precision squares overflow and sums are lost."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _ends(sigmas, x):
    """The least and the largest of some noise scales, as numbers that the dtype of x holds."""
    sigmas = check.floating("sigmas", sigmas, like=torch.empty(0, dtype=torch.float64, device="cpu"))
    if sigmas.ndim != 1 or len(sigmas) < 2:
        raise ValueError(f"sigmas must be at least two noise scales, got shape {tuple(sigmas.shape)}")
    if not torch.isfinite(sigmas).all() or (sigmas <= 0).any():
        raise ValueError(f"sigmas must be positive and finite, got {sigmas.tolist()}")
    low, high = (check.representable("sigmas", end.item(), x) for end in (sigmas.min(), sigmas.max()))
    if low == high:
        raise ValueError(f"sigmas must have two ends, got {low} alone: denoising takes one σ")
    if not high / low <= torch.finfo(torch.promote_types(x.dtype, torch.float32)).max:
        raise ValueError(f"sigmas must have ends whose ratio {x.dtype} can hold, got {low:g} and {high:g}")
    return low, high


def _root_weights(weight, sigma):
    """√λ(σ) for each σ, in float64: that of σ² is σ again, whose square float32 may not hold."""
    share = check.one_each("weight", weight(sigma.double()), sigma).detach()
    if not torch.isfinite(share).all() or (share < 0).any():
        raise ValueError(f"weight must be finite and not negative, got {share.min().item()} to {share.max().item()}")
    return share.double().sqrt()


def _kernels(clean, sigma):
    """Gaussians around the data: σ, σ² and 1/σ² must neither overflow nor become zero."""
    clean = _points("clean", clean)
    if clean.dtype != _wide(clean).dtype:
        raise TypeError(f"clean must be float32 or float64, for the sums are no better, got {clean.dtype}")
    sigma = check.representable("sigma", check.positive("sigma", sigma), clean)
    for name, value in (("sigma²", sigma * sigma), ("1/sigma²", 1 / sigma / sigma)):
        check.representable(name, check.positive(name, value), clean)
    return clean, sigma


def _half_square(v):
    return 0.5 * v.square().sum(-1)


def _squared_distance(a, b):
    with one_thread(a.numel()):
        return (a - b).square().sum(1).mean()


def _noise(x, generator):
    """Standard normal numbers in the shape of x, at least in float32."""
    check.on_device(generator, x.device)
    dtype = torch.promote_types(x.dtype, torch.float32)
    return torch.randn(x.shape, generator=generator, dtype=dtype, device=x.device)
