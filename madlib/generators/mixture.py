r"""Mixture of Gaussians, fitted by expectation maximization (Dempster, Laird & Rubin 1977).

    p(x) = sum_k pi_k N(x; mu_k, Sigma_k)

    E:  r_ik  =  pi_k N(x_i; mu_k, Sigma_k) / p(x_i)
    M:  pi_k, mu_k, Sigma_k  =  weight, mean and covariance of the points, each counted r_ik times.

EM starts from scratch at every generation: from centers chosen by greedy k-means++ (Arthur &
Vassilvitskii 2007) and moved by swaps (after Lattanzi & Sohler 2019), because draws alone miss a
mode of few points now and then, and EM never finds it again.

Sampling with bias $\lambda$ draws from $\sum_k \pi_k N(\mu_k, \lambda \Sigma_k)$: the modes keep
their weights and become narrower.

The M step preserves the first two moments, whatever E did: mean and covariance of the mixture are
those of the training set (divided by n). So the mean and the total variance of a self-consuming
mixture obey the recursion of a single Gaussian with ddof = 0, and cannot see the modes.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from madlib.datasets import MAX_UNROLLED_DIM, Samples, triangular_root
from madlib.generators.training import PointGenerator, rows_at
from madlib.metrics import mixture_variance
from madlib.parameters import check_counts, is_number, require


class MixtureParams(NamedTuple):
    r"""A mixture of k normal distributions.

    Attributes:
        weight: [k], $\pi_k$, summing to 1; 0 for a component that no point belongs to.
        mean: [k, d], $\mu_k$.
        chol: [k, d, d], lower triangular with $\Sigma_k$ = chol chol^T; singular or zero once
            collapsed.
    """

    weight: Float[Array, " k"]
    mean: Float[Array, "k d"]
    chol: Float[Array, "k d d"]

    @property
    def cov(self) -> Float[Array, "*batch k d d"]:
        r"""[..., k, d, d], the covariances $\Sigma_k$."""
        return self.chol @ self.chol.swapaxes(-1, -2)


@dataclasses.dataclass(frozen=True)
class GaussianMixture(PointGenerator):
    """Mixture of Gaussians with full covariances.

    A component that loses all its points keeps its place with weight 0; if there are fewer distinct
    points than components, so many are left over. Components may collapse onto a point or a line:
    what is stored is their exact covariance, singular or zero. Only where a density is evaluated
    does each get `floor` added to its standard deviations, so that no likelihood is infinite.

    Attributes:
        dim: d.
        n_components: k.
        n_candidates: points tried for each center of the start, the best of which is taken.
        n_swaps: times that a center may be moved to where it is needed more, before EM.
        max_iterations: of EM.
        tolerance: EM stops once the mean log-likelihood gains less than this, in nats.
        floor: in units of the root mean square spread of the whole mixture per coordinate; added in
            quadrature.
    """

    dim: int
    n_components: int
    n_candidates: int = 4
    n_swaps: int = 8
    max_iterations: int = 100
    tolerance: float = 1e-3
    floor: float = 1e-4

    def __post_init__(self):
        check_counts(dim=self.dim, n_components=self.n_components, n_candidates=self.n_candidates)
        check_counts(max_iterations=self.max_iterations)
        for name in ("tolerance", "floor"):
            value = getattr(self, name)
            inside = is_number(value) and 0 < value < 1
            require(inside, f"{name} must lie in (0, 1)", repr(value), "Use the default.")
        whole = is_number(self.n_swaps) and self.n_swaps >= 0 and self.n_swaps % 1 == 0
        require(whole, "n_swaps must be a whole number >= 0", repr(self.n_swaps), "Use 8.")

    @property
    def minimum_weight(self) -> int:
        return self.n_components

    def fit(self, key: Key[Array, ""], dataset: Samples) -> MixtureParams:
        """Centers, then EM until the likelihood no longer gains."""
        points = dataset.points.T
        share = dataset.weight / dataset.weight.sum()
        centers = _greedy_kmeans_plus_plus(key, points, share, self.n_components, self.n_candidates)
        centers = _swap(points, share, centers, self.n_swaps)
        start = _maximize(points, _nearest(points, share, centers)[0], centers)
        floor = self._floor(start)  # no iteration changes the spread of the mixture.

        def iterate(state):
            i, params, score, _ = state
            joint = _log_joint(params, points, floor)
            log_density = jax.nn.logsumexp(joint, axis=0)
            responsibility = jnp.exp(joint - log_density[None, :]) * share[None, :]
            params = _maximize(points, responsibility, params.mean)
            return i + 1, params, jnp.sum(share * log_density), score

        def goes_on(state):
            i, _, score, earlier = state
            return (i < self.max_iterations) & ((i < 2) | (score > earlier + self.tolerance))

        nothing = jnp.zeros(())
        return jax.lax.while_loop(goes_on, iterate, (0, start, nothing, nothing))[1]

    def sample(self, key: Key[Array, ""], params: MixtureParams, n: int, lam=1.0) -> Array:
        component, normals = rows_and_normals(key, params.weight, n, self.dim)
        shift = jnp.einsum("nij,nj->ni", params.chol[component], normals)
        return params.mean[component] + jnp.sqrt(lam) * shift

    def log_prob(self, params: MixtureParams, points: Float[Array, "n d"]) -> Float[Array, " n"]:
        """Log-density in nats, [n], of the mixture widened by `floor`."""
        joint = _log_joint(params, points.T, self._floor(params))
        return jax.nn.logsumexp(joint, axis=0)

    def _floor(self, params: MixtureParams) -> Float[Array, ""]:
        spread = jnp.sqrt(mixture_variance(params) / self.dim)
        return jnp.where(spread > 0, self.floor * spread, 1.0)


def rows_and_normals(
    key: Key[Array, ""], weight: Float[Array, " m"], n: int, d: int
) -> tuple[Array, Array]:
    """n row numbers drawn by weight [m], and as many standard normal points [n, d]."""
    # One call for both: programs compile faster than with a call for each.
    normals = jax.random.normal(key, (d + 1, n))
    return rows_at(jax.scipy.special.ndtr(normals[0]), weight), normals[1:].T


def log_normals(
    mean: Float[Array, "k d"], chol: Float[Array, "k d d"], points: Float[Array, "d n"]
) -> Float[Array, "k n"]:
    """Log-densities in nats of points [d, n] under k normal laws of full rank."""
    d = mean.shape[1]
    gap = points[None] - mean[:, :, None]
    inverse = jax.vmap(_inverse_root)(chol)
    if d <= MAX_UNROLLED_DIM:
        rows = (sum(inverse[:, i, j, None] * gap[:, j] for j in range(i + 1)) for i in range(d))
        squares = sum(row**2 for row in rows)
    else:
        squares = jnp.sum((inverse @ gap) ** 2, axis=1)
    log_scale = jnp.sum(jnp.log(jnp.diagonal(chol, axis1=1, axis2=2)), axis=1)
    return -(squares / 2 + log_scale[:, None] + d / 2 * jnp.log(2 * jnp.pi))


def widened(chol: Float[Array, "d d"], floor: Float[Array, ""]) -> Float[Array, "d d"]:
    """Root of chol chol^T + floor^2 I."""
    return triangular_root(jnp.concatenate([chol, floor * jnp.eye(len(chol))], axis=1))


def _log_joint(
    params: MixtureParams, points: Float[Array, "d n"], floor: Float[Array, ""]
) -> Float[Array, "k n"]:
    r"""$\log \pi_k N(x_i; \mu_k, \Sigma_k)$."""
    chol = jax.vmap(widened, in_axes=(0, None))(params.chol, floor)
    return jnp.log(params.weight)[:, None] + log_normals(params.mean, chol, points)


def _maximize(
    points: Float[Array, "d n"], responsibility: Float[Array, "k n"], place: Float[Array, "k d"]
) -> MixtureParams:
    """The M step; a component without points stays at its place."""
    weight = responsibility.sum(axis=1)
    some = jnp.where(weight > 0, weight, 1.0)
    mean = responsibility @ points.T / some[:, None]
    mean = jnp.where(weight[:, None] > 0, mean, place)
    # Differences from the mean, not moments about zero: a collapsing mode keeps its digits.
    gap = points[None] - mean[:, :, None]
    root = jax.vmap(triangular_root)(jnp.sqrt(responsibility / some[:, None])[:, None, :] * gap)
    return MixtureParams(weight, mean, root)


def _greedy_kmeans_plus_plus(
    key: Key[Array, ""], points: Float[Array, "d n"], share: Array, k: int, n_candidates: int
) -> Float[Array, "k d"]:
    """k of the points, far apart: each the best of candidates drawn by their squared distance."""
    uniform = jax.random.uniform(key, (k, n_candidates))
    first = points[:, rows_at(uniform[0, :1], share)[0]]
    closest = jnp.sum((points - first[:, None]) ** 2, axis=0)

    def add(closest, uniform):
        rows = rows_at(uniform, share * closest)
        distance = jnp.sum((points[None] - points[:, rows].T[:, :, None]) ** 2, axis=1)
        distance = jnp.minimum(closest[None, :], distance)
        best = jnp.argmin(distance @ share)
        return distance[best], points[:, rows[best]]

    _, others = jax.lax.scan(add, closest, uniform[1:])
    return jnp.concatenate([first[None], others])


def _swap(points: Float[Array, "d n"], share: Array, centers: Array, n_swaps: int) -> Array:
    """Lloyd steps, each followed by a move of the center that is missed least, if it pays.

    It moves to the point that is farthest from any center, if that lowers the sum of squared
    distances by more than its absence raises it.
    """

    def swap(state):
        i, centers, _ = state
        belongs, _, _ = _nearest(points, share, centers)
        total = belongs.sum(axis=1)[:, None]
        moved = belongs @ points.T / jnp.where(total > 0, total, 1.0)
        centers = jnp.where(total > 0, moved, centers)
        belongs, closest, second = _nearest(points, share, centers)
        missed = belongs @ (second - closest)
        farthest = points[:, jnp.argmax(jnp.where(share > 0, closest, -1.0))]
        distance = jnp.sum((points - farthest[:, None]) ** 2, axis=0)
        gain = share @ jnp.maximum(closest - distance, 0.0)
        pays = gain > missed.min()
        swapped = centers.at[jnp.argmin(missed)].set(farthest)
        return i + 1, jnp.where(pays, swapped, centers), pays

    def goes_on(state):
        i, _, swapped = state
        return swapped & (i < n_swaps)

    return jax.lax.while_loop(goes_on, swap, (0, centers, jnp.array(True)))[1]


def _nearest(
    points: Float[Array, "d n"], share: Float[Array, " n"], centers: Float[Array, "k d"]
) -> tuple[Array, Array, Array]:
    """Each point's share at the nearest center [k, n]; squared distances to it, to the next [n]."""
    distance = jnp.sum((points[None] - centers[:, :, None]) ** 2, axis=1)
    nearest = jnp.argmin(distance, axis=0)[None, :] == jnp.arange(len(centers))[:, None]
    second = jnp.min(jnp.where(nearest, jnp.inf, distance), axis=0)
    return jnp.where(nearest, share[None, :], 0.0), distance.min(axis=0), second


def _inverse_root(chol: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """Inverse of a lower triangular matrix."""
    d = len(chol)
    if d > MAX_UNROLLED_DIM:
        return _triangular_inverse(chol)
    if d == 1:
        return 1 / chol
    (a, zero), (b, c) = chol
    return jnp.array([[1 / a, zero], [-b / (a * c), 1 / c]])


@jax.custom_batching.sequential_vmap
def _triangular_inverse(chol: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """The same by LAPACK, one at a time under vmap, as `madlib.datasets` explains."""
    return jax.lax.linalg.triangular_solve(chol, jnp.eye(len(chol)), left_side=True, lower=True)
