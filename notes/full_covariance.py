"""Gaussian mixtures with full covariances: a law of images that is fitted in a second and known exactly."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from notes import _arguments as check
from notes._extras import needs
from notes._threads import one_thread

__all__ = ["FullCovarianceMixture"]

_BLOCK = 2**22  # numbers in an array that grows with points and components


class FullCovarianceMixture:
    r"""A mixture of K Gaussians in d dimensions, each with a covariance of its own.

    .. math:: p(x) = \sum_k w_k\, \mathcal{N}(x;\, \mu_k,\, C_k)

    ``means``, ``covariances``, ``weights`` are tensors of the dtype and on the device of ``means``, as in
    :class:`~notes.mixtures.GaussianMixture`, whose density, score and smoothed law this class has for ellipses too;
    what is computed with points of another dtype has the wider of the two. With one component it is the Gaussian whose
    denoiser is Wiener's.

    Parameters
    ----------
    means : (K, d) Tensor
        Finite.
    covariances : (K, d, d) Tensor
        Symmetric and positive definite, in squared units of x.
    weights : (K,) Tensor, optional
        Non-negative, normalised here; equal where None.

    Raises
    ------
    ValueError
        A wrong shape, a value that is not finite, a covariance that is not symmetric or not positive definite, weights
        that are negative or sum to zero.
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
        lopsided = (covariances - covariances.mT).detach().abs().amax((1, 2)) / size
        if lopsided.max() > 1e-4:
            raise ValueError(f"covariances must be symmetric, got one that is off by {lopsided.max():.2g} of its size")
        covariances = (covariances + covariances.mT) / 2
        roots, failed = torch.linalg.cholesky_ex(covariances)
        if failed.any():
            first = failed.nonzero()[0].item()
            raise ValueError(f"covariances must be positive definite in {means.dtype}, got one that is not: {first}")
        if weights is None:
            weights = means.new_ones(n_components)
        weights = check.finite("weights", check.floating("weights", weights, like=means))
        if weights.shape != (n_components,):
            raise ValueError(f"weights must have shape ({n_components},), got {tuple(weights.shape)}")
        if (weights < 0).any():
            raise ValueError(f"weights must not be negative, got {weights.min().item()}")
        if weights.max() == 0:
            raise ValueError("weights must not all be zero")
        self.means, self.covariances, self._roots = means.clone(), covariances, roots
        self.weights = weights / weights.max() / (weights / weights.max()).sum()

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
            Of the k-means that EM starts from.

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
        if len(data) < max(2, n_components):
            raise ValueError(f"data must have at least {max(2, n_components)} rows, got shape {tuple(data.shape)}")
        with needs("images"):
            from sklearn.mixture import GaussianMixture
        em = GaussianMixture(n_components, reg_covar=regularisation, random_state=seed)
        em.fit(data.detach().double().cpu().numpy())
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
        upto = self.weights.detach().double().cumsum(0)
        at = torch.rand(n, generator=generator, dtype=torch.float64, device=device) * upto[-1]
        k = torch.searchsorted(upto, at, right=True)
        noise = torch.randn(n, self.dim, generator=generator, dtype=self.means.dtype, device=device)
        x = self.means[k]
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
        return torch.cat([terms.logsumexp(0) for terms, _, _ in self._blocks(x)])

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
        scores = []
        for terms, white, roots in self._blocks(x):
            pull = torch.linalg.solve_triangular(roots.mT, white, upper=True)  # C⁻¹(x − μ), (K, d, b)
            scores.append(-torch.einsum("kb,kdb->bd", terms.softmax(0), pull))
        return torch.cat(scores)

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
        noise = sigma**2 * torch.eye(self.dim, dtype=self.means.dtype, device=self.means.device)
        return FullCovarianceMixture(self.means, self.covariances + noise, self.weights)

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
        hidden = torch.ones(self.dim, dtype=torch.bool, device=known.device)
        hidden[known] = False
        hidden = hidden.nonzero()[:, 0]
        seen = FullCovarianceMixture(self.means[:, known], self.covariances[:, known[:, None], known], self.weights)
        cross = self.covariances[:, hidden[:, None], known]  # (K, h, m)
        gain = torch.cholesky_solve(cross.mT, seen._roots).mT
        means = self.means[:, hidden] + (gain @ (values - seen.means)[:, :, None])[:, :, 0]
        covariances = self.covariances[:, hidden[:, None], hidden] - gain @ cross.mT
        ((terms, _, _),) = seen._blocks(values[None])
        return FullCovarianceMixture(means, covariances, terms[:, 0].softmax(0))

    def _blocks(self, x):
        """Blocks of points (b, d): log w_k N(x; μ_k, C_k), (K, b), the whitened offsets (K, d, b), and the roots."""
        check.points("x", x, self.dim)
        dtype = torch.promote_types(self.means.dtype, x.dtype)
        means, roots, log_weights = self.means.to(dtype), self._roots.to(dtype), self.weights.to(dtype).log()
        constant = log_weights - roots.diagonal(dim1=1, dim2=2).log().sum(1) - 0.5 * self.dim * math.log(2 * math.pi)
        for rows in x.to(dtype).contiguous().split(max(1, _BLOCK // means.numel())):
            with one_thread(rows.numel() * means.numel()):
                white = torch.linalg.solve_triangular(roots, (rows - means[:, None]).mT, upper=False)
                yield constant[:, None] - 0.5 * white.square().sum(1), white, roots
