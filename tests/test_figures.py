"""What the figures compute before they draw, against something independent of it."""

import bite
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from notes import plots, score_matching
from notes.figures import cast, denoising, noise, notation, performance, score
from notes.mixtures import kernel_density


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
