"""Gaussian mixtures: targets whose density, score and smoothed score are all known exactly."""

import itertools
import math
from collections.abc import Iterator, Sequence

import torch

from notes import _arguments as check
from notes import _attention, _mixing
from notes._mixing import full_precision, is_differentiated
from notes._threads import one_thread

__all__ = [
    "GaussianMixture",
    "kernel_density",
    "scott_bandwidth",
    "silverman_bandwidth",
    "cross_validated_bandwidth",
    "leave_one_out_score_matching",
    "score_matched_bandwidth",
    "two_moons",
    "swiss_roll",
    "checkerboard",
    "rings",
]


class GaussianMixture:
    r"""A mixture of K isotropic Gaussians in d dimensions.

    .. math:: p(x) = \sum_k w_k\, \mathcal{N}(x;\, \mu_k,\, \sigma_k^2 I)

    ``means``, ``stds``, ``weights`` are tensors of the dtype and on the device of ``means``: a
    floating tensor or array keeps its dtype, all else gets PyTorch's default one, and half
    precision becomes float32. ``dim`` is d. A mixture and points of different dtypes give the
    wider of the two. Derivatives in x, means, stds and weights are those of the formula.

    Parameters
    ----------
    means : (K, d) Tensor
        Finite.
    stds : float or (K,) Tensor
        One number for all components, or one each; positive, in the units of x. Their squares
        are to be numbers of the dtype: in float32 stds lie between 1.1e-19 and 1.8e19.
    weights : (K,) Tensor, optional
        Non-negative, normalised here; equal where None.

    Raises
    ------
    ValueError
        A wrong shape, a value that is not finite, a std that is not positive, weights that are
        negative or sum to zero.
    TypeError
        What is not real numbers.

    Examples
    --------
    >>> from notes.mixtures import GaussianMixture
    >>> p = GaussianMixture([[2.0], [-2.0]], stds=[0.5, 0.2], weights=[3, 2])
    >>> p
    GaussianMixture(components=2, dim=1)
    >>> p.weights
    tensor([0.6000, 0.4000])
    """

    def __init__(
        self,
        means: torch.Tensor | Sequence[Sequence[float]],
        stds: torch.Tensor | Sequence[float] | float,
        weights: torch.Tensor | Sequence[float] | None = None,
    ) -> None:
        means = check.floating("means", means)
        means = means.to(torch.promote_types(means.dtype, torch.float32))
        if means.ndim != 2 or 0 in means.shape:
            raise ValueError(f"means must have shape (K, d) with K, d ≥ 1, got {tuple(means.shape)}")
        n_components = means.shape[0]
        stds = check.floating("stds", stds, like=means)
        if stds.shape not in [(), (n_components,)]:
            raise ValueError(f"stds must be a number or have shape ({n_components},), got {tuple(stds.shape)}")
        check.finite("means", means)
        self.weights = _mixing.shares(weights, means)
        narrowest, widest = _with_squares("stds", check.finite("stds", stds))
        furthest = means.detach().abs().max().item()
        if not furthest / narrowest * max(furthest, 1) / narrowest < 1e300:  # which only float64 can reach
            raise ValueError(f"means must be closer to 0 for stds of {narrowest:.3g}, got {furthest:.3g}")
        if stds.ndim and not is_differentiated(stds) and (stds == stds[0]).all():
            stds = stds[0]
        self._one_std = stds.ndim == 0
        self._extreme = narrowest < 2**-30 or max(widest, furthest) > 2**30
        self.means = means.clone(memory_format=torch.contiguous_format)
        self.stds = stds.clone(memory_format=torch.contiguous_format).expand(n_components)

    def __repr__(self) -> str:
        return f"GaussianMixture(components={len(self.means)}, dim={self.dim})"

    @property
    def dim(self) -> int:
        return self.means.shape[1]

    def sample(self, n: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Draw n independent points: a component by its weight, then its Gaussian. Returns (n, d).

        Examples
        --------
        >>> import torch
        >>> from notes.mixtures import GaussianMixture
        >>> p = GaussianMixture([[2.0], [-2.0]], [0.5, 0.2], weights=[0.6, 0.4])
        >>> x = p.sample(10_000, torch.Generator().manual_seed(0))
        >>> print(f"{(x > 0).double().mean():.1f}")
        0.6
        """
        n = check.count("n", n)
        check.on_device(generator, device := self.means.device)
        with one_thread(len(self.means) + 8 * n * self.dim):
            k = _mixing.components(self.weights, n, generator)
            noise = torch.randn(n, self.dim, generator=generator, dtype=self.means.dtype, device=device)
            return self.means[k] + self.stds[k, None] * noise

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        r"""The log-density, by a log-sum-exp over the components.

        .. math::

           \log p(x) &= \log \sum_k e^{\ell_k(x)} \\
           \ell_k(x) &= \log w_k + \log \mathcal{N}(x;\, \mu_k,\, \sigma_k^2 I)

        ``x`` is (n, d); returns (n,). Right in the far tails, where p itself underflows.

        Examples
        --------
        >>> import torch
        >>> from notes.mixtures import GaussianMixture
        >>> p = GaussianMixture([[0.0]], 1.0)
        >>> log_p = p.log_prob(torch.tensor([[0.0], [40.0]]))
        >>> log_p
        tensor([  -0.9189, -800.9189])
        >>> log_p.exp()
        tensor([0.3989, 0.0000])
        """
        x = self._points(x)
        with one_thread(len(x) * len(self.means) * (2 + self.dim)), full_precision(x.device):
            pairs = _pairs(*self._centred(x))
            return torch.cat([(top + terms.sum(0).log2()) * math.log(2) for _, _, top, terms in pairs]).to(x.dtype)

    def score(self, x: torch.Tensor) -> torch.Tensor:
        r"""Stein's score in closed form: the pull of each component, weighted by its responsibility.

        .. math::

           \nabla_x \log p(x) &= \sum_k r_k(x)\, \frac{\mu_k - x}{\sigma_k^2} \\
           r_k(x) &= \frac{w_k\, \mathcal{N}(x; \mu_k, \sigma_k^2 I)}{p(x)}

        ``x`` is (n, d); returns (n, d), in one over the units of x.

        Examples
        --------
        >>> import torch
        >>> from notes.mixtures import GaussianMixture
        >>> p = GaussianMixture([[-3.0], [3.0]], 1.0)
        >>> p.score(torch.tensor([[-4.0], [0.0], [5.0]]))
        tensor([[ 1.],
                [ 0.],
                [-2.]])
        """
        x = self._points(x)
        with one_thread(len(x) * len(self.means) * (2 + self.dim)), full_precision(x.device):
            if self._one_std and not any(map(is_differentiated, (x, self.means, self.stds, self.weights))):
                return _attention.attend(x, self.means.to(x), self.stds[0].item(), self.weights.to(x))
            return _mean_pull(*self._centred(x)).to(x.dtype)

    def smoothed_score(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        r"""The score of the law of x + σz, a field of two arguments: what a noise-conditional network learns.

        .. math:: s(x, \sigma) = \nabla_x \log p_\sigma(x)

        ``x`` is (n, d), and ``sigma`` a positive number in the units of x, or (n,), one a row: returns (n, d). At a
        number it is ``smoothed(sigma).score(x)``. No gradient flows to ``sigma``.

        Examples
        --------
        >>> import torch
        >>> from notes.mixtures import GaussianMixture
        >>> p = GaussianMixture([[0.0]], 3.0)
        >>> x, sigma = torch.ones(2, 1), torch.tensor([4.0, 1.0])
        >>> p.smoothed_score(x, sigma)
        tensor([[-0.0400],
                [-0.1000]])
        """
        if getattr(sigma, "ndim", 0) == 0:
            return self.smoothed(sigma).score(x)
        x = self._points(x)
        sigma = check.one_a_row("sigma", sigma, x)
        self.smoothed(sigma.max() if len(x) else 1.0)  # refuses what is too large
        with one_thread(len(x) * len(self.means) * (2 + self.dim)), full_precision(x.device):
            means, stds, weights, points = self._centred(x)
            return _mean_pull(means, stds, weights, points, sigma.to(means)).to(x.dtype)

    def components(self, x: torch.Tensor) -> torch.Tensor:
        """The most responsible component for each row of x (n, d). Returns (n,), whole numbers.

        Examples
        --------
        >>> import torch
        >>> from notes.mixtures import GaussianMixture
        >>> p = GaussianMixture([[2.0], [-2.0]], [0.5, 0.2])
        >>> p.components(torch.tensor([[1.9], [-2.1]]))
        tensor([0, 1])
        """
        x = self._points(x)
        with one_thread(len(x) * len(self.means) * (2 + self.dim)), full_precision(x.device):
            return torch.cat([terms.argmax(0) for *_, terms in _pairs(*self._centred(x))])

    def smoothed(self, sigma: float) -> "GaussianMixture":
        r"""The law of x + σz, z ~ N(0, I): again a mixture, with stds :math:`\sqrt{\sigma_k^2 + \sigma^2}`.

        Examples
        --------
        >>> from notes.mixtures import GaussianMixture
        >>> GaussianMixture([[0.0]], 3.0).smoothed(4.0).stds
        tensor([5.])
        """
        sigma = self.stds.new_tensor(check.positive("sigma", sigma))
        stds = self.stds[0] if self._one_std else self.stds
        _with_squares("sigma", stds := stds.hypot(sigma))
        return GaussianMixture(self.means, stds, self.weights)

    def _points(self, x: torch.Tensor) -> torch.Tensor:
        """Points in the wider dtype of mixture and points: equal ones are computed with alike, however they lie."""
        check.points("x", x, self.dim)
        return x.to(torch.promote_types(self.means.dtype, x.dtype)).contiguous()

    def _centred(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Means, stds, weights and points in one dtype, around the mean of the mixture: differences lose least there.

        In float64 what float32 might not hold: squares of extreme lengths, sums of very many terms, small weights.
        """
        wide = self._extreme or len(self.means) > _attention.MOST or is_differentiated(self.weights)
        dtype = torch.float64 if wide else x.dtype
        means, stds, weights = (value.to(dtype) for value in (self.means, self.stds, self.weights))
        centre = torch.mv(means.detach().t(), weights.detach())
        return means - centre, stds, weights, x.to(dtype) - centre


def _mean_pull(
    means: torch.Tensor,
    stds: torch.Tensor,
    weights: torch.Tensor,
    x: torch.Tensor,
    sigma: torch.Tensor | None = None,
) -> torch.Tensor:
    """The pulls of the components at each point, weighted by their responsibilities. (n, d)"""
    scores = []
    for rows, widths, _, terms in _pairs(means, stds, weights, x, sigma):
        pull = terms * (1 / widths.square())
        scores.append(((means.T @ pull - rows.T * pull.sum(0)) / terms.sum(0)).T)
    return torch.cat(scores)


def _pairs(
    means: torch.Tensor,
    stds: torch.Tensor,
    weights: torch.Tensor,
    x: torch.Tensor,
    sigma: torch.Tensor | None = None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Blocks of points (b, d), each with its widths, (K, b) terms w_k N(x; μ_k, σ_k² I) / 2ᵗᵒᵖ, and top (b,).

    The widths are the stds, (K, 1), or with a noise ``sigma`` (n,) for each point those of its law, (K, b). The largest
    term of a point is 1. The points lie along memory, since a softmax over a short stretch of it is many times slower;
    the components do where they are so many that a block holds few points. Squares are of differences, never expanded,
    and of numbers without a unit.
    """
    differentiated = any(map(is_differentiated, (means, stds, weights, x)))
    linear = is_differentiated(weights)  # the logarithm has no derivative at zero
    log_weights = weights.log2()[:, None]

    def factors(widths):
        constant = -means.shape[1] * (widths.log2() + 0.5 * math.log2(2 * math.pi))
        return constant if linear else constant + log_weights, math.sqrt(0.5 / math.log(2)) / widths

    widths = stds[:, None]
    constant, scale = factors(widths)
    columns = means.T.contiguous()
    size = max(1, _attention.BLOCK // len(means))
    noises = itertools.repeat(None) if sigma is None else sigma.split(size)
    for rows, noise in zip(x.split(size), noises, strict=False):
        if noise is not None:
            widths = stds[:, None].hypot(noise)
            constant, scale = factors(widths)
        joint = constant
        for mean, at in zip(columns, rows.T.contiguous(), strict=True):
            offset = (mean - at[:, None]).T if size < 16 else mean[:, None] - at
            offset = offset * scale if differentiated else offset.mul_(scale)
            fresh = differentiated or joint is constant
            add = torch.addcmul if fresh else torch.Tensor.addcmul_
            joint = add(joint, offset, offset, value=-1)
        top = (joint + log_weights if linear else joint).detach().amax(0).clamp(min=torch.finfo(joint.dtype).min)
        binary = joint - top if differentiated else joint.sub_(top)
        terms = weights[:, None] * binary.clamp_(max=1000).exp2_() if linear else _attention.powers(binary)
        yield rows, widths, top, terms


def _with_squares(name: str, stds: torch.Tensor) -> tuple[float, float]:
    """The least and the largest of positive numbers, whose squares are normal numbers of their dtype."""
    low, high = math.sqrt(torch.finfo(stds.dtype).tiny), math.sqrt(torch.finfo(stds.dtype).max)
    least, largest = stds.detach().min().item(), stds.detach().max().item()
    if not low < least <= largest < high:
        got = f"{least:.3g}" if low >= least else f"{largest:.3g}"
        raise ValueError(f"{name} must be positive, from {low:.2g} to {high:.2g} in {stds.dtype}, got {got}")
    return least, largest


def kernel_density(data: torch.Tensor, bandwidth: float) -> GaussianMixture:
    r"""The kernel density estimate of the data with a Gaussian kernel, itself a mixture: one component a datum.

    .. math:: q(x) = \frac{1}{M h^d} \sum_m K\Bigl(\frac{x - x_m}{h}\Bigr)

    with K = N(0, I). ``data`` is (M, d), finite; ``bandwidth`` is h, a positive number in the units of the data. Its
    score is softmax attention over the data, and from 512 data on computed so, in memory linear in M and n. In float32
    it is then within 0.1 % of float64's (root mean square over points from the data's own law).

    References
    ----------
    Parzen (1962).

    Examples
    --------
    >>> import torch
    >>> from notes.mixtures import kernel_density
    >>> q = kernel_density(torch.tensor([[-1.0], [1.0]]), bandwidth=0.5)
    >>> q
    GaussianMixture(components=2, dim=1)
    >>> q.score(torch.tensor([[2.0]]))
    tensor([[-4.0000]])
    """
    data = _data(data)
    bandwidth = check.positive("bandwidth", bandwidth)
    _with_squares("bandwidth", data.new_tensor(bandwidth, dtype=torch.promote_types(data.dtype, torch.float32)))
    return GaussianMixture(data, bandwidth)


def scott_bandwidth(data: torch.Tensor) -> float:
    r"""Scott's rule, :math:`h = s\, M^{-1/(d+4)}`, with s² the mean over dimensions of the data's (M−1)-variance.

    ``data`` is (M, d), M ≥ 2, not all equal; returns a number in its units.

    References
    ----------
    Scott (1992).

    Examples
    --------
    >>> import torch
    >>> from notes.mixtures import scott_bandwidth
    >>> data = torch.linspace(-1, 1, 32)[:, None]
    >>> h = scott_bandwidth(data / data.std())
    >>> print(f"{h:.3f}")  # 32 to the power of −1/5
    0.500
    """
    data = _data(data, least=2)
    n, dim = data.shape
    return _spread(data) * n ** (-1 / (dim + 4))


def silverman_bandwidth(data: torch.Tensor) -> float:
    r"""Silverman's rule, :math:`h = s\, \bigl(\tfrac{4}{(d+2) M}\bigr)^{1/(d+4)}`, s² as in :func:`scott_bandwidth`.

    It minimises the leading terms of the mean integrated squared error where the data are N(μ, s² I). ``data`` is
    (M, d), M ≥ 2, not all equal; returns a number in its units.

    References
    ----------
    Silverman (1986).

    Examples
    --------
    >>> import torch
    >>> from notes.mixtures import scott_bandwidth, silverman_bandwidth
    >>> data = torch.linspace(-1, 1, 32)[:, None]
    >>> print(f"{silverman_bandwidth(data) / scott_bandwidth(data):.2f}")
    1.06
    """
    data = _data(data, least=2)
    n, dim = data.shape
    return _spread(data) * (4 / ((dim + 2) * n)) ** (1 / (dim + 4))


def cross_validated_bandwidth(data: torch.Tensor, candidates: torch.Tensor | Sequence[float]) -> float:
    r"""The candidate under which each datum is likeliest given all the others.

    .. math::

       \hat h &= \arg\max_h \sum_i \log q_{-i}(x_i) \\
       q_{-i}(x) &= \frac{1}{(M-1)\, h^d} \sum_{j \ne i} K\Bigl(\frac{x - x_j}{h}\Bigr)

    ``data`` is (M, d), M ≥ 2; ``candidates`` are positive numbers in its units; returns one of them. A datum that
    occurs twice favours h → 0. No array of pairs outgrows a fixed block.

    References
    ----------
    Silverman (1986), Section 3.4.4.

    Examples
    --------
    >>> import torch
    >>> from notes.mixtures import cross_validated_bandwidth, two_moons
    >>> data = two_moons().sample(300, torch.Generator().manual_seed(0))
    >>> cross_validated_bandwidth(data, candidates=[0.01, 0.1, 1.0])
    0.1
    """
    data, candidates, unit = _around_one(data, "candidates", candidates)
    widths = candidates / unit
    n, dim = data.shape
    likelihood = -n * dim * widths.log()
    for first, _, distance in _distances(data):
        distance.diagonal(first).fill_(torch.inf)  # each without itself
        likelihood += torch.stack([(-0.5 * (distance / h).square()).logsumexp(1).sum() for h in widths])
    return candidates[likelihood.argmax()].item()


def leave_one_out_score_matching(data: torch.Tensor, bandwidths: torch.Tensor | Sequence[float]) -> torch.Tensor:
    r"""The implicit score matching loss of a kernel density estimate, at each datum by the estimate from the others.

    .. math::

       J(h) &= \frac1M \sum_m \bigl[ \nabla \cdot s_{-m} + \tfrac12 \lVert s_{-m} \rVert^2 \bigr](x_m) \\
       &= \frac{1}{M h^4} \sum_m \sum_{k \ne m} r_{mk} \lVert x_k - x_m \rVert^2 \\
       &\quad - \frac{1}{2 M h^4} \sum_m \lVert \bar{x}_m - x_m \rVert^2 - \frac{d}{h^2}

    Here :math:`s_{-m}` is the score of the estimate without :math:`x_m`, :math:`r_{mk}` are the responsibilities of its
    kernels at :math:`x_m`, and :math:`\bar{x}_m = \sum_k r_{mk}\, x_k`. Over independent data from p the mean of
    J + ½ E‖∇log p‖² is ½ E‖s − ∇log p‖² with s the score of M − 1 data: the two are least at one h, but for chance.
    Computed in float64, and a constant to autograd. No array of pairs outgrows a fixed block.

    Parameters
    ----------
    data : (M, d) Tensor
        M ≥ 2, finite.
    bandwidths : (n,) Tensor
        Positive, in the units of the data; their squares are to be numbers of float64.

    Returns
    -------
    (n,) Tensor
        J at each bandwidth, in one over squared units of the data, float64.

    Raises
    ------
    ValueError
        Bad input, by name.
    TypeError
        Input of another kind, by name.

    References
    ----------
    Hyvärinen (2005), https://jmlr.org/papers/v6/hyvarinen05a.html, for the loss.

    Examples
    --------
    >>> import torch
    >>> from notes.mixtures import leave_one_out_score_matching
    >>> data = torch.tensor([[-1.0], [1.0]])
    >>> leave_one_out_score_matching(data, [1.0, 2.0])  # 2/h⁴ − 1/h²
    tensor([ 1.0000, -0.1250], dtype=torch.float64)
    """
    data, bandwidths, unit = _around_one(data, "bandwidths", bandwidths)
    _with_squares("bandwidths", bandwidths)
    return _left_out_loss(data, bandwidths / unit) / unit / unit


def score_matched_bandwidth(data: torch.Tensor, candidates: torch.Tensor | Sequence[float]) -> float:
    r"""The candidate of the least :func:`leave_one_out_score_matching`: a bandwidth for the score that needs no truth.

    .. math:: \hat h = \arg\min_h J(h)

    ``data`` is (M, d), M ≥ 2; ``candidates`` are positive numbers in its units; returns one of them. A datum that
    occurs twice favours h → 0. No array of pairs outgrows a fixed block.

    References
    ----------
    Hyvärinen (2005), https://jmlr.org/papers/v6/hyvarinen05a.html, for the loss.

    Examples
    --------
    >>> import torch
    >>> from notes.mixtures import score_matched_bandwidth, two_moons
    >>> data = two_moons().sample(300, torch.Generator().manual_seed(0))
    >>> score_matched_bandwidth(data, candidates=[0.01, 0.1, 1.0])
    0.1
    """
    data, candidates, unit = _around_one(data, "candidates", candidates)
    return candidates[_left_out_loss(data, candidates / unit).argmin()].item()


def _left_out_loss(data: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    """J at each width. No share is 0/0 and no product 0·∞, however small or large a width is."""
    spread = torch.zeros_like(widths)
    for first, block, distance in _distances(data):
        squared = distance.square_()
        squared.diagonal(first).fill_(torch.inf)  # each without itself
        further = squared - squared.amin(1, keepdim=True)
        squared.diagonal(first).zero_()
        for i, h in enumerate(widths):
            share = (further / h / (-2 * h)).exp_()
            share /= share.sum(1, keepdim=True)
            spread[i] += (share * squared).sum() - 0.5 * (share @ data - block).square().sum()
    return (spread / len(data) / widths / widths - data.shape[1]) / widths / widths


def _distances(data: torch.Tensor) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """Blocks of the data: the number of their first row, they (b, d), and their distances from all data (b, M)."""
    rows = max(1, _attention.BLOCK // len(data))
    for first in range(0, len(data), rows):
        block = data[first : first + rows]
        yield first, block, torch.cdist(block, data, compute_mode="donot_use_mm_for_euclid_dist")


def _around_one(
    data: torch.Tensor, name: str, widths: torch.Tensor | Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """At least two data in float64, around the first and in the unit of their reach; widths as they are; the unit."""
    data = _data(data, least=2).detach().double()
    widths = check.finite(name, check.floating(name, widths, like=data)).detach()
    if widths.ndim != 1 or len(widths) == 0 or (widths <= 0).any():
        raise ValueError(f"{name} must be a list of positive numbers, got {widths.tolist()}")
    unit = _reach(data) or 1.0
    return (data - data[0]) / unit, widths, unit


def _data(data, least=1):
    check.finite("data", check.points("data", data))
    if len(data) < least:
        raise ValueError(f"data must have at least {least} {'rows' if least > 1 else 'row'}, got {len(data)}")
    return data.contiguous()


def _reach(data: torch.Tensor) -> float:
    """The unit in which squares of differences neither overflow nor vanish: the largest difference from one datum."""
    unit = (data.double() - data[0].double()).abs().max().item()
    if unit == math.inf:
        raise ValueError(f"data must have differences that float64 holds, got {data.min():.3g} to {data.max():.3g}")
    return unit


def _spread(data):
    unit = _reach(data)
    if unit == 0:
        raise ValueError("data must not all be equal: their spread is the unit of the bandwidth")
    return unit * ((data.double() - data[0].double()) / unit).var(0).mean().sqrt().item()


def _along(curve, std):
    """One component of equal weight at each point of a curve."""
    return GaussianMixture(torch.stack(curve, dim=1).to(torch.get_default_dtype()), check.positive("std", std))


def two_moons(n_components: int = 40, std: float = 0.12) -> GaussianMixture:
    """Two interleaved half circles of radius 1, the upper around (−½, −¼), the lower around (½, ¼).

    ``n_components`` Gaussians of std ``std`` in all, an even number, half of them on each moon.

    Examples
    --------
    >>> from notes.mixtures import two_moons
    >>> two_moons(n_components=4).means
    tensor([[ 0.5000, -0.2500],
            [-1.5000, -0.2500],
            [-0.5000,  0.2500],
            [ 1.5000,  0.2500]])
    """
    if check.count("n_components", n_components, least=2) % 2:
        raise ValueError(f"n_components must be even, half of them for each moon, got {n_components}")
    angle = torch.linspace(0, math.pi, n_components // 2, dtype=torch.float64)
    upper = angle.cos() - 0.5, angle.sin() - 0.25
    lower = 0.5 - angle.cos(), 0.25 - angle.sin()
    return _along([torch.cat(pair) for pair in zip(upper, lower, strict=True)], std)


def swiss_roll(n_components: int = 60, std: float = 0.1, turns: float = 1.5) -> GaussianMixture:
    """A spiral from radius ½ to 2 in ``turns`` turns, its ``n_components`` Gaussians equally spaced along it.

    Examples
    --------
    >>> from notes.mixtures import swiss_roll
    >>> radius = swiss_roll().means.norm(dim=1)
    >>> radius[[0, -1]]
    tensor([0.5000, 2.0000])
    """
    n_components = check.count("n_components", n_components, least=2)
    total = 2 * math.pi * check.positive("turns", turns)
    fine = torch.linspace(0, 1, 4097, dtype=torch.float64)
    speed = ((0.5 + 1.5 * fine).square() * total**2 + 1.5**2).sqrt()
    length = torch.cat([torch.zeros_like(fine[:1]), torch.cumulative_trapezoid(speed, fine)])
    wanted = torch.linspace(0, 1, n_components, dtype=torch.float64) * length[-1]
    after = torch.searchsorted(length, wanted).clamp(1, len(fine) - 1)
    t = fine[after] - (length[after] - wanted) / (length[after] - length[after - 1]) * fine[1]
    radius = 0.5 + 1.5 * t
    return _along([radius * (total * t).cos(), radius * (total * t).sin()], std)


def checkerboard(n_cells: int = 4, n_per_side: int = 4, std: float = 0.1) -> GaussianMixture:
    """The dark cells of an ``n_cells`` × ``n_cells`` board on [−2, 2]², each a grid of n_per_side² Gaussians.

    Examples
    --------
    >>> from notes.mixtures import checkerboard
    >>> checkerboard(n_cells=2, n_per_side=1).means
    tensor([[-1., -1.],
            [ 1.,  1.]])
    """
    n_cells = check.count("n_cells", n_cells, least=2)
    n_per_side = check.count("n_per_side", n_per_side)
    side = n_cells * n_per_side
    i, j = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    dark = (i // n_per_side + j // n_per_side) % 2 == 0
    return _along([(k[dark] + 0.5) * (4 / side) - 2 for k in (i, j)], std)


def rings(radii: Sequence[float] = (1.0, 2.0), n_components: int = 48, std: float = 0.1) -> GaussianMixture:
    """Concentric rings of ``n_components`` Gaussians each; one radius and 8 components make a ring of 8 modes.

    Examples
    --------
    >>> from notes.mixtures import rings
    >>> rings(radii=[1.0], n_components=8)
    GaussianMixture(components=8, dim=2)
    """
    n_components = check.count("n_components", n_components)
    radii = check.finite("radii", check.floating("radii", radii)).double()
    if radii.ndim != 1 or len(radii) == 0 or (radii <= 0).any():
        raise ValueError(f"radii must be a list of positive numbers, got {radii.tolist()}")
    angle = torch.arange(n_components, dtype=torch.float64) * (2 * math.pi / n_components)
    return _along([torch.outer(radii, turn).flatten() for turn in (angle.cos(), angle.sin())], std)
