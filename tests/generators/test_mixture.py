"""Mixtures: the fits of scikit-learn, exact moments, collapse."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import LEVEL, keys, refused
from scipy import stats
from sklearn import mixture

from madlib import simulate, targets
from madlib.datasets import Samples
from madlib.generators import Gaussian, GaussianMixture, MixtureParams
from madlib.regimes import FreshData, FullySynthetic

N_SEEDS = 8


@partial(jax.jit, static_argnums=0)
def fit(model, key, samples):
    return model.fit(key, samples)


def fit_many(model, keys, points):
    """Fits to unweighted points [n_seeds, n, d]."""
    samples = jax.vmap(Samples.of)(jnp.asarray(points, jnp.float32))
    return jax.jit(jax.vmap(model.fit))(keys, samples)


def random_mixture(seed, k, d):
    rng = np.random.default_rng(seed)
    weight = rng.dirichlet(np.full(k, 5.0))
    root = np.tril(rng.standard_normal((k, d, d))) / 2 + np.eye(d)
    return MixtureParams(
        *(jnp.asarray(part, jnp.float32) for part in (weight, rng.standard_normal((k, d)), root))
    )


def density(params, points):
    """By SciPy, in float64."""
    weight, mean, root = (np.asarray(part, np.float64) for part in params)
    parts = zip(weight, mean, root, strict=True)
    return sum(w * stats.multivariate_normal(m, r @ r.T).pdf(points) for w, m, r in parts)


def moments(params):
    """Mean and covariance of a mixture, in float64."""
    weight, mean, root = (np.asarray(part, np.float64) for part in params)
    center = weight @ mean
    within = np.einsum("k,kij,klj->il", weight, root, root)
    return center, within + (weight[:, None] * (mean - center)).T @ (mean - center)


def weights_of_modes(params, modes):
    """Weight of the components of each mixture next to each of the modes [m, d]."""
    weight, mean, _ = (np.asarray(part) for part in params)
    nearest = np.argmin(((mean[:, :, None] - modes) ** 2).sum(-1), axis=-1)
    return (weight[:, :, None] * (nearest[:, :, None] == np.arange(len(modes)))).sum(1)


def test_25_modes_and_the_likelihood_of_scikit_learn():
    """Every seed finds every mode; the likelihood is within 1 % of the best of scikit-learn's."""
    target = targets.mode_grid()
    model, n = target.family, 2000
    points = jax.vmap(lambda key: target.sample(key, n))(keys(N_SEEDS))
    params = fit_many(model, keys(N_SEEDS, 1), points)
    share = weights_of_modes(params, np.asarray(target.params.mean))
    assert np.abs(share - 1 / 25).max() < 5 * np.sqrt(0.04 * 0.96 / n), share
    ours = np.asarray(jax.vmap(model.log_prob)(params, points).mean(axis=1))
    for seed, (points_of_seed, score) in enumerate(zip(np.asarray(points), ours, strict=True)):
        theirs = mixture.GaussianMixture(25, n_init=3, random_state=seed).fit(points_of_seed)
        best = theirs.score(points_of_seed)
        assert abs(score - best) < 0.01 * abs(best), f"seed {seed}: {score} and {best}"


def test_unequal_modes_are_found():
    """Modes of 4 to 40 points, which draws by squared distance alone would often miss."""
    rng = np.random.default_rng(0)
    sizes = rng.permuted(np.tile([4, 10, 20, 40], (N_SEEDS, 3)), axis=1)
    centers = np.array(list(itertools.product(range(4), range(3))), float)
    points = [
        np.repeat(centers, size, axis=0) + 0.1 * rng.standard_normal((size.sum(), 2))
        for size in sizes
    ]
    params = fit_many(GaussianMixture(2, 12), keys(N_SEEDS), np.array(points, np.float32))
    for size, weight, mean in zip(sizes, *map(np.asarray, params[:2]), strict=True):
        nearest = np.argmin(np.linalg.norm(centers[:, None] - mean[None], axis=2), axis=1)
        np.testing.assert_allclose(weight[nearest] * size.sum(), size, atol=0.5)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_weighted_fit_is_that_of_repeated_points(dim):
    """A point of weight w counts as w points do for scikit-learn; one of weight 0 not at all."""
    rng = np.random.default_rng(dim)
    points = rng.standard_normal((300, dim)) + 8 * rng.integers(0, 3, 300)[:, None]
    weight = rng.integers(0, 3, 300)
    points[weight == 0] += 100
    samples = Samples(jnp.asarray(points, jnp.float32), jnp.asarray(weight, jnp.float32))
    params = fit(GaussianMixture(dim, 3), jax.random.key(0), samples)
    theirs = mixture.GaussianMixture(3, tol=1e-6, n_init=3, random_state=0)
    theirs.fit(np.repeat(points, weight, axis=0))
    ours, other = (np.argsort(mean[:, 0]) for mean in (params.mean, theirs.means_))
    np.testing.assert_allclose(params.weight[ours], theirs.weights_[other], rtol=1e-4)
    np.testing.assert_allclose(params.mean[ours], theirs.means_[other], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(params.cov[ours], theirs.covariances_[other], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("k", "d"), [(1, 1), (4, 2), (3, 4)])
def test_log_prob_is_scipys(k, d):
    params = random_mixture(k, k, d)
    points = 2 * np.random.default_rng(0).standard_normal((50, d)).astype(np.float32)
    ours = GaussianMixture(d, k).log_prob(params, jnp.asarray(points))
    np.testing.assert_allclose(ours, np.log(density(params, points)), rtol=1e-4, atol=1e-4)


def test_one_component_is_a_gaussian():
    samples = Samples.of(jax.random.normal(jax.random.key(0), (20, 2)))
    gaussian = Gaussian(2, ddof=0)
    expected = gaussian.fit(None, gaussian.summarize(samples))
    ours = fit(GaussianMixture(2, 1), jax.random.key(0), samples)
    np.testing.assert_allclose(ours.mean[0], expected.mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.chol[0], expected.chol, rtol=1e-5)


@pytest.mark.parametrize("dim", [2, 4])
def test_moments_are_those_of_the_training_set(dim):
    """Exactly, even where EM stops early: the total variance does not depend on the modes."""
    rng = np.random.default_rng(dim)
    points, weight = 5 + rng.standard_t(3, (100, dim)), rng.integers(0, 3, 100)
    samples = Samples(jnp.asarray(points, jnp.float32), jnp.asarray(weight, jnp.float32))
    params = fit(GaussianMixture(dim, 5, max_iterations=2), jax.random.key(0), samples)
    mean, cov = moments(params)
    repeated = np.repeat(points, weight, axis=0)
    np.testing.assert_allclose(mean, repeated.mean(0), rtol=1e-5)
    np.testing.assert_allclose(cov, np.cov(repeated.T, ddof=0).reshape(dim, dim), rtol=1e-3)
    assert params.total_variance == pytest.approx(np.trace(cov), rel=1e-5)


COLLAPSED = {
    "a point": np.full((9, 2), 7.0),
    "a point far away": np.full((9, 2), 1e6),
    "two points": np.array([[0.0, 1.0]] * 4 + [[5.0, -1.0]] * 5),
    "a line": np.stack([np.arange(9.0), 2 * np.arange(9.0)], axis=1),
    "three points on an axis": np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]] * 3),
    "the last digits": 3 + np.spacing(np.float32(3)) * np.arange(9)[:, None] * [[1, -1]],
    "in five dimensions": np.ones((9, 5)),
}


@pytest.mark.parametrize("name", COLLAPSED)
def test_collapse_is_legal(name):
    points = COLLAPSED[name].astype(np.float32)
    model = GaussianMixture(points.shape[1], 4)
    params = fit(model, jax.random.key(0), Samples.of(jnp.asarray(points)))
    assert all(np.isfinite(leaf).all() for leaf in params)
    assert float(params.weight.sum()) == pytest.approx(1, abs=1e-5)
    assert np.isfinite(model.log_prob(params, jnp.asarray(points))).all()
    drawn = np.asarray(model.sample(jax.random.key(1), params, 200))
    assert np.isfinite(drawn).all()
    distinct = np.unique(points, axis=0)
    if len(distinct) <= 4:
        used = np.asarray(params.weight) > 0
        assert used.sum() == len(distinct), "components without points have weight 0"
        np.testing.assert_allclose(np.unique(drawn, axis=0), distinct, atol=1e-6)
        assert not params.chol[used].any()


def test_samples_have_the_distribution_and_the_bias():
    """lam scales every covariance and leaves weights and means alone."""
    n, lam = 40_000, 0.3
    target = targets.mixture([0.2, 0.8], [[-20.0, 0.0], [20.0, 5.0]], [[2.0, 0.8], [0.8, 1.0]])
    model = target.family
    drawn = np.asarray(model.sample(jax.random.key(0), target.params, n, lam))
    left = drawn[:, 0] < 0
    assert abs(left.mean() - 0.2) < 5 * np.sqrt(0.2 * 0.8 / n)
    for part, mean in ((drawn[left], [-20, 0]), (drawn[~left], [20, 5])):
        root = np.linalg.cholesky(lam * np.array([[2.0, 0.8], [0.8, 1.0]]))
        white = np.linalg.solve(root, (part - mean).T)
        assert all(stats.kstest(row, "norm").pvalue > LEVEL for row in white)
        assert abs(np.corrcoef(white)[0, 1]) < 5 / np.sqrt(len(part))
    modes = model.sample(jax.random.key(0), target.params, 100, 0.0)
    assert len(np.unique(np.asarray(modes), axis=0)) == 2


def total_variance(model, target):
    return model.params.total_variance


def test_total_variance_obeys_the_recursion_of_a_gaussian():
    """With fresh data and ddof = 0: of the mean variance, and of the drift of the mean."""
    n_r, n_s, n_ini, n_generations, n_replicates, real = 10, 15, 12, 5, 400, 1.4
    run = simulate(
        jax.random.key(0),
        GaussianMixture(2, 3),
        FreshData(n_r, n_s),
        targets.mixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.0]], 0.2),
        n_ini=n_ini,
        n_generations=n_generations,
        n_replicates=n_replicates,
        record=(total_variance,),
    )
    measured = run.record["total_variance"]
    variance, drift = [real * (1 - 1 / n_ini)], real / n_ini
    r, s = n_r / (n_r + n_s), n_s / (n_r + n_s)
    for _ in range(n_generations - 1):
        v = variance[-1]
        gap = real / n_r + v / n_s + drift  # E |mean of the synthetic - mean of the real data|^2.
        variance.append(r * real * (1 - 1 / n_r) + s * v * (1 - 1 / n_s) + r * s * gap)
        drift = r**2 * real / n_r + s**2 * (v / n_s + drift)
    z = (measured.mean(0) - variance) / (measured.std(0) / np.sqrt(n_replicates))
    assert np.abs(z).max() < 5, z


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_components": 0}, ["n_components", "got 0"]),
        ({"floor": 0.0}, ["floor must be a number between 0 and 1", "got 0.0"]),
        ({"tolerance": -1}, ["tolerance", "-1"]),
        ({"tolerance": "x"}, ["tolerance", "'x'"]),
        ({"n_swaps": "x"}, ["n_swaps", "'x'"]),
        ({"n_swaps": True}, ["n_swaps", "True"]),
    ],
)
def test_settings_are_checked(settings, words):
    with refused(*words):
        GaussianMixture(**{"dim": 2, "n_components": 3} | settings)


def test_a_training_set_smaller_than_the_components_is_refused():
    target = targets.mode_grid()
    with refused("at least 25 samples", "got 20"):
        simulate(
            *(jax.random.key(0), target.family, FullySynthetic(20), target),
            **{"n_ini": 100, "n_generations": 3, "n_replicates": 2},
        )
