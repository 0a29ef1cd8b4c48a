"""Closed forms for self-consuming loops: Gaussians, discrete distributions, kernel densities.

Generations t are counted from 1: G^1 is fitted to n_ini real samples without bias, and G^t (t >= 2)
has been through t - 1 self-consuming steps with sampling bias lam. Gaussian results are in units of
the target N(mu_0, Sigma_0). Functions take a regime and find its rule by its class; a regime of
your own registers its rule with `recursion`. Sizes, weights, lam and ddof broadcast; the generation
is the last axis of a result. "Derived" marks formulas that were derived for this book and are
checked in its tests.

    recursions  v_t, s_t at every generation      spread    over replicates, fully synthetic
    limits      t to infinity                     discrete  symbols, words
    distances   W2 squared to the target          kernels   kernel density estimates
    worth       n_e and the border of harm        curation  selection, preference, temperature
    weighting   weights, bias, provenance         regression

Sources: Alemohammad et al. 2023 (arXiv 2307.01850); Shumailov et al. 2024 (Nature 631, 755); Kazdan
et al. 2024 (arXiv 2410.16713); Suresh et al. 2024 (arXiv 2412.17646); He, Xu & Cheng 2025 (arXiv
2502.18049).
"""

from madlib.theory.curation import (
    accumulated_selection,
    detected_share,
    detector_moments,
    negative_guidance_variance,
    negative_guidance_weight,
    plural_preference,
    selection_factor,
    temperature_balance,
    temperature_cure,
    temperature_stability,
    verifier_contraction,
    verifier_limit,
)
from madlib.theory.discrete import (
    expected_missing_mass,
    expected_support_size,
    extinction_probability,
    group_heterozygosity,
    heterozygosity,
    poisson_survival_probability,
    surviving_sample_size,
)
from madlib.theory.distances import (
    exact_wasserstein2_squared,
    real_data_wasserstein2_squared,
    spectral_wasserstein2_squared,
    wasserstein2_squared,
    wasserstein2_squared_limit,
)
from madlib.theory.kernels import kernel_squared_error, kernel_variance
from madlib.theory.limits import limit, plateau, steady
from madlib.theory.recursions import Batch, GaussianMoments, TrainingSet, moments, recursion
from madlib.theory.regression import (
    ThreeErrors,
    accumulated_regression_risk,
    regression_risk,
    replaced_regression_risk,
    shifted_regression_risk,
    three_errors,
)
from madlib.theory.spread import (
    LogVarianceMoments,
    effective_directions,
    expected_divergence,
    log_variance_moments,
    log_variance_quantiles,
    typical_variance,
    variance_squared_cv,
)
from madlib.theory.weighting import (
    best_real_share,
    biased_effective_sample_size,
    dwindling_share_coefficient,
    location_variance,
    provenance_variance,
)
from madlib.theory.worth import (
    admissible_n_s,
    admissible_n_s_limit,
    effective_sample_size,
    unbiased_worth,
    worth,
)

__all__ = [
    "accumulated_regression_risk",
    "accumulated_selection",
    "best_real_share",
    "biased_effective_sample_size",
    "detected_share",
    "detector_moments",
    "dwindling_share_coefficient",
    "location_variance",
    "negative_guidance_variance",
    "negative_guidance_weight",
    "plural_preference",
    "provenance_variance",
    "regression_risk",
    "replaced_regression_risk",
    "selection_factor",
    "shifted_regression_risk",
    "temperature_balance",
    "temperature_cure",
    "temperature_stability",
    "verifier_contraction",
    "verifier_limit",
    "Batch",
    "GaussianMoments",
    "LogVarianceMoments",
    "ThreeErrors",
    "TrainingSet",
    "admissible_n_s",
    "admissible_n_s_limit",
    "effective_directions",
    "effective_sample_size",
    "exact_wasserstein2_squared",
    "expected_divergence",
    "expected_missing_mass",
    "expected_support_size",
    "extinction_probability",
    "group_heterozygosity",
    "heterozygosity",
    "kernel_squared_error",
    "kernel_variance",
    "limit",
    "log_variance_moments",
    "log_variance_quantiles",
    "moments",
    "plateau",
    "poisson_survival_probability",
    "real_data_wasserstein2_squared",
    "recursion",
    "spectral_wasserstein2_squared",
    "steady",
    "surviving_sample_size",
    "three_errors",
    "typical_variance",
    "unbiased_worth",
    "variance_squared_cv",
    "wasserstein2_squared",
    "wasserstein2_squared_limit",
    "worth",
]
