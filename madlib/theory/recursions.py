r"""The first two moments of every model, for any regime that is a rule of `recursion`.

A training set is made of batches; batch i holds $n_i$ examples of weight $w_i$ each, and has the
share $a_i = n_i w_i / W$ of the total weight $W = \sum_i n_i w_i$. New examples of a model
$N(\mu_i, \lambda \Sigma_i)$ have variance $\tau_i$ about its mean, $\tau_i \Sigma_0 = \lambda\,
\mathrm{E} \Sigma_i$; of the target, $\tau_i = 1$ and $\mu_i = \mu_0$. With $C_{ij} \Sigma_0 =
\mathrm{E} (\mu_i - \mu_0)(\mu_j - \mu_0)^T$ and $q = \sum_i a_i w_i / W$, the mean and the
covariance of the next model are on average

    v = sum_ij a_i a_j C_ij + sum_i a_i (w_i / W) tau_i
    s (1 - ddof q) = sum_i (w_i / W) tau_i (n_i - a_i) + sum_{i<j} a_i a_j (C_ii + C_jj - 2 C_ij)

exactly, in every dimension and for every covariance: weighted examples of one variance have the
expected scatter W (1 - q) times that variance, and batches whose means differ add theirs. The
covariance of the new mean with an older one is sum_i a_i C_ij. A batch that is a training set once
more brings its scatter as it is, and draws no noise.

The fluctuation of the covariance, E |Sigma_t - E Sigma_t|_F^2 = dim (dim + 1) f_t for Sigma_0 = I,
follows the recursion of v with lam in front of every parent and tau^2 for tau; it holds to first
order in 1/n and is used in the W2^2 approximations only. Derived.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import numpy as np

from madlib import regimes
from madlib.errors import MAX_SIZE, Rule, Shares, require
from madlib.protocols import Regime
from madlib.theory.arguments import AnyRegime, Array, Length, RegimeRule, Sizes, grid_of
from madlib.theory.law import check_work, law


class GaussianMoments(NamedTuple):
    r"""Expected first two moments of the model, in units of the target's covariance.

    Attributes:
        v: [..., n_generations] (or [...] for a limit), $\mathrm{E} (\mu_t - \mu_0)(\mu_t -
            \mu_0)^T = v_t \Sigma_0$.
        s: the same shape, $\mathrm{E} \Sigma_t = s_t \Sigma_0$.

    Example:
        >>> from madlib import theory
        >>> theory.GaussianMoments(v=0.01, s=0.99).s
        0.99
    """

    v: Any
    s: Any


class Batch(NamedTuple):
    """Examples of a training set that have one origin.

    Attributes:
        of: generation of the model that draws them; 0 is the target.
        n: [...], how many; None for the training set of that generation, once more (for the pool,
            where that was a subsample).
        w: [...], weight of each.

    Example:
        >>> from madlib import theory
        >>> theory.Batch(of=3, n=100)  # new examples of the model of generation 3
        Batch(of=3, n=100, w=1.0)
    """

    of: int
    n: Any = None
    w: Any = 1.0


class TrainingSet(NamedTuple):
    """The training set of a generation.

    Attributes:
        batches: which it is made of.
        subsample: [...], how many examples of them are drawn without replacement; None for all.

    Example:
        >>> from madlib import theory
        >>> theory.TrainingSet((theory.Batch(of=0, n=10), theory.Batch(of=3, n=90))).subsample
    """

    batches: tuple[Batch, ...]
    subsample: Any = None


@functools.singledispatch
def recursion(regime: Any, t: int) -> TrainingSet:
    """The training set of generation t >= 2 under a regime: the rule of every closed form here.

    A regime of your own takes part once its rule is registered for its class.

    Example:
        >>> from madlib import theory
        >>> from madlib.protocols import Regime, Size
        >>> class TwoBack(Regime):  # the model before the last one
        ...     n_s: Size
        >>> @theory.recursion.register
        ... def _(regime: TwoBack, t: int):
        ...     return theory.TrainingSet((theory.Batch(of=max(t - 2, 1), n=regime.n_s),))
        >>> theory.moments(TwoBack(100), n_ini=100, n_generations=5).v.round(2)
        array([0.01, 0.02, 0.02, 0.03, 0.03])
    """
    require(False, "a regime whose rule is registered is required", repr(regime), "Simulate it.")
    raise AssertionError


@recursion.register
def _(regime: regimes.FullySynthetic, t: int) -> TrainingSet:
    return TrainingSet((Batch(t - 1, regime.n_s),))


@recursion.register
def _(regime: regimes.SyntheticAugmentation, t: int) -> TrainingSet:
    return TrainingSet((Batch(1), Batch(t - 1, regime.n_s)))


@recursion.register
def _(regime: regimes.FreshData, t: int) -> TrainingSet:
    return TrainingSet((Batch(0, regime.n_r), Batch(t - 1, regime.n_s)))


@recursion.register
def _(regime: regimes.LongMemory, t: int) -> TrainingSet:
    memory = Rule(1, MAX_SIZE, whole=True)("memory", regime.memory)
    divides = np.all(regime.n_s % memory == 0)
    require(divides, "memory must divide n_s", regime, f"Use a multiple of {memory} for n_s.")
    models = range(t - 1, max(t - 1 - memory, 0), -1)
    synthetic = (Batch(of, regime.n_s // memory) for of in models)
    return TrainingSet((Batch(0, regime.n_r), *synthetic))


@recursion.register
def _(regime: regimes.Accumulate, t: int) -> TrainingSet:
    return TrainingSet((Batch(t - 1), Batch(t - 1, regime.n_s)))


@recursion.register
def _(regime: regimes.AccumulateFresh, t: int) -> TrainingSet:
    return TrainingSet((Batch(t - 1), Batch(0, regime.n_r), Batch(t - 1, regime.n_s)))


@recursion.register
def _(regime: regimes.AccumulateSubsample, t: int) -> TrainingSet:
    return TrainingSet((Batch(t - 1), Batch(t - 1, regime.n_s)), regime.n)


@recursion.register
def _(regime: regimes.Weighted, t: int) -> TrainingSet:
    w = Rule(0, MAX_SIZE, array=True)("w", regime.w)
    batches, subsample = recursion(regime.regime, t)
    require(subsample is None, "weights without a subsample are required", regime, "Simulate it.")
    real = [b.of == 0 or (b.of == 1 and b.n is None) for b in batches]
    weighted = (b._replace(w=w * b.w) if r else b for b, r in zip(batches, real, strict=True))
    return TrainingSet(tuple(weighted))


@recursion.register
def _(regime: regimes.Growing, t: int) -> TrainingSet:
    batches, subsample = _at(regime, t, t)
    drawn = list(batches)
    for i, batch in enumerate(batches):  # samples that a later generation uses are drawn at once.
        if batch.n is not None and 0 < batch.of < t - 1:
            drawn[i] = _at(regime, batch.of + 1, t).batches[i]
    return TrainingSet(tuple(drawn), subsample)


def _at(regime: regimes.Growing, generation: int, t: int) -> TrainingSet:
    """The training set of generation t, had it the sizes of another generation."""
    return recursion(RegimeRule()("regime", regime._at(float(generation), np)), t)


@law
def moments(
    regime: AnyRegime, *, n_ini: Sizes, n_generations: Length, lam: Shares = 1, ddof: Shares = 1
) -> GaussianMoments:
    r"""Exact $(v_t, s_t)$ for t = 1..n_generations under any regime with a rule of `recursion`.

    *Fully synthetic*, ddof = 1 and n_ini = n_s = n: s_t = lam^(t-1) and v_t = (1/n)(1 + lam + ... +
    lam^(t-1)): the mean covariance stays at Sigma_0 for lam = 1 although every path collapses (see
    `typical_variance`). With ddof = 0 and lam = 1, s_t = (1 - 1/n)^t and v_t + s_t = 1. A sample of
    generation t + 1 has variance v_t + s_t. Source: Alemohammad et al. 2023 (E Sigma_t); Shumailov
    et al. 2024 (variance 1 + t/n); v_t derived.

    *Accumulate*, ddof = 0, lam = 1 and n_ini = n_s = n: s_t = prod_{i <= t} (1 - 1/(n i^2)) and
    v_t = 1 - s_t (Kazdan et al. 2024); subsampled to n, n v_t tends to pi^2/2 - 2 for large n.

    *Long memory*, lam = 1 and large sizes: n_e/n_r tends to 1 + k K/(k + K), k = n_s/n_r (grows
    with K: Alemohammad et al. 2023, Fig. 30).

    Args:
        regime: regimes.FullySynthetic, SyntheticAugmentation, FreshData, LongMemory, Accumulate or
            [...] broadcast.
        n_ini: [...], real samples for generation 1 (in SyntheticAugmentation: the fixed real set).
        n_generations: number of generations, G^1 included.
        lam: [...], sampling bias in [0, 1]; synthetic samples come from N(mu, lam Sigma).
        ddof: [...], 1 for the unbiased covariance, 0 for maximum likelihood.

    Returns:
        v and s, each [..., n_generations].

    Raises:
        ParameterError: for a regime without a rule, or a training set too small for a covariance.

    Example:
        >>> from madlib import FreshData, theory
        >>> v, s = theory.moments(FreshData(n_r=50, n_s=50), n_ini=100, n_generations=3, lam=0.5)
        >>> s.round(3)
        array([1.   , 0.753, 0.691])
    """
    return GaussianMoments(*run(regime, n_ini, n_generations, lam, ddof)[:2])


def training_sets(regime: Regime, n_ini: Any, n_generations: int, *others: Any) -> tuple:
    """The training sets of t = 1, 2, ..., and the grid of their sizes, weights and `others`."""
    grid = grid_of(*map(np.shape, (n_ini, *jax.tree.leaves(regime), *others)))
    sets, work = [TrainingSet((Batch(0, n_ini),))], 0.0
    for t in range(2, n_generations + 1):
        sets.append(recursion(regime, t))
        work += math.prod(grid) * len(sets[-1].batches) ** 2
        check_work(work)
    return sets, grid


def run(
    regime: Regime, n_ini: Any, n_generations: int, gain: Any, ddof: Any, kernel: Any = 0.0
) -> tuple[Array, Array, Array]:
    """v, s and f, [..., n_generations] each, where new examples have variance gain s + kernel."""
    sets, grid = training_sets(regime, n_ini, n_generations, gain, ddof, kernel)
    last_use = {batch.of: t for t, (batches, _) in enumerate(sets, 1) for batch in batches}
    gains = np.stack([np.ones(grid), np.broadcast_to(gain, grid)])  # of means, of covariances.
    # Of each generation that is still needed: tau and tau^2; then W, q and scatter/W of its set.
    made: dict[int, tuple] = {0: (np.ones(gains.shape),)}
    # C, [J, J, 2, ...], of the target and of models, t, and of pools, -t.
    labels, cov = [0], np.zeros((1, 1, *gains.shape))
    rows, least = [], np.inf
    for t, (batches, subsample) in enumerate(sets, 1):
        weights = [b.w * (made[b.of][1] if b.n is None else b.n) for b in batches]
        a, total = np.zeros((len(labels), *gains.shape)), sum(weights)
        variance, scatter, squares = np.zeros(gains.shape), np.zeros(grid), 0.0
        for (of, n, w), weight in zip(batches, weights, strict=True):
            share, each, tau, set_of = weight / total, w / total, made[of][0], made[of][1:]
            if n is None:
                a[labels.index(-of if -of in labels else of)] += share
                squares = squares + share**2 * set_of[1]
                scatter = scatter + share * set_of[2]
            else:
                a[labels.index(of)] += share * gains
                squares = squares + share * each
                scatter = scatter + each * (n - share) * tau[0]
                variance = variance + share * each * tau
        to_others = np.sum(a[:, None] * cov, axis=0)
        variance = variance + np.sum(a * to_others, axis=0)
        own, share = np.einsum("ii...->i...", cov[:, :, 0]), a[:, 0]
        gap = np.maximum(own[:, None] + own - 2 * cov[:, :, 0], 0)
        scatter = scatter + np.sum(share * np.sum(share * gap, axis=1), axis=0) / 2

        mean, divisor, s = variance, 1 - ddof * squares, scatter / (1 - ddof * squares)
        if subsample is not None:  # a single example has no scatter.
            n, of_one = np.minimum(subsample, total), scatter / np.where(total > 1, 1 - squares, 1)
            divisor, s = n - ddof, of_one * (n - 1) / (n - ddof)
            mean = variance + (1 / n - 1 / total) * np.stack([of_one, of_one**2])
        rows.append((mean[0], s, mean[1]))
        least = np.minimum(least, divisor)

        tau = gain * s + kernel
        made[t] = (np.stack([tau, tau**2]), total, squares, scatter)
        made = {g: record for g, record in made.items() if last_use.get(g, 0) > t}
        kept = [i for i, label in enumerate(labels) if abs(label) in made]
        labels = [labels[i] for i in kept] + ([t] if subsample is None else [t, -t])
        old, before, cov = len(kept), cov, np.zeros((len(labels), len(labels), *gains.shape))
        cov[:old, :old] = before[np.ix_(kept, kept)]
        cov[old:, :old] = to_others[kept]
        cov[:old, old:] = to_others[kept][:, None]
        cov[old:, old:] = variance
        cov[old, old] = mean
    required = "training sets must hold more than ddof examples, of weights above 0,"
    require(np.all(least > 0), required, regime, "Increase its sizes, or use ddof=0.")
    v, s, f = (np.stack(column, axis=-1) for column in zip(*rows, strict=True))
    return v, s, f
