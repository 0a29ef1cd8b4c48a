"""Metrics that the loop records of models whose parameters say nothing by themselves.

Each is an object, `metric(model, target)`, and returns a dict. What it needs of the model's samples
it takes from `model.samples(n)`, drawn with the model's bias, once per n and row for all metrics.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from madlib.metrics.samples import frechet_distance, manifold_scores
from madlib.protocols import Model, Target


class SampleScores(eqx.Module):
    """Precision, recall, density, coverage and Frechet distance of a model's samples.

    Attributes:
        real: [m, d], the real set that samples are compared with: held out, as a rule.
        n_samples: how many samples of the model are drawn for it.
        features: maps points [n, d] to the space [n, f] in which distances are taken; the points
            themselves by default.
        prefix: of the names of the scores, to tell two spaces apart.
        k: neighbors, see `manifold_scores`.
    """

    real: Float[Array, "m d"]
    n_samples: int = eqx.field(static=True)
    features: Callable[[Array], Array] | None = None
    prefix: str = eqx.field(default="", static=True)
    k: int = eqx.field(default=5, static=True)

    def __call__(self, model: Model, target: Target) -> dict[str, Array]:
        del target
        features = self.features or (lambda points: points)
        samples = model.samples(self.n_samples)
        real, synthetic = features(self.real), features(samples.points)
        scores = manifold_scores(real, synthetic, k=self.k)._asdict()
        scores["frechet_distance"] = frechet_distance(real, synthetic)
        return {f"{self.prefix}{name}": value for name, value in scores.items()}


class ClassScores(eqx.Module):
    """What a classifier makes of labeled samples: are they what they were meant to be, and how far
    apart are the classes?

    Attributes:
        classifier: has `labels(points)` and `features(points)`; see `madlib.classifier`.
        n_samples: how many samples of the model are drawn for it.
    """

    classifier: Any
    n_samples: int = eqx.field(static=True)

    def __call__(self, model: Model, target: Target) -> dict[str, Array]:
        """Returns three values.

        label_accuracy: share of the samples that the classifier puts into their class.
        variance_within: mean squared distance of a sample's features from the mean of its class.
        variance_between: mean squared distance of the class means from the mean of all samples.
        """
        del target
        samples = model.samples(self.n_samples)
        right = self.classifier.labels(samples.points) == samples.label
        features = self.classifier.features(samples.points)
        same = (samples.label[:, None] == samples.label[None, :]).astype(features.dtype)
        center = same @ features / jnp.sum(same, axis=1, keepdims=True)
        between = center - jnp.mean(features, axis=0, keepdims=True)
        return {
            "label_accuracy": jnp.mean(right),
            "variance_within": jnp.mean(jnp.sum((features - center) ** 2, axis=1)),
            "variance_between": jnp.mean(jnp.sum(between**2, axis=1)),
        }


class Examples(eqx.Module):
    """The first samples of a model themselves, to look at: record["examples"], [..., n_samples, d].

    Where samples have labels, record["labels"], [..., n_samples], has them.

    Attributes:
        n_samples: how many.
    """

    n_samples: int = eqx.field(static=True)

    def __call__(self, model: Model, target: Target) -> dict[str, Array]:
        del target
        samples = model.samples(self.n_samples)
        labels = {} if samples.label is None else {"labels": samples.label}
        return {"examples": samples.points} | labels


class TailShares(eqx.Module):
    """How often a model's samples go far out: the share of them with |x_1| beyond each threshold.

    Attributes:
        thresholds: how far.
        n_samples: how many samples of the model are drawn for it.
    """

    thresholds: tuple[float, ...] = eqx.field(static=True)
    n_samples: int = eqx.field(static=True)

    def __call__(self, model: Model, target: Target) -> dict[str, Array]:
        del target
        size = jnp.abs(model.samples(self.n_samples).points[:, 0])
        return {f"beyond_{c:g}": jnp.mean(size > c) for c in self.thresholds}


class KullbackLeibler(eqx.Module):
    r"""$KL(P_r \| G^t)$ in nats, of models with a density, on held-out real points $x_i$.

    The mean of $\log p(x_i) - \log q(x_i)$. It is what the negative log-likelihood of the points
    exceeds the entropy of $P_r$ by, without the noise of $\log p(x_i)$ itself.

    Attributes:
        points: [n, d], held out.
        log_prob: [n], their true log-density.
    """

    points: Float[Array, "n d"]
    log_prob: Float[Array, " n"]

    def __call__(self, model: Model, target: Target) -> dict[str, Array]:
        del target
        return {"kullback_leibler": jnp.mean(self.log_prob - model.log_prob(self.points))}


class HeldOutBits(eqx.Module):
    r"""Bits per symbol of real passages under a language model: $-\log_2 p$, a mean.

    The model is asked for what comes next at every position of every passage, from the first on.

    Attributes:
        real: [m, length], held-out passages.
    """

    real: Float[Array, "m length"]

    def __call__(self, model: Model, target: Target) -> dict[str, Array]:
        del target
        bits = -jnp.mean(model.log_prob(self.real)) / (self.real.shape[1] * np.log(2))
        return {"bits_per_symbol": bits}
