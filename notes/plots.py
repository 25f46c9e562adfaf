"""What every picture of the book is made of: a canvas in one style, and densities, fields and particles on it."""

import functools
from pathlib import Path

import torch

from notes._extras import needs

with needs("figures"):
    import matplotlib
    import numpy as np
    from matplotlib import collections, colors
    from matplotlib.figure import Figure

# Colours by role, told apart by the colour-blind (Okabe & Ito). MUTED is FAINT for words, which must be legible.
TRUTH, ESTIMATE, CONTRAST, FAINT, MUTED = "#222222", "#0072B2", "#D55E00", "#9A9A9A", "#666666"
PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # the box behind a label that lines would cross
_WHEEL = colors.LinearSegmentedColormap.from_list(
    "wheel", ["#0072B2", "#00A07A", "#E0A100", "#D55E00", "#B5478F", "#0072B2"]
)
_DEPTHS = colors.LinearSegmentedColormap.from_list("depths", ["#dde8f1", "#a3c3dc", "#6a9cc0"]).with_extremes(
    under="white"
)
_SHADES = colors.LinearSegmentedColormap.from_list("shades", ["#ffffff", "#dfe6ec", "#aebfce"])


@functools.cache
def _style():
    return matplotlib.rc_params_from_file(Path(__file__).with_name("notes.mplstyle"), use_default_template=False)


def styled(draw):
    """Decorator of a figure function: it draws in the book's style, and leaves every global setting alone.

    Example
    -------
    >>> import matplotlib
    >>> from notes.plots import styled
    >>> before = matplotlib.rcParams["font.size"]
    >>> styled(lambda: matplotlib.rcParams["font.size"])()
    11.5
    >>> matplotlib.rcParams["font.size"] == before
    True
    """

    @functools.wraps(draw)
    def in_style(*args, **kwargs):
        with matplotlib.rc_context(_style()):
            return draw(*args, **kwargs)

    return in_style


def canvas(rows=1, columns=1, *, height=3.6, **kwargs):
    """A figure of the book's one width, 6 inches, and its axes. Not pyplot's: nothing is shown or kept open.

    Example
    -------
    >>> from notes.plots import canvas
    >>> figure, (left, right) = canvas(1, 2, height=2.5)
    >>> print(*figure.get_size_inches())
    6.0 2.5
    """
    figure = Figure(figsize=(6, height))
    return figure, figure.subplots(rows, columns, **kwargs)


def plane(ax, extent):
    """Two-dimensional axes without furniture: one unit is as long across as up.

    Example
    -------
    >>> from notes.plots import canvas, plane
    >>> figure, ax = canvas()
    >>> plane(ax, (-3, 3, -2, 2))
    >>> print(*ax.get_xlim(), *ax.get_ylim())
    -3.0 3.0 -2.0 2.0
    """
    ax.set(xlim=extent[:2], ylim=extent[2:], aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def lattice(extent, n):
    """Points (ny · n, 2) of an even lattice over an extent (left, right, bottom, top), and its shape (ny, n).

    Example
    -------
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


def contours(ax, density, extent, n=140):
    """The density as soft shades and lines, at fractions of its maximum.

    Example
    -------
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


def shades(ax, function, extent, levels, n=160):
    """A function (n, 2) → (n,) as shades between the levels: the higher, the darker.

    Example
    -------
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


def arrows(ax, field, extent, n=17, color=FAINT):
    """A vector field on a lattice; lengths grow as the square root of the magnitude, so that weak arrows still show.

    Example
    -------
    >>> from notes.plots import arrows, canvas
    >>> figure, ax = canvas()
    >>> arrows(ax, lambda x: -x, (-3, 3, -3, 3), n=9)
    >>> ax.collections[0].N
    81
    """
    margin = (extent[1] - extent[0]) / n / 2
    x, _ = lattice((extent[0] + margin, extent[1] - margin, extent[2] + margin, extent[3] - margin), n)
    arrows_at(ax, x, field(x).detach(), (extent[1] - extent[0]) / n, color)


def arrows_at(ax, x, v, spacing, color=FAINT):
    """The arrows v (n, 2) at points x (n, 2) of a lattice, as :func:`arrows` draws them: the longest fills its spacing.

    Example
    -------
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


def colours_by_start(x0):
    """A colour for each start (n, 2), by its direction from the middle of them all: once round the wheel. (n, 4)

    Example
    -------
    >>> import torch
    >>> from notes.plots import colours_by_start
    >>> x0 = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    >>> colours_by_start(x0).shape  # red, green, blue and opacity
    (3, 4)
    """
    x, y = (x0 - x0.mean(0)).T.numpy()
    return _WHEEL(np.arctan2(y, x) / (2 * np.pi) % 1)


def particles(ax, x, color, size=9):
    """Particles (n, 2) as dots, in one colour or one colour each.

    Example
    -------
    >>> import torch
    >>> from notes.plots import ESTIMATE, canvas, particles
    >>> figure, ax = canvas()
    >>> particles(ax, torch.zeros(7, 2), ESTIMATE)
    >>> len(ax.collections[0].get_offsets())
    7
    """
    ax.scatter(*x.T.numpy(), c=color, s=size, linewidths=0, alpha=0.9, zorder=3)


def trails(ax, path, color):
    """The last stretch of each particle's path (T, n, 2) as a thin line.

    Example
    -------
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


def histogram(ax, x, edges, color=ESTIMATE, alpha=0.45):
    """Particles (n,) as a density over the edges; those outside are counted in the total, and not drawn.

    Example
    -------
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


def curve(ax, density, grid, color=TRUTH, **kwargs):
    """A one-dimensional density over a grid (G,).

    Example
    -------
    >>> import torch
    >>> from notes.mixtures import GaussianMixture
    >>> from notes.plots import canvas, curve
    >>> figure, ax = canvas()
    >>> curve(ax, GaussianMixture([[0.0]], 1.0), torch.linspace(-3, 3, 61))
    >>> print(f"{ax.lines[0].get_ydata().max():.3f}")
    0.399
    """
    ax.plot(grid.numpy(), density.log_prob(grid[:, None]).exp().numpy(), color=color, **kwargs)


def arrow(ax, start, end, color, **kwargs):
    """One arrow from a point to another; none where they are the same.

    Example
    -------
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


def label(ax, x, y, text, color=TRUTH, **kwargs):
    """A direct label: words beside what they name, in its colour.

    Example
    -------
    >>> from notes.plots import ESTIMATE, canvas, label
    >>> figure, ax = canvas()
    >>> label(ax, 0, 0, "the estimate", ESTIMATE)
    >>> print(ax.texts[0].get_text(), ax.texts[0].get_color())
    the estimate #0072B2
    """
    ax.text(x, y, text, color=color, **{"ha": "center", "va": "bottom", "linespacing": 1.25, **kwargs})
