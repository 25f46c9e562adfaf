"""Recipes for a hidden part: exact where they are exact, their formulas by hand, and what they refuse."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch

from notes.diffusion import ladder, reverse_diffusion
from notes.full_covariance import FullCovarianceMixture
from notes.inpainting import guided_by_known, hidden_score, replaced
from notes.mixtures import GaussianMixture
from notes.networks import ScoreNetwork

DTYPES = [torch.float32, torch.float64]
HALVES = [torch.float16, torch.bfloat16]
NAN = math.nan
FIVE_SIGMA = math.erfc(5 / math.sqrt(2))  # the chance of 5 standard errors: the p-value below which a law is refused
RUNGS = [2.0, 1.0, 0.5, 0.1]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def ellipses(dtype=torch.float64):
    a = normal(2, 4, 4, seed=1)
    covariances = a @ a.mT / 4 + 0.2 * torch.eye(4, dtype=torch.float64)
    return FullCovarianceMixture(normal(2, 4, seed=2).to(dtype), covariances.to(dtype), [0.3, 0.7])


def replaced_by_hand(score, x, sigmas, known, values, passes, generator):
    """A loop that says each step in full."""
    for here, there in itertools.pairwise(sigmas):
        for k in range(passes):
            x = x.clone()
            noise = torch.randn(len(x), len(known), generator=generator, dtype=x.dtype)
            for column, place in enumerate(known):
                x[:, place] = values[column] + here * noise[:, column]
            x = reverse_diffusion(score, x, [here, there], generator=generator)
            if k < passes - 1:
                z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
                x = x + math.sqrt(here**2 - there**2) * z
    x[:, known] = torch.tensor(values, dtype=x.dtype)
    return x


class TestReplaced:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("known", [[1], [3, 0]])
    @pytest.mark.parametrize("passes", [1, 2, 4])
    def test_is_its_loop(self, passes, known, dtype):
        p, values = ellipses(dtype), [0.3, -1.0][: len(known)]
        x0 = 2 * normal(30, 4, seed=3).to(dtype)
        expected = replaced_by_hand(p.smoothed_score, x0, RUNGS, known, values, passes, seeded(4))
        found = replaced(p.smoothed_score, x0, RUNGS, known, values, passes=passes, generator=seeded(4))
        assert found.dtype == dtype
        torch.testing.assert_close(found, expected, rtol=0, atol=2e3 * torch.finfo(dtype).eps)
        assert torch.equal(found[:, known], torch.tensor(values, dtype=dtype).expand(30, -1))

    def test_takes_one_pass_unless_told(self):
        x0, p = normal(9, 4), ellipses()
        once = replaced(p.smoothed_score, x0, RUNGS, [1], [0.0], passes=1, generator=seeded(5))
        assert torch.equal(replaced(p.smoothed_score, x0, RUNGS, [1], [0.0], generator=seeded(5)), once)

    @pytest.mark.parametrize("passes", [1, 3])
    def test_leaves_what_is_independent_of_the_known_with_its_own_law(self, passes):
        # A mixture on the first axis times a Gaussian on the second, on which 3 is known, five of its deviations out.
        p = GaussianMixture([[1.0, 0.0], [-1.5, 0.0]], 0.6, [0.7, 0.3])
        x0 = 8 * normal(3000, 2, seed=6).float()
        x = replaced(p.smoothed_score, x0, ladder(8.0, 0.02, 120), [1], [3.0], passes=passes, generator=seeded(7))

        def cumulative(values):
            stds = math.hypot(0.6, 0.02)
            return 0.7 * scipy.stats.norm.cdf(values, 1.0, stds) + 0.3 * scipy.stats.norm.cdf(values, -1.5, stds)

        assert scipy.stats.kstest(x[:, 0].numpy(), cumulative).pvalue > FIVE_SIGMA
        assert x[:, 1].unique().tolist() == [3.0]

    def test_on_a_gaussian_has_the_moments_of_its_recursion_which_are_not_the_posteriors(self):
        # Two coordinates of correlation 0.8; with v known each step is linear in x_h and two normal numbers.
        covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
        p, v, n = FullCovarianceMixture(torch.zeros(1, 2).double(), covariance[None]), 1.5, 20_000
        rungs = ladder(5.0, 0.02, 60).tolist()
        x = replaced(p.smoothed_score, 5 * normal(n, 2, seed=8), rungs, [0], [v], generator=seeded(9))[:, 1]
        mean, variance = 0.0, 25.0
        for here, there in itertools.pairwise(rungs):
            precision = torch.linalg.inv(covariance + here**2 * torch.eye(2)).numpy()
            change = here**2 - there**2
            keep, pull = 1 - change * precision[1, 1], -change * precision[1, 0]
            mean = keep * mean + pull * v
            variance = keep**2 * variance + (pull * here) ** 2 + change
        assert abs(x.mean().item() - mean) <= 5 * math.sqrt(variance / n)
        assert abs(x.var().item() - variance) <= 5 * variance * math.sqrt(2 / n)
        exact = p.given([0], [v])  # mean 1.2 and variance 0.36
        assert abs(mean - exact.means.item()) > 20 * math.sqrt(variance / n)

    def test_more_passes_come_closer_to_the_posterior(self):
        covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
        p = FullCovarianceMixture(torch.zeros(1, 2).double(), covariance[None])
        away = []
        for passes in (1, 10):
            x0 = 5 * normal(4000, 2, seed=10)
            x = replaced(p.smoothed_score, x0, ladder(5.0, 0.02, 30), [0], [1.5], passes=passes, generator=seeded(11))
            away.append(abs(x[:, 1].mean().item() - 1.2))
        assert away[1] < 0.5 * away[0]

    @pytest.mark.parametrize("dtype", HALVES)
    def test_half_precision_gives_what_float32_gives_to_its_own_accuracy(self, dtype):
        # Six hundred small steps, each of which half precision alone would lose.
        def score(x, sigma):
            seen.append(x.dtype)
            return -x / (1 + sigma**2)

        sigmas, x0, seen = ladder(1.0, 0.5, 300), normal(200, 2).to(dtype), []
        half = replaced(score, x0, sigmas, [1], [0.5], passes=2, generator=seeded(12))
        assert {*seen} == {dtype}
        assert half.dtype == dtype
        single = replaced(score, x0.float(), sigmas, [1], [0.5], passes=2, generator=seeded(12))
        torch.testing.assert_close(half.float(), single, rtol=0, atol=16 * torch.finfo(dtype).eps)

    @pytest.mark.parametrize("power", [-40, 40])
    def test_the_unit_does_not_matter(self, power):
        x0, unit = normal(20, 2).float(), 2.0**power

        def run(unit):
            score = GaussianMixture([[0.0, unit]], 0.5 * unit).smoothed_score
            sigmas = [unit * s for s in RUNGS]
            return replaced(score, x0 * unit, sigmas, [1], [0.3 * unit], passes=2, generator=seeded(13))

        torch.testing.assert_close(run(unit) / unit, run(1.0), rtol=1e-5, atol=1e-5)

    def test_equal_points_and_seeds_give_equal_results_however_they_lie_and_what_is_known_in_any_form(self):
        p, x = ellipses(), normal(20, 4)
        before, state = x.clone(), torch.get_rng_state()
        run = lambda x, known, values: replaced(p.smoothed_score, x, RUNGS, known, values, generator=seeded(14))  # noqa: E731
        expected = run(x, [2, 0], [0.1, 0.2])
        for laid in (x.T.contiguous().T, x.repeat_interleave(2, 0)[::2], torch.cat([x, x], 1)[:, :4]):
            assert torch.equal(run(laid, [2, 0], [0.1, 0.2]), expected)
        for known in (torch.tensor([2, 0]), np.array([2, 0]), (2, 0), torch.tensor([2, 0], dtype=torch.uint8)):
            assert torch.equal(run(x, known, torch.tensor([0.1, 0.2], dtype=torch.float64)), expected)
        assert torch.equal(x, before)
        assert torch.equal(torch.get_rng_state(), state)
        assert not torch.equal(replaced(p.smoothed_score, x, RUNGS, [2, 0], [0.1, 0.2], generator=seeded(15)), expected)

    def test_nothing_is_kept_of_a_graph(self):
        network = ScoreNetwork(2, width=4, generator=seeded(16))
        x = replaced(lambda x, sigma: network(x), torch.ones(3, 2, requires_grad=True), RUNGS, [0], [1.0])
        assert not x.requires_grad

    def test_no_particles_are_no_rows(self):
        assert replaced(ellipses().smoothed_score, torch.zeros(0, 4), RUNGS, [0], [1.0]).shape == (0, 4)

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"score": 3}, TypeError, "score must be a function"),
            ({"score": lambda x, sigma: x[:, :1]}, ValueError, "score must return the shape"),
            ({"x0": [[0.0]]}, TypeError, r"x0 must be a torch\.Tensor"),
            ({"x0": torch.full((3, 2), NAN)}, ValueError, "x0 must be finite"),
            ({"x0": torch.zeros(3, 1), "known": [0]}, ValueError, "known must leave a coordinate of 1 unknown"),
            ({"sigmas": [1.0]}, ValueError, "sigmas must be a ladder of at least two"),
            ({"sigmas": 1.0}, ValueError, "sigmas must be a ladder"),
            ({"sigmas": "1"}, TypeError, "sigmas must be"),
            ({"sigmas": [2.0, 1.0, 1.5]}, ValueError, "sigmas must fall"),
            ({"sigmas": [1.0, 0.0]}, ValueError, "sigmas must be positive"),
            ({"known": [2]}, ValueError, "known must lie from 0 to 1"),
            ({"known": []}, ValueError, "known must be one or more different"),
            ({"values": [1.0, 2.0]}, ValueError, r"values must have shape \(1,\), one a known .*, got \(2,\)"),
            ({"values": [NAN]}, ValueError, "values must be finite"),
            ({"values": [1e39]}, ValueError, "values must be finite"),
            ({"passes": 0}, ValueError, "passes must be at least 1"),
            ({"passes": 1.0}, TypeError, "passes must be a whole number"),
            ({"generator": 0}, TypeError, "generator must be"),
        ],
    )
    def test_bad_input_is_refused_by_name_before_the_first_step(self, change, error, message):
        asked = []

        def score(x, sigma):
            asked.append(sigma)
            return -x

        given = {"score": score, "x0": torch.zeros(3, 2), "sigmas": RUNGS, "known": [1], "values": [0.5]}
        with pytest.raises(error, match=f"^{message}"):
            replaced(**(given | change))
        assert asked == []

    def test_a_walk_that_leaves_the_finite_numbers_is_reported(self):
        with pytest.raises(FloatingPointError, match="σ = 2"):
            replaced(lambda x, sigma: x * NAN, torch.zeros(3, 2), RUNGS, [1], [0.5])


class TestGuidedByKnown:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("sigma", [0.05, 1.0, 6.0])
    def test_on_one_round_gaussian_is_the_score_of_the_posterior_with_noise(self, sigma, dtype):
        # x' ~ N(m, τ²), and known x'_o = v: the noisy known part is N(v, σ²), the other N(m, τ² + σ²).
        tau, m, v = 0.7, torch.tensor([0.5, -1.0, 2.0], dtype=dtype), torch.tensor([3.0, 0.2], dtype=dtype)
        p, x = GaussianMixture(m[None], tau), 2 * normal(20, 3).to(dtype)
        found = guided_by_known(p.smoothed_score, [2, 0], v, spread=tau)(x, sigma)
        expected = torch.stack(
            [
                (v[1] - x[:, 0]) / sigma**2,
                (m[1] - x[:, 1]) / (tau**2 + sigma**2),
                (v[0] - x[:, 2]) / sigma**2,
            ],
            1,
        )
        assert found.dtype == dtype
        torch.testing.assert_close(found, expected, rtol=0, atol=100 * torch.finfo(dtype).eps * (1 + 2 / sigma**2))

    @pytest.mark.parametrize("spread", [0.4, 2.0])
    def test_is_its_formula_by_a_jacobian(self, spread):
        p, x, sigma, known, v = ellipses(), normal(6, 4, seed=20), 0.8, [3, 1], torch.tensor([0.4, -0.3]).double()
        jacobian = torch.autograd.functional.jacobian(lambda y: p.smoothed_score(y[None], sigma)[0], x[0])
        guess = (x + sigma**2 * p.smoothed_score(x, sigma))[0]
        slope = (torch.eye(4, dtype=torch.float64) + sigma**2 * jacobian)[known]
        variance = sigma**2 * spread**2 / (sigma**2 + spread**2)
        expected = p.smoothed_score(x, sigma)[0] + slope.T @ (v - guess[known]) / variance
        found = guided_by_known(p.smoothed_score, known, v, spread=spread)(x, sigma)
        torch.testing.assert_close(found[0], expected, rtol=1e-10, atol=1e-10)
        alone = torch.cat([guided_by_known(p.smoothed_score, known, v, spread=spread)(row[None], sigma) for row in x])
        torch.testing.assert_close(found, alone, rtol=1e-12, atol=1e-12)

    def test_has_a_spread_of_one_unless_told(self):
        p, x = ellipses(), normal(6, 4)
        expected = guided_by_known(p.smoothed_score, [0], [1.0], spread=1.0)(x, 0.5)
        assert torch.equal(guided_by_known(p.smoothed_score, [0], [1.0])(x, 0.5), expected)

    def test_samples_the_posterior_of_a_round_gaussian(self):
        p, n = GaussianMixture([[0.5, -1.0]], 0.8), 3000
        score = guided_by_known(p.smoothed_score, [1], [1.2], spread=0.8)
        x = reverse_diffusion(score, 6 * normal(n, 2, seed=21).float(), ladder(6.0, 0.05, 120), generator=seeded(22))
        law = scipy.stats.norm(0.5, math.hypot(0.8, 0.05))
        assert scipy.stats.kstest(x[:, 0].numpy(), law.cdf).pvalue > FIVE_SIGMA
        assert (x[:, 1] - 1.2).abs().max() < 0.05 * 8

    @pytest.mark.parametrize("power", [-55, -20, 20, 55])
    def test_the_unit_does_not_matter(self, power):
        x, unit = normal(20, 2).float(), 2.0**power

        def run(unit):
            p = GaussianMixture([[0.0, unit], [unit, -unit]], 0.5 * unit)
            return unit * guided_by_known(p.smoothed_score, [1], [0.3 * unit], spread=unit)(x * unit, 0.7 * unit)

        torch.testing.assert_close(run(unit), run(1.0), rtol=1e-5, atol=1e-5)

    def test_nothing_is_kept_whatever_the_mode_of_autograd(self):
        network = ScoreNetwork(2, width=4, generator=seeded(23)).double()
        values, known, x = torch.tensor([1.0]).double(), torch.tensor([1]), normal(5, 2).requires_grad_()
        score = guided_by_known(lambda x, sigma: network(x), known, values)
        expected = score(x, 0.5)
        assert not expected.requires_grad
        assert x.grad is None
        assert all(parameter.grad is None for parameter in network.parameters())
        values.zero_(), known.zero_()
        assert torch.equal(score(x, 0.5), expected)
        with torch.no_grad():
            assert torch.equal(score(x, 0.5), expected)
            assert not torch.is_grad_enabled()
        with torch.inference_mode():
            torch.testing.assert_close(score(x.clone(), 0.5).clone(), expected, rtol=1e-13, atol=0)

    @pytest.mark.parametrize(
        ("score", "error", "message"),
        [
            (lambda x, sigma: -x.detach(), ValueError, "score must be differentiable in x"),
            (lambda x, sigma: x[:, :1], ValueError, "score must return the shape"),
            (lambda x, sigma: 0.0, TypeError, r"score must return a torch\.Tensor"),
        ],
    )
    def test_a_score_without_what_it_takes_is_refused(self, score, error, message):
        with pytest.raises(error, match=f"^{message}"):
            guided_by_known(score, [1], [1.0])(torch.zeros(3, 2), 1.0)

    @pytest.mark.parametrize(("spread", "error"), [(0, ValueError), (-1.0, ValueError), ("1", TypeError)])
    def test_a_bad_spread_is_refused(self, spread, error):
        with pytest.raises(error, match=r"^spread must be"):
            guided_by_known(lambda x, sigma: -x, [1], [1.0], spread=spread)


class TestHiddenScore:
    @pytest.mark.parametrize("known", [[0], [3, 1], [2, 0, 3]])
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_is_the_gradient_of_the_joint_density_in_the_hidden_coordinates(self, known, dtype):
        p, sigma = ellipses(dtype), 0.4
        values = normal(len(known), seed=30).to(dtype)
        hidden = [i for i in range(4) if i not in known]
        x = normal(12, len(hidden), seed=31).to(dtype).requires_grad_()
        joint = torch.stack(
            [x[:, hidden.index(i)] if i in hidden else values[known.index(i)].expand(12) for i in range(4)], 1
        )
        (expected,) = torch.autograd.grad(p.smoothed(sigma).log_prob(joint).sum(), x)
        found = hidden_score(p.smoothed_score, known, values)(x, sigma)
        assert found.dtype == dtype
        torch.testing.assert_close(found, expected, rtol=0, atol=500 * torch.finfo(dtype).eps)

    def test_is_the_score_of_the_smoothed_law_given_the_rest(self):
        p, known, values = ellipses(), [1, 2], [0.3, -0.6]
        x = normal(12, 2, seed=32)
        for sigma in (1e-3, 0.5):
            expected = p.smoothed(sigma).given(known, values).score(x)
            found = hidden_score(p.smoothed_score, known, values)(x, sigma)
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)

    def test_derivatives_flow_through(self):
        field = hidden_score(ellipses().smoothed_score, [1], [0.5])
        assert torch.autograd.gradcheck(lambda x: field(x, 0.7), (normal(2, 3, seed=33).requires_grad_(),))

    def test_what_changes_later_changes_nothing(self):
        values, known, x = torch.tensor([1.0]).double(), torch.tensor([1]), normal(5, 3)
        field = hidden_score(ellipses().smoothed_score, known, values)
        expected, before = field(x, 0.5), x.clone()
        values.zero_(), known.zero_()
        assert torch.equal(field(x, 0.5), expected)
        assert torch.equal(x, before)

    def test_numbers_of_python_have_all_their_digits(self):
        field = hidden_score(lambda x, sigma: x.flip(1), [0], [0.1])
        assert field(torch.zeros(1, 1, dtype=torch.float64), 1.0).item() == 0.1

    @pytest.mark.parametrize(
        ("x", "error", "message"),
        [
            (torch.zeros(3, 2), ValueError, "known must lie from 0 to 2, got .3."),
            ([[0.0]], TypeError, r"x must be a torch\.Tensor"),
            (torch.zeros(3), ValueError, "x must have shape"),
        ],
    )
    def test_bad_points_are_refused_by_name(self, x, error, message):
        with pytest.raises(error, match=f"^{message}"):
            hidden_score(lambda x, sigma: -x, [3], [1.0])(x, 1.0)

    def test_a_score_of_another_shape_is_refused(self):
        with pytest.raises(ValueError, match=r"^score must return the shape of its input \(3, 2\), got \(3, 1\)"):
            hidden_score(lambda x, sigma: x[:, :1], [1], [1.0])(torch.zeros(3, 1), 1.0)


@pytest.mark.parametrize("make", [guided_by_known, hidden_score])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((None, [1], [1.0]), TypeError, "score must be a function"),
        ((torch.neg, 1, [1.0]), ValueError, "known must be one or more different coordinates, got 1"),
        ((torch.neg, [1.0], [1.0]), TypeError, "known must be whole numbers"),
        ((torch.neg, ["1"], [1.0]), TypeError, "known must be whole numbers"),
        ((torch.neg, [1, 1], [1.0, 1.0]), ValueError, "known must be one or more different"),
        ((torch.neg, [-1], [1.0]), ValueError, "known must lie from 0 to d − 1"),
        ((torch.neg, [1], [1.0, 2.0]), ValueError, r"values must have shape \(1,\)"),
        ((torch.neg, [1], ["1"]), TypeError, "values must be a tensor or numbers"),
        ((torch.neg, [1], [NAN]), ValueError, "values must be finite"),
    ],
)
def test_what_is_known_is_refused_by_name_where_it_is_told(make, arguments, error, message):
    with pytest.raises(error, match=f"^{message}"):
        make(*arguments)
