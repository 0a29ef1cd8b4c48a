r"""Distributions with a formula: normal, mixtures, discrete, regressions, Rosenbrock's banana."""

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from numpy.typing import NDArray

from madlib.datasets import Samples
from madlib.errors import Count, Flag, NonNegative, Positives, Reals, Shares, checked, require
from madlib.generators import (
    Categorical,
    CategoricalParams,
    Gaussian,
    GaussianMixture,
    LinearRegression,
    MixtureParams,
    NormalParams,
    RegressionParams,
    TrigonometricRegression,
)
from madlib.protocols import Generator, Target


@dataclasses.dataclass(frozen=True)
class Rosenbrock(Generator):
    """The banana: x_1 ~ N(0, 1), x_2 | x_1 ~ N(x_1^2, 1/2); it has no parameters.

    Attributes:
        entropy: in nats, exact: the sum of those of two normal distributions.

    Example:
        >>> from madlib import targets
        >>> round(targets.Rosenbrock.entropy, 4)
        2.4913
    """

    dim = 2
    entropy: ClassVar[float] = math.log(2 * math.pi * math.e) - math.log(2) / 2

    def draw(self, key: Key[Array, ""], params: Any, n: int, lam: Any = 1.0) -> Samples:
        return Samples.of(self.sample(key, params, n, lam))

    def sample(self, key: Key[Array, ""], params: Any, n: int, lam: Any = 1.0) -> Array:
        del params, lam
        normals = jax.random.normal(key, (n, 2))
        first = normals[:, 0]
        return jnp.stack([first, first**2 + normals[:, 1] / math.sqrt(2)], axis=1)

    def log_prob(self, params: Any, points: Float[Array, "n 2"]) -> Float[Array, " n"]:
        """Log-density in nats, [n]."""
        first, second = points.T
        return -(first**2) / 2 - (second - first**2) ** 2 - math.log(math.pi * math.sqrt(2))


@checked
def normal(mean: Reals, cov: Reals) -> Target:
    """A normal distribution.

    Args:
        mean: [d] or a number.
        cov: [d, d] or a number (the variance); positive semi-definite.

    Example:
        >>> from madlib import targets
        >>> targets.normal(mean=[0, 1], cov=[[2, 0.5], [0.5, 1]]).space.dim
        2
    """
    mean, cov = np.atleast_1d(mean), np.atleast_2d(cov)
    d, shapes = mean.size, f"{mean.shape} and {cov.shape}"
    fits = d > 0 and mean.ndim == 1 and cov.shape == (d, d)
    require(fits, "mean [d] and cov [d, d] must have the same d >= 1", shapes, "Match them.")
    symmetric = np.abs(cov - cov.T).max() <= 1e-6 * np.abs(cov).max()
    require(symmetric, "cov must be symmetric", "one that is not", "Use (cov + cov.T) / 2.")
    variance = np.linalg.eigvalsh(cov)
    require(
        variance.min() >= -1e-6 * np.abs(variance).max(),
        "cov must be positive semi-definite",
        f"an eigenvalue of {variance.min():.3g}",
        "Clip its eigenvalues at 0.",
    )
    params = normal_params(mean, cov)
    return Target(params, params, Gaussian(d))


def normal_params(mean: NDArray[np.float64], cov: NDArray[np.float64]) -> NormalParams:
    """Parameters in single precision, [d] and [d, d], with the triangular root of a covariance."""
    largest = max(np.abs(mean).max(), np.abs(cov).max())
    fits = largest <= np.finfo(np.float32).max
    required = "mean and covariance must be finite in single precision"
    require(fits, required, f"{largest:.3g}", "Scale the data.")
    variance, axes = np.linalg.eigh(cov)
    root = np.asarray(np.linalg.qr((axes * np.sqrt(np.maximum(variance, 0))).T, mode="r")).T
    root = root * np.where(np.diagonal(root) < 0, -1, 1)
    return NormalParams(jnp.asarray(mean, jnp.float32), jnp.asarray(root, jnp.float32))


@checked
def standard_normal(dim: Count) -> Target:
    """N(0, I) in dim dimensions.

    Example:
        >>> from madlib import targets
        >>> targets.standard_normal(2).params.cov.tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    return normal(np.zeros(dim), np.eye(dim))


@checked
def mixture(weight: Positives, mean: Reals, cov: Reals) -> Target:
    """A mixture of k normal distributions.

    Args:
        weight: [k], positive, summing to 1.
        mean: [k, d].
        cov: [k, d, d], [d, d] for all, or a number, the variance in every direction.

    Example:
        >>> from madlib import targets
        >>> two = targets.mixture([0.3, 0.7], mean=[[-1, 0], [1, 0]], cov=0.2)
        >>> two.params.chol.shape
        (2, 2, 2)
    """
    shapes = f"{weight.shape} and {mean.shape}"
    fits = mean.ndim == 2 and weight.shape == mean.shape[:1]
    require(fits, "weight [k] and mean [k, d] must have the same k", shapes, "Match them.")
    _check_sum("weight", weight)
    k, d = mean.shape
    cov = cov * np.eye(d) if cov.ndim == 0 else cov
    fits = cov.shape in ((d, d), (k, d, d))
    require(fits, f"cov must be [{k}, {d}, {d}], [{d}, {d}] or a number", cov.shape, "Match k.")
    components = [normal(*pair).params for pair in zip(mean, cov * np.ones((k, 1, 1)), strict=True)]
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

    Example:
        >>> from madlib import targets
        >>> targets.mode_grid(2).params.mean.tolist()
        [[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]]
    """
    line = np.arange(n_side) - (n_side - 1) / 2
    mean = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    return mixture(np.full(len(mean), 1 / len(mean)), mean, scale**2)


@checked
def categorical(probs: Shares, symbols: tuple[str, ...] = ()) -> Target:
    """A discrete distribution.

    Args:
        probs: [k], non-negative, summing to 1.
        symbols: k names, or nothing.

    Example:
        >>> from madlib import targets
        >>> targets.categorical([0.5, 0.3, 0.2], symbols=("a", "b", "c")).family.n_symbols
        3
    """
    fits = probs.ndim == 1 and probs.size >= 1
    require(fits, "probs must be a vector [k], k >= 1", f"shape {probs.shape}", "Flatten it.")
    _check_sum("probs", probs)
    named = len(symbols) in (0, probs.size)
    required = f"symbols must name each of the {probs.size} probabilities"
    require(named, required, f"{len(symbols)} names", "Match them.")
    params = CategoricalParams(jnp.asarray(probs, jnp.float32))
    return Target(params, params, Categorical(probs.size), tuple(symbols))


@checked
def zipf(n_symbols: Count, exponent: NonNegative = 1.0) -> Target:
    """Zipf's law: the i-th of n_symbols has a probability proportional to i^-exponent.

    Example:
        >>> from madlib import targets
        >>> probs = targets.zipf(3).params.probs
        >>> [round(float(p * 11), 4) for p in probs]
        [6.0, 3.0, 2.0]
    """
    weight = np.arange(1.0, n_symbols + 1) ** -exponent
    return categorical(weight / weight.sum())


def rosenbrock() -> Target:
    """The banana-shaped density of MAD's normalizing flow; see `Rosenbrock`.

    Example:
        >>> import jax
        >>> from madlib import targets
        >>> targets.rosenbrock().sample(jax.random.key(0), 100).shape
        (100, 2)
    """
    return Target((), None, Rosenbrock())


@checked
def regression(theta: Reals, noise: NonNegative = 1.0, trigonometric: Flag = False) -> Target:
    r"""Examples (x, y), $y = x^T \theta + \sigma \varepsilon$: see `generators.LinearRegression`.

    Args:
        theta: [d], the real coefficients.
        noise: $\sigma$.
        trigonometric: whether they are of a function on a circle instead, 2K + 1 of them: see
            `generators.TrigonometricRegression`.

    Example:
        >>> from madlib import targets
        >>> targets.regression([0.5, -1.0]).family
        LinearRegression(n_features=2, noise=1.0, exact=True)
    """
    required = "theta must be a vector [d]"
    require(theta.ndim == 1 and theta.size, required, f"shape {theta.shape}", "Flatten it.")
    params = RegressionParams(jnp.asarray(theta, jnp.float32))
    family = TrigonometricRegression if trigonometric else LinearRegression
    return Target(params, params, family(theta.size, noise))


def _check_sum(name: str, probs: NDArray[np.float64]) -> None:
    total = probs.sum()
    require(abs(total - 1) < 1e-5, f"{name} must sum to 1", f"{total:.6g}", "Divide by the sum.")
