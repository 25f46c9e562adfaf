"""A real browser, the built site, and a tiny book, for the tests that need them."""

import importlib.util
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch is loaded: tests run beside each other, a core for each
pytest.register_assert_rewrite("browser", "lab")
from browser import CHROMIUM, DRIVER, Server, errors, requests, set_screen, start_chromium  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
TINY = Path(__file__).resolve().parent / "tiny"
REQUIRED = os.environ.get("NOTES_REQUIRE_BROWSER") == "1"


BUILT = {"site", "tiny_book", "chromium"}  # the fixtures that take a build or a browser
LONGEST = ["test_notebooks.py", "test_build.py", "test_lab.py", "test_book_faults.py", "test_links.py"]


def pytest_configure(config):
    config.addinivalue_line("markers", "built: takes a build, a browser, or minutes (make check leaves it out)")


def pytest_collection_modifyitems(items):
    for item in items:
        if BUILT & {*item.fixturenames}:
            item.add_marker("built")
    # The longest files first, so that neither process ends long after the other; last what may run in any.
    rank = {name: at - len(LONGEST) for at, name in enumerate(LONGEST)} | {"test_pages.py": 1}
    items.sort(key=lambda item: rank.get(item.path.name, 0))


@pytest.hookimpl(optionalhook=True)  # where pytest-xdist is not loaded, nobody asks
def pytest_xdist_make_scheduler(config, log):
    """A file's tests run in one process, since they share its fixtures; those of pages, half of all time, in any."""
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False  # but in the order of collection, below

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = str(nodeid).partition("::")[0]
            return str(nodeid) if file.endswith("test_pages.py") else file

    return Scheduling(config, log)


def displayed_by(module, monkeypatch):
    """The bundles that a module displays from now on, in a list that grows."""
    bundles = []

    def display(bundle, *, raw=False):
        assert raw
        bundles.append(bundle)

    monkeypatch.setattr(module, "display", display)
    return bundles


FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["notes.site.build", "notes.site.extension", "sphinx.domains.c", "sphinx.domains.cpp"])


def build(root, **variables):
    """Build a book, with other variables of the environment. Returns the finished process, with what it printed.

    As ``python -m notes.site.build`` does, in a copy of a process that has loaded already what takes half of its time.
    """
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as printed:
        process = FORKS.Process(target=_build, args=(root, {**os.environ, **variables}, printed.name))
        process.start()
        process.join()
        return subprocess.CompletedProcess(process.name, process.exitcode, printed.read())


def _build(root, variables, printed):
    os.environ.clear()
    os.environ.update(variables)
    os.dup2(os.open(printed, os.O_WRONLY), 1)
    os.dup2(1, 2)
    sys.exit(importlib.import_module("notes.site.build").main(root))


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder that the processes of one run share, and a lock on it: what one has made there the others find."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    return folder, FileLock(folder / "lock")


@pytest.fixture(scope="session")
def site(shared):
    """The folder of the built site: built now when it is not good, and always where the browser is required."""
    html, finished, seen = ROOT / "_build" / "html", ROOT / "_build" / "finished", shared[0] / "site-is-built"
    with shared[1]:
        if (REQUIRED and not seen.exists()) or not finished.exists() or not (html / "index.html").exists():
            done = build(ROOT)
            assert done.returncode == 0, done.stdout
        seen.touch()
    return html


@pytest.fixture(scope="session")
def tiny_book(shared):
    """A tiny book with the real configuration and assets, built. Copy it before you change it."""
    root = shared[0] / "tiny" / "book-root"
    with shared[1]:
        if not (root / "build.log").exists():
            shutil.copytree(TINY, root, dirs_exist_ok=True)
            shutil.copy(ROOT / "_config.yml", root)
            shutil.copytree(ROOT / "book" / "assets", root / "book" / "assets", dirs_exist_ok=True)
            done = build(root)
            assert done.returncode == 0, done.stdout
            (root / "build.log").write_text(done.stdout, encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def pictures():
    """The figures of the tiny book, as its chapter imports them."""
    spec = importlib.util.spec_from_file_location("pictures", TINY / "book" / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A Chromium that reaches nothing but this machine."""
    missing = [path.name for path in (CHROMIUM, DRIVER) if not path.exists()]
    if missing:
        reason = f"{' and '.join(missing)} not found: apt-get install chromium chromium-driver"
        pytest.fail(reason) if REQUIRED else pytest.skip(reason)
    driver = start_chromium(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def server(site, tiny_book):
    """Serves the site below site/ and the tiny book below tiny/."""
    server = Server(site=site, tiny=tiny_book / "_build" / "html")
    yield server
    server.close()


@pytest.fixture
def browser(chromium, server):
    """The browser in a reader's usual state. In the end nothing may have left the site, and no page have erred."""
    _reset(chromium, server.address)
    set_screen(chromium, 1280, 900)
    server.delay = lambda path: 0.0
    requests(chromium), errors(chromium)
    yield chromium
    server.delay = lambda path: 0.0
    asked = requests(chromium)
    assert [url for url in asked if not url.startswith((server.address, "file:///"))] == []
    assert errors(chromium) == []


def _reset(driver, address):
    for command, values in [
        ("Emulation.setScriptExecutionDisabled", {"value": False}),
        ("Emulation.setTouchEmulationEnabled", {"enabled": False}),
        ("Emulation.setEmulatedMedia", {"media": "", "features": []}),
        ("Network.enable", {}),
        ("Network.setBlockedURLs", {"urls": []}),
        ("Storage.clearDataForOrigin", {"origin": address, "storageTypes": "all"}),
    ]:
        driver.execute_cdp_cmd(command, values)
    driver.get("about:blank")
