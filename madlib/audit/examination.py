"""`audit`: what sets of synthetic items, generation by generation, show beside real ones."""

import dataclasses
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from madlib.audit import scores as of_sets
from madlib.audit import verdict as of_trends
from madlib.audit.reading import PASSAGE, read_sets
from madlib.audit.scores import Score, View
from madlib.audit.worth import Curve, curve, splits, worth
from madlib.errors import Count, Flag, Natural, checked, require
from madlib.planning import Plan, plan

LEVEL = 0.9
STRICT = 0.99  # of intervals of distances that must not meet for an alarm.
N_SPLITS = 200
BAND = 1.645 * np.array([0, -1, 1])  # value, and the ends of an interval of 90 %
_FALLS = ("entropy", "recall", "coverage")


@dataclasses.dataclass(frozen=True)
class Audit:
    """Findings on real items and on those of each generation.

    Attributes:
        verdict: "degrading", "stable" or "undecided".
        reasons: signs of a decline, or why there is no verdict.
        lam, half_life: variance kept per generation, and generations until half of it is left;
            value, low and high end of the interval of 90 %.
        generations: one table row per generation: `n`, `n_e`, `lam` (variance kept since the one
            before), `frechet_distance` and other scores, each with its interval as `..._low` and
            `..._high`.
        floors: the same scores between two sets of real items, with their bands.
        definitions: of collapse, each True, False or, where it cannot be said, None.
        sizes: numbers of items that scores were computed from.
        curve: the reader's learning curve.
        learning: [.., 2], numbers of real items and their distance from the others.
    """

    verdict: str
    reasons: list[str]
    lam: Score
    half_life: Score
    generations: list[dict[str, Any]]
    floors: dict[str, Any]
    definitions: dict[str, bool | None]
    sizes: dict[str, Any]
    curve: Curve = dataclasses.field(repr=False)
    learning: np.ndarray = dataclasses.field(repr=False)

    def plan(self, **question: Any) -> Plan:
        """What `madlib.planning.plan` says of a loop with these numbers.

        Args:
            **question: in place of n_r real items, new in every round, as many synthetic ones as
                the last set has, `lam` as estimated, and the effective dimension of the real items.
        """
        numbers: dict[str, Any] = {"n_r": self.sizes["real"], "n_s": self.generations[-1]["n"]}
        numbers |= {"lam": min(self.lam[0], 1.0), "dim": min(self.curve.dim, 1e6)}
        return plan(**numbers | question)

    @property
    def table(self) -> pd.DataFrame:
        """A row for each generation."""
        return pd.DataFrame(self.generations)

    def band(self, score: str) -> np.ndarray:
        """Low end, value and high end of a score, [3, T]; infinite numbers are cut at 1e9."""
        columns = [f"{score}_low", score, f"{score}_high"]
        return self.table[columns].to_numpy(float).T.clip(-1e9, 1e9)

    def measured(self, score: str) -> tuple[np.ndarray, np.ndarray]:
        """A score of the real items (NaN where there is none) and of generation 1, 2, ...

        Returns:
            Values and standard errors, [T + 1] each.

        Raises:
            ParameterError: for a score that has no interval.
        """
        known = [name for name in self.table if f"{name}_high" in self.table]
        require(score in known, f"score must be one of {', '.join(known)}", repr(score))
        return _with_error([self.floors, *self.generations], score)

    def to_json(self) -> str:
        """All findings; numbers that are not finite as null."""
        found = {
            "verdict": self.verdict,
            "reasons": self.reasons,
            **_flat({"lam": self.lam, "half_life": self.half_life}),
            "generations": self.generations,
            "floors": self.floors,
            "definitions": self.definitions,
            "sizes": self.sizes,
        }
        return json.dumps(_finite(found), indent=2, ensure_ascii=False, allow_nan=False)

    def save(self, folder: str | os.PathLike) -> Path:
        """Write report.html, audit.json, audit.csv and the figures; the path of the report."""
        from madlib.audit.report import save

        return save(self, Path(folder))

    def __str__(self) -> str:
        names = "precision", "recall", "coverage"
        rows: list[tuple[str, ...]] = [("gen", "items", "n_e", "90 %", "lam", "90 %", *names)]
        for t, row in enumerate(self.generations, 1):
            pairs = (f"{row[name]:.3g}" for name in names)
            n_e = f"{row['n_e']:.4g}", f"{row['n_e_low']:.3g}..{row['n_e_high']:.3g}"
            lam = f"{row['lam']:.3f}", f"{row['lam_low']:.3f}..{row['lam_high']:.3f}"
            rows.append((f"{t}", f"{row['n']}", *n_e, *lam, *pairs))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.rjust, row, widths)) for row in rows]
        return "\n".join([f"verdict: {self.verdict}", *map("  {}".format, self.reasons), *lines])


@checked
def audit(
    real: Any,
    generations: Sequence[Any],
    *,
    trained: Flag = False,
    n_train: Count | None = None,
    raw: Flag = False,
    seed: Natural = 0,
) -> Audit:
    """Compare the items of each generation with real ones, and say whether the loop degrades.

    Args:
        real: points [n, d] or a file of them (.npy, .npz, .csv, .parquet), or of text (.txt), that
            no generator was trained on.
        generations: the same of the items drawn from generation 1, 2, ...
        trained: whether, instead, generation 1 was trained on the real items.
        n_train: size of the training sets, where the sets given are further items of the models. By
            default generation t + 1 was trained on the items given for generation t, and `lam` has
            the error of a random walk; see `verdict.increment_noise`.
        raw: whether to take columns as they are, all in one unit; by default each is measured in
            the standard deviation of the real items.
        seed: of subsets, splits and bootstrap.

    Raises:
        ParameterError: for sets that cannot be read or compared.

    Example:
        >>> import numpy as np
        >>> from madlib.audit import audit
        >>> rng = np.random.default_rng(0)
        >>> loop = [0.6**t * rng.standard_normal((400, 2)) for t in (1, 2, 3)]
        >>> audit(rng.standard_normal((400, 2)), loop).verdict
        'degrading'
    """
    generations = list(generations)
    require(generations, "generations must be given", "none", "Name a file for each generation.")
    sets, alphabet = read_sets(real, generations)
    rng = np.random.default_rng(seed)
    unit = of_sets.unit_of(rng, sets[0].points, raw)
    known = {"dimension": sets[0].points.shape[1], "directions": len(unit.scale)}
    if alphabet:
        known |= {"passage": PASSAGE, "dropped": {items.name: items.dropped for items in sets}}
    views = []
    while sets:  # the items of a set can go when it has been seen.
        views.append(of_sets.view(rng, sets.pop(0), unit))
    origin, *models = views
    known |= {"directions": origin.directions.shape[1], "n_train": n_train}
    halves = splits(rng, origin.blocks, 2, N_SPLITS)
    rows, floors, sizes = _scores(rng, origin, models, alphabet)
    relative = float(halves.var(ddof=1) / max(halves.mean() ** 2, np.finfo(float).tiny))
    wide = []
    variance, se = np.array([view.variance for view in views]).T
    n = np.array([view.n for view in views])
    noise = of_trends.increment_noise(se, n, trained=trained, n_train=n_train)
    for t, (model, row) in enumerate(zip(models, rows, strict=True), 1):
        options = {"trained": trained, "levels": (LEVEL, STRICT)}
        found, strict = worth(rng, origin.blocks, model.blocks, relative, **options)
        wide.append((found.distance, strict.distance_low, strict.distance_high))
        error = np.sqrt(noise[t - 1, t - 1])
        lam = variance[t] / variance[t - 1] * np.exp(error * BAND)
        kept = variance[t] / variance[0] * np.exp(np.hypot(se[t], se[0]) * BAND)
        rows[t - 1] = {
            "generation": t,
            "file": model.name,
            "n": model.n,
            **_flat({"n_e": found[:3], "lam": lam, "distance": found[3:], "variance": kept}),
            **row,
        }
    return _judged(rows, floors, known | sizes, variance, se, noise, np.array(wide), origin, rng)


def _judged(
    rows: list[dict[str, Any]],
    floors: dict[str, Any],
    sizes: dict[str, Any],
    variance: np.ndarray,
    se: np.ndarray,
    noise: np.ndarray,
    wide: np.ndarray,
    origin: View,
    rng: np.random.Generator,
) -> Audit:
    def pairs(name: str) -> np.ndarray:
        return np.transpose(_with_error(rows, name))

    found = of_trends.signs(variance, se, wide, {name: pairs(name) for name in _FALLS})
    kept = of_trends.trend(variance, noise)
    outside = pairs("precision") * [-1, 1] + [1, 0]
    decided = of_trends.definitions(kept, pairs("distance"), pairs("tails"), outside)
    doubt = _doubt(rows, wide[:, 0])
    decision = of_trends.verdict(found, kept, doubt)
    reasons = found or [_excuse(decision, kept, doubt)]
    n = int(origin.blocks.n.sum())
    learning = np.array(
        [
            (n // part, distance * (1 - 1 / part))  # less the noise of the others
            for part in (2, 4, 8, 16)
            for distance in splits(rng, origin.blocks, part, 20)
        ]
    )
    half_life = kept.half_life
    values = (kept.lam, kept.low, kept.high), half_life, [*map(_cut, rows)], _cut(floors)
    return Audit(decision, reasons, *values, decided, sizes, curve(origin.blocks), learning)


def _doubt(rows: list[dict[str, Any]], distance: np.ndarray) -> str:
    """What speaks against stability although the variance is kept, or nothing."""
    first, last = rows[0], rows[-1]
    if len(rows) == 1:
        worse = first["n_e_high"] < first["n"]
        return "worse than real items, and one generation shows no trend" if worse else ""
    fades = last["n_e_high"] < first["n_e_low"] and of_trends.goes_on(distance)
    worth = f"{first['n_e']:,.0f} real items in generation 1, {last['n_e']:,.0f} in {len(rows)}"
    return f"the variance is kept, but the worth fell: {worth}" if fades else ""


def _excuse(decision: str, kept: of_trends.Trend, doubt: str) -> str:
    if decision == "stable":
        return f"between {kept.low:.3g} and {kept.high:.3g} of the variance is kept per generation"
    if kept.low <= of_trends.TOLERABLE:
        least = f"as little as {kept.low:.3g} of the variance may be kept per generation"
        return f"{least}: more items or more generations would tell"
    return doubt


def _scores(
    rng: np.random.Generator, origin: View, models: list[View], alphabet: str
) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """Rows of scores for the models, and their floors between real items."""
    d = origin.rows.shape[1]
    most = min(of_sets.MAX_NEIGHBORS, int(math.sqrt(2**29 / d)))
    n = min(most, len(origin.rows) // 2, *(len(model.rows) for model in models))
    real, again = origin.rows[:n], origin.rows[n : 2 * n]
    q = min(of_sets.N_QUERIES, n)
    half = len(origin.directions) // 2
    own = rng.permutation(len(origin.directions))
    first, second = origin.directions[own[:half]], origin.directions[own[half:]]
    thresholds = np.quantile(first[:20_000], [of_sets.TAIL, 1 - of_sets.TAIL], axis=0)
    queries = own[:q]
    nearest = of_sets.novelty(origin.directions, origin.directions[queries], queries)
    typical = float(np.median(nearest)) or float(nearest.mean()) or 1.0
    m = min(len(origin.text or ()) // 2, *(len(model.text or ()) for model in models))
    passages = (origin.text or [])[:m]

    def row(rows: Any, directions: Any, distances: Any, text: Any) -> dict[str, Any]:
        found: dict[str, Any] = of_sets.neighbor_scores(rng, real, rows[:n])
        found |= of_sets.tails(thresholds, directions)
        found |= of_sets.novelty_scores(rng, distances, typical)
        return found | (of_sets.text_scores(passages, text[:m], alphabet) if passages else {})

    floors = _flat(row(again, second, nearest, (origin.text or [])[m : 2 * m]))
    rows = []
    for model in models:
        chosen = model.directions[rng.permutation(model.n)[:q]]
        distances = of_sets.novelty(origin.directions, chosen)
        rows.append(_flat(row(model.rows, model.directions, distances, model.text)))
    return rows, floors, {"neighbors": n, "queries": q, "real": len(own), "passages": m}


def _with_error(rows: list[dict[str, Any]], score: str) -> tuple[np.ndarray, np.ndarray]:
    """Values, and standard errors from their intervals of 90 %; NaN in rows without the score."""
    value, low, high = (
        pd.DataFrame(rows)[[score, f"{score}_low", f"{score}_high"]].to_numpy(float).T
    )
    with np.errstate(invalid="ignore"):  # the entropy of a constant set is -inf
        cut = score in of_sets.RANGES  # at one end, perhaps
        half = np.maximum(high - value, value - low) if cut else (high - low) / 2
        return value, half / 1.645


def _cut(row: dict[str, Any]) -> dict[str, Any]:
    """Ends of bands within the range of the score, for those who read them."""
    ends = {}
    for score, (least, most) in of_sets.RANGES.items():
        if score in row:
            ends[f"{score}_low"] = max(row[f"{score}_low"], least)
            ends[f"{score}_high"] = min(row[f"{score}_high"], most)
    return row | ends


def _flat(scores: dict[str, Any]) -> dict[str, Any]:
    """{name: (value, low, high)} as name, name_low and name_high."""
    found = {}
    for name, given in scores.items():
        values = given if isinstance(given, tuple | np.ndarray) else [given]
        for end, value in zip(("", "_low", "_high"), values, strict=False):
            found[f"{name}{end}"] = None if value is None else float(value)
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
