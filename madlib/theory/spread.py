"""The spread over replicates of the fully synthetic Gaussian loop, exact."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from madlib.errors import Count, Reals, Shares, require
from madlib.theory.arguments import Length, Sizes, Values, broadcast
from madlib.theory.law import check_work, law


class LogVarianceMoments(NamedTuple):
    """Mean and variance, over replicates, of log(det Sigma_t / det Sigma_0).

    Attributes:
        mean: [...], in nats.
        variance: [...], in nats squared.

    Example:
        >>> from madlib import theory
        >>> theory.LogVarianceMoments(mean=-0.01, variance=0.02).mean
        -0.01
    """

    mean: Any
    variance: Any


@partial(law, infinite=True)
def log_variance_moments(
    generation: Sizes,
    *,
    n_ini: Sizes,
    n_s: Sizes,
    lam: Shares = 1,
    ddof: Shares = 1,
    dim: Count = 1,
) -> LogVarianceMoments:
    """Exact mean and variance of log(det Sigma_t / det Sigma_0), fully synthetic.

    For dim = 1 this is the log variance; else det Sigma is Wilks's generalized variance. A fit to n
    samples multiplies it by prod_{i=1..dim} chi^2_{n-i}/(n - ddof), independently of the past
    (Bartlett). For lam = 1, ddof = 1 the mean drifts by
    sum_i psi((n-i)/2) - dim log((n-1)/2) < 0 per generation: collapse. Derived.

    Args:
        generation: [...], t, counted from 1.
        n_ini, n_s: [...], real samples for generation 1, synthetic ones per later generation; more
            than dim.
        lam, ddof: [...], as in `moments`.
        dim: dimension of the Gaussian.

    Returns:
        mean (-inf for lam = 0 after generation 1) and variance, each [...].

    Example:
        >>> from madlib import theory
        >>> mean, variance = theory.log_variance_moments(50, n_ini=100, n_s=100)
        >>> round(float(mean), 3), round(float(variance), 3)
        (-0.507, 1.02)
    """
    t, n_ini, n_s, lam, ddof = broadcast(generation, n_ini, n_s, lam, ddof)
    _check_sizes(n_ini, n_s, dim)
    first, later = _step(n_ini, ddof, dim), _step(n_s, ddof, dim)
    mean = first.mean + (t - 1) * later.mean + scipy.special.xlogy(dim * (t - 1), lam)
    return LogVarianceMoments(mean, first.variance + (t - 1) * later.variance)


@law
def typical_variance(
    generation: Sizes, *, n_ini: Sizes, n_s: Sizes, lam: Shares = 1, ddof: Shares = 1
) -> Values:
    """exp(E log variance_t) in one dimension, fully synthetic: the typical path.

    For lam = 1 and n_ini = n_s = n: exp{t [psi((n-1)/2) - log((n-1)/2)]}, about exp(-t/(n-1)),
    while E variance_t = 1. The exact median is `log_variance_quantiles(0.5, ...)`. Derived.

    Args:
        generation, n_ini, n_s, lam, ddof: as in `log_variance_moments`.

    Returns:
        [...], in units of the target's variance.

    Example:
        >>> from madlib import theory
        >>> theory.typical_variance([1, 100, 1000], n_ini=100, n_s=100).round(5)
        array([9.8992e-01, 3.6295e-01, 4.0000e-05])
    """
    return np.exp(log_variance_moments(generation, n_ini=n_ini, n_s=n_s, lam=lam, ddof=ddof).mean)


@partial(law, infinite=True)
def log_variance_quantiles(
    q: Reals,
    generation: Sizes,
    *,
    n_ini: Sizes,
    n_s: Sizes,
    lam: Shares = 1,
    ddof: Shares = 1,
    dim: Count = 1,
) -> Values:
    """Exact quantiles of log(det Sigma_t / det Sigma_0), fully synthetic; dim = 1: log variance.

    A sum of independent log chi-squares: the characteristic function prod Gamma(k/2 +
    iu)/Gamma(k/2) is inverted by Gil-Pelaez's formula (midpoint rule; probabilities are right to
    about 1e-12) and the distribution function by a root search. Derived.

    Args:
        q: [*q], probabilities from 1e-9 to 1 - 1e-9.
        generation, n_ini, n_s, lam, ddof, dim: as in `log_variance_moments`; their grid is [...].

    Returns:
        [*q, ...], in nats; -inf for lam = 0 after generation 1.

    Example:
        >>> from madlib import theory
        >>> theory.log_variance_quantiles([0.05, 0.5, 0.95], 50, n_ini=100, n_s=100).round(2)
        array([-2.17, -0.5 ,  1.15])
    """
    fine = np.all((q >= 1e-9) & (q <= 1 - 1e-9))
    require(fine, "q must lie in [1e-9, 1 - 1e-9]", q, "0.5 is the median.")
    t, n_ini, n_s, lam, ddof = broadcast(generation, n_ini, n_s, lam, ddof)
    _check_sizes(n_ini, n_s, dim)
    check_work(1e4 * t.size * (dim + q.size))
    found = [
        _quantile(q.ravel(), *cell, dim)
        for cell in zip(t.flat, n_ini.flat, n_s.flat, ddof.flat, strict=True)
    ]
    return np.stack(found, axis=-1).reshape(q.shape + t.shape) + scipy.special.xlogy(
        dim * (t - 1), lam
    )


@law
def variance_squared_cv(generation: Sizes, *, n_ini: Sizes, n_s: Sizes) -> Values:
    """Squared coefficient of variation of variance_t over replicates, fully synthetic.

    In one dimension, for any lam and ddof: ((n_ini + 1)/(n_ini - 1)) ((n_s + 1)/(n_s - 1))^(t-1) -
    1: divided by n_replicates it is the relative squared error of a Monte-Carlo mean, hopeless for
    t of the order of n. Derived.

    Args:
        generation, n_ini, n_s: as in `log_variance_moments`.

    Returns:
        [...].

    Example:
        >>> from madlib import theory
        >>> theory.variance_squared_cv([1, 100], n_ini=101, n_s=101).round(2)
        array([0.02, 6.24])
    """
    t, n_ini, n_s = broadcast(generation, n_ini, n_s)
    _check_sizes(n_ini, n_s, 1)
    return np.expm1(np.log1p(2 / (n_ini - 1)) + (t - 1) * np.log1p(2 / (n_s - 1)))


@law
def expected_divergence(
    *, n_ini: Sizes, n_s: Sizes, n_generations: Length, dim: Count = 1
) -> Values:
    r"""E KL(N_0 || N_t) in nats, fully synthetic, lam = 1 and ddof = 1: exact.

    Half of $\mathrm{E} \log\det \Sigma_t + d (r^t - 1) + d S_t$, where $r = (n - 1)/(n - d - 2)$ is
    the mean factor of an inverse covariance and $S_t = r (S_{t-1} + 1/n)$ the error of the mean:
    about $t d (d + 3)/(4n)$ at first. Where the real distribution p is not normal, and $N_0$ is the
    normal distribution of its moments, KL(p || N_t) = KL(p || N_0) + KL(N_0 || N_t) exactly:
    expressivity and statistical error add. Derived.

    Args:
        n_ini, n_s: [...], as in `log_variance_moments`; more than dim + 2.
        n_generations: number of generations, G^1 included.
        dim: d.

    Returns:
        [..., n_generations].

    Example:
        >>> from madlib import theory
        >>> theory.expected_divergence(n_ini=100, n_s=100, n_generations=3).round(4)
        array([0.0103, 0.021 , 0.032 ])
    """
    n_ini, n_s = broadcast(n_ini, n_s)
    _check_sizes(n_ini, n_s, dim + 2)
    t = np.arange(1, n_generations + 1)
    e_ini, e_s = ((dim + 1) / (n - dim - 2) for n in (n_ini, n_s))
    log_det = log_variance_moments(t, n_ini=n_ini[..., None], n_s=n_s[..., None], dim=dim).mean
    growth = np.expm1(np.log1p(e_ini)[..., None] + (t - 1) * np.log1p(e_s)[..., None])
    drift = [(1 + e_ini) / n_ini]
    for _ in t[1:]:
        drift.append((1 + e_s) * (drift[-1] + 1 / n_s))
    return (log_det + dim * (growth + np.stack(drift, axis=-1))) / 2


@law
def effective_directions(cov: Reals, *, n_s: Sizes, n_generations: Length) -> Values:
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

    Example:
        >>> import numpy as np
        >>> from madlib import theory
        >>> theory.effective_directions(np.eye(8), n_s=9, n_generations=3).round(2)
        array([8.  , 3.88, 2.57])
    """
    square = cov.ndim >= 2 and cov.shape[-1] == cov.shape[-2] and np.any(cov)
    require(square, "cov must be [..., d, d], and other than 0", cov, "A point has no directions.")
    require(np.all(n_s >= 2), "n_s >= 2 is required", n_s, "One sample has no covariance.")
    check_work(np.size(n_s) * n_generations)
    cov, m = cov / np.abs(cov).max(), n_s - 1
    ratio = np.mean(np.trace(cov, axis1=-2, axis2=-1) ** 2) / np.mean(np.sum(cov**2, (-2, -1)))
    rows = [ratio + 0 * m]
    for _ in range(n_generations - 1):
        rows.append((rows[-1] + 2 / m) / (1 + (1 + rows[-1]) / m))
    return np.stack(rows, axis=-1)


def _check_sizes(n_ini: Any, n_s: Any, dim: int) -> None:
    fine = np.all((n_ini > dim) & (n_s > dim))
    required = f"n_ini and n_s above {dim} are required"
    require(fine, required, f"n_ini={n_ini}, n_s={n_s}", "Fewer give a singular covariance.")
    check_work(np.size(n_ini) * dim)


def _step(n: Any, ddof: Any, dim: int) -> LogVarianceMoments:
    """Mean and variance of sum_{i=1..dim} log(chi^2_{n-i}/(n - ddof))."""
    n, ddof = np.asarray(n)[..., None], np.asarray(ddof)[..., None]
    i = np.arange(1, dim + 1)
    z = (n - i) / 2
    mean = np.sum(_digamma_minus_log(z) + np.log1p((ddof - i) / (n - ddof)), axis=-1)
    return LogVarianceMoments(mean, np.sum(scipy.special.polygamma(1, z), axis=-1))


def _quantile(q: Any, t: float, n_ini: float, n_s: float, ddof: float, dim: int) -> Values:
    first, later = _step(n_ini, ddof, dim), _step(n_s, ddof, dim)
    mean = first.mean + (t - 1) * later.mean
    deviation = np.sqrt(first.variance + (t - 1) * later.variance)
    # In standard deviations: period 100 (aliasing), frequencies up to 64 (truncation); both errors
    # are below 1e-15.
    u = (np.arange(1024) + 0.5) * 2 * np.pi / 100
    z = (np.array([n_ini, n_s]) - np.arange(1, dim + 1)[:, None]) / 2
    log_phi = (_log_phi(z, u[:, None, None] / deviation) * [1, t - 1]).sum((-2, -1))
    weight = np.exp(log_phi) / (np.pi * (np.arange(1024) + 0.5))

    def excess(x: float, q: float) -> float:
        return 0.5 - np.sum((weight * np.exp(-1j * u * x)).imag) - q

    roots = [scipy.optimize.brentq(excess, -45, 45, args=(p,), xtol=1e-12) for p in q]
    return mean + deviation * np.array(roots)


def _digamma_minus_log(z: Any) -> Values:
    """psi(z) - log z, without cancellation at large z."""
    series = -1 / (2 * z) - 1 / (12 * z**2) + 1 / (120 * z**4) - 1 / (252 * z**6)
    return np.where(z < 50, scipy.special.digamma(z) - np.log(z), series)


def _log_phi(z: Any, u: Any) -> NDArray[np.complex128]:
    """log E exp(iu (X - E X)) where X = log Y, and Y has the Gamma distribution of shape z."""
    direct = (
        scipy.special.loggamma(z + 1j * u)
        - scipy.special.gammaln(z)
        - 1j * u * scipy.special.digamma(z)
    )
    k = range(2, 15)  # the series of cumulants, where those three would cancel.
    series = sum(
        (1j * u) ** i * scipy.special.polygamma(i - 1, z) / scipy.special.factorial(i) for i in k
    )
    return np.where(u < 0.05 * z, series, direct)
