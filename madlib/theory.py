r"""Closed forms for self-consuming Gaussians and discrete laws.

Generations t are counted from 1: G^1 is fitted to n_ini real samples without bias, and G^t (t >= 2)
has been through t - 1 self-consuming steps with sampling bias lam.

Gaussian results are in units of the target N(mu_0, Sigma_0):

    E (mu_t - mu_0)(mu_t - mu_0)^T = v_t Sigma_0,    E Sigma_t = s_t Sigma_0.

Both follow a linear recursion which is exact for every dimension and every covariance: n draws of
N(mu, lam Sigma) have mean mu, mean squared error lam Sigma/n and expected scatter (n - 1) lam
Sigma; pooling two batches adds n_1 n_2/(n_1 + n_2) times the squared gap of their means to the
scatter.

The fluctuation of the covariance, E |Sigma_t - E Sigma_t|_F^2 = dim (dim + 1) f_t for Sigma_0 = I,
follows the recursion of v_t with `lam` in front of every parent; it holds to first order in 1/n and
is used in the W2^2 approximations only.

Sizes, `lam` and `ddof` broadcast as arrays; the generation is the last axis of every result. NumPy
and SciPy in float64.

Sources. alemohammad2023: arXiv 2307.01850. shumailov2024: Nature 631, 755. kazdan2024: arXiv
2410.16713. suresh2024: arXiv 2412.17646. "Derived" marks what was derived for this book and is
checked in its tests.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy  # whose larger parts are loaded when they are first used
from numpy.typing import ArrayLike, NDArray
from scipy import special

from madlib.errors import MAX_SIZE, ParameterError, Rule, as_reals, require

Array = NDArray[np.float64]


def check_counts(**counts):
    for name, value in counts.items():
        Rule(1, MAX_SIZE, whole=True)(name, value)


class GaussianMoments(NamedTuple):
    """Expected first two moments of the model, in units of the target's covariance.

    Attributes:
        v: [..., n_generations] (or [...] for a limit), E (mu - mu_0)(mu - mu_0)^T = v Sigma_0.
        s: the same shape, E Sigma = s Sigma_0.
    """

    v: Array
    s: Array


class LogVarianceMoments(NamedTuple):
    """Mean and variance, over replicates, of log(det Sigma_t / det Sigma_0)."""

    mean: Array
    variance: Array


# Moments at every generation.


def moments(
    regime: Any, *, n_ini: ArrayLike, n_generations: int, lam: ArrayLike = 1.0, ddof: ArrayLike = 1
) -> GaussianMoments:
    """Exact (v_t, s_t) for t = 1..n_generations under any of the package's regimes.

    Args:
        regime: FullySynthetic, SyntheticAugmentation, FreshData, Accumulate or AccumulateSubsample.
        n_ini: [...], real samples for generation 1 (in SyntheticAugmentation: the fixed real set).
        n_generations: number of generations, G^1 included.
        lam: [...], sampling bias in [0, 1]; synthetic samples come from N(mu, lam Sigma).
        ddof: 1 for the unbiased covariance, 0 for maximum likelihood.
    """
    v, s, _ = _recursion(regime)(n_ini=n_ini, n_generations=n_generations, lam=lam, ddof=ddof)
    return GaussianMoments(v, s)


def fully_synthetic_moments(
    n_s: ArrayLike,
    *,
    n_ini: ArrayLike,
    n_generations: int,
    lam: ArrayLike = 1.0,
    ddof: ArrayLike = 1,
) -> GaussianMoments:
    """Exact (v_t, s_t) when every model sees n_s samples of its parent only.

    With ddof = 1 and n_ini = n_s = n this is s_t = lam^(t-1) and v_t = (1/n)(1 + lam + ... +
    lam^(t-1)): the mean covariance stays at Sigma_0 for lam = 1 although every path collapses (see
    `typical_variance`). With ddof = 0 and lam = 1, s_t = (1 - 1/n)^t and v_t + s_t = 1. The law of
    one sample of generation t + 1 has variance v_t + s_t. Source: alemohammad2023 (E Sigma_t);
    shumailov2024 (variance 1 + t/n); v_t derived.
    """
    return fresh_data_moments(0, n_s, n_ini=n_ini, n_generations=n_generations, lam=lam, ddof=ddof)


def synthetic_augmentation_moments(
    n_s: ArrayLike,
    *,
    n_ini: ArrayLike,
    n_generations: int,
    lam: ArrayLike = 1.0,
    ddof: ArrayLike = 1,
) -> GaussianMoments:
    """Exact (v_t, s_t) with a fixed set of n_ini real samples and n_s new synthetic ones each time.

    The state also carries c_t, E (mu_t - mu_0)(xbar_r - mu_0)^T = c_t Sigma_0, because the model
    remembers the mean xbar_r of the fixed real set. Derived.
    """
    v, s, _ = _synthetic_augmentation(
        n_s, n_ini=n_ini, n_generations=n_generations, lam=lam, ddof=ddof
    )
    return GaussianMoments(v, s)


def fresh_data_moments(
    n_r: ArrayLike,
    n_s: ArrayLike,
    *,
    n_ini: ArrayLike,
    n_generations: int,
    lam: ArrayLike = 1.0,
    ddof: ArrayLike = 1,
    memory: int = 1,
) -> GaussianMoments:
    """Exact (v_t, s_t) when n_r new real samples and n_s synthetic ones train every model.

    With memory = K the synthetic part is n_s // K new samples of each of the last K models; while
    fewer than K models exist, only of theirs. For lam = 1 and large sizes n_e/n_r tends to
    1 + k K/(k + K), k = n_s/n_r (grows with K: alemohammad2023, Fig. 30). n_r = 0 is the fully
    synthetic loop, n_s = 0 the real-only baseline. Derived; the fixed point for K = 1 is
    `fresh_data_limit`.
    """
    v, s, _ = _fresh_data(
        n_r, n_s, n_ini=n_ini, n_generations=n_generations, lam=lam, ddof=ddof, memory=memory
    )
    return GaussianMoments(v, s)


def accumulate_moments(
    n_s: ArrayLike,
    *,
    n_ini: ArrayLike,
    n_generations: int,
    lam: ArrayLike = 1.0,
    ddof: ArrayLike = 1,
) -> GaussianMoments:
    """Exact (v_t, s_t) when n_s synthetic samples join the training set for good each time.

    For ddof = 0, lam = 1 and n_ini = n_s = n: s_t = prod_{i <= t} (1 - 1/(n i^2)), v_t = 1 - s_t
    (kazdan2024); the limit is `accumulate_limit`. General case derived.
    """
    v, s, _ = _accumulate(n_s, n_ini=n_ini, n_generations=n_generations, lam=lam, ddof=ddof)
    return GaussianMoments(v, s)


def accumulate_subsample_moments(
    n_s: ArrayLike,
    n: ArrayLike,
    *,
    n_ini: ArrayLike,
    n_generations: int,
    lam: ArrayLike = 1.0,
    ddof: ArrayLike = 1,
) -> GaussianMoments:
    """Exact (v_t, s_t) when the pool accumulates but every model sees only n samples of it.

    From generation 2 the training set is a uniform subsample of the pool without replacement (the
    whole pool while it holds fewer than n). For n_ini = n_s = n -> infinity, ddof = 1, lam = 1: n
    v_t -> pi^2/2 - 2. Derived.
    """
    v, s, _ = _accumulate_subsample(
        n_s, n, n_ini=n_ini, n_generations=n_generations, lam=lam, ddof=ddof
    )
    return GaussianMoments(v, s)


# Limits.


def fresh_data_limit(
    n_r: ArrayLike, n_s: ArrayLike, *, lam: ArrayLike = 1.0, ddof: ArrayLike = 1
) -> GaussianMoments:
    """Limit of `fresh_data_moments` (memory 1) as t grows: exact, and independent of n_ini.

    Args:
        n_r: [...], fresh real samples per generation, at least 1 (without, there is no limit).
        n_s: [...], synthetic samples per generation.

    Source: existence and independence of n_ini, alemohammad2023, Fig. 10; value derived.
    """
    n_r, n_s, lam, ddof = _sizes(n_r, n_s, lam, ddof)
    _check_bias(lam, ddof)
    _require(np.all(n_r >= 1), "n_r >= 1", n_r, "Without fresh real data there is no limit.")
    _check_training_set(n_r, n_s, ddof)
    n = n_r + n_s
    return _solve_limit(n_r, n_s, lam, ddof, n_r / n**2, n_r - 1 + n_s / n)


def synthetic_augmentation_limit(
    n_s: ArrayLike, *, n_ini: ArrayLike, lam: ArrayLike = 1.0, ddof: ArrayLike = 1
) -> GaussianMoments:
    """Limit of `synthetic_augmentation_moments` as t grows: the model degrades, and saturates.

    The model ends with E (mu - mu_0)(xbar_r - mu_0)^T = Sigma_0/n_ini, whatever n_s and lam.
    Derived.
    """
    n_s, n_r, lam, ddof = _sizes(n_s, n_ini, lam, ddof)
    _check_bias(lam, ddof)
    _require(np.all(n_r >= 1), "n_ini >= 1", n_r, "Give the model real data to begin with.")
    _check_training_set(n_r, n_s, ddof)
    n = n_r + n_s
    inflow = n_r / n**2 + 2 * n_s / n**2
    return _solve_limit(n_r, n_s, lam, ddof, inflow, n_r - 1 - n_s / n)


def accumulate_limit(n: ArrayLike) -> GaussianMoments:
    """Limit of `accumulate_moments` for n_ini = n_s = n, ddof = 0, lam = 1.

    s = sinc(1/sqrt n) = sin(pi/sqrt n)/(pi/sqrt n) and v = 1 - s: bounded, unlike the fully
    synthetic loop. Source: kazdan2024, Theorem on the accumulating Gaussian.
    """
    n = as_reals(n)
    _require(np.all(n >= 1), "n >= 1", n, "Give the samples of a generation.")
    s = np.sinc(1 / np.sqrt(n))
    return GaussianMoments(1 - s, s)


def maximum_likelihood_limit(n: ArrayLike, real_fraction: ArrayLike) -> GaussianMoments:
    """Fresh-data limit for ddof = 0, lam = 1: v = 1/D, s = 1 - 1/D, D = 1 - f + f n (2 - f).

    f = n_r/n is the real fraction. The same as `fresh_data_limit(f n, (1 - f) n, ddof=0)`. The bias
    of the model decays like (1 - f)^t. Derived.
    """
    f, n = _sizes(real_fraction, n)
    _require(np.all((f >= 0) & (f <= 1)), "real_fraction in [0, 1]", f, "It is n_r/n.")
    _require(np.all(n >= 1), "n >= 1", n, "Give the size of a training set.")
    denominator = 1 - f + f * n * (2 - f)
    return GaussianMoments(1 / denominator, 1 - 1 / denominator)


def plateau(real_fraction: ArrayLike, lam: ArrayLike) -> Array:
    """Fresh-data limit of s as n grows at a constant real fraction p: p/(p + (1 - lam)(1 - p)).

    Any biased loop stays at E W2^2 = dim (1 - sqrt s)^2 however much data it is given: the plateau
    of alemohammad2023, Fig. 31. Derived.
    """
    p, lam = _sizes(real_fraction, lam)
    _require(np.all((p > 0) & (p <= 1)), "real_fraction in (0, 1]", p, "It is n_r/n.")
    _check_bias(lam, np.zeros(()))
    return p / (p + (1 - lam) * (1 - p))


# Wasserstein distances (all squared, to the target N(mu_0, I_dim)).


def wasserstein2_squared(
    regime: Any,
    *,
    dim: ArrayLike,
    n_ini: ArrayLike,
    n_generations: int,
    lam: ArrayLike = 1.0,
    ddof: ArrayLike = 1,
) -> Array:
    """E W2^2(G^t, N(mu_0, I_dim)) for t = 1..n_generations, for training sets much larger than dim.

    dim v_t + dim (1 - sqrt s_t)^2 + dim (dim + 1) f_t/(4 s_t^(3/2)): exact in the mean, second
    order in the fluctuation of the covariance. Assumes n >> dim, and t << n/dim in the fully
    synthetic loop. Derived.
    """
    v, s, f = _recursion(regime)(n_ini=n_ini, n_generations=n_generations, lam=lam, ddof=ddof)
    return _distance(v, s, f, as_reals(dim)[..., None])


def spectral_wasserstein2_squared(
    regime: Any, *, dim: int, n_ini: ArrayLike, n_generations: int, lam: ArrayLike = 1.0
) -> Array:
    """E W2^2(G^t, N(mu_0, I_dim)) for t = 1..n_generations and training sets of any size.

    dim v_t + dim (1 + s_t) - 2 E tr Sigma_t^(1/2), where `wasserstein2_squared` expands the root to
    second order, which is 14 % too much for n_r = dim. Here the trace comes from the limit law of
    the eigenvalues of Sigma_t as dim and the sizes grow in proportion: Sigma_t is a mixture of two
    sample covariances, of real points and of points with covariance lam Sigma_{t-1}, whose
    directions are independent of each other (Marchenko & Pastur 1967; Silverstein & Bai 1995). To
    it is added the second-order term of real matrices, dim f_t/(4 s_t^(3/2)). What remains is
    below 1 % for dim = 100 and n_r = dim, 3 % for dim = 20. Computed numerically. Derived.

    Args:
        regime: FullySynthetic, or FreshData without memory; unbiased covariance.
        dim, n_ini, n_generations, lam: as in `wasserstein2_squared`.
    """
    fresh = type(regime).__name__ == "FreshData" and regime.memory == 1
    _require(
        fresh or type(regime).__name__ == "FullySynthetic",
        "FullySynthetic, or FreshData with memory=1,",
        repr(regime),
        "Use wasserstein2_squared.",
    )
    n_r = regime.n_r if fresh else 0
    check_counts(dim=dim)
    n_r, n_s, n_ini, lam = _sizes(n_r, regime.n_s, n_ini, lam)
    v, s, f = _recursion(regime)(n_ini=n_ini, n_generations=n_generations, lam=lam, ddof=1)
    v, s, f = (np.broadcast_to(x, (*n_ini.shape, n_generations)) for x in (v, s, f))
    root = np.empty_like(v)
    for cell in np.ndindex(n_ini.shape):
        sizes = n_r[cell], n_s[cell], n_ini[cell]
        root[cell] = _mean_root_eigenvalue(*sizes, lam[cell], dim, v[cell], s[cell])
    spread = np.divide(f, s**1.5, out=np.zeros_like(f), where=s > 0)
    return dim * (v + 1 + s - 2 * root + spread / 4)


def fully_synthetic_wasserstein2_squared(
    n_s: ArrayLike,
    *,
    n_ini: ArrayLike,
    n_generations: int,
    lam: ArrayLike = 1.0,
    ddof: ArrayLike = 1,
) -> Array:
    """E W2^2(G^t, N(0, 1)) in one dimension, fully synthetic: exact at every size.

    v_t + (1 - sqrt s_t)^2 + 2 sqrt(s_t) (1 - c4(n_ini) c4(n_s)^(t-1)), where c4(n) = E
    sigma_hat/sigma. For lam = 1, ddof = 1 and n_ini = n_s = n: t/n + 2 (1 - c4(n)^t), about 1.5 t/n
    while t << n.

    Two true statements look contradictory (shumailov2024, theorem): E W2^2 -> infinity, and Sigma_t
    -> 0 almost surely. On almost every path Sigma_t falls exponentially, so the mean stops moving
    at some random point and W2^2 tends to the finite |mu_inf - mu_0|^2 + sigma^2. Yet E Sigma_t =
    Sigma_0 for lam = 1, ddof = 1, carried by ever rarer paths with an ever larger variance; those
    paths also carry E|mu_t - mu_0|^2 = t/n, which grows without bound.
    """
    v, s = fully_synthetic_moments(
        n_s, n_ini=n_ini, n_generations=n_generations, lam=lam, ddof=ddof
    )
    n_s, n_ini = (as_reals(n)[..., None] for n in (n_s, n_ini))
    _check_pairs(n_s, n_ini)
    log_c4 = _log_c4(n_ini) + np.arange(n_generations) * _log_c4(n_s)
    return v + (1 - np.sqrt(s)) ** 2 - 2 * np.sqrt(s) * np.expm1(log_c4)


def real_data_wasserstein2_squared(n: ArrayLike, dim: ArrayLike, *, ddof: ArrayLike = 1) -> Array:
    """E W2^2 of a Gaussian fitted to n real samples of N(mu_0, I_dim): the yardstick of n_e.

    Tends to dim (dim + 5)/(4 n) for n >> dim. Exact for dim = 1. Otherwise E tr Sigma^(1/2) is
    taken from the Marchenko-Pastur law with its O(1) correction for real samples (Bai and
    Silverstein 2004), for n below dim too. What remains is of relative size 1.5/dim^2 for n within
    a factor 2 of dim, 0.1/dim^2 beyond. Any real n > 1. Derived.
    """
    n, dim, ddof = _sizes(n, dim, ddof)
    _require(np.all(n > 1), "n > 1", n, "A covariance needs at least two samples.")
    _check_dim(dim)
    s = (n - 1) / (n - ddof)
    small, large = np.minimum(dim, n - 1), np.maximum(dim, n - 1)
    ratio = small / large
    # Mean of sqrt(eigenvalue): 2F1(-1/2, 1/2; 2; ratio) under Marchenko-Pastur; the second term is
    # the O(1) correction.
    lack = small * _one_minus_hyp2f1(-0.5, 0.5, 2.0, ratio) - 0.5 * _one_minus_hyp2f1(
        -0.5, -0.5, 1.0, ratio
    )
    scale = np.sqrt(large / (n - 1))
    root_deficit = np.where(dim == 1, -np.expm1(_log_c4(n)), dim - scale * (small - lack))
    # For n - 1 >= dim, scale = 1 and small = dim: subtract nothing that could cancel.
    root_deficit = np.where((dim > 1) & (n - 1 >= dim), lack, root_deficit)
    return dim / n + dim * (1 - np.sqrt(s)) ** 2 + 2 * np.sqrt(s) * root_deficit


def fresh_data_wasserstein2_squared(
    n_r: ArrayLike, n_s: ArrayLike, *, dim: ArrayLike, lam: ArrayLike = 1.0
) -> Array:
    """Limit of E W2^2 in the fresh-data loop: WD(n_r, n_s, lam) of alemohammad2023.

    Assumes n_r + n_s >> dim, like `wasserstein2_squared`. Equals dim (dim + 5)/(4 n_r) for n_s =
    0. Unbiased covariance. Derived.
    """
    v, s = fresh_data_limit(n_r, n_s, lam=lam)
    n_r, n_s, lam, dim = _sizes(n_r, n_s, lam, dim)
    n = n_r + n_s
    f = (n_r + n_s * (lam * s) ** 2) / n**2 / (1 - (lam * n_s / n) ** 2)
    return _distance(v, s, f, dim)


def synthetic_augmentation_wasserstein2_squared(
    n_s: ArrayLike, *, n_ini: ArrayLike, dim: ArrayLike, lam: ArrayLike = 1.0
) -> Array:
    """Limit of E W2^2 with a fixed real set of n_ini samples, for n_ini + n_s >> dim. Derived."""
    v, s = synthetic_augmentation_limit(n_s, n_ini=n_ini, lam=lam)
    n_s, n_r, lam, dim = _sizes(n_s, n_ini, lam, dim)
    n = n_r + n_s
    gain = lam * n_s / n
    memory = 1 / n / (1 - gain)
    f = (n_r + n_s * (lam * s) ** 2) / n**2 + 2 * gain * (n_r / n) * memory
    return _distance(v, s, f / (1 - gain**2), dim)


# Effective sample size and the phase boundary.


def effective_sample_size(distance: ArrayLike, dim: int) -> Array:
    """The n_e with E W2^2(fit to n_e real samples) = distance: alemohammad2023, Section 5.

    Inverts `real_data_wasserstein2_squared`, so it is right near n = dim too, where dim (dim +
    5)/(4 distance) is not. Use it for a measured distance. The result is not rounded, and is 1 at
    any distance beyond that of two samples.
    """
    distance, dim = _sizes(distance, dim)
    _require(np.all(distance > 0), "distance > 0", distance, "An exact model needs no samples.")
    low, high = np.zeros_like(distance), np.full_like(distance, np.log(1e18))
    for _ in range(70):
        middle = (low + high) / 2
        too_far = real_data_wasserstein2_squared(np.exp(middle) + 1, dim) > distance
        low, high = np.where(too_far, middle, low), np.where(too_far, high, middle)
    n_e = np.exp((low + high) / 2) + 1
    return np.where(distance > real_data_wasserstein2_squared(2, dim), 1.0, n_e)


def fresh_data_effective_sample_size(
    n_r: ArrayLike, n_s: ArrayLike, *, dim: ArrayLike, lam: ArrayLike = 1.0
) -> Array:
    """n_e of the fresh-data limit for n_r >> dim, by E W2^2 = dim (dim + 5)/(4 n_e) on both sides.

    For lam = 1 and large sizes n_e/n_r = 1 + n_s/(n_r + n_s), which is between 1 and 2: unbiased
    synthetic data are always admissible (claim (iv) of alemohammad2023, Section 5). Derived.
    """
    dim = as_reals(dim)
    return dim * (dim + 5) / 4 / fresh_data_wasserstein2_squared(n_r, n_s, dim=dim, lam=lam)


def synthetic_augmentation_effective_sample_size(
    n_s: ArrayLike, *, n_ini: ArrayLike, dim: ArrayLike, lam: ArrayLike = 1.0
) -> Array:
    """n_e of the limit with a fixed real set of n_ini >> dim samples.

    For lam = 1 and large sizes n_e/n_ini = (n_ini + 2 n_s)/(n_ini + 3 n_s), in (2/3, 1]: the loss
    is bounded. Derived.
    """
    dim = as_reals(dim)
    distance = synthetic_augmentation_wasserstein2_squared(n_s, n_ini=n_ini, dim=dim, lam=lam)
    return dim * (dim + 5) / 4 / distance


def unbiased_fresh_data_ratio(n_r: ArrayLike, n_s: ArrayLike) -> Array:
    """n_e/n_r = 1 + n_s/(n_r + n_s): fresh-data limit, lam = 1, n_r >> dim, any dim. Derived."""
    n_r, n_s = _sizes(n_r, n_s)
    _check_training_set(n_r, n_s, np.zeros(()))
    return 1 + n_s / (n_r + n_s)


def unbiased_synthetic_augmentation_ratio(n_s: ArrayLike, n_ini: ArrayLike) -> Array:
    """n_e/n_ini = (n_ini + 2 n_s)/(n_ini + 3 n_s): fixed real data, lam = 1, n_ini >> dim."""
    n_s, n_ini = _sizes(n_s, n_ini)
    _check_training_set(n_ini, n_s, np.zeros(()), "n_ini + n_s")
    return (n_ini + 2 * n_s) / (n_ini + 3 * n_s)


def admissible_n_s(n_r: ArrayLike, *, dim: ArrayLike, lam: ArrayLike) -> Array:
    """Largest n_s (a real number) with n_e/n_r >= 1 in the fresh-data limit.

    The phase boundary of alemohammad2023, Fig. 11. Found numerically from
    `fresh_data_effective_sample_size`, so n_r >> dim; infinite for lam = 1.
    """
    n_r, dim, lam = _sizes(n_r, dim, lam)
    _check_bias(lam, np.zeros(()))
    _require(np.all(n_r >= 1), "n_r >= 1", n_r, "Without fresh real data there is no limit.")
    _check_dim(dim)
    return np.vectorize(_admissible_n_s, otypes=[float])(n_r, dim, lam)


def admissible_n_s_limit(lam: ArrayLike, dim: ArrayLike) -> Array:
    """Limit of `admissible_n_s` as n_r -> infinity; infinite for lam = 1.

    [4 (2 - lam) + (dim + 1)(1 + 3 lam - 2 lam^2)/2]/(1 - lam)^2. It is finite for every lam < 1 and
    grows with lam (claims (ii) and (iii) of alemohammad2023, Section 5). Derived: at a = n_s/n_r <<
    1 the squared bias dim (a (1 - lam)/2)^2 of the covariance balances the noise that the synthetic
    samples average away.
    """
    lam, dim = _sizes(lam, dim)
    _check_bias(lam, np.zeros(()))
    _check_dim(dim)
    gain = 4 * (2 - lam) + (dim + 1) * (1 + 3 * lam - 2 * lam**2) / 2
    with np.errstate(divide="ignore"):
        return gain / (1 - lam) ** 2


# The spread over replicates of the fully synthetic loop.


def log_variance_moments(
    generation: ArrayLike,
    *,
    n_ini: ArrayLike,
    n_s: ArrayLike,
    lam: ArrayLike = 1.0,
    ddof: ArrayLike = 1,
    dim: int = 1,
) -> LogVarianceMoments:
    """Exact mean and variance of log(det Sigma_t / det Sigma_0), fully synthetic.

    For dim = 1 this is the log variance; else det Sigma is Wilks's generalized variance. A fit to n
    samples multiplies it by prod_{i=1..dim} chi^2_{n-i}/(n - ddof), independently of the past
    (Bartlett). For lam = 1, ddof = 1 the mean drifts by
    sum_i psi((n-i)/2) - dim log((n-1)/2) < 0 per generation: collapse.
    All arguments but dim broadcast. Requires n_ini, n_s > dim. Derived.
    """
    t, n_ini, n_s, lam, ddof = _sizes(generation, n_ini, n_s, lam, ddof)
    _check_log_determinant(t, n_ini, n_s, lam, ddof, dim)
    first, later = _log_determinant_step(n_ini, ddof, dim), _log_determinant_step(n_s, ddof, dim)
    mean = first.mean + (t - 1) * later.mean + special.xlogy(dim * (t - 1), lam)
    return LogVarianceMoments(mean, first.variance + (t - 1) * later.variance)


def typical_variance(
    generation: ArrayLike,
    *,
    n_ini: ArrayLike,
    n_s: ArrayLike,
    lam: ArrayLike = 1.0,
    ddof: ArrayLike = 1,
) -> Array:
    """exp(E log variance_t) in one dimension, fully synthetic: the typical path.

    For lam = 1 and n_ini = n_s = n: exp{t [psi((n-1)/2) - log((n-1)/2)]}, about exp(-t/(n-1)),
    while E variance_t = 1. The exact median is `log_variance_quantiles(0.5, ...)`. Derived.
    """
    return np.exp(log_variance_moments(generation, n_ini=n_ini, n_s=n_s, lam=lam, ddof=ddof).mean)


def log_variance_quantiles(
    q: ArrayLike,
    generation: ArrayLike,
    *,
    n_ini: float,
    n_s: float,
    lam: float = 1.0,
    ddof: int = 1,
    dim: int = 1,
) -> Array:
    """Exact quantiles of log(det Sigma_t / det Sigma_0), fully synthetic; dim = 1: log variance.

    A sum of independent log chi-squares: the characteristic function prod Gamma(k/2 +
    iu)/Gamma(k/2) is inverted by Gil-Pelaez's formula (midpoint rule, about 12 digits) and the
    distribution function by a root search. Derived.

    Args:
        q: [*q], probabilities in (0, 1).
        generation: [*t], integers from 1.

    Returns:
        [*q, *t]; -inf for lam = 0 after generation 1.
    """
    q, t = as_reals(q), as_reals(generation)
    _require(np.all((q > 0) & (q < 1)), "0 < q < 1", q, "0.5 is the median.")
    _check_log_determinant(t, n_ini, n_s, lam, ddof, dim)
    settings = {"n_ini": n_ini, "n_s": n_s, "ddof": ddof, "dim": dim}
    quantiles = np.stack(
        [_log_determinant_quantile(q.ravel(), step, **settings) for step in t.ravel()], axis=-1
    ).reshape(q.shape + t.shape)
    return quantiles + special.xlogy(dim * (t - 1), lam)


def variance_squared_cv(generation: ArrayLike, *, n_ini: ArrayLike, n_s: ArrayLike) -> Array:
    """Squared coefficient of variation of variance_t over replicates, fully synthetic.

    In one dimension, for any lam and ddof: ((n_ini + 1)/(n_ini - 1)) ((n_s + 1)/(n_s - 1))^(t-1) -
    1: divided by n_replicates it is the relative squared error of a Monte-Carlo mean, hopeless for
    t of the order of n. Derived.
    """
    t, n_ini, n_s = _sizes(generation, n_ini, n_s)
    _require(np.all(t >= 1), "generation >= 1", t, "Generation 1 is the first model.")
    _check_pairs(n_s, n_ini)
    return np.expm1(np.log1p(2 / (n_ini - 1)) + (t - 1) * np.log1p(2 / (n_s - 1)))


def effective_directions(cov: ArrayLike, *, n_s: ArrayLike, n_generations: int) -> Array:
    """E (tr Sigma_t)^2 / E tr(Sigma_t^2), fully synthetic, from a first model of covariance `cov`.

    The participation ratio: d for a round covariance, 1 for a line. One fit to n_s samples, with m
    = n_s - 1, takes E tr(Sigma^2) to (1 + 1/m) E tr(Sigma^2) + E (tr Sigma)^2/m and E (tr Sigma)^2
    to E (tr Sigma)^2 + 2 E tr(Sigma^2)/m (second moments of the Wishart law), so the ratio tends to
    1: a collapsing cloud becomes a line. lam and ddof scale both alike and leave it unchanged.
    Exact, also for n_s <= d. Derived.

    Args:
        cov: [..., d, d], covariance of the first model; replicates (leading axes) are averaged.
        n_s: [*n], synthetic samples per generation, at least 2.
        n_generations: number of generations, G^1 included.

    Returns:
        [*n, n_generations].
    """
    check_counts(n_generations=n_generations)
    cov, m = as_reals(cov), as_reals(n_s) - 1
    _require(np.all(m >= 1), "n_s >= 2", n_s, "One sample has no covariance.")
    squared_trace = np.mean(np.trace(cov, axis1=-2, axis2=-1) ** 2) + 0 * m
    trace_of_square = np.mean(np.sum(cov**2, axis=(-2, -1))) + 0 * m
    _require(np.all(trace_of_square > 0), "cov other than 0", cov, "A point has no directions.")
    rows = [squared_trace / trace_of_square]
    for _ in range(n_generations - 1):
        squared_trace, trace_of_square = (
            squared_trace + 2 * trace_of_square / m,
            trace_of_square + (trace_of_square + squared_trace) / m,
        )
        rows.append(squared_trace / trace_of_square)
    return np.stack(rows, axis=-1)


# Kernel density estimates: points x_i, kernel N(0, h^2). In units of the target's variance.


def fully_synthetic_kernel_variance(
    n_s: ArrayLike,
    bandwidth: ArrayLike,
    *,
    n_ini: ArrayLike,
    n_generations: int,
    lam: ArrayLike = 1.0,
) -> Array:
    """E variance (divided by n) of the points that G^t remembers, per coordinate: exact.

    A draw has the variance of the points plus lam h^2, and n draws keep 1 - 1/n of theirs: s_t =
    (1 - 1/n)(s_(t-1) + lam h^2), so with n_ini = n_s = n

        s_t = (1 - 1/n)^t + (n - 1) lam h^2 [1 - (1 - 1/n)^(t-1)],

    one step less in the bracket than for a loop that begins with a kernel density of known points.
    It does not collapse but grows to (n - 1) lam h^2. The variance of G^t itself is s_t + h^2.
    Derived.
    """
    n_s, h, n_ini, lam = _sizes(n_s, bandwidth, n_ini, lam)
    _check_kernel(h, n_s, n_ini, lam)
    check_counts(n_generations=n_generations)
    rows = [1 - 1 / n_ini]
    for _ in range(n_generations - 1):
        rows.append((1 - 1 / n_s) * (rows[-1] + lam * h**2))
    return np.stack(rows, axis=-1)


def accumulate_kernel_variance(
    n_s: ArrayLike,
    bandwidth: ArrayLike,
    *,
    n_ini: ArrayLike,
    n_generations: int,
    lam: ArrayLike = 1.0,
) -> Array:
    """The same when n_s synthetic points join the training set for good each time: exact.

    For n_ini = n_s -> infinity it is 1 + lam h^2 (H_t - 1) with the harmonic numbers H_t, which
    grows like the logarithm of t: accumulating does not bound it. Derived.
    """
    n_s, h, n_ini, lam = _sizes(n_s, bandwidth, n_ini, lam)
    _check_kernel(h, n_s, n_ini, lam)
    check_counts(n_generations=n_generations)
    rows = [1 - 1 / n_ini]
    for t in range(1, n_generations):
        old, n = n_ini + (t - 1) * n_s, n_ini + t * n_s
        drawn = rows[-1] + lam * h**2
        rows.append((old * rows[-1] + (n_s - 1) * drawn) / n + old * drawn / n**2)
    return np.stack(rows, axis=-1)


# Discrete laws (lam = 1). A fit is the vector of relative frequencies; E p_t = p_0 in every regime.


def heterozygosity(regime: Any, probs: ArrayLike, *, n_ini: ArrayLike, n_generations: int) -> Array:
    """E[1 - sum_i p_i^2] for t = 1..n_generations in any regime, lam = 1: exact.

    The heterozygosity of population genetics, elsewhere the Gini-Simpson index: resampling is
    Wright-Fisher drift, real data are migration. A frequency is the mean of indicator variables,
    p(1 - p) is their variance, and the recursion of the first two moments asks for nothing else; so
    diversity decays exactly as s_t of a Gaussian fitted with ddof = 0. Fully synthetic, n_ini = n_s
    = n: (1 - sum p_0^2)(1 - 1/n)^t. Derived.
    """
    probs = as_reals(probs)
    _check_probs(probs)
    s = moments(regime, n_ini=n_ini, n_generations=n_generations, ddof=0).s
    return (1 - np.sum(probs**2)) * s


def extinction_probability(probs: ArrayLike, *, n_ini: int, n_s: int, n_generations: int) -> Array:
    """P(a symbol of probability p is absent from G^t), fully synthetic, lam = 1: exact.

    Returns [*probs, n_generations]. The count of one symbol is a Wright-Fisher chain, x' ~
    Binomial(n_s, x/n), and absence is for ever. Its (n_s + 1)^2 transition matrix is formed: n up
    to a few thousand. `extinction_probability(1 - p)` is the probability that the symbol is the
    only one left; it tends to p, so P(absorbed in i) = p_i (shumailov2024).
    """
    probs = as_reals(probs)
    _require(np.all((probs >= 0) & (probs <= 1)), "0 <= probs <= 1", probs, "Give probabilities.")
    check_counts(n_ini=n_ini, n_s=n_s, n_generations=n_generations)
    counts = np.arange(n_s + 1)
    drift = scipy.stats.binom.pmf(counts, n_s, (counts / n_s)[:, None])
    first_drift = drift
    if n_ini != n_s:
        first_drift = scipy.stats.binom.pmf(counts, n_s, (np.arange(n_ini + 1) / n_ini)[:, None])
    absent = (counts == 0).astype(float)
    absent_given_first = [(np.arange(n_ini + 1) == 0).astype(float)]
    for _ in range(n_generations - 1):
        absent_given_first.append(first_drift @ absent)
        absent = drift @ absent
    # The words of a text share few frequencies: each is computed once.
    distinct, where = np.unique(probs, return_inverse=True)
    first = scipy.stats.binom.pmf(np.arange(n_ini + 1), n_ini, distinct[:, None])
    return (first @ np.stack(absent_given_first, axis=-1))[where.reshape(probs.shape)]


def expected_support_size(probs: ArrayLike, *, n_ini: int, n_s: int, n_generations: int) -> Array:
    """Expected number of symbols that G^t can still produce, fully synthetic, lam = 1: exact.

    Returns [n_generations], the sum over symbols of 1 - `extinction_probability`.
    """
    extinct = extinction_probability(probs, n_ini=n_ini, n_s=n_s, n_generations=n_generations)
    return np.sum(1 - extinct, axis=tuple(range(extinct.ndim - 1)))


def poisson_survival_probability(probs: ArrayLike, *, n: ArrayLike, n_generations: int) -> Array:
    """P(a symbol is present in G^t) when counts are Poisson with mean n p: [*probs, n_generations].

    1 - exp(-n p g_t), g_1 = 1, g_{t+1} = 1 - exp(-g_t), about 2/t: exact for Poisson counts, and
    within O(1/n) of the multinomial loop with n_ini = n_s = n, for any n. Summed over symbols: the
    expected vocabulary. Source: suresh2024.
    """
    probs, n = _sizes(probs, n)
    _require(np.all((probs >= 0) & (probs <= 1)), "0 <= probs <= 1", probs, "Give probabilities.")
    _require(np.all(n >= 1), "n >= 1", n, "Give the draws of a generation.")
    check_counts(n_generations=n_generations)
    g = np.ones(n_generations)
    for t in range(1, n_generations):
        g[t] = -np.expm1(-g[t - 1])
    return -np.expm1(-(n * probs)[..., None] * g)


def expected_sample_coverage(probs: ArrayLike, n: ArrayLike) -> Array:
    """E sum_i p_i 1{i is among n draws} = sum_i p_i (1 - (1 - p_i)^n): [*n].

    The real mass that a model fitted to n real draws can still produce. Its complement is Good's
    missing mass.
    """
    probs, n = as_reals(probs), as_reals(n)
    _check_probs(probs)
    _require(np.all(n >= 0), "n >= 0", n, "Give a number of draws.")
    return np.sum(-probs * np.expm1(special.xlog1py(n[..., None], -probs)), axis=-1)


# The recursions behind the public functions: each returns v, s, f, arrays [..., n_generations].


def _recursion(regime: Any) -> Callable[..., tuple[Array, Array, Array]]:
    """The recursion of a regime object, by class name: this module needs no JAX."""
    rules = {
        "FullySynthetic": lambda **kw: _fresh_data(0, regime.n_s, **kw),
        "SyntheticAugmentation": lambda **kw: _synthetic_augmentation(regime.n_s, **kw),
        "FreshData": lambda **kw: _fresh_data(
            regime.n_r, regime.n_s, memory=getattr(regime, "memory", 1), **kw
        ),
        "Accumulate": lambda **kw: _accumulate(regime.n_s, **kw),
        "AccumulateSubsample": lambda **kw: _accumulate_subsample(regime.n_s, regime.n, **kw),
    }
    name = type(regime).__name__
    _require(
        name in rules, f"a regime among {', '.join(rules)}", name, "For another one, simulate."
    )
    return rules[name]


def _first_generation(n_ini: Array, ddof: Array, n_generations: int) -> tuple[Array, Array, Array]:
    check_counts(n_generations=n_generations)
    _require(np.all(n_ini >= 1), "n_ini >= 1", n_ini, "Give the model real data to begin with.")
    _check_training_set(n_ini, 0 * n_ini, ddof, name="n_ini")
    return 1 / n_ini, (n_ini - 1) / (n_ini - ddof), 1 / n_ini


def _stack(rows: list[tuple[Array, Array, Array]]) -> tuple[Array, Array, Array]:
    v, s, f = (np.stack(column, axis=-1) for column in zip(*rows, strict=True))
    return v, s, f


def _fresh_data(n_r, n_s, *, n_ini, n_generations, lam, ddof, memory=1):
    n_r, n_s, n_ini, lam, ddof = _sizes(n_r, n_s, n_ini, lam, ddof)
    _check_bias(lam, ddof)
    check_counts(memory=memory)
    v, s, f = _first_generation(n_ini, ddof, n_generations)
    rows = [(v, s, f)]
    if n_generations > 1:
        _check_training_set(n_r, n_s // memory, ddof)
    if memory > 1:
        return _memory(rows, n_r, n_s // memory, n_generations, lam, ddof, memory)
    n = n_r + n_s
    for _ in range(n_generations - 1):
        v, s, f = (
            (n_s / n) ** 2 * v + (n_r + n_s * lam * s) / n**2,
            (n_r - 1 + n_s / n + (n_s - 1 + n_r / n) * lam * s + n_r * n_s / n * v) / (n - ddof),
            (lam * n_s / n) ** 2 * f + (n_r + n_s * (lam * s) ** 2) / n**2,
        )
        rows.append((v, s, f))
    return _stack(rows)


def _memory(rows, n_r, n_batch, n_generations, lam, ddof, memory):
    """Fresh data with n_batch new samples of each of the last `memory` models.

    Leading axis of 2: means (gain 1) and covariances (gain lam). `related` [2, ..., K, K] holds the
    covariances of the last K models with each other, latest first; `noise` [2, ..., K] that of one
    sample about its model.
    """
    v, s, f = rows[0]
    gain = np.stack([np.ones_like(lam), lam])
    related = np.zeros((*gain.shape, memory, memory))
    noise = np.zeros((*gain.shape, memory))
    related[..., 0, 0] = np.stack([v, f])
    noise[..., 0] = np.stack([lam * s, (lam * s) ** 2])
    for n_parents in np.minimum(np.arange(1, n_generations), memory):
        n = n_r + n_parents * n_batch
        share = gain * n_batch / n
        to_parents = share[..., None] * related.sum(-2)
        state = share**2 * related.sum((-2, -1)) + (n_r + n_batch * noise.sum(-1)) / n**2
        # Second moments of all samples less that of their mean.
        second = n_r + n_batch * (noise[0].sum(-1) + np.trace(related[0], axis1=-2, axis2=-1))
        s = (second - n * state[0]) / (n - ddof)
        rows.append((state[0], s, state[1]))
        related = np.roll(related, 1, axis=(-2, -1))
        related[..., 0, 1:] = related[..., 1:, 0] = to_parents[..., :-1]
        related[..., 0, 0] = state
        noise = np.roll(noise, 1, axis=-1)
        noise[..., 0] = np.stack([lam * s, (lam * s) ** 2])
    return _stack(rows)


def _synthetic_augmentation(n_s, *, n_ini, n_generations, lam, ddof):
    n_s, n_r, lam, ddof = _sizes(n_s, n_ini, lam, ddof)
    _check_bias(lam, ddof)
    v, s, f = _first_generation(n_r, ddof, n_generations)
    _check_training_set(n_r, n_s, ddof)
    rows = [(v, s, f)]
    n = n_r + n_s
    a = n_s / n
    c = c_f = 1 / n_r
    for _ in range(n_generations - 1):
        v, s, f = (
            a**2 * v + (n_r + n_s * lam * s) / n**2 + 2 * a * (n_r / n) * c,
            (n_r - 1 + n_s / n + (n_s - 1 + n_r / n) * lam * s + n_r * a * (v - 2 * c))
            / (n - ddof),
            (lam * a) ** 2 * f
            + (n_r + n_s * (lam * s) ** 2) / n**2
            + 2 * lam * a * (n_r / n) * c_f,
        )
        c, c_f = a * c + 1 / n, lam * a * c_f + 1 / n
        rows.append((v, s, f))
    return _stack(rows)


def _accumulate(n_s, *, n_ini, n_generations, lam, ddof):
    n_s, n_ini, lam, ddof = _sizes(n_s, n_ini, lam, ddof)
    _check_bias(lam, ddof)
    _check_training_set(n_ini, n_s, ddof, "n_ini + n_s")
    v, s, f = _first_generation(n_ini, ddof, n_generations)
    rows = [(v, s, f)]
    for t in range(1, n_generations):
        old, n = n_ini + (t - 1) * n_s, n_ini + t * n_s
        v, s, f = (
            v + n_s * lam * s / n**2,
            ((old - ddof) * s + n_s * (1 - 1 / n) * lam * s) / (n - ddof),
            ((old + lam * n_s) / n) ** 2 * f + n_s * (lam * s) ** 2 / n**2,
        )
        rows.append((v, s, f))
    return _stack(rows)


def _accumulate_subsample(n_s, n, *, n_ini, n_generations, lam, ddof):
    """The state is the pool: mean v, unbiased variance w, fluctuation f."""
    n_s, n, n_ini, lam, ddof = _sizes(n_s, n, n_ini, lam, ddof)
    _check_bias(lam, ddof)
    _check_training_set(n_ini, n_s, ddof, "n_ini + n_s")
    rows = [_first_generation(n_ini, ddof, n_generations)]
    _require(np.all(n - ddof > 0), "n - ddof > 0", n, "Use a larger subsample.")
    v, w, f = 1 / n_ini, np.ones_like(n_ini), 1 / n_ini
    s, excess = rows[0][1], np.zeros_like(n_ini)
    for t in range(1, n_generations):
        old, new = n_ini + (t - 1) * n_s, n_ini + t * n_s
        v, w, f = (
            v + (n_s / new) ** 2 * excess * w + n_s * lam * s / new**2,
            # A single sample has no scatter; any w will do.
            ((old - 1) * w + n_s * (1 - 1 / new) * lam * s + old * n_s / new * excess * w)
            / np.maximum(new - 1, 1),
            ((old + lam * n_s) / new) ** 2 * f
            + (lam * n_s / new) ** 2 * excess * w**2
            + n_s * (lam * s) ** 2 / new**2,
        )
        size = np.minimum(n, new)
        excess = 1 / size - 1 / new
        s = (size - 1) / (size - ddof) * w
        rows.append((v + excess * w, s, f + excess * w**2))
    return _stack(rows)


# Small pieces.


def _solve_limit(n_r, n_s, lam, ddof, inflow_v, inflow_s) -> GaussianMoments:
    """The fixed point of v = a^2 v + n_s lam s/n^2 + inflow_v and of its companion for s."""
    n = n_r + n_s
    vv, vs = 1 - (n_s / n) ** 2, -n_s * lam / n**2
    sv, ss = -n_r * n_s / n, n - ddof - (n_s - 1 + n_r / n) * lam
    determinant = vv * ss - vs * sv
    return GaussianMoments(
        (ss * inflow_v - vs * inflow_s) / determinant,
        (vv * inflow_s - sv * inflow_v) / determinant,
    )


def _mean_root_eigenvalue(n_r, n_s, n_ini, lam, dim, v, s) -> Array:
    """E tr Sigma_t^(1/2)/dim for t = 1, 2, ..., in the limit of large dim: as long as v and s.

    The law of the eigenvalues x of Sigma_t is carried as g_t(z) = E z/(z + x) for z > 0, of which
    E sqrt(x) = (1/pi) int (1 - g_t(z)) dz/sqrt(z). A generation later the resolvent is that of
    a + b Sigma_t, with a and b at each z from a fixed point.
    """
    log_z = np.linspace(-15, 15, 601)
    z = np.exp(log_z)
    # Degrees of freedom: all points share one mean.
    n = n_r + n_s
    real, synthetic, total = n_ini - 1, 0.0, n_ini - 1
    extra, g, roots = 0.0, None, []
    for t in range(len(s)):
        fit_real = fit_synthetic = 0 * z
        for _ in range(1000):
            a = real / total / (1 + fit_real) + extra
            b = lam * synthetic / total / (1 + fit_synthetic)
            if g is None or lam * synthetic == 0:
                inverse, share = 1 / (z + a), 0 * z
            else:
                at = (z + a) / b
                parent = np.where(
                    at < z[-1], g(np.minimum(np.log(at), log_z[-1])), 1 - s[t - 1] / at
                )
                inverse, share = parent / (z + a), (1 - parent) / b
            previous, fit_real = fit_real, dim / total * inverse
            fit_synthetic = lam * dim / total * share
            if np.all(np.abs(fit_real - previous) <= 1e-9 * fit_real):
                break
        below = 1 - z * inverse
        tails = 2 * below[0] * np.sqrt(z[0]) + 2 * s[t] / np.sqrt(z[-1])
        roots.append((scipy.integrate.simpson(np.sqrt(z) * below, log_z) + tails) / np.pi)
        g = scipy.interpolate.CubicSpline(log_z, z * inverse)
        if n:
            real, synthetic, total = n_r - n_r / n, n_s - n_s / n, n - 1
            extra = n_r * n_s / n * v[t] / total  # the gap between the two means.
    return np.array(roots)


def _distance(v: Array, s: Array, f: Array, dim: Array) -> Array:
    """dim v + E sum (1 - sqrt eigenvalue)^2, to second order about s; f = 0 where s = 0."""
    v, s, f, dim = _sizes(v, s, f, dim)
    _check_dim(dim)
    spread = np.divide(f, s**1.5, out=np.zeros_like(f), where=s > 0)
    return dim * (v + (1 - np.sqrt(s)) ** 2 + (dim + 1) * spread / 4)


def _admissible_n_s(n_r: float, dim: float, lam: float) -> float:
    if lam == 1:
        return np.inf
    real_only = dim * (dim + 5) / (4 * n_r)

    def advantage(log_n_s):
        distance = fresh_data_wasserstein2_squared(n_r, np.exp(log_n_s), dim=dim, lam=lam)
        return 1 - distance / real_only

    # The advantage vanishes at n_s = 0, is positive for small n_s and negative for large: bracket
    # its last change.
    grid = np.log(np.geomspace(1e-3, 1e6 * n_r, 4000))
    positive = np.flatnonzero(advantage(grid) > 0)
    _require(
        positive.size > 0 and positive[-1] < grid.size - 1,
        "n_r much larger than dim",
        f"n_r={n_r}, dim={dim}, lam={lam}",
        "Use Monte Carlo here.",
    )
    last = positive[-1]
    return float(np.exp(scipy.optimize.brentq(advantage, grid[last], grid[last + 1], xtol=1e-13)))


def _log_c4(n: Array) -> Array:
    """log of c4(n) = E sigma_hat/sigma = sqrt(2/(n-1)) Gamma(n/2)/Gamma((n-1)/2), at any n."""
    z = (np.asarray(n, float) - 1) / 2
    near = np.minimum(z, 50)
    direct = special.gammaln(near + 0.5) - special.gammaln(near) - np.log(near) / 2
    series = -1 / (8 * z) + 1 / (192 * z**3) - 1 / (640 * z**5)
    return np.where(z < 50, direct, series)


def _one_minus_hyp2f1(a: float, b: float, c: float, x: Array) -> Array:
    """1 - 2F1(a, b; c; x), by its power series at small x, where the difference would cancel."""
    k = np.arange(1, 13)
    terms = special.poch(a, k) * special.poch(b, k) / special.poch(c, k) / special.factorial(k)
    series = -np.sum(terms * np.asarray(x)[..., None] ** k, axis=-1)
    return np.where(x < 0.05, series, 1 - special.hyp2f1(a, b, c, x))


def _digamma_minus_log(z: Array) -> Array:
    """psi(z) - log z, without cancellation at large z."""
    series = -1 / (2 * z) - 1 / (12 * z**2) + 1 / (120 * z**4) - 1 / (252 * z**6)
    return np.where(z < 50, special.digamma(z) - np.log(z), series)


def _log_gamma_ratio(z: Array, u: Array) -> NDArray[np.complex128]:
    """log Gamma(z + iu) - log Gamma(z) - iu log z, by Stirling's series where it would cancel."""
    direct = special.loggamma(np.minimum(z, 50) + 1j * u) - special.gammaln(z) - 1j * u * np.log(z)
    y, w = u / z, z + 1j * u
    log = 0.5 * np.log1p(y**2) + 1j * np.arctan(y)
    series = (w - 0.5) * log - 1j * u
    for power, coefficient in ((1, 1 / 12), (3, -1 / 360), (5, 1 / 1260)):
        series = series + coefficient * (w**-power - z**-power)
    return np.where(z < 50, direct, series)


def _log_determinant_step(n: ArrayLike, ddof: ArrayLike, dim: int) -> LogVarianceMoments:
    """Mean and variance of sum_{i=1..dim} log(chi^2_{n-i}/(n - ddof))."""
    n, ddof = (np.asarray(x, float)[..., None] for x in (n, ddof))
    i = np.arange(1, dim + 1)
    z = (n - i) / 2
    mean = np.sum(_digamma_minus_log(z) + np.log1p((ddof - i) / (n - ddof)), axis=-1)
    return LogVarianceMoments(mean, np.sum(special.polygamma(1, z), axis=-1))


def _log_determinant_quantile(q: Array, t: float, *, n_ini, n_s, ddof, dim) -> Array:
    first, later = _log_determinant_step(n_ini, ddof, dim), _log_determinant_step(n_s, ddof, dim)
    mean = first.mean + (t - 1) * later.mean
    deviation = np.sqrt(first.variance + (t - 1) * later.variance)
    # In standard deviations: period 100 (aliasing), frequencies up to 64 (truncation); both errors
    # are below 1e-15.
    u = (np.arange(1024) + 0.5) * 2 * np.pi / 100
    log_phi = np.zeros_like(u, complex)
    for n, count in ((n_ini, 1), (n_s, t - 1)):
        z = (n - np.arange(1.0, dim + 1)[:, None]) / 2
        term = _log_gamma_ratio(z, u / deviation) - 1j * u / deviation * _digamma_minus_log(z)
        log_phi += count * term.sum(0)
    weight = np.exp(log_phi) / (np.pi * (np.arange(1024) + 0.5))

    def excess(x, q):
        return 0.5 - np.sum((weight * np.exp(-1j * u * x)).imag) - q

    roots = [scipy.optimize.brentq(excess, -45, 45, args=(p,), xtol=1e-12) for p in q]
    return mean + deviation * np.array(roots)


# Checks.


def _sizes(*arrays: ArrayLike) -> list[Array]:
    arrays = [as_reals(a) for a in arrays]
    try:
        return list(np.broadcast_arrays(*arrays))
    except ValueError:
        shapes = ", ".join(str(a.shape) for a in arrays)
        raise ParameterError(
            f"all arguments must broadcast to one grid; got shapes {shapes}. "
            "Give the grid's axes lengths that agree, or 1."
        ) from None


def _require(condition: bool, required: str, got: Any, remedy: str) -> None:
    require(condition, f"{required} is required", got, remedy)


def _check_bias(lam: Array, ddof: Array) -> None:
    _require(np.all((lam >= 0) & (lam <= 1)), "lam in [0, 1]", lam, "1 means unbiased sampling.")
    _require(np.all((ddof == 0) | (ddof == 1)), "ddof in {0, 1}", ddof, "1 means unbiased.")


def _check_training_set(n_r: Array, n_s: Array, ddof: Array, name: str = "n_r + n_s") -> None:
    _require(
        np.all((n_r >= 0) & (n_s >= 0)),
        f"{name} without negative sizes",
        (n_r, n_s),
        "Use 0 or more.",
    )
    _require(np.all(n_r + n_s - ddof > 0), f"{name} > ddof", n_r + n_s, "Use more samples.")


def _check_pairs(n_s: Array, n_ini: Array) -> None:
    fine = np.all((n_s >= 2) & (n_ini >= 2))
    _require(fine, "n_s >= 2 and n_ini >= 2", (n_s, n_ini), "One sample has no variance.")


def _check_log_determinant(t: Array, n_ini, n_s, lam, ddof, dim: int) -> None:
    check_counts(dim=dim)
    _check_bias(as_reals(lam), as_reals(ddof))
    _require(np.all(t >= 1), "generation >= 1", t, "Generation 1 is the first model.")
    _require(
        np.all((as_reals(n_ini) > dim) & (as_reals(n_s) > dim)),
        f"n_ini and n_s above dim = {dim}",
        f"n_ini={n_ini}, n_s={n_s}",
        "A smaller sample gives a singular covariance.",
    )


def _check_dim(dim: Array) -> None:
    _require(np.all(dim >= 1), "dim >= 1", dim, "Give the dimension of the Gaussian.")


def _check_kernel(h: Array, n_s: Array, n_ini: Array, lam: Array) -> None:
    _require(np.all(h > 0), "bandwidth > 0", h, "Give the standard deviation of the kernel.")
    fine = np.all((n_s >= 1) & (n_ini >= 1))
    _require(fine, "n_s >= 1 and n_ini >= 1", (n_s, n_ini), "Increase it.")
    _check_bias(lam, np.zeros(()))


def _check_probs(probs: Array) -> None:
    _require(
        bool(np.all(probs >= 0)) and bool(np.isclose(probs.sum(), 1)),
        "nonnegative probs with sum 1",
        probs,
        "Divide counts by their sum.",
    )
