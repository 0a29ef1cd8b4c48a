r"""Linear regression by least squares, exactly.

Examples are $(x, y)$ with $x \sim N(0, I_d)$ and $y = x^T \theta_t + \sigma \varepsilon$; the noise
$\sigma$ is known, and $\theta_t = (X^T X)^{-1} X^T y$. n examples enter the next fit only through

    X^T X ~ Wishart(I, n),        X^T y = X^T X theta + sigma (X^T X)^(1/2) N(0, I),

so `draw` returns those and never the examples. The excess risk of $\theta_t$ on new examples is
$|\theta_t - \theta_0|^2$: one fit to n real examples costs $\sigma^2 d / (n - d - 1)$.

Sampling with bias $\lambda$ multiplies the variance of the noise by $\lambda$.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from madlib.datasets import Samples
from madlib.errors import Count, Flag, NonNegative
from madlib.generators.points import PointGenerator
from madlib.linalg import solve_positive
from madlib.random import wishart_root
from madlib.statistics import NormalEquations


class RegressionParams(NamedTuple):
    r"""Coefficients [d], $\theta_t$."""

    theta: Float[Array, "*batch d"]


@dataclasses.dataclass(frozen=True)
class LinearRegression(PointGenerator):
    r"""Linear regression on d standard normal features with noise of known size.

    Attributes:
        n_features: d.
        noise: $\sigma$, standard deviation of the response about the line.
        exact: whether normal equations are drawn, at a cost independent of n; else examples.

    Example:
        >>> x_and_y = Samples.of(jnp.array([[1.0, 2.0], [2.0, 4.0]]))
        >>> LinearRegression(n_features=1).fit(None, x_and_y).theta.tolist()
        [2.0]
    """

    n_features: Count
    noise: NonNegative = 1.0
    exact: Flag = True

    @property
    def dim(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.n_features + 1

    @property
    def minimum_weight(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.n_features

    def summarize(self, dataset: Samples | NormalEquations) -> NormalEquations:
        return NormalEquations.of(dataset) if isinstance(dataset, Samples) else dataset

    def fit(self, key: Key[Array, ""] | None, dataset: Any) -> RegressionParams:
        """Least squares; deterministic, the key is not used."""
        del key
        return RegressionParams(solve_positive(*self.summarize(dataset)))

    def draw(self, key: Key[Array, ""], params: RegressionParams, n: Any, lam=1.0) -> Any:
        """Normal equations of n examples, without the examples."""
        if not self.exact:
            return super().draw(key, params, n, lam)
        d = self.n_features
        k_normal, k_chi = jax.random.split(key)
        normals = jax.random.normal(k_normal, (d * (d + 3) // 2,))
        root = wishart_root(k_chi, normals[d:], jnp.asarray(n, params.theta.dtype))
        noise = jnp.sqrt(lam) * self.noise * normals[:d]
        return NormalEquations(root @ root.T, root @ (root.T @ params.theta + noise))

    def sample(self, key: Key[Array, ""], params: RegressionParams, n: int, lam=1.0) -> Array:
        normals = jax.random.normal(key, (n, self.n_features + 1))
        x, noise = normals[:, :-1], jnp.sqrt(lam) * self.noise * normals[:, -1:]
        return jnp.concatenate([x, x @ params.theta[:, None] + noise], axis=1)
