r"""Datasets of sums over examples, for exact draws of symbols and of regressions.

They add and weigh entry by entry, and take the same room for any number of examples.
"""

from typing import Any, NamedTuple

from jaxtyping import Array, Float

from madlib.datasets import Moments, Samples


class Counts(NamedTuple):
    """Occurrences of each of k symbols, weighted."""

    count: Float[Array, " k"]
    __array_ufunc__ = None
    empty = Moments.empty

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.count + other.count)

    def __rmul__(self, w: Any) -> "Counts":
        return Counts(w * self.count)

    extend = __add__


class NormalEquations(NamedTuple):
    r"""Sufficient statistics of a linear regression: $X^T X$ [d, d] and $X^T y$ [d], weighted."""

    gram: Float[Array, "d d"]
    moment: Float[Array, " d"]
    __array_ufunc__ = None
    empty = Moments.empty

    @classmethod
    def of(cls, samples: Samples) -> "NormalEquations":
        """From points [n, d + 1], the response last."""
        x, y = samples.points[:, :-1], samples.points[:, -1]
        weighted = samples.weight[:, None] * x
        return cls(weighted.T @ x, weighted.T @ y)

    def __add__(self, other: "NormalEquations") -> "NormalEquations":
        return NormalEquations(self.gram + other.gram, self.moment + other.moment)

    def __rmul__(self, w: Any) -> "NormalEquations":
        return NormalEquations(w * self.gram, w * self.moment)

    extend = __add__
