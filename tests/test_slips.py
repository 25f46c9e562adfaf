"""The slips of the chapter on denoising, made in the package: the chapter's own checks catch each of them.

What runs here are the cells of book/denoising.md that are tagged ``slips``, as they stand.
"""

import importlib
import sys
import types
from pathlib import Path

import matplotlib.figure
import pytest
import torch
from myst_nb.core.read import read_myst_markdown_notebook

from notes import claims
from notes.figures import denoising as figures

CHAPTER = Path(__file__).parent.parent / "book" / "denoising.md"


def run_the_checks(monkeypatch):
    """Run the chapter's imports and its checks; returns the statements that held."""
    notebook = read_myst_markdown_notebook(CHAPTER.read_text(encoding="utf-8"), path=CHAPTER)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    checks = [cell.source for cell in code if "slips" in cell.metadata.get("tags", [])]
    held = []
    monkeypatch.setattr(claims, "display", lambda data, raw: held.append(data[claims.MIME]["statement"]))
    names = {}
    with torch.random.fork_rng():
        for source in (code[0].source, *checks):
            exec(source, names)
    return held


def make(monkeypatch, module, right, wrong):
    """Put a module with a slip in it in the place of the right one, for those who import from it now."""
    name = f"notes.{module}"
    source = Path(importlib.import_module(name).__file__).read_text(encoding="utf-8")
    assert source.count(right) == 1, f"{right!r} stands {source.count(right)} times in {module}"
    slipped = types.ModuleType(name)
    exec(compile(source.replace(right, wrong), f"{module} with a slip", "exec"), slipped.__dict__)
    monkeypatch.setitem(sys.modules, name, slipped)


def test_without_a_slip_every_check_holds(monkeypatch):
    held = run_the_checks(monkeypatch)
    assert len(held) == 7
    assert all(statement.startswith("Laboratory, ") for statement in held)


TARGET = "clean + sigma * noise), -noise / sigma)"
DISTANCE = "_squared_distance(_field("
DENSITY = "lambda block, joint: joint.logsumexp(0))"
NOISE = "2 * step_size * check.rep"
SLOPE, DIFFERENCE = "σ = 0.25: the learned slope", "the field 0: J_DSM − J_ESM"
SLIPS = {  # the module, what stands in it, the slip, and the check that catches it
    "−z/σ²": ("score_matching", TARGET, TARGET.replace("/ sigma)", "/ sigma**2)"), SLOPE),
    "+z/σ": ("score_matching", TARGET, TARGET.replace("-noise", "noise"), SLOPE),
    "σ² for σ": ("score_matching", TARGET, TARGET.replace("sigma", "sigma**2"), SLOPE),
    "½ on one side": (
        "score_matching",
        f'0.5 * {DISTANCE}"model", model, x)',
        f'{DISTANCE}"model", model, x)',
        DIFFERENCE,
    ),
    "½ on the other side": (
        "score_matching",
        f'0.5 * {DISTANCE}"model", model, clean',
        f'{DISTANCE}"model", model, clean',
        DIFFERENCE,
    ),
    "mean over dimensions": (
        "score_matching",
        "(a - b).square().sum(1).mean()",
        "(a - b).square().mean()",
        DIFFERENCE,
    ),
    "1/h in d dimensions": (
        "mixtures",
        DENSITY,
        f"{DENSITY} + (self.dim - 1) * self.stds[0].log()",
        "the integral of q",
    ),
    "√τ in the walk": ("langevin", NOISE, NOISE.replace("2 * ", ""), "a walk on p_σ"),
    "2τ in the walk": ("langevin", NOISE, NOISE.replace("2 * step_size", "4 * step_size**2"), "a walk on p_σ"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_in_the_package_is_caught_by_the_chapter(monkeypatch, slip):
    module, right, wrong, caught_by = SLIPS[slip]
    make(monkeypatch, module, right, wrong)
    with pytest.raises(AssertionError, match=f"^Laboratory, .*{caught_by}"):
        run_the_checks(monkeypatch)


def test_every_slip_of_the_laboratory_is_among_them():
    assert set(figures.SLIPS) - {"no slip"} == set(SLIPS) - {"½ on the other side"}


@pytest.mark.parametrize("sigma", figures.SIGMAS)
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
    for slip, draw in figures.SLIPS.items():
        ax = matplotlib.figure.Figure().subplots()
        _, measured, right = draw(ax, sigma)
        wrong, due, tolerance = expected[slip]
        assert measured == pytest.approx(wrong, abs=tolerance), slip
        assert right == pytest.approx(due, abs=1e-12), slip
