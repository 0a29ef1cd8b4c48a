"""Generators: what is fitted at each generation, and what draws the synthetic data.

One file each, always in the same order: the equation, the parameters, `fit`, `draw`, `sample`.
"""

from madlib.generators.categorical import Categorical, CategoricalParams
from madlib.generators.coupling_flow import CouplingFlow, FlowParams
from madlib.generators.diffusion import Diffusion, DiffusionParams
from madlib.generators.gaussian import Gaussian, NormalParams
from madlib.generators.kernel_density import KernelDensity, KernelDensityParams
from madlib.generators.language_model import LanguageModel, LanguageParams
from madlib.generators.location import Location
from madlib.generators.mixture import GaussianMixture, MixtureParams
from madlib.generators.regression import LinearRegression, RegressionParams
from madlib.generators.training import Training
from madlib.generators.trigonometric import TrigonometricRegression
from madlib.generators.trigram import Trigram, TrigramParams
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
    "KernelDensity",
    "KernelDensityParams",
    "LanguageModel",
    "LanguageParams",
    "LinearRegression",
    "Location",
    "MixtureParams",
    "NormalParams",
    "RegressionParams",
    "Training",
    "TrigonometricRegression",
    "Trigram",
    "TrigramParams",
    "VAE",
    "VAEParams",
    "WGAN",
    "WGANParams",
]
