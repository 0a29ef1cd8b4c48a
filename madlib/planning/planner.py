"""May I mix? One call that turns sizes into a verdict, its numbers and their intervals."""

import dataclasses
import math
import os
from typing import Annotated, Any, NamedTuple

import numpy as np
from scipy import special

from madlib import theory
from madlib.errors import (
    AtLeastTwo,
    Int,
    Natural,
    NonNegative,
    OpenShare,
    Positive,
    Rule,
    Share,
    as_reals,
    checked,
    closest,
    require,
)
from madlib.metrics import effective_dimension
from madlib.planning.curve import learning_curve_dimension
from madlib.planning.outlook import (
    MANY,
    Case,
    allowance,
    border,
    correction,
    costs,
    distance,
    least,
    n_e,
    rounds,
    settled,
    survival,
    worth,
)
from madlib.targets.files import read_points
from madlib.theory.distances import real_data

POLICIES = {
    "fully_synthetic": "replace everything",
    "synthetic_augmentation": "keep the same real items",
    "fresh_data": "new real items every round",
    "accumulate": "keep everything",
    "long_memory": "new real items beside the last K models",
    "accumulate_subsample": "a subsample of everything",
}
DIMENSION = (100.0, 10.0, 1000.0)  # where none is given: assumed, at least, at most.
N_WATCHED = 400  # rounds that are computed one by one; later ones are extrapolated.


def _policy(name: str, value: Any) -> str:
    known = {policy.replace("_", ""): policy for policy in POLICIES}
    plain = str(value).replace("_", "").lower()
    required = f"{name} must be one of {', '.join(POLICIES)}"
    require(plain in known, required, repr(value), closest(str(value), POLICIES))
    return known[plain]


Policy = Annotated[str, _policy]
Dimension = Annotated[float, Rule(1, 1e6)]
Horizon = Annotated[Int, Rule(1, 1000, whole=True)]
Memory = Annotated[Int, Rule(1, 100, whole=True)]


class Round(NamedTuple):
    """The model after a round of training on synthetic items.

    Attributes:
        round: 1 for the first model that has seen synthetic items.
        n_e, n_e_over_n_r: its worth in real items, and over n_r.
        low, high: bounds of n_e_over_n_r.
        variance: expected share of the real variance that it keeps, exact; None for somebody
            else's model.

    Example:
        >>> from madlib import planning
        >>> planning.Round(1, n_e=90.0, n_e_over_n_r=0.9, low=0.8, high=1.0, variance=1.0).round
        1
    """

    round: int
    n_e: float
    n_e_over_n_r: float
    low: float
    high: float
    variance: float | None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What `plan` found. Numbers are in the limit of many rounds unless a field says otherwise.

    A name in `intervals` is an estimate, with its bounds; any other number is exact, or to leading
    order in 1/n. None stands where a question does not arise or has no answer here, for the reason
    in `omitted`, infinity for "any number" and "never".

    Attributes:
        verdict, assumption: one line each: may I mix, and which assumption would overturn that.
        regime, n_r, n_s, lam: the question; n_r holds the items that are truly real.
        n_hidden: synthetic items among those that pass for real, after the detector.
        effective_dimension: d.
        n_e, n_e_over_n_r: real items that would do as well; 0 where all variance is lost.
        rounds: the same after 1, 5 and `horizon` rounds.
        cap: largest n_e/n_r that any number of synthetic items reaches.
        admissible_n_s: most synthetic items with n_e >= n_r.
        tolerated_n_s: most synthetic items with n_e >= (1 - loss) n_r.
        best_n_s: number of synthetic items with the largest n_e.
        tolerated_rounds: rounds, up to the horizon, with n_e >= (1 - loss) n_r.
        least_share_to_stay: least real share with which n_answers equally likely answers stay so.
        least_share_to_recover: least one that brings them back once a single one has taken over.
        half_life: rounds until half the variance of a direction is lost.
        rounds_to_settle: rounds until E W2^2 is within 1 % of its limit.
        rarest_survival: chance that the rarest category is still there at the horizon.
        best_weight, best_share: weight of a real item, of a synthetic one 1, with the largest n_e,
            and the share of all weight that it gives real items.
        best_weight_gain: n_e with it over n_e.
        source_price: real items that n_e loses as long as nobody knows which items are real.
        real_gain, synthetic_gain: n_e gained by one more item per training set.
        label_gain: n_e gained by one label real or synthetic; fresh unbiased data.
        intervals: name of an estimate -> its lower and upper bound.
        omitted: name of a field, of the plan or its rounds, that is None -> why.

    Example:
        >>> import madlib
        >>> found = madlib.plan(n_r=1000, n_s=1000, dim=20)
        >>> isinstance(found, madlib.planning.Plan), round(found.label_gain, 3)
        (True, 0.083)
    """

    verdict: str
    assumption: str
    regime: str
    n_r: float
    n_s: int
    n_hidden: float
    lam: float
    effective_dimension: float | None
    n_e: float
    n_e_over_n_r: float
    rounds: tuple[Round, ...]
    cap: float
    admissible_n_s: float
    tolerated_n_s: float | None
    best_n_s: float
    tolerated_rounds: float
    least_share_to_stay: float | None
    least_share_to_recover: float | None
    half_life: float | None
    rounds_to_settle: float | None
    rarest_survival: float | None
    best_weight: float | None
    best_share: float | None
    best_weight_gain: float | None
    source_price: float | None
    real_gain: float | None
    synthetic_gain: float | None
    label_gain: float | None
    intervals: dict[str, tuple[float, float]]
    omitted: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Fields by name, as JSON holds them: infinity is the text "Infinity"."""
        return _plain(dataclasses.asdict(self) | {"rounds": [row._asdict() for row in self.rounds]})

    def __str__(self) -> str:
        rows = [self.verdict, self.assumption, ""]
        for name, text in _LABELS.items():
            value = getattr(self, name)
            if name in self.omitted:
                rows.append(f"{text:<58} {self.omitted[name]}")
                continue
            if name == "n_hidden" and not value:
                continue
            never = name in ("half_life", "rounds_to_settle") and math.isinf(value)
            line = f"{text:<58} {'never' if never else _number(value):>12}"
            if name in self.intervals:
                line += "  estimate, {} to {}".format(*map(_number, self.intervals[name]))
            rows.append(line)
        rows += [
            "",
            f"{'after round':<14}{'n_e':>12}{'n_e/n_r':>10}{'at least':>10}{'at most':>10}",
        ]
        rows[-1] += f"{'variance kept':>15}"
        for row in self.rounds:
            kept = "" if row.variance is None else f"{row.variance:.3g}"
            ratios = "".join(f"{_number(x):>10}" for x in (row.n_e_over_n_r, row.low, row.high))
            rows.append(f"{row.round:<14}{_number(row.n_e):>12}{ratios}{kept:>15}")
        return "\n".join(rows)


_LABELS = {
    "effective_dimension": "effective dimension d",
    "n_hidden": "synthetic items that pass for real",
    "n_e": "real items that would do as well, n_e",
    "n_e_over_n_r": "n_e / n_r in the limit",
    "cap": "largest n_e / n_r, whatever the number of synthetic items",
    "admissible_n_s": "most synthetic items that still help",
    "tolerated_n_s": "most synthetic items within the tolerated loss",
    "best_n_s": "best number of synthetic items",
    "tolerated_rounds": "rounds within the tolerated loss",
    "least_share_to_stay": "least real share to stay diverse",
    "least_share_to_recover": "least real share to recover",
    "half_life": "half-life of diversity, rounds",
    "rounds_to_settle": "rounds to settle",
    "rarest_survival": "chance that the rarest category is left at the horizon",
    "best_weight": "best weight of a real item",
    "best_share": "share of the weight that this gives real items",
    "best_weight_gain": "n_e with it, over n_e",
    "source_price": "real items lost by not knowing the source",
    "real_gain": "n_e gained by one more real item",
    "synthetic_gain": "n_e gained by one more synthetic item",
    "label_gain": "n_e gained by one label, real or synthetic",
}


@checked
def plan(
    *,
    n_r: AtLeastTwo,
    n_s: Natural,
    regime: Policy = "fresh_data",
    n_ini: AtLeastTwo | None = None,
    memory: Memory | None = None,
    n: AtLeastTwo | None = None,
    lam: Share | None = None,
    temperature: Share | None = None,
    guidance: NonNegative | None = None,
    dim: Dimension | None = None,
    features: Any = None,
    spectrum: Any = None,
    curve: Any = None,
    bias: Positive | None = None,
    synthetic_share: Annotated[float, Rule(0, 0.999)] = 0,
    false_positive: Annotated[float, Rule(0, 0.999)] = 0,
    false_negative: Share = 1,
    rarest: OpenShare | None = None,
    n_answers: AtLeastTwo = 10,
    horizon: Horizon = 20,
    loss: Annotated[float, Rule(0, 0.99)] = 0,
) -> Plan:
    r"""May I mix these real and synthetic items, how many of them, and for how long?

    For a Gaussian that is fitted to its own samples, judged by W2 squared, in the dimension of the
    reader's data; categories and answers for discrete distributions.

    Args:
        n_r: real items: new ones in every round of "fresh_data" and "long_memory", those that there
            are in the other regimes.
        n_s: synthetic items per round.
        regime: "fresh_data", "synthetic_augmentation" (the same real items stay),
            "fully_synthetic" (none stays), "accumulate", "long_memory", "accumulate_subsample".
        n_ini: real items of the first model, n_r by default; new real items only.
        memory: K of "long_memory", which must divide n_s.
        n: size of the subsample of "accumulate_subsample", n_r by default.
        lam, temperature, guidance: sampling bias, 1 by default; a temperature is $\lambda$, a
            guidance w is $\lambda = 1/(1 + w)$. At most one of them.
        dim, features, spectrum, curve: effective dimension; or points [n, d] of features of real
            items; or eigenvalues of their covariance; or two columns, n and held-out loss in nats
            per item. Arrays, or paths of files. At most one; by default 100, and bounds for 10 to
            1,000.
        bias: $\Delta$ of somebody else's generator, in standard deviations: synthetic data comes
            from it, the same in every round, and one coordinate of a mean is judged.
        synthetic_share: share of the n_r items of "fresh_data" that is synthetic, in truth.
        false_positive, false_negative: share of real items that a detector throws away, and of
            synthetic ones that pass it; none is used by default.
        rarest: probability of the rarest category.
        n_answers: M equally likely answers, for `least_share_to_stay` and `_to_recover`.
        horizon: rounds.
        loss: tolerated loss 1 - n_e/n_r.

    Raises:
        ParameterError: for arguments out of range or that exclude each other, and for files that
            cannot be read.

    Example:
        >>> import madlib
        >>> found = madlib.plan(n_r=1000, n_s=3000, lam=0.85, dim=100)
        >>> round(found.n_e_over_n_r, 2), round(found.admissible_n_s), round(found.best_n_s)
        (0.69, 1933, 734)
        >>> print(found.verdict.partition(";")[0])
        No: 1,000 real and 3,000 synthetic items are worth 686 real ones in the end
    """
    lam = _sampling_bias(lam, temperature, guidance)
    external = bias is not None
    renewed = regime in ("fresh_data", "long_memory")
    _alone("memory", memory, regime == "long_memory", "regime long_memory")
    _alone("n", n, regime == "accumulate_subsample", "regime accumulate_subsample")
    _alone("n_ini", n_ini, renewed and not external, "new real items every round")
    fresh = regime == "fresh_data" and not external
    _alone("synthetic_share", synthetic_share or None, fresh, "regime fresh_data, without bias")
    detector = (false_positive, false_negative) != (0, 1)
    _alone("false_positive", detector or None, synthetic_share > 0, "a synthetic_share above 0")
    fine = not external or (lam == 1 and regime == "fresh_data")
    remedy = "Leave out the regime and the sampling bias."
    require(fine, "bias is of another generator at lam = 1", f"{regime}, lam = {lam:g}", remedy)
    memory = _memory(memory or 1, n_s) if regime == "long_memory" else 1
    if regime == "accumulate_subsample":
        n = n or n_r
        least_n = f"n must be at most n_r + n_s = {n_r + n_s}"
        require(n <= n_r + n_s, least_n, n, "Take a smaller subsample.")
    closed = regime in ("fully_synthetic", "accumulate", "accumulate_subsample")
    require(n_s >= 2 or not closed, f"n_s >= 2 is required in {regime}", n_s, "Use more.")

    dims = None if external else _dimension(dim, features, spectrum, curve, n_r)
    _alone("dim", dim, not external, "a generator without bias: a mean has one coordinate")
    real = n_r * (1 - synthetic_share)
    hidden = n_r * synthetic_share * false_negative
    kept = real * (1 - false_positive)
    require(kept >= 2, "at least 2 real items must pass", kept, "Use more items.")
    case = Case(
        regime,
        n_r=kept,
        n_s=n_s + hidden,
        n_ini=n_ini or max(kept, 2),
        lam=lam,
        dim=np.array(dims or [1.0]),
        worth=real,
        memory=memory,
        n=n,
        bias=bias,
    )
    fields, intervals = _numbers(case, hidden, rarest, horizon, loss)
    if dims and dims[1] < dims[2]:
        intervals["effective_dimension"] = dims[1], dims[2]
    shares = _shares(lam, n_answers) if not external else (None, None)
    named: dict[str, Any] = {"n_r": real, "n_s": n_s, "n_hidden": hidden, "lam": lam} | fields
    named["least_share_to_stay"], named["least_share_to_recover"] = shares
    named["regime"] = "external" if external else regime
    named["effective_dimension"] = dims[0] if dims else None
    bounds = intervals.get("n_e_over_n_r", (fields["n_e_over_n_r"],) * 2)
    verdict = _verdict(case, named, bounds, loss)
    assumption = _assumption(case, fields["n_e_over_n_r"], dims, loss)
    missing = {name for name, value in named.items() if value is None}
    missing |= {"variance"} if external else set()
    omitted = {name: why for name, why in _omitted(case, rarest).items() if name in missing}
    return Plan(
        verdict=verdict, assumption=assumption, intervals=intervals, omitted=omitted, **named
    )


def _omitted(case: Case, rarest: float | None) -> dict[str, str]:
    """Why a field may be None."""
    other = "another's generator does not learn from itself"
    no_share = "no constant share of the data is real"
    weights = "no synthetic item is used" if case.n_s == 0 else no_share
    names = "best_weight", "best_share", "best_weight_gain", "source_price"
    chance = other if case.bias is not None else "known for unbiased samples, not for subsamples"
    return dict.fromkeys(names, weights) | {
        "effective_dimension": "with a bias, one coordinate of a mean is judged",
        "tolerated_n_s": no_share,
        "least_share_to_stay": other,
        "least_share_to_recover": other,
        "half_life": other,
        "variance": other,
        "rounds_to_settle": other if case.bias is not None else "all variance is lost",
        "rarest_survival": chance if rarest else "no probability of it is given",
        "label_gain": "known for fresh data and its own unbiased samples",
    }


def _alone(name: str, value: Any, allowed: bool, needs: str) -> None:
    require(value is None or allowed, f"{name} is for {needs}", value, f"Leave out {name}.")


def _sampling_bias(lam: Any, temperature: Any, guidance: Any) -> float:
    given = [lam, temperature, None if guidance is None else 1 / (1 + guidance)]
    found = [value for value in given if value is not None]
    required = "at most one of lam, temperature and guidance can be given"
    require(len(found) < 2, required, len(found), "Drop the others.")
    return found[0] if found else 1.0


def _memory(memory: int, n_s: int) -> int:
    required = f"memory must divide n_s = {n_s}"
    require(n_s % memory == 0, required, memory, f"Use a multiple of {memory} for n_s.")
    return memory


def _dimension(dim: Any, features: Any, spectrum: Any, curve: Any, n_r: int) -> tuple[float, ...]:
    """The effective dimension, at least and at most."""
    given = [value is not None for value in (dim, features, spectrum, curve)]
    required = "at most one of dim, features, spectrum and curve can be given"
    require(sum(given) < 2, required, sum(given), "Drop the others.")
    if dim is not None:
        return (dim,) * 3
    if curve is not None:
        table = _table(curve, "curve")
        columns = table.ndim == 2 and table.shape[1] == 2
        remedy = "Save n and held-out loss as two columns."
        require(columns, "curve must be [m, 2]", f"shape {table.shape}", remedy)
        return learning_curve_dimension(*table.T, at=n_r)
    if spectrum is not None:
        d = effective_dimension(cov=_table(spectrum, "spectrum").ravel())
        require(d > 0, "spectrum must hold an eigenvalue above 0", d, "A point has no dimension.")
        low, high = d, d
    elif features is not None:
        d, low, high = _feature_dimension(_table(features, "features"))
    else:
        return DIMENSION
    error = min(d / n_r, 0.5)  # of the expansion, which is the only one for uneven spectra
    return d, max(low * (1 - error), 1), high * (1 + error)


def _table(value: Any, name: str) -> Any:
    if isinstance(value, str | os.PathLike):
        return read_points(value)[0]
    return as_reals(value, name)


def _feature_dimension(points: Any, n_groups: int = 8) -> tuple[float, float, float]:
    """d_eff of points, and 90 % bounds about its value at infinitely many, by the jackknife."""
    d = effective_dimension(points)
    required = f"features must be points [n, d], n >= {2 * n_groups}, that differ"
    require(d > 0 and len(points) >= 2 * n_groups, required, f"shape {points.shape}", "Use more.")
    group = np.arange(len(points)) % n_groups
    without = np.array([effective_dimension(points[group != g]) for g in range(n_groups)])
    each = n_groups * d - (n_groups - 1) * without
    error = special.stdtrit(n_groups - 1, 0.95) * each.std(ddof=1) / np.sqrt(n_groups)
    return d, min(d, each.mean() - error), max(d, each.mean() + error)


def _numbers(
    case: Case, hidden: float, rarest: float | None, horizon: int, loss: float
) -> tuple[dict[str, Any], dict[str, tuple[float, float]]]:
    """Fields of a plan by name, and the bounds of those that are estimates."""
    own, total = case.bias is None, case.n_s
    found: dict[str, Any] = {"n_e": worth(case) if total else (case.n_r,) * 3}
    value = float(found["n_e"][0])
    found["n_e_over_n_r"] = tuple(x / case.worth for x in found["n_e"])
    for name, lost in (("admissible_n_s", 0.0), ("tolerated_n_s", loss)):
        found[name] = tuple(max(x - hidden, 0) for x in border(case, lost))
    if not (case.anchored or not own):
        found["tolerated_n_s"] = None
    each_dim = [case._replace(dim=case.dim[[i]]) for i in range(case.dim.size if own else 1)]
    best = [_best_n_s(one) for one in each_dim]
    found["best_n_s"] = _bounds([max(x - hidden, 0) for x in best])
    found["cap"] = _cap(case, best[0], hidden)
    found |= _weights(each_dim, total)
    for name in ("n_r", "n_s"):
        step = max(1e-4 * getattr(case, name), 1.0)
        more = worth(case._replace(**{name: getattr(case, name) + step}))
        found[{"n_r": "real_gain", "n_s": "synthetic_gain"}[name]] = (float(more[0]) - value) / step
    a = total / (case.n_r + total)
    unbiased = own and case.regime == "fresh_data" and case.lam == 1
    found["label_gain"] = a**3 / (1 + a) if unbiased else None
    found |= _history(case, horizon, loss)
    found["rarest_survival"] = None if rarest is None else survival(case, rarest, horizon)
    values, intervals = {}, {}
    for name, triple in found.items():
        values[name] = triple
        if isinstance(triple, tuple) and name != "rounds":
            values[name], low, high = map(float, triple)
            if low < high:
                intervals[name] = low, high
    return values, intervals


def _bounds(values: list[float]) -> tuple[float, float, float]:
    return values[0], min(values), max(values)


def _best_n_s(case: Case) -> float:
    if case.bias is None and (not case.anchored or case.lam == 1):
        return math.inf if case.renewed else 0.0
    return least(lambda n_s: costs(case._replace(n_s=n_s))[0], 0.5, MANY)


def _cap(case: Case, best: float, hidden: float) -> Any:
    if case.bias is not None:
        return 1 + 1 / (case.bias**2 * case.n_r)
    if not case.anchored:
        return 1.0
    at = max(min(best, MANY), hidden)
    none = 0.0 if hidden else 1.0  # without synthetic items n_e = n_r.
    return tuple(max(float(x) / case.worth, none) for x in worth(case._replace(n_s=at)))


def _weights(cases: list[Case], total: float) -> dict[str, Any]:
    """The best weight of real items, where they are told from synthetic ones."""
    names = "best_weight", "best_share", "best_weight_gain", "source_price"
    if total == 0 or not (cases[0].anchored or cases[0].bias is not None):
        return dict.fromkeys(names)
    rows = []
    for case in cases:
        if case.bias is not None:
            w = 1 + total * case.bias**2
        else:
            w = least(lambda w, case=case: costs(case._replace(w=w))[0], 2 / case.n_r, MANY)
        alone = math.isinf(w)
        best = case._replace(n_s=0.0) if alone else case._replace(w=max(w, 2 / case.n_r))
        now, then = float(worth(case)[0]), float(worth(best)[0])
        share = 1.0 if alone else w * case.n_r / (w * case.n_r + total)
        rows.append((w, share, max(then / now, 1), max(then - now, 0)))
    return {
        name: _bounds(column)
        for name, column in zip(names, map(list, zip(*rows, strict=True)), strict=True)
    }


def _history(case: Case, horizon: int, loss: float) -> dict[str, Any]:
    """What happens round by round."""
    shown = sorted({1, 5, horizon} & {*range(horizon + 1)})
    if case.bias is not None or case.n_s == 0:  # every round is alike.
        own, value = case.bias is None, float(worth(case)[0] if case.n_s else case.n_r)
        ratio = value / case.worth
        row = value, ratio, ratio, ratio, 1.0 if own else None
        return {
            "rounds": tuple(Round(t, *row) for t in shown),
            "tolerated_rounds": float(horizon if ratio >= 1 - loss else 0),
            "half_life": math.inf if own else None,
            "rounds_to_settle": 0.0 if own else None,
        }
    v, s, f = rounds(case, max(horizon, N_WATCHED))
    ratios = [x / case.worth for x in n_e(case, v[shown], s[shown], f[shown])]
    table = tuple(
        Round(t, r * case.worth, r, low, high, float(s[t]))
        for t, r, low, high in zip(shown, *(x.tolist() for x in ratios), strict=True)
    )
    far = distance(v, s, f, case.dim[0])[0]
    factor = correction(case.worth, case.dim[0])
    allowed = (
        real_data(np.maximum((1 - loss) * case.worth, 1 + 1e-9), case.dim[0]) / factor * (1 + 1e-9)
    )
    failing = np.flatnonzero(far[1 : horizon + 1] > allowed)
    kept = float(failing[0] if failing.size else horizon)
    settle = _rounds_to_settle(case, far)
    half_life = _half_life(case, s)
    return {
        "rounds": table,
        "tolerated_rounds": kept,
        "half_life": half_life,
        "rounds_to_settle": settle,
    }


def _rounds_to_settle(case: Case, far: Any) -> float | None:
    v, s, f = settled(case)
    if s == 0:
        return None
    if not case.anchored:  # v is off by about (1 + n_s/n)/(n_s (y + t)).
        per_item = (1 + (0 if case.n is None else case.n_s / case.n)) / case.n_s
        return float(max(np.ceil(per_item / (0.01 * v) - case.n_r / case.n_s), 0))
    off = np.abs(far / distance(v, s, f, case.dim[0])[0] - 1)
    beyond = np.flatnonzero(off > 0.01)
    if beyond.size and beyond[-1] == off.size - 1:  # what remains falls by one factor per round
        middle = off.size // 2
        rate = np.log(off[middle] / off[-1]) / (off.size - 1 - middle)
        return float(np.ceil(off.size - 1 + np.log(off[-1] / 0.01) / rate))
    return float(beyond[-1] + 1 if beyond.size else 0)


def _half_life(case: Case, s: Any) -> float:
    """Rounds until half of the variance is lost, in a direction of a typical loop."""
    lam, y = case.lam, case.n_r / case.n_s
    if case.regime == "fully_synthetic":
        sizes = {"n_ini": case.n_s, "n_s": case.n_s, "lam": lam}
        first, second = theory.log_variance_moments([1, 2], **sizes).mean
        return float(np.log(2) / (first - second))
    limit = float(settled(case)[1])
    if limit >= 0.5:
        return math.inf
    below = np.flatnonzero(s < 0.5)
    if below.size:
        return float(below[0])
    if case.anchored:
        a = case.n_s / (case.n_r + case.n_s)
        return float(np.log((0.5 - limit) / (1 - limit)) / np.log(a * lam))
    # s falls as a ratio of Gamma functions, Gamma(y + t + lam)/Gamma(y + t + 1).
    start = special.gammaln(y + 1) - special.gammaln(y + lam)
    return float(np.exp(min((start + np.log(2)) / (1 - lam), 700)) - y - lam / 2)


def _shares(lam: float, n_answers: int) -> tuple[float, float]:
    if not 0 < lam < 1:
        return (0.0, 0.0) if lam else (1.0, 1.0)
    stay, recover = theory.temperature_stability, theory.temperature_cure
    return float(stay(lam)), float(recover(lam, n_answers=n_answers))


def _verdict(case: Case, named: dict[str, Any], bounds: tuple[float, float], loss: float) -> str:
    low, high = bounds
    level, ratio = 1 - loss, named["n_e_over_n_r"]
    total = f"{_number(named['n_r'])} real and {_number(named['n_s'])} synthetic items"
    if ratio == 0:
        half = _number(named["half_life"])
        return f"No: {total} lose all variety in the end, the first half in {half} rounds."
    if case.n_s == 0:
        return "Nothing is mixed: no synthetic item is used."
    answer = "Yes" if low >= level else "No" if high < level else "Undecided"
    worth_of = f"{total} are worth {_number(named['n_e'])} real ones in the end"
    if answer == "Undecided":
        worth_of += f", from {_number(low)} to {_number(high)} times as many as there are"
    most = named["admissible_n_s"]
    if math.isinf(most):
        return f"{answer}: {worth_of}, and no number of synthetic items harms."
    if most < 1:
        return f"{answer}: {worth_of}; none is best, and any number costs."
    best = _number(named["best_n_s"])
    return (
        f"{answer}: {worth_of}; at most {_number(most)} synthetic items help, and {best} are best."
    )


def _assumption(case: Case, ratio: float, dims: Any, loss: float) -> str:
    """The first of several assumptions that would turn the verdict."""
    level = 1 - loss
    helps = ratio >= level
    if case.n_s == 0:
        return (
            "All items that pass for real are real; were some of them synthetic, this would be a "
            "loop like any other."
        )
    if case.bias is not None:
        total = case.n_r + case.n_s
        turn = total / case.n_s * np.sqrt(max(1 / (level * case.worth) - 1 / total, 0))
        side = "below" if helps else "above"
        return f"The other generator's bias stays {side} {_number(turn)} standard deviations."
    lam, d = case.lam, float(case.dim[0])
    if helps and case.worth < d and lam < 1:
        return (
            "W2 squared is the judge: with fewer real items than effective dimensions it rewards a "
            "loss of variance; other scores do not."
        )
    others = []
    if case.renewed:
        same = case._replace(regime="synthetic_augmentation", memory=1, n_ini=case.n_r)
        others.append(("The real items are new in every round", "were they always the same", same))
    else:
        new = case._replace(regime="fresh_data", n=None)
        others.append(("No new real items come", "were as many new in every round", new))
    other = 0.95 * lam if lam == 1 else 1.0
    drawn = f"Synthetic items are drawn at lam = {lam:g}"
    others.append((drawn, f"at {other:g}", case._replace(lam=other)))
    for d_other in (10.0, 1000.0) if dims == DIMENSION else (4 * d, max(d / 4, 1)):
        guess = case._replace(dim=np.array([d_other]))
        others.append((f"The effective dimension is {d:.3g}", f"at {d_other:.3g}", guess))
    if case.n_r < case.worth:
        detected = f"The detector lets {_number(case.n_r)} of {_number(case.worth)} real items pass"
        others.append((detected, "were all to pass", case._replace(n_r=case.worth)))
    for assumed, if_not, instead in others:
        there = float(f"{float(worth(instead)[0]) / case.worth:.3g}")
        if (there >= level) != helps:
            return f"{assumed}; {if_not} n_e/n_r would be {_number(there)}."
    if not helps:
        best = _number((case.worth + case.n_s) / case.worth)
        return (
            "Synthetic items are samples of the loop's own models; with those of an unbiased model "
            f"of others, and all real items, n_e/n_r would be {best}."
        )
    return (
        "The generator errs as a fit of the right family does, whatever the real items, lam and d. "
        + _own_bias(case, loss)
    )


def _own_bias(case: Case, loss: float) -> str:
    """How far off the mean of every fit may be; after many rounds it is (n_r + n_s)/n_r as far."""
    if not case.anchored:
        return "One whose mean is a little off in every round loses more and more."
    scale = real_data(case.worth, case.dim[0]) / correction(case.worth, case.dim[0])
    room = float((allowance(case, loss)[0] - costs(case)[0]) * scale)
    most = _number(math.sqrt(max(room, 0)) * case.n_r / (case.n_r + case.n_s))
    return f"Were the mean of each fit off by {most} standard deviations, n_e/n_r would be too low."


def _number(value: float) -> str:
    if math.isinf(value):
        return "any number" if value > 0 else "-"
    if abs(value) >= 1e7:
        return f"{value:.3g}"
    return f"{float(f'{value:.3g}'):,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _plain(value: Any) -> Any:
    """As JSON can hold it."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return "Infinity" if isinstance(value, float) and math.isinf(value) else value
