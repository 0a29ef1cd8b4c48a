r"""Targets: the real distributions $P_r$.

A target is a generator whose parameters nobody in the loop can see: real data comes by the same
verbs, `draw` and `sample`, as synthetic data. `reference` is what the metrics compare a model with:
the target's own parameters or, for data, the best a model of that family could learn.
"""

import collections
import dataclasses
import re
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from madlib.checks import check_counts
from madlib.datasets import Dataset, Moments, Samples
from madlib.generators import Categorical, CategoricalParams, Gaussian, Generator, NormalParams
from madlib.parameters import ParameterError, require


class Target(eqx.Module):
    """A real distribution.

    Attributes:
        params: parameters of the family; traced, so changing them compiles nothing.
        reference: parameters that a model of this target is compared with.
        family: the generator that draws from them.
        symbols: names of the symbols of a discrete target, in the order of the probabilities; else
            empty.
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
    """The distribution that picks one of N given points at random, with replacement.

    Attributes:
        dim: d.
    """

    dim: int
    exact = False

    def draw(self, key: Key[Array, ""], params: Float[Array, "N d"], n: int, lam=1.0) -> Samples:
        return Samples.of(self.sample(key, params, n, lam))

    def sample(self, key: Key[Array, ""], params: Float[Array, "N d"], n: int, lam=1.0) -> Array:
        del lam
        return params[jax.random.randint(key, (n,), 0, params.shape[0])]


def normal(mean: Any, cov: Any) -> Target:
    """A normal distribution.

    Args:
        mean: [d] or a number.
        cov: [d, d] or a number (the variance); positive semi-definite.
    """
    mean, cov = np.atleast_1d(_numbers("mean", mean)), np.atleast_2d(_numbers("cov", cov))
    d = mean.size
    if mean.ndim != 1 or cov.shape != (d, d):
        raise ParameterError(
            f"mean [d] and cov [d, d] must have the same d; got {mean.shape} and {cov.shape}. "
            "Give both for the same number of dimensions."
        )
    if not (np.isfinite(mean).all() and np.isfinite(cov).all()):
        raise ParameterError(
            "mean and cov must be finite; got NaN or infinity. Clean the data first."
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
    require(exponent >= 0, "exponent must be >= 0", repr(exponent), "0 is the uniform law.")
    weight = np.arange(1.0, n_symbols + 1) ** -exponent
    return categorical(weight / weight.sum())


def empirical(points: Any) -> Target:
    """The empirical distribution of given points [N, d]: draws are with replacement.

    The reference is the normal distribution with its mean and covariance (divided by N).
    """
    points = _numbers("points", points).astype(np.float32)
    if points.ndim != 2 or points.shape[0] < 1:
        raise ParameterError(
            f"points must be [N, d] with N >= 1; got {points.shape}. Use one row per example."
        )
    if not np.isfinite(points).all():
        raise ParameterError(
            "points must be finite; got NaN or infinity. Drop or impute those rows."
        )
    family = Gaussian(points.shape[1], ddof=0)
    reference = family.fit(None, Moments.of(Samples.of(jnp.asarray(points))))
    return Target(jnp.asarray(points), reference, Empirical(points.shape[1]))


def digits() -> Target:
    """The 1797 handwritten digits of scikit-learn, 8 x 8 pixels in [0, 1]: points [n, 64]."""
    from sklearn.datasets import load_digits

    return empirical(load_digits().data / 16)


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
    prose = _python_prose() if path is None else _read(Path(path))
    pattern = r"[a-z]+(?:'[a-z]+)*" if unit == "word" else r"\s|\S"
    found = re.findall(pattern, re.sub(r"\s+", " ", prose.lower()))
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


def _numbers(name: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values, float)
    except (TypeError, ValueError):
        raise ParameterError(
            f"{name} must be numbers; got {values!r}. Convert them first."
        ) from None


def _python_prose() -> str:
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(
            f"path must name a readable UTF-8 text file; got {path} ({type(error).__name__}). "
            "Check the path."
        ) from None
