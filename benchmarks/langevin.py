"""Langevin dynamics beside NumPy, JAX, BlackJAX and torchebm, and the noise alone: its floor.

All walk the same mixture of K equal Gaussians in d dimensions, in float32, and keep the last state only. Before timing,
each peer's score is compared with ours, and its law after a walk with ours.
"""

import math
import statistics

import numpy as np
import timing
import torch

from notes.langevin import langevin
from notes.mixtures import GaussianMixture

STEP, STD, REPEATS = 0.01, 0.5, 5
SWEEPS = {
    "particles": [(n, 2, 8) for n in (100, 1_000, 10_000, 100_000, 1_000_000)],
    "dimensions": [(10_000, d, 8) for d in (1, 2, 4, 8, 16, 32, 64)],
    "components": [(10_000, 2, k) for k in (1, 4, 16, 64, 256, 1024)],
}
CORNERS = [(100, 2, 1024), (100, 64, 64), (10_000, 16, 64), (10_000, 64, 64), (10_000, 64, 1024), (100_000, 2, 128)]


def target(dim, n_components):
    generator = torch.Generator().manual_seed(0)
    return GaussianMixture(2 * torch.randn(n_components, dim, generator=generator) / math.sqrt(dim / 2), STD)


def numpy_walk(p):
    means = p.means.numpy()
    random = np.random.default_rng(0)

    def score(x):
        logits = (x @ means.T - 0.5 * (means**2).sum(1)) / np.float32(STD**2)
        weight = np.exp(logits - logits.max(1, keepdims=True))
        weight /= weight.sum(1, keepdims=True)
        return (weight @ means - x) / np.float32(STD**2)

    def walk(x0, n_steps):
        x, scale = x0.numpy(), np.float32(math.sqrt(2 * STEP))
        for _ in range(n_steps):
            x = x + np.float32(STEP) * score(x) + scale * random.standard_normal(x.shape, dtype=np.float32)
        return x

    return score, walk


def jax_walk(p):
    import jax
    import jax.numpy as jnp

    means = jnp.asarray(p.means.numpy())

    def score(x):
        logits = (x @ means.T - 0.5 * (means**2).sum(1)) / STD**2
        return (jax.nn.softmax(logits, axis=1) @ means - x) / STD**2

    def one(state, _):
        x, key = state
        key, now = jax.random.split(key)
        return (x + STEP * score(x) + math.sqrt(2 * STEP) * jax.random.normal(now, x.shape), key), None

    @jax.jit(static_argnames="n_steps")
    def scan(x, key, n_steps):
        return jax.lax.scan(one, (x, key), length=n_steps)[0][0]

    return jax.jit(score), lambda x0, n_steps: scan(jnp.asarray(x0.numpy()), jax.random.key(0), n_steps)


def blackjax_walk(p):
    import blackjax
    import jax
    import jax.numpy as jnp

    means = jnp.asarray(p.means.numpy())

    def log_density(x):
        return jax.nn.logsumexp(-0.5 * ((x[:, None] - means) ** 2).sum(-1) / STD**2, axis=1).sum()

    gradient = jax.grad(log_density)  # each particle's own, since a sum of their log-densities
    sgld = blackjax.sgld(lambda x, _: gradient(x))  # a full gradient: there is no minibatch

    @jax.jit(static_argnames="n_steps")
    def scan(x, key, n_steps):
        keys = jax.random.split(key, n_steps)
        return jax.lax.scan(lambda x, key: (sgld.step(key, x, 0, STEP), None), x, keys)[0]

    return jax.jit(gradient), lambda x0, n_steps: scan(jnp.asarray(x0.numpy()), jax.random.key(0), n_steps)


def torchebm_walk(p):
    from torchebm.core import BaseModel
    from torchebm.samplers import LangevinDynamics

    class Energy(BaseModel):
        def forward(self, x, **_):
            return -torch.logsumexp((x @ p.means.T - 0.5 * p.means.square().sum(1)) / STD**2, 1) + 0.5 * (
                x.square().sum(1) / STD**2
            )

    energy = Energy()
    sampler = LangevinDynamics(energy, step_size=STEP, noise_scale=1.0)

    def score(x):
        x = torch.as_tensor(x).requires_grad_()
        return -torch.autograd.grad(energy(x).sum(), x)[0]

    return score, lambda x0, n_steps: sampler.sample(x=x0.clone(), n_steps=n_steps)


PEERS = {"NumPy": numpy_walk, "JAX": jax_walk, "BlackJAX": blackjax_walk, "torchebm": torchebm_walk}
PACKAGES = {"NumPy": "numpy", "JAX": "jax", "BlackJAX": "blackjax", "torchebm": "torchebm"}


def by_points(p):
    """A score with the points along memory, its arrays whole: (K, n)."""

    def score(x):
        squared = sum((mean[:, None] - at).square() for mean, at in zip(p.means.T, x.T, strict=True))
        return (p.means.T @ torch.softmax(-0.5 * squared / STD**2, 0)).T.sub(x) / STD**2

    return score


def by_components(p):
    """A score with the components along memory, its arrays whole: (n, K)."""

    def score(x):
        return (torch.softmax((x @ p.means.T - 0.5 * p.means.square().sum(1)) / STD**2, 1) @ p.means - x) / STD**2

    return score


def check(p, peers):
    """Each peer's score is ours up to rounding, and its walk ends in our law: the same share of every component."""
    x = p.sample(1000, torch.Generator().manual_seed(1))
    expected = p.score(x)
    x0 = p.sample(20_000, torch.Generator().manual_seed(2))
    ours = langevin(p.score, x0, STEP, 100)
    for name, (score, walk) in peers.items():
        found = torch.as_tensor(np.array(score(x.numpy()).detach() if name == "torchebm" else score(x.numpy())))
        assert (found - expected).norm() < 1e-4 * expected.norm(), f"{name} computes another score"
        end = torch.as_tensor(np.array(walk(x0, 100)))
        for moment in (1, 2):
            a, b = ours.pow(moment), end.pow(moment)
            error = ((a.var(0) + b.var(0)) / len(x0)).sqrt()
            assert ((a.mean(0) - b.mean(0)).abs() < 5 * error).all(), f"{name} walks to another law"


def budget(n, dim, n_components):
    """As many steps as make up a fraction of a second."""
    return max(4, min(500, int(2e7 / (n * max(1, dim * n_components / 4)))))


def measure():
    installed = {name: make for name, make in PEERS.items() if not timing.missing(PACKAGES[name])}
    result, rows = {"sweeps": {}}, []
    for sweep, cases in SWEEPS.items():
        at = [{"particles": n, "dimensions": d, "components": k}[sweep] for n, d, k in cases]
        lines = {}
        for n, dim, n_components in cases:
            p, n_steps = target(dim, n_components), budget(n, dim, n_components)
            peers = {name: make(p) for name, make in installed.items()}
            check(p, peers)
            x0, noise = p.sample(n, torch.Generator().manual_seed(3)), torch.empty(n, dim)
            jobs = {
                "notes": lambda: langevin(p.score, x0, STEP, n_steps),  # noqa: B023
                "noise alone": lambda: [noise.normal_() for _ in range(n_steps)],  # noqa: B023
            }
            for name, (_, walk) in peers.items():
                jobs[name] = lambda walk=walk: np.asarray(walk(x0, n_steps))  # noqa: B023
            seconds = timing.take_turns(jobs, REPEATS, f"langevin, {n} particles, d = {dim}, K = {n_components}")
            for name, taken in seconds.items():
                lines.setdefault(name, []).append(timing.spread(taken, 1e9 / (n * n_steps)))
            if sweep == "particles" and n == 10_000:
                floor = timing.ratios(seconds, "noise alone", ["notes"])["notes"]
                rows = [[name, timing.spread(taken, 1e9 / (n * n_steps))] for name, taken in seconds.items()]
                times = timing.ratios(seconds)
                rows = [[*row, times.get(row[0], "")] for row in rows]
        result["sweeps"][sweep] = {"x": at, "lines": lines}
    head = ["10 000 particles, 8 modes, 2-D", "ns a particle-step", "times ours"]
    shown = timing.table(head, rows)
    hold = f"Ours is {timing.cell(floor)} times the noise alone; held: at most 4."
    timing.save("langevin", result, [shown, hold, layouts()], timing.missing(*PACKAGES.values()))


def layouts():
    """Our score beside two plain ones, over every size: never more than twice the better of them."""
    rows = []
    for n, dim, n_components in sorted({case for cases in SWEEPS.values() for case in cases} | {*CORNERS}):
        if n * n_components > 2e7:
            continue
        p = target(dim, n_components)
        x = p.sample(n, torch.Generator().manual_seed(3))
        jobs = {"notes": p.score, "points": by_points(p), "components": by_components(p)}
        for name, score in jobs.items():
            assert (score(x) - p.score(x)).norm() < 1e-3 * p.score(x).norm(), name
        calls = max(1, int(2e6 / (n * n_components * max(dim, 4))))
        jobs = {name: lambda score=score: [score(x) for _ in range(calls)] for name, score in jobs.items()}  # noqa: B023
        seconds = timing.take_turns(jobs, 2 * REPEATS + 1, f"layouts, {n} particles, d = {dim}, K = {n_components}")
        pairs = zip(seconds["points"], seconds["components"], seconds["notes"], strict=True)
        beside = timing.spread([ours / min(first, second) for first, second, ours in pairs])
        each = [timing.count(1e9 / n / calls * statistics.median(taken)) for taken in seconds.values()]
        rows.append([timing.count(n), str(dim), str(n_components), *each, beside])
    head = ["n", "d", "K", "ours, ns a point", "points along memory", "components along memory", "ours / the better"]
    worst = max(row[-1][0] for row in rows)
    note = f"At most {worst:.1f} times the better of two layouts (medians); held: 2."
    return f"{note}\n\n::::{{dropdown}} Our score beside two layouts, at every size\n{timing.table(head, rows)}\n::::"


if __name__ == "__main__":
    measure()
