r"""Datasets that add, `real + synthetic`, and weigh, `w * real`: all that a regime needs.

What is stored depends on the generator: `Samples`, the points themselves, for networks; `Moments`,
weight, mean and scatter, for a Gaussian; for other exact draws see `madlib.statistics`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from madlib.errors import require
from madlib.linalg import triangular_root


class Samples(NamedTuple):
    r"""Points with weights, and with labels where there are classes.

    Attributes:
        points: [n, d], the examples $x_i$.
        weight: [n], how often each counts; 0 for a rejected example and for unused room.
        label: [n], the class of each, counted from 0; None where there are no classes.
    """

    points: Float[Array, "n d"]
    weight: Float[Array, " n"]
    label: Int[Array, " n"] | None = None
    __array_ufunc__ = None  # w * dataset is ours, whoever made w.

    @classmethod
    def of(cls, points: Array, label: Array | None = None) -> "Samples":
        """Unweighted samples from points [n, d], with or without labels [n]."""
        require(points.ndim == 2, "points must be [n, d]", points.shape, "One row per example.")
        if not isinstance(points, jax.core.Tracer):  # pyright: ignore
            n_lost = np.sum(~np.isfinite(points))
            lost = f"{n_lost} values of NaN or infinity"
            require(n_lost == 0, "points must be finite", lost, "Drop or impute those rows.")
        return cls(points, jnp.ones(len(points), points.dtype), label)

    def __add__(self, other: "Samples") -> "Samples":
        return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), self, other)

    def __rmul__(self, w: Any) -> "Samples":
        return self._replace(weight=w * self.weight)

    def empty(self, n: int) -> "Samples":
        return jax.tree.map(lambda leaf: jnp.zeros((n, *leaf.shape[1:]), leaf.dtype), self)

    def extend(self, other: "Samples") -> "Samples":
        """Writes other behind the last row of positive weight."""
        used = jnp.where(self.weight > 0, jnp.arange(1, len(self.weight) + 1), 0).max()
        write = jax.lax.dynamic_update_slice_in_dim
        return jax.tree.map(lambda room, rows: write(room, rows, used, axis=0), self, other)


class Moments(NamedTuple):
    r"""Sufficient statistics of a Gaussian.

    Attributes:
        weight: [], $\sum_i w_i$; n where nothing is weighted.
        weight_squared: [], $\sum_i w_i^2$.
        mean: [d], $\bar x$.
        root: [d, d], lower triangular root of the scatter $\sum_i w_i (x_i - \bar x)
            (x_i - \bar x)^T$ = root root^T.
    """

    weight: Float[Array, ""]
    weight_squared: Float[Array, ""]
    mean: Float[Array, " d"]
    root: Float[Array, "d d"]
    __array_ufunc__ = None

    @classmethod
    def of(cls, samples: Samples) -> "Moments":
        """Moments of weighted points; O(n d^2)."""
        points, weight, _ = samples
        total = weight.sum()
        mean = weight @ points / jnp.where(total > 0, total, 1.0)
        centered = jnp.sqrt(weight)[:, None] * (points - mean[None, :])
        return cls(total, jnp.sum(weight**2), mean, triangular_root(centered.T))

    def __add__(self, other: "Moments") -> "Moments":
        weight = self.weight + other.weight
        share = other.weight / jnp.where(weight > 0, weight, 1.0)
        gap = other.mean - self.mean
        between = jnp.sqrt(self.weight * share) * gap
        columns = jnp.concatenate([self.root, other.root, between[:, None]], axis=1)
        squared = self.weight_squared + other.weight_squared
        return Moments(weight, squared, self.mean + share * gap, triangular_root(columns))

    def __rmul__(self, w: Any) -> "Moments":
        root = jnp.sqrt(w) * self.root
        return Moments(w * self.weight, w**2 * self.weight_squared, self.mean, root)

    def empty(self, n: Any) -> Any:
        """Statistics of no examples; they take the same room for any n."""
        return jax.tree.map(jnp.zeros_like, self)

    extend = __add__
