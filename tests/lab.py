"""A real JupyterLab, and what a reader does in it, for the tests and the benchmark that drive one."""

import base64
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from browser import wait
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from notes.explore import png

OVERRIDES = Path(sys.prefix) / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
SETTINGS = {  # where the environment brings none of its own
    "@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Jupytext Notebook"}},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
}


@contextlib.contextmanager
def running_lab(folder, home):
    """The address of a JupyterLab that shows a folder, and keeps to another what it would write to the user's home."""
    options = {
        "ServerApp.port": 0,
        "ServerApp.root_dir": folder,
        "IdentityProvider.token": "token",
        "LabApp.user_settings_dir": home / "settings",
        "LabApp.workspaces_dir": home / "workspaces",
    }
    if not OVERRIDES.exists():
        (home / "overrides").mkdir()
        (home / "overrides" / "overrides.json").write_text(json.dumps(SETTINGS), encoding="utf-8")
        options["LabApp.app_settings_dir"] = home / "overrides"
    places = {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    arguments = ["--no-browser", "--allow-root", *(f"--{name}={value}" for name, value in options.items())]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *arguments],
            env={**os.environ, **places, "IPYTHONDIR": str(home / "ipython"), "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield f"http://127.0.0.1:{description(server, home)['port']}/"
    finally:
        server.terminate()  # it ends its kernels, too
        server.wait(20)


def description(server, home):
    """What a JupyterLab's server says of itself once it listens; the folder holds its log and its runtime files."""
    path = home / "runtime" / f"jpserver-{server.pid}.json"
    while not (path.exists() and path.stat().st_size):
        assert server.poll() is None, (home / "log").read_text()
        time.sleep(0.1)
    return json.loads(path.read_text(encoding="utf-8"))


def open_by_double_click(driver, lab, *path):
    """Open a file through the file browser, as a reader does, and wait until it stands there as a notebook."""
    driver.get("about:blank")
    driver.get(f"{lab}lab?token=token&reset")
    for name in path:
        double_click(driver, name)
    wait(driver, lambda: cells(driver), "no notebook opens", 20)
    status = driver.find_element(By.ID, "jp-main-statusbar")
    wait(driver, lambda: "| Idle" in status.text, "no kernel starts", 40)


def double_click(driver, name):
    item = f"//li[contains(@class, 'jp-DirListing-item')][.//span[text()='{name}']]"
    wait(driver, lambda: _is_seen(driver, item), f"{name} is not listed", 40)
    ActionChains(driver).double_click(driver.find_element(By.XPATH, item)).perform()


def _is_seen(driver, item):
    splash = driver.find_elements(By.ID, "jupyterlab-splash")
    return not splash and any(found.is_displayed() for found in driver.find_elements(By.XPATH, item))


def cells(driver):
    return driver.find_elements(By.CSS_SELECTOR, ".jp-NotebookPanel .jp-Cell")


def images(driver):
    return driver.find_elements(By.CSS_SELECTOR, ".jp-OutputArea-output img.widget-image")


def run_all(driver):
    driver.find_element(By.XPATH, "//div[contains(@class, 'lm-MenuBar-itemLabel')][text()='Run']").click()
    command = "li[data-command='runmenu:run-all']"
    wait(driver, lambda: driver.find_elements(By.CSS_SELECTOR, command), "no menu opens")
    driver.find_element(By.CSS_SELECTOR, command).click()


def run_through(driver, words):
    """Run the cells up to the first that has some words in it."""

    def position():
        return next((at for at, cell in enumerate(cells(driver)) if words in cell.get_attribute("textContent")), None)

    wait(driver, lambda: position() is not None, f"no cell has {words}", 20)
    cells(driver)[0].click()
    for _ in range(position() + 1):
        ActionChains(driver).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()


class Widget:
    """A live figure in the notebook."""

    def __init__(self, driver, number):
        self.driver, self.image = driver, images(driver)[number]
        self.box = self.image.find_element(By.XPATH, "./ancestor::*[contains(@class, 'jp-OutputArea-output')]")
        self.handles = self.box.find_elements(By.CSS_SELECTOR, "[role=slider]")
        self.readouts = self.box.find_elements(By.CSS_SELECTOR, ".widget-readout")
        self.choices = self.box.find_elements(By.CSS_SELECTOR, ".widget-toggle-buttons button")
        self.checkbox = next(iter(self.box.find_elements(By.CSS_SELECTOR, "input[type=checkbox]")), None)

    def picture(self):
        """The bytes of the picture that is on the screen."""
        data = self.driver.execute_async_script(
            """const [image, done] = arguments, reader = new FileReader();
            reader.onload = () => done(reader.result.split(",")[1]);
            fetch(image.src).then((found) => found.blob()).then((blob) => reader.readAsDataURL(blob), () => done(""));
            """,
            self.image,
        )
        return base64.b64decode(data)

    def shows(self, figure, seconds=10):
        expected = png(figure)
        wait(self.driver, lambda: self.picture() == expected, "another picture than the function draws", seconds)
