"""A small classifier of real images: the space in which images are compared.

Distances between pixels are not distances between pictures. As in the FID of Heusel et al. 2017,
and as Alemohammad et al. 2023 do for handwritten digits, images are compared by the activations of
the last hidden layer of a network that has learned to tell classes apart.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from madlib.datasets import Samples
from madlib.errors import Count, Diverged, NonNegative, checked, require
from madlib.generators import Training
from madlib.generators.layers import dense, silu, untrained
from madlib.generators.points import standardize
from madlib.generators.training import train
from madlib.protocols import Target

TRAINING = Training(n_steps=1500, batch_size=64, learning_rate=2e-3)


class Network(eqx.Module):
    """Two hidden layers; the second, narrow one is the space of features."""

    first: eqx.nn.Linear
    second: eqx.nn.Linear
    last: eqx.nn.Linear

    def __init__(self, dim: int, width: int, n_features: int, n_classes: int, key: Key[Array, ""]):
        self.first = eqx.nn.Linear(dim, width, key=key)
        self.second = eqx.nn.Linear(width, n_features, key=key)
        self.last = eqx.nn.Linear(n_features, n_classes, key=key)

    def features(self, points: Float[Array, "n d"]) -> Float[Array, "n f"]:
        return silu(dense(self.second, silu(dense(self.first, points))))

    def __call__(self, points: Float[Array, "n d"]) -> Float[Array, "n c"]:
        return dense(self.last, self.features(points))


class Classifier(eqx.Module):
    """A trained classifier.

    Attributes:
        network: of standardized points.
        mean: [d], of the training set.
        scale: [d], its standard deviation, for all coordinates the root mean square.

    Example:
        >>> import jax
        >>> from madlib import generators, metrics, targets
        >>> brief = generators.Training(n_steps=300, batch_size=64, learning_rate=1e-2)
        >>> digits = targets.digits("training", labeled=True)
        >>> classifier = metrics.fit_classifier(jax.random.key(0), digits, training=brief)
        >>> held_out = targets.digits("held out", labeled=True).params
        >>> bool(classifier.accuracy(held_out) > 0.9)
        True
    """

    network: Network
    mean: Float[Array, " d"]
    scale: Float[Array, " d"]

    def features(self, points: Float[Array, "n d"]) -> Float[Array, "n f"]:
        """The last hidden layer, [n, f]."""
        return self.network.features(self._standard(points))

    def labels(self, points: Float[Array, "n d"]) -> Int[Array, " n"]:
        """The most probable class of each point, [n]."""
        return jnp.argmax(self.network(self._standard(points)), axis=1)

    def accuracy(self, samples: Samples) -> Float[Array, ""]:
        """Share of the samples put into the class of their label, []."""
        labeled = samples.label is not None
        require(labeled, "an accuracy needs labels", "samples without", "Use labeled=True.")
        return jnp.mean(self.labels(samples.points) == samples.label)

    def _standard(self, points: Float[Array, "n d"]) -> Float[Array, "n d"]:
        return (points - self.mean[None, :]) / jnp.where(self.scale > 0, self.scale, 1.0)[None, :]


@checked
def fit_classifier(
    key: Key[Array, ""],
    target: Target,
    *,
    width: Count = 128,
    n_features: Count = 32,
    noise: NonNegative = 0.5,
    training: Any = TRAINING,
) -> Classifier:
    """Trains a classifier on all examples of a labeled target.

    Args:
        key: for the initial weights, the minibatches and the noise.
        target: examples with labels, such as `targets.digits("training", labeled=True)`.
        width: of the first hidden layer.
        n_features: f, of the second.
        noise: added to the training images, in units of `Classifier.scale`, against overfitting.
        training: minibatches, a `Training`.

    Raises:
        ParameterError: if the target has no labels or a parameter is out of range.
        Diverged: if the loss did not stay finite.

    Example:
        >>> import jax
        >>> from madlib import generators, metrics, targets
        >>> brief = generators.Training(n_steps=2, batch_size=8, learning_rate=1e-3)
        >>> digits = targets.digits("training", labeled=True)
        >>> classifier = metrics.fit_classifier(jax.random.key(0), digits, training=brief)
        >>> classifier.features(digits.params.points).shape
        (1297, 32)
    """
    fine = isinstance(training, Training)
    require(fine, "training must be a Training", repr(training), "See madlib.generators.Training.")
    n_classes = target.space.n_classes
    require(n_classes > 1, "a classifier needs labels", "a target without", "Use labeled=True.")
    sizes = target.space.dim, width, n_features, n_classes
    classifier = _fit(key, target.params, sizes, noise, training)
    require(
        jnp.isfinite(classifier.network.last.weight).all(),
        "the loss of the classifier must stay finite",
        "NaN or infinity",
        "Lower the learning rate, or look for outliers in the data.",
        Diverged,
    )
    return classifier


@eqx.filter_jit
def _fit(
    key: Key[Array, ""],
    samples: Samples,
    sizes: tuple[int, int, int, int],
    noise: float,
    training: Training,
) -> Classifier:
    standard, mean, scale = standardize(samples, common_scale=True)

    def network(key):
        return untrained(key, lambda key: Network(*sizes, key))

    def draw_noise(key):
        return noise * jax.random.normal(key, (training.batch_size, sizes[0]))

    def loss(network, drawn, batch):
        scores = jax.nn.log_softmax(network(batch.points + drawn))
        return -jnp.mean(jnp.take_along_axis(scores, batch.label[:, None], axis=1))

    return Classifier(train(key, network, loss, standard, training, draw_noise), mean, scale)
