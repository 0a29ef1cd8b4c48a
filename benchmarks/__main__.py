"""Measures the speed of the exact loop: `python -m benchmarks`, or `make bench`.

By default, one replicate at a time in NumPy (`rng.multivariate_normal`, `np.cov`) against
`simulate` doing the same fits, and `simulate` at n = 10^12 against itself at n = 100. With
`--large`, a million replicates of a thousand generations reduced to quantiles, and the memory that
it took. With `--networks`, the training of networks against PyTorch, see `benchmarks.networks`.
"""

import argparse
import functools
import os
import resource
import sys
import time
from collections.abc import Callable

import jax
import numpy as np

from benchmarks import networks
from madlib import FullySynthetic, Gaussian, metrics, simulate, targets
from madlib.book.timing import side_by_side

REPEATS = 7
DIM = 2
N_GENERATIONS, N_REPLICATES = 100, 100_000  # of `simulate`; NumPy is timed on fewer of the same.


def numpy_loop(n: int, n_generations: int) -> None:
    """One replicate in plain NumPy: the points are drawn, their mean and covariance taken."""
    rng = np.random.default_rng(0)
    mean, cov = np.zeros(DIM), np.eye(DIM)
    for _ in range(n_generations):
        points = rng.multivariate_normal(mean, cov, size=n)
        mean, cov = points.mean(axis=0), np.cov(points, rowvar=False)


def exact_loop(n: int) -> None:
    """Many replicates in madlib, reduced to the last generation's distance to the truth."""
    simulate(
        jax.random.key(0),
        Gaussian(DIM),
        FullySynthetic(n),
        targets.standard_normal(DIM),
        n_ini=n,
        n_generations=N_GENERATIONS,
        n_replicates=N_REPLICATES,
        every=N_GENERATIONS - 1,
        record=(metrics.wasserstein2_squared,),
        reduce=np.mean,
    )


def seconds(function: Callable[[], None]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def against_numpy() -> None:
    """Times per generation and replicate: medians of repeats in which all take turns."""
    contestants = {
        f"madlib {n}": (functools.partial(exact_loop, n), N_GENERATIONS * N_REPLICATES)
        for n in (10**2, 10**3, 10**6, 10**12)
    } | {
        f"NumPy {n}": (functools.partial(numpy_loop, n, n_fits), n_fits)
        for n, n_fits in ((10**3, 200), (10**6, 3))
    }
    times = side_by_side(
        {name: function for name, (function, _) in contestants.items()},
        repeats=REPEATS,
        per={name: n_fits for name, (_, n_fits) in contestants.items()},
    )
    median, ratio_to_first = times["seconds"], times["ratio"]

    print(f"One generation of one replicate, d = {DIM}; medians of {REPEATS} repeats.")
    print(f"{'n':>14}{'NumPy':>14}{'madlib':>14}{'ratio':>12}{'required':>14}")
    for n, required in ((10**2, ""), (10**3, ">= 1,000"), (10**6, ">= 100,000"), (10**12, "")):
        ours, theirs = median[f"madlib {n}"], median.get(f"NumPy {n}")
        numpy_time, ratio = ("", "") if theirs is None else (_si(theirs), f"{theirs / ours:,.0f}")
        print(f"{n:>14,}{numpy_time:>14}{_si(ours):>14}{ratio:>12}{required:>14}")
    growth = ratio_to_first[f"madlib {10**12}"]
    print(f"Time at n = 10^12 over time at n = 100: {growth:.2f} (required <= 1.2).")


def a_million_replicates() -> None:
    """1,000,000 replicates x 1,000 generations in one dimension, as quantiles by generation."""
    taken = seconds(
        lambda: simulate(
            jax.random.key(0),
            Gaussian(1),
            FullySynthetic(100),
            targets.standard_normal(1),
            n_ini=100,
            n_generations=1000,
            n_replicates=10**6,
            record=(metrics.total_variance,),
            reduce=functools.partial(np.quantile, q=[0.05, 0.5, 0.95]),
        )
    )
    unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, kilobytes elsewhere.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print("1,000,000 replicates x 1,000 generations, d = 1, reduced to quantiles:")
    print(f"{taken:.0f} s, peak memory {peak:.2f} GiB (required < 4 GiB).")


def _si(value: float) -> str:
    for scale, unit in ((1e-3, "ms"), (1e-6, "us")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--large", action="store_true", help="a million replicates, and its memory")
    parser.add_argument("--networks", action="store_true", help="training, against PyTorch")
    options = parser.parse_args()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    devices = f"{jax.local_device_count()} x {jax.devices()[0].device_kind}"
    print(f"JAX {jax.__version__} on {devices}, {os.cpu_count()} cores{load}.")
    if options.networks:
        networks.run()
    elif options.large:
        a_million_replicates()
    else:
        against_numpy()


if __name__ == "__main__":
    main()
