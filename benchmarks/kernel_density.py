"""The score of a kernel density estimate beside KeOps and JAX, and beside the libraries that have its density alone.

n points against n data, in float32, at a bandwidth of half the spacing that d dimensions leave. SciPy, scikit-learn and
KDEpy compute in float64. The floor is one exponential a pair. Before timing, every result is compared with ours.
"""

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import timing
import torch

from notes.mixtures import kernel_density

DENSITIES = ["SciPy", "scikit-learn", "KDEpy"]  # these have no score: their density is timed
PACKAGES = {"SciPy": "scipy", "scikit-learn": "sklearn", "KDEpy": "KDEpy", "KeOps": "pykeops", "JAX": "jax"}
SIZES = [(n, 2) for n in (100, 1_000, 10_000, 100_000)]
DIMENSIONS = [(4_000, d) for d in (2, 8, 32, 128, 256)]
LARGEST = 4e8  # pairs for which the peers are timed too


def scipy_density(data, h):
    from scipy.stats import gaussian_kde

    # SciPy scales its kernel by the data's covariance; white data make it round.
    density = gaussian_kde(data.double().numpy().T, bw_method=h)
    return lambda x: density.logpdf(x.double().numpy().T)


def sklearn_density(data, h):
    from sklearn.neighbors import KernelDensity

    density = KernelDensity(bandwidth=h).fit(data.double().numpy())
    return lambda x: density.score_samples(x.double().numpy())


def kdepy_density(data, h):
    from KDEpy import NaiveKDE

    density = NaiveKDE(kernel="gaussian", bw=h).fit(data.double().numpy())
    return lambda x: np.log(density.evaluate(x.double().numpy()))


def keops_score(data, h):
    from pykeops.torch import LazyTensor

    means, ones = LazyTensor(data[None].contiguous()), torch.ones(len(data), 1)

    def score(x):
        squared = ((LazyTensor(x[:, None].contiguous()) - means) ** 2).sum(-1)
        mean = (-squared / (2 * h**2)).sumsoftmaxweight(LazyTensor(torch.cat([data, ones], 1)[None]), axis=1)
        return (mean[:, :-1] - x) / h**2

    return score


def jax_score(data, h):
    import jax
    import jax.numpy as jnp

    means = jnp.asarray(data.numpy())

    def one(x):
        return (jax.nn.softmax((means @ x - 0.5 * (means**2).sum(1)) / h**2) @ means - x) / h**2

    score = jax.jit(lambda x: jax.lax.map(one, x, batch_size=64))
    return lambda x: np.array(score(jnp.asarray(x.numpy())))


MAKE = {"SciPy": scipy_density, "scikit-learn": sklearn_density, "KDEpy": kdepy_density}
MAKE |= {"KeOps": keops_score, "JAX": jax_score}


def problem(n, dim):
    generator = torch.Generator().manual_seed(0)
    data, x = torch.randn(2, n, dim, generator=generator)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(data.T)), data.T, upper=False).T
    return white.contiguous(), x, math.sqrt(dim) / 8 if dim > 2 else 0.2


def check(data, x, h, jobs):
    """Every peer's numbers at some points are those of our estimate in float64."""
    wide, near = kernel_density(data.double(), h), x[:200]
    for name, job in jobs.items():
        found = torch.as_tensor(np.asarray(job(near))).double()
        expected = wide.log_prob(near.double()) if name in DENSITIES else wide.score(near.double())
        # KDEpy ends a Gaussian kernel a few bandwidths out, where next to nothing of it is left.
        assert (found - expected).norm() < 1e-3 * expected.norm(), (
            "its numbers are not those of our estimate in float64"
        )


def measure():
    installed = {name: make for name, make in MAKE.items() if not timing.missing(PACKAGES[name])}
    result, rows, beyond, wrong = {"sweeps": {}}, [], [], {}
    for sweep, cases in {"points": SIZES, "dimensions": DIMENSIONS}.items():
        lines = {}
        for n, dim in cases:
            data, x, h = problem(n, dim)
            ours, pairs = kernel_density(data, h), n * n
            jobs = {"notes": ours.score}
            if pairs <= LARGEST:
                jobs |= {name: make(data, h) for name, make in installed.items()}
                for name in [*jobs]:
                    try:
                        check(data, x, h, {name: jobs[name]})
                    except (AssertionError, ArithmeticError, ValueError, np.linalg.LinAlgError) as error:
                        wrong.setdefault(name, []).append(f"{error} at n = {n}, d = {dim}")
                        del jobs[name]
            calls = {name: max(1, int(2e5 / pairs)) for name in jobs}
            jobs = {name: lambda job=job, k=calls[name]: [job(x) for _ in range(k)] for name, job in jobs.items()}  # noqa: B023
            work, out = torch.zeros(2, 2**17)  # in cache, and enough for all threads
            loops = min(max(pairs, 10**6), 10**8) // len(work)
            jobs["exponentials alone"] = lambda: [torch.exp(work, out=out) for _ in range(loops)]  # noqa: B023
            seconds = timing.take_turns(jobs, 1 if pairs > LARGEST else 5, f"kernel density, n = {n}, d = {dim}")
            done = {name: calls.get(name, 0) * pairs or loops * len(work) for name in seconds}
            for name, taken in seconds.items():
                lines.setdefault(name, []).append(timing.spread(taken, 1e9 / done[name]))
            for name in MAKE:
                if name not in seconds:
                    lines.setdefault(name, []).append(None)
            if n == 10_000:
                times = timing.ratios(seconds, others=[*installed])
                rows = [[name, timing.spread(seconds[name]), times.get(name, "")] for name in ["notes", *installed]]
            if pairs > LARGEST:
                beyond = [
                    f"{n:,} on {n:,}".replace(",", " "),
                    f"{seconds['notes'][0]:.1f} s",
                    memory(n),
                ]
        at = [n if sweep == "points" else dim for n, dim in cases]
        result["sweeps"][sweep] = {"x": at, "lines": lines}
    shown = timing.table(["10 000 on 10 000, 2-D", "seconds", "times ours"], rows)
    large = timing.table(["points on data", "time", "memory on top of the data"], [beyond])
    first = "; ".join(f"{name}, first since {problems[0]}" for name, problems in wrong.items())
    aside = f"Not timed everywhere: {first}." if wrong else ""
    timing.save("kernel_density", result, [shown, large, aside], timing.missing(*PACKAGES.values()))


def memory(n):
    """What the score of n points under n data takes at its peak, beside the data, in a process of its own."""
    if sys.platform != "linux":
        return "not measured here"
    return f"{float(subprocess.check_output([sys.executable, __file__, str(n)], text=True)):.0f} MB"


def peak(n):
    data, x, h = problem(n, 2)
    p = kernel_density(data, h)
    p.score(x[:1000])
    Path("/proc/self/clear_refs").write_text("5")  # Linux forgets the peak so far
    before = _resident("VmRSS")
    p.score(x)
    return (_resident("VmHWM") - before) / 1024


def _resident(which):
    """This process's memory in kB, now (VmRSS) or at its peak (VmHWM)."""
    return int(re.search(rf"{which}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(peak(int(sys.argv[1])))
    else:
        measure()
