r"""Normalizing flow of affine couplings (RealNVP, Dinh et al. 2017; Glow, Kingma & Dhariwal 2018).

$x = m + s \odot (f_1 \circ \dots \circ f_K)(z)$ with $z \sim N(0, I)$: each coupling leaves one
half of the coordinates as it is and moves the other by

    z_b = (x_b - shift(x_a)) exp(-log_scale(x_a)),

where shift and log_scale are a network's functions of the half that stays; the half just moved
stays in the next coupling. The density is exact,

    log p(x) = log N(z; 0, I) - sum of all log_scale - sum log s,

and so is the objective of the fit, the mean negative log-likelihood. m and s are the mean and the
standard deviation of the training set.

Sampling with bias $\lambda$ draws the latent from $N(0, \lambda I)$ (Alemohammad et al. 2023,
Appendix E).
"""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from madlib.datasets import Samples
from madlib.errors import AtLeastTwo, Count
from madlib.generators.layers import dense, rebuild, silu, untrained
from madlib.generators.points import TrainedGenerator, normalization
from madlib.generators.training import Training, train

# Of each coupling. With a much larger bound the tails of a flow explode outside its training set,
# and so does the training set of the next generation.
MAX_LOG_SCALE = 1.0


class FlowParams(NamedTuple):
    """A trained flow.

    Attributes:
        weights: of the couplings' networks, a list of n_couplings.
        mean: [d], m.
        scale: [d], s.
    """

    weights: Any
    mean: Float[Array, " d"]
    scale: Float[Array, " d"]


@dataclasses.dataclass(frozen=True)
class CouplingFlow(TrainedGenerator):
    """Normalizing flow fitted by maximum likelihood.

    Attributes:
        dim: d, at least 2.
        n_couplings: K.
        hidden: width of the two hidden layers of each coupling's network.
        training: by default 20 epochs of 10,000 examples, 256 at a time.

    Example:
        >>> flow = CouplingFlow(2, n_couplings=2, hidden=8, training=Training(10, 16, 1e-2))
        >>> data = Samples.of(jax.random.normal(jax.random.key(0), (50, 2)))
        >>> params = flow.fit(jax.random.key(1), data)
        >>> flow.log_prob(params, data.points).shape
        (50,)
    """

    dim: AtLeastTwo
    n_couplings: Count = 8
    hidden: Count = 64
    training: Training = Training(n_steps=780, batch_size=256, learning_rate=2e-3)

    def network(self, key: Key[Array, ""]) -> list[eqx.nn.MLP]:
        """Of each coupling: from the half that stays [d - d // 2] to shift and raw log scale."""
        moved = self.dim // 2
        sizes = self.dim - moved, 2 * moved, self.hidden, 2
        return untrained(
            key, lambda key: [eqx.nn.MLP(*sizes, key=key) for _ in range(self.n_couplings)]
        )

    def fit(self, key: Key[Array, ""], dataset: Samples) -> FlowParams:
        mean, scale = normalization(dataset)

        def loss(network: list[eqx.nn.MLP], _: None, batch: Samples) -> Float[Array, ""]:
            return -jnp.mean(self._log_prob(network, batch.points))

        standard = dataset._replace(points=(dataset.points - mean[None, :]) / scale[None, :])
        weights = train(key, self.network, loss, standard, self.training)
        return FlowParams(weights, mean, scale)

    def sample(self, key: Key[Array, ""], params: FlowParams, n: int, lam=1.0) -> Array:
        latent = jnp.sqrt(lam) * jax.random.normal(key, (n, self.dim))
        return self.forward(params, latent)

    def log_prob(self, params: FlowParams, points: Float[Array, "n d"]) -> Float[Array, " n"]:
        """Exact log-density in nats, [n]."""
        network = rebuild(self.network, params.weights)
        standard = (points - params.mean[None, :]) / params.scale[None, :]
        return self._log_prob(network, standard) - jnp.sum(jnp.log(params.scale))

    def forward(self, params: FlowParams, latent: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Points of latent variables."""
        points = latent
        for coupling in reversed(rebuild(self.network, params.weights)):
            moved, kept = points[:, : self.dim // 2], points[:, self.dim // 2 :]
            shift, log_scale = self._affine(coupling, kept)
            points = jnp.concatenate([kept, shift + moved * jnp.exp(log_scale)], axis=1)
        return params.mean[None, :] + params.scale[None, :] * points

    def inverse(self, params: FlowParams, points: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Latent variables of points."""
        network = rebuild(self.network, params.weights)
        return self._latent(network, (points - params.mean[None, :]) / params.scale[None, :])[0]

    def _log_prob(self, network: list[eqx.nn.MLP], points: Array) -> Float[Array, " n"]:
        latent, log_scale = self._latent(network, points)
        return jnp.sum(-0.5 * latent**2 - 0.5 * jnp.log(2 * jnp.pi), axis=1) - log_scale

    def _latent(self, network: list[eqx.nn.MLP], points: Array) -> tuple[Array, Array]:
        """Standard points [n, d] -> latent [n, d] and the sum of log scales [n]."""
        total = jnp.zeros(len(points))
        for coupling in network:
            kept, moved = points[:, : -(self.dim // 2)], points[:, -(self.dim // 2) :]
            shift, log_scale = self._affine(coupling, kept)
            total = total + jnp.sum(log_scale, axis=1)
            moved = (moved - shift) * jnp.exp(-log_scale)
            points = jnp.concatenate([moved, kept], axis=1)
        return points, total

    def _affine(self, coupling: eqx.nn.MLP, kept: Array) -> tuple[Array, Array]:
        """Shift and log scale, each [n, d // 2], of one coupling."""
        hidden = kept
        for layer in coupling.layers[:-1]:
            hidden = silu(dense(layer, hidden))
        shift, raw = jnp.split(dense(coupling.layers[-1], hidden), 2, axis=1)
        return shift, MAX_LOG_SCALE * jnp.tanh(raw / MAX_LOG_SCALE)
