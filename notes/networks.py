"""Networks for score fields: smooth functions with as many outputs as inputs."""

import itertools

import torch

from notes import _arguments as check


class ScoreNetwork(torch.nn.Module):
    r"""A field s_θ: a fully connected network (n, d) → (n, d) with ``depth`` hidden layers and SiLU between them.

    The weights begin uniform within :math:`\pm 1/\sqrt{\text{inputs}}` of each layer, PyTorch's own rule, in float32;
    ``.to(torch.float64)`` makes another of it. SiLU is smooth, as a score is, so that
    :func:`~notes.score_matching.implicit` and :func:`~notes.score_matching.sliced` can differentiate the field: with
    ReLU they would see pieces of planes.

    Parameters
    ----------
    dim : d, of the points and of the field.
    width : units of each hidden layer.
    depth : hidden layers, at least 1.
    generator : of the initial weights, on the CPU; None is torch's default one.

    Example
    -------
    >>> import torch
    >>> from notes.networks import ScoreNetwork
    >>> model = ScoreNetwork(2, generator=torch.Generator().manual_seed(0))
    >>> model(torch.zeros(5, 2)).shape
    torch.Size([5, 2])
    >>> sum(parameter.numel() for parameter in model.parameters())
    33666
    """

    def __init__(self, dim, *, width=128, depth=3, generator=None):
        super().__init__()
        self.dim = check.count("dim", dim)
        width, depth = check.count("width", width), check.count("depth", depth)
        check.on_device(generator, "cpu")
        sizes = [self.dim, *[width] * depth, self.dim]
        layers = []
        for inputs, outputs in itertools.pairwise(sizes):
            layer = torch.nn.utils.skip_init(torch.nn.Linear, inputs, outputs)
            for parameter in layer.parameters():
                torch.nn.init.uniform_(parameter, -(inputs**-0.5), inputs**-0.5, generator=generator)
            layers += [layer, torch.nn.SiLU()]
        self.layers = torch.nn.Sequential(*layers[:-1])

    def forward(self, x):
        """The field at the points x, (n, d) → (n, d), in the network's dtype; one calls the network itself.

        Example
        -------
        >>> import torch
        >>> from notes.networks import ScoreNetwork
        >>> ScoreNetwork(1).double()(torch.zeros(1, 1))
        Traceback (most recent call last):
        TypeError: x must be torch.float64, as the network is, got torch.float32
        """
        dtype = self.layers[0].weight.dtype
        if check.points("x", x, self.dim).dtype != dtype:
            raise TypeError(f"x must be {dtype}, as the network is, got {x.dtype}")
        return self.layers(x)
