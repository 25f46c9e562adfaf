"""Samplers down a ladder of noise: each step by hand, Gaussians in closed form, flows by SciPy, laws of mixtures."""

import io
import itertools
import math
import sys
from fractions import Fraction

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from notes.diffusion import (
    annealed_langevin,
    denoised,
    guided,
    ladder,
    ladder_variance,
    log_likelihood,
    probability_flow,
    reverse_diffusion,
)
from notes.langevin import langevin
from notes.mixtures import GaussianMixture
from notes.networks import NoiseConditionalNetwork

DTYPES = [torch.float32, torch.float64]
FIVE_SIGMA = math.erfc(5 / math.sqrt(2))  # the chance of 5 standard errors: the p-value below which a law is refused
NAN, INF = math.nan, math.inf


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def points(n, dim, dtype=torch.float64, seed=0):
    return torch.randn(n, dim, generator=seeded(seed), dtype=torch.float64).to(dtype)


class Gaussian:
    """N(m, s²): p_σ is N(m, s² + σ²), and everything is in closed form."""

    def __init__(self, mean=0.0, variance=1.0):
        self.mean, self.variance = mean, variance

    def score(self, x, sigma):
        return (self.mean - x) / (self.variance + sigma**2)

    def sample(self, n, sigma, seed=0):
        noise = torch.randn(n, 1, generator=seeded(seed), dtype=torch.float64)
        return self.mean + math.sqrt(self.variance + sigma**2) * noise


STANDARD = Gaussian()


def line(dtype=torch.float64):
    """0.6·N(2, 0.5²) + 0.4·N(−2, 0.2²)."""
    return GaussianMixture(*(torch.tensor(v, dtype=dtype) for v in ([[2.0], [-2.0]], [0.5, 0.2], [0.6, 0.4])))


def plane(dtype=torch.float64):
    """Three unequal modes, on no line."""
    means = torch.tensor([[2.0, 0.0], [-2.0, 0.5], [0.0, -1.5]], dtype=dtype)
    return GaussianMixture(means, torch.tensor([0.5, 0.3, 0.7], dtype=dtype), [0.5, 0.3, 0.2])


def plane_score(x, sigma):
    """The score of plane() with noise, by hand in NumPy."""
    p = plane()
    means, variances, weights = p.means.numpy(), p.stds.numpy() ** 2 + sigma**2, p.weights.numpy()
    offset = means - x[:, None]
    share = weights / variances * np.exp(-(offset**2).sum(2) / (2 * variances))
    share /= share.sum(1, keepdims=True)
    return (share[:, :, None] * offset / variances[:, None]).sum(1)


def close(measured, expected, ulps, dtype=torch.float64):
    size = max(1.0, torch.as_tensor(expected).abs().max().item())
    away = (measured.double() - torch.as_tensor(expected).double()).abs().max().item()
    assert away <= ulps * torch.finfo(dtype).eps * size


# The ladder.


@pytest.mark.parametrize(("high", "low", "n"), [(4.0, 0.05, 20), (50.0, 0.01, 232), (1.0, 0.5, 2), (3, 1, 3)])
def test_a_ladder_is_geometric_with_the_ends_that_are_given(high, low, n):
    sigmas = ladder(high, low, n)
    assert sigmas.shape == (n,)
    assert sigmas.dtype == torch.float64
    assert sigmas[0].item() == high
    assert sigmas[-1].item() == low
    expected = [high * (low / high) ** (i / (n - 1)) for i in range(n)]
    assert sigmas.tolist() == pytest.approx(expected, rel=1e-13)


def test_a_ladder_takes_numbers_in_any_form_and_lies_where_numbers_do():
    four = torch.tensor(4.0)
    with torch.device("meta"):  # the default of whatever is made without saying where
        assert torch.equal(ladder(four, np.float32(0.25), np.int64(5)), ladder(4.0, 0.25, 5))
        assert ladder_variance(1.0, [2.0, 1.0], 0.1, 3) > 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0.0, 0.1, 5), ValueError, "sigma_max must be positive"),
        ((INF, 0.1, 5), ValueError, "sigma_max must be finite"),
        (("4", 0.1, 5), TypeError, "sigma_max must be a number"),
        ((4.0, -0.1, 5), ValueError, "sigma_min must be positive"),
        ((4.0, NAN, 5), ValueError, "sigma_min must be finite"),
        ((1.0, 1.0, 5), ValueError, "sigma_min must be below sigma_max=1, got 1"),
        ((1.0, 2.0, 5), ValueError, "sigma_min must be below sigma_max=1, got 2"),
        ((4.0, 0.1, 1), ValueError, "n must be at least 2"),
        ((4.0, 0.1, 2.0), TypeError, "n must be a whole number"),
        ((1 + 1e-15, 1.0, 50), ValueError, "n must be so small that the rungs"),
    ],
)
def test_what_is_no_ladder_is_refused_by_name(arguments, error, message):
    with pytest.raises(error, match=f"^{message}"):
        ladder(*arguments)


# What the samplers have in common.

RUNGS = [2.0, 1.0, 0.5, 0.25, 0.1]
SAMPLERS = {
    "annealed": lambda score, x0, sigmas=RUNGS, **kw: annealed_langevin(score, x0, sigmas, 0.002, 2, **kw),
    "diffusion": lambda score, x0, sigmas=RUNGS, **kw: reverse_diffusion(score, x0, sigmas, **kw),
    "corrected": lambda score, x0, sigmas=RUNGS, **kw: reverse_diffusion(
        score, x0, sigmas, eta=0.5, corrector_steps=2, corrector_ratio=0.3, **kw
    ),
    "flow": lambda score, x0, sigmas=RUNGS, generator=None, **kw: probability_flow(score, x0, sigmas, **kw),
}
N_STEPS = {"annealed": 10, "diffusion": 4, "corrected": 4, "flow": 4}
LIKELIHOODS = {
    "likelihood": lambda score, x, sigmas=RUNGS, generator=None, prior=None: log_likelihood(
        score, x, sigmas, prior or line().smoothed(2.0)
    ),
    "projected": lambda score, x, sigmas=RUNGS, generator=None, prior=None: log_likelihood(
        score, x, sigmas, prior or line().smoothed(2.0), n_projections=3, generator=generator
    )[0],
}
ALL = {**SAMPLERS, **LIKELIHOODS}
of_each_sampler = pytest.mark.parametrize("sample", SAMPLERS.values(), ids=SAMPLERS)
of_all = pytest.mark.parametrize("run", ALL.values(), ids=ALL)


def with_chance(table):
    chosen = {name: run for name, run in table.items() if name in {"annealed", "diffusion", "corrected", "projected"}}
    return pytest.mark.parametrize("run", chosen.values(), ids=chosen)


def each_step(name, x, score, generator):
    """The states of a sampler of the table after x, by hand, from RUNGS and the numbers of its generator."""

    def noise():
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)

    if name == "annealed":
        for sigma in RUNGS:
            alpha = 0.002 * sigma**2 / 0.1**2
            for _ in range(2):
                x = x + alpha / 2 * score(x, sigma) + math.sqrt(alpha) * noise()
                yield x
        return
    for sigma, below in itertools.pairwise(RUNGS):
        change = sigma**2 - below**2
        if name == "flow":
            slope = -sigma * score(x, sigma)
            ahead = x + (below - sigma) * slope
            x = x + (below - sigma) * (slope - below * score(ahead, below)) / 2
        elif name == "diffusion":
            x = x + change * score(x, sigma) + math.sqrt(change) * noise()
        else:
            x = x + 0.75 * change * score(x, sigma) + math.sqrt(0.5 * change) * noise()
            for _ in range(2):
                x = x + 0.15 * below**2 * score(x, below) + math.sqrt(0.3) * below * noise()
        yield x


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_step_is_its_formula(name, dtype):
    p = plane(dtype)
    x0 = 2 * points(40, 2, dtype)
    path = SAMPLERS[name](p.smoothed_score, x0, generator=seeded(1), record_every=1)
    expected = list(each_step(name, x0, p.smoothed_score, seeded(1)))
    assert path.shape == (N_STEPS[name] + 1, 40, 2)
    assert path.dtype == dtype
    assert torch.equal(path[0], x0)
    # A step's rounding, and that of the score which the next steps magnify a little.
    for measured, wanted in zip(path[1:], expected, strict=True):
        close(measured, wanted, 200, dtype)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("annealed", [2.0, 2.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.1, 0.1]),
        ("diffusion", [2.0, 1.0, 0.5, 0.25]),
        ("corrected", [2.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.1, 0.1]),
        ("flow", [2.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.1]),
        ("likelihood", [0.1, 0.25, 0.25, 0.5, 0.5, 1.0, 1.0, 2.0]),
    ],
)
@pytest.mark.parametrize("form", [list, tuple, np.array, torch.tensor, lambda v: torch.tensor(v, dtype=torch.float64)])
def test_the_score_is_asked_at_the_rungs_as_numbers(name, expected, form):
    seen = []

    def score(x, sigma):
        seen.append(sigma)
        return -x

    ALL[name](score, torch.zeros(3, 1), form(RUNGS))
    assert all(type(sigma) is float for sigma in seen)
    assert seen == pytest.approx(expected, rel=1e-7)


def test_the_samplers_stand_for_these_numbers_where_none_are_given():
    x0, rungs, sample = points(20, 1), ladder(2.0, 0.1, 5), reverse_diffusion
    plain = sample(STANDARD.score, x0, rungs, generator=seeded(2))
    assert torch.equal(sample(STANDARD.score, x0, rungs, eta=1, corrector_steps=0, generator=seeded(2)), plain)
    one = sample(STANDARD.score, x0, rungs, corrector_steps=1, generator=seeded(2))
    assert torch.equal(
        sample(STANDARD.score, x0, rungs, corrector_steps=1, corrector_ratio=0.1, generator=seeded(2)), one
    )


@of_each_sampler
class TestRecording:
    @pytest.mark.parametrize("record_every", [1, 2])
    def test_has_every_nth_state_of_one_and_the_same_walk(self, sample, record_every):
        x0 = points(5, 2)
        whole = sample(STANDARD.score, x0, generator=seeded(3), record_every=1)
        path = sample(STANDARD.score, x0, generator=seeded(3), record_every=record_every)
        assert torch.equal(path, whole[::record_every])
        assert torch.equal(sample(STANDARD.score, x0, generator=seeded(3)), whole[-1])

    @pytest.mark.parametrize(("record_every", "error"), [(3, ValueError), (0, ValueError), (1.0, TypeError)])
    def test_refuses_what_does_not_divide_the_steps(self, sample, record_every, error):
        with pytest.raises(error, match=r"^record_every must"):
            sample(STANDARD.score, points(5, 2), record_every=record_every)

    def test_no_particles_have_no_rows(self, sample):
        assert sample(STANDARD.score, torch.zeros(0, 2)).shape == (0, 2)
        assert sample(STANDARD.score, torch.zeros(0, 2), record_every=2).shape[1:] == (0, 2)


def test_no_steps_return_x0_alone_and_draw_nothing():
    x0, generator = points(5, 2), seeded(4)
    before = generator.get_state()
    for record_every in (None, 1, 7):
        walked = annealed_langevin(STANDARD.score, x0, RUNGS, 0.01, 0, generator=generator, record_every=record_every)
        assert torch.equal(walked, x0 if record_every is None else x0[None])
        walked.zero_()
    assert torch.equal(x0, points(5, 2))
    assert torch.equal(generator.get_state(), before)


@of_all
class TestNothingIsKept:
    def test_of_a_graph(self, run):
        network = NoiseConditionalNetwork(1, width=8, generator=seeded(5))
        for x in (torch.ones(3, 1), torch.ones(3, 1, requires_grad=True), 2 * torch.ones(3, 1, requires_grad=True)):
            for _ in range(2):  # a graph of the user's would be gone the second time
                out = run(network, x, generator=seeded(6))
                assert not out.requires_grad
                assert x.grad_fn is not None or x.grad is None
        assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())

    def test_of_its_points_and_the_memory_they_lie_in(self, run):
        x = points(4, 1)
        before = x.clone()
        out = run(STANDARD.score, x, generator=seeded(6))
        out.zero_()
        assert torch.equal(x, before)
        sigmas = torch.tensor(RUNGS)
        run(STANDARD.score, x, sigmas)
        assert sigmas.tolist() == torch.tensor(RUNGS).tolist()

    def test_of_what_a_score_does_to_its_points(self, run):
        buffer = torch.empty(4, 1, dtype=torch.float64)

        def score(x, sigma):  # writes into what it is given, and answers in the same memory each time
            with torch.no_grad():
                out = torch.div(-x, 1 + sigma**2, out=buffer)
                x.zero_()
            return out

        x = points(4, 1)
        if run in LIKELIHOODS.values():  # which have to differentiate
            return
        assert torch.equal(run(score, x, generator=seeded(6)), run(STANDARD.score, x, generator=seeded(6)))

    def test_of_the_modes_of_autograd(self, run):
        p, x = line(), points(4, 1)
        network = NoiseConditionalNetwork(1, width=8, generator=seeded(5)).double()
        for score in (p.smoothed_score, network):
            expected = run(score, x, generator=seeded(6))
            assert torch.is_grad_enabled()
            with torch.no_grad():
                assert torch.equal(run(score, x, generator=seeded(6)), expected)
                assert not torch.is_grad_enabled()
            with torch.inference_mode():
                made = x.clone()
                torch.testing.assert_close(run(score, made, generator=seeded(6)).clone(), expected, rtol=1e-13, atol=0)
            torch.testing.assert_close(run(score, made, generator=seeded(6)), expected, rtol=1e-13, atol=0)

    def test_of_the_global_random_state(self, run):
        before = torch.get_rng_state()
        run(STANDARD.score, points(4, 1), generator=seeded(7))
        assert torch.equal(torch.get_rng_state(), before)


@with_chance(ALL)
class TestChance:
    # A field that mixes two coordinates: else a random direction ±1 would give the divergence itself.
    mixing = staticmethod(lambda x, sigma: x @ points(2, 2, x.dtype, seed=8) / (1 + sigma**2))
    prior = staticmethod(lambda: GaussianMixture(torch.zeros(1, 2, dtype=torch.float64), 2.0))

    def of(self, run, generator):
        prior = {"prior": self.prior()} if run in LIKELIHOODS.values() else {}
        return run(self.mixing, points(6, 2), generator=generator, **prior)

    def test_is_decided_by_the_generator_alone(self, run):
        first, again, other = (self.of(run, seeded(s)) for s in (9, 9, 10))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_follows_the_global_seed_without_a_generator(self, run):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            first, second = (self.of(run, None) for _ in range(2))
            torch.manual_seed(0)
            assert torch.equal(self.of(run, None), first)
        assert not torch.equal(first, second)

    def test_of_another_kind_is_refused(self, run):
        with pytest.raises(TypeError, match=r"^generator must"):
            self.of(run, 0)


@pytest.mark.parametrize("name", ["flow", "η = 0", "likelihood"])
def test_what_has_no_chance_in_it_draws_nothing(name):
    generator = seeded(11)
    state, before = generator.get_state(), torch.get_rng_state()
    if name == "η = 0":
        reverse_diffusion(STANDARD.score, points(4, 1), RUNGS, eta=0, generator=generator)
        reverse_diffusion(STANDARD.score, points(4, 1), RUNGS, eta=0)
    else:
        ALL[name](STANDARD.score, points(4, 1))
    assert torch.equal(generator.get_state(), state)
    assert torch.equal(torch.get_rng_state(), before)


LAYOUTS = {
    "transposed": lambda x: x.T.contiguous().T,
    "every other": lambda x: x.repeat_interleave(2, 0)[::2],
    "columns of more": lambda x: torch.cat([x, x], 1)[:, : x.shape[1]],
}


@of_all
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_equal_points_and_seeds_give_equal_results_however_they_lie(run, layout):
    network, x = NoiseConditionalNetwork(2, width=32, generator=seeded(12)), points(40, 2, torch.float32)
    prior = {"prior": plane().smoothed(2.0)} if run in LIKELIHOODS.values() else {}
    expected = run(network, x, generator=seeded(13), **prior)
    assert torch.equal(run(network, layout(x), generator=seeded(13), **prior), expected)


@of_all
@pytest.mark.parametrize("power", [-40, -10, 10, 40])
def test_the_unit_of_the_data_does_not_matter(run, power):
    unit, x = 2.0**power, points(30, 1, torch.float32)
    if run in LIKELIHOODS.values():
        sigmas = [sigma * unit for sigma in RUNGS]
        scaled = GaussianMixture([[2.0 * unit], [-2.0 * unit]], [0.5 * unit, 0.2 * unit], [0.6, 0.4])
        plain = GaussianMixture([[2.0], [-2.0]], [0.5, 0.2], [0.6, 0.4])
        expected = run(plain.smoothed_score, x, prior=plain.smoothed(2.0), generator=seeded(14))
        found = run(scaled.smoothed_score, unit * x, sigmas, prior=scaled.smoothed(2 * unit), generator=seeded(14))
        # Log-densities of some nats, the unit's logarithm of up to 28 among them.
        torch.testing.assert_close(found + math.log(unit), expected, rtol=1e-5, atol=3e-5)
        return
    score = Gaussian(0.5 * unit, unit**2).score
    expected = run(Gaussian(0.5).score, x, generator=seeded(14))
    if run is SAMPLERS["annealed"]:
        sigmas = [sigma * unit for sigma in RUNGS]
        found = annealed_langevin(score, unit * x, sigmas, 0.002 * unit**2, 2, generator=seeded(14))
    else:
        found = run(score, unit * x, [sigma * unit for sigma in RUNGS], generator=seeded(14))
    torch.testing.assert_close(found, unit * expected, rtol=1e-6, atol=1e-7 * unit)


@of_all
@pytest.mark.parametrize("sigmas", [[1.0, 1e-17], [3e19, 1.0]])
def test_a_ladder_whose_squares_float32_cannot_hold_is_refused(run, sigmas):
    with pytest.raises(ValueError, match=r"^sigmas must have squares with which torch.float32 can compute"):
        run(STANDARD.score, torch.zeros(3, 1), sigmas)
    x = torch.zeros(3, 1, dtype=torch.float64)
    assert run(STANDARD.score, x, sigmas).isfinite().all()


@of_each_sampler
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_what_float32_gives_to_its_own_accuracy(sample, dtype):
    # A thousand small steps, each of which half precision alone would lose.
    sigmas, x0 = ladder(1.0, 0.5, 1001), points(500, 1, torch.float32, seed=15)
    half = sample(STANDARD.score, x0.to(dtype), sigmas, generator=seeded(16), record_every=2)
    single = sample(STANDARD.score, x0, sigmas, generator=seeded(16), record_every=2)
    assert half.dtype == dtype
    # Of points of up to 4, rounded at the start, in what the score sees and at the end.
    torch.testing.assert_close(half.float(), single, rtol=0, atol=16 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_likelihood_in_half_precision_is_in_float32(dtype):
    p, x = line(torch.float32), points(50, 1, torch.float32).to(dtype)
    expected = log_likelihood(p.smoothed_score, x.float(), RUNGS, p.smoothed(2.0))
    found = log_likelihood(p.smoothed_score, x, RUNGS, p.smoothed(2.0))
    assert found.dtype == torch.float32
    # Points moved by up to 4ε, where the log-density has a slope of up to 3/0.2².
    torch.testing.assert_close(found, expected, rtol=0, atol=50 * torch.finfo(dtype).eps)


@of_all
def test_autocast_around_it_gives_its_own_accuracy(run):
    network, x = NoiseConditionalNetwork(1, width=32, generator=seeded(17)), points(50, 1, torch.float32)
    prior = {"prior": line(torch.float32).smoothed(2.0)} if run in LIKELIHOODS.values() else {}
    expected = run(network, x, generator=seeded(18), **prior)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = run(network, x, generator=seeded(18), **prior)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0.05)
    assert not torch.equal(found, expected)


def test_what_a_score_returns_in_float64_is_used_in_it_before_the_state_is_rounded():
    # float32 has every other number there. A change by 1 + 2⁻²⁰ is rounded up to 2, and by 1, to which float32 would
    # round it first, down to none.
    x0, change = torch.full((1, 1), 2.0**24), 1 + 2**-20

    def constant(length):
        return lambda x, sigma: torch.full_like(x, change / length, dtype=torch.float64)

    sigmas = [2.0, 1.0]
    diffused = reverse_diffusion(constant(0.5 * 3), x0, sigmas, eta=0)
    assert diffused.item() == 2**24 + 2
    # ∫ σ dσ by the trapezoidal rule is exact; each half would be lost by itself.
    assert probability_flow(constant(1.5), x0, sigmas).item() == 2**24 + 2
    assert reverse_diffusion(STANDARD.score, x0, sigmas).dtype == torch.float32
    p = GaussianMixture(torch.zeros(1, 1, dtype=torch.float64), 1.0)
    for sample in SAMPLERS.values():
        assert sample(p.smoothed_score, x0).dtype == torch.float32


def test_a_walk_stays_in_its_dtype_and_draws_in_it_whatever_the_score_returns():
    x0 = torch.full((1, 1), 2.0**24)
    # Two changes by 0.75, each rounded down to none.
    for sample in (probability_flow, lambda *a: reverse_diffusion(*a, eta=0)):
        found = sample(lambda x, sigma: torch.full_like(x, 1.5, dtype=torch.float64), x0, [2.0, 3.0**0.5, 2.0**0.5])
        assert torch.equal(found, x0)
    zero = [lambda x, sigma, dtype=dtype: torch.zeros_like(x, dtype=dtype) for dtype in DTYPES]
    for sample in (SAMPLERS["annealed"], SAMPLERS["corrected"]):
        single, double = (sample(score, torch.zeros(50, 1), generator=seeded(37)) for score in zero)
        torch.testing.assert_close(single, double, rtol=1e-6, atol=1e-6)


def test_a_sum_over_many_steps_loses_no_digits():
    prior = GaussianMixture(torch.zeros(1, 1, dtype=torch.float64), math.sqrt(2))
    # At 0, where the points stay: only the terms are rounded, each on its own, of their sum float32 would lose 1e-6.
    single, double = (
        log_likelihood(STANDARD.score, torch.zeros(1, 1, dtype=dtype), ladder(1.0, 0.5, 1500), prior).item()
        for dtype in DTYPES
    )
    assert single == pytest.approx(double, abs=2e-8)


@of_all
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_score_that_is_not_finite_is_reported_with_its_step_and_noise(run, bad):
    def score(x, sigma):
        return torch.where(torch.tensor(sigma == 0.5), bad, -0.1 * x)

    with pytest.raises(FloatingPointError, match=r"finite numbers at step \d+ of \d+, at σ = (0.5|1|0.25), "):
        run(score, torch.ones(3, 1))


@pytest.mark.parametrize(
    ("name", "where"), [("annealed", "step 5 of 10, at σ = 0.5"), ("diffusion", "step 3 of 4, at σ = 0.5")]
)
def test_one_particle_among_many_that_is_not_finite_is_reported(name, where):
    def score(x, sigma):
        out = -x
        if sigma == 0.5:
            out[613, 1] = NAN
        return out

    with pytest.raises(FloatingPointError, match=f"^the particles left the finite numbers at {where}, "):
        SAMPLERS[name](score, torch.ones(1000, 2), record_every=2)


def test_divergence_of_annealed_langevin_is_reported_with_epsilon_and_its_limit():
    # On a single datum each step is x ← (1 − ε/2σ_L²) x: stable below 4σ_L² = 0.04, and from 0.08 on it triples.
    datum = Gaussian(0.0, 0.0)
    x0, sigmas = torch.ones(10, 1), ladder(1.0, 0.1, 4)
    assert annealed_langevin(datum.score, x0, sigmas, 0.039, 2000, generator=seeded(19)).isfinite().all()
    with pytest.raises(
        FloatingPointError, match=r"at σ = 1, with epsilon=0.08: it diverges.*epsilon < 4σ_L², here 0.04"
    ):
        annealed_langevin(datum.score, x0, sigmas, 0.08, 2000, generator=seeded(19))


@of_each_sampler
def test_a_state_that_half_precision_cannot_hold_is_reported(sample):
    with pytest.raises(FloatingPointError, match="left the finite numbers"):
        sample(lambda x, sigma: torch.full_like(x, 30_000.0), torch.full((2, 1), 60_000.0, dtype=torch.float16))


@of_all
def test_the_score_has_the_users_threads_and_they_are_back_whatever_ends_the_run(run):
    before, seen = torch.get_num_threads(), []
    try:
        torch.set_num_threads(3)

        def score(x, sigma):
            seen.append(torch.get_num_threads())
            if len(seen) > 2:
                raise KeyboardInterrupt
            return -x

        with pytest.raises(KeyboardInterrupt):
            run(score, torch.zeros(10, 1))
        assert seen == [3] * 3
        assert torch.get_num_threads() == 3
        run(STANDARD.score, torch.zeros(10, 1))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_the_arithmetic_is_on_one_thread(monkeypatch):
    seen = []
    monkeypatch.setattr(
        torch, "add", lambda *a, add=torch.add, **kw: seen.append(torch.get_num_threads()) or add(*a, **kw)
    )
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        reverse_diffusion(STANDARD.score, torch.zeros(10, 1), RUNGS)
    finally:
        torch.set_num_threads(before)
    assert seen == [1] * 4


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class TestProgress:
    @staticmethod
    def seconds_pass(monkeypatch, each):
        """A terminal, before which so much time passes each time that tqdm looks."""
        monkeypatch.delenv("TQDM_DISABLE", raising=False)
        monkeypatch.setattr(sys, "stderr", Terminal())
        now = itertools.count(0, each)
        monkeypatch.setattr("tqdm.std.time", lambda: next(now))
        return sys.stderr

    @of_all
    def test_long_work_shows_a_bar_and_takes_it_away(self, run, monkeypatch):
        terminal = self.seconds_pass(monkeypatch, 1.5)
        run(STANDARD.score, torch.zeros(3, 1))
        shown = terminal.getvalue()
        assert "sampling" in shown
        assert "step" in shown
        assert shown.rstrip("\r").rsplit("\r", 1)[-1].strip() == ""
        assert "\n" not in shown

    @of_all
    def test_work_of_less_than_a_second_shows_none(self, run, monkeypatch):
        terminal = self.seconds_pass(monkeypatch, 0.08)
        run(STANDARD.score, torch.zeros(3, 1))
        assert "sampling" not in terminal.getvalue()

    @of_all
    def test_it_is_taken_away_when_the_run_ends_early(self, run, monkeypatch):
        terminal, seen = self.seconds_pass(monkeypatch, 1.5), []

        def score(x, sigma):
            seen.append(sigma)
            if len(seen) > 4:
                raise KeyboardInterrupt
            return STANDARD.score(x, sigma)

        with pytest.raises(KeyboardInterrupt):
            run(score, torch.zeros(3, 1), ladder(2.0, 0.1, 9))
        shown = terminal.getvalue()
        assert "sampling" in shown
        assert shown.rstrip("\r").rsplit("\r", 1)[-1].strip() == ""

    def test_none_is_shown_where_tqdm_is_switched_off(self, monkeypatch):
        terminal = self.seconds_pass(monkeypatch, 1.5)
        monkeypatch.setenv("TQDM_DISABLE", "1")
        probability_flow(STANDARD.score, torch.zeros(3, 1), RUNGS)
        assert terminal.getvalue() == ""


BAD_POINTS = [
    (torch.zeros(3), ValueError),
    (torch.zeros(3, 0), ValueError),
    (torch.tensor([[0.0], [NAN]]), ValueError),
    (np.zeros((3, 1)), TypeError),
    (torch.zeros(3, 1, dtype=torch.int64), TypeError),
]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("x", "error"), BAD_POINTS)
def test_bad_points_are_refused_by_the_name_of_the_argument(name, x, error):
    with pytest.raises(error, match=rf"^{'x' if name in LIKELIHOODS else 'x0'} must"):
        ALL[name](STANDARD.score, x)


@of_all
@pytest.mark.parametrize(
    ("sigmas", "error", "message"),
    [
        (1.0, ValueError, "be a ladder of at least two"),
        ([], ValueError, "be a ladder of at least two"),
        ([1.0], ValueError, "be a ladder of at least two"),
        ([[2.0, 1.0]], ValueError, "be a ladder of at least two"),
        (torch.tensor(1.0), ValueError, "be a ladder of at least two"),
        ([1.0, 2.0], ValueError, "fall from each rung to the next, got 1 and then 2"),
        ([2.0, 1.0, 1.0], ValueError, "fall from each rung to the next, got 1 and then 1"),
        ([1.0, 0.0], ValueError, "be positive and finite"),
        ([1.0, -1.0], ValueError, "be positive and finite"),
        ([INF, 1.0], ValueError, "be positive and finite"),
        ([2.0, NAN, 1.0], ValueError, "be positive and finite"),
        ([1e200, 1.0], ValueError, "be positive and finite, and their squares too"),
        ([1.0, 1e-200], ValueError, "be positive and finite, and their squares too"),
        ("ladder", TypeError, "be a tensor or numbers"),
        ([2j, 1j], TypeError, "be real numbers"),
    ],
)
def test_what_is_no_ladder_is_refused_by_every_function(run, sigmas, error, message):
    with pytest.raises(error, match=f"^sigmas must {message}"):
        run(STANDARD.score, torch.zeros(3, 1), sigmas)
    with pytest.raises(error, match=f"^sigmas must {message}"):
        ladder_variance(1.0, sigmas, 0.01, 2)


@of_all
def test_what_is_no_score_is_refused(run):
    with pytest.raises(TypeError, match=r"^score must be a function, got Tensor"):
        run(torch.zeros(3, 1), torch.zeros(3, 1))
    for score, error in [
        (lambda x, sigma: x[:, 0], ValueError),
        (lambda x, sigma: 0.0, TypeError),
        (lambda x, sigma: x * 1j, TypeError),
    ]:
        with pytest.raises(error, match=r"^score must return"):
            run(score, torch.zeros(3, 1))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"epsilon": 0.0}, ValueError, "epsilon must be positive"),
        ({"epsilon": NAN}, ValueError, "epsilon must be finite"),
        ({"epsilon": "0.1"}, TypeError, "epsilon must be a number"),
        ({"epsilon": 1e39}, ValueError, "epsilon must be a number that torch.float32 can hold"),
        ({"epsilon": 1e-46}, ValueError, "epsilon must be a number that torch.float32 can hold"),
        ({"epsilon": 1e38, "sigmas": [1.0, 0.1]}, ValueError, "epsilon/σ_L² must be a number that"),
        ({"n_steps": -1}, ValueError, "n_steps must be at least 0"),
        ({"n_steps": 2.0}, TypeError, "n_steps must be a whole number"),
    ],
)
def test_bad_steps_of_annealed_langevin_are_refused(arguments, error, message):
    arguments = {"sigmas": [2.0, 1.0], "epsilon": 0.1, "n_steps": 2, **arguments}
    with pytest.raises(error, match=f"^{message}"):
        annealed_langevin(STANDARD.score, torch.zeros(3, 1), **arguments)
    if "can hold" not in message and "/" not in message:
        with pytest.raises(error, match=f"^{message}"):
            ladder_variance(1.0, **arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"eta": -0.1}, ValueError, "eta must not be negative"),
        ({"eta": 1e39}, ValueError, "eta must be a number that torch.float32 can hold"),
        ({"eta": "1"}, TypeError, "eta must be a number"),
        ({"corrector_steps": -1}, ValueError, "corrector_steps must be at least 0"),
        ({"corrector_steps": 1.0}, TypeError, "corrector_steps must be a whole number"),
        ({"corrector_ratio": 0.0}, ValueError, "corrector_ratio must be positive"),
        ({"corrector_ratio": 1e39}, ValueError, "corrector_ratio must be a number that torch.float32 can hold"),
    ],
)
def test_bad_choices_for_the_reverse_diffusion_are_refused(arguments, error, message):
    with pytest.raises(error, match=f"^{message}"):
        reverse_diffusion(STANDARD.score, torch.zeros(3, 1), RUNGS, **arguments)


# Annealed Langevin dynamics.


@pytest.mark.parametrize("dtype", DTYPES)
def test_on_each_rung_it_is_langevin_with_half_of_alpha(dtype):
    p, sigmas, epsilon = plane(dtype), [3.0, 1.0, 0.2], 0.01
    x0 = x = 2 * points(100, 2, dtype)
    generator = seeded(20)
    for sigma in sigmas:
        step_size = epsilon * (sigma / 0.2) ** 2 / 2
        x = langevin(p.smoothed(sigma).score, x, step_size, 7, generator=generator)
    found = annealed_langevin(p.smoothed_score, x0, sigmas, epsilon, 7, generator=seeded(20))
    # The lengths of a step are computed in another order.
    torch.testing.assert_close(found, x, rtol=0, atol=500 * torch.finfo(dtype).eps)


def variance_in_fractions(variance, sigmas, epsilon, n_steps):
    """The variance after each rung as a geometric series about its fixed point V/(1 − a/2), in exact arithmetic."""
    variance, epsilon, sigmas = Fraction(variance), Fraction(epsilon), [Fraction(sigma) for sigma in sigmas]
    now, rungs = sigmas[0] ** 2, []
    for sigma in sigmas:
        a = epsilon * sigma**2 / sigmas[-1] ** 2 / (2 * (variance + sigma**2))
        settled = (variance + sigma**2) / (1 - a / 2)
        now = settled + (1 - a) ** (2 * n_steps) * (now - settled)
        rungs.append(float(now))
        now = Fraction(float(now))  # or the numbers grow to a million digits
    return rungs


@pytest.mark.parametrize(
    ("variance", "sigmas", "epsilon", "n_steps"),
    [
        (0.25, ladder(4.0, 0.05, 20), 0.0005, 50),
        (0.25, ladder(4.0, 0.05, 20), 0.0005, 5),
        (1.0, ladder(1.0, 0.1, 3), 0.002, 1),
        (0.0, [2.0, 0.5], 0.2, 7),  # a single datum
        (4.0, [1.0, 0.5, 0.1], 0.03, 100),
        (1.0, [1.0, 0.1], 0.0001, 0),
        (0.5, [2.0, 1.0], 6.5, 8),  # past the stable step
    ],
)
def test_the_variance_of_a_ladder_is_that_of_exact_arithmetic(variance, sigmas, epsilon, n_steps):
    expected = variance_in_fractions(variance, list(map(float, sigmas)), epsilon, n_steps)
    found = ladder_variance(variance, sigmas, epsilon, n_steps, each_rung=True)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(expected, rel=1e-11)
    last = ladder_variance(variance, sigmas, epsilon, n_steps)
    assert type(last) is float
    assert last == found[-1].item()


def test_past_the_stable_step_the_variance_of_a_ladder_grows_to_infinity():
    assert ladder_variance(0.0, [1.0, 0.1], 0.08, 1000) == INF
    assert ladder_variance(0.0, [1.0, 0.1], 0.0399, 1000) < INF


@pytest.mark.parametrize("variance", [0.0, 0.25, 14.0])
@pytest.mark.parametrize("epsilon", [1e-4, 1e-3, 0.009])
@pytest.mark.parametrize("n_steps", [0, 1, 5, 300])
def test_a_ladder_from_wide_enough_noise_ends_above_the_variance_of_its_last_law(variance, epsilon, n_steps):
    sigmas = ladder(4.0, 0.05, 12)  # 16 ≥ 14 + 0.05²
    assert ladder_variance(variance, sigmas, epsilon, n_steps) > variance + 0.05**2


def test_a_ladder_from_noise_that_is_too_narrow_ends_below():
    assert ladder_variance(100.0, ladder(1.0, 0.1, 5), 1e-4, 5) < 10


def test_many_small_steps_on_each_rung_leave_the_variance_of_the_last_law():
    # At r = ε/σ_L² the last rung's bias is 1/(1 − a/2), a = r σ_L²/2(s² + σ_L²).
    sigmas = ladder(3.0, 0.5, 6)
    for epsilon in (0.02, 0.01):
        a = epsilon / (2 * 1.25)
        assert ladder_variance(1.0, sigmas, epsilon, 5000) == pytest.approx(1.25 / (1 - a / 2), rel=1e-12)


@pytest.mark.parametrize(("variance", "n_steps"), [(0.25, 5), (0.25, 20), (0.0, 5), (4.0, 10)])
def test_particles_have_the_variance_of_the_ladder_at_every_rung(variance, n_steps):
    n, sigmas, epsilon, mean = 50_000, ladder(3.0, 0.1, 8), 0.004, 1.0
    gaussian = Gaussian(mean, variance)
    x0 = 3.0 * points(n, 1, torch.float32, seed=21)
    path = annealed_langevin(
        gaussian.score, x0, sigmas, epsilon, n_steps, generator=seeded(22), record_every=n_steps
    ).double()
    expected = ladder_variance(variance, sigmas, epsilon, n_steps, each_rung=True)
    offset = -mean
    for states, wanted, sigma in zip(path[1:], expected, sigmas, strict=True):
        offset *= float(1 - epsilon * (sigma / 0.1) ** 2 / (2 * (variance + sigma**2))) ** n_steps
        assert abs(states.mean() - mean - offset) <= 5 * math.sqrt(wanted / n)
        assert abs(states.var() - wanted) <= 5 * math.sqrt(2 / n) * wanted


@pytest.mark.parametrize(("value", "error"), [(-1.0, ValueError), (INF, ValueError), ("1", TypeError)])
def test_a_bad_variance_of_the_data_is_refused(value, error):
    with pytest.raises(error, match=r"^variance must"):
        ladder_variance(value, RUNGS, 0.01, 2)


# The reverse diffusion.


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("corrector_steps", [0, 3])
def test_the_reverse_diffusion_of_a_gaussian_has_the_moments_of_its_recursion(eta, corrector_steps):
    n, mean, variance, ratio = 100_000, 1.0, 0.25, 0.5
    sigmas = ladder(3.0, 0.1, 7).tolist()
    x0 = 3.0 * points(n, 1, torch.float32, seed=23)
    path = reverse_diffusion(
        Gaussian(mean, variance).score,
        x0,
        sigmas,
        eta=eta,
        corrector_steps=corrector_steps,
        corrector_ratio=ratio,
        generator=seeded(24),
        record_every=1,
    ).double()
    offset, now = -mean, 9.0
    for (sigma, below), states in zip(itertools.pairwise(sigmas), path[1:], strict=True):
        change = sigma**2 - below**2
        left = 1 - (1 + eta) / 2 * change / (variance + sigma**2)
        offset, now = left * offset, left**2 * now + eta * change
        for _ in range(corrector_steps):
            left = 1 - ratio * below**2 / 2 / (variance + below**2)
            offset, now = left * offset, left**2 * now + ratio * below**2
        assert abs(states.mean() - mean - offset) <= 5 * math.sqrt(now / n)
        assert abs(states.var() - now) <= 5 * math.sqrt(2 / n) * now


def cdf(p):
    means, stds, weights = (value.double().numpy() for value in (p.means[:, 0], p.stds, p.weights))
    return lambda x: (weights * scipy.stats.norm.cdf(np.asarray(x)[..., None], means, stds)).sum(-1)


@pytest.mark.parametrize("eta", [0, 1, 3])
def test_every_eta_turns_the_first_law_into_the_last_on_a_fine_ladder(eta):
    p, n = line(torch.float32), 20_000
    x0 = p.smoothed(4.0).sample(n, seeded(25))
    x = reverse_diffusion(p.smoothed_score, x0, ladder(4.0, 0.05, 400), eta=eta, generator=seeded(26))[:, 0].double()
    # Of 20 000 particles a law that is off by 2.6 % somewhere is seen; the ladder's own error is a tenth of that.
    assert scipy.stats.kstest(x.numpy(), cdf(p.smoothed(0.05))).pvalue > FIVE_SIGMA
    assert abs((x < -0.82).double().mean() - 0.4) <= 5 * math.sqrt(0.24 / n) + 0.003


def test_the_law_of_the_first_rung_is_not_that_of_the_last():
    p = line(torch.float32)
    x = p.smoothed(0.2).sample(20_000, seeded(25))[:, 0].double()
    assert scipy.stats.kstest(x.numpy(), cdf(p.smoothed(0.05))).pvalue < FIVE_SIGMA


def test_without_noise_it_is_eulers_method_on_the_flow_in_the_square_of_the_noise():
    p, x = plane(), 2 * points(20, 2)
    expected = x.numpy()
    for sigma, below in itertools.pairwise(RUNGS):
        expected = expected + (sigma**2 - below**2) / 2 * plane_score(expected, sigma)
    close(reverse_diffusion(p.smoothed_score, x, RUNGS, eta=0), torch.from_numpy(expected), 200)


def test_correctors_mend_what_a_coarse_ladder_leaves():
    p, n = line(torch.float32), 10_000
    x0, law = p.smoothed(4.0).sample(n, seeded(27)), cdf(p.smoothed(0.05))

    def away(**choices):
        x = reverse_diffusion(p.smoothed_score, x0, ladder(4.0, 0.05, 12), generator=seeded(28), **choices)
        return scipy.stats.kstest(x[:, 0].double().numpy(), law).statistic

    assert away(corrector_steps=20) < away() / 2


# The probability flow.


def test_the_flow_of_a_gaussian_shrinks_every_point_alike():
    gaussian, x = Gaussian(1.0, 0.25), 3 * points(20, 1)
    expected = 1 + (x - 1) * math.sqrt((0.25 + 0.1**2) / (0.25 + 9.0))
    off = [
        (probability_flow(gaussian.score, x, ladder(3.0, 0.1, n + 1)) - expected).abs().max().item()
        for n in (40, 80, 160)
    ]
    # Of second order: half the step, a quarter of the error.
    assert off[0] / off[1] == pytest.approx(4, abs=0.3)
    assert off[1] / off[2] == pytest.approx(4, abs=0.15)
    assert off[2] < 1e-4


@pytest.mark.parametrize("dtype", DTYPES)
def test_on_a_single_datum_the_flow_is_exact_on_any_ladder(dtype):
    x = 4 * points(20, 2, dtype)
    found = probability_flow(Gaussian(1.0, 0.0).score, x, [4.0, 3.0, 0.5, 0.01])
    close(found, 1 + (x - 1) * 0.01 / 4, 50, dtype)  # of a start up to 10 away


def test_the_flow_of_a_mixture_is_what_scipy_integrates():
    p, x = plane(), 3 * points(12, 2, seed=29)

    def slope(sigma, flat):
        return -sigma * plane_score(flat.reshape(12, 2), sigma).ravel()

    solved = scipy.integrate.solve_ivp(slope, (3.0, 0.1), x.numpy().ravel(), "DOP853", rtol=1e-11, atol=1e-12)
    expected = torch.from_numpy(solved.y[:, -1].reshape(12, 2))
    coarse, fine = (probability_flow(p.smoothed_score, x, ladder(3.0, 0.1, n + 1)) for n in (200, 400))
    off = [(found - expected).abs().max().item() for found in (coarse, fine)]
    assert off[0] / off[1] == pytest.approx(4, abs=0.4)
    assert off[1] < 1e-3
    # Less the error of second order, an error of third or higher.
    assert (fine + (fine - coarse) / 3 - expected).abs().max() < off[1] / 10
    # And that by Euler's method is far from it.
    euler = reverse_diffusion(p.smoothed_score, x, ladder(3.0, 0.1, 401), eta=0)
    assert (euler - expected).abs().max() > 10 * off[1]


def test_the_flow_keeps_the_order_of_points_on_the_line():
    x0 = torch.linspace(-12, 12, 400, dtype=torch.float64)[:, None]
    path = probability_flow(line().smoothed_score, x0, ladder(4.0, 0.05, 200), record_every=1)
    assert (path.diff(dim=1) > 0).all()


def test_the_flow_turns_the_first_law_into_the_last():
    # A monotone map on the line takes each quantile of the one to that of the other.
    p, ranks = line(), np.linspace(0.01, 0.99, 45)

    def quantiles(law):
        return [scipy.optimize.brentq(lambda x, q=q: cdf(law)(x) - q, -30, 30, xtol=1e-13) for q in ranks]

    first, last = (torch.tensor(quantiles(p.smoothed(sigma)))[:, None] for sigma in (4.0, 0.05))
    found = probability_flow(p.smoothed_score, first.double(), ladder(4.0, 0.05, 800))
    assert (found - last).abs().max() < 2e-3


# The likelihood.


def test_the_likelihood_is_its_formula_step_by_step():
    p, x = plane(), points(6, 2, seed=30)
    rungs = RUNGS[::-1]

    def score_and_trace(x, sigma):
        rows = [torch.autograd.functional.jacobian(lambda y: p.smoothed_score(y[None], sigma)[0], row) for row in x]
        return p.smoothed_score(x, sigma), torch.stack([row.trace() for row in rows])

    y, integral = x, 0.0
    for sigma, above in itertools.pairwise(rungs):
        slope, trace = score_and_trace(y, sigma)
        ahead = y - (above - sigma) * sigma * slope
        slope_ahead, trace_ahead = score_and_trace(ahead, above)
        integral = integral + (above - sigma) / 2 * (sigma * trace + above * trace_ahead)
        y = y - (above - sigma) / 2 * (sigma * slope + above * slope_ahead)
    expected = p.smoothed(2.0).log_prob(y) - integral
    found = log_likelihood(p.smoothed_score, x, RUNGS, p.smoothed(2.0))
    assert found.shape == (6,)
    close(found, expected, 1000)


def test_the_likelihood_of_the_exact_score_is_the_density_of_the_last_law_to_second_order():
    p = plane()
    x = p.smoothed(0.1).sample(100, seeded(31))
    truth = p.smoothed(0.1).log_prob(x)
    off = [
        (log_likelihood(p.smoothed_score, x, ladder(4.0, 0.1, n + 1), p.smoothed(4.0)) - truth).square().mean().sqrt()
        for n in (50, 100, 200)
    ]
    assert off[0] / off[1] == pytest.approx(4, abs=0.6)
    assert off[1] / off[2] == pytest.approx(4, abs=0.3)
    assert off[2] < 0.002


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_likelihood_of_a_gaussian_is_its_log_density(dtype):
    p = GaussianMixture(torch.tensor([[1.0, -1.0, 0.5]], dtype=dtype), 0.5)
    x = p.sample(50, seeded(32))
    found = log_likelihood(p.smoothed_score, x, ladder(3.0, 0.1, 201), p.smoothed(3.0))
    assert found.dtype == dtype
    # The rule's error, 2e-4 for 200 steps: a slip of σ for σ², of ½ or of a sign is a hundred times as large.
    torch.testing.assert_close(found, p.smoothed(0.1).log_prob(x), rtol=0, atol=2e-3)


def test_on_a_single_datum_the_likelihood_has_the_error_of_the_trapezoidal_rule_for_the_logarithm():
    # ∇ · s = −1/σ², and the flow x ∝ σ is exact: what is off is the rule's value of ∫ dσ/σ, a number.
    datum, sigmas = Gaussian(0.0, 0.0), [2.0, 1.0, 0.5]
    x = 0.5 * points(20, 1)
    found = log_likelihood(datum.score, x, sigmas, GaussianMixture(torch.zeros(1, 1, dtype=torch.float64), 2.0))
    rule = sum((a - b) / 2 * (1 / a + 1 / b) for a, b in itertools.pairwise(sigmas))
    expected = -0.5 * (x[:, 0] / 0.5) ** 2 - math.log(2.0 * math.sqrt(2 * math.pi)) + rule
    close(found, expected, 50)


@pytest.mark.parametrize("name", ["exact", "wrong"])
def test_the_density_that_a_flow_makes_of_a_law_has_the_integral_one_whatever_the_score(name):
    p, prior = line(), line().smoothed(4.0)
    score = p.smoothed_score if name == "exact" else lambda x, sigma: 0.9 * p.smoothed_score(x, sigma) + 0.2 * x.sin()
    grid = torch.linspace(-9, 9, 1801, dtype=torch.float64)[:, None]
    off = []
    for n in (100, 200):
        density = log_likelihood(score, grid, ladder(4.0, 0.1, n + 1), prior).exp()
        off.append(abs(torch.trapezoid(density, grid[:, 0]).item() - 1))
    assert off[1] < 1e-3
    assert off[1] < off[0] / 3
    if name == "wrong":  # and it is another density
        at = torch.tensor([[2.0]], dtype=torch.float64)
        away = log_likelihood(score, at, ladder(4.0, 0.1, 101), prior) - p.smoothed(0.1).log_prob(at)
        assert abs(away) > 0.05


class TestRandomDirections:
    sigmas = ladder(2.0, 0.2, 5)
    p = plane()
    x = plane().sample(12, seeded(33))

    def by(self, n_projections, seed):
        return log_likelihood(
            self.p.smoothed_score,
            self.x,
            self.sigmas,
            self.p.smoothed(2.0),
            n_projections=n_projections,
            generator=seeded(seed),
        )

    def test_have_the_divergence_as_their_mean_and_tell_its_error(self):
        exact = log_likelihood(self.p.smoothed_score, self.x, self.sigmas, self.p.smoothed(2.0))
        runs = [self.by(4, seed) for seed in range(100)]
        means, errors = (torch.stack([run[i] for run in runs]) for i in (0, 1))
        assert means.shape == errors.shape == (100, 12)
        spread = means.std(0)
        assert ((means.mean(0) - exact).abs() <= 5 * spread / math.sqrt(100)).all()
        # The variance of 100 means is known to √2/10 of itself, that of two values ±c has a kurtosis below 3.
        ratio = (errors.square().mean(0) / spread.square()).numpy()
        assert (np.abs(ratio - 1) < 5 * math.sqrt(2 / 99)).all()
        assert spread.max() > 0.02

    def test_are_signs_the_same_all_the_way(self):
        # In the plane vᵀJv = tr J + v₁v₂ (J₁₂ + J₂₁): with the same signs all the way, one of two values.
        exact = log_likelihood(self.p.smoothed_score, self.x, self.sigmas, self.p.smoothed(2.0))
        n = 6
        mean, error = self.by(n, 34)
        coins = torch.randint(2, (n, 12, 2), generator=seeded(34))
        agree = (2 * (coins[..., 0] == coins[..., 1]).double() - 1).mean(0)
        mixed = agree.abs() < 1
        c = error[mixed] * math.sqrt(n) / (n / (n - 1) * (1 - agree[mixed] ** 2)).sqrt()
        torch.testing.assert_close((mean - exact)[mixed].abs(), c * agree[mixed].abs(), rtol=1e-9, atol=1e-12)
        assert (error[~mixed] < 1e-12).all()
        assert mixed.sum() > 5

    def test_are_drawn_anew_for_each_row(self):
        x = self.x[:1].expand(20, 2)
        mean, _ = log_likelihood(
            self.p.smoothed_score, x, self.sigmas, self.p.smoothed(2.0), n_projections=4, generator=seeded(35)
        )
        assert len(mean.unique()) > 2

    def test_on_the_line_each_is_exact(self):
        p, x = line(), points(10, 1)
        exact = log_likelihood(p.smoothed_score, x, self.sigmas, p.smoothed(2.0))
        for n_projections in (2, 5):
            mean, error = log_likelihood(
                p.smoothed_score, x, self.sigmas, p.smoothed(2.0), n_projections=n_projections, generator=seeded(36)
            )
            assert mean.shape == error.shape == (10,)
            torch.testing.assert_close(mean, exact, rtol=1e-14, atol=1e-14)
            assert (error < 1e-14).all()

    @pytest.mark.parametrize(("n_projections", "error"), [(1, ValueError), (2.0, TypeError), (True, TypeError)])
    def test_of_a_bad_number_are_refused(self, n_projections, error):
        with pytest.raises(error, match=r"^n_projections must"):
            self.by(n_projections, 0)


def test_no_points_have_no_likelihood():
    p = plane()
    empty = torch.zeros(0, 2)
    assert log_likelihood(p.smoothed_score, empty, RUNGS, p.smoothed(2.0)).shape == (0,)
    mean, error = log_likelihood(p.smoothed_score, empty, RUNGS, p.smoothed(2.0), n_projections=3)
    assert mean.shape == error.shape == (0,)


def test_a_field_constant_in_one_dimension_has_no_divergence_there():
    def score(x, sigma):
        return torch.stack([-x[:, 0] / (1 + sigma**2), torch.ones_like(x[:, 1])], 1)

    prior = GaussianMixture(torch.zeros(1, 2, dtype=torch.float64), math.sqrt(5))
    x = torch.zeros(3, 2, dtype=torch.float64)
    found = log_likelihood(score, x, ladder(2.0, 1.0, 200), prior)
    # The second coordinate is carried from 0 to −∫ σ dσ = −1.5, and its volume stays.
    expected = -math.log(2 * math.pi * math.sqrt(2 * 5)) - 1.5**2 / 10
    assert found.tolist() == pytest.approx([expected] * 3, abs=1e-4)


def test_a_score_that_cannot_be_differentiated_is_refused():
    x = torch.zeros(3, 1)
    for score in (lambda x, sigma: torch.zeros_like(x), lambda x, sigma: -x.detach()):
        with pytest.raises(ValueError, match=r"^score must be differentiable in x"):
            log_likelihood(score, x, RUNGS, line())


def test_a_score_made_in_inference_mode_is_named():
    with torch.inference_mode():
        network = NoiseConditionalNetwork(1, width=4)
    with pytest.raises(ValueError, match=r"^score must be made outside torch\.inference_mode"):
        log_likelihood(network, torch.zeros(3, 1), RUNGS, line())

    def broken(x, sigma):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match=r"^broken$"):
        log_likelihood(broken, torch.zeros(3, 1), RUNGS, line())


class Prior:
    def __init__(self, log_prob):
        self.log_prob = log_prob


@pytest.mark.parametrize(
    ("prior", "error", "message"),
    [
        (None, TypeError, "prior.log_prob must be a function, got NoneType"),
        (Prior(3), TypeError, "prior.log_prob must be a function, got int"),
        (Prior(lambda x: x), ValueError, "prior.log_prob must return one number a row"),
        (Prior(lambda x: 0.0), TypeError, "prior.log_prob must return a torch.Tensor"),
        (Prior(lambda x: x[:, 0] * NAN), FloatingPointError, "prior.log_prob is NaN or infinite"),
        (Prior(lambda x: x[:, 0] + INF), FloatingPointError, "prior.log_prob is NaN or infinite"),
    ],
)
def test_a_bad_prior_is_named(prior, error, message):
    with pytest.raises(error, match=f"^{message}"):
        log_likelihood(STANDARD.score, torch.zeros(3, 1), RUNGS, prior)


def test_where_the_prior_is_zero_so_is_the_density():
    prior = Prior(lambda x: torch.where(x[:, 0] > 0, -INF, 0.0))
    x = torch.tensor([[-1.0], [1.0]])
    found = log_likelihood(STANDARD.score, x, RUNGS, prior)
    assert found[0].isfinite()
    assert found[1] == -INF
    mean, error = log_likelihood(STANDARD.score, x, RUNGS, prior, n_projections=3)
    assert torch.equal(mean, found)
    assert error.tolist() == [0, 0]


def test_a_divergence_that_is_not_finite_is_reported():
    def score(x, sigma):  # 0 at 0, with an infinite slope
        return -(x.abs().sqrt())

    with pytest.raises(FloatingPointError, match=r"^the divergence of the score is not finite"):
        log_likelihood(score, torch.zeros(2, 1), RUNGS, line())


def test_what_the_prior_returns_in_float64_is_used_in_it():
    prior = Prior(lambda x: 1e9 - 0.5 * x.double().square().sum(1))
    far = log_likelihood(STANDARD.score, torch.ones(2, 1), RUNGS, prior) - 1e9
    near = log_likelihood(STANDARD.score, torch.ones(2, 1), RUNGS, Prior(lambda x: -0.5 * x.square().sum(1)))
    assert far.dtype == torch.float64
    assert near.dtype == torch.float32
    torch.testing.assert_close(far.float(), near, rtol=1e-6, atol=1e-6)


# The denoiser, and guidance.


class TestDenoised:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("sigma", [0.01, 0.7, 30.0])
    def test_on_a_gaussian_is_wieners_filter(self, sigma, dtype):
        p, x = Gaussian(0.5, 2.0), 3 * points(30, 1, dtype)
        expected = (2.0 * x + sigma**2 * 0.5) / (2.0 + sigma**2)
        found = denoised(p.score, x, sigma)
        assert found.dtype == dtype
        # Of a sum of two numbers as large as x.
        torch.testing.assert_close(found, expected, rtol=0, atol=30 * torch.finfo(dtype).eps)

    @pytest.mark.parametrize("sigma", [0.2, 1.0, 3.0])
    def test_is_the_mean_of_the_clean_given_the_noisy_by_quadrature(self, sigma):
        p, x = line(), torch.linspace(-5, 5, 11, dtype=torch.float64)[:, None]
        clean = torch.linspace(-8, 8, 40_001, dtype=torch.float64)
        weight = (p.log_prob(clean[:, None]) - (x - clean).square() / (2 * sigma**2)).softmax(1)
        # Trapezoids 4e-4 wide under Gaussians of 0.2 and wider: exact to rounding.
        torch.testing.assert_close(denoised(p.smoothed_score, x, sigma)[:, 0], weight @ clean, rtol=0, atol=1e-10)

    def test_is_the_best_guess_of_the_clean_points(self):
        p, n, sigma = plane(), 50_000, 0.8
        clean = p.sample(n, seeded(50))
        noisy = clean + sigma * points(n, 2, seed=51)
        guess = denoised(p.smoothed_score, noisy, sigma)
        # Its error is at right angles to whatever is made of the noisy points.
        for other in (noisy, noisy**2, noisy.flip(1), torch.ones_like(noisy)):
            rows = ((clean - guess) * other).sum(1)
            assert abs(rows.mean().item()) <= 5 * rows.std().item() / math.sqrt(n)

    @pytest.mark.parametrize("power", [-100, -60, 60, 100])
    def test_has_no_unit_also_where_the_square_of_the_noise_is_no_number(self, power):
        x, unit = points(20, 1, torch.float32), 2.0**power

        def score(x, sigma):
            return -(x / unit) / (1 + (sigma / unit) ** 2) / unit

        found = denoised(score, x * unit, 0.7 * unit)
        torch.testing.assert_close(found / unit, x / 1.49, rtol=1e-5, atol=1e-6)

    def test_keeps_and_changes_nothing(self):
        network = NoiseConditionalNetwork(2, width=8, generator=seeded(52))
        assert not denoised(network, points(5, 2, torch.float32).requires_grad_(), 0.5).requires_grad

        def score(x, sigma):
            out = -x / (1 + sigma**2)
            x.zero_()
            return out

        x = points(5, 2)
        assert torch.equal(denoised(score, x, 0.5), denoised(STANDARD.score, x, 0.5))
        assert torch.equal(x, points(5, 2))

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ((None, torch.zeros(3, 1), 1.0), TypeError, "score must be a function"),
            ((lambda x, sigma: x[:1], torch.zeros(3, 1), 1.0), ValueError, "score must return the shape"),
            ((STANDARD.score, torch.zeros(3), 1.0), ValueError, "x must have shape"),
            ((STANDARD.score, [[0.0]], 1.0), TypeError, r"x must be a torch\.Tensor"),
            ((STANDARD.score, torch.zeros(3, 1), 0), ValueError, "sigma must be positive"),
            ((STANDARD.score, torch.zeros(3, 1), 1e39), ValueError, "sigma must be a number that torch.float32"),
            ((STANDARD.score, torch.zeros(3, 1), "1"), TypeError, "sigma must be a number"),
        ],
    )
    def test_bad_input_is_refused_by_name(self, arguments, error, message):
        with pytest.raises(error, match=f"^{message}"):
            denoised(*arguments)


def towards(x, sigma, label):
    """The score of N(±1, 1) with noise for the labels 0 and 1, and of N(0, 2) without one."""
    mean = torch.tensor([-1.0, 1.0, 0.0], dtype=x.dtype)[label]
    variance = torch.tensor([1.0, 1.0, 2.0], dtype=x.dtype)[label]
    return (mean - x.T).T / (variance + sigma**2)[:, None]


class TestGuided:
    label = torch.tensor([0, 1, 1, 0, 1])

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("strength", [0.0, 0.5, 3.0])
    def test_is_its_formula(self, strength, dtype):
        x = points(5, 1, dtype)
        told, untold = towards(x, 0.7, self.label), towards(x, 0.7, torch.full((5,), -1))
        found = guided(towards, self.label, strength)(x, 0.7)
        assert found.dtype == dtype
        torch.testing.assert_close(found, (1 + strength) * told - strength * untold, rtol=1e-6, atol=1e-6)
        if not strength:
            assert torch.equal(found, told)

    def test_without_strength_asks_once(self):
        seen = []

        def model(x, sigma, label):
            seen.append(label.tolist())
            return -x

        guided(model, self.label, 0)(points(5, 1), 1.0)
        assert seen == [self.label.tolist()]
        guided(model, self.label, 1)(points(5, 1), 1.0)
        assert seen[1:] == [self.label.tolist(), [-1] * 5]

    @pytest.mark.parametrize("strength", [0.0, 1.0, 2.5])
    @pytest.mark.parametrize("sigma", [0.3, 2.0])
    def test_is_the_score_of_the_law_times_a_power_of_how_likely_the_label_is(self, sigma, strength):
        # Two Gaussians, of one label each: p_σ(x) p_σ(label | x)^(1 + w) by autograd.
        every = GaussianMixture(torch.tensor([[-1.0, 0.0], [1.5, 0.5]], dtype=torch.float64), [0.6, 0.9], [0.3, 0.7])
        each = [GaussianMixture(every.means[k : k + 1], every.stds[k].item()) for k in range(2)]

        def model(x, sigma, label):
            fields = torch.stack([p.smoothed_score(x, sigma) for p in (every, *each)])
            return fields[label + 1, torch.arange(len(x))]

        x = 2 * points(5, 2).requires_grad_()
        joint = torch.stack([p.smoothed(sigma).log_prob(x) + w.log() for p, w in zip(each, every.weights, strict=True)])
        tilted = joint.logsumexp(0) + (1 + strength) * (joint - joint.logsumexp(0))[self.label, torch.arange(5)]
        (expected,) = torch.autograd.grad(tilted.sum(), x)
        found = guided(model, self.label, strength)(x.detach(), sigma)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)

    def test_what_changes_later_or_is_written_into_changes_nothing(self):
        label, x = self.label.clone(), points(5, 1)

        def writes(x, sigma, label):
            out = towards(x, sigma, label)
            x.zero_(), label.zero_()
            return out

        expected = guided(towards, label, 0.5)(x, 0.7)
        score = guided(writes, label, 0.5)
        assert torch.equal(score(x, 0.7), expected)
        label.fill_(0)
        assert torch.equal(score(x, 0.7), expected)
        assert torch.equal(x, points(5, 1))
        assert torch.equal(guided(towards, self.label.to(torch.uint8), 0.5)(x, 0.7), expected)

    def test_is_a_score_for_any_sampler(self):
        score = guided(towards, torch.ones(2000, dtype=torch.int64), 0.0)
        x = probability_flow(score, 1 + math.hypot(1, 6) * points(2000, 1), ladder(6.0, 0.05, 60))
        assert scipy.stats.kstest(x[:, 0].numpy(), scipy.stats.norm(1, math.hypot(1, 0.05)).cdf).pvalue > FIVE_SIGMA

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ((None, label, 1.0), TypeError, "model must be a function"),
            ((towards, [0, 1], 1.0), TypeError, "label must be a tensor of whole numbers, got list"),
            ((towards, torch.ones(5), 1.0), TypeError, "label must be a tensor of whole numbers"),
            ((towards, label[:, None], 1.0), ValueError, r"label must have shape \(n,\), got \(5, 1\)"),
            ((towards, label, -0.5), ValueError, "strength must not be negative"),
            ((towards, label, "1"), TypeError, "strength must be a number"),
        ],
    )
    def test_bad_input_is_refused_by_name(self, arguments, error, message):
        with pytest.raises(error, match=f"^{message}"):
            guided(*arguments)

    def test_points_of_another_number_and_fields_of_another_shape_are_refused(self):
        with pytest.raises(ValueError, match=r"^x must have as many rows as there are labels, 5, got shape \(1, 1\)"):
            guided(towards, self.label, 1.0)(torch.zeros(1, 1), 1.0)
        with pytest.raises(ValueError, match=r"^model must return the shape of its input"):
            guided(lambda x, sigma, label: x[:, :1], self.label, 1.0)(torch.zeros(5, 2), 1.0)
