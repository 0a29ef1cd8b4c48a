"""Metrics against independent implementations: NumPy in float64, SciPy, POT, prdc, scikit-learn."""

import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from madlib.parameters import ParameterError
from prdc import compute_prdc
from sklearn.neighbors import NearestNeighbors

from madlib import metrics
from madlib.generators.gaussian import NormalParams

with warnings.catch_warnings():
    # POT has invalid escapes in its docstrings, a SyntaxWarning when it is first compiled.
    warnings.simplefilter("ignore")
    import ot

EPS = float(np.finfo(np.float32).eps)
BALLS = ("closed", "open")


@pytest.fixture(autouse=True)
def strict_numerics():
    with (
        jax.numpy_rank_promotion("raise"),
        jax.numpy_dtype_promotion("strict"),
        jax.debug_nans(True),
    ):
        yield


wasserstein2_squared = jax.jit(metrics.wasserstein2_squared)
total_variance = jax.jit(metrics.total_variance)


class Probs(NamedTuple):
    probs: jax.Array


def law(seed, d, scale=1.0, rank=None):
    """A normal law with an exact lower triangular root of the given rank."""
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(d, d if rank is None else rank)) * scale
    upper = np.linalg.qr(np.pad(columns, ((0, 0), (0, d - columns.shape[1]))).T, mode="r")
    lower = (np.where(np.diag(upper) < 0, -1, 1)[:, None] * upper).T
    return NormalParams(
        jnp.asarray(rng.normal(size=d) * scale, jnp.float32), jnp.asarray(lower, jnp.float32)
    )


def point_mass(d):
    return NormalParams(jnp.zeros(d), jnp.zeros((d, d)))


def moments(params):
    chol = np.asarray(params.chol, np.float64)
    return np.asarray(params.mean, np.float64), chol @ chol.T


def frechet_by_sqrtm(mean_1, cov_1, mean_2, cov_2):
    """The textbook formula, with SciPy's Schur square root."""
    root = scipy.linalg.sqrtm(cov_1)
    cross = scipy.linalg.sqrtm(root @ cov_2 @ root)
    return float(np.sum((mean_1 - mean_2) ** 2) + np.trace(cov_1 + cov_2 - 2 * np.real(cross)))


def procrustes_float64(params, reference):
    """Accurate for laws as near as you like, through a float64 singular value decomposition."""
    a, b = np.asarray(params.chol, np.float64), np.asarray(reference.chol, np.float64)
    left, _, right = np.linalg.svd(b.T @ a)
    gap = np.asarray(params.mean, np.float64) - np.asarray(reference.mean, np.float64)
    return np.sum(gap**2) + np.sum((a - b @ (left @ right)) ** 2)


# Rounding of a sum of d^2 squares in float32, relative to the total variance.
def rounding(d, *laws):
    return 20 * EPS * d * sum(np.trace(moments(p)[1]) for p in laws)


@pytest.mark.parametrize("d", [1, 2, 3, 64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_wasserstein_agrees_with_scipy_and_pot(d, scale):
    params, reference = law(1, d, scale), law(2, d)
    (mean_1, cov_1), (mean_2, cov_2) = moments(params), moments(reference)
    ours = float(wasserstein2_squared(params, reference))
    by_scipy = frechet_by_sqrtm(mean_1, cov_1, mean_2, cov_2)
    by_pot = ot.gaussian.bures_wasserstein_distance(mean_1, mean_2, cov_1, cov_2) ** 2
    tolerance = rounding(d, params, reference)
    assert abs(ours - by_scipy) < tolerance, (ours, by_scipy, by_pot, tolerance)
    assert abs(ours - by_pot) < tolerance, (ours, by_scipy, by_pot, tolerance)
    assert tolerance < 0.01 * by_scipy


@pytest.mark.parametrize("d", [1, 2, 3, 64])
def test_wasserstein_is_symmetric_and_zero_only_at_the_law_itself(d):
    params, reference = law(1, d), law(2, d)
    there = float(wasserstein2_squared(params, reference))
    back = float(wasserstein2_squared(reference, params))
    assert there == pytest.approx(back, abs=rounding(d, params, reference))
    assert there > 0.1
    assert wasserstein2_squared(params, params) == 0


@pytest.mark.parametrize(
    ("d", "distance", "rel"),
    [(1, 1e-6, 1e-5), (2, 1e-6, 1e-5), (3, 1e-6, 0.1), (64, 1e-4, 1e-3)],
)
def test_wasserstein_keeps_its_digits_when_the_laws_are_near(d, distance, rel):
    """The trace formula would have no digit left in float32: W2^2 is below its rounding."""
    reference = law(3, d)
    change = np.random.default_rng(4).normal(size=(d, d)) * distance
    chol = np.asarray(reference.chol) * (1 + change).astype(np.float32)
    near = NormalParams(reference.mean, jnp.asarray(chol))
    ours = float(wasserstein2_squared(near, reference))
    exact = procrustes_float64(near, reference)
    assert 0 < exact < EPS * float(total_variance(reference))
    assert ours == pytest.approx(exact, rel=rel), (ours, exact)


@pytest.mark.parametrize("d", [1, 2, 3, 64])
def test_wasserstein_of_a_point_mass_is_its_second_moment(d):
    params = law(5, d)
    second_moment = float(total_variance(params) + jnp.sum(params.mean**2))
    compiled_here = jax.jit(lambda a, b: metrics.wasserstein2_squared(a, b))
    for there, back in ((params, point_mass(d)), (point_mass(d), params)):
        distance = float(compiled_here(there, back))
        assert distance == pytest.approx(second_moment, rel=20 * EPS * d)
    assert wasserstein2_squared(point_mass(d), point_mass(d)) == 0


@pytest.mark.parametrize("d", [2, 3, 64])
@pytest.mark.parametrize("scale", [1e-25, 1e-12, 1.0])
def test_wasserstein_of_a_rank_one_law(d, scale):
    """W2^2 = |mu|^2 + |u|^2 + d - 2 |u| between N(mu, u u^T) and N(0, I_d)."""
    params = law(6, d, scale, rank=1)
    reference = NormalParams(jnp.zeros(d), jnp.eye(d))
    length = np.linalg.norm(np.asarray(params.chol, np.float64))
    mean = np.asarray(params.mean, np.float64)
    expected = mean @ mean + length**2 + d - 2 * length
    ours = float(wasserstein2_squared(params, reference))
    assert ours == pytest.approx(expected, rel=20 * EPS * d), (ours, expected)


def test_wasserstein_does_not_depend_on_the_signs_of_the_root():
    params, reference = law(7, 2), law(8, 2)
    flipped = params._replace(chol=params.chol * jnp.array([[1.0, -1.0]]))
    plain, other = (wasserstein2_squared(p, reference) for p in (params, flipped))
    assert float(plain) == pytest.approx(float(other), rel=1e-6)


def test_model_metrics_run_under_jit_and_vmap():
    laws = [law(seed, 3) for seed in range(5)]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *laws)
    reference = law(9, 3)
    for metric in (
        metrics.wasserstein2_squared,
        metrics.mean_error_squared,
        metrics.total_variance,
        metrics.standard_deviation,
        metrics.log_determinant,
    ):
        together = jax.jit(jax.vmap(metric, in_axes=(0, None)))(batch, reference)
        one_by_one = [float(metric(params, reference)) for params in laws]
        np.testing.assert_allclose(together, one_by_one, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_moments_agree_with_numpy(d):
    params, reference = law(10, d), law(11, d)
    (mean, cov), (mean_ref, _) = moments(params), moments(reference)
    for ours, expected in (
        (metrics.mean_error_squared(params, reference), np.sum((mean - mean_ref) ** 2)),
        (metrics.total_variance(params), np.trace(cov)),
        (metrics.standard_deviation(params), np.sqrt(np.trace(cov) / d)),
        (metrics.log_determinant(params), np.linalg.slogdet(cov)[1]),
    ):
        assert float(ours) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_collapsed_models_have_their_limits():
    for d in (1, 2, 64):
        assert metrics.total_variance(point_mass(d)) == 0
        assert metrics.standard_deviation(point_mass(d)) == 0
        assert metrics.log_determinant(point_mass(d)) == -jnp.inf
    flat = law(12, 3, rank=2)
    flat = flat._replace(chol=flat.chol.at[:, 2].set(0.0))
    assert metrics.log_determinant(flat) == -jnp.inf
    tiny = NormalParams(jnp.zeros(2), 1e-30 * jnp.eye(2))
    assert float(metrics.standard_deviation(tiny)) == pytest.approx(1e-30, rel=1e-5)
    assert float(metrics.log_determinant(tiny)) == pytest.approx(4 * np.log(1e-30), rel=1e-6)


def test_categorical_metrics_agree_with_scipy():
    rng = np.random.default_rng(13)
    p, q = rng.dirichlet(np.full(50, 0.3), size=2).astype(np.float32)
    p[:7] = 0
    p /= p.sum()
    law_p, law_q = Probs(jnp.asarray(p)), Probs(jnp.asarray(q))
    expected = scipy.stats.entropy(p.astype(np.float64))
    assert float(metrics.entropy(law_p)) == pytest.approx(expected, rel=1e-5)
    assert metrics.support_size(law_p) == 43
    expected = 1 - np.sum(p.astype(np.float64) ** 2)
    assert float(metrics.heterozygosity(law_p)) == pytest.approx(expected, rel=1e-5)
    expected = np.abs(p.astype(np.float64) - q).sum() / 2
    assert float(metrics.total_variation(law_p, law_q)) == pytest.approx(expected, rel=1e-5)


def test_categorical_metrics_at_their_bounds():
    k = 8
    uniform = Probs(jnp.full(k, 1 / k))
    one, other = Probs(jnp.eye(k)[0]), Probs(jnp.eye(k)[1])
    assert float(metrics.entropy(uniform)) == pytest.approx(np.log(k), rel=1e-6)
    assert float(metrics.heterozygosity(uniform)) == pytest.approx(1 - 1 / k, rel=1e-6)
    assert (metrics.entropy(one), metrics.heterozygosity(one)) == (0, 0)
    assert (metrics.support_size(one), metrics.support_size(uniform)) == (1, k)
    assert metrics.total_variation(one, other) == 1
    assert metrics.total_variation(one, one) == 0
    nearly = Probs(jnp.array([1 - 2.0**-20, 2.0**-20]))
    assert float(metrics.heterozygosity(nearly)) == pytest.approx(2.0**-19, rel=1e-5)


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
    """A chunk of 1 holds one row at a time, one of 1000 three, which do not divide n.

    The sizes are found in no other test: the chunk is part of a compiled function, not of its key.
    """
    monkeypatch.setattr(metrics, "_CHUNK", chunk)
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
def test_identical_laws_have_density_one_and_the_known_coverage(n, m, k, d):
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
        assert frechet_by_sqrtm(*fits[0], *fits[1]) == pytest.approx(expected, rel=1e-6)
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
KEY_LESS = (metrics.manifold_scores, metrics.precision, metrics.frechet_distance)


def sliced(real, synthetic):
    return metrics.sliced_wasserstein2_squared(jax.random.key(0), real, synthetic)


@pytest.mark.parametrize("metric", [*KEY_LESS, sliced])
@pytest.mark.parametrize(
    ("real", "synthetic", "words"),
    [
        (REAL, np.ones((8, 3)), "same dimension; got 2 and 3"),
        (REAL, np.where(SYNTHETIC > 0, np.nan, 0), "synthetic points must be finite; got 8 of 8"),
        (np.where(np.eye(10, 2) > 0, np.inf, 0), SYNTHETIC, "real points must be finite; got 2"),
        (np.zeros(10), SYNTHETIC, r"real must be points \[n, d\]; got shape \(10,\)"),
        (REAL, np.ones((0, 2)), "synthetic must hold at least"),
    ],
)
def test_bad_points_are_refused(metric, real, synthetic, words):
    with pytest.raises(ParameterError, match=words):
        metric(real, synthetic)


@pytest.mark.parametrize("k", [0, -1, 8, 2.5, True])
def test_bad_k_is_refused(k):
    with pytest.raises(ParameterError, match=r"k must be a whole number in \[1, 7\]"):
        metrics.manifold_scores(REAL, SYNTHETIC, k=k)
    metrics.manifold_scores(REAL, SYNTHETIC, k=7)


def test_bad_settings_are_refused():
    with pytest.raises(ParameterError, match="ball must be 'closed' or 'open'; got 'strict'"):
        metrics.recall(REAL, SYNTHETIC, k=3, ball="strict")
    with pytest.raises(ParameterError, match="n_projections must be at least 1; got 0"):
        metrics.sliced_wasserstein2_squared(jax.random.key(0), REAL, SYNTHETIC, 0)
    with pytest.raises(ParameterError, match="at least 2 points; got 1"):
        metrics.frechet_distance(REAL[:1], SYNTHETIC)


@pytest.mark.parametrize(
    ("metric", "params", "reference", "words"),
    [
        (metrics.wasserstein2_squared, law(0, 2), law(0, 3), "same dimension; got 2 and 3"),
        (metrics.mean_error_squared, law(0, 2), law(0, 1), "same dimension; got 2 and 1"),
        (metrics.total_variance, Probs(jnp.ones(1)), None, "needs normal parameters.*got Probs"),
        (metrics.entropy, law(0, 2), None, "needs categorical parameters.*got NormalParams"),
        (
            metrics.total_variation,
            Probs(jnp.ones(1)),
            Probs(jnp.full(2, 0.5)),
            "same dimension; got 1 and 2",
        ),
        (
            metrics.log_determinant,
            NormalParams(jnp.zeros((5, 2)), jnp.zeros((5, 2, 2))),
            None,
            "Use jax.vmap",
        ),
        (metrics.support_size, Probs(jnp.ones((5, 1))), None, "Use jax.vmap"),
    ],
)
def test_bad_parameters_are_refused(metric, params, reference, words):
    with pytest.raises(ParameterError, match=words):
        metric(params, reference)
