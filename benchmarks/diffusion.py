"""Down a ladder of noise: what a sampler adds to the score that it asks for, and the training of a field of (x, σ).

The samplers carry 10 000 particles under the exact score of a mixture in the plane, ours and the same lines in JAX,
compiled as one; a score evaluation alone is the floor. The trainings fit the network of the chapter on noise scales to
its two modes by one recipe: ours, a plain PyTorch loop and JAX, all steps compiled as one. Before timing, each peer's
particles are compared with ours in law, and its loss on one batch. Evaluations and compilation are not timed.
"""

import math
import os
import time
from functools import partial

import numpy as np
import timing
import torch
from tqdm import tqdm

from notes.diffusion import annealed_langevin, ladder, probability_flow
from notes.figures.cast import PLANE
from notes.networks import NoiseConditionalNetwork
from notes.score_matching import denoising_over_scales, fisher_divergence
from notes.training import train

ENDS, RATIO, PARTICLES, REPEATS = (4.0, 0.05), 0.2, 10_000, 7
BATCH, RATE, WANTED, SEEDS = 512, 5e-3, 0.01, (0, 1, 2)
LENGTHS = [200, 300, 400, 600, 800, 1200, 1600, 2400]
SCALES = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0]
EVALUATIONS = 200


def seeded(seed):
    return torch.Generator().manual_seed(seed)


class Jax:
    """The samplers, the network and the training in JAX."""

    def __init__(self):
        import jax
        import jax.numpy as jnp
        import optax

        self.jax, self.jnp, self.optax = jax, jnp, optax
        means, stds, weights = (jnp.asarray(value.numpy()) for value in (PLANE.means, PLANE.stds, PLANE.weights))
        self.means, self.stds, self.weights = means, stds, weights

    def score(self, x, sigma):
        jnp = self.jnp
        variance = self.stds**2 + sigma**2
        pull = self.means - x[:, None]
        logits = jnp.log(self.weights) - x.shape[1] / 2 * jnp.log(variance) - (pull**2).sum(2) / 2 / variance
        return ((self.jax.nn.softmax(logits) / variance)[:, :, None] * pull).sum(1)

    def annealed(self, sigmas, n_steps):
        jax = self.jax
        rungs = self.jnp.repeat(self.jnp.asarray(sigmas), n_steps)

        def one(state, sigma):
            x, key = state
            key, now = jax.random.split(key)
            alpha = RATIO * sigma**2
            x = x + alpha / 2 * self.score(x, sigma) + self.jnp.sqrt(alpha) * jax.random.normal(now, x.shape)
            return (x, key), None

        return jax.jit(lambda x: jax.lax.scan(one, (x, jax.random.key(0)), rungs)[0][0])

    def flow(self, sigmas):
        sigmas = self.jnp.asarray(sigmas)

        def one(x, ends):
            sigma, below = ends
            slope = -sigma * self.score(x, sigma)
            ahead = -below * self.score(x + (below - sigma) * slope, below)
            return x + (below - sigma) / 2 * (slope + ahead), None

        return self.jax.jit(lambda x: self.jax.lax.scan(one, x, (sigmas[:-1], sigmas[1:]))[0])

    def start(self, seed):
        state = NoiseConditionalNetwork(2, width=64, generator=seeded(seed)).state_dict()
        values = [self.jnp.asarray(value.numpy()) for value in state.values()]
        return list(zip(values[::2], values[1::2], strict=True))

    def network(self, layers, x, sigma):
        jnp = self.jnp
        sigma = sigma[:, None]
        angles = jnp.log(sigma) * jnp.array([0.5, 1.0, 2.0])
        inputs = [x / jnp.sqrt(1 + sigma**2), jnp.log(sigma), jnp.sin(angles), jnp.cos(angles)]
        hidden = jnp.concatenate(inputs, 1)
        for weight, bias in layers[:-1]:
            hidden = self.jax.nn.silu(hidden @ weight.T + bias)
        weight, bias = layers[-1]
        return (hidden @ weight.T + bias) / sigma

    def loss(self, layers, x, uniform, noise):
        high, low = ENDS
        sigma = low * (high / low) ** uniform
        total = 0.0
        for z in (noise, -noise):
            error = self.network(layers, x + sigma[:, None] * z, sigma) + z / sigma[:, None]
            total = total + 0.25 * (sigma[:, None] ** 2 * error**2).sum(1).mean()
        return total

    def field(self, layers):
        def field(x, sigma):
            x = self.jnp.asarray(x.numpy())
            return torch.as_tensor(np.array(self.network(layers, x, self.jnp.full(len(x), sigma))))

        return field

    def train(self, seed, n_steps):
        jax, adam = self.jax, self.optax.adam(self.optax.cosine_decay_schedule(RATE, n_steps))

        def one(carry, _):
            layers, state, key = carry
            key, pick, spread, level, noise = jax.random.split(key, 5)
            at = jax.random.choice(pick, len(self.means), (BATCH,), p=self.weights)
            x = self.means[at] + self.stds[at, None] * jax.random.normal(spread, (BATCH, 2))
            # Rows are drawn alike, so that the parts of the range need no random order.
            level = (self.jnp.arange(BATCH) + jax.random.uniform(level, (BATCH,))) / BATCH
            draws = level, jax.random.normal(noise, x.shape)
            change, state = adam.update(jax.grad(self.loss)(layers, x, *draws), state)
            return (self.optax.apply_updates(layers, change), state, key), None

        run = jax.jit(lambda carry: jax.lax.scan(one, carry, length=n_steps)[0])
        begin = self.start(seed), adam.init(self.start(seed)), jax.random.key(seed)
        jax.block_until_ready(run(begin))
        started = time.perf_counter()
        layers = jax.block_until_ready(run(begin))[0]
        return time.perf_counter() - started, error(self.field(layers))

    def check(self):
        """The same loss on one batch, and the same law at the end of a ladder."""
        x, uniform, noise = PLANE.sample(BATCH, seeded(1)), torch.rand(BATCH), torch.randn(BATCH, 2)
        theirs = float(self.loss(self.start(0), *(self.jnp.asarray(value.numpy()) for value in (x, uniform, noise))))
        model = NoiseConditionalNetwork(2, width=64, generator=seeded(0))
        assert math.isclose(theirs, by_hand(model, x, uniform, noise).item(), rel_tol=1e-4), "JAX has another loss"
        x0, sigmas = ENDS[0] * torch.randn(PARTICLES, 2, generator=seeded(2)), ladder(*ENDS, 20)
        ends = torch.as_tensor(np.array(self.flow(sigmas.numpy())(self.jnp.asarray(x0.numpy()))))
        assert (ends - probability_flow(PLANE.smoothed_score, x0, sigmas)).abs().max() < 1e-3, "JAX flows elsewhere"
        ends = torch.as_tensor(np.array(self.annealed(sigmas.numpy(), 10)(self.jnp.asarray(x0.numpy()))))
        for moment in (1, 2):
            a, b = ends.pow(moment), annealed(x0, sigmas, 10).pow(moment)
            limit = 5 * ((a.var(0) + b.var(0)) / PARTICLES).sqrt()
            assert ((a.mean(0) - b.mean(0)).abs() < limit).all(), "JAX walks to another law"


def annealed(x0, sigmas, n_steps):
    return annealed_langevin(PLANE.smoothed_score, x0, sigmas, RATIO * sigmas[-1].item() ** 2, n_steps)


def by_hand(model, x, uniform, noise):
    """The loss over scales as a tutorial writes it."""
    high, low = ENDS
    sigma = (low * (high / low) ** uniform)[:, None]
    both = [(sigma * model(x + sigma * z, sigma[:, 0]) + z).square().sum(1).mean() for z in (noise, -noise)]
    return 0.25 * sum(both)


def error(field):
    """The relative Fisher divergence, a mean over noise scales."""
    found = []
    for sigma in SCALES:
        exact = PLANE.smoothed(sigma)
        x = exact.sample(10_000, seeded(99))
        with torch.no_grad():
            found.append(fisher_divergence(lambda x: field(x, sigma), exact.score, x, relative=True).item())  # noqa: B023
    return sum(found) / len(found)


def ours(seed, n_steps):
    model = NoiseConditionalNetwork(2, width=64, generator=seeded(seed))
    loss = partial(denoising_over_scales, sigmas=ENDS)
    started = time.perf_counter()
    train(model, loss, n_steps, data=PLANE, batch_size=BATCH, lr=RATE, generator=seeded(seed + 10))
    return time.perf_counter() - started, error(model)


def plain(seed, n_steps):
    """The same recipe in the loop that a tutorial writes."""
    model, generator = NoiseConditionalNetwork(2, width=64, generator=seeded(seed)), seeded(seed + 10)
    started = time.perf_counter()
    adam = torch.optim.Adam(model.parameters(), lr=RATE)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, n_steps)
    for _ in range(n_steps):
        x = PLANE.sample(BATCH, generator)
        level = (torch.arange(BATCH) + torch.rand(BATCH, generator=generator)) / BATCH
        draws = level, torch.randn(BATCH, 2, generator=generator)
        adam.zero_grad()
        by_hand(model, x, *draws).backward()
        adam.step()
        cosine.step()
    return time.perf_counter() - started, error(model)


def shortest(job, what):
    """Runs of growing length, up to the first that is good enough for every seed: steps, seconds, error."""
    job(SEEDS[0], 2)  # what is loaded or compiled once
    for n_steps in tqdm(LENGTHS, desc=what, leave=False):
        runs = [job(seed, n_steps) for seed in SEEDS]
        seconds, errors = (timing.spread([run[part] for run in runs]) for part in (0, 1))
        if errors[2] <= WANTED:
            break
    return n_steps, seconds, errors


def measure():
    os.environ["TQDM_DISABLE"] = "1"
    jax = Jax() if not timing.missing("jax", "optax") else None
    x0 = ENDS[0] * torch.randn(PARTICLES, 2, generator=seeded(0))
    rungs, sigmas = ladder(*ENDS, 20), ladder(*ENDS, EVALUATIONS // 2 + 1)
    levels = rungs.repeat_interleave(EVALUATIONS // 20).tolist()
    jobs = {
        "evaluation alone": lambda: [PLANE.smoothed_score(x0, sigma) for sigma in levels],
        "annealed Langevin": lambda: annealed(x0, rungs, EVALUATIONS // 20),
        "probability flow, Heun": lambda: probability_flow(PLANE.smoothed_score, x0, sigmas),
    }
    if jax:
        jax.check()
        start, walk, flow = jax.jnp.asarray(x0.numpy()), jax.annealed(rungs.numpy(), 10), jax.flow(sigmas.numpy())
        jobs["annealed Langevin, JAX"] = lambda: jax.jax.block_until_ready(walk(start))
        jobs["probability flow, Heun, JAX"] = lambda: jax.jax.block_until_ready(flow(start))
    seconds = timing.take_turns(jobs, REPEATS, "samplers")
    over = {
        name: timing.spread([ours / alone for ours, alone in zip(taken, seconds["evaluation alone"], strict=True)])
        for name, taken in seconds.items()
    }
    rows = [[name, timing.spread(taken, 1e6 / EVALUATIONS), over[name]] for name, taken in seconds.items()]
    rows[0][2] = ""
    head = ["10 000 particles, two modes in the plane", "µs an evaluation", "times the evaluation alone"]
    samplers = timing.table(head, rows)
    trainings = {"notes": shortest(ours, "ours"), "PyTorch, plain loop": shortest(plain, "plain")}
    if jax:
        trainings["JAX"] = shortest(jax.train, "JAX")
    base = trainings["notes"][1][0]
    rows = [[name, spent, "" if name == "notes" else f"{spent[0] / base:.1f}",
             f"{n_steps} steps, error {timing.cell(wrong)}"]
            for name, (n_steps, spent, wrong) in trainings.items()]  # fmt: skip
    trained = timing.table(["a field of (x, σ) to 1 %, one recipe", "seconds", "times ours", "at the end"], rows)
    result = {"over": over, "trainings": trainings, "wanted": WANTED}
    hold = "Held: both samplers at most 1.5 times the evaluation alone."
    timing.save("diffusion", result, [samplers, hold, trained], timing.missing("jax", "optax"))


if __name__ == "__main__":
    measure()
