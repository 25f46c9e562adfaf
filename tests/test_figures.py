"""What the figures compute before they draw, against something independent of it."""

import functools
import importlib
import itertools
import json
from pathlib import Path
from urllib.parse import parse_qs

import bite
import jupytext
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from notes import explore, mixtures, plots, score_matching
from notes.figures import cast, denoising, explicit, intro, langevin, noise, notation, performance, score
from notes.mixtures import GaussianMixture, kernel_density
from notes.scenes import STARTS


@pytest.mark.parametrize("sigma", [0.2, 0.4, 0.8])
def test_the_clean_points_of_one_place_average_to_tweedies(sigma):
    clean = denoising._clean_given_noisy(sigma)
    error = clean.std(0) / len(clean) ** 0.5
    expected = denoising.PLACE[0] + sigma**2 * denoising.MOONS.smoothed(sigma).score(denoising.PLACE)[0]
    assert ((clean.mean(0) - expected).abs() < 5 * error).all()


@pytest.mark.parametrize("sigma", denoising.TRAINED)
def test_the_floor_of_the_training_is_the_loss_of_the_exact_score(sigma):
    generator = torch.Generator().manual_seed(5)
    blurred = denoising.MOONS.smoothed(sigma)
    parts = denoising.MOONS.sample(200_000, generator).split(2000)
    losses = torch.stack([score_matching.denoising(blurred.score, part, sigma, generator=generator) for part in parts])
    floor, learnable = denoising._floor(sigma)
    assert floor + learnable == pytest.approx(1 / sigma**2)
    error = losses.std() / len(losses) ** 0.5
    error_of_floor = 0.5 * blurred.score(parts[0]).square().sum(1).std() / 40_000**0.5
    assert losses.mean().item() == pytest.approx(floor, abs=5 * error.hypot(error_of_floor).item())


@pytest.mark.parametrize("h", [0.1, 0.2, 0.6])
def test_the_mean_target_in_a_cell_is_the_mean_score_there(h):
    centres, means = denoising._mean_targets(h)
    assert len(centres) > 50
    q = kernel_density(denoising._data(), h)
    rows = round(denoising.CELLS * 5 / 6)
    width, height = 4.8 / denoising.CELLS, 4.0 / rows
    steps = (torch.arange(20) + 0.5) / 20 - 0.5
    x = centres[:, None] + torch.cartesian_prod(width * steps, height * steps)
    weight = q.log_prob(x.reshape(-1, 2)).exp().reshape(len(centres), -1, 1)
    exact = (weight * q.score(x.reshape(-1, 2)).reshape(x.shape)).sum(1) / weight.sum(1)
    assert ((means - exact).abs() < 5 / (h * 30**0.5)).all()  # at least 30 targets a cell, each with a spread below 1/h
    assert (means - exact).square().mean() < 0.01 * exact.square().mean()


def test_the_annealed_walk_repairs_the_shares():
    plain, path = denoising._annealed()
    for walk, expected in ((plain, 0.171), (path, 0.4)):
        share = (walk[-1, :, 0] < round(cast.watershed(cast.PLANE), 1)).double().mean().item()
        assert share == pytest.approx(expected, abs=5 * (expected * (1 - expected) / 2000) ** 0.5 + 0.005)
    assert denoising.SCALES[0] == pytest.approx(4)
    assert denoising.SCALES[-1] == pytest.approx(0.05)
    assert len(path) == 5 * denoising.LEVELS + 1


def test_more_pairs_move_the_best_noise_to_the_left():
    errors = [denoising._by_noise(n)[1] for n in denoising.AMOUNTS]
    best = [int(np.argmin(both)) for _, _, both in errors]
    assert best == sorted(best, reverse=True)
    assert best[0] > best[-1]
    for smoothing, learning, _ in errors:
        assert (np.diff(smoothing) > 0).all()
        assert learning[0] > learning[-1]


def test_every_slip_of_the_laboratory_is_made_in_the_package_and_caught_by_a_check_of_the_chapter():
    caught = [slip["name"] for slip in bite.slips("denoising") if "Laboratory, " in " ".join(slip["fails"])]
    assert set(denoising.SLIPS) - {"no slip"} <= set(caught)


@pytest.mark.parametrize("sigma", denoising.SIGMAS)
def test_the_numbers_of_the_laboratory(sigma):
    constant = 1 / sigma**2 - 1 / (1 + sigma**2)
    expected = {  # what the slip makes, what is right, and 5 standard errors of a variance
        "no slip": (1, 1, 1e-9),
        "−z/σ²": (1 / sigma, 1, 1e-9),
        "+z/σ": (-1, 1, 1e-9),
        "σ² for σ": ((1 + sigma**2) / (1 + sigma**4), 1, 1e-9),
        "½ on one side": (-1 / (1 + sigma**2), 0, 1e-12),
        "mean over dimensions": (constant / 2, constant, 1e-12),
        "1/h in d dimensions": (sigma, 1, 1e-5 * sigma),
        "√τ in the walk": (0.5, 1, 0.5 * 0.071 + 0.005),
        "2τ in the walk": (0.04, 1, 0.04 * 0.071 + 0.001),
    }
    for slip, draw in denoising.SLIPS.items():
        ax = Figure().subplots()
        _, measured, right = draw(ax, sigma)
        wrong, due, tolerance = expected[slip]
        assert measured == pytest.approx(wrong, abs=tolerance), slip
        assert right == pytest.approx(due, abs=1e-12), slip


def test_the_watersheds_part_the_ascents_along_the_line_through_the_modes():
    for law in (cast.LINE, cast.PLANE):
        at = cast.watershed(law)
        x = torch.zeros(2, law.dim, dtype=torch.float64)
        x[:, 0] = at + torch.tensor([-0.001, 0.001])
        assert law.score(x)[0, 0] < 0 < law.score(x)[1, 0]


def test_away_from_the_repository_the_results_are_missed_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(performance, "RESULTS", tmp_path)
    with pytest.raises(FileNotFoundError, match=f"no result of the benchmark 'langevin' in {tmp_path}: .*make bench"):
        performance.result("langevin")


def test_an_update_is_painted_as_right_by_its_temperature_and_its_law_by_its_variance():
    cases = {
        ("x + τ s + √(2τ) z", 0.1): (plots.ESTIMATE, plots.ESTIMATE),
        ("x + τ s + √(2τ) z", 1.5): (plots.ESTIMATE, plots.CONTRAST),  # the variance is 4
        ("x + τ s + √τ z", 1.0): (plots.CONTRAST, plots.ESTIMATE),  # only z is left
        ("x + τ s", 2.0): (plots.CONTRAST, plots.CONTRAST),
    }
    for (update, letter), expected in cases.items():
        top, ax = notation.calculator(update, letter).axes
        (temperature,) = (text for text in top.texts if text.get_text() == "temperature T")
        assert (temperature.get_color(), ax.texts[-1].get_color()) == expected, update


@pytest.mark.parametrize("weight", [0.6, 0.9])
def test_far_modes_keep_the_divergence_of_their_weights_while_gap_and_error_of_the_score_fall(weight):
    divergence, error, gap = score._errors(weight)[:, -1]
    product = weight * (1 - weight)
    assert divergence == pytest.approx(-0.5 * np.log(4 * product), rel=1e-3)
    height = 10 * np.exp(-(5**2) / 2) / (2 * np.pi) ** 0.5  # D φ(D/2), the scale of what crosses at a distance D
    assert gap == pytest.approx(height / (np.pi * product**0.5), rel=0.1)
    u = np.linspace(-30, 30, 60_001)
    odds = np.log(weight / (1 - weight))
    right = (1 / (1 + np.exp(-u)) - 1 / (1 + np.exp(odds - u))) ** 2 * np.cosh(u / 2)
    assert error == pytest.approx(height * np.trapezoid(right, u), rel=0.05)


def test_the_ladder_ends_as_the_integral_of_its_limit_says():
    m = 0.5 * 0.5 * 10 * 99 / np.log(80)  # half of r T / ln γ
    u = np.geomspace(1e-4, 1e4, 100_001)
    lag_and_bias = (1 + u) ** -m + m / 8 * u * (1 + u) ** (-m - 1)
    excess = np.trapezoid(lag_and_bias, u) + u[0]
    assert noise._down(100, 10, 0.5)[1][-1] == pytest.approx(1 + excess, abs=0.05 * excess)


def test_the_flow_of_the_picture_keeps_the_share_of_its_start():
    for top, expected in ((4, 0.4285), (20, 0.4073)):
        share, _ = noise._share_and_spread("probability flow", "exact", top)
        assert noise._kept(top) == pytest.approx(expected, abs=1e-4)
        assert share[-1] == pytest.approx(expected, abs=3e-4)


@pytest.mark.parametrize("sigma", [0.05, 1.0, 20.0])
def test_the_tabulated_field_is_that_of_its_network(sigma):
    network, _ = noise._learned_to_20()
    x = cast.LINE.smoothed(sigma).sample(2000, cast.seeded(2))
    gap = network(x, sigma) - noise._tabulated(x, sigma)
    assert gap.square().mean() < 1e-3 * network(x, sigma).square().mean()


# Where the figures lead

BOOK = Path(__file__).parent.parent / "book"


def leads(chapter):
    """What the data of a chapter's figures on the website say of the playground, by the figures' names: undrawn."""
    found, figures = {}, importlib.import_module(f"notes.figures.{chapter}")

    def show(figure, *, alt, **controls):
        controls = explore._controls(figure, controls)
        states = list(itertools.product(*(range(len(control.values)) for control in controls)))
        name = explore._where(figure)[1]
        found[name] = explore._addresses(figure, controls, states)
        assert found[name] is None or len(found[name]["at"]) == len(states)

    names = {"explore": show, "play": explore.play, "partial": functools.partial, "figures": figures, "network": None}
    for cell in jupytext.read(BOOK / f"{chapter}.md").cells:
        if cell.cell_type == "code" and cell.source.startswith("explore("):
            eval(cell.source, names)
    return found


def read(address):
    """A law and its settings, as the page of the playground reads an address."""
    settings = {name: value for name, (value,) in parse_qs(address, strict_parsing=True).items()}
    modes = [[float(number) for number in mode.split(",")] for mode in settings.pop("modes").split(";")]
    x, y, stds, weights = torch.tensor(modes, dtype=torch.float64).T
    numbers = {name: float(settings[name]) for name in ("tau", "T", "sigma")}
    return GaussianMixture(torch.stack([x, y], 1), stds, weights), settings | numbers


@pytest.mark.parametrize("chapter", ["intro", "langevin", "score", "explicit", "denoising", "noise"])
def test_every_figure_with_a_law_in_the_plane_leads_to_the_playground(chapter):
    errors_alone = {"explicit": {"blind", "samples", "dimension"}, "noise": {"weights"}}
    found = leads(chapter)
    assert found
    assert {name for name, opens in found.items() if opens is None} == errors_alone.get(chapter, set())
    for opens in filter(None, found.values()):
        assert len(json.dumps(opens)) < 12_000  # in the page, beside the figure
        assert {*opens["at"]} == {*range(len(opens["addresses"]))}
        for law, settings in map(read, opens["addresses"]):
            assert len(law.weights) <= 100
            assert 1e-8 <= settings["tau"] <= 10
            assert 0 <= settings["T"] <= 1
            assert 0 <= settings["sigma"] <= 4
            assert settings["start"] in STARTS


def mode_by_mode(*modes):
    """(x, std, weight) a mode, on the line through the middle of the plane."""
    x, stds, weights = zip(*modes, strict=True)
    return GaussianMixture([[each, 0.0] for each in x], stds, weights)


CHAN = mode_by_mode((2.0, 0.5, 0.6), (-2.0, 0.2, 0.4))
STANDARD = mode_by_mode((0.0, 1.0, 1.0))
LEADS = [
    (intro.hero, {"shape": "two moons"}, mixtures.two_moons(60, 0.1), {"tau": 0.0004}),
    (intro.hero, {"shape": "swiss roll"}, mixtures.swiss_roll(80, std=0.1), {}),
    (langevin.walk, {"temperature": 0.0}, langevin.PLANE, {"tau": 0.01, "T": 0}),
    (langevin.histogram, {"step_size": 0.05}, CHAN, {"tau": 0.05, "T": 1, "sigma": 0, "start": "white noise"}),
    (langevin.fokker_planck, {}, CHAN, {"tau": 0.001}),
    (langevin.noise, {"coefficient": "0"}, STANDARD, {"tau": 0.01, "T": 0}),
    (langevin.noise, {"coefficient": "√τ"}, STANDARD, {"T": 0.5}),
    (langevin.noise, {"coefficient": "√(2τ)"}, STANDARD, {"T": 1}),
    (langevin.noise, {"coefficient": "2τ"}, STANDARD, {"T": 0.02}),
    (langevin.bias, {"step_size": 1.9}, STANDARD, {"tau": 1.9}),
    (langevin.mala, {"step_size": 0.1}, CHAN, {"tau": 0.1, "corrected": "on", "start": "p itself"}),
    (score.three_views, {"separation": 6.0}, mode_by_mode((-3.0, 1.0, 0.6), (3.0, 1.0, 0.4)), {}),
    (score.field, {"separation": 4.0, "weight": 0.3}, mode_by_mode((-2.0, 1.0, 0.3), (2.0, 1.0, 0.7)), {"T": 0}),
    (score.energy, {"temperature": 1.0}, mode_by_mode((-1.5, 0.8, 0.7), (1.5, 0.8, 0.3)), {"tau": 0.02, "T": 1}),
    (score.two_gradients, {"theta": 0.6, "sigma": 0.7}, mode_by_mode((0.6, 0.7, 1.0)), {}),
    # In units of 2: the modes at −4 and 4 would be out of sight.
    (score.blind, {"separation": 8.0, "weight": 0.9}, mode_by_mode((-2.0, 0.5, 0.9), (2.0, 0.5, 0.1)), {}),
    (explicit.field, {"bandwidth": 0.2, "data_points": 3000}, cast.MOONS, {"sigma": 0.2}),
    (explicit.memory, {"bandwidth": 0.05}, kernel_density(explicit._data(60), 0.05), {"sigma": 0}),
    (denoising.sampling, {"sigma": 0.4}, cast.MOONS, {"tau": 0.002, "sigma": 0.4}),
    (denoising.bridge, {"h": 0.3}, kernel_density(denoising._data(), 0.3), {"sigma": 0}),
    (denoising.mistakes, {"slip": "−z/σ²", "sigma": 0.5}, STANDARD, {"T": 1, "sigma": 0.5}),
    (denoising.mistakes, {"slip": "2τ in the walk", "sigma": 2}, STANDARD, {"tau": 0.02, "T": 0.04, "sigma": 2}),
    (noise.ladder, {"ratio": 0.5}, mode_by_mode((0.0, 0.5, 1.0)), {"tau": 0.5 * 0.05**2 / 2, "sigma": 0.05}),
    (noise.paths, {"time": 0}, CHAN, {"sigma": 4}),
    (noise.paths, {"time": noise.FRAMES}, CHAN, {"sigma": 0.05}),
    (noise.likelihood, {}, CHAN, {"sigma": 0.05}),
]


@pytest.mark.parametrize(
    ("figure", "values", "law", "settings"), LEADS, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_figure_leads_to_its_own_law(figure, values, law, settings):
    opened, given = read(figure.address(**values))
    x = torch.cat([law.sample(500, cast.seeded(3)), 6 * torch.rand(500, 2, generator=cast.seeded(4)) - 3]).double()
    law = GaussianMixture(law.means.double(), law.stds.double(), law.weights.double())
    near = law.log_prob(x) > -20  # further off the log is steep, and an address has four digits
    assert opened.log_prob(x)[near].tolist() == pytest.approx(law.log_prob(x)[near].tolist(), abs=0.05)
    assert {name: given[name] for name in settings} == pytest.approx(settings)


@pytest.mark.parametrize("shape", ["checkerboard", "rings"])
def test_a_shape_of_too_many_modes_leads_to_one_alike(shape):
    opened, _ = read(intro.hero.address(shape=shape))
    x = intro.SHAPES[shape].sample(20_000, cast.seeded(3))
    divergence = (intro.SHAPES[shape].log_prob(x) - opened.log_prob(x.double())).mean()
    assert divergence < 0.02  # another shape: more than 1


def test_few_data_lead_to_the_estimate_that_is_drawn_and_many_to_what_it_is_on_average():
    figure = explicit.kernels(bandwidth=0.1, data_points=20)
    (ticks,) = (line for line in figure.axes[0].lines if line.get_marker() == "|")
    law, settings = read(explicit.kernels.address(bandwidth=0.1, data_points=20))
    assert law.means[:, 0].tolist() == pytest.approx(ticks.get_xdata().tolist(), abs=1e-3)
    assert law.stds.tolist() == [0.1] * 20
    assert settings["tau"] < 2 * 0.1**2
    law, settings = read(explicit.kernels.address(bandwidth=0.1, data_points=1000))
    assert (len(law.weights), settings["sigma"]) == (2, 0.1)  # the mean of a kernel on a point of p is p's smoothed


@pytest.mark.parametrize("level", [0, 0.2, 2.4, 20])
def test_a_rung_leads_to_its_noise_and_its_step(level):
    _, settings = read(denoising.annealed.address(level=level))
    sigma = np.geomspace(4, 0.05, 20)[max(int(np.ceil(level)) - 1, 0)]
    assert settings["sigma"] == pytest.approx(sigma, rel=1e-3)
    assert settings["tau"] == pytest.approx(0.2 * sigma**2 / 2, rel=1e-3)  # of x + ½ α s + √α z, α = ε σ²/σ_L²
