r"""Scores of point sets: how good, how varied, how far apart are real [n, d] and synthetic [m, d]?

Say which real set was used, held-out real data unless said otherwise, and show beside it the same
score between two real sets: finite samples never reach the ideal value.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key

from madlib.errors import ParameterError
from madlib.linalg import procrustes_squared, qr_upper

Ball = Literal["closed", "open"]

# Numbers held at once by a chunk of coordinate differences: 16 MiB of float32.
_CHUNK = 2**22


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
    """

    precision: Float[Array, ""]
    recall: Float[Array, ""]
    density: Float[Array, ""]
    coverage: Float[Array, ""]


def manifold_scores(
    real: Float[Array, "n d"], synthetic: Float[Array, "m d"], *, k: int = 5, ball: Ball = "closed"
) -> ManifoldScores:
    r"""Precision, recall (Kynkaanniemi et al. 2019), density, coverage (Naeem et al. 2020).

    For two samples of one continuous law E density = 1 and
    E coverage = $1 - \prod_{i=1}^k (n-i)/(n+m-i)$. Costs O((n + m)^2 d) time and bounded memory;
    distances are taken of differences, so they keep their digits when the samples have collapsed.

    Args:
        real: [n, d].
        synthetic: [m, d].
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
    """
    return _manifold_scores(*_check_manifold(real, synthetic, k, ball), k, ball)


def precision(
    real: Float[Array, "n d"], synthetic: Float[Array, "m d"], *, k: int = 5, ball: Ball = "closed"
) -> Float[Array, ""]:
    """Quality: share of synthetic points inside the real manifold. See `manifold_scores`."""
    return _manifold_score("precision", *_check_manifold(real, synthetic, k, ball), k, ball)


def recall(
    real: Float[Array, "n d"], synthetic: Float[Array, "m d"], *, k: int = 5, ball: Ball = "closed"
) -> Float[Array, ""]:
    """Diversity: share of real points inside the synthetic manifold. See `manifold_scores`."""
    return _manifold_score("recall", *_check_manifold(real, synthetic, k, ball), k, ball)


def density(
    real: Float[Array, "n d"], synthetic: Float[Array, "m d"], *, k: int = 5, ball: Ball = "closed"
) -> Float[Array, ""]:
    """Quality: mean number of real balls holding a synthetic point, over k.

    See `manifold_scores`.
    """
    return _manifold_score("density", *_check_manifold(real, synthetic, k, ball), k, ball)


def coverage(
    real: Float[Array, "n d"], synthetic: Float[Array, "m d"], *, k: int = 5, ball: Ball = "closed"
) -> Float[Array, ""]:
    """Diversity: share of real balls holding a synthetic point. See `manifold_scores`."""
    return _manifold_score("coverage", *_check_manifold(real, synthetic, k, ball), k, ball)


def frechet_distance(real: Float[Array, "n d"], synthetic: Float[Array, "m d"]) -> Float[Array, ""]:
    r"""Frechet distance: $W_2^2$ (squared) between normal laws fitted to the two sets.

    FID when the points are features of a network (Heusel et al. 2017). Covariances are unbiased,
    the distance is not: between two samples of $N(0, I_d)$ it is about
    $d(d + 5)/4 \cdot (1/n + 1/m)$, so show the value between two real sets beside it.

    Args:
        real: [n, d], n >= 2; n <= d is allowed.
        synthetic: [m, d], m >= 2.

    Returns:
        [], at least 0.

    Raises:
        ParameterError: if a set has fewer than 2 points, the dimensions differ or a point is not
            finite.
    """
    return _frechet_distance(*_check_points(real, synthetic, minimum=2))


def sliced_wasserstein2_squared(
    key: Key[Array, ""],
    real: Float[Array, "n d"],
    synthetic: Float[Array, "m d"],
    n_projections: int = 100,
) -> Float[Array, ""]:
    r"""Sliced $W_2^2$: the mean over random directions of $W_2^2$ between the projected samples.

    Each one-dimensional distance is exact for any two sizes: the integral of the squared difference
    of the two quantile functions (Rabin et al. 2012; Bonneel et al. 2015). With d = 1 it is $W_2^2$
    itself. A shift by $\delta$ gives $|\delta|^2/d$ on average.

    Args:
        key: for the directions, uniform on the sphere.
        real: [n, d].
        synthetic: [m, d].
        n_projections: number of directions; the standard error falls as one over its root.

    Returns:
        [], at least 0.

    Raises:
        ParameterError: if n_projections < 1, the dimensions differ or a point is not finite.
    """
    if n_projections < 1:
        raise ParameterError(
            f"n_projections must be at least 1; got {n_projections}. Use 100 or more."
        )
    real, synthetic = _check_points(real, synthetic, minimum=1)
    return _sliced_wasserstein2_squared(key, real, synthetic, n_projections)


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
    mean, root = _fit_normal(real)
    mean_synthetic, root_synthetic = _fit_normal(synthetic)
    return jnp.sum((mean - mean_synthetic) ** 2) + procrustes_squared(root, root_synthetic)


def _fit_normal(points: Float[Array, "n d"]) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    """Mean and a triangular root of the unbiased covariance, of any rank."""
    n, d = points.shape
    mean = jnp.mean(points, axis=0)
    # QR of the points: a Cholesky factor of their covariance would lose half of the digits.
    rows = jnp.pad(points - mean[None, :], ((0, max(0, d - n)), (0, 0)))
    return mean, qr_upper(rows).T / np.sqrt(n - 1)


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


def _check_manifold(
    real: Array, synthetic: Array, k: int, ball: str
) -> tuple[Float[Array, "n d"], Float[Array, "m d"]]:
    if ball not in ("closed", "open"):
        raise ParameterError(
            f"ball must be 'closed' or 'open'; got {ball!r}. Use 'closed' for distance <= radius."
        )
    real, synthetic = _check_points(real, synthetic, minimum=2)
    largest = min(len(real), len(synthetic)) - 1
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= largest:
        raise ParameterError(
            f"k must be a whole number in [1, {largest}], less than the points in either set; "
            f"got k={k!r} with {len(real)} real and {len(synthetic)} synthetic points. "
            "Lower k or draw more."
        )
    return real, synthetic


def _check_points(
    real: Array, synthetic: Array, minimum: int
) -> tuple[Float[Array, "n d"], Float[Array, "m d"]]:
    real = _check_point_set("real", real, minimum)
    synthetic = _check_point_set("synthetic", synthetic, minimum)
    if real.shape[1] != synthetic.shape[1]:
        raise ParameterError(
            "real and synthetic points must have the same dimension; "
            f"got {real.shape[1]} and {synthetic.shape[1]}. Compare points of one space."
        )
    return real, synthetic.astype(real.dtype)


def _check_point_set(name: str, points: Array, minimum: int) -> Float[Array, "n d"]:
    if not isinstance(points, jax.Array):
        points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] < 1:
        raise ParameterError(
            f"{name} must be points [n, d]; got shape {points.shape}. "
            "Use x[:, None] for points on a line, and jax.vmap for many sets."
        )
    if len(points) < minimum:
        raise ParameterError(
            f"{name} must hold at least {minimum} points; got {len(points)}. Draw more."
        )
    # Under tracing there are no values to look at.
    if not isinstance(points, jax.core.Tracer):
        n_bad = len(points) - np.count_nonzero(np.isfinite(points).all(axis=1))
        if n_bad:
            raise ParameterError(
                f"{name} points must be finite; got {n_bad} of {len(points)} with NaN or infinity. "
                "Remove them, or look at the generator that made them."
            )
    points = jnp.asarray(points)
    return points if jnp.issubdtype(points.dtype, jnp.floating) else points.astype(float)
