"""Mixtures with full covariances: SciPy, autograd on the textbook formula, scikit-learn, brute force, and the laws."""

import math
import pickle

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import sklearn.mixture
import torch
from derivatives import first_and_second
from hypothesis import given, settings
from hypothesis import strategies as st

from notes import full_covariance
from notes.full_covariance import FullCovarianceMixture
from notes.mixtures import GaussianMixture

DTYPES = [torch.float32, torch.float64]
HALVES = [torch.float16, torch.bfloat16]
NAN, INF = math.nan, math.inf
FIVE_SIGMA = math.erfc(5 / math.sqrt(2))  # the chance of 5 standard errors: the p-value below which a law is refused

properties = settings(max_examples=25, deadline=None, derandomize=True)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def ellipses(n_components, dim, seed=0):
    """Covariances with axes of ½ to some √d, in all directions."""
    a = normal(n_components, dim, dim, seed=seed)
    return a @ a.mT / 2 + 0.25 * torch.eye(dim, dtype=torch.float64)


def uneven(dim, dtype=torch.float64):
    """Four ellipses, of which one has a tiny weight and one has none."""
    means = 2 * normal(4, dim, seed=10 + dim)
    weights = torch.tensor([0.4, 0.6, 1e-30, 0.0], dtype=torch.float64)
    return FullCovarianceMixture(means.to(dtype), ellipses(4, dim, seed=dim).to(dtype), weights.to(dtype))


def scipys(p, x):
    """The log-density by SciPy, in float64."""
    means, covariances, weights = (value.detach().double().numpy() for value in (p.means, p.covariances, p.weights))
    each = [
        np.atleast_1d(scipy.stats.multivariate_normal(m, c).logpdf(x.double().numpy()))
        for m, c in zip(means, covariances, strict=True)
    ]
    return torch.from_numpy(scipy.special.logsumexp(each, axis=0, b=weights[:, None]))


def textbook_log_prob(x, means, covariances, weights):
    """By inverses and determinants: log-sum-exp in sight, and a derivative at a weight of zero."""
    offset = x[:, None] - means
    covariances = (covariances + covariances.mT) / 2
    squared = torch.einsum("nki,kij,nkj->nk", offset, covariances.inverse(), offset)
    log = -squared / 2 - covariances.logdet() / 2 - means.shape[1] / 2 * math.log(2 * math.pi)
    top = log.detach()[:, weights.detach() > 0].amax(1, keepdim=True)
    return top[:, 0] + (weights / weights.sum() * (log - top).clamp(max=700).exp()).sum(1).log()


def textbook_score(x, *parameters):
    x = x if x.requires_grad else x.clone().requires_grad_()
    return torch.autograd.grad(textbook_log_prob(x, *parameters).sum(), x, create_graph=True)[0]


# The axes of uneven() are between ½ and some √d: a whitened offset is off by some tens of roundings, and exponents of
# up to 40²/2 = 800, and as far again from the other ellipses, by as many of theirs.
def assert_right(p, x, dtype):
    expected = scipys(p, x)
    eps = torch.finfo(dtype).eps
    size = 100 + expected.abs()
    assert ((p.log_prob(x).double() - expected).abs() <= 30 * eps * size).all()
    pull = textbook_score(x.double(), p.means.double(), p.covariances.double(), p.weights.double()).detach()
    assert ((p.score(x).double() - pull).norm(dim=1) <= 200 * eps * size).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 2, 7])
def test_log_prob_is_scipys_and_the_score_its_gradient(dim, dtype):
    p = uneven(dim, dtype)
    x = torch.cat([p.sample(60, seeded(1)), 5 * normal(20, dim, seed=2).to(dtype)])
    assert p.log_prob(x).dtype == p.score(x).dtype == dtype
    assert p.score(x).shape == (80, dim)
    assert_right(p, x, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 2, 7])
def test_both_are_right_forty_standard_deviations_out(dim, dtype):
    p = uneven(dim, dtype)
    away = torch.nn.functional.normalize(normal(6, dim, seed=3), dim=1)
    roots = torch.linalg.cholesky(p.covariances.double())
    x = torch.cat([m + 40 * away @ root.T for m, root in zip(p.means.double(), roots, strict=True)]).to(dtype)
    assert torch.isfinite(p.score(x)).all()
    assert_right(p, x, dtype)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_score_is_the_gradient_of_log_prob(dim):
    p = uneven(dim)
    x = p.sample(30, seeded(4)).requires_grad_()
    (gradient,) = torch.autograd.grad(p.log_prob(x).sum(), x)
    torch.testing.assert_close(p.score(x), gradient, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", DTYPES)
def test_with_round_covariances_it_is_the_mixture_of_round_gaussians(dtype):
    means = normal(3, 4, seed=5).to(dtype)
    stds, weights = torch.tensor([0.5, 0.9, 2.0], dtype=dtype), torch.tensor([0.2, 0.5, 0.3], dtype=dtype)
    round_, p = (
        GaussianMixture(means, stds, weights),
        FullCovarianceMixture(means, stds[:, None, None] ** 2 * torch.eye(4, dtype=dtype), weights),
    )
    x = 3 * normal(50, 4, seed=6).to(dtype)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(p.weights, round_.weights)
    torch.testing.assert_close(p.log_prob(x), round_.log_prob(x), rtol=50 * eps, atol=50 * eps)
    torch.testing.assert_close(p.score(x), round_.score(x), rtol=1e3 * eps, atol=1e3 * eps)
    torch.testing.assert_close(p.smoothed_score(x, 0.7), round_.smoothed_score(x, 0.7), rtol=1e3 * eps, atol=1e3 * eps)
    # The same component for each point, and the same numbers.
    torch.testing.assert_close(p.sample(50, seeded(7)), round_.sample(50, seeded(7)), rtol=10 * eps, atol=10 * eps)


def test_a_component_of_weight_zero_changes_nothing():
    p = uneven(3)
    without = FullCovarianceMixture(p.means[:3], p.covariances[:3], p.weights[:3])
    x = torch.cat([p.means, 30 + p.means])
    torch.testing.assert_close(p.log_prob(x), without.log_prob(x), rtol=0, atol=0)
    torch.testing.assert_close(p.score(x), without.score(x), rtol=1e-14, atol=1e-14)
    drawn = FullCovarianceMixture([[0.0], [100.0]], torch.ones(2, 1, 1), [1.0, 0.0]).sample(2000, seeded(8))
    assert drawn.max() < 50


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.3, 2.0]])
@pytest.mark.parametrize("method", ["log_prob", "score"])
def test_gradients_are_those_of_the_formula_at_ties_and_at_zeros(method, weights):
    inputs = [normal(4, 2, seed=11), normal(3, 2, seed=12), ellipses(3, 2, seed=13)]
    inputs.append(torch.tensor(weights, dtype=torch.float64))
    found = first_and_second(lambda x, *parameters: getattr(FullCovarianceMixture(*parameters), method)(x), inputs)
    expected = first_and_second({"log_prob": textbook_log_prob, "score": textbook_score}[method], inputs)
    for mine, theirs in zip(found, expected, strict=True):
        # Beside a component of weight zero derivatives are up to some e¹⁰ times as large as elsewhere.
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-7)


def test_a_sample_moves_with_its_parameters():
    means, covariances = normal(2, 3, seed=14).requires_grad_(), ellipses(2, 3, seed=15).requires_grad_()
    p = FullCovarianceMixture(means, covariances)
    slopes = torch.autograd.grad(p.sample(20, seeded(16)).sum(), [means, covariances])
    assert slopes[0].sum().item() == pytest.approx(60)
    assert slopes[1].abs().max() > 0


def test_nothing_is_differentiated_where_nothing_asks_for_it():
    p = FullCovarianceMixture(normal(2, 3, seed=14).requires_grad_(), ellipses(2, 3, seed=15))
    with torch.no_grad():
        assert not p.score(normal(4, 3)).requires_grad
    assert p.score(normal(4, 3)).requires_grad


# Samples.


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 3])
def test_a_sample_has_the_weights_means_and_covariances(dim, dtype):
    n, covariances = 40_000, ellipses(3, dim, seed=20)
    means = 30 * torch.arange(3.0, dtype=torch.float64)[:, None] * torch.ones(dim, dtype=torch.float64)
    p = FullCovarianceMixture(means.to(dtype), covariances.to(dtype), [0.5, 0.2, 0.3])
    x = p.sample(n, seeded(21))
    assert (x.shape, x.dtype) == ((n, dim), dtype)
    nearest = (x[:, None] - p.means).norm(dim=2).argmin(1)
    for k in range(3):
        weight, own = p.weights[k].item(), x[nearest == k].double()
        assert abs(len(own) / n - weight) <= 5 * math.sqrt(weight * (1 - weight) / n)
        variance = covariances[k].diagonal()
        assert ((own.mean(0) - means[k]).abs() <= 5 * (variance / len(own)).sqrt()).all()
        # c_ij of a Gaussian has the variance (c_ii c_jj + c_ij²)/n.
        error = ((torch.outer(variance, variance) + covariances[k] ** 2) / len(own)).sqrt()
        assert ((own.T.cov().reshape(dim, dim) - covariances[k]).abs() <= 5 * error).all()


def test_a_sample_is_of_the_law_of_log_prob():
    # On the line: a histogram against the integral of the density.
    p = FullCovarianceMixture([[-1.0], [2.0]], [[[0.25]], [[1.0]]], [0.3, 0.7])
    n, edges = 50_000, torch.linspace(-4, 6, 41, dtype=torch.float64)
    fine = torch.linspace(-4, 6, 40 * 20 + 1, dtype=torch.float64)
    shares = scipy.integrate.simpson(p.log_prob(fine[:, None]).exp().unfold(0, 21, 20).numpy(), dx=0.0125)
    counts = torch.histogram(p.sample(n, seeded(22))[:, 0].double(), edges)[0].numpy()
    observed, expected = np.append(counts, n - counts.sum()), n * np.append(shares, 1 - shares.sum())
    assert scipy.stats.chisquare(observed, expected).pvalue > FIVE_SIGMA


def test_a_sample_is_decided_by_its_generator_alone():
    p, before = uneven(2), torch.get_rng_state()
    first, again, other = (p.sample(10, seeded(s)) for s in (23, 23, 24))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = p.sample(10), p.sample(10)
        torch.manual_seed(0)
        assert torch.equal(p.sample(10), first)
    assert not torch.equal(first, second)
    with torch.device("meta"):  # the default of whatever is made without saying where
        assert p.sample(3, seeded(0)).device == torch.device("cpu")


@pytest.mark.parametrize("direction", [(1.0, 0.0), (0.6, -0.8)])
def test_smoothed_is_the_law_of_points_with_noise_added(direction):
    p = FullCovarianceMixture([[-1.0, 0.0], [1.0, 2.0]], ellipses(2, 2, seed=25).float(), [0.3, 0.7])
    sigma, n, direction = 0.8, 20_000, torch.tensor(direction)
    noisy = (p.sample(n, seeded(26)) + sigma * normal(n, 2, seed=27).float()) @ direction
    q = p.smoothed(sigma)
    centres, weights = (q.means @ direction).numpy(), q.weights.numpy()
    stds = torch.einsum("i,kij,j->k", direction, q.covariances, direction).sqrt().numpy()

    def cumulative(values):
        return (weights * scipy.stats.norm.cdf(values[..., None], centres, stds)).sum(-1)

    assert scipy.stats.kstest(noisy.numpy(), cumulative).pvalue > FIVE_SIGMA


def test_smoothing_adds_to_the_diagonal_and_leaves_the_original_alone():
    p = uneven(3)
    before, q = p.covariances.clone(), p.smoothed(0.3).smoothed(0.4)
    torch.testing.assert_close(q.covariances, before + 0.25 * torch.eye(3), rtol=1e-14, atol=1e-14)
    assert torch.equal(p.covariances, before)
    assert torch.equal(q.means, p.means)
    torch.testing.assert_close(q.weights, p.weights, rtol=1e-15, atol=0)
    x = normal(5, 3)
    assert torch.equal(p.smoothed_score(x, 0.5), p.smoothed(0.5).score(x))


# What is known of the rest.


def density_ratio(p, known, values, x):
    """log p(x_h, v) − log p(v), with the evidence by SciPy from the marginal law."""
    hidden = [i for i in range(p.dim) if i not in known]
    joint = torch.empty(len(x), p.dim, dtype=torch.float64)
    joint[:, hidden], joint[:, known] = x, torch.as_tensor(values, dtype=torch.float64)
    marginal = FullCovarianceMixture(p.means[:, known], p.covariances[:, known][:, :, known], p.weights)
    return scipys(p, joint) - scipys(marginal, torch.as_tensor(values, dtype=torch.float64)[None])


@pytest.mark.parametrize("known", [[0], [3, 1], [2, 0, 3], (4,), torch.tensor([4, 3, 2, 1])])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_law_given_some_coordinates_is_the_ratio_of_densities(known, dtype):
    p = uneven(5, dtype)
    known = list(known) if not isinstance(known, torch.Tensor) else known
    places = [int(i) for i in known]
    values = p.means[0, places] + 0.5 * normal(len(places), seed=30).to(dtype)
    q = p.given(known, values)
    assert q.dim == 5 - len(places)
    assert q.means.dtype == q.covariances.dtype == q.weights.dtype == dtype
    x = p.means[0].double()[[i for i in range(5) if i not in places]] + normal(40, q.dim, seed=31)
    expected = density_ratio(p, places, values.double(), x)
    torch.testing.assert_close(q.log_prob(x.to(dtype)).double(), expected, rtol=1e-3 * (dtype == DTYPES[0]), atol=1e-9)
    # The order in which they are told is nothing.
    order = torch.randperm(len(places), generator=seeded(32))
    other = p.given([places[i] for i in order], values[order])
    atol = 300 * torch.finfo(dtype).eps
    torch.testing.assert_close(other.means, q.means, rtol=0, atol=atol)
    torch.testing.assert_close(other.covariances, q.covariances, rtol=0, atol=atol)
    torch.testing.assert_close(other.weights, q.weights, rtol=0, atol=atol)


def test_the_law_given_a_coordinate_is_normalised_and_what_the_joint_law_is_on_its_line():
    p = uneven(2)
    x = torch.linspace(-30, 30, 6001, dtype=torch.float64)
    on_line = p.log_prob(torch.stack([torch.full_like(x, 0.7), x], 1)).exp()
    q = p.given([0], [0.7]).log_prob(x[:, None]).exp()
    torch.testing.assert_close(q, on_line / (on_line.sum() * 0.01), rtol=1e-10, atol=1e-14)


def test_a_law_given_in_turn_is_the_law_given_at_once():
    p = uneven(4)
    at_once, in_turn = p.given([1, 3], [0.3, -0.2]), p.given([3], [-0.2]).given([1], [0.3])
    for name in ("means", "covariances", "weights"):
        torch.testing.assert_close(getattr(in_turn, name), getattr(at_once, name), rtol=1e-11, atol=1e-12)


def test_coordinates_that_are_independent_tell_nothing():
    p = FullCovarianceMixture(normal(1, 3, seed=33), torch.diag(torch.tensor([1.0, 4.0, 9.0]).double())[None])
    q = p.given([1], [100.0])
    assert torch.equal(q.means, p.means[:, [0, 2]])
    torch.testing.assert_close(q.covariances[0], torch.diag(torch.tensor([1.0, 9.0]).double()), rtol=1e-15, atol=0)


def test_what_is_nearly_determined_by_the_rest_keeps_a_positive_variance_in_float32():
    # 100 coordinates that share one number, and noise of 1e-2 in variance each: the last given the rest has
    # (1e-2)(1 + 1/(99 + 1e-2)) of variance, a hundredth of what it is taken from.
    covariance = 1e-3 * torch.eye(100) + torch.ones(100, 100)
    q = FullCovarianceMixture(torch.zeros(1, 100), covariance[None]).given(range(2, 100), torch.zeros(98))
    expected = 1e-3 * torch.eye(2) + 1 / (1 + 98e3)  # 1/(1 + 98/1e-3), of what is shared
    torch.testing.assert_close(q.covariances[0], expected, rtol=0.02, atol=2e-5)


def test_gradients_flow_to_what_is_known():
    p = uneven(3)

    def mean(values):
        return p.given([0, 2], values).means

    assert torch.autograd.gradcheck(mean, (normal(2, seed=34).requires_grad_(),))


# Fits.


def test_a_fit_is_scikit_learns():
    x = uneven(3).sample(400, seeded(40))
    p = FullCovarianceMixture.fit(x, 3, regularisation=0.1, seed=5)
    theirs = sklearn.mixture.GaussianMixture(3, reg_covar=0.1, random_state=5).fit(x.numpy())
    np.testing.assert_allclose(p.means, theirs.means_, rtol=1e-12)
    np.testing.assert_allclose(p.covariances, theirs.covariances_, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(p.weights, theirs.weights_, rtol=1e-12)
    np.testing.assert_allclose(p.log_prob(x), theirs.score_samples(x.numpy()), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float16])
def test_a_fit_of_one_gaussian_has_the_moments_of_the_data(dtype):
    x = (2 + normal(200, 3, seed=41) @ normal(3, 3, seed=42)).to(dtype).requires_grad_()
    before, numpys = torch.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002 - the old one is the global one
    p = FullCovarianceMixture.fit(x, 1, regularisation=0.5)
    data = x.detach().double()
    assert p.means.dtype == torch.float64
    assert not p.means.requires_grad
    torch.testing.assert_close(p.means[0], data.mean(0), rtol=1e-12, atol=1e-12)
    expected = data.T.cov(correction=0) + 0.5 * torch.eye(3)
    torch.testing.assert_close(p.covariances[0], expected, rtol=1e-10, atol=1e-10)
    assert p.weights.tolist() == [1.0]
    assert torch.equal(torch.get_rng_state(), before)
    assert repr(np.random.get_state()) == numpys  # noqa: NPY002


def test_a_fit_regularises_by_a_hundredth_from_seed_0_unless_told():
    x = uneven(2).sample(100, seeded(43))
    plain, told = FullCovarianceMixture.fit(x, 2), FullCovarianceMixture.fit(x, 2, regularisation=1e-2, seed=0)
    assert torch.equal(plain.means, told.means)
    assert torch.equal(plain.covariances, told.covariances)


# The laws of the package.


@st.composite
def mixtures_and_points(draw):
    """A mixture and points on a dyadic lattice, which shifts by whole numbers reach without rounding."""
    dim, n_components, seed = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(0, 2**20))
    means, x = ((64 * 3 * normal(n, dim, seed=seed + n)).round() / 64 for n in (n_components, 6))
    weights = torch.rand(n_components, generator=seeded(seed), dtype=torch.float64) + 0.1
    return FullCovarianceMixture(means, ellipses(n_components, dim, seed=seed), weights), x


def assert_same(p, q, x, y, log_prob=lambda value: value, score=lambda value: value, rtol=1e-9):
    torch.testing.assert_close(q.log_prob(y), log_prob(p.log_prob(x)), rtol=rtol, atol=rtol)
    torch.testing.assert_close(q.score(y), score(p.score(x)), rtol=rtol, atol=rtol * p.score(x).abs().max().item())


@properties
@given(mixtures_and_points(), st.sampled_from([-1000, 1000, 2**20]))
def test_a_shift_changes_nothing(case, shift):
    p, x = case
    assert_same(p, FullCovarianceMixture(p.means + shift, p.covariances, p.weights), x, x + shift, rtol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("power", [-15, -6, 6, 15, 18])
def test_units_do_not_matter(dtype, power):
    p, x = uneven(3, dtype), 3 * normal(20, 3, seed=50).to(dtype)
    unit = 10.0 ** (power if dtype == torch.float32 else 8 * power)
    q = FullCovarianceMixture(p.means * unit, p.covariances * unit * unit, p.weights)
    eps = torch.finfo(dtype).eps
    expected = p.log_prob(x) - 3 * math.log(unit)
    torch.testing.assert_close(q.log_prob(x * unit), expected, rtol=300 * eps, atol=1e3 * eps)
    torch.testing.assert_close(q.score(x * unit) * unit, p.score(x), rtol=0, atol=1e4 * eps)
    torch.testing.assert_close(
        q.smoothed_score(x * unit, 0.5 * unit) * unit, p.smoothed_score(x, 0.5), rtol=0, atol=1e4 * eps
    )
    mine, theirs = q.given([1], [0.5 * unit]), p.given([1], [0.5])
    torch.testing.assert_close(mine.means / unit, theirs.means, rtol=0, atol=1e3 * eps)
    torch.testing.assert_close(mine.weights, theirs.weights, rtol=1e4 * eps, atol=0)


@pytest.mark.parametrize("unit", [1e-25, 1e-20, 5e19, 1e25])
def test_spreads_whose_squares_float32_does_not_hold_are_refused(unit):
    covariances = torch.eye(2, dtype=torch.float64)[None] * unit**2
    with pytest.raises(ValueError, match=r"^covariances must"):
        FullCovarianceMixture(torch.zeros(1, 2), covariances)
    FullCovarianceMixture(torch.zeros(1, 2, dtype=torch.float64), covariances)
    # Nor what is left of a coordinate once the others are known.
    thin = 1e-33 * torch.tensor([[1.0, 1 - 2**-20], [1 - 2**-20, 1.0]])
    with pytest.raises(ValueError, match=r"^covariances must"):
        FullCovarianceMixture(torch.zeros(1, 2), thin[None])


@properties
@given(mixtures_and_points(), st.integers(0, 2**31))
def test_an_affine_map_maps_the_law(case, seed):
    p, x = case
    a = normal(p.dim, p.dim, seed=seed)
    a = torch.linalg.qr(a)[0] @ torch.diag(torch.linspace(0.5, 2, p.dim, dtype=torch.float64))
    q = FullCovarianceMixture(p.means @ a.T, a @ p.covariances @ a.T, p.weights)
    shift = torch.linalg.slogdet(a)[1]
    assert_same(p, q, x, x @ a.T, lambda v: v - shift, lambda v: v @ torch.linalg.inv(a))


@properties
@given(mixtures_and_points(), st.randoms(use_true_random=False))
def test_the_order_of_components_is_nothing(case, random):
    p, x = case
    order = random.sample(range(len(p.means)), len(p.means))
    assert_same(p, FullCovarianceMixture(p.means[order], p.covariances[order], p.weights[order]), x, x, rtol=1e-12)


@properties
@given(mixtures_and_points(), st.randoms(use_true_random=False))
def test_the_order_of_coordinates_is_nothing(case, random):
    p, x = case
    order = random.sample(range(p.dim), p.dim)
    q = FullCovarianceMixture(p.means[:, order], p.covariances[:, order][:, :, order], p.weights)
    assert_same(p, q, x, x[:, order], score=lambda v: v[:, order])


def layouts(x):
    return [x.mT.contiguous().mT, x.repeat_interleave(2, 0)[::2], torch.cat([x, x], -1)[..., : x.shape[-1]]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_values_give_equal_results_however_they_lie(dtype):
    means, covariances, x = (value.to(dtype) for value in (normal(3, 4), ellipses(3, 4), normal(40, 4, seed=51)))
    p = FullCovarianceMixture(means, covariances)
    given_ = p.given([2, 0], [0.5, 1.0])
    for laid in zip(layouts(means), layouts(covariances), layouts(x), strict=True):
        q = FullCovarianceMixture(*laid[:2])
        assert torch.equal(q.log_prob(laid[2]), p.log_prob(x))
        assert torch.equal(q.score(laid[2]), p.score(x))
        assert torch.equal(q.sample(20, seeded(52)), p.sample(20, seeded(52)))
        assert torch.equal(q.smoothed(0.5).score(laid[2]), p.smoothed(0.5).score(x))
        assert torch.equal(q.given([2, 0], [0.5, 1.0]).means, given_.means)
        assert torch.equal(q.given([2, 0], [0.5, 1.0]).covariances, given_.covariances)


def test_what_changes_later_changes_nothing():
    means, covariances, weights = normal(2, 3), ellipses(2, 3), torch.tensor([1.0, 3.0], dtype=torch.float64)
    given_ = [value.clone() for value in (means, covariances, weights)]
    p, x = FullCovarianceMixture(means, covariances, weights), normal(5, 3, seed=53)
    expected = p.log_prob(x), p.score(x), p.sample(5, seeded(54))
    for value, before in zip((means, covariances, weights), given_, strict=True):
        assert torch.equal(value, before)
        value.zero_()
    for found, before in zip((p.log_prob(x), p.score(x), p.sample(5, seeded(54))), expected, strict=True):
        assert torch.equal(found, before)
    assert torch.equal(x, normal(5, 3, seed=53))


@pytest.mark.parametrize("of_mixture", DTYPES)
@pytest.mark.parametrize("of_points", DTYPES)
def test_the_wider_of_two_dtypes_wins(of_mixture, of_points):
    p, x = uneven(3, of_mixture), uneven(3).sample(20, seeded(55)).to(of_points)
    wider = torch.promote_types(of_mixture, of_points)
    assert p.log_prob(x).dtype == p.score(x).dtype == wider
    wide = FullCovarianceMixture(p.means.double(), p.covariances.double(), p.weights.double())
    # What float32 has once rounded is float64's to float64's accuracy, but for the root, which the mixture has made.
    torch.testing.assert_close(p.log_prob(x).double(), wide.log_prob(x.double()), rtol=1e-4, atol=1e-4)
    assert p.given([0], torch.ones(1, dtype=of_points)).means.dtype == of_mixture


def test_the_mixture_has_the_dtype_of_its_means():
    assert FullCovarianceMixture([[0, 1]], [[[1, 0], [0, 1]]]).means.dtype == torch.float32
    p = FullCovarianceMixture(np.zeros((1, 1)), [[[0.1]]], [1])
    assert p.means.dtype == p.covariances.dtype == p.weights.dtype == p.sample(2, seeded(0)).dtype == torch.float64
    assert p.covariances.item() == 0.1  # which has not been through float32
    assert (p.sample(100, seeded(3)) != p.sample(100, seeded(3)).float()).sum() > 90


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_is_taken_as_float32(dtype):
    means, covariances, x = (value.to(dtype) for value in (normal(2, 3), ellipses(2, 3), normal(20, 3, seed=56)))
    covariances = (covariances + covariances.mT) / 2
    p = FullCovarianceMixture(means, covariances)
    q = FullCovarianceMixture(means.float(), covariances.float())
    assert torch.equal(p.score(x), q.score(x.float()))
    assert torch.equal(p.log_prob(x), q.log_prob(x.float()))


@pytest.mark.parametrize("dtype", HALVES)
def test_autocast_changes_nothing(dtype):
    def results():
        p, x = uneven(3, torch.float32), normal(20, 3, seed=57).float()
        q = p.given([1], [0.5])
        return p.score(x), p.log_prob(x), p.sample(9, seeded(58)), p.smoothed(0.3).score(x), q.means, q.covariances

    expected = results()
    with torch.autocast("cpu", dtype=dtype):
        found = results()
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("block", [1, 50, 1000])
def test_block_boundaries_do_not_show(monkeypatch, block):
    p, x = uneven(3), uneven(3).sample(101, seeded(59))
    whole = p.log_prob(x), p.score(x)
    monkeypatch.setattr(full_covariance, "_BLOCK", block)
    for blocked, expected in zip((p.log_prob(x), p.score(x)), whole, strict=True):
        torch.testing.assert_close(blocked, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["log_prob", "score"])
def test_no_work_array_outgrows_a_block(monkeypatch, method):
    sizes, solve = [], torch.linalg.solve_triangular

    def recorded(roots, offsets, **kwargs):
        sizes.append(offsets.numel())
        return solve(roots, offsets, **kwargs)

    monkeypatch.setattr(torch.linalg, "solve_triangular", recorded)
    monkeypatch.setattr(full_covariance, "_BLOCK", 2000)
    p, x = FullCovarianceMixture(normal(20, 2), ellipses(20, 2)), normal(900, 2, seed=60)
    getattr(p, method)(x)
    assert len(sizes) >= 18
    assert max(sizes) <= 2000


def test_no_points_give_no_rows():
    p = uneven(2)
    assert p.log_prob(torch.empty(0, 2)).shape == (0,)
    assert p.score(torch.empty(0, 2)).shape == (0, 2)


@pytest.mark.parametrize("bad", [NAN, INF])
def test_a_point_that_is_not_finite_costs_the_others_nothing(bad):
    p, x = uneven(2), normal(5, 2)
    expected, x[2, 1] = p.score(x), bad
    assert torch.equal(p.score(x)[[0, 1, 3, 4]], expected[[0, 1, 3, 4]])
    assert not torch.isfinite(p.score(x)[2]).any()


def test_the_users_threads_are_back_and_the_law_travels():
    before, p, x = torch.get_num_threads(), uneven(2), normal(5, 2)
    try:
        torch.set_num_threads(3)
        p.score(x), p.log_prob(x), p.given([0], [1.0])
        with pytest.raises(ValueError, match="x must"):
            p.score(torch.zeros(3, 3))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert torch.equal(pickle.loads(pickle.dumps(p)).score(x), p.score(x))
    assert repr(p) == "FullCovarianceMixture(components=4, dim=2)"


@pytest.mark.parametrize("weights", [[1.0, 3.0], [1e38, 3e38]])
def test_weights_are_normalised_and_equal_when_left_out(weights):
    assert FullCovarianceMixture([[0.0], [1.0]], torch.ones(2, 1, 1), weights).weights.tolist() == [0.25, 0.75]
    assert FullCovarianceMixture([[0.0], [1.0]], torch.ones(2, 1, 1)).weights.tolist() == [0.5, 0.5]


def test_a_covariance_that_rounding_left_lopsided_is_made_even():
    lopsided = torch.tensor([[[2.0, 0.50001], [0.49999, 1.0]]])
    p = FullCovarianceMixture([[0.0, 0.0]], lopsided)
    assert torch.equal(p.covariances, p.covariances.mT)
    assert p.covariances[0, 0, 1].item() == pytest.approx(0.5, rel=1e-6)


EYE, PLANE = torch.eye(2)[None], torch.zeros(1, 2)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("means", EYE), TypeError, "means must be a tensor or numbers"),
        (([0.0, 1.0], EYE), ValueError, r"means must have shape \(K, d\)"),
        ((torch.zeros(0, 2), EYE[:0]), ValueError, r"means must have shape \(K, d\)"),
        (([[0.0, NAN]], EYE), ValueError, "means must be finite"),
        ((PLANE, "round"), TypeError, "covariances must be a tensor or numbers"),
        ((PLANE, EYE[0]), ValueError, r"covariances must have shape \(1, 2, 2\), got \(2, 2\)"),
        ((PLANE, torch.eye(3)[None]), ValueError, r"covariances must have shape \(1, 2, 2\)"),
        ((PLANE, EYE / 0), ValueError, "covariances must be finite"),
        ((PLANE, [[[1.0, 0.9], [0.8, 1.0]]]), ValueError, "covariances must be symmetric, got one that is off by 0.1"),
        ((PLANE, [[[1.0, 2.0], [2.0, 1.0]]]), ValueError, "covariances must be positive definite in torch.float32"),
        ((PLANE, -EYE), ValueError, "covariances must be positive definite"),
        ((PLANE, 0 * EYE), ValueError, "covariances must be positive definite"),
        ((torch.zeros(2, 2), torch.cat([EYE, -EYE])), ValueError, "covariances must be positive .* that is not: 1"),
        ((PLANE, EYE, [1.0, 1.0]), ValueError, r"weights must have shape \(1,\), got \(2,\)"),
        ((torch.zeros(2, 2), EYE.repeat(2, 1, 1), [2.0, -1.0]), ValueError, "weights must not be negative, got -1"),
        ((PLANE, EYE, [0.0]), ValueError, "weights must not all be zero"),
        ((PLANE, EYE, [INF]), ValueError, "weights must be finite"),
        ((PLANE, EYE, "equal"), TypeError, "weights must be a tensor or numbers"),
    ],
)
def test_a_bad_mixture_is_refused_by_name(arguments, error, message):
    with pytest.raises(error, match=f"^{message}"):
        FullCovarianceMixture(*arguments)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: p.score(torch.zeros(3, 1)), ValueError, r"x must have shape \(n, 2\)"),
        (lambda p: p.log_prob(np.zeros((3, 2))), TypeError, r"x must be a torch.Tensor"),
        (lambda p: p.sample(0), ValueError, "n must be at least 1"),
        (lambda p: p.sample(2, 0), TypeError, "generator must be"),
        (lambda p: p.smoothed(0), ValueError, "sigma must be positive"),
        (lambda p: p.smoothed("1"), TypeError, "sigma must be a number"),
        (lambda p: p.smoothed(1e30), ValueError, "sigma must have a square that torch.float32 can hold, got 1e"),
        (lambda p: p.smoothed(1e300), ValueError, "sigma must be a number that torch.float32 can hold"),
        (lambda p: p.given([0.0], [1.0]), TypeError, "known must be whole numbers"),
        (lambda p: p.given([2], [1.0]), ValueError, "known must lie from 0 to 1"),
        (lambda p: p.given([0, 1], [1.0, 1.0]), ValueError, "known must leave a coordinate of 2 unknown"),
        (lambda p: p.given([0], [1.0, 2.0]), ValueError, r"values must have shape \(1,\), one a known"),
        (lambda p: p.given([0], 1.0), ValueError, r"values must have shape \(1,\)"),
        (lambda p: p.given([0], [NAN]), ValueError, "values must be finite"),
        (lambda p: p.given([0], ["1"]), TypeError, "values must be a tensor or numbers"),
        (lambda p: p.given([0], [1e30]), ValueError, r"values must be closer to the means, got one of size 1e\+30"),
        (lambda p: p.fit(torch.zeros(3), 1), ValueError, r"data must have shape"),
        (lambda p: p.fit(torch.zeros(3, 1) / 0, 1), ValueError, "data must be finite"),
        (lambda p: p.fit(torch.zeros(3, 1), 4), ValueError, "data must have at least 4 rows"),
        (lambda p: p.fit(torch.zeros(1, 1), 1), ValueError, "data must have at least 2 rows"),
        (lambda p: p.fit(torch.zeros(3, 1), 0), ValueError, "n_components must be at least 1"),
        (lambda p: p.fit(torch.zeros(3, 1), 1.0), TypeError, "n_components must be a whole number"),
        (lambda p: p.fit(torch.zeros(3, 1), 1, regularisation=-1), ValueError, "regularisation must not be negative"),
        (lambda p: p.fit(torch.zeros(3, 1), 1, regularisation=0), ValueError, "regularisation must be larger"),
        (lambda p: p.fit(torch.zeros(3, 1), 1, seed=-1), ValueError, "seed must be at least 0"),
        (lambda p: p.fit(torch.zeros(3, 1), 1, seed=2**32), ValueError, "seed must be below 2³²"),
    ],
)
def test_bad_input_is_refused_by_name(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call(FullCovarianceMixture(PLANE, EYE))
