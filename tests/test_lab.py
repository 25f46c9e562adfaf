"""The chapters in a real JupyterLab: opened by a double click, run, and moved by hand."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

import psutil
import pytest
from browser import drag, errors, requests, set_screen, wait
from conftest import ROOT, TINY
from lab import Widget, description, double_click, images, open_by_double_click, run_all, run_through, running_lab
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

pytestmark = pytest.mark.built

SLOW = '\n```{code-cell} ipython3\nexplore(pictures.slow, height=[0, 1, 2, 3, 4, 5, 6, 7], alt="Slow bars")\n```\n'
HEIGHTS = {"−½ & less": -0.5, "1/2 = 50 %?": 0.5, "one+": 1.0, "#2": 2.0}


@pytest.fixture(scope="module")
def lab(chromium, tmp_path_factory):
    """The address of a JupyterLab that shows the tiny chapter, with a slow figure added, and the book."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copy(TINY / "book" / "pictures.py", folder)
    chapter = (TINY / "book" / "tiny.md").read_text(encoding="utf-8")
    (folder / "tiny.md").write_text(chapter + SLOW, encoding="utf-8")
    shutil.copytree(ROOT / "book", folder / "book", ignore=shutil.ignore_patterns(".*"))
    with running_lab(folder, tmp_path_factory.mktemp("home")) as address:
        yield address
        chromium.get("about:blank")


@pytest.fixture(scope="module")
def notebook(chromium, lab):
    """The browser with the tiny chapter opened and run."""
    chromium.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    set_screen(chromium, 1280, 2800)
    requests(chromium), errors(chromium)
    open_by_double_click(chromium, lab, "tiny.md")
    run_all(chromium)
    wait(chromium, lambda: len(images(chromium)) == 3, "the figures do not appear", 60)
    return chromium


@pytest.fixture
def bars(notebook):
    return Widget(notebook, 0)


@pytest.fixture
def walk(notebook):
    return Widget(notebook, 1)


@pytest.fixture
def slow(notebook):
    return Widget(notebook, 2)


def test_a_double_click_opens_a_chapter_as_a_notebook(notebook):
    assert notebook.find_element(By.CSS_SELECTOR, ".lm-TabBar-tab.jp-mod-current").text.strip() == "tiny.md"
    code = notebook.find_elements(By.CSS_SELECTOR, ".jp-NotebookPanel .jp-CodeCell")
    assert len(code) == 7


def test_a_chapter_shows_its_figures_and_claims_when_it_is_run(bars, walk, slow, pictures):
    bars.shows(pictures.bars())
    walk.shows(pictures.walk())
    slow.shows(pictures.slow())
    claims = [claim.text for claim in bars.driver.find_elements(By.CSS_SELECTOR, ".jp-OutputArea-output .claim")]
    assert claims[0] == "✓ One is nearly one & a bit: measured 1.001, expected 1 (tolerance 2 %)"
    assert len(claims) == 3


def test_a_slider_moved_by_keys_changes_the_picture(bars, pictures):
    for keys, label in [(Keys.ARROW_RIGHT, "#2"), (Keys.ARROW_LEFT * 3, "−½ & less")]:
        bars.handles[0].send_keys(keys)
        bars.shows(pictures.bars(height=HEIGHTS[label], tall=bars.checkbox.is_selected()))
        assert bars.readouts[0].text == label


def test_a_checkbox_changes_the_picture(bars, pictures):
    for _ in range(2):
        bars.checkbox.click()
        bars.shows(pictures.bars(height=HEIGHTS[bars.readouts[0].text], tall=bars.checkbox.is_selected()))


def test_a_choice_is_a_row_of_buttons_each_with_its_picture(bars, pictures):
    assert [button.text for button in bars.choices] == ["deep blue", 'as <good> as "red"', "0 & none"]
    state = {"height": HEIGHTS[bars.readouts[0].text], "tall": bars.checkbox.is_selected()}
    for button, ink in [(bars.choices[1], "red"), (bars.choices[0], "blue")]:
        button.click()
        bars.shows(pictures.bars(**state, ink=ink))


def test_play_runs_to_the_end_and_shows_the_picture_of_each_step(walk, pictures):
    walk.handles[0].send_keys(Keys.ARROW_RIGHT * 4)
    walk.shows(pictures.walk(q=6))
    walk.box.find_element(By.CSS_SELECTOR, ".widget-play button").click()
    wait(walk.driver, lambda: walk.readouts[0].text == "10", "play does not move the slider", 10)
    walk.shows(pictures.walk(q=10))
    walk.handles[1].send_keys(Keys.ARROW_LEFT)
    walk.shows(pictures.walk(q=10, temperature=0.5))


def test_the_last_of_many_fast_moves_wins(slow, pictures):
    slow.driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", slow.box)
    centre = "const r = arguments[0].getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]"
    x, y = slow.driver.execute_script(centre, slow.handles[0])
    step = slow.box.find_element(By.CSS_SELECTOR, ".noUi-base").rect["width"] / 7
    drag(slow.driver, (x, y), *((x + step * at, y) for at in (1, 2, 3, 4, 5, 6, 7, 6, 5, 4)), hold=40)
    last = int(slow.readouts[0].text)
    assert last == 4
    slow.shows(pictures.slow(height=last))
    time.sleep(1)
    slow.shows(pictures.slow(height=last))


def test_a_figure_that_raises_says_so_and_the_next_move_works(slow, pictures):
    slow.handles[0].send_keys((Keys.ARROW_LEFT * 10) + (Keys.ARROW_RIGHT * 2))
    slow.shows(pictures.slow(height=2))
    slow.handles[0].send_keys(Keys.ARROW_RIGHT)
    message = slow.box.find_element(By.CSS_SELECTOR, ".widget-html-content")
    wait(slow.driver, lambda: "ArithmeticError: three <is> too many" in message.text, "no message")
    assert "height 3" in message.text
    slow.shows(pictures.slow(height=2))
    slow.handles[0].send_keys(Keys.ARROW_RIGHT)
    slow.shows(pictures.slow(height=4))
    assert message.text == ""


def test_the_text_is_rendered_and_not_shown_raw(notebook):
    texts = " ".join(
        cell.text for cell in notebook.find_elements(By.CSS_SELECTOR, ".jp-RenderedMarkdown, .jp-MarkdownCell")
    )
    assert "Exercise 1" in texts
    assert "Solution to Exercise 1" in texts
    assert re.findall(r"\{[a-z:]+\}|\$\$|\\frac|:label:", texts) == []


def test_nothing_leaves_the_machine_and_no_extension_fails(notebook, lab):
    assert [url for url in requests(notebook) if not url.startswith((lab, lab.replace("http", "ws")))] == []
    assert [error for error in errors(notebook) if "Cross reference target was not found" not in error] == []


@pytest.mark.parametrize("chapter", ["score.md", "performance.md"])  # of a slider that plays, and of buttons
def test_a_chapter_of_the_book_opens_and_its_first_figure_moves(chromium, lab, chapter):
    set_screen(chromium, 1280, 1600)
    open_by_double_click(chromium, lab, "book", chapter)
    run_through(chromium, "explore(")
    wait(chromium, lambda: images(chromium), "the first figure does not appear", 120)
    first = Widget(chromium, 0)
    before = first.picture()
    if first.handles:
        first.handles[0].send_keys(Keys.ARROW_RIGHT)
    else:
        first.choices[1].click()
    wait(chromium, lambda: first.picture() not in (b"", before), "the picture does not change", 20)


def rendered(driver, selector=""):
    """The texts of the open notebook; not innerText, which is empty in a cell that is out of view."""
    within = f".jp-NotebookPanel:not(.lm-mod-hidden) .jp-MarkdownCell .myst {selector}"
    texts = "return [...document.querySelectorAll(arguments[0])].map((found) => found.textContent)"
    return driver.execute_script(texts, within)


def test_the_captions_of_the_book_are_numbered_and_no_reference_is_raw(chromium, lab):
    chapters = [path.name for path in sorted((ROOT / "book").glob("*.md")) if ":::{figure}" in path.read_text("utf-8")]
    open_by_double_click(chromium, lab, "book", chapters[0])
    for name in chapters:
        if name != chapters[0]:
            double_click(chromium, name)
        wait(chromium, lambda: rendered(chromium, "figcaption"), f"no caption in {name}", 40)
        for number, caption in enumerate(rendered(chromium, "figcaption"), start=1):
            assert re.match(rf"Figure\s{number}:\s*\w", caption)
        # A cell is rendered again when the figures that it names are; then each has its number or a title.
        wait(chromium, lambda: not re.search(r"fig-\w+-[\w-]+|:::", " ".join(rendered(chromium))), f"{name} is raw", 20)


@pytest.fixture
def front_door(tmp_path):
    """The JupyterLab that `make lab` starts, less the window, as its server describes itself."""
    # Quietly, as from a terminal: where make runs the tests, it would say in which folder it is.
    command = ["make", "-n", "--no-print-directory", "lab"]
    recipe = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    options = shlex.split(recipe.replace("\\\n", " ").partition(".venv/bin/jupyter-lab ")[2])
    assert options
    options += ["--no-browser", "--allow-root", "--port=0", f"--ServerApp.root_dir={tmp_path}"]
    options += [f"--LabApp.workspaces_dir={tmp_path}", f"--LabApp.user_settings_dir={tmp_path}"]
    places = {f"JUPYTER_{name}_DIR": str(tmp_path / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    env = {**os.environ, **places, "IPYTHONDIR": str(tmp_path / "ipython")}
    env.pop("JUPYTER_TOKEN", None)
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], env=env, stdout=log, stderr=log)
    try:
        yield description(server, tmp_path)
    finally:
        server.terminate()
        server.wait(20)


def answer(url):
    """The status of a request, and where it led."""
    try:
        with urllib.request.urlopen(url, timeout=10) as found:
            return found.status, found.url
    except urllib.error.HTTPError as error:
        return error.code, error.url


def test_make_lab_listens_on_this_machine_alone_and_asks_for_its_token(front_door):
    port, token, url = front_door["port"], front_door["token"], front_door["url"]
    assert len(token) >= 40
    listening = {c.laddr.ip for c in psutil.net_connections("tcp") if c.laddr.port == port and c.status == "LISTEN"}
    assert listening
    assert listening <= {"127.0.0.1", "::1"}
    for place in ("api/contents", "api/kernels", "api/sessions", "files/log"):
        status, at = answer(f"{url}{place}")
        assert status == 403 or "/login?" in at, place
    assert "/login?" in answer(f"{url}lab")[1]
    assert answer(f"{url}api/contents?token=guess")[0] == 403
    assert answer(f"{url}api/contents?token={token}")[0] == 200
