"""Small images and how to judge them: handwritten digits by sittings, and what tells samples from data."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from notes import _arguments as check
from notes._extras import needs

with needs("images"):
    from sklearn.datasets import load_digits
    from sklearn.neighbors import NearestNeighbors

__all__ = ["Digits", "digits", "psnr", "frechet_distance", "copied", "nearest_neighbour_test"]

_STARTS = (0, 130, 256, 386, 516, 646, 776, 906, 1029, 1157, 1287, 1415, 1545, 1667)  # of the sittings


class Digits(NamedTuple):
    """Images of digits, one row an image, with what is known of each.

    ``x`` is (M, 64), eight rows of eight pixels from −1, paper, to 1, ink, in steps of ⅛; ``label`` (M,), which digit
    it is, 0 to 9; ``block`` (M,), the sitting in which it was written, 0 to 13.

    Examples
    --------
    >>> from notes.images import digits
    >>> data = digits()
    >>> data.label[:5], data.block[:5]
    (tensor([0, 1, 2, 3, 4]), tensor([0, 0, 0, 0, 0]))
    """

    x: Tensor
    label: Tensor
    block: Tensor

    def split(self, held_out: Tensor | Sequence[int]) -> tuple["Digits", "Digits"]:
        """The digits of all other sittings, and those of the sittings named: some of those that there are, not all.

        Examples
        --------
        >>> from notes.images import digits
        >>> rest, held_out = digits().split([0, 5, 9])
        >>> len(rest.x), len(held_out.x)
        (1407, 390)
        """
        named = check.floating("held_out", held_out, like=self.block.double())
        chosen = torch.isin(self.block, named)
        if named.ndim != 1 or not torch.isin(named, self.block).all() or chosen.all() or not chosen.any():
            there = self.block.unique().tolist()
            raise ValueError(f"held_out must be some of the sittings {there} and not all, got {named.tolist()}")
        return tuple(Digits(*(values[rows] for values in self)) for rows in (~chosen, chosen))


def digits() -> Digits:
    """The 1 797 digits of 8 × 8 pixels that come with scikit-learn, in the order in which they were written.

    Thirteen people wrote them. The labels start over at 0, 1, 2, … fourteen times, once without the 0, and what lies
    between is taken for a sitting here, of one hand as a rule. Digits of one hand are no independent draws, so whole
    sittings are to be held out of a training.

    Returns
    -------
    Digits
        In float32.

    References
    ----------
    Alpaydin & Kaynak (1998), https://doi.org/10.24432/C50P49, CC BY 4.0: the test set, by 13 of 43 people, reduced
    from 32 × 32 pixels.

    Examples
    --------
    >>> from notes.images import digits
    >>> x, label, block = digits()
    >>> x.shape, x.min().item(), x.max().item()
    (torch.Size([1797, 64]), -1.0, 1.0)
    """
    pixels, label = load_digits(return_X_y=True)
    block = torch.bucketize(torch.arange(len(label)), torch.tensor(_STARTS), right=True) - 1
    return Digits(torch.from_numpy(pixels / 8 - 1).float(), torch.from_numpy(label), block)


def psnr(x: Tensor, clean: Tensor, peak: float = 2.0) -> Tensor:
    r"""The peak signal-to-noise ratio in decibels, over all pixels together: 3 dB more is half the error.

    .. math:: 10 \log_{10} \frac{\text{peak}^2}{\text{mean squared error}}

    Parameters
    ----------
    x, clean : (n, d) Tensor
        Images and what they should be, at least one.
    peak : float
        From black to white: 2 for pixels from −1 to 1.

    Returns
    -------
    Tensor
        0-dim; infinite where the two are equal.

    Raises
    ------
    ValueError
        Two shapes, no image, or a peak that is not positive.

    Examples
    --------
    >>> import torch
    >>> from notes.images import psnr
    >>> psnr(torch.zeros(1, 64), torch.full((1, 64), 0.2))
    tensor(20.)
    """
    check.points("x", x), check.points("clean", clean)
    if x.shape != clean.shape:
        raise ValueError(f"clean must have the shape of x, {tuple(x.shape)}, got {tuple(clean.shape)}")
    if len(x) == 0:
        raise ValueError(f"x must have at least one row, got shape {tuple(x.shape)}")
    error = ((x.double() - clean.double()) / check.positive("peak", peak)).square().mean()  # a number without a unit
    return (-10 * error.log10()).to(torch.promote_types(torch.promote_types(x.dtype, clean.dtype), torch.float32))


def frechet_distance(a: Tensor, b: Tensor) -> Tensor:
    r"""The squared Fréchet distance of two samples, between the Gaussians with their means and covariances.

    .. math::

       &\lVert m_a - m_b \rVert^2 \\
       &+ \operatorname{tr} \bigl( C_a + C_b - 2 (C_a^{1/2} C_b\, C_a^{1/2})^{1/2} \bigr)

    It sees means and covariances and nothing else, so that a Gaussian fit of the data does as well as the data.

    Parameters
    ----------
    a, b : (n, d), (m, d) Tensor
        Finite, at least two rows each.

    Returns
    -------
    Tensor
        0-dim, in float64, in squared units of the points.

    Raises
    ------
    ValueError
        Bad input, by name.

    References
    ----------
    Dowson & Landau (1982), https://doi.org/10.1016/0047-259X(82)90077-X.

    Examples
    --------
    >>> import torch
    >>> from notes.images import frechet_distance
    >>> a = torch.randn(1_000, 2, generator=torch.Generator().manual_seed(0))
    >>> print(f"{frechet_distance(a, a + torch.tensor([3.0, 4.0])):.2f}")
    25.00
    """
    a, b = _two_samples(a=a, b=b)
    (mean, root), (other_mean, other) = _moments(a), _moments(b)
    if not torch.isfinite(root.square().sum() + other.square().sum() + (mean - other_mean).square().sum()):
        raise ValueError(f"a and b must have squares that float64 holds, got {max(a.abs().max(), b.abs().max()):.3g}")
    shared = torch.linalg.svdvals(root @ other.T).sum()  # with C = RᵀR, the trace of the last root of the formula
    return (mean - other_mean).square().sum() + root.square().sum() + other.square().sum() - 2 * shared


def copied(x: Tensor, data: Tensor, ratio: float = 1 / 3) -> Tensor:
    """Which points are copies of a datum: the nearest is at most a third as far as the second nearest.

    A datum that is there twice counts once.

    Parameters
    ----------
    x : (n, d) Tensor
        Points.
    data : (M, d) Tensor
        What they could be copies of, at least two different rows.
    ratio : float
        Of the two distances, between 0 and 1.

    Returns
    -------
    (n,) Tensor
        True for a copy.

    Raises
    ------
    ValueError
        Bad input, by name.

    References
    ----------
    Yoon et al. (2023), https://openreview.net/forum?id=shciCbSk9h, for the ratio of a third.

    Examples
    --------
    >>> import torch
    >>> from notes.images import copied
    >>> data = torch.tensor([[0.0], [1.0], [4.0]])
    >>> copied(torch.tensor([[0.1], [2.6]]), data)
    tensor([ True, False])
    """
    x, data = _two_samples(least=1, x=x, data=data)
    if not 0 < check.real("ratio", ratio) < 1:
        raise ValueError(f"ratio must lie between 0 and 1, got {ratio}")
    data = data.unique(dim=0)
    if len(data) < 2:
        raise ValueError(f"data must have at least two different rows, got {len(data)}")
    nearest = torch.cdist(x, data, compute_mode="donot_use_mm_for_euclid_dist").topk(2, largest=False).values
    return nearest[:, 0] <= ratio * nearest[:, 1]


def nearest_neighbour_test(a: Tensor, b: Tensor) -> float:
    """How often a point's nearest neighbour is of its own sample: about ½ where two samples have one law, 1 at most.

    Of all points together, each has the nearest of all others.

    Parameters
    ----------
    a, b : (n, d) Tensor
        Finite, as many rows each.

    Returns
    -------
    float
        Below ½ where the samples are copies of each other.

    Raises
    ------
    ValueError
        Bad input, by name.

    References
    ----------
    Lopez-Paz & Oquab (2017), https://arxiv.org/abs/1610.06545, who call it a two-sample test by a nearest neighbour.

    Examples
    --------
    >>> import torch
    >>> from notes.images import nearest_neighbour_test
    >>> generator = torch.Generator().manual_seed(0)
    >>> a, b = torch.randn(2, 1_000, 2, generator=generator)
    >>> print(f"{nearest_neighbour_test(a, b):.1f}")
    0.5
    >>> print(f"{nearest_neighbour_test(a, b + 5):.1f}")
    1.0
    """
    a, b = _two_samples(a=a, b=b)
    if len(a) != len(b):
        raise ValueError(f"b must have as many rows as a, {len(a)}, got {len(b)}")
    both = torch.cat([a, b]) - a.mean(0)  # scikit-learn expands the squares of differences
    both /= both.abs().max().clamp(min=torch.finfo(both.dtype).tiny)
    nearest = NearestNeighbors(n_neighbors=1).fit(both.cpu().numpy()).kneighbors(return_distance=False)
    own = torch.arange(2 * len(a)) < len(a)
    return (own[torch.from_numpy(nearest[:, 0])] == own).double().mean().item()


def _two_samples(*, least=2, **named):
    """Two samples in float64, without derivatives."""
    for name, x in named.items():
        check.finite(name, check.points(name, x))
        if len(x) < least:
            raise ValueError(f"{name} must have at least {least} row{'s' * (least > 1)}, got shape {tuple(x.shape)}")
    (first, a), (second, b) = named.items()
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"{second} must have {a.shape[1]} columns, as {first} has, got shape {tuple(b.shape)}")
    return a.detach().double(), b.detach().double()


def _moments(x):
    """The mean of points and a root R of their covariance RᵀR, which need not be made itself."""
    mean = x.mean(0)
    return mean, torch.linalg.qr(x - mean, mode="r").R / (len(x) - 1) ** 0.5
