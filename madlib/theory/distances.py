"""Wasserstein distances of the loop's models, all W2 squared, to the target N(mu_0, I_dim)."""

from functools import cache
from typing import Annotated, Any

import numpy as np
import scipy
from numpy.typing import NDArray

from madlib.errors import Count, Rule, Shares, require
from madlib.protocols import Regime
from madlib.theory.arguments import AnyRegime, Array, Length, Sizes, Values, broadcast
from madlib.theory.law import check_work, law
from madlib.theory.limits import fixed_point
from madlib.theory.recursions import run, training_sets


@law
def wasserstein2_squared(
    regime: AnyRegime,
    *,
    dim: Sizes,
    n_ini: Sizes,
    n_generations: Length,
    lam: Shares = 1,
    ddof: Shares = 1,
) -> Array:
    """E W2^2(G^t, N(mu_0, I_dim)) for t = 1..n_generations, for training sets much larger than dim.

    dim v_t + dim (1 - sqrt s_t)^2 + dim (dim + 1) f_t/(4 s_t^(3/2)): exact in the mean, second
    order in the fluctuation of the covariance. Assumes n >> dim, and t << n/dim in the fully
    synthetic loop; beyond, the result is at most dim (v_t + 1 + s_t), which no distance exceeds.
    Derived.

    Args:
        regime, n_ini, n_generations, lam, ddof: as in `moments`.
        dim: [...], dimension of the Gaussian.

    Returns:
        [..., n_generations].

    Example:
        >>> from madlib import FreshData, theory
        >>> regime = FreshData(n_r=100, n_s=100)
        >>> theory.wasserstein2_squared(regime, dim=2, n_ini=100, n_generations=3).round(4)
        array([0.035 , 0.0262, 0.0241])
    """
    v, s, f = run(regime, n_ini, n_generations, lam, ddof)
    dim = dim[..., None]
    return np.fmin(second_order(v, s, f, dim), dim * (v + 1 + s))


@law
def wasserstein2_squared_limit(
    regime: AnyRegime, *, dim: Sizes, n_ini: Sizes = None, lam: Shares = 1
) -> Values:
    """Limit of `wasserstein2_squared` as t grows: WD(n_r, n_s, lam) of Alemohammad et al. 2023.

    Assumes training sets much larger than dim. Equals dim (dim + 5)/(4 n_r) for n_s = 0. Unbiased
    covariance. Derived.

    Args:
        regime, n_ini, lam: as in `limit`; not Accumulate.
        dim: [...], dimension of the Gaussian.

    Returns:
        [...].

    Example:
        >>> from madlib import FreshData, theory
        >>> float(theory.wasserstein2_squared_limit(FreshData(n_r=100, n_s=0), dim=2))
        0.035
    """
    return second_order(*fixed_point(regime, n_ini, lam), dim)


@law
def exact_wasserstein2_squared(
    regime: AnyRegime, *, n_ini: Sizes, n_generations: Length, lam: Shares = 1, ddof: Shares = 1
) -> Array:
    """E W2^2(G^t, N(0, 1)) in one dimension, fully synthetic: exact at every size.

    v_t + (1 - sqrt s_t)^2 + 2 sqrt(s_t) (1 - prod_{i <= t} c4(n_i)), where c4(n) = E sigma_hat/
    sigma and n_i is the size of training set i. For lam = 1, ddof = 1 and n_i = n it is t/n + 2 (1
    - c4(n)^t), about 1.5 t/n while t << n.

    Two true statements look contradictory (Shumailov et al. 2024, theorem): E W2^2 -> infinity, and
    Sigma_t -> 0 almost surely. On almost every path Sigma_t falls exponentially, so the mean stops
    moving at some random point and W2^2 tends to the finite |mu_inf - mu_0|^2 + sigma^2. Yet E
    Sigma_t = Sigma_0 for lam = 1, ddof = 1, carried by ever rarer paths with an ever larger
    variance; those paths also carry E|mu_t - mu_0|^2 = t/n, which grows without bound.

    Args:
        regime: FullySynthetic, also Growing.
        n_ini, n_generations, lam, ddof: as in `moments`; n_ini and n_s are at least 2.

    Returns:
        [..., n_generations].

    Example:
        >>> from madlib import FullySynthetic, theory
        >>> loop = {"n_ini": 100, "n_generations": 3}
        >>> theory.exact_wasserstein2_squared(FullySynthetic(100), **loop).round(4)
        array([0.015 , 0.0301, 0.0451])
    """
    n_r, n_s = _sizes(regime, n_ini, n_generations)
    fine = np.all(n_r[..., 1:] == 0) and np.all(n_r + n_s >= 2)
    require(fine, "a fully synthetic regime, of at least 2 samples, is required", regime)
    v, s, _ = run(regime, n_ini, n_generations, lam, ddof)
    log_c4s = np.cumsum(log_c4(n_r + n_s), axis=-1)
    return v + (1 - np.sqrt(s)) ** 2 - 2 * np.sqrt(s) * np.expm1(log_c4s)


@law
def spectral_wasserstein2_squared(
    regime: AnyRegime, *, dim: Count, n_ini: Sizes, n_generations: Length, lam: Shares = 1
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
        regime: FullySynthetic or FreshData, also Growing, with at most 1e5 dim samples; unbiased
            covariance.
        dim, n_ini, n_generations, lam: as in `wasserstein2_squared`; dim is one number.

    Returns:
        [..., n_generations].

    Example:
        >>> from madlib import FreshData, theory
        >>> loop = {"n_ini": 100, "n_generations": 2}
        >>> theory.spectral_wasserstein2_squared(FreshData(100, 100), dim=100, **loop).round(1)
        array([31.9, 19.7])
    """
    n_r, n_s = _sizes(regime, n_ini, n_generations, lam)
    check_work(1e5 * n_r.size)  # values of z times iterations, about.
    largest = np.max(n_r + n_s)
    required = f"training sets of at most 1e5 dim = {1e5 * dim:g} samples are required"
    require(largest <= 1e5 * dim, required, f"{largest:g}", "Use wasserstein2_squared.")
    v, s, f = run(regime, n_ini, n_generations, lam, 1.0)
    lam, root = np.broadcast_to(lam, v.shape[:-1]), np.empty_like(v)
    for cell in np.ndindex(lam.shape):
        root[cell] = _mean_root_eigenvalue(n_r[cell], n_s[cell], lam[cell], dim, v[cell], s[cell])
    return dim * (v + 1 + s - 2 * root + _spread(s, f) / 4)


@law
def real_data_wasserstein2_squared(
    n: Annotated[Any, Rule(1, open=True, array=True)], dim: Sizes, *, ddof: Shares = 1
) -> Values:
    """E W2^2 of a Gaussian fitted to n real samples of N(mu_0, I_dim): the yardstick of n_e.

    Tends to dim (dim + 5)/(4 n) for n >> dim. Exact for dim = 1. Otherwise E tr Sigma^(1/2) is
    taken from the Marchenko-Pastur law with its O(1) correction for real samples (Bai and
    Silverstein 2004), for n below dim too. What remains is of relative size 1.5/dim^2 for n within
    a factor 2 of dim, 0.1/dim^2 beyond. Derived.

    Args:
        n: [...], real samples, any number above 1.
        dim: [...], dimension of the Gaussian.
        ddof: [...], as in `moments`.

    Returns:
        [...].

    Example:
        >>> from madlib import theory
        >>> theory.real_data_wasserstein2_squared([100, 10_000], dim=20).round(4)
        array([1.2886, 0.0125])
    """
    return real_data(n, dim, ddof)


def real_data(n: Any, dim: Any, ddof: Any = 1.0) -> Values:
    """`real_data_wasserstein2_squared`, unchecked."""
    n, dim, ddof = broadcast(n, dim, ddof)
    s = (n - 1) / (n - ddof)
    small, large = np.minimum(dim, n - 1), np.maximum(dim, n - 1)
    ratio = small / large
    # Mean of sqrt(eigenvalue): 2F1(-1/2, 1/2; 2; ratio) under Marchenko-Pastur; the second term is
    # the O(1) correction.
    lack = small * _one_minus_hyp2f1(-0.5, 0.5, 2.0, ratio) - 0.5 * _one_minus_hyp2f1(
        -0.5, -0.5, 1.0, ratio
    )
    scale = np.sqrt(large / (n - 1))
    root_deficit = np.where(dim == 1, -np.expm1(log_c4(n)), dim - scale * (small - lack))
    # For n - 1 >= dim, scale = 1 and small = dim: subtract nothing that could cancel.
    root_deficit = np.where((dim > 1) & (n - 1 >= dim), lack, root_deficit)
    return dim / n + dim * (1 - np.sqrt(s)) ** 2 + 2 * np.sqrt(s) * root_deficit


def second_order(v: Any, s: Any, f: Any, dim: Any) -> Values:
    """dim v + E sum (1 - sqrt eigenvalue)^2, to second order about s."""
    v, s, f, dim = broadcast(v, s, f, dim)
    return dim * (v + (1 - np.sqrt(s)) ** 2 + (dim + 1) * _spread(s, f) / 4)


def log_c4(n: Any) -> Values:
    """log of c4(n) = E sigma_hat/sigma = sqrt(2/(n-1)) Gamma(n/2)/Gamma((n-1)/2), at any n."""
    z = (np.asarray(n, float) - 1) / 2
    near = np.minimum(z, 50)
    direct = scipy.special.gammaln(near + 0.5) - scipy.special.gammaln(near) - np.log(near) / 2
    series = -1 / (8 * z) + 1 / (192 * z**3) - 1 / (640 * z**5)
    return np.where(z < 50, direct, series)


def _spread(s: Any, f: Any) -> Values:
    """f/s^(3/2), and 0 where s = 0."""
    s, f = np.broadcast_arrays(s, f)
    return np.divide(f, s, out=np.zeros_like(f), where=s > 0) / np.sqrt(np.where(s > 0, s, 1))


def _sizes(regime: Regime, n_ini: Any, n_generations: int, lam: Any = 1.0) -> list[Array]:
    """n_r and n_s, [..., n_generations], of training sets that are real + of the last model."""
    sets, grid = training_sets(regime, n_ini, n_generations, lam)
    sizes: tuple[list, list] = ([], [])
    for t, (batches, _) in enumerate(sets, 1):
        fine = all(b.of in (0, t - 1) and b.n is not None and np.all(b.w == 1) for b in batches)
        require(fine, "FullySynthetic or FreshData is required", regime, "Simulate it.")
        for synthetic, column in enumerate(sizes):
            size = sum(b.n for b in batches if (b.of > 0) == synthetic)
            column.append(size + np.zeros(grid))
    return [np.stack(column, axis=-1) for column in sizes]


def _one_minus_hyp2f1(a: float, b: float, c: float, x: Any) -> Values:
    """1 - 2F1(a, b; c; x), by its power series at small x, where the difference would cancel."""
    k, terms = _terms_of_hyp2f1(a, b, c)
    series = -np.sum(terms * np.asarray(x)[..., None] ** k, axis=-1)
    return np.where(x < 0.05, series, 1 - scipy.special.hyp2f1(a, b, c, x))


@cache
def _terms_of_hyp2f1(a: float, b: float, c: float) -> tuple[NDArray, NDArray]:
    """Powers 1 to 12 and their coefficients."""
    k, poch = np.arange(1, 13), scipy.special.poch
    return k, poch(a, k) * poch(b, k) / poch(c, k) / scipy.special.factorial(k)


def _mean_root_eigenvalue(n_r: Any, n_s: Any, lam: float, dim: int, v: Any, s: Any) -> Array:
    """E tr Sigma_t^(1/2)/dim for t = 1, 2, ..., in the limit of large dim: as long as v and s.

    The law of the eigenvalues x of Sigma_t is carried as g_t(z) = E z/(z + x) for z > 0, of which
    E sqrt(x) = (1/pi) int (1 - g_t(z)) dz/sqrt(z). A generation later the resolvent is that of
    a + b Sigma_t, with a and b at each z from a fixed point.
    """
    log_z = np.linspace(-15, 15, 601)
    z = np.exp(log_z)
    g, roots = None, []
    for t, n in enumerate(n_r + n_s):
        # Degrees of freedom: all points share one mean; the two batches differ in theirs.
        real, synthetic, total = n_r[t] * (1 - 1 / n), n_s[t] * (1 - 1 / n), n - 1
        extra = n_r[t] * n_s[t] / n * v[t - 1] / total
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
    return np.array(roots)
