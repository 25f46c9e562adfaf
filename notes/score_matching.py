"""The objectives from which a score is learned, and the divergence by which it is judged.

A model is any callable (n, d) → (n, d), one row a point, each row's output a function of that row alone. Every loss is
the mean over rows of the sum over dimensions, with the ½, as a 0-dim tensor.
"""

import torch

from notes import _arguments as check


def explicit(model, target_score, x):
    r"""Explicit score matching: half the squared distance to a score that is known.

    .. math:: J(\theta) = \tfrac12\, \mathbb{E}_x \lVert s_\theta(x) - \nabla \log q(x) \rVert^2

    ``target_score`` is a callable like ``model``; ``x`` is (n, d), drawn from q.
    """
    x = _points("x", x)
    return 0.5 * _squared_distance(_field("model", model, x), _field("target_score", target_score, x))


def denoising(model, clean, sigma, generator=None):
    r"""Denoising score matching: regression of the noise that was added, scaled.

    .. math:: J(\theta) = \tfrac12\, \mathbb{E} \Bigl\lVert s_\theta(x' + \sigma z) + \frac{z}{\sigma} \Bigr\rVert^2,
       \qquad z \sim \mathcal{N}(0, I)

    ``clean`` is (n, d), the x′; ``sigma`` a positive number in its units. The minimiser is the score of the law of
    x′ + σz, and the loss there is not zero. Source: Vincent (2011).
    """
    clean = _points("clean", clean)
    sigma = check.representable("sigma", check.positive("sigma", sigma), clean)
    noise = _noise(clean, generator)
    return 0.5 * _squared_distance(_field("model", model, clean + sigma * noise), -noise / sigma)


@torch.enable_grad()
def implicit(model, x):
    r"""Implicit score matching: the explicit loss less a constant, with no score to aim at.

    .. math:: J(\theta) = \mathbb{E}_x \bigl[ \nabla \cdot s_\theta(x) + \tfrac12 \lVert s_\theta(x) \rVert^2 \bigr],
       \qquad J_{\text{explicit}} = J + \tfrac12\, \mathbb{E}_x \lVert \nabla \log p(x) \rVert^2

    ``x`` is (n, d), drawn from a p with p·s_θ → 0 at infinity. The divergence takes d backward passes.
    Source: Hyvärinen (2005).
    """
    x, score = _with_gradient(model, x)
    divergence = sum(_derivative(column.sum(), x)[:, i].mean() for i, column in enumerate(score.unbind(1)))
    return divergence + 0.5 * score.square().sum(1).mean()


@torch.enable_grad()
def sliced(model, x, n_projections=1, generator=None):
    r"""Sliced score matching, in its form of lower variance: the divergence along random directions only.

    .. math:: J(\theta) = \mathbb{E}_{x, v} \bigl[ v^\top \nabla \bigl(v^\top s_\theta(x)\bigr)
       + \tfrac12 \lVert s_\theta(x) \rVert^2 \bigr], \qquad v \sim \mathcal{N}(0, I)

    ``x`` is (n, d); each row has ``n_projections`` directions of its own. Its mean over them is :func:`implicit`.
    Source: Song, Garg, Shi & Ermon (2020), where it is called SSM-VR.
    """
    n_projections = check.count("n_projections", n_projections)
    x, score = _with_gradient(model, x)
    slope = 0
    for _ in range(n_projections):
        direction = _noise(x, generator)
        slope = slope + (direction * _derivative((direction * score).sum(), x)).sum(1).mean() / n_projections
    return slope + 0.5 * score.square().sum(1).mean()


def fisher_divergence(model_score, true_score, x, *, relative=False):
    r"""The mean squared distance of two fields at the points x; without the ½ of the losses.

    .. math:: F = \mathbb{E}_x \lVert a(x) - b(x) \rVert^2,
       \qquad F_{\text{relative}} = F \big/ \mathbb{E}_x \lVert b(x) \rVert^2

    ``x`` is (n, d); where it is drawn from decides where the fields are compared. 0-dim, in one over its units squared;
    relative, a pure number: 1 for the field that is zero everywhere.
    """
    x = _points("x", x)
    truth = _field("true_score", true_score, x)
    distance = _squared_distance(_field("model_score", model_score, x), truth)
    if not relative:
        return distance
    size = truth.square().sum(1).mean()
    if size == 0:
        raise ValueError("true_score is zero at every x: a divergence relative to it is not defined")
    return distance / size


def _points(name, x):
    check.finite(name, check.points(name, x))
    if len(x) == 0:
        raise ValueError(f"{name} must have at least one row, got shape {tuple(x.shape)}")
    return x


def _field(name, field, x):
    check.function(name, field)
    return check.same_shape(name, field(x), x)


def _squared_distance(a, b):
    return (a - b).square().sum(1).mean()


def _noise(x, generator):
    check.on_device(generator, x.device)
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)


def _with_gradient(model, x):
    """The points as a leaf, and the model's field there."""
    x = _points("x", x).detach().requires_grad_()
    score = _field("model", model, x)
    if not score.requires_grad:
        raise ValueError("model must be differentiable in x, got an output that does not depend on it")
    return x, score


def _derivative(output, x):
    return torch.autograd.grad(output, x, create_graph=True, materialize_grads=True)[0]
