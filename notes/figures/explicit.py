"""The figures of the chapter on kernel density estimates and explicit score matching."""

import copy
import functools

import numpy as np
import torch
from matplotlib.figure import Figure

from notes import langevin as walks
from notes import mixtures, plots, score_matching
from notes.figures.cast import EXTENT, LINE, MOONS, NORMAL, STEP_SIZE, arrow_field, line_axes, seeded, simplex
from notes.mixtures import kernel_density
from notes.networks import ScoreNetwork
from notes.scenes import Scene, opens
from notes.training import train

__all__ = [
    "CHECKED",
    "DATA_SIZES",
    "DIMENSIONS",
    "LAWS",
    "MEMORY",
    "OBJECTIVES",
    "RULES",
    "SHAPES",
    "STEPS",
    "TARGETS",
    "TRAINED",
    "kernels",
    "field",
    "bandwidth",
    "training",
    "sampling",
    "samples",
    "dimension",
    "objectives",
    "blind",
    "memory",
]


@functools.cache
def _data(n_data):
    return MOONS.sample(n_data, seeded(1))


@functools.cache
def _fresh():
    """Points of p that no estimate has seen, to measure it at."""
    return MOONS.sample(2000, seeded(2))


def _scene(p, data, bandwidth):
    """The estimate on data of p; of more than 60 what it is on average, p smoothed: an address is to be short."""
    if len(data) > 60:
        return Scene(p, step_size=STEP_SIZE, sigma=bandwidth)
    return Scene(kernel_density(data, bandwidth), step_size=bandwidth**2 / 10)


def _error(field, truth, x):
    with torch.no_grad():
        return score_matching.fisher_divergence(field, truth, x, relative=True).item()


def _affine(data):
    """The score of the Gaussian with the mean and the covariance of the data."""
    mean = data.mean(0)
    precision = torch.linalg.inv(torch.cov(data.T).reshape(len(mean), -1))
    return lambda x: (mean - x) @ precision


@functools.cache
def _affine_from_q(bandwidth):
    """The relative divergence from the score of an estimate of an affine field that is fitted to points of it."""
    q = kernel_density(_data(300), bandwidth)
    drawn = q.sample(2000, seeded(4))
    return _error(_affine(drawn), q.score, drawn)


def _named(ax, x, lines, gap=1.32):
    """Names at the right ends of lines in a logarithmic picture, (height, name, color) each, none over another."""
    lowest, top = 0, ax.get_ylim()[1]
    for y, name, color in sorted(lines):
        y = min(max(y, lowest), top / gap**0.5)
        plots.label(ax, x, y, name, color, ha="left", va="center")
        lowest = gap * y


def _on_the_line(n_data):
    return LINE.sample(1000, seeded(3))[:n_data]


@opens(lambda bandwidth, data_points: _scene(LINE, _on_the_line(data_points), bandwidth))
@plots.styled
def kernels(bandwidth: float = 0.3, data_points: int = 20) -> Figure:
    """A kernel on each datum, their sum, and the truth."""
    data = _on_the_line(data_points)
    figure, ax = plots.canvas(height=3.6)
    grid = torch.linspace(-4, 5, 900)
    each = torch.exp(-0.5 * ((grid - data) / bandwidth) ** 2) / (data_points * bandwidth * (2 * np.pi) ** 0.5)
    ax.plot(grid, each[:200].T, color=plots.ESTIMATE, linewidth=0.7, alpha=0.45)
    ax.plot(
        data[:, 0],
        np.full(data_points, -0.025),
        "|",
        color=plots.ESTIMATE,
        markersize=8,
        alpha=min(1, 60 / data_points),
    )
    q = kernel_density(data, bandwidth)
    plots.curve(ax, q, grid, plots.ESTIMATE)
    plots.curve(ax, LINE, grid)
    top = max(1.05, 1.15 * q.log_prob(grid[:, None]).exp().max().item())
    line_axes(ax, xlim=(-4, 5), ylim=(-0.06, top), xlabel="x")
    plots.label(ax, -1.6, 0.72, "p", ha="left", fontstyle="italic")
    name = f"q: {data_points} kernels of width {bandwidth:g}"
    plots.label(ax, 1, 0.9, name, plots.ESTIMATE, ha="right", transform=ax.transAxes)
    return figure


@opens(lambda bandwidth, data_points: _scene(MOONS, _data(3000)[:data_points], bandwidth))
@plots.styled
def field(bandwidth: float = 0.2, data_points: int = 300) -> Figure:
    """The estimate's contours and score beside the truth's."""
    data = _data(3000)[:data_points]
    q = kernel_density(data, bandwidth)
    figure, axes = plots.canvas(1, 2, height=2.95)
    for ax, density, color in zip(axes, (q, MOONS), (plots.ESTIMATE, plots.TRUTH), strict=True):
        arrow_field(ax, density, density.score, color)
    plots.particles(axes[0], data[:1000], plots.CONTRAST, 3)
    error = _error(q.score, MOONS.score, _fresh())
    size = f"{100 * error:.0f} %" if error < 10 else f"{error:.0f} times"
    axes[0].set_xlabel(f"q: score error {size}", color=plots.ESTIMATE)
    axes[1].set_xlabel("p")
    return figure


TARGETS = {"two modes": LINE, "one Gaussian": NORMAL}
BANDWIDTHS = np.geomspace(0.03, 1.5, 20)


@functools.cache
def _errors_by_bandwidth(target, n_data, seeds=6):
    """Relative squared errors of the density and of the score over BANDWIDTHS, and the rules: means over seeds."""
    p = TARGETS[target]
    grid = torch.linspace(-4, 5, 401)[:, None]
    density, score = p.log_prob(grid).exp(), p.score(grid)[:, 0]
    errors, rules = [], []
    for seed in range(seeds):
        data = p.sample(n_data, seeded(seed))
        rules.append([mixtures.scott_bandwidth(data), mixtures.cross_validated_bandwidth(data, BANDWIDTHS)])
        for q in (kernel_density(data, h) for h in BANDWIDTHS):
            of_density = (q.log_prob(grid).exp() - density).square().sum() / density.square().sum()
            of_score = (density * (q.score(grid)[:, 0] - score).square()).sum() / (density * score.square()).sum()
            errors.append((of_density, of_score))
    errors = torch.tensor(errors).reshape(seeds, len(BANDWIDTHS), 2).mean(0).T
    return errors, np.exp(np.log(rules).mean(0))


def _lowest(error):
    """Where the parabola through the lowest point of a curve over BANDWIDTHS and its neighbours is lowest."""
    near = slice(error.argmin() - 1, error.argmin() + 2)
    parabola = np.polynomial.Polynomial.fit(np.log(BANDWIDTHS[near]), np.log(error[near]), 2)
    (at,) = parabola.deriv().roots()
    return np.exp(at), np.exp(parabola(at))


@opens(lambda target: Scene(TARGETS[target]))
@plots.styled
def bandwidth(data_points: int = 200, target: str = "two modes") -> Figure:
    """The error of the density and of its score against the bandwidth, with the rules of thumb."""
    errors, (scott, likeliest) = _errors_by_bandwidth(target, data_points)
    figure, ax = plots.canvas(height=4)
    rows = zip(errors.numpy(), (plots.CONTRAST, plots.ESTIMATE), ("of q", "of its score"), strict=True)
    best = []
    for error, color, name in rows:
        at, least = _lowest(error)
        best.append(at)
        ax.loglog(BANDWIDTHS, error, color=color)
        ax.loglog(at, least, "o", color=color, markersize=8)
        ax.plot([at, at], [1e-6, least], color=color, linewidth=1)
        start = int((error < 3).argmax())
        plots.label(ax, BANDWIDTHS[start] * 1.06, error[start] * 1.15, name, color, ha="left", bbox=plots.PAPER)
    for h, name, y in ((scott, "Scott", 6), (likeliest, "cross-validated", 14)):
        ax.plot([h, h], [1e-6, y], color=plots.TRUTH, **plots.DOTTED)
        plots.label(ax, h, y, name, bbox=plots.PAPER)
    plots.label(ax, best[1] * 1.05, 6e-4, f"{best[1] / best[0]:.1f} × as wide", plots.ESTIMATE, ha="left")
    ax.set(xlim=(0.03, 1.5), ylim=(5e-4, 30), xlabel="bandwidth h", ylabel="relative squared error")
    ax.set_xticks([0.03, 0.1, 0.3, 1], ["0.03", "0.1", "0.3", "1"])
    ax.minorticks_off()
    return figure


STEPS = [0, 10, 30, 100, 300, 1000]
TRAINED = [0.1, 0.2, 0.3, 0.5]


def _watched(q, loss, shown, measured, errors):
    """Train a network on samples of q: its copies at the steps ``shown``, and ``errors(model, x)`` at the ``measured``.

    x is drawn from q. The errors come as one row a kind, after a row of the steps.
    """
    generator = seeded()
    model = ScoreNetwork(2, width=64, generator=generator)
    x = q.sample(2000, generator)
    copies, rows = {}, []

    def look(step, _=None):
        if step in shown:
            copies[step] = copy.deepcopy(model)
        if step in measured:
            rows.append((step, *errors(model, x)))

    look(0)
    train(model, loss, max(shown), data=q, batch_size=256, generator=generator, callback=look)
    return copies, np.array(rows).T


@functools.cache
def _trained(bandwidth):
    """A network trained on the estimate's score, with its errors against q and against p; and those of others.

    Against p those of q itself and of an affine field, and against q that of another, each fitted to its own points.
    """
    q = kernel_density(_data(300), bandwidth)
    loss = functools.partial(score_matching.explicit, target_score=q.score)

    def errors(model, x):
        return _error(model, q.score, x), _error(model, MOONS.score, _fresh())

    measured = {*STEPS, *np.geomspace(2, STEPS[-1], 30).round().astype(int)}
    others = [_error(field, MOONS.score, _fresh()) for field in (q.score, _affine(_data(300)))]
    others.append(_affine_from_q(bandwidth))
    return *_watched(q, loss, STEPS, measured, errors), others


def _field_and_curves(q, learned, rows=1):
    """A figure with the estimate's contours and score under a learned field; and axes for curves beside it, in rows."""
    figure, axes = plots.canvas(rows, 2, height=3.3, squeeze=False, gridspec_kw={"width_ratios": [1.35, 1]})
    ax = figure.add_subplot(axes[0, 0].get_gridspec()[:, 0])
    for place in axes[:, 0]:
        place.remove()
    arrow_field(ax, q, q.score, plots.FAINT)
    plots.arrows(ax, learned, EXTENT, 15, plots.ESTIMATE)
    return figure, axes[:, 1]


@opens(lambda bandwidth: _scene(MOONS, _data(300), bandwidth))
@plots.styled
def training(step: int = 100, bandwidth: float = 0.2) -> Figure:
    """The learned field on the estimate's contours, and its distance to the estimate's score and to the truth."""
    copies, (steps, to_q, to_p), (floor, *lines) = _trained(bandwidth)
    figure, sides = _field_and_curves(kernel_density(_data(300), bandwidth), copies[step], rows=2)
    seen = steps <= step
    place = np.maximum(steps, 5)
    colors = (plots.CONTRAST, plots.ESTIMATE)
    for side, error, line, color in zip(sides, (to_p, to_q), lines, colors, strict=True):
        side.axhline(line, color=plots.TRUTH, **plots.DOTTED)
        side.semilogx(place, error, color=color, alpha=0.25)
        side.semilogx(place[seen], error[seen], color=color)
        side.semilogx(place[seen][-1], error[seen][-1], "o", color=color)
        side.set(xlim=(5, 1200))
        side.set_xticks([10, 100, 1000], ["10", "100", "1000"])
    of_p, of_q = sides
    of_p.axhline(floor, color=plots.CONTRAST, **plots.DOTTED)
    plots.label(of_p, 6, floor - 0.03, "q itself", plots.CONTRAST, ha="left", va="top")
    plots.label(of_p, 1200, max(lines[0], to_p[-1]) + 0.06, "affine", ha="right")
    plots.label(of_q, 1200, 1.2 * lines[1], "affine", ha="right")
    of_p.set(ylim=(0, 1.4), ylabel="from p")
    of_q.set(ylim=(2e-4, 2), yscale="log", xlabel="step", ylabel="from q: the loss")
    for side in sides:
        side.minorticks_off()
    return figure


@functools.cache
def _walk(bandwidth):
    generator = seeded()
    x0 = 1.2 * torch.randn(1000, 2, generator=generator)
    model = _trained(bandwidth)[0][STEPS[-1]]
    return walks.langevin(model, x0, STEP_SIZE, 250, generator=generator, record_every=10)


@opens(lambda bandwidth: _scene(MOONS, _data(300), bandwidth))
@plots.styled
def sampling(time: int = 100, bandwidth: float = 0.2) -> Figure:
    """Particles that walk along the learned score, over the truth; ``time`` in steps of τ = 0.002."""
    path = _walk(bandwidth)
    now = time // 10
    figure, ax = plots.canvas(height=4.4)
    plots.plane(ax, EXTENT)
    plots.contours(ax, MOONS, EXTENT)
    color = plots.colours_by_start(path[0])
    plots.particles(ax, path[now], color, 7)
    return figure


SAMPLE_SIZES = [30, 100, 300, 1000, 2000]
RULES = ["Scott", "Silverman", "cross-validated", "best for the score"]
DIMENSIONS = [1, 3, 10]
_CANDIDATES = np.geomspace(0.25, 1.5, 13)


@functools.cache
def _errors_by_rule(dim):
    """Relative score errors and bandwidths (rules and an affine field, sample sizes), geometric means over data sets.

    The affine field's bandwidth is 1, and means nothing.
    """
    p = simplex(dim)
    test = p.sample(1000, seeded(99))
    columns = []
    for n_data in SAMPLE_SIZES:
        rows = []
        for seed in range(min(12, max(3, 1500 // n_data))):
            data = p.sample(n_data, seeded(seed))

            def error(h, data=data):
                return _error(kernel_density(data, h).score, p.score, test)

            chosen = [
                mixtures.scott_bandwidth(data),
                mixtures.silverman_bandwidth(data),
                mixtures.cross_validated_bandwidth(data, _CANDIDATES),
            ]
            tried = [(error(h), h) for h in (*chosen, *_CANDIDATES)]
            rows.append([*tried[:3], min(tried), (_error(_affine(data), p.score, test), 1)])
        columns.append(np.exp(np.log(rows).mean(0)))
    return np.array(columns).transpose(2, 1, 0)


@plots.styled
def samples(rule: str = "Scott", dimension: int = 1) -> Figure:
    """The error of the estimate's score against the number of data, and the bandwidth that a rule gives them."""
    errors, widths = _errors_by_rule(dimension)
    row = RULES.index(rule)
    colors = [plots.ESTIMATE if name == rule else plots.MUTED for name in RULES]
    names = ("Scott", "Silverman", "cross-val.", "best", "affine")
    figure, (ax, side) = plots.canvas(1, 2, height=3.6)
    ax.set_ylim(1, 180)
    side.set_ylim(0.25, 2)
    ax.loglog(SAMPLE_SIZES, 100 * errors[-1], color=plots.TRUTH, **plots.DOTTED)
    for axes, lines, gap in ((ax, 100 * errors, 1.28), (side, widths[:-1], 1.12)):
        axes.loglog(SAMPLE_SIZES, lines[:4].T, color=plots.FAINT, linewidth=1)
        axes.loglog(SAMPLE_SIZES, lines[row], "o-", color=plots.ESTIMATE)
        _named(axes, 2700, zip(lines[:, -1], names, [*colors, plots.TRUTH], strict=False), gap)
        axes.set(xlim=(25, 2400), xlabel="data points M")
        axes.set_xticks([100, 1000], ["100", "1000"])
        axes.minorticks_off()
    slope = np.polyfit(np.log(SAMPLE_SIZES), np.log(errors[row]), 1)[0]
    plots.label(ax, 28, 1.2, f"d = {dimension}: error ∝ $M^{{{slope:.2f}}}$", plots.ESTIMATE, ha="left")
    ax.set_ylabel("score error in %")
    ax.set_yticks([1, 10, 100], ["1", "10", "100"])
    side.set_ylabel("bandwidth h")
    side.set_yticks([0.3, 0.5, 1, 2], ["0.3", "0.5", "1", "2"])
    return figure


class _Independent:
    """A law of d independent coordinates, each with the two bumps of the line."""

    def __init__(self, dim):
        self.dim, self.line = dim, simplex(1)

    def sample(self, n, generator):
        return self.line.sample(n * self.dim, generator).view(n, self.dim)

    def score(self, x):
        return self.line.score(x.reshape(-1, 1)).view_as(x)


LAWS = {"corners": simplex, "independent coordinates": _Independent}
DATA_SIZES = [200, 1000, 5000]
MANY_DIMENSIONS = [1, 5, 20]
_WIDTHS = np.geomspace(0.25, 2.2, 10)


def _errors_of(field, truth, x):
    """The relative error of a field's score, and the least and the greatest of its errors along one direction."""
    with torch.no_grad():
        score = truth(x).double()
        error = field(x) - score
    root = torch.linalg.inv(torch.linalg.cholesky(score.T @ score))
    along = torch.linalg.eigvalsh(root @ error.T @ error @ root.T)
    return error.square().sum() / score.square().sum(), along[0], along[-1]


@functools.cache
def _errors_by_dimension(n_data, law):
    """The errors (dimensions, fields, 3) of an affine field, of the estimate at its best h and of a trained network."""
    if law != "corners":
        first = _errors_by_dimension(n_data, "corners")[:1]  # on the line the laws are one
    rows = []
    for dim in MANY_DIMENSIONS if law == "corners" else MANY_DIMENSIONS[1:]:
        p, generator = LAWS[law](dim), seeded(dim)
        data, test = p.sample(n_data, generator), p.sample(1000, generator)
        model = ScoreNetwork(dim, width=64, generator=generator)
        loss = functools.partial(score_matching.denoising, sigma=0.5)
        train(model, loss, 400, data=data, batch_size=256, generator=generator)
        estimates = [kernel_density(data, h).score for h in _WIDTHS]
        best = min(estimates, key=lambda field: _error(field, p.score, test))
        rows.append([_errors_of(field, p.score, test) for field in (_affine(data), best, model)])
    rows = np.array(rows)
    return rows if law == "corners" else np.concatenate([first, rows])


@plots.styled
def dimension(data_points: int = 5000, law: str = "corners") -> Figure:
    """The error of the score against the dimension: a straight line's, the estimate's, and a trained network's."""
    figure, ax = plots.canvas(height=4)
    errors = 100 * _errors_by_dimension(data_points, law).transpose(1, 2, 0)
    names = ("affine field", "q, best h", "network")
    colors = (plots.MUTED, plots.CONTRAST, plots.ESTIMATE)
    for (error, least, greatest), color in zip(errors, colors, strict=True):
        ax.fill_between(MANY_DIMENSIONS, least, greatest, color=color, alpha=0.15, linewidth=0)
        ax.loglog(MANY_DIMENSIONS, error, "o-", color=color)
    ax.set_ylim(2, 1500)
    _named(ax, 21.5, zip(errors[:, 0, -1], names, colors, strict=True))
    ax.axhline(100, color=plots.TRUTH, **plots.DOTTED)
    plots.label(ax, 1, 107, "no arrows at all", ha="left")
    ax.set(xlim=(0.95, 45), xlabel="dimension d", ylabel="score error in %")
    ax.set_xticks(MANY_DIMENSIONS, map(str, MANY_DIMENSIONS))
    ax.set_yticks([3, 10, 30, 100, 300, 1000], ["3", "10", "30", "100", "300", "1000"])
    ax.minorticks_off()
    plots.label(ax, 45, 2.2, f"{data_points} data points", ha="right")
    return figure


OBJECTIVES = {
    "explicit": lambda model, x, generator: score_matching.explicit(model, x, _estimate().score),
    "implicit": score_matching.implicit,
    "sliced": score_matching.sliced,
}
CHECKED = [0, 20, 50, 100, 200, 400, 700]


@functools.cache
def _estimate():
    return kernel_density(_data(300), 0.3)


@functools.cache
def _learned_by(objective):
    def errors(model, x):
        return (_error(model, _estimate().score, x),)

    return _watched(_estimate(), OBJECTIVES[objective], CHECKED, {*CHECKED, *range(0, CHECKED[-1], 50)}, errors)


@opens(lambda: _scene(MOONS, _data(300), 0.3))
@plots.styled
def objectives(step: int = 100, objective: str = "implicit") -> Figure:
    """One field learned by three objectives, two of which never see it."""
    figure, (side,) = _field_and_curves(_estimate(), _learned_by(objective)[0][step])
    for name in OBJECTIVES:
        steps, error = _learned_by(name)[1]
        chosen = name == objective
        color = plots.ESTIMATE if chosen else plots.FAINT
        side.semilogy(steps, error, color=color, linewidth=2 if chosen else 1)
        plots.label(side, CHECKED[-1], 1.1 * error[-1], name, color if chosen else plots.MUTED, ha="right")
        if chosen:
            side.semilogy(step, error[steps == step], "o", color=plots.ESTIMATE)
    line = _affine_from_q(0.3)
    side.axhline(line, color=plots.TRUTH, **plots.DOTTED)
    plots.label(side, CHECKED[-1], 1.1 * line, "affine", ha="right")
    side.set(xlim=(0, 720), ylim=(1e-3, 2), xlabel="step", ylabel="relative divergence")
    side.minorticks_off()
    return figure


SHAPES = {"moons": MOONS, "rings": mixtures.rings(), "simplex, d = 5": simplex(5), "one Gaussian": NORMAL}


@functools.cache
def _errors_without_truth(target, n_data, sets=5):
    """Bandwidths, the score error at each, what leaving out makes of it, and the rules' h and errors, a row a data set.

    The rules are leave-one-out score matching, cross-validation and Scott's; their errors are over the least.
    """
    p = SHAPES[target]
    h = np.geomspace(0.08, 1.6, 16) if p.dim < 5 else np.geomspace(0.4, 1.6, 16)
    test = p.sample(1000, seeded(99))
    size = p.score(test).square().sum(1).mean().item()
    rows = []
    for seed in range(sets):
        data = p.sample(n_data, seeded(seed))
        error = np.array([_error(kernel_density(data, each).score, p.score, test) for each in h])
        loss = mixtures.leave_one_out_score_matching(data, h).numpy()
        chosen = h[loss.argmin()], mixtures.cross_validated_bandwidth(data, h), mixtures.scott_bandwidth(data)
        at = np.exp(np.interp(np.log(chosen), np.log(h), np.log(error)))
        rows.append((error, 1 + 2 * loss / size, np.array(chosen), at / error.min()))
    return h, *map(np.array, zip(*rows, strict=True))


@plots.styled
def blind(data_points: int = 100, target: str = "moons") -> Figure:
    """The score error, and what leaving each datum out makes of it without the truth; and how rules for h do."""
    h, error, guess, chosen, regret = _errors_without_truth(target, data_points)
    figure, (ax, side) = plots.canvas(1, 2, height=3.4, gridspec_kw={"width_ratios": [1.35, 1]})
    for curve, color in ((error[0], plots.TRUTH), (guess[0], plots.ESTIMATE)):
        ax.semilogx(h, curve, color=color)
        ax.plot(h[curve.argmin()], curve.min(), "o", color=color, markersize=8)
    rules = sorted(zip(chosen[0, 1:], ("cross-\nvalidated", "Scott"), strict=True))
    for (x, name), y in zip(rules, (-0.95, -0.5), strict=True):  # the narrower below, so that no line crosses a name
        ax.plot([x, x], [y, np.interp(np.log(x), np.log(h), error[0])], color=plots.CONTRAST, **plots.DOTTED)
        plots.label(ax, 1.03 * x, y, name, plots.CONTRAST, ha="left", va="center")
    plots.label(ax, 0.98, 0.9, "with the truth", ha="right", transform=ax.transAxes)
    plots.label(ax, 0.98, 0.76, "left out,\nwithout it", plots.ESTIMATE, ha="right", transform=ax.transAxes)
    ax.set(xlim=(h[0], h[-1]), ylim=(-1.4, 2.4), xlabel="bandwidth h", ylabel="score error")
    ax.set_yticks([0, 1, 2])
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1) if tick >= h[0]]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    colors = (plots.ESTIMATE, plots.CONTRAST, plots.CONTRAST)
    for y, (values, color) in enumerate(zip(regret.T, colors, strict=True)):
        side.semilogx(values, np.full(len(values), -y), "o", color=color, alpha=0.5)
    top = max(3, 1.3 * regret.max())
    side.set(xlim=(0.93, top), ylim=(-2.5, 0.5), xlabel="error over the least")
    side.set_yticks([0, -1, -2], ["left out", "cross-\nvalidated", "Scott"])
    ticks = [tick for tick in (1, 2, 3, 10, 30, 100) if tick < top and (top < 10 or tick not in (2, 3))]
    side.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    for axes in (ax, side):
        axes.minorticks_off()
    return figure


MEMORY = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5]


@opens(lambda bandwidth: _scene(MOONS, _data(60), bandwidth))
@plots.styled
def memory(bandwidth: float = 0.05) -> Figure:
    """Samples of the estimate around its data, and how far from the nearest datum they lie."""
    data = _data(60)
    drawn = kernel_density(data, bandwidth).sample(2000, seeded(5))
    figure, (ax, side) = plots.canvas(1, 2, height=3.1, gridspec_kw={"width_ratios": [1.35, 1]})
    plots.plane(ax, EXTENT)
    plots.particles(ax, data, plots.CONTRAST, 24)
    plots.particles(ax, drawn[:600], plots.ESTIMATE, 3)
    edges = np.linspace(0, 1, 41)
    for x, color, name, y in ((_fresh(), plots.FAINT, "fresh\nfrom p", 0.45), (drawn, plots.ESTIMATE, "from q", 0.85)):
        plots.histogram(side, torch.cdist(x, data).min(1).values, edges, color)
        color = plots.MUTED if color == plots.FAINT else color
        plots.label(side, 0.97, y, name, color, ha="right", transform=side.transAxes)
    line_axes(side, xlim=(0, 1), ylim=(0, None), xlabel="distance to the nearest datum")
    return figure
