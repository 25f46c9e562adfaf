"""A walk and a training while other programs keep the cores busy: none, one and two loops that this script starts.

Beside the package as it is: the same with the rule of ``notes._threads`` off, so with PyTorch's default threads, and
the same on one thread throughout.
"""

import contextlib
import os
import subprocess
import sys
from functools import partial
from unittest import mock

import timing
import torch

from notes import _threads
from notes.langevin import langevin
from notes.mixtures import rings
from notes.networks import ScoreNetwork
from notes.score_matching import denoising
from notes.training import train

REPEATS = 7
LOOP = "import os\nwhile os.getppid() == {parent}: sum(range(10_000))"  # ends with this script, however that ends
RING = rings(radii=[2.0], n_components=8, std=0.2)
PARTICLES, WALK, TRAINING = 10_000, 50, 20  # steps that take a second at most, also where they wait


@contextlib.contextmanager
def busy_loops(n):
    """Keep n cores busy."""
    command = [sys.executable, "-c", LOOP.format(parent=os.getpid())]
    running = [subprocess.Popen(command) for _ in range(n)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def walk():
    langevin(RING.score, torch.zeros(PARTICLES, 2), 0.001, WALK, generator=torch.Generator().manual_seed(0))


def training():
    generator = torch.Generator().manual_seed(0)
    model = ScoreNetwork(2, generator=generator)
    train(model, partial(denoising, sigma=0.3), TRAINING, data=RING, generator=generator)


def without_the_rule(job):
    """The job with PyTorch's threads in every step, whatever its size."""
    with mock.patch.object(_threads, "_MUCH", 0):
        job()


def on_one_thread(job):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        job()
    finally:
        torch.set_num_threads(before)


def measure():
    os.environ["TQDM_DISABLE"] = "1"
    result, rows = {}, []
    cases = {
        "a walk, ns a particle-step": (walk, 1e9 / PARTICLES / WALK),
        "a training, ms a step": (training, 1e3 / TRAINING),
    }
    threads = torch.get_num_threads()
    for what, (job, unit) in cases.items():
        jobs = {
            "notes": job,
            f"{threads} threads": partial(without_the_rule, job),
            "one thread": partial(on_one_thread, job),
        }
        result[what] = {name: [] for name in jobs}
        for n in (0, 1, 2):
            with busy_loops(n):
                seconds = timing.take_turns(jobs, REPEATS, f"{what}, {n} busy loops")
            for name, taken in seconds.items():
                result[what][name].append(timing.spread(taken, unit))
        rows += [[f"{what}: {name}", *spreads] for name, spreads in result[what].items()]
    head = ["", "idle", "one busy loop", "two busy loops"]
    timing.save("busy", result, [timing.table(head, rows)])


if __name__ == "__main__":
    measure()
