"""The ledger of claims: compare a measured number with a claim, and record the verdict.

Tolerances come from standard errors, never from taste: a claim is reproduced within 5 of them,
contradicted beyond, and an order or inequality between the two is undecided. The functions that
check never raise for a verdict; `audit` says where the verdicts and the ledger disagree.
"""

import dataclasses
import difflib
import functools
import html
import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from madlib.parameters import ParameterError, as_reals, require, write_result

__all__ = [
    "Claim",
    "Estimate",
    "Verdict",
    "audit",
    "check",
    "check_inequality",
    "check_order",
    "estimate",
    "ledger",
]

N_STANDARD_ERRORS = 5.0
KINDS = ("equality", "order", "inequality", "not attempted")
VERDICTS = ("reproduced", "contradicted", "not attempted")
_ROUNDING = 1e-6  # relative; single precision, for quantities without a standard error


@dataclasses.dataclass(frozen=True)
class Claim:
    """One line of the ledger.

    Attributes:
        id: words joined by ``-``.
        source: bib key, or ``founding`` for the article that started the book.
        where: figure, theorem or section in the source.
        statement: the claim in one sentence.
        kind: ``equality``, ``order``, ``inequality`` or ``not attempted``.
        chapter: stem of the notebook that measures it, or None.
        verdict: what the ledger expects: ``reproduced``, ``contradicted`` or ``not attempted``.
        measure: which statistic is compared with what.
        note: why it is not attempted, or how it is contradicted.
    """

    id: str
    source: str
    where: str
    statement: str
    kind: str
    chapter: str | None
    verdict: str
    measure: str | None = None
    note: str | None = None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A claim after measurement.

    Attributes:
        id: of the claim.
        kind: of the claim.
        verdict: ``reproduced``, ``contradicted`` or ``undecided``.
        score: z (the worst, signed) of an equality, margin in standard errors of the others.
        statement: of the claim.
    """

    id: str
    kind: str
    verdict: str
    score: float
    statement: str

    @property
    def evidence(self) -> str:
        """The score in words, such as ``|z| = 1.3``."""
        if math.isinf(self.score):
            return "exact" if self.verdict == "reproduced" else "exactly not so"
        if self.kind == "equality":
            return f"|z| = {abs(self.score):.2g}"
        return f"margin = {self.score:.3g} SE"

    def __str__(self) -> str:
        return f"{self.id}: {self.verdict} ({self.evidence})"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return (
            f'<div class="madlib-verdict {self.verdict}"><strong>{self.verdict.capitalize()}'
            f"</strong> <span>({html.escape(self.evidence)})</span> "
            f'<a href="claims.html#claim-{self.id}"><code>{self.id}</code></a> '
            f"{html.escape(self.statement)}</div>"
        )


class Estimate(NamedTuple):
    """A mean, or a ratio of means, and its standard error: arrays without the replicate axis."""

    mean: np.ndarray
    se: np.ndarray


def estimate(values: Any, over: Any = None, *, axis: int = -1) -> Estimate:
    """Estimate an expectation, or the ratio of two, from replicates.

    Args:
        values: [..., n_replicates, ...], at least two replicates.
        over: the same shape, for E values / E over; replicate i of one belongs to replicate i of
            the other, and what they share cancels in the standard error (delta method).
        axis: of the replicates.

    Returns:
        Mean and standard error, without the axis of the replicates.

    Raises:
        ParameterError: for fewer than two replicates, NaN, or a ratio that has no value.
    """
    values = as_reals(values)
    n = values.shape[axis] if -values.ndim <= axis < values.ndim else 0
    require(
        n >= 2,
        "a standard error needs at least two replicates",
        f"{n} along axis {axis} of shape {values.shape}",
        "Increase n_replicates.",
    )
    values = np.moveaxis(values, axis, -1)
    if over is None:
        return Estimate(values.mean(-1), values.std(-1, ddof=1) / math.sqrt(n))
    over = np.moveaxis(as_reals(over), axis, -1)
    same = over.shape == values.shape
    require(same, "values and over must share a shape", (values.shape, over.shape), "Pair them.")
    below = over.mean(-1)
    require(np.all(below != 0), "the mean of over must not be 0", below, "Compare differences.")
    ratio = values.mean(-1) / below
    rest = values - ratio[..., None] * over
    return Estimate(ratio, rest.std(-1, ddof=1) / math.sqrt(n) / np.abs(below))


def check(id: str, *, measured: Any, se: Any, expected: Any) -> Verdict:
    """Check an equality: reproduced if |measured - expected| is at most 5 standard errors.

    Args:
        id: of the claim.
        measured: a number or an array; of an array the worst entry counts.
        se: its standard error; 0 for an exact quantity, which must then agree to rounding.
        expected: what the claim says.

    Returns:
        The verdict, also written to ``results_dir()/claims/<id>.json``.
    """
    claim = _find(id, "equality", "check")
    measured, se, expected = _arrays(id, measured=measured, se=se, expected=expected)
    gap = measured - expected
    exact = np.abs(gap) <= _ROUNDING * np.maximum(np.abs(measured), np.abs(expected))
    z = np.where((se == 0) & exact, 0.0, _divide(gap, se))
    worst = float(z.flat[np.argmax(np.abs(z))])
    verdict = "reproduced" if abs(worst) <= N_STANDARD_ERRORS else "contradicted"
    return _record(claim, verdict, worst, measured=measured, se=se, expected=expected)


def check_order(id: str, values: Any, *, se: Any) -> Verdict:
    """Check an order: the values increase in the order given.

    Args:
        id: of the claim.
        values: [n], n >= 2, those that the claim says are smaller first.
        se: a number or [n]; adjacent values are taken to be independent. Those that share random
            numbers or replicates are not: pass the estimate of their differences to
            `check_inequality` instead.

    Returns:
        The verdict, also written to ``results_dir()/claims/<id>.json``.
    """
    claim = _find(id, "order", "check_order")
    values, se = _arrays(id, values=values, se=se)
    if values.ndim != 1 or len(values) < 2:
        raise ParameterError(
            f"{id}: an order needs at least two values in one row; got shape {values.shape}. "
            "Pass [smaller, ..., larger]."
        )
    margin = _worst_margin(np.diff(values), np.hypot(se[1:], se[:-1]))
    return _record(claim, _judge(margin), margin, measured=values, se=se)


def check_inequality(
    id: str, *, measured: Any, se: Any, at_least: Any = None, at_most: Any = None
) -> Verdict:
    """Check an inequality: measured >= at_least, or measured <= at_most.

    Args:
        id: of the claim.
        measured: a number or an array; of an array the worst entry counts.
        se: its standard error; 0 for an exact quantity.
        at_least: the bound from below, or None.
        at_most: the bound from above, or None.

    Returns:
        The verdict, also written to ``results_dir()/claims/<id>.json``.
    """
    claim = _find(id, "inequality", "check_inequality")
    if (at_least is None) == (at_most is None):
        raise ParameterError(
            f"{id}: an inequality needs at_least or at_most; got "
            f"{'neither' if at_least is None else 'both'}. Give exactly one."
        )
    bound = at_most if at_least is None else at_least
    measured, se, bound = _arrays(id, measured=measured, se=se, bound=bound)
    gap = bound - measured if at_least is None else measured - bound
    margin = _worst_margin(gap, se)
    side = {"at_most" if at_least is None else "at_least": bound}
    return _record(claim, _judge(margin), margin, measured=measured, se=se, **side)


def ledger(path: str | Path | None = None) -> tuple[Claim, ...]:
    """Read the claims, in order.

    Args:
        path: of the file; by default ``$MADLIB_LEDGER``, or ``book/claims.yaml`` beside madlib.

    Returns:
        The claims.

    Raises:
        ParameterError: for a missing file or an entry that is not as described in `Claim`.
    """
    chosen = path or os.environ.get("MADLIB_LEDGER", "").strip() or _default_ledger()
    chosen = Path(chosen).expanduser()
    try:
        return _read(chosen, chosen.stat().st_mtime_ns)
    except OSError as error:
        raise ParameterError(
            f"the ledger of claims must be a readable file; got {chosen} ({error.strerror}). "
            "Set MADLIB_LEDGER to the claims.yaml of the book."
        ) from None


def audit(results: str | Path, claims: Iterable[Claim] | None = None) -> list[str]:
    """Compare what was measured with what the ledger expects.

    Args:
        results: the results folder, which holds ``claims/<id>.json``.
        claims: those expected to be there; all claims of the ledger by default. Pass those of the
            chapters that were built.

    Returns:
        One line per mismatch; none if the book says what the ledger says.
    """
    everything = {claim.id: claim for claim in ledger()}
    expected = everything if claims is None else {claim.id: claim for claim in claims}
    measured = {}
    lines = []
    for file in sorted(Path(results).glob("claims/*.json")):
        try:
            record = json.loads(file.read_text("utf-8"))
            measured[record["id"]] = record["verdict"]
        except (ValueError, KeyError, TypeError):
            lines.append(f"{file.stem}: its record cannot be read; run its chapter again.")
            measured[file.stem] = None
    known = everything.keys() | expected.keys()
    for id in sorted(id for id, verdict in measured.items() if verdict and id not in known):
        lines.append(f"{id}: measured, but not in the ledger; add it to book/claims.yaml.")
    for claim in expected.values():
        if claim.kind == "not attempted":
            continue
        if claim.id not in measured:
            lines.append(
                f"{claim.id}: not measured; call its check in chapter {claim.chapter}, "
                "or mark it as not attempted."
            )
        elif measured[claim.id] not in (claim.verdict, None):
            lines.append(
                f"{claim.id}: the ledger says {claim.verdict}, chapter {claim.chapter} finds it "
                f"{measured[claim.id]}; find out why, then mend the chapter or the ledger."
            )
    return lines


def _default_ledger() -> Path:
    return Path(__file__).resolve().parent.parent / "book" / "claims.yaml"


@functools.lru_cache(maxsize=8)
def _read(path: Path, modified: int) -> tuple[Claim, ...]:
    """Read and validate one ledger; `modified` makes a changed file a new entry of the cache."""
    with path.open(encoding="utf-8") as stream:
        try:
            entries = yaml.safe_load(stream)
        except yaml.YAMLError as error:
            raise ParameterError(
                f"{path.name} must be valid YAML; got {_one_line(str(error))}. Mend it there."
            ) from None
    if not isinstance(entries, list) or not entries:
        raise ParameterError(
            f"{path.name} must be a list of claims; got {type(entries).__name__}. "
            "Begin each claim with '- id:'."
        )
    claims = tuple(_claim(path.name, number, entry) for number, entry in enumerate(entries, 1))
    seen: set[str] = set()
    for claim in claims:
        if claim.id in seen:
            raise ParameterError(
                f"ids in {path.name} must be unique; got {claim.id!r} twice. Rename one."
            )
        seen.add(claim.id)
    return claims


def _claim(file: str, number: int, entry: Any) -> Claim:
    where = f"{file}, entry {number}"
    if not isinstance(entry, dict):
        raise ParameterError(
            f"{where} must have the fields of a claim; got {entry!r:.60}. Write 'id: ...' first."
        )
    fields = {field.name: field for field in dataclasses.fields(Claim)}
    required = {name for name, field in fields.items() if field.default is dataclasses.MISSING}
    where += f" ({entry.get('id', 'without id')})"
    if unknown := sorted(entry.keys() - fields.keys()):
        raise ParameterError(
            f"{where} must have the fields {', '.join(fields)}; got {unknown[0]!r}. Rename it."
        )
    if missing := sorted(required - entry.keys()):
        raise ParameterError(
            f"{where} must have the fields {', '.join(sorted(required))}; got no {missing[0]!r}. "
            "Add it."
        )
    claim = Claim(**{name: _one_line(value) for name, value in entry.items()})
    for name, allowed in (("kind", KINDS), ("verdict", VERDICTS)):
        if getattr(claim, name) not in allowed:
            raise ParameterError(
                f"{where}: {name} must be one of {', '.join(allowed)}; "
                f"got {getattr(claim, name)!r}. Choose one."
            )
    idle = claim.kind == "not attempted"
    if idle != (claim.verdict == "not attempted") or (not idle and not claim.chapter):
        raise ParameterError(
            f"{where}: a claim has a kind, a verdict and a chapter, or is 'not attempted' in both "
            f"kind and verdict; got kind {claim.kind!r}, verdict {claim.verdict!r}, chapter "
            f"{claim.chapter!r}. Make them agree."
        )
    if (idle or claim.verdict == "contradicted") and not claim.note:
        raise ParameterError(
            f"{where}: what is {claim.verdict} needs a note saying why; got none. Add 'note: ...'."
        )
    return claim


def _one_line(value: Any) -> Any:
    return " ".join(value.split()) if isinstance(value, str) else value


def _find(id: str, kind: str, function: str) -> Claim:
    claims = {claim.id: claim for claim in ledger()}
    if id not in claims:
        close = difflib.get_close_matches(str(id), claims, n=1, cutoff=0.4)
        hint = f"Did you mean {close[0]!r}?" if close else "Add it to book/claims.yaml."
        raise ParameterError(f"claim ids must be in the ledger; got {id!r}. {hint}")
    if claims[id].kind != kind:
        right = {
            "equality": "Call check.",
            "order": "Call check_order.",
            "inequality": "Call check_inequality.",
            "not attempted": "Change the ledger if it is attempted now.",
        }[claims[id].kind]
        raise ParameterError(
            f"{function} needs a claim of kind {kind!r}; got {id!r} of kind {claims[id].kind!r}. "
            f"{right}"
        )
    return claims[id]


def _arrays(id: str, *, se: Any, **values: Any) -> Sequence[np.ndarray]:
    """Return the values and the standard error as float64 arrays of one shape, in call order."""
    given = {**values, "se": se}
    order = [name for name in ("measured", "values", "se", "expected", "bound") if name in given]
    try:
        arrays = [np.asarray(given[name], dtype=np.float64) for name in order]
    except (TypeError, ValueError):
        raise ParameterError(
            f"{id}: {', '.join(order)} must be numbers or arrays of numbers; got "
            f"{', '.join(type(given[name]).__name__ for name in order)}. Convert them."
        ) from None
    for name, array in zip(order, arrays, strict=True):
        if not array.size or not np.isfinite(array).all():
            raise ParameterError(
                f"{id}: {name} must be finite; got {'nothing' if not array.size else array}. "
                "Look for the generation or replicate where it fails."
            )
    if (arrays[order.index("se")] < 0).any():
        raise ParameterError(
            f"{id}: se must be zero or positive; got {given['se']}. "
            "Pass the standard error of the measured number."
        )
    try:
        return np.broadcast_arrays(*arrays)
    except ValueError:
        raise ParameterError(
            f"{id}: {', '.join(order)} must have matching shapes; got "
            f"{', '.join(str(array.shape) for array in arrays)}. Reduce them to the same points."
        ) from None


def _divide(gap: np.ndarray, se: np.ndarray) -> np.ndarray:
    """Return gap / se, with +-inf where se is zero and 0 where both are."""
    infinite = np.where(gap == 0, 0.0, np.copysign(np.inf, gap))
    return np.where(se > 0, gap / np.where(se > 0, se, 1.0), infinite)


def _worst_margin(gap: np.ndarray, se: np.ndarray) -> float:
    return float(_divide(gap, se).min())


def _judge(margin: float) -> str:
    if margin >= N_STANDARD_ERRORS:
        return "reproduced"
    return "contradicted" if margin <= -N_STANDARD_ERRORS else "undecided"


def _record(claim: Claim, verdict: str, score: float, **numbers: np.ndarray) -> Verdict:
    """Write the record of a claim, the same bytes for the same numbers."""
    result = Verdict(claim.id, claim.kind, verdict, score, claim.statement)
    record = {
        "id": claim.id,
        "kind": claim.kind,
        "verdict": verdict,
        "z" if claim.kind == "equality" else "margin": _json_number(score),
        "evidence": result.evidence,
        **{name: _json_number(array) for name, array in numbers.items()},
    }
    text = json.dumps(record, indent=2, sort_keys=True, allow_nan=False)
    write_result(f"claims/{claim.id}.json", f"{text}\n".encode())
    return result


def _json_number(value: Any) -> Any:
    """Round to 9 digits, all that single precision holds; infinity becomes a word."""
    if isinstance(value, np.ndarray):
        return [_json_number(item) for item in value] if value.ndim else _json_number(float(value))
    number = float(value)
    return float(f"{number:.9g}") if math.isfinite(number) else str(number)
