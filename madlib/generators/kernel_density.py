r"""Kernel density estimate: a normal law about each training point (Parzen 1962).

    p(x) = sum_i w_i N(x; x_i, H),     H = h^2 I,     or Scott's rule  H = n^(-2/(d+4)) cov(x)

Fitting is remembering. Sampling picks one of the points by weight and adds a draw of N(0, lam H),
so that $\lambda$ multiplies the covariance of what is drawn about a point: at $\lambda = 0$ the
model repeats its training set, which is the bootstrap.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from madlib.datasets import Samples
from madlib.errors import Count, OpenShare, is_number, require
from madlib.generators.points import PointGenerator
from madlib.linalg import log_normals, triangular_root, widened
from madlib.random import rows_and_normals


class KernelDensityParams(NamedTuple):
    """What a kernel density estimate remembers.

    Attributes:
        points: [n_points, d], the training points $x_i$; rows beyond them are zero.
        weight: [n_points], $w_i$, summing to 1; 0 for the rows beyond.
        chol: [d, d], lower triangular root of the covariance H of the kernel; zero for Scott's rule
            once the points coincide.
    """

    points: Float[Array, "n_points d"]
    weight: Float[Array, " n_points"]
    chol: Float[Array, "d d"]


@dataclasses.dataclass(frozen=True)
class KernelDensity(PointGenerator):
    """Kernel density estimate with a normal kernel.

    Attributes:
        dim: d.
        n_points: room for the points of the largest training set: n_s in the fully synthetic loop
            (or n_ini, if that is more), n_ini + n_s (n_generations - 1) where data accumulate.
        bandwidth: h, or "scott" for Scott's rule, which for weighted points takes
            n = (sum w)^2 / sum w^2 and the covariance unbiased at this n (as SciPy does).
        floor: for Scott's rule, added to the standard deviations of the kernel where a density is
            evaluated, in units of the root mean square spread of the points per coordinate.
    """

    dim: Count
    n_points: Count
    bandwidth: float | str = "scott"
    floor: OpenShare = 1e-4

    def __post_init__(self):
        super().__post_init__()
        h = self.bandwidth
        require(
            h == "scott" if isinstance(h, str) else is_number(h) and h > 0,
            "bandwidth must be a finite number > 0, or 'scott'",
            repr(h),
            "Give the standard deviation of the kernel.",
        )

    def fit(self, key: Key[Array, ""], dataset: Samples) -> KernelDensityParams:
        """Remembers the points; deterministic, the key is not used."""
        del key
        points, weight, _ = dataset
        rest = self.n_points - len(weight)
        require(
            rest >= 0,
            "n_points must hold the largest training set",
            f"n_points={self.n_points} for {len(weight)} points",
            f"Use n_points={len(weight)}.",
        )
        share = weight / weight.sum()
        if self.bandwidth == "scott":
            n = 1 / jnp.sum(share**2)
            centered = jnp.sqrt(share)[:, None] * (points - (share @ points)[None, :])
            factor = n ** (-1 / (self.dim + 4)) * jnp.sqrt(n / jnp.maximum(n - 1, 1.0))
            chol = factor * triangular_root(centered.T)
        else:
            chol = self.bandwidth * jnp.eye(self.dim)
        return KernelDensityParams(
            jnp.pad(points, ((0, rest), (0, 0))), jnp.pad(share, (0, rest)), chol
        )

    def sample(self, key: Key[Array, ""], params: KernelDensityParams, n: int, lam=1.0) -> Array:
        row, normals = rows_and_normals(key, params.weight, n, self.dim)
        return params.points[row] + jnp.sqrt(lam) * normals @ params.chol.T

    def log_prob(
        self, params: KernelDensityParams, points: Float[Array, "n d"]
    ) -> Float[Array, " n"]:
        """Log-density in nats, [n], in bounded memory; the kernel of Scott's rule widened."""
        chol = params.chol
        if self.bandwidth == "scott":
            gap = params.points - (params.weight @ params.points)[None, :]
            spread = jnp.sqrt(params.weight @ jnp.sum(gap**2, axis=1) / self.dim)
            chol = widened(chol, jnp.where(spread > 0, self.floor * spread, 1.0))

        def at(point):
            # The kernel is even: the law about `point`, evaluated at the points remembered.
            kernel = log_normals(point[None], chol[None], params.points.T)[0]
            return jax.nn.logsumexp(kernel, b=params.weight)

        batch_size = max(1, min(len(points), 2**20 // self.n_points))
        return jax.lax.map(at, points, batch_size=batch_size)
