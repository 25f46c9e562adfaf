"""Gaussian mixtures with full covariances: a law of images that is fitted in a second and known exactly."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from notes import _arguments as check
from notes import _mixing
from notes._extras import needs
from notes._mixing import full_precision, is_differentiated
from notes._threads import one_thread

__all__ = ["FullCovarianceMixture"]

_BLOCK = 2**22  # numbers in an array that grows with points and components


class FullCovarianceMixture:
    r"""A mixture of K Gaussians in d dimensions, each with a covariance of its own.

    .. math:: p(x) = \sum_k w_k\, \mathcal{N}(x;\, \mu_k,\, C_k)

    ``means``, ``covariances``, ``weights`` are tensors of the dtype and on the device of ``means``, as in
    :class:`~notes.mixtures.GaussianMixture`, whose density, score and smoothed law this class has for ellipses too;
    what is computed with points of another dtype has the wider of the two. Derivatives are those of the formula. With
    one component it is the Gaussian whose denoiser is Wiener's.

    Parameters
    ----------
    means : (K, d) Tensor
        Finite.
    covariances : (K, d, d) Tensor
        Symmetric and positive definite, in squared units of x. In float32 standard deviations lie between 1.1e-19 and
        1.8e19, also those of a coordinate where all before it are known.
    weights : (K,) Tensor, optional
        Non-negative, normalised here; equal where None.

    Raises
    ------
    ValueError
        A wrong shape, a value that is not finite, a covariance that is not symmetric, not positive definite or out of
        the range of the dtype, weights that are negative or sum to zero.
    TypeError
        What is not real numbers.

    Examples
    --------
    >>> import torch
    >>> from notes.full_covariance import FullCovarianceMixture
    >>> covariance = [[1.0, 0.9], [0.9, 1.0]]
    >>> p = FullCovarianceMixture([[0.0, 0.0]], [covariance])
    >>> p
    FullCovarianceMixture(components=1, dim=2)
    >>> p.score(torch.tensor([[1.0, 1.0]]))
    tensor([[-0.5263, -0.5263]])
    """

    def __init__(
        self,
        means: Tensor | Sequence[Sequence[float]],
        covariances: Tensor | Sequence[Sequence[Sequence[float]]],
        weights: Tensor | Sequence[float] | None = None,
    ) -> None:
        means = check.finite("means", check.floating("means", means))
        means = means.to(torch.promote_types(means.dtype, torch.float32))
        if means.ndim != 2 or 0 in means.shape:
            raise ValueError(f"means must have shape (K, d) with K, d ≥ 1, got {tuple(means.shape)}")
        n_components, dim = means.shape
        covariances = check.finite("covariances", check.floating("covariances", covariances, like=means))
        if covariances.shape != (n_components, dim, dim):
            wanted = (n_components, dim, dim)
            raise ValueError(f"covariances must have shape {wanted}, got {tuple(covariances.shape)}")
        size = covariances.detach().abs().amax((1, 2))
        lopsided = (covariances - covariances.mT).detach().abs().amax((1, 2)) / size  # NaN for zeros, refused below
        if lopsided.max() > 1e-4:
            raise ValueError(f"covariances must be symmetric, got one that is off by {lopsided.max():.2g} of its size")
        covariances = covariances / 2 + covariances.mT / 2
        roots, failed = torch.linalg.cholesky_ex(covariances)
        if failed.any():
            first = failed.nonzero()[0].item()
            raise ValueError(f"covariances must be positive definite in {means.dtype}, got one that is not: {first}")
        spread, limits = roots.detach().diagonal(dim1=1, dim2=2), torch.finfo(means.dtype)
        low, high = math.sqrt(limits.tiny), math.sqrt(limits.max)
        if not low < spread.min() <= spread.max() < high:
            raise ValueError(
                f"covariances must have standard deviations from {low:.2g} to {high:.2g} in {means.dtype}, "
                f"got {spread.min():.3g} to {spread.max():.3g}"
            )
        self.weights = _mixing.shares(weights, means)
        self.means, self.covariances, self._roots = means.clone(), covariances, roots

    @classmethod
    def fit(
        cls, data: Tensor, n_components: int, *, regularisation: float = 1e-2, seed: int = 0
    ) -> "FullCovarianceMixture":
        """The mixture that makes data most likely, as far as EM finds it: scikit-learn's ``GaussianMixture``.

        Parameters
        ----------
        data : (M, d) Tensor
            Finite, at least as many rows as components.
        n_components : int
            K.
        regularisation : float
            Added to the diagonal of every covariance in each iteration, in squared units of the data, at least 0.
        seed : int
            Of the k-means that EM starts from, below 2³².

        Returns
        -------
        FullCovarianceMixture
            In float64.

        Raises
        ------
        ValueError
            Bad input, by name; a component that collapsed, which more regularisation prevents.

        Examples
        --------
        >>> import torch
        >>> from notes.full_covariance import FullCovarianceMixture
        >>> x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
        >>> FullCovarianceMixture.fit(x, 2)
        FullCovarianceMixture(components=2, dim=3)
        """
        check.finite("data", check.points("data", data))
        n_components = check.count("n_components", n_components)
        regularisation, seed = check.non_negative("regularisation", regularisation), check.count("seed", seed, least=0)
        if seed >= 2**32:
            raise ValueError(f"seed must be below 2³², got {seed}")
        if len(data) < max(2, n_components):
            raise ValueError(f"data must have at least {max(2, n_components)} rows, got shape {tuple(data.shape)}")
        with needs("images"):
            from sklearn.mixture import GaussianMixture
        em = GaussianMixture(n_components, reg_covar=regularisation, random_state=seed)
        try:
            em.fit(data.detach().double().cpu().numpy())
        except ValueError as error:
            raise ValueError(
                f"regularisation must be larger for these data, got {regularisation:g} and a component collapsed"
            ) from error
        return cls(*(torch.from_numpy(part).to(data.device) for part in (em.means_, em.covariances_, em.weights_)))

    def __repr__(self) -> str:
        return f"FullCovarianceMixture(components={len(self.means)}, dim={self.dim})"

    @property
    def dim(self) -> int:
        return self.means.shape[1]

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n independent points: a component by its weight, then its Gaussian. Returns (n, d).

        Examples
        --------
        >>> import torch
        >>> from notes.full_covariance import FullCovarianceMixture
        >>> p = FullCovarianceMixture([[0.0, 0.0]], [[[1.0, 0.9], [0.9, 1.0]]])
        >>> x = p.sample(10_000, torch.Generator().manual_seed(0))
        >>> print(f"{x.T.corrcoef()[0, 1]:.1f}")
        0.9
        """
        n = check.count("n", n)
        check.on_device(generator, device := self.means.device)
        k = _mixing.components(self.weights, n, generator)
        noise = torch.randn(n, self.dim, generator=generator, dtype=self.means.dtype, device=device)
        x = self.means[k]
        with full_precision(device):
            for component in k.unique().tolist():
                mine = k == component
                x = x.masked_scatter(mine[:, None], x[mine] + noise[mine] @ self._roots[component].T)
        return x

    def log_prob(self, x: Tensor) -> Tensor:
        r"""The log-density, by a log-sum-exp over the components. ``x`` is (n, d); returns (n,).

        Examples
        --------
        >>> import torch
        >>> from notes.full_covariance import FullCovarianceMixture
        >>> p = FullCovarianceMixture([[0.0]], [[[1.0]]])
        >>> p.log_prob(torch.tensor([[0.0], [40.0]]))
        tensor([  -0.9189, -800.9189])
        """
        return self._by_blocks(x, lambda top, terms, white, roots: top + terms.sum(0).log())

    def score(self, x: Tensor) -> Tensor:
        r"""Stein's score in closed form: the pull of each component, weighted by its responsibility.

        .. math:: \nabla_x \log p(x) = \sum_k r_k(x)\, C_k^{-1} (\mu_k - x)

        ``x`` is (n, d); returns (n, d), in one over the units of x.

        Examples
        --------
        >>> import torch
        >>> from notes.full_covariance import FullCovarianceMixture
        >>> p = FullCovarianceMixture([[0.0, 0.0]], [[[4.0, 0.0], [0.0, 1.0]]])
        >>> p.score(torch.tensor([[4.0, 1.0]]))
        tensor([[-1., -1.]])
        """

        def mean_pull(top, terms, white, roots):
            pull = torch.linalg.solve_triangular(roots.mT, white, upper=True)  # C⁻¹(x − μ), (K, d, b)
            return -torch.einsum("kb,kdb->bd", terms / terms.sum(0), pull)

        return self._by_blocks(x, mean_pull)

    def smoothed(self, sigma: float) -> "FullCovarianceMixture":
        r"""The law of x + σz, z ~ N(0, I): again a mixture, with covariances :math:`C_k + \sigma^2 I`.

        Examples
        --------
        >>> from notes.full_covariance import FullCovarianceMixture
        >>> p = FullCovarianceMixture([[0.0]], [[[9.0]]])
        >>> p.smoothed(4.0).covariances
        tensor([[[25.]]])
        """
        sigma = check.representable("sigma", check.positive("sigma", sigma), self.means)
        noise = torch.eye(self.dim, dtype=self.means.dtype, device=self.means.device) * (sigma * sigma)
        covariances = self.covariances + noise
        if not torch.isfinite(covariances).all():
            raise ValueError(f"sigma must have a square that {self.means.dtype} can hold, got {sigma:g}")
        return FullCovarianceMixture(self.means, covariances, self.weights)

    def smoothed_score(self, x: Tensor, sigma: float) -> Tensor:
        r"""The score of the law of x + σz, a field of two arguments, as the samplers of :mod:`notes.diffusion` take it.

        ``x`` is (n, d), ``sigma`` a positive number in the units of x: returns (n, d), ``smoothed(sigma).score(x)``.

        Examples
        --------
        >>> import torch
        >>> from notes.full_covariance import FullCovarianceMixture
        >>> p = FullCovarianceMixture([[0.0]], [[[9.0]]])
        >>> p.smoothed_score(torch.ones(1, 1), 4.0)
        tensor([[-0.0400]])
        """
        return self.smoothed(sigma).score(x)

    def given(self, known: Sequence[int] | Tensor, values: Tensor | Sequence[float]) -> "FullCovarianceMixture":
        r"""The law of the other coordinates where some are known: again a mixture, exactly.

        .. math::

           w_k' &\propto w_k\, \mathcal{N}(v;\, \mu_{k,o},\, C_{k,oo}) \\
           \mu_k' &= \mu_{k,h} + C_{k,ho}\, C_{k,oo}^{-1} (v - \mu_{k,o}) \\
           C_k' &= C_{k,hh} - C_{k,ho}\, C_{k,oo}^{-1}\, C_{k,oh}

        with o for what is observed and h for what is hidden.

        Parameters
        ----------
        known : sequence of int
            The coordinates that are known, m different ones, fewer than d.
        values : (m,) Tensor
            What they are: v, finite.

        Returns
        -------
        FullCovarianceMixture
            Of the d − m others, in their order.

        Raises
        ------
        ValueError
            Bad input, by name.
        TypeError
            Input of another kind, by name.

        Examples
        --------
        >>> from notes.full_covariance import FullCovarianceMixture
        >>> p = FullCovarianceMixture([[0.0, 0.0]], [[[1.0, 0.8], [0.8, 1.0]]])
        >>> q = p.given([0], [2.0])
        >>> q.means, q.covariances
        (tensor([[1.6000]]), tensor([[[0.3600]]]))
        """
        known = check.places("known", known, self.dim).to(self.means.device)
        values = check.finite("values", check.floating("values", values, like=self.means))
        if values.shape != known.shape:
            raise ValueError(
                f"values must have shape ({len(known)},), one a known coordinate, got {tuple(values.shape)}"
            )
        order, m = torch.cat([known, check.other_places(known, self.dim)]), len(known)
        whole = FullCovarianceMixture(self.means[:, order], self.covariances[:, order[:, None], order], self.weights)
        seen = FullCovarianceMixture(whole.means[:, :m], whole.covariances[:, :m, :m], self.weights)
        evidence = seen._by_blocks(values[None], lambda top, terms, white, roots: terms.T)[0]
        if not evidence.max() > 0:  # so far out that squares of distances overflow
            raise ValueError(f"values must be closer to the means, got one of size {values.abs().max():.3g}")
        # The root of C, known coordinates first, is ((C_oo's, 0), (C_ho times its inverse, that of the hidden part)).
        white = torch.linalg.solve_triangular(whole._roots[:, :m, :m], (values - seen.means)[:, :, None], upper=False)
        across, own = whole._roots[:, m:, :m], whole._roots[:, m:, m:]
        with full_precision(self.means.device):
            return FullCovarianceMixture(whole.means[:, m:] + (across @ white)[:, :, 0], own @ own.mT, evidence)

    def _by_blocks(self, x, of):
        """What ``of`` makes of blocks of b points, one row each, in the wider dtype of mixture and points.

        It is given top (b,), the terms w_k N(x; μ_k, C_k) / eᵗᵒᵖ (K, b), the largest of them one, the whitened offsets
        (K, d, b) and the roots.
        """
        check.points("x", x, self.dim)
        dtype = torch.promote_types(self.means.dtype, x.dtype)
        linear = is_differentiated(self.weights)  # the logarithm has no derivative at zero
        wide = torch.float64 if linear else dtype
        means, roots, weights = (value.to(wide) for value in (self.means, self._roots, self.weights))
        constant = -roots.diagonal(dim1=1, dim2=2).log().sum(1) - 0.5 * self.dim * math.log(2 * math.pi)
        made = []
        for rows in x.to(wide).contiguous().split(max(1, _BLOCK // means.numel())):
            with one_thread(rows.numel() * means.numel()), full_precision(x.device):
                white = torch.linalg.solve_triangular(roots, (rows - means[:, None]).mT, upper=False)
                normal = constant[:, None] - 0.5 * white.square().sum(1)
                joint = normal + weights.log()[:, None]
                top = joint.detach().amax(0).clamp(min=torch.finfo(wide).min)
                terms = weights[:, None] * (normal - top).clamp(max=700).exp() if linear else (joint - top).exp()
                made.append(of(top, terms, white, roots))
        return torch.cat(made).to(dtype)
