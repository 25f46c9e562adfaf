"""A kernel density estimate beside SciPy's and scikit-learn's, in one run: ``python benchmarks/kernel_density.py [n]``.

n points against n data in the plane, at Scott's bandwidth: our score and log-density, and the peers' log-density (they
have no score). First it is checked that all compute the same; then the repeats take turns. Times are medians, with the
range.
"""

import statistics
import sys
import time

import torch
from scipy.stats import gaussian_kde
from sklearn.neighbors import KernelDensity

from notes.mixtures import kernel_density, scott_bandwidth

n = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
generator = torch.Generator().manual_seed(0)
data, x = torch.randn(2, n, 2, generator=generator)
data = (data - data.mean(0)) @ torch.linalg.inv(
    torch.linalg.cholesky(torch.cov(data.T))
).T  # SciPy's kernel is round then
h = scott_bandwidth(data)
ours, wide = kernel_density(data, h), kernel_density(data.double(), h)
scipy = gaussian_kde(data.double().numpy().T, bw_method=h)
sklearn = KernelDensity(bandwidth=h).fit(data.double().numpy())
here, there = x.double().numpy(), x.double().numpy().T

near = x[x.norm(dim=1) < 2][:100]
expected = wide.log_prob(near.double())
for name, log_prob in [("SciPy", scipy.logpdf(near.numpy().T)), ("scikit-learn", sklearn.score_samples(near.numpy()))]:
    assert (torch.from_numpy(log_prob) - expected).abs().max() < 1e-4, name

jobs = {
    "score, float32": lambda: ours.score(x),
    "score, float64": lambda: wide.score(x.double()),
    "log-density, float32": lambda: ours.log_prob(x),
    "log-density, float64": lambda: wide.log_prob(x.double()),
    "SciPy, log-density": lambda: scipy.logpdf(there),
    "scikit-learn, log-density": lambda: sklearn.score_samples(here),
}
times = {name: [] for name in jobs}
for _ in range(5):
    for name, job in jobs.items():
        started = time.perf_counter()
        job()
        times[name].append(time.perf_counter() - started)
print(f"{n} points, {n} data, d = 2, h = {h:.3g}, {torch.get_num_threads()} threads")
for name, taken in times.items():
    median = statistics.median(taken)
    print(f"{name:27}{median:9.3f} s  ({min(taken):.3f} to {max(taken):.3f}){1e9 * median / n**2:8.2f} ns a pair")
