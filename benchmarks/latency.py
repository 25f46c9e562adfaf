"""From a key press to the new picture, in milliseconds: on the built site, and live in JupyterLab.

Run ``python benchmarks/latency.py`` in an environment that has built the book; it needs Chromium, as the tests do. Each
number is taken in the page itself: from the key's event to the first frame painted with the new picture decoded.
"""

import shutil
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from browser import Server, figures, is_slider, open_page, set_screen, start_chromium, wait  # noqa: E402
from lab import Widget, images, open_by_double_click, run_through, running_lab  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

MOVES = 20
WATCH = """
window.times = [];
const [image, control] = arguments;
let pressed = null;
control.addEventListener("keydown", (event) => { pressed = event.timeStamp; }, true);
new MutationObserver(async () => {
  const since = pressed;
  await image.decode();
  requestAnimationFrame(() => setTimeout(() => times.push(performance.now() - since)));
}).observe(image, {attributeFilter: ["src"]});
"""


def moves(driver, image, control, at, length):
    """The times of moves along a slider to its end and back, each begun when the last is on the screen."""
    driver.execute_script(WATCH, image, control)
    step = 1
    for done in range(MOVES):
        step = {0: 1, length - 1: -1}.get(at, step)
        control.send_keys(Keys.ARROW_RIGHT if step == 1 else Keys.ARROW_LEFT)
        wait(driver, lambda done=done: driver.execute_script("return times.length") > done, "no new picture", 20)
        at += step
    return driver.execute_script("return times")


def report(name, times):
    print(f"{name}: median {statistics.median(times):.0f} ms, slowest {max(times):.0f} ms of {len(times)}", flush=True)


def on_site(driver):
    server = Server(site=ROOT / "_build" / "html")
    open_page(driver, server.url("site/book/langevin.html"))
    for figure in figures(driver):
        at = next(at for at, item in enumerate(figure.inputs) if is_slider(item))
        figure.scroll_to()
        times = moves(driver, figure.image, figure.inputs[at], figure.state()[at], len(figure.labels[at]))
        report(f"site, {figure.id}, {figure.names[at]}", times)
    server.close()


def live(driver, folder):
    shutil.copytree(ROOT / "book", folder / "book")
    (folder / "home").mkdir()
    with running_lab(folder / "book", folder / "home") as address:
        open_by_double_click(driver, address, "langevin.md")
        run_through(driver, "explore(")
        wait(driver, lambda: images(driver), "the first figure does not appear", 120)
        figure = Widget(driver, 0)
        slider = figure.handles[0]
        at, last = (int(float(slider.get_attribute(f"aria-value{which}"))) for which in ("now", "max"))
        first = moves(driver, figure.image, slider, at, last + 1)
        report("live, first figure of langevin, half of it drawn for the first time", first)
        driver.get("about:blank")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        driver = start_chromium(Path(name) / "profile")
        set_screen(driver, 1280, 1400)
        try:
            on_site(driver)
            live(driver, Path(name))
        finally:
            driver.quit()
