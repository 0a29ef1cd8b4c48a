r"""Scores of point sets: how good, how varied, how far apart are real [n, d] and synthetic [m, d]?

State the real set that was used, held-out real data unless stated otherwise, and show beside it the
same score between two real sets: finite samples never reach the ideal value. Scores do not depend
on where the sets lie nor on their unit: points are centered and scaled, in double precision where
they are given so. Nearest neighbors are found among differences, a few rows at a time, in
O(n m d) operations and O((n + m) d) memory; large sets are screened first, by `neighbors`.
"""

import contextlib
import math
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Float, Key
from numpy.typing import NDArray

from madlib.errors import Count, Positive, Reals, as_points, as_reals, checked, one_of, require
from madlib.generators import NormalParams
from madlib.linalg import origin_of, qr_upper
from madlib.metrics import neighbors
from madlib.metrics.laws import wasserstein2_squared

Ball = Annotated[str, one_of("closed", "open")]

_CHUNK = 2**17  # squared distances held at once: in the cache of a core.


class ManifoldScores(NamedTuple):
    """Quality and diversity from nearest neighbors.

    The manifold of a set is the union of balls around its points, each reaching to the k-th nearest
    other point.

    Attributes:
        precision: [], share of synthetic points inside the real manifold (quality).
        recall: [], share of real points inside the synthetic manifold (diversity).
        density: [], mean number of real balls holding a synthetic point, over k (quality; may
            exceed 1).
        coverage: [], share of real balls holding a synthetic point (diversity).

    Example:
        >>> from madlib import metrics
        >>> metrics.manifold_scores([[0], [1], [2]], [[0], [2]], k=1)._fields
        ('precision', 'recall', 'density', 'coverage')
    """

    precision: Float[Array, ""]
    recall: Float[Array, ""]
    density: Float[Array, ""]
    coverage: Float[Array, ""]


@checked
def manifold_scores(
    real: Any, synthetic: Any, *, k: Count = 5, ball: Ball = "closed"
) -> ManifoldScores:
    r"""Precision, recall (Kynkaanniemi et al. 2019), density, coverage (Naeem et al. 2020).

    For two samples of one continuous distribution E density = 1 and
    E coverage = $1 - \prod_{i=1}^k (n-i)/(n+m-i)$.

    Args:
        real: points [n, d].
        synthetic: points [m, d].
        k: the ball of a point reaches to its k-th nearest neighbor in its own set, itself excluded.
        ball: "closed" holds the points at distance <= radius (Kynkaanniemi et al.), "open" those at
            distance < radius (Naeem et al. and their package `prdc`). They differ by ties alone,
            which collapse makes common: two identical constant sets have precision, recall and
            coverage 1 and density n/k with closed balls, and 0 throughout with open ones.

    Returns:
        The four scores.

    Raises:
        ParameterError: if k is not in [1, min(n, m) - 1], the dimensions differ or a point is not
            finite.

    Example:
        >>> from madlib import metrics
        >>> scores = metrics.manifold_scores([[0], [1], [2], [5]], [[1], [1], [1]], k=1)
        >>> [float(score) for score in scores]
        [1.0, 0.25, 3.0, 0.75]
    """
    real, synthetic, _ = two_sets(real, synthetic, k)
    if _is_large(real, synthetic):
        with contextlib.suppress(neighbors.TooMany):
            return _screened_scores(np.asarray(real), np.asarray(synthetic), k, ball)
    return _manifold_scores(real, synthetic, k, ball)


@checked
def precision(
    real: Any, synthetic: Any, *, k: Count = 5, ball: Ball = "closed"
) -> Float[Array, ""]:
    """Quality: share of synthetic points inside the real manifold. See `manifold_scores`.

    Example:
        >>> from madlib import metrics
        >>> float(metrics.precision([[0], [1], [2], [5]], [[1], [9]], k=1))
        0.5
    """
    return _manifold_score("precision", *two_sets(real, synthetic, k)[:2], k, ball)


@checked
def recall(real: Any, synthetic: Any, *, k: Count = 5, ball: Ball = "closed") -> Float[Array, ""]:
    """Diversity: share of real points inside the synthetic manifold. See `manifold_scores`.

    Example:
        >>> from madlib import metrics
        >>> float(metrics.recall([[0], [1], [2], [5]], [[1], [2]], k=1))
        0.75
    """
    return _manifold_score("recall", *two_sets(real, synthetic, k)[:2], k, ball)


@checked
def density(real: Any, synthetic: Any, *, k: Count = 5, ball: Ball = "closed") -> Float[Array, ""]:
    """Quality: mean number of real balls holding a synthetic point, over k; see `manifold_scores`.

    Example:
        >>> from madlib import metrics
        >>> float(metrics.density([[0], [1], [2], [5]], [[1], [7]], k=1))
        2.0
    """
    return _manifold_score("density", *two_sets(real, synthetic, k)[:2], k, ball)


@checked
def coverage(real: Any, synthetic: Any, *, k: Count = 5, ball: Ball = "closed") -> Float[Array, ""]:
    """Diversity: share of real balls holding a synthetic point. See `manifold_scores`.

    Example:
        >>> from madlib import metrics
        >>> float(metrics.coverage([[0], [1], [2], [5]], [[0], [7]], k=1))
        0.75
    """
    return _manifold_score("coverage", *two_sets(real, synthetic, k)[:2], k, ball)


def frechet_distance(real: Any, synthetic: Any) -> Float[Array, ""]:
    r"""Frechet distance: $W_2^2$ between normal distributions fitted to the two sets.

    FID when the points are features of a network (Heusel et al. 2017). Covariances are unbiased,
    the distance is not: between two samples of $N(0, I_d)$ it is about
    $d(d + 5)/4 \cdot (1/n + 1/m)$, so show the value between two real sets beside it.

    Args:
        real: points [n, d], n >= 2; n <= d is allowed.
        synthetic: points [m, d], m >= 2.

    Returns:
        [], at least 0.

    Raises:
        ParameterError: if a set has fewer than 2 points, the dimensions differ or a point is not
            finite.

    Example:
        >>> from madlib import metrics
        >>> float(metrics.frechet_distance([[0], [2]], [[3], [5]]))
        9.0
    """
    real, synthetic, unit = two_sets(real, synthetic, 1)
    return unit * (unit * _frechet_distance(real, synthetic))


@checked
def sliced_wasserstein2_squared(
    key: Key[Array, ""], real: Any, synthetic: Any, n_projections: Count = 100
) -> Float[Array, ""]:
    r"""Sliced $W_2^2$: the mean over random directions of $W_2^2$ between the projected samples.

    Each one-dimensional distance is exact for any two sizes: the integral of the squared difference
    of the two quantile functions (Rabin et al. 2012; Bonneel et al. 2015). With d = 1 it is $W_2^2$
    itself. A shift by $\delta$ gives $|\delta|^2/d$ on average.

    Args:
        key: for the directions, uniform on the sphere.
        real: points [n, d].
        synthetic: points [m, d].
        n_projections: number of directions; the standard error falls as one over its root.

    Returns:
        [], at least 0.

    Raises:
        ParameterError: if n_projections < 1, the dimensions differ or a point is not finite.

    Example:
        >>> import jax
        >>> from madlib import metrics
        >>> float(metrics.sliced_wasserstein2_squared(jax.random.key(0), [[0], [2]], [[1]]))
        1.0
    """
    real, synthetic, unit = two_sets(real, synthetic, 0)
    return unit * (unit * _sliced_wasserstein2_squared(key, real, synthetic, n_projections))


@checked
def mmd_squared(
    real: Any, synthetic: Any, *, bandwidth: Positive | None = None
) -> Float[Array, ""]:
    r"""Maximum mean discrepancy squared, unbiased, with a Gaussian kernel (Gretton et al. 2012).

    $E k(x, x') + E k(y, y') - 2 E k(x, y)$ over pairs of different points, with
    $k(x, y) = \exp(-|x - y|^2/(2 h^2))$. 0 on average for two samples of one distribution, so that
    it may be negative.

    Args:
        real: points [n, d], n >= 2.
        synthetic: points [m, d], m >= 2.
        bandwidth: h; by default the median distance between the first 1,000 real points. Traced
            points need it.

    Example:
        >>> from madlib import metrics
        >>> round(float(metrics.mmd_squared([[0], [0]], [[2], [2]], bandwidth=1)), 4)
        1.7293
    """
    real, synthetic, unit = two_sets(real, synthetic, 1)
    if bandwidth is None:
        traced = isinstance(real, Tracer)
        require(not traced, "traced points need a bandwidth", None, "Pass their median distance.")
        gaps = scipy.spatial.distance.pdist(np.asarray(real[:1000], float))
        bandwidth = unit * float(np.median(gaps)) or 1.0
    n, m, h = len(real), len(synthetic), jnp.asarray(bandwidth / unit, real.dtype)
    within = [(_kernel_sum(x, x, h) - len(x)) / len(x) / (len(x) - 1) for x in (real, synthetic)]
    return sum(within) - 2 * _kernel_sum(real, synthetic, h) / n / m


@checked
def knn_entropy(points: Any, *, k: Count = 5) -> Float[Array, ""]:
    r"""Differential entropy in nats, from nearest neighbors (Kozachenko & Leonenko 1987).

    $$\hat H = \psi(n) - \psi(k) + \log c_d + \frac{d}{n} \sum_i \log r_k(x_i)$$

    with $c_d$ the volume of the unit ball and $r_k$ the distance to the k-th nearest other point.
    It sees lost diversity without a reference set: a normal distribution whose variance shrinks by
    a factor v loses (d/2) log(1/v). Its bias falls slowly with n in many dimensions: compare equal
    n. -inf for a set in which a point occurs more than k times.

    Args:
        points: [n, d], n > k.
        k: neighbors.

    Example:
        >>> from madlib import metrics
        >>> round(float(metrics.knn_entropy([[0], [1]], k=1)), 4)
        1.6931
    """
    points, _, unit = two_sets(points, points, k, "points")
    n, d = points.shape
    ball = d / 2 * math.log(math.pi) - scipy.special.gammaln(d / 2 + 1)
    known = scipy.special.digamma(n) - scipy.special.digamma(k) + ball + d * math.log(unit)
    return float(known) + d * jnp.mean(jnp.log(_neighbor_distances(points, points, k)))


class Novelty(NamedTuple):
    """Distances to the nearest training example.

    Attributes:
        distance: [m], from each synthetic point: 0 where it is a copy.
        floor: [n], from each training example to the nearest other one.

    Example:
        >>> from madlib import metrics
        >>> metrics.novelty([[0], [1]], [[3]])._fields
        ('distance', 'floor')
    """

    distance: Float[Array, " m"]
    floor: Float[Array, " n"]


def novelty(training: Any, synthetic: Any) -> Novelty:
    """Distance of synthetic points from the training set, and of real points from each other.

    A model that memorizes draws points nearer to its training examples than new real ones would be.

    Args:
        training: points [n, d], n >= 2.
        synthetic: points [m, d].

    Returns:
        Both distances; new real points have those of `floor`, to order 1/n.

    Example:
        >>> from madlib import metrics
        >>> distance, floor = metrics.novelty([[0], [3], [4]], [[3], [9]])
        >>> distance.tolist(), floor.tolist()
        ([0.0, 5.0], [3.0, 1.0, 1.0])
    """
    training, synthetic, unit = two_sets(training, synthetic, 0, "training")
    require(len(training) > 1, "training must hold 2 points", 1, "Give more examples.")
    pairs = (synthetic, training, 0), (training, training, 1)
    return Novelty(*(unit * _neighbor_distances(*pair) for pair in pairs))


@checked
def sample_variance(points: Any) -> Float[Array, ""]:
    """Total variance of points, [], unbiased; inside `jax.jit` as outside.

    Args:
        points: [n, d], n >= 2.

    Raises:
        ParameterError: if there is one point only, or one is not finite.

    Example:
        >>> from madlib import metrics
        >>> float(metrics.sample_variance([[0.0, 0.0], [2.0, 4.0]]))
        10.0
    """
    points = as_points(points)
    require(len(points) > 1, "a variance takes two points or more", "1", "Draw more.")
    xp = np if isinstance(points, np.ndarray) else jnp  # NumPy keeps double precision.
    return jnp.asarray(xp.sum(xp.var(points, axis=0, ddof=1)), float)


@checked
def effective_rank(points: Any = None, *, cov: Reals = None) -> float:
    r"""Effective rank of a covariance, $\exp(-\sum_i p_i \log p_i)$ (Roy & Vetterli 2007).

    The exponential of the entropy of its normalized eigenvalues $p_i$: d for an isotropic
    distribution, 1 for a line, 0 for a point.

    Args:
        points, cov: as for `effective_dimension`.

    Example:
        >>> from madlib import metrics
        >>> round(metrics.effective_rank(cov=[1, 1, 1, 0]), 9)
        3.0
    """
    variance = _spectrum(points, cov)
    share = variance[variance > 0] / max(variance.sum(), np.finfo(float).tiny)
    return float(np.exp(-share @ np.log(share))) if len(share) else 0.0


@checked
def effective_dimension(points: Any = None, *, cov: Reals = None) -> float:
    r"""The d of an isotropic distribution with the same laws of the loop, to leading order in 1/n.

    $$d_{eff} = \frac{4K}{\operatorname{tr} \Sigma} - 1
      = \frac{2}{\operatorname{tr} \Sigma} \sum_{ij} \frac{s_i s_j}{s_i + s_j},
      \quad K = \frac12 \sum_{ij} \frac{s_i s_j (1 + \delta_{ij})}{s_i + s_j}$$

    with $s_i$ the eigenvalues of the covariance: $E W_2^2$ of a fit to n points is
    $(\operatorname{tr} \Sigma + K)/n$, and n_e and the border of useful synthetic data follow. It
    lies between 1 and d, and need not be whole. Derived for this project. From n points it is that
    of their sample covariance, which is less: for an isotropic distribution by about $d^2/(2n)$.

    Args:
        points: [n, d], n >= 2; or, if symmetric, a covariance [d, d].
        cov: a covariance [d, d], or its eigenvalues [d].

    Returns:
        0 for a point.

    Raises:
        ParameterError: for neither or both, or for what is not positive semi-definite.

    Example:
        >>> import numpy as np
        >>> from madlib import metrics
        >>> round(metrics.effective_dimension(cov=np.exp(-np.arange(128) / 8)), 1)
        22.2
    """
    s = _spectrum(points, cov)
    s = s[s > 0]
    pairs = s / (s[:, None] + s)
    return float(2 * s @ pairs.sum(axis=1) / s.sum()) if len(s) else 0.0


def _spectrum(points: Any, cov: Any) -> NDArray[np.float64]:
    """Eigenvalues [d] of a covariance, or of that of points; of n < d points, the n that count."""
    one = (points is None) != (cov is None)
    require(one, "give points or cov", "both or none", "Drop or add one.")
    if cov is None:
        points = as_reals(points, "points")
        if points.ndim == 2 and np.array_equal(points, points.T):
            return _spectrum(None, points)
        points = as_points(points)
        n, d = points.shape
        require(n > 1, "points must be at least 2", n, "Give more, or cov.")
        points -= points.mean(axis=0)
        small = points.T @ points if d <= n else points @ points.T
        return np.linalg.eigvalsh(small / (n - 1)).clip(0)
    largest = np.abs(cov).max(initial=0.0)
    square = cov.ndim == 2 and cov.shape[0] == cov.shape[1]
    fine = cov.ndim == 1 or (square and np.abs(cov - cov.T).max(initial=0.0) <= 1e-6 * largest)
    require(fine, "cov must be [d, d], symmetric, or [d]", f"shape {cov.shape}", "Symmetrize it.")
    variance = cov if cov.ndim == 1 else np.linalg.eigvalsh(cov)
    least, remedy = variance.min(initial=0.0), "Clip its eigenvalues at 0."
    fine = least >= -1e-6 * largest
    require(fine, "cov must be positive semi-definite", f"an eigenvalue of {least:.3g}", remedy)
    return variance.clip(0)


def two_sets(
    real: Any, synthetic: Any, k: int, name: str = "real"
) -> tuple[Float[Array, "n d"], Float[Array, "m d"], float]:
    """Both, of more than k points, about an origin among the first, in units of its spread.

    Also the unit, a power of two. Traced points are left where they are.
    """
    same = synthetic is real
    real = as_points(real, name)
    synthetic = real if same else as_points(synthetic, "synthetic")
    (n, d), (m, e) = real.shape, synthetic.shape
    remedy = "Compare points of one space."
    require(d == e, f"{name} and synthetic must have the same dimension", f"{d} and {e}", remedy)
    required = f"a set must hold more than {k} points"
    received = f"{n}" if same else f"{n} {name} and {m} synthetic"
    require(min(n, m) > k, required, received, "Draw more, or lower k.")
    unit = 1.0
    if not isinstance(real, Tracer) and not isinstance(synthetic, Tracer):
        origin, sets = origin_of(real), [real] if same else [real, synthetic]
        for points in sets:
            points -= origin  # of the copies that as_points makes
        spread = next((x for x in map(np.ptp, sets) if x > 0), 1.0)
        unit = math.ldexp(1.0, min(math.frexp(spread)[1], 127))
        for points in sets:
            points /= unit
    return jnp.asarray(real, float), jnp.asarray(synthetic, float), unit


@partial(jax.jit, static_argnames=("k", "ball"))
def _manifold_scores(real: Array, synthetic: Array, k: int, ball: Ball) -> ManifoldScores:
    holds = jnp.less_equal if ball == "closed" else jnp.less
    radius_real = _map_distances(partial(_smallest, rank=k), real, real)
    radius_synthetic = _map_distances(partial(_smallest, rank=k), synthetic, synthetic)

    n_holding = _map_distances(lambda d2: jnp.sum(holds(d2, radius_real)), synthetic, real)
    recalled, nearest = _map_distances(
        lambda d2: (jnp.any(holds(d2, radius_synthetic)), jnp.min(d2)), real, synthetic
    )
    return ManifoldScores(
        precision=jnp.mean(n_holding > 0),
        recall=jnp.mean(recalled),
        density=jnp.mean(n_holding) / k,
        coverage=jnp.mean(holds(nearest, radius_real)),
    )


def _screened_scores(real: NDArray, synthetic: NDArray, k: int, ball: Ball) -> ManifoldScores:
    reach, reached = (neighbors.kth_nearest(points, points, k) for points in (real, synthetic))
    holds = np.less_equal if ball == "closed" else np.less
    held, inside, holding = neighbors.near_counts(real, synthetic, reach, reached, holds)
    means = (held > 0).mean(), (holding > 0).mean(), held.mean() / k, (inside > 0).mean()
    return ManifoldScores(*(jnp.asarray(mean, float) for mean in means))


def _is_large(points: Any, others: Any) -> bool:
    """Whether screening by products pays: not where XLA traces, nor in few dimensions."""
    traced = isinstance(points, Tracer) or isinstance(others, Tracer)
    (n, d), m = points.shape, len(others)
    return not traced and d >= 8 and n * m >= 2**21 and jax.default_backend() == "cpu"


@partial(jax.jit, static_argnames=("name", "k", "ball"))
def _manifold_score(name: str, real: Array, synthetic: Array, k: int, ball: Ball) -> Array:
    # Compiled apart, so that what the other three scores need is dropped as dead code.
    return getattr(_manifold_scores(real, synthetic, k, ball), name)


def _neighbor_distances(
    points: Float[Array, "n d"], others: Float[Array, "m d"], rank: int
) -> Float[Array, " n"]:
    """Distance [n] of each point to one of the others, the nearest of which has rank 0."""
    if _is_large(points, others):
        with contextlib.suppress(neighbors.TooMany):
            squared = neighbors.kth_nearest(np.asarray(points), np.asarray(others), rank)
            return jnp.asarray(np.sqrt(squared), float)
    return _kth_distances(points, others, rank)


@partial(jax.jit, static_argnames="rank")
def _kth_distances(points: Array, others: Array, rank: int) -> Float[Array, " n"]:
    return jnp.sqrt(_map_distances(partial(_smallest, rank=rank), points, others))


@jax.jit
def _kernel_sum(
    points: Float[Array, "n d"], others: Float[Array, "m d"], h: Float[Array, ""]
) -> Float[Array, ""]:
    """Sum of the kernel of bandwidth h over all pairs."""
    sums = _map_distances(lambda d2: jnp.sum(jnp.exp(-d2 / (2 * h**2))), points, others)
    return jnp.sum(sums)


def _map_distances(
    function: Callable[[Float[Array, " m"]], Any],
    points: Float[Array, "n d"],
    others: Float[Array, "m d"],
) -> Any:
    """[n]: function of the squared distances [m] of each point to all others, by blocks of rows.

    Coordinates are added one after the other, so that rows of others are the inner loop: two to
    forty times as fast on CPU as a sum for each pair.
    """
    (n, d), m = points.shape, len(others)
    n_rows = min(n, max(1, _CHUNK // m))
    columns = others.T

    def block(rows: Float[Array, "r d"]) -> Any:
        def add(i, total):
            return total + (rows[:, i][:, None] - columns[i][None, :]) ** 2

        squares = jnp.zeros((n_rows, m), points.dtype)
        return jax.vmap(function)(lax.fori_loop(0, d, add, squares, unroll=min(8, d)))

    padded = jnp.pad(points, ((0, -n % n_rows), (0, 0))).reshape(-1, n_rows, d)
    return jax.tree.map(lambda leaf: leaf.reshape(-1)[:n], lax.map(block, padded))


def _smallest(values: Float[Array, " n"], rank: int) -> Float[Array, ""]:
    """The value of the given rank, counted from 0 with multiplicity: walks up the distinct values.

    rank + 1 rounds of a minimum: `lax.top_k` sorts on CPU, twenty times slower at 5,000 values.
    """

    def step(_, value):
        above = jnp.min(jnp.where(values > value, values, jnp.inf))
        return jnp.where(jnp.sum(values <= value) > rank, value, above)

    return lax.fori_loop(0, rank + 1, step, jnp.array(-1.0, values.dtype))


@jax.jit
def _frechet_distance(real: Array, synthetic: Array) -> Float[Array, ""]:
    return wasserstein2_squared(_fit_normal(real), _fit_normal(synthetic))


def _fit_normal(points: Float[Array, "n d"]) -> NormalParams:
    """Mean and a triangular root of the unbiased covariance, of any rank."""
    n, d = points.shape
    mean = jnp.mean(points, axis=0)
    # QR of the points: a Cholesky factor of their covariance would lose half of the digits.
    rows = jnp.pad(points - mean[None, :], ((0, max(0, d - n)), (0, 0)))
    return NormalParams(mean, qr_upper(rows).T / np.sqrt(n - 1))


@partial(jax.jit, static_argnames="n_projections")
def _sliced_wasserstein2_squared(
    key: Array, real: Array, synthetic: Array, n_projections: int
) -> Float[Array, ""]:
    weight, row_real, row_synthetic = _quantile_coupling(len(real), len(synthetic))
    normals = jax.random.normal(key, (n_projections, real.shape[1]), real.dtype)
    directions = normals / jnp.linalg.norm(normals, axis=1, keepdims=True)

    def distance(direction):
        sorted_real = jnp.sort(real @ direction)
        sorted_synthetic = jnp.sort(synthetic @ direction)
        gap = sorted_real[row_real] - sorted_synthetic[row_synthetic]
        return jnp.sum(weight.astype(gap.dtype) * gap**2)

    batch_size = max(1, min(n_projections, 2**22 // len(weight)))
    return jnp.mean(lax.map(distance, directions, batch_size=batch_size))


def _quantile_coupling(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pieces on which both empirical quantile functions are constant: weights, ranks in each."""
    # In units of 1/(n m), so that the breakpoints are whole numbers.
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    starts = np.concatenate([[0], ends[:-1]])
    return (ends - starts) / (n * m), starts // m, starts // n
