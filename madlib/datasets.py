r"""Datasets that add: what a training set is, for each kind of generator.

A dataset is additive. `real + synthetic` is the training set that holds both, and that is all a
regime needs to know. What is stored depends on what the generator learns from:

* `Samples`, the points themselves (neural networks, anything);
* `Moments`, count, mean and scatter (a Gaussian needs nothing else);
* `Counts`, occurrences of each symbol (a categorical needs nothing else).

Every dataset also answers `empty(n)`, an empty one with room for n examples, and `extend(other)`,
the same as `+` but without a change of shape, so that a growing dataset can be carried through
`lax.scan`.
"""

from typing import NamedTuple, Protocol, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from madlib.parameters import require

MAX_UNROLLED_DIM = 2  # up to here linear algebra is written out; beyond, LAPACK.


class Dataset(Protocol):
    """What regimes rely on."""

    def __add__(self, other: Self) -> Self: ...

    def empty(self, n: int) -> Self: ...

    def extend(self, other: Self) -> Self: ...


class Samples(NamedTuple):
    r"""Points with weights, and with labels where there are classes.

    Attributes:
        points: [n, d], the examples $x_i$.
        weight: [n], how often each counts; rows of weight 0 are unused room.
        label: [n], the class of each, counted from 0; None where there are no classes.
    """

    points: Float[Array, "n d"]
    weight: Float[Array, " n"]
    label: Int[Array, " n"] | None = None

    @classmethod
    def of(cls, points: Array, label: Array | None = None) -> "Samples":
        """Unweighted samples from points [n, d], with or without labels [n]."""
        shape = np.shape(points)
        require(len(shape) == 2, "points must be [n, d]", shape, "Use one row per example.")
        if not isinstance(points, jax.core.Tracer):
            finite = np.isfinite(points)
            lost = f"{np.sum(~finite)} values of NaN or infinity"
            require(finite.all(), "points must be finite", lost, "Drop or impute those rows.")
        return cls(points, jnp.ones(points.shape[0]), label)

    def __add__(self, other: "Samples") -> "Samples":
        return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), self, other)

    def empty(self, n: int) -> "Samples":
        return jax.tree.map(lambda leaf: jnp.zeros((n, *leaf.shape[1:]), leaf.dtype), self)

    def extend(self, other: "Samples") -> "Samples":
        """Writes other into the first unused rows; used rows are always at the front."""
        first = jnp.count_nonzero(self.weight)
        return jax.tree.map(
            lambda room, rows: jax.lax.dynamic_update_slice_in_dim(room, rows, first, axis=0),
            self,
            other,
        )


class Moments(NamedTuple):
    r"""Sufficient statistics of a Gaussian.

    The scatter matrix $\sum_i w_i (x_i - \bar x)(x_i - \bar x)^T$ is kept as a root, scatter = root
    root^T, because products of triangular roots stay accurate and semi-definite where a collapsing
    covariance would not.

    Attributes:
        weight: [], total weight, $n$.
        mean: [d], $\bar x$.
        root: [d, d], lower triangular root of the scatter about the mean.
    """

    weight: Float[Array, ""]
    mean: Float[Array, " d"]
    root: Float[Array, "d d"]

    @classmethod
    def of(cls, samples: Samples) -> "Moments":
        """Moments of weighted points; O(n d^2)."""
        points, weight, _ = samples
        total = weight.sum()
        mean = weight @ points / jnp.where(total > 0, total, 1.0)
        centered = jnp.sqrt(weight)[:, None] * (points - mean[None, :])
        return cls(total, mean, triangular_root(centered.T))

    def __add__(self, other: "Moments") -> "Moments":
        weight = self.weight + other.weight
        share = other.weight / jnp.where(weight > 0, weight, 1.0)
        gap = other.mean - self.mean
        between = jnp.sqrt(self.weight * share) * gap
        columns = jnp.concatenate([self.root, other.root, between[:, None]], axis=1)
        return Moments(weight, self.mean + share * gap, triangular_root(columns))

    def empty(self, n: int) -> "Moments":
        del n
        return jax.tree.map(jnp.zeros_like, self)

    def extend(self, other: "Moments") -> "Moments":
        return self + other


class Counts(NamedTuple):
    """Occurrences of each of k symbols.

    Attributes:
        count: [k], weighted number of occurrences.
    """

    count: Float[Array, " k"]

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.count + other.count)

    def empty(self, n: int) -> "Counts":
        del n
        return Counts(jnp.zeros_like(self.count))

    def extend(self, other: "Counts") -> "Counts":
        return self + other


def triangular_root(columns: Float[Array, "d m"]) -> Float[Array, "d d"]:
    """Lower triangular L with non-negative diagonal and L L^T = columns columns^T, of any rank."""
    d = columns.shape[0]
    return _gram_schmidt(columns) if d <= MAX_UNROLLED_DIM else _cholesky_or_qr(columns)


def _gram_schmidt(columns: Float[Array, "d m"]) -> Float[Array, "d d"]:
    """Orthogonalizes row after row: elementwise work, fastest for a handful of dimensions."""
    d = columns.shape[0]
    rest = list(columns)
    root = [[jnp.zeros_like(columns[0, 0]) for _ in range(d)] for _ in range(d)]
    for j in range(d):
        norm = jnp.sqrt(jnp.sum(rest[j] ** 2))
        unit = rest[j] / jnp.where(norm > 0, norm, 1.0)
        root[j][j] = norm
        for i in range(j + 1, d):
            root[i][j] = jnp.sum(rest[i] * unit)
            rest[i] = rest[i] - root[i][j] * unit
    return jnp.array(root)


def _qr_root(columns: Float[Array, "d m"]) -> Float[Array, "d d"]:
    d, m = columns.shape
    padded = columns if m >= d else jnp.pad(columns, ((0, 0), (0, d - m)))
    upper = jnp.linalg.qr(padded.T, mode="r")
    sign = jnp.where(jnp.diagonal(upper) < 0, -1.0, 1.0)
    return (sign[:, None] * upper).T


@jax.custom_batching.sequential_vmap
def _cholesky_or_qr(columns: Float[Array, "d m"]) -> Float[Array, "d d"]:
    """Cholesky of the Gram matrix, 20 times faster than QR, and QR where that would not do.

    Squaring costs half the digits: a root whose pivots differ by more than a factor 30 (or a
    singular one, where Cholesky is NaN) is taken by QR instead.

    Sequential under vmap, and so is every use of LAPACK in the loop: its batched kernels wait for
    threads of the pool that they run in, and with enough of them at once wait for ever (jaxlib
    0.10). The cores are kept busy by the devices.
    """
    root = jax.lax.linalg.cholesky(columns @ columns.T, symmetrize_input=False)
    pivots = jnp.diagonal(root)
    sound = pivots.min() > pivots.max() / 30
    return jax.lax.cond(sound, lambda: root, lambda: _qr_root(columns))
