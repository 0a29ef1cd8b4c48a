r"""Targets: the real distributions $P_r$.

A target is a generator whose parameters nobody in the loop can see: real data comes by the same
verbs, `draw` and `sample`, as synthetic data. `reference` is what the metrics compare a model with:
the target's own parameters or, for data, the best a model of that family could learn.
"""

import collections
import dataclasses
import math
import re
import warnings
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from madlib import text as prose
from madlib.datasets import Dataset, Moments, Samples
from madlib.generators import (
    Categorical,
    CategoricalParams,
    Gaussian,
    GaussianMixture,
    Generator,
    MixtureParams,
    NormalParams,
)
from madlib.parameters import ParameterError, check_counts, is_number, require


class Target(eqx.Module):
    """A real distribution.

    Attributes:
        params: parameters of the family; traced, so changing them compiles nothing.
        reference: parameters that a model of this target is compared with.
        family: the generator that draws from them.
        symbols: names of the symbols of a discrete target, in the order of the probabilities, or of
            those that passages are made of; else empty.
    """

    params: Any
    reference: Any
    family: Generator = eqx.field(static=True)
    symbols: tuple[str, ...] = eqx.field(default=(), static=True)

    @property
    def dim(self) -> int:
        return self.family.dim

    @property
    def exact(self) -> bool:
        """Whether `draw` returns sufficient statistics at a cost independent of n."""
        return self.family.exact

    def draw(self, key: Key[Array, ""], n: Any) -> Dataset:
        """n real examples, as the dataset natural to the family."""
        return self.family.draw(key, self.params, n)

    def sample(self, key: Key[Array, ""], n: int) -> Array:
        """n real examples as points [n, d]."""
        return self.family.sample(key, self.params, n)


@dataclasses.dataclass(frozen=True)
class Empirical:
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
    exact = False

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


@dataclasses.dataclass(frozen=True)
class Rosenbrock:
    """The banana: x_1 ~ N(0, 1), x_2 | x_1 ~ N(x_1^2, 1/2); it has no parameters.

    Attributes:
        entropy: in nats, exact: the sum of those of two normal laws.
    """

    dim: ClassVar[int] = 2
    exact: ClassVar[bool] = False
    entropy: ClassVar[float] = math.log(2 * math.pi * math.e) - math.log(2) / 2

    def draw(self, key: Key[Array, ""], params: Any, n: int, lam=1.0) -> Samples:
        return Samples.of(self.sample(key, params, n, lam))

    def sample(self, key: Key[Array, ""], params: Any, n: int, lam=1.0) -> Array:
        del params, lam
        normals = jax.random.normal(key, (n, 2))
        first = normals[:, 0]
        return jnp.stack([first, first**2 + normals[:, 1] / math.sqrt(2)], axis=1)

    def log_prob(self, points: Float[Array, "n 2"]) -> Float[Array, " n"]:
        """Log-density in nats, [n]."""
        first, second = points.T
        return -(first**2) / 2 - (second - first**2) ** 2 - math.log(math.pi * math.sqrt(2))


def normal(mean: Any, cov: Any) -> Target:
    """A normal distribution.

    Args:
        mean: [d] or a number.
        cov: [d, d] or a number (the variance); positive semi-definite.
    """
    mean, cov = np.atleast_1d(_numbers("mean", mean)), np.atleast_2d(_numbers("cov", cov))
    with np.errstate(over="ignore"):
        fits = np.isfinite([*np.float32(mean).ravel(), *np.float32(cov).ravel()]).all()
    d = mean.size
    if d == 0 or mean.ndim != 1 or cov.shape != (d, d):
        raise ParameterError(
            f"mean [d] and cov [d, d] must have the same d >= 1; got {mean.shape} and {cov.shape}. "
            "Give both for the same number of dimensions."
        )
    if not fits:
        raise ParameterError(
            "mean and cov must be finite in single precision; got NaN, infinity or numbers beyond "
            "1e38. Clean the data first."
        )
    if not np.allclose(cov, cov.T, rtol=1e-6, atol=0):
        raise ParameterError("cov must be symmetric; got one that is not. Use (cov + cov.T) / 2.")
    variance, axes = np.linalg.eigh(cov)
    if variance.min() < -1e-6 * np.abs(variance).max():
        raise ParameterError(
            f"cov must be positive semi-definite; got an eigenvalue of {variance.min():.3g}. "
            "Clip its eigenvalues at 0."
        )
    root = np.linalg.qr((axes * np.sqrt(np.maximum(variance, 0))).T, mode="r").T
    root = root * np.where(np.diagonal(root) < 0, -1, 1)
    params = NormalParams(jnp.asarray(mean, jnp.float32), jnp.asarray(root, jnp.float32))
    return Target(params, params, Gaussian(d))


def standard_normal(dim: int) -> Target:
    """N(0, I) in dim dimensions."""
    check_counts(dim=dim)
    return normal(np.zeros(dim), np.eye(dim))


def mixture(weight: Any, mean: Any, cov: Any) -> Target:
    """A mixture of k normal distributions.

    Args:
        weight: [k], positive, summing to 1.
        mean: [k, d].
        cov: [k, d, d], [d, d] for all, or a number, the variance in every direction.
    """
    weight, mean, cov = (
        _numbers(name, value) for name, value in (("weight", weight), ("mean", mean), ("cov", cov))
    )
    if mean.ndim != 2 or weight.shape != mean.shape[:1]:
        raise ParameterError(
            f"weight [k] and mean [k, d] must have the same k; got {weight.shape} and "
            f"{mean.shape}. Give both for each component."
        )
    if not ((weight > 0).all() and abs(weight.sum() - 1) < 1e-5):
        raise ParameterError(
            f"weight must be positive and sum to 1; got a sum of {weight.sum():.6g} and a minimum "
            f"of {weight.min():.3g}. Divide by the sum, and leave out what weighs nothing."
        )
    k, d = mean.shape
    cov = cov * np.eye(d) if cov.ndim == 0 else cov
    components = [normal(m, c).params for m, c in zip(mean, _each(cov, k), strict=True)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *components)
    params = MixtureParams(jnp.asarray(weight, jnp.float32), *stacked)
    return Target(params, params, GaussianMixture(d, k))


def mode_grid(n_side: int = 5, scale: float = 0.1) -> Target:
    """n_side^2 equally likely round modes on the points of a square lattice of spacing 1, centered.

    With n_side = 5, the 25 modes of Alemohammad et al. 2023 (Figs. 14 and 15), who do not state
    the width of their modes.

    Args:
        n_side: modes along each side.
        scale: standard deviation of a mode in each direction.
    """
    check_counts(n_side=n_side)
    fits = is_number(scale) and scale >= 0
    require(fits, "scale must be finite and >= 0", repr(scale), "Use 0.1.")
    line = np.arange(n_side) - (n_side - 1) / 2
    mean = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    return mixture(np.full(len(mean), 1 / len(mean)), mean, scale**2)


def categorical(probs: Any, symbols: tuple[str, ...] = ()) -> Target:
    """A discrete distribution.

    Args:
        probs: [k], non-negative, summing to 1.
        symbols: k names, or nothing.
    """
    probs = _numbers("probs", probs)
    if probs.ndim != 1 or probs.size < 1:
        raise ParameterError(
            f"probs must be a vector [k], k >= 1; got shape {probs.shape}. Flatten it."
        )
    if not (np.isfinite(probs).all() and (probs >= 0).all() and abs(probs.sum() - 1) < 1e-5):
        raise ParameterError(
            f"probs must be non-negative and sum to 1; got a sum of {probs.sum():.6g} and a "
            f"minimum of {probs.min():.3g}. Divide the counts by their sum."
        )
    if symbols and len(symbols) != probs.size:
        raise ParameterError(
            f"symbols must name each of the {probs.size} probabilities; got {len(symbols)} names. "
            "Match them."
        )
    params = CategoricalParams(jnp.asarray(probs, jnp.float32))
    return Target(params, params, Categorical(probs.size), tuple(symbols))


def zipf(n_symbols: int, exponent: float = 1.0) -> Target:
    """Zipf's law: the i-th of n_symbols has a probability proportional to i^-exponent."""
    check_counts(n_symbols=n_symbols)
    fits = is_number(exponent) and exponent >= 0
    require(fits, "exponent must be >= 0", repr(exponent), "0 is the uniform law.")
    weight = np.arange(1.0, n_symbols + 1) ** -exponent
    return categorical(weight / weight.sum())


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
        points = _numbers("points", points).astype(np.float32)
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
        labels = _numbers("labels", labels)
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
    return Target(samples, Gaussian(family.dim, ddof=0).fit(None, Moments.of(samples)), family)


def rosenbrock() -> Target:
    """The banana-shaped density of MAD's normalizing flow; see `Rosenbrock`."""
    return Target((), None, Rosenbrock())


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
    rows = _part(len(points), n_training, part)
    return empirical(points[rows] / largest, labels[rows] if labeled else None, replace=replace)


def _part(n: int, n_training: int, part: str) -> Any:
    """Rows of "all", "training" or "held out" examples of n, by a fixed shuffle."""
    order = np.random.default_rng(0).permutation(n)
    parts = {"all": slice(None), "training": order[:n_training], "held out": order[n_training:]}
    require(part in parts, f"part must be one of {', '.join(parts)}", repr(part), "Choose one.")
    return parts[part]


def text(
    unit: str = "word", path: str | Path | None = None, n_symbols: int | None = None
) -> Target:
    """Frequencies of the words or characters of real English text.

    Args:
        unit: "word" (lower case, letters and apostrophes) or "character" (lower case, runs of white
            space as one).
        path: a UTF-8 text file; by default the prose of Python's own language reference
            (`pydoc_data.topics`).
        n_symbols: keep this many of the most frequent symbols; by default all.
    """
    if unit not in ("word", "character"):
        raise ParameterError(
            f"unit must be 'word' or 'character'; got {unit!r}. Choose one of the two."
        )
    check_counts(n_symbols=1 if n_symbols is None else n_symbols)
    source = prose.python_topics() if path is None else prose.read(path)
    pattern = r"[a-z]+(?:'[a-z]+)*" if unit == "word" else r"\s|\S"
    found = re.findall(pattern, re.sub(r"\s+", " ", source.lower()))
    if not found:
        raise ParameterError(
            f"the text must hold at least one {unit}; got none in {path}. "
            "Give a file of English prose."
        )
    ranked = sorted(collections.Counter(found).items(), key=lambda item: (-item[1], item[0]))[
        :n_symbols
    ]
    symbols, counts = zip(*ranked, strict=True)
    return categorical(np.array(counts) / sum(counts), symbols)


def passages(
    length: int,
    path: str | Path | None = None,
    part: str = "all",
    *,
    source: str | None = None,
    alphabet: str = prose.ALPHABET,
) -> Target:
    """Passages of real text: points [n, length], the numbers of their symbols.

    The text is brought into the alphabet by `madlib.text.normalize`, which says what becomes of
    other characters, and cut every `length` characters, wherever that falls. Passages are dealt
    without repetition. No parametric reference goes with them.

    Args:
        length: characters of a passage.
        path: a UTF-8 text file; by default the prose of Python's own language reference.
        part: "all", "training" (four fifths of the passages, by a fixed shuffle) or "held out".
        source: the text itself, instead of a path; for instance `madlib.text.corpus(...)`.
        alphabet: its symbols; the space must be one of them.

    Raises:
        ParameterError: for text that is empty, not in the alphabet, or too short for two passages.
    """
    check_counts(length=length)
    require(path is None or source is None, "text comes by path or by source", "both", "Drop one.")
    if source is None:
        source = prose.python_prose() if path is None else prose.read(path)
    symbols = prose.encode(prose.normalize(source, alphabet), alphabet)
    n = len(symbols) // length
    require(
        n >= 2,
        f"the text must hold two passages of {length} characters",
        f"{len(symbols)} characters",
        "Use shorter passages, or a longer text.",
    )
    rows = _part(n, n - max(1, n // 5), part)
    points = symbols[: n * length].reshape(n, length)[rows]
    return empirical(points, replace=False, symbols=tuple(alphabet))


def _each(cov: np.ndarray, k: int) -> np.ndarray:
    """k covariances, from one or as many."""
    if cov.ndim == 3 and len(cov) == k:
        return cov
    require(cov.ndim == 2, f"cov must be [{k}, d, d], [d, d] or a number", cov.shape, "Match k.")
    return np.broadcast_to(cov, (k, *cov.shape))


def _numbers(name: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values, float)
    except (TypeError, ValueError):
        raise ParameterError(
            f"{name} must be numbers; got {type(values).__name__}. Convert them first."
        ) from None
