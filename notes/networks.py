"""Networks for score fields: smooth functions with as many outputs as inputs, of x alone or of x and a noise σ."""

import functools
import itertools
import math

import torch
from torch import Tensor
from torch.nn.functional import silu

from notes import _arguments as check
from notes._threads import one_thread

__all__ = ["ScoreNetwork", "NoiseConditionalNetwork", "ImageNetwork"]

WAVES = [0.5, 1.0, 2.0]  # pairs of waves in log σ, of lengths 4π, 2π and π
_NOTES = 64  # numbers in which an ImageNetwork is told of noise and label
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
        inputs = self.dim + 1 + 2 * len(WAVES)
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
        sigma = _column(sigma, x)
        with one_thread(self._work(len(x))):
            noise = _waves(sigma).expand(len(x), -1)
            return self.layers(torch.cat([x / sigma.hypot(torch.ones_like(sigma)), noise], 1)) / sigma

    def _work(self, n: int) -> float:
        """What n points cost, as :class:`one_thread` counts; infinity for what others made of this class."""
        return n * self._products / _PRODUCTS if type(self) is NoiseConditionalNetwork else math.inf


class ImageNetwork(torch.nn.Module):
    r"""A field of two arguments for small square images, and of a label where there are some.

    .. math::

       s_\theta(x, \sigma) &= -\frac{x - m}{\tau^2 + \sigma^2} \\
       &+ \frac{\tau}{\sigma \sqrt{\tau^2 + \sigma^2}}\,
       F_\theta\Bigl(\frac{x - m}{\sqrt{\tau^2 + \sigma^2}},\, \log \sigma\Bigr)

    The first part is the score of a round Gaussian with the data's mean m and standard deviation τ, from which the
    network starts, as the last layer of F_θ starts at zero. What F_θ has to learn is of the order of one at every σ. It
    sees neighbours through convolutions of 3 × 3 pixels, and the image as a whole, at half its resolution, through a
    fully connected layer. With the weight λ = σ² (1 + σ²/τ²), which is its method ``weight``, the loss
    :func:`~notes.score_matching.denoising_over_scales` is the plain squared error of F_θ.

    Parameters
    ----------
    mean : (d,) Tensor
        m, an image of even side: d = side².
    std : float
        τ > 0, of a pixel, in units of x.
    channels : int
        Of the convolutions; twice as many at half the resolution.
    n_labels : int
        Labels are 0 to n_labels − 1; 0 for none.
    generator : torch.Generator, optional
        Of the initial weights, on the CPU; None is torch's default one.

    Raises
    ------
    ValueError
        Bad input, by name.
    TypeError
        Input of another kind, by name.

    References
    ----------
    Karras et al. (2022), https://arxiv.org/abs/2206.00364, for the two factors and the weight.

    Examples
    --------
    >>> import torch
    >>> from notes.networks import ImageNetwork
    >>> generator = torch.Generator().manual_seed(0)
    >>> model = ImageNetwork(
    ...     torch.zeros(64), 0.75, n_labels=10, generator=generator
    ... )
    >>> x = torch.ones(2, 64)
    >>> model(x, 0.3).shape
    torch.Size([2, 64])
    >>> model(x, 0.3, torch.tensor([4, -1])).shape  # a four, and no label
    torch.Size([2, 64])
    """

    def __init__(
        self,
        mean: Tensor,
        std: float,
        *,
        channels: int = 16,
        n_labels: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        mean = check.finite("mean", check.floating("mean", mean)).detach().to("cpu", torch.get_default_dtype())
        self.side = math.isqrt(mean.numel())
        if mean.ndim != 1 or not self.side or self.side**2 != len(mean) or self.side % 2:
            raise ValueError(f"mean must be an image of even side, (side²,), got shape {tuple(mean.shape)}")
        self.dim, std = len(mean), check.representable("std", check.positive("std", std), mean)
        n, self.n_labels = check.count("channels", channels), check.count("n_labels", n_labels, least=0)
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", mean.new_tensor(std))  # travels with the weights, which are made for it
        layer = functools.partial(torch.nn.Linear, device="meta")  # draws nothing from the global generator
        filters = functools.partial(torch.nn.Conv2d, kernel_size=3, padding=1, device="meta")
        whole, units = 2 * n * (self.side // 2) ** 2, 256
        self.condition = layer(1 + 2 * len(WAVES) + self.n_labels, _NOTES)
        self.first, self.last = filters(1, n), filters(n, 1)
        self.before, self.after = (
            torch.nn.ModuleList([filters(n, n), layer(_NOTES, n), filters(n, n)]) for _ in range(2)
        )
        self.down = torch.nn.Conv2d(n, 2 * n, 2, stride=2, device="meta")
        self.inside = torch.nn.ModuleList([layer(whole, units), layer(_NOTES, units), layer(units, whole)])
        self.up = torch.nn.ConvTranspose2d(2 * n, n, 2, stride=2, device="meta")
        check.on_device(generator, "cpu")
        for part in self.modules():
            if hasattr(part, "weight") and part is not self:
                _draw(part, generator)
        for parameter in self.last.parameters():
            torch.nn.init.zeros_(parameter)

    def weight(self, sigma: Tensor) -> Tensor:
        """The weight λ(σ) = σ² (1 + σ²/τ²) for the loss over scales, (n,) → (n,).

        Examples
        --------
        >>> import torch
        >>> from notes.networks import ImageNetwork
        >>> ImageNetwork(torch.zeros(64), 0.5).weight(torch.tensor([0.5, 1.0]))
        tensor([0.5000, 5.0000])
        """
        return sigma**2 * (1 + (sigma / self.std) ** 2)

    def forward(self, x: Tensor, sigma: float | Tensor, label: Tensor | None = None) -> Tensor:
        """The field at the images x and the noise scale σ; one calls the network itself.

        Parameters
        ----------
        x : (n, d) Tensor
            Images, one a row, in the network's dtype.
        sigma : float or (n,) Tensor
            σ > 0 in units of x: a number, or one for each row; a constant, to which no gradient flows.
        label : (n,) Tensor, optional
            Whole numbers, −1 for no label; None for none in any row.

        Returns
        -------
        (n, d) Tensor
            The field, one row an image.

        Raises
        ------
        ValueError
            An argument of another shape; a σ that is not positive and finite; a label that there is not.
        TypeError
            Images of another dtype; labels that are no whole numbers.

        Examples
        --------
        >>> import torch
        >>> from notes.networks import ImageNetwork
        >>> model = ImageNetwork(torch.zeros(64), 0.5)
        >>> model(torch.zeros(1, 64), 1.0, torch.tensor([3]))
        Traceback (most recent call last):
        ValueError: label must lie from -1 to -1, got 3
        """
        _in_dtype_of(self, x)
        sigma = _column(sigma, x)
        known = _one_hot(label, self.n_labels, x)
        spread = sigma.hypot(self.std)
        notes = silu(self.condition(torch.cat([_waves(sigma).expand(len(x), -1), known], 1)))
        image = (x - self.mean) / spread
        fine = self.first(image.reshape(-1, 1, self.side, self.side))
        fine = fine + _change(self.before, fine, notes)
        coarse = self.down(fine)
        whole = coarse.flatten(1)
        whole = whole + _change(self.inside, whole, notes)
        fine = fine + self.up(whole.reshape(coarse.shape))
        fine = fine + _change(self.after, fine, notes)
        guess = self.last(silu(fine)).flatten(1)
        return (self.std * guess / sigma - image) / spread


def _fully_connected(inputs, width, depth, outputs, generator):
    """The layers, with SiLU between them, and the multiply-adds that a point takes."""
    width, depth = check.count("width", width), check.count("depth", depth)
    check.on_device(generator, "cpu")
    sizes = [inputs, *[width] * depth, outputs]
    layers = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layer = torch.nn.Linear(fan_in, fan_out, device="meta")  # draws nothing from the global generator
        _draw(layer, generator)
        layers += [layer, torch.nn.SiLU()]
    return torch.nn.Sequential(*layers[:-1]), sum(fan_in * fan_out for fan_in, fan_out in itertools.pairwise(sizes))


def _column(sigma, x):
    """Noise scales in the dtype of the points x: one for all, (1, 1), or one a row, (n, 1)."""
    return torch.as_tensor(check.noise_std("sigma", sigma, x), dtype=x.dtype, device=x.device).reshape(-1, 1)


def _draw(layer, generator):
    """Weights and biases of a layer, uniform within one over the root of the numbers that one output is made of."""
    transposed = isinstance(layer, torch.nn.ConvTranspose2d)  # each of its outputs is made of one pixel
    fan_in = layer.in_channels if transposed else layer.weight[0].numel()
    for name in ("weight", "bias"):
        shape = getattr(layer, name).shape
        values = torch.empty(shape, device="cpu").uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=generator)
        setattr(layer, name, torch.nn.Parameter(values))


def _waves(sigma):
    """log σ as itself and as pairs of waves: (n, 1) → (n, 7)."""
    log = sigma.log()
    angles = torch.cat([wave * log for wave in WAVES], 1)
    return torch.cat([log, angles.sin(), angles.cos()], 1)


def _change(layers, x, notes):
    """What two layers make of x, told of noise and label by a third between them."""
    into, told, out = layers
    inner = into(silu(x))
    return out(silu(inner + told(notes).reshape(*inner.shape[:2], *[1] * (inner.ndim - 2))))


def _one_hot(label, n_labels, x):
    """A one in the column of its label for each row; nothing for −1."""
    known = x.new_zeros(len(x), n_labels)
    if label is None:
        return known
    label = check.labels("label", label).long()
    if label.shape != x.shape[:1]:
        raise ValueError(f"label must have shape ({len(x)},), got {tuple(label.shape)}")
    for end in (label.min(), label.max()) if len(label) else ():
        if not -1 <= end < n_labels:
            raise ValueError(f"label must lie from -1 to {n_labels - 1}, got {end}")
    rows = (label >= 0).nonzero()[:, 0]
    known[rows, label[rows]] = 1
    return known


def _in_dtype_of(network, x):
    dtype = next(network.parameters()).dtype
    if check.points("x", x, network.dim).dtype != dtype:
        raise TypeError(f"x must be {dtype}, as the network is, got {x.dtype}")
