"""The objectives against their formulas, closed forms on Gaussians, and each other."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from notes.mixtures import GaussianMixture
from notes.score_matching import denoising, explicit, fisher_divergence, implicit, sliced

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


LOSSES = {
    "explicit": lambda model, x: explicit(model, lambda y: -y, x),
    "denoising": lambda model, x: denoising(model, x, 0.3, seeded(4)),
    "implicit": implicit,
    "sliced": lambda model, x: sliced(model, x, 2, seeded(4)),
    "fisher_divergence": lambda model, x: fisher_divergence(model, lambda y: -y, x),
    "relative": lambda model, x: fisher_divergence(model, lambda y: -y, x, relative=True),
}
TRAINED = {name: LOSSES[name] for name in ("explicit", "denoising", "implicit", "sliced")}

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
    assert_equal(explicit(model, lambda y: target(y).to(dtype), x), expected, dtype)


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
    measured_explicit = explicit(model, lambda y: -(y - mean) / variance, x)
    assert measured_explicit.item() == pytest.approx(wanted_explicit.item(), rel=1e-12)
    assert implicit(model, x).item() == pytest.approx(wanted_implicit.item(), rel=1e-12, abs=1e-12)
    # The constant between them, ½ E‖∇log p‖² = d/2σ².
    assert (measured_explicit - implicit(model, x)).item() == pytest.approx(dim / (2 * variance), rel=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_on_a_gaussian_the_score_has_explicit_zero_and_implicit_minus_the_constant(dim):
    variance = 0.5
    x = of_mean_and_variance(torch.zeros(dim, dtype=torch.float64), variance)
    assert explicit(lambda y: -y / variance, lambda y: -y / variance, x).item() == 0
    assert implicit(lambda y: -y / variance, x).item() == pytest.approx(-dim / (2 * variance), rel=1e-13)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_implicit_is_explicit_less_half_the_mean_squared_score(dim):
    p, model, n = mixture(dim), Field(dim), 40_000
    x = p.sample(n, seeded(8))
    truth = p.score(x)
    half = 0.5 * row_squares(truth)
    # Row by row explicit − implicit − ½‖∇log p‖² is −s·∇log p − ∇·s, whose mean is zero by Stein's identity.
    differences = -(model(x) * truth).sum(1) - model.jacobians(x).diagonal(dim1=1, dim2=2).sum(1)
    measured = explicit(model, p.score, x) - implicit(model, x)
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
    measured = sliced(model, x, n_projections, seeded(9))
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
        losses = torch.stack([sliced(model, x, n_projections, seeded(s)) for s in range(n_seeds)])
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
    measured = sliced(model, x, 1, seeded(10)) - implicit(model, x)
    torch.testing.assert_close(measured, ((v.square() - 1) * slopes).mean(), rtol=1e-12, atol=1e-13)


def test_directions_are_gaussian_and_not_of_unit_length():
    # For s = x it is mean ‖v‖² + ½ mean ‖x‖², in d dimensions d + …, and on the unit sphere it would be 1 + ….
    x = torch.zeros(10_000, 10, dtype=torch.float64)
    squares = torch.randn(10_000, 10, generator=seeded(11), dtype=torch.float64).square().sum(1)
    measured = sliced(lambda y: y, x, 1, seeded(11))
    assert within(measured, 10, squares)
    assert scipy.stats.kstest(squares.numpy(), scipy.stats.chi2(10).cdf).pvalue > 1e-6
    assert measured.item() == pytest.approx(squares.mean().item(), rel=1e-12)


@pytest.mark.parametrize("sigma", [0.05, 0.7, torch.tensor(0.5)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_denoising_is_half_the_squared_distance_to_the_noise_over_minus_sigma(sigma, dtype):
    clean, model = points(9, 3, dtype), Field(3, dtype)
    z = torch.randn(9, 3, generator=seeded(12), dtype=dtype)
    expected = 0.5 * row_squares((model(clean + float(sigma) * z) + z / float(sigma)).double()).mean()
    assert_equal(denoising(model, clean, sigma, seeded(12)), expected, dtype)


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
    measured = denoising(q.score, clean, sigma, seeded(14))
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
        (found,) = torch.autograd.grad(denoising(lambda y: slope * y, clean, sigma, seeded(16)), slope)
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
    loss = {"explicit": lambda model: explicit(model, lambda y: -y / variance, x), "implicit": lambda m: implicit(m, x)}

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


@pytest.mark.parametrize("name", ["denoising", "sliced"])
class TestChance:
    losses = {  # noqa: RUF012 - a table
        "denoising": lambda model, x, generator: denoising(model, x, 0.3, generator=generator),
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

    @pytest.mark.parametrize("generator", [0, "seed", np.random.default_rng(0)])
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
        measured = loss(model, x) if loss is implicit else loss(model, x, 1, seeded(23))
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
        arguments = () if loss is implicit else (1, seeded(24))
        again = () if loss is implicit else (1, seeded(24))
        torch.testing.assert_close(loss(model, x, *arguments), loss(p.score, x, *again), rtol=1e-10, atol=1e-10)


@of_every_loss
@pytest.mark.parametrize(
    ("x", "error"),
    [
        (torch.zeros(3), ValueError),
        (torch.tensor(0.0), ValueError),
        (torch.zeros(3, 0), ValueError),
        (torch.zeros(2, 3, 1), ValueError),
        (torch.zeros(0, 2), ValueError),
        (torch.tensor([[0.0], [NAN]]), ValueError),
        (torch.tensor([[-INF], [0.0]]), ValueError),
        (torch.zeros(3, 1, dtype=torch.int64), TypeError),
        (torch.zeros(3, 1, dtype=torch.complex64), TypeError),
        (np.zeros((3, 1)), TypeError),
        ([[0.0]], TypeError),
        (None, TypeError),
    ],
)
def test_bad_points_are_refused_by_name(loss, x, error):
    with pytest.raises(error, match=r"^(x|clean) must"):
        loss(lambda y: -2 * y, x)


def test_points_are_named_as_the_argument_is():
    with pytest.raises(ValueError, match=r"^clean must"):
        denoising(Field(2), torch.zeros(0, 2), 0.1)
    with pytest.raises(ValueError, match=r"^x must"):
        explicit(Field(2), Field(2), torch.zeros(0, 2))


OTHER_FIELDS = [
    (lambda x: x[:, 0], ValueError),
    (lambda x: x[:, :1], ValueError),  # would broadcast
    (lambda x: x[:1], ValueError),  # would broadcast
    (lambda x: x.T, ValueError),
    (lambda x: x[None], ValueError),
    (lambda x: x.sum(), ValueError),
    (lambda x: 0.0, TypeError),
    (lambda x: None, TypeError),
    (lambda x: x.detach().numpy(), TypeError),
]


@of_every_loss
@pytest.mark.parametrize(("model", "error"), OTHER_FIELDS)
def test_a_model_that_returns_another_shape_is_refused(loss, model, error):
    with pytest.raises(error, match=r"^(model|model_score) must return"):
        loss(model, torch.ones(3, 2))


@of_every_loss
@pytest.mark.parametrize("model", [None, 1.0, torch.zeros(5, 2)])
def test_a_model_that_is_no_function_is_refused(loss, model):
    with pytest.raises(TypeError, match=r"^(model|model_score) must be a function"):
        loss(model, points(5, 2))


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (lambda target: explicit(torch.zeros_like, target, torch.ones(3, 2)), "target_score"),
        (lambda target: fisher_divergence(torch.zeros_like, target, torch.ones(3, 2)), "true_score"),
        (lambda target: fisher_divergence(torch.zeros_like, target, torch.ones(3, 2), relative=True), "true_score"),
    ],
)
class TestTarget:
    @pytest.mark.parametrize(("target", "error"), OTHER_FIELDS)
    def test_that_returns_another_shape_is_refused(self, loss, name, target, error):
        with pytest.raises(error, match=rf"^{name} must return"):
            loss(target)

    @pytest.mark.parametrize("target", [None, 1.0, torch.zeros(3, 2)])
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
        (-0.1, ValueError),
        (NAN, ValueError),
        (INF, ValueError),
        (1e39, ValueError),  # float32 ends at 3e38
        (True, TypeError),
        ("0.1", TypeError),
        (None, TypeError),
        (torch.tensor([0.1, 0.2]), TypeError),
        (1e-46, ValueError),  # 0 in float32
    ],
)
def test_a_bad_noise_level_is_refused(sigma, error):
    with pytest.raises(error, match="sigma must"):
        denoising(lambda y: -y, torch.ones(3, 2), sigma)


@pytest.mark.parametrize(
    ("n_projections", "error"),
    [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError), (None, TypeError)],
)
def test_a_bad_number_of_projections_is_refused(n_projections, error):
    with pytest.raises(error, match="n_projections must"):
        sliced(Field(2), points(5, 2), n_projections)


@of_every_loss
def test_a_model_that_gives_nan_gives_nan(loss):
    # Which the training loop reports with its step.
    assert math.isnan(loss(lambda y: y * NAN, points(5, 2)).item())
