r"""Generators with a latent variable: $x = m + s f(z)$, $z \sim N(0, I)$ and f a network.

m is the mean and s the standard deviation of the training set, per coordinate or in common.
Sampling with bias $\lambda$ draws the latent variable from $N(0, \lambda I)$ (Alemohammad et al.
2023, Sec. 2).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from madlib.datasets import Samples
from madlib.generators.layers import rebuild, silu, untrained
from madlib.generators.points import TrainedGenerator, standardize
from madlib.generators.training import train


class LatentParams(NamedTuple):
    """A trained generator with a latent variable.

    Attributes:
        weights: of all networks, those that only training needs included.
        mean: [d], m.
        scale: [d], s; 0 where all points of the training set agreed.
    """

    weights: Any
    mean: Float[Array, " d"]
    scale: Float[Array, " d"]


class LatentGenerator(TrainedGenerator):
    """A generator with a latent variable.

    Attributes:
        n_latent: dimension of z.
        hidden: width of the two hidden layers of each network.
        common_scale: whether coordinates share a unit, as pixels do, and so one scale.
        network: `network(key)` holds all networks, untrained, and f as its `decoder`.
        loss: `loss(network, noise, batch)`, the mean over a minibatch of standardized points.
        noise: `noise(key)`, random numbers of a minibatch.
    """

    n_latent: int
    hidden: int
    common_scale: bool
    network: Callable[..., Any]
    loss: Callable[..., Any]
    noise: Callable[..., Any]

    def layers(self, key: Key[Array, ""], n_in: int, n_out: Any) -> eqx.nn.MLP:
        """An untrained multilayer perceptron, [n_in] -> [n_out]."""
        return untrained(key, lambda key: eqx.nn.MLP(n_in, n_out, self.hidden, 2, silu, key=key))

    def fit(self, key: Key[Array, ""], dataset: Samples) -> LatentParams:
        standard, mean, scale = standardize(dataset, self.common_scale)
        weights = train(key, self.network, self.loss, standard, self.training, self.noise)
        return LatentParams(weights, mean, scale)

    def sample(self, key: Key[Array, ""], params: LatentParams, n: int, lam=1.0) -> Array:
        latent = jnp.sqrt(lam) * jax.random.normal(key, (n, self.n_latent))
        decoder = rebuild(self.network, params.weights).decoder
        return params.mean[None, :] + params.scale[None, :] * jax.vmap(decoder)(latent)
