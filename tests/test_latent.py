"""The two generators with a latent variable, VAE and WGAN."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from madlib.parameters import ParameterError
from scipy import stats

from madlib import metrics
from madlib.datasets import Samples
from madlib.generators import VAE, WGAN, Training, VAEParams, WGANParams
from madlib.generators.vae import LEAST_NOISE, Autoencoder
from madlib.generators.wgan import Game, Slow, gradient_penalty

LATENT = (VAE, WGAN)
each = pytest.mark.parametrize("generator", LATENT)


def affine(matrix, bias):
    """A network of two hidden layers that is z -> matrix z + bias, as x = silu(x) - silu(-x)."""
    n_out, n_in = np.shape(matrix)
    network = eqx.nn.MLP(n_in, n_out, 2 * n_in, 2, jax.nn.silu, key=jax.random.key(0))
    both = np.concatenate([np.eye(n_in), -np.eye(n_in)])
    weights = both, both @ both.T, matrix @ both.T
    biases = np.zeros(2 * n_in), np.zeros(2 * n_in), bias
    arrays = [jnp.asarray(array, jnp.float32) for array in (*weights, *biases)]
    return eqx.tree_at(
        lambda network: (
            [layer.weight for layer in network.layers] + [layer.bias for layer in network.layers]
        ),
        network,
        arrays,
    )


def trained(generator, decoder, mean, scale):
    """Parameters of a generator whose decoder is this one, and the generator of its sizes."""
    settings = {"n_latent": decoder.in_size, "hidden": decoder.width_size}
    generator = generator(decoder.out_size, **settings)
    network = generator.network(jax.random.key(0))
    if isinstance(generator, VAE):
        network, kind = dataclasses.replace(network, decoder=decoder), VAEParams
    else:
        slow = Slow(decoder, generator.slowness)
        network, kind = dataclasses.replace(network, generator=slow), WGANParams
    weights = eqx.filter(network, eqx.is_inexact_array)
    return generator, kind(weights, jnp.asarray(mean), jnp.asarray(scale), jnp.zeros((), int))


@each
@pytest.mark.parametrize("lam", [1.0, 0.3])
def test_lam_is_the_variance_of_the_latent(generator, lam):
    """With an affine decoder W z + b samples are N(m + s b, lam s^2 W W^T)."""
    matrix = np.array([[2.0, 0.0], [0.5, 1.0], [-1.0, 0.5]])
    bias, mean, scale, n = np.array([0.1, 0.2, 0.3]), np.array([1.0, 2.0, 3.0]), 0.5, 40_000
    generator, params = trained(generator, affine(matrix, bias), mean, scale)
    points = np.asarray(generator.sample(jax.random.key(1), params, n, lam), float)
    cov = lam * scale**2 * matrix @ matrix.T
    z = (points.mean(0) - mean - scale * bias) / np.sqrt(np.diag(cov) / n)
    assert np.abs(z).max() < 5, z
    # The variance of an entry of a sample covariance of normals is (c_ii c_jj + c_ij^2) / n.
    variance = (np.outer(np.diag(cov), np.diag(cov)) + cov**2) / n
    z = (np.cov(points.T) - cov) / np.sqrt(variance)
    assert np.abs(z).max() < 5, z


@each
def test_lam_of_zero_is_one_point(generator):
    generator, params = trained(generator, affine(np.eye(2), np.ones(2)), [1.0, 2.0], 0.5)
    points = generator.sample(jax.random.key(1), params, 5, jnp.zeros(()))
    np.testing.assert_allclose(points, np.tile([1.5, 2.5], (5, 1)), rtol=1e-6)


@functools.cache
def short_fit(generator):
    """A short training on 11 rows in two dimensions, compiled once for all tests."""
    training = Training(n_steps=3, batch_size=4, learning_rate=1e-2)
    generator = generator(2, hidden=4, n_latent=2, training=training)
    return generator, jax.jit(lambda *rows: generator.fit(jax.random.key(1), Samples(*rows)))


@each
def test_rows_of_weight_zero_are_never_seen(generator):
    _, fit = short_fit(generator)
    points = jax.random.normal(jax.random.key(0), (6, 2))
    weight = jnp.concatenate([jnp.ones(6), jnp.zeros(5)])
    empty, full = (
        fit(jnp.concatenate([points, jnp.full((5, 2), rest)]), weight) for rest in (0.0, 1e6)
    )
    for ours, theirs in zip(jax.tree.leaves(empty), jax.tree.leaves(full), strict=True):
        assert np.array_equal(ours, theirs)
    np.testing.assert_allclose(empty.mean, points.mean(0), rtol=1e-5)
    np.testing.assert_allclose(empty.scale, jnp.sqrt(points.var(0).mean()), rtol=1e-5)


@each
def test_weight_is_how_often_a_row_counts(generator):
    """Of two points one is nine times as heavy: mean 0.9, variance 0.9 * 0.1."""
    _, fit = short_fit(generator)
    weight = jnp.zeros(11).at[:2].set(jnp.array([1.0, 9.0]))
    params = fit(jnp.zeros((11, 2)).at[1].set(1.0), weight)
    np.testing.assert_allclose(params.mean, [0.9, 0.9], rtol=1e-6)
    np.testing.assert_allclose(params.scale, 0.3, rtol=1e-6)


@each
@pytest.mark.parametrize("point", [[0.0, 0.0], [0.1, 0.7]])
def test_identical_points_give_that_point(generator, point):
    generator, fit = short_fit(generator)
    params = fit(jnp.tile(jnp.array(point), (11, 1)), jnp.ones(11))
    points = generator.sample(jax.random.key(1), params, 4)
    assert params.diverged == 0
    np.testing.assert_allclose(points, np.tile(point, (4, 1)), atol=1e-6)


@each
def test_training_that_diverges_says_when(generator):
    _, fit = short_fit(generator)
    points = jax.random.normal(jax.random.key(0), (11, 2))
    assert fit(points, jnp.ones(11)).diverged == 0
    assert fit(points.at[0, 0].set(jnp.inf), jnp.ones(11)).diverged == 1


@each
def test_training_brings_samples_to_the_data(generator):
    """Around a ring, where the normal law of the same moments puts its points at any radius."""
    angle = jax.random.uniform(jax.random.key(0), (600,), maxval=2 * jnp.pi)
    ring = jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)
    fitted, fresh = ring[:300], ring[300:]
    training = dataclasses.replace(generator(2).training, n_steps=600, average=0.2)
    few = {"penalty": 1.0} if generator is WGAN else {}
    generator = generator(2, hidden=32, n_latent=3, training=training, **few)
    params = jax.jit(generator.fit)(jax.random.key(1), Samples.of(fitted))
    points = generator.sample(jax.random.key(2), params, 300)
    spread = np.linalg.norm(points, axis=1).std()
    normal = np.sqrt(
        1 - np.pi / 4
    )  # of the length of a normal vector whose square is 1 on average.
    assert spread < 0.7 * normal, (spread, normal)
    assert metrics.coverage(fresh, points) > 0.3


@each
@pytest.mark.parametrize("wrong", [{"n_latent": 0}, {"hidden": 1.5}, {"dim": -1}])
def test_sizes_are_checked(generator, wrong):
    with pytest.raises(ParameterError, match=f"{next(iter(wrong))} must be a whole number >= 1"):
        generator(**{"dim": 2} | wrong)


@pytest.mark.parametrize("wrong", [{"penalty": 0.0}, {"slowness": -1.0}, {"penalty": "x"}])
def test_weights_of_the_game_are_checked(wrong):
    with pytest.raises(ParameterError, match=f"{next(iter(wrong))} must be finite and > 0"):
        WGAN(2, **wrong)


@pytest.mark.parametrize("stretch", [1.0, 0.4])
def test_evidence_lower_bound_of_a_linear_autoencoder(stretch):
    """It is log p(x) - KL(q || p(z | x)), both normal: an equality where q is the posterior."""
    noise, matrix = 0.7, np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 0.0]])  # orthogonal columns
    bias, points = np.array([0.5, -0.5, 0.0]), np.array([[0.0, 1.0, 0.5], [2.0, -1.0, -0.3]])
    precision = 1 + np.diag(matrix.T @ matrix) / noise**2
    variance = stretch / precision
    back = matrix.T / noise**2 / precision[:, None]
    encoder = affine(
        np.concatenate([back, np.zeros((2, 3))]),
        np.concatenate([-back @ bias, np.log(variance)]),
    )
    log_noise = np.log(noise**2 - LEAST_NOISE**2) / 2
    network = Autoencoder(encoder, affine(matrix, bias), jnp.asarray(log_noise, jnp.float32))
    pair = Training(n_steps=2, batch_size=2, learning_rate=1e-2)
    keys = jax.random.split(jax.random.key(0), 4_000)
    drawn = jax.vmap(VAE(3, n_latent=2, training=pair).noise)(keys)
    bound = jax.vmap(lambda noise: network.evidence_lower_bound(noise, jnp.asarray(points)))(drawn)
    bound = np.asarray(bound, float)
    cov = matrix @ matrix.T + noise**2 * np.eye(3)
    exact = stats.multivariate_normal(bias, cov).logpdf(points)
    exact -= np.sum(stretch - 1 - np.log(stretch)) * 2 / 2
    error = bound.std(0, ddof=1) / np.sqrt(len(drawn))
    assert (np.abs(bound.mean(0) - exact) < 5 * error).all(), (bound.mean(0), exact, error)
    assert (error < 0.05).all(), error


def test_gradient_penalty_of_a_linear_and_of_a_quadratic_critic():
    slope = jnp.array([3.0, 4.0])
    real, synthetic = jax.random.normal(jax.random.key(0), (2, 8, 2))
    between = jax.random.uniform(jax.random.key(1), (8, 1))
    found = gradient_penalty(lambda x: x @ slope + 1, between, real, synthetic)
    np.testing.assert_allclose(found, (5 - 1) ** 2, rtol=1e-5)
    # The gradient of |x|^2 / 2 is x, and between a point and itself there is one place.
    found = gradient_penalty(lambda x: x @ x / 2, between, real, real)
    norm = np.linalg.norm(np.asarray(real), axis=1)
    np.testing.assert_allclose(found, np.mean((norm - 1) ** 2), rtol=1e-5)
    # From 0 to e the places are uniform on [0, e]: the mean of (u - 1)^2 is 1/3.
    training = Training(n_steps=2, batch_size=40_000, learning_rate=1e-2)
    _, uniform = WGAN(2, training=training).noise(jax.random.key(1))
    many = jnp.tile(jnp.array([1.0, 0.0]), (40_000, 1))
    found = gradient_penalty(lambda x: x @ x / 2, uniform, many, 0 * many)
    error = np.sqrt((1 / 5 - 1 / 9) / len(many))
    assert abs(found - 1 / 3) < 5 * error, (found, error)
    flat = jax.grad(lambda a: gradient_penalty(lambda x: a * x @ x, between, real, real))
    assert np.isfinite(flat(0.0))


def test_one_loss_is_the_gradient_of_both_players():
    """The critic's part is Gulrajani's critic loss, the generator's is -E c(g(z))."""
    training = Training(n_steps=2, batch_size=6, learning_rate=1e-2)
    wgan = WGAN(2, n_latent=3, hidden=4, penalty=7.0, slowness=5.0, training=training)
    game = wgan.network(jax.random.key(0))
    real, noise = jax.random.normal(jax.random.key(1), (6, 2)), wgan.noise(jax.random.key(2))
    latent, between = noise

    def critic_loss(critic):
        synthetic = jax.vmap(game.generator)(latent)
        gap = jnp.mean(jax.vmap(critic)(synthetic)) - jnp.mean(jax.vmap(critic)(real))
        return gap + 7 * gradient_penalty(critic, between, real, synthetic)

    def generator_loss(generator):
        return -jnp.mean(jax.vmap(game.critic)(jax.vmap(generator)(latent)))

    found = eqx.filter_grad(lambda game: wgan.loss(game, noise, Samples.of(real)))(game)
    generator, critic = (
        eqx.filter_grad(loss)(player)
        for loss, player in ((generator_loss, game.generator), (critic_loss, game.critic))
    )
    for ours, own in zip(
        jax.tree.leaves(found), jax.tree.leaves(Game(generator, critic)), strict=True
    ):
        np.testing.assert_allclose(ours, own, rtol=1e-4, atol=1e-6)


def test_slow_network_is_the_same_network_that_learns_slower():
    network = eqx.nn.Linear(3, 2, key=jax.random.key(0))
    slow, x = Slow(network, 4.0), jnp.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(slow(x), network(x), rtol=1e-6)
    optimizer = optax.adam(1e-2)
    changes = []
    for player in (network, slow):
        weights = eqx.filter(player, eqx.is_inexact_array)
        gradient = eqx.filter_grad(lambda player: player(x).sum())(player)
        with jax.numpy_dtype_promotion("standard"):  # which optax counts on
            updates, _ = optimizer.update(gradient, optimizer.init(weights))
        changes.append(eqx.apply_updates(player, updates)(x) - player(x))
    np.testing.assert_allclose(changes[1], changes[0] / 4, rtol=1e-4)
