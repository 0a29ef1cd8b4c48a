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
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from madlib.datasets import Dataset, Moments, Samples
from madlib.parameters import check_counts, require


class NormalParams(NamedTuple):
    r"""A normal distribution.

    Attributes:
        mean: [d], $\mu_t$.
        chol: [d, d], lower triangular with $\Sigma_t$ = chol chol^T; singular or zero once
            collapsed.
    """

    mean: Float[Array, " d"]
    chol: Float[Array, "d d"]

    @property
    def cov(self) -> Float[Array, "*batch d d"]:
        r"""[..., d, d], the covariance $\Sigma_t$."""
        return self.chol @ self.chol.swapaxes(-1, -2)


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Gaussian fitted by its moments.

    Attributes:
        dim: d.
        ddof: 1 divides the scatter by n - 1 (unbiased, the MAD paper's), 0 by n (maximum
            likelihood).
        exact: True draws moments from their exact law at a cost independent of n; False draws the
            points and summarizes them, the slow path that the tests compare with.
    """

    dim: int
    ddof: int = 1
    exact: bool = True
    learns_from = (Samples, Moments)

    def __post_init__(self):
        check_counts(dim=self.dim)
        require(self.ddof in (0, 1), "ddof must be 0 or 1", repr(self.ddof), "1 is unbiased.")
        require(self.exact in (True, False), "exact must be a bool", repr(self.exact), "Use True.")

    @property
    def minimum_weight(self) -> int:
        return self.ddof + 1

    def summarize(self, dataset: Dataset) -> Moments:
        return Moments.of(dataset) if isinstance(dataset, Samples) else dataset

    def fit(self, key: Key[Array, ""], dataset: Moments) -> NormalParams:
        """Mean and covariance = scatter / (n - ddof); deterministic, the key is not used."""
        del key
        return NormalParams(dataset.mean, dataset.root / jnp.sqrt(dataset.weight - self.ddof))

    def draw(self, key: Key[Array, ""], params: NormalParams, n, lam=1.0) -> Dataset:
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
        return Moments(n, mean, scaled @ bartlett)

    def sample(self, key: Key[Array, ""], params: NormalParams, n: int, lam=1.0) -> Array:
        normals = jax.random.normal(key, (n, self.dim))
        return params.mean[None, :] + jnp.sqrt(lam) * normals @ params.chol.T


def chi_square(
    key: Key[Array, ""], normal: Float[Array, " d"], dof: Float[Array, " d"]
) -> Float[Array, " d"]:
    """Chi-square variables [d] of whole-numbered degrees of freedom dof [d], each at least 1.

    `jax.random.chisquare` takes most of the time of an exact loop and its acceptance test cancels
    in single precision when dof is large. From 30 degrees of freedom on, the chi-square quantile of
    a standard normal is used, whose distribution function is right to 6e-8, the resolution of a
    single-precision uniform; for 1, its square; between, rejection, with random numbers from key.
    """
    large = dof >= 30
    quantile = chi_square_quantile(normal, jnp.where(large, dof, 30.0))
    value = jnp.where(large, quantile, normal**2)
    return _chi_square_by_rejection(key, dof, value, large | (dof == 1))


def chi_square_quantile(z: Array, dof: Array) -> Array:
    r"""Quantile of the chi-square law at the normal quantile z, for dof >= 30.

    $\chi^2 = k (1 + w / \sqrt k)^3$ (Wilson & Hilferty 1931), with w carried to the sixth power of
    $1 / \sqrt k$ by matching the two densities term by term. The error of the distribution function
    is 6e-8 at k = 30 and falls as $k^{-7/2}$.
    """
    s = 1 / jnp.sqrt(dof)
    z2 = z**2
    root2 = math.sqrt(2)
    terms = (
        root2 / 3 * z,
        -2 / 9,
        -root2 / 162 * z * (z2 - 3),
        4 / 1215 * ((z2 + 4) * z2 - 7),
        -root2 / 5832 * z * ((3 * z2 + 40) * z2 + 45),
        8 / 229635 * (((z2 + 90) * z2 + 402) * z2 + 363),
        root2 / 7873200 * z * (((301 * z2 - 1519) * z2 - 32769) * z2 - 79349),
    )
    w = functools.reduce(lambda total, term: term + s * total, reversed(terms))
    excess = s * w  # of the order of 1e-6 at k = 10^12: added to 1, it would lose its digits.
    return dof + dof * excess * (3 + excess * (3 + excess))


def _chi_square_by_rejection(
    key: Key[Array, ""], dof: Array, value: Array, accepted: Array
) -> Array:
    """Marsaglia & Tsang 2000: a cube (1 + y)^3 of a normal y, nearly always accepted."""
    scale = jnp.maximum(dof / 2, 1.0) - 1 / 3
    spread = 1 / jnp.sqrt(9 * scale)

    def propose(state):
        key, value, accepted = state
        key, k_normal, k_uniform = jax.random.split(key, 3)
        y = jnp.maximum(spread * jax.random.normal(k_normal, dof.shape), -1 + 1e-6)
        bound = scale * (3 * (jnp.log1p(y) - y + y**2 / 2) - y**3)
        good = jnp.log(jax.random.uniform(k_uniform, dof.shape)) < bound
        return key, jnp.where(accepted, value, 2 * scale * (1 + y) ** 3), accepted | good

    start = key, value, accepted
    return jax.lax.while_loop(lambda state: ~state[2].all(), propose, start)[1]
