"""Loops in plain NumPy, point by point: an independent, slow computation of every closed form."""

import itertools
from collections import deque

import numpy as np

from madlib.regimes import (
    Accumulate,
    AccumulateFresh,
    AccumulateSubsample,
    FreshData,
    FullySynthetic,
    Growing,
    LongMemory,
    SyntheticAugmentation,
    Weighted,
)

ROOT_3D = np.array([[1.0, 0.0, 0.0], [0.8, 0.5, 0.0], [-1.0, 2.0, 3.0]])


def assert_agrees(what, sample, expected, remainder=0.0):
    """Mean of sample [n_replicates, ...] within 5 standard errors, plus remainder, of expected."""
    mean, expected = sample.mean(0), np.broadcast_to(expected, sample.shape[1:])
    se = sample.std(0, ddof=1) / np.sqrt(len(sample))
    # Rounding only, where the quantity is the same on every replicate.
    rounding = 1e-12 * (1 + np.abs(expected))
    margin = np.abs(mean - expected) - (5 * se + remainder + rounding)
    worst = np.unravel_index(np.argmax(margin), margin.shape)
    assert margin[worst] <= 0, (
        f"{what} {worst}: measured {mean[worst]:.6g}, expected {expected[worst]:.6g}, "
        f"standard error {se[worst]:.3g}, remainder {np.max(remainder):.3g}, "
        f"n_replicates {len(sample)}"
    )


def normal_samples(rng, mean, cov, n):
    """[n_replicates, n, d] samples of N(mean, cov), cov of any rank."""
    eigenvalue, vector = np.linalg.eigh(cov)
    root = vector * np.sqrt(np.clip(eigenvalue, 0, None))[:, None, :]
    noise = rng.standard_normal((len(mean), n, mean.shape[-1]))
    return mean[:, None, :] + noise @ root.swapaxes(-1, -2)


def training_sets(rng, regime, n_ini, real, synthetic):
    """Points [n_replicates, n, ...] and weights [n] of the training sets of t = 1, 2, ...

    real(n) draws from the target and synthetic(n) from the last model.
    """
    w, schedule = 1.0, lambda t: 1.0
    while isinstance(regime, Weighted | Growing):
        if isinstance(regime, Weighted):
            w = w * regime.w
        else:
            schedule = regime.schedule
        regime = regime.regime

    def mixed(*parts):
        points, weights = zip(*parts, strict=True)
        return np.concatenate(points, axis=1), np.concatenate(weights)

    def new(n, t, drawn=synthetic, weight=1.0):
        n = round(n * schedule(t))
        return drawn(n), np.full(n, weight)

    first = real(n_ini)
    yield first, np.ones(n_ini)
    fixed = pool = (first, np.full(n_ini, w))
    waiting = deque(maxlen=getattr(regime, "memory", 1))
    for t in itertools.count(2):
        match regime:
            case FullySynthetic(n_s):
                yield new(n_s, t)
            case SyntheticAugmentation(n_s):
                yield mixed(fixed, new(n_s, t))
            case FreshData(n_r, n_s):
                yield mixed(new(n_r, t, real, w), new(n_s, t))
            case LongMemory(n_r, n_s, memory):
                # A model draws, once and for all, for the next K generations.
                waiting.append([new(n_s // memory, t) for _ in range(memory)])
                batches = [batches[k] for k, batches in enumerate(reversed(waiting))]
                yield mixed(new(n_r, t, real, w), *batches)
            case Accumulate(n_s):
                pool = mixed(pool, new(n_s, t))
                yield pool
            case AccumulateFresh(n_r, n_s):
                pool = mixed(pool, new(n_r, t, real, w), new(n_s, t))
                yield pool
            case AccumulateSubsample(n_s, n):
                pool = mixed(pool, new(n_s, t))
                chosen = rng.random(pool[0].shape[:2]).argsort(1)[:, :n]
                points = np.take_along_axis(pool[0], chosen[..., None], axis=1)
                yield points, np.ones(points.shape[1])


def gaussian_loop(rng, regime, *, n_ini, n_generations, n_replicates, root, lam=1.0, ddof=1):
    """Fitted means [n_replicates, n_generations, d] and covariances [..., d, d]."""
    dim = len(root)
    origin = np.zeros((n_replicates, dim))
    target = np.broadcast_to(root @ root.T, (n_replicates, dim, dim))
    means, covs = [], []
    sets = training_sets(
        rng,
        regime,
        n_ini,
        real=lambda n: normal_samples(rng, origin, target, n),
        synthetic=lambda n: normal_samples(rng, means[-1], lam * covs[-1], n),
    )
    for points, weight in itertools.islice(sets, n_generations):
        total = weight.sum()
        means.append(weight @ points / total)
        centered = points - means[-1][:, None]
        scatter = (weight[:, None] * centered).swapaxes(-1, -2) @ centered
        covs.append(scatter / (total - ddof * np.sum(weight**2) / total))
    return np.stack(means, 1), np.stack(covs, 1)
