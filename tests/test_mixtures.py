"""The truth of every toy target: densities, scores and samples against SciPy, autograd and extended precision."""

import concurrent.futures
import functools
import math
import multiprocessing
import os
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import sklearn.model_selection
import sklearn.neighbors
import torch
from derivatives import first_and_second
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from notes import _attention, _threads
from notes.mixtures import (
    GaussianMixture,
    checkerboard,
    cross_validated_bandwidth,
    kernel_density,
    leave_one_out_score_matching,
    rings,
    score_matched_bandwidth,
    scott_bandwidth,
    silverman_bandwidth,
    swiss_roll,
    two_moons,
)

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
    monkeypatch.setattr(_attention, "BLOCK", block)
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

    monkeypatch.setattr(_attention, "BLOCK", 1200)
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


def test_sample_of_a_float64_mixture_has_the_digits_of_float64():
    x = GaussianMixture(torch.zeros(1, 1, dtype=torch.float64), 1.0).sample(100, seeded(3))
    assert (x != x.float()).sum() > 90


def test_sample_stays_on_the_device_of_the_mixture():
    p = uneven(2)
    with torch.device("meta"):  # the default of whatever is made without saying where
        assert p.sample(3, seeded(0)).device == torch.device("cpu")


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
    # Worked out in float64 and rounded once: by half of the 1.2e-7 between numbers from 1 to 2.
    angle = np.linspace(0, math.pi, 30)
    exact = np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], 1)
    assert np.abs(p.means[:30].double().numpy() - exact).max() <= 1.001 * 2**-24
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


def test_the_places_on_a_ring_are_rounded_once():
    angle = 2 * math.pi / 20 * np.arange(20)
    exact = np.stack([np.cos(angle), np.sin(angle)], 1)
    # From numbers worked out in float64, by half of the 6e-8 between those from ½ to 1.
    assert np.abs(rings([1.0], 20).means.double().numpy() - exact).max() <= 1.001 * 2**-25


def test_two_moons_of_two_components_are_their_first_tips():
    assert two_moons(2).means.tolist() == [[0.5, -0.25], [-0.5, 0.25]]


def test_one_ring_of_eight_components_is_eight_modes():
    p = rings(radii=[2.0], n_components=8, std=0.1)
    # A neighbour 15 stds away pulls by e⁻¹¹⁷.
    torch.testing.assert_close(p.score(p.means), torch.zeros(8, 2), rtol=0, atol=1e-6)
    assert p.components(p.means).tolist() == list(range(8))


@pytest.mark.parametrize(
    ("make", "defaults"),
    [
        (two_moons, {"n_components": 40, "std": 0.12}),
        (swiss_roll, {"n_components": 60, "std": 0.1, "turns": 1.5}),
        (checkerboard, {"n_cells": 4, "n_per_side": 4, "std": 0.1}),
        (rings, {"radii": [1.0, 2.0], "n_components": 48, "std": 0.1}),
    ],
)
def test_toy_targets_have_sizes_of_their_own_unless_told(make, defaults):
    p, told = make(), make(**defaults)
    assert torch.equal(p.means, told.means)
    assert torch.equal(p.stds, told.stds)


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
        ((torch.zeros(2, 2, 2), 1.0), "means", ValueError),
        ((torch.zeros(0, 2), 1.0), "means", ValueError),
        ((torch.zeros(2, 0), 1.0), "means", ValueError),
        (([[0.0, NAN]], 1.0), "means", ValueError),
        (("means", 1.0), "means", TypeError),
        ((PLANE, 0.0), "stds", ValueError),
        ((PLANE, -1.0), "stds", ValueError),
        ((PLANE, [1.0, 0.0]), "stds", ValueError),
        ((PLANE, NAN), "stds", ValueError),
        ((PLANE, [1.0, 1.0, 1.0]), "stds", ValueError),
        ((PLANE, [[1.0], [1.0]]), "stds", ValueError),
        ((PLANE, "wide"), "stds", TypeError),
        ((PLANE, 1.0, [1.0]), "weights", ValueError),
        ((PLANE, 1.0, [[1.0, 1.0]]), "weights", ValueError),
        ((PLANE, 1.0, [1.0, -0.1]), "weights", ValueError),
        ((PLANE, 1.0, [0.0, 0.0]), "weights", ValueError),
        ((PLANE, 1.0, [1.0, NAN]), "weights", ValueError),
        ((PLANE, 1.0, "equal"), "weights", TypeError),
    ],
)
def test_a_bad_mixture_is_refused_by_name(arguments, name, error):
    with pytest.raises(error, match=f"^{name} must"):
        GaussianMixture(*arguments)


@pytest.mark.parametrize("std", [1e30, 1e-30, 0.0])
def test_a_std_that_is_refused_is_told_with_what_is_taken(std):
    said = rf"^stds must be positive, from 1\.1e-19 to 1\.8e\+19 in torch\.float32, got {re.escape(f'{std:.3g}')}$"
    with pytest.raises(ValueError, match=said):
        GaussianMixture(PLANE, [1.0, std])


def test_a_bandwidth_need_not_be_a_number_of_half_precision():
    data = torch.zeros(2, 1, dtype=torch.float16)
    assert kernel_density(data, 1e-9).score(data + 1).flatten().tolist() == pytest.approx([-1e18, -1e18])


def test_means_that_are_not_finite_are_told_from_those_that_are_too_far_away():
    with pytest.raises(ValueError, match=r"^means must be finite"):
        GaussianMixture([[0.0, INF]], 1.0)
    far = torch.tensor([[1e151]], dtype=torch.float64)
    assert_right(GaussianMixture(far / 10, 1.0), far / 10)
    with pytest.raises(ValueError, match=r"^means must be closer to 0 for stds of 1, got 1e\+151"):
        GaussianMixture(far, 1.0)
    with pytest.raises(ValueError, match=r"^means must be closer to 0 for stds of 1e-100"):
        GaussianMixture(torch.ones(1, 1, dtype=torch.float64) * 1e60, 1e-100)


@pytest.mark.parametrize("method", ["log_prob", "score", "components"])
@pytest.mark.parametrize(
    ("x", "error"),
    [
        (torch.zeros(3, 1), ValueError),
        (np.zeros((3, 2)), TypeError),
    ],
)
def test_bad_points_are_refused_by_name(method, x, error):
    with pytest.raises(error, match=r"^x must"):
        getattr(GaussianMixture(PLANE, 1.0), method)(x)


@pytest.mark.parametrize(
    ("n", "error"),
    [(0, ValueError), ("2", TypeError)],
)
def test_a_bad_sample_size_is_refused(n, error):
    with pytest.raises(error, match=r"^n must"):
        GaussianMixture(PLANE, 1.0).sample(n)


def test_a_generator_of_another_kind_is_refused():
    with pytest.raises(TypeError, match=r"^generator must"):
        GaussianMixture(PLANE, 1.0).sample(2, 0)


@pytest.mark.parametrize(
    ("sigma", "error"),
    [
        (0, ValueError),
        ("1", TypeError),
        (1e20, ValueError),  # whose square float32 does not hold
        (1e300, ValueError),
    ],
)
def test_a_bad_noise_level_is_refused(sigma, error):
    with pytest.raises(error, match=r"^sigma must"):
        GaussianMixture(PLANE, 1.0).smoothed(sigma)


@pytest.mark.parametrize(
    ("make", "arguments", "error"),
    [
        (two_moons, {"n_components": 3}, ValueError),
        (two_moons, {"n_components": 4.0}, TypeError),
        (two_moons, {"std": 0.0}, ValueError),
        (swiss_roll, {"n_components": 1}, ValueError),
        (swiss_roll, {"turns": 0.0}, ValueError),
        (swiss_roll, {"std": -0.1}, ValueError),
        (checkerboard, {"n_cells": 1}, ValueError),
        (checkerboard, {"n_per_side": 0}, ValueError),
        (checkerboard, {"std": 0}, ValueError),
        (rings, {"radii": []}, ValueError),
        (rings, {"radii": 1.0}, ValueError),
        (rings, {"radii": [1.0, 0.0]}, ValueError),
        (rings, {"radii": [NAN]}, ValueError),
        (rings, {"radii": "one"}, TypeError),
        (rings, {"n_components": 0}, ValueError),
        (rings, {"std": INF}, ValueError),
    ],
)
def test_a_bad_toy_target_is_refused_by_name(make, arguments, error):
    with pytest.raises(error, match=f"^{next(iter(arguments))} must"):
        make(**arguments)


def test_the_least_number_of_components_is_named():
    for make in (two_moons, swiss_roll):
        with pytest.raises(ValueError, match=r"^n_components must be at least 2, got 1"):
            make(n_components=1)


def cloud(n, dim, dtype=torch.float64):
    """Data of two clusters of different widths."""
    p = GaussianMixture(torch.stack([torch.zeros(dim), torch.full((dim,), 1.5)]).double(), [0.3, 0.8], [0.3, 0.7])
    return p.sample(n, seeded(100 + dim)).to(dtype)


def brute_force_log_density(data, bandwidth, x):
    """A kernel density's logarithm from its definition, in NumPy."""
    data, x = data.double().numpy(), x.double().numpy()
    squared = ((x[:, None] - data) ** 2).sum(2)
    dim = data.shape[1]
    exponents = scipy.special.logsumexp(-squared / (2 * bandwidth**2), axis=1)
    return exponents - math.log(len(data)) - dim * math.log(bandwidth) - dim / 2 * math.log(2 * math.pi)


def test_a_kernel_density_is_a_mixture_of_one_component_a_datum():
    data = cloud(300, 3)
    p = kernel_density(data, 0.25)
    assert isinstance(p, GaussianMixture)
    assert torch.equal(p.means, data)
    assert torch.equal(p.stds, torch.full((300,), 0.25, dtype=torch.float64))
    torch.testing.assert_close(p.weights, torch.full((300,), 1 / 300, dtype=torch.float64), rtol=1e-14, atol=0)
    data.zero_()
    assert p.means.abs().max() > 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_kernel_density_has_the_dtype_of_its_data(dtype):
    p = kernel_density(cloud(5, 2, dtype), torch.tensor(0.5))
    assert p.means.dtype == p.stds.dtype == p.sample(3, seeded(0)).dtype == dtype
    assert p.stds.tolist() == [0.5] * 5


@pytest.mark.parametrize("bandwidth", [0.05, 0.4, 2.0])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_kernel_log_density_agrees_with_a_sum_over_the_data(dim, bandwidth):
    data = cloud(250, dim)
    x = torch.cat([cloud(50, dim) + 0.1, data[:20], data[:20] + 40 * bandwidth])
    expected = torch.from_numpy(brute_force_log_density(data, bandwidth, x))
    torch.testing.assert_close(kernel_density(data, bandwidth).log_prob(x), expected, rtol=1e-13, atol=1e-8)


@pytest.mark.parametrize("bandwidth", [0.1, 0.5])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_kernel_log_density_agrees_with_scipy(dim, bandwidth):
    data = cloud(200, dim).numpy()
    # SciPy's kernel carries the covariance of the data: with data of covariance I it is ours.
    covariance = np.cov(data.T).reshape(dim, dim)
    white = (data - data.mean(0)) @ np.linalg.inv(np.linalg.cholesky(covariance)).T
    theirs = scipy.stats.gaussian_kde(white.T, bw_method=bandwidth)
    np.testing.assert_allclose(theirs.covariance, bandwidth**2 * np.eye(dim), rtol=0, atol=1e-12)
    x = torch.from_numpy(white[:100] + 0.3)
    ours = kernel_density(torch.from_numpy(white), bandwidth).log_prob(x)
    torch.testing.assert_close(ours, torch.from_numpy(theirs.logpdf(x.numpy().T)), rtol=0, atol=1e-8)


@pytest.mark.parametrize("bandwidth", [0.1, 0.5])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_kernel_log_density_agrees_with_scikit_learn_near_the_data(dim, bandwidth):
    data = cloud(200, dim)
    theirs = sklearn.neighbors.KernelDensity(bandwidth=bandwidth, kernel="gaussian", atol=0, rtol=0).fit(data.numpy())
    x = data[:100] + bandwidth
    expected = torch.from_numpy(theirs.score_samples(x.numpy()))
    torch.testing.assert_close(kernel_density(data, bandwidth).log_prob(x), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_kernel_density_integrates_to_one(dim):
    bandwidth = 0.3
    data = torch.rand(7, dim, generator=seeded(30), dtype=torch.float64)
    # A sum over spacings of h/2 is a Gaussian's integral to e^{−8π²}; the box ends 10 bandwidths outside.
    axis = torch.arange(-3, 4, bandwidth / 2, dtype=torch.float64)
    x = torch.stack(torch.meshgrid(*[axis] * dim, indexing="ij"), -1).reshape(-1, dim)
    total = kernel_density(data, bandwidth).log_prob(x).exp().sum().item() * (bandwidth / 2) ** dim
    # With 1/h in place of 1/hᵈ it would be h^(d−1).
    assert total == pytest.approx(1, abs=1e-10)


def test_a_kernel_density_is_the_law_of_a_datum_with_noise_added():
    data, bandwidth, n = cloud(40, 1), 0.2, 20_000
    x = kernel_density(data, bandwidth).sample(n, seeded(31))[:, 0].numpy()

    def cumulative(values):
        return scipy.stats.norm.cdf(values[..., None], data[:, 0].numpy(), bandwidth).mean(-1)

    assert scipy.stats.kstest(x, cumulative).pvalue > FIVE_SIGMA


def attended(monkeypatch):
    """The calls of fused attention from now on, in a list that grows."""
    calls = []
    fused = torch.nn.functional.scaled_dot_product_attention

    def recorded(query, key, value, **kwargs):
        calls.append(query.dtype)
        return fused(query, key, value, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", recorded)
    return calls


def attention_dtypes(monkeypatch):
    """The dtypes in which attention is taken from now on, fused or not, in a list that grows."""
    taken = []
    for name in ("_by_columns", "_fused"):
        attention = getattr(_attention, name)
        spy = lambda keys, *more, attention=attention: taken.append(keys.dtype) or attention(keys, *more)  # noqa: E731
        monkeypatch.setattr(_attention, name, spy)
    return taken


def root_mean_square(field):
    return field.double().square().sum(1).mean().sqrt().item()


def attention_error(p, x, score, dtype):
    """How far rounding of the logits, sums of up to L = (|x| + R) R/σ² around the middle, may move a row of the score.

    Each logit is a sum of d + 1 products, so off by (d + 8) ε L; so are the responsibilities, twice; and with them a
    mean of means, each at most 2R from it. What is left is the rounding of the difference and of the result.
    """
    means, std, eps = p.means.double(), p.stds[0].double(), torch.finfo(dtype).eps
    centre = p.weights.double() @ means
    radius = (means - centre).norm(dim=1).max()
    distance = (x.double() - centre).norm(dim=1)
    logits = ((distance.max() + radius) * radius / std**2).item()
    exponent = (p.dim + 8) * eps * logits
    inputs = torch.finfo(torch.promote_types(p.means.dtype, x.dtype)).eps
    return 4 * radius / std**2 * exponent + 8 * inputs * (score.norm(dim=1) + (radius + distance) / std**2)


ATTENTION_WEIGHTS = {
    "equal": lambda k: None,
    "unequal": lambda k: torch.rand(k, generator=seeded(32), dtype=torch.float64) ** 4,
    "with zeros": lambda k: (
        (torch.arange(k) >= 600).double() * torch.rand(k, generator=seeded(33), dtype=torch.float64)
    ),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weights", ATTENTION_WEIGHTS)
@pytest.mark.parametrize(("dim", "std"), [(1, 0.1), (2, 0.02), (2, 0.5), (10, 0.7)])
@pytest.mark.parametrize("place", ["near", "40 stds out", "a thousand away"])
def test_attention_is_the_score_by_its_definition_and_by_the_direct_path(monkeypatch, place, dim, std, weights, dtype):
    shift = 1e3 if place == "a thousand away" else 0.0
    means = (cloud(700, dim) + shift).to(dtype)
    x = (cloud(60, dim) + 0.1 + shift).to(dtype)
    if place == "40 stds out":
        away = torch.nn.functional.normalize(torch.randn(60, dim, generator=seeded(34), dtype=torch.float64), dim=1)
        x = (means[600:660] + 40 * std * away).to(dtype)
    p = GaussianMixture(means, std, ATTENTION_WEIGHTS[weights](700))
    calls = attended(monkeypatch)
    score = p.score(x)
    assert len(calls) == 1
    for limit in ("_MANY", "_MANY_THIN"):
        monkeypatch.setattr(_attention, limit, 10**9)
    direct = p.score(x)
    assert len(calls) == 1
    assert score.dtype == direct.dtype == dtype
    expected = reference(p, x)[1]
    # Where the points are stored in float32 the logits are in either precision.
    allowed = attention_error(p, x, expected, calls[0])
    assert ((score.double() - expected).norm(dim=1) <= allowed).all()
    assert ((score.double() - direct.double()).norm(dim=1) <= 2 * allowed).all()
    # What is promised, in root mean square: a tenth of a per cent in float32. In float64 logits of up to 1e5 are off by
    # 1e-10, and a thousand away the inputs are rounded by 1e-13, magnified by 1/σ² = 2500.
    promised = 1e-3 if dtype == torch.float32 else 1e-9
    assert root_mean_square(score - direct) <= promised * root_mean_square(direct)


LAYOUTS = [(3, 40, "_by_columns"), (20, 8, "_by_columns"), (20, 60, "_by_rows"), (20, 127, "_by_rows")]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("dim", "n_components", "layout"), [*LAYOUTS, (20, 128, "_fused"), (3, 600, "_fused")])
def test_every_layout_gives_the_score_and_one_thread_works_on_columns_alone(
    monkeypatch, dim, n_components, layout, dtype
):
    weights = torch.rand(n_components, generator=seeded(36), dtype=torch.float64) ** 4
    p = GaussianMixture(cloud(n_components, dim, dtype), 0.7, weights)
    x, seen = cloud(50, dim, dtype) + 0.1, []

    def spy(name, attention, *given):
        mean = attention(*given)
        return lambda queries: seen.append((name, torch.get_num_threads())) or mean(queries)

    for name in ("_by_columns", "_by_rows", "_fused"):
        monkeypatch.setattr(_attention, name, functools.partial(spy, name, getattr(_attention, name)))
    monkeypatch.setattr(_attention, "BLOCK", 20 * (dim if layout == "_fused" else max(dim, n_components)))
    monkeypatch.setattr(_threads, "_MUCH", 1)  # any work is as much as what threads are worth
    before, expected = torch.get_num_threads(), reference(p, x)[1]
    try:
        torch.set_num_threads(3)
        score = p.score(x)
    finally:
        torch.set_num_threads(before)
    assert {*seen} == {(layout, 1 if layout == "_by_columns" else 3)}
    assert len(seen) == 3  # blocks of 20 of the 50 points
    assert ((score.double() - expected).norm(dim=1) <= attention_error(p, x, expected, dtype)).all()


@pytest.mark.parametrize(("std", "wanted"), [(1.0, torch.float32), (0.01, torch.float64)])
def test_attention_in_float32_widens_where_its_logits_outgrow_float32(monkeypatch, std, wanted):
    data = cloud(500, 2, torch.float32)
    calls = attention_dtypes(monkeypatch)
    x = data[:200] + 0.5 * std
    p = kernel_density(data, std)
    score, expected = p.score(x), reference(p, x)[1]
    assert calls == [wanted]
    # Seen from the middle, points and data of up to 5 are rounded by ε times that, and a difference of them by 6ε/σ²;
    # in the wide bandwidth logits of up to 50 are off by some 10 ε of that.
    eps = torch.finfo(torch.float32).eps
    assert root_mean_square(score - expected) <= (6 * eps / std**2 if std < 1 else 500 * eps)


@pytest.mark.parametrize("n_components", [3, 30, 300])
@pytest.mark.parametrize(("largest", "wanted"), [(1000, torch.float32), (1050, torch.float64)])
def test_attention_widens_by_the_largest_logit_among_the_means(monkeypatch, largest, wanted, n_components):
    # Means around 0 and up to R = 2 away: logits of up to 2R²/σ² at the means themselves.
    means = torch.tensor([-2.0, 0.0, 2.0]).repeat(n_components // 3)[:, None]
    taken = attention_dtypes(monkeypatch)
    score = GaussianMixture(means, math.sqrt(8 / largest)).score(torch.tensor([[0.5], [300.0]]))
    assert taken == [wanted]
    assert score.dtype == torch.float32


@pytest.mark.parametrize("n_components", [8, 30, 300])
@pytest.mark.parametrize(("place", "wanted"), [(-16.0, torch.float32), (30.0, torch.float64)])
def test_attention_widens_by_how_far_the_means_are_from_the_origin(monkeypatch, place, wanted, n_components):
    p = GaussianMixture(cloud(n_components, 1, torch.float32) + place, 1.0)
    taken = attention_dtypes(monkeypatch)
    x = p.sample(500, seeded(35))
    score, expected = p.score(x), reference(p, x)[1]
    assert taken == [wanted]
    # Logits are sums of two products of up to L = |x| |μ|, off by 10 ε of that, and with them a mean of means.
    eps, distance = torch.finfo(wanted).eps, x.abs().max().item()
    rounding = 2 * torch.finfo(torch.float32).eps * distance
    assert ((score.double() - expected).abs() <= 2 * 10 * eps * distance**2 * p.means.std() + rounding).all()


def test_attention_in_float64_has_the_weights_in_float64():
    # At the saddle two pulls of 1/σ² = 1024 cancel, to where a log w rounded in float32, by some 1e-8, would show.
    p = GaussianMixture([[-1.0], [1.0]], 1 / 32, [0.3, 0.7])
    x = torch.tensor([[-math.log(0.7 / 0.3) / (2 * 1023)]])
    expected = reference(p, x)[1]
    assert expected.abs() < 1e-3
    torch.testing.assert_close(p.score(x).double(), expected, rtol=1e-5, atol=0)


def test_points_in_float64_have_float64s_score_of_a_mixture_in_float32():
    p = GaussianMixture([[-1.0], [0.5], [1.0]], 0.5, [0.3, 0.5, 0.2])
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    torch.testing.assert_close(p.score(x), reference(p, x)[1], rtol=1e-13, atol=1e-13)


def test_stds_that_are_given_one_by_one_and_equal_are_held_once():
    assert GaussianMixture(cloud(5, 2), [0.3] * 5).stds.untyped_storage().nbytes() == 8


def test_attention_of_a_point_that_is_not_finite_costs_the_others_nothing():
    data = cloud(500, 2, torch.float32)
    p, x = kernel_density(data, 0.01), data[:50] + 0.005
    expected = p.score(x)
    torch.testing.assert_close(p.score(torch.cat([x, torch.full((1, 2), NAN)]))[:-1], expected, rtol=1e-6, atol=0)


def test_attention_is_as_right_as_its_points_far_away(monkeypatch):
    data = cloud(500, 2, torch.float32)
    x = torch.tensor([[1000.0, 0.0], [0.0, -3000.0], [1e4, 1e4]])
    p = kernel_density(data, 1.0)
    # One rounding of the point, of the difference and of the result; logits of 1e4 in float32 would cost 1e-3 of a
    # mean of up to 4, a tenfold of this.
    calls = attention_dtypes(monkeypatch)
    error = (p.score(x).double() - reference(p, x)[1]).norm(dim=1)
    assert calls == [torch.float32]  # the points do not widen it, since the score grows as their rounding does
    assert (error <= 4 * torch.finfo(torch.float32).eps * x.norm(dim=1)).all()


@pytest.mark.parametrize("scale", [1e-15, 1e-6, 1e6, 1e15])
@pytest.mark.parametrize("dtype", DTYPES)
def test_attention_does_not_depend_on_the_unit_of_length(dtype, scale):
    data, x = cloud(300, 2, dtype), cloud(50, 2, dtype) + 0.1
    expected = kernel_density(data, 0.2).score(x)
    scaled = kernel_density(data * scale, 0.2 * scale).score(x * scale) * scale
    # Inputs of up to 5 rounded once more, over σ² = 0.04; logits of up to 600, rounded.
    atol = (5 / 0.04 + 600 * 4 / 0.04) * torch.finfo(dtype).eps
    torch.testing.assert_close(scaled, expected, rtol=0, atol=atol)


@pytest.mark.parametrize(("n_components", "n_calls"), [(511, 0), (512, 1)])
def test_fused_attention_is_taken_from_512_components_on(monkeypatch, n_components, n_calls):
    calls = attended(monkeypatch)
    p = kernel_density(cloud(n_components, 2), 0.3)
    assert_right(p, cloud(20, 2))
    calls.clear()
    p.score(cloud(20, 2))
    assert len(calls) == n_calls


@pytest.mark.parametrize("other", [0, 77, 199])
def test_components_of_different_widths_are_never_attended(monkeypatch, other):
    calls = attention_dtypes(monkeypatch)
    stds = torch.full((200,), 0.3, dtype=torch.float64)
    stds[other] = 0.6
    p = GaussianMixture(cloud(200, 2), stds)
    assert_right(p, torch.cat([cloud(20, 2), p.means[other : other + 1] + 0.1]))
    assert calls == []


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("of_mixture", DTYPES)
def test_attention_of_two_dtypes_is_in_the_wider(of_mixture, dtype):
    p = kernel_density(cloud(200, 2, of_mixture), 0.3)
    x = (cloud(50, 2) + 0.1).to(dtype)
    score, expected = p.score(x), reference(p, x)[1]
    assert score.dtype == torch.promote_types(of_mixture, dtype)
    assert ((score.double() - expected).norm(dim=1) <= attention_error(p, x, expected, score.dtype)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_attention_of_no_points_is_no_rows(dtype):
    score = kernel_density(cloud(200, 3, dtype), 0.3).score(torch.empty(0, 3, dtype=dtype))
    assert score.shape == (0, 3)
    assert score.dtype == dtype


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_components", [8, 200, 600])
def test_attention_gives_nan_in_the_rows_of_points_that_are_not_finite_alone(monkeypatch, dtype, bad, n_components):
    calls = attention_dtypes(monkeypatch)
    p = kernel_density(cloud(n_components, 2, dtype), 0.3)
    x = cloud(5, 2, dtype)
    expected = p.score(x)
    x[1, 0] = x[3, 1] = bad
    score = p.score(x)
    assert len(calls) == 2
    # float64 in the second call, whatever the first was in.
    torch.testing.assert_close(score[[0, 2, 4]], expected[[0, 2, 4]], rtol=1e-3 * (dtype == torch.float32), atol=1e-11)
    assert not torch.isfinite(score[[1, 3]]).all(1).any()


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # PyTorch's own
def test_attention_leaves_forward_derivatives_to_the_differentiable_path():
    p = kernel_density(cloud(_attention._MANY_THIN, 2), 0.4)
    x = cloud(4, 2)
    direction = torch.ones_like(x)
    value, derivative = torch.func.jvp(p.score, (x,), (direction,))
    reverse = torch.autograd.functional.jacobian(lambda y: p.score(y).sum(0), x)  # each row depends on its own x only
    torch.testing.assert_close(value, p.score(x), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(derivative, (reverse * direction).sum(2).T, rtol=1e-10, atol=1e-10)


def test_attention_leaves_points_with_a_gradient_to_the_differentiable_path(monkeypatch):
    calls = attended(monkeypatch)
    p = kernel_density(cloud(150, 2), 0.3)
    x = cloud(4, 2).requires_grad_()
    score = p.score(x)
    (gradient,) = torch.autograd.grad(p.log_prob(x).sum(), x)
    assert calls == []
    error = rounding(p, p.log_prob(x).detach(), torch.float64)[1]
    assert ((score - gradient).detach().norm(dim=1) <= 2 * error).all()
    assert torch.autograd.gradcheck(p.score, (x[:2].detach().requires_grad_(),))
    # As often as it takes: a fused attention would stop at the first derivative.
    assert torch.autograd.gradgradcheck(p.score, (x[:1].detach().requires_grad_(),))


@pytest.mark.parametrize("dtype", DTYPES)
def test_attention_makes_no_array_of_pairs(monkeypatch, dtype):
    class Largest(TorchDispatchMode):
        size = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, tuple | list) else [out]:
                if isinstance(tensor, torch.Tensor):
                    self.size = max(self.size, tensor.numel())
            return out

    calls = attended(monkeypatch)
    p = kernel_density(cloud(1500, 2, dtype), 0.3)
    x = cloud(2000, 2, dtype)
    with Largest() as largest:
        p.score(x)
    assert len(calls) == 1
    assert largest.size <= 16 * 2000


MANY_POINTS = """
import resource, sys, torch
from notes.mixtures import GaussianMixture, kernel_density

def peak():
    # What getrusage says first counts the parent process in, on Linux.
    try:
        status = open("/proc/self/status").read()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3

p = GaussianMixture([[-1.0, 0.0], [1.0, 0.5]], [0.4, 0.7], [0.4, 0.6])
data, x = (p.sample(n, torch.Generator().manual_seed(n)) for n in (30_000, 20_000))
q = kernel_density(data, float(sys.argv[1]))
q.score(x[:100])
before = peak()
score = q.score(x)
after = peak()
torch.save((data, x, score, after - before), sys.argv[2])
"""


@pytest.mark.parametrize("bandwidth", [0.02, 0.3])
def test_attention_over_30_000_data_at_20_000_points_is_right_and_small(tmp_path, bandwidth):
    # In a process of its own: a peak is of a process's whole life.
    subprocess.run([sys.executable, "-c", MANY_POINTS, str(bandwidth), str(tmp_path / "score.pt")], check=True)
    data, x, score, megabytes = torch.load(tmp_path / "score.pt")
    assert score.dtype == torch.float32
    assert score.shape == (20_000, 2)
    # One array of pairs would be 2400 MB.
    assert megabytes < 400
    some = slice(None, None, 50)
    direct = torch.cat([by_definition(data, bandwidth, rows) for rows in x[some].split(50)])
    assert root_mean_square(score[some] - direct) <= 1e-3 * root_mean_square(direct)
    assert torch.isfinite(score).all()


def by_definition(data, bandwidth, x):
    """A kernel density's score in float64, every difference and every share in sight."""
    offset = data.double() - x.double()[:, None]
    share = (-offset.square().sum(2) / (2 * bandwidth**2)).softmax(1)
    return (share[:, :, None] * offset).sum(1) / bandwidth**2


def rule_by_hand(rule, data):
    m, d = data.shape
    s = math.sqrt(np.var(data.double().numpy(), axis=0, ddof=1).mean())
    return {"scott": s * m ** (-1 / (d + 4)), "silverman": s * (4 / ((d + 2) * m)) ** (1 / (d + 4))}[rule]


RULES = {"scott": scott_bandwidth, "silverman": silverman_bandwidth}


@pytest.mark.parametrize("rule", RULES)
class TestBandwidthRules:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize(("n", "dim"), [(2, 1), (2, 3), (50, 1), (50, 2), (1000, 3), (40, 10)])
    def test_follow_their_formula(self, rule, n, dim, dtype):
        # Dimensions of different spreads, so that a mean of stds is not the root of the mean variance.
        data = cloud(n, dim, dtype) * torch.arange(1, dim + 1, dtype=dtype)
        bandwidth = RULES[rule](data)
        assert type(bandwidth) is float
        assert bandwidth == pytest.approx(rule_by_hand(rule, data), rel=1e-12)

    @pytest.mark.parametrize("scale", [1e-6, 0.25, 3.0, 1e8])
    def test_follow_the_unit_of_length(self, rule, scale):
        data = cloud(60, 2)
        assert RULES[rule](scale * data) == pytest.approx(scale * RULES[rule](data), rel=1e-12)

    def test_do_not_follow_the_origin(self, rule):
        data = (cloud(60, 2) * 1024).round() / 1024  # so that a shift is exact
        assert RULES[rule](data + 1024) == pytest.approx(RULES[rule](data), rel=1e-12)

    def test_in_float32_lose_nothing_to_a_large_mean(self, rule):
        data = (cloud(60, 2, torch.float32) * 1024).round() / 1024
        assert RULES[rule](data + 4096) == pytest.approx(RULES[rule](data), rel=1e-12)

    @pytest.mark.parametrize("data", [torch.ones(1, 2), torch.ones(0, 2)])
    def test_refuse_less_than_two_data(self, rule, data):
        with pytest.raises(ValueError, match="data must have at least 2 rows"):
            RULES[rule](data)

    @pytest.mark.parametrize("n", [2, 7, 1000])
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_refuse_data_without_spread(self, rule, dtype, n):
        with pytest.raises(ValueError, match="data must not all be equal"):
            RULES[rule](torch.full((n, 2), 0.1, dtype=dtype))

    # The variance of 1000 equal float64 numbers is 1e-34, not 0.
    def test_refuse_data_without_spread_in_one_dimension(self, rule):
        with pytest.raises(ValueError, match="data must not all be equal"):
            RULES[rule](torch.full((1000, 1), 0.1, dtype=torch.float64))

    def test_take_data_that_spread_in_one_dimension_only(self, rule):
        data = torch.tensor([[1.0, 0.0], [1.0, 2.0]])
        assert RULES[rule](data) == pytest.approx(2 ** (-1 / 6), rel=1e-12)  # s² = (0 + 2)/2, and both rules are one


@pytest.mark.parametrize(
    "rule",
    [
        scott_bandwidth,
        silverman_bandwidth,
        lambda data: cross_validated_bandwidth(data, [1.0]),
        lambda data: score_matched_bandwidth(data, [1.0]),
    ],
)
def test_the_bandwidth_rules_refuse_differences_that_float64_does_not_hold(rule):
    with pytest.raises(ValueError, match=r"^data must have differences that float64 holds, got -1\.5e\+308 to 1"):
        rule(torch.tensor([[-1.5e308], [1.5e308]], dtype=torch.float64))


def test_the_bandwidth_rules_are_one_in_two_dimensions_and_silvermans_factor_in_one_is_known():
    data = cloud(80, 2)
    assert silverman_bandwidth(data) == pytest.approx(scott_bandwidth(data), rel=1e-14)
    data = cloud(80, 1)
    assert silverman_bandwidth(data) == pytest.approx((4 / 3) ** 0.2 * scott_bandwidth(data), rel=1e-14)
    data = cloud(80, 3)
    assert silverman_bandwidth(data) < 0.98 * scott_bandwidth(data)


def test_the_bandwidth_rules_are_scipys_factors_times_the_std_in_one_dimension():
    data = cloud(80, 1).numpy()
    theirs = scipy.stats.gaussian_kde(data.T)
    std = data.std(ddof=1)
    assert scott_bandwidth(torch.from_numpy(data)) == pytest.approx(theirs.scotts_factor() * std, rel=1e-12)
    assert silverman_bandwidth(torch.from_numpy(data)) == pytest.approx(theirs.silverman_factor() * std, rel=1e-12)


def left_out_likelihood(data, bandwidth):
    """The log-likelihood of each datum given all the others, summed: in NumPy, one at a time."""
    return sum(
        brute_force_log_density(torch.cat([data[:i], data[i + 1 :]]), bandwidth, data[i : i + 1])[0]
        for i in range(len(data))
    )


CHOICES = [cross_validated_bandwidth, score_matched_bandwidth]
FINE = torch.logspace(-2, 1, 151, dtype=torch.float64)  # 4.7 % apart


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "dim"), [(2, 2), (3, 1), (5, 2), (30, 1), (30, 3)])
def test_the_cross_validated_bandwidth_is_the_best_when_each_datum_is_left_out(n, dim, dtype):
    data = cloud(n, dim, dtype)
    likelihoods = [left_out_likelihood(data, h) for h in FINE.tolist()]
    assert 0 < np.argmax(likelihoods) < len(FINE) - 1
    assert cross_validated_bandwidth(data, FINE) == FINE[np.argmax(likelihoods)].item()


def test_the_cross_validated_bandwidth_is_scikit_learns():
    data = cloud(25, 2)
    candidates = [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0]
    search = sklearn.model_selection.GridSearchCV(
        sklearn.neighbors.KernelDensity(), {"bandwidth": candidates}, cv=sklearn.model_selection.LeaveOneOut()
    )
    theirs = search.fit(data.numpy()).best_params_["bandwidth"]
    assert theirs not in (0.1, 1.0)
    assert cross_validated_bandwidth(data, candidates) == theirs


@pytest.mark.parametrize("choose", CHOICES)
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_bandwidth_chosen_for_two_data_is_their_distance_over_the_root_of_the_dimension(choose, dim):
    # −d log h − r²/2h² is largest, and r²/2h⁴ − d/h² is least, at h = r/√d.
    data = torch.zeros(2, dim)
    data[1, 0] = 3.0
    best = 3 / math.sqrt(dim)
    assert choose(data, [0.99 * best, 0.995 * best, best, 1.005 * best, 1.01 * best]) == best


@pytest.mark.parametrize("choose", CHOICES)
def test_the_bandwidth_chosen_for_data_that_all_occur_twice_is_the_least(choose):
    data = cloud(20, 2).repeat(2, 1)
    assert choose(data, [0.3, 1e-6, 0.1, 1.0]) == 1e-6


def test_one_datum_that_occurs_twice_is_weighed_in_the_cross_validated_bandwidth():
    data = cloud(12, 2)
    data = torch.cat([data, data[:1]])
    expected = FINE[np.argmax([left_out_likelihood(data, h) for h in FINE.tolist()])].item()
    assert cross_validated_bandwidth(data, FINE) == expected


@pytest.mark.parametrize("block", [1, 31, 62, 100, 930, 961])
def test_block_boundaries_do_not_show_in_the_cross_validated_bandwidth(monkeypatch, block):
    data = cloud(31, 2)
    expected = FINE[np.argmax([left_out_likelihood(data, h) for h in FINE.tolist()])].item()
    monkeypatch.setattr(_attention, "BLOCK", block)
    assert cross_validated_bandwidth(data, FINE) == expected


@pytest.mark.parametrize("choose", CHOICES)
def test_the_choice_of_a_bandwidth_makes_no_array_above_a_block(monkeypatch, choose):
    class Largest(TorchDispatchMode):
        size = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            self.size = max(self.size, out.numel() if isinstance(out, torch.Tensor) else 0)
            return out

    monkeypatch.setattr(_attention, "BLOCK", 1000)
    with Largest() as largest:
        choose(cloud(130, 2), [0.1, 0.3, 0.5])
    assert 900 <= largest.size <= 1000


@pytest.mark.parametrize("choose", CHOICES)
@pytest.mark.parametrize(
    "candidates", [[0.1, 0.4, 2], (0.1, 0.4, 2.0), np.array([0.1, 0.4, 2.0]), torch.tensor([0.1, 0.4, 2])]
)
def test_the_bandwidth_chosen_is_one_of_the_candidates(choose, candidates):
    bandwidth = choose(cloud(40, 2, torch.float32), candidates)
    assert type(bandwidth) is float
    assert bandwidth == candidates[1]


def test_a_single_candidate_is_the_cross_validated_bandwidth():
    assert cross_validated_bandwidth(cloud(5, 1), [17]) == 17.0


@pytest.mark.parametrize("choose", CHOICES)
def test_the_bandwidth_chosen_does_not_follow_the_origin_of_float64_data(choose):
    data = (cloud(40, 2) * 1024).round() / 1024
    assert choose(data + 2**30, FINE) == choose(data, FINE)


@pytest.mark.parametrize("choose", CHOICES)
@pytest.mark.parametrize("unit", [2.0**-600, 2.0**600])
def test_the_bandwidth_chosen_follows_the_unit_of_length(choose, unit):
    data = cloud(40, 2)
    assert choose(unit * data, [unit * h for h in FINE]) == unit * choose(data, FINE)


EXTREME = [
    1e-100,
    1e100,
    1e-200,  # its square is 0
    1e200,  # its square is infinite
]


@pytest.mark.parametrize("choose", CHOICES)
@pytest.mark.parametrize("extreme", EXTREME)
def test_an_extreme_candidate_is_not_the_bandwidth_chosen(choose, extreme):
    data = cloud(12, 2)
    data = torch.cat([data, data[:1]])
    assert choose(data, [extreme, 0.6]) == 0.6
    assert choose(data, [0.6, extreme]) == 0.6


def left_out_loss(data, bandwidth):
    """Divergence plus half the square of the score of all others at each datum, by autograd of the log-density."""
    n, dim = data.shape
    total = 0
    for m in range(n):
        others, x = torch.cat([data[:m], data[m + 1 :]]), data[m].clone().requires_grad_()
        squared = (x - others).square().sum(1)
        log_density = (-squared / (2 * bandwidth**2)).logsumexp(0)
        (score,) = torch.autograd.grad(log_density, x, create_graph=True)
        slopes = [torch.autograd.grad(score[i], x, retain_graph=True)[0][i] for i in range(dim)]
        total = total + sum(slopes) + 0.5 * score.square().sum()
    return (total / n).item()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "dim"), [(2, 2), (3, 1), (5, 2), (30, 1), (30, 3)])
def test_leave_one_out_score_matching_is_its_definition_by_autograd(n, dim, dtype):
    data, bandwidths = cloud(n, dim, dtype), [0.03, 0.3, 1.0, 10.0]
    loss = leave_one_out_score_matching(data, bandwidths)
    assert loss.dtype == torch.float64
    expected = [left_out_loss(data.double(), h) for h in bandwidths]
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


def test_leave_one_out_score_matching_of_three_data_on_a_line_by_hand():
    # From −1 the others, 1 and 2 off, have the shares 1/(1 + q) and q/(1 + q), q = exp(−3/2h²); from 0 they are even.
    h = 0.8
    q = math.exp(-3 / (2 * h**2))
    end = (1 + 4 * q) / (1 + q) - 0.5 * ((1 + 2 * q) / (1 + q)) ** 2
    expected = (2 * end + 1) / (3 * h**4) - 1 / h**2
    data = torch.tensor([[-1.0], [0.0], [1.0]])
    assert leave_one_out_score_matching(data, [h]).item() == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_leave_one_out_score_matching_does_not_follow_the_origin(dtype):
    data, bandwidths = (cloud(40, 2, dtype) * 1024).round() / 1024, [0.02, 0.3, 2.0]  # so that a shift is exact
    expected = leave_one_out_score_matching(data, bandwidths)
    for shift in (2**10, torch.tensor([2.0**11, -3.0], dtype=dtype)):
        torch.testing.assert_close(leave_one_out_score_matching(data + shift, bandwidths), expected, rtol=1e-12, atol=0)


def test_leave_one_out_score_matching_does_not_follow_the_order_of_the_data():
    data = cloud(40, 2)
    data[0] = 50.0
    loss = leave_one_out_score_matching(data, FINE)
    torch.testing.assert_close(leave_one_out_score_matching(data.flip(0), FINE), loss, rtol=1e-11, atol=0)


@pytest.mark.parametrize("unit", [2.0**-200, 2.0**200])
def test_leave_one_out_score_matching_follows_the_unit_of_length(unit):
    data, bandwidths = cloud(40, 2), torch.tensor([0.1, 0.3, 1.0], dtype=torch.float64)
    loss = leave_one_out_score_matching(unit * data, unit * bandwidths)
    torch.testing.assert_close(unit * loss * unit, leave_one_out_score_matching(data, bandwidths), rtol=1e-13, atol=0)


@pytest.mark.parametrize("width", [1e-200, 1e200])
def test_leave_one_out_score_matching_refuses_a_bandwidth_whose_square_float64_does_not_hold(width):
    with pytest.raises(ValueError, match=r"^bandwidths must be positive, from 1\.5e-154 to 1\.3e\+154"):
        leave_one_out_score_matching(cloud(5, 1), [1.0, width])


@pytest.mark.parametrize("h", [1e-3, 1e-6, 1e-100])
def test_leave_one_out_score_matching_of_data_that_all_occur_twice_is_that_of_sinks(h):
    loss = leave_one_out_score_matching(cloud(10, 3).repeat(2, 1), [h])
    assert loss.item() == pytest.approx(-3 / h**2, rel=1e-12)


def test_leave_one_out_score_matching_of_equal_data_is_that_of_one_gaussian_at_its_mean():
    loss = leave_one_out_score_matching(torch.full((7, 2), 0.1), [0.5, 2.0])
    assert loss.tolist() == [-8.0, -0.5]


def test_leave_one_out_score_matching_is_on_average_half_the_error_of_one_datum_less():
    p, h, sets = GaussianMixture([[0.0]], 1.0), 0.7, 400
    grid = torch.linspace(-8, 8, 201, dtype=torch.float64)[:, None]
    weight = p.log_prob(grid).exp() * (grid[1] - grid[0])
    losses, errors = [], []
    for seed in range(sets):
        data = p.sample(100, seeded(seed)).double()
        floor = (0.5 * data.square() - 1).mean()  # the same sum for the true score, −x: on average −½ E x²
        losses.append(leave_one_out_score_matching(data, [h])[0] - floor)
        errors.append(0.5 * (weight * (kernel_density(data[1:], h).score(grid) + grid).square().sum(1)).sum())
    losses, errors = torch.stack(losses), torch.stack(errors)
    error = (losses - errors).std() / sets**0.5
    assert abs(losses.mean() - errors.mean()) < 5 * error < 0.2 * errors.mean()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "dim"), [(3, 1), (5, 2), (30, 1), (30, 3)])
def test_the_score_matched_bandwidth_has_the_least_loss_when_each_datum_is_left_out(n, dim, dtype):
    data = cloud(n, dim, dtype)
    candidates = FINE[::5]
    losses = [left_out_loss(data.double(), h) for h in candidates.tolist()]
    assert 0 < np.argmin(losses) < len(candidates) - 1
    assert score_matched_bandwidth(data, candidates) == candidates[np.argmin(losses)].item()


@pytest.mark.parametrize("block", [1, 31, 62, 100, 930, 961])
def test_block_boundaries_do_not_show_in_leave_one_out_score_matching(monkeypatch, block):
    data, bandwidths = cloud(31, 2), [0.1, 1.0]
    expected = leave_one_out_score_matching(data, bandwidths)
    monkeypatch.setattr(_attention, "BLOCK", block)
    torch.testing.assert_close(leave_one_out_score_matching(data, bandwidths), expected, rtol=1e-12, atol=0)


def test_data_that_are_differentiated_are_constants_to_the_choice_of_a_bandwidth():
    data = cloud(20, 2).requires_grad_()
    assert not leave_one_out_score_matching(data, [0.3]).requires_grad
    assert score_matched_bandwidth(data, FINE) == score_matched_bandwidth(data.detach(), FINE)
    assert cross_validated_bandwidth(data, FINE) == cross_validated_bandwidth(data.detach(), FINE)


BANDWIDTHS = {
    "kernel_density": lambda data: kernel_density(data, 0.3),
    "scott_bandwidth": scott_bandwidth,
    "silverman_bandwidth": silverman_bandwidth,
    "cross_validated_bandwidth": lambda data: cross_validated_bandwidth(data, [0.1, 0.2]),
    "score_matched_bandwidth": lambda data: score_matched_bandwidth(data, [0.1, 0.2]),
    "leave_one_out_score_matching": lambda data: leave_one_out_score_matching(data, [0.1, 0.2]),
}


@pytest.mark.parametrize("function", BANDWIDTHS.values(), ids=BANDWIDTHS)
@pytest.mark.parametrize(
    ("data", "error"),
    [
        (torch.zeros(3), ValueError),
        (torch.zeros(0, 2), ValueError),
        (torch.tensor([[0.0], [NAN]]), ValueError),
        (np.zeros((3, 2)), TypeError),
    ],
)
def test_bad_data_are_refused_by_every_function_of_a_bandwidth(function, data, error):
    with pytest.raises(error, match=r"^data must"):
        function(data)


def test_a_kernel_density_of_one_datum_is_a_gaussian_and_of_none_is_refused():
    assert_right(kernel_density(torch.tensor([[1.0, 2.0]]), 0.5), torch.tensor([[0.0, 0.0]]))
    with pytest.raises(ValueError, match=r"at least 1 row, got 0"):
        kernel_density(torch.zeros(0, 2), 0.5)


@pytest.mark.parametrize(
    ("bandwidth", "error"),
    [
        (0.0, ValueError),
        (1e-30, ValueError),  # its square is 0 in float32
        ("1", TypeError),
    ],
)
def test_a_bad_bandwidth_is_refused(bandwidth, error):
    with pytest.raises(error, match=r"^bandwidth must"):
        kernel_density(torch.zeros(3, 2), bandwidth)


@pytest.mark.parametrize(
    ("candidates", "error"),
    [
        ([], ValueError),
        (0.1, ValueError),
        ([[0.1]], ValueError),
        ([0.1, 0.0], ValueError),
        ([0.1, NAN], ValueError),
        ("0.1", TypeError),
    ],
)
def test_bad_candidates_are_refused(candidates, error):
    for choose in CHOICES:
        with pytest.raises(error, match=r"^candidates must"):
            choose(cloud(5, 2), candidates)
    with pytest.raises(error, match=r"^bandwidths must"):
        leave_one_out_score_matching(cloud(5, 2), candidates)


@pytest.mark.parametrize("choose", [*CHOICES, leave_one_out_score_matching])
def test_the_choice_of_a_bandwidth_needs_two_data(choose):
    with pytest.raises(ValueError, match="data must have at least 2 rows, got 1"):
        choose(torch.ones(1, 2), [0.1])


# The laws of the package.


def textbook_log_prob(x, means, stds, weights):
    weights = weights / weights.sum()
    squared = (x[:, None] - means).square().sum(2)
    normal = (-squared / (2 * stds**2)).exp() / (stds * math.sqrt(2 * math.pi)) ** means.shape[1]
    return (weights * normal).sum(1).log()


def textbook_score(x, *parameters):
    x = x if x.requires_grad else x.clone().requires_grad_()
    return torch.autograd.grad(textbook_log_prob(x, *parameters).sum(), x, create_graph=True)[0]


@pytest.mark.parametrize("n_components", [3, 600])
@pytest.mark.parametrize("weights", ["equal", "zero at the ends", "one alone"])
@pytest.mark.parametrize("stds", ["equal", "two equal", "one number"])
@pytest.mark.parametrize("method", ["log_prob", "score"])
def test_gradients_are_those_of_the_formula_at_ties_and_at_zeros(method, stds, weights, n_components):
    means = torch.randn(n_components, 2, generator=seeded(40), dtype=torch.float64)
    ones = torch.ones(n_components, dtype=torch.float64)
    masked = ones.clone()
    masked[[0, -1]] = 0
    given = [
        torch.randn(3, 2, generator=seeded(41), dtype=torch.float64),
        means,
        {"equal": ones, "two equal": torch.cat([ones[:1] / 2, ones[1:]]), "one number": ones[0]}[stds],
        {"equal": ones, "zero at the ends": masked, "one alone": torch.eye(n_components, dtype=torch.float64)[1]}[
            weights
        ],
    ]
    found = first_and_second(lambda x, *parameters: getattr(GaussianMixture(*parameters), method)(x), given)
    expected = first_and_second({"log_prob": textbook_log_prob, "score": textbook_score}[method], given)
    for mine, theirs in zip(found, expected, strict=True):
        # Next to a component of weight zero its density is up to e²⁰ times that of the rest, and with it derivatives.
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("parameter", [0, 1, 2])
def test_derivatives_in_forward_mode_are_those_backward(parameter):
    given = [torch.tensor([[0.0], [1.0]]).double(), torch.ones(2).double(), torch.tensor([0.0, 1.0]).double()]
    x = torch.tensor([[0.3]], dtype=torch.float64)

    def score(value):
        return GaussianMixture(*given[:parameter], value, *given[parameter + 1 :]).score(x)[0, 0]

    backward = torch.func.jacrev(score)(given[parameter])
    torch.testing.assert_close(torch.func.jacfwd(score)(given[parameter]), backward, rtol=1e-12, atol=1e-12)
    assert backward.abs().max() > 0.1


@pytest.mark.parametrize("n_components", [10**7, 2**24 + 1])
def test_sampling_loses_nothing_by_the_number_of_components(n_components):
    p = kernel_density(torch.linspace(-1, 1, n_components)[:, None], 1e-3)
    x = p.sample(10**6, seeded(42)).double()
    # A uniform law on (−1, 1): its std is 1/√3.
    assert abs(x.mean().item()) <= 5 / math.sqrt(3 * 10**6)
    assert abs((x > 0).double().mean().item() - 0.5) <= 5 * 0.5 / 10**3


def test_a_component_is_drawn_with_more_digits_than_float32_has():
    # An eighth of all lies in four million components. Numbers of 24 bits would meet only every second one of them.
    n_components = 2**22
    weights = torch.full((n_components + 1,), 2.0**-25)
    weights[0] = 7 / 8
    means = torch.arange(n_components + 1.0)[:, None]
    drawn = GaussianMixture(means, 1e-3, weights).sample(100_000, seeded(51)).double().round()
    few = drawn[drawn > 0]
    assert (few % 2).mean().item() == pytest.approx(0.5, abs=5 * 0.5 / len(few) ** 0.5)


def test_log_prob_and_score_lose_nothing_by_the_number_of_components():
    n_components, x = 10**6, torch.tensor([[0.0], [0.95], [1.3]])
    means = torch.linspace(-1, 1, n_components)[:, None]
    for stds in (0.1, torch.linspace(0.1, 0.2, n_components)):
        p = GaussianMixture(means, stds)
        exact = GaussianMixture(means.double(), p.stds.double())
        torch.testing.assert_close(p.log_prob(x).double(), exact.log_prob(x.double()), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(p.score(x).double(), exact.score(x.double()), rtol=1e-5, atol=1e-4)


def test_components_of_weight_zero_are_never_drawn_and_never_attended():
    weights = torch.zeros(10**5)
    weights[40_000:60_000] = 1
    p = GaussianMixture(torch.arange(10.0**5)[:, None], 1e-2, weights)
    drawn = p.sample(10**6, seeded(43)).round()
    assert (drawn.min(), drawn.max()) == (40_000, 59_999)
    x = torch.tensor([[0.0], [50_000.0], [99_999.0]])
    torch.testing.assert_close(p.score(x), torch.tensor([[4e8], [0.0], [-4e8]]), rtol=1e-3, atol=1)


HALVES = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("stds", [0.5, [0.5, 0.25]])
def test_a_mixture_in_half_precision_answers_as_in_float32(dtype, stds):
    means, x = torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), (cloud(50, 2).float() + 0.1).to(dtype)
    p, q = GaussianMixture(means.to(dtype), stds), GaussianMixture(means, stds)
    assert torch.equal(p.score(x), q.score(x.float()))
    assert torch.equal(p.log_prob(x), q.log_prob(x.float()))
    many = kernel_density(torch.linspace(-1, 1, 10**5)[:, None].to(dtype), 0.1)
    assert torch.isfinite(many.log_prob(torch.zeros(1, 1, dtype=dtype))).all()


@pytest.mark.parametrize("n_components", [8, 600])
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("grad", [False, True])
def test_autocast_changes_nothing(dtype, n_components, grad):
    x = cloud(50, 2, torch.float32).requires_grad_(grad)
    data = cloud(n_components, 2, torch.float32)
    for p in (kernel_density(data, 0.3), GaussianMixture(data, torch.linspace(0.3, 0.5, n_components))):
        expected = p.score(x), p.log_prob(x), p.smoothed(0.1).score(x)
        with torch.autocast("cpu", dtype=dtype):
            found = p.score(x), p.log_prob(x), p.smoothed(0.1).score(x)
        for mine, theirs in zip(found, expected, strict=True):
            assert torch.equal(mine, theirs)


def layouts(x):
    return [x.T.contiguous().T, x.repeat_interleave(2, 0)[::2], torch.cat([x, x], 1)[:, : x.shape[1]]]


@pytest.mark.parametrize("n_components", [8, 600])
@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_values_give_equal_results_however_they_lie(dtype, n_components):
    data, x = cloud(n_components, 3, dtype), cloud(40, 3, dtype) + 0.1
    stds = torch.linspace(0.3, 0.5, n_components, dtype=dtype)
    for std in (0.3, stds):
        p = GaussianMixture(data, std)
        for laid, at in zip(layouts(data), layouts(x), strict=True):
            q = GaussianMixture(laid, std)
            assert torch.equal(q.score(at), p.score(x))
            assert torch.equal(q.log_prob(at), p.log_prob(x))
            assert torch.equal(q.sample(20, seeded(44)), p.sample(20, seeded(44)))
            assert scott_bandwidth(laid) == scott_bandwidth(data)
            for choose in CHOICES:
                assert choose(laid, [0.1, 0.3]) == choose(data, [0.1, 0.3])


@pytest.mark.parametrize("stds", [0.2, [0.2, 0.3]])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("power", [-18, -15, -9, 9, 15, 18])
def test_units_do_not_matter(dtype, power, stds):
    means, x = torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=dtype), cloud(40, 2, dtype) + 0.1
    unit = 10.0 ** (power if dtype == torch.float32 else 8 * power)
    p = GaussianMixture(means, stds)
    q = GaussianMixture(means * unit, torch.tensor(stds, dtype=dtype) * unit)
    # Inputs of up to 5 rounded once more, over σ² = 0.04, and logits of up to 600.
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(q.score(x * unit) * unit, p.score(x), rtol=0, atol=3e4 * eps)
    shifted = p.log_prob(x) - 2 * math.log(unit)
    torch.testing.assert_close(q.log_prob(x * unit), shifted, rtol=100 * eps, atol=1e3 * eps)
    for rule in (scott_bandwidth, silverman_bandwidth):
        assert rule(x * unit) == pytest.approx(unit * rule(x), rel=10 * eps)
    for choose in CHOICES:
        assert choose(x * unit, [0.01 * unit, 0.6 * unit, 9 * unit]) == pytest.approx(0.6 * unit)


@pytest.mark.parametrize("std", [1e-30, 1e-20, 1e20, 1e30])
def test_stds_whose_squares_float32_does_not_hold_are_refused(std):
    with pytest.raises(ValueError, match=r"^stds must be positive, from 1\.1e-19 to 1\.8e\+19 in torch\.float32"):
        GaussianMixture([[0.0]], std)
    with pytest.raises(ValueError, match=r"^bandwidth must be positive, from 1\.1e-19"):
        kernel_density(torch.zeros(3, 1), std)


def test_the_default_dtype_is_that_of_all_that_has_none_of_its_own():
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        for p in (two_moons(), swiss_roll(), checkerboard(), rings(), GaussianMixture([[0, 1]], 1)):
            assert p.means.dtype == p.sample(2, seeded(0)).dtype == torch.float64
        assert GaussianMixture(torch.zeros(1, 1, dtype=torch.float32), 1.0).means.dtype == torch.float32
    finally:
        torch.set_default_dtype(before)


def test_a_kernel_density_in_2000_dimensions_of_few_data_on_a_line_and_of_a_tiny_bandwidth_is_right():
    for data, bandwidth in [
        (torch.randn(50, 2000, generator=seeded(45)), 5.0),
        (torch.outer(torch.linspace(-1, 1, 300), torch.tensor([0.6, 0.8])), 0.05),
        (torch.randn(300, 2, generator=seeded(46)), 1e-5),
    ]:
        x = data[:20] + bandwidth / 2
        score, expected = kernel_density(data, bandwidth).score(x), by_definition(data, bandwidth, x)
        assert root_mean_square(score - expected) <= 1e-3 * root_mean_square(expected)


def score_of(p, x):
    return p.score(x).numpy()


FORK = """
import multiprocessing, torch
from notes.mixtures import kernel_density

p, x = kernel_density(torch.linspace(-1, 1, 1200).reshape(600, 2), 0.3), torch.ones(40, 2)
expected = p.score(x)
with multiprocessing.get_context("fork").Pool(1) as pool:
    (found,) = pool.map(p.score, [x])
assert torch.allclose(found, expected)
"""


def test_the_score_of_a_kernel_density_lives_on_in_a_fork():
    # Of a process that has had one thread at all times: the others of PyTorch's do not outlive a fork, which waits.
    subprocess.run([sys.executable, "-c", FORK], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, timeout=60)


@pytest.mark.parametrize("how", ["pickle", "threads", "spawn"])
def test_the_score_of_a_kernel_density_travels(how):
    p, x = kernel_density(cloud(600, 2, torch.float32), 0.3), cloud(40, 2, torch.float32)
    expected = score_of(p, x)
    if how == "pickle":
        found = [score_of(pickle.loads(pickle.dumps(p)), x)]
    elif how == "threads":
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            found = list(pool.map(score_of, [p] * 8, [x] * 8))
    else:
        with multiprocessing.get_context(how).Pool(1) as pool:
            found = pool.starmap(score_of, [(p, x)])
    for score in found:
        np.testing.assert_allclose(score, expected, rtol=1e-4, atol=1e-4)


def test_the_users_threads_are_back_after_a_score_and_after_a_refusal():
    before, p = torch.get_num_threads(), uneven(2)
    try:
        torch.set_num_threads(3)
        p.score(torch.zeros(3, 2)), p.log_prob(torch.zeros(3, 2)), p.sample(5)
        with pytest.raises(ValueError, match="x must"):
            p.score(torch.zeros(3, 3))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


# The score of the law with noise, a noise for each row.


def noises(n, dtype=torch.float64, low=0.01, high=5.0):
    """n noise scales from the one to the other, in no order."""
    even = torch.linspace(math.log(low), math.log(high), n, dtype=torch.float64).exp()
    return even[torch.randperm(n, generator=seeded(60))].to(dtype)


class TestSmoothedScore:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("sigma", [0.3, 2, np.float64(0.3), torch.tensor(0.3), torch.tensor(0.3).double()])
    def test_at_a_number_is_that_of_the_smoothed_law(self, sigma, dtype):
        x = cloud(20, 2, dtype)
        for p in (uneven(2, dtype), kernel_density(cloud(600, 2, dtype), 0.3)):
            assert torch.equal(p.smoothed_score(x, sigma), p.smoothed(float(sigma)).score(x))

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("dim", [1, 2, 10])
    def test_one_a_row_is_right_in_the_bulk_and_forty_standard_deviations_out(self, dim, dtype):
        for p in (uneven(dim, dtype), kernel_density(cloud(300, dim, dtype), 0.2)):
            sigma = noises(60, dtype)
            for away in (1, 40):
                x = p.sample(60, seeded(61))
                x += away * (p.stds.max().hypot(sigma))[:, None] * cloud(60, dim, dtype)
                found = p.smoothed_score(x, sigma)
                assert found.dtype == dtype
                for row, noise, mine in zip(x, sigma, found, strict=True):
                    q = GaussianMixture(p.means.double(), p.stds.double().hypot(noise.double()), p.weights.double())
                    log_prob, score = reference(q, row[None])
                    assert (mine.double() - score[0]).norm() <= rounding(q, log_prob, dtype)[1].item()

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_one_a_row_is_what_the_numbers_give(self, dtype):
        # A number takes other ways through attention, and one std for all that hypot rounds once.
        for p in (
            uneven(2, dtype),
            kernel_density(cloud(40, 2, dtype), 0.3),
            kernel_density(cloud(600, 2, dtype), 0.3),
        ):
            x, sigma = cloud(30, 2, dtype), noises(30, dtype)
            rows = torch.cat([p.smoothed_score(x[[i]], sigma[i]) for i in range(30)])
            error = p.smoothed_score(x, sigma) - rows
            # In units of one over the width, where the score is of order one.
            width = p.stds.min().hypot(sigma)[:, None]
            assert (width * error).abs().max() <= 300 * torch.finfo(dtype).eps

    def test_a_point_in_float64_has_the_digits_of_float64_of_a_mixture_in_float32(self):
        p, x, sigma = uneven(2, torch.float32), cloud(20, 2), noises(20)
        wider = GaussianMixture(p.means.double(), p.stds.double(), p.weights.double())
        found = p.smoothed_score(x, sigma)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, wider.smoothed_score(x, sigma), rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("form", [torch.Tensor.tolist, np.asarray, torch.Tensor.double, torch.Tensor.half])
    def test_takes_the_noise_as_it_comes_and_rounds_it_to_the_points(self, form):
        p, x, sigma = uneven(2, torch.float32), cloud(20, 2, torch.float32), noises(20, torch.float16).float()
        given_ = form(sigma)
        if isinstance(given_, list):  # a list is no number, and refused as what is none
            with pytest.raises(TypeError, match=r"^sigma must be a number, got list"):
                p.smoothed_score(x, given_)
        else:
            assert torch.equal(p.smoothed_score(x, given_), p.smoothed_score(x, sigma))

    @pytest.mark.parametrize("weights", ["equal", "zero at the ends"])
    @pytest.mark.parametrize("stds", ["equal", "unequal"])
    @pytest.mark.parametrize("n_components", [3, 200])
    def test_has_the_derivatives_of_the_formula(self, stds, weights, n_components):
        means = torch.randn(n_components, 2, generator=seeded(62), dtype=torch.float64)
        ones = torch.ones(n_components, dtype=torch.float64)
        masked = ones.clone()
        masked[[0, -1]] = 0
        sigma = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
        given_ = [
            torch.randn(3, 2, generator=seeded(63), dtype=torch.float64),
            means,
            {"equal": ones, "unequal": torch.linspace(0.6, 1.4, n_components, dtype=torch.float64)}[stds],
            {"equal": ones, "zero at the ends": masked}[weights],
        ]

        def textbook(x, means, stds, weights):
            return textbook_score(x, means, (stds**2 + sigma[:, None] ** 2).sqrt(), weights)

        found, expected = [], []
        for results, function in (
            (found, lambda x, *parameters: GaussianMixture(*parameters).smoothed_score(x, sigma)),
            (expected, textbook),
        ):
            inputs = [value.clone().requires_grad_() for value in given_]
            first = torch.autograd.grad(function(*inputs).sin().sum(), inputs, create_graph=True)
            results += first + torch.autograd.grad(sum(value.cos().sum() for value in first), inputs)
        for mine, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-7)

    def test_the_noise_is_a_constant(self):
        p, x = uneven(2), cloud(5, 2).requires_grad_()
        sigma = torch.full((5,), 0.5, dtype=torch.float64, requires_grad=True)
        for noise in (sigma, sigma[0]):
            p.smoothed_score(x, noise).sum().backward()
        assert sigma.grad is None
        assert not p.smoothed_score(x.detach(), sigma).requires_grad

    @pytest.mark.parametrize("block", [1, 9, 64, 1000])
    def test_does_not_show_block_boundaries(self, monkeypatch, block):
        p, x, sigma = uneven(3), uneven(3).sample(101, seeded(64)), noises(101)
        whole = p.smoothed_score(x, sigma)
        monkeypatch.setattr(_attention, "BLOCK", block)
        torch.testing.assert_close(p.smoothed_score(x, sigma), whole, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("std", [1.0, torch.linspace(0.5, 1.0, 100)])
    def test_no_work_array_outgrows_a_block(self, monkeypatch, std):
        class Largest(TorchDispatchMode):
            size = 0

            def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                out = function(*args, **(kwargs or {}))
                if isinstance(out, torch.Tensor):
                    self.size = max(self.size, out.numel())
                return out

        monkeypatch.setattr(_attention, "BLOCK", 1200)
        p = GaussianMixture(torch.randn(100, 2, generator=seeded(65)), std)
        with Largest() as largest:
            p.smoothed_score(torch.randn(500, 2, generator=seeded(66)), noises(500, torch.float32))
        assert largest.size <= 1200

    def test_of_no_points_is_no_rows(self):
        assert uneven(2).smoothed_score(torch.empty(0, 2), torch.empty(0)).shape == (0, 2)
        assert uneven(2).smoothed_score(torch.empty(0, 2), 1.0).shape == (0, 2)

    @pytest.mark.parametrize("dtype", HALVES)
    def test_in_half_precision_is_that_in_float32(self, dtype):
        p, x, sigma = uneven(2, torch.float32), cloud(20, 2, torch.float32).to(dtype), noises(20).to(dtype)
        assert torch.equal(p.smoothed_score(x, sigma), p.smoothed_score(x.float(), sigma.float()))
        assert torch.equal(p.smoothed_score(x, 0.3), p.smoothed_score(x.float(), 0.3))
        with torch.autocast("cpu", dtype=dtype):
            assert torch.equal(p.smoothed_score(x, sigma), p.smoothed_score(x.float(), sigma.float()))

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_of_equal_values_is_equal_however_they_lie(self, dtype):
        for p in (uneven(3, dtype), kernel_density(cloud(600, 3, dtype), 0.3)):
            x, sigma = cloud(40, 3, dtype), noises(40, dtype)
            expected = p.smoothed_score(x, sigma)
            for at in layouts(x):
                assert torch.equal(p.smoothed_score(at, sigma.repeat_interleave(2)[::2]), expected)
            one = p.smoothed_score(x, torch.full((40,), 0.3, dtype=dtype))
            assert torch.equal(p.smoothed_score(x, torch.tensor(0.3, dtype=dtype).expand(40)), one)

    @pytest.mark.parametrize("std", [0.2, [0.2, 0.3]])
    @pytest.mark.parametrize("power", [-18, -15, -9, 9, 15, 18])
    def test_has_no_unit(self, power, std):
        means, x, sigma = torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), cloud(40, 2, torch.float32), noises(40).float()
        unit = 10.0**power
        p, q = GaussianMixture(means, std), GaussianMixture(means * unit, torch.tensor(std) * unit)
        found = q.smoothed_score(x * unit, sigma * unit) * unit
        torch.testing.assert_close(found, p.smoothed_score(x, sigma), rtol=0, atol=3e4 * torch.finfo(x.dtype).eps)

    def test_with_little_noise_beside_much_is_that_with_little(self):
        # In rows of its own the narrow law is computed in float64; in company too.
        p = GaussianMixture([[1e-11], [-1e-11], [1.0]], 1e-12)
        x, sigma = torch.tensor([[2e-11], [0.5], [1e-3]]), torch.tensor([1e-12, 1e-12, 10.0])
        rows = torch.cat([p.smoothed_score(x[[i]], sigma[[i]]) for i in range(3)])
        assert rows.isfinite().all()
        torch.testing.assert_close(p.smoothed_score(x, sigma), rows, rtol=1e-5, atol=0)

    def test_with_noise_whose_square_is_nearly_too_large_is_right(self):
        p, sigma = GaussianMixture([[0.0], [1.0]], 0.5), torch.tensor([0.5, 1.7e19])
        found = p.smoothed_score(torch.tensor([[2.0], [1.7e19]]), sigma)
        assert found[1].item() == pytest.approx(-1 / 1.7e19, rel=1e-5)

    def test_of_everything_a_thousand_away_is_the_same_in_float64(self):
        p, x, sigma = uneven(2), (1024 * cloud(40, 2)).round() / 1024, noises(40)
        q = GaussianMixture(p.means + 1000, p.stds, p.weights)
        torch.testing.assert_close(q.smoothed_score(x + 1000, sigma), p.smoothed_score(x, sigma), rtol=1e-9, atol=1e-7)

    @pytest.mark.parametrize(
        ("sigma", "error"),
        [
            (0.0, ValueError),
            (-1.0, ValueError),
            ("1", TypeError),
            (torch.ones(3), ValueError),
            (torch.ones(2, 1), ValueError),
            (torch.tensor([1.0, math.nan]), ValueError),
            (torch.tensor([1.0, math.inf]), ValueError),
            (torch.tensor([1.0, 0.0]), ValueError),
            (torch.tensor([1.0, -1.0]), ValueError),
            (torch.tensor([1.0, 1.0], dtype=torch.complex64), TypeError),
        ],
    )
    def test_of_a_bad_noise_is_refused_by_name(self, sigma, error):
        with pytest.raises(error, match=r"^sigma must"):
            GaussianMixture(PLANE, 1.0).smoothed_score(torch.zeros(2, 2), sigma)

    @pytest.mark.parametrize("sigma", [1.0, torch.ones(3)])
    def test_of_bad_points_is_refused_by_name(self, sigma):
        with pytest.raises(ValueError, match=r"^x must"):
            GaussianMixture(PLANE, 1.0).smoothed_score(torch.zeros(3, 3), sigma)

    def test_of_noise_whose_square_float32_does_not_hold_is_refused(self):
        for sigma in (1e20, torch.tensor([1.0, 1e20])):
            with pytest.raises(ValueError, match=r"^sigma must be positive, from 1\.1e-19 to 1\.8e\+19"):
                GaussianMixture(PLANE, 1.0).smoothed_score(torch.zeros(2, 2), sigma)

    def test_leaves_the_users_threads(self):
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(3)
            uneven(2).smoothed_score(torch.zeros(3, 2), torch.ones(3))
            assert torch.get_num_threads() == 3
        finally:
            torch.set_num_threads(before)
