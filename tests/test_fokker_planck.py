"""Densities in time against the Ornstein–Uhlenbeck law, rates and committors against quadrature and simulation."""

import math

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from notes.fokker_planck import committor, fokker_planck, spectral_gap
from notes.langevin import langevin
from notes.mixtures import GaussianMixture

NAN, INF = math.nan, math.inf


def gaussian(std=1.0, mean=0.0):
    return GaussianMixture(torch.tensor([[mean]], dtype=torch.float64), torch.tensor(std, dtype=torch.float64))


def two_wells():
    """0.6·N(2, 0.5²) + 0.4·N(−2, 0.2²)."""
    return GaussianMixture(*(torch.tensor(v, dtype=torch.float64) for v in ([[2.0], [-2.0]], [0.5, 0.2], [0.6, 0.4])))


def normal_on(grid, mean, variance):
    return torch.from_numpy(scipy.stats.norm.pdf(grid.numpy(), mean, math.sqrt(variance)))


def moments(laws, grid):
    spacing = grid[1] - grid[0]
    mean = (laws * grid).sum(1) * spacing
    return mean, (laws * (grid - mean[:, None]) ** 2).sum(1) * spacing


class Flat:
    """A density whose log is the number given, whatever that is."""

    def __init__(self, value=0.0):
        self.value = value

    def log_prob(self, x):
        return torch.full_like(x[:, 0], self.value)


GRID = torch.linspace(-8, 8, 401, dtype=torch.float64)


@pytest.mark.parametrize(("mean", "variance"), [(2.0, 0.25), (-1.0, 2.0), (0.0, 0.1)])
def test_the_ornstein_uhlenbeck_law_is_met(mean, variance):
    times = torch.tensor([0.0, 0.1, 0.5, 1.7, 4.0], dtype=torch.float64)
    laws = fokker_planck(gaussian(), normal_on(GRID, mean, variance), times, GRID)
    means, variances = mean * torch.exp(-times), 1 + (variance - 1) * torch.exp(-2 * times)
    # The fluxes diffuse by 1 + (hx)²/12 in place of 1, and drift by as small a part: of order h² = 1.6e-3.
    found = moments(laws, GRID)
    torch.testing.assert_close(found[0], means, rtol=0, atol=0.04**2)
    torch.testing.assert_close(found[1], variances, rtol=0, atol=0.04**2)
    expected = torch.stack([normal_on(GRID, m, v) for m, v in zip(means.tolist(), variances.tolist(), strict=True)])
    torch.testing.assert_close(laws, expected, rtol=0, atol=2 * 0.04**2)


def test_half_the_spacing_leaves_a_quarter_of_the_error():
    errors = []
    for n in (161, 321):
        grid = torch.linspace(-8, 8, n, dtype=torch.float64)
        law = fokker_planck(gaussian(), normal_on(grid, 2.0, 0.5), [0.5], grid)[0]
        expected = normal_on(grid, 2 * math.exp(-0.5), 1 - 0.5 * math.exp(-1))
        errors.append((law - expected).abs().max().item())
    # What is of fourth order is some h² = 1 % of what is of second.
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize(
    "density", [gaussian(), two_wells(), gaussian(0.3, -1.0)], ids=["normal", "two wells", "narrow"]
)
def test_mass_is_kept_and_no_density_is_negative(density):
    initial = torch.zeros_like(GRID)
    initial[[0, 130, -1]] = 1.0  # point masses are the hardest start, and at the ends they would find a leak
    laws = fokker_planck(density, initial, [0.0, 0.01, 0.5, 3.0, 20.0], GRID)
    assert laws.shape == (5, 401)
    assert laws.dtype == torch.float64
    assert (laws.sum(1) * 0.04 - 1).abs().max() < 1e-13
    assert (laws >= 0).all()


@pytest.mark.parametrize("density", [gaussian(), two_wells()], ids=["normal", "two wells"])
def test_no_error_grows_with_time(density):
    times = [1e-9, 1e-3, 1.0, 1e8, 1e12, 1e15]
    laws = fokker_planck(density, normal_on(GRID, 2.0, 0.25), times, GRID)
    assert (laws.sum(1) * 0.04 - 1).abs().max() < 1e-13
    assert (laws >= 0).all()
    p = density.log_prob(GRID[:, None]).exp()
    p = p / (p.sum() * 0.04)
    # All is forgotten by then, of the wells too (their gap is 1.8e-6): what is left has the digits of p, tails and all.
    torch.testing.assert_close(laws[3:], p.expand(3, -1), rtol=1e-9, atol=1e-300)
    torch.testing.assert_close(fokker_planck(density, p, times, GRID), p.expand(6, -1), rtol=1e-9, atol=1e-300)


def test_the_law_at_moderate_times_is_the_exponential_of_the_rates():
    density = two_wells()
    times = [1e-4, 0.013, 0.2, 1.0]
    initial = normal_on(GRID, 0.5, 0.3)
    laws = fokker_planck(density, initial, times, GRID)
    # The rates by hand: z/(eᶻ − 1) over the spacing squared, z the climb of −log p.
    climb = -density.log_prob(GRID[:, None]).diff()
    up, down = climb / torch.expm1(climb) / 0.04**2, -climb / torch.expm1(-climb) / 0.04**2
    rates = up.diag(-1) + down.diag(1)
    rates -= rates.sum(0).diag()
    for time, law in zip(times, laws, strict=True):
        expected = torch.linalg.matrix_exp(time * rates) @ initial
        torch.testing.assert_close(law, expected / (expected.sum() * 0.04), rtol=0, atol=1e-9)


@pytest.mark.parametrize("density", [gaussian(), two_wells()], ids=["normal", "two wells"])
def test_the_density_itself_stays(density):
    p = density.log_prob(GRID[:, None]).exp()
    laws = fokker_planck(density, p, [0.3, 2.0, 50.0], GRID)
    p = p / (p.sum() * 0.04)
    torch.testing.assert_close(laws, p.expand(3, -1), rtol=0, atol=1e-9)


def test_every_start_ends_at_the_density():
    p = gaussian(0.7, 1.0)
    initial = (GRID.abs() < 3).double()
    law = fokker_planck(p, initial, [20.0], GRID)[0]
    # Forgotten at the rate 1/σ² = 2: e⁻⁴⁰.
    expected = p.log_prob(GRID[:, None]).exp()
    torch.testing.assert_close(law, expected / (expected.sum() * 0.04), rtol=0, atol=1e-9)


def test_the_faintest_slope_is_kept():
    density, grid = Flat(), torch.linspace(0, 1, 101, dtype=torch.float64)
    density.log_prob = lambda x: -5e-5 * x[:, 0]  # from cell to cell 5e-7
    p = torch.exp(-5e-5 * grid)
    p = p / (p.sum() * 0.01)
    # Another slope would be reached at the rate π²; what is rounded, one in 1e16, moves 5000 times in this time.
    torch.testing.assert_close(fokker_planck(density, p, [0.5], grid)[0], p, rtol=1e-10, atol=0)


@pytest.mark.parametrize("convert", [torch.Tensor.float, torch.Tensor.tolist, torch.Tensor.numpy])
def test_the_start_may_be_float32_numbers_or_an_array(convert):
    initial = (GRID.abs() < 3).double()
    laws = fokker_planck(gaussian(), convert(initial), [0.0, 0.5], GRID)
    assert laws.dtype == torch.float64
    assert torch.equal(laws, fokker_planck(gaussian(), initial, [0.0, 0.5], GRID))


def test_the_start_is_normalised_and_returned_at_time_zero():
    initial = 7 * normal_on(GRID, 0.5, 0.3)
    law = fokker_planck(gaussian(), initial, [0.0], GRID)[0]
    torch.testing.assert_close(law, initial / 7, rtol=0, atol=1e-12)


def test_the_way_through_time_does_not_matter():
    initial = normal_on(GRID, 2.0, 0.25)
    straight = fokker_planck(gaussian(), initial, [3.0], GRID)[-1]
    for times in ([1.0, 2.0, 3.0], [0.5, 0.75, 2.0, 3.0], [0.0, 2.5, 3.0]):
        torch.testing.assert_close(fokker_planck(gaussian(), initial, times, GRID)[-1], straight, rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1e3])
def test_the_equation_knows_no_units(scale):
    times = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    expected = fokker_planck(gaussian(), normal_on(GRID, 2.0, 0.25), times, GRID)
    found = fokker_planck(gaussian(scale), normal_on(GRID, 2.0, 0.25), scale**2 * times, scale * GRID)
    torch.testing.assert_close(scale * found, expected, rtol=0, atol=1e-7)


def test_the_inputs_stay_as_they_were():
    initial, times, grid = normal_on(GRID, 2.0, 0.25), torch.tensor([0.5, 1.0], dtype=torch.float64), GRID.clone()
    before = initial.clone()
    fokker_planck(gaussian(), initial, times, grid)
    assert torch.equal(initial, before)
    assert torch.equal(grid, GRID)


def test_python_times_mean_what_they_say():
    initial = normal_on(GRID, 2.0, 0.25)
    of_list = fokker_planck(gaussian(), initial, [0.1], GRID)
    of_tensor = fokker_planck(gaussian(), initial, torch.tensor([0.1], dtype=torch.float64), GRID)
    torch.testing.assert_close(of_list, of_tensor, rtol=0, atol=1e-12)


def test_many_walkers_spread_as_the_equation_says():
    p = GaussianMixture([[1.0], [-1.0]], [0.6, 0.4], [0.3, 0.7])
    n, step_size = 100_000, 0.002
    grid = torch.linspace(-5, 5, 501, dtype=torch.float64)
    start = torch.randn(n, 1, generator=torch.Generator().manual_seed(1)) * 0.3 + 0.5
    walked = langevin(p.score, start, step_size, 250, generator=torch.Generator().manual_seed(2))
    law = fokker_planck(p, normal_on(grid, 0.5, 0.09), torch.tensor([0.5]), grid)[0]
    for edge in (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5):
        below = (torch.cumulative_trapezoid(law, grid)[round((edge + 5) / 0.02) - 1]).item()
        # Of a walk with steps τ the law is off by some τ/σ² = 0.0125 of itself; 5 standard errors are 0.008.
        assert abs((walked < edge).double().mean().item() - below) <= 0.0125 * below + 5 * math.sqrt(
            below * (1 - below) / n
        )


def test_two_times_after_each_other_are_their_sum():
    start, times = normal_on(GRID, 1.0, 0.25), [0.0123, 0.0123 + 0.0456]
    first, second = fokker_planck(two_wells(), start, times, GRID)
    again = fokker_planck(two_wells(), first, [0.0456], GRID)[0]
    torch.testing.assert_close(again, second, rtol=1e-11, atol=1e-300)


def test_the_smallest_masses_have_all_their_digits():
    # Detailed balance: p(i) times the chance to be at j after starting at i is the same the other way round.
    p, grid = gaussian(), torch.linspace(-4, 4, 81, dtype=torch.float64)
    cells, time = torch.eye(81, dtype=torch.float64), [0.001]
    there, back = fokker_planck(p, cells[30], time, grid)[0, 45], fokker_planck(p, cells[45], time, grid)[0, 30]
    ratio = (p.log_prob(grid[[45], None]) - p.log_prob(grid[[30], None])).exp().item()
    assert 0 < there < 1e-12
    assert there.item() == pytest.approx(ratio * back.item(), rel=1e-11)


@pytest.mark.parametrize("std", [0.1, 0.5, 1.0, 3.0])
def test_the_gap_of_a_gaussian_is_one_over_its_variance(std):
    gap = spectral_gap(gaussian(std, 2 * std), std * GRID + 2 * std)
    assert type(gap) is float
    # Of second order in the spacing of 0.04 σ.
    assert gap == pytest.approx(1 / std**2, rel=0.04**2)


def test_the_gap_of_two_wells_is_the_flux_between_them():
    p = two_wells()

    def resistance(x):
        return math.exp(-p.log_prob(torch.tensor([[x]], dtype=torch.float64)).item())

    # Nearly all of ∫ dx/p comes from around the barrier at −0.82.
    between = scipy.integrate.quad(resistance, -2, 2, points=[-1.2, -0.8, -0.4], limit=200)[0]
    gap = spectral_gap(p, torch.linspace(-4, 5, 801))
    # The narrow well is 18 spacings wide: an error of order 18⁻² = 0.3 %.
    assert gap == pytest.approx(1 / (0.6 * 0.4 * between), rel=0.004)
    assert gap == pytest.approx(1.79e-6, abs=0.005e-6)


@pytest.mark.parametrize("apart", [0.0, 1.0, 3.0, 8.0])
def test_the_gap_has_all_its_digits_however_high_the_barrier(apart):
    p = GaussianMixture(torch.tensor([[apart], [-apart]], dtype=torch.float64), 0.5, [0.3, 0.7])
    grid = torch.linspace(-apart - 2, apart + 2, 31, dtype=torch.float64)
    with mpmath.workdps(200):  # the same finite volumes, made symmetric, with two hundred digits
        log_p, rates = [mpmath.mpf(v) for v in p.log_prob(grid[:, None]).tolist()], mpmath.zeros(31)
        for i in range(30):
            climb = log_p[i] - log_p[i + 1]
            up, down = (z / mpmath.expm1(z) / mpmath.mpf((grid[1] - grid[0]).item()) ** 2 for z in (climb, -climb))
            rates[i, i], rates[i + 1, i + 1] = rates[i, i] - up, rates[i + 1, i + 1] - down
            rates[i, i + 1] = rates[i + 1, i] = mpmath.sqrt(up * down)
        expected = -sorted(mpmath.eigsy(rates, eigvals_only=True))[-2]
        # An eigenvalue of 30 positive numbers a row, to as many roundings; log p itself is rounded at up to 512.
        assert abs(spectral_gap(p, grid) / expected - 1) < 30 * 2**-52 + 512 * 2**-53


def test_the_gap_is_the_rate_at_which_the_last_of_the_start_decays():
    p = GaussianMixture(torch.tensor([[1.0], [-1.0]], dtype=torch.float64), 0.5, [0.3, 0.7])
    grid = torch.linspace(-5, 5, 301, dtype=torch.float64)
    gap = spectral_gap(p, grid)
    laws = fokker_planck(p, normal_on(grid, 1.0, 0.25), torch.tensor([6.0, 8.0], dtype=torch.float64), grid)
    end = p.log_prob(grid[:, None]).exp()
    left = (laws - end / (end.sum() * (grid[1] - grid[0]))).abs().sum(1)
    # The next rate is above 2, so that its part has gone by e⁻¹⁰ against the last one's.
    assert math.log(left[0] / left[1]) / 2 == pytest.approx(gap, rel=1e-3)


class Law:
    """A density by its logarithm as a function of numbers."""

    def __init__(self, log):
        self.log_prob = lambda x: log(x[:, 0])


def student(degrees):
    return Law(lambda x: -(degrees + 1) / 2 * torch.log1p(x**2 / degrees))


@pytest.mark.parametrize(
    ("density", "ends"),
    [
        *((student(1), (-width, width)) for width in (10, 20, 80, 1000)),
        (student(1), (-5, 100)),
        *((student(degrees), (-width, width)) for degrees in (2, 3, 5, 10) for width in (10, 40)),
        *((Law(lambda x: -x.abs().sqrt()), (-width, width)) for width in (20, 100, 400)),
        *((Law(lambda x: -(x.abs() ** 0.75)), (-width, width)) for width in (20, 200)),
        (Law(lambda x: -x.abs()), (-10, 10)),  # a gap of ¼, on a grid that ends too early: there it is 0.32
    ],
)
def test_a_number_that_only_the_ends_of_the_grid_decide_is_no_gap(density, ends):
    for n in (201, 801):
        with pytest.raises(ValueError, match="grid decides the gap by where it ends"):
            spectral_gap(density, torch.linspace(*ends, n, dtype=torch.float64))


def apart(place, std, weights):
    return GaussianMixture(torch.tensor([[place], [-place]], dtype=torch.float64), std, weights)


@pytest.mark.parametrize(
    ("density", "ends", "expected", "within"),
    [
        # Beyond the peak of a Laplace law the slowest wave is e^{|x|/2} times a sine: its rate is ¼ + (π/L)² at most.
        *((Law(lambda x: -x.abs()), (-width, width), 0.25, (math.pi / width) ** 2) for width in (30, 40, 80)),
        *((gaussian(), (-width, width), 1.0, within) for width, within in ((3, 0.03), (4, 2e-3), (8, 1e-3))),
        (Law(torch.zeros_like), (0, 1), math.pi**2, 2 / 800 * math.pi**2),  # walls, not tails: 801 cells of 1/800
        (apart(5.0, 1.0, [0.001, 0.999]), (-8, 8), None, None),
        (apart(5.0, 0.2, [0.3, 0.7]), (-5.6, 5.6), None, None),
        (student(30), (-10, 10), None, None),  # its tails would matter beyond 20, where they hold 10⁻¹⁸
    ],
)
def test_a_gap_on_a_grid_that_holds_the_law_is_given(density, ends, expected, within):
    grid = torch.linspace(*ends, 801, dtype=torch.float64)
    gap = spectral_gap(density, grid)
    if expected is None:  # it is a rate: by Muckenhoupt's bounds 1/λ lies between B/2 and 4 B
        log_p = density.log_prob(grid[:, None]).log_softmax(0)
        middle = (log_p.logcumsumexp(0) < math.log(0.5)).sum()
        resistance = -log_p + 2 * math.log((ends[1] - ends[0]) / 800)
        sides = [(log_p[middle:], resistance[middle:]), (log_p[: middle + 1].flip(0), resistance[: middle + 1].flip(0))]
        bound = max((m.flip(0).logcumsumexp(0).flip(0) + r.logcumsumexp(0)).max().exp().item() for m, r in sides)
        assert bound / 2.2 < 1 / gap < 4.4 * bound
    else:
        assert gap == pytest.approx(expected, abs=within)


@pytest.mark.parametrize(
    ("density", "left", "right"), [(gaussian(), -1.0, 1.5), (two_wells(), -2.0, 2.0), (gaussian(), -0.513, 2.077)]
)
def test_the_committor_is_its_quadrature(density, left, right):
    grid = torch.linspace(-3, 3, 1201, dtype=torch.float64)
    h = committor(density, left, right, grid)
    assert h.dtype == torch.float64

    def resistance(x):
        return math.exp(-density.log_prob(torch.tensor([[x]], dtype=torch.float64)).item())

    breaks = [-1.2, -0.8, -0.4]

    def climb(start, stop):
        inside = [b for b in breaks if start < b < stop] or None
        return scipy.integrate.quad(resistance, start, stop, points=inside, limit=200)[0]

    whole = climb(left, right)
    for i in range(0, 1201, 100):
        x = grid[i].item()
        expected = 1.0 if x <= left else 0.0 if x >= right else climb(x, right) / whole
        # The trapezium rule errs by h²/12 times the slopes of 1/p, at a barrier of width w by less than (h/w)²/12 of
        # the whole: the spacing h is 0.005, w some 0.2.
        assert h[i].item() == pytest.approx(expected, abs=(0.005 / 0.2) ** 2 / 12)


def test_the_committor_has_all_its_digits_where_it_is_small():
    p, grid = GaussianMixture([[-10.0], [10.0]], 0.5), torch.linspace(-12, 12, 4801, dtype=torch.float64)
    h = committor(p, -10.0, 10.0, grid)
    resistance = (-p.log_prob(grid[:, None])).exp().numpy()
    whole = scipy.integrate.simpson(resistance[400:4401], dx=0.005)
    for start in (2600, 3000, 4200):  # x = 1, 3, 9: down to 10⁻⁸⁷
        expected = scipy.integrate.simpson(resistance[start:4401], dx=0.005) / whole
        # log p has slopes up to 40 here: over a spacing of 0.005 the trapezium rule errs by (40 · 0.005)²/12 of it.
        assert h[start].item() == pytest.approx(expected, rel=(40 * 0.005) ** 2 / 12)


def test_the_committor_falls_from_one_to_zero():
    h = committor(two_wells(), -2.0, 2.0, GRID)
    assert (h[GRID <= -2] == 1).all()
    assert h[GRID >= 2].abs().max() < 1e-12  # where the grid holds 2 only to rounding
    assert (h.diff() <= 0).all()


def test_the_committor_of_a_flat_density_is_a_straight_line():
    grid = torch.linspace(0, 1, 11, dtype=torch.float64)
    torch.testing.assert_close(committor(Flat(), 0.0, 1.0, grid), 1 - grid, rtol=0, atol=1e-14)
    torch.testing.assert_close(
        committor(Flat(-5.0), 0.25, 0.75, grid), ((0.75 - grid) / 0.5).clamp(0, 1), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("start", [-0.5, 0.3, 1.0])
def test_the_committor_is_the_share_of_walkers_that_reach_left_first(start):
    p = gaussian()
    left, right, n, step_size = -1.0, 1.5, 20_000, 1e-3
    # A walk in steps passes a boundary by 0.5826 √(2τ) on average: moving both that much inwards makes up for it to
    # first order (Broadie, Glasserman & Kou 1997), and leaves some τ = 1e-3.
    inwards = 0.5826 * math.sqrt(2 * step_size)
    generator = torch.Generator().manual_seed(3)
    x, n_left = torch.full((n, 1), start), 0
    while len(x):
        x = langevin(lambda x: -x, x, step_size, 1, generator=generator)
        n_left += (x <= left + inwards).sum().item()
        x = x[(x > left + inwards).logical_and(x < right - inwards)][:, None]
    grid = torch.linspace(-2, 2, 801, dtype=torch.float64)
    expected = np.interp(start, grid, committor(p, left, right, grid))
    assert abs(n_left / n - expected) <= 5 * math.sqrt(expected * (1 - expected) / n) + step_size


def even(n=41):
    return torch.linspace(-4, 4, n, dtype=torch.float64)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"grid": even().reshape(1, 41)}, ValueError),
        ({"initial": torch.ones(40)}, ValueError),
        ({"initial": torch.ones(41, 1)}, ValueError),
        ({"initial": torch.zeros(41)}, ValueError),
        ({"initial": even()}, ValueError),
        ({"initial": torch.full((41,), INF)}, ValueError),
        ({"initial": "point"}, TypeError),
        ({"times": []}, ValueError),
        ({"times": 1.0}, ValueError),
        ({"times": [[1.0]]}, ValueError),
        ({"times": [-1.0, 1.0]}, ValueError),
        ({"times": [1.0, 0.5]}, ValueError),
        ({"times": [1.0, 1.0]}, ValueError),
        ({"times": [0.0, INF]}, ValueError),
        ({"times": "now"}, TypeError),
    ],
)
def test_bad_input_of_fokker_planck_is_refused_by_name(arguments, error):
    with pytest.raises(error, match=next(iter(arguments))):
        fokker_planck(gaussian(), **{"initial": torch.ones(41), "times": [1.0], "grid": even(), **arguments})


FUNCTIONS = {
    "fokker_planck": lambda density, grid: fokker_planck(density, torch.ones(41), [1.0], grid),
    "spectral_gap": spectral_gap,
    "committor": lambda density, grid: committor(density, -1.0, 1.0, grid),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("bad", [NAN, -INF, INF])
def test_a_density_that_is_not_finite_on_the_grid_is_refused(function, bad):
    with pytest.raises(ValueError, match=r"density\.log_prob"):
        function(Flat(bad), even())


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize(
    ("log_prob", "error"),
    [
        (lambda x: x.sum(), ValueError),
    ],
)
def test_a_log_prob_of_another_shape_is_refused(function, log_prob, error):
    density = Flat()
    density.log_prob = log_prob
    with pytest.raises(error, match=r"density\.log_prob"):
        function(density, even())


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_density_in_the_plane_is_refused(function):
    with pytest.raises(ValueError, match=r"\(n, 2\)"):
        function(GaussianMixture([[0.0, 0.0]], 1.0), even())


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize(
    ("grid", "error"),
    [
        (even()[:, None], ValueError),
    ],
)
def test_a_bad_grid_is_refused(function, grid, error):
    with pytest.raises(error, match="grid"):
        function(gaussian(), grid)


@pytest.mark.parametrize(
    ("left", "right", "name", "error"),
    [
        (1.0, -1.0, "left < right", ValueError),
        (1.0, 1.0, "left < right", ValueError),
        (-4.5, 1.0, "left", ValueError),
        (-1.0, 4.5, "right", ValueError),
        (NAN, 1.0, "left", ValueError),
        (-1.0, INF, "right", ValueError),
        (True, 2.0, "left", TypeError),
        (-1.0, "1", "right", TypeError),
    ],
)
def test_bad_boundaries_are_refused(left, right, name, error):
    with pytest.raises(error, match=name):
        committor(gaussian(), left, right, even())


def test_bad_boundaries_are_refused_with_those_of_the_grid():
    with pytest.raises(ValueError, match=r"satisfy -4 ≤ left < right ≤ 4, got -4\.5 and 1\.0$"):
        committor(gaussian(), -4.5, 1.0, even())
