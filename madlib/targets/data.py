"""Distributions without a formula: given examples, files, handwritten digits."""

import dataclasses
import importlib
import warnings
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from madlib.datasets import Samples
from madlib.errors import (
    Flag,
    NonNegatives,
    Reals,
    Unavailable,
    as_points,
    checked,
    one_of,
    require,
)
from madlib.linalg import origin_of
from madlib.protocols import Generator, Space, Target
from madlib.targets.laws import normal_params

Part = Annotated[str, one_of("all", "training", "held out")]


@dataclasses.dataclass(frozen=True)
class Empirical(Generator):
    """The distribution that picks one of N given examples at random.

    Its parameters are the examples, as `Samples`; their weights are not looked at.

    Attributes:
        dim: d.
        replace: True draws each example independently; False deals them like cards, a shuffled
            deck after the other, so that n <= N draws are n different examples.
        n_classes: number of classes; 0 where examples have no labels.
        n_symbols: number of symbols where examples are sequences of them; 0 where they are not.
        origin: d numbers that were subtracted from the examples; see `empirical`.

    Example:
        >>> from madlib import targets
        >>> targets.empirical([[1, 2], [3, 4], [5, 6]], replace=False).family
        Empirical(dim=2, replace=False, n_classes=0, n_symbols=0, origin=())
    """

    dim: int
    replace: bool = True
    n_classes: int = 0
    n_symbols: int = 0
    origin: tuple[float, ...] = ()

    @property
    def space(self) -> Space:
        return Space(self.dim, self.n_symbols, self.n_classes)

    def draw(self, key: Key[Array, ""], params: Samples, n: int, lam: Any = 1.0) -> Samples:
        del lam
        (n_examples,) = params.weight.shape
        if self.replace:
            rows = jax.random.randint(key, (n,), 0, n_examples)
        else:
            decks = jax.random.split(key, max(1, -(-n // n_examples)))
            rows = jax.vmap(lambda key: jax.random.permutation(key, n_examples))(decks)
            rows = rows.reshape(-1)[:n]
        drawn = jax.tree.map(lambda leaf: leaf[rows], params)
        return drawn._replace(weight=jnp.ones(n))

    def sample(self, key: Key[Array, ""], params: Samples, n: int, lam: Any = 1.0) -> Array:
        return self.draw(key, params, n, lam).points


@checked
def empirical(
    points: Reals,
    labels: NonNegatives = None,
    *,
    replace: Flag = True,
    symbols: tuple[str, ...] = (),
    origin: Reals = None,
) -> Target:
    """The empirical distribution of given examples.

    The reference is the normal distribution with their mean and covariance (divided by N), taken in
    double precision; there is none for sequences of symbols.

    The loop computes in single precision. Coordinates more than a thousand times as far from zero
    as they are spread would lose their digits, so an origin is subtracted from them: one found
    here, or the one given, so that several sets share it. Models, samples and the reference are
    relative to it, and `target.family.origin` has it; elsewhere it is 0.

    Args:
        points: [N, d].
        labels: [N], classes counted from 0; None where there are none.
        replace: whether draws are independent, or examples dealt without repetition.
        symbols: names of the symbols 0, 1, ... where examples are sequences of them; else empty.
        origin: [d], or a number; None for the one described above.

    Example:
        >>> from madlib import targets
        >>> target = targets.empirical([[1e8 + 1, 0], [1e8 + 3, 1]])
        >>> target.reference.cov.tolist(), target.family.origin
        ([[1.0, 0.5], [0.5, 0.25]], (100000000.0, 0.0))
    """
    points = as_points(points)
    n, d = points.shape
    if origin is None:
        origin, spread = origin_of(points), np.ptp(points, axis=0)
        origin = np.where((spread > 0) & (np.abs(origin) > 1000 * spread), origin, 0.0)
    points -= origin  # a copy of what was given
    label, n_classes = None, 0
    if labels is not None:
        whole = labels.shape == (n,) and not np.any(labels % 1)
        required = "labels must be N whole numbers, one for each point"
        received = f"shape {labels.shape} for {n} points, or other numbers"
        require(whole, required, received, "Number the classes from 0.")
        label, n_classes = jnp.asarray(labels, jnp.int32), int(labels.max()) + 1
    samples = Samples.of(jnp.asarray(points, jnp.float32), label)
    shift = tuple(np.broadcast_to(origin, d).tolist()) if np.any(origin) else ()
    family = Empirical(d, replace, n_classes, len(symbols), shift)
    if not symbols:
        mean = points.mean(axis=0)
        gaps = points - mean
        return Target(samples, normal_params(mean, gaps.T @ gaps / n), family)
    outside = points[(points % 1 != 0) | (points < 0) | (points >= len(symbols))]
    required = f"symbols must be whole numbers from 0 to {len(symbols) - 1}"
    require(not outside.size, required, outside[:1], "Encode the text with targets.encode.")
    return Target(samples, None, family, tuple(symbols))


N_TRAINING_DIGITS = 1297  # the other 500 are held out.
N_TRAINING_MNIST = 60_000  # the other 10,000 are held out.


@checked
def digits(part: Part = "all", *, labeled: Flag = False, replace: Flag = True) -> Target:
    """The 1797 handwritten digits of scikit-learn, 8 x 8 pixels in [0, 1]: points [n, 64].

    Args:
        part: "all", "training" (1,297 of them) or "held out" (the other 500, no writer's order
            kept: the split is a fixed shuffle).
        labeled: whether examples carry their class, 0 to 9.
        replace: as for `empirical`.

    Raises:
        Unavailable: without scikit-learn.

    Example:
        >>> from madlib import targets
        >>> targets.digits("held out").params.points.shape
        (500, 64)
    """
    points, label = package("sklearn.datasets", "book").load_digits(return_X_y=True)
    return _images(points / 16, label, N_TRAINING_DIGITS, part, labeled, replace)


@checked
def mnist(part: Part = "all", *, labeled: Flag = False, replace: Flag = True) -> Target:
    """The 70,000 digits of MNIST, 28 x 28 pixels in [0, 1]: points [n, 784].

    They come from OpenML, over the network the first time, and are kept by scikit-learn.

    Args:
        part, labeled, replace: as for `digits`; the held-out part has 10,000 images.

    Raises:
        Unavailable: without scikit-learn, or if the images are not here and OpenML cannot be
            reached.

    Example:
        >>> from madlib import targets
        >>> targets.mnist("training").space.dim  # doctest: +SKIP
        784
    """
    datasets = package("sklearn.datasets", "book")
    try:
        with warnings.catch_warnings(action="ignore"):  # of caches and of another attempt
            points, label = datasets.fetch_openml(
                "mnist_784", version=1, return_X_y=True, as_frame=False, n_retries=1
            )
    except (OSError, ValueError) as error:
        raise Unavailable(
            "MNIST must come from OpenML, over the network, the first time; got "
            f"{describe(error)}. Connect once, or use digits, which need no network."
        ) from None
    return _images(points / 255, label.astype(int), N_TRAINING_MNIST, part, labeled, replace)


@checked
def images(
    name: Annotated[str, one_of("digits", "mnist")],
    part: Part = "all",
    *,
    labeled: Flag = False,
    replace: Flag = True,
) -> Target:
    """The set of images of this name, "digits" or "mnist"; the rest as for `digits`.

    Example:
        >>> from madlib import targets
        >>> targets.images("digits", "training", labeled=True).space
        Space(dim=64, n_symbols=0, n_classes=10)
    """
    return {"digits": digits, "mnist": mnist}[name](part, labeled=labeled, replace=replace)


def _images(
    points: Any, label: Any, n_training: int, part: str, labeled: bool, replace: bool
) -> Target:
    rows = rows_of_part(len(points), n_training, part)
    return empirical(points[rows], label[rows] if labeled else None, replace=replace)


def rows_of_part(n: int, n_training: int, part: str) -> Any:
    """Rows of "all", "training" or "held out" examples of n, by a fixed shuffle."""
    order = np.random.default_rng(0).permutation(n)
    return {"all": slice(None), "training": order[:n_training]}.get(part, order[n_training:])


def package(name: str, extra: str) -> Any:
    """A package outside the core, or one of its modules; Unavailable where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Unavailable(
            f"this target needs the package {name.partition('.')[0]}; got an installation without. "
            f"Run pip install madlib[{extra}]."
        ) from None


def describe(error: Exception) -> str:
    """An error of another package in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]
