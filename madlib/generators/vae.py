r"""Variational autoencoder (Kingma & Welling 2014; Rezende et al. 2014).

A decoder f maps latent variables $z \sim N(0, I)$ to points with noise, $x = m + s (f(z) + \sigma
\varepsilon)$, $\varepsilon \sim N(0, I)$. An encoder approximates the posterior by $q(z | x) =
N(\mu(x), \operatorname{diag} v(x))$, and both maximize the evidence lower bound

    log p(x) >= E_q log p(x | z) - KL(q(z | x) || N(0, I)),
    KL = (mu^2 + v - 1 - log v) / 2, summed over the latent variables,

with one z from q in each step. $\sigma$ is trained with the rest (Rybkin et al. 2021), so that no
weight between the two terms is left to choose.

A sample is the mean m + s f(z), without the noise, as is usual for images: its variance per
coordinate is smaller than that of the model by $s^2 \sigma^2$.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from madlib.datasets import Samples
from madlib.errors import Count, Flag
from madlib.generators.latent import LatentGenerator
from madlib.generators.training import Training

# Noise of the decoder. Where all points are identical sigma would go to 0 and the density to
# infinity; from a sigma near 1 at the start, training may leave latent variables unused.
SIGMA_MIN, SIGMA_INIT = 0.01, 0.3


class Autoencoder(eqx.Module):
    """Encoder, decoder and the noise between the points and the decoder's means.

    Attributes:
        encoder: [d] -> [2 n_latent], mean and log-variance of q.
        decoder: [n_latent] -> [d].
        log_sigma: [], before SIGMA_MIN is added in quadrature.
    """

    encoder: eqx.nn.MLP
    decoder: eqx.nn.MLP
    log_sigma: Float[Array, ""]

    @property
    def variance(self) -> Float[Array, ""]:
        r"""$\sigma^2$, at least SIGMA_MIN squared."""
        return jnp.exp(2 * self.log_sigma) + SIGMA_MIN**2

    def evidence_lower_bound(
        self, noise: Float[Array, "n n_latent"], points: Float[Array, "n d"]
    ) -> Float[Array, " n"]:
        """In nats, [n]; from one latent variable per point, unbiased if noise is N(0, I)."""
        mean, log_variance = jnp.split(jax.vmap(self.encoder)(points), 2, axis=1)
        latent = mean + jnp.exp(log_variance / 2) * noise
        error = jnp.sum((points - jax.vmap(self.decoder)(latent)) ** 2, axis=1)
        log_density = points.shape[1] * jnp.log(2 * jnp.pi * self.variance) + error / self.variance
        divergence = mean**2 + jnp.exp(log_variance) - 1 - log_variance
        return -(log_density + jnp.sum(divergence, axis=1)) / 2


@dataclasses.dataclass(frozen=True)
class VAE(LatentGenerator):
    """Autoencoder trained by its evidence lower bound.

    Attributes:
        dim: d.
        n_latent: latent variables.
        hidden: width of the two hidden layers of the encoder, and of the decoder.
        training: minibatches.
        common_scale: whether all coordinates have one scale, for pixels; else each has its own.

    Example:
        >>> vae = VAE(dim=3, n_latent=2, hidden=8, training=Training(5, 4, 1e-3))
        >>> params = vae.fit(jax.random.key(0), Samples.of(jnp.eye(3)))
        >>> vae.sample(jax.random.key(1), params, 2).shape
        (2, 3)
    """

    dim: Count
    n_latent: Count = 10
    hidden: Count = 64
    training: Training = Training(n_steps=1000, batch_size=64, learning_rate=8e-3)
    common_scale: Flag = False

    def network(self, key: Key[Array, ""]) -> Autoencoder:
        k_encoder, k_decoder = jax.random.split(key)
        encoder = self.layers(k_encoder, self.dim, 2 * self.n_latent)
        decoder = self.layers(k_decoder, self.n_latent, self.dim)
        return Autoencoder(encoder, decoder, jnp.log(jnp.asarray(SIGMA_INIT)))

    def noise(self, key: Key[Array, ""]) -> Float[Array, "n n_latent"]:
        """N(0, I), for the latent variables of a minibatch."""
        return jax.random.normal(key, (self.training.batch_size, self.n_latent))

    def loss(self, network: Autoencoder, noise: Any, batch: Samples) -> Float[Array, ""]:
        return -jnp.mean(network.evidence_lower_bound(noise, batch.points))
