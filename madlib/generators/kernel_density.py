r"""Kernel density estimate: a normal distribution about each training point (Parzen 1962).

    p(x) = sum_i w_i N(x; x_i, H),     H = h^2 I,     or Scott's rule  H = n^(-2/(d+4)) cov(x)

The parameters are the training set itself. A sample is one of its points, chosen by weight, plus a
draw of $N(0, \lambda H)$: with $\lambda = 0$ sampling is the bootstrap.
"""

import dataclasses
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from madlib.datasets import Samples
from madlib.errors import Count, OpenShare, Rule, require
from madlib.generators.points import PointGenerator
from madlib.linalg import log_normals, triangular_root, widened
from madlib.random import rows_and_normals


class KernelDensityParams(NamedTuple):
    """The training set of a kernel density estimate, and its kernel.

    Attributes:
        points: [n_points, d], the training points $x_i$, and unused rows.
        weight: [n_points], $w_i$, summing to 1; 0 in unused rows.
        chol: [d, d], lower triangular root of the covariance H of the kernel; zero for Scott's rule
            once the points coincide.
    """

    points: Float[Array, "n_points d"]
    weight: Float[Array, " n_points"]
    chol: Float[Array, "d d"]


def kernel_width(name: str, value: Any) -> float | str:
    """A number > 0, or "scott"."""
    if isinstance(value, str) and value == "scott":
        return value
    return Rule(0, open=True)(f"{name}, where it is not 'scott',", value)


@dataclasses.dataclass(frozen=True)
class KernelDensity(PointGenerator):
    """Kernel density estimate with a normal kernel.

    Attributes:
        dim: d.
        n_points: size of the largest training set: n_s or n_ini, whichever is larger, in the fully
            synthetic loop, n_ini + n_s (n_generations - 1) where data accumulate.
        bandwidth: h, or "scott" for Scott's rule, which for weighted points takes
            n = (sum w)^2 / sum w^2 and the covariance unbiased at this n (as SciPy does).
        floor: for Scott's rule, added to the standard deviations of the kernel where a density is
            evaluated, in units of the root mean square spread of the points per coordinate.

    Example:
        >>> data = Samples.of(jnp.array([[0.0], [4.0]]))
        >>> params = KernelDensity(dim=1, n_points=2, bandwidth=0.5).fit(None, data)
        >>> params.weight.tolist(), params.chol.tolist()
        ([0.5, 0.5], [[0.5]])
    """

    dim: Count
    n_points: Count
    bandwidth: Annotated[Any, kernel_width] = "scott"
    floor: OpenShare = 1e-4

    def fit(self, key: Key[Array, ""] | None, dataset: Samples) -> KernelDensityParams:
        """Stores the points and computes the kernel; deterministic, the key is not used."""
        del key
        points, weight, _ = dataset
        rest = self.n_points - len(weight)
        received, remedy = f"{self.n_points} for {len(weight)}", f"Use n_points={len(weight)}."
        require(rest >= 0, "n_points must hold the largest training set", received, remedy)
        share = weight / weight.sum()
        if isinstance(self.bandwidth, str):
            n = 1 / jnp.sum(share**2)
            centered = jnp.sqrt(share)[:, None] * (points - (share @ points)[None, :])
            factor = n ** (-1 / (self.dim + 4)) * jnp.sqrt(n / jnp.maximum(n - 1, 1.0))
            chol = factor * triangular_root(centered.T)
        else:
            chol = self.bandwidth * jnp.eye(self.dim)
        points = jnp.pad(points, ((0, rest), (0, 0)))
        return KernelDensityParams(points, jnp.pad(share, (0, rest)), chol)

    def sample(self, key: Key[Array, ""], params: KernelDensityParams, n: int, lam=1.0) -> Array:
        row, normals = rows_and_normals(key, params.weight, n, self.dim)
        return params.points[row] + jnp.sqrt(lam) * normals @ params.chol.T

    def log_prob(
        self, params: KernelDensityParams, points: Float[Array, "n d"]
    ) -> Float[Array, " n"]:
        """Log-density in nats, [n], in bounded memory; a kernel by Scott's rule gets `floor`."""
        chol = params.chol
        if self.bandwidth == "scott":
            gap = params.points - (params.weight @ params.points)[None, :]
            spread = jnp.sqrt(params.weight @ jnp.sum(gap**2, axis=1) / self.dim)
            chol = widened(chol, jnp.where(spread > 0, self.floor * spread, 1.0))

        def at(point: Float[Array, " d"]) -> Float[Array, ""]:
            # The kernel is even: the distribution about `point`, evaluated at the training points.
            kernel = log_normals(point[None], chol[None], params.points.T)[0]
            return jax.nn.logsumexp(kernel, b=params.weight)

        batch_size = max(1, min(len(points), 2**20 // self.n_points))
        return jax.lax.map(at, points, batch_size=batch_size)
