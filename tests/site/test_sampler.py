"""The playground's arithmetic: its formulas against the package and quadrature, its laws by many particles."""

import base64
import itertools
import json
import math

import numpy as np
import pytest
import quickjs
import scipy.integrate
import scipy.stats
import torch
from conftest import ROOT

from notes.diffusion import ladder, ladder_variance
from notes.langevin import langevin, mala, stationary_variance
from notes.mixtures import GaussianMixture
from notes.networks import WAVES, NoiseConditionalNetwork
from notes.playground import _weights

SCRIPT = (ROOT / "book" / "assets" / "sampler.js").read_text(encoding="utf-8")
LAWS = [(n_modes, seed) for n_modes in (1, 2, 8, 40) for seed in range(3)]
FIELD = """
const scored = (field, x, y, ...more) => {
  const into = [x, y, ...more].map(() => new Float64Array(x.length));
  field.score(x, y, ...into);
  return into.map((values) => [...values]);
};
const standing = (x, y, noise = [x, y]) => {
  const particles = new Particles(x.length, 1);
  [particles.x, particles.y] = [x, y].map((values) => Float64Array.from(values));
  [particles.noiseX, particles.noiseY] = noise.map((values) => Float64Array.from(values));
  return particles;
};
"""


@pytest.fixture(scope="module")
def quick():
    """What a script returns that is given the names of values, without a JIT and without a page."""
    context = quickjs.Context()
    context.eval(SCRIPT + FIELD)

    def run(script, **values):
        """Returns the script's ``return``, through JSON, in which what is not finite is null."""
        given = "".join(f"const {name} = {json.dumps(value)};" for name, value in values.items())
        return json.loads(context.eval(f"(() => {{ {given} return JSON.stringify((() => {{ {script} }})()) }})()"))

    return run


@pytest.fixture(scope="module")
def run(chromium):
    """The same in the browser, whose JIT makes other code of it; values return without JSON."""
    chromium.get("about:blank")

    def run(script, **values):
        names = ", ".join(values)
        return chromium.execute_script(f"{SCRIPT}{FIELD} const {{{names}}} = arguments[0]; {script}", values)

    return run


def a_law(n_modes, seed, *, apart=3.0, least=0.05):
    """Modes of unlike widths and weights, in float64: stds up to 2, weights down to 1e-3 of the greatest."""
    generator = torch.Generator().manual_seed(seed)
    means = apart * torch.randn(n_modes, 2, generator=generator, dtype=torch.float64)
    stds, shares = torch.rand(2, n_modes, generator=generator, dtype=torch.float64)
    return GaussianMixture(means, least * (2 / least) ** stds, 1e-3**shares)


def modes(law, scale=1.0):
    """A law as the script takes it; its weights times a factor, which it takes out again."""
    columns = torch.cat([law.means, law.stds[:, None], scale * law.weights[:, None]], 1)
    return [dict(zip(("x", "y", "std", "weight"), mode, strict=True)) for mode in columns.tolist()]


def points(law, n, seed, reach=40.0):
    """Points from 0 to 40 stds around modes in turn, many of them close."""
    generator = torch.Generator().manual_seed(seed)
    k = torch.arange(n) % len(law.weights)
    distance = reach * torch.rand(n, generator=generator, dtype=torch.float64) ** 3
    angle = 2 * math.pi * torch.rand(n, generator=generator, dtype=torch.float64)
    return law.means[k] + (law.stds[k] * distance)[:, None] * torch.stack([angle.cos(), angle.sin()], 1)


def normal(n, seed):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def xy(x):
    return dict(zip("xy", x.T.tolist(), strict=True))


def same(found, expected, rtol=1e-9, atol=1e-12):
    np.testing.assert_allclose(np.asarray(found, float), np.asarray(expected, float), rtol=rtol, atol=atol)


def responsibilities(law, x):
    """(n, K), in torch, by the formula."""
    squares = (x[:, None] - law.means).square().sum(2)
    return torch.softmax(law.weights.log() - 2 * law.stds.log() - squares / (2 * law.stds**2), 1)


# A mixture and its fields


@pytest.mark.parametrize(("n_modes", "seed"), LAWS)
def test_a_mixture_is_that_of_the_package(quick, n_modes, seed):
    law = a_law(n_modes, seed)
    x = points(law, 200, seed)
    log, part, score = quick(
        """const p = new Mixture(modes), part = [];
        const log = x.map((_, i) => { const log = p.look(x[i], y[i]); part.push([...p.part]); return log; });
        return [log, part, scored(p, x, y, x)];""",
        modes=modes(law, scale=7.0),
        **xy(x),
    )
    same(log, law.log_prob(x))
    same(part, responsibilities(law, x))
    # Where the pulls of two modes cancel, the score has the digits of the greatest pull.
    same(score[:2], law.score(x).T, rtol=1e-9, atol=1e-12 * law.score(x).abs().max().item())
    same(score[2], log, rtol=1e-14)


@pytest.mark.parametrize(("n_modes", "seed"), LAWS)
@pytest.mark.parametrize("sigma", [0.03, 1.5])
def test_a_smoothed_mixture_is_that_of_the_package(quick, n_modes, seed, sigma):
    law = a_law(n_modes, seed)
    x = points(law, 60, seed)
    found = quick("return scored(new Mixture(modes).smoothed(sigma), x, y, x)", modes=modes(law), sigma=sigma, **xy(x))
    expected = law.smoothed_score(x, sigma)
    same(found[:2], expected.T, atol=1e-12 * expected.abs().max().item())
    same(found[2], law.smoothed(sigma).log_prob(x))


@pytest.mark.parametrize(("n_modes", "seed"), LAWS)
def test_the_gaussian_of_a_mixture_has_its_mean_and_covariance(quick, n_modes, seed):
    law = a_law(n_modes, seed)
    x = points(law, 30, seed)
    mean = law.weights @ law.means
    off = law.means - mean
    covariance = torch.diag((law.weights @ law.stds**2).expand(2)) + (law.weights[:, None] * off).T @ off
    found = quick("return scored(new Mixture(modes).gaussian(), x, y)", modes=modes(law), **xy(x))
    same(found, -torch.linalg.solve(covariance, (x - mean).T), atol=1e-10)


@pytest.mark.parametrize(("width", "depth"), [(5, 1), (16, 3)])
@pytest.mark.parametrize("sigma", [0.02, 1.0, 7.0])
def test_a_network_is_that_of_the_package(quick, width, depth, sigma):
    network = NoiseConditionalNetwork(2, width=width, depth=depth, generator=torch.Generator().manual_seed(width))
    sent = json.loads(json.dumps(_weights(network)))  # as the page gets it
    for layer in sent["layers"]:
        layer |= {name: np.frombuffer(base64.b64decode(layer[name]), "<f4").tolist() for name in ("weight", "bias")}
    x = 4 * normal(50, 0)
    found = quick("return scored(new Network(layers, waves).at(sigma), x, y)", **sent, sigma=sigma, **xy(x))
    same(found, network.double()(x, sigma).detach().T)
    assert sent["waves"] == WAVES


def test_a_network_at_another_noise_leaves_the_first_as_it_was(quick):
    network = _weights(NoiseConditionalNetwork(2, width=4, depth=1, generator=torch.Generator().manual_seed(0)))
    for layer in network["layers"]:
        layer |= {name: np.frombuffer(base64.b64decode(layer[name]), "<f4").tolist() for name in ("weight", "bias")}
    first, again, other = quick(
        """const network = new Network(layers, waves), one = network.at(1), first = scored(one, [1, 2], [3, 4]);
        const two = scored(network.at(0.1), [1, 2], [3, 4]);
        return [first, scored(one, [1, 2], [3, 4]), two]""",
        **network,
    )
    assert first == again != other


LATTICE = "const lattice = new FieldOnLattice(field, {left: -2, right: 3, bottom: -1, top: 4.5}, 9, 6);"
BILINEAR = """const field = {score: (x, y, intoX, intoY) => x.forEach((_, i) => {
  intoX[i] = 2 - x[i] + 3 * y[i] + 0.5 * x[i] * y[i];
  intoY[i] = 1 + 4 * x[i] - y[i] - 0.25 * x[i] * y[i];
})};"""


def bilinear(x):
    u, v = x.T
    return torch.stack([2 - u + 3 * v + 0.5 * u * v, 1 + 4 * u - v - 0.25 * u * v])


def test_a_lattice_is_exact_on_bilinear_fields(quick):
    low, high = torch.tensor([-2.0, -1.0], dtype=torch.float64), torch.tensor([3.0, 4.5], dtype=torch.float64)
    inside = low + (high - low) * torch.rand(100, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    corners = torch.tensor([[-2, -1], [3, -1], [-2, 4.5], [3, 4.5], [-2, 1], [3, 1.23]], dtype=torch.float64)
    x = torch.cat([inside, corners])
    found, beyond = quick(
        f"{BILINEAR} {LATTICE} lattice.advance();"
        "return [scored(lattice, x, y), scored(lattice, x.map((u) => 9 * u - 4), y.map((v) => 9 * v - 14))]",
        **xy(x),
    )
    same(found, bilinear(x))
    scattered = 9 * x - torch.tensor([4.0, 14.0], dtype=torch.float64)
    assert ((scattered < low) | (scattered > high)).any(1).sum() > 50
    same(beyond, bilinear(scattered.clamp(low, high)))


def test_a_lattice_is_its_field_at_its_points_and_near_it_between(quick):
    law = a_law(3, 1, apart=1.0, least=0.8)
    found, exact, between, truth = quick(
        f"""const field = new Mixture(modes); {LATTICE} lattice.advance();
        const at = [...lattice.x], y = at.map((_, i) => -1 + 1.1 * (i % 6)), off = at.map((x) => x + 0.01);
        return [scored(lattice, at, y), scored(field, at, y), scored(lattice, off, y), scored(field, off, y)]""",
        modes=modes(law),
    )
    same(found, exact)
    same(np.array(between)[:, :-1], np.array(truth)[:, :-1], rtol=0, atol=0.05)


def test_a_lattice_grows_by_rows_and_says_when_it_is_ready(quick):
    rows, whole, once = quick(
        f"""{BILINEAR} {LATTICE} const rows = [];
        while (lattice.rows < lattice.ny) {{ lattice.advance(4); rows.push(lattice.rows); }}
        const whole = new FieldOnLattice(field, lattice.extent, 9, 6).advance();
        return [rows, [...lattice.fieldX, ...lattice.fieldY], [...whole.fieldX, ...whole.fieldY]]"""
    )
    assert rows == [4, 6]
    assert whole == once


@pytest.mark.parametrize("seed", range(3))
def test_the_relative_error_of_a_field(quick, seed):
    law, other = a_law(4, seed), a_law(4, seed + 10)
    x = points(law, 50, seed, reach=4.0)
    found = quick(
        "return relativeError(new Mixture(other), new Mixture(modes), x, y)",
        modes=modes(law),
        other=modes(other),
        **xy(x),
    )
    truth = law.score(x)
    assert found == pytest.approx(((other.score(x) - truth).square().sum() / truth.square().sum()).item(), rel=1e-9)


# Steps


@pytest.mark.parametrize(("n_modes", "seed"), LAWS)
@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 2.5])
def test_a_step_is_that_of_the_package(quick, n_modes, seed, temperature):
    law, step_size = a_law(n_modes, seed), 0.013
    x, noise = points(law, 50, seed, reach=5.0), normal(50, seed + 1)
    found = quick(
        """const particles = standing(x, y, noise);
        particles.step(new Mixture(modes), stepSize, temperature, false);
        return [[...particles.x], [...particles.y]]""",
        modes=modes(law),
        noise=noise.T.tolist(),
        stepSize=step_size,
        temperature=temperature,
        **xy(x),
    )
    same(found, (x + step_size * law.score(x) + math.sqrt(2 * step_size * temperature) * noise).T)
    again = torch.Generator().manual_seed(seed + 1)  # draws the same noise
    same(found, langevin(law.score, x, step_size, 1, temperature=temperature, generator=again).T)


def test_a_step_draws_new_noise_unless_told_not_to(quick):
    drawn, kept = quick(
        """const still = {score: (x, y, intoX, intoY) => { intoX.fill(0); intoY.fill(0); }};
        const one = new Particles(3, 1), both = [true, true, false].map((draw) => {
          one.step(still, 0.5, 1, draw);
          return [...one.noiseX, ...one.noiseY];
        });
        return [both, [...one.x, ...one.y]]"""
    )
    assert drawn[0] != drawn[1] == drawn[2]
    same(kept, np.sum(drawn, 0))


def test_a_step_is_refused_where_the_law_ends_and_kept_on_the_way_up(quick):
    found = quick(
        """const particles = standing([60, 0.001], [0, 0]), law = new Mixture([{x: 0, y: 0, std: 1, weight: 1}]);
        return [particles.correctedStep(law, 100, 1), [...particles.x], particles.correctedStep(law, 1e-9, 1)]"""
    )
    assert found == [0, [60, 0.001], 2]


@pytest.mark.parametrize("temperature", [1, 0.4])
@pytest.mark.parametrize("variance", [0.04, 1.0, 4.0])
@pytest.mark.parametrize("fraction", [0.001, 0.5, 0.95, 0.999999, 1.0, 1.5])
def test_the_stationary_variance_is_that_of_the_package(quick, variance, fraction, temperature):
    step_size = 2 * variance * fraction
    found = quick("return stationaryVariance(...values)", values=[variance, step_size, temperature])
    expected = temperature * stationary_variance(variance, step_size)
    assert (math.inf if found is None else found) == pytest.approx(expected, rel=1e-9)
    if temperature == 1:
        assert quick("return stationaryVariance(...values)", values=[variance, step_size]) == found


@pytest.mark.parametrize(("first", "last", "n"), [(4.0, 0.05, 20), (1.0, 0.9, 2), (50.0, 1e-3, 7)])
def test_a_ladder_is_that_of_the_package(quick, first, last, n):
    found = quick("return ladder(...values)", values=[first, last, n])
    same(found, ladder(first, last, n), rtol=1e-12)
    assert (found[0], found[-1]) == (first, last)


# Numbers that judge


@pytest.mark.parametrize(("n_modes", "seed"), LAWS)
def test_moments_at_modes_are_means_of_the_responsibilities(quick, n_modes, seed):
    law = a_law(n_modes, seed)
    x = torch.cat([points(law, 300, seed), law.sample(300, torch.Generator().manual_seed(seed))])
    found = quick(
        "const m = momentsAtModes(new Mixture(modes), x, y); return [[...m.shares], [...m.variances]]",
        modes=modes(law),
        **xy(x),
    )
    r, squares = responsibilities(law, x), (x[:, None] - law.means).square().sum(2)
    same(found[0], r.mean(0))
    same(found[1], (r * squares).sum(0) / (2 * r.sum(0)))


def test_a_particle_that_has_left_the_numbers_counts_nothing_at_a_mode(quick):
    shares, variances = quick(
        """const law = new Mixture([{x: 0, y: 0, std: 1, weight: 1}, {x: 9, y: 0, std: 1, weight: 1}]);
        const m = momentsAtModes(law, [1, Infinity, 1e200, NaN], [1, 0, 0, 0]);
        return [[...m.shares], [...m.variances]]"""
    )
    assert shares == pytest.approx([0.25, 0], abs=1e-12)
    assert variances[0] == pytest.approx(1)


@pytest.mark.parametrize("seed", range(3))
def test_a_histogram_is_that_of_numpy(quick, seed):
    x = normal(1000, seed)[:, 0]
    found = quick("return [...histogram(x, -1.5, 2, 13)]", x=x.tolist())
    same(found, np.histogram(x, 13, (-1.5, 2))[0] / 1000)
    assert sum(found) < 0.95  # what lies outside counts in the total alone


EXACT = (
    "const exact = exactNumbers(new Mixture(modes), temperature, left, right, bins); return [exact.shares, exact.bins]"
)
BINS = {"left": -3.0, "right": 4.0, "bins": 35}
HARD = {
    "overlapping": GaussianMixture(torch.tensor([[0.0, 0.0], [1.2, 0.5]]).double(), [0.7, 0.4], [0.8, 0.2]),
    "narrow": GaussianMixture(torch.tensor([[0.5, 0.0], [0.1, 0.3]]).double(), [0.6, 0.08], [0.9, 0.1]),
    "apart": GaussianMixture(torch.tensor([[-2.0, 1.0], [2.0, -1.0]]).double(), [0.3, 0.5], [0.999, 0.001]),
    "three": GaussianMixture(torch.tensor([[-1.0, 0], [1, 0], [0, 1.5]]).double(), [0.5, 0.3, 0.7], [0.2, 0.3, 0.5]),
}


@pytest.mark.parametrize(("n_modes", "seed"), LAWS)
def test_exact_numbers_at_temperature_one_are_in_closed_form(quick, n_modes, seed):
    law = a_law(n_modes, seed)
    shares, bins = quick(EXACT, modes=modes(law, scale=3.0), temperature=1, **BINS)
    edges = np.linspace(BINS["left"], BINS["right"], BINS["bins"] + 1)
    below = scipy.stats.norm.cdf(edges, law.means[:, :1].numpy(), law.stds[:, None].numpy())
    same(shares, law.weights, rtol=1e-6)
    same(bins, np.diff(law.weights.numpy() @ below), rtol=0, atol=3e-6)


def by_quadrature(law, temperature, reach=7.0):
    """Shares and bins of p^(1/T) in the plane, by Gauss and Legendre on panels that are finer than the script's."""
    nodes, parts = np.polynomial.legendre.leggauss(8)
    std = law.stds.min().item() * min(1, math.sqrt(temperature))
    out = reach * law.stds * max(1, math.sqrt(temperature))

    def rule(axis, edges):
        low, high = ((law.means[:, axis] - out).min().item(), (law.means[:, axis] + out).max().item())
        edges = [
            *np.arange(min(low, edges[0]), edges[0], std),
            *edges,
            *np.arange(edges[-1], max(high, edges[-1]), std)[1:],
        ]
        fine = np.concatenate(
            [np.linspace(a, b, math.ceil((b - a) / std) + 1)[:-1] for a, b in itertools.pairwise(edges)]
        )
        widths = np.diff([*fine, edges[-1]]) / 2
        return (fine[:, None] + widths[:, None] * (1 + nodes)).ravel(), (widths[:, None] * parts).ravel()

    edges = np.linspace(BINS["left"], BINS["right"], BINS["bins"] + 1)
    (x, dx), (y, dy) = rule(0, edges), rule(1, np.array([-1.0, 1.0]))
    along, shares = np.zeros(len(x)), np.zeros(len(law.weights))
    for i in range(len(x)):
        column = torch.from_numpy(np.stack([np.full_like(y, x[i]), y], 1))
        p = dy * torch.exp(law.log_prob(column) / temperature).numpy()
        along[i] = dx[i] * p.sum()
        shares += dx[i] * p @ responsibilities(law, column).numpy()
    bins = np.array([along[(x > a) & (x < b)].sum() for a, b in itertools.pairwise(edges)])
    return shares / along.sum(), bins / along.sum()


@pytest.mark.parametrize("temperature", [0.5, 2.0])
@pytest.mark.parametrize("name", HARD)
def test_exact_numbers_of_another_temperature_are_integrals(quick, name, temperature):
    shares, bins = quick(EXACT, modes=modes(HARD[name]), temperature=temperature, **BINS)
    expected = by_quadrature(HARD[name], temperature)
    same(shares, expected[0], rtol=1e-6)
    same(bins, expected[1], rtol=0, atol=3e-6)


def at_rest_by_chance(shares, n):
    """The mean total variation of n draws from a law on bins, exactly: half a sum of mean deviations (de Moivre)."""
    shares = np.append(shares, 1 - np.sum(shares)).clip(0, 1)
    least = np.floor(n * shares) + 1
    return np.sum(shares * (1 - shares) * scipy.stats.binom.pmf(least - 1, n - 1, shares))


@pytest.mark.parametrize("n", [300, 10_000])
@pytest.mark.parametrize("seed", range(3))
def test_the_total_variation_and_what_chance_makes_of_it(quick, seed, n):
    random = np.random.default_rng(seed)
    exact = random.dirichlet(np.full(13, 5.0))[:-1]  # of the last, what lies outside
    draws = random.multinomial(n, np.append(exact, 1 - exact.sum()), 2000) / n
    distances = np.abs(draws - np.append(exact, 1 - exact.sum())).sum(1) / 2
    script = "const t = totalVariation(shares, exact, n); return [t.found, t.chance]"
    found, chance = quick(script, shares=draws[0, :-1].tolist(), exact=exact.tolist(), n=n)
    assert found == pytest.approx(distances[0], rel=1e-12)
    error = distances.std(ddof=1) / math.sqrt(len(distances))
    assert abs(at_rest_by_chance(exact, n) - distances.mean()) < 5 * error
    assert n * exact.min() > 1  # a normal law in place of a binomial one, with a few points in the least bin
    assert abs(chance - distances.mean()) < 5 * error + 0.01 * chance


@pytest.mark.parametrize("points_in_a_bin", [0.01, 0.1, 0.3, 1.0, 3.0])
def test_chance_is_a_little_high_at_most_for_bins_of_few_points(quick, points_in_a_bin):
    exact, n = np.full(100, 1e-3), round(1000 * points_in_a_bin)
    chance = quick("return totalVariation(exact, exact, n).chance", exact=exact.tolist(), n=n)
    assert 0.91 < chance / at_rest_by_chance(exact, n) < 1.23


# Laws: many particles, in a browser


def within(found, expected, error, wide=5.0):
    """A measured number within so many standard errors of the exact one."""
    assert abs(found - expected) < wide * error, f"{found} is {abs(found - expected) / error:.1f} s.e. from {expected}"


def mean_of(values, expected):
    within(values.mean(), expected, values.std() / math.sqrt(len(values)))


def test_the_browser_computes_as_the_package_does(run):
    law = a_law(8, 4)
    x = points(law, 20_000, 4)
    found = run(
        "const p = new Mixture(modes); for (let i = 0; i < 5; i++) scored(p, x, y, x); return scored(p, x, y, x)",
        modes=modes(law),
        **xy(x),
    )
    same(found[:2], law.score(x).T, atol=1e-12 * law.score(x).abs().max().item())
    same(found[2], law.log_prob(x))


def sfc32(seed, n):
    """Doty-Humphrey's generator in whole numbers: what it returns after fifteen that are thrown away."""
    a, b, c, counter, mask, numbers = 0, 0, seed % 2**32, 1, 2**32 - 1, []
    for _ in range(15 + n):
        out = (a + b + counter) & mask
        counter = (counter + 1) & mask
        a, b = b ^ (b >> 9), (c + (c << 3)) & mask
        c = ((((c << 21) | (c >> 11)) & mask) + out) & mask
        numbers.append(out)
    return numbers[15:]


@pytest.mark.parametrize("seed", [0, 1, 12345, -7])
def test_numbers_at_random_are_those_of_sfc32(quick, seed):
    script = "const r = new Generator(seed); return Array.from({length: 50}, () => r.whole())"
    assert quick(script, seed=seed) == sfc32(seed, 50)


@pytest.mark.parametrize("seed", [0, 1, 12345, -7])
def test_uniform_numbers(run, seed):
    script = "const r = new Generator(seed); return Array.from({length: 300000}, () => r.uniform())"
    u, other = (np.array(run(script, seed=s)) for s in (seed, seed + 1))
    assert u.min() > 0
    assert u.max() < 1
    for power in (1, 2, 4):
        mean_of(u**power, 1 / (power + 1))
    for lag in (1, 2, 3):
        mean_of((u[lag:] - 0.5) * (u[:-lag] - 0.5), 0)
    mean_of((u - 0.5) * (other - 0.5), 0)  # the seeds beside each other are of different numbers
    low = (u * 2**32 - 0.5) % 256  # the lowest bits too
    assert scipy.stats.chisquare(np.bincount(low.astype(int), minlength=256)).pvalue > 1e-6


@pytest.mark.parametrize("seed", [0, 1, 99])
def test_normal_numbers(run, seed):
    z = np.array(
        run(
            """const [x, y] = [new Float64Array(300000), new Float64Array(300000)];
            new Generator(seed).fillNormal(x, y);
            return [[...x], [...y]]""",
            seed=seed,
        )
    )
    for values in z:
        for power, moment in [(1, 0), (2, 1), (3, 0), (4, 3), (6, 15)]:
            mean_of(values**power, moment)
        mean_of((np.abs(values) > 3).astype(float), 2 * scipy.stats.norm.sf(3))
        mean_of(values[1:] * values[:-1], 0)
        assert scipy.stats.kstest(values, "norm").pvalue > 1e-6
    mean_of(z[0] * z[1], 0)
    mean_of(z[0] ** 2 * z[1] ** 2, 1)


def test_a_sample_has_the_shares_and_variances_of_its_modes(run):
    law = GaussianMixture(
        torch.tensor([[-9.0, 0], [0, 9], [9, 0], [0, -9]]).double(), [0.3, 1, 0.5, 0.8], [1, 2, 30, 7]
    )
    x, start = run(
        """const p = new Mixture(modes), particles = new Particles(100000, 3), other = new Particles(100, 3);
        p.sample(particles.generator, particles.x, particles.y);
        other.begin("p itself", p);
        const again = new Particles(100, 3);
        p.sample(again.generator, again.x, again.y);
        return [[[...particles.x], [...particles.y]], [...other.x].every((x, i) => x === again.x[i])]""",
        modes=modes(law, scale=2.0),
    )
    assert start
    x = torch.tensor(x).T
    k = law.components(x)
    for mode in range(4):
        mean_of((k == mode).double().numpy(), law.weights[mode].item())
        off = (x[k == mode] - law.means[mode]).numpy()
        for axis in range(2):
            mean_of(off[:, axis], 0)
            mean_of(off[:, axis] ** 2, law.stds[mode].item() ** 2)


@pytest.mark.parametrize("start", ["uniform", "white noise", "one point"])
def test_particles_begin_where_they_are_said_to(run, start):
    x, y = run(
        """const law = new Mixture([{x: 3, y: -1, std: 1, weight: 1}, {x: 0, y: 5, std: 1, weight: 9}]);
        const particles = new Particles(100000, 5);
        particles.begin(start, law, {left: -2, right: 4, bottom: 1, top: 1.5}, 2.5);
        return [[...particles.x], [...particles.y]]""",
        start=start,
    )
    if start == "one point":
        assert {*x} == {3}
        assert {*y} == {-1}
        return
    expected = [(1, 36 / 12), (1.25, 0.25 / 12)] if start == "uniform" else [(0, 6.25), (0, 6.25)]
    for values, (mean, variance) in zip(map(np.array, (x, y)), expected, strict=True):
        mean_of(values, mean)
        mean_of((values - mean) ** 2, variance)
    mean_of((np.array(x) - expected[0][0]) * (np.array(y) - expected[1][0]), 0)


WALK = """
const law = new Mixture(modes), particles = new Particles(n, 7);
for (let i = 0; i < n; i++) [particles.x[i], particles.y[i]] = [law.x[0], law.y[0]];
for (let step = 0; step < steps; step++) particles.step(law, stepSize, temperature);
return [[...particles.x], [...particles.y]]"""


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(("step_size", "steps"), [(0.1, 100), (1.0, 30), (1.9, 150)])
@pytest.mark.parametrize("std", [1.0, 0.3])
def test_a_walk_settles_at_the_stationary_variance(run, std, step_size, steps, temperature):
    # By then at most 0.81¹⁰⁰ = 7e-10 of the variance is missing.
    n, step_size = 50_000, step_size * std**2
    mode = {"x": 1.0, "y": -2.0, "std": std, "weight": 1}
    x = np.array(run(WALK, modes=[mode], n=n, steps=steps, stepSize=step_size, temperature=temperature))
    mean_of(x[0], 1.0)
    mean_of(x[1], -2.0)
    variance = temperature * stationary_variance(std**2, step_size)
    within(((x.T - [1, -2]) ** 2).mean(), variance, variance * math.sqrt(2 / (2 * n)))  # of 2n Gaussian numbers
    mean_of((x[0] - 1) * (x[1] + 2), 0)


def test_many_particles_come_to_the_law_of_a_mode_that_stands_alone(run):
    # The bias is τ/2s² = 0.5 %, the five standard errors 5·√(2/200 000) = 1.6 %: together about 2 %.
    mode = {"x": 1.0, "y": -2.0, "std": 0.5, "weight": 1}
    far = {"x": 9.0, "y": 9.0, "std": 0.5, "weight": 1}
    x = np.array(run(WALK, modes=[mode, far], n=100_000, steps=500, stepSize=0.0025, temperature=1))
    found = ((x.T - [1, -2]) ** 2).mean()
    assert found == pytest.approx(0.25, rel=0.021)
    within(found, stationary_variance(0.25, 0.0025), 0.25 * math.sqrt(2 / 200_000))


UNEQUAL = GaussianMixture(torch.tensor([[0.0, 0.0], [1.6, 0.7]]).double(), [0.8, 0.4], [0.7, 0.3])
CORRECTED = """
const law = new Mixture(modes), particles = new Particles(50000, 11);
particles.begin("p itself", law);
let moved = 0;
for (let step = 0; step < steps; step++) moved += particles.correctedStep(law, stepSize, temperature);
const { shares, variances } = momentsAtModes(law, particles.x, particles.y);
return [[[...particles.x], [...particles.y]], moved / (steps * 50000), [...shares], [...variances]]"""


@pytest.mark.parametrize(("step_size", "accepted"), [(0.15, (0.6, 0.9)), (0.5, (0.1, 0.6))])
def test_corrected_steps_leave_the_law_as_it_is(run, step_size, accepted):
    x, rate, shares, variances = run(CORRECTED, modes=modes(UNEQUAL), steps=300, stepSize=step_size, temperature=1)
    assert accepted[0] < rate < accepted[1]
    x = torch.tensor(x).T
    r = responsibilities(UNEQUAL, x)
    squares = r * (x[:, None] - UNEQUAL.means).square().sum(2)
    for k, (weight, std) in enumerate(zip(UNEQUAL.weights.tolist(), UNEQUAL.stds.tolist(), strict=True)):
        mean_of(r[:, k].numpy(), weight)
        mean_of((squares[:, k] - 2 * std**2 * r[:, k]).numpy(), 0)
        assert shares[k] == pytest.approx(weight, rel=0.02)
        assert variances[k] == pytest.approx(std**2, rel=0.03)
    edges = np.linspace(-2.5, 3, 40)
    below = UNEQUAL.weights.numpy() @ scipy.stats.norm.cdf(edges, UNEQUAL.means[:, :1], UNEQUAL.stds[:, None])
    bins_agree(x[:, 0].numpy(), edges, np.diff(below))


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_corrected_steps_settle_at_the_law_of_their_temperature(run, temperature):
    x, rate, shares, _ = run(CORRECTED, modes=modes(UNEQUAL), steps=300, stepSize=0.2, temperature=temperature)
    assert 0.3 < rate < 0.95
    expected, bins = by_quadrature(UNEQUAL, temperature)
    assert abs(expected[0] - UNEQUAL.weights[0]) > 0.02  # another law than p
    x = torch.tensor(x).T
    mean_of(responsibilities(UNEQUAL, x)[:, 0].numpy(), expected[0])
    assert shares[0] == pytest.approx(expected[0], rel=0.02)
    bins_agree(x[:, 0].numpy(), np.linspace(BINS["left"], BINS["right"], BINS["bins"] + 1), bins)


def bins_agree(x, edges, shares):
    """Pearson's test of n independent points against the shares of bins; those of few points are put together."""
    n, counts = len(x), np.histogram(x, edges)[0]
    many = n * shares > 20
    counts = np.append(counts[many], n - counts[many].sum())
    expected = n * np.append(shares[many], 1 - shares[many].sum())
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-6


def test_corrected_steps_are_accepted_as_often_as_in_the_package(run):
    _, rate, *_ = run(CORRECTED, modes=modes(UNEQUAL), steps=1, stepSize=0.3, temperature=1)
    generator = torch.Generator().manual_seed(0)
    _, expected = mala(UNEQUAL, UNEQUAL.sample(100_000, generator), 0.3, 1, generator=generator)
    within(rate, expected, math.sqrt(1.5 * expected * (1 - expected) / 50_000))


@pytest.mark.parametrize("n_steps", [3, 20])
def test_annealed_steps_leave_the_variance_of_the_ladder(run, n_steps):
    n, ratio, sigmas = 50_000, 0.3, ladder(4.0, 0.05, 15)
    x = np.array(
        run(
            """const law = new Mixture([{x: 0, y: 0, std: 0.5, weight: 1}]), particles = new Particles(n, 2);
            const rungs = ladder(4, 0.05, 15);
            particles.begin("white noise", law, null, rungs[0]);
            for (const sigma of rungs) {
              const smoothed = law.smoothed(sigma);
              for (let step = 0; step < nSteps; step++) particles.step(smoothed, 0.5 * ratio * sigma ** 2, 1);
            }
            return [[...particles.x], [...particles.y]]""",
            n=n,
            nSteps=n_steps,
            ratio=ratio,
        )
    )
    variance = ladder_variance(0.25, sigmas, ratio * 0.05**2, n_steps)
    assert variance > 1.02 * (0.25 + 0.05**2)  # a bias that can be seen
    within((x**2).mean(), variance, variance * math.sqrt(2 / (2 * n)))
