"""Generators: models that are fitted at each generation and draw the synthetic data.

One file each, always in the same order: the equation, the parameters, `fit`, `draw`, `sample`.

>>> import jax
>>> import jax.numpy as jnp
>>> from madlib.datasets import Samples
>>> from madlib.generators import Gaussian
>>> model, key = Gaussian(dim=2), jax.random.key(0)
>>> data = model.summarize(Samples.of(jnp.array([[0.0, 0.0], [2.0, 4.0]])))
>>> params = model.fit(key, data)
>>> params.mean.tolist(), model.sample(key, params, 3).shape
([1.0, 2.0], (3, 2))
"""

from madlib.generators.categorical import Categorical, CategoricalParams
from madlib.generators.coupling_flow import CouplingFlow
from madlib.generators.diffusion import Diffusion
from madlib.generators.gaussian import Gaussian, NormalParams
from madlib.generators.kernel_density import KernelDensity
from madlib.generators.language_model import LanguageModel
from madlib.generators.location import Location
from madlib.generators.mixture import GaussianMixture, MixtureParams
from madlib.generators.negative_guidance import SelfGuidedDiffusion, SelfGuidedGaussian
from madlib.generators.regression import LinearRegression, RegressionParams
from madlib.generators.training import Training
from madlib.generators.trigonometric import TrigonometricRegression
from madlib.generators.trigram import Trigram
from madlib.generators.vae import VAE
from madlib.generators.wgan import WGAN

__all__ = [
    "Categorical",
    "CategoricalParams",
    "CouplingFlow",
    "Diffusion",
    "Gaussian",
    "GaussianMixture",
    "KernelDensity",
    "LanguageModel",
    "LinearRegression",
    "Location",
    "MixtureParams",
    "NormalParams",
    "RegressionParams",
    "SelfGuidedDiffusion",
    "SelfGuidedGaussian",
    "Training",
    "TrigonometricRegression",
    "Trigram",
    "VAE",
    "WGAN",
]
