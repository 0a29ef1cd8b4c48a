"""Generators: models that are fitted at each generation and draw the synthetic data.

One file each, always in the same order: the equation, the parameters, `fit`, `draw`, `sample`.
"""

from madlib.generators.categorical import Categorical, CategoricalParams
from madlib.generators.coupling_flow import CouplingFlow
from madlib.generators.diffusion import Diffusion
from madlib.generators.gaussian import Gaussian, NormalParams
from madlib.generators.kernel_density import KernelDensity
from madlib.generators.language_model import LanguageModel
from madlib.generators.location import Location
from madlib.generators.mixture import GaussianMixture, MixtureParams
from madlib.generators.regression import LinearRegression, RegressionParams
from madlib.generators.training import Training
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
    "Training",
    "Trigram",
    "VAE",
    "WGAN",
]
