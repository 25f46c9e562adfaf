"""The playground as its reader meets it, in a real browser: what is moved, what is seen of it, and every number.

What the page computes is judged by the package: the particles are read out of the page and measured here once more.
"""

import base64
import gzip
import itertools
import math
import re
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from browser import (
    Figure,
    by_keyboard,
    by_mouse,
    by_touch,
    drag,
    errors,
    open_page,
    requests,
    set_screen,
    wait,
    want_no_motion,
)
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from notes.figures import cast
from notes.langevin import stationary_variance
from notes.mixtures import GaussianMixture, two_moons
from notes.networks import NoiseConditionalNetwork
from notes.scenes import Scene
from notes.score_matching import fisher_divergence

PAGE, FIGURE = "site/book/playground.html", "fig-playground-walk"
WAYS = {"mouse": by_mouse, "finger": by_touch, "keys": by_keyboard}
LEFT, TOP = -3.2, 2.4  # of the plane that is seen
NARROW_SPACE = "\u202f"


class Playground(Figure):
    """The page in the browser. Its controls are moved as those of figures are."""

    def __init__(self, driver):
        self.driver = driver
        self.root = driver.find_element(By.CSS_SELECTOR, ".playground")
        self.names, self.inputs = self.js(
            "const c = Object.values(playground.controls); return [c.map((c) => c.name), c.map((c) => c.inputs)]"
        )

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def get(self, what):
        return self.js(f"return playground.{what}")

    def set(self, **values):
        self.js("playground.set(arguments[0])", values)

    def walk(self, steps):
        """So many steps at once, then the picture and the numbers."""
        for _ in range(0, steps, 100):
            self.js("for (let i = 0; i < arguments[0]; i++) playground.step()", min(steps, 100))
        self.js("playground.draw()")

    def part(self, name):
        return self.root.find_element(By.CSS_SELECTOR, f".playground-{name}")

    def text(self, selector):
        return self.js("return arguments[0].querySelector(arguments[1]).textContent", self.root, selector)

    def press(self, name):
        self.scroll_to(self.part(name))
        self.part(name).click()

    def rows(self):
        """The cells of the table, a row for each mode."""
        return self.js(
            "return [...arguments[0].querySelectorAll('tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))",
            self.root,
        )

    def lines(self):
        """What stands below the table, by name."""
        script = "return [...arguments[0].querySelectorAll('dl > *')].map((e) => e.textContent)"
        told = self.js(script, self.root)
        return dict(zip(told[::2], told[1::2], strict=True))

    def modes(self):
        """Each mode's place."""
        return [(mode["x"], mode["y"]) for mode in self.get("values.modes")]

    def handle(self, k):
        return self.part("modes").find_elements(By.TAG_NAME, "button")[k]

    def on_screen(self, x, y):
        """Where on the screen a point of the plane is."""
        box = self.js("return arguments[0].getBoundingClientRect().toJSON()", self.part("stage"))
        share = (x - LEFT) / (-2 * LEFT), (TOP - y) / (2 * TOP)
        return box["x"] + share[0] * box["width"], box["y"] + share[1] * box["height"]

    def particles(self):
        x, y = self.js("return [[...playground.particles.x], [...playground.particles.y]]")
        return torch.tensor([x, y], dtype=torch.float64).T

    def law(self):
        """The page's law, smoothed, as the package has it."""
        values = self.get("values")
        of = torch.tensor([[mode[name] for name in ("x", "y", "std", "weight")] for mode in values["modes"]])
        of = of.double()
        law = GaussianMixture(of[:, :2], of[:, 2], of[:, 3] / of[:, 3].sum())
        return law.smoothed(values["sigma"]) if values["sigma"] else law


@pytest.fixture
def opened(browser, server):
    """Opens the page, behind its name what stands in an address, for a reader who wants no motion."""
    want_no_motion(browser)

    def at(query=""):
        open_page(browser, server.url(PAGE) + (f"#{FIGURE}?{query}" if query else ""))
        return Playground(browser)

    return at


@pytest.fixture
def page(opened):
    """The page at rest, at step 0."""
    return opened()


@pytest.fixture
def moving(browser, server):
    """The page of a reader who has no wish."""
    open_page(browser, server.url(PAGE))
    return Playground(browser)


def number(text):
    """What a cell says, without its mark."""
    text = text.lstrip("▲▼ ").replace("−", "-").replace(NARROW_SPACE, "").removesuffix("%")
    return math.inf if text == "∞" else float(text)


def is_printed(text, value, digits=3):
    """Whether a text says a value to its digits."""
    if value == math.inf:
        return text == "∞"
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1)
    return abs(number(text) - value) <= max(0.501 * unit, 1e-15)  # the page leaves out lesser parts


def touch(driver, kind, *points):
    where = [{"x": x, "y": y} for x, y in points]
    driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})


def by_finger(driver, start, *points):
    """Press with a finger, move through points, let go."""
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    for kind, *point in [("touchStart", start), *(("touchMove", point) for point in points), ("touchEnd",)]:
        touch(driver, kind, *point)
        time.sleep(0.03)


def send(driver, *keys):
    ActionChains(driver, duration=0).send_keys(*keys).perform()


# It runs


def test_it_runs_by_itself_and_stops_and_goes_on_as_it_is_told(browser, moving):
    frames, steps = moving.get("frames"), moving.get("steps")
    wait(browser, lambda: moving.get("frames") > frames + 3 and moving.get("steps") > steps + 3, "it does not run")
    assert moving.part("run").text == "Pause"
    moving.press("run")
    assert moving.part("run").text == "Run"
    steps = moving.get("steps")
    time.sleep(0.2)
    assert moving.get("steps") == steps
    moving.press("step")
    assert moving.get("steps") == steps + 1
    assert moving.lines()["steps"].startswith(f"{steps + 1}, time ")
    moving.press("run")
    wait(browser, lambda: moving.get("steps") > steps + 3, "it does not go on")
    both = "const before = playground.steps; arguments[0].click(); return [before, playground.steps]"
    before, after = moving.js(both, moving.part("step"))  # which stops it, too
    assert after == before + 1
    time.sleep(0.2)
    assert moving.get("steps") == after
    before, after = moving.js(both, moving.part("again"))
    assert before > 3
    assert after == 0
    assert moving.lines()["steps"] == "0, time 0"


def test_for_a_reader_who_wants_no_motion_it_waits(page):
    time.sleep(0.2)
    assert page.get("steps") == 0
    assert page.part("run").text == "Run"
    assert page.lines()["steps"] == "0, time 0"
    page.press("run")
    wait(page.driver, lambda: page.get("steps") > 3, "it does not run when it is told to")


def test_steps_a_frame(page):
    page.set(speed=5)
    page.js("playground.isRunning = true; playground.frame(0); playground.isRunning = false")
    assert page.get("steps") == 5


def test_a_start_is_what_it_is_called(page):
    def moments(start):
        page.set(start=start, restart=True)
        x = page.particles()
        assert page.get("steps") == 0
        return x.mean(0), x.var(0), x

    mean, variance, _ = moments("white noise")
    assert mean.abs().max() < 0.05
    assert (variance - 1).abs().max() < 0.08
    _, variance, x = moments("uniform")
    assert (x.abs() <= torch.tensor([-LEFT, TOP])).all()
    assert (variance / torch.tensor([LEFT**2 / 3, TOP**2 / 3]) - 1).abs().max() < 0.05
    *_, x = moments("one point")
    assert (x == torch.tensor([2.0, 0.0])).all()
    mean, variance, _ = moments("p itself")
    assert abs(mean[0] - (0.6 * 2 - 0.4 * 2)) < 5 * 2 / 100
    assert abs(variance[1] - (0.6 * 0.25 + 0.4 * 0.04)) < 0.01


# Modes


@pytest.mark.parametrize("way", ["mouse", "finger"])
def test_a_mode_is_dragged_to_where_the_pointer_is(browser, page, way):
    set_screen(browser, 1280, 600)
    page.scroll_to(page.part("stage"))
    top, rows = page.js("return scrollY"), page.rows()
    assert top > 0
    ways = {"mouse": drag, "finger": by_finger}
    path = [page.on_screen(-1.9 + 0.1 * i, 0.15 * i) for i in range(1, 9)]
    ways[way](browser, page.on_screen(-2, 0), *path)
    (first, second), pixel = page.modes(), 6.4 / page.part("stage").rect["width"]
    assert first == (2, 0)
    assert second == pytest.approx((-1.1, 1.2), abs=1.1 * pixel)
    assert page.js("return scrollY") == top
    assert page.rows() != rows
    box = page.js("return arguments[0].getBoundingClientRect().toJSON()", page.handle(1))
    centre = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    assert centre == pytest.approx(page.on_screen(*second), abs=1)
    place = [number(word) for word in page.handle(1).get_attribute("aria-label").split(" at ")[1].split(", ")]
    assert place == pytest.approx(second, abs=0.01)


def test_a_finger_beside_the_modes_scrolls_the_page(browser, page):
    set_screen(browser, 1280, 600)
    page.scroll_to(page.part("stage"))
    top = page.js("return scrollY")
    by_finger(browser, page.on_screen(0, 0), *(page.on_screen(0, 0.15 * i) for i in range(1, 9)))
    wait(browser, lambda: page.js("return scrollY") > top + 20, "a finger on the picture does not scroll")
    assert page.modes() == [(2, 0), (-2, 0)]


def test_a_mode_is_not_dragged_out_of_the_picture(browser, page):
    page.scroll_to(page.part("stage"))
    drag(browser, page.on_screen(2, 0), page.on_screen(4, 0), page.on_screen(4, 2))
    assert page.modes()[0] == pytest.approx((3.2, 2), abs=0.02)


def test_the_keys_of_a_mode(browser, page):
    page.scroll_to(page.part("stage"))
    top, rows = page.js("return scrollY"), page.rows()
    page.handle(1).send_keys("")
    assert page.get("values.selected") == 1
    send(browser, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_UP)
    assert page.modes() == [(2, 0), pytest.approx((-1.8, 0.1))]
    ActionChains(browser, duration=0).key_down(Keys.SHIFT).send_keys(Keys.ARROW_LEFT, Keys.ARROW_DOWN).key_up(
        Keys.SHIFT
    ).perform()
    assert page.modes()[1] == pytest.approx((-1.82, 0.08))
    assert page.rows() != rows
    send(browser, Keys.ENTER)
    dropped = (page.particles() == torch.tensor(page.modes()[1], dtype=torch.float64)).all(1)
    assert dropped.sum() == 500
    assert page.js("return scrollY") == top
    send(browser, Keys.DELETE)
    assert page.modes() == [(2, 0)]
    assert browser.switch_to.active_element == page.handle(0)
    assert len(page.rows()) == 1
    send(browser, Keys.DELETE)  # the last one stays
    assert page.modes() == [(2, 0)]


@pytest.mark.parametrize("way", ["mouse", "finger"])
def test_a_press_on_the_picture_drops_particles_there(browser, page, way):
    page.scroll_to(page.part("stage"))
    {"mouse": drag, "finger": by_finger}[way](browser, page.on_screen(0.5, -1.5))
    wait(browser, lambda: (page.get("colours.indexOf(256)")) >= 0, "nothing is dropped")
    points, counts = page.particles().unique(dim=0, return_counts=True)
    assert counts.max() == 500
    assert points[counts.argmax()].tolist() == pytest.approx([0.5, -1.5], abs=0.02)
    assert page.js("return playground.colours.filter((colour) => colour === 256).length") == 500


def weights(page):
    return [mode["weight"] for mode in page.get("values.modes")]


def test_modes_are_added_and_removed_widened_and_weighed(page):
    page.press("add")
    assert len(page.modes()) == len(page.rows()) == len(page.part("modes").find_elements(By.TAG_NAME, "button")) == 3
    assert page.get("values.selected") == 2
    assert weights(page) == pytest.approx([0.4, 0.8 / 3, 1 / 3])
    at = page.names.index("weight")
    by_keyboard(page, at, page.state()[at] + 1)
    assert weights(page) == pytest.approx([0.36, 0.24, 0.4])
    at = page.names.index("std")
    by_keyboard(page, at, page.state()[at] + 1)
    assert [mode["std"] for mode in page.get("values.modes")] == [0.5, 0.2, 0.6]
    by_keyboard(page, page.names.index("selected"), 0)
    page.press("remove")
    assert weights(page) == pytest.approx([0.375, 0.625])
    assert page.modes()[0] == (-2, 0)
    page.press("remove")
    assert weights(page) == [1]
    assert not page.part("remove").is_enabled()
    page.js("playground.remove()")
    assert len(page.modes()) == 1


def test_there_are_at_most_a_hundred_modes_each_somewhere_else(opened):
    page = opened(Scene(two_moons(90, 0.2)).address + "&n=10")
    page.js("for (let i = 0; i < 12; i++) arguments[0].click()", page.part("add"))
    assert len(page.modes()) == len({*page.modes()}) == len(page.rows()) == 100
    assert sum(weights(page)) == pytest.approx(1, abs=1e-3)  # of four digits each, in the address
    assert not page.part("add").is_enabled()
    assert (np.abs(page.modes()) < [-LEFT, TOP]).all()


def test_weights_stay_a_law_and_their_slider_has_each_stop_once(page):
    page.js("playground.open('two moons')")
    at = page.names.index("weight")
    for value in (1, 5, 9, 3, 11):
        stops = page.get("controls.weight.stops")
        page.js("playground.setWeight(arguments[0])", stops[min(value, len(stops) - 1)])
        assert sum(weights(page)) == pytest.approx(1)
        labels = page.get("controls.weight.labels")
        assert len({*labels}) == len(labels)
        assert number(labels[page.state()[at]]) == pytest.approx(100 * weights(page)[0], rel=5e-3)


# Controls


def said(values, opened):
    """What each control says of the page's values."""
    modes, selected = values["modes"], values["selected"]
    says = {name: "on" if values[name] else "off" for name in ("painted", "corrected")}
    says |= {name: f"{values[name]:g}" for name in ("tau", "T", "sigma", "speed")}
    says |= {name: values[name] for name in ("field", "start")}
    share = 100 * modes[selected]["weight"] / sum(mode["weight"] for mode in modes)
    says |= {"weight": f"{share:.3g} %", "std": f"{modes[selected]['std']:g}"}
    return says | {
        "n": f"{values['n']:,}".replace(",", NARROW_SPACE),
        "selected": f"{selected + 1} of {len(modes)}",
        "scene": opened,
    }


SHOWN = """return Object.values(playground.controls).map(({name, inputs, output, inputs: [input]}) => [name,
  input.type === "radio" ? [inputs.find((other) => other.checked)?.closest("label").textContent]
  : input.type === "checkbox" ? [input.checked ? "on" : "off"]
  : [output.textContent, input.getAttribute("aria-valuetext")]])"""


@pytest.mark.parametrize("way", WAYS)
def test_every_control_moves_the_state_and_says_so(browser, page, way):
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    assert {*page.names} == {*said(page.get("values"), "")}
    for at, name in enumerate(page.names):
        page.js("playground.open('two modes')")
        page.set(field="learned" if name == "painted" else "exact", painted=False, corrected=False, n=3000, speed=2)
        state, before = page.state(), page.get("values")
        last = page.js("return playground.controls[arguments[0]].labels.length - 1", name)
        goal = (0 if state[at] > last / 2 else last) if way != "keys" else state[at] + (1 if state[at] < last else -1)
        WAYS[way](page, at, goal)
        wait(browser, lambda at=at, goal=goal: page.state()[at] == goal, f"{name} is not moved")
        after = page.get("values")
        assert after != before, name
        for other, texts in page.js(SHOWN):
            told = said(after, None if name in ("std", "weight") else page.get("opened"))[other]
            assert {*texts} == {told}, f"{name} is moved, {other} says {texts}"
            if other == name != "scene":
                assert told != said(before, None)[other], f"{name} says what it said"
            elif name not in ("scene", "selected", "field"):  # which move others along
                assert other == "scene" or told == said(before, None)[other], f"{name} moves {other}"


def dead(page):
    """The names of the controls that are disabled."""
    return {
        *page.js(
            "return [...arguments[0].querySelectorAll(':disabled')].map("
            "(e) => e.closest('[data-name]')?.dataset.name ?? e.className)",
            page.root,
        )
    }


def test_those_controls_are_dead_that_make_no_sense(page):
    assert dead(page) == {"painted"}
    page.set(T=0)
    assert dead(page) == {"painted", "corrected"}
    page.set(T=1, field="learned")
    assert dead(page) == {"corrected"}
    page.set(field="exact")
    page.press("remove")
    assert dead(page) == {"painted", "selected", "weight", "playground-remove"}
    page.press("add")
    assert dead(page) == {"painted"}


# The numbers


def measured(page):
    """The share of each mode and its variance, each particle counted at each mode by its responsibility."""
    law, x = page.law(), page.particles()
    squares = (x[:, None] - law.means).square().sum(2)
    r = torch.softmax(law.weights.log() - 2 * law.stds.log() - squares / (2 * law.stds**2), 1)
    return r.mean(0), (r * squares).sum(0) / (2 * r.sum(0))


def exact_shares(law, temperature):
    """E r_k under p^(1/T), by sums over a lattice."""
    line = torch.arange(-9, 9, 0.03, dtype=torch.float64)
    x = torch.cartesian_prod(line, line)
    squares = (x[:, None] - law.means).square().sum(2)
    log = law.weights.log() - 2 * law.stds.log() - squares / (2 * law.stds**2)
    p = (torch.logsumexp(log, 1) / temperature).softmax(0)
    return p @ torch.softmax(log, 1)


THREE = [
    {"x": -1.5, "y": 0.5, "std": 0.4, "weight": 0.5},
    {"x": 0.2, "y": -0.6, "std": 0.7, "weight": 0.3},
    {"x": 1.4, "y": 0.9, "std": 0.25, "weight": 0.2},
]
SETTINGS = {
    "two modes": {},
    "three of them, that overlap": {"modes": THREE},
    "noise": {"modes": THREE, "sigma": 0.3},
    "a long step": {"modes": THREE, "tau": 0.1, "sigma": 0.1},
    "past the bound": {"tau": 0.081},
    "corrected": {"modes": THREE, "tau": 0.1, "corrected": True},
    "hot": {"modes": THREE, "T": 2},
    "cold and corrected": {"modes": THREE, "T": 0.5, "corrected": True},
    "from p itself": {"modes": THREE, "start": "p itself"},
    "learned": {"modes": THREE, "field": "learned"},
}
MARKS = {1: "▲", -1: "▼"}


@pytest.mark.parametrize("setting", SETTINGS)
def test_each_number_of_the_table_is_what_the_package_makes_of_the_particles(page, setting):
    page.set(**SETTINGS[setting], restart=True)
    page.walk(12)
    values, law, n = page.get("values"), page.law(), page.get("particles.n")
    shares, variances = measured(page)
    exact = law.weights if values["T"] == 1 else exact_shares(law, values["T"])
    for k, (name, *cells) in enumerate(page.rows()):
        limit = law.stds[k].item() ** 2
        if not values["corrected"]:
            limit = stationary_variance(limit, values["tau"])
        limit *= values["T"]
        found = [shares[k].item(), exact[k].item(), variances[k].item(), limit]
        assert name == str(k + 1)
        for cell, value in zip(cells, found, strict=True):
            assert is_printed(cell, value), f"mode {k + 1}: {cell} for {value}"
        share, weight, variance, _ = found
        error = math.sqrt(weight * (1 - weight) / n), limit / math.sqrt(share * n)
        for cell, off in zip(cells[::2], [(share - weight) / error[0], (variance - limit) / error[1]], strict=True):
            if abs(abs(off) - 5) > 0.1:  # nan, where the law is without end
                assert cell.startswith(MARKS[int(math.copysign(1, off))]) == (abs(off) > 5), f"{cell}: {off} errors"
            if limit == math.inf or abs(off) < 4.9:
                assert cell[0].isdigit() or cell is cells[0]
    assert len(page.rows()) == len(law.weights)
    assert number(page.lines()["steps"].split(", time ")[1]) == pytest.approx(12 * values["tau"], rel=5e-3)
    found = 100 * page.get("moved") / max(page.get("tried"), 1)
    assert ("accepted" in page.lines()) == bool(values["corrected"])
    assert not values["corrected"] or is_printed(page.lines()["accepted"].removesuffix(" %"), found)


def test_a_share_that_is_far_off_is_marked_and_one_that_is_not_is_not(page):
    assert [row[1][0] for row in page.rows()] == ["▲", "▼"]
    bold = page.root.find_elements(By.CSS_SELECTOR, "td.playground-off")
    assert [cell.text[0] for cell in bold] == ["▲", "▲", "▼", "▲"]
    page.set(start="p itself", restart=True)
    assert all(row[1][0].isdigit() for row in page.rows())


def test_the_histogram_is_as_far_from_p_as_is_said(page):
    page.set(modes=THREE, restart=True)
    x, law = page.particles()[:, 0], page.law()
    edges = torch.linspace(-3.2, 3.2, 65, dtype=torch.float64)
    cdf = (torch.special.ndtr((edges[:, None] - law.means[:, 0]) / law.stds) @ law.weights).diff()
    share = torch.histogram(x, edges)[0] / len(x)
    found = ((share - cdf).abs().sum() + (share.sum() - cdf.sum()).abs()) / 2
    said, chance = re.fullmatch(r"(\S+) % \(chance alone: (\S+) %\)", page.lines()["histogram off by"]).groups()
    assert number(said) == pytest.approx(100 * found.item(), rel=0.02)
    page.set(start="p itself", restart=True)
    said = page.lines()["histogram off by"].split(" ")[0]
    assert number(said) == pytest.approx(number(chance), rel=0.5)


def test_the_warning_names_the_mode_at_which_the_walk_diverges(page):
    def warns():
        return page.text(".playground-warning")

    page.set(tau=0.0799)
    assert warns() == ""
    page.set(tau=0.0801)
    assert "mode 2" in warns()
    assert "τ = 0.0801" in warns()
    assert "2s² = 0.08 " in warns()
    assert "diverges" in warns()
    assert page.rows()[1][4] == "∞"
    assert page.rows()[0][4] != "∞"
    page.set(tau=0.0801, corrected=True)
    assert "mode 2" in warns()
    assert "refused" in warns()
    page.set(corrected=False, sigma=0.1)  # a wider one bears it
    assert warns() == ""
    page.set(sigma=0, tau=0.6)
    assert "modes 1, 2" in warns()
    page.set(tau=0.01, T=0)
    assert "no law" in warns()
    assert [row[index] for row in page.rows() for index in (2, 4)] == ["–"] * 4
    assert "histogram off by" not in page.lines()
    page.walk(400)
    assert all(number(row[3]) < 0.01 for row in page.rows())  # each at a peak


# Laws


def test_the_variance_at_a_lone_mode_is_that_of_the_recursion(page):
    page.set(modes=[{"x": 0.3, "y": -0.2, "std": 0.5, "weight": 1}], tau=0.1, n=100_000, selected=0, restart=True)
    page.walk(150)  # each forgets two fifths
    x = page.particles() - torch.tensor([0.3, -0.2])
    law = stationary_variance(0.25, 0.1)
    assert x.square().mean().item() == pytest.approx(law, rel=0.02)
    assert law > 1.2 * 0.25
    (row,) = page.rows()
    assert row[1:] == ["1", "1", row[3], "0.313"]
    assert number(row[3]) == pytest.approx(law, rel=0.02)


@pytest.mark.parametrize("corrected", [True, False])
def test_the_correction_leaves_p_as_it_is_where_the_walk_alone_empties_a_mode(page, corrected):
    page.js("playground.open('a mode that empties')")
    page.set(corrected=corrected, tau=0.1)
    assert page.get("values.start") == "p itself"
    page.walk(200)
    shares, variances = measured(page)
    off = (shares[0].item() - 0.6) / math.sqrt(0.24 / 10_000)
    assert abs(off) < 5 if corrected else abs(off) > 10, off
    if corrected:
        assert variances.tolist() == pytest.approx([0.25, 0.04], rel=0.08)
        assert 20 < number(page.lines()["accepted"]) < 99


DESCENT = """const sigmas = [], taus = [];
arguments[0].click();
while (playground.isRunning && playground.steps < 1000) {
  playground.step();
  sigmas.push(playground.values.sigma);
  taus.push(playground.values.tau);
}
return [sigmas, taus]"""


@pytest.mark.parametrize("field", ["exact", "learned"])
def test_annealing_ends_with_the_weights_at_the_least_noise(page, field):
    page.js("playground.open(arguments[0])", "two moons" if field == "learned" else "two modes")
    page.set(field=field, n=3000)
    least = 0.1 if field == "learned" else 0.05
    sigmas, taus = page.js(DESCENT, page.part("anneal"))
    assert all(now <= before for before, now in itertools.pairwise(sigmas))
    assert sigmas[-1] == page.get("values.sigma") == least
    assert np.array(taus) == pytest.approx(0.1 * np.array(sigmas) ** 2)
    assert len({*sigmas}) == 20
    assert len(sigmas) == page.get("steps") == 400
    assert not page.get("isRunning")
    assert page.part("run").text == "Run"
    assert page.text("[role=status]").startswith("400 steps.")
    shares, _ = measured(page)
    assert (shares - page.law().weights).abs().max() < 0.1
    page.press("step")  # from here as any walk
    assert page.get("steps") == 401
    assert page.get("values.sigma") == least


def test_a_score_that_is_taken_in_the_midst_of_annealing_is_not_used_below_its_noise(page):
    page.js("playground.open('two moons')")
    page.js("playground.anneal(); for (let i = 0; i < 50; i++) playground.step()")
    page.set(field="learned")
    page.js("for (let i = 0; i < 400; i++) playground.step()")
    assert page.get("values.sigma") >= 0.1


# The learned score


def network(page):
    """The page's network in the package."""
    layers = page.js("return playgroundNetwork.layers")
    values = [np.frombuffer(base64.b64decode(layer[part]), "<f4") for layer in layers for part in ("weight", "bias")]
    model = NoiseConditionalNetwork(2, width=len(values[1]), depth=len(layers) - 1)
    for parameter, value in zip(model.parameters(), values, strict=True):
        parameter.data = torch.tensor(value).reshape(parameter.shape)
    return model.double()


def test_the_error_of_the_learned_score_stands_beside_that_of_a_straight_line(page):
    page.js("playground.open('two moons')")
    by_keyboard(page, page.names.index("field"), 1)
    assert page.get("values.sigma") == 0.1
    for sigma in (0.1, 0.5):
        page.set(sigma=sigma)
        page.set(start="p itself", restart=True)
        learned, line = re.fullmatch(
            r"(\S+) \(a straight line: (\S+)\)", page.lines()["error of the learned score"]
        ).groups()
        law, x, model = page.law(), page.particles(), network(page)
        fields = [lambda x, s=sigma, model=model: model(x, s), cast.affine_field(law, 1e-6)]
        with torch.no_grad():
            truth = [fisher_divergence(field, law.score, x, relative=True).item() for field in fields]
        assert is_printed(line, truth[1], 2)
        assert number(learned) == pytest.approx(truth[0], rel=0.15)  # it stands on a lattice
        assert number(learned) < 0.1 * number(line)
    assert page.text(".playground-warning") == ""
    page.js("playground.moveMode(0, 0)")
    assert "learned two moons" in page.text(".playground-warning")


def test_no_noise_is_below_what_was_learned(page):
    at = page.names.index("field")
    by_keyboard(page, at, 1)
    assert page.get("values.sigma") == 0.1
    by_mouse(page, page.names.index("sigma"), 0)
    assert page.get("values.sigma") == 0.1
    assert page.text("[data-name=sigma] output") == "0.1"
    by_keyboard(page, at, 0)
    by_mouse(page, page.names.index("sigma"), 0)
    assert page.get("values.sigma") == 0


def test_the_difference_is_painted(page):
    page.js("playground.open('two moons')")
    page.set(field="learned", n=1000)
    page.js(
        """window.pixels = () => {
          const canvas = playground.part("stage"), {width, height} = canvas;
          return canvas.getContext("2d").getImageData(0, 0, width, height).data; };
        window.red = (seen) => seen.reduce((sum, v, i) => sum + [v, 0, -v, 0][i % 4], 0) / seen.length;
        window.other = (a, b) => a.reduce((sum, v, i) => sum + (v !== b[i]), 0) / a.length;
        window.plain = pixels();"""
    )
    by_mouse(page, page.names.index("painted"), 1)
    changed, before, after = page.js(
        "window.painted = pixels(); return [other(painted, plain), red(plain), red(painted)]"
    )
    assert changed > 0.2
    assert after > before + 1
    by_mouse(page, page.names.index("painted"), 0)
    assert page.js("return other(pixels(), plain)") == 0
    page.set(painted=True)
    assert page.js("return other(pixels(), painted)") == 0
    page.set(field="exact")  # where there is none
    assert page.js("return red(pixels())") < before + 1


# The picture

PIXELS = """const canvas = playground.part("stage"), {width, height} = canvas;
return [...new Uint32Array(canvas.getContext("2d").getImageData(0, 0, width, height).data.buffer)]"""


def test_the_picture_shows_the_particles_where_they_are(page):
    page.set(n=1000, start="one point", restart=True)
    before = np.array(page.js(PIXELS)).reshape(-1, page.js("return playground.part('stage').width"))
    page.js("playground.moveTo(0, 1000, {x: -1, y: 1.2}); playground.draw()")
    after = np.array(page.js(PIXELS)).reshape(before.shape)
    rows, columns = np.nonzero(before != after)
    height, width = before.shape
    seen = {
        (round(c / width * 6.4 - 3.2, 1), round(2.4 - r / height * 4.8, 1)) for r, c in zip(rows, columns, strict=True)
    }
    assert seen == {(2.0, 0.0), (-1.0, 1.2)}


# Addresses


def settings(page):
    """What an address keeps."""
    values = page.get("values")
    modes = np.array([[mode[name] for name in ("x", "y", "std", "weight")] for mode in values["modes"]])
    modes[:, 3] /= modes[:, 3].sum()
    kept = {name: values[name] for name in ("tau", "T", "sigma", "start", "corrected", "field", "n")}
    return kept | {"modes": pytest.approx(modes, rel=1e-3, abs=1e-9)}


def test_each_change_is_in_the_address_within_a_second_and_adds_no_history(browser, page):
    entries, address = page.js("return history.length"), browser.current_url
    assert "?" not in address
    moves = {"scene": 1, "std": 3, "weight": 6, "sigma": 2, "tau": 12, "T": 4, "start": 1, "n": 1}
    for name, value in [*moves.items(), ("corrected", 1), ("field", 1)]:
        by_mouse(page, page.names.index(name), value)
        wait(browser, lambda a=address: browser.current_url != a, f"{name} is not in the address", 1)
        address = browser.current_url
    page.handle(2).send_keys(Keys.ARROW_UP)
    wait(browser, lambda: browser.current_url != address, "the mode is not in the address", 1)
    assert page.js("return history.length") == entries
    address, kept = browser.current_url, settings(page)
    assert kept["field"] == "learned"
    assert kept["corrected"]
    open_page(browser, address)
    again = Playground(browser)
    assert {name: value for name, value in settings(again).items() if name != "modes"} == {
        name: value for name, value in kept.items() if name != "modes"
    }
    modes = [[mode[name] for name in ("x", "y", "std", "weight")] for mode in again.get("values.modes")]
    assert np.array(modes) == kept["modes"]
    assert again.get("steps") == 0
    assert browser.current_url == address


SCENES = [
    Scene(GaussianMixture([[2.0], [-2.0]], [0.5, 0.2], [0.6, 0.4]), step_size=0.05, start="p itself"),
    Scene(two_moons(16, 0.2), sigma=0.35, temperature=0.5, corrected=True),
    Scene(GaussianMixture([[1 / 3, -2 / 3]], 0.123456), step_size=1e-5, temperature=0.0, start="one point"),
    Scene(two_moons(100, 0.1), step_size=0.00123, start="uniform"),
]


def in_python(scene):
    return {
        "modes": [{"x": x, "y": y, "std": s, "weight": w} for x, y, s, w in scene.modes],
        "tau": float(f"{scene.step_size:.4g}"),
        "T": scene.temperature,
        "sigma": scene.sigma,
        "start": scene.start,
        "corrected": scene.corrected,
        "field": "exact",
    }


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: f"{len(scene.modes)} modes")
def test_the_address_of_a_scene_opens_it(browser, opened, scene):
    page = opened(scene.address)
    assert page.get("values").items() >= in_python(scene).items()
    stage = page.js("return arguments[0].getBoundingClientRect().toJSON()", page.part("stage"))
    assert -1 <= stage["top"] < 450
    if scene.start == "one point":
        assert (page.particles() == torch.tensor(scene.modes[0][:2], dtype=torch.float64)).all()


def test_a_link_on_the_page_opens_its_scene(page):
    for scene in SCENES[:2]:
        page.walk(3)
        page.js("location.hash = arguments[0]", f"{FIGURE}?{scene.address}")
        wait(page.driver, lambda: page.get("steps") == 0, "the link opens nothing")
        assert page.get("values").items() >= in_python(scene).items()


DEFAULT = {"tau": 0.01, "T": 1, "sigma": 0, "start": "white noise", "corrected": False, "field": "exact", "n": 10000}
TWO = [{"x": 2, "y": 0, "std": 0.5, "weight": 0.6}, {"x": -2, "y": 0, "std": 0.2, "weight": 0.4}]
GOOD = "modes=2,0,0.5,0.6;-2,0,0.2,0.4"


@pytest.mark.parametrize(
    "query",
    [
        "modes=abc",
        "modes=",
        "modes",
        "tau=0.05",
        "modes=1,2,3",
        "modes=NaN,0,1,1;0,Infinity,1,1;0,0,-1,1;0,0,1,0",
        f"{GOOD}&tau=-1&T=-1&sigma=-1&n=-5",
        f"{GOOD}&tau=NaN&T=NaN&sigma=NaN&n=NaN",
        f"{GOOD}&tau=1e9&T=1e9&sigma=1e9&n=1e9",
        f"{GOOD}&tau=&T=&sigma=&n=",
        f"{GOOD}&start=elsewhere&score=guessed&corrected=perhaps&painted=on&selected=7&modus=1",
        f"{GOOD};;7;1,1,1;a,b,c,d",
        "%E0%A4%A&modes=%",
    ],
)
def test_nonsense_in_an_address_is_ignored(browser, opened, query):
    page = opened(query)
    assert page.get("values").items() >= {**DEFAULT, "modes": TWO}.items()
    page.press("step")
    assert page.get("steps") == 1
    assert errors(browser) == []


@pytest.mark.parametrize(
    ("query", "modes"),
    [
        (f"modes={'0,0,1,1;' * 3000}", 100),
        ("modes=0,0,1000,1;5e4,0,0.01,1&T=2", 2),  # no lattice holds it
        ("modes=1e308,0,1,1", 2),
        ("modes=0,0,1e-200,1", 1),
        ("modes=0,0,1,1e308;1,0,1,1e308", 2),
        (f"{GOOD}&T=100&sigma=100", 2),
    ],
)
def test_a_law_beyond_all_bounds_does_not_hold_the_page(browser, opened, query, modes):
    page = opened(query)
    assert len(page.modes()) == modes
    page.press("step")
    assert page.get("steps") == 1
    page.js("playground.open('two modes')")
    page.walk(2)
    assert page.rows()[0][2] == "0.6"
    assert errors(browser) == []


@pytest.mark.parametrize("allowed", [True, False])
def test_the_address_is_copied_or_stands_in_the_browser(browser, page, allowed):
    page.js("playground.moveMode(1, 1)")
    write = "(text) => { window.copied = text; }" if allowed else "() => { throw new DOMException('no'); }"
    page.js(f"navigator.clipboard.writeText = async {write}")
    page.press("link")
    answer = "copied" if allowed else "copy it from the address bar"
    wait(browser, lambda: page.part("link").text == answer, "nothing says what was done")
    assert browser.current_url.partition("#")[2] == page.get("address")[1:]
    assert "modes=1,1,0.5,0.6;" in browser.current_url
    if allowed:
        assert page.js("return window.copied") == browser.current_url


# A reader who listens, or has no mouse


HEARD = """window.heard = [];
new MutationObserver((changes) => changes.forEach(({target}) => {
  const e = target.nodeType === 1 ? target : target.parentElement;
  const live = e.closest("[role=status], [role=alert], [aria-live]:not([aria-live=off])");
  if (live) heard.push(live.textContent);
})).observe(document.querySelector(".playground"), {subtree: true, childList: true, characterData: true});"""


def test_the_numbers_are_told_when_it_stops_and_not_while_it_runs(browser, page):
    page.js(HEARD)
    page.press("step")
    told = page.text("[role=status]")
    assert told.startswith("1 steps. ") or told.startswith("1 step. ")
    for k, (_, share, weight, variance, law) in enumerate(page.rows()):
        assert f"Mode {k + 1}: share {share} of {weight}, variance {variance} of {law}." in told
    assert all(f"{name} {value}." in told for name, value in page.lines().items())
    page.js("heard.length = 0")
    page.press("run")
    wait(browser, lambda: page.get("steps") > 20, "it does not run")
    by_keyboard(page, page.names.index("tau"), 15)
    assert page.js("return heard") == []
    page.press("run")
    assert page.js("return heard.length") == 1
    assert page.text("[role=status]").startswith(f"{page.get('steps')} steps. Mode 1: share ")
    assert page.text(".playground-warning") in page.text("[role=status]")
    assert "mode 2" in page.text(".playground-warning")


def test_everything_that_is_pressed_or_moved_has_a_name(page):
    controls = page.root.find_elements(By.CSS_SELECTOR, "button, input, canvas, [role=group], [role=radiogroup]")
    assert len(controls) > 30
    names = [control.accessible_name for control in controls]
    assert all(names), names
    choices = [c for c in controls if c.get_dom_attribute("type") not in ("radio", None) or c.tag_name == "button"]
    assert len({c.accessible_name for c in choices}) == len(choices)


def test_keys_reach_every_control_and_of_the_modes_the_chosen_one(browser, page):
    page.js("playground.open('ring of eight'); playground.set({selected: 3})")
    assert len(page.root.find_elements(By.CSS_SELECTOR, ".playground-mode[tabindex='0']")) == 1
    page.js("document.activeElement.blur()")
    items = [
        item
        for item in page.root.find_elements(By.CSS_SELECTOR, "button, input:not([type=radio]), :checked")
        if item.is_enabled() and item.get_dom_attribute("tabindex") != "-1"
    ]
    assert items[0] == page.handle(3)
    look = "const s = getComputedStyle(arguments[0]); return [s.outlineStyle, s.outlineWidth, s.outlineColor]"
    without = [page.js(look, item) for item in items]
    page.js("arguments[0].focus()", items[0])
    items[0].send_keys(Keys.SHIFT + Keys.TAB)
    for item, before in zip(items, without, strict=True):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        if "playground-table" in browser.switch_to.active_element.get_attribute(
            "class"
        ):  # which scrolls, with many rows
            browser.switch_to.active_element.send_keys(Keys.TAB)
        reached = browser.switch_to.active_element
        assert reached == item, f"{reached.get_attribute('outerHTML')} in place of {item.get_attribute('outerHTML')}"
        style, width, _ = now = page.js(look, item)
        assert now != before
        assert style != "none"
        assert float(width.removesuffix("px")) >= 2
    send(browser, Keys.TAB)
    assert not page.js("return arguments[0].contains(document.activeElement)", page.root)


# A reader without scripts, or on paper, or from disk


def seen(page_root):
    """The classes or names of what is to be seen of the playground, apart from groups."""
    items = page_root.find_elements(By.CSS_SELECTOR, "img, canvas, p, button, input, output, table, dl")
    return [item for item in items if item.is_displayed()]


def test_without_scripts_a_picture_and_a_sentence_stand_there(browser, server):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(server.url(PAGE))
    root = browser.find_element(By.CSS_SELECTOR, ".playground")
    image, sentence = seen(root)
    assert image.tag_name == "img"
    assert image.size["height"] > 200
    assert image.get_attribute("alt")
    assert "JavaScript" in sentence.text
    assert root.find_element(By.XPATH, "./ancestor::figure//figcaption").text.strip()


@pytest.mark.parametrize("change", ["nothing", "a mode", "an address"])
def test_in_print_the_picture_stands_alone(browser, opened, change):
    page = opened(SCENES[1].address if change == "an address" else "")
    if change == "a mode":
        page.handle(0).send_keys(Keys.ARROW_UP)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    assert [item.tag_name for item in seen(page.root)] == ["img" if change == "nothing" else "canvas"]
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})["data"])
    assert printed.startswith(b"%PDF")
    assert len(printed) > 10_000


def test_from_disk_it_works_and_asks_for_nothing(browser, server):
    want_no_motion(browser)
    open_page(browser, server.file(server.url(PAGE)).as_uri())
    page = Playground(browser)
    asked = requests(browser)
    assert asked
    assert {urlsplit(url).scheme for url in asked} == {"file"}
    page.scroll_to(page.part("stage"))
    drag(browser, page.on_screen(2, 0), page.on_screen(1, 1))
    assert page.modes()[0] == pytest.approx((1, 1), abs=0.02)
    page.press("run")
    wait(browser, lambda: page.get("steps") > 10, "it does not run")
    wait(browser, lambda: "modes=" in browser.current_url, "the address does not follow")
    page.press("run")
    assert requests(browser) == []
    assert errors(browser) == []


# A small screen, a slow machine


@pytest.mark.parametrize("width", [390, 320])
def test_it_fits_a_phone_and_each_target_a_finger(browser, opened, width):
    set_screen(browser, width, mobile=True)
    page = opened()
    assert page.js("return document.scrollingElement.scrollWidth") <= width
    for item in page.root.find_elements(By.CSS_SELECTOR, "canvas, table, dl, p, button, input"):
        is_small = item.get_dom_attribute("type") in ("checkbox", "radio")
        box = (item.find_element(By.XPATH, "..") if is_small else item).rect
        if not item.is_displayed() or item.get_dom_attribute("role") == "status":
            continue
        if item.tag_name in ("button", "input"):
            assert min(box["width"], box["height"]) >= 24, item.get_attribute("outerHTML")
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width + 0.5, item.get_attribute("outerHTML")
    cut = """return [...arguments[0].querySelectorAll("table, dl, label, p:not([role])")]
      .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.outerHTML)"""
    assert width < 390 or page.js(cut, page.root) == []  # below, the table moves within its box


def test_on_a_phone_a_mode_is_dragged_by_finger(browser, opened):
    set_screen(browser, 390, mobile=True)
    page = opened()
    page.scroll_to(page.part("stage"))
    top = page.js("return scrollY")
    by_finger(browser, page.on_screen(-2, 0), *(page.on_screen(-2 + 0.1 * i, 0.2 * i) for i in range(1, 9)))
    assert page.modes()[1] == pytest.approx((-1.2, 1.6), abs=0.05)
    assert page.js("return scrollY") == top


@pytest.fixture
def slowly(browser):
    """Makes the machine slow, by a factor, until the test ends."""
    yield lambda rate: browser.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": rate})
    browser.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": 1})


def test_a_slow_machine_takes_fewer_particles_unless_the_reader_chose(browser, moving, slowly):
    slowly(20)
    wait(browser, lambda: moving.get("particles.n") < 10_000, "it takes as many as before", 20)
    counts = moving.js(
        "return [playground.values.n, playground.particles.n, playground.colours.length]"
    )  # of one moment
    assert len({*counts}) == 1
    slowly(1)
    moving.js("playground.pause()")
    assert number(moving.text("[data-name=n] output")) == moving.get("values.n")
    assert "n=" not in moving.get("address")
    by_keyboard(moving, moving.names.index("n"), moving.state()[moving.names.index("n")] + 1)
    chosen = moving.get("values.n")
    assert moving.get("address").endswith(f"&n={chosen}")
    moving.js(  # frames as slow as any machine's
        "playground.run(); for (let i = 1, now = 0; i < 60; i++) playground.keepPace(now += 200); playground.pause()"
    )
    assert moving.get("particles.n") == moving.get("values.n") == chosen


def test_it_does_nothing_out_of_sight(browser, moving):
    wait(browser, lambda: moving.get("steps") > 3, "it does not run")
    set_screen(browser, 1280, 150)
    moving.js("scrollTo({top: 0, behavior: 'instant'})")
    wait(browser, lambda: moving.get("isHidden"), "it takes itself to be seen")
    state = moving.get("steps"), moving.get("frames")
    time.sleep(0.4)
    assert (moving.get("steps"), moving.get("frames")) == state
    moving.scroll_to(moving.part("stage"))
    wait(browser, lambda: moving.get("steps") > state[0] + 3, "it does not go on")


# A walk that diverges


def test_a_walk_that_diverges_stops_with_a_word_and_can_begin_anew(browser, opened):
    page = opened("modes=0,0,0.1,1&tau=0.1&n=1000")
    page.set(speed=20)
    page.press("run")
    wait(browser, lambda: not page.get("isRunning"), "it does not stop", 10)
    assert page.part("run").text == "Run"
    assert "left every bound" in page.text(".playground-warning")
    assert "left every bound" in page.text("[role=status]")
    assert not any(word in page.root.text for word in ("NaN", "Infinity", "undefined"))
    page.press("step")
    assert not page.get("isRunning")
    page.set(tau=0.001)
    page.press("again")
    assert page.get("steps") == 0
    assert page.text(".playground-warning") == ""
    assert number(page.rows()[0][3]) == pytest.approx(1, rel=0.1)
    page.press("run")
    wait(browser, lambda: page.get("steps") > 30, "it does not go on")
    assert page.get("isRunning")


# What it weighs

OWN = ["sampler.js", "stage.js", "playground.js", "playground.css"]


def test_its_own_scripts_and_style_are_small_and_no_other_page_loads_them(site):
    files = [(site / "_static" / name).read_bytes() for name in OWN]
    assert sum(map(len, files)) < 40_000
    assert sum(len(gzip.compress(content, 6)) for content in files) < 20_000
    loading = set()
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        if "_static" not in path.parts and re.search(r"""["/](playground|network-\w+)\.(js|css)\b""", text):
            loading.add(path.name)
    assert loading == {"playground.html"}
