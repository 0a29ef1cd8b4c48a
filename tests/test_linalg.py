"""Linear algebra against NumPy and SciPy in double precision, of any rank."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg, stats

from madlib.linalg import (
    inverse_root,
    log_normals,
    procrustes_squared,
    qr_upper,
    solve_positive,
    triangular_root,
    widened,
)

EPS = np.finfo(np.float32).eps
DIMS = (1, 2, 3, 5, 64)
each_dim = pytest.mark.parametrize("d", DIMS)


def assert_close(what, measured, expected, scale):
    """Within 50 roundings of single precision of the scale."""
    error = np.abs(np.asarray(measured, np.float64) - expected).max()
    assert error <= 50 * EPS * scale, f"{what}: error {error:.3g}, scale {scale:.3g}"


def random_root(rng, d, n=()):
    """Lower triangular [*n, d, d] with a positive diagonal."""
    normals = np.tril(rng.standard_normal((*n, d, d))) / np.sqrt(d)
    return np.where(np.eye(d), 1 + np.abs(normals), normals).astype(np.float32)


@each_dim
def test_triangular_root_of_every_rank(d):
    """The root of columns of rank 0 to d, side by side in one batch."""
    rng = np.random.default_rng(d)
    ranks = sorted({0, 1, 2, d // 2, d - 1, d} & set(range(d + 1)))
    factors = [rng.standard_normal((d, r)) @ rng.standard_normal((r, d + 3)) for r in ranks]
    columns = np.stack(factors).astype(np.float32)
    roots = np.asarray(jax.jit(jax.vmap(triangular_root))(columns), np.float64)
    wide = columns.astype(np.float64)
    for rank, root, product in zip(ranks, roots, wide @ wide.swapaxes(-1, -2), strict=True):
        assert np.array_equal(root, np.tril(root)) and (np.diagonal(root) >= 0).all()
        assert_close(f"rank {rank}", root @ root.T, product, np.trace(product))
        if rank == d:
            expected = np.linalg.cholesky(product)
            # A root is determined as well as its smallest pivot.
            scale = np.linalg.cond(expected) * np.abs(expected).max()
            assert_close("NumPy's Cholesky", root, expected, scale)


@each_dim
def test_triangular_root_of_few_columns(d):
    columns = np.random.default_rng(d).standard_normal((d, max(1, d // 2))).astype(np.float32)
    root = np.asarray(triangular_root(jnp.asarray(columns)), np.float64)
    product = columns.astype(np.float64) @ columns.T
    assert np.array_equal(root, np.tril(root)) and (np.diagonal(root) >= 0).all()
    assert_close("root", root @ root.T, product, np.trace(product))


@pytest.mark.parametrize("scale", [1e-15, 1e15])
@pytest.mark.parametrize("d", [2, 5])
def test_triangular_root_of_extreme_scales(d, scale):
    rng = np.random.default_rng(0)
    columns = (scale * rng.standard_normal((d, 2 * d))).astype(np.float32)
    root = np.asarray(triangular_root(jnp.asarray(columns)), np.float64)
    wide = columns.astype(np.float64)
    assert_close("root", root @ root.T, wide @ wide.T, np.trace(wide @ wide.T))


@each_dim
def test_widened_is_the_root_of_a_sum(d):
    root = random_root(np.random.default_rng(d), d)
    root[:, 0] = 0  # singular
    found = np.asarray(widened(jnp.asarray(root), jnp.float32(0.3)), np.float64)
    expected = root.astype(np.float64) @ root.T + 0.09 * np.eye(d)
    assert_close("covariance", found @ found.T, expected, np.trace(expected))


@each_dim
def test_inverse_and_solution(d):
    rng = np.random.default_rng(d)
    root, vector = random_root(rng, d, (3,)), rng.standard_normal((3, d)).astype(np.float32)
    wide = root.astype(np.float64)
    scale = np.linalg.cond(wide).max() * np.abs(np.linalg.inv(wide)).max()
    assert_close("inverse", jax.vmap(inverse_root)(root), np.linalg.inv(wide), scale)
    matrix = (wide @ wide.swapaxes(-1, -2)).astype(np.float32)
    expected = np.linalg.solve(matrix.astype(np.float64), vector[..., None])[..., 0]
    scale = np.linalg.cond(matrix).max() * np.abs(expected).max()
    assert_close("solution", jax.vmap(solve_positive)(matrix, vector), expected, scale)


@each_dim
def test_log_normals_are_those_of_scipy(d):
    rng = np.random.default_rng(d)
    mean, root = rng.standard_normal((3, d)).astype(np.float32), random_root(rng, d, (3,))
    points = rng.standard_normal((20, d)).astype(np.float32)
    found = log_normals(jnp.asarray(mean), jnp.asarray(root), jnp.asarray(points.T))
    wide = root.astype(np.float64)
    for k in range(3):
        exact = stats.multivariate_normal(mean[k], wide[k] @ wide[k].T).logpdf(points)
        assert_close("log-density", found[k], exact, np.linalg.cond(wide[k]) * np.abs(exact).max())


@pytest.mark.parametrize("n", [2, 3, 9])
def test_qr_upper_is_a_root_of_the_gram_matrix(n):
    rows = np.random.default_rng(n).standard_normal((2, n, 3)).astype(np.float32)
    upper = np.asarray(jax.jit(jax.vmap(qr_upper))(rows), np.float64)
    wide = rows.astype(np.float64)
    assert upper.shape == (2, min(n, 3), 3)
    for ours, gram in zip(upper, wide.swapaxes(-1, -2) @ wide, strict=True):
        assert np.array_equal(ours, np.triu(ours))
        assert_close("Gram matrix", ours.T @ ours, gram, np.trace(gram))


@each_dim
@pytest.mark.parametrize("near", [1.0, 1e-3])
def test_procrustes_is_the_minimum_over_rotations(d, near):
    """By SciPy's orthogonal Procrustes in double precision; it keeps its digits if a is near b."""
    rng = np.random.default_rng(d)
    b = random_root(rng, d)
    a = (b + near * np.tril(rng.standard_normal((d, d)))).astype(np.float32)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    rotation, _ = linalg.orthogonal_procrustes(wide_b, wide_a)
    exact = np.sum((wide_a - wide_b @ rotation) ** 2)
    # For d > 2 the rotation has an error of single precision, of the size of b.
    rounding = 50 * EPS * (exact + np.sqrt(exact) * np.linalg.norm(b) * (d > 2))
    rounding += (50 * EPS * np.linalg.norm(b)) ** 2 * (d > 2)
    assert abs(float(procrustes_squared(jnp.asarray(a), jnp.asarray(b))) - exact) <= rounding


@each_dim
def test_procrustes_at_its_limits(d):
    b = jnp.asarray(random_root(np.random.default_rng(d), d))
    assert procrustes_squared(b, b) == 0
    zero = jnp.zeros((d, d))
    for found in (procrustes_squared(zero, b), procrustes_squared(b, zero)):
        np.testing.assert_allclose(found, jnp.sum(b**2), rtol=1e-5)
    assert procrustes_squared(zero, zero) == 0
    signs = jnp.where(jnp.arange(d) % 2 == 0, -1.0, 1.0)
    assert procrustes_squared(b * signs[None, :], b) == 0
