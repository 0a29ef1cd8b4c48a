"""Scores of point sets by other means: NumPy, SciPy, POT, prdc, scikit-learn."""

import itertools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import scipy.spatial
from prdc import compute_prdc
from scipy.spatial import cKDTree
from sklearn.neighbors import NearestNeighbors

from madlib import ParameterError, metrics
from madlib.generators import NormalParams
from madlib.metrics import samples

with warnings.catch_warnings():
    # POT has invalid escapes in its docstrings, a SyntaxWarning when it is first compiled.
    warnings.simplefilter("ignore")
    import ot

EPS = float(np.finfo(np.float32).eps)
BALLS = ("closed", "open")


@pytest.fixture(autouse=True)
def no_nans():
    with jax.debug_nans(True):
        yield


def normal_sets(seed, n, m, d, lam=1.0):
    rng = np.random.default_rng(seed)
    real = rng.normal(size=(n, d)).astype(np.float32)
    return real, (np.sqrt(lam) * rng.normal(size=(m, d))).astype(np.float32)


def scores_by_scikit_learn(real, synthetic, k, ball):
    """All four from NearestNeighbors radii and one full matrix of float64 distances."""
    holds = np.less_equal if ball == "closed" else np.less
    real, synthetic = real.astype(np.float64), synthetic.astype(np.float64)
    radius_real, radius_synthetic = (
        NearestNeighbors(n_neighbors=k).fit(x).kneighbors()[0][:, -1] for x in (real, synthetic)
    )
    distance = np.sqrt(((real[:, None] - synthetic) ** 2).sum(-1))
    in_real = holds(distance, radius_real[:, None])
    in_synthetic = holds(distance, radius_synthetic[None, :])
    return (
        in_real.any(0).mean(),
        in_synthetic.any(1).mean(),
        in_real.sum(0).mean() / k,
        in_real.any(1).mean(),
    )


@pytest.mark.parametrize(
    ("d", "n", "m", "k", "lam"),
    [(1, 150, 90, 3, 1.0), (2, 200, 200, 5, 0.5), (3, 90, 150, 1, 1.0), (64, 150, 90, 5, 0.8)],
)
def test_manifold_scores_agree_with_prdc_and_scikit_learn(d, n, m, k, lam):
    real, synthetic = normal_sets(20 + d, n, m, d, lam)
    by_prdc = compute_prdc(real.astype(float), synthetic.astype(float), nearest_k=k)
    # One pair of points may fall on the other side of a ball by rounding to float32.
    one_pair = 1.01 / min(n, m)
    for ball in BALLS:
        ours = metrics.manifold_scores(real, synthetic, k=k, ball=ball)
        by_hand = scores_by_scikit_learn(real, synthetic, k, ball)
        np.testing.assert_allclose(np.array(ours), by_hand, atol=one_pair, rtol=0, err_msg=ball)
    for name, expected in by_prdc.items():
        assert float(getattr(ours, name)) == pytest.approx(expected, abs=one_pair), name


def test_manifold_scores_agree_exactly_on_a_lattice():
    """Whole coordinates: every distance is exact, and ties are everywhere."""
    rng = np.random.default_rng(30)
    real = rng.integers(0, 6, size=(80, 2))
    synthetic = rng.integers(0, 5, size=(60, 2))
    ours = {ball: metrics.manifold_scores(real, synthetic, k=4, ball=ball) for ball in BALLS}
    for ball in BALLS:
        expected = scores_by_scikit_learn(real, synthetic, 4, ball)
        np.testing.assert_allclose(np.array(ours[ball]), expected, rtol=1e-6, err_msg=ball)
    assert np.all(np.array(ours["closed"]) > np.array(ours["open"])), "no tie was met"


@pytest.mark.parametrize("kind", ["normal", "far away", "lattice", "collapsed", "sorted"])
def test_large_sets_are_screened_to_the_same_scores(kind, monkeypatch):
    """Products decide no pair: scores are those of prdc, in double precision, to the last pair."""
    real, synthetic = normal_sets(32, 1500, 1600, 12, 0.8)
    if kind == "far away":  # exact in single precision, and far larger than any distance
        real, synthetic = (np.round(1024 * points) / 1024 + 512 for points in (real, synthetic))
    if kind == "lattice":
        real, synthetic = np.round(2 * real), np.round(2 * synthetic)
    if kind == "collapsed":
        synthetic = np.concatenate([synthetic[:800], np.tile(synthetic[:1], (800, 1))])
    if kind == "sorted":
        real = real[np.argsort(real[:, 0])]
    calls = []
    screened = samples._screened_scores
    monkeypatch.setattr(
        samples, "_screened_scores", lambda *args: calls.append(1) or screened(*args)
    )
    ours = metrics.manifold_scores(real, synthetic, k=5, ball="open")
    assert calls
    expected = compute_prdc(real.astype(float), synthetic.astype(float), nearest_k=5)
    for name, value in expected.items():
        assert float(getattr(ours, name)) == pytest.approx(value, abs=2e-7), name
    closed = metrics.manifold_scores(real, synthetic, k=5)
    one_by_one = samples._manifold_scores(*map(jnp.asarray, (real, synthetic)), 5, "closed")
    np.testing.assert_allclose(np.array(closed), np.array(one_by_one), atol=1.01 / 1500)
    nearest = scipy.spatial.distance.cdist(real.astype(float), synthetic.astype(float))
    found = metrics.novelty(synthetic, real)[0]
    np.testing.assert_allclose(found, np.sort(nearest, 1)[:, 0], rtol=1e-6)


@pytest.mark.parametrize(("d", "n"), [(1, 333), (2, 50), (3, 333), (64, 333)])
def test_identical_sets(d, n):
    """A closed ball holds its center and k neighbors, an open one k - 1 of them.

    This needs the same distance to come out the same, to the last bit, wherever it is computed.
    """
    real, _ = normal_sets(31, n, 1, d)
    closed = metrics.manifold_scores(real, real, k=5, ball="closed")
    strict = metrics.manifold_scores(real, real, k=5, ball="open")
    np.testing.assert_allclose(np.array(closed), [1, 1, 6 / 5, 1], rtol=1e-6)
    np.testing.assert_allclose(np.array(strict), [1, 1, 1, 1], rtol=1e-6)


@pytest.mark.parametrize(("chunk", "n"), [(1, 101), (1000, 103)])
def test_chunks_change_nothing(chunk, n, monkeypatch):
    """A chunk of 1 holds one row at a time, one of 1000 nine or twelve, which do not divide n.

    The sizes are found in no other test: the chunk is part of a compiled function, not of its key.
    """
    monkeypatch.setattr(samples, "_CHUNK", chunk)
    real, _ = normal_sets(32, n, 1, 3)
    scores = metrics.manifold_scores(real, real, k=5)
    np.testing.assert_allclose(np.array(scores), [1, 1, 6 / 5, 1], rtol=1e-6)
    real, synthetic = normal_sets(33, n, 77, 3, lam=0.5)
    scores = metrics.manifold_scores(real, synthetic, k=5)
    expected = scores_by_scikit_learn(real, synthetic, 5, "closed")
    np.testing.assert_allclose(np.array(scores), expected, rtol=1e-6)


def test_constant_sets():
    """Total collapse of both: everything inside closed balls, nothing inside open ones."""
    real, synthetic = np.full((30, 2), 3.0), np.full((20, 2), 3.0)
    closed = metrics.manifold_scores(real, synthetic, k=5, ball="closed")
    strict = metrics.manifold_scores(real, synthetic, k=5, ball="open")
    np.testing.assert_allclose(np.array(closed), [1, 1, 30 / 5, 1], rtol=1e-6)
    assert tuple(strict) == (0, 0, 0, 0)
    apart = metrics.manifold_scores(real, synthetic + 1, k=5, ball="closed")
    assert tuple(apart) == (0, 0, 0, 0)


def test_collapse_of_the_synthetic_set_to_a_real_point():
    """Perfect precision, no recall: quality without diversity."""
    real, _ = normal_sets(34, 200, 1, 2)
    synthetic = np.repeat(real[:1], 100, axis=0)
    scores = metrics.manifold_scores(real, synthetic, k=5)
    assert scores.precision == 1
    assert float(scores.recall) == pytest.approx(1 / 200)
    assert scores.coverage < 0.1


def test_scores_keep_their_digits_far_from_the_origin():
    """Coordinates near 4096 with steps of 2^-10: exact by differences, lost by norm expansion."""
    rng = np.random.default_rng(35)
    real, synthetic = (rng.integers(0, 2**10, size=(100, 2)) * 2.0**-10 for _ in range(2))
    near = metrics.manifold_scores(real, synthetic, k=5)
    far = metrics.manifold_scores(real + 4096, synthetic + 4096, k=5)
    assert tuple(near) == tuple(far)


def test_individual_scores_are_those_of_manifold_scores():
    real, synthetic = normal_sets(36, 120, 100, 2, lam=0.3)
    together = metrics.manifold_scores(real, synthetic, k=3, ball="open")
    assert len(set(map(float, together))) == 4, "equal scores could be mistaken for one another"
    for name, expected in together._asdict().items():
        assert getattr(metrics, name)(real, synthetic, k=3, ball="open") == expected, name


def replicated_scores(lam, n, m, d, n_replicates, k=5):
    """[n_replicates, 4], samples of N(0, I_d) against N(0, lam I_d)."""

    def one(key):
        k_real, k_synthetic = jax.random.split(key)
        real = jax.random.normal(k_real, (n, d))
        synthetic = jnp.sqrt(lam) * jax.random.normal(k_synthetic, (m, d))
        return jnp.stack(metrics.manifold_scores(real, synthetic, k=k))

    keys = jax.random.split(jax.random.key(40), n_replicates)
    return np.asarray(jax.jit(lambda keys: jax.lax.map(one, keys))(keys), np.float64)


def mean_and_se(samples):
    return samples.mean(0), samples.std(0, ddof=1) / np.sqrt(len(samples))


@pytest.mark.parametrize(
    ("lam", "expected"),
    [(0.5, (0.9990, 0.9528, 0.9019)), (0.05, (0.9990, 0.3095, 0.2580))],
)
def test_biased_sampling_keeps_precision_and_loses_recall_and_coverage(lam, expected):
    """N(0, I_2) against N(0, lam I_2), N = 500, k = 5; means of 300 runs of NumPy and SciPy."""
    scores = replicated_scores(lam, 500, 500, 2, n_replicates=100)[:, [0, 1, 3]]
    mean, se = mean_and_se(scores)
    difference_se = np.sqrt(1 + 100 / 300) * se
    assert np.all(se < 0.006), se
    assert np.all(np.abs(mean - expected) < 5 * difference_se + 0.00005), (mean, expected, se)


@pytest.mark.parametrize(("n", "m", "k", "d"), [(100, 100, 5, 2), (60, 120, 3, 3)])
def test_identical_distributions_have_density_one_and_the_known_coverage(n, m, k, d):
    """Naeem et al. 2020: E coverage = 1 - prod_{i=1..k} (N - i)/(M + N - i), E density = 1."""
    mean, se = mean_and_se(replicated_scores(1.0, n, m, d, n_replicates=600, k=k))
    i = np.arange(1, k + 1)
    expected = np.array([1.0, 1 - np.prod((n - i) / (m + n - i))])
    measured, se = mean[2:], se[2:]
    assert np.all(se < 0.006), se
    assert np.all(np.abs(measured - expected) < 5 * se), (measured, expected, se)


@pytest.mark.parametrize("d", [1, 2, 3, 64])
@pytest.mark.parametrize(("n", "m"), [(500, 300), (40, 30)])
def test_frechet_distance_agrees_with_scipy(d, n, m):
    """With d = 64 and n = 40 both covariances are singular."""
    real, synthetic = normal_sets(50 + d, n, m, d, lam=0.6)
    fits = [
        (x.mean(0), np.atleast_2d(np.cov(x, rowvar=False)))
        for x in (real.astype(float), synthetic.astype(float))
    ]
    ours = float(metrics.frechet_distance(real, synthetic))
    left, _, right = np.linalg.svd(_root(fits[1][1]).T @ _root(fits[0][1]))
    expected = np.sum((fits[0][0] - fits[1][0]) ** 2) + np.sum(
        (_root(fits[0][1]) - _root(fits[1][1]) @ (left @ right)) ** 2
    )
    if n > d:
        (mean, cov), (other_mean, other_cov) = fits
        root = scipy.linalg.sqrtm(cov)
        cross = np.real(scipy.linalg.sqrtm(root @ other_cov @ root))
        textbook = np.sum((mean - other_mean) ** 2) + np.trace(cov + other_cov - 2 * cross)
        assert textbook == pytest.approx(expected, rel=1e-6)
    assert ours == pytest.approx(expected, rel=1e-4), (ours, expected)
    assert metrics.frechet_distance(real, real) < (20 * EPS) ** 2 * d * np.trace(fits[0][1])


def _root(cov):
    values, vectors = np.linalg.eigh(cov)
    return vectors * np.sqrt(np.clip(values, 0, None))


def test_frechet_distance_of_collapsed_sets():
    real, _ = normal_sets(60, 100, 1, 3)
    synthetic = np.repeat(real[:1], 50, axis=0)
    expected = np.var(real, axis=0, ddof=1).sum() + np.sum((real.mean(0) - real[0]) ** 2)
    assert float(metrics.frechet_distance(real, synthetic)) == pytest.approx(expected, rel=1e-5)
    assert metrics.frechet_distance(synthetic, synthetic) < (20 * EPS) ** 2


def test_frechet_distance_between_two_real_sets_is_its_documented_bias():
    d, n, n_replicates = 4, 400, 300
    keys = jax.random.split(jax.random.key(61), n_replicates)
    sets = jax.vmap(lambda key: jax.random.normal(key, (2, n, d)))(keys)
    mean, se = mean_and_se(np.asarray(jax.vmap(metrics.frechet_distance)(sets[:, 0], sets[:, 1])))
    expected = d * (d + 5) / 4 * (2 / n)
    # The next order is O(1/n) relative: three times d/n covers it.
    assert se < 0.03 * expected
    assert abs(mean - expected) < 5 * se + 3 * d / n * expected, (mean, expected, se)


@pytest.mark.parametrize(("n", "m"), [(100, 100), (100, 75), (31, 64), (1, 50)])
def test_wasserstein_on_a_line_is_exact_for_any_sizes(n, m):
    """d = 1: the directions are +1 and -1, so the sliced distance is the distance."""
    real, synthetic = normal_sets(70, n, m, 1, lam=0.3)
    ours = float(metrics.sliced_wasserstein2_squared(jax.random.key(0), real, synthetic, 3))
    uniform = np.full(n, 1 / n), np.full(m, 1 / m)
    cost = ot.dist(real.astype(float), synthetic.astype(float), metric="sqeuclidean")
    by_linear_program = ot.emd2(*uniform, cost)
    assert ours == pytest.approx(by_linear_program, rel=1e-4)


@pytest.mark.parametrize(("d", "n", "m"), [(2, 200, 200), (2, 200, 130), (64, 130, 200)])
def test_sliced_wasserstein_agrees_with_pot(d, n, m):
    """Other directions, so within the standard error over directions."""
    real, synthetic = normal_sets(71, n, m, d, lam=0.3)
    n_projections = 1000
    ours = float(
        metrics.sliced_wasserstein2_squared(jax.random.key(1), real, synthetic, n_projections)
    )
    by_pot, log = ot.sliced_wasserstein_distance(
        real.astype(float), synthetic.astype(float), n_projections=n_projections, seed=2, log=True
    )
    # Two independent means over directions.
    se = np.sqrt(2) * np.std(log["projected_emds"], ddof=1) / np.sqrt(n_projections)
    assert se < 0.05 * by_pot**2
    assert abs(ours - by_pot**2) < 5 * se, (ours, by_pot**2, se)


def test_sliced_wasserstein_of_a_shift():
    real, _ = normal_sets(72, 100, 1, 3)
    key, shift = jax.random.key(3), np.float32([1.0, 2.0, 2.0])
    assert metrics.sliced_wasserstein2_squared(key, real, real) == 0
    n_projections = 4000
    ours = float(metrics.sliced_wasserstein2_squared(key, real, real + shift, n_projections))
    # (u . shift)^2 = 9 c^2 with c uniform on [-1, 1]: mean 3, variance 81 (1/5 - 1/9).
    se = np.sqrt(81 * (1 / 5 - 1 / 9) / n_projections)
    assert abs(ours - 3) < 5 * se, (ours, se)


def test_sample_metrics_run_under_jit_and_vmap():
    real, synthetic = normal_sets(73, 4 * 40, 4 * 30, 2)
    batch = jnp.asarray(real).reshape(4, 40, 2), jnp.asarray(synthetic).reshape(4, 30, 2)
    key = jax.random.key(4)
    for metric in (
        metrics.manifold_scores,
        metrics.frechet_distance,
        lambda r, s: metrics.sliced_wasserstein2_squared(key, r, s, 7),
    ):
        together = jax.jit(jax.vmap(metric))(*batch)
        for i in range(4):
            alone = metric(batch[0][i], batch[1][i])
            row = jax.tree.map(lambda leaf, i=i: leaf[i], together)
            np.testing.assert_allclose(np.array(row), np.array(alone), rtol=1e-5)


REAL, SYNTHETIC = np.zeros((10, 2)), np.ones((8, 2))


def sliced(real, synthetic):
    return metrics.sliced_wasserstein2_squared(jax.random.key(0), real, synthetic)


SCORES = (metrics.manifold_scores, metrics.precision, metrics.frechet_distance, sliced)
WITH_TEXT = pd.DataFrame({"size": np.arange(8.0), "kind": list("abababab")})
WITH_GAPS = pd.DataFrame({"size": pd.array([1.0, None] * 4, dtype="Float64"), "age": np.arange(8)})


@pytest.mark.parametrize("metric", SCORES)
@pytest.mark.parametrize(
    ("real", "synthetic", "words"),
    [
        (REAL, np.ones((8, 3)), "same dimension; got 2 and 3"),
        (REAL, np.where(SYNTHETIC > 0, np.nan, 0), "synthetic must be finite and real.*nan"),
        (np.where(np.eye(10, 2) > 0, np.inf, 0), SYNTHETIC, "real must be finite and real.*inf"),
        (np.zeros(10), SYNTHETIC, r"real must be points \[n, d\].*got shape \(10,\).*x\[:, None"),
        (REAL, np.ones((0, 2)), r"synthetic must be points.*shape \(0, 2\)"),
        (REAL, np.full((8, 2), "1"), "synthetic must be finite and real"),
        (REAL, WITH_TEXT, "synthetic must be finite and real"),
        (REAL, WITH_GAPS, "synthetic must be finite and real"),
        (REAL, np.ma.masked_less(np.eye(8, 2), 0.5), "synthetic must be finite and real"),
        (REAL, 1j * SYNTHETIC, "synthetic must be finite and real"),
        ([[1, 2], [3]], SYNTHETIC, "real must be finite and real"),
        (REAL, 1e39 * SYNTHETIC, r"synthetic must be finite in single precision; got 1e\+39"),
        (REAL, None, "synthetic must be finite and real; got None"),
    ],
)
def test_bad_points_are_refused(metric, real, synthetic, words):
    with pytest.raises(ParameterError, match=words) as refused:
        metric(real, synthetic)
    assert "\n" not in str(refused.value)


def test_traced_points_of_a_wrong_shape_are_refused():
    with pytest.raises(ParameterError, match=r"real must be points \[n, d\].*jax.vmap"):
        jax.jit(metrics.frechet_distance)(jnp.zeros((3, 10, 2)), jnp.zeros((8, 2)))


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "5"])
def test_bad_k_is_refused(k):
    with pytest.raises(ParameterError, match="k must be a whole number from 1 to"):
        metrics.manifold_scores(REAL, SYNTHETIC, k=k)


def test_k_is_less_than_the_points():
    with pytest.raises(ParameterError, match="more than 8 points; got 10 real and 8 synthetic"):
        metrics.manifold_scores(REAL, SYNTHETIC, k=8)
    metrics.manifold_scores(REAL, SYNTHETIC, k=7)


def test_bad_settings_are_refused():
    with pytest.raises(ParameterError, match="ball must be one of 'closed', 'open'; got 'strict'"):
        metrics.recall(REAL, SYNTHETIC, k=3, ball="strict")
    with pytest.raises(ParameterError, match="n_projections must be a whole number.*got 0"):
        metrics.sliced_wasserstein2_squared(jax.random.key(0), REAL, SYNTHETIC, 0)
    with pytest.raises(ParameterError, match="more than 1 points; got 1 real and 8"):
        metrics.frechet_distance(REAL[:1], SYNTHETIC)


def every_score(real, synthetic):
    parts = metrics.manifold_scores(real, synthetic), metrics.frechet_distance(real, synthetic)
    return np.array([*parts[0], parts[1], sliced(real, synthetic)])


def test_points_come_as_arrays_lists_and_tables():
    """Sixteenths, which half precision holds exactly."""
    rng = np.random.default_rng(80)
    real, synthetic = (rng.integers(-16, 17, (40, 2)) / 16 for _ in range(2))
    expected = every_score(real, synthetic)
    for convert in (
        np.float32,
        np.float16,
        jnp.asarray,
        lambda points: jnp.asarray(points, jnp.bfloat16),
        np.ndarray.tolist,
        pd.DataFrame,
        lambda points: pd.DataFrame(points, dtype="Float64"),
        lambda points: np.ma.masked_less(points, -9.0),  # a mask without a gap
    ):
        assert np.array_equal(every_score(convert(real), convert(synthetic)), expected)
    whole = (16 * real).astype(np.int16), (16 * synthetic).astype(np.int16)
    assert np.array_equal(every_score(*whole)[:4], expected[:4])
    traced = jax.jit(metrics.frechet_distance)(*(jnp.asarray(x, jnp.float16) for x in whole))
    assert traced.dtype == jnp.float32
    assert float(traced) == pytest.approx(float(metrics.frechet_distance(*whole)), rel=1e-5)


def test_double_precision_is_kept_where_jax_has_it():
    """A shift of 1e-3 of sets that are 1e9 wide, of which single precision sees nothing."""
    real, synthetic = (np.float64(points) for points in normal_sets(81, 50, 40, 2))
    far = real + np.where(np.arange(50) < 25, 0, 1e9)[:, None]
    assert metrics.frechet_distance(real, synthetic).dtype == jnp.float32
    with jax.enable_x64(True):
        distance = metrics.frechet_distance(far, far + 1e-3)
        assert distance.dtype == jnp.float64
        assert float(distance) == pytest.approx(2e-6, rel=1e-3)


@pytest.mark.parametrize("shift", [1e6, -1e7, 1e12])
def test_scores_do_not_depend_on_where_the_points_lie(shift):
    """Steps of 2^-10 are exact in double precision at 1e12: not a bit of a score may change."""
    rng = np.random.default_rng(82)
    real, synthetic = (np.round(1024 * rng.normal(size=(n, 2))) / 1024 for n in (150, 120))
    near = every_score(real, 0.5 * synthetic)
    far = every_score(real + shift, 0.5 * synthetic + shift)
    # Manifold scores compare exact differences; the others round where the origin lies.
    assert np.array_equal(far[:4], near[:4])
    np.testing.assert_allclose(far[4:], near[4:], rtol=50 * EPS)


def test_single_columns_far_from_the_others():
    """The density was 24.8 for .309 at an offset of 1e7 in single precision."""
    real, synthetic = (np.float64(points) for points in normal_sets(83, 200, 200, 3, lam=0.1))
    shift = np.array([1e7, 0, -3e5])
    near, far = every_score(real, synthetic), every_score(real + shift, synthetic + shift)
    one_pair = 1.01 / 200  # may fall on the other side of a ball by rounding
    np.testing.assert_allclose(far[:4], near[:4], atol=one_pair, rtol=0)
    np.testing.assert_allclose(far[4:], near[4:], rtol=1e-5)


def rotation(d):
    return np.linalg.qr(np.random.default_rng(84).normal(size=(d, d)))[0]


@pytest.mark.parametrize("scale", [1.0, 3e-28, 7e30])
def test_scores_follow_a_change_of_axes_and_unit(scale):
    """In single precision squares of 1e-25 are 0, and those of 1e25 infinite."""
    real, synthetic = (np.float64(points) for points in normal_sets(85, 200, 150, 3, lam=0.5))
    moved = [scale * (points @ rotation(3) + 100) for points in (real, synthetic)]
    one_pair = 1.01 / 150  # may fall on the other side of a ball by rounding
    ours, there = (np.array(metrics.manifold_scores(*x)) for x in ((real, synthetic), moved))
    np.testing.assert_allclose(there, ours, atol=one_pair, rtol=0)
    entropy = float(metrics.knn_entropy(moved[1])) - 3 * np.log(scale)
    assert entropy == pytest.approx(float(metrics.knn_entropy(synthetic)), abs=2e-4)
    for far, near in zip(metrics.novelty(*moved), metrics.novelty(real, synthetic), strict=True):
        np.testing.assert_allclose(np.float64(far) / scale, near, rtol=1e-4, atol=1e-6)
    for size in (metrics.effective_rank, metrics.effective_dimension):
        assert size(moved[0]) == pytest.approx(size(real), rel=1e-9)
    if scale != 1:  # nor can single precision hold what has the unit of a square
        return
    distance = float(metrics.frechet_distance(*moved))
    assert distance == pytest.approx(float(metrics.frechet_distance(real, synthetic)), rel=1e-4)
    keys = jax.random.split(jax.random.key(86), 24)
    each = [
        [metrics.sliced_wasserstein2_squared(key, *x, 100) for key in keys[i::2]]
        for i, x in enumerate([(real, synthetic), moved])
    ]
    (mean, se), (mean_there, se_there) = map(mean_and_se, np.float64(each))
    assert abs(mean - mean_there) < 5 * np.hypot(se, se_there) and se < 0.02 * mean


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_squares_have_the_unit_of_a_square(scale):
    real, synthetic = (np.float64(points) for points in normal_sets(87, 60, 50, 2, lam=0.5))
    for score in (metrics.frechet_distance, sliced):
        near, far = float(score(real, synthetic)), float(score(scale * real, scale * synthetic))
        assert far / scale**2 == pytest.approx(near, rel=1e-5)


@pytest.mark.parametrize(("d", "n", "k"), [(1, 300, 1), (2, 300, 5), (5, 200, 3)])
def test_entropy_by_a_tree(d, n, k):
    points, _ = normal_sets(88, n, 1, d)
    radius = cKDTree(np.float64(points)).query(points, k + 1)[0][:, k]
    ball = np.log(np.pi) * d / 2 - scipy.special.gammaln(d / 2 + 1)
    expected = scipy.special.psi(n) - scipy.special.psi(k) + ball + d * np.log(radius).mean()
    assert float(metrics.knn_entropy(points, k=k)) == pytest.approx(expected, abs=1e-5 * d)


def test_entropy_of_normals_follows_their_variance():
    """dH = (d/2) log of the factor, and (d/2) log(2 pi e) in all, where the bias is below noise."""
    keys = jax.random.split(jax.random.key(89), 200)

    def entropy(key, lam):
        return metrics.knn_entropy(jnp.sqrt(lam) * jax.random.normal(key, (300, 2)))

    both = jax.jit(lambda keys, lam: jax.lax.map(lambda key: entropy(key, lam), keys))
    (wide, se), (narrow, se_narrow) = (
        mean_and_se(np.float64(both(half, lam)))
        for half, lam in ((keys[::2], 1.0), (keys[1::2], 0.1))
    )
    assert se < 0.01 and abs(wide - np.log(2 * np.pi * np.e)) < 5 * se + 0.02, (wide, se)
    assert abs(narrow - wide - np.log(0.1)) < 5 * np.hypot(se, se_narrow), (narrow, wide, se)


def test_entropy_of_a_collapsed_set():
    points, _ = normal_sets(90, 30, 1, 2)
    assert metrics.knn_entropy(np.zeros((9, 2))) == -np.inf
    assert metrics.knn_entropy(np.repeat(points, 3, axis=0), k=2) == -np.inf
    assert np.isfinite(metrics.knn_entropy(np.repeat(points, 3, axis=0), k=3))


def test_novelty_by_a_tree():
    training, synthetic = normal_sets(91, 120, 80, 4)
    synthetic[:7] = training[-7:]
    ours, tree = metrics.novelty(training, synthetic), cKDTree(np.float64(training))
    np.testing.assert_allclose(ours.distance, tree.query(synthetic)[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(ours.floor, tree.query(training, 2)[0][:, 1], rtol=1e-5)
    assert not ours.distance[:7].any() and ours.distance[7:].all()


def test_new_real_points_are_as_novel_as_the_floor():
    keys = jax.random.split(jax.random.key(92), 300)

    def gap(key):
        points = jax.random.normal(key, (200, 2))
        found = metrics.novelty(points[:100], points[100:])
        return jnp.mean(found.distance) - jnp.mean(found.floor)

    mean, se = mean_and_se(np.float64(jax.jit(lambda keys: jax.lax.map(gap, keys))(keys)))
    # A point more among 100 is nearer by a share 1/(d n): of .17.
    assert se < 0.002 and abs(mean) < 5 * se + 0.17 / 200, (mean, se)


def test_memory_is_that_of_the_points():
    """200,000 points: no matrix of pairs, which would be 160 GB."""
    points = jax.ShapeDtypeStruct((200_000, 16), jnp.float32)
    compiled = samples._kth_distances.lower(points, points, 5).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 3 * 4 * 200_000 * 16


@pytest.mark.parametrize(
    ("spectrum", "dimension", "rank"),
    [
        (np.exp(-np.arange(128) / 8), 22.2, 21.8),
        (np.full(7, 3.0), 7.0, 7.0),
        ([5.0], 1.0, 1.0),
        ([2.0, 0, 0], 1.0, 1.0),
        ([0.0, 0.0], 0.0, 0.0),
        ([4.0, 1.0], 2 / 5 * (2 + 0.5 + 2 * 4 / 5), np.exp(-0.8 * np.log(0.8) - 0.2 * np.log(0.2))),
    ],
)
def test_dimensions_of_spectra(spectrum, dimension, rank):
    spectrum = np.asarray(spectrum)
    axes = rotation(len(spectrum))
    for cov in (spectrum, np.diag(spectrum), axes * spectrum @ axes.T):
        assert metrics.effective_dimension(cov=cov) == pytest.approx(dimension, abs=0.05)
        assert metrics.effective_rank(cov=cov) == pytest.approx(rank, abs=0.05)
    total, pairs = spectrum.sum(), list(itertools.product(enumerate(spectrum), repeat=2))
    k = sum(s * r * (1 + (i == j)) / (s + r) for (i, s), (j, r) in pairs if s + r > 0) / 2
    if total > 0:
        assert metrics.effective_dimension(cov=spectrum) == pytest.approx(4 * k / total - 1)
        assert len(spectrum) < 128 or total + k == pytest.approx(57.85, abs=0.005)


def test_effective_dimension_is_that_of_the_error_of_a_fit():
    """E W2^2 = (tr + K)/n = tr (d_eff + 5)/(4 n), to leading order, whatever the spectrum."""
    rng, spectrum, n = np.random.default_rng(93), np.exp(-np.arange(8) / 2), 2000
    target = NormalParams(jnp.zeros(8), jnp.diag(jnp.sqrt(jnp.asarray(spectrum, jnp.float32))))
    fits = []
    for _ in range(300):
        points = rng.normal(size=(n, 8)) * np.sqrt(spectrum)
        chol = np.linalg.cholesky(np.cov(points.T))
        fits.append((points.mean(0), chol))
    params = NormalParams(*(jnp.asarray(np.stack(x), jnp.float32) for x in zip(*fits, strict=True)))
    error = jax.vmap(metrics.wasserstein2_squared, (0, None))(params, target)
    mean, se = mean_and_se(np.float64(error))
    expected = spectrum.sum() * (metrics.effective_dimension(cov=spectrum) + 5) / (4 * n)
    assert se < 0.03 * expected and abs(mean - expected) < 5 * se + 8 / n * expected, (
        mean,
        expected,
    )


@pytest.mark.parametrize(("n", "d"), [(400, 5), (6, 40)])
def test_dimensions_of_points_are_those_of_their_covariance(n, d):
    points = np.random.default_rng(94).normal(size=(n, d)) * np.arange(1, d + 1) + 1e5
    cov = np.cov(points.T)
    for size in (metrics.effective_dimension, metrics.effective_rank):
        assert size(points) == pytest.approx(size(cov=cov), rel=1e-6)
        assert size(points) <= min(n - 1, d)
    variance = np.trace(cov)
    assert float(metrics.sample_variance(points)) == pytest.approx(variance, rel=1e-6)
    traced = jax.jit(metrics.sample_variance)(jnp.asarray(points - 1e5))
    assert float(traced) == pytest.approx(variance, rel=1e-5)


def test_effective_dimension_of_few_points_is_less():
    """By d(d + 1)/(2n), to leading order."""
    rng, n, d = np.random.default_rng(95), 1000, 20
    ours = np.array([metrics.effective_dimension(rng.normal(size=(n, d))) for _ in range(100)])
    mean, se = mean_and_se(ours)
    assert abs(mean - d + d * (d + 1) / (2 * n)) < 5 * se + 0.02 * d * (d + 1) / (2 * n), (mean, se)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.knn_entropy(REAL, k=10), "a set must hold more than 10 points; got 10"),
        (lambda: metrics.knn_entropy([1.0, 2.0]), r"points must be points \[n, d\]"),
        (lambda: metrics.novelty(REAL[:1], SYNTHETIC), "training must hold 2 points"),
        (lambda: metrics.novelty(REAL, SYNTHETIC[:, :1]), "same dimension; got 2 and 1"),
        (lambda: metrics.sample_variance(REAL[:1]), "takes two points or more; got 1"),
        (lambda: metrics.effective_rank(), "give points or cov; got both or none"),
        (lambda: metrics.effective_rank(REAL, cov=np.eye(2)), "give points or cov"),
        (lambda: metrics.effective_dimension(REAL[:1]), "points must be at least 2; got 1"),
        (
            lambda: metrics.effective_dimension(cov=[[1, 2], [0, 1]]),
            "cov must be .d, d., symmetric",
        ),
        (lambda: metrics.effective_dimension(cov=[[1, 2], [2, 1]]), "semi-definite; got .*-1"),
        (lambda: metrics.effective_dimension(cov=[1, -1]), "semi-definite; got .*-1"),
        (lambda: metrics.effective_dimension(cov=[1, np.nan]), "cov must be finite"),
        (lambda: metrics.effective_dimension(WITH_TEXT), "points must be finite and real"),
    ],
)
def test_bad_sets_are_refused(call, words):
    with pytest.raises(ParameterError, match=words) as refused:
        call()
    assert "\n" not in str(refused.value)


def test_mmd_by_a_double_loop():
    """Unbiased: pairs of a point with itself are left out; the same at any place and scale."""
    real, synthetic = normal_sets(5, 30, 20, 3, 0.5)

    def kernel(a, b):
        return np.exp(-((a.astype(float)[:, None] - b) ** 2).sum(-1) / (2 * 1.3**2))

    within = [(kernel(x, x).sum() - len(x)) / len(x) / (len(x) - 1) for x in (real, synthetic)]
    expected = sum(within) - 2 * kernel(real, synthetic).mean()
    assert metrics.mmd_squared(real, synthetic, bandwidth=1.3) == pytest.approx(expected, abs=1e-6)
    far, unit = 1e7, 1e3
    moved = (far + unit * x.astype(float) for x in (real, synthetic))
    assert metrics.mmd_squared(*moved, bandwidth=1.3 * unit) == pytest.approx(expected, abs=1e-5)
    gaps = np.linalg.norm(real[:, None] - real, axis=2)[np.triu_indices(30, 1)]
    default = float(metrics.mmd_squared(real, synthetic, bandwidth=float(np.median(gaps))))
    assert metrics.mmd_squared(real, synthetic) == pytest.approx(default, abs=1e-6)
    sets = [normal_sets(seed, 40, 40, 2) for seed in range(100)]
    values = np.array([metrics.mmd_squared(*pair, bandwidth=1.0) for pair in sets])
    assert abs(values.mean()) < 5 * values.std() / 10
