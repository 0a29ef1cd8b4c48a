r"""Distributions with a formula: normal, mixtures, discrete, Rosenbrock's banana."""

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from madlib.datasets import Samples
from madlib.errors import Count, NonNegative, ParameterError, as_reals, checked, require
from madlib.generators import (
    Categorical,
    CategoricalParams,
    Gaussian,
    GaussianMixture,
    MixtureParams,
    NormalParams,
)
from madlib.protocols import Generator, Target


@dataclasses.dataclass(frozen=True)
class Rosenbrock(Generator):
    """The banana: x_1 ~ N(0, 1), x_2 | x_1 ~ N(x_1^2, 1/2); it has no parameters.

    Attributes:
        entropy: in nats, exact: the sum of those of two normal laws.
    """

    dim = 2
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
    mean, cov = np.atleast_1d(as_reals(mean, "mean")), np.atleast_2d(as_reals(cov, "cov"))
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


@checked
def standard_normal(dim: Count) -> Target:
    """N(0, I) in dim dimensions."""
    return normal(np.zeros(dim), np.eye(dim))


def mixture(weight: Any, mean: Any, cov: Any) -> Target:
    """A mixture of k normal distributions.

    Args:
        weight: [k], positive, summing to 1.
        mean: [k, d].
        cov: [k, d, d], [d, d] for all, or a number, the variance in every direction.
    """
    weight, mean, cov = (
        as_reals(value, name) for name, value in (("weight", weight), ("mean", mean), ("cov", cov))
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


@checked
def mode_grid(n_side: Count = 5, scale: NonNegative = 0.1) -> Target:
    """n_side^2 equally likely round modes on the points of a square lattice of spacing 1, centered.

    With n_side = 5, the 25 modes of Alemohammad et al. 2023 (Figs. 14 and 15), who do not state
    the width of their modes.

    Args:
        n_side: modes along each side.
        scale: standard deviation of a mode in each direction.
    """
    line = np.arange(n_side) - (n_side - 1) / 2
    mean = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    return mixture(np.full(len(mean), 1 / len(mean)), mean, scale**2)


def categorical(probs: Any, symbols: tuple[str, ...] = ()) -> Target:
    """A discrete distribution.

    Args:
        probs: [k], non-negative, summing to 1.
        symbols: k names, or nothing.
    """
    probs = as_reals(probs, "probs")
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


@checked
def zipf(n_symbols: Count, exponent: NonNegative = 1.0) -> Target:
    """Zipf's law: the i-th of n_symbols has a probability proportional to i^-exponent."""
    weight = np.arange(1.0, n_symbols + 1) ** -exponent
    return categorical(weight / weight.sum())


def rosenbrock() -> Target:
    """The banana-shaped density of MAD's normalizing flow; see `Rosenbrock`."""
    return Target((), None, Rosenbrock())


def _each(cov: np.ndarray, k: int) -> np.ndarray:
    """k covariances, from one or as many."""
    if cov.ndim == 3 and len(cov) == k:
        return cov
    require(cov.ndim == 2, f"cov must be [{k}, d, d], [d, d] or a number", cov.shape, "Match k.")
    return np.broadcast_to(cov, (k, *cov.shape))
