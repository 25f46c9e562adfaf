"""The truth of every toy target: densities, scores and samples against SciPy, autograd and extended precision."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from notes import mixtures
from notes.mixtures import GaussianMixture, checkerboard, rings, swiss_roll, two_moons

DTYPES = [torch.float32, torch.float64]
FIVE_SIGMA = math.erfc(5 / math.sqrt(2))  # the chance of 5 standard errors: the p-value below which a law is refused

properties = settings(max_examples=40, deadline=None, derandomize=True)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def uneven(dim, dtype=torch.float64):
    """Unequal widths, and weights of which one is tiny and one zero."""
    means = 2 * torch.randn(4, dim, generator=seeded(dim), dtype=torch.float64)
    stds = torch.tensor([0.3, 1.1, 0.7, 2.0], dtype=torch.float64)
    weights = torch.tensor([0.4, 0.6, 1e-30, 0.0], dtype=torch.float64)
    return GaussianMixture(means.to(dtype), stds.to(dtype), weights.to(dtype))


def wide(tensor):
    return tensor.detach().numpy().astype(np.longdouble)


def reference(p, x):
    """Log-density and score from their definitions, in extended precision where the machine has it."""
    means, stds, weights, x = wide(p.means), wide(p.stds), wide(p.weights), wide(x)
    offset = means - x[:, None]
    with np.errstate(divide="ignore"):
        joint = np.log(weights) - p.dim * np.log(stds * np.sqrt(2 * np.pi)) - (offset**2).sum(2) / (2 * stds**2)
    largest = joint.max(1, keepdims=True)
    share = np.exp(joint - largest)
    log_prob = largest[:, 0] + np.log(share.sum(1))
    responsibility = share / share.sum(1, keepdims=True)
    score = (responsibility[:, :, None] * offset / stds[:, None] ** 2).sum(1)
    return torch.from_numpy(log_prob.astype(np.float64)), torch.from_numpy(score.astype(np.float64))


def rounding(p, log_prob, dtype, moved=0.0):
    """How far rounding in ``dtype`` may move log_prob (n,) and score (n,), if inputs moved by up to ``moved`` too.

    A component that counts, within e⁻⁴⁰ of the largest, has |o|²/2σ² ≤ Q = |log p| + max |log w N(0)| + 40, and its
    exponent is off by (d + 8) ε Q. Its pull is |o|/σ² ≤ √(2Q)/σ; responsibilities are off by twice that error.
    """
    heights = (p.weights.double().log() - p.dim * (p.stds.double().log() + 0.92))[p.weights > 0]
    q = log_prob.abs() + heights.abs().max() + 40
    narrow = p.stds.double()[p.weights > 0].min()
    pull = (2 * q).sqrt() / narrow
    exponent = (p.dim + 8) * torch.finfo(dtype).eps * q
    moved = 2 * math.sqrt(p.dim) * moved
    return exponent + pull * moved, 4 * pull * exponent + (narrow**-2 + 2 * pull**2) * moved


def assert_right(p, x, dtype=None):
    log_prob, score = reference(p, x)
    log_prob_error, score_error = rounding(p, log_prob, dtype or p.means.dtype)
    assert torch.isfinite(p.log_prob(x)).all()
    assert torch.isfinite(p.score(x)).all()
    assert ((p.log_prob(x).double() - log_prob).abs() <= log_prob_error).all()
    assert ((p.score(x).double() - score).norm(dim=1) <= score_error).all()


def assert_same(p, q, x, y, *, log_prob=lambda value: value, score=lambda value: value, moved=0.0):
    """q at y has the log_prob and score that p has at x, mapped, up to rounding."""
    log_prob_error, score_error = rounding(q, q.log_prob(y), torch.float64, moved)
    assert ((q.log_prob(y) - log_prob(p.log_prob(x))).abs() <= 2 * log_prob_error).all()
    assert ((q.score(y) - score(p.score(x))).norm(dim=1) <= 2 * score_error).all()


@st.composite
def mixtures_and_points(draw):
    """A mixture and points on a dyadic lattice, which shifts by whole numbers reach without rounding."""
    dim, n_components = draw(st.integers(1, 4)), draw(st.integers(1, 5))

    def numbers(low, high, *shape):
        size = math.prod(shape)
        whole = draw(st.lists(st.integers(64 * low, 64 * high), min_size=size, max_size=size))
        return torch.tensor(whole, dtype=torch.float64).reshape(shape) / 64

    stds = numbers(0, 2, n_components) + 0.125
    weights = numbers(0, 1, n_components)
    weights[draw(st.integers(0, n_components - 1))] += 0.5
    return GaussianMixture(numbers(-5, 5, n_components, dim), stds, weights), numbers(-8, 8, 6, dim)


@pytest.mark.parametrize("dim", [1, 2, 10])
def test_log_prob_agrees_with_scipy(dim):
    p = uneven(dim)
    x = p.means[:2].repeat(20, 1) + 2 * torch.randn(40, dim, generator=seeded(0), dtype=torch.float64)
    normals = [
        scipy.stats.multivariate_normal(mean, std**2 * np.eye(dim)).logpdf(x.numpy())
        for mean, std in zip(p.means.numpy(), p.stds.numpy(), strict=True)
    ]
    expected = torch.from_numpy(scipy.special.logsumexp(normals, axis=0, b=p.weights.numpy()[:, None]))
    # SciPy rounds as much as we do.
    assert ((p.log_prob(x) - expected).abs() <= 2 * rounding(p, expected, torch.float64)[0]).all()


@pytest.mark.parametrize("dim", [1, 2, 10])
def test_score_is_the_gradient_of_log_prob(dim):
    p = uneven(dim)
    x = (p.sample(50, seeded(1)) + torch.randn(50, dim, generator=seeded(2), dtype=torch.float64)).requires_grad_()
    (gradient,) = torch.autograd.grad(p.log_prob(x).sum(), x)
    error = rounding(p, p.log_prob(x).detach(), torch.float64)[1]
    assert ((p.score(x) - gradient).detach().norm(dim=1) <= 2 * error).all()


@pytest.mark.parametrize("dim", [1, 2, 10])
def test_score_agrees_with_central_differences(dim):
    p = uneven(dim)
    x = p.sample(20, seeded(3))
    step = 1e-5
    steps = step * torch.eye(dim, dtype=x.dtype)
    differences = torch.stack([(p.log_prob(x + s) - p.log_prob(x - s)) / (2 * step) for s in steps], 1)
    # Truncation step²·|third derivative|/6, some 1e-10·(7/σ)³/6 ≤ 3e-7 at σ = 0.3; rounding 2e-16·Q/step ≤ 1e-9.
    torch.testing.assert_close(p.score(x), differences, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 2, 10])
def test_one_component_is_the_gaussian(dim, dtype):
    mean = torch.randn(1, dim, generator=seeded(4), dtype=dtype)
    std = torch.tensor(0.7, dtype=dtype)
    x = mean + torch.randn(30, dim, generator=seeded(5), dtype=dtype)
    p = GaussianMixture(mean, std)
    z = (x.double() - mean.double()) / std.double()
    expected = -0.5 * z.square().sum(1) - dim * math.log(std.double().item() * math.sqrt(2 * math.pi))
    assert ((p.log_prob(x).double() - expected).abs() <= rounding(p, expected, dtype)[0]).all()
    # One difference, one square, one quotient and one product: a few roundings, however far x is.
    torch.testing.assert_close(p.score(x).double(), -z / std.double(), rtol=6 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 2, 10])
def test_score_is_right_forty_standard_deviations_out(dim, dtype):
    p = uneven(dim, dtype)
    away = torch.nn.functional.normalize(torch.randn(6, dim, generator=seeded(6), dtype=torch.float64), dim=1).to(dtype)
    x = torch.cat([mean + 40 * std * away for mean, std in zip(p.means, p.stds, strict=True)])
    assert_right(p, x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_score_is_right_where_every_density_underflows(dtype):
    p = GaussianMixture(torch.tensor([[-1.0], [1.0]], dtype=dtype), 0.25, torch.tensor([1.0, 3.0], dtype=dtype))
    x = torch.tensor([[-60.0], [-11.0], [0.0], [11.0], [60.0]], dtype=dtype)
    assert p.log_prob(x).exp()[[0, 1, 3, 4]].eq(0).all()
    # At ±11 and ±60 one component is alone; at 0 the shares are 1 to 3, and the pulls ∓16.
    expected = torch.tensor([59 * 16.0, 10 * 16.0, 8.0, -10 * 16.0, -59 * 16.0], dtype=dtype)[:, None]
    torch.testing.assert_close(p.score(x), expected, rtol=20 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 2, 10])
def test_log_prob_and_score_are_right_in_the_bulk(dim, dtype):
    p = uneven(dim, dtype)
    assert_right(p, p.sample(200, seeded(7)))


def test_a_component_of_weight_zero_changes_nothing():
    p = GaussianMixture([[0.0, 0.0], [3.0, 1.0]], [1.0, 0.5], [0.25, 0.75])
    q = GaussianMixture([[0.0, 0.0], [3.0, 1.0], [1.0, 1.0]], [1.0, 0.5, 0.1], [0.25, 0.75, 0.0])
    x = torch.cat([q.means, 40 + q.means, q.sample(20, seeded(8))])
    torch.testing.assert_close(q.log_prob(x), p.log_prob(x), rtol=0, atol=0)
    torch.testing.assert_close(q.score(x), p.score(x), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 2, 10])
def test_a_shift_of_everything_by_a_thousand_is_right_for_the_rounded_inputs(dim, dtype):
    p = uneven(dim, dtype)
    x = p.sample(100, seeded(9))
    assert_right(GaussianMixture(p.means + 1e3, p.stds, p.weights), x + 1e3)


@pytest.mark.parametrize("dim", [1, 2, 10])
def test_a_shift_of_everything_by_a_thousand_changes_nothing_in_float64(dim):
    p = uneven(dim)
    x = p.sample(100, seeded(10))
    moved = GaussianMixture(p.means + 1e3, p.stds, p.weights)
    # The shift rounds each input by 6e-14; scores of some 10 and curvatures of some 100 (σ = 0.3) turn that into 1e-11.
    torch.testing.assert_close(moved.log_prob(x + 1e3), p.log_prob(x), rtol=0, atol=1e-10)
    torch.testing.assert_close(moved.score(x + 1e3), p.score(x), rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 2, 10])
def test_modes_a_thousand_apart_are_each_as_right_as_their_inputs(dim, dtype):
    means = torch.zeros(3, dim, dtype=dtype)
    means[:, 0] = torch.tensor([-500.0, 0.0, 500.0])
    p = GaussianMixture(means, torch.tensor([0.3, 0.1, 1.0]), [0.2, 0.5, 0.3])
    x = p.sample(300, seeded(25))
    log_prob, score = reference(p, x)
    # A coordinate of up to 1000, seen from the mixture's middle, is rounded by as much as one of the inputs may be.
    log_prob_error, score_error = rounding(p, log_prob, dtype, moved=1000 * torch.finfo(dtype).eps)
    assert ((p.log_prob(x).double() - log_prob).abs() <= log_prob_error).all()
    assert ((p.score(x).double() - score).norm(dim=1) <= score_error).all()
    assert p.components(x).tolist() == torch.cdist(x, means).argmin(1).tolist()


@pytest.mark.parametrize("block", [1, 9, 64, 1000])
def test_block_boundaries_do_not_show(monkeypatch, block):
    p = uneven(3)
    x = p.sample(101, seeded(11))
    whole = p.log_prob(x), p.score(x), p.components(x)
    monkeypatch.setattr(mixtures, "_BLOCK", block)
    for blocked, expected in zip((p.log_prob(x), p.score(x), p.components(x)), whole, strict=True):
        # The order of a sum over four components may differ between layouts, nothing else.
        torch.testing.assert_close(blocked, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("method", ["log_prob", "score", "components"])
def test_no_work_array_outgrows_a_block(monkeypatch, method):
    class Largest(TorchDispatchMode):
        size = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                self.size = max(self.size, out.numel())
            return out

    monkeypatch.setattr(mixtures, "_BLOCK", 1200)
    p = GaussianMixture(torch.randn(100, 2, generator=seeded(12)), 1.0)
    x = torch.randn(500, 2, generator=seeded(13))
    with Largest() as largest:
        getattr(p, method)(x)
    assert largest.size <= 1200


@pytest.mark.parametrize("method", ["log_prob", "score", "components"])
def test_no_points_give_no_rows(method):
    assert len(getattr(uneven(2), method)(torch.empty(0, 2))) == 0


def test_components_are_the_most_responsible_ones():
    p = GaussianMixture([[-2.0], [2.0], [0.0]], [0.5, 1.0, 0.5], [0.5, 0.5, 0.0])
    # The third has no weight; at 0 the wider of the other two is 2 against 4 stds away.
    assert p.components(torch.tensor([[-2.0], [0.0], [2.0], [40.0], [-2.5]])).tolist() == [0, 1, 1, 1, 0]
    assert p.components(torch.zeros(1, 1)).dtype == torch.int64


def test_weight_and_width_both_decide_the_component():
    x = torch.zeros(1, 1)
    assert GaussianMixture([[-1.0], [1.0]], 1.0, [0.6, 0.4]).components(x).item() == 0
    assert GaussianMixture([[-1.0], [1.0]], 1.0, [0.4, 0.6]).components(x).item() == 1
    # Same centre: the narrow one is higher, by σ⁻ᵈ.
    assert GaussianMixture([[0.0], [0.0]], [1.0, 0.5], [0.6, 0.4]).components(x).item() == 1
    assert GaussianMixture([[0.0], [0.0]], [1.0, 0.5], [0.7, 0.3]).components(x).item() == 0


@pytest.mark.parametrize(("dim", "dtype"), [(1, torch.float32), (2, torch.float64), (3, torch.float32)])
def test_sample_follows_weights_means_and_stds(dim, dtype):
    means = 10 * torch.arange(3, dtype=dtype)[:, None] * torch.ones(dim, dtype=dtype)
    p = GaussianMixture(means, torch.tensor([0.5, 1.0, 0.1]), [0.5, 0.2, 0.3])
    n = 40_000
    x = p.sample(n, seeded(14))
    assert x.shape == (n, dim)
    assert x.dtype == dtype
    nearest = (x - means[:, None]).norm(dim=2).argmin(0)
    for k in range(3):
        weight, std = p.weights[k].item(), p.stds[k].item()
        own = x[nearest == k].double()
        assert abs(len(own) / n - weight) <= 5 * math.sqrt(weight * (1 - weight) / n)
        torch.testing.assert_close(own.mean(0), means[k].double(), rtol=0, atol=5 * std / math.sqrt(len(own)))
        covariance = own.T.cov().reshape(dim, dim)
        # A variance has standard error σ²√(2/n), a covariance of independent coordinates σ²/√n.
        error = std**2 * (1 + (math.sqrt(2) - 1) * torch.eye(dim, dtype=torch.float64)) / math.sqrt(len(own))
        assert ((covariance - std**2 * torch.eye(dim)).abs() <= 5 * error).all()


def test_sample_is_one_law_with_log_prob():
    p = GaussianMixture([[-1.0], [0.5]], [0.3, 1.2], [0.3, 0.7])
    edges = torch.linspace(-3.5, 4.5, 33, dtype=torch.float64)
    fine = torch.linspace(-3.5, 4.5, 32 * 20 + 1, dtype=torch.float64)
    shares = scipy.integrate.simpson(p.log_prob(fine[:, None]).exp().unfold(0, 21, 20).numpy(), dx=0.0125)
    n = 50_000
    counts = torch.histogram(p.sample(n, seeded(15))[:, 0].double(), edges)[0].numpy()
    observed, expected = np.append(counts, n - counts.sum()), n * np.append(shares, 1 - shares.sum())
    assert scipy.stats.chisquare(observed, expected).pvalue > FIVE_SIGMA


def test_sample_never_draws_a_component_of_weight_zero():
    x = GaussianMixture([[0.0], [100.0]], 1.0, [1.0, 0.0]).sample(5000, seeded(16))
    assert x.max() < 50


def test_sample_is_reproduced_by_its_generator_alone():
    p = uneven(2)
    before = torch.get_rng_state()
    first, again, other = p.sample(10, seeded(17)), p.sample(10, seeded(17)), p.sample(10, seeded(18))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_sample_without_a_generator_follows_the_global_seed():
    p = uneven(2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = p.sample(10), p.sample(10)
        torch.manual_seed(0)
        assert torch.equal(p.sample(10), first)
    assert not torch.equal(first, second)


def test_smoothed_adds_variances_and_keeps_the_rest():
    p = uneven(2)
    q = p.smoothed(0.4)
    torch.testing.assert_close(q.stds, (p.stds**2 + 0.16).sqrt(), rtol=1e-15, atol=0)
    assert torch.equal(q.means, p.means)
    torch.testing.assert_close(q.weights, p.weights, rtol=1e-15, atol=0)
    assert q.means.dtype == q.stds.dtype == q.weights.dtype == torch.float64


def test_smoothing_leaves_the_original_alone():
    p = uneven(2)
    before = p.stds.clone()
    p.smoothed(1.0)
    assert torch.equal(p.stds, before)


def test_smoothing_twice_is_smoothing_once_by_the_hypotenuse():
    p = uneven(2)
    torch.testing.assert_close(p.smoothed(0.3).smoothed(0.4).stds, p.smoothed(0.5).stds, rtol=1e-15, atol=0)


@pytest.mark.parametrize("direction", [(1.0, 0.0), (0.6, 0.8), (0.0, 1.0)])
def test_smoothed_is_the_law_of_points_with_noise_added(direction):
    p = GaussianMixture([[-1.0, 0.0], [1.0, 2.0]], [0.2, 0.6], [0.3, 0.7])
    sigma, n = 0.5, 20_000
    noisy = p.sample(n, seeded(19)) + sigma * torch.randn(n, 2, generator=seeded(20))
    direction = torch.tensor(direction)
    q = p.smoothed(sigma)
    centres, stds, weights = (q.means @ direction).numpy(), q.stds.numpy(), q.weights.numpy()

    def cumulative(values):
        return (weights * scipy.stats.norm.cdf(values[..., None], centres, stds)).sum(-1)

    assert scipy.stats.kstest((noisy @ direction).numpy(), cumulative).pvalue > FIVE_SIGMA


def test_the_mixture_has_the_dtype_of_its_means():
    assert GaussianMixture([[0, 1]], 1).means.dtype == torch.float32
    p = GaussianMixture(torch.zeros(2, 1, dtype=torch.float64), torch.ones(2), torch.ones(2))
    assert {p.means.dtype, p.stds.dtype, p.weights.dtype, p.sample(3, seeded(0)).dtype} == {torch.float64}
    p = GaussianMixture(torch.zeros(2, 1), torch.ones(2).double(), np.ones(2))
    assert {p.means.dtype, p.stds.dtype, p.weights.dtype, p.sample(3, seeded(0)).dtype} == {torch.float32}


@pytest.mark.parametrize("stds", [0.2, [0.2], np.array([0.2])])
def test_python_numbers_are_not_rounded_to_float32_on_their_way_into_a_float64_mixture(stds):
    p = GaussianMixture(torch.zeros(1, 1, dtype=torch.float64), stds)
    assert p.stds.item() == 0.2


def test_python_weights_are_not_rounded_to_float32_on_their_way_into_a_float64_mixture():
    p = GaussianMixture(torch.zeros(2, 1, dtype=torch.float64), 1.0, [0.1, 0.9])
    torch.testing.assert_close(p.weights, torch.tensor([0.1, 0.9], dtype=torch.float64), rtol=1e-15, atol=0)


@pytest.mark.parametrize("of_mixture", DTYPES)
@pytest.mark.parametrize("of_points", DTYPES)
def test_the_wider_of_two_dtypes_wins(of_mixture, of_points):
    p = uneven(2, of_mixture)
    x = uneven(2).sample(20, seeded(21)).to(of_points)
    wider = torch.promote_types(of_mixture, of_points)
    assert p.log_prob(x).dtype == p.score(x).dtype == wider
    assert_right(p, x, wider)


def test_weights_are_normalised_and_equal_when_left_out():
    assert GaussianMixture([[0.0], [1.0]], 1.0, [1.0, 3.0]).weights.tolist() == [0.25, 0.75]
    assert GaussianMixture([[0.0], [1.0]], 1.0).weights.tolist() == [0.5, 0.5]


def test_large_weights_are_normalised_too():
    p = GaussianMixture([[0.0], [1.0]], 1.0, [3e38, 3e38])
    assert p.weights.tolist() == [0.5, 0.5]


def test_one_std_holds_for_every_component():
    p = GaussianMixture([[0.0], [1.0], [2.0]], 0.5)
    assert p.stds.tolist() == [0.5, 0.5, 0.5]
    assert p.dim == 1


def test_the_inputs_stay_as_they_were():
    means, stds, weights = torch.zeros(2, 1), torch.ones(2), torch.tensor([1.0, 3.0])
    p = GaussianMixture(means, stds, weights)
    p.smoothed(1.0).score(torch.zeros(3, 1))
    assert means.eq(0).all()
    assert stds.eq(1).all()
    assert weights.tolist() == [1.0, 3.0]


@pytest.mark.parametrize("method", ["log_prob", "score"])
def test_autograd_flows_through(method):
    p = uneven(2)
    x = p.sample(5, seeded(22)).requires_grad_()
    assert torch.autograd.gradcheck(getattr(p, method), (x,))


def test_a_score_that_is_differentiated_is_the_hessian_of_log_prob():
    p = uneven(2)
    x = p.sample(1, seeded(23))
    jacobian = torch.autograd.functional.jacobian(p.score, x)[0, :, 0]
    hessian = torch.autograd.functional.hessian(lambda point: p.log_prob(point).sum(), x)[0, :, 0]
    torch.testing.assert_close(jacobian, hessian, rtol=1e-10, atol=1e-10)


@properties
@given(mixtures_and_points(), st.integers(-1000, 1000))
def test_translation(case, shift):
    p, x = case
    assert_same(p, GaussianMixture(p.means + shift, p.stds, p.weights), x, x + shift)


@properties
@given(mixtures_and_points(), st.floats(0.1, 10))
def test_scaling(case, a):
    p, x = case
    scaled = GaussianMixture(a * p.means, a * p.stds, p.weights)
    moved = 13 * a * 2.2e-16  # the products round offsets of up to 13a, and stds by as small a part
    assert_same(p, scaled, x, a * x, log_prob=lambda v: v - p.dim * math.log(a), score=lambda v: v / a, moved=moved)


@properties
@given(mixtures_and_points(), st.integers(0, 2**31))
def test_rotation(case, seed):
    p, x = case
    turn = torch.linalg.qr(torch.randn(p.dim, p.dim, generator=seeded(seed), dtype=torch.float64))[0]
    turned = GaussianMixture(p.means @ turn, p.stds, p.weights)
    moved = 1e-14  # four products of up to 8, each rounded, and a turn that is orthogonal to as much
    assert_same(p, turned, x, x @ turn, score=lambda v: v @ turn, moved=moved)


@properties
@given(mixtures_and_points(), st.randoms(use_true_random=False))
def test_permutation_of_components(case, random):
    p, x = case
    order = random.sample(range(len(p.means)), len(p.means))
    assert_same(p, GaussianMixture(p.means[order], p.stds[order], p.weights[order]), x, x)


@properties
@given(mixtures_and_points(), st.floats(0, 1), st.data())
def test_splitting_a_component_in_two_changes_nothing(case, share, data):
    p, x = case
    k = data.draw(st.integers(0, len(p.means) - 1))
    weights = torch.cat([p.weights, (1 - share) * p.weights[k : k + 1]])
    weights[k] *= share
    split = GaussianMixture(torch.cat([p.means, p.means[k : k + 1]]), torch.cat([p.stds, p.stds[k : k + 1]]), weights)
    log_prob_error, score_error = rounding(p, p.log_prob(x), torch.float64)
    assert ((split.log_prob(x) - p.log_prob(x)).abs() <= 2 * log_prob_error).all()
    assert ((split.score(x) - p.score(x)).norm(dim=1) <= 2 * score_error).all()


@properties
@given(mixtures_and_points())
def test_one_component_of_any_mixture_is_the_gaussian(case):
    p, x = case
    one = GaussianMixture(p.means[:1], p.stds[:1])
    torch.testing.assert_close(one.score(x), (p.means[0] - x) / p.stds[0] ** 2, rtol=2e-15, atol=0)
    normal = torch.distributions.Normal(p.means[0], p.stds[0])
    torch.testing.assert_close(one.log_prob(x), normal.log_prob(x).sum(1), rtol=1e-14, atol=1e-14)


@properties
@given(mixtures_and_points())
def test_log_prob_and_score_are_right_for_any_mixture(case):
    assert_right(*case)


def spacing(points):
    return (points[1:] - points[:-1]).norm(dim=1)


def test_two_moons_are_two_half_circles():
    p = two_moons(60, std=0.2)
    assert p.means.shape == (60, 2)
    assert p.stds.unique().tolist() == pytest.approx([0.2])
    assert len(p.weights.unique()) == 1
    upper, lower = p.means[:30] - torch.tensor([-0.5, -0.25]), p.means[30:] - torch.tensor([0.5, 0.25])
    for moon in (upper, lower):
        torch.testing.assert_close(moon.norm(dim=1), torch.ones(30), rtol=1e-6, atol=0)
        # Coordinates of up to 1.5 are rounded by 6e-8, gaps are 0.1.
        assert spacing(moon).max() <= spacing(moon).min() * (1 + 1e-5)
        assert (moon[[0, -1], 0].abs() - 1).abs().max() <= 1e-6
    assert upper[:, 1].min() >= -1e-6
    assert lower[:, 1].max() <= 1e-6
    # Interleaved: the tip of each lies inside the other's circle.
    assert (p.means[:30] - torch.tensor([0.5, 0.25])).norm(dim=1).min() < 0.6
    assert (p.means[30:] - torch.tensor([-0.5, -0.25])).norm(dim=1).min() < 0.6


@pytest.mark.parametrize(("n_components", "turns"), [(60, 1.5), (2, 1.0), (400, 2.5)])
def test_swiss_roll_leads_from_one_half_to_two_at_even_spacing(n_components, turns):
    p = swiss_roll(n_components, std=0.1, turns=turns)
    assert p.means.shape == (n_components, 2)
    assert p.stds.unique().tolist() == pytest.approx([0.1])
    x = p.means.double()
    radius = x.norm(dim=1)
    # float32 rounds coordinates of up to 2 by 1.2e-7.
    assert radius[0].item() == pytest.approx(0.5, abs=1e-6)
    assert radius[-1].item() == pytest.approx(2, abs=1e-6)
    assert (radius.diff() > 0).all()
    total = 2 * math.pi * turns
    turned = total * (radius - 0.5) / 1.5
    torch.testing.assert_close(x, torch.stack([radius * turned.cos(), radius * turned.sin()], 1), rtol=0, atol=1e-5)
    lengths = [
        scipy.integrate.quad(lambda r: math.hypot(1, r * total / 1.5), low, high)[0]
        for low, high in zip(radius[:-1].tolist(), radius[1:].tolist(), strict=True)
    ]
    # Equal to a hundredth: the eye sees no unevenness, and a curve resolved by 4096 points can keep that.
    assert max(lengths) <= 1.01 * min(lengths)


@pytest.mark.parametrize(("n_cells", "n_per_side"), [(4, 4), (3, 2), (2, 1)])
def test_checkerboard_fills_the_dark_cells(n_cells, n_per_side):
    p = checkerboard(n_cells, n_per_side, std=0.05)
    n_dark = (n_cells**2 + 1) // 2
    assert p.means.shape == (n_dark * n_per_side**2, 2)
    assert p.stds.unique().tolist() == pytest.approx([0.05])
    assert len(p.weights.unique()) == 1
    cell = ((p.means.double() + 2) * n_cells / 4).floor().long()
    assert cell.min() == 0
    assert cell.max() == n_cells - 1
    assert (cell.sum(1) % 2 == 0).all()
    # In each cell a centred grid of n_per_side² points.
    within = (p.means.double() + 2) * n_cells / 4 - cell
    marks = (torch.arange(n_per_side, dtype=torch.float64) + 0.5) / n_per_side
    expected = torch.cartesian_prod(marks, marks)
    for dark in cell.unique(dim=0):
        found = within[(cell == dark).all(1)]
        assert len(found) == n_per_side**2
        assert torch.cdist(found, expected).min(1).values.max() < 1e-5
        assert torch.cdist(found, expected).min(0).values.max() < 1e-5


def test_rings_are_circles_around_the_origin():
    p = rings(radii=(0.5, 1.5, 3.0), n_components=20, std=0.07)
    assert p.means.shape == (60, 2)
    assert p.stds.unique().tolist() == pytest.approx([0.07])
    for radius, ring in zip((0.5, 1.5, 3.0), p.means.double().split(20), strict=True):
        torch.testing.assert_close(ring.norm(dim=1), torch.full((20,), radius, dtype=torch.float64), rtol=1e-6, atol=0)
        chord = 2 * radius * math.sin(math.pi / 20)
        assert spacing(torch.cat([ring, ring[:1]])).tolist() == pytest.approx([chord] * 20, rel=1e-5)


def test_one_ring_of_eight_components_is_eight_modes():
    p = rings(radii=[2.0], n_components=8, std=0.1)
    # A neighbour 15 stds away pulls by e⁻¹¹⁷.
    torch.testing.assert_close(p.score(p.means), torch.zeros(8, 2), rtol=0, atol=1e-6)
    assert p.components(p.means).tolist() == list(range(8))


@pytest.mark.parametrize("make", [two_moons, swiss_roll, checkerboard, rings])
def test_toy_targets_are_mixtures_in_the_plane_with_a_right_score(make):
    p = make()
    assert p.dim == 2
    assert p.means.dtype == torch.float32
    assert len(p.weights.unique()) == 1
    assert_right(p, p.sample(50, seeded(24)))
    assert_right(p, torch.tensor([[30.0, -30.0], [0.0, 0.0]]))


NAN, INF = math.nan, math.inf
PLANE = [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("arguments", "name", "error"),
    [
        (([0.0, 1.0], 1.0), "means", ValueError),
        ((0.0, 1.0), "means", ValueError),
        ((torch.zeros(2, 2, 2), 1.0), "means", ValueError),
        ((torch.zeros(0, 2), 1.0), "means", ValueError),
        ((torch.zeros(2, 0), 1.0), "means", ValueError),
        (([[0.0, NAN]], 1.0), "means", ValueError),
        (([[0.0, INF]], 1.0), "means", ValueError),
        (([[0.0, 1.0], [2.0]], 1.0), "means", TypeError),
        (("means", 1.0), "means", TypeError),
        ((None, 1.0), "means", TypeError),
        (([[1j]], 1.0), "means", TypeError),
        ((PLANE, 0.0), "stds", ValueError),
        ((PLANE, -1.0), "stds", ValueError),
        ((PLANE, [1.0, 0.0]), "stds", ValueError),
        ((PLANE, NAN), "stds", ValueError),
        ((PLANE, [1.0, INF]), "stds", ValueError),
        ((PLANE, [1.0, 1.0, 1.0]), "stds", ValueError),
        ((PLANE, [1.0]), "stds", ValueError),
        ((PLANE, [[1.0], [1.0]]), "stds", ValueError),
        ((PLANE, "wide"), "stds", TypeError),
        ((PLANE, None), "stds", TypeError),
        ((PLANE, True), "stds", TypeError),
        ((PLANE, 1.0, [1.0]), "weights", ValueError),
        ((PLANE, 1.0, 1.0), "weights", ValueError),
        ((PLANE, 1.0, [[1.0, 1.0]]), "weights", ValueError),
        ((PLANE, 1.0, [1.0, -0.1]), "weights", ValueError),
        ((PLANE, 1.0, [0.0, 0.0]), "weights", ValueError),
        ((PLANE, 1.0, [1.0, NAN]), "weights", ValueError),
        ((PLANE, 1.0, [1.0, INF]), "weights", ValueError),
        ((PLANE, 1.0, "equal"), "weights", TypeError),
    ],
)
def test_a_bad_mixture_is_refused_by_name(arguments, name, error):
    with pytest.raises(error, match=name):
        GaussianMixture(*arguments)


@pytest.mark.parametrize("method", ["log_prob", "score", "components"])
@pytest.mark.parametrize(
    ("x", "error"),
    [
        (torch.zeros(2), ValueError),
        (torch.zeros(3, 1), ValueError),
        (torch.zeros(3, 3), ValueError),
        (torch.zeros(1, 3, 2), ValueError),
        (torch.tensor(0.0), ValueError),
        (torch.zeros(3, 2, dtype=torch.int64), TypeError),
        (torch.zeros(3, 2, dtype=torch.complex64), TypeError),
        (np.zeros((3, 2)), TypeError),
        ([[0.0, 0.0]], TypeError),
        ("x", TypeError),
    ],
)
def test_bad_points_are_refused_by_name(method, x, error):
    with pytest.raises(error, match="x must"):
        getattr(GaussianMixture(PLANE, 1.0), method)(x)


@pytest.mark.parametrize(
    ("n", "error"),
    [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError), ("2", TypeError), (None, TypeError)],
)
def test_a_bad_sample_size_is_refused(n, error):
    with pytest.raises(error, match="n must"):
        GaussianMixture(PLANE, 1.0).sample(n)


@pytest.mark.parametrize("generator", [0, "seed", np.random.default_rng(0)])
def test_a_generator_of_another_kind_is_refused(generator):
    with pytest.raises(TypeError, match="generator"):
        GaussianMixture(PLANE, 1.0).sample(2, generator)


@pytest.mark.parametrize(
    ("sigma", "error"),
    [
        (0, ValueError),
        (-1.0, ValueError),
        (NAN, ValueError),
        (INF, ValueError),
        (True, TypeError),
        ("1", TypeError),
        (torch.ones(2), TypeError),
    ],
)
def test_a_bad_noise_level_is_refused(sigma, error):
    with pytest.raises(error, match="sigma"):
        GaussianMixture(PLANE, 1.0).smoothed(sigma)


@pytest.mark.parametrize(
    ("make", "arguments", "error"),
    [
        (two_moons, {"n_components": 3}, ValueError),
        (two_moons, {"n_components": 0}, ValueError),
        (two_moons, {"n_components": 4.0}, TypeError),
        (two_moons, {"n_components": True}, TypeError),
        (two_moons, {"std": 0.0}, ValueError),
        (two_moons, {"std": NAN}, ValueError),
        (two_moons, {"std": "thin"}, TypeError),
        (swiss_roll, {"n_components": 1}, ValueError),
        (swiss_roll, {"turns": 0.0}, ValueError),
        (swiss_roll, {"turns": INF}, ValueError),
        (swiss_roll, {"turns": True}, TypeError),
        (swiss_roll, {"std": -0.1}, ValueError),
        (checkerboard, {"n_cells": 1}, ValueError),
        (checkerboard, {"n_cells": "4"}, TypeError),
        (checkerboard, {"n_per_side": 0}, ValueError),
        (checkerboard, {"std": 0}, ValueError),
        (rings, {"radii": []}, ValueError),
        (rings, {"radii": 1.0}, ValueError),
        (rings, {"radii": [1.0, 0.0]}, ValueError),
        (rings, {"radii": [1.0, -1.0]}, ValueError),
        (rings, {"radii": [NAN]}, ValueError),
        (rings, {"radii": "one"}, TypeError),
        (rings, {"n_components": 0}, ValueError),
        (rings, {"std": INF}, ValueError),
    ],
)
def test_a_bad_toy_target_is_refused_by_name(make, arguments, error):
    with pytest.raises(error, match=next(iter(arguments))):
        make(**arguments)
