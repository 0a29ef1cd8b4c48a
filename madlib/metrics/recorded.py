"""Metrics that the loop records of models whose parameters say little by themselves.

Each is an object, `metric(model, target)`, and returns a dict. The samples that it needs are
`model.samples(n)`, drawn with the model's bias, once per n and row for all metrics.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from madlib.errors import Count, as_points, as_reals, check_fields, require
from madlib.metrics.samples import frechet_distance, manifold_scores
from madlib.protocols import Generator, Model, Target


class SampleScores(eqx.Module):
    """Precision, recall, density, coverage and Frechet distance of a model's samples.

    Attributes:
        real: [m, d], the real set that samples are compared with: held out, as a rule; about the
            same origin (see `targets.empirical`).
        n_samples: how many samples of the model are drawn for it.
        features: maps points [n, d] to the space [n, f] in which distances are taken; the points
            themselves by default.
        prefix: of the names of the scores, to tell two spaces apart.
        k: neighbors, see `manifold_scores`.

    Example:
        >>> from madlib import metrics, targets
        >>> held_out = targets.digits("held out").params.points
        >>> scores = metrics.SampleScores(held_out, n_samples=500)
    """

    real: Float[Array, "m d"] = eqx.field(
        converter=lambda real: jnp.asarray(as_points(real, "real"), float)
    )
    n_samples: Count = eqx.field(static=True)
    features: Callable[[Array], Array] | None = None
    prefix: str = eqx.field(default="", static=True)
    k: Count = eqx.field(default=5, static=True)

    def __post_init__(self):
        check_fields(self)

    def __call__(self, model: Model, target: Target) -> dict[str, Array]:
        del target
        features = self.features or (lambda points: points)
        samples = model.samples(self.n_samples)
        real, synthetic = features(self.real), features(samples.points)
        scores = manifold_scores(real, synthetic, k=self.k)._asdict()
        scores["frechet_distance"] = frechet_distance(real, synthetic)
        return {f"{self.prefix}{name}": value for name, value in scores.items()}


class OfSamples(eqx.Module):
    """A score of a model's samples alone, `function(points)`, recorded under its name.

    Attributes:
        function: of points [n_samples, d], such as `knn_entropy`.
        n_samples: how many samples of the model are drawn for it.

    Example:
        >>> import jax, madlib
        >>> trajectory = madlib.simulate(
        ...     jax.random.key(0), madlib.Gaussian(dim=2), madlib.FullySynthetic(n_s=9),
        ...     madlib.targets.standard_normal(2), n_ini=9, n_generations=3, n_replicates=4,
        ...     record=(madlib.metrics.OfSamples(madlib.metrics.knn_entropy, 100),),
        ... )
        >>> trajectory["knn_entropy"].shape
        (4, 3)
    """

    function: Callable[[Array], Array] = eqx.field(static=True)
    n_samples: Count = eqx.field(static=True)

    def __post_init__(self):
        check_fields(self)

    def __call__(self, model: Model, target: Target) -> dict[str, Array]:
        del target
        name = getattr(self.function, "__name__", repr(self.function))
        return {name: self.function(model.samples(self.n_samples).points)}


class ClassScores(eqx.Module):
    """Scores of labeled samples by a classifier: whether classes are met, and how far apart.

    Attributes:
        classifier: has `accuracy(samples)` and `features(points)`; see `fit_classifier`.
        n_samples: how many samples of the model are drawn for it.

    Example:
        >>> import jax
        >>> from madlib import generators, metrics, targets
        >>> brief = generators.Training(n_steps=2, batch_size=8, learning_rate=1e-3)
        >>> digits = targets.digits("training", labeled=True)
        >>> classifier = metrics.fit_classifier(jax.random.key(0), digits, training=brief)
        >>> scores = metrics.ClassScores(classifier, n_samples=500)
    """

    classifier: Any
    n_samples: Count = eqx.field(static=True)

    def __post_init__(self):
        check_fields(self)

    def __call__(self, model: Model, target: Target) -> dict[str, Array]:
        """Returns three values.

        label_accuracy: share of the samples that the classifier puts into their class.
        variance_within: mean squared distance of a sample's features from the mean of its class.
        variance_between: mean squared distance of the class means from the mean of all samples.
        """
        del target
        samples = model.samples(self.n_samples)
        accuracy = self.classifier.accuracy(samples)
        features = self.classifier.features(samples.points)
        same = (samples.label[:, None] == samples.label[None, :]).astype(features.dtype)
        center = same @ features / jnp.sum(same, axis=1, keepdims=True)
        between = center - jnp.mean(features, axis=0, keepdims=True)
        return {
            "label_accuracy": accuracy,
            "variance_within": jnp.mean(jnp.sum((features - center) ** 2, axis=1)),
            "variance_between": jnp.mean(jnp.sum(between**2, axis=1)),
        }


class Examples(eqx.Module):
    """The first samples of a model themselves, to look at: record["examples"], [..., n_samples, d].

    Where samples have labels, record["labels"], [..., n_samples], has them.

    Attributes:
        n_samples: how many.

    Example:
        >>> import jax, madlib
        >>> trajectory = madlib.simulate(
        ...     jax.random.key(0), madlib.Gaussian(dim=2), madlib.FullySynthetic(n_s=9),
        ...     madlib.targets.standard_normal(2), n_ini=9, n_generations=3, n_replicates=4,
        ...     record=(madlib.metrics.Examples(5),),
        ... )
        >>> trajectory.record["examples"].shape
        (4, 3, 5, 2)
    """

    n_samples: Count = eqx.field(static=True)

    def __post_init__(self):
        check_fields(self)

    def __call__(self, model: Model, target: Target) -> dict[str, Array]:
        del target
        samples = model.samples(self.n_samples)
        labels = {} if samples.label is None else {"labels": samples.label}
        return {"examples": samples.points} | labels


class TailShares(eqx.Module):
    """Shares of a model's samples with |x_1| beyond each threshold: `beyond_2`, say.

    Attributes:
        thresholds: how far.
        n_samples: how many samples of the model are drawn for it.

    Example:
        >>> from madlib import metrics
        >>> metrics.TailShares([2, 4], n_samples=1000).thresholds
        (2.0, 4.0)
    """

    thresholds: tuple[float, ...] = eqx.field(
        static=True, converter=lambda given: tuple(as_reals(given, "thresholds").ravel().tolist())
    )
    n_samples: Count = eqx.field(static=True)

    def __post_init__(self):
        check_fields(self)

    def __call__(self, model: Model, target: Target) -> dict[str, Array]:
        del target
        size = jnp.abs(model.samples(self.n_samples).points[:, 0])
        return {f"beyond_{c:g}": jnp.mean(size > c) for c in self.thresholds}


class KullbackLeibler(eqx.Module):
    r"""$KL(P_r \| G^t)$ in nats, of models with a density, on held-out real points $x_i$.

    The mean of $\log p(x_i) - \log q(x_i)$: the negative log-likelihood of the points less the
    entropy of $P_r$, without the noise of $\log p(x_i)$ itself.

    Attributes:
        points: [n, d], held out.
        log_prob: [n], their true log-density.

    Example:
        >>> import jax
        >>> from madlib import metrics, targets
        >>> banana = targets.rosenbrock()
        >>> points = banana.sample(jax.random.key(0), 100)
        >>> metric = metrics.KullbackLeibler(points, banana.log_prob(points))
    """

    points: Float[Array, "n d"]
    log_prob: Float[Array, " n"]

    def __init__(self, points: Any, log_prob: Any):
        self.points = jnp.asarray(as_points(points), float)
        self.log_prob = jnp.asarray(as_reals(log_prob, "log_prob"), float)
        shape, fits = self.log_prob.shape, self.log_prob.shape == self.points.shape[:1]
        require(fits, "log_prob must be [n], one for each point", shape, "Use target.log_prob.")

    def __call__(self, model: Model, target: Target) -> dict[str, Array]:
        del target
        return {"kullback_leibler": jnp.mean(self.log_prob - _log_prob(model, self.points))}


class HeldOutBits(eqx.Module):
    r"""Bits per symbol of real passages under a language model: $-\log_2 p$, a mean.

    The model gives a probability to each symbol of each passage after those before it, from the
    first on.

    Attributes:
        real: [m, length], held-out passages, the numbers of their symbols.
        n_symbols: of the alphabet that they need, found here: their largest number plus 1.

    Raises:
        ParameterError: for numbers that are no symbols; when called, for a model whose alphabet is
            smaller, which would be paid for by no bit.

    Example:
        >>> from madlib import metrics
        >>> metrics.HeldOutBits([[0, 2, 1], [1, 0, 0]]).n_symbols
        3
    """

    real: Float[Array, "m length"]
    n_symbols: int = eqx.field(static=True)

    def __init__(self, real: Any):
        symbols = as_points(real, "real")
        whole = bool(np.all((symbols >= 0) & (symbols % 1 == 0)))
        require(whole, "real must hold whole numbers >= 0", "others", "Use targets.encode.")
        self.real, self.n_symbols = jnp.asarray(symbols, float), int(symbols.max()) + 1

    def __call__(self, model: Model, target: Target) -> dict[str, Array]:
        del target
        required = f"HeldOutBits needs a model of at least {self.n_symbols} symbols"
        n_symbols = model.generator.space.n_symbols
        require(n_symbols >= self.n_symbols, required, n_symbols, "Encode in its alphabet.")
        nats = -jnp.mean(_log_prob(model, self.real))
        return {"bits_per_symbol": nats / (self.real.shape[1] * np.log(2))}


def _log_prob(model: Model, points: Float[Array, "n d"]) -> Float[Array, " n"]:
    kind = type(model.generator)
    has_density = kind.log_prob is not Generator.log_prob
    remedy = "Leave it out of record, or score samples."
    require(has_density, "this metric needs a generator with log_prob", kind.__name__, remedy)
    return model.log_prob(points)
