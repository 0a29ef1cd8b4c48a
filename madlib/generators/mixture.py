r"""Mixture of Gaussians, fitted by expectation maximization (Dempster, Laird & Rubin 1977).

    p(x) = sum_k pi_k N(x; mu_k, Sigma_k)

    E:  r_ik  =  pi_k N(x_i; mu_k, Sigma_k) / p(x_i)
    M:  pi_k, mu_k, Sigma_k  =  weight, mean and covariance of the points, each counted r_ik times.

EM starts from scratch at every generation: from centers chosen by greedy k-means++ (Arthur &
Vassilvitskii 2007) and improved by swaps (after Lattanzi & Sohler 2019): random draws alone miss a
mode of few points now and then, which EM does not recover.

Sampling with bias $\lambda$ draws from $\sum_k \pi_k N(\mu_k, \lambda \Sigma_k)$: the modes keep
their weights and become narrower.

The M step preserves the first two moments, whatever E did: mean and covariance of the mixture are
those of the training set (divided by n). Thus the mean and the total variance of a self-consuming
mixture obey the recursion of a single Gaussian with ddof = 0, whatever becomes of its modes.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from madlib.datasets import Samples
from madlib.errors import Count, Natural, OpenShare
from madlib.generators.points import PointGenerator
from madlib.linalg import log_normals, triangular_root, widened
from madlib.random import rows_and_normals, rows_at


class MixtureParams(NamedTuple):
    r"""A mixture of k normal distributions.

    Attributes:
        weight: [k], $\pi_k$, summing to 1; 0 for a component without points.
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

    @property
    def total_variance(self) -> Float[Array, ""]:
        r"""[], $\operatorname{tr} \Sigma$ of the mixture: within its modes and between them."""
        gap = self.mean - (self.weight @ self.mean)[None, :]
        return self.weight @ (jnp.sum(self.chol**2, axis=(1, 2)) + jnp.sum(gap**2, axis=1))


@dataclasses.dataclass(frozen=True)
class GaussianMixture(PointGenerator):
    """Mixture of Gaussians with full covariances.

    A component that loses all its points keeps its mean and has weight 0; this happens wherever
    there are fewer distinct points than components. Components may collapse onto a point or a line:
    their covariances are stored as they are, singular or zero. Only where a density is evaluated is
    `floor` added to their standard deviations, so that no likelihood is infinite.

    Attributes:
        dim: d.
        n_components: k.
        n_candidates: points tried for each initial center, the best of which is taken.
        n_swaps: most swaps of a center before EM.
        max_iterations: of EM.
        tolerance: EM stops once the mean log-likelihood gains less than this, in nats.
        floor: in units of the root mean square spread of the whole mixture per coordinate; added in
            quadrature.

    Example:
        >>> data = Samples.of(jnp.array([[0.0], [1.0], [9.0], [9.0]]))
        >>> params = GaussianMixture(dim=1, n_components=2).fit(jax.random.key(0), data)
        >>> sorted(params.mean[:, 0].round(3).tolist())
        [0.5, 9.0]
    """

    dim: Count
    n_components: Count
    n_candidates: Count = 4
    n_swaps: Natural = 8
    max_iterations: Count = 100
    tolerance: OpenShare = 1e-3
    floor: OpenShare = 1e-4

    @property
    def minimum_weight(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.n_components

    def fit(self, key: Key[Array, ""], dataset: Samples) -> MixtureParams:
        """Initial centers, then EM until the likelihood no longer improves."""
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
        spread = jnp.sqrt(params.total_variance / self.dim)
        return jnp.where(spread > 0, self.floor * spread, 1.0)


def _log_joint(
    params: MixtureParams, points: Float[Array, "d n"], floor: Float[Array, ""]
) -> Float[Array, "k n"]:
    r"""$\log \pi_k N(x_i; \mu_k, \Sigma_k)$."""
    chol = jax.vmap(widened, in_axes=(0, None))(params.chol, floor)
    return jnp.log(params.weight)[:, None] + log_normals(params.mean, chol, points)


def _maximize(
    points: Float[Array, "d n"], responsibility: Float[Array, "k n"], place: Float[Array, "k d"]
) -> MixtureParams:
    """The M step; a component without points stays at its `place`."""
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
    """Lloyd steps, each followed by a swap as long as that improves the centers.

    The center whose removal raises the sum of squared distances least moves to the point farthest
    from all centers, if that lowers the sum by more.
    """

    def swap(state):
        i, centers, _ = state
        belongs, _, _ = _nearest(points, share, centers)
        total = belongs.sum(axis=1)[:, None]
        moved = belongs @ points.T / jnp.where(total > 0, total, 1.0)
        centers = jnp.where(total > 0, moved, centers)
        belongs, closest, second = _nearest(points, share, centers)
        loss = belongs @ (second - closest)
        farthest = points[:, jnp.argmax(closest)]
        distance = jnp.sum((points - farthest[:, None]) ** 2, axis=0)
        gain = share @ jnp.maximum(closest - distance, 0.0)
        improves = gain > loss.min()
        swapped = centers.at[jnp.argmin(loss)].set(farthest)
        return i + 1, jnp.where(improves, swapped, centers), improves

    def goes_on(state):
        i, _, swapped = state
        return swapped & (i < n_swaps)

    return jax.lax.while_loop(goes_on, swap, (0, centers, jnp.array(True)))[1]


def _nearest(
    points: Float[Array, "d n"], share: Float[Array, " n"], centers: Float[Array, "k d"]
) -> tuple[Array, Array, Array]:
    """Each point's share at its nearest center [k, n]; squared distances to it, to the next [n]."""
    distance = jnp.sum((points[None] - centers[:, :, None]) ** 2, axis=1)
    closest, number = distance.min(axis=0), jnp.arange(len(centers))[:, None]
    # Two minima, which XLA vectorizes on a CPU, in place of one argmin.
    first = jnp.min(jnp.where(distance == closest[None, :], number, len(centers)), axis=0)
    nearest = first[None, :] == number
    second = jnp.min(jnp.where(nearest, jnp.inf, distance), axis=0)
    return jnp.where(nearest, share[None, :], 0.0), closest, second
