"""The ledger of claims: compare a measured number with a claim, and record the outcome.

Tolerances come from standard errors, never from taste: 5 of them, beyond which chance carries a
normal variable once in 1.7 million tries. The standard error of few replicates is itself uncertain;
they need as many as Student's t exceeds once in a thousand tries: 5.9 for 6 replicates, 7.2 for 5,
10 for 4, 22 for 3. An order or inequality holds or fails by that margin and is undecided in
between; an equality holds within 5, fails beyond the tolerance and is undecided in between.
`check` never raises for an outcome; `audit` tells where outcomes and the ledger disagree.

>>> import os, tempfile
>>> from unittest import mock
>>> from madlib.book import claims
>>> entry = "[{id: mean, source: madlib, where: here, statement: It is 1., kind: equality,"
>>> with tempfile.TemporaryDirectory() as folder:
...     path = Path(folder, "claims.yaml")
...     size = path.write_text(entry + " chapter: mine, verdict: passes}]")
...     with mock.patch.dict(os.environ, MADLIB_RESULTS=folder, MADLIB_LEDGER=str(path)):
...         replicates = [0.98, 1.01, 1.0, 1.02, 0.97]
...         verdict = claims.check("mean", replicates, expected=1)
...         print(verdict, isinstance(verdict, claims.Verdict))
...         print(claims.audit(folder), claims.ledger() == (verdict.claim,))
...         print(isinstance(verdict.claim, claims.Claim))
...         mean = {"mean": claims.Estimate.of(replicates)}
...         print(claims.check_all(mean, expected=1) == claims.Verdicts([verdict]))
mean: holds (|z| = 0.43) True
[] True
True
True
"""

import dataclasses
import functools
import html
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from madlib.book.results import write_result
from madlib.errors import ParameterError, as_reals, closest, require
from madlib.metrics.collapse import N_STANDARD_ERRORS, tolerance

__all__ = [
    "Claim",
    "Estimate",
    "Verdict",
    "Verdicts",
    "audit",
    "check",
    "check_all",
    "estimate",
    "ledger",
]

# What the ledger says -> the outcome of the check that bears it out.
OUTCOMES = {
    "reproduced": "holds",
    "in miniature": "holds",
    "does not carry over": "fails",
    "contradicted": "fails",
    "not attempted": "not measured",
    "passes": "holds",  # A check of an instrument of the book, which is no claim.
}
_ROUNDING = 1e-6  # relative; single precision, for quantities without a standard error
_MATHEMATICS = re.compile(r"\$([^$]+)\$")


class Claim(NamedTuple):
    """One entry of the ledger, as `claims.schema.json` describes it.

    Attributes:
        id: words joined by `-`.
        source: bib key, `founding` for the article that started the book, `madlib` for the book
            itself, or `expectation` for what one might expect from a source that does not say so.
        where: figure, theorem or section in the source.
        statement: the claim in one sentence.
        kind: `equality`, `order`, `inequality` or `not attempted`.
        chapter: stem of the notebook that measures it, or None.
        verdict: a key of `OUTCOMES`.
        measure: the statistic that is compared, and with what.
        setting: what was computed here, and how it differs from the source.
        note: why it is not attempted, or how it comes out otherwise.
    """

    id: str
    source: str
    where: str
    statement: str
    kind: str
    chapter: str | None
    verdict: str
    measure: str | None = None
    setting: str | None = None
    note: str | None = None


class Verdict(NamedTuple):
    """A claim after measurement.

    Attributes:
        claim: its entry in the ledger.
        outcome: `holds`, `fails`, `undecided`, or `not measured` where there was no value.
        margin: in standard errors: the worst z, signed, of an equality; of the others the distance
            by which they hold, negative where they fail; NaN where there was no value.
        tolerance: the margin that decides.
    """

    claim: Claim
    outcome: str
    margin: float
    tolerance: float = N_STANDARD_ERRORS

    @property
    def evidence(self) -> str:
        """The margin in words, such as `|z| = 1.3`."""
        if math.isnan(self.margin):
            return "too few values"
        if math.isinf(self.margin):
            return "exact" if self.outcome == "holds" else "exactly not so"
        few = self.tolerance >= 1.01 * N_STANDARD_ERRORS
        needed = f", {self.tolerance:.3g} decide" if few else ""
        if self.claim.kind == "equality":
            return f"|z| = {abs(self.margin):.2g}{needed if self.outcome != 'holds' else ''}"
        return f"margin = {self.margin:.3g} SE{needed}"

    def __str__(self) -> str:
        return f"{self.claim.id}: {self.outcome} ({self.evidence})"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        statement = _MATHEMATICS.sub(
            r'<span class="math notranslate nohighlight">\\(\1\\)</span>',
            html.escape(self.claim.statement),
        )
        return (
            f'<div class="madlib-verdict {self.outcome}" id="check-{self.claim.id}">'
            f"<strong>{self.outcome.capitalize()}</strong> "
            f"<span>({html.escape(self.evidence)})</span> "
            f'<a href="claims.html#claim-{self.claim.id}"><code>{self.claim.id}</code></a> '
            f"{statement}</div>"
        )


class Verdicts(tuple[Verdict, ...]):
    """Verdicts that show themselves one below the other."""

    def __repr__(self) -> str:
        return "\n".join(map(str, self))

    def _repr_html_(self) -> str:
        return "\n".join(verdict._repr_html_() for verdict in self)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A measured number, or an array of them, and its standard error.

    `e[i]` selects, `c * e`, `e / c` and `-e` scale, `e + c` shifts; `e - f` and `e + f` take the
    two to be independent. Those that share random numbers or replicates are not: estimate their
    differences instead.

    Attributes:
        mean: [...], the measured number.
        se: [...], its standard error; 0 for an exact quantity.
        n: replicates behind it, of the smaller set where there are two; None if it is exact.

    Example:
        >>> 2 * Estimate.of([1.0, 2.0, 3.0]) - 1
        Estimate(mean=array(3.), se=array(1.15470054), n=3)
    """

    mean: Any
    se: Any
    n: int | None = None
    __array_ufunc__ = None  # NumPy leaves `array - estimate` to the estimate.

    def __post_init__(self) -> None:
        mean, se = as_reals(self.mean, "the mean of an estimate"), as_reals(self.se, "se")
        require((se >= 0).all(), "se must be zero or positive", se, "Pass a standard error.")
        shapes, remedy = f"{se.shape} and {mean.shape}", "Reduce both alike."
        fine = se.shape in ((), mean.shape)
        require(fine, "se must be one number or have the shape of the mean", shapes, remedy)
        fine = self.n is None or self.n >= 2
        require(fine, "n must be None or at least 2", self.n, "One replicate has no spread.")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "se", np.broadcast_to(se, mean.shape))

    @classmethod
    def of(cls, values: Any, over: Any = None, *, axis: int = -1, pool: Any = None) -> "Estimate":
        """Estimate an expectation, or the ratio of two, from replicates.

        Args:
            values: [..., n_replicates, ...], at least two replicates.
            over: the same shape, for E values / E over; replicate i of one belongs to replicate i
                of the other, and what they share cancels in the standard error (delta method).
            axis: of the replicates.
            pool: axes of the result along which cells are independent and spread alike, such as
                loops of one kind. A cell's standard error is then the root mean square along them,
                or its own where that is larger, and its n counts the replicates of all.

        Returns:
            Mean and standard error, without the axis of the replicates.

        Raises:
            ParameterError: for fewer than two replicates, NaN, or a ratio that has no value.
        """
        values = as_reals(values, "values")
        shape = values.shape
        n = shape[axis] if -values.ndim <= axis < values.ndim else 0
        required = "a standard error needs at least two replicates"
        given = f"{n} along axis {axis} of shape {shape}"
        require(n >= 2, required, given, "Increase n_replicates.")
        values = np.moveaxis(values, axis, -1)
        mean, scale, rest = values.mean(-1), 1.0, values
        if over is not None:
            over = as_reals(over, "over")
            required = "values and over must share a shape"
            require(over.shape == shape, required, f"{shape} and {over.shape}", "Pair them.")
            over = np.moveaxis(over, axis, -1)
            scale = over.mean(-1)
            required = "the mean of over must not be 0"
            require(np.all(scale != 0), required, scale, "Compare differences.")
            mean = mean / scale
            rest = values - mean[..., None] * over
        se = rest.std(-1, ddof=1) / math.sqrt(n) / np.abs(scale)
        if pool is not None:
            pooled = np.sqrt(np.mean(se**2, axis=pool, keepdims=True))
            se, n = np.maximum(se, pooled), se.size // pooled.size * (n - 1) + 1
        return cls(mean, se, n)

    @classmethod
    def of_mean(cls, statistic: Callable[[Any], Any], values: Any) -> "Estimate":
        """Estimate a function of expectations by the jackknife (Quenouille 1956, Tukey 1958).

        Args:
            statistic: of the mean of replicates, [...] to [k].
            values: [n_replicates, ...], at least two replicates.

        Returns:
            [k], less its bias to first order in 1 / n_replicates.

        Example:
            >>> Estimate.of_mean(lambda mean: mean[None] ** 2, [1.0, 3.0])
            Estimate(mean=array([3.]), se=array([4.]), n=2)
        """
        values = as_reals(values, "values")
        n = len(values)
        require(n >= 2, "a standard error needs at least two replicates", n, "Draw more.")
        mean = values.mean(0)
        left_out = np.stack([statistic(one) for one in mean + (mean - values) / (n - 1)])
        return cls.of(n * np.asarray(statistic(mean)) - (n - 1) * left_out, axis=0)

    def __getitem__(self, index: Any) -> "Estimate":
        return Estimate(self.mean[index], self.se[index], self.n)

    def __mul__(self, c: Any) -> "Estimate":
        return Estimate(self.mean * c, self.se * np.abs(c), self.n)

    __rmul__ = __mul__

    def __truediv__(self, c: Any) -> "Estimate":
        return self * (1 / np.asarray(c))

    def __neg__(self) -> "Estimate":
        return self * -1

    def __add__(self, other: Any) -> "Estimate":
        if not isinstance(other, Estimate):
            other = Estimate(other, 0)
        n = min((n for n in (self.n, other.n) if n is not None), default=None)
        return Estimate(self.mean + other.mean, np.hypot(self.se, other.se), n)

    __radd__ = __add__

    def __sub__(self, other: Any) -> "Estimate":
        return self + -1 * other

    def __rsub__(self, other: Any) -> "Estimate":
        return other + -self


estimate = Estimate.of
_BOUNDS = {"equality": ("expected",), "inequality": ("at_least", "at_most"), "order": ("at_least",)}


def check(
    id: str,
    measured: Any,
    *,
    axis: int = -1,
    expected: Any = None,
    at_least: Any = None,
    at_most: Any = None,
) -> Verdict:
    """Compare what was measured with a claim; the ledger has the kind of the comparison.

    An equality takes `expected`; an inequality `at_least` or `at_most`; an order nothing, and then
    the entries of the estimate increase as they stand and are independent of their neighbors, or
    the estimate of paired differences and `at_least`. Of an array the worst entry counts. The fewer
    the replicates of the estimate, the larger the margin that decides: `tolerance`.

    Args:
        id: of the claim.
        measured: an `Estimate`, of which an exact quantity has se 0 and must agree to rounding; or
            the replicates of one. No numbers at all, such as the steps along a list of one, leave
            the claim not measured.
        axis: of the replicates.
        expected, at_least, at_most: numbers of a shape that broadcasts with the estimate's.

    Returns:
        The outcome; if it was measured, also written to `results_dir()/claims/<id>.json`.

    Raises:
        ParameterError: for an unknown id, or what cannot be compared; never for an outcome.
    """
    claim = _find(id)
    estimate = measured if isinstance(measured, Estimate) else Estimate.of(measured, axis=axis)
    sides = {"expected": expected, "at_least": at_least, "at_most": at_most}
    sides = {name: as_reals(v, f"{id}: {name}") for name, v in sides.items() if v is not None}
    fine = set(sides) <= set(_BOUNDS[claim.kind]) and len(sides) == 1
    required = f"{id}: this {claim.kind} takes {' or '.join(_BOUNDS[claim.kind])}"
    if claim.kind == "order" and not sides:
        fine = estimate.mean.ndim == 1
        required = f"{id}: an order needs its values in one row"
    got = f"{' and '.join(sides) or 'no bound'}, and an estimate of shape {estimate.mean.shape}"
    require(fine, required, got, "See the ledger for its kind.")
    gap = estimate if sides else estimate[1:] - estimate[:-1]
    if not gap.mean.size:
        return Verdict(claim, "not measured", math.nan)
    for name, bound in sides.items():
        try:
            gap = bound - gap if name == "at_most" else gap - bound
        except ValueError:
            shapes = f"{bound.shape} and {gap.mean.shape}"
            require(
                False, f"{id}: {name} must have the shape of the estimate", shapes, "Pair them."
            )
    margin = np.where(gap.mean == 0, 0.0, np.copysign(np.inf, gap.mean))
    margin = np.divide(gap.mean, gap.se, out=margin, where=gap.se > 0)
    needed = tolerance(estimate.n) if estimate.n else N_STANDARD_ERRORS
    if claim.kind == "equality":
        size = np.maximum(np.abs(estimate.mean), np.abs(sides["expected"]))
        margin[(gap.se == 0) & (np.abs(gap.mean) <= _ROUNDING * size)] = 0
        entry = int(np.argmax(np.abs(margin)))
        worst = float(margin.flat[entry])
        holds, fails = abs(worst) <= N_STANDARD_ERRORS, abs(worst) > needed
    else:
        entry = int(np.argmin(margin))
        worst = float(margin.flat[entry])
        holds, fails = worst >= needed, worst <= -needed
    outcome = "holds" if holds else "fails" if fails else "undecided"
    numbers = {"measured": estimate.mean, "se": estimate.se, **sides, "margin": np.array(worst)}
    record = {"id": id, "kind": claim.kind, "outcome": outcome, "n": estimate.n}
    record |= {"entry": entry, "tolerance": round(needed, 4)}
    record |= {name: _json_number(array) for name, array in numbers.items()}
    text = json.dumps(record, indent=2, sort_keys=True, allow_nan=False)
    write_result(f"claims/{id}.json", f"{text}\n".encode())
    return Verdict(claim, outcome, worst, needed)


def check_all(measured: Mapping[str, Any], **how: Any) -> Verdicts:
    """Compare several measured numbers with claims of one form, one after the other.

    Args:
        measured: {id: numbers}, as in `check`.
        **how: `axis`, `expected`, `at_least` and `at_most` of all of them, as in `check`.

    Returns:
        The outcomes, in order; each is written as by `check`.
    """
    return Verdicts(check(id, values, **how) for id, values in measured.items())


def ledger(path: str | Path | None = None) -> tuple[Claim, ...]:
    """The claims, in order.

    Args:
        path: of the file; by default `$MADLIB_LEDGER`, or `book/claims.yaml` beside madlib.

    Raises:
        ParameterError: for a missing file, or an entry that is not as `claims.schema.json` says.
    """
    beside = Path(__file__).parents[2] / "book" / "claims.yaml"
    chosen = Path(path or os.environ.get("MADLIB_LEDGER", "").strip() or beside).expanduser()
    try:
        return _read(chosen, chosen.stat().st_mtime_ns)
    except OSError as error:
        raise ParameterError(
            f"the ledger of claims must be a readable file; got {chosen} ({error.strerror}). "
            "Set MADLIB_LEDGER to the claims.yaml of the book."
        ) from None


def recorded(results: str | Path) -> dict[str, Any]:
    """{id: record} of what `check` has written; the record is None where it cannot be read."""
    records: dict[str, Any] = {}
    for file in sorted(Path(results).glob("claims/*.json")):
        try:
            record = json.loads(file.read_text("utf-8"))
            records[file.stem] = record | {"margin": float(record["margin"])}
        except (ValueError, KeyError, TypeError):
            records[file.stem] = None
    return records


def audit(results: str | Path, path: str | Path | None = None) -> list[str]:
    """Compare the outcomes with the ledger.

    Args:
        results: the results folder, which holds `claims/<id>.json`.
        path: of the ledger, as in `ledger`.

    Returns:
        One line per mismatch; none if the book bears out the ledger.
    """
    claims = {claim.id: claim for claim in ledger(path)}
    records = recorded(results)
    lines = []
    for id, record in records.items():
        if record is None:
            lines.append(f"{id}: its record cannot be read; run its chapter again.")
        elif id not in claims:
            lines.append(f"{id}: measured, but not in the ledger; add it to book/claims.yaml.")
    for id, claim in claims.items():
        outcome = (records.get(id, {"outcome": "not measured"}) or {}).get("outcome")
        if outcome not in (OUTCOMES[claim.verdict], None):
            lines.append(
                f"{id}: the ledger says {claim.verdict}, chapter {claim.chapter}: {outcome}; "
                "find out why, then mend the chapter or the ledger."
            )
    return lines


@functools.lru_cache(maxsize=8)
def _read(path: Path, modified: int) -> tuple[Claim, ...]:
    """Read and validate one ledger; `modified` makes a changed file a new entry of the cache."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    mend = f"Mend {path.name} there."
    try:
        entries = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        require(False, f"{path.name} must be valid YAML", error, mend)
    schema = json.loads(Path(__file__).with_name("claims.schema.json").read_text("utf-8"))
    errors = Draft202012Validator(schema).iter_errors(entries)
    if error := best_match(errors):
        number, *field = [*error.absolute_path] or [0]
        entry = entries[number] if error.absolute_path else None
        id = entry.get("id", "without id") if isinstance(entry, dict) else "no claim"
        where = " ".join(map(str, [f"entry {number + 1} ({id})", *field]))
        require(False, f"{path.name} must be a list of claims", f"{where}: {error.message}", mend)
    claims = tuple(
        Claim(**{k: " ".join(v.split()) if isinstance(v, str) else v for k, v in entry.items()})
        for entry in entries
    )
    ids = [claim.id for claim in claims]
    twice = sorted(id for id in set(ids) if ids.count(id) > 1)
    require(not twice, f"ids in {path.name} must be unique", f"{twice[:1]} twice", "Rename one.")
    return claims


def _find(id: str) -> Claim:
    claims = {claim.id: claim for claim in ledger()}
    hint = closest(id, claims)
    hint = hint if hint.startswith("Did") else "Add it to book/claims.yaml."
    require(id in claims, "claim ids must be in the ledger", repr(id), hint)
    remedy = "Change the ledger if it is attempted now."
    attempted = claims[id].kind != "not attempted"
    require(attempted, "a check needs a claim that is attempted", f"{id!r}, not attempted", remedy)
    return claims[id]


def _json_number(value: Any) -> Any:
    """Rounded to 9 digits, all that single precision holds; infinity becomes a word."""
    if value.ndim:
        return [_json_number(item) for item in value]
    return float(f"{value:.9g}") if np.isfinite(value) else str(value)
