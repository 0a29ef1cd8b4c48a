r"""Effective sample size of a set of items, by the learning curve of the real ones.

D(n) is the expected Frechet distance of n real items from their distribution $P_r$: that of a
normal fit to them. To first order in 1/n it is

$$ D(n) = \frac{1}{n} \Big[ \operatorname{tr} \Sigma + \frac12 \sum_{ij}
   \frac{\operatorname{Var}(x_i x_j)}{\sigma_i + \sigma_j} \Big], $$

with x the centered items in the basis of the eigenvectors of their covariance, and $\sigma_i$ its
eigenvalues; near n = d it bends as that of an isotropic normal distribution of the effective
dimension does. A set of m items of a distribution G is as far as n_e real ones:

$$ D(n_e) = \Delta^2 + D_G(m), $$

with $\Delta^2$ the distance of G from $P_r$ and $D_G$ the curve of the set itself. So m independent
real items have n_e = m. $\Delta^2$ is the distance between set and real items less what is expected
of two samples of one distribution; its interval inverts a gamma distribution whose shape, under
$\Delta = 0$, comes from splits of the real items, and whose further variance comes from a
bootstrap. All of it needs sums over blocks of items, formed once. Derived for this project.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from madlib import theory

N_BLOCKS = 64
N_BOOTSTRAP = 100
Points = NDArray[np.float64]


class Blocks(NamedTuple):
    """Sums over blocks of items, from which the moments of any union of blocks follow.

    Attributes:
        n: [B], items in a block.
        sums: [B, k].
        squares: [B, k, k], sums of outer products.
        noise: n times the expected Frechet distance of n items from their distribution, n >> k.
    """

    n: NDArray[np.int64]
    sums: Points
    squares: Points
    noise: float


class Curve(NamedTuple):
    """A learning curve: scale times that of the isotropic normal distribution in dim dimensions."""

    scale: float
    dim: float

    def __call__(self, n: float) -> float:
        """Expected distance of n items."""
        return float(self.scale * theory.real_data_wasserstein2_squared(n, self.dim))

    def items(self, distance: ArrayLike) -> Points:
        """The n that are expected at these distances."""
        return np.asarray(theory.effective_sample_size(np.divide(distance, self.scale), self.dim))


class Worth(NamedTuple):
    """Effective sample size of a set, with its interval, and the distance that it comes from."""

    n_e: float
    low: float
    high: float
    distance: float
    distance_low: float
    distance_high: float


def blocks(rng: np.random.Generator, points: NDArray) -> Blocks:
    """Sums over blocks of equally many items, at random."""
    parts = np.array_split(rng.permutation(len(points)), min(N_BLOCKS, len(points)))
    held = [points[rows].astype(np.float64) for rows in parts]
    given = Blocks(
        np.array([len(part) for part in held]),
        np.array([part.sum(axis=0) for part in held]),
        np.array([part.T @ part for part in held]),
        np.nan,
    )
    mean, cov = moments(given, np.ones(len(held)))
    variance, basis = np.linalg.eigh(cov)
    variance = variance.clip(0)
    fourth = np.zeros_like(cov)
    for part in held:
        squares = ((part - mean) @ basis) ** 2
        fourth += squares.T @ squares / len(points)
    sums = variance[:, None] + variance
    spread = (fourth - np.diag(variance**2)).clip(0) / np.where(sums > 0, sums, np.inf)
    return given._replace(noise=float(variance.sum() + spread.sum() / 2))


def curve(given: Blocks) -> Curve:
    """The learning curve of items."""
    _, cov = moments(given, np.ones(len(given.n)))
    total = max(np.trace(cov), np.finfo(float).tiny)
    dim = max(4 * given.noise / total - 5, 1.0)
    return Curve(max(given.noise / (dim * (dim + 5) / 4), np.finfo(float).tiny), dim)


def moments(given: Blocks, times: NDArray) -> tuple[Points, Points]:
    """Mean [k] and unbiased covariance [k, k] of blocks, each taken so many times."""
    n = times @ given.n
    mean = times @ given.sums / n
    squares = np.tensordot(times, given.squares, 1)
    return mean, (squares - n * np.outer(mean, mean)) / (n - 1)


def frechet(first: tuple[Points, Points], second: tuple[Points, Points]) -> float:
    """Squared W_2 distance of two normal distributions, by mean and covariance."""
    (mean, cov), (mean_2, cov_2) = first, second
    values, vectors = np.linalg.eigh(cov)
    root = vectors * np.sqrt(values.clip(0))
    common = np.sqrt(np.linalg.eigvalsh(root.T @ cov_2 @ root).clip(0)).sum()
    return float(np.sum((mean - mean_2) ** 2) + np.trace(cov) + np.trace(cov_2) - 2 * common)


def splits(rng: np.random.Generator, given: Blocks, part: int, n_splits: int) -> Points:
    """Frechet distances [n_splits] of a part of the blocks, 1/2 or 1/4, say, from all others."""
    distances, n_blocks = [], len(given.n)
    for _ in range(n_splits):
        chosen = np.zeros(n_blocks)
        chosen[rng.permutation(n_blocks)[: n_blocks // part]] = 1
        distances.append(frechet(moments(given, chosen), moments(given, 1 - chosen)))
    return np.array(distances)


def worth(
    rng: np.random.Generator,
    real: Blocks,
    synthetic: Blocks,
    relative_variance: float,
    *,
    trained: bool,
    levels: Sequence[float],
) -> list[Worth]:
    """The effective sample size of a synthetic set.

    Args:
        rng: for the bootstrap.
        real: the real items.
        synthetic: the synthetic items.
        relative_variance: of the distance between halves of the real items, over splits.
        trained: whether the real items are those that the first generator was trained on. Their
            noise is then common to both sets: the distance lacks it, where it otherwise has it.
        levels: of two-sided intervals, .9 for 5 % beyond either end.

    Returns:
        One for each level.
    """
    n, m = int(real.n.sum()), int(synthetic.n.sum())
    real_curve, own_curve = curve(real), curve(synthetic)
    common = real_curve(n)
    chance = own_curve(m) + (0 if trained else common)  # distance of samples of one distribution
    observed = frechet(
        moments(real, np.ones(len(real.n))), moments(synthetic, np.ones(len(synthetic.n)))
    )
    excess = max(observed - chance, 0.0)
    at_null = relative_variance * chance**2
    per_excess = 2 * at_null / chance
    if excess > 2 * chance:
        # The bootstrap has the variance of the chance part three times: by its own draws once, and
        # twice by the gap that the data have by chance.
        again = [
            frechet(_resampled(rng, real), _resampled(rng, synthetic)) for _ in range(N_BOOTSTRAP)
        ]
        per_excess = max(np.var(again, ddof=1) - 3 * at_null, 0.0) / excess

    def beyond(true: float, low: float, high: float) -> float:
        """Probability of a distance below the one observed, less a level from low to high.

        An excess is never negative: at 0 a test has but one side, and two beyond the noise.
        """
        mean, variance = chance + true, at_null + per_excess * true
        below = stats.gamma.cdf(observed, mean**2 / variance, scale=variance / mean)
        return float(below - low - (high - low) * min(true / np.sqrt(at_null), 1.0))

    results = []
    for level in levels:
        low = _root(partial(beyond, low=level, high=(1 + level) / 2), observed + chance)
        high = _root(partial(beyond, low=0.0, high=(1 - level) / 2), observed + chance)
        # A set that cannot be told from real items has their curve; of the real items that were
        # trained on it shares the noise.
        floor = (real_curve if low == 0 else own_curve)(m) + (common if trained else 0)
        distances = [excess + floor, low + floor, high + floor]
        n_e, most, least = (float(f"{n:.6g}") for n in real_curve.items(distances))
        results.append(Worth(n_e, least, most, *distances))
    return results


def _resampled(rng: np.random.Generator, given: Blocks) -> tuple[Points, Points]:
    n_blocks = len(given.n)
    return moments(given, rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks)))


def _root(function: Callable[[float], float], scale: float) -> float:
    """Where a falling function is 0; 0 if it is below from the start."""
    if function(0.0) <= 0:
        return 0.0
    top = scale
    while function(top) > 0:
        top *= 2
    return optimize.brentq(function, 0.0, top)  # pyright: ignore[reportReturnType]
