r"""Scores of point sets: how good, how varied, how far apart are real [n, d] and synthetic [m, d]?

State the real set that was used, held-out real data unless stated otherwise, and show beside it the
same score between two real sets: finite samples never reach the ideal value. Scores do not depend
on where the sets lie: they are taken about an origin among the real points, in double precision
where the points are given so.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Float, Key

from madlib.errors import Count, as_points, checked, one_of, require
from madlib.generators import NormalParams
from madlib.linalg import origin_of, qr_upper
from madlib.metrics.laws import wasserstein2_squared

Ball = Annotated[str, one_of("closed", "open")]

_CHUNK = 2**22  # numbers held at once by a chunk of coordinate differences: 16 MiB of float32.


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
    E coverage = $1 - \prod_{i=1}^k (n-i)/(n+m-i)$. Costs O((n + m)^2 d) time and bounded memory;
    distances are taken of differences, so they keep their digits when the samples have collapsed.

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
    return _manifold_scores(*_two_sets(real, synthetic, k), k, ball)


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
    return _manifold_score("precision", *_two_sets(real, synthetic, k), k, ball)


@checked
def recall(real: Any, synthetic: Any, *, k: Count = 5, ball: Ball = "closed") -> Float[Array, ""]:
    """Diversity: share of real points inside the synthetic manifold. See `manifold_scores`.

    Example:
        >>> from madlib import metrics
        >>> float(metrics.recall([[0], [1], [2], [5]], [[1], [2]], k=1))
        0.75
    """
    return _manifold_score("recall", *_two_sets(real, synthetic, k), k, ball)


@checked
def density(real: Any, synthetic: Any, *, k: Count = 5, ball: Ball = "closed") -> Float[Array, ""]:
    """Quality: mean number of real balls holding a synthetic point, over k; see `manifold_scores`.

    Example:
        >>> from madlib import metrics
        >>> float(metrics.density([[0], [1], [2], [5]], [[1], [7]], k=1))
        2.0
    """
    return _manifold_score("density", *_two_sets(real, synthetic, k), k, ball)


@checked
def coverage(real: Any, synthetic: Any, *, k: Count = 5, ball: Ball = "closed") -> Float[Array, ""]:
    """Diversity: share of real balls holding a synthetic point. See `manifold_scores`.

    Example:
        >>> from madlib import metrics
        >>> float(metrics.coverage([[0], [1], [2], [5]], [[0], [7]], k=1))
        0.75
    """
    return _manifold_score("coverage", *_two_sets(real, synthetic, k), k, ball)


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
    return _frechet_distance(*_two_sets(real, synthetic, 1))


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
    return _sliced_wasserstein2_squared(key, *_two_sets(real, synthetic, 0), n_projections)


def _two_sets(real: Any, synthetic: Any, k: int) -> tuple[Float[Array, "n d"], Float[Array, "m d"]]:
    """Both, of more than k points, about an origin among the real ones unless they are traced."""
    real, synthetic = as_points(real, "real"), as_points(synthetic, "synthetic")
    (n, d), (m, e) = real.shape, synthetic.shape
    remedy = "Compare points of one space."
    require(d == e, "real and synthetic must have the same dimension", f"{d} and {e}", remedy)
    required = f"either set must hold more than {k} points"
    require(min(n, m) > k, required, f"{n} real and {m} synthetic", "Draw more, or lower k.")
    if not isinstance(real, Tracer) and not isinstance(synthetic, Tracer):
        origin = origin_of(real)
        real, synthetic = real - origin, synthetic - origin
    return jnp.asarray(real, float), jnp.asarray(synthetic, float)


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


@partial(jax.jit, static_argnames=("name", "k", "ball"))
def _manifold_score(name: str, real: Array, synthetic: Array, k: int, ball: Ball) -> Array:
    # Compiled apart, so that what the other three scores need is dropped as dead code.
    return getattr(_manifold_scores(real, synthetic, k, ball), name)


def _map_distances(
    function: Callable[[Float[Array, " m"]], Any],
    points: Float[Array, "n d"],
    others: Float[Array, "m d"],
) -> Any:
    """[n]: function of the squared distances [m] of each point to all others, chunk by chunk."""
    batch_size = max(1, min(len(points), _CHUNK // others.size))
    return lax.map(
        lambda point: function(jnp.sum((others - point[None, :]) ** 2, axis=1)),
        points,
        batch_size=batch_size,
    )


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

    batch_size = max(1, min(n_projections, _CHUNK // len(weight)))
    return jnp.mean(lax.map(distance, directions, batch_size=batch_size))


def _quantile_coupling(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pieces on which both empirical quantile functions are constant: weights, ranks in each."""
    # In units of 1/(n m), so that the breakpoints are whole numbers.
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    starts = np.concatenate([[0], ends[:-1]])
    return (ends - starts) / (n * m), starts // m, starts // n
