"""A build that is killed, starved, shut out, doubled or damaged ends in the same site, or in one clear line."""

import concurrent.futures
import contextlib
import fcntl
import hashlib
import os
import random
import shutil
import subprocess
import sys
import time

import psutil
import pytest
from conftest import ROOT, TINY, build

KILLS = 20


@pytest.fixture
def bare(tmp_path):
    """The tiny book as it is checked out, in a folder whose name is no trouble."""
    return fresh(tmp_path / "book-root")


def fresh(root):
    shutil.copytree(TINY, root, dirs_exist_ok=True)
    shutil.copy(ROOT / "_config.yml", root)
    shutil.copytree(ROOT / "book" / "assets", root / "book" / "assets", dirs_exist_ok=True)
    return root


def hashes(root):
    """Every file of the site, by its name."""
    html = root / "_build" / "html"
    files = (path for path in html.rglob("*") if path.is_file())
    return {path.relative_to(html).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="session")
def undisturbed(tiny_book):
    """The site of a cold build that nothing disturbed."""
    found = hashes(tiny_book)
    assert len(found) > 100
    return found


def ends_well(done, root, undisturbed):
    assert done.returncode == 0, done.stdout
    found = hashes(root)
    assert found.keys() == undisturbed.keys()
    assert [name for name in found if found[name] != undisturbed[name]] == []


def ends_in_a_line(done, words):
    assert done.returncode == 1, done.stdout
    assert "Traceback (most recent call last)" not in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith("The book was not built: ")
    assert words in last


# Killed, as a machine that goes down kills


@pytest.fixture(scope="session")
def seconds(tmp_path_factory):
    """How long a cold build takes here and now."""
    root = fresh(tmp_path_factory.mktemp("timed") / "book-root")
    started = time.perf_counter()
    assert build(root).returncode == 0
    return time.perf_counter() - started


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_at_a_random_moment_and_begun_again(bare, undisturbed, seconds, number):
    share = (number + random.Random(number).random()) / KILLS  # one in each twentieth of the build
    killed_after(share * seconds, bare)
    ends_well(build(bare), bare, undisturbed)


def killed_after(delay, root):
    """Begin a build, and kill it after some seconds."""
    command = [sys.executable, "-m", "notes.site.build", str(root)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.wait(delay)
    kill(running)


def kill(running):
    """Kill a build with all it started: kernels have process groups of their own."""
    with contextlib.suppress(psutil.NoSuchProcess):  # it has ended well before
        for process in [*psutil.Process(running.pid).children(recursive=True), psutil.Process(running.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    running.wait()


def test_killed_kernel(bare, undisturbed):
    command = [sys.executable, "-m", "notes.site.build", str(bare)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    kernels = []
    while not kernels:
        started = psutil.Process(running.pid).children(recursive=True)
        kernels = [process for process in started if "ipykernel_launcher" in " ".join(process.cmdline())]
        time.sleep(0.01)
    time.sleep(1)
    kernels[0].kill()
    printed, _ = running.communicate()
    ends_in_a_line(subprocess.CompletedProcess(command, running.returncode, printed), "1 of its chapters failed")
    assert "book/tiny.md: code cell" in printed
    ends_well(build(bare), bare, undisturbed)


# A disk that is full, or cannot be written


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own with the tiny book on it, and a function that sets its mount options."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs the right to mount a small disk: {done.stderr.strip()}")

    def set_options(options):
        subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)

    try:
        yield fresh(place), set_options
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("room", [0, 8, 32, 100, 300, 1000, 4000, 12000])
def test_full_disk_is_said_and_room_made_is_enough(disk, undisturbed, room):
    root, set_options = disk
    set_options(f"size={shutil.disk_usage(root).used // 1024 + room}k")
    ends_in_a_line(build(root), "the disk is full")
    set_options("size=1g")
    ends_well(build(root), root, undisturbed)


def test_disk_that_fills_after_a_good_build(disk, undisturbed):
    root, set_options = disk
    assert build(root).returncode == 0
    set_options(f"size={shutil.disk_usage(root).used // 1024}k")
    intro = (root / "book" / "intro.md").read_bytes()
    (root / "book" / "intro.md").write_bytes(intro[:-1] + b"!")
    ends_in_a_line(build(root), "the disk is full")
    set_options("size=1g")
    (root / "book" / "intro.md").write_bytes(intro)
    ends_well(build(root), root, undisturbed)


def test_checkout_that_cannot_be_written(disk, undisturbed):
    root, set_options = disk
    set_options("ro")
    ends_in_a_line(build(root), "Read-only file system")
    set_options("rw")
    ends_well(build(root), root, undisturbed)
    set_options("ro")
    ends_in_a_line(build(root), "Read-only file system")
    assert hashes(root) == undisturbed


def test_environment_in_a_checkout_that_cannot_be_written(disk):
    root, set_options = disk
    (root / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "environment.py", root / "tools")
    for name in ("requirements.txt", "pyproject.toml"):
        (root / name).touch()
    (root / ".venv").mkdir()
    for half_made in (False, True):
        if half_made:
            (root / ".venv" / "made-from.txt").write_text("something else\n")
        set_options("ro")
        command = [sys.executable, "tools/environment.py"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        set_options("rw")
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1, done.stderr
        assert "Read-only file system" in done.stderr


# Two at once


def test_two_builds_at_once(bare, undisturbed):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        both = list(pool.map(build, [bare, bare]))
    for done in both:
        ends_well(done, bare, undisturbed)
    assert sum("Waiting for another build of this book." in done.stdout for done in both) == 1
    assert sum("executed in" in done.stdout for done in both) == 1


def test_build_that_is_killed_while_another_waits(bare, undisturbed):
    command = [sys.executable, "-m", "notes.site.build", str(bare)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not is_locked(bare / "_build"):
        time.sleep(0.01)
    variables = {**os.environ, "PYTHONUNBUFFERED": "1"}
    second = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert second.stdout.readline() == "Waiting for another build of this book.\n"
    kill(first)
    printed, _ = second.communicate()
    ends_well(subprocess.CompletedProcess(command, second.returncode, printed), bare, undisturbed)


def is_locked(folder):
    if not folder.exists():
        return False
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


# Damage to what an earlier build left


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A built book, which each test damages and the build makes good."""
    root = fresh(tmp_path_factory.mktemp("built") / "book-root")
    assert build(root).returncode == 0
    return root


def emptied(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garbled(path):
    data = bytearray(path.read_bytes())
    noise = random.Random(1).randbytes(len(data) // 4 + 1)
    at = len(data) // 3
    data[at : at + len(noise)] = noise
    path.write_bytes(data)


def touched(path):
    """One bit of one byte in the middle is another: what it is part of may still be read."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def removed(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("damage", [emptied, cut, garbled, touched, removed])
@pytest.mark.parametrize(
    "pattern",
    [
        ".jupyter_cache/*/*/executed/*/base.ipynb",
        ".jupyter_cache/*/*/global.db",
        ".jupyter_cache/*/*/__version__.txt",
        ".doctrees/environment.pickle",
        ".doctrees/book/tiny.doctree",
        "html/book/tiny.html",
    ],
)
def test_damaged_file(built, undisturbed, pattern, damage):
    (path,) = (built / "_build").glob(pattern)
    damage(path)
    ends_well(build(built), built, undisturbed)


@pytest.mark.parametrize(
    "pattern", [".jupyter_cache", ".jupyter_cache/*/*/executed/*", ".doctrees", "html", "finished"]
)
def test_missing_part(built, undisturbed, pattern):
    (path,) = (built / "_build").glob(pattern)
    removed(path)
    ends_well(build(built), built, undisturbed)


# Odd surroundings

LOCALES = {
    "none of that name": {"LC_ALL": "nonsense"},
    "LANG=C": {"LC_ALL": "", "LANG": "C"},
    "ASCII": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "Turkish": {"LC_ALL": "tr_TR.UTF-8", "LANGUAGE": "tr"},
}


@pytest.mark.parametrize("name", LOCALES)
def test_locale_and_path(tmp_path, undisturbed, name):
    root = fresh(tmp_path / "Ein Bücherregal & mehr: “ı” 書")
    ends_well(build(root, **LOCALES[name]), root, undisturbed)


def test_failure_is_told_where_only_ascii_can_be_written(tmp_path):
    root = fresh(tmp_path / "Bücher")
    with (root / "book" / "tiny.md").open("a", encoding="utf-8") as chapter:
        chapter.write('\n```{code-cell} ipython3\nclaim("“Zwei” ≠ eins", 2.0, 1.0)\n```\n')
    done = build(root, **LOCALES["ASCII"])
    assert done.returncode == 1
    assert "AssertionError: " in done.stdout
    assert done.stdout.splitlines()[-1] == "The book was not built: 1 of its chapters failed, see above."
