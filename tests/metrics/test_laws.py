"""Metrics of parameters against independent implementations: NumPy in float64, SciPy, POT."""

import itertools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.stats

from madlib import FullySynthetic, ParameterError, metrics, simulate, targets
from madlib.generators import VAE, CategoricalParams, MixtureParams, NormalParams, Training
from madlib.protocols import Model

with warnings.catch_warnings():
    # POT has invalid escapes in its docstrings, a SyntaxWarning when it is first compiled.
    warnings.simplefilter("ignore")
    import ot

EPS = float(np.finfo(np.float32).eps)


@pytest.fixture(autouse=True)
def no_nans():
    with jax.debug_nans(True):
        yield


wasserstein2_squared = jax.jit(metrics.wasserstein2_squared)
total_variance = jax.jit(metrics.total_variance)
mixture_l2_distance = jax.jit(metrics.mixture_l2_distance)


def normal(seed, d, scale=1.0, rank=None):
    """A normal distribution with an exact lower triangular root of the given rank."""
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
    """Accurate for distributions as near as you like: a singular value decomposition in float64."""
    a, b = np.asarray(params.chol, np.float64), np.asarray(reference.chol, np.float64)
    left, _, right = np.linalg.svd(b.T @ a)
    gap = np.asarray(params.mean, np.float64) - np.asarray(reference.mean, np.float64)
    return np.sum(gap**2) + np.sum((a - b @ (left @ right)) ** 2)


# Rounding of a sum of d^2 squares in float32, relative to the total variance.
def rounding(d, *many):
    return 20 * EPS * d * sum(np.trace(moments(p)[1]) for p in many)


@pytest.mark.parametrize("d", [1, 2, 3, 64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_wasserstein_agrees_with_scipy_and_pot(d, scale):
    params, reference = normal(1, d, scale), normal(2, d)
    (mean_1, cov_1), (mean_2, cov_2) = moments(params), moments(reference)
    ours = float(wasserstein2_squared(params, reference))
    by_scipy = frechet_by_sqrtm(mean_1, cov_1, mean_2, cov_2)
    by_pot = ot.gaussian.bures_wasserstein_distance(mean_1, mean_2, cov_1, cov_2) ** 2
    tolerance = rounding(d, params, reference)
    assert abs(ours - by_scipy) < tolerance, (ours, by_scipy, by_pot, tolerance)
    assert abs(ours - by_pot) < tolerance, (ours, by_scipy, by_pot, tolerance)
    assert tolerance < 0.01 * by_scipy


@pytest.mark.parametrize("d", [1, 2, 3, 64])
def test_wasserstein_is_symmetric_and_zero_only_at_the_distribution_itself(d):
    params, reference = normal(1, d), normal(2, d)
    there = float(wasserstein2_squared(params, reference))
    back = float(wasserstein2_squared(reference, params))
    assert there == pytest.approx(back, abs=rounding(d, params, reference))
    assert there > 0.1
    assert wasserstein2_squared(params, params) == 0


@pytest.mark.parametrize(
    ("d", "distance", "rel"),
    [(1, 1e-6, 1e-5), (2, 1e-6, 1e-5), (3, 1e-6, 0.1), (64, 1e-4, 1e-3)],
)
def test_wasserstein_keeps_its_digits_when_the_distributions_are_near(d, distance, rel):
    """The trace formula would have no digit left in float32: W2^2 is below its rounding."""
    reference = normal(3, d)
    change = np.random.default_rng(4).normal(size=(d, d)) * distance
    chol = np.asarray(reference.chol) * (1 + change).astype(np.float32)
    near = NormalParams(reference.mean, jnp.asarray(chol))
    ours = float(wasserstein2_squared(near, reference))
    exact = procrustes_float64(near, reference)
    assert 0 < exact < EPS * float(total_variance(reference))
    assert ours == pytest.approx(exact, rel=rel), (ours, exact)


@pytest.mark.parametrize("d", [1, 2, 3, 64])
def test_wasserstein_of_a_point_mass_is_its_second_moment(d):
    params = normal(5, d)
    second_moment = float(total_variance(params) + jnp.sum(params.mean**2))
    compiled_here = jax.jit(lambda a, b: metrics.wasserstein2_squared(a, b))
    for there, back in ((params, point_mass(d)), (point_mass(d), params)):
        distance = float(compiled_here(there, back))
        assert distance == pytest.approx(second_moment, rel=20 * EPS * d)
    assert wasserstein2_squared(point_mass(d), point_mass(d)) == 0


@pytest.mark.parametrize("d", [2, 3, 64])
@pytest.mark.parametrize("scale", [1e-25, 1e-12, 1.0])
def test_wasserstein_of_a_rank_one_distribution(d, scale):
    """W2^2 = |mu|^2 + |u|^2 + d - 2 |u| between N(mu, u u^T) and N(0, I_d)."""
    params = normal(6, d, scale, rank=1)
    reference = NormalParams(jnp.zeros(d), jnp.eye(d))
    length = np.linalg.norm(np.asarray(params.chol, np.float64))
    mean = np.asarray(params.mean, np.float64)
    expected = mean @ mean + length**2 + d - 2 * length
    ours = float(wasserstein2_squared(params, reference))
    assert ours == pytest.approx(expected, rel=20 * EPS * d), (ours, expected)


def test_wasserstein_does_not_depend_on_the_signs_of_the_root():
    params, reference = normal(7, 2), normal(8, 2)
    flipped = params._replace(chol=params.chol * jnp.array([[1.0, -1.0]]))
    plain, other = (wasserstein2_squared(p, reference) for p in (params, flipped))
    assert float(plain) == pytest.approx(float(other), rel=1e-6)


def test_model_metrics_run_under_jit_and_vmap():
    many = [normal(seed, 3) for seed in range(5)]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *many)
    reference = normal(9, 3)
    for metric in (
        metrics.wasserstein2_squared,
        metrics.mean_error_squared,
        metrics.total_variance,
        metrics.standard_deviation,
        metrics.log_determinant,
    ):
        together = jax.jit(jax.vmap(metric, in_axes=(0, None)))(batch, reference)
        one_by_one = [float(metric(params, reference)) for params in many]
        np.testing.assert_allclose(together, one_by_one, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_moments_agree_with_numpy(d):
    params, reference = normal(10, d), normal(11, d)
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
    flat = normal(12, 3, rank=2)
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
    params, reference = CategoricalParams(jnp.asarray(p)), CategoricalParams(jnp.asarray(q))
    expected = scipy.stats.entropy(p.astype(np.float64))
    assert float(metrics.entropy(params)) == pytest.approx(expected, rel=1e-5)
    assert metrics.support_size(params) == 43
    expected = 1 - np.sum(p.astype(np.float64) ** 2)
    assert float(metrics.heterozygosity(params)) == pytest.approx(expected, rel=1e-5)
    expected = np.abs(p.astype(np.float64) - q).sum() / 2
    assert float(metrics.total_variation(params, reference)) == pytest.approx(expected, rel=1e-5)


def test_categorical_metrics_at_their_bounds():
    k = 8
    uniform = CategoricalParams(jnp.full(k, 1 / k))
    one, other = CategoricalParams(jnp.eye(k)[0]), CategoricalParams(jnp.eye(k)[1])
    assert float(metrics.entropy(uniform)) == pytest.approx(np.log(k), rel=1e-6)
    assert float(metrics.heterozygosity(uniform)) == pytest.approx(1 - 1 / k, rel=1e-6)
    assert (metrics.entropy(one), metrics.heterozygosity(one)) == (0, 0)
    assert (metrics.support_size(one), metrics.support_size(uniform)) == (1, k)
    assert metrics.total_variation(one, other) == 1
    assert metrics.total_variation(one, one) == 0
    nearly = CategoricalParams(jnp.array([1 - 2.0**-20, 2.0**-20]))
    assert float(metrics.heterozygosity(nearly)) == pytest.approx(2.0**-19, rel=1e-5)


def mixture(seed, k, d, scale=0.6):
    rng = np.random.default_rng(seed)
    root = np.tril(rng.normal(size=(k, d, d))) * scale + scale * np.eye(d)
    parts = rng.dirichlet(np.ones(k)), 2 * rng.normal(size=(k, d)), root
    return MixtureParams(*(jnp.asarray(part, jnp.float32) for part in parts))


def mixture_density(params, points):
    weight, mean, chol = (np.asarray(part, np.float64) for part in params)
    each = (scipy.stats.multivariate_normal(m, c @ c.T) for m, c in zip(mean, chol, strict=True))
    return sum(w * one.pdf(points) for w, one in zip(weight, each, strict=True))


@pytest.mark.parametrize(("d", "n"), [(1, 1001), (2, 241)])
def test_l2_distance_of_mixtures_is_the_integral(d, n):
    ours, theirs = mixture(1, 3, d), mixture(2, 2, d)
    line = np.linspace(-12, 12, n)
    grid = np.array(list(itertools.product(line, repeat=d)))
    gap = mixture_density(ours, grid) - mixture_density(theirs, grid)
    square = gap.reshape([n] * d) ** 2
    for _ in range(d):
        square = scipy.integrate.simpson(square, x=line, axis=-1)
    distance = mixture_l2_distance(ours, theirs)
    assert float(distance) == pytest.approx(np.sqrt(square), rel=1e-4)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_l2_distance_of_collapsed_mixtures(d):
    """In five dimensions through LAPACK; a component of weight 0 may be a point."""
    params = mixture(3, 3, d)
    order = jax.tree.map(lambda leaf: leaf[jnp.array([2, 0, 1])], params)
    own = mixture_l2_distance(params, params._replace(weight=0 * params.weight))
    assert float(mixture_l2_distance(params, order)) < 1e-3 * float(own)
    point = params._replace(chol=params.chol.at[1].set(0.0))
    for other in (params, point):
        assert mixture_l2_distance(point, other) == np.inf
        assert mixture_l2_distance(other, point) == np.inf
    unused = point._replace(weight=params.weight.at[1].set(0.0))
    assert np.isfinite(mixture_l2_distance(unused, params))


def test_modes_by_hand():
    """Two components in the first mode, one in the second, none in the third and fourth."""
    reference = targets.mode_grid(2).params
    mean = jnp.array([[-0.6, -0.5], [-0.4, -0.5], [-0.5, 0.5], [0.4, 0.4]])
    root = jnp.array([0.1, 0.1, 0.2, 0.0])[:, None, None] * jnp.eye(2)[None]
    params = MixtureParams(jnp.array([0.2, 0.2, 0.58, 0.02]), mean, root)
    np.testing.assert_allclose(metrics.mode_weights(params, reference), [0.4, 0.58, 0, 0.02])
    assert metrics.n_modes(params, reference) == 2
    within = 0.4 * (2 * 0.01 + 0.01) + 0.58 * 2 * 0.04
    assert metrics.modal_variance(params, reference) == pytest.approx(within, rel=1e-5)
    assert metrics.modal_variance(reference, reference) == pytest.approx(0.02, rel=1e-5)
    assert metrics.mixture_variance(reference) == pytest.approx(0.52, rel=1e-5)


def moved(params, scale, shift, axes):
    """Parameters of scale (axes x + shift), of a normal distribution or a mixture."""
    *weight, mean, chol = (np.asarray(part, np.float64) for part in params)
    cov = axes @ chol @ np.swapaxes(chol, -1, -2) @ axes.T
    leaves = *weight, scale * (mean @ axes.T + shift), scale * np.linalg.cholesky(cov)
    return type(params)(*(jnp.asarray(leaf, jnp.float32) for leaf in leaves))


@pytest.mark.parametrize("scale", [1e-12, 1e9])
def test_distances_follow_a_change_of_axes_and_unit(scale):
    d = 3
    axes = np.linalg.qr(np.random.default_rng(14).normal(size=(d, d)))[0]
    shift = np.array([8.0, -3.0, 5.0])
    for make, metric, sizes in (
        (normal, metrics.wasserstein2_squared, (2, 0)),
        (normal, metrics.mean_error_squared, (2, 0)),
        (normal, metrics.total_variance, (2, 0)),
        (normal, metrics.standard_deviation, (1, 0)),
        (normal, metrics.log_determinant, (0, 2 * d)),
        (lambda seed, d: mixture(seed, 3, d), metrics.mixture_variance, (2, 0)),
        (lambda seed, d: mixture(seed, 3, d), metrics.modal_variance, (2, 0)),
        (lambda seed, d: mixture(seed, 3, d), metrics.mode_weights, (0, 0)),
        (lambda seed, d: mixture(seed, 3, d), metrics.n_modes, (0, 0)),
        (lambda seed, d: mixture(seed, 3, d), metrics.mixture_l2_distance, (-d / 2, 0)),
    ):
        params, reference = make(15, d), make(16, d)
        there = jax.jit(metric)(*(moved(x, scale, shift, axes) for x in (params, reference)))
        expected = scale ** sizes[0] * np.float64(jax.jit(metric)(params, reference))
        expected = expected + sizes[1] * np.log(scale)
        np.testing.assert_allclose(there, expected, rtol=2e-4, err_msg=metric.__name__)


@pytest.mark.parametrize(
    ("metric", "params", "reference", "words"),
    [
        (metrics.wasserstein2_squared, normal(0, 2), normal(0, 3), "one dimension; got 2 and 3"),
        (metrics.mean_error_squared, normal(0, 2), normal(0, 1), "one dimension; got 2 and 1"),
        (
            metrics.total_variance,
            CategoricalParams(jnp.ones(1)),
            None,
            "total_variance needs NormalParams; got CategoricalParams. Record metrics of the fam",
        ),
        (
            metrics.entropy,
            normal(0, 2),
            None,
            "entropy needs CategoricalParams; got NormalParams. Record",
        ),
        (
            metrics.wasserstein2_squared,
            normal(0, 2),
            None,
            "needs NormalParams and a reference of NormalParams; got NoneType",
        ),
        (
            metrics.total_variation,
            CategoricalParams(jnp.ones(1)),
            CategoricalParams(jnp.full(2, 0.5)),
            "one dimension; got 1 and 2",
        ),
        (metrics.mixture_l2_distance, mixture(0, 2, 1), mixture(0, 2, 2), "got 1 and 2"),
        (metrics.n_modes, normal(0, 2), mixture(0, 2, 2), "n_modes needs MixtureParams"),
        (
            metrics.log_determinant,
            NormalParams(jnp.zeros((5, 2)), jnp.zeros((5, 2, 2))),
            None,
            r"one distribution; got \(5, 2\). Use jax.vmap",
        ),
        (metrics.support_size, CategoricalParams(jnp.ones((5, 1))), None, "Use jax.vmap"),
    ],
)
def test_bad_parameters_are_refused(metric, params, reference, words):
    with pytest.raises(ParameterError, match=words) as refused:
        metric(params, reference)
    assert "\n" not in str(refused.value)


def test_a_model_and_its_target_stand_for_their_parameters():
    target = targets.normal([1, 2], [[2, 0.3], [0.3, 1]])
    model = Model(target.family, normal(0, 2))
    for metric in (metrics.wasserstein2_squared, metrics.total_variance):
        assert metric(model, target) == metric(model.params, target.reference)


def test_a_metric_of_a_reader():
    @metrics.of_params
    def largest_variance(params: NormalParams):
        return jnp.max(jnp.diagonal(params.cov))

    target = targets.normal([1, 2], [[2, 0.3], [0.3, 1]])
    assert largest_variance.__name__ == "largest_variance"
    assert float(largest_variance(Model(target.family, target.params), target)) == pytest.approx(2)
    with pytest.raises(ParameterError, match="largest_variance needs NormalParams; got Categor"):
        largest_variance(CategoricalParams(jnp.ones(1)))


def test_a_metric_of_normals_recorded_for_a_network_gets_one_line():
    generator = VAE(64, training=Training(n_steps=2, batch_size=4, learning_rate=1e-3))
    settings = {"n_ini": 8, "n_generations": 2, "n_replicates": 1}
    for metric in (metrics.total_variance, metrics.wasserstein2_squared):
        with pytest.raises(ParameterError) as refused:
            target = targets.digits()
            key, regime = jax.random.key(0), FullySynthetic(8)
            simulate(key, generator, regime, target, record=(metric,), **settings)
        message = str(refused.value)
        words = (metric.__name__, "NormalParams; got LatentParams", "Record metrics of the family")
        assert all(word in message for word in words) and "\n" not in message, message
