r"""The multivariate Gaussian, exactly.

$G^t = N(\mu_t, \Sigma_t)$. Sampling with bias $\lambda$ draws from $N(\mu_t, \lambda \Sigma_t)$
(Alemohammad et al. 2023, Sec. 2). n draws enter the next fit only through

    mean     ~ N(mu, lam Sigma / n),
    scatter  ~ Wishart(lam Sigma, n - 1),

independent of each other, so `draw` returns those two and never the points: the root of the scatter
as L B, with L L^T = lam Sigma and B of Bartlett's decomposition. A fully synthetic loop multiplies
triangular matrices, factorizes nothing, and stays exact for ten thousand generations of collapse.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from madlib.datasets import Moments, Samples
from madlib.errors import Binary, Count, Flag
from madlib.generators.points import PointGenerator
from madlib.linalg import log_normals
from madlib.random import wishart_root


class NormalParams(NamedTuple):
    r"""A normal distribution.

    Attributes:
        mean: [d], $\mu_t$.
        chol: [d, d], lower triangular, $\Sigma_t$ = chol chol^T; singular or zero once collapsed.
    """

    mean: Float[Array, "*batch d"]
    chol: Float[Array, "*batch d d"]

    @property
    def cov(self) -> Float[Array, "*batch d d"]:
        r"""[..., d, d], the covariance $\Sigma_t$."""
        return self.chol @ self.chol.swapaxes(-1, -2)


@dataclasses.dataclass(frozen=True)
class Gaussian(PointGenerator):
    r"""Gaussian fitted by its moments.

    Attributes:
        dim: d.
        ddof: 1 divides the scatter by n - 1 (unbiased, the MAD paper's), 0 by n (maximum
            likelihood); with weights, by $\sum w - \text{ddof} \sum w^2 / \sum w$.
        exact: whether moments are drawn, at a cost independent of n; else points, slowly.
    """

    dim: Count
    ddof: Binary = 1
    exact: Flag = True

    @property
    def minimum_weight(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.ddof + 1

    def summarize(self, dataset: Samples | Moments) -> Moments:
        return Moments.of(dataset) if isinstance(dataset, Samples) else dataset

    def fit(self, key: Key[Array, ""] | None, dataset: Samples | Moments) -> NormalParams:
        """Mean and covariance = scatter / divisor; deterministic, the key is not used."""
        del key
        weight, weight_squared, mean, root = self.summarize(dataset)
        divisor = weight - self.ddof * (weight_squared / weight)
        return NormalParams(mean, root / jnp.sqrt(divisor))

    def draw(self, key: Key[Array, ""], params: NormalParams, n: Any, lam=1.0) -> Any:
        """Moments of n draws, without the draws: O(d^2) random numbers for any n."""
        if not self.exact:
            return super().draw(key, params, n, lam)
        d, n = self.dim, jnp.asarray(n, params.mean.dtype)
        k_normal, k_chi = jax.random.split(key)
        normals = jax.random.normal(k_normal, (d * (d + 3) // 2,), n.dtype)
        scaled = jnp.sqrt(lam) * params.chol
        mean = params.mean + scaled @ normals[:d] / jnp.sqrt(jnp.maximum(n, 1.0))
        return Moments(n, n, mean, scaled @ wishart_root(k_chi, normals[d:], n - 1))

    def sample(self, key: Key[Array, ""], params: NormalParams, n: int, lam=1.0) -> Array:
        normals = jax.random.normal(key, (n, self.dim), params.mean.dtype)
        return params.mean[None, :] + jnp.sqrt(lam) * normals @ params.chol.T

    def log_prob(self, params: NormalParams, points: Float[Array, "n d"]) -> Float[Array, " n"]:
        """Log-density in nats, [n]; -inf once the covariance is singular."""
        density = log_normals(params.mean[None], params.chol[None], points.T)[0]
        return jnp.where(jnp.diagonal(params.chol).all(), density, -jnp.inf)
