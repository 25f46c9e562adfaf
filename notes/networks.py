"""Networks for score fields: smooth functions with as many outputs as inputs."""

import itertools
import math

import torch
from torch import Tensor

from notes import _arguments as check
from notes._threads import one_thread

__all__ = ["ScoreNetwork"]

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
        width, depth = check.count("width", width), check.count("depth", depth)
        check.on_device(generator, "cpu")
        sizes = [self.dim, *[width] * depth, self.dim]
        layers = []
        for inputs, outputs in itertools.pairwise(sizes):
            layer = torch.nn.Linear(inputs, outputs, device="meta")  # draws nothing from the global generator
            for name, shape in (("weight", (outputs, inputs)), ("bias", (outputs,))):
                values = torch.empty(shape, device="cpu").uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
                setattr(layer, name, torch.nn.Parameter(values))
            layers += [layer, torch.nn.SiLU()]
        self.layers = torch.nn.Sequential(*layers[:-1])
        self._products = sum(inputs * outputs for inputs, outputs in itertools.pairwise(sizes))

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
        dtype = self.layers[0].weight.dtype
        if check.points("x", x, self.dim).dtype != dtype:
            raise TypeError(f"x must be {dtype}, as the network is, got {x.dtype}")
        with one_thread(self._work(len(x))):
            return self.layers(x)

    def _work(self, n: int) -> float:
        """What n points cost, as :class:`one_thread` counts; infinity for what others made of this class."""
        return n * self._products / _PRODUCTS if type(self) is ScoreNetwork else math.inf
