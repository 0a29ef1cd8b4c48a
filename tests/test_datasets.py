"""Datasets add: any way of adding up the parts is the whole, checked in float64 NumPy."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused

from madlib.datasets import Moments, Samples
from madlib.statistics import Counts, NormalEquations

EPS = np.finfo(np.float32).eps
DIMS = (1, 2, 3, 5, 64)
N_PARTS = 3


def points_of(n, d, *, offset=3.0, seed=0):
    """[N_PARTS, n, d] points whose coordinates differ in scale, away from the origin."""
    rng = np.random.default_rng(seed)
    scale = np.linspace(1, 3, d)
    return (offset + scale * rng.standard_normal((N_PARTS, n, d))).astype(np.float32)


def scatter_of(points):
    centered = points.astype(np.float64) - points.mean(0, dtype=np.float64)
    return centered.T @ centered


def assert_close(what, measured, expected, scale):
    """Within 50 roundings of single precision of the scale."""
    error = np.abs(np.asarray(measured, np.float64) - expected).max()
    assert error <= 50 * EPS * scale, f"{what}: error {error:.3g}, scale {scale:.3g}"


def assert_moments(moments, points):
    """Moments are those of points [n, d]."""
    n, d = points.shape
    scatter = scatter_of(points)
    root = np.asarray(moments.root, np.float64)
    assert moments.weight == n
    assert_close("mean", moments.mean, points.mean(0, dtype=np.float64), np.abs(points).max())
    assert_close("scatter", root @ root.T, scatter, np.trace(scatter))
    assert np.array_equal(root, np.tril(root)) and (np.diagonal(root) >= 0).all()


@pytest.mark.parametrize("d", DIMS)
def test_moments_of_a_union_are_those_of_its_points(d):
    parts = points_of(7, d)

    @jax.jit
    def sums(parts):
        a, b, c = (Moments.of(Samples.of(part)) for part in parts)
        return [a, b, c], [(a + b) + c, a + (b + c), (c + a) + b]

    alone, together = sums(parts)
    for part, moments in zip(parts, alone, strict=True):
        assert_moments(moments, part)
    for moments in together:
        assert_moments(moments, parts.reshape(-1, d))


def test_counts_and_samples_add():
    counts = [Counts(jnp.array([1.0, 0.0, n])) for n in (2.0, 3.0, 5.0)]
    for a, b, c in itertools.permutations(counts):
        assert np.array_equal(((a + b) + c).count, [3, 0, 10])
        assert np.array_equal((a + (b + c)).count, [3, 0, 10])

    parts = points_of(4, 2)
    a, b, c = (Samples.of(jnp.asarray(part)) for part in parts)
    for total in ((a + b) + c, a + (b + c)):
        assert np.array_equal(total.points, parts.reshape(-1, 2))
        assert np.array_equal(total.weight, np.ones(12))


@pytest.mark.parametrize(
    "kind", ["samples", "labeled samples", "moments", "counts", "normal equations"]
)
def test_empty_is_neutral_and_extend_is_addition(kind):
    parts = [Samples.of(jnp.asarray(part)) for part in points_of(4, 2)]
    if kind == "moments":
        parts = [Moments.of(part) for part in parts]
    elif kind == "labeled samples":
        parts = [part._replace(label=jnp.arange(len(part.weight))) for part in parts]
    elif kind == "normal equations":
        parts = [NormalEquations.of(part) for part in parts]
    elif kind == "counts":
        parts = [Counts(part.points[0]) for part in parts]
    total = functools.reduce(lambda a, b: a + b, parts)
    grown = functools.reduce(lambda a, b: a.extend(b), parts, parts[0].empty(12))
    assert jax.tree.structure(grown) == jax.tree.structure(total)
    for ours, expected in zip(jax.tree.leaves(grown), jax.tree.leaves(total), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=20 * EPS, atol=1e-5)


def test_unused_room_and_weights_count_for_nothing_more():
    points = points_of(6, 2)[0]
    room = Samples.of(jnp.asarray(points)) + Samples(jnp.full((5, 2), 1e6), jnp.zeros(5))
    assert_moments(Moments.of(room), points)
    doubled = Moments.of(Samples(jnp.asarray(points), jnp.full(6, 2.0)))
    assert_moments(doubled, np.concatenate([points, points]))
    light = Moments.of(Samples(jnp.asarray(points), jnp.full(6, 0.05)))
    np.testing.assert_allclose(light.mean, points.mean(0), rtol=20 * EPS)
    np.testing.assert_allclose((light + light).mean, points.mean(0), rtol=20 * EPS)
    nothing = Moments.of(Samples(jnp.asarray(points), jnp.zeros(6)))
    assert all(np.array_equal(leaf, np.zeros(leaf.shape)) for leaf in nothing)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([1.0, 2.0], "points must be [n, d]; got (2,)"),
        ([[1.0, np.nan], [np.inf, 0.0]], "points must be finite; got 2 values of NaN or infinity"),
    ],
)
def test_points_that_are_none_are_refused(points, message):
    with refused(message):
        Samples.of(jnp.asarray(points))


def test_a_rejected_row_in_the_middle_is_not_the_end():
    """Rows of weight 0 between others keep their place when a dataset is extended."""
    row = jnp.arange(3.0)[:, None]
    new = Samples(row, jnp.array([1.0, 0.0, 1.0]))
    grown = new.empty(9).extend(new).extend(Samples(row + 10, new.weight))
    used = np.asarray(grown.points)[np.asarray(grown.weight) > 0, 0]
    assert np.array_equal(used, [0, 2, 10, 12])


@pytest.mark.parametrize("d", [1, 2, 5])
def test_weights_are_those_of_numpy(d):
    """w times the statistics of real data, plus those of synthetic data, by plain weighted sums."""
    real, synthetic, _ = points_of(6, d + 1)
    w, weight = 1.618, np.concatenate([np.full(6, 1.618), np.ones(6)])
    points = np.concatenate([real, synthetic]).astype(np.float64)
    a, b = (Samples.of(jnp.asarray(part)) for part in (real, synthetic))
    for moments in (
        w * Moments.of(a) + Moments.of(b),
        Moments.of(w * a + b),
        Moments.of(a).__rmul__(jnp.float32(w)) + Moments.of(b),
    ):
        np.testing.assert_allclose(moments.weight, weight.sum(), rtol=1e-6)
        np.testing.assert_allclose(moments.weight_squared, np.sum(weight**2), rtol=1e-6)
        scatter = np.cov(points.T, aweights=weight, ddof=0).reshape(d + 1, -1) * weight.sum()
        root = np.asarray(moments.root, np.float64)
        assert_close("mean", moments.mean, np.average(points, 0, weight), np.abs(points).max())
        assert_close("scatter", root @ root.T, scatter, np.trace(scatter))
    equations = w * NormalEquations.of(a) + NormalEquations.of(b)
    x, y = points[:, :-1], points[:, -1]
    gram = x.T @ (weight[:, None] * x)
    assert_close("gram", equations.gram, gram, np.trace(gram))
    assert_close("moment", equations.moment, x.T @ (weight * y), np.abs(gram).max())
    counts = 2.5 * Counts(jnp.array([1.0, 0.0])) + Counts(jnp.array([0.0, 4.0]))
    assert np.array_equal(counts.count, [2.5, 4.0])
