"""Denoising score matching on a ring of eight Gaussians, to 1 % of relative Fisher divergence, beside the peers.

All train a network of the same size on batches of 512 fresh points with σ = 0.3, each by its own loop as it comes:
ours; smalldiffusion's; torchebm's loss, whose model is an energy, in the plain loop of its examples; the same loop
around our loss; and JAX, all steps compiled as one, with a constant rate and with our own recipe. Before timing, each
loss is compared with ours on one batch. Evaluations and compilation are not timed.
"""

import itertools
import math
import os
import time
from functools import partial

import numpy as np
import timing
import torch
from tqdm import tqdm

from notes.mixtures import rings
from notes.networks import ScoreNetwork
from notes.score_matching import denoising, fisher_divergence
from notes.training import train

SIGMA, BATCH, WANTED, SEEDS = 0.3, 512, 0.01, (0, 1, 2)
RING = rings(radii=[2.0], n_components=8, std=0.2)
LENGTHS = [100, 150, 200, 300, 400, 600, 800, 1200]  # of runs whose rate falls to zero at their end
PEERS = ["smalldiffusion", "torchebm", "jax", "optax"]
LIMIT = 60  # seconds after which a peer that has not arrived is given up


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def error(score):
    smoothed = RING.smoothed(SIGMA)
    x = smoothed.sample(10_000, seeded(99))
    return fisher_divergence(score, smoothed.score, x, relative=True).item()


def ours(seed, n_steps):
    """Seconds and error of one of our runs."""
    model = ScoreNetwork(2, generator=seeded(seed))
    started = time.perf_counter()
    train(model, partial(denoising, sigma=SIGMA), n_steps, data=RING, batch_size=BATCH, generator=seeded(seed + 10))
    return time.perf_counter() - started, error(model)


def until(steps, score, every=50):
    """Drive a loop that yields after each step until the error is small: (seconds, error) on the way."""
    found, spent, started = [], 0.0, time.perf_counter()
    for number, _ in enumerate(steps, start=1):
        if number % every:
            continue
        spent += time.perf_counter() - started
        found.append((spent, error(score)))
        if found[-1][1] <= WANTED or spent > LIMIT:
            return found
        started = time.perf_counter()


def smalldiffusion(seed):
    from smalldiffusion import ModelMixin, Schedule, training_loop

    class Model(torch.nn.Module, ModelMixin):
        def __init__(self):
            super().__init__()
            self.network = ScoreNetwork(2, generator=seeded(seed))

        def forward(self, x, sigma, cond=None):
            return self.network(x)

    model, x, noise = Model(), RING.sample(BATCH, seeded(1)), torch.randn(BATCH, 2, generator=seeded(2))
    theirs = model.get_loss(x, torch.tensor(SIGMA), noise) / SIGMA**2  # they average over the coordinates: half the sum
    wanted = 0.5 * (-model(x + SIGMA * noise, None) / SIGMA + noise / SIGMA).square().sum(1).mean()
    assert math.isclose(theirs.item(), wanted.item(), rel_tol=1e-5), "smalldiffusion has another loss"
    torch.manual_seed(seed)
    loader = torch.utils.data.DataLoader(Endless(), batch_size=None)
    loop = training_loop(loader, model, Schedule(torch.tensor([SIGMA])))
    return until(loop, lambda x: -model.network(x) / SIGMA)


class Endless(torch.utils.data.IterableDataset):
    """Fresh batches of the ring, as a DataLoader wants them."""

    def __iter__(self):
        while True:
            yield RING.sample(BATCH)


def torchebm(seed):
    from torchebm.core import BaseModel
    from torchebm.losses import DenoisingScoreMatching

    class Energy(BaseModel):
        def __init__(self):
            super().__init__()
            torch.manual_seed(seed)
            sizes = [2, 128, 128, 128, 1]
            layers = [[torch.nn.Linear(a, b), torch.nn.SiLU()] for a, b in itertools.pairwise(sizes)]
            self.layers = torch.nn.Sequential(*[part for layer in layers for part in layer][:-1])

        def forward(self, x, **_):
            return self.layers(x)[:, 0]

    energy = Energy()
    loss = DenoisingScoreMatching(model=energy, noise_scale=SIGMA)

    def score(x):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return -torch.autograd.grad(energy(x).sum(), x)[0].detach()

    x = RING.sample(BATCH, seeded(1))
    theirs, wanted = loss(x, generator=seeded(2)).item(), denoising(score, x, SIGMA, generator=seeded(2)).item()
    assert math.isclose(theirs, wanted, rel_tol=1e-4), f"torchebm has another loss: {theirs} for {wanted}"

    return until(plain_loop(energy, loss), score)


def plain(seed):
    model = ScoreNetwork(2, generator=seeded(seed))
    torch.manual_seed(seed)
    return until(plain_loop(model, lambda x: denoising(model, x, SIGMA)), model)


def plain_loop(model, loss):
    """What a tutorial writes: Adam at its usual rate."""
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    while True:
        adam.zero_grad()
        loss(RING.sample(BATCH)).backward()
        adam.step()
        yield


class Jax:
    """The same network and objective in JAX, with Adam, a whole run compiled as one."""

    def __init__(self):
        import jax
        import jax.numpy as jnp
        import optax

        self.jax, self.jnp, self.optax = jax, jnp, optax
        self.means = jnp.asarray(RING.means.numpy())

    def start(self, seed):
        state = ScoreNetwork(2, generator=seeded(seed)).state_dict()
        values = [self.jnp.asarray(value.numpy()) for value in state.values()]
        return list(zip(values[::2], values[1::2], strict=True))

    def network(self, layers, x):
        for weight, bias in layers[:-1]:
            x = self.jax.nn.silu(x @ weight.T + bias)
        weight, bias = layers[-1]
        return x @ weight.T + bias

    def loss(self, layers, x, noise):
        pull = self.network(layers, x + SIGMA * noise) + noise / SIGMA
        return 0.5 * (pull**2).sum(1).mean()

    def check(self):
        layers, x = self.start(0), RING.sample(BATCH, seeded(1))
        noise = torch.randn(BATCH, 2, generator=seeded(2))
        theirs = float(self.loss(layers, self.jnp.asarray(x.numpy()), self.jnp.asarray(noise.numpy())))
        wanted = denoising(ScoreNetwork(2, generator=seeded(0)), x, SIGMA, generator=seeded(2)).item()
        assert math.isclose(theirs, wanted, rel_tol=1e-4), "JAX has another loss"

    def run(self, rate, n_steps, batch=BATCH):
        """A compiled run of so many steps: (layers, state, key) → the same."""
        jax, adam = self.jax, self.optax.adam(rate)

        def one(carry, _):
            layers, state, key = carry
            key, pick, spread, noise = jax.random.split(key, 4)
            x = self.means[jax.random.randint(pick, (batch,), 0, len(self.means))]
            x = x + 0.2 * jax.random.normal(spread, x.shape)
            gradient = jax.grad(self.loss)(layers, x, jax.random.normal(noise, x.shape))
            change, state = adam.update(gradient, state)
            return (self.optax.apply_updates(layers, change), state, key), None

        run = jax.jit(lambda carry: jax.lax.scan(one, carry, length=n_steps)[0])
        return run, lambda seed: (self.start(seed), adam.init(self.start(seed)), jax.random.key(seed))

    def score(self, layers):
        return lambda x: torch.as_tensor(np.array(self.network(layers, self.jnp.asarray(x.numpy()))))

    def same_recipe(self, seed, n_steps):
        run, begin = self.run(self.optax.cosine_decay_schedule(5e-3, n_steps), n_steps)
        self.jax.block_until_ready(run(begin(seed)))
        started = time.perf_counter()
        layers = self.jax.block_until_ready(run(begin(seed)))[0]
        return time.perf_counter() - started, error(self.score(layers))

    def constant(self, seed):
        run, begin = self.run(1e-3, 50)
        state = [begin(seed)]
        self.jax.block_until_ready(run(begin(seed)))

        def steps():
            while True:
                state[0] = self.jax.block_until_ready(run(state[0]))
                yield

        return until(steps(), lambda x: self.score(state[0][0])(x), every=1)


def shortest(job, what):
    """Seconds and error of runs of growing length, up to the first that is good enough for every seed."""
    curve = []
    for n_steps in tqdm(LENGTHS, desc=what, leave=False):
        runs = [job(seed, n_steps) for seed in SEEDS]
        curve.append((n_steps, timing.spread([run[0] for run in runs]), timing.spread([run[1] for run in runs])))
        if curve[-1][2][2] <= WANTED:
            break
    return curve


def batches(jax):
    """What a step costs over the size of its batch, and the matrix products in it alone."""
    sizes, lines = [64, 256, 1024, 4096, 16384], {}
    for size in sizes:
        n_steps = max(8, min(100, 50_000 // size))
        model = ScoreNetwork(2, generator=seeded(0))
        layers = [(torch.randn(size, a), torch.randn(b, a), torch.randn(size, b)) for a, b in _shapes(model)]

        def products():
            for _ in range(n_steps):  # noqa: B023
                for x, weight, out in layers:  # noqa: B023
                    x @ weight.T, out @ weight, out.T @ x  # forward, and backward for the inputs and the weights

        jobs = {"notes": lambda: train(model, partial(denoising, sigma=SIGMA), n_steps, data=RING, batch_size=size)}  # noqa: B023
        jobs["products alone"] = products
        if jax:
            run, begin = jax.run(1e-3, n_steps, size)
            jobs["JAX"] = lambda: jax.jax.block_until_ready(run(begin(0)))  # noqa: B023
        for name, taken in timing.take_turns(jobs, 5, f"training, batches of {size}").items():
            lines.setdefault(name, []).append(timing.spread(taken, 1e6 / n_steps))
    return {"x": sizes, "lines": lines}


def _shapes(model):
    return [(layer.in_features, layer.out_features) for layer in model.layers if isinstance(layer, torch.nn.Linear)]


def measure():
    os.environ["TQDM_DISABLE"] = "1"  # of the loops themselves
    jax = Jax() if not timing.missing("jax", "optax") else None
    curves = {"notes": shortest(ours, "ours")}
    if jax:
        jax.check()
        curves["JAX, our recipe"] = shortest(jax.same_recipe, "JAX, our recipe")
    trails = {"PyTorch, plain loop": plain}
    trails |= {job.__name__: job for job in (smalldiffusion, torchebm) if not timing.missing(job.__name__)}
    if jax:
        trails["JAX, constant rate"] = jax.constant
    lines = {name: [[spent[0], wrong[0]] for _, spent, wrong in curve] for name, curve in curves.items()}
    arrived = {name: [curve[-1][1], f"{curve[-1][0]} steps, error {timing.cell(curve[-1][2])}"]
               for name, curve in curves.items()}  # fmt: skip
    for name, job in trails.items():
        runs = [job(seed) for seed in SEEDS]
        middle = sorted(runs, key=lambda run: run[-1][0])[len(runs) // 2]
        lines[name] = [list(point) for point in middle]
        there = [run[-1][0] for run in runs if run[-1][1] <= WANTED]
        best = f"error {timing.cell(timing.spread([run[-1][1] for run in runs]))}"
        arrived[name] = [timing.spread(there), best] if len(there) == len(runs) else [f"not in {LIMIT} s", best]
    base = arrived["notes"][0][0]
    rows = [[name, spent, "" if name == "notes" or isinstance(spent, str) else f"{spent[0] / base:.1f}", what]
            for name, (spent, what) in arrived.items()]  # fmt: skip
    result = {"error": lines, "wanted": WANTED, "batches": batches(jax)}
    shown = timing.table(["to 1 %", "seconds", "times ours", "at the end"], rows)
    steps = timing.table(
        ["a step, batch of 256", "µs"], [[name, line[1]] for name, line in result["batches"]["lines"].items()]
    )
    timing.save("training", result, [shown, steps], timing.missing(*PEERS))


if __name__ == "__main__":
    measure()
