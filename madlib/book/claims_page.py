"""The page of the ledger: a recorded check in words of HTML, and the forest plot of all margins."""

import html
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from madlib.metrics.collapse import N_STANDARD_ERRORS

MANY = 4  # entries of a check; of more, only the one that decides is shown.
SIGNS = {"expected": "", "at_least": "≥ ", "at_most": "≤ "}


def measured(record: dict[str, Any]) -> tuple[str, str]:
    """What was measured, with its standard error, and what it is compared with: two cells."""
    mean, se = np.asarray(record["measured"]), np.asarray(record["se"])
    side = next((side for side in SIGNS if side in record), None)
    if side is None:  # An order: its entries increase.
        first = record["entry"]
        shown = range(mean.size) if mean.size <= MANY else (first, first + 1)
        told, bounds = f"nearest of {mean.size - 1} steps", ["increasing"]
    else:
        mean, se, bound = np.broadcast_arrays(mean, se, np.asarray(record[side]))
        shown = range(mean.size) if mean.size <= MANY else (record["entry"],)
        told = f"farthest of {mean.size}" if side == "expected" else f"nearest of {mean.size}"
        bounds = [SIGNS[side] + number(float(bound.flat[i])) for i in shown]
        bounds = bounds[:1] if len({*bounds}) == 1 else bounds
    values = [number(float(mean.flat[i]), float(se.flat[i])) for i in shown]
    values += [f"<small>{told}</small>"] if mean.size > MANY else []
    return "<br>".join(values), "<br>".join(bounds)


def number(value: float, se: float = 0.0) -> str:
    """A number as one prints it, with as many digits as its standard error allows."""
    size = max(abs(value), se)
    power = math.floor(math.log10(size)) if size > 0 else 0
    power = power if not -4 <= power < 6 else 0
    value, se = value / 10.0**power, se / 10.0**power
    if se > 0:
        digits = max(1 - math.floor(math.log10(se)), 0)
        text = f"{value:,.{digits}f} ± {se:.{digits}f}"
        text = f"({text})" if power else text
    else:
        text = f"{value:,.0f}" if value == round(value, 6) == int(value) else f"{value:.4g}"
    text += f" × 10<sup>{power}</sup>" if power else ""
    return text.replace("-", "−")


class Margin(NamedTuple):
    """A row of the forest plot.

    Attributes:
        id: of the claim.
        group: its label, by which rows are gathered.
        verdict: as on the page.
        equality: whether it is one.
        margin: in standard errors, as in `claims.Verdict`.
        tolerance: the margin that decides.
    """

    id: str
    group: str
    verdict: str
    equality: bool
    margin: float
    tolerance: float


WIDTH, LEFT, RIGHT, STEP = 360, 26, 352, 6  # of the drawing, one unit a pixel of a phone
FAR = 5000.0  # margins beyond are drawn here


def forest(rows: Sequence[Margin]) -> str:
    """The margins as an SVG that takes its colors from the page, each mark a link to its row.

    Equalities lie between -5 and 5 where they hold. Orders and inequalities hold to the right of 5;
    where few replicates ask for a larger margin theirs is scaled so that 5 decides.
    """
    y, parts = 14, []
    for equality, ticks, title in (
        (True, (-5, -2.5, 0, 2.5, 5), "Equalities: distance from the claim, in SE"),
        (False, (-50, -5, 0, 5, 50, 500), "Orders and inequalities: margin, in SE"),
    ):
        chosen = [row for row in rows if row.equality == equality]
        groups = sorted({row.group for row in chosen})
        parts.append(f'<text x="{LEFT}" y="{y}" class="title">{title}</text>')
        y += 8
        bottom = y + STEP * len(chosen) + 3 * len(groups)
        for tick in ticks:
            x, kind = _x(tick, equality), "decides" if abs(tick) == 5 else "tick"
            parts.append(f'<path class="{kind}" d="M{x:.1f},{y}V{bottom}"/>')
            parts.append(f'<text x="{x:.1f}" y="{bottom + 10}" class="scale">{number(tick)}</text>')
        for group in groups:
            inside = [row for row in chosen if row.group == group]
            inside.sort(key=lambda row: row.margin)
            middle = y + STEP * len(inside) / 2 + 3
            parts.append(f'<text x="{LEFT - 6}" y="{middle:g}" class="group">{group}</text>')
            for row in inside:
                parts.append(_mark(row, y + STEP / 2))
                y += STEP
            y += 3
            parts.append(f'<path class="rule" d="M{LEFT},{y - 1.5:g}H{RIGHT}"/>')
        y += 30
    said = "Margins of all claims, in standard errors; the table below has them as numbers."
    head = f'<svg class="madlib-forest" viewBox="0 0 {WIDTH} {y - 14}" role="img"'
    return f'{head} aria-label="{said}">{"".join(parts)}</svg>'


def _x(margin: float, equality: bool) -> float:
    """Linear for equalities, which end a little beyond 5; else logarithmic beyond about 1."""
    if equality:
        share = (np.clip(margin, -6, 6) + 6) / 12
    else:
        low, high = np.arcsinh([-FAR / 50, FAR])
        share = (np.arcsinh(np.clip(margin, -FAR / 50, FAR)) - low) / (high - low)
    return LEFT + (RIGHT - LEFT) * float(share)


def _mark(row: Margin, y: float) -> str:
    """A disk where a claim holds, a diamond where it fails, a square where it is undecided."""
    scale = 1.0 if row.equality else N_STANDARD_ERRORS / row.tolerance
    x, zero = _x(row.margin * scale, row.equality), _x(0, row.equality)
    shapes = {"reproduced": "disk", "in miniature": "disk", "holds": "disk", "undecided": "square"}
    r, shape = 2.4, shapes.get(row.verdict, "diamond")
    drawn = {
        "disk": f'<circle cx="{x:.1f}" cy="{y:g}" r="{r}"/>',
        "square": f'<path d="M{x - r:.1f},{y - r:g}h{2 * r}v{2 * r}h-{2 * r}z"/>',
        "diamond": f'<path d="M{x:.1f},{y - 3:g}l3,3l-3,3l-3,-3z"/>',
    }[shape]
    stem = f'<path class="stem" d="M{zero:.1f},{y:g}H{x:.1f}"/>'
    title = f"<title>{html.escape(row.id)}: {row.verdict}</title>"
    kind = row.verdict.replace(" ", "-")
    link = f'<a id="mark-{row.id}" class="{kind}" href="#claim-{row.id}" tabindex="-1">'
    return f"{link}{title}{stem}{drawn}</a>"
