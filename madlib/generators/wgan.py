r"""Wasserstein GAN with gradient penalty (Arjovsky et al. 2017; Gulrajani et al. 2017).

A generator network g maps latent variables $z \sim N(0, I)$ to points, $x = m + s g(z)$. A critic c
with a gradient of norm 1 between real and synthetic points estimates the distance $W_1$ of the two,

    min over c, max over g of  E c(g(z)) - E c(x) + penalty E (|grad c(y)| - 1)^2,
    y = u x + (1 - u) g(z),  u uniform on [0, 1].

Both networks are updated in every step, in place of several updates of the critic for one of the
generator, at two time scales (Heusel et al. 2017). One loss serves both: synthetic points enter the
critic with their gradient reversed (Ganin & Lempitsky 2015).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from madlib.datasets import Samples
from madlib.errors import Count, Flag, Positive
from madlib.generators.latent import LatentGenerator
from madlib.generators.training import Training


class ScaledNetwork(eqx.Module):
    """A network with a learning rate of its own: 1 / factor times Adam's.

    Its weights are stored multiplied by the factor. The size of Adam's steps depends neither on
    that of the weights nor on that of the gradient (as in the equalized learning rate of Karras et
    al. 2018).
    """

    stored: eqx.nn.MLP
    factor: float = eqx.field(static=True)

    @classmethod
    def of(cls, network: eqx.nn.MLP, factor: float) -> "ScaledNetwork":
        """The same function of its inputs as `network`."""
        return cls(_scaled(factor, network), factor)

    def __call__(self, latent: Float[Array, " n_latent"]) -> Float[Array, " d"]:
        return _scaled(1 / self.factor, self.stored)(latent)


class GeneratorAndCritic(eqx.Module):
    """The two networks.

    Attributes:
        decoder: g, [n_latent] -> [d].
        critic: c, [d] -> [].
    """

    decoder: ScaledNetwork
    critic: eqx.nn.MLP


@dataclasses.dataclass(frozen=True)
class WGAN(LatentGenerator):
    """Generator trained against a critic.

    Attributes:
        dim: d.
        n_latent: latent variables.
        hidden: width of the two hidden layers of the generator, and of the critic.
        penalty: weight of the gradient penalty, 10 as in the paper; in few dimensions 1 leaves the
            critic enough freedom.
        learning_rate_ratio: learning rate of the critic over that of the generator.
        training: minibatches. The last weights are taken, as in the papers; averaging them improves
            digits and reduces their variety, which is a sampling bias.
        common_scale: whether all coordinates have one scale, for pixels; else each has its own.

    Example:
        >>> wgan = WGAN(dim=3, n_latent=2, hidden=8, training=Training(5, 4, 1e-3))
        >>> params = wgan.fit(jax.random.key(0), Samples.of(jnp.eye(3)))
        >>> wgan.sample(jax.random.key(1), params, 2).shape
        (2, 3)
    """

    dim: Count
    n_latent: Count = 16
    hidden: Count = 64
    penalty: Positive = 10.0
    learning_rate_ratio: Positive = 4.0
    training: Training = Training(
        n_steps=1500, batch_size=64, learning_rate=1.6e-2, average=0.0, betas=(0.5, 0.99)
    )
    common_scale: Flag = False

    def network(self, key: Key[Array, ""]) -> GeneratorAndCritic:
        k_generator, k_critic = jax.random.split(key)
        decoder = self.layers(k_generator, self.n_latent, self.dim)
        critic = self.layers(k_critic, self.dim, "scalar")
        return GeneratorAndCritic(ScaledNetwork.of(decoder, self.learning_rate_ratio), critic)

    def noise(self, key: Key[Array, ""]) -> tuple[Float[Array, "n n_latent"], Float[Array, "n 1"]]:
        """Latent variables of a minibatch, and u of the points where the gradient is penalized."""
        k_latent, k_between = jax.random.split(key)
        n = self.training.batch_size
        latent = jax.random.normal(k_latent, (n, self.n_latent))
        return latent, jax.random.uniform(k_between, (n, 1))

    def loss(
        self, network: GeneratorAndCritic, noise: tuple[Array, Array], batch: Samples
    ) -> Float[Array, ""]:
        """Penalty minus the estimated W_1; its gradient is that of each network's own loss."""
        (latent, between), real, critic = noise, batch.points, jax.vmap(network.critic)
        moving = jax.vmap(network.decoder)(latent)
        still = jax.lax.stop_gradient(moving)
        distance = jnp.mean(critic(real)) - jnp.mean(critic(2 * still - moving))
        return self.penalty * gradient_penalty(network.critic, between, real, still) - distance


def gradient_penalty(
    critic: Callable[[Array], Array],
    between: Float[Array, "n 1"],
    real: Float[Array, "n d"],
    synthetic: Float[Array, "n d"],
) -> Float[Array, ""]:
    """Mean of (|gradient of the critic| - 1)^2 at points a share `between` of the way to real."""
    slope = jax.vmap(jax.grad(critic))(between * real + (1 - between) * synthetic)
    # The root has no derivative at 0, the gradient of a constant critic.
    return jnp.mean((jnp.sqrt(jnp.sum(slope**2, axis=1) + 1e-12) - 1) ** 2)


def _scaled(factor: float, network: Any) -> Any:
    return jax.tree.map(lambda leaf: factor * leaf if eqx.is_inexact_array(leaf) else leaf, network)
