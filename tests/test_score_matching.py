"""The objectives against their formulas, closed forms on Gaussians, and each other."""

import copy
import functools
import inspect
import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from notes import score_matching
from notes.mixtures import GaussianMixture, kernel_density
from notes.networks import ImageNetwork, NoiseConditionalNetwork, ScoreNetwork
from notes.score_matching import (
    Losses,
    by_quadrature,
    by_sampling,
    denoising,
    denoising_over_scales,
    denoising_with_labels,
    explicit,
    fisher_divergence,
    implicit,
    sliced,
)
from notes.training import train

DTYPES = [torch.float32, torch.float64]
NAN, INF = math.nan, math.inf


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def points(n, dim, dtype=torch.float64, seed=0):
    return torch.randn(n, dim, generator=seeded(seed), dtype=torch.float64).to(dtype)


class Field:
    """A smooth field whose Jacobian is neither symmetric nor constant."""

    def __init__(self, dim, dtype=torch.float64):
        self.inner, self.outer = points(dim, 4, dtype, seed=1), points(4, dim, dtype, seed=2)

    def __call__(self, x):
        return (x @ self.inner).tanh() @ self.outer + 0.1 * x.square()

    def jacobians(self, x):
        """(n, d, d), by hand: ∂s_i/∂x_j in row i, column j."""
        slope = 1 - (x @ self.inner).tanh().square()
        return torch.einsum("jk,nk,ki->nij", self.inner, slope, self.outer) + 0.2 * torch.diag_embed(x)


def mixture(dim):
    return GaussianMixture(points(3, dim, seed=3), [0.5, 0.9, 1.2], [0.2, 0.5, 0.3])


def row_squares(field):
    return field.square().sum(1)


def within(measured, expected, samples):
    """Whether a mean over rows is its expectation, to 5 standard errors of the rows given."""
    away = torch.as_tensor(measured).detach() - torch.as_tensor(expected).detach()
    return abs(away.item()) <= 5 * samples.std().item() / math.sqrt(len(samples))


def over_scales(model, x, generator):
    """The loss of a field that does not look at σ; what is no field is handed on as it is."""
    field = (lambda y, sigma: model(y)) if callable(model) else model
    return denoising_over_scales(field, x, [0.5, 0.2], generator=generator)


LOSSES = {
    "explicit": lambda model, x: explicit(model, x, lambda y: -y),
    "denoising": lambda model, x: denoising(model, x, 0.3, generator=seeded(4)),
    "denoising_over_scales": lambda model, x: over_scales(model, x, seeded(4)),
    "implicit": implicit,
    "sliced": lambda model, x: sliced(model, x, 2, generator=seeded(4)),
    "fisher_divergence": lambda model, x: fisher_divergence(model, lambda y: -y, x),
    "relative": lambda model, x: fisher_divergence(model, lambda y: -y, x, relative=True),
}
TRAINED = {name: LOSSES[name] for name in LOSSES if name not in ("fisher_divergence", "relative")}

of_every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
of_every_objective = pytest.mark.parametrize("loss", TRAINED.values(), ids=TRAINED)


# Each mean over rows and sum over dimensions is at most some hundred terms of like size.
def assert_equal(measured, expected, dtype=torch.float64):
    assert measured.ndim == 0
    assert measured.dtype == dtype
    assert measured.item() == pytest.approx(float(expected), rel=50 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "dim"), [(1, 1), (1, 3), (7, 2), (50, 10)])
def test_explicit_is_half_the_mean_over_rows_of_the_squared_distance(n, dim, dtype):
    x, model = points(n, dim, dtype), Field(dim, dtype)
    target = mixture(dim).score
    a, b = model(x).double().numpy(), target(x).to(dtype).double().numpy()
    expected = 0.5 * sum(np.sum((a[i] - b[i]) ** 2) for i in range(n)) / n
    assert_equal(explicit(model, x, lambda y: target(y).to(dtype)), expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "dim"), [(1, 1), (1, 3), (7, 2), (50, 10)])
def test_fisher_divergence_is_twice_explicit_and_relative_to_the_size_of_the_truth(n, dim, dtype):
    x, model = points(n, dim, dtype), Field(dim, dtype)

    def truth(y):
        return -2 * y

    a, b = model(x).double().numpy(), truth(x).double().numpy()
    distance, size = np.sum((a - b) ** 2) / n, np.sum(b**2) / n
    assert_equal(fisher_divergence(model, truth, x), distance, dtype)
    assert_equal(fisher_divergence(model, truth, x, relative=False), distance, dtype)
    assert_equal(fisher_divergence(model, truth, x, relative=True), distance / size, dtype)


def test_relative_fisher_divergence_is_zero_for_the_truth_and_one_for_the_zero_field():
    x, truth = points(20, 2), Field(2)
    assert fisher_divergence(truth, truth, x, relative=True).item() == 0
    assert fisher_divergence(torch.zeros_like, truth, x, relative=True).item() == pytest.approx(1, rel=1e-14)
    assert fisher_divergence(lambda y: 3 * truth(y), truth, x, relative=True).item() == pytest.approx(4, rel=1e-14)


def test_fisher_divergence_relative_to_zero_is_refused():
    x = points(5, 2)
    assert fisher_divergence(torch.ones_like, torch.zeros_like, x).item() == 2
    with pytest.raises(ValueError, match="true_score is zero"):
        fisher_divergence(torch.ones_like, torch.zeros_like, x, relative=True)
    # A true score that is zero on one row, or cancels over all, has a size.
    assert fisher_divergence(torch.zeros_like, lambda y: y - y[:1], x, relative=True).item() == pytest.approx(1)
    assert fisher_divergence(torch.zeros_like, lambda y: y, torch.tensor([[1.0], [-1.0]]), relative=True).item() == 1


def test_fisher_divergence_takes_relative_by_name_only():
    with pytest.raises(TypeError):
        fisher_divergence(torch.zeros_like, torch.ones_like, points(5, 2), True)


def of_mean_and_variance(mean, variance):
    """2d points that have this mean, and this variance in every direction, to rounding: quadratic forms are exact."""
    dim = len(mean)
    away = math.sqrt(dim * variance) * torch.eye(dim, dtype=torch.float64)
    return mean + torch.cat([away, -away])


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("variance", [0.25, 1.0, 3.0])
def test_on_a_gaussian_a_linear_field_has_both_losses_in_closed_form(dim, variance):
    mean, slope, shift = points(1, dim, seed=5)[0], points(dim, dim, seed=6), points(1, dim, seed=7)[0]
    x, eye = of_mean_and_variance(mean, variance), torch.eye(dim, dtype=torch.float64)

    def model(y):
        return y @ slope.T + shift

    at_mean = slope @ mean + shift
    wanted_explicit = 0.5 * (at_mean.square().sum() + variance * (slope + eye / variance).square().sum())
    wanted_implicit = slope.trace() + 0.5 * (at_mean.square().sum() + variance * slope.square().sum())
    measured_explicit = explicit(model, x, lambda y: -(y - mean) / variance)
    assert measured_explicit.item() == pytest.approx(wanted_explicit.item(), rel=1e-12)
    assert implicit(model, x).item() == pytest.approx(wanted_implicit.item(), rel=1e-12, abs=1e-12)
    # The constant between them, ½ E‖∇log p‖² = d/2σ².
    assert (measured_explicit - implicit(model, x)).item() == pytest.approx(dim / (2 * variance), rel=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_on_a_gaussian_the_score_has_explicit_zero_and_implicit_minus_the_constant(dim):
    variance = 0.5
    x = of_mean_and_variance(torch.zeros(dim, dtype=torch.float64), variance)
    assert explicit(lambda y: -y / variance, x, lambda y: -y / variance).item() == 0
    assert implicit(lambda y: -y / variance, x).item() == pytest.approx(-dim / (2 * variance), rel=1e-13)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_implicit_is_explicit_less_half_the_mean_squared_score(dim):
    p, model, n = mixture(dim), Field(dim), 40_000
    x = p.sample(n, seeded(8))
    truth = p.score(x)
    half = 0.5 * row_squares(truth)
    # Row by row explicit − implicit − ½‖∇log p‖² is −s·∇log p − ∇·s, whose mean is zero by Stein's identity.
    differences = -(model(x) * truth).sum(1) - model.jacobians(x).diagonal(dim1=1, dim2=2).sum(1)
    measured = explicit(model, x, p.score) - implicit(model, x)
    assert within(measured, half.mean(), differences)
    # And the constant is there to be seen.
    assert half.mean() > 20 * differences.std() / math.sqrt(n)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_implicit_has_the_trace_of_the_jacobian(dim):
    x, model = points(6, dim), Field(dim)
    jacobians = torch.stack([torch.autograd.functional.jacobian(lambda y: model(y[None])[0], row) for row in x])
    torch.testing.assert_close(jacobians, model.jacobians(x), rtol=1e-12, atol=1e-12)
    traces = sum(jacobians[:, i, i] for i in range(dim))
    expected = (traces + 0.5 * row_squares(model(x))).mean()
    torch.testing.assert_close(implicit(model, x), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("dim", "n_projections"), [(1, 1), (3, 1), (3, 4), (2, 7)])
def test_sliced_is_its_formula_with_directions_of_its_own_for_each_row(dim, n_projections, dtype):
    x, model, generator = points(6, dim, dtype), Field(dim, dtype), seeded(9)
    slope = torch.zeros((), dtype=torch.float64)
    for _ in range(n_projections):
        v = torch.randn(6, dim, generator=generator, dtype=dtype).double()
        assert len(v.unique(dim=0)) == 6
        slope += torch.einsum("ni,nij,nj->n", v, model.jacobians(x).double(), v).mean() / n_projections
    expected = slope + 0.5 * row_squares(model(x).double()).mean()
    measured = sliced(model, x, n_projections, generator=seeded(9))
    assert measured.dtype == dtype
    assert measured.item() == pytest.approx(expected.item(), rel=200 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_sliced_has_the_mean_and_the_variance_that_its_directions_give_it(dim):
    n, n_seeds = 3, 1500
    x, model = points(n, dim), Field(dim)
    expected = implicit(model, x)
    jacobians = model.jacobians(x)
    symmetric = (jacobians + jacobians.mT) / 2
    for n_projections in (1, 6):
        losses = torch.stack([sliced(model, x, n_projections, generator=seeded(s)) for s in range(n_seeds)])
        assert within(losses.mean(), expected, losses)
        # Var vᵀJv = 2‖(J + Jᵀ)/2‖², and rows and projections are independent.
        variance = 2 * symmetric.square().sum() / (n * n * n_projections)
        squares = (losses - expected).square()
        assert within(squares.mean(), variance, squares)
        assert within(squares.mean(), 2 * variance, squares) is False


def test_sliced_in_one_dimension_is_implicit_with_the_slope_times_v_squared():
    x, model = points(8, 1), Field(1)
    v = torch.randn(8, 1, generator=seeded(10), dtype=torch.float64)
    slopes = model.jacobians(x)[:, 0]
    measured = sliced(model, x, 1, generator=seeded(10)) - implicit(model, x)
    torch.testing.assert_close(measured, ((v.square() - 1) * slopes).mean(), rtol=1e-12, atol=1e-13)


def test_sliced_takes_one_direction_unless_told():
    model, x = Field(3), points(20, 3)
    assert sliced(model, x, generator=seeded(7)) == sliced(model, x, 1, generator=seeded(7))


def test_directions_are_gaussian_and_not_of_unit_length():
    # For s = x it is mean ‖v‖² + ½ mean ‖x‖², in d dimensions d + …, and on the unit sphere it would be 1 + ….
    x = torch.zeros(10_000, 10, dtype=torch.float64)
    squares = torch.randn(10_000, 10, generator=seeded(11), dtype=torch.float64).square().sum(1)
    measured = sliced(lambda y: y, x, 1, generator=seeded(11))
    assert within(measured, 10, squares)
    assert scipy.stats.kstest(squares.numpy(), scipy.stats.chi2(10).cdf).pvalue > 1e-6
    assert measured.item() == pytest.approx(squares.mean().item(), rel=1e-12)


@pytest.mark.parametrize("sigma", [0.05, 0.7, torch.tensor(0.5)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_denoising_is_half_the_squared_distance_to_the_noise_over_minus_sigma(sigma, dtype):
    clean, model = points(9, 3, dtype), Field(3, dtype)
    z = torch.randn(9, 3, generator=seeded(12), dtype=dtype)
    expected = 0.5 * row_squares((model(clean + float(sigma) * z) + z / float(sigma)).double()).mean()
    assert_equal(denoising(model, clean, sigma, generator=seeded(12)), expected, dtype)


LEVELS = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)


@pytest.mark.parametrize("levels", [LEVELS, LEVELS.numpy()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_levels_keep_the_digits_and_the_dtype_of_the_points(levels, dtype):
    x = points(3, 2, dtype)
    loss = denoising(torch.zeros_like, x, levels, generator=seeded(8))
    z = torch.randn(3, 2, dtype=dtype, generator=seeded(8)).double()
    assert loss.dtype == dtype
    expected = (z / LEVELS[:, None]).square().sum(1).mean().item() / 2
    assert loss.item() == pytest.approx(expected, rel=20 * torch.finfo(dtype).eps)


def test_denoising_with_a_noise_level_for_each_row_is_the_mean_of_its_rows():
    clean, model = points(9, 3), Field(3)
    sigma = torch.linspace(0.05, 2, 9, dtype=torch.float64)
    z = torch.randn(9, 3, generator=seeded(12), dtype=torch.float64)
    rows = [0.5 * (model(clean[[i]] + sigma[i] * z[i]) + z[i] / sigma[i]).square().sum() for i in range(9)]
    for given in (sigma, sigma.numpy()):
        assert_equal(denoising(model, clean, given, generator=seeded(12)), sum(rows) / 9)


@pytest.mark.parametrize("sigma", [0.1, 0.5])
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_denoising_at_the_smoothed_score_is_its_constant(dim, sigma):
    p, n = mixture(dim), 100_000
    q = p.smoothed(sigma)
    clean = p.sample(n, seeded(13))
    z = torch.randn(n, dim, generator=seeded(14), dtype=torch.float64)
    truth = q.score(clean + sigma * z)
    constant = 0.5 * (dim / sigma**2 - row_squares(truth).mean())
    rows = 0.5 * row_squares(truth + z / sigma) - 0.5 * (dim / sigma**2 - row_squares(truth))
    measured = denoising(q.score, clean, sigma, generator=seeded(14))
    assert within(measured, constant, rows)
    assert constant > 20 * rows.std() / math.sqrt(n)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_denoising_is_least_at_the_score_of_the_smoothed_law(dim):
    variance, sigma, n = 0.8, 0.6, 200_000
    clean = math.sqrt(variance) * points(n, dim, seed=15)
    z = torch.randn(n, dim, generator=seeded(16), dtype=torch.float64)
    noisy = clean + sigma * z

    def gradient(slope):
        slope = torch.tensor(slope, dtype=torch.float64, requires_grad=True)
        (found,) = torch.autograd.grad(denoising(lambda y: slope * y, clean, sigma, generator=seeded(16)), slope)
        rows = ((slope * noisy + z / sigma) * noisy).sum(1).detach()
        assert found.item() == pytest.approx(rows.mean().item(), rel=1e-9, abs=1e-9)
        return found.item() / (rows.std().item() / math.sqrt(n))

    assert abs(gradient(-1 / (variance + sigma**2))) <= 5
    # Not the score of the clean law, and not what maps noise to its −z/σ.
    assert gradient(-1 / variance) < -20
    assert gradient(-1 / sigma**2) < -20
    assert gradient(-0.8 / (variance + sigma**2)) > 20


@pytest.mark.parametrize("variance", [0.5, 2.0])
@pytest.mark.parametrize("name", ["explicit", "implicit"])
def test_explicit_and_implicit_are_least_at_the_score(name, variance):
    x = of_mean_and_variance(torch.zeros(3, dtype=torch.float64), variance)
    loss = {"explicit": lambda model: explicit(model, x, lambda y: -y / variance), "implicit": lambda m: implicit(m, x)}

    def gradient(slope):
        slope = torch.tensor(slope, dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(loss[name](lambda y: slope * y), slope)[0].item()

    # d/da of d a + ½ a² d v is d (1 + a v).
    assert gradient(-1 / variance) == pytest.approx(0, abs=1e-13)
    assert gradient(-2 / variance) == pytest.approx(-3, rel=1e-13)
    assert gradient(0.0) == pytest.approx(3, rel=1e-13)


@of_every_objective
def test_gradients_reach_every_parameter(loss):
    x = points(5, 2)
    inner, outer = points(2, 3, seed=17).requires_grad_(), points(3, 2, seed=18).requires_grad_()
    shift = points(1, 2, seed=19)[0].requires_grad_()

    def value(inner, outer, shift):
        return loss(lambda y: (y @ inner).tanh() @ outer + shift, x)

    # Central differences, in float64.
    assert torch.autograd.gradcheck(value, (inner, outer, shift))


@of_every_loss
def test_every_loss_is_a_tensor_without_dimensions_in_the_dtype_of_its_points(loss):
    for dtype in DTYPES:
        value = loss(Field(2, dtype), points(5, 2, dtype))
        assert isinstance(value, torch.Tensor)
        assert value.shape == ()
        assert value.dtype == dtype


@of_every_loss
def test_no_loss_touches_its_points(loss):
    x = points(5, 2)
    before = x.clone()
    loss(Field(2), x)
    assert torch.equal(x, before)
    assert not x.requires_grad
    leaf = x.clone().requires_grad_()
    value = loss(Field(2), leaf)
    assert leaf.grad is None
    torch.testing.assert_close(value, loss(Field(2), x), rtol=0, atol=0)


@of_every_loss
def test_every_loss_has_its_value_where_gradients_are_off(loss):
    x, model = points(5, 2), Field(2)
    expected = loss(model, x)
    with torch.no_grad():
        value = loss(model, x)
        assert not torch.is_grad_enabled()
    torch.testing.assert_close(value, expected.detach(), rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", ["denoising", "denoising_over_scales", "sliced"])
class TestChance:
    losses = {  # noqa: RUF012 - a table
        "denoising": lambda model, x, generator: denoising(model, x, 0.3, generator=generator),
        "denoising_over_scales": over_scales,
        "sliced": lambda model, x, generator: sliced(model, x, 2, generator=generator),
    }

    def test_is_decided_by_the_generator_alone(self, name):
        x, model, loss = points(5, 2), Field(2), self.losses[name]
        before = torch.get_rng_state()
        first, again, other = (loss(model, x, seeded(s)).item() for s in (20, 20, 21))
        assert first == again != other
        assert torch.equal(torch.get_rng_state(), before)

    def test_is_new_in_each_call(self, name):
        x, model, generator = points(5, 2), Field(2), seeded(22)
        assert self.losses[name](model, x, generator).item() != self.losses[name](model, x, generator).item()

    def test_follows_the_global_seed_without_a_generator(self, name):
        x, model, loss = points(5, 2), Field(2), self.losses[name]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            first, second = (loss(model, x, None).item() for _ in range(2))
            torch.manual_seed(0)
            assert loss(model, x, None).item() == first
        assert first != second

    @pytest.mark.parametrize("generator", [0])
    def test_of_another_kind_is_refused(self, name, generator):
        with pytest.raises(TypeError, match="generator must"):
            self.losses[name](Field(2), points(5, 2), generator)


@pytest.mark.parametrize("loss", [implicit, sliced])
class TestDifferentiation:
    def test_a_field_constant_in_one_dimension_has_no_slope_there(self, loss):
        x = points(5, 2)

        def model(y):
            return torch.stack([3 * y[:, 0], torch.ones(5, dtype=y.dtype)], 1)

        v = torch.randn(5, 2, generator=seeded(23), dtype=torch.float64)
        slope = 3 if loss is implicit else 3 * v[:, 0].square().mean()
        measured = loss(model, x) if loss is implicit else loss(model, x, 1, generator=seeded(23))
        expected = slope + 0.5 * (9 * x[:, 0].square() + 1).mean()
        assert measured.item() == pytest.approx(float(expected), rel=1e-14)

    def test_a_field_of_parameters_alone_has_no_slope(self, loss):
        level = torch.tensor([1.0, 2.0], requires_grad=True)
        value = loss(lambda y: level.expand_as(y), points(5, 2))
        assert value.item() == 2.5
        assert torch.autograd.grad(value, level)[0].tolist() == [1.0, 2.0]

    @pytest.mark.parametrize("model", [torch.zeros_like, lambda y: y.detach(), lambda y: torch.randn(5, 2)])
    def test_a_field_that_cannot_be_differentiated_is_refused(self, loss, model):
        with pytest.raises(ValueError, match="model must be differentiable in x"):
            loss(model, points(5, 2))

    def test_a_field_that_calls_autograd_itself_is_fine(self, loss):
        p = mixture(2)

        def model(y):
            return torch.autograd.grad(p.log_prob(y).sum(), y, create_graph=True)[0]

        x = points(5, 2)
        expected = loss(p.score, x, generator=seeded(24))
        torch.testing.assert_close(loss(model, x, generator=seeded(24)), expected, rtol=1e-10, atol=1e-10)


ALL = {
    **LOSSES,
    "by_quadrature": lambda model, x: by_quadrature(model, x, 0.5)[0],
    "by_sampling": lambda model, x: by_sampling(model, x, 0.5, 9, generator=seeded(4))[0][0],
}
of_all = pytest.mark.parametrize("loss", ALL.values(), ids=ALL)


@pytest.mark.parametrize("objective", [explicit, denoising, implicit, sliced])
def test_every_objective_is_called_as_train_calls_it(objective):
    model, x, *needs, generator = inspect.signature(objective).parameters.values()
    assert (model.name, x.name, generator.name) == ("model", "x", "generator")
    assert all(each.kind is each.POSITIONAL_OR_KEYWORD for each in (model, x, *needs))
    assert (generator.kind, generator.default) == (generator.KEYWORD_ONLY, None)


class TestAutograd:
    @of_all
    @pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
    def test_nothing_is_kept_where_it_is_off(self, loss, off):
        net, p = ScoreNetwork(2, width=4, generator=seeded(5)), mixture(2)

        def by_autograd(x):  # switches it on for itself, as a score does that is a gradient
            with torch.inference_mode(False), torch.enable_grad():
                x = x.clone().requires_grad_()
                return torch.autograd.grad(p.log_prob(x).sum(), x, create_graph=True)[0] + 0 * x

        for model, x in [(net, points(5, 2, torch.float32)), (by_autograd, points(5, 2))]:
            if model is by_autograd and loss in (LOSSES["implicit"], LOSSES["sliced"]):
                continue  # whose points must be those that it is given
            expected = loss(model, x).detach()
            with off():
                value = loss(model, x)
            assert value.grad_fn is None
            assert not value.requires_grad
            torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)

    @of_all
    def test_tensors_made_in_inference_mode_are_taken_in_it_and_out_of_it(self, loss):
        net, p = ScoreNetwork(2, width=4, generator=seeded(5)), mixture(2)
        for model, plain in [(net, points(5, 2, torch.float32)), (p.score, points(5, 2))]:
            expected = loss(model, plain).detach()
            with torch.inference_mode():
                x = plain.clone()
                inside = loss(model, x).clone()
            torch.testing.assert_close(inside, expected, rtol=1e-6, atol=0)
            outside = loss(model, x)
            torch.testing.assert_close(outside.detach(), expected, rtol=1e-6, atol=0)
            if model is net:
                outside.backward()
                assert all(parameter.grad is not None for parameter in net.parameters())

    @pytest.mark.parametrize("objective", [implicit, sliced])
    def test_a_model_made_in_inference_mode_is_named(self, objective):
        with torch.inference_mode():
            model = ScoreNetwork(2, width=4)
        with pytest.raises(ValueError, match=r"^model must be made outside torch\.inference_mode"):
            objective(model, points(5, 2, torch.float32))

    @pytest.mark.parametrize("objective", [implicit, sliced])
    def test_another_error_of_a_model_is_its_own(self, objective):
        def broken(x):
            raise RuntimeError("broken")

        with pytest.raises(RuntimeError, match=r"^broken$"):
            objective(broken, points(5, 2))

    @of_all
    def test_points_and_noise_levels_are_constants(self, loss):
        net, leaf = ScoreNetwork(2, width=4, generator=seeded(5)), points(5, 2, torch.float32).requires_grad_()
        for x in (leaf, 2 * leaf, leaf.double().float()):
            for _ in range(2):  # a graph of the user's would be gone the second time
                loss(net, x).backward()
        sigma = torch.full((5,), 0.5, requires_grad=True)
        denoising(net, leaf, sigma).backward()
        assert leaf.grad is sigma.grad is None

    @of_all
    def test_no_loss_writes_a_gradient_or_the_mode_of_a_model(self, loss):
        net = ScoreNetwork(2, width=4, generator=seeded(5)).eval()
        loss(net, points(5, 2, torch.float32))
        assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())
        assert not net.training


@of_all
def test_equal_points_give_equal_losses_whatever_their_layout(loss):
    net = ScoreNetwork(2, width=64, generator=seeded(6))
    x = points(40, 2, torch.float32)
    padded = torch.zeros(41, 3)
    padded[1:, 1:] = x
    expected = loss(net, x)
    for other in (x.T.contiguous().T, padded[1:, 1:], torch.cat([x.new_zeros(1), x.flatten()])[1:].view(40, 2)):
        assert torch.equal(other, x)
        assert torch.equal(loss(net, other), expected)
    assert torch.equal(loss(net, x[:1].expand(40, 2)), loss(net, x[:1].repeat(40, 1)))


@pytest.mark.parametrize(
    "name",
    ["explicit", "denoising", "denoising_over_scales", "fisher_divergence", "relative", "by_quadrature", "by_sampling"],
)
def test_a_model_that_writes_into_its_points_spoils_neither_them_nor_the_target(name):
    x = points(5, 2)
    before = x.clone()
    assert torch.equal(ALL[name](lambda y: y.mul_(-3), x), ALL[name](lambda y: -3 * y, x))
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
class TestHalfPrecision:
    # A hundred rows of squares of 1e4 leave float16, and 100 000 rows what bfloat16 can count.
    @of_every_loss
    def test_gives_what_single_gives_to_its_own_accuracy(self, loss, dtype):
        single = ScoreNetwork(2, width=16, generator=seeded(7))
        half, x = copy.deepcopy(single).to(dtype), points(100_000, 2).to(dtype)
        for size in (1, 1000):
            expected = loss(lambda y: size * single(y), x.float())  # noqa: B023
            measured = loss(lambda y: size * half(y), x)  # noqa: B023
            with torch.autocast("cpu", dtype=dtype):
                cast = loss(lambda y: size * single(y), x.float())  # noqa: B023
            for value in (measured, cast):
                assert value.dtype == torch.float32
                assert value.item() == pytest.approx(expected.item(), rel=4 * torch.finfo(dtype).eps)

    @pytest.mark.parametrize("losses", [by_quadrature, lambda *a: by_sampling(*a, 9)])
    def test_is_refused_where_the_sums_are_the_point(self, losses, dtype):
        with pytest.raises(TypeError, match=r"^clean must be float32 or float64"):
            losses(torch.zeros_like, points(5, 2).to(dtype), 0.5)


@pytest.mark.parametrize("unit", [1e-30, 1e-20, 1e20, 1e30])
def test_a_relative_divergence_has_no_units(unit):
    x = points(20, 2, torch.float32)
    measured = fisher_divergence(lambda y: -1.5 * unit * y, lambda y: -unit * y, x, relative=True)
    assert measured.item() == pytest.approx(0.25, rel=1e-5)


@of_every_loss
def test_a_model_that_gives_complex_numbers_is_refused(loss):
    with pytest.raises(TypeError, match=r"^(model|model_score) must return real numbers, got torch.complex"):
        loss(lambda y: y * 1j, points(5, 2))


@of_all
def test_the_arithmetic_of_a_loss_is_on_one_thread_and_the_model_on_the_users(loss, monkeypatch):
    seen, inside = [], []

    class Counted(score_matching.one_thread):
        def __enter__(self):
            super().__enter__()
            inside.append(torch.get_num_threads())

    def model(x):
        seen.append(torch.get_num_threads())
        return -x

    monkeypatch.setattr(score_matching, "one_thread", Counted)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        loss(model, points(5, 2))
        with pytest.raises(ZeroDivisionError):
            loss(lambda x: 1 / 0, points(5, 2))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {2}
    assert inside.count(1) >= 1


BAD_POINTS = [
    (torch.zeros(3), ValueError),
    (torch.zeros(0, 2), ValueError),
    (torch.tensor([[0.0], [NAN]]), ValueError),
    (np.zeros((3, 1)), TypeError),
]


@of_every_loss
@pytest.mark.parametrize(("x", "error"), BAD_POINTS)
def test_bad_points_are_refused_by_name(loss, x, error):
    with pytest.raises(error, match=r"^x must"):
        loss(lambda y: -2 * y, x)


def test_points_are_named_as_the_argument_is():
    with pytest.raises(ValueError, match=r"^clean must"):
        by_sampling(Field(2), torch.zeros(0, 2), 0.1, 5)
    with pytest.raises(ValueError, match=r"^x must"):
        explicit(Field(2), torch.zeros(0, 2), Field(2))


OTHER_FIELDS = [
    (lambda x: x[:, :1], ValueError),  # would broadcast
    (lambda x: 0.0, TypeError),
]


@of_every_loss
@pytest.mark.parametrize(("model", "error"), OTHER_FIELDS)
def test_a_model_that_returns_another_shape_is_refused(loss, model, error):
    with pytest.raises(error, match=r"^(model|model_score) must return"):
        loss(model, torch.ones(3, 2))


@of_every_loss
@pytest.mark.parametrize("model", [None])
def test_a_model_that_is_no_function_is_refused(loss, model):
    with pytest.raises(TypeError, match=r"^(model|model_score) must be a function"):
        loss(model, points(5, 2))


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (lambda target: explicit(torch.zeros_like, torch.ones(3, 2), target), "target_score"),
        (lambda target: fisher_divergence(torch.zeros_like, target, torch.ones(3, 2)), "true_score"),
        (lambda target: fisher_divergence(torch.zeros_like, target, torch.ones(3, 2), relative=True), "true_score"),
    ],
)
class TestTarget:
    @pytest.mark.parametrize(("target", "error"), OTHER_FIELDS)
    def test_that_returns_another_shape_is_refused(self, loss, name, target, error):
        with pytest.raises(error, match=rf"^{name} must return"):
            loss(target)

    @pytest.mark.parametrize("target", [None])
    def test_that_is_no_function_is_refused(self, loss, name, target):
        with pytest.raises(TypeError, match=rf"^{name} must be a function"):
            loss(target)


def test_the_model_of_a_fisher_divergence_is_named_as_the_argument_is():
    with pytest.raises(ValueError, match=r"^model_score must"):
        fisher_divergence(lambda y: y[:1], torch.zeros_like, points(5, 2))
    with pytest.raises(TypeError, match=r"^model_score must"):
        fisher_divergence(None, torch.zeros_like, points(5, 2))


@pytest.mark.parametrize(
    ("sigma", "error"),
    [
        (0, ValueError),
        (1e39, ValueError),  # float32 ends at 3e38
        (torch.tensor([0.1, 0.2]), ValueError),  # of three rows
        (torch.tensor([0.1, 0.2, NAN]), ValueError),
        (torch.tensor([0.1, 0.2, 0.0]), ValueError),
        (torch.full((3, 1), 0.1), ValueError),
        (1e-46, ValueError),  # 0 in float32
    ],
)
def test_a_bad_noise_level_is_refused(sigma, error):
    with pytest.raises(error, match="sigma must"):
        denoising(lambda y: -y, torch.ones(3, 2), sigma)


@pytest.mark.parametrize(
    ("n_projections", "error"),
    [(0, ValueError), (2.0, TypeError)],
)
def test_a_bad_number_of_projections_is_refused(n_projections, error):
    with pytest.raises(error, match="n_projections must"):
        sliced(Field(2), points(5, 2), n_projections)


@of_every_loss
def test_a_model_that_gives_nan_gives_nan(loss):
    # Which the training loop reports with its step.
    assert math.isnan(loss(lambda y: y * NAN, points(5, 2)).item())


# Denoising at all noise scales at once.

ENDS = [2.0, 0.1]
WEIGHTS = {"σ²": torch.square, "σ": lambda sigma: sigma, "1": torch.ones_like}
of_each_weight = pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)


class LinearOverScales:
    """s(x, σ) = −c x/(v + σ²): on data N(0, v I) its loss at each σ is a quadratic in c."""

    def __init__(self, c, variance=0.5):
        self.c, self.variance = c, variance

    def __call__(self, x, sigma):
        return -self.c * x / (self.variance + sigma.square())[:, None]

    def loss(self, dim, weight, ends):
        """½ E_σ λ(σ) d (a² (v + σ²) + 2a + 1/σ²) with a = −c/(v + σ²), by SciPy over log σ."""

        def at(log):
            smoothed, square = self.variance + math.exp(2 * log), math.exp(2 * log)
            slope = -self.c / smoothed
            return weight(math.exp(log)) * dim / 2 * (slope**2 * smoothed + 2 * slope + 1 / square)

        high, low = map(math.log, ends)
        return scipy.integrate.quad(at, low, high, epsabs=1e-12)[0] / (high - low)


def drawn_over_scales(model, x, weight, generator, ends=(2.0, 0.1)):
    """The loss of each row, by hand, in float64 from the numbers of its generator: the mean over its z and −z."""
    sigma, z = scales_and_noise(x, generator, ends)
    errors = [model(x.double() + sigma[:, None] * w, sigma) + w / sigma[:, None] for w in (z, -z)]
    return 0.5 * weight(sigma) * sum(error.square().sum(1) for error in errors) / 2


def scales_and_noise(x, generator, ends=(2.0, 0.1)):
    part = torch.randperm(len(x), generator=generator)
    uniform = (part + torch.rand(len(x), generator=generator, dtype=x.dtype).double()) / len(x)
    z = torch.randn(x.shape, generator=generator, dtype=x.dtype).double()
    return ends[1] * (ends[0] / ends[1]) ** uniform, z


class TestOverScales:
    @of_each_weight
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize(("n", "dim"), [(1, 1), (7, 3), (200, 2)])
    def test_is_the_mean_over_rows_of_its_formula(self, weight, dtype, n, dim):
        x, model = points(n, dim, dtype), Field(dim)

        def field(x, sigma):
            return model(x.double()) / (1 + sigma.double()[:, None])

        expected = drawn_over_scales(field, x, weight, seeded(70)).mean()
        measured = denoising_over_scales(field, x, ENDS, weight=weight, generator=seeded(70))
        assert measured.dtype == torch.float64  # that of the field, the wider one
        assert measured.item() == pytest.approx(expected.item(), rel=30 * torch.finfo(dtype).eps)

    def test_has_the_square_as_its_weight_unless_told(self):
        x, model = points(20, 2), LinearOverScales(0.8)
        plain = denoising_over_scales(model, x, ENDS, generator=seeded(71))
        assert plain == denoising_over_scales(model, x, ENDS, weight=torch.square, generator=seeded(71))
        with pytest.raises(TypeError):
            denoising_over_scales(model, x, ENDS, torch.square)

    @pytest.mark.parametrize(
        "sigmas",
        [(2.0, 0.1), [0.1, 2.0], [2.0, 0.5, 0.3, 0.1], torch.tensor(ENDS, dtype=torch.float64), np.array([0.1, 1, 2])],
    )
    def test_takes_the_ends_of_what_it_is_given(self, sigmas):
        x, model = points(20, 2), LinearOverScales(0.8)
        expected = denoising_over_scales(model, x, ENDS, generator=seeded(72))
        assert denoising_over_scales(model, x, sigmas, generator=seeded(72)) == expected

    @pytest.mark.parametrize("ends", [(4.0, 0.05), (50.0, 0.01)])
    def test_draws_the_logarithm_of_the_noise_evenly_one_a_row(self, ends):
        seen = []

        def model(x, sigma):
            seen.append(sigma)
            return x

        denoising_over_scales(model, points(20_000, 1, torch.float32), ends, generator=seeded(73))
        (sigma,) = seen
        sigma, again = sigma.chunk(2)
        assert torch.equal(sigma, again)
        assert sigma.shape == (20_000,)
        assert sigma.dtype == torch.float32
        high, low = map(math.log, ends)
        even = ((sigma.double().log() - low) / (high - low)).numpy()
        assert scipy.stats.kstest(even, "uniform").pvalue > math.erfc(5 / math.sqrt(2))
        assert -1e-6 < even.min() < even.max() < 1 + 1e-6
        # One in each of as many parts, in an order that has nothing to do with that of the rows.
        assert (np.floor(20_000 * np.sort(even) + 0.01) == np.arange(20_000)).mean() > 0.9
        assert abs(np.corrcoef(even, np.arange(20_000))[0, 1]) < 5 / math.sqrt(20_000)

    def test_the_points_of_a_row_have_its_own_noise(self):
        seen = []

        def model(x, sigma):
            seen.append((x, sigma))
            return x

        denoising_over_scales(model, torch.zeros(50_000, 1, dtype=torch.float64), ENDS, generator=seeded(74))
        ((both, sigma),) = seen
        x, turned = both.chunk(2)
        assert torch.equal(turned, -x)
        sigma = sigma[: len(x)]
        assert scipy.stats.kstest((x[:, 0] / sigma).numpy(), "norm").pvalue > math.erfc(5 / math.sqrt(2))

    @of_each_weight
    @pytest.mark.parametrize("c", [0.0, 0.7, 1.0])
    def test_has_the_expectation_of_its_formula(self, weight, c):
        dim, n, model = 3, 100_000, LinearOverScales(c)
        x = math.sqrt(model.variance) * points(n, dim, seed=75)
        expected = model.loss(dim, lambda sigma: weight(torch.tensor(sigma, dtype=torch.float64)).item(), ENDS)
        rows = drawn_over_scales(model, x, weight, seeded(76))
        measured = denoising_over_scales(model, x, ENDS, weight=weight, generator=seeded(76))
        assert within(measured, expected, rows)
        # Neither twice nor half of it, nor that of another weight.
        assert 5 * rows.std() / math.sqrt(n) < 0.1 * expected

    @pytest.mark.parametrize("dim", [1, 2, 10])
    def test_without_arrows_is_half_the_dimension(self, dim):
        x = points(50_000, dim, seed=77)
        rows = drawn_over_scales(lambda x, sigma: torch.zeros_like(x), x, torch.square, seeded(78))
        measured = denoising_over_scales(lambda x, sigma: torch.zeros_like(x), x, ENDS, generator=seeded(78))
        assert within(measured, dim / 2, rows)

    @of_each_weight
    def test_is_least_at_the_score_of_every_smoothed_law(self, weight):
        n, variance = 200_000, 0.5
        x = math.sqrt(variance) * points(n, 1, seed=79)

        def gradient(c):
            c = torch.tensor(c, dtype=torch.float64, requires_grad=True)
            model = LinearOverScales(c, variance)
            (found,) = torch.autograd.grad(
                denoising_over_scales(model, x, ENDS, weight=weight, generator=seeded(80)), c
            )
            # ∂/∂c of ½ λ (s + z/σ)² is λ (s + z/σ) s/c.
            sigma, z = scales_and_noise(x, seeded(80))
            rows = 0
            for w in (z, -z):
                field = model(x + sigma[:, None] * w, sigma).detach()
                rows = rows + 0.5 * weight(sigma) * ((field + w / sigma[:, None]) * field / c.detach()).sum(1)
            assert found.item() == pytest.approx(rows.mean().item(), rel=1e-9, abs=1e-9)
            return found.item() / (rows.std().item() / math.sqrt(n))

        assert abs(gradient(1.0)) <= 5
        assert gradient(0.8) < -15
        assert gradient(1.2) > 15

    def test_at_the_exact_score_is_its_floor(self):
        # ½ E(d − σ² E‖∇log p_σ‖²), on N(0, v) with E‖∇log p_σ‖² = d/(v + σ²): an integral of v/(v + σ²) over log σ.
        p = GaussianMixture(torch.zeros(1, 2, dtype=torch.float64), math.sqrt(0.5))
        x = p.sample(100_000, seeded(81))
        high, low = (math.log(end) - 0.5 * math.log(0.5 + end**2) for end in ENDS)
        floor = 0.5 * 2 * (high - low) / math.log(20)
        rows = drawn_over_scales(p.smoothed_score, x, torch.square, seeded(82))
        assert within(denoising_over_scales(p.smoothed_score, x, ENDS, generator=seeded(82)), floor, rows)
        # And of a mixture, whose size of the score is measured apart.
        p = mixture(2)
        x = p.sample(100_000, seeded(83))
        rows = drawn_over_scales(p.smoothed_score, x, torch.square, seeded(84))
        sigma = 0.1 * 20 ** torch.rand(100_000, generator=seeded(85), dtype=torch.float64)
        fresh = p.sample(100_000, seeded(86)) + sigma[:, None] * points(100_000, 2, seed=87)
        sizes = 0.5 * (2 - sigma.square() * row_squares(p.smoothed_score(fresh, sigma)))
        measured = denoising_over_scales(p.smoothed_score, x, ENDS, generator=seeded(84)).item()
        error = math.sqrt((rows.var().item() + sizes.var().item()) / 100_000)
        assert abs(measured - sizes.mean().item()) <= 5 * error

    def test_no_chance_is_left_in_the_gradient_of_an_offset(self):
        # In pairs: of a noise alone it has mean 0, and a spread of 1/σ.
        offset = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        loss = denoising_over_scales(
            lambda x, sigma: offset.expand_as(x),
            points(50, 2),
            (2e-6, 1e-6),
            weight=torch.ones_like,
            generator=seeded(88),
        )
        (slope,) = torch.autograd.grad(loss, offset)
        assert (slope.abs() < 1e-6).all()

    @pytest.mark.parametrize("power", [-100, -80, -20, 20, 80, 100])
    def test_with_its_own_weight_has_no_unit(self, power):
        unit, x = 2.0**power, points(50, 2, torch.float32)
        expected = denoising_over_scales(LinearOverScales(0.8), x, ENDS, generator=seeded(89))
        for field in (lambda x, sigma: -0.8 / unit * (x / unit) / (0.5 + (sigma / unit).square())[:, None],):
            measured = denoising_over_scales(field, unit * x, [2 * unit, 0.1 * unit], generator=seeded(89))
            assert measured.item() == pytest.approx(expected.item(), rel=1e-5)

    def test_the_weight_sees_the_noise_in_float64_and_may_be_zero(self):
        seen = []

        def weight(sigma):
            seen.append(sigma)
            return torch.where(sigma > 0.5, 1.0, 0.0).float()

        x = points(100, 2, torch.float32)
        measured = denoising_over_scales(LinearOverScales(0.8), x, ENDS, weight=weight, generator=seeded(90))
        expected = drawn_over_scales(LinearOverScales(0.8), x, lambda sigma: (sigma > 0.5).double(), seeded(90)).mean()
        assert measured.dtype == torch.float32
        assert measured.item() == pytest.approx(expected.item(), rel=1e-5)
        assert seen[0].dtype == torch.float64
        assert seen[0].shape == (100,)

    def test_a_weight_is_a_constant(self):
        scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
        c = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
        loss = denoising_over_scales(
            LinearOverScales(c), points(5, 2), ENDS, weight=lambda sigma: scale * sigma, generator=seeded(91)
        )
        loss.backward()
        assert scale.grad is None
        assert c.grad is not None

    def test_what_a_model_writes_into_its_noise_spoils_nothing(self):
        def writes(x, sigma):
            out = LinearOverScales(0.8)(x, sigma)
            sigma.zero_()
            return out

        x = points(20, 2)
        expected = denoising_over_scales(LinearOverScales(0.8), x, ENDS, generator=seeded(92))
        assert denoising_over_scales(writes, x, ENDS, generator=seeded(92)) == expected

    def test_is_called_as_train_calls_it_and_learns(self):
        parameters = inspect.signature(denoising_over_scales).parameters
        assert list(parameters) == ["model", "x", "sigmas", "weight", "generator"]
        assert parameters["weight"].kind == parameters["generator"].kind == inspect.Parameter.KEYWORD_ONLY
        p, generator = GaussianMixture([[1.0]], 0.5), seeded(93)
        network = NoiseConditionalNetwork(1, width=16, depth=2, generator=generator)
        loss = functools.partial(denoising_over_scales, sigmas=ENDS)
        train(network, loss, 300, data=p, lr=0.02, generator=generator)
        for sigma in (0.1, 0.5, 2.0):
            x = p.smoothed(sigma).sample(2000, seeded(94))
            away = (network(x, sigma) - p.smoothed_score(x, sigma)).square().mean()
            assert away < 0.1 * p.smoothed_score(x, sigma).square().mean()

    @pytest.mark.parametrize(
        ("sigmas", "error", "message"),
        [
            (1.0, ValueError, "be at least two noise scales"),
            ([1.0], ValueError, "be at least two noise scales"),
            ([[2.0, 1.0]], ValueError, "be at least two noise scales"),
            ([1.0, 1.0], ValueError, "have two ends, got 1.0 alone"),
            ([1.0, 0.0], ValueError, "be positive and finite"),
            ([1.0, -1.0], ValueError, "be positive and finite"),
            ([1.0, NAN], ValueError, "be positive and finite"),
            ([1.0, INF], ValueError, "be positive and finite"),
            ([1.0, 1e-46], ValueError, "be a number that torch.float32 can hold"),
            ([1.0, 1e39], ValueError, "be a number that torch.float32 can hold"),
            ([1e-25, 1e25], ValueError, "have ends whose ratio torch.float32 can hold"),
            ("ends", TypeError, "be a tensor or numbers"),
        ],
    )
    def test_bad_noise_scales_are_refused(self, sigmas, error, message):
        with pytest.raises(error, match=f"^sigmas must {message}"):
            denoising_over_scales(LinearOverScales(1.0), torch.ones(3, 2), sigmas)

    @pytest.mark.parametrize(
        ("weight", "error", "message"),
        [
            (2.0, TypeError, "be a function, got float"),
            (None, TypeError, "be a function, got NoneType"),
            (lambda sigma: 1.0, TypeError, "return a torch.Tensor"),
            (lambda sigma: sigma[:, None], ValueError, "return one number a row"),
            (lambda sigma: sigma.mean(), ValueError, "return one number a row"),
            (lambda sigma: -sigma, ValueError, "be finite and not negative"),
            (lambda sigma: sigma / 0, ValueError, "be finite and not negative"),
            (lambda sigma: sigma * NAN, ValueError, "be finite and not negative"),
        ],
    )
    def test_bad_weights_are_refused(self, weight, error, message):
        with pytest.raises(error, match=f"^weight must {message}"):
            denoising_over_scales(LinearOverScales(1.0), torch.ones(3, 2), ENDS, weight=weight)


# The objective over noise scales with labels.


def labelled(n, dim, dtype=torch.float64, n_labels=3):
    label = torch.arange(n) % n_labels
    return torch.cat([points(n, dim, dtype), label[:, None].to(dtype)], 1), label


def by_label(x, sigma, label):
    """A field that differs with the label, and without one."""
    return -x * (2 + label.to(x))[:, None] / (1 + sigma.to(x).square())[:, None]


class TestWithLabels:
    @of_each_weight
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("unlabelled", [0.0, 0.3, 1.0])
    def test_is_the_mean_over_rows_of_its_formula_with_a_label_left_out_by_chance(self, unlabelled, dtype, weight):
        rows, label = labelled(60, 2, dtype)
        generator = seeded(200)
        told = torch.rand(60, generator=generator, dtype=torch.float64) >= unlabelled
        label = torch.where(told, label, -1)
        x, field = rows[:, :2].contiguous(), lambda x, sigma: by_label(x, sigma, label)
        expected = drawn_over_scales(field, x, weight, generator).mean()
        found = denoising_with_labels(by_label, rows, ENDS, unlabelled=unlabelled, weight=weight, generator=seeded(200))
        assert found.dtype == dtype
        assert found.item() == pytest.approx(expected.item(), rel=100 * torch.finfo(dtype).eps)

    def test_of_a_field_without_labels_is_the_loss_over_scales(self):
        rows, _ = labelled(20, 2)
        model, generator = LinearOverScales(0.8), seeded(201)
        torch.rand(20, generator=generator, dtype=torch.float64)  # whose labels are left out
        expected = denoising_over_scales(model, rows[:, :2], ENDS, generator=generator)
        found = denoising_with_labels(lambda x, sigma, label: model(x, sigma), rows, ENDS, generator=seeded(201))
        assert torch.equal(found, expected)

    @pytest.mark.parametrize("unlabelled", [None, 0.0, 0.25, 1.0])
    def test_leaves_out_the_labels_of_a_share_of_the_points_in_both_noises_of_a_point(self, unlabelled):
        n, seen = 20_000, []
        rows, label = labelled(n, 1)

        def model(x, sigma, label):
            seen.append(label)
            return x

        share = {} if unlabelled is None else {"unlabelled": unlabelled}
        denoising_with_labels(model, rows, ENDS, **share, generator=seeded(202))
        first, second = seen[0].chunk(2)
        assert torch.equal(first, second)
        assert first.dtype == torch.int64
        told, unlabelled = first >= 0, 0.1 if unlabelled is None else unlabelled
        assert torch.equal(first[told], label[told])
        assert (first[~told] == -1).all()
        for of in (told, told[label == 1]):
            error = math.sqrt(unlabelled * (1 - unlabelled) / len(of))
            assert abs((~of).double().mean().item() - unlabelled) <= 5 * error

    def test_is_least_at_the_score_given_the_label_and_without_one_at_that_of_all(self):
        # Two Gaussians, of one label each. The slope of the loss along a step away from the exact fields is 0.
        n, means = 100_000, torch.tensor([[-1.0], [2.0]], dtype=torch.float64)
        every = GaussianMixture(means, 0.5)
        each = [GaussianMixture(mean[None], 0.5) for mean in means]
        label = torch.arange(n) % 2
        rows = torch.cat([means[label] + 0.5 * points(n, 1, seed=203), label[:, None].double()], 1)

        def model(x, sigma, label):
            fields = torch.stack([p.smoothed_score(x, sigma) for p in (every, *each)])
            return fields[label + 1, torch.arange(len(x))]

        def slope(step, which):
            c = torch.tensor(step, dtype=torch.float64, requires_grad=True)

            def bent(x, sigma, label):
                return model(x, sigma, label) + c * torch.where(which(label), 1.0, 0.0)[:, None] * x

            loss = denoising_with_labels(bent, rows, (2.0, 0.3), unlabelled=0.5, generator=seeded(204))
            return torch.autograd.grad(loss, c)[0].item()

        for which in (lambda label: label == -1, lambda label: label == 0, lambda label: label == 1):
            # A row's part of the slope is λ x (s + z/σ), of a variance below λ E x²: 4 × 7 at most.
            assert abs(slope(0.0, which)) <= 5 * math.sqrt(28 / n)
            assert slope(0.1, which) > 5 * math.sqrt(28 / n)
            assert slope(-0.1, which) < -5 * math.sqrt(28 / n)

    def test_chance_is_the_generators_alone(self):
        rows, _ = labelled(20, 2)
        before, kept = torch.get_rng_state(), rows.clone()
        first, again, other = (
            denoising_with_labels(by_label, rows, ENDS, generator=seeded(s)).item() for s in (205, 205, 206)
        )
        assert first == again != other
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.equal(rows, kept)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            first, second = (denoising_with_labels(by_label, rows, ENDS).item() for _ in range(2))
            torch.manual_seed(0)
            assert denoising_with_labels(by_label, rows, ENDS).item() == first
        assert first != second

    def test_equal_rows_give_equal_losses_however_they_lie(self):
        rows, _ = labelled(20, 2)
        expected = denoising_with_labels(by_label, rows, ENDS, generator=seeded(207))
        for laid in (rows.T.contiguous().T, rows.repeat_interleave(2, 0)[::2], torch.cat([rows, rows], 1)[:, :3]):
            assert torch.equal(denoising_with_labels(by_label, laid, ENDS, generator=seeded(207)), expected)
        with torch.device("meta"):  # the default of whatever is made without saying where
            assert torch.equal(denoising_with_labels(by_label, rows, ENDS, generator=seeded(207)), expected)
        leaf = rows.clone().requires_grad_()
        assert not denoising_with_labels(by_label, leaf, ENDS, generator=seeded(207)).requires_grad

    def test_gradients_reach_a_network_that_train_teaches(self):
        rows, _ = labelled(30, 4, torch.float32)
        network = ImageNetwork(rows[:, :4].mean(0), 1.0, channels=2, n_labels=3, generator=seeded(208))
        loss = functools.partial(denoising_with_labels, sigmas=ENDS, unlabelled=0.3, weight=network.weight)
        before = [parameter.detach().clone() for parameter in network.parameters()]
        assert torch.isfinite(train(network, loss, 3, data=rows, lr=0.01, generator=seeded(209))).all()
        for parameter, old in zip(network.parameters(), before, strict=True):
            assert not torch.equal(parameter, old)

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"model": None}, TypeError, "model must be a function, got NoneType"),
            ({"model": lambda x, sigma, label: x[:1]}, ValueError, "model must return the shape"),
            ({"rows": [[0.0, 1.0]]}, TypeError, r"rows must be a torch\.Tensor"),
            ({"rows": torch.zeros(3, 1)}, ValueError, r"rows must have shape \(n, d \+ 1\), labels in the last column"),
            ({"rows": torch.zeros(0, 3)}, ValueError, "rows must have at least one row"),
            ({"rows": torch.tensor([[0.0, NAN]])}, ValueError, "rows must be finite"),
            ({"rows": torch.tensor([[0.0, 0.5]])}, ValueError, "rows must have whole numbers from 0 on in the last"),
            ({"rows": torch.tensor([[0.0, -1.0]])}, ValueError, "rows must have whole numbers from 0 on in the last"),
            ({"rows": torch.tensor([[0.0, 1e30]])}, ValueError, "rows must have whole numbers from 0 on in the last"),
            ({"unlabelled": -0.1}, ValueError, "unlabelled must lie between 0 and 1, got -0.1"),
            ({"unlabelled": 1.1}, ValueError, "unlabelled must lie between 0 and 1"),
            ({"unlabelled": "0"}, TypeError, "unlabelled must be a number"),
            ({"sigmas": [1.0]}, ValueError, "sigmas must be at least two noise scales"),
            ({"weight": 2.0}, TypeError, "weight must be a function"),
            ({"generator": 0}, TypeError, "generator must be"),
        ],
    )
    def test_bad_input_is_refused_by_name(self, change, error, message):
        given = {"model": by_label, "rows": torch.zeros(3, 3), "sigmas": ENDS}
        with pytest.raises(error, match=f"^{message}"):
            denoising_with_labels(**(given | change))


# Both losses on finite data.


class Affine:
    """x ↦ Ax + b, for which the denoising loss is a sum over the data, in any d."""

    def __init__(self, dim):
        self.slope, self.shift = points(dim, dim, seed=30), points(1, dim, seed=31)[0]

    def __call__(self, x):
        return x @ self.slope.T + self.shift

    def denoising(self, clean, sigma):
        """½ E‖A(x_m + σz) + b + z/σ‖²: the mean of A x_m + b and the noise's σA + I/σ do not correlate."""
        noise = sigma * self.slope + torch.eye(len(self.slope), dtype=torch.float64) / sigma
        return 0.5 * (row_squares(self(clean)).mean() + noise.square().sum()).item()


def network(seed, dim):
    """One of many unrelated smooth fields."""
    inner, outer, shift = points(dim, 6, seed=seed), points(6, dim, seed=seed + 100), points(1, 6, seed=seed + 200)
    return lambda x: (x @ inner + shift).tanh() @ outer


def wavy(x):
    """A field of each coordinate alone, for NumPy and PyTorch alike."""
    return 0.5 * x - x**3 / 20 + (torch if isinstance(x, torch.Tensor) else np).sin(2 * x)


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def product(*axes):
    """All points with coordinates from these columns: their kernel density is a product, its score a pair."""
    return torch.cartesian_prod(*(axis[:, 0] for axis in axes))


def half_size(clean, sigma):
    """½ E_q‖∇log q‖² of one column of data by SciPy: what Vincent's constant lacks of d/2σ²."""
    return scipy_losses(lambda x: 0, clean, sigma)[0]


def scipy_losses(field, clean, sigma):
    """The two integrals of the definition for one column of data, by an adaptive rule on the density of SciPy."""
    centres = clean[:, 0].numpy()

    def kernels(x):
        return scipy.stats.norm.pdf(x, centres, sigma) / len(centres)

    def score(x):
        return np.sum(kernels(x) * (centres - x)) / (np.sum(kernels(x)) * sigma**2)

    def integrate(f):
        ends = np.linspace(centres.min() - 10 * sigma, centres.max() + 10 * sigma, 9)
        return sum(
            scipy.integrate.quad(f, a, b, epsabs=1e-12, epsrel=1e-12, limit=200)[0] for a, b in itertools.pairwise(ends)
        )

    return (
        integrate(lambda x: np.sum(kernels(x)) * (field(x) - score(x)) ** 2 / 2),
        integrate(lambda x: np.sum(kernels(x) * (field(x) - (centres - x) / sigma**2) ** 2) / 2),
    )


# First data so far apart that q all but vanishes between them, last data within two σ.
SPREAD = [(0.2, column(-1.0, 0.3, 0.4)), (0.7, column(-1.0, 0.3, 2.0)), (1.5, column(-1.0, 0.3, 2.0))]


@pytest.mark.parametrize(("sigma", "clean"), SPREAD)
def test_quadrature_in_one_dimension_is_the_definition_by_another_rule(sigma, clean):
    measured = by_quadrature(wavy, clean, sigma)
    wanted_explicit, wanted_denoising = scipy_losses(wavy, clean, sigma)
    assert measured.explicit.item() == pytest.approx(wanted_explicit, rel=1e-10)
    assert measured.denoising.item() == pytest.approx(wanted_denoising, rel=1e-10)
    assert measured.difference.item() == pytest.approx(wanted_denoising - wanted_explicit, rel=1e-10)
    assert measured.constant.item() == pytest.approx(1 / (2 * sigma**2) - half_size(clean, sigma), rel=1e-10)


def test_quadrature_in_two_dimensions_is_the_sum_over_its_dimensions_where_the_data_are_a_product():
    one, other, sigma = column(-1.0, 0.3, 2.0), column(0.0, 0.8), 0.5
    measured = by_quadrature(wavy, product(one, other), sigma)
    pairs = zip(scipy_losses(wavy, one, sigma), scipy_losses(wavy, other, sigma), strict=True)
    wanted_explicit, wanted_denoising = (sum(pair) for pair in pairs)
    assert measured.explicit.item() == pytest.approx(wanted_explicit, rel=1e-10)
    assert measured.denoising.item() == pytest.approx(wanted_denoising, rel=1e-10)
    constant = 2 / (2 * sigma**2) - half_size(one, sigma) - half_size(other, sigma)
    assert measured.constant.item() == pytest.approx(constant, rel=1e-10)


@pytest.mark.parametrize("sigma", [0.1, 0.8, 3.0])
@pytest.mark.parametrize("dim", [1, 2])
def test_on_a_single_datum_both_losses_are_one_closed_form_and_the_constant_is_zero(dim, sigma):
    clean, model = points(1, dim, seed=32), Affine(dim)
    measured = by_quadrature(model, clean, sigma)
    expected = model.denoising(clean, sigma)
    assert measured.explicit.item() == pytest.approx(expected, rel=1e-13)
    assert measured.denoising.item() == pytest.approx(expected, rel=1e-13)
    assert measured.difference.item() == pytest.approx(0, abs=1e-13 * expected)
    assert measured.constant.item() == pytest.approx(0, abs=1e-13 / sigma**2)


@pytest.mark.parametrize("n_data", [5, 150])
@pytest.mark.parametrize("sigma", [0.4, 0.8])
@pytest.mark.parametrize("dim", [1, 2])
def test_an_affine_field_has_its_denoising_loss_in_closed_form(dim, sigma, n_data):
    clean, model = points(n_data, dim, seed=33), Affine(dim)
    measured = by_quadrature(model, clean, sigma).denoising.item()
    assert measured == pytest.approx(model.denoising(clean, sigma), rel=1e-13)


@pytest.mark.parametrize("dim", [1, 2])
def test_the_field_that_is_zero_and_the_kernels_own_score_are_the_two_ends(dim):
    clean, sigma = points(6, dim, seed=34), 0.6
    zero, exact = (by_quadrature(f, clean, sigma) for f in (torch.zeros_like, kernel_density(clean, sigma).score))
    size = dim / (2 * sigma**2)
    assert zero.denoising.item() == pytest.approx(size, rel=1e-13)
    assert zero.explicit.item() == pytest.approx(size - zero.constant.item(), rel=1e-13)
    assert exact.explicit.item() == 0
    assert exact.denoising.item() == pytest.approx(exact.constant.item(), rel=1e-13)
    assert 0.1 * size < exact.constant < 0.9 * size


@pytest.mark.parametrize("n_data", [2, 20, 128, 200])  # from 128 on the score is computed as attention
@pytest.mark.parametrize(("dim", "sigma"), [(1, 0.05), (1, 0.3), (1, 2.0), (2, 0.4), (2, 1.0)])
def test_the_difference_of_the_losses_is_the_constant_for_every_network(dim, sigma, n_data):
    clean = points(n_data, dim, seed=35)
    networks = [by_quadrature(network(seed, dim), clean, sigma) for seed in ((0, 1, 2) if dim == 1 else (0, 1))]
    for losses in networks:
        assert abs(losses.difference - losses.constant) <= 1e-9
        assert torch.equal(losses.difference, losses.denoising - losses.explicit)
        assert torch.equal(losses.constant, networks[0].constant)
        assert 0 < losses.constant < dim / (2 * sigma**2)
    # And these are losses of unrelated fields.
    assert abs(networks[0].denoising - networks[1].denoising) > 1e-5 * networks[0].denoising


def test_losses_on_more_and_more_of_a_law_are_those_of_the_law():
    # Of N(0, v) and s = ax: ESM is ½(v + σ²)(a + 1/(v + σ²))², DSM ½(a²(v + σ²) + 2a + 1/σ²).
    variance, sigma, slope = 2.0, 0.8, -0.2
    smoothed = variance + sigma**2
    wanted = [
        0.5 * smoothed * (slope + 1 / smoothed) ** 2,
        0.5 * (slope**2 * smoothed + 2 * slope + 1 / sigma**2),
        0.5 * (1 / sigma**2 - 1 / smoothed),
    ]
    away = []
    for n_data in (50, 400, 3200):
        ranks = (torch.arange(n_data, dtype=torch.float64) + 0.5) / n_data
        clean = math.sqrt(variance) * torch.special.ndtri(ranks)[:, None]
        measured = by_quadrature(lambda x: slope * x, clean, sigma)
        away.append([abs(a.item() - b) for a, b in zip(measured[:3], wanted, strict=True)])
    away = np.array(away)
    assert (away[1:] < away[:-1] / 4).all()
    assert (away[-1] < 2e-4).all()


@pytest.mark.parametrize(("dim", "n_data"), [(1, 7), (2, 7), (1, 150)])
def test_both_losses_have_the_same_gradient_in_every_parameter(dim, n_data):
    clean = points(n_data, dim, seed=36)
    parameters = [
        points(dim, 4, seed=37).requires_grad_(),
        points(4, dim, seed=38).requires_grad_(),
        points(1, dim, seed=39).requires_grad_(),
    ]
    inner, outer, shift = parameters
    losses = by_quadrature(lambda x: (x @ inner).tanh() @ outer + shift, clean, 0.5)
    of_explicit, of_denoising = (
        torch.autograd.grad(loss, parameters, retain_graph=True) for loss in (losses.explicit, losses.denoising)
    )
    for a, b in zip(of_explicit, of_denoising, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)
        assert a.abs().min() > 1e-4
    assert not losses.constant.requires_grad
    means, errors = by_sampling(lambda x: x @ (inner @ outer) + shift, clean, 0.5, 8, generator=seeded(63))
    assert means.explicit.requires_grad
    assert not means.constant.requires_grad
    assert not errors.constant.requires_grad


def test_the_gradient_of_the_quadrature_is_that_of_its_value():
    clean, shift = points(4, 1, seed=40), points(1, 2, seed=41)[0].requires_grad_()

    def value(shift):
        losses = by_quadrature(lambda x: (x * shift[0]).sin() + shift[1], clean, 0.7)
        return losses.explicit, losses.denoising

    assert torch.autograd.gradcheck(value, shift)


# Fractions of 2⁻¹⁰ keep their differences a thousand away.
@pytest.mark.parametrize("n_data", [9, 140])
@pytest.mark.parametrize("dim", [1, 2])
def test_losses_move_with_the_data(dim, n_data):
    clean, far, model = (points(n_data, dim, seed=42) * 1024).round() / 1024, 1000.0, network(3, dim)
    for losses in (
        lambda model, clean: by_quadrature(model, clean, 0.5),
        lambda model, clean: by_sampling(model, clean, 0.5, 500, generator=seeded(43))[0],
    ):
        here, there = losses(model, clean), losses(lambda x: model(x - far), clean + far)
        torch.testing.assert_close(tuple(there), tuple(here), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("n_data", [9, 140])
@pytest.mark.parametrize("dim", [1, 2])
def test_quadrature_in_single_precision_is_that_in_double_to_its_rounding(dim, n_data):
    clean, model = points(n_data, dim, torch.float32, seed=44), Affine(dim)
    exact = by_quadrature(model, clean.double(), 0.5)
    model.slope, model.shift = model.slope.float(), model.shift.float()
    for single, double in zip(by_quadrature(model, clean, 0.5), exact, strict=True):
        assert single.dtype == torch.float32
        assert single.item() == pytest.approx(double.item(), abs=1e-5 * exact.denoising.item())


# The farther apart two data are, the nearer to the real line are the zeros of q, the poles of ∇log q, and the finer an
# even grid must be; until q between the data no longer counts. At eight σ it is worst.
@pytest.mark.parametrize("apart", [3.0, 5.0, 6.5, 8.0, 9.5, 12.0])
@pytest.mark.parametrize("dim", [1, 2])
def test_a_grid_twice_as_fine_gives_the_same_between_isolated_data(dim, apart, monkeypatch):
    sigma = 0.05
    clean = torch.zeros(2, dim, dtype=torch.float64)
    clean[1, 0] = apart * sigma
    coarse = by_quadrature(wavy, clean, sigma)
    monkeypatch.setattr(score_matching, "_FINE", 2 * score_matching._FINE)
    fine = by_quadrature(wavy, clean, sigma)
    torch.testing.assert_close(tuple(coarse), tuple(fine), rtol=0, atol=1e-10 * fine.denoising.item())


def test_a_grid_that_goes_further_gives_the_same(monkeypatch):
    clean, sigma = column(-1.0, 0.3, 2.0), 0.5
    near = by_quadrature(wavy, clean, sigma)
    monkeypatch.setattr(score_matching, "_REACH", 14)
    torch.testing.assert_close(tuple(near), tuple(by_quadrature(wavy, clean, sigma)), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("pairs", [1, 1000, 2**22])
@pytest.mark.parametrize(("dim", "sigma"), [(1, 0.2), (2, 5.0)])
def test_quadrature_does_not_depend_on_the_size_of_its_blocks(dim, sigma, pairs, monkeypatch):
    clean, model = points(3, dim, seed=45), network(4, dim)
    if pairs == 1:
        monkeypatch.setattr(score_matching, "_FINE", 1)  # a node at a time
    whole = by_quadrature(model, clean, sigma)
    monkeypatch.setattr(score_matching, "_PAIRS", pairs)
    torch.testing.assert_close(tuple(by_quadrature(model, clean, sigma)), tuple(whole), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("sigma", [0.15, 0.7])
@pytest.mark.parametrize("dim", [1, 2])
def test_the_nodes_of_the_quadrature_are_an_eighth_of_sigma_apart_and_reach_nine_beyond_the_data(dim, sigma):
    clean, seen = points(3, dim, seed=62), []

    def model(x):
        seen.append(x)
        return -x

    by_quadrature(model, clean, sigma)
    nodes = torch.cat(seen)
    for along, data in zip(nodes.T, clean.T, strict=True):
        axis = along.unique()
        assert 0.95 * sigma / 8 < axis.diff().max() <= sigma / 8 * (1 + 1e-9)
        assert axis[0].item() == pytest.approx(data.min().item() - 9 * sigma, rel=1e-12)
        assert axis[-1].item() == pytest.approx(data.max().item() + 9 * sigma, rel=1e-12)
    assert len(nodes) == len(nodes.unique(dim=0)) == math.prod(len(along.unique()) for along in nodes.T)


def test_no_array_of_the_quadrature_outgrows_its_block(monkeypatch):
    monkeypatch.setattr(score_matching, "_PAIRS", 5000)
    seen = []

    def model(x):
        seen.append(len(x))
        return -x

    by_quadrature(model, points(50, 2, seed=46), 0.8)
    assert max(seen) == 100
    assert len(seen) > 10


def drawn(model, clean, sigma, n, seed):
    """What by_sampling is to measure, draw by draw, with its generator: four arrays of n numbers."""
    generator = seeded(seed)
    chosen = clean[torch.randint(len(clean), (n,), generator=generator)]
    z = torch.randn(n, clean.shape[1], generator=generator, dtype=torch.float64)
    x = chosen + sigma * z
    weight = torch.softmax(-(x[:, None] - clean).square().sum(2) / (2 * sigma**2), dim=1)
    s, mean, own = (f.numpy() for f in (model(x), (weight @ clean - x) / sigma**2, (chosen - x) / sigma**2))
    losses = [np.sum((s - mean) ** 2, 1) / 2, np.sum((s - own) ** 2, 1) / 2]
    return [*losses, losses[1] - losses[0], np.sum(own**2, 1) / 2 - np.sum(mean**2, 1) / 2]


@pytest.mark.parametrize(
    ("dim", "n_data", "n"), [(1, 1, 5), (1, 4, 2), (2, 20, 7), (20, 300, 50), (3, 6, np.int64(30))]
)
def test_sampling_is_the_mean_of_its_rows_and_their_standard_error(dim, n_data, n):
    clean, model, sigma = points(n_data, dim, seed=47), network(5, dim), 0.6
    rows = drawn(model, clean, sigma, n, 48)
    means, errors = by_sampling(model, clean, sigma, n, generator=seeded(48))
    scale = max(np.mean(rows[1]), 1 / sigma**2)
    for row, mean, error in zip(rows, means, errors, strict=True):
        assert mean.item() == pytest.approx(np.mean(row), rel=1e-12, abs=1e-12 * scale)
        assert error.item() == pytest.approx(np.std(row, ddof=1) / math.sqrt(n), rel=1e-10, abs=1e-12 * scale)


def test_sampling_is_explicit_and_denoising_at_the_same_points():
    clean, sigma, n, model = points(9, 2, seed=49), 0.4, 100, network(6, 2)
    means, _ = by_sampling(model, clean, sigma, n, generator=seeded(50))
    generator = seeded(50)
    chosen = clean[torch.randint(len(clean), (n,), generator=generator)]
    state = generator.get_state()
    torch.testing.assert_close(
        means.denoising, denoising(model, chosen, sigma, generator=generator), rtol=1e-13, atol=0
    )
    x = chosen + sigma * torch.randn(n, 2, generator=generator.set_state(state), dtype=torch.float64)
    expected = explicit(model, x, kernel_density(clean, sigma).score)
    torch.testing.assert_close(means.explicit, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("dim", "n_data", "sigma"), [(1, 4, 0.3), (2, 10, 0.5), (2, 200, 1.0)])
def test_denoising_on_the_data_has_the_mean_of_the_quadrature(dim, n_data, sigma):
    clean, model = points(n_data, dim, seed=51), network(7, dim)
    expected = by_quadrature(model, clean, sigma).denoising
    losses = torch.stack(
        [denoising(model, clean.repeat(40_000 // n_data // 40, 1), sigma, generator=seeded(s)) for s in range(40)]
    )
    assert within(losses.mean(), expected, losses)


# A few settings: σ below the data's distances, among them, and above; the last with attention.
@pytest.mark.parametrize(("dim", "n_data", "sigma"), [(1, 5, 0.1), (1, 20, 0.5), (2, 20, 0.4), (2, 200, 1.5)])
def test_sampling_agrees_with_quadrature_to_five_errors(dim, n_data, sigma):
    clean, model = points(n_data, dim, seed=52), network(8, dim)
    exact = by_quadrature(model, clean, sigma)
    for seed in range(4):
        means, errors = by_sampling(model, clean, sigma, 4000, generator=seeded(seed))
        for mean, error, truth in zip(means, errors, exact, strict=True):
            assert 0 < error < 0.2 * exact.denoising
            assert abs(mean - truth) <= 5 * error


def test_the_errors_of_sampling_are_the_spread_of_its_means():
    clean, sigma, model, n_seeds = points(8, 1, seed=53), 0.5, network(9, 1), 400
    exact = torch.stack(by_quadrature(model, clean, sigma))
    runs = [by_sampling(model, clean, sigma, 300, generator=seeded(s)) for s in range(n_seeds)]
    means, errors = (torch.stack([torch.stack(run[i]) for run in runs]) for i in (0, 1))
    # Each error is its own run's; of 300 rows it is known to some percent.
    squares = ((means - exact) / errors).square().sum(0).numpy()
    low, high = scipy.stats.chi2(n_seeds).ppf([1e-6, 1 - 1e-6])
    assert (low < squares).all()
    assert (squares < high).all()


@pytest.mark.parametrize("dim", [1, 2, 20])
def test_on_a_single_datum_sampling_finds_both_losses_the_same_row_by_row(dim):
    clean, model, sigma = points(1, dim, seed=54), Affine(dim), 0.7
    means, errors = by_sampling(model, clean, sigma, 20_000, generator=seeded(55))
    expected = model.denoising(clean, sigma)
    for mean, error in zip(means[:2], errors[:2], strict=True):
        assert abs(mean - expected) <= 5 * error < 0.1 * expected
    torch.testing.assert_close(torch.stack(means[2:]), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.stack(errors[2:]), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-12)


def test_sampling_works_in_twenty_dimensions():
    # The data differ in the first coordinate alone, and so the constant is that of one dimension.
    line, model, sigma = column(-1.0, 0.3, 2.0), Affine(20), 0.7
    clean = torch.cat([line, points(1, 19, seed=56).expand(3, 19)], dim=1)
    means, errors = by_sampling(model, clean, sigma, 40_000, generator=seeded(57))
    constant = 1 / (2 * sigma**2) - half_size(line, sigma)
    expected = model.denoising(clean, sigma)
    for name, wanted in [("denoising", expected), ("explicit", expected - constant)]:
        assert abs(getattr(means, name) - wanted) <= 5 * getattr(errors, name) < 0.1 * wanted
    for name in ("difference", "constant"):
        assert abs(getattr(means, name) - constant) <= 5 * getattr(errors, name) < constant


def sampled(model, clean, sigma, generator=None):
    return by_sampling(model, clean, sigma, 16, generator=seeded(58) if generator is None else generator)[0]


FINITE = {"by_quadrature": by_quadrature, "by_sampling": sampled}
on_finite_data = pytest.mark.parametrize("losses", FINITE.values(), ids=FINITE)


@on_finite_data
def test_the_losses_on_finite_data_are_four_tensors_without_dimensions_in_the_dtype_of_the_data(losses):
    for dtype in DTYPES:
        measured = losses(Field(2, dtype), points(5, 2, dtype), torch.tensor(0.5))
        assert type(measured) is Losses
        assert Losses._fields == ("explicit", "denoising", "difference", "constant")
        assert [(value.shape, value.dtype) for value in measured] == [((), dtype)] * 4
    means, errors = by_sampling(Field(2), points(5, 2), 0.5, 3)
    assert type(means) is type(errors) is Losses
    assert [(value.shape, value.dtype) for value in errors] == [((), torch.float64)] * 4


@on_finite_data
def test_the_losses_on_finite_data_neither_touch_the_data_nor_need_gradients(losses):
    clean, model = points(5, 2), Field(2)
    before = clean.clone()
    expected = losses(model, clean, 0.5)
    assert torch.equal(clean, before)
    assert not any(value.requires_grad for value in expected)
    with torch.no_grad():
        assert losses(model, clean, 0.5) == expected


def test_the_order_of_the_data_is_nothing_and_a_repeated_datum_counts_twice():
    clean, model = points(5, 2), Affine(2)
    losses = by_quadrature(model, clean, 0.5)
    for other in (clean.flip(0), clean.repeat(3, 1)):
        torch.testing.assert_close(tuple(by_quadrature(model, other, 0.5)), tuple(losses), rtol=1e-12, atol=1e-12)
    twice = torch.cat([clean, clean[:1]])
    measured = by_quadrature(model, twice, 0.5).denoising.item()
    assert measured == pytest.approx(model.denoising(twice, 0.5), rel=1e-13)
    assert abs(measured - losses.denoising) > 1e-3


@on_finite_data
def test_the_constant_on_finite_data_knows_nothing_of_the_model(losses):
    clean = points(5, 2)
    for model in (Field(2), lambda x: x * NAN):
        assert losses(model, clean, 0.5).constant == losses(torch.zeros_like, clean, 0.5).constant
    assert all(math.isnan(value) for value in losses(lambda x: x * NAN, clean, 0.5)[:3])


def test_a_quadrature_takes_2_to_the_20_nodes_and_not_one_more():
    far = (2**20 - 1) / 8 - 18  # 18σ are beyond the data
    losses = by_quadrature(torch.zeros_like, column(0.0, far), 1.0)
    assert losses.denoising.item() == pytest.approx(0.5, rel=1e-12)  # d/2σ²
    with pytest.raises(ValueError, match=r"^sigma must be larger"):
        by_quadrature(torch.zeros_like, column(0.0, far + 0.125), 1.0)


@pytest.mark.parametrize(
    "loss",
    [
        lambda model, x: by_quadrature(model, x, 0.5).denoising,
        lambda model, x: by_sampling(model, x, 0.5, 16, generator=seeded(63))[0].denoising,
        lambda model, x: denoising(model, x, 0.5, generator=seeded(63)),
        lambda model, x: over_scales(model, x, seeded(63)),
        lambda model, x: sliced(model, x, 2, generator=seeded(63)),
        implicit,
    ],
)
def test_all_is_computed_on_the_device_of_the_data(loss):
    model, x = Affine(2), points(5, 2)
    expected = loss(model, x)
    with torch.device("meta"):  # the default of whatever is made without saying where
        assert loss(model, x) == expected


class TestSamplesOfFiniteData:
    def test_are_decided_by_the_generator_alone(self):
        clean, model = points(5, 2), Field(2)
        before = torch.get_rng_state()
        first, again, other = (sampled(model, clean, 0.5, seeded(s)) for s in (59, 59, 60))
        assert first == again
        assert first.denoising != other.denoising
        assert torch.equal(torch.get_rng_state(), before)

    def test_are_new_in_each_call(self):
        generator = seeded(61)
        first, second = (sampled(Field(2), points(5, 2), 0.5, generator) for _ in range(2))
        assert first.denoising != second.denoising

    def test_follow_the_global_seed_without_a_generator(self):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            first, second = (by_sampling(Field(2), points(5, 2), 0.5, 16) for _ in range(2))
            torch.manual_seed(0)
            assert by_sampling(Field(2), points(5, 2), 0.5, 16) == first
        assert first[0].denoising != second[0].denoising

    @pytest.mark.parametrize("generator", [0])
    def test_refuse_a_generator_of_another_kind(self, generator):
        with pytest.raises(TypeError, match="generator must"):
            by_sampling(Field(2), points(5, 2), 0.5, 16, generator=generator)

    def test_refuse_a_generator_of_another_device(self):
        class Elsewhere(torch.Generator):
            device = torch.device("meta")

        with pytest.raises(ValueError, match="generator lives on meta, its inputs on cpu"):
            by_sampling(Field(2), points(5, 2), 0.5, 16, generator=Elsewhere())

    @pytest.mark.parametrize(
        ("n", "error"),
        [(1, ValueError), (16.0, TypeError)],
    )
    def test_refuse_a_bad_number(self, n, error):
        with pytest.raises(error, match=r"^n must"):
            by_sampling(Field(2), points(5, 2), 0.5, n)


@on_finite_data
@pytest.mark.parametrize(("clean", "error"), BAD_POINTS)
def test_bad_data_are_refused_by_name(losses, clean, error):
    with pytest.raises(error, match=r"^clean must"):
        losses(lambda x: -x, clean, 0.5)


def test_a_quadrature_in_three_dimensions_is_refused():
    with pytest.raises(ValueError, match=r"^clean must have 1 or 2 columns for a quadrature, got 3: use by_sampling"):
        by_quadrature(lambda x: -x, torch.zeros(5, 3), 0.5)


@on_finite_data
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("sigma", "error"),
    [
        (0, ValueError),
        (torch.tensor([0.1, 0.2]), TypeError),
    ],
)
def test_a_bad_noise_level_is_refused_on_finite_data(losses, dtype, sigma, error):
    with pytest.raises(error, match=r"^sigma must"):
        losses(lambda x: -x, torch.ones(3, 2, dtype=dtype), sigma)


# A float32 ends at 3e38, begins at 1e-45 and has 1/σ² below its end from σ = 5e-20 on; float64 the like.
@on_finite_data
@pytest.mark.parametrize(
    ("dtype", "sigma"),
    [(DTYPES[0], s) for s in (1e39, 1e-46, 1e25, 1e-25, 4e-20)]
    + [(DTYPES[1], s) for s in (1e300, 1e155, 1e-300, 1e-160, 5e-324)],
)
def test_a_noise_level_whose_square_leaves_the_dtype_is_refused(losses, dtype, sigma):
    with pytest.raises(ValueError, match=r"^(1/)?sigma²? must"):
        losses(lambda x: -x, torch.ones(3, 2, dtype=dtype), sigma)


def test_a_noise_level_too_small_for_the_grid_is_refused():
    # In one dimension 2²⁰ nodes are 131 072 σ, of which 18 lie beyond the data; in two, 128 σ each way.
    for dim, least in [(1, 2 / (131_072 - 18)), (2, 2 / (128 - 18))]:
        clean = column(-1.0, 1.0).expand(2, dim)
        with pytest.raises(
            ValueError, match=r"^sigma must be larger for data as wide as these, got .* at most 1048576"
        ):
            by_quadrature(lambda x: -x, clean, 0.99 * least)
        assert by_quadrature(lambda x: -x, clean, 1.01 * least).denoising > 0
    with pytest.raises(ValueError, match=r"^sigma must be larger"):
        by_quadrature(lambda x: -x, torch.tensor([[-3e38], [3e38]]), 1.0)
    # However small, where the data are no wider.
    losses = by_quadrature(lambda x: -x, torch.zeros(3, 2, dtype=torch.float64), 1e-100)
    assert losses.denoising.item() == pytest.approx(1e200, rel=1e-12)


@on_finite_data
@pytest.mark.parametrize(("model", "error"), OTHER_FIELDS)
def test_a_model_that_returns_another_shape_is_refused_on_finite_data(losses, model, error):
    with pytest.raises(error, match=r"^model must return"):
        losses(model, torch.ones(3, 2), 0.5)


@on_finite_data
@pytest.mark.parametrize("model", [None])
def test_a_model_that_is_no_function_is_refused_on_finite_data(losses, model):
    with pytest.raises(TypeError, match=r"^model must be a function"):
        losses(model, points(5, 2), 0.5)
