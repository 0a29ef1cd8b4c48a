r"""A normal distribution of known variance, of which only the mean is learned.

$G^t = N(\mu_t, \sigma^2 I)$: the model for which closed forms of the error of a mean are exact.
Sampling with bias $\lambda$ draws from $N(\mu_t, \lambda \sigma^2 I)$.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Key

from madlib.datasets import Moments, Samples
from madlib.errors import Positive
from madlib.generators.gaussian import Gaussian, NormalParams


@dataclasses.dataclass(frozen=True)
class Location(Gaussian):
    r"""Gaussian whose mean is fitted and whose covariance is $\sigma^2 I$, known.

    Attributes:
        dim, exact: as for `Gaussian`; ddof is not used.
        sigma: $\sigma$.

    Example:
        >>> params = Location(dim=1, sigma=0.5).fit(None, Samples.of(jnp.array([[1.0], [3.0]])))
        >>> params.mean.tolist(), params.cov.tolist()
        ([2.0], [[0.25]])
    """

    sigma: Positive = 1.0
    minimum_weight = 1  # pyright: ignore[reportAssignmentType]

    def fit(self, key: Key[Array, ""] | None, dataset: Samples | Moments) -> NormalParams:
        """The weighted mean; deterministic, the key is not used."""
        del key
        mean = self.summarize(dataset).mean
        return NormalParams(mean, self.sigma * jnp.eye(self.dim, dtype=mean.dtype))
