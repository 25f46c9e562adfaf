"""Networks for score fields: smooth functions with as many outputs as inputs, of x alone or of x and a noise σ."""

import itertools
import math

import torch
from torch import Tensor

from notes import _arguments as check
from notes._threads import one_thread

__all__ = ["ScoreNetwork", "NoiseConditionalNetwork"]

_WAVES = 3  # pairs of waves in log σ: of lengths 4π, 2π and π
_PRODUCTS = 32  # multiply-adds of a matrix product that take as long as one number elsewhere, as one_thread counts


class ScoreNetwork(torch.nn.Module):
    r"""A field s_θ: a fully connected network (n, d) → (n, d) with ``depth`` hidden layers and SiLU between them.

    The weights begin uniform within :math:`\pm 1/\sqrt{\text{inputs}}` of each layer, PyTorch's own rule, in PyTorch's
    default dtype; ``.to(torch.float64)`` makes another of it. SiLU is smooth, as a score is, so that
    :func:`~notes.score_matching.implicit` and :func:`~notes.score_matching.sliced` can differentiate the field: with
    ReLU they would see pieces of planes. Where points and weights are few it computes on one thread.

    Parameters
    ----------
    dim : int
        d, of the points and of the field.
    width : int
        Units of each hidden layer.
    depth : int
        Hidden layers, at least 1.
    generator : torch.Generator, optional
        Of the initial weights, on the CPU; None is torch's default one.

    Raises
    ------
    ValueError
        A size below 1, or a generator on another device.
    TypeError
        A size that is no whole number.

    Examples
    --------
    >>> import torch
    >>> from notes.networks import ScoreNetwork
    >>> model = ScoreNetwork(2, generator=torch.Generator().manual_seed(0))
    >>> model(torch.zeros(5, 2)).shape
    torch.Size([5, 2])
    >>> sum(parameter.numel() for parameter in model.parameters())
    33666
    """

    def __init__(self, dim: int, *, width: int = 128, depth: int = 3, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.dim = check.count("dim", dim)
        self.layers, self._products = _fully_connected(self.dim, width, depth, self.dim, generator)

    def forward(self, x: Tensor) -> Tensor:
        """The field at the points x, (n, d) → (n, d), in the network's dtype; one calls the network itself.

        Parameters
        ----------
        x : (n, d) Tensor
            Points, in the network's dtype.

        Returns
        -------
        (n, d) Tensor
            The field, one row a point.

        Raises
        ------
        ValueError
            Points of another shape.
        TypeError
            Points of another dtype.

        Examples
        --------
        >>> import torch
        >>> from notes.networks import ScoreNetwork
        >>> ScoreNetwork(1).double()(torch.zeros(1, 1))
        Traceback (most recent call last):
        TypeError: x must be torch.float64, as the network is, got torch.float32
        """
        _in_dtype_of(self, x)
        with one_thread(self._work(len(x))):
            return self.layers(x)

    def _work(self, n: int) -> float:
        """What n points cost, as :class:`one_thread` counts; infinity for what others made of this class."""
        return n * self._products / _PRODUCTS if type(self) is ScoreNetwork else math.inf


class NoiseConditionalNetwork(torch.nn.Module):
    r"""A field of two arguments s_θ(x, σ), one network for the scores of all noise scales.

    .. math:: s_\theta(x, \sigma) = \frac1\sigma F_\theta\Bigl(\frac{x}{\sqrt{1 + \sigma^2}},\, \log \sigma\Bigr)

    F_θ is fully connected, as :class:`ScoreNetwork` is, and takes log σ as itself and as three pairs of waves,
    :math:`\sin` and :math:`\cos` of ½, 1 and 2 times it. At every σ what F_θ has to learn, −σ times the score, is the
    mean of the noise z: a number of the order of one, where the score itself grows as 1/σ. So are its inputs, for data
    that vary by about one. The weights begin as those of :class:`ScoreNetwork` do.

    Parameters
    ----------
    dim : int
        d, of the points and of the field.
    width : int
        Units of each hidden layer.
    depth : int
        Hidden layers, at least 1.
    generator : torch.Generator, optional
        Of the initial weights, on the CPU; None is torch's default one.

    Raises
    ------
    ValueError
        A size below 1, or a generator on another device.
    TypeError
        A size that is no whole number.

    References
    ----------
    Song & Ermon (2020), https://arxiv.org/abs/2006.09011, for the division by σ.

    Examples
    --------
    >>> import torch
    >>> from notes.networks import NoiseConditionalNetwork
    >>> generator = torch.Generator().manual_seed(0)
    >>> model = NoiseConditionalNetwork(2, generator=generator)
    >>> x = torch.zeros(5, 2)
    >>> model(x, 0.1).shape
    torch.Size([5, 2])
    >>> model(x, torch.tensor([4.0, 2.0, 1.0, 0.5, 0.1])).shape
    torch.Size([5, 2])
    """

    def __init__(self, dim: int, *, width: int = 128, depth: int = 3, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.dim = check.count("dim", dim)
        inputs = self.dim + 1 + 2 * _WAVES
        self.layers, self._products = _fully_connected(inputs, width, depth, self.dim, generator)

    def forward(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The field at the points x and the noise scale σ; one calls the network itself.

        Parameters
        ----------
        x : (n, d) Tensor
            Points, in the network's dtype.
        sigma : float or (n,) Tensor
            σ > 0 in units of x: a number, or one for each row; a constant, to which no gradient flows.

        Returns
        -------
        (n, d) Tensor
            The field, one row a point.

        Raises
        ------
        ValueError
            Points or σ of another shape; a σ that is not positive and finite.
        TypeError
            Points of another dtype.

        Examples
        --------
        >>> import torch
        >>> from notes.networks import NoiseConditionalNetwork
        >>> NoiseConditionalNetwork(1)(torch.zeros(3, 1), torch.ones(2))
        Traceback (most recent call last):
        ValueError: sigma must be a number or have shape (3,), got (2,)
        """
        _in_dtype_of(self, x)
        sigma = torch.as_tensor(check.noise_std("sigma", sigma, x), dtype=x.dtype, device=x.device).reshape(-1, 1)
        with one_thread(self._work(len(x))):
            log = sigma.log()
            angles = torch.cat([0.5 * 2**k * log for k in range(_WAVES)], 1)
            noise = torch.cat([log, angles.sin(), angles.cos()], 1).expand(len(x), -1)
            return self.layers(torch.cat([x / sigma.hypot(torch.ones_like(sigma)), noise], 1)) / sigma

    def _work(self, n: int) -> float:
        """What n points cost, as :class:`one_thread` counts; infinity for what others made of this class."""
        return n * self._products / _PRODUCTS if type(self) is NoiseConditionalNetwork else math.inf


def _fully_connected(inputs, width, depth, outputs, generator):
    """The layers, with SiLU between them, and the multiply-adds that a point takes."""
    width, depth = check.count("width", width), check.count("depth", depth)
    check.on_device(generator, "cpu")
    sizes = [inputs, *[width] * depth, outputs]
    layers = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layer = torch.nn.Linear(fan_in, fan_out, device="meta")  # draws nothing from the global generator
        for name, shape in (("weight", (fan_out, fan_in)), ("bias", (fan_out,))):
            values = torch.empty(shape, device="cpu").uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=generator)
            setattr(layer, name, torch.nn.Parameter(values))
        layers += [layer, torch.nn.SiLU()]
    return torch.nn.Sequential(*layers[:-1]), sum(fan_in * fan_out for fan_in, fan_out in itertools.pairwise(sizes))


def _in_dtype_of(network, x):
    dtype = network.layers[0].weight.dtype
    if check.points("x", x, network.dim).dtype != dtype:
        raise TypeError(f"x must be {dtype}, as the network is, got {x.dtype}")
