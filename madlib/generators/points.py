"""Base classes of generators: arguments checked at the door, training sets standardized."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Key

from madlib.datasets import Samples
from madlib.errors import MAX_SIZE, Rule, check_fields, require
from madlib.generators.training import Training
from madlib.protocols import Dataset, Generator


class PointGenerator(Generator):
    """A generator that draws points; its settings and the arguments of its methods are checked.

    Arguments are recognized by name: `dataset`, `points`, `label`, `n` and `lam` of every public
    method. Of traced arrays only the shapes are checked. Rows of weight 0 in a dataset may hold
    anything, NaN included: each is replaced by the row of largest weight, so that no sum and no
    extreme depends on them.
    """

    def __init_subclass__(cls) -> None:
        for name, method in list(vars(cls).items()):
            if inspect.isfunction(method) and not name.startswith("_"):
                setattr(cls, name, _checked(method))

    def __post_init__(self):
        check_fields(self)

    def draw(self, key: Key[Array, ""], params: Any, n: Any, lam: Any = 1.0) -> Any:
        """n synthetic examples, as `Samples`."""
        return Samples.of(self.sample(key, params, n, lam))


class TrainedGenerator(PointGenerator):
    """One network or several, trained in minibatches; a single fit occupies a core.

    Attributes:
        training: minibatches and their number.
    """

    sequential = True
    training: Training

    def __post_init__(self):
        super().__post_init__()
        fine = isinstance(self.training, Training)
        remedy = "Use Training(n_steps=1000, batch_size=128, learning_rate=1e-3)."
        require(fine, "training must be a Training", repr(self.training), remedy)

    @property
    def minimum_weight(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.training.batch_size


def normalization(samples: Samples) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """Weighted mean [d] and standard deviation [d] of a training set, 1 where it is 0."""
    share, gaps, mean = _centered(samples)
    variance = share @ gaps**2
    return mean, jnp.where(variance > 0, jnp.sqrt(variance), 1.0)


def standardize(
    samples: Samples, common_scale: bool
) -> tuple[Samples, Float[Array, " d"], Float[Array, " d"]]:
    """Samples of mean 0 and variance 1 in each coordinate, their weighted mean [d] and scale [d].

    A common scale gives variance 1 on average over coordinates instead, and preserves the
    proportions of distances. Where all points agree in a coordinate (in all of them, if common) the
    scale is 0, so that mean + scale * x is their value for every finite x.
    """
    share, gaps, mean = _centered(samples)
    scale = unit(share @ gaps**2, common_scale)
    return samples._replace(points=gaps / jnp.where(scale > 0, scale, 1.0)[None, :]), mean, scale


def unit(variance: Float[Array, " d"], common_scale: bool) -> Float[Array, " d"]:
    """Standard deviation of each coordinate [d], or their root mean square for all of them."""
    if common_scale:
        return jnp.full_like(variance, jnp.sqrt(jnp.mean(variance)))
    return jnp.sqrt(variance)


def _centered(samples: Samples) -> tuple[Array, Array, Array]:
    """Shares of the weight [n], points less their mean [n, d], and the mean [d]."""
    share = samples.weight / samples.weight.sum()
    # Differences from one of the points: exactly 0 where all points are identical.
    origin = samples.points[jnp.argmax(share)]
    gaps = samples.points - origin[None, :]
    mean = share @ gaps
    return share, gaps - mean[None, :], origin + mean


def _checked(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method with its arguments converted, or refused in one line."""
    signature = inspect.signature(method)
    rules = {name: rule for name, rule in _RULES.items() if name in signature.parameters}

    @functools.wraps(method)
    def call(self: Generator, *args: Any, **kwargs: Any) -> Any:
        given = signature.bind(self, *args, **kwargs)
        for name, rule in rules.items():
            if name in given.arguments:
                given.arguments[name] = rule(self, given.arguments[name])
        return method(*given.args, **given.kwargs)

    return call if rules else method


def _dataset(generator: Generator, dataset: Any) -> Any:
    kind, remedy = type(dataset).__name__, "Use Samples.of(points), or Samples.of(points, label)."
    require(isinstance(dataset, Dataset), "dataset must be one of madlib.datasets", kind, remedy)
    if not isinstance(dataset, Samples):
        return dataset
    labeled = dataset.label is not None or not generator.space.n_classes
    require(labeled, "a conditional model needs labeled samples", "samples without", remedy)
    points, weight, label = dataset
    used = _held(Rule(0, array=True), "weight", weight) > 0
    _held(Rule(0, open=True), "the sum of all weights", weight.sum())
    points = jnp.where(used[:, None], points, points[jnp.argmax(weight)][None])
    label = label if label is None else _label(generator, jnp.where(used, label, 0))
    return Samples(_points(generator, points), weight, label)


def _points(generator: Generator, points: Any) -> Any:
    (dim, k, _), shape = generator.space, np.shape(points)
    required, remedy = f"points must be [n, {dim}]", "Use one row per example."
    require(shape[1:] == (dim,), required, f"shape {shape}", remedy)
    rule = Rule(0, k - 1, whole=True, array=True) if k else Rule(array=True)
    return _held(rule, "symbols" if k else "points", points)


def _label(generator: Generator, label: Any) -> Any:
    k = generator.space.n_classes
    return _held(Rule(0, k - 1, whole=True, array=True), "labels", label) if k else label


def _held(rule: Rule, name: str, value: Any) -> Any:
    """The value held to the rule, unless it is traced; arrays keep their type."""
    if isinstance(value, Tracer):
        return value
    if rule.array:
        rule(name, value)
        return jnp.asarray(value)
    return rule(name, np.asarray(value).tolist())


_RULES: dict[str, Callable[[Any, Any], Any]] = {
    "dataset": _dataset,
    "points": _points,
    "label": _label,
    "n": lambda _, n: _held(Rule(0, MAX_SIZE, whole=True), "n", n),
    "lam": lambda generator, lam: _held(Rule(*generator.lam_range), "lam", lam),
}
