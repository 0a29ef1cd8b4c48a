"""Mixtures: scikit-learn's fits, exact moments, collapse, metrics by other means."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from sklearn import mixture

from madlib import (
    FreshData,
    FullySynthetic,
    Gaussian,
    GaussianMixture,
    ParameterError,
    metrics,
    simulate,
    targets,
    theory,
)
from madlib.datasets import Samples
from madlib.generators import MixtureParams

N_SEEDS = 8


def keys(n, seed=0):
    return jax.random.split(jax.random.key(seed), n)


@partial(jax.jit, static_argnums=0)
def fit(model, key, samples):
    return model.fit(key, samples)


def fit_many(model, keys, points):
    """Fits to unweighted points [n_seeds, n, d]."""
    samples = jax.vmap(Samples.of)(jnp.asarray(points, jnp.float32))
    return jax.jit(jax.vmap(model.fit))(keys, samples)


l2_distance = jax.jit(metrics.mixture_l2_distance)


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
    laws = [stats.multivariate_normal(m, r @ r.T) for m, r in zip(mean, root, strict=True)]
    return sum(w * law.pdf(points) for w, law in zip(weight, laws, strict=True))


def moments(params):
    """Mean and covariance of a mixture, in float64."""
    weight, mean, root = (np.asarray(part, np.float64) for part in params)
    center = weight @ mean
    within = np.einsum("k,kij,klj->il", weight, root, root)
    return center, within + (weight[:, None] * (mean - center)).T @ (mean - center)


def test_25_modes_and_the_likelihood_of_scikit_learn():
    """Every seed finds every mode; the likelihood is within 1 % of the best of scikit-learn's."""
    target = targets.mode_grid()
    model = target.family
    points = jax.vmap(lambda key: target.sample(key, 2000))(keys(N_SEEDS))
    params = fit_many(model, keys(N_SEEDS, 1), points)
    n_modes = jax.vmap(metrics.n_modes, (0, None))(params, target.params)
    assert np.array_equal(n_modes, np.full(N_SEEDS, 25)), n_modes
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
    """Exactly, even where EM stopped early: what makes the total variance blind to the modes."""
    rng = np.random.default_rng(dim)
    points, weight = 5 + rng.standard_t(3, (100, dim)), rng.integers(0, 3, 100)
    samples = Samples(jnp.asarray(points, jnp.float32), jnp.asarray(weight, jnp.float32))
    params = fit(GaussianMixture(dim, 5, max_iterations=2), jax.random.key(0), samples)
    mean, cov = moments(params)
    repeated = np.repeat(points, weight, axis=0)
    np.testing.assert_allclose(mean, repeated.mean(0), rtol=1e-5)
    np.testing.assert_allclose(cov, np.cov(repeated.T, ddof=0).reshape(dim, dim), rtol=1e-3)
    assert metrics.mixture_variance(params) == pytest.approx(np.trace(cov), rel=1e-5)


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


def test_samples_have_the_law_and_the_bias():
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
        assert all(stats.kstest(row, "norm").pvalue > 1e-3 for row in white)
        assert abs(np.corrcoef(white)[0, 1]) < 5 / np.sqrt(len(part))
    modes = model.sample(jax.random.key(0), target.params, 100, 0.0)
    assert len(np.unique(np.asarray(modes), axis=0)) == 2


def test_total_variance_obeys_the_recursion_of_a_gaussian():
    regime, n_generations, n_replicates = FreshData(n_r=10, n_s=15), 5, 400
    target = targets.mixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.0]], 0.2)
    run = simulate(
        jax.random.key(0),
        GaussianMixture(2, 3),
        regime,
        target,
        n_ini=12,
        n_generations=n_generations,
        n_replicates=n_replicates,
        record=(metrics.mixture_variance,),
    )
    measured = run.record["mixture_variance"]
    expected = 1.4 * theory.moments(regime, n_ini=12, n_generations=n_generations, ddof=0).s
    z = (measured.mean(0) - expected) / (measured.std(0) / np.sqrt(n_replicates))
    assert np.abs(z).max() < 5, z


@pytest.mark.parametrize("d", [1, 2])
def test_l2_distance_is_the_integral(d):
    ours, theirs = random_mixture(1, 3, d), random_mixture(2, 2, d)
    line = np.linspace(-12, 12, 400)
    grid = np.stack(np.meshgrid(*[line] * d, indexing="ij"), axis=-1).reshape(-1, d)
    square = (density(ours, grid) - density(theirs, grid)).reshape([400] * d) ** 2
    for _ in range(d):
        square = integrate.simpson(square, x=line, axis=-1)
    assert l2_distance(ours, theirs) == pytest.approx(np.sqrt(square), rel=1e-4)


def test_l2_distance_of_near_equal_and_collapsed_mixtures():
    params = random_mixture(0, 3, 3)
    order = jax.tree.map(lambda leaf: leaf[jnp.array([2, 0, 1])], params)
    assert l2_distance(params, order) < 1e-3
    point = params._replace(chol=params.chol.at[1].set(0.0))
    assert l2_distance(point, params) == np.inf
    unused = point._replace(weight=jnp.array([0.5, 0.0, 0.5]))
    assert np.isfinite(l2_distance(unused, params))


def test_modes_by_hand():
    """Two components in the first mode, one in the second, none in the third and fourth."""
    reference = targets.mode_grid(2).params
    mean = jnp.array([[-0.6, -0.5], [-0.4, -0.5], [-0.5, 0.5], [0.4, 0.4]])
    root = jnp.array([0.1, 0.1, 0.2, 0.0])[:, None, None] * jnp.eye(2)[None]
    params = MixtureParams(jnp.array([0.2, 0.2, 0.58, 0.02]), mean, root)
    np.testing.assert_allclose(metrics.mode_weights(params, reference), [0.4, 0.58, 0, 0.02])
    assert metrics.n_modes(params, reference) == 2
    first, second = 0.4 * (2 * 0.01 + 0.01), 0.58 * 2 * 0.04
    modal = metrics.modal_variance(params, reference)
    assert modal == pytest.approx(first + second, rel=1e-5)
    assert metrics.modal_variance(reference, reference) == pytest.approx(0.02, rel=1e-5)
    assert metrics.mixture_variance(reference) == pytest.approx(0.52, rel=1e-5)


GRID = {"n_generations": 3, "n_replicates": 2}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: GaussianMixture(2, 0), ["n_components", "0"]),
        (lambda: GaussianMixture(2, 3, floor=0.0), ["floor", "(0, 1)", "0.0"]),
        (lambda: GaussianMixture(2, 3, tolerance=-1), ["tolerance", "-1"]),
        (
            lambda: simulate(
                jax.random.key(0),
                GaussianMixture(2, 25),
                FullySynthetic(20),
                targets.mode_grid(),
                n_ini=100,
                **GRID,
            ),
            ["at least 25 samples", "got 20"],
        ),
        (
            lambda: metrics.n_modes(targets.standard_normal(2).params, targets.mode_grid().params),
            ["parameters of a mixture", "NormalParams"],
        ),
        (
            lambda: metrics.mixture_l2_distance(random_mixture(0, 2, 1), random_mixture(0, 2, 2)),
            ["same dimension", "1 and 2"],
        ),
        (lambda: targets.mixture([0.5, 0.6], [[0], [1]], 1), ["sum to 1", "1.1"]),
        (lambda: targets.mixture([0.0, 1.0], [[0], [1]], 1), ["positive", "minimum of 0"]),
        (lambda: targets.mixture([1.0], [[0], [1]], 1), ["same k", "(1,)", "(2, 1)"]),
        (lambda: targets.mixture([1.0], [[np.nan]], 1), ["finite", "NaN"]),
        (lambda: targets.mixture([1.0], [[0.0]], -1), ["positive semi-definite", "-1"]),
        (lambda: targets.mixture([0.5, 0.5], [[0], [1]], np.ones((3, 1, 1))), ["[2, d, d]"]),
        (lambda: targets.mode_grid(scale=-1), ["scale", "-1"]),
        (lambda: GaussianMixture(2, 2, tolerance="x"), ["tolerance must lie in (0, 1)", "'x'"]),
        (lambda: GaussianMixture(2, 2, n_swaps="x"), ["n_swaps", "'x'"]),
        (lambda: GaussianMixture(2, 2, n_swaps=True), ["n_swaps", "True"]),
    ],
)
def test_bad_input_is_one_clear_line(call, words):
    with pytest.raises(ParameterError) as refused:
        call()
    message = str(refused.value)
    assert "\n" not in message and all(word in message for word in words), message
