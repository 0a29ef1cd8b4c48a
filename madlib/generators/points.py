"""Generators that learn from points and draw points: networks, mixtures, kernels."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Key

from madlib.datasets import Samples
from madlib.errors import check_fields, require
from madlib.generators.training import Training
from madlib.protocols import Generator


class PointGenerator(Generator):
    """A generator that learns from points and draws points."""

    def __post_init__(self):
        check_fields(self)

    def draw(self, key: Key[Array, ""], params: Any, n: int, lam: Any = 1.0) -> Samples:
        """n synthetic examples."""
        return Samples.of(self.sample(key, params, n, lam))


class TrainedGenerator(PointGenerator):
    """A network, or several, that learns in minibatches; one fit keeps a core busy.

    Attributes:
        training: how.
    """

    sequential = True
    training: Training

    def __post_init__(self):
        super().__post_init__()
        require(
            isinstance(self.training, Training),
            "training must be a Training",
            repr(self.training),
            "Use Training(n_steps=1000, batch_size=128, learning_rate=1e-3).",
        )

    @property
    def minimum_weight(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.training.batch_size


def normalization(samples: Samples) -> tuple[Array, Array]:
    """Weighted mean [d] and standard deviation [d] of a training set, 1 where it is 0."""
    share, gaps, mean = _about_the_mean(samples)
    variance = share @ gaps**2
    return mean, jnp.where(variance > 0, jnp.sqrt(variance), 1.0)


def standardize(samples: Samples) -> tuple[Samples, Array, Array]:
    """Samples of mean 0 and variance 1 on average over coordinates, their mean [d] and scale [].

    One scale for all coordinates: distances keep their proportions, and coordinates that hardly
    vary stay small. Where all points are the same one the scale is 0, and mean + scale * (whatever
    a network says) is that point.
    """
    share, gaps, mean = _about_the_mean(samples)
    scale = jnp.sqrt(jnp.mean(share @ gaps**2))
    return samples._replace(points=gaps / jnp.where(scale > 0, scale, 1.0)), mean, scale


def _about_the_mean(samples: Samples) -> tuple[Array, Array, Array]:
    """Shares of the weight [n], points less their mean [n, d], and the mean [d]."""
    share = samples.weight / samples.weight.sum()
    # From one of the points: where all are the same, nothing is left, exactly.
    origin = samples.points[jnp.argmax(share)]
    gaps = jnp.where(share[:, None] > 0, samples.points - origin[None, :], 0.0)
    mean = share @ gaps
    return share, gaps - mean[None, :], origin + mean
