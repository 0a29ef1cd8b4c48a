r"""Wasserstein GAN with gradient penalty (Arjovsky et al. 2017; Gulrajani et al. 2017).

A generator g turns latent variables $z \sim N(0, I)$ into points, $x = m + s g(z)$; m is the mean
and s the common standard deviation of the training set. A critic c is to be large on real points
and small on synthetic ones, with a gradient of norm 1 between them, so that it measures the
distance $W_1$ of the two. Critic and generator play against each other for

    min over c, max over g of  E c(g(z)) - E c(x) + penalty E (|grad c(y)| - 1)^2,
    y = u x + (1 - u) g(z),  u uniform on [0, 1].

Both move in every step, in place of several steps of the critic for one of the generator; the
generator moves `slowness` times slower (two time scales, Heusel et al. 2017). One loss serves both:
the points of the generator enter the critic with their gradient reversed (Ganin & Lempitsky 2015).

Sampling with bias $\lambda$ draws the latent from $N(0, \lambda I)$.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from madlib.datasets import Samples
from madlib.errors import Count, Positive
from madlib.generators.layers import rebuild, silu, untrained
from madlib.generators.points import TrainedGenerator, standardize
from madlib.generators.training import Training, train


class WGANParams(NamedTuple):
    """A trained generator.

    Attributes:
        weights: of generator and critic.
        mean: [d], m.
        scale: [], s; 0 where the training set was a single point.
    """

    weights: Any
    mean: Float[Array, " d"]
    scale: Float[Array, ""]


class Slow(eqx.Module):
    """A network that learns slower than Adam's learning rate, by a factor.

    Its weights are kept too large by that factor. Adam's steps have one size, whatever that of the
    weights and of the gradient, and so are small for these.
    """

    large: eqx.nn.MLP
    slowness: float = eqx.field(static=True)

    def __init__(self, network: eqx.nn.MLP, slowness: float):
        self.large, self.slowness = _times(slowness, network), slowness

    def __call__(self, latent: Float[Array, " n_latent"]) -> Float[Array, " d"]:
        return _times(1 / self.slowness, self.large)(latent)


class Game(eqx.Module):
    """The two players: generator [n_latent] -> [d] and critic [d] -> []."""

    generator: Slow
    critic: eqx.nn.MLP


@dataclasses.dataclass(frozen=True)
class WGAN(TrainedGenerator):
    """Generator trained against a critic.

    Attributes:
        dim: d.
        n_latent: latent variables.
        hidden: width of the two hidden layers of the generator, and of the critic.
        penalty: weight of the gradient penalty, 10 as in the paper; in few dimensions the critic
            needs a freer hand, 1.
        slowness: how many times slower than the critic the generator learns.
        training: minibatches. The last weights are taken, as in the papers: averaged ones draw
            better digits and fewer kinds of them, which is a sampling bias that nobody asked for.
    """

    dim: Count
    n_latent: Count = 16
    hidden: Count = 64
    penalty: Positive = 10.0
    slowness: Positive = 4.0
    training: Training = Training(
        n_steps=1500, batch_size=64, learning_rate=1.6e-2, average=0.0, betas=(0.5, 0.99)
    )

    def network(self, key: Key[Array, ""]) -> Game:
        k_generator, k_critic = jax.random.split(key)

        def layers(key, n_in, n_out):
            return untrained(
                key, lambda key: eqx.nn.MLP(n_in, n_out, self.hidden, 2, silu, key=key)
            )

        generator = layers(k_generator, self.n_latent, self.dim)
        return Game(Slow(generator, self.slowness), layers(k_critic, self.dim, "scalar"))

    def fit(self, key: Key[Array, ""], dataset: Samples) -> WGANParams:
        standard, mean, scale = standardize(dataset)
        weights = train(key, self.network, self.loss, standard, self.training, self.noise)
        return WGANParams(weights, mean, scale)

    def noise(self, key: Key[Array, ""]) -> tuple[Array, Array]:
        """Of a minibatch: latent variables [n, n_latent], and where it is penalized [n, 1]."""
        k_latent, k_between = jax.random.split(key)
        n = self.training.batch_size
        latent = jax.random.normal(k_latent, (n, self.n_latent))
        return latent, jax.random.uniform(k_between, (n, 1))

    def loss(self, game: Game, noise: tuple[Array, Array], batch: Samples) -> Float[Array, ""]:
        """Penalty minus the estimated W_1; its gradient is the critic's and the generator's own."""
        (latent, between), real, critic = noise, batch.points, jax.vmap(game.critic)
        moving = jax.vmap(game.generator)(latent)
        still = jax.lax.stop_gradient(moving)
        distance = jnp.mean(critic(real)) - jnp.mean(critic(2 * still - moving))
        return self.penalty * gradient_penalty(game.critic, between, real, still) - distance

    def sample(self, key: Key[Array, ""], params: WGANParams, n: int, lam=1.0) -> Array:
        latent = jnp.sqrt(lam) * jax.random.normal(key, (n, self.n_latent))
        generator = rebuild(self.network, params.weights).generator
        return params.mean[None, :] + params.scale * jax.vmap(generator)(latent)


def gradient_penalty(
    critic: Callable[[Array], Array],
    between: Float[Array, "n 1"],
    real: Float[Array, "n d"],
    synthetic: Float[Array, "n d"],
) -> Float[Array, ""]:
    """Mean of (|gradient of the critic| - 1)^2, each a share `between` of the way to real."""
    slope = jax.vmap(jax.grad(critic))(between * real + (1 - between) * synthetic)
    # The root has no derivative at 0, which is where a critic without any slope would be.
    return jnp.mean((jnp.sqrt(jnp.sum(slope**2, axis=1) + 1e-12) - 1) ** 2)


def _times(factor: float, network: eqx.Module) -> eqx.Module:
    weights, static = eqx.partition(network, eqx.is_inexact_array)
    return eqx.combine(jax.tree.map(lambda leaf: factor * leaf, weights), static)
