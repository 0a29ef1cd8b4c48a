"""Linear algebra that survives collapse: triangular roots of any rank, inverses, Procrustes.

Covariances are kept as lower triangular roots, cov = root root^T: products of roots stay accurate
and semi-definite where a collapsing covariance would not.

Every call of LAPACK here is sequential under vmap. Its batched kernels wait for threads of the pool
in which they run themselves, and enough of them at once are a deadlock (jaxlib 0.10). Devices, not
kernels, are spread over the cores.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

MAX_UNROLLED_DIM = 2  # up to here linear algebra is elementwise; beyond, LAPACK.


def triangular_root(columns: Float[Array, "d m"]) -> Float[Array, "d d"]:
    """Lower triangular L with non-negative diagonal and L L^T = columns columns^T, of any rank."""
    d = columns.shape[0]
    return _gram_schmidt(columns) if d <= MAX_UNROLLED_DIM else _cholesky_or_qr(columns)


def widened(chol: Float[Array, "d d"], floor: Float[Array, ""]) -> Float[Array, "d d"]:
    """Root of chol chol^T + floor^2 I."""
    return triangular_root(jnp.concatenate([chol, floor * jnp.eye(len(chol))], axis=1))


def inverse_root(chol: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """Inverse of a lower triangular matrix."""
    d = len(chol)
    if d > MAX_UNROLLED_DIM:
        return _triangular_inverse(chol)
    if d == 1:
        return 1 / chol
    (a, zero), (b, c) = chol
    return jnp.array([[1 / a, zero], [-b / (a * c), 1 / c]])


def log_normals(
    mean: Float[Array, "k d"], chol: Float[Array, "k d d"], points: Float[Array, "d n"]
) -> Float[Array, "k n"]:
    """Log-densities in nats of points [d, n] under k normal distributions of full rank."""
    d = mean.shape[1]
    gap = points[None] - mean[:, :, None]
    inverse = jax.vmap(inverse_root)(chol)
    if d <= MAX_UNROLLED_DIM:
        rows = (sum(inverse[:, i, j, None] * gap[:, j] for j in range(i + 1)) for i in range(d))
        squares = sum(row**2 for row in rows)
    else:
        squares = jnp.sum((inverse @ gap) ** 2, axis=1)
    log_scale = jnp.sum(jnp.log(jnp.diagonal(chol, axis1=1, axis2=2)), axis=1)
    return -(squares / 2 + log_scale[:, None] + d / 2 * jnp.log(2 * jnp.pi))


def solve_positive(matrix: Float[Array, "d d"], vector: Float[Array, " d"]) -> Float[Array, " d"]:
    """Solution of a system whose matrix is symmetric and positive definite."""
    return vector / matrix[0] if len(vector) == 1 else _solve_positive(matrix, vector)


@jax.custom_batching.sequential_vmap
def qr_upper(rows: Float[Array, "n d"]) -> Float[Array, "k d"]:
    """The upper triangular factor of QR, k = min(n, d)."""
    return jnp.linalg.qr(rows, mode="r")


def procrustes_squared(a: Float[Array, "d d"], b: Float[Array, "d d"]) -> Float[Array, ""]:
    """min over orthogonal U of |a - b U|_F^2, for lower triangular a and b.

    The minimizer is the orthogonal polar factor of b^T a.
    """
    a, b = _nonnegative_diagonal(a), _nonnegative_diagonal(b)
    gap = a - b
    if a.shape[0] == 1:
        return jnp.sum(gap**2)
    if a.shape[0] == 2:
        return _procrustes_squared_2d(a, b, gap)
    # U = 1 is admissible too; the better of the two makes the distance of a from itself 0.
    return jnp.minimum(jnp.sum((a - b @ _polar_factor(b.T @ a)) ** 2), jnp.sum(gap**2))


def origin_of(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A point [d] amid points [n, d], from which single precision resolves them.

    Each coordinate is a multiple of a power of two that exceeds their spread: what was exact stays
    so when it is subtracted, and points that lie about zero keep zero as their origin.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    step = np.ldexp(1.0, np.frexp(high - low)[1])
    return step * np.round((low + high) / 2 / step)


def _gram_schmidt(columns: Float[Array, "d m"]) -> Float[Array, "d d"]:
    """Orthogonalizes row after row: elementwise, fastest for a handful of dimensions."""
    d = columns.shape[0]
    rest = list(columns)
    root = [[jnp.zeros_like(columns[0, 0]) for _ in range(d)] for _ in range(d)]
    for j in range(d):
        norm = jnp.sqrt(jnp.sum(rest[j] ** 2))
        unit = rest[j] / jnp.where(norm > 0, norm, 1.0)
        root[j][j] = norm
        for i in range(j + 1, d):
            root[i][j] = jnp.sum(rest[i] * unit)
            rest[i] = rest[i] - root[i][j] * unit
    return jnp.array(root)


def _qr_root(columns: Float[Array, "d m"]) -> Float[Array, "d d"]:
    d, m = columns.shape
    padded = jnp.pad(columns, ((0, 0), (0, max(d - m, 0))))
    return _nonnegative_diagonal(jnp.linalg.qr(padded.T, mode="r").T)


@jax.custom_batching.sequential_vmap
def _cholesky_or_qr(columns: Float[Array, "d m"]) -> Float[Array, "d d"]:
    """Cholesky of the Gram matrix, 20 times faster than QR, and QR where it is inaccurate.

    Squaring loses half the digits: a root whose pivots differ by more than a factor 30 (or a
    singular one, where Cholesky is NaN) is computed by QR instead.
    """
    root = jax.lax.linalg.cholesky(columns @ columns.T, symmetrize_input=False)
    pivots = jnp.diagonal(root)
    sound = pivots.min() > pivots.max() / 30
    return jax.lax.cond(sound, lambda: root, lambda: _qr_root(columns))


@jax.custom_batching.sequential_vmap
def _triangular_inverse(chol: Float[Array, "d d"]) -> Float[Array, "d d"]:
    return jax.lax.linalg.triangular_solve(chol, jnp.eye(len(chol)), left_side=True, lower=True)


@jax.custom_batching.sequential_vmap
def _solve_positive(matrix: Float[Array, "d d"], vector: Float[Array, " d"]) -> Float[Array, " d"]:
    return jax.scipy.linalg.solve(matrix, vector, assume_a="pos")


@jax.custom_batching.sequential_vmap
def _polar_factor(matrix: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """Nearest orthogonal matrix."""
    left, _, right = jnp.linalg.svd(matrix)
    return left @ right


def _procrustes_squared_2d(a: Array, b: Array, gap: Array) -> Float[Array, ""]:
    """Closed form of `procrustes_squared`: det(b^T a) >= 0, so that U is a rotation.

    Its angle is that of (trace, antisymmetric part) of b^T a. Written in gap = a - b and in U - 1,
    which both keep their digits where a and b are near. Elsewhere a takes the place of gap: no
    angle comes from the rounding of b, and none is needed for a = 0.
    """
    along = b[0, 0] * a[0, 0] + b[1, 0] * a[1, 0] + b[1, 1] * a[1, 1]
    turned = jnp.where(jnp.sum(gap**2) < jnp.sum(b**2) / 4, gap, a)
    across = b[1, 1] * turned[1, 0] - b[1, 0] * turned[1, 1]
    norm = jnp.hypot(along, across)
    norm_safe = jnp.where(norm > 0, norm, 1.0)
    cos = jnp.where(norm > 0, along / norm_safe, 1.0)
    sin = across / norm_safe
    versine = jnp.where(cos > 0, sin**2 / (1 + jnp.abs(cos)), 1 - cos)
    rotated = (
        gap[0, 0] + b[0, 0] * versine,
        b[0, 0] * sin,
        gap[1, 0] + b[1, 0] * versine - b[1, 1] * sin,
        gap[1, 1] + b[1, 0] * sin + b[1, 1] * versine,
    )
    return jnp.sum(jnp.stack([entry**2 for entry in rotated]))


def _nonnegative_diagonal(chol: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """The root of the same covariance with a non-negative diagonal."""
    return jnp.where(jnp.diagonal(chol) < 0, -1.0, 1.0)[None, :] * chol
