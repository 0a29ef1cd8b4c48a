r"""The multivariate Gaussian, exactly.

$G^t = N(\mu_t, \Sigma_t)$. Sampling with bias $\lambda$ draws from $N(\mu_t, \lambda \Sigma_t)$
(Alemohammad et al. 2023, Sec. 2). n draws enter the next fit only through

    mean     ~ N(mu, lam Sigma / n),
    scatter  ~ Wishart(lam Sigma, n - 1),

independent of each other, so `draw` returns those two and never the points. The Wishart matrix
comes from Bartlett's decomposition (Bartlett 1933): scatter = (L B)(L B)^T with L L^T = lam Sigma
and B lower triangular, chi variables of n - 1, n - 2, ... degrees of freedom on the diagonal and
normals below. L B is the triangular root that `Moments` keeps, so a fully synthetic loop multiplies
triangular matrices and factorizes nothing: it can collapse for ten thousand generations and stay
exact.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from madlib.datasets import Moments, Samples
from madlib.errors import Binary, Count, Flag, check_fields
from madlib.linalg import log_normals
from madlib.protocols import Generator
from madlib.random import chi_square


class NormalParams(NamedTuple):
    r"""A normal distribution.

    Attributes:
        mean: [d], $\mu_t$.
        chol: [d, d], lower triangular with $\Sigma_t$ = chol chol^T; singular or zero once
            collapsed.
    """

    mean: Float[Array, "*batch d"]
    chol: Float[Array, "*batch d d"]

    @property
    def cov(self) -> Float[Array, "*batch d d"]:
        r"""[..., d, d], the covariance $\Sigma_t$."""
        return self.chol @ self.chol.swapaxes(-1, -2)


@dataclasses.dataclass(frozen=True)
class Gaussian(Generator):
    r"""Gaussian fitted by its moments.

    Attributes:
        dim: d.
        ddof: 1 divides the scatter by n - 1 (unbiased, the MAD paper's), 0 by n (maximum
            likelihood); with weights, by $\sum w - \text{ddof} \sum w^2 / \sum w$.
        exact: True draws moments from their exact distribution at a cost independent of n; False
            draws the points and summarizes them, the slow path that the tests compare with.
    """

    dim: Count
    ddof: Binary = 1
    exact: Flag = True

    def __post_init__(self):
        check_fields(self)

    @property
    def minimum_weight(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.ddof + 1

    def summarize(self, dataset: Samples | Moments) -> Moments:
        return Moments.of(dataset) if isinstance(dataset, Samples) else dataset

    def fit(self, key: Key[Array, ""], dataset: Moments) -> NormalParams:
        """Mean and covariance = scatter / divisor; deterministic, the key is not used."""
        del key
        divisor = dataset.weight - self.ddof * (dataset.weight_squared / dataset.weight)
        return NormalParams(dataset.mean, dataset.root / jnp.sqrt(divisor))

    def draw(self, key: Key[Array, ""], params: NormalParams, n, lam=1.0) -> Moments | Samples:
        """Moments of n draws, without the draws: O(d^2) random numbers for any n."""
        if not self.exact:
            return Samples.of(self.sample(key, params, n, lam))
        k_normal, k_rejection = jax.random.split(key)
        d = self.dim
        n = jnp.asarray(n, params.mean.dtype)
        scaled = jnp.sqrt(lam) * params.chol
        normals = jax.random.normal(k_normal, (d * (d + 3) // 2,))
        of_mean, of_chi, of_below = jnp.split(normals, [d, 2 * d])
        mean = params.mean + scaled @ of_mean / jnp.sqrt(jnp.maximum(n, 1.0))

        below = jnp.zeros((d, d)).at[jnp.tril_indices(d, -1)].set(of_below)
        dof = n - 1 - jnp.arange(d, dtype=n.dtype)
        alive = dof > 0  # n draws give rank n - 1 at most: with n <= d the other columns vanish.
        chi = jnp.sqrt(chi_square(k_rejection, of_chi, jnp.where(alive, dof, 1.0)))
        bartlett = jnp.where(alive, below + jnp.diag(chi), 0.0)
        return Moments(n, n, mean, scaled @ bartlett)

    def sample(self, key: Key[Array, ""], params: NormalParams, n: int, lam=1.0) -> Array:
        normals = jax.random.normal(key, (n, self.dim))
        return params.mean[None, :] + jnp.sqrt(lam) * normals @ params.chol.T

    def log_prob(self, params: NormalParams, points: Array) -> Array:
        """Log-density in nats, [n]; -inf once a dimension is lost."""
        density = log_normals(params.mean[None], params.chol[None], points.T)[0]
        return jnp.where(jnp.diagonal(params.chol).all(), density, -jnp.inf)
