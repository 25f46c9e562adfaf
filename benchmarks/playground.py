"""Frames a second of the playground, in a headless Chromium that opens the built site, beside steps of the package.

The playground makes one step a frame or more; the package's walk is on one thread, as the browser's is.
"""

import sys
import tempfile
import time
from pathlib import Path

import timing
import torch

from notes.langevin import langevin
from notes.mixtures import GaussianMixture

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from browser import Server, open_page, set_screen, start_chromium, wait  # noqa: E402

PARTICLES, REPEATS, SECONDS = [1_000, 10_000, 100_000], 5, 2.0


def frames(driver, n):
    """Frames a second with n particles, over some seconds of a walk that has begun."""
    driver.execute_script("playground.root.scrollIntoView(); playground.set({n: arguments[0]}); playground.run()", n)
    time.sleep(0.5)
    count = "return [playground.frames, performance.now()]"
    first, started = driver.execute_script(count)
    time.sleep(SECONDS)
    last, ended = driver.execute_script(count)
    driver.execute_script("playground.pause()")
    return 1e3 * (last - first) / (ended - started)


def steps(p, n):
    """Steps a second of the package's walk from p itself, in float64 as the browser's."""
    x, n_steps = p.sample(n, torch.Generator().manual_seed(0)), max(5, 1_000_000 // n)
    started = time.perf_counter()
    langevin(p.score, x, 0.01, n_steps)
    return n_steps / (time.perf_counter() - started)


def measure():
    means = torch.tensor([[2.0, 0.0], [-2.0, 0.0]], dtype=torch.float64)
    p = GaussianMixture(means, [0.5, 0.2], [0.6, 0.4])
    threads, server = torch.get_num_threads(), Server(site=ROOT / "_build" / "html")
    torch.set_num_threads(1)
    result = {"particles": PARTICLES, "frames": [], "steps": []}
    with tempfile.TemporaryDirectory() as profile:
        driver = start_chromium(profile)
        try:
            set_screen(driver, 1280, 1000)
            open_page(driver, server.url("site/book/playground.html"))
            wait(
                driver,
                lambda: driver.execute_script("return typeof playground === 'object'"),
                "no playground on the page",
                20,
            )
            for n in PARTICLES:
                turns = [(frames(driver, n), steps(p, n)) for _ in range(REPEATS)]
                for name, values in zip(("frames", "steps"), zip(*turns, strict=True), strict=True):
                    result[name].append(timing.spread(values))
        finally:
            driver.quit()
            server.close()
            torch.set_num_threads(threads)
    rows = [[timing.count(n), *both] for n, *both in zip(PARTICLES, result["frames"], result["steps"], strict=True)]
    head = ["particles", "frames a second in the browser", "steps a second by the package, one thread"]
    timing.save("playground", result, [timing.table(head, rows)])


if __name__ == "__main__":
    measure()
