"""The evidence lower bound of the autoencoder, where it is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import affine_network
from scipy import stats

from madlib.generators import VAE, Training
from madlib.generators.vae import SIGMA_MIN, Autoencoder


@pytest.mark.parametrize("stretch", [1.0, 0.4])
def test_evidence_lower_bound_of_a_linear_autoencoder(stretch):
    """It is log p(x) - KL(q || p(z | x)), both normal: an equality where q is the posterior."""
    noise, matrix = 0.7, np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 0.0]])  # orthogonal columns
    bias, points = np.array([0.5, -0.5, 0.0]), np.array([[0.0, 1.0, 0.5], [2.0, -1.0, -0.3]])
    points = points.astype(np.float32)
    precision = 1 + np.diag(matrix.T @ matrix) / noise**2
    variance = stretch / precision
    back = matrix.T / noise**2 / precision[:, None]
    encoder = affine_network(
        np.concatenate([back, np.zeros((2, 3))]),
        np.concatenate([-back @ bias, np.log(variance)]),
    )
    log_sigma = np.log(noise**2 - SIGMA_MIN**2) / 2
    decoder = affine_network(matrix, bias)
    network = Autoencoder(encoder, decoder, jnp.asarray(log_sigma, jnp.float32))
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


def test_sigma_has_a_lower_bound():
    network = VAE(2).network(jax.random.key(0))
    narrow = Autoencoder(network.encoder, network.decoder, jnp.asarray(-50.0))
    np.testing.assert_allclose(narrow.variance, SIGMA_MIN**2, rtol=1e-6)
