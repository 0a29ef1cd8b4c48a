"""A small classifier of real images: the space in which images are compared.

Distances between pixels are not distances between pictures. As in the FID of Heusel et al. 2017,
and as Alemohammad et al. 2023 do for handwritten digits, images are compared by what a network sees
in them that has learned to tell classes apart: the activations of its last hidden layer.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from madlib.datasets import Samples
from madlib.generators.training import (
    Training,
    check_training,
    dense,
    silu,
    standardize,
    train,
    untrained,
)
from madlib.parameters import check_counts, is_number, require
from madlib.targets import Target

TRAINING = Training(n_steps=1500, batch_size=64, learning_rate=2e-3)


class Network(eqx.Module):
    """Two hidden layers; the second, narrow one is what images are compared by."""

    first: eqx.nn.Linear
    second: eqx.nn.Linear
    last: eqx.nn.Linear

    def __init__(self, dim: int, width: int, n_features: int, n_classes: int, key: Key[Array, ""]):
        self.first = eqx.nn.Linear(dim, width, key=key)
        self.second = eqx.nn.Linear(width, n_features, key=key)
        self.last = eqx.nn.Linear(n_features, n_classes, key=key)

    def features(self, points: Array) -> Array:
        return silu(dense(self.second, silu(dense(self.first, points))))

    def __call__(self, points: Array) -> Array:
        return dense(self.last, self.features(points))


class Classifier(eqx.Module):
    """A trained classifier.

    Attributes:
        network: of standardized points.
        mean: [d], of the training set.
        scale: [], its standard deviation, the root mean square over coordinates.
    """

    network: Network
    mean: Float[Array, " d"]
    scale: Float[Array, ""]

    def features(self, points: Float[Array, "n d"]) -> Float[Array, "n f"]:
        """The last hidden layer, [n, f]."""
        return self.network.features(self._standard(points))

    def labels(self, points: Float[Array, "n d"]) -> Int[Array, " n"]:
        """The most probable class of each point, [n]."""
        return jnp.argmax(self.network(self._standard(points)), axis=1)

    def accuracy(self, samples: Samples) -> Float[Array, ""]:
        """Share of the samples put into the class of their label, []."""
        require(
            samples.label is not None,
            "an accuracy needs labels",
            "samples without",
            "Use labeled=True.",
        )
        return jnp.mean(self.labels(samples.points) == samples.label)

    def _standard(self, points: Array) -> Array:
        return (points - self.mean[None, :]) / jnp.where(self.scale > 0, self.scale, 1.0)


def fit_classifier(
    key: Key[Array, ""],
    target: Target,
    *,
    width: int = 128,
    n_features: int = 32,
    noise: float = 0.5,
    training: Training = TRAINING,
) -> Classifier:
    """Trains a classifier on all examples of a labeled target.

    Args:
        key: for the initial weights, the minibatches and the noise.
        target: examples with labels, such as `targets.digits("training", labeled=True)`.
        width: of the first hidden layer.
        n_features: f, of the second.
        noise: added to the training images, in units of `Classifier.scale`: few images are easily
            learned by heart.
        training: minibatches.

    Raises:
        ParameterError: if the target has no labels, a parameter is out of range, or the training
            diverges.
    """
    check_counts(width=width, n_features=n_features)
    check_training(training)
    fine = is_number(noise) and noise >= 0
    require(fine, "noise must be finite and >= 0", repr(noise), "Use 0.5.")
    n_classes = getattr(target.family, "n_classes", 0)
    require(n_classes > 1, "a classifier needs labels", "a target without", "Use labeled=True.")
    sizes = n_classes, width, n_features
    classifier, diverged = _fit(key, target.params, *sizes, noise, training)
    require(
        diverged == 0,
        "the loss of the classifier must stay finite",
        f"NaN or infinity in step {diverged}",
        "Lower the learning rate, or look for outliers in the data.",
    )
    return classifier


@eqx.filter_jit
def _fit(key, samples, n_classes, width, n_features, noise, training) -> tuple:
    standard, mean, scale = standardize(samples)

    def network(key: Key[Array, ""]) -> Network:
        sizes = samples.points.shape[1], width, n_features, n_classes
        return untrained(key, lambda key: Network(*sizes, key))

    def draw_noise(key):
        return noise * jax.random.normal(key, (training.batch_size, samples.points.shape[1]))

    def loss(network, drawn, batch):
        scores = jax.nn.log_softmax(network(batch.points + drawn))
        return -jnp.mean(jnp.take_along_axis(scores, batch.label[:, None], axis=1))

    weights, diverged = train(key, network, loss, standard, training, draw_noise)
    return Classifier(weights, mean, scale), diverged
