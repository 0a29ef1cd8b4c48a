r"""What a loop is worth in real items, at any size, with bounds on the error of the expansion.

The moments v and s of the model are exact, and E W2^2 = d v + d (1 + s) - 2 E tr Sigma^(1/2). With
$\rho = (d + 1) f / s^2$, the mean squared fluctuation of the eigenvalues about s, the root costs
d sqrt(s) rho / 4 to second order, or that of a Wishart matrix of the same fluctuation, s^2 / f
degrees of freedom; the smaller of the two is taken. Simulated loops lie within a half of rho of it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from madlib import regimes, theory
from madlib.theory.arguments import Array
from madlib.theory.distances import real_data
from madlib.theory.limits import solve
from madlib.theory.recursions import run

MANY = 1e15  # items: as good as unlimited


class Case(NamedTuple):
    """A loop. Numbers may be arrays that broadcast.

    Attributes:
        regime: its name.
        n_r, n_s, n_ini: real and synthetic items of a training set, real items of the first one.
        lam: sampling bias.
        dim: [k], effective dimensions; the first is the estimate, the others bound it.
        worth: real items that n_e is compared with.
        memory, n: K of long memory; size of a subsample.
        bias: of somebody else's model, in standard deviations.
        w: weight of a real item.
    """

    regime: str
    n_r: Any
    n_s: Any
    n_ini: Any
    lam: Any
    dim: Array
    worth: Any
    memory: int = 1
    n: Any = None
    bias: Any = None
    w: Any = 1.0

    @property
    def renewed(self) -> bool:
        """Whether new real items come in every round."""
        return self.regime in ("fresh_data", "long_memory")

    @property
    def anchored(self) -> bool:
        """Whether real items keep a constant share of the training set."""
        return self.renewed or self.fixed

    @property
    def fixed(self) -> bool:
        """Whether these are the same in every round."""
        return self.regime == "synthetic_augmentation"

    @property
    def rule(self) -> Any:
        """The regime itself."""
        n_r, n_s = np.float64(self.n_r), np.float64(self.n_s)
        return {
            "fully_synthetic": lambda: regimes.FullySynthetic(n_s),
            "synthetic_augmentation": lambda: regimes.SyntheticAugmentation(n_s),
            "fresh_data": lambda: regimes.FreshData(n_r, n_s),
            "accumulate": lambda: regimes.Accumulate(n_s),
            "long_memory": lambda: regimes.LongMemory(n_r, n_s, self.memory),
            "accumulate_subsample": lambda: regimes.AccumulateSubsample(n_s, np.float64(self.n)),
        }[self.regime]()


def settled(case: Case) -> tuple[Any, Any, Any]:
    """v, s and f in the limit; s = 0 where all variance is lost."""
    n_r, n_s, lam, w = np.broadcast_arrays(*map(np.float64, (case.n_r, case.n_s, case.lam, case.w)))
    if case.anchored:
        return solve(n_r, n_s, w, lam, 1.0, case.fixed, case.memory)
    # Everything is kept, and 1/n^2 of every new mean remains: sums of 1/(y + t)^2.
    y, kept = n_r / n_s, case.regime != "fully_synthetic"
    v = 1 / n_r + special.polygamma(1, y + 1) / n_s
    if case.n is not None:
        later = special.polygamma(1, y + 2)
        v = v + 1 / case.n + later / case.n - (1 / (y + 1) - later) / n_s
    s = np.where((lam == 1) & kept, 1.0, 0.0)
    return v, s, v


def rounds(case: Case, n_rounds: int) -> tuple[Any, Any, Any]:
    """v, s and f of the first model and after each round, [n_rounds + 1]."""
    return run(case.rule, case.n_ini, n_rounds + 1, case.lam, 1.0)


def distance(v: Any, s: Any, f: Any, dim: Any) -> tuple[Any, Any, Any]:
    """E W2^2, and where it lies at least and at most."""
    v, s, f, dim = np.broadcast_arrays(v, s, f, dim)
    root = np.sqrt(s)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.clip(np.where(f > 0, s**2 / f, np.inf), 1e-9, 1e17)
    rho = (dim + 1) / freedom
    wishart = root * (real_data(freedom + 1, dim) - dim / (freedom + 1))
    spread = np.minimum(dim * root * rho / 4, wishart)
    low, high = 1 - np.minimum(rho, 1.2) / 2, 1 + np.minimum(rho, 1) / 2
    sure, most = dim * (v + (1 - root) ** 2), dim * (v + 1 + s)
    value, above = (np.minimum(sure + spread * factor, most) for factor in (1, high))
    return value, sure + spread * low, above


def correction(n: Any, dim: Any) -> Any:
    """E W2^2 of a fit to n real items over its value by `distance`: 1.14 at n = dim, 1 far away."""
    return np.maximum(4 * n * real_data(n, dim) / (dim * (dim + 5)), 1)


def n_e(case: Case, v: Any, s: Any, f: Any) -> tuple[Any, Any, Any]:
    """n_e of a model with these moments, [...], and its bounds over all effective dimensions."""
    dim = case.dim.reshape(-1, *[1] * np.ndim(v))
    factor = correction(case.worth, dim)
    value, low, high = distance(v, s, f, dim)
    found = _items(np.stack([value * factor, low, high * factor]), s, dim)
    return found[0, 0], found[2].min(0), found[1].max(0)


def n_e_alone(case: Case, v: Any, s: Any, f: Any) -> Any:
    """The same without bounds, for one effective dimension."""
    (dim,) = case.dim
    return _items(distance(v, s, f, dim)[0] * correction(case.worth, dim), s, dim)


def _items(at: Any, s: Any, dim: Any) -> Any:
    found = np.asarray(theory.effective_sample_size(np.maximum(at, real_data(1e18, dim)), dim))
    return np.where(s > 0, found, 0)  # a model of one item


def worth(case: Case) -> tuple[Any, Any, Any]:
    """n_e in the limit, [...], and its bounds."""
    if case.bias is None:
        return n_e(case, *settled(case))
    total = case.w * case.n_r + case.n_s
    error = (case.n_s * case.bias / total) ** 2 + (case.w**2 * case.n_r + case.n_s) / total**2
    return 1 / error, 1 / error, 1 / error


def costs(case: Case) -> tuple[Any, Any, Any]:
    """A number that falls with n_e, [...], and its bounds: E W2^2, or that of a mean alone."""
    if case.bias is not None:
        value = 1 / worth(case)[0]
        return value, value, value
    v, s, f = settled(case)
    dim = case.dim.reshape(-1, *[1] * np.ndim(v))
    value, low, high = distance(v, s, f, dim)
    factor = correction(case.worth, dim)
    # In units of real data, so that dimensions compare.
    unit = np.asarray(real_data(case.worth, dim))
    return value[0] * factor[0] / unit[0], (low / unit).min(0), (high * factor / unit).max(0)


def allowance(case: Case, loss: float) -> Any:
    """The `costs` of (1 - loss) worth, at each effective dimension."""
    if case.bias is not None:
        return np.full(1, 1 / ((1 - loss) * case.worth))
    few = np.maximum((1 - loss) * case.worth, 1 + 1e-9)
    return real_data(few, case.dim) / real_data(case.worth, case.dim)


def border(case: Case, loss: float = 0.0) -> tuple[float, float, float]:
    """Largest n_s with n_e at least (1 - loss) worth, infinite where all do; and its bounds."""
    if not (case.anchored or case.bias is not None) or (case.fixed and case.lam == 1 and not loss):
        return 0.0, 0.0, 0.0
    allowed = allowance(case, loss)
    picks = (0, allowed[0]), (2, allowed.min()), (1, allowed.max())

    def last(which: int, allowed: float) -> float:
        ends = np.array([0.5, MANY])
        for _ in range(4):
            grid = np.geomspace(ends[0], ends[1], 400)
            fine = np.flatnonzero(costs(case._replace(n_s=grid))[which] <= allowed)
            if not fine.size:
                return 0.0
            if fine[-1] == grid.size - 1:
                return np.inf if grid[-1] == MANY else float(grid[-1])
            ends = grid[fine[-1] : fine[-1] + 2]
        return float(ends[0])

    value, low, high = (last(*pick) for pick in picks)
    return value, min(low, value), max(high, value)


def least(cost: Callable[[Any], Any], low: float, high: float) -> float:
    """Where a cost is least between low and high; 0 or infinity where it is at an end."""
    ends, start = np.array([low, high]), cost(np.array([low, high]))
    for _ in range(5):
        grid = np.geomspace(ends[0], ends[1], 200)
        at = int(np.argmin(cost(grid)))
        ends = grid[[max(at - 1, 0), min(at + 1, grid.size - 1)]]
    if cost(ends).min() >= start[1] * (1 - 1e-9):
        return np.inf
    return 0.0 if cost(ends).min() >= start[0] else float(np.sqrt(ends[0] * ends[1]))


def survival(case: Case, share: float, n_rounds: int) -> tuple[float, float, float] | None:
    """Chance that a category of this share is in the last training set, lam = 1; and its bounds.

    Where real items are kept it is exact, and so for small fully synthetic loops. Otherwise counts
    are Poisson, and the chance of none is followed backwards through the generations.
    """
    n_ini, n_s = float(case.n_ini), float(case.n_s)
    if case.regime in ("synthetic_augmentation", "accumulate"):
        value = float(-np.expm1(n_ini * np.log1p(-share)))
        return value, value, value
    if case.regime == "accumulate_subsample" or case.bias is not None or case.lam < 1:
        return None
    if case.regime == "fully_synthetic" and max(n_ini, n_s) <= 400:
        sizes = {"n_ini": int(n_ini), "n_s": int(n_s), "n_generations": n_rounds + 1}
        value = float(1 - theory.extinction_probability(share, **sizes)[-1])
        return value, value, value
    sets = [theory.TrainingSet((theory.Batch(0, n_ini),))]
    sets += [theory.recursion(case.rule, t) for t in range(2, n_rounds + 2)]
    sizes = [sum(batch.n for batch in batches) for batches, _ in sets]
    exponent, theta = 0.0, np.zeros(len(sets))
    theta[-1] = np.inf
    for t in range(len(sets), 0, -1):
        drawn = -np.expm1(-theta[t - 1])
        for batch in sets[t - 1].batches:
            if batch.of == 0:
                exponent += batch.n * share * drawn
            else:
                theta[batch.of - 1] += batch.n * drawn / sizes[batch.of - 1]
    value, error = float(-np.expm1(-exponent)), share + 1 / min(sizes)
    return value, max(value - error, 0.0), min(value + error, 1.0)
