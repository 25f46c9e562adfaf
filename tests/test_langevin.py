"""Walks against the recursions, variances and laws they are said to follow."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from notes.langevin import langevin, mala, stationary_law, stationary_variance, transition_matrix
from notes.mixtures import GaussianMixture

DTYPES = [torch.float32, torch.float64]
NAN, INF = math.nan, math.inf


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def standard_score(x):
    return -x


def standard_normal(dim=1, dtype=torch.float64):
    return GaussianMixture(torch.zeros(1, dim, dtype=dtype), torch.ones(1, dtype=dtype))


def two_wells(dtype=torch.float64):
    """0.6·N(2, 0.5²) + 0.4·N(−2, 0.2²)."""
    return GaussianMixture(*(torch.tensor(v, dtype=dtype) for v in ([[2.0], [-2.0]], [0.5, 0.2], [0.6, 0.4])))


class Density:
    """A density made of two functions; the standard normal's where one is left out."""

    def __init__(self, log_prob=lambda x: -0.5 * x.square().sum(1), score=standard_score):
        self.log_prob, self.score = log_prob, score


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 2.5])
@pytest.mark.parametrize("step_size", [0.01, 0.3])
def test_a_step_is_drift_plus_noise(step_size, temperature, dtype):
    p = GaussianMixture(torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=dtype), 0.7)
    x = torch.randn(50, 2, generator=seeded(0), dtype=dtype)
    z = torch.randn(50, 2, generator=seeded(1), dtype=dtype)
    walked = langevin(p.score, x, step_size, 1, temperature=temperature, generator=seeded(1))
    expected = x + step_size * p.score(x) + math.sqrt(2 * step_size * temperature) * z
    # Three terms of up to 10, each rounded.
    torch.testing.assert_close(walked, expected, rtol=0, atol=30 * torch.finfo(dtype).eps)


def test_each_step_draws_new_noise():
    z = torch.randn(1, 4, 2, generator=seeded(2)), torch.randn(1, 4, 2, generator=seeded(2))
    walked = langevin(torch.zeros_like, torch.zeros(4, 2), 0.5, 2, generator=seeded(2), record_every=1)
    assert torch.equal(walked[1], z[0][0])
    assert not torch.equal(walked[2] - walked[1], walked[1])


def test_temperature_zero_is_gradient_ascent_and_draws_nothing():
    p = standard_normal(2)
    x = p.sample(20, seeded(3))
    generator = seeded(4)
    before, before_global = generator.get_state(), torch.get_rng_state()
    walked = langevin(p.score, x, 0.25, 5, temperature=0, generator=generator, record_every=1)
    assert torch.equal(generator.get_state(), before)
    for t in range(5):
        # A power of two as step size: the product is exact, so the sum is rounded once however it is computed.
        assert torch.equal(walked[t + 1], walked[t] + 0.25 * p.score(walked[t]))
    langevin(p.score, x, 0.25, 5, temperature=0)
    assert torch.equal(torch.get_rng_state(), before_global)


@pytest.mark.parametrize("variance", [1.0, 4.0])
@pytest.mark.parametrize("step_size", [0.1, 0.5, 1.0, 1.5, 1.9])
def test_the_variance_settles_where_stationary_variance_says(step_size, variance):
    n = 100_000
    # After 200 steps from 0 at most 0.951²⁰⁰ = 4e-5 of the stationary variance is missing.
    x = langevin(lambda x: -x / variance, torch.zeros(n, 1), step_size, 200, generator=seeded(5))
    expected = stationary_variance(variance, step_size)
    # The mean square of n independent Gaussians has variance 2v²/n.
    assert abs(x.square().mean().item() - expected) <= (5 * math.sqrt(2 / n) + 4e-5) * expected


@pytest.mark.parametrize("step_size", [0.1, 0.5])
@pytest.mark.parametrize("slip", ["√τ", "2τ"])
def test_temperature_names_a_wrong_noise_coefficient(step_size, slip):
    noise_std = {"√τ": math.sqrt(step_size), "2τ": 2 * step_size}[slip]
    temperature = {"√τ": 0.5, "2τ": 2 * step_size}[slip]
    n = 100_000
    z = torch.randn(n, 1, generator=seeded(6))
    walked = langevin(
        standard_score,
        torch.zeros(n, 1),
        step_size,
        100,
        temperature=temperature,
        generator=seeded(6),
        record_every=1,
    )
    torch.testing.assert_close(walked[1], noise_std * z, rtol=1e-6, atol=0)
    # A linear recursion: its variance is proportional to that of its noise.
    expected = temperature * stationary_variance(1.0, step_size)
    assert abs(walked[-1].square().mean().item() - expected) <= 5 * math.sqrt(2 / n) * expected


@pytest.mark.parametrize("variance", [0.04, 1.0, 4.0])
@pytest.mark.parametrize("fraction", [0.001, 0.05, 0.5, 0.9, 0.99])
def test_stationary_variance_is_the_fixed_point_of_the_recursion(variance, fraction):
    step_size = 2 * variance * fraction
    v = variance
    for _ in range(20_000):  # contracts by (1 − τ/σ²)² ≤ 0.9604 or, at the smallest step, 0.996
        v = (1 - step_size / variance) ** 2 * v + 2 * step_size
    # Next to the limit, 1 − τ/2σ² = 0.01 magnifies rounding a hundredfold.
    assert stationary_variance(variance, step_size) == pytest.approx(v, rel=1e-12)


@pytest.mark.parametrize("variance", [0.25, 1.0, 4.0])
def test_stationary_variance_is_infinite_from_twice_the_variance_on(variance):
    assert stationary_variance(variance, 2 * variance) == INF
    assert stationary_variance(variance, 3 * variance) == INF
    assert math.isfinite(stationary_variance(variance, math.nextafter(2 * variance, 0)))


def test_stationary_variance_tends_to_the_variance_at_small_steps():
    assert stationary_variance(4.0, 1e-9) == pytest.approx(4.0, rel=1e-9)


@pytest.mark.parametrize(
    "walk", [langevin, lambda score, *args, **kwargs: mala(Density(score=score), *args, **kwargs)[0]]
)
class TestRecording:
    x0 = torch.linspace(-1, 1, 6).reshape(3, 2)

    def test_starts_at_x0(self, walk):
        walked = walk(standard_score, self.x0, 0.1, 4, generator=seeded(0), record_every=2)
        assert torch.equal(walked[0], self.x0)

    @pytest.mark.parametrize("record_every", [1, 2, 3, 6])
    def test_has_every_nth_state_of_one_and_the_same_walk(self, walk, record_every):
        whole = walk(standard_score, self.x0, 0.1, 6, generator=seeded(7), record_every=1)
        walked = walk(standard_score, self.x0, 0.1, 6, generator=seeded(7), record_every=record_every)
        assert walked.shape == (6 // record_every + 1, 3, 2)
        assert torch.equal(walked, whole[::record_every])
        assert torch.equal(walk(standard_score, self.x0, 0.1, 6, generator=seeded(7)), whole[-1])

    @pytest.mark.parametrize("record_every", [None, 1, 5])
    def test_no_steps_return_x0_alone_and_draw_nothing(self, walk, record_every):
        generator = seeded(8)
        before = generator.get_state()
        walked = walk(standard_score, self.x0, 0.1, 0, generator=generator, record_every=record_every)
        assert torch.equal(walked, self.x0 if record_every is None else self.x0[None])
        assert torch.equal(generator.get_state(), before)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_keeps_the_dtype_of_x0(self, walk, dtype):
        assert walk(standard_score, self.x0.to(dtype), 0.1, 2, generator=seeded(0)).dtype == dtype

    def test_does_not_touch_x0(self, walk):
        x0 = self.x0.clone()
        walked = walk(standard_score, x0, 0.1, 2, generator=seeded(0))
        assert torch.equal(x0, self.x0)
        walked.zero_()
        assert torch.equal(x0, self.x0)

    def test_carries_no_gradient(self, walk):
        x0 = self.x0.clone().requires_grad_()
        assert not walk(standard_score, x0, 0.1, 2, generator=seeded(0)).requires_grad
        assert x0.requires_grad
        slope = torch.tensor(-1.0, requires_grad=True)  # as a network has
        assert not walk(lambda x: slope * x, x0, 0.1, 2, generator=seeded(0)).requires_grad

    def test_is_decided_by_its_generator_alone(self, walk):
        before = torch.get_rng_state()
        first, again, other = (walk(standard_score, self.x0, 0.1, 3, generator=seeded(s)) for s in (9, 9, 10))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert torch.equal(torch.get_rng_state(), before)

    def test_follows_the_global_seed_without_a_generator(self, walk):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            first, second = (walk(standard_score, self.x0, 0.1, 3) for _ in range(2))
            torch.manual_seed(0)
            assert torch.equal(walk(standard_score, self.x0, 0.1, 3), first)
        assert not torch.equal(first, second)


def test_a_score_in_float64_leaves_a_float32_walk_in_float32():
    p = standard_normal()
    x0 = torch.ones(3, 1)
    assert p.score(x0).dtype == torch.float64
    assert langevin(p.score, x0, 0.1, 2, generator=seeded(0)).dtype == torch.float32
    assert mala(p, x0, 0.1, 2, generator=seeded(0))[0].dtype == torch.float32


def test_what_a_score_returns_in_float64_is_used_in_it_before_the_state_is_rounded():
    x0 = torch.full((1, 1), 2.0**24)
    # A step by 1 + 2⁻²⁰ is rounded up to 2, and by 1, to which float32 would round it first, down to none.
    walked = langevin(lambda x: torch.full_like(x, 1 + 2**-20, dtype=torch.float64), x0, 1.0, 1, temperature=0)
    assert walked.item() == 2**24 + 2


def test_what_a_log_prob_returns_in_float64_is_compared_in_it():
    # Of log-densities around 10⁹ float32 keeps multiples of 64.
    far = Density(lambda x: 1e9 - 0.5 * x.double().square().sum(1))
    x0 = torch.randn(2000, 1, generator=seeded(3))
    (walked, rate), (expected, expected_rate) = (
        mala(density, x0, 0.5, 20, generator=seeded(0)) for density in (far, Density())
    )
    # The digits of float64 there, 10⁻⁷, change the fate of hardly any.
    assert abs(rate - expected_rate) < 1e-3
    assert (walked != expected).double().mean() < 0.02


def test_a_walk_of_no_particles_has_no_rows():
    assert langevin(standard_score, torch.empty(0, 2), 0.1, 4).shape == (0, 2)
    assert langevin(standard_score, torch.empty(0, 2), 0.1, 4, record_every=2).shape == (3, 0, 2)
    walked, rate = mala(Density(), torch.empty(0, 2), 0.1, 4)
    assert walked.shape == (0, 2)
    assert math.isnan(rate)  # nothing was proposed


def test_divergence_is_reported_with_step_and_step_size_and_the_limit():
    # At τ = 3 each step is x ← −2x, and 2¹²⁸ is the first power of two that float32 lacks.
    with pytest.raises(FloatingPointError, match=r"step 128 with step_size=3\b.*2σ²"):
        langevin(standard_score, torch.ones(2, 1), 3.0, 1000, temperature=0, record_every=500)


def test_divergence_of_one_particle_among_many_is_reported():
    x0 = torch.zeros(1000, 2)
    x0[613, 1] = 1.0
    with pytest.raises(FloatingPointError, match="step 128 "):
        langevin(standard_score, x0, 3.0, 200, temperature=0)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_score_that_is_not_finite_is_reported_at_its_step(bad):
    scores = iter([0.0, 0.0, bad])
    with pytest.raises(FloatingPointError, match="step 3 "):
        langevin(lambda x: torch.full_like(x, next(scores)), torch.zeros(2, 1), 0.1, 3)


def test_large_finite_positions_are_no_divergence():
    x0 = torch.full((4, 1), 3e38)
    assert torch.equal(langevin(torch.zeros_like, x0, 0.1, 1, temperature=0), x0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_a_mixture_a_step_between_the_two_limits_overflows_nothing(dtype):
    # 2σ² is 0.08 in the narrow mode and 0.5 in the wide one.
    p = two_wells(dtype)
    walked = langevin(p.score, p.sample(500, seeded(11)), 0.3, 1000, generator=seeded(12), record_every=100)
    assert torch.isfinite(walked).all()
    # At −2 the narrow mode throws a particle away at more than it drew it in, and the wide one catches it.
    assert (walked[0] < 0).float().mean() > 0.3
    assert (walked[-1] < 0).float().mean() < 0.05


def test_the_score_is_called_without_autograd_and_may_switch_it_on():
    p = two_wells()
    seen = []

    def differentiated(x):
        seen.append(torch.is_grad_enabled())
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(p.log_prob(x).sum(), x)[0]

    x0 = p.sample(10, seeded(13))
    walked = langevin(differentiated, x0, 0.01, 5, generator=seeded(14))
    assert not any(seen)
    # Two ways to a score of up to 20 in float64, and five steps.
    torch.testing.assert_close(walked, langevin(p.score, x0, 0.01, 5, generator=seeded(14)), rtol=0, atol=1e-11)
    assert torch.is_grad_enabled()


class TestTransitionMatrix:
    @pytest.mark.parametrize("step_size", [0.1, 0.5, 0.9])
    def test_moves_a_gaussian_as_the_recursion_does(self, step_size):
        # x ← (1 − τ/σ²) x + √(2τ) z with σ² = ½, three times. Over four spacings a sum of a Gaussian is its integral
        # to e⁻³⁰⁰, and the grid holds 10 stds of the widest law.
        grid = torch.linspace(-20, 20, 401, dtype=torch.float64)
        matrix = transition_matrix(lambda x: -2 * x, step_size, grid)
        mean, variance = 1.0, 0.3
        law = torch.from_numpy(scipy.stats.norm.pdf(grid.numpy(), mean, math.sqrt(variance)))
        for _ in range(3):
            law = matrix @ law
            mean, variance = (1 - 2 * step_size) * mean, (1 - 2 * step_size) ** 2 * variance + 2 * step_size
            expected = torch.from_numpy(scipy.stats.norm.pdf(grid.numpy(), mean, math.sqrt(variance)))
            torch.testing.assert_close(law, expected, rtol=0, atol=1e-12)

    def test_keeps_mass_and_sign(self):
        matrix = transition_matrix(two_wells().score, 0.02, torch.linspace(-4, 5, 101))
        assert matrix.shape == (101, 101)
        assert matrix.dtype == torch.float64
        assert (matrix >= 0).all()
        torch.testing.assert_close(matrix.sum(0), torch.ones(101, dtype=torch.float64), rtol=0, atol=1e-13)

    def test_leaves_the_stationary_law_where_it_is(self):
        grid = torch.linspace(-4, 5, 301, dtype=torch.float64)
        law = stationary_law(two_wells().score, 0.02, grid)
        torch.testing.assert_close(transition_matrix(two_wells().score, 0.02, grid) @ law, law, rtol=0, atol=1e-12)


class TestStationaryLaw:
    @pytest.mark.parametrize("variance", [0.25, 1.0])
    @pytest.mark.parametrize("fraction", [0.05, 0.15, 0.5, 0.75])
    def test_is_the_wider_gaussian_on_a_gaussian(self, variance, fraction):
        step_size = 2 * variance * fraction
        std = math.sqrt(stationary_variance(variance, step_size))
        grid = torch.linspace(-8 * std, 8 * std, 401, dtype=torch.float64)
        law = stationary_law(lambda x: -x / variance, step_size, grid)
        expected = torch.from_numpy(scipy.stats.norm.pdf(grid.numpy(), 0, std))
        # Over four spacings a sum of a Gaussian is its integral to e⁻³⁰⁰; the cut at 8 stds takes 1e-15. A chain that
        # forgets a tenth of the past in a step magnifies this, and 400 rounded terms, at most tenfold each.
        torch.testing.assert_close(law, expected, rtol=0, atol=1e-11 / std)

    def test_is_a_density_in_float64(self):
        grid = torch.linspace(-4, 5, 601)
        law = stationary_law(two_wells(torch.float32).score, 0.02, grid)
        assert law.dtype == torch.float64
        assert law.shape == (601,)
        assert law.min() >= 0
        assert law.sum().item() * (grid[1] - grid[0]).item() == pytest.approx(1, abs=1e-6)  # spacing read from float32

    def test_is_what_a_long_walk_settles_at(self):
        p = GaussianMixture([[1.0], [-1.0]], [0.6, 0.4], [0.5, 0.5])
        step_size, n = 0.1, 100_000
        grid = torch.linspace(-6, 6, 1201, dtype=torch.float64)
        law = stationary_law(p.score, step_size, grid)
        # What is left of the start decays as e^{−λt}, here λ ≈ 1: after 300 steps, e⁻³⁰.
        walked = langevin(p.score, p.sample(n, seeded(15)), step_size, 300, generator=seeded(16))
        edges = torch.linspace(-2.5, 3.5, 25, dtype=torch.float64)
        mass = torch.cat([torch.zeros(1, dtype=torch.float64), torch.cumulative_trapezoid(law, grid)])
        inside = np.interp(edges, grid, mass)
        counts = torch.histogram(walked[:, 0].double(), edges)[0].numpy()
        below, above = (walked < edges[0]).sum().item(), (walked > edges[-1]).sum().item()
        observed = np.concatenate([[below], counts, [above]])
        expected = n * np.diff(inside, prepend=0, append=1)
        assert scipy.stats.chisquare(observed, expected).pvalue > math.erfc(5 / math.sqrt(2))
        # And the bias is there to be seen: the law is not p.
        target = p.log_prob(grid[:, None]).exp()
        assert (law - target).abs().sum() * 0.01 > 0.02

    def test_tends_to_the_target_as_the_step_shrinks(self):
        p = GaussianMixture([[1.0], [-1.0]], [0.6, 0.4], [0.5, 0.5])
        grid = torch.linspace(-5, 5, 1001, dtype=torch.float64)
        target = p.log_prob(grid[:, None]).exp()
        far, near = ((stationary_law(p.score, t, grid) - target).abs().max() for t in (0.008, 0.004))
        # The bias is of first order in τ: half the step, half the bias, up to its second order of some τ/σ² = 5 %.
        assert near / far == pytest.approx(0.5, abs=0.025)


@pytest.mark.parametrize("function", [transition_matrix, stationary_law])
class TestLawsOnAGrid:
    def test_refuse_a_grid_that_cannot_resolve_a_step(self, function):
        # √(2τ) = 1, so that half of it is exactly 0.5.
        assert len(function(standard_score, 0.5, torch.linspace(-8, 8, 33))) == 33
        with pytest.raises(ValueError, match=r"grid.*0\.516.*0\.5"):
            function(standard_score, 0.5, torch.linspace(-8, 8, 32))

    @pytest.mark.parametrize(
        ("grid", "error"),
        [
            (torch.linspace(-3, 3, 60).reshape(30, 2), ValueError),
            (torch.tensor([0.0, 0.1, 0.3]), ValueError),
            ("grid", TypeError),
        ],
    )
    def test_refuse_a_bad_grid(self, function, grid, error):
        with pytest.raises(error, match=r"^grid must"):
            function(standard_score, 0.5, grid)

    @pytest.mark.parametrize(
        ("score", "error"),
        [(lambda x: x[:, 0], ValueError), (lambda x: 0.0, TypeError)],
    )
    def test_refuse_a_score_of_another_shape(self, function, score, error):
        with pytest.raises(error, match="score"):
            function(score, 0.5, torch.linspace(-3, 3, 61))

    def test_refuse_a_score_that_is_not_finite(self, function):
        with pytest.raises(ValueError, match=r"^score on the grid must be finite"):
            function(lambda x: x.log(), 0.5, torch.linspace(-3, 3, 61))


class TestEndsOfTheGrid:
    """The law of −x at τ = 0.5 between the ends given, a spacing of 0.2: refused where it is cut off."""

    @staticmethod
    def law(low, high):
        grid = np.arange(round(5 * low), round(5 * high) + 1) / 5
        step = np.exp(-((grid[:, None] - grid / 2) ** 2) / 2)
        law = np.linalg.matrix_power(step / step.sum(0), 200)[:, 0]
        return torch.from_numpy(grid), law / law.max(), law / (0.2 * law.sum())

    @pytest.mark.parametrize("side", [-1, 1])
    def test_a_law_that_reaches_one_of_them_is_refused(self, side):
        grid, height, _ = self.law(*sorted([side * 4.2, side * -8.0]))
        assert 1e-3 < max(height[0], height[-1]) < 2e-3
        with pytest.raises(ValueError, match=r"^grid must hold all of the law"):
            stationary_law(standard_score, 0.5, grid)

    @pytest.mark.parametrize("side", [-1, 1])
    def test_a_law_that_nearly_does_is_not(self, side):
        grid, height, density = self.law(*sorted([side * 4.4, side * -8.0]))
        ends = height[[0, -1]], height[[1, -2]]
        assert max(ends[0]) < 1e-3 < max(ends[1])
        law = stationary_law(standard_score, 0.5, grid)
        torch.testing.assert_close(law, torch.from_numpy(density), rtol=0, atol=1e-12)

    def test_two_islands_without_a_way_between_them_have_no_one_law(self):
        with pytest.raises(ValueError, match=r"^score must let the walk pass from everywhere to everywhere"):
            # Every step ends at −5 or 5, give or take 0.1: from one to the other it takes a noise of a hundred stds.
            stationary_law(lambda x: 200 * (5 * x.sign() - x), 0.005, torch.linspace(-8, 8, 401))

    def test_past_the_stable_step_there_is_no_law(self):
        with pytest.raises(ValueError, match=r"or there is no stationary law$"):
            stationary_law(standard_score, 2.5, torch.linspace(-20, 20, 101))


def by_hand(p, x, step_size, n_steps, generator):
    """MALA from its definition, in NumPy and one dimension. Returns the last positions and what was accepted."""
    means, stds, weights = (v.double().numpy() for v in (p.means[:, 0], p.stds, p.weights))
    x = x.double().numpy()[:, 0]

    def density(y):
        return (weights * scipy.stats.norm.pdf(y[:, None], means, stds)).sum(1)

    def score(y):
        parts = weights * scipy.stats.norm.pdf(y[:, None], means, stds)
        return (parts * (means - y[:, None]) / stds**2).sum(1) / parts.sum(1)

    def arrives(y, start):
        return scipy.stats.norm.pdf(y, start + step_size * score(start), math.sqrt(2 * step_size))

    accepted = []
    for _ in range(n_steps):
        z = torch.randn(len(x), 1, generator=generator, dtype=torch.float64).numpy()[:, 0]
        u = torch.rand(len(x), generator=generator, dtype=torch.float64).numpy()
        new = x + step_size * score(x) + math.sqrt(2 * step_size) * z
        chance = density(new) * arrives(x, new) / (density(x) * arrives(new, x))
        accepted.append(u < chance)
        x = np.where(accepted[-1], new, x)
    return x, np.array(accepted)


@pytest.mark.parametrize("step_size", [0.01, 0.05, 0.2])
def test_mala_agrees_with_its_definition_in_numpy(step_size):
    p = GaussianMixture(torch.tensor([[1.0], [-0.5]], dtype=torch.float64), torch.tensor([0.5, 0.3]), [0.6, 0.4])
    x0 = p.sample(400, seeded(17))
    expected, accepted = by_hand(p, x0, step_size, 10, seeded(18))
    walked, rate = mala(p, x0, step_size, 10, generator=seeded(18))
    # In float64 and with the same numbers no fate differs, or a uniform fell within 1e-12 of its chance.
    assert rate == accepted.mean()
    torch.testing.assert_close(walked[:, 0], torch.from_numpy(expected), rtol=0, atol=1e-10)
    assert 0.02 < rate < 0.999


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("step_size", [0.01, 0.04, 0.15])
def test_mala_started_from_p_stays_in_p(step_size, dtype):
    p = two_wells(dtype)
    n = 100_000
    x = mala(p, p.sample(n, seeded(19)), step_size, 30, generator=seeded(20))[0][:, 0].double()
    # Each particle is at any time an independent draw from p. The lowest point between the wells is at −0.82, more than
    # 5.5 of either's stds away.
    narrow, broad = x[x < -0.82], x[x > -0.82]
    assert abs(len(narrow) / n - 0.4) <= 5 * math.sqrt(0.24 / n)
    for well, mean, std in [(broad, 2.0, 0.5), (narrow, -2.0, 0.2)]:
        assert abs(well.mean().item() - mean) <= 5 * std / math.sqrt(len(well))
        assert abs(well.std().item() - std) <= 5 * std / math.sqrt(2 * len(well))
        # E z⁶ = 15.
        assert abs(((well - mean) ** 3).mean().item()) <= 5 * math.sqrt(15 / len(well)) * std**3
    assert abs(narrow.std().item() - 0.2) <= 0.004
    edges = torch.linspace(0.5, 3.5, 13, dtype=torch.float64)
    inside = np.diff(0.6 * scipy.stats.norm.cdf(edges, 2.0, 0.5))
    counts = torch.histogram(x, edges)[0].numpy()
    observed, expected = np.append(counts, n - counts.sum()), n * np.append(inside, 1 - inside.sum())
    assert scipy.stats.chisquare(observed, expected).pvalue > math.erfc(5 / math.sqrt(2))


@pytest.mark.parametrize("step_size", [0.02, 0.1])
def test_mala_goes_each_way_as_often_as_back(step_size):
    p = two_wells()
    x0 = p.sample(200_000, seeded(21))
    x = mala(p, x0, step_size, 1, generator=seeded(22))[0]
    edges = torch.tensor([-2.2, -2.0, -1.8, 0.0, 1.4, 2.0, 2.6], dtype=torch.float64)
    start, end = torch.bucketize(x0[:, 0], edges), torch.bucketize(x[:, 0], edges)
    flows = torch.bincount(8 * start + end, minlength=64).reshape(8, 8).double()
    # Two counts of one mean: their difference has the variance of their sum.
    assert ((flows - flows.T).abs() <= 5 * (flows + flows.T).sqrt()).all()
    assert (flows - flows.diag().diag()).sum() > 10_000


def test_mala_finds_p_from_elsewhere():
    n = 50_000
    # Each accepted step at τ = 0.5 takes half of the start away, and most are accepted.
    x = mala(standard_normal(2, torch.float32), torch.full((n, 2), 3.0), 0.5, 100, generator=seeded(23))[0]
    assert (x.mean(0).abs() <= 5 / math.sqrt(n)).all()
    assert ((x.square().mean(0) - 1).abs() <= 5 * math.sqrt(2 / n)).all()
    assert abs((x[:, 0] * x[:, 1]).mean().item()) <= 5 / math.sqrt(n)


def test_the_acceptance_rate_is_one_float_over_all_particles_and_steps():
    p = standard_normal()
    x0 = p.sample(500, seeded(24))
    rates = [mala(p, x0, 0.8, 6, generator=seeded(25), record_every=k)[1] for k in (1, 6)]
    walked = mala(p, x0, 0.8, 6, generator=seeded(25), record_every=1)[0]
    assert type(rates[0]) is float
    assert rates[0] == rates[1] == (walked[1:] != walked[:-1]).double().mean().item()
    assert mala(p, x0, 1e-4, 6, generator=seeded(25))[1] > mala(p, x0, 1.5, 6, generator=seeded(25))[1]


def test_mala_of_no_steps_has_no_rate():
    rate = mala(Density(), torch.zeros(3, 1), 0.1, 0)[1]
    assert type(rate) is float
    assert math.isnan(rate)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("step_size", [1e6, 1e30, 1e38])
def test_a_huge_step_is_rejected_and_the_particles_stay(step_size, dtype):
    x0 = torch.tensor([[-2.0, 0.5], [1.0, 1.0], [0.3, -0.4]], dtype=dtype)
    walked, rate = mala(standard_normal(2, dtype), x0, step_size, 20, generator=seeded(26), record_every=1)
    assert rate == 0
    assert torch.equal(walked, x0.expand(21, 3, 2))


def test_a_log_density_that_turns_nan_is_reported_at_its_step():
    def half(x):
        return torch.where(x[:, 0] > 10, NAN, x[:, 0])

    # A drift of 1 per step with noise of std 1.4 crosses 10, and not in the first step.
    with pytest.raises(FloatingPointError, match=r"log_prob is NaN.*step \d+ with step_size=1\b"):
        mala(Density(half, torch.ones_like), torch.zeros(50, 1), 1.0, 1000, generator=seeded(27))


class TestNaNWhereAProposalOverflows:
    """In float16, with centres near its largest number, 65504, and steps of std 346."""

    @staticmethod
    def walk(log_prob, start):
        x0 = torch.full((200, 2), start, dtype=torch.float16)
        return mala(Density(log_prob, torch.zeros_like), x0, 60_000.0, 1, generator=seeded(31))

    def test_it_is_rejected(self):
        walked, rate = self.walk(lambda x: (x - x).sum(1), 65_408.0)  # inf − inf
        assert walked.isfinite().all()
        assert 0 < rate < 1

    def test_it_hides_no_nan_at_a_finite_proposal(self):
        with pytest.raises(FloatingPointError, match="log_prob is NaN at a proposal of step 1 "):
            self.walk(lambda x: torch.where((x == 65_408).all(1), 0, torch.nan).to(x), 65_408.0)


@pytest.mark.parametrize("bad", [NAN, INF])
def test_a_log_density_that_is_no_number_at_a_finite_proposal_is_an_error_and_no_rejection(bad):
    density = Density(lambda x: torch.where(x[:, 0] < 0, bad, -0.5 * x.square().sum(1)))
    with pytest.raises(FloatingPointError, match=r"log_prob is (NaN|infinite) at a proposal of step 1 .*particle \d+"):
        mala(density, torch.ones(200, 1), 0.5, 10, generator=seeded(33))


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_score_that_is_no_number_where_the_density_is_positive_is_an_error_and_no_rejection(bad):
    density = Density(score=lambda x: torch.where(x < 0, bad, -x))
    with pytest.raises(FloatingPointError, match=r"score is (NaN|infinite) at a proposal of step 1 .*particle \d+"):
        mala(density, torch.ones(200, 1), 0.5, 10, generator=seeded(33))


@pytest.mark.parametrize("bad", [NAN, INF])
def test_where_the_density_is_zero_the_score_may_be_anything(bad):
    density = Density(lambda x: torch.where(x[:, 0] < 0, -INF, -x[:, 0]), lambda x: torch.where(x < 0, bad, -1.0))
    walked, rate = mala(density, torch.ones(500, 1), 0.5, 50, generator=seeded(34))
    assert (walked >= 0).all()
    assert 0 < rate < 1


LAYOUTS = {
    "transposed": lambda x: x.T.contiguous().T,
    "every other": lambda x: x.repeat_interleave(2, 0)[::2],
    "columns of more": lambda x: torch.cat([x, x], 1)[:, : x.shape[1]],
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_starts_and_seeds_give_equal_walks_however_they_lie(layout, dtype):
    p = GaussianMixture(torch.tensor([[-1.0, 0.0, 0.5], [1.0, 0.5, 0.0]], dtype=dtype), [0.7, 0.4])
    x0 = p.sample(50, seeded(35))
    for walk in (
        lambda x: langevin(p.score, x, 0.1, 20, generator=seeded(36)),
        lambda x: mala(p, x, 0.1, 20, generator=seeded(36))[0],
    ):
        assert torch.equal(walk(layout(x0)), walk(x0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_walks_in_half_precision_settle_where_float32_does(dtype):
    n, step_size = 20_000, 0.01
    x0 = standard_normal(1, torch.float32).sample(n, seeded(37)).to(dtype)
    x = langevin(standard_score, x0, step_size, 300, generator=seeded(38))
    y, rate = mala(standard_normal(1, torch.float32), x0, 0.5, 30, generator=seeded(38))
    assert x.dtype == y.dtype == dtype
    # Rounded positions have a variance larger by ε²/12 of themselves; a step of τ x = 0.01 x, itself rounded, had none.
    for walked, expected in ((x, stationary_variance(1.0, step_size)), (y, 1.0)):
        assert abs(walked.double().square().mean().item() - expected) <= 5 * math.sqrt(2 / n) * expected + 1e-3
    assert rate == pytest.approx(
        mala(standard_normal(1, torch.float32), x0.float(), 0.5, 30, generator=seeded(38))[1], abs=0.01
    )


def test_the_score_sees_the_users_threads_and_the_setting_is_back_whatever_ends_the_walk():
    before, seen = torch.get_num_threads(), []
    try:
        torch.set_num_threads(3)

        def score(x):
            seen.append(torch.get_num_threads())
            if len(seen) > 5:
                raise KeyboardInterrupt
            return -x

        with pytest.raises(KeyboardInterrupt):
            langevin(score, torch.zeros(10, 1), 0.1, 100)
        assert seen == [3] * 6
        assert torch.get_num_threads() == 3
        with pytest.raises(FloatingPointError):
            langevin(standard_score, torch.ones(2, 1), 3.0, 1000, temperature=0)
        assert torch.get_num_threads() == 3
        mala(two_wells(), torch.zeros(10, 1), 0.1, 5)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_stationary_law_has_the_digits_of_its_tails_and_of_wells_far_apart():
    # Two narrow wells: what passes between them in a step is 1e-30 of all, and each has half by symmetry.
    p = GaussianMixture(torch.tensor([[-2.0], [2.0]], dtype=torch.float64), 0.2)
    grid = torch.linspace(-4, 4, 401, dtype=torch.float64)
    law = stationary_law(p.score, 0.01, grid)
    assert (law >= 0).all()
    assert (law[:200].sum() * 0.02).item() == pytest.approx(0.5, abs=1e-9)
    torch.testing.assert_close(law, law.flip(0), rtol=1e-9, atol=1e-300)


def test_no_draw_leads_to_where_the_density_is_zero(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "uniform_", lambda self, **kwargs: self.zero_())  # one in 2²⁴ is 0 in float32
    box = Density(lambda x: torch.where(x[:, 0].abs() < 1, 0.0, -INF), torch.zeros_like)
    walked, rate = mala(box, torch.zeros(100, 1), 0.5, 20, generator=seeded(32))
    assert walked.abs().max() < 1
    assert 0 < rate < 1


def test_a_start_of_density_zero_is_refused():
    def box(x):
        return torch.where(x[:, 0].abs() < 1, 0.0, -INF)

    density = Density(box, torch.zeros_like)
    with pytest.raises(ValueError, match="x0"):
        mala(density, torch.tensor([[0.5], [1.5]]), 0.1, 5)
    walked, rate = mala(density, torch.tensor([[0.5], [-0.5]]), 0.1, 50, generator=seeded(28))
    assert walked.abs().max() < 1
    assert 0 < rate < 1


@pytest.mark.parametrize("bad", [NAN, INF])
def test_a_start_without_a_finite_score_or_log_density_is_refused(bad):
    with pytest.raises(ValueError, match="x0"):
        mala(Density(score=lambda x: torch.full_like(x, bad)), torch.zeros(2, 1), 0.1, 5)
    with pytest.raises(ValueError, match="x0"):
        mala(Density(log_prob=lambda x: torch.full_like(x[:, 0], bad)), torch.zeros(2, 1), 0.1, 5)


WALKS = {
    "langevin": lambda x0=None, step_size=0.1, n_steps=4, **kw: langevin(standard_score, x0, step_size, n_steps, **kw),
    "mala": lambda x0=None, step_size=0.1, n_steps=4, **kw: mala(Density(), x0, step_size, n_steps, **kw),
}


@pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS)
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"x0": torch.zeros(3)}, ValueError),
        ({"x0": torch.tensor([[0.0], [NAN]])}, ValueError),
        ({"x0": np.zeros((3, 1))}, TypeError),
        ({"step_size": 0.0}, ValueError),
        ({"step_size": 1e39}, ValueError),  # more than float32 holds
        ({"n_steps": -1}, ValueError),
        ({"record_every": 0}, ValueError),
        ({"generator": 0}, TypeError),
    ],
)
def test_bad_input_is_refused_by_name(walk, arguments, error):
    with pytest.raises(error, match=f"^{next(iter(arguments))} must"):
        walk(**{"x0": torch.zeros(3, 1), **arguments})


@pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS)
def test_a_number_of_steps_that_recording_does_not_divide_is_refused(walk):
    with pytest.raises(ValueError, match=r"n_steps.*record_every=3"):
        walk(torch.zeros(3, 1), n_steps=4, record_every=3)


@pytest.mark.parametrize(
    ("temperature", "error"),
    [(-0.1, ValueError), (1e39, ValueError), ("1", TypeError)],
)
def test_a_bad_temperature_is_refused(temperature, error):
    with pytest.raises(error, match=r"^temperature must"):
        langevin(standard_score, torch.zeros(3, 1), 0.1, 4, temperature=temperature)


def test_what_is_not_a_function_is_refused_by_name():
    with pytest.raises(TypeError, match=r"^score must be a function, got Tensor"):
        langevin(torch.zeros(3, 1), torch.zeros(3, 1), 0.1, 4)
    for name in ("log_prob", "score"):
        density = Density(**{name: None})
        with pytest.raises(TypeError, match=rf"^density\.{name} must be a function, got NoneType"):
            mala(density, torch.zeros(3, 1), 0.1, 4)
        delattr(density, name)
        with pytest.raises(TypeError, match=rf"^density\.{name} must be a function, got NoneType"):
            mala(density, torch.zeros(3, 1), 0.1, 4)


OTHER_FIELDS = [
    (lambda x: x[:, :1], ValueError),  # would broadcast
    (lambda x: 0.0, TypeError),
]


@pytest.mark.parametrize(("field", "error"), OTHER_FIELDS)
def test_a_score_that_returns_another_shape_is_refused(field, error):
    with pytest.raises(error, match=r"^score must return"):
        langevin(field, torch.zeros(3, 2), 0.1, 4)
    with pytest.raises(error, match=r"^density\.score must return"):
        mala(Density(score=field), torch.zeros(3, 2), 0.1, 4)


@pytest.mark.parametrize(
    ("log_prob", "error"),
    [
        (lambda x: x[:, :1], ValueError),
        (lambda x: 0.0, TypeError),
    ],
)
def test_a_log_prob_that_returns_another_shape_is_refused(log_prob, error):
    with pytest.raises(error, match=r"^density\.log_prob must return"):
        mala(Density(log_prob=log_prob), torch.zeros(3, 2), 0.1, 4)


@pytest.mark.parametrize(
    "function",
    [
        stationary_variance,
        lambda variance=1.0, step_size=0.1: stationary_law(
            lambda x: -x / variance, step_size, torch.linspace(-4, 4, 81)
        ),
    ],
)
@pytest.mark.parametrize(
    ("step_size", "error"),
    [
        (0.0, ValueError),
        ("0.1", TypeError),
    ],
)
def test_a_bad_step_size_is_refused(function, step_size, error):
    with pytest.raises(error, match=r"^step_size must"):
        function(1.0, step_size)


@pytest.mark.parametrize(
    ("variance", "error"),
    [(0.0, ValueError), ("1", TypeError)],
)
def test_a_bad_variance_is_refused(variance, error):
    with pytest.raises(error, match=r"^variance must"):
        stationary_variance(variance, 0.1)
