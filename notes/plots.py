"""What every picture of the book is made of: a canvas in one style, and densities, fields and particles on it."""

import functools
import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

import torch

from notes._extras import needs

with needs("figures"):
    import matplotlib
    import numpy as np
    from matplotlib import collections, colors
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "CONTRAST",
    "DOTTED",
    "ESTIMATE",
    "FAINT",
    "MUTED",
    "PAPER",
    "TRUTH",
    "styled",
    "canvas",
    "plane",
    "lattice",
    "contours",
    "shades",
    "arrows",
    "arrows_at",
    "colours_by_start",
    "particles",
    "trails",
    "histogram",
    "curve",
    "arrow",
    "label",
    "pictures",
]

Extent = tuple[float, float, float, float]  # left, right, bottom, top
Field = Callable[[torch.Tensor], torch.Tensor]
_Arguments, _Result = ParamSpec("_Arguments"), TypeVar("_Result")

# Colours by role, told apart by the colour-blind (Okabe & Ito). MUTED is FAINT for words, which must be legible.
TRUTH, ESTIMATE, CONTRAST, FAINT, MUTED = "#222222", "#0072B2", "#D55E00", "#9A9A9A", "#666666"
PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # the box behind a label that lines would cross
DOTTED = {"linewidth": 1, "linestyle": (0, (2, 2))}  # a line to compare with
_WHEEL = colors.LinearSegmentedColormap.from_list(
    "wheel", ["#0072B2", "#00A07A", "#E0A100", "#D55E00", "#B5478F", "#0072B2"]
)
_DEPTHS = colors.LinearSegmentedColormap.from_list("depths", ["#dde8f1", "#a3c3dc", "#6a9cc0"]).with_extremes(
    under="white"
)
_SHADES = colors.LinearSegmentedColormap.from_list("shades", ["#ffffff", "#dfe6ec", "#aebfce"])


_IN_STYLE = threading.RLock()  # Matplotlib's settings are the whole process's: one thread at a time changes them


class _Density(Protocol):
    def log_prob(self, x: torch.Tensor) -> torch.Tensor: ...


@functools.cache
def _style():
    return matplotlib.rc_params_from_file(Path(__file__).with_name("notes.mplstyle"), use_default_template=False)


def styled(draw: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Decorator of a figure function: it draws in the book's style, and leaves every global setting as it was.

    Threads draw one after the other, since Matplotlib has one set of settings for all of them.

    Examples
    --------
    >>> import matplotlib
    >>> from notes.plots import styled
    >>> before = matplotlib.rcParams["font.size"]
    >>> styled(lambda: matplotlib.rcParams["font.size"])()
    11.5
    >>> matplotlib.rcParams["font.size"] == before
    True
    """

    @functools.wraps(draw)
    def in_style(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        with _IN_STYLE, matplotlib.rc_context(_style()):
            return draw(*args, **kwargs)

    return in_style


def canvas(rows: int = 1, columns: int = 1, *, height: float = 3.6, **kwargs: Any) -> tuple[Figure, Any]:
    """A figure of the book's one width, 6 inches, and its axes. Not pyplot's: nothing is shown or kept open.

    Parameters
    ----------
    rows, columns : int
        Of axes.
    height : float
        In inches.
    **kwargs
        What ``Figure.subplots`` takes.

    Returns
    -------
    Figure
    Axes or ndarray of Axes
        One, or as many as there are rows and columns.

    Examples
    --------
    >>> from notes.plots import canvas
    >>> figure, (left, right) = canvas(1, 2, height=2.5)
    >>> print(*figure.get_size_inches())
    6.0 2.5
    """
    figure = Figure(figsize=(6, height))
    return figure, figure.subplots(rows, columns, **kwargs)


def plane(ax: Axes, extent: Extent) -> None:
    """Two-dimensional axes without furniture: one unit is as long across as up.

    Parameters
    ----------
    ax : Axes
    extent : tuple of float
        Left, right, bottom and top.

    Examples
    --------
    >>> from notes.plots import canvas, plane
    >>> figure, ax = canvas()
    >>> plane(ax, (-3, 3, -2, 2))
    >>> print(*ax.get_xlim(), *ax.get_ylim())
    -3.0 3.0 -2.0 2.0
    """
    ax.set(xlim=extent[:2], ylim=extent[2:], aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def lattice(extent: Extent, n: int) -> tuple[torch.Tensor, tuple[int, int]]:
    """An even lattice over an extent, as points.

    Parameters
    ----------
    extent : tuple of float
        Left, right, bottom and top.
    n : int
        Points across.

    Returns
    -------
    Tensor
        The points, (ny · n, 2).
    tuple of int
        The lattice's shape, (ny, n).

    Examples
    --------
    >>> from notes.plots import lattice
    >>> x, shape = lattice((0, 2, 0, 1), n=4)
    >>> shape
    (2, 4)
    >>> x[-1]
    tensor([2., 1.])
    """
    left, right, bottom, top = extent
    ny = max(2, round(n * (top - bottom) / (right - left)))
    y, x = torch.meshgrid(torch.linspace(bottom, top, ny), torch.linspace(left, right, n), indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1), (ny, n)


def contours(ax: Axes, density: _Density, extent: Extent, n: int = 140) -> None:
    """The density as soft shades and lines, at fractions of its maximum.

    Parameters
    ----------
    ax : Axes
    density : object with ``log_prob``
        In the plane, (n, 2) → (n,).
    extent : tuple of float
        Left, right, bottom and top.
    n : int
        Points of the lattice across.

    Examples
    --------
    >>> from notes.mixtures import GaussianMixture
    >>> from notes.plots import canvas, contours
    >>> figure, ax = canvas()
    >>> contours(ax, GaussianMixture([[0.0, 0.0]], 1.0), (-3, 3, -3, 3))
    >>> shades, lines = ax.collections
    >>> len(lines.levels)
    6
    """
    x, shape = lattice(extent, n)
    p = density.log_prob(x).exp().reshape(shape).numpy()
    px, py = x[:, 0].reshape(shape).numpy(), x[:, 1].reshape(shape).numpy()
    levels = p.max() * np.array([0.03, 0.1, 0.25, 0.45, 0.65, 0.85, 1.001])
    ax.contourf(px, py, p, levels=levels, cmap=_SHADES, antialiased=True)
    ax.contour(px, py, p, levels=levels[:-1], colors="#7d90a1", linewidths=0.6)


def shades(ax: Axes, function: Field, extent: Extent, levels: Sequence[float], n: int = 160) -> None:
    """A function over the plane as shades between levels: the higher, the darker.

    Parameters
    ----------
    ax : Axes
    function : callable
        (n, 2) → (n,).
    extent : tuple of float
        Left, right, bottom and top.
    levels : sequence of float
        Rising.
    n : int
        Points of the lattice across.

    Examples
    --------
    >>> from notes.plots import canvas, shades
    >>> figure, ax = canvas()
    >>> shades(ax, lambda x: x.norm(dim=1), (-3, 3, -3, 3), levels=[1, 2, 3])
    >>> print(*ax.collections[0].levels)
    1.0 2.0 3.0
    """
    x, shape = lattice(extent, n)
    values = function(x).reshape(shape).numpy()
    at = x[:, 0].reshape(shape).numpy(), x[:, 1].reshape(shape).numpy()
    ax.contourf(*at, values, levels=levels, cmap=_DEPTHS, extend="both", antialiased=True)
    ax.contour(*at, values, levels=levels, colors="white", linewidths=0.6, linestyles="solid")


def arrows(ax: Axes, field: Field, extent: Extent, n: int = 17, color: str = FAINT) -> None:
    """A vector field on a lattice; lengths grow as the square root of the magnitude, so that weak arrows still show.

    Parameters
    ----------
    ax : Axes
    field : callable
        (n, 2) → (n, 2).
    extent : tuple of float
        Left, right, bottom and top.
    n : int
        Arrows across.
    color : str

    Examples
    --------
    >>> from notes.plots import arrows, canvas
    >>> figure, ax = canvas()
    >>> arrows(ax, lambda x: -x, (-3, 3, -3, 3), n=9)
    >>> ax.collections[0].N
    81
    """
    margin = (extent[1] - extent[0]) / n / 2
    x, _ = lattice((extent[0] + margin, extent[1] - margin, extent[2] + margin, extent[3] - margin), n)
    arrows_at(ax, x, field(x).detach(), (extent[1] - extent[0]) / n, color)


def arrows_at(ax: Axes, x: torch.Tensor, v: torch.Tensor, spacing: float, color: str = FAINT) -> None:
    """Arrows at points of a lattice, as :func:`arrows` draws them: the longest fills its spacing.

    Parameters
    ----------
    ax : Axes
    x, v : Tensor
        The points and their arrows, (n, 2) each.
    spacing : float
        Between neighbours on the lattice.
    color : str

    Examples
    --------
    >>> import torch
    >>> from notes.plots import arrows_at, canvas
    >>> figure, ax = canvas()
    >>> x = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> arrows_at(ax, x, -x, spacing=1.0)
    >>> ax.collections[0].N
    2
    """
    length = v.norm(dim=1, keepdim=True).clamp_min(1e-12)
    u = (v / length.sqrt() / length.max().sqrt()).numpy()
    scale = 1 / (0.9 * spacing)
    ax.quiver(*x.T.numpy(), *u.T, angles="xy", scale_units="xy", scale=scale, width=0.0035, color=color, pivot="mid")


def colours_by_start(x0: torch.Tensor) -> np.ndarray:
    """A colour for each start, by its direction from the middle of them all: once round the wheel.

    Parameters
    ----------
    x0 : Tensor
        (n, 2).

    Returns
    -------
    ndarray
        (n, 4): red, green, blue and opacity.

    Examples
    --------
    >>> import torch
    >>> from notes.plots import colours_by_start
    >>> x0 = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    >>> colours_by_start(x0).shape
    (3, 4)
    """
    x, y = (x0 - x0.mean(0)).T.numpy()
    return _WHEEL(np.arctan2(y, x) / (2 * np.pi) % 1)


def particles(ax: Axes, x: torch.Tensor, color: str | np.ndarray, size: float = 9) -> None:
    """Particles as dots, in one colour or one colour each.

    Parameters
    ----------
    ax : Axes
    x : Tensor
        (n, 2).
    color : str or ndarray
        One, or (n, 4).
    size : float
        In square points.

    Examples
    --------
    >>> import torch
    >>> from notes.plots import ESTIMATE, canvas, particles
    >>> figure, ax = canvas()
    >>> particles(ax, torch.zeros(7, 2), ESTIMATE)
    >>> len(ax.collections[0].get_offsets())
    7
    """
    ax.scatter(*x.T.numpy(), c=color, s=size, linewidths=0, alpha=0.9, zorder=3)


def trails(ax: Axes, path: torch.Tensor, color: str | np.ndarray) -> None:
    """The last stretch of each particle's path as a thin line.

    Parameters
    ----------
    ax : Axes
    path : Tensor
        (T, n, 2); of a single state nothing is drawn.
    color : str or ndarray
        One, or (n, 4).

    Examples
    --------
    >>> import torch
    >>> from notes.plots import FAINT, canvas, trails
    >>> figure, ax = canvas()
    >>> trails(ax, torch.zeros(5, 7, 2), FAINT)
    >>> len(ax.collections[0].get_segments())
    7
    """
    if len(path) > 1:
        ax.add_collection(
            collections.LineCollection(path.transpose(0, 1).numpy(), colors=color, linewidths=0.6, alpha=0.4)
        )


def histogram(ax: Axes, x: torch.Tensor, edges: Sequence[float], color: str = ESTIMATE, alpha: float = 0.45) -> None:
    """Particles as a density between edges; those outside are counted in the total, and not drawn.

    Parameters
    ----------
    ax : Axes
    x : Tensor
        (n,).
    edges : sequence of float
        Rising.
    color : str
    alpha : float
        Opacity of what is filled.

    Examples
    --------
    >>> import torch
    >>> from notes.plots import canvas, histogram
    >>> figure, ax = canvas()
    >>> histogram(ax, torch.tensor([0.2, 0.7, 1.5, 9.0]), edges=[0, 1, 2])
    >>> print(*ax.patches[0].get_data().values)
    0.5 0.25
    """
    heights = np.histogram(x.numpy(), edges)[0] / len(x) / np.diff(edges)
    ax.stairs(heights, edges, fill=True, color=color, alpha=alpha)
    ax.stairs(heights, edges, color=color, linewidth=1)


def curve(ax: Axes, density: _Density, grid: torch.Tensor, color: str = TRUTH, **kwargs: Any) -> None:
    """A one-dimensional density over a grid.

    Parameters
    ----------
    ax : Axes
    density : object with ``log_prob``
        On the line, (n, 1) → (n,).
    grid : Tensor
        (G,).
    color : str
    **kwargs
        What ``Axes.plot`` takes.

    Examples
    --------
    >>> import torch
    >>> from notes.mixtures import GaussianMixture
    >>> from notes.plots import canvas, curve
    >>> figure, ax = canvas()
    >>> curve(ax, GaussianMixture([[0.0]], 1.0), torch.linspace(-3, 3, 61))
    >>> print(f"{ax.lines[0].get_ydata().max():.3f}")
    0.399
    """
    ax.plot(grid.numpy(), density.log_prob(grid[:, None]).exp().numpy(), color=color, **kwargs)


def arrow(ax: Axes, start: Sequence[float], end: Sequence[float], color: str, **kwargs: Any) -> None:
    """One arrow from a point to another; none where they are the same.

    Parameters
    ----------
    ax : Axes
    start, end : sequence of float
        Two coordinates each.
    color : str
    **kwargs
        What Matplotlib's ``FancyArrowPatch`` takes.

    Examples
    --------
    >>> from notes.plots import CONTRAST, arrow, canvas
    >>> figure, ax = canvas()
    >>> arrow(ax, (0, 0), (1, 1), CONTRAST)
    >>> arrow(ax, (0, 0), (0, 0), CONTRAST)
    >>> len(ax.texts)
    1
    """
    style = {"arrowstyle": "-|>,head_width=0.28,head_length=0.5", "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
    if not np.allclose(start, end):
        ax.annotate("", end, start, arrowprops={**style, "color": color, **kwargs}, annotation_clip=False)


def label(ax: Axes, x: float, y: float, text: str, color: str = TRUTH, **kwargs: Any) -> None:
    """A direct label: words beside what they name, in its colour.

    Parameters
    ----------
    ax : Axes
    x, y : float
        The middle of its lower edge.
    text : str
    color : str
    **kwargs
        What ``Axes.text`` takes.

    Examples
    --------
    >>> from notes.plots import ESTIMATE, canvas, label
    >>> figure, ax = canvas()
    >>> label(ax, 0, 0, "the estimate", ESTIMATE)
    >>> print(ax.texts[0].get_text(), ax.texts[0].get_color())
    the estimate #0072B2
    """
    ax.text(x, y, text, color=color, **{"ha": "center", "va": "bottom", "linespacing": 1.25, **kwargs})


def pictures(
    ax: Axes,
    images: torch.Tensor,
    *,
    rows: Sequence[str] = (),
    below: Sequence[str] | None = None,
    limits: tuple[float, float] = (-1.0, 1.0),
) -> None:
    """Square images in rows and columns on one pair of axes: dark ink on white, words beside the rows and below images.

    Parameters
    ----------
    ax : Axes
    images : (r, c, d) or (r, c, side, side) Tensor
        r rows of c images.
    rows : sequence of str
        The names of the rows, on their left.
    below : sequence of str, optional
        Words below the columns.
    limits : tuple of float
        What is white and what is black.

    Raises
    ------
    ValueError
        Images that are not square, or none.

    Examples
    --------
    >>> import torch
    >>> from notes.plots import canvas, pictures
    >>> figure, ax = canvas(height=2)
    >>> pictures(ax, torch.zeros(2, 5, 64), rows=["noisy", "denoised"])
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['noisy', 'denoised']
    """
    side = math.isqrt(math.prod(images.shape[2:]))
    if images.numel() == 0 or images.shape[2:] not in [(side**2,), (side, side)]:
        raise ValueError(f"images must be square, (r, c, d) or (r, c, side, side), got shape {tuple(images.shape)}")
    count, columns = images.shape[:2]
    gap = max(1, side // 8)
    tiles = images.detach().reshape(count, columns, side, side).double()
    sheet = torch.full((count, side + gap, columns, side + gap), torch.nan, dtype=torch.float64)
    sheet[:, :side, :, :side] = tiles.permute(0, 2, 1, 3)
    sheet = sheet.reshape(count * (side + gap), columns * (side + gap))[:-gap, :-gap]
    ax.imshow(sheet.numpy(), cmap="Greys", vmin=limits[0], vmax=limits[1], interpolation="nearest")
    middle = (side - 1) / 2
    ax.set_yticks([middle + k * (side + gap) for k in range(len(rows))], rows)
    ax.set_xticks([middle + k * (side + gap) for k in range(len(below or ()))], below or ())
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
