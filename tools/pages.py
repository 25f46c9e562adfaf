"""``python tools/pages.py [site]``: what each page of the built site costs its reader, in a browser. Also: make pages.

A phone with a quarter of this machine's speed and a desktop at full speed open each page with an empty cache and scroll
to its end. Printed are the bytes that were loaded before the first move, as they lie and gzipped where that helps; how
long the main thread was blocked (what tasks took beyond 50 ms each); the time to the first text on slow 4G; and how far
things shifted, in the units of the browser. Times mean something on a quiet machine.
"""

import argparse
import gzip
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from browser import Server, requests, set_screen, start_chromium  # noqa: E402

SCREENS = {"phone": (390, 844, 4), "desktop": (1280, 800, 1)}  # width, height, how much slower the processor
SLOW_4G = {"latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 0.75e6 / 8, "offline": False}
TEXT = {".css", ".html", ".js", ".json", ".svg"}  # what a server compresses
OBSERVE = """
window.cost = {blocked: 0, shift: 0, first: 0};
const observe = (type, note) =>
  new PerformanceObserver((list) => list.getEntries().forEach(note)).observe({type, buffered: true});
observe("longtask", (task) => (cost.blocked += task.duration - 50));
observe("layout-shift", (shift) => (cost.shift += shift.hadRecentInput ? 0 : shift.value));
observe("paint", (paint) => (cost.first = Math.max(cost.first, paint.startTime)));
"""
TO_THE_END = """
const done = arguments[0], step = innerHeight / 2;
(function next() {
  scrollBy({top: step, behavior: "instant"});
  const end = scrollY + innerHeight >= document.scrollingElement.scrollHeight - 1;
  setTimeout(end ? done : next, end ? 500 : 30);
})();
"""


def settled(driver, seconds=1.5):
    """Wait until the page has asked for nothing and blocked nothing for a while. Returns what it asked for."""
    asked, state, since = [], None, time.monotonic()
    while time.monotonic() - since < seconds:
        asked += requests(driver)
        now = len(asked), driver.execute_script("return [document.readyState, cost.blocked]")
        if now != state:
            state, since = now, time.monotonic()
        time.sleep(0.1)
    return asked


def weight(files):
    """The bytes of files, and what a server that compresses text sends of them."""
    data = {path: path.read_bytes() for path in files if path.is_file()}
    sent = (len(gzip.compress(data, 6)) if path.suffix in TEXT else len(data) for path, data in data.items())
    return sum(map(len, data.values())), sum(sent)


def measure(driver, server, page, width, height, slower):
    """One visit to a page: kilobytes, kilobytes sent, seconds blocked, seconds to the first text, shift."""
    set_screen(driver, width, height, mobile=width < 600)
    driver.get("about:blank")
    driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    driver.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": slower})
    if slower > 1:
        driver.execute_cdp_cmd("Network.emulateNetworkConditions", SLOW_4G)
    requests(driver)
    driver.get(server.url(page))
    files = {server.file(url) for url in settled(driver)}
    blocked, first = driver.execute_script("return [cost.blocked / 1000, cost.first / 1000]")
    driver.execute_async_script(TO_THE_END)
    shift = driver.execute_script("return cost.shift")
    driver.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": 1})
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", SLOW_4G | {"latency": 0, "downloadThroughput": -1})
    raw, sent = weight(files)
    return raw / 1000, sent / 1000, blocked, first, shift


def main(site):
    driver, server = start_chromium(tempfile.mkdtemp()), Server(site=site)
    driver.set_script_timeout(300)
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": OBSERVE})
    pages = sorted(path.relative_to(site).as_posix() for path in site.glob("book/*.html"))
    try:
        print(f"{'page':24}{'screen':>9}{'kB':>8}{'kB sent':>9}{'blocked s':>11}{'first s':>9}{'shift':>8}")
        for page in [*pages, "search.html", "genindex.html"]:
            for name, screen in SCREENS.items():
                raw, sent, blocked, first, shift = measure(driver, server, f"site/{page}", *screen)
                print(f"{page:24}{name:>9}{raw:8.0f}{sent:9.0f}{blocked:11.2f}{first:9.2f}{shift:8.3f}", flush=True)
    finally:
        driver.quit()
        server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("site", nargs="?", type=Path, default=ROOT / "_build" / "html")
    main(parser.parse_args().site.resolve())
