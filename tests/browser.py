"""What a reader does to a page and sees of it, for the tests that drive a real browser."""

import collections
import contextlib
import functools
import http.server
import json
import threading
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=BackForwardCache",  # pages that were left would stay in memory, each in a process of its own
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no network
]


def start_chromium(profile):
    """A Chromium that keeps its profile in a folder and reaches nothing but this machine."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    options.add_experimental_option("perfLoggingPrefs", {"enableNetwork": True, "enablePage": False})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    driver.set_script_timeout(20)
    return driver


class Server:
    """Serves folders on loopback, each below its name; ``delay(path)`` is how many seconds an answer is held back."""

    def __init__(self, **folders):
        self.folders, self.delay = folders, lambda path: 0.0
        server = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def translate_path(self, path):
                name, _, rest = unquote(urlsplit(path).path).lstrip("/").partition("/")
                return str(server.folders[name] / rest) if name in server.folders else "/nonexistent"

            def do_GET(self):
                time.sleep(server.delay(self.path))
                with contextlib.suppress(ConnectionError):
                    super().do_GET()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}/"

    def url(self, page):
        """Where a page, as "site/book/intro.html", is to be had."""
        return self.address + page

    def file(self, url):
        """The file on disk behind an address of this server."""
        name, _, rest = unquote(urlsplit(url).path).lstrip("/").partition("/")
        return self.folders[name] / rest

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def wait(driver, condition, message, seconds=5):
    """The first truthy value of ``condition()``; fails with the message."""
    return WebDriverWait(driver, seconds, poll_frequency=0.02).until(lambda _: condition(), message)


def open_page(driver, url):
    """Open a page and wait until it is loaded."""
    driver.get("about:blank")  # or a move to another fragment of the same page would not load it
    driver.get(url)


def figures(driver):
    """The moving figures of the page."""
    return [Figure(driver, root) for root in driver.find_elements(By.CSS_SELECTOR, ".explore")]


class Figure:
    """A moving figure of the page in the browser: what it is made of, and what it shows now."""

    def __init__(self, driver, root):
        self.driver, self.root = driver, root
        self.id, self.frames, self.names, self.labels, self.inputs = driver.execute_script(
            """const root = arguments[0], controls = [...root.querySelectorAll(".explore-control")];
            return [
              root.closest("figure").id,
              root.dataset.frames.split(/\\s+/),
              controls.map((control) => control.dataset.name),
              controls.map((control) => JSON.parse(control.dataset.labels)),
              controls.map((control) => [...control.querySelectorAll("input")])]""",
            root,
        )  # a slider or a checkbox is one input, a choice one for each of its values

    @property
    def image(self):
        return self.root.find_element(By.TAG_NAME, "img")

    @property
    def play(self):
        return next(iter(self.root.find_elements(By.CSS_SELECTOR, ".explore-play")), None)

    def tool(self, name):
        return self.root.find_element(By.CSS_SELECTOR, f".explore-tools .explore-{name}")

    def badge(self):
        return self.root.find_element(By.CSS_SELECTOR, ".explore-badge").text

    def state(self):
        """The index of each control's value."""
        return self.driver.execute_script(
            """return arguments[0].map((inputs) => inputs.length > 1 ? inputs.findIndex((input) => input.checked)
              : inputs[0].type === "checkbox" ? +inputs[0].checked : +inputs[0].value)""",
            self.inputs,
        )

    def frame(self, state):
        """The file that holds the picture of a state."""
        index = 0
        for value, labels in zip(state, self.labels, strict=True):
            index = index * len(labels) + value
        return self.frames[index]

    def shown(self):
        """The file of the picture that is on the screen, once it is decoded."""
        return self.driver.execute_script(
            "const i = arguments[0].querySelector('img');"
            "return i.complete && i.naturalWidth > 0 ? i.currentSrc.split('/').pop() : ''",
            self.root,
        )

    def said(self):
        """What is said of each control's value: beside it, to a screen reader, and in the picture's description."""
        return self.driver.execute_script(
            """const root = arguments[0], alt = root.querySelector("img").alt;
            return [...root.querySelectorAll(".explore-control")].map((control) => {
              const input = control.querySelector("input"), title = control.querySelector("span").textContent;
              const beside = control.querySelector("output")?.textContent ?? null;
              return [beside, input.getAttribute("aria-valuetext"), alt.includes(`${title} ${arguments[1].shift()}`)];
            })""",
            self.root,
            [labels[value] for labels, value in zip(self.labels, self.state(), strict=True)],
        )

    def shows(self, state, seconds=5):
        """Wait until the picture is that of a state, and everything said about it agrees."""
        wait(
            self.driver, lambda: self.state() == list(state), f"{self.id}: the controls do not come to {state}", seconds
        )
        wait(
            self.driver,
            lambda: self.shown() == self.frame(state),
            f"{self.id}: the picture of {state} does not appear",
            seconds,
        )
        spoken = [
            [labels[value]] * 2 if is_slider(item) else [None, None]
            for (item, *_), labels, value in zip(self.inputs, self.labels, state, strict=True)
        ]
        assert self.said() == [[*words, True] for words in spoken]

    def scroll_to(self, element=None):
        self.driver.execute_script(
            "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element or self.root
        )


def want_no_motion(driver):
    """Be a reader who wants no motion, for whom no figure starts by itself."""
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})


def is_slider(item):
    return item.get_dom_attribute("type") == "range"


def place(driver, slider, value):
    """Where on the screen a slider's thumb stands for one of its values."""
    box = driver.execute_script("return arguments[0].getBoundingClientRect().toJSON()", slider)
    thumb = 16
    share = value / int(slider.get_dom_attribute("max"))
    return box["x"] + thumb / 2 + (box["width"] - thumb) * share, box["y"] + box["height"] / 2


def by_mouse(figure, at, value):
    """Set a control by mouse: a click on the checkbox or the choice, or the slider's thumb dragged to its value."""
    driver, item = figure.driver, target(figure, at, value)
    figure.scroll_to(item)
    if not is_slider(item):
        ActionChains(driver, duration=0).click(item).perform()
        return
    drag(driver, place(driver, item, figure.state()[at]), place(driver, item, value))


def target(figure, at, value):
    """What a reader aims at to give a control a value: the label of a choice, else the only input."""
    inputs = figure.inputs[at]
    return inputs[value].find_element(By.XPATH, "..") if len(inputs) > 1 else inputs[0]


def drag(driver, start, *points, hold=0):
    """Press at a point of the screen, move through others, let go."""
    mouse = ActionChains(driver, duration=hold)
    pointer = mouse.w3c_actions.pointer_action
    pointer.move_to_location(*map(round, start))
    pointer.pointer_down()
    for point in points:
        pointer.move_to_location(*map(round, point))
    pointer.pointer_up()
    mouse.w3c_actions.perform()


def by_touch(figure, at, value):
    """Set a control by finger: a tap on the checkbox or the choice, or the slider's thumb dragged to its value."""
    driver, item = figure.driver, target(figure, at, value)
    figure.scroll_to(item)
    if not is_slider(item):
        box = driver.execute_script("return arguments[0].getBoundingClientRect().toJSON()", item)
        where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [where]})
        driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        return
    start, end = place(driver, item, figure.state()[at]), place(driver, item, value)
    for kind, point in [("touchStart", start), ("touchMove", end), ("touchMove", end), ("touchEnd", None)]:
        where = [{"x": point[0], "y": point[1]}] if point else []
        driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})
        time.sleep(0.05)  # a finger that leaves at speed flings the page, and the next tap only stops it


def by_keyboard(figure, at, value):
    """Set a control by its keys: the space bar of a checkbox, else as many arrow keys as there are steps."""
    now = figure.state()[at]
    first, *others = figure.inputs[at]
    figure.driver.execute_script("arguments[0].focus()", figure.inputs[at][now] if others else first)
    steps = value - now
    keys = (
        (Keys.ARROW_RIGHT if steps > 0 else Keys.ARROW_LEFT) * abs(steps) if others or is_slider(first) else Keys.SPACE
    )
    ActionChains(figure.driver, duration=0).send_keys(keys).perform()  # each to where the last one led


def requests(driver):
    """Every address asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = (m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent")
    return [url for url in sent if not url.startswith(("data:", "blob:", "about:", "chrome:"))]


def errors(driver):
    """What the page reported to the console as an error since the last call, exceptions included."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def faint_texts(driver, selector):
    """The visible texts below a contrast ratio of 4.5 with what lies behind them, after WCAG 2."""
    return driver.execute_script(
        """
        const painter = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
        const rgba = (colour) => {
          painter.clearRect(0, 0, 1, 1); painter.fillStyle = colour; painter.fillRect(0, 0, 1, 1);
          const [r, g, b, a] = painter.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
        };
        const over = (top, below) => [0, 1, 2].map((i) => top[3] * top[i] + (1 - top[3]) * below[i]).concat(1);
        const luminance = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
          const v = c[i] / 255; return sum + weight * (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); }, 0);
        const contrast = (element) => {
          const layers = [];
          let opacity = 1;
          for (let e = element; e; e = e.parentElement) {
            layers.push(rgba(getComputedStyle(e).backgroundColor));
            opacity *= Number(getComputedStyle(e).opacity);
          }
          const behind = layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
          const text = rgba(getComputedStyle(element).color);
          const shown = over([...text.slice(0, 3), text[3] * opacity], behind);
          const [dark, light] = [luminance(shown), luminance(behind)].sort((a, b) => a - b);
          return (light + 0.05) / (dark + 0.05);
        };
        const speaks = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
        const seen = (e) => speaks(e) && e.checkVisibility({visibilityProperty: true});
        const texts = [...document.querySelectorAll(arguments[0])].filter(seen);
        if (!texts.length) throw new Error("nothing to look at");
        return texts.filter((e) => contrast(e) < 4.5)
          .map((e) => `${contrast(e).toFixed(2)} ${e.outerHTML.slice(0, 200)}, in ${e.parentElement.className}`);""",
        selector,
    )


def set_theme(driver, theme):
    """Make the page light or dark, as the theme's own button does."""
    driver.execute_script(
        "Object.assign(document.documentElement.dataset, {mode: arguments[0], theme: arguments[0]});"
        "document.getAnimations().forEach((change) => change.finish())",
        theme,
    )


def set_screen(driver, width, height=844, mobile=False):
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile},
    )


@functools.cache
def anchors(path):
    """How often each id stands on a built page."""
    return collections.Counter(tag["id"] for tag in soup(path).select("[id]"))


@functools.cache
def soup(path):
    """A built page, parsed."""
    from bs4 import BeautifulSoup

    return BeautifulSoup(Path(path).read_text(encoding="utf-8"), "html.parser")
