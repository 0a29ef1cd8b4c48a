"""Distributions without a formula: given examples, files, handwritten digits."""

import dataclasses
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from madlib.datasets import Moments, Samples
from madlib.errors import ParameterError, as_reals, require
from madlib.generators import Gaussian
from madlib.protocols import Generator, Space, Target


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
    """

    dim: int
    replace: bool = True
    n_classes: int = 0
    n_symbols: int = 0

    @property
    def space(self) -> Space:
        return Space(self.dim, self.n_symbols, self.n_classes)

    def draw(self, key: Key[Array, ""], params: Samples, n: int, lam=1.0) -> Samples:
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

    def sample(self, key: Key[Array, ""], params: Samples, n: int, lam=1.0) -> Array:
        return self.draw(key, params, n, lam).points


def empirical(
    points: Any, labels: Any = None, *, replace: bool = True, symbols: tuple[str, ...] = ()
) -> Target:
    """The empirical distribution of given examples.

    The reference is the normal distribution with their mean and covariance (divided by N); there is
    none for sequences of symbols.

    Args:
        points: [N, d].
        labels: [N], classes counted from 0; None where there are none.
        replace: whether draws are independent, or examples dealt without repetition.
        symbols: names of the symbols 0, 1, ... where examples are sequences of them; else empty.
    """
    with np.errstate(over="ignore"):
        points = as_reals(points, "points").astype(np.float32)
    if points.ndim != 2 or points.shape[0] < 1:
        raise ParameterError(
            f"points must be [N, d] with N >= 1; got {points.shape}. Use one row per example."
        )
    if not np.isfinite(points).all():
        raise ParameterError(
            "points must be finite; got NaN or infinity. Drop or impute those rows."
        )
    label, n_classes = None, 0
    if labels is not None:
        labels = as_reals(labels, "labels")
        whole = labels.shape == points.shape[:1] and np.all((labels >= 0) & (labels % 1 == 0))
        require(
            whole,
            "labels must be N whole numbers >= 0, one for each point",
            f"shape {labels.shape} for {len(points)} points, or other values",
            "Number the classes from 0.",
        )
        label, n_classes = jnp.asarray(labels, jnp.int32), int(labels.max()) + 1
    samples = Samples.of(jnp.asarray(points), label)
    family = Empirical(points.shape[1], replace, n_classes, len(symbols))
    if symbols:
        outside = (points % 1 != 0) | (points < 0) | (points >= len(symbols))
        require(
            not outside.any(),
            f"symbols must be whole numbers from 0 to {len(symbols) - 1}",
            f"{points[outside][0]:g}" if outside.any() else "",
            "Encode the text with madlib.text.encode.",
        )
        return Target(samples, None, family, tuple(symbols))
    return Target(
        samples, Gaussian(family.dim, ddof=0).fit(jax.random.key(0), Moments.of(samples)), family
    )


N_TRAINING_DIGITS = 1297  # the other 500 are held out.


def digits(part: str = "all", *, labeled: bool = False, replace: bool = True) -> Target:
    """The 1797 handwritten digits of scikit-learn, 8 x 8 pixels in [0, 1]: points [n, 64].

    Args:
        part: "all", "training" (1,297 of them) or "held out" (the other 500, no writer's order
            kept: the split is a fixed shuffle).
        labeled: whether examples carry their class, 0 to 9.
        replace: as for `empirical`.
    """
    from sklearn.datasets import load_digits

    return _images(*load_digits(return_X_y=True), 16, N_TRAINING_DIGITS, part, labeled, replace)


N_TRAINING_MNIST = 60_000  # the other 10,000 are held out.


def mnist(part: str = "all", *, labeled: bool = False, replace: bool = True) -> Target:
    """The 70,000 digits of MNIST, 28 x 28 pixels in [0, 1]: points [n, 784].

    They come from OpenML, over the network the first time, and are kept by scikit-learn.

    Args:
        part, labeled, replace: as for `digits`; the held-out part has 10,000 images.

    Raises:
        ParameterError: if they are not here and OpenML cannot be reached.
    """
    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings(action="ignore"):  # of caches and of another attempt
            points, labels = fetch_openml(
                "mnist_784", version=1, return_X_y=True, as_frame=False, n_retries=1
            )
    except (OSError, ValueError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ParameterError(
            f"MNIST must come from OpenML, over the network, the first time; got {reason}. "
            "Connect once, or use digits, which need no network."
        ) from None
    return _images(points, labels.astype(int), 255, N_TRAINING_MNIST, part, labeled, replace)


IMAGES = {"digits": digits, "mnist": mnist}


def images(name: str, part: str = "all", *, labeled: bool = False, replace: bool = True) -> Target:
    """The set of images of this name, "digits" or "mnist"; the rest as for `digits`."""
    require(name in IMAGES, f"images must be one of {', '.join(IMAGES)}", repr(name), "Choose one.")
    return IMAGES[name](part, labeled=labeled, replace=replace)


def _images(points, labels, largest, n_training, part, labeled, replace) -> Target:
    rows = rows_of_part(len(points), n_training, part)
    return empirical(points[rows] / largest, labels[rows] if labeled else None, replace=replace)


def rows_of_part(n: int, n_training: int, part: str) -> Any:
    """Rows of "all", "training" or "held out" examples of n, by a fixed shuffle."""
    order = np.random.default_rng(0).permutation(n)
    parts = {"all": slice(None), "training": order[:n_training], "held out": order[n_training:]}
    require(part in parts, f"part must be one of {', '.join(parts)}", repr(part), "Choose one.")
    return parts[part]
