r"""A function on a circle, learned by least squares in the first trigonometric polynomials.

    f_t(x) = sum_j theta_tj phi_j(x),    phi = 1, sqrt 2 cos 2 pi x, sqrt 2 sin 2 pi x, ...

Examples are $(x, y)$ with $x = i/n$, i = 0, ..., n - 1, and $y = f_t(x) + \sigma \varepsilon$. On
equally spaced points the $\phi_j$ are orthogonal, $X^T X = n I$, so that n examples enter the next
fit only through $X^T y = n \theta_t + \sigma \sqrt n\, N(0, I)$: `draw` returns those and never the
examples.

A fit can err in three ways. The sample is finite; the degree may be too small for the real
function; and gradient descent may stop early. From zero, with rate $\eta$, it goes the share
$1 - (1 - \eta)^m$ of the way to the least-squares fit in m steps.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from madlib.datasets import Samples
from madlib.errors import Count, Natural, OpenShare, require
from madlib.generators.regression import LinearRegression, RegressionParams
from madlib.linalg import solve_positive
from madlib.statistics import NormalEquations


@dataclasses.dataclass(frozen=True)
class TrigonometricRegression(LinearRegression):
    r"""Least squares in trigonometric polynomials of a degree, on equally spaced points.

    Attributes:
        n_features: D = 2K + 1, coefficients of the real function: a constant and K frequencies.
        noise, exact: as for `LinearRegression`.
        degree: k of what is fitted, at most K: the first 2k + 1 coefficients, zero for the others;
            None for all.
        n_steps: m of gradient descent, from zero; None for the least-squares fit itself.
        learning_rate: $\eta$, as a share of the largest step that does not overshoot.

    Example:
        >>> model = TrigonometricRegression(n_features=3, degree=1, n_steps=10, learning_rate=0.5)
        >>> round(model.learned, 4)
        0.999
    """

    degree: Natural | None = None
    n_steps: Count | None = None
    learning_rate: OpenShare = 0.1
    dim = 2  # pyright: ignore[reportAssignmentType]

    def __post_init__(self):
        super().__post_init__()
        required, d = "n_features must be odd, and at least 2 degree + 1", self.n_features
        fine = d % 2 and (self.degree is None or 2 * self.degree < d)
        require(fine, required, f"{d} and degree={self.degree}", "Count sines and cosines.")

    @property
    def learned(self) -> float:
        """Share of the way to the least-squares fit that a fit goes."""
        return 1.0 if self.n_steps is None else 1 - (1 - self.learning_rate) ** self.n_steps

    def predict(self, params: RegressionParams, x: Float[Array, " n"]) -> Float[Array, " n"]:
        r"""$f_t(x)$."""
        return self._features(jnp.asarray(x, params.theta.dtype)) @ params.theta

    def summarize(self, dataset: Samples | NormalEquations) -> NormalEquations:
        if not isinstance(dataset, Samples):
            return dataset
        x, y = self._features(dataset.points[:, 0]), dataset.points[:, 1:]
        return NormalEquations.of(dataset._replace(points=jnp.concatenate([x, y], axis=1)))

    def fit(self, key: Key[Array, ""] | None, dataset: Any) -> RegressionParams:
        """The fit of the degree, as far as it is learned; deterministic, the key is not used."""
        del key
        gram, moment = self.summarize(dataset)
        d = self.n_features if self.degree is None else 2 * self.degree + 1
        theta = self.learned * solve_positive(gram[:d, :d], moment[:d])
        return RegressionParams(jnp.pad(theta, (0, self.n_features - d)))

    def draw(self, key: Key[Array, ""], params: RegressionParams, n: Any, lam=1.0) -> Any:
        """Normal equations of n examples, without the examples."""
        if not self.exact:
            return Samples.of(self.sample(key, params, n, lam))
        n = jnp.asarray(n, params.theta.dtype)
        normals = jax.random.normal(key, (self.n_features,))
        noise = jnp.sqrt(lam * n) * self.noise * normals
        return NormalEquations(n * jnp.eye(self.n_features), n * params.theta + noise)

    def sample(self, key: Key[Array, ""], params: RegressionParams, n: int, lam=1.0) -> Array:
        x = jnp.arange(n, dtype=params.theta.dtype) / n
        noise = jnp.sqrt(lam) * self.noise * jax.random.normal(key, (n,))
        return jnp.stack([x, self.predict(params, x) + noise], axis=1)

    def _features(self, x: Float[Array, " n"]) -> Float[Array, "n D"]:
        frequency = jnp.arange(1, self.n_features // 2 + 1, dtype=x.dtype)
        angle = 2 * jnp.pi * x[:, None] * frequency[None, :]
        pairs = jnp.sqrt(2.0) * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=2)
        ones = jnp.ones_like(x)[:, None]
        return jnp.concatenate([ones, pairs.reshape(len(x), self.n_features - 1)], axis=1)
