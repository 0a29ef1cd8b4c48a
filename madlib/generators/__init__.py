"""Generators: what is fitted at each generation, and what draws the synthetic data.

One file each, always in the same order: the equation, the parameters, `fit`, `draw`, `sample`.
"""

import dataclasses
from typing import Any, Protocol, TypeVar

from jaxtyping import Array, Key

from madlib.datasets import Dataset
from madlib.generators.categorical import Categorical, CategoricalParams
from madlib.generators.coupling_flow import CouplingFlow, FlowParams
from madlib.generators.diffusion import Diffusion, DiffusionParams
from madlib.generators.gaussian import Gaussian, NormalParams
from madlib.generators.kernel_density import KernelDensity, KernelDensityParams
from madlib.generators.language import LanguageModel, LanguageParams
from madlib.generators.mixture import GaussianMixture, MixtureParams
from madlib.generators.ngram import Trigram, TrigramParams
from madlib.generators.training import Training
from madlib.generators.vae import VAE, VAEParams
from madlib.generators.wgan import WGAN, WGANParams

__all__ = [
    "Categorical",
    "CategoricalParams",
    "CouplingFlow",
    "Diffusion",
    "DiffusionParams",
    "FlowParams",
    "Gaussian",
    "GaussianMixture",
    "Generator",
    "LanguageModel",
    "LanguageParams",
    "KernelDensity",
    "KernelDensityParams",
    "MixtureParams",
    "NormalParams",
    "Training",
    "Trigram",
    "TrigramParams",
    "VAE",
    "VAEParams",
    "WGAN",
    "WGANParams",
    "pointwise",
]


class Generator(Protocol):
    """A rule for learning a distribution and drawing from it.

    A frozen dataclass of plain numbers: hashable, static under `jax.jit`. Parameters are a
    NamedTuple of arrays. Those of a trained network have a field `diverged`, the first step at
    which the loss was not finite (see `madlib.generators.training`); others have none.

    Attributes:
        dim: d, the dimension of one example; 1 for symbols.
        exact: whether `draw` returns sufficient statistics, so that sizes may be traced and as
            large as you like; otherwise it returns `Samples`.
        minimum_weight: size of the smallest training set that can be fitted.
        learns_from: the kinds of dataset that `summarize` takes.
    """

    dim: int
    exact: bool
    minimum_weight: int
    learns_from: tuple[type, ...]

    def summarize(self, dataset: Dataset) -> Dataset:
        """What `fit` needs of a dataset: sufficient statistics, or the dataset itself."""
        ...

    def fit(self, key: Key[Array, ""], dataset: Dataset) -> Any:
        """Parameters learned from a summarized dataset; its weights are honored."""
        ...

    def draw(self, key: Key[Array, ""], params: Any, n: Any, lam: Any = 1.0) -> Dataset:
        r"""n synthetic examples as a dataset, with sampling bias $\lambda$."""
        ...

    def sample(self, key: Key[Array, ""], params: Any, n: int, lam: Any = 1.0) -> Array:
        r"""n synthetic examples as points [n, d], with sampling bias $\lambda$."""
        ...


Family = TypeVar("Family")


def pointwise(family: Family) -> Family:
    """The same family, drawing the points themselves instead of their sufficient statistics."""
    return dataclasses.replace(family, exact=False) if family.exact else family
