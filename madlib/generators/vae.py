r"""Variational autoencoder (Kingma & Welling 2014; Rezende et al. 2014), Shumailov's image model.

A decoder f turns latent variables $z \sim N(0, I)$ into points with noise, $x = m + s (f(z) +
\sigma \varepsilon)$, $\varepsilon \sim N(0, I)$; m is the mean and s the common standard deviation
of the training set. An encoder answers with $q(z | x) = N(\mu(x), \operatorname{diag} v(x))$, and
both learn by maximizing the evidence lower bound

    log p(x) >= E_q log p(x | z) - KL(q(z | x) || N(0, I)),
    KL = (mu^2 + v - 1 - log v) / 2, summed over the latent variables,

with one z from q in each step. $\sigma$ is learned with the rest (Rybkin et al. 2021), so that no
weight between the two terms is left to choose.

Sampling with bias $\lambda$ draws the latent from $N(0, \lambda I)$. A sample is what the decoder
says, m + s f(z), without its noise, as is the custom with images: with the noise the model
would be honest about its variance, and each picture covered with snow.
"""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from madlib.datasets import Samples
from madlib.errors import Count
from madlib.generators.layers import rebuild, silu, untrained
from madlib.generators.points import TrainedGenerator, standardize
from madlib.generators.training import Training, train

# Of the decoder. Where all points are alike, noise would vanish and the density be infinite; and
# where training begins with noise as loud as the data, latent variables may never be heard.
LEAST_NOISE, FIRST_NOISE = 0.01, 0.3


class VAEParams(NamedTuple):
    r"""A trained autoencoder.

    Attributes:
        weights: of encoder and decoder, with $\log \sigma$.
        mean: [d], m.
        scale: [], s; 0 where the training set was a single point.
    """

    weights: Any
    mean: Float[Array, " d"]
    scale: Float[Array, ""]


class Autoencoder(eqx.Module):
    """The two networks and the noise between points and what the decoder says.

    Attributes:
        encoder: [d] -> [2 n_latent], mean and log-variance of q.
        decoder: [n_latent] -> [d].
        log_noise: [], before it is bounded from below.
    """

    encoder: eqx.Module
    decoder: eqx.Module
    log_noise: Float[Array, ""]

    @property
    def variance(self) -> Float[Array, ""]:
        r"""$\sigma^2$, at least LEAST_NOISE squared."""
        return jnp.exp(2 * self.log_noise) + LEAST_NOISE**2

    def evidence_lower_bound(
        self, noise: Float[Array, "n n_latent"], points: Float[Array, "n d"]
    ) -> Float[Array, " n"]:
        """In nats, [n]; from one latent variable for each point, unbiased if noise is N(0, I)."""
        mean, log_variance = jnp.split(jax.vmap(self.encoder)(points), 2, axis=1)
        latent = mean + jnp.exp(log_variance / 2) * noise
        error = jnp.sum((points - jax.vmap(self.decoder)(latent)) ** 2, axis=1)
        log_density = points.shape[1] * jnp.log(2 * jnp.pi * self.variance) + error / self.variance
        divergence = mean**2 + jnp.exp(log_variance) - 1 - log_variance
        return -(log_density + jnp.sum(divergence, axis=1)) / 2


@dataclasses.dataclass(frozen=True)
class VAE(TrainedGenerator):
    """Autoencoder fitted by its evidence lower bound.

    Attributes:
        dim: d.
        n_latent: latent variables.
        hidden: width of the two hidden layers of the encoder, and of the decoder.
        training: minibatches.
    """

    dim: Count
    n_latent: Count = 10
    hidden: Count = 64
    training: Training = Training(n_steps=1000, batch_size=64, learning_rate=8e-3)

    def network(self, key: Key[Array, ""]) -> Autoencoder:
        k_encoder, k_decoder = jax.random.split(key)

        def layers(key, n_in, n_out):
            return untrained(
                key, lambda key: eqx.nn.MLP(n_in, n_out, self.hidden, 2, silu, key=key)
            )

        encoder = layers(k_encoder, self.dim, 2 * self.n_latent)
        decoder = layers(k_decoder, self.n_latent, self.dim)
        return Autoencoder(encoder, decoder, jnp.log(jnp.asarray(FIRST_NOISE)))

    def fit(self, key: Key[Array, ""], dataset: Samples) -> VAEParams:
        standard, mean, scale = standardize(dataset)

        def loss(network, drawn, batch):
            return -jnp.mean(network.evidence_lower_bound(drawn, batch.points))

        weights = train(key, self.network, loss, standard, self.training, self.noise)
        return VAEParams(weights, mean, scale)

    def noise(self, key: Key[Array, ""]) -> Float[Array, "n n_latent"]:
        """Of the latent variables of a minibatch, N(0, I)."""
        return jax.random.normal(key, (self.training.batch_size, self.n_latent))

    def sample(self, key: Key[Array, ""], params: VAEParams, n: int, lam=1.0) -> Array:
        latent = jnp.sqrt(lam) * jax.random.normal(key, (n, self.n_latent))
        decoder = rebuild(self.network, params.weights).decoder
        return params.mean[None, :] + params.scale * jax.vmap(decoder)(latent)
