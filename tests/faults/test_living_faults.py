"""A chapter that is alive in JupyterLab, and the site's figures, under a kernel that dies and a reader in a hurry."""

import shutil
import time

import psutil
import pytest
from browser import Server, errors, figures, open_page, set_screen, start_chromium, wait
from conftest import TINY
from lab import Widget, images, open_by_double_click, run_all, running_lab
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

MOVES, SECONDS = 500, 5
DRAWING = 0.1  # seconds a frame of the figure in a hurry takes, more than the book's do
HURRY = f"""
```{{code-cell}} ipython3
import time
drawn = []
def hurry(n=0):
    drawn.append(n)
    time.sleep({DRAWING})
    return pictures.bars(1 + n / 100)
explore(hurry, n=play(0, {MOVES}), alt="Bars that rise")
```
```{{code-cell}} ipython3
print("drawn:", len(drawn))
```
"""


@pytest.fixture
def lab(chromium, tmp_path):
    """The address of a JupyterLab of its own that shows the tiny chapter, with a figure added."""
    folder, home = tmp_path / "folder", tmp_path / "home"
    folder.mkdir(), home.mkdir()
    shutil.copy(TINY / "book" / "pictures.py", folder)
    chapter = (TINY / "book" / "tiny.md").read_text(encoding="utf-8")
    for name in ("tiny.md", "other.md"):
        (folder / name).write_text(chapter + HURRY, encoding="utf-8")
    with running_lab(folder, home) as address:
        yield address
        chromium.get("about:blank")


def opened(driver, lab, name="tiny.md"):
    """The chapter, opened and run."""
    set_screen(driver, 1280, 2800)
    open_by_double_click(driver, lab, name)
    run(driver)
    errors(driver)


def run(driver):
    run_all(driver)
    wait(driver, lambda: len(images(driver)) == 3, "the figures do not appear", 60)


def kernels():
    found = []
    for process in psutil.Process().children(recursive=True):
        if "ipykernel_launcher" in " ".join(process.cmdline()):
            found.append(process)
    return found


def test_killed_kernel(chromium, lab, pictures):
    opened(chromium, lab)
    bars = Widget(chromium, 0)
    bars.shows(pictures.bars())
    (kernel,) = kernels()
    kernel.kill()
    dialog = ".jp-Dialog"
    wait(chromium, lambda: chromium.find_elements(By.CSS_SELECTOR, dialog), "nobody says that the kernel died", 30)
    assert "Kernel Restarting" in chromium.find_element(By.CSS_SELECTOR, dialog).text
    chromium.find_element(By.CSS_SELECTOR, f"{dialog} .jp-mod-accept").click()
    bars.shows(pictures.bars())  # the picture stays
    assert bars.image.is_displayed()
    status = chromium.find_element(By.ID, "jp-main-statusbar")
    wait(chromium, lambda: "| Idle" in status.text, "no new kernel starts", 40)
    bars.shows(pictures.bars())

    run(chromium)
    wait(chromium, lambda: Widget(chromium, 0).handles and Widget(chromium, 0).image.is_displayed(), "no figure", 20)
    bars = Widget(chromium, 0)
    bars.handles[0].send_keys(Keys.ARROW_RIGHT)
    bars.shows(pictures.bars(height=2.0))


def hurried(driver):
    """Press a key 500 times in 5 seconds. Returns how long it took, and the page's longest pause in milliseconds."""
    driver.execute_script(
        """let last = performance.now(); window.pause = 0;
        const tick = (now) => { pause = Math.max(pause, now - last); last = now; requestAnimationFrame(tick); };
        requestAnimationFrame(tick);"""
    )
    key = {"key": "ArrowRight", "code": "ArrowRight", "windowsVirtualKeyCode": 39}
    started = time.perf_counter()
    for number in range(MOVES):
        time.sleep(max(0, started + number * SECONDS / MOVES - time.perf_counter()))
        driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "rawKeyDown", **key})
    return time.perf_counter() - started, driver.execute_script("return pause")


def test_500_moves_in_5_seconds_of_a_live_figure(chromium, lab, pictures):
    opened(chromium, lab)
    figure = Widget(chromium, 2)
    figure.shows(pictures.bars(1.0))
    chromium.execute_script(
        "arguments[0].scrollIntoView({block: 'center'}); arguments[1].focus()", figure.box, figure.handles[0]
    )
    took, pause = hurried(chromium)
    stopped = time.perf_counter()
    assert figure.readouts[0].text == str(MOVES)
    figure.shows(pictures.bars(1 + MOVES / 100))
    late = time.perf_counter() - stopped
    time.sleep(1)
    figure.shows(pictures.bars(1 + MOVES / 100))
    print(f"\nlive: {MOVES} moves in {took:.1f} s, the last frame {late:.2f} s later, longest pause {pause:.0f} ms")
    assert late < 10 * DRAWING  # the frame in the making, the last, and the way there and back
    assert pause < 1000
    assert errors(chromium) == []
    assert figure.box.find_element(By.CSS_SELECTOR, ".widget-html-content").text == ""


@pytest.mark.parametrize("delay", [0.0, 0.3], ids=["from here", "from afar"])
def test_500_moves_in_5_seconds_of_the_site_s_figure(chromium, tiny_book, delay):
    server = Server(tiny=tiny_book / "_build" / "html")
    try:
        set_screen(chromium, 1280, 1400)
        open_page(chromium, server.url("tiny/book/tiny.html"))
        errors(chromium)
        server.delay = lambda path: delay if "/frame-" in path else 0.0
        walk = figures(chromium)[1]
        walk.scroll_to()
        # Once the end is reached it begins at the start again, so that every key is a move.
        chromium.execute_script(
            """const slider = arguments[0]; slider.focus();
            slider.addEventListener("keydown", (event) => {
              if (slider.value !== slider.max) return;
              event.preventDefault();
              slider.value = slider.min;
              slider.dispatchEvent(new Event("input", {bubbles: true}));
            });""",
            walk.inputs[0][0],
        )
        took, pause = hurried(chromium)
        stopped = time.perf_counter()
        walk.shows([(2 + MOVES) % 11, 1])
        late = time.perf_counter() - stopped
        print(f"\nsite: {MOVES} moves in {took:.1f} s, the last frame {late:.2f} s later, longest pause {pause:.0f} ms")
        assert late < delay + 1
        assert pause < 1000
        assert errors(chromium) == []
    finally:
        server.close()


@pytest.mark.parametrize("name", ["tiny.md", "other.md"], ids=["same notebook", "two notebooks"])
def test_two_browsers_on_one_server(chromium, lab, tmp_path, pictures, name):
    second = start_chromium(tmp_path / "second")
    try:
        opened(chromium, lab)
        opened(second, lab, name)
        assert len(kernels()) == (1 if name == "tiny.md" else 2)
        for driver, key, height in [(chromium, Keys.ARROW_RIGHT, 2.0), (second, Keys.ARROW_LEFT, 0.5)]:
            bars = Widget(driver, 0)
            bars.shows(pictures.bars())
            bars.handles[0].send_keys(key)
            bars.shows(pictures.bars(height=height))
        Widget(chromium, 0).shows(pictures.bars(height=2.0))  # each keeps its own
        assert errors(chromium) + errors(second) == []
    finally:
        second.quit()
