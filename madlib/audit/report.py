"""The audit as a letter: one self-contained page, with figures, tables and JSON beside it."""

import html
from pathlib import Path
from typing import Any

import numpy as np

from madlib.audit.verdict import TOLERABLE
from madlib.errors import ParameterError, Unavailable, require

_NAMES = {
    "precision": "precision (quality)",
    "recall": "recall (diversity)",
    "density": "density (quality)",
    "coverage": "coverage (diversity)",
    "mmd_squared": "MMD squared",
    "entropy": "entropy, nats",
    "effective_rank": "effective rank",
    "tails": "real tails left, mean",
    "least_tail": "real tails left, least direction",
    "novelty": "novelty: distance to the nearest real item",
    "copies": "copies of real items",
    "distinct_trigrams": "distinct trigrams",
    "distinct_words": "distinct words",
    "words_lost": "frequent words lost",
    "bits_per_character": "bits per character",
}
_STYLE = """
:root{color-scheme:light dark}
body{max-width:60rem;margin:2rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
.finding{border-left:.4rem solid;padding:.2rem 1rem;font-size:1.1rem}
.degrading{border-color:#D55E00}.stable{border-color:#009E73}.undecided{border-color:#808080}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem}
td,th{padding:.15rem .6rem;text-align:right;white-space:nowrap}
td:first-child,th:first-child{text-align:left}thead{border-bottom:1px solid}
small{opacity:.75}svg{max-width:100%}
"""


def save(audit: Any, folder: Path) -> Path:
    """Writes report.html, audit.json, audit.csv and the figures as svg, pdf and png."""
    try:
        from madlib.book.figures.page import render, show
    except ModuleNotFoundError as error:
        required, remedy = "a report needs the packages of the book", "pip install 'madlib[book]'"
        require(False, required, f"no {error.name}", f"Install it: {remedy}.", Unavailable)
    figures = {"learning-curve": _learning_curve(audit), "generations": _by_generation(audit)}
    shown = {name: show(figure) for name, figure in figures.items()}
    files: dict[str, bytes] = {
        "audit.json": audit.to_json().encode(),
        "audit.csv": audit.table.to_csv(index=False).encode(),
        "report.html": letter(audit, shown).encode(),
    }
    for name, figure in figures.items():
        files |= {f"{name}.{kind}": render(figure, kind) for kind in ("svg", "pdf", "png")}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise ParameterError(
            f"--out must be a folder that can be written; got {folder} ({error.strerror}). "
            "Name another one."
        ) from None
    return folder / "report.html"


def letter(audit: Any, figures: dict[str, str]) -> str:
    """The page: finding, evidence, uncertainty, what to do."""
    sizes, last = audit.sizes, audit.generations[-1]
    finding = {
        "degrading": "This loop degrades.",
        "stable": "No sign of degradation.",
        "undecided": "The data do not decide.",
    }[audit.verdict]
    reasons = "; ".join(audit.reasons)
    half_life = _span(audit.half_life, "generations")
    rows = "".join(_row(audit, name) for name in _NAMES if name in last)
    head = "".join(f"<th>{html.escape(row['file'])}</th>" for row in audit.generations)
    n_e = "".join(f"<td>{_cell(row, 'n_e')}</td>" for row in audit.generations)
    lam = "".join(f"<td>{_cell(row, 'lam')}</td>" for row in audit.generations)
    spoken = {True: "holds", False: "does not hold", None: "cannot be said"}
    definitions = "".join(
        f"<li>{name}: {spoken[held]}</li>" for name, held in audit.definitions.items()
    )
    directions = f"{sizes['directions']} random directions of {sizes['dimension']} columns"
    if sizes["directions"] == sizes["dimension"]:
        directions = f"all {sizes['dimension']} columns"
    trained = "the set before (other sets: <code>--n-train</code>)"
    if sizes["n_train"]:
        trained = f"{sizes['n_train']:,} items other than these"
    dropped = ""
    if "dropped" in sizes:
        shares = (f"{share:.2%} of {html.escape(name)}" for name, share in sizes["dropped"].items())
        dropped = (
            f"<p>Items are passages of {sizes['passage']} characters. Outside the alphabet of the "
            f"real text, and replaced by spaces: {', '.join(shares)}.</p>"
        )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Audit: {audit.verdict}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{_STYLE}</style></head><body>
<h1>Audit of {len(audit.generations)} generation{"s" * (len(audit.generations) > 1)}</h1>
<h2>Finding</h2>
<p class="finding {audit.verdict}"><strong>{finding}</strong> {html.escape(reasons)}.</p>
<p>Per generation {_span(audit.lam)} of the variance is kept; half of it is left after {half_life}.
The last set, {last["n"]:,} items, is worth {_cell(last, "n_e")} real ones.</p>
<h2>Evidence</h2>
{figures["learning-curve"]}
<p><small>Distance from the real distribution (Frechet) of subsets of your real items (dots), the
learning curve that they follow (line), and each generation at its distance: the size n<sub>e</sub>
below it is the number of real items that would be as far. Bars: intervals of 90 %.</small></p>
{figures["generations"]}
<p><small>Variance in units of that of the real items, and scores, by generation, with intervals of
90 %; gray bands: the same scores between two sets of real items.</small></p>
<div class="wide"><table><thead><tr><th>score, with its band of 90 %</th><th>real against real</th>
{head}</tr></thead><tbody>
<tr><td>n<sub>e</sub>: worth in real items</td><td></td>{n_e}</tr>
<tr><td>lam: variance kept since the set before</td><td></td>{lam}</tr>
{rows}</tbody></table></div>
<p>Of the definitions of collapse in the literature: </p><ul>{definitions}</ul>
<p>The other three need more than one run, known modes, or several sizes.</p>
<h2>Uncertainty</h2>
<p>Moments and n<sub>e</sub> are of all items, in {directions}; nearest neighbors of
{sizes["neighbors"]:,} items of each set; novelty of {sizes["queries"]} items against all
{sizes["real"]:,} real ones. Intervals are of 90 % and of each number by itself; an alarm is given
only for what chance does once in thousands of audits. Each model inherits the noise of those
before: lam and half-life have the error of a random walk, for models trained on {trained}.
n<sub>e</sub> is that of a normal fit to the items: a defect that leaves means and covariances alone
shows in the other scores.</p>
{dropped}
<p>All of this takes the real items for independent of the generators. If generation 1 was trained
on them, run the audit with <code>--trained</code>, or n<sub>e</sub> is too high.</p>
<h2>What to do</h2>
<p>{_advice(audit)}</p>
<p>{_outlook(audit)}</p>
</body></html>
"""


def _advice(audit: Any) -> str:
    rows = audit.generations
    copied = max(row["copies_low"] or 0.0 for row in rows) > (audit.floors["copies_high"] or 0.0)
    copies = " Some items are copies of real ones: remove them, and train for less long."
    advice = {
        "degrading": "Do not train the next generation on these items alone. Put fresh real items "
        "into each training set, or at least keep the first ones; draw without lowered "
        "temperature, guidance or truncation; and ask <code>madlib plan</code> how many synthetic "
        "items your real ones allow.",
        "stable": "Go on, and repeat the audit with each generation: trends that are too slow to "
        f"be seen here, of less than {1 - TOLERABLE:.0%} of the variance per generation, add up.",
        "undecided": "Draw more items of each generation, or audit more generations, before these "
        "items are trained on.",
    }[audit.verdict]
    return advice + copies * copied


def _outlook(audit: Any) -> str:
    """What `madlib plan` says, at the estimate of lam and at the ends of its interval."""
    best, *ends = (audit.plan(lam=min(lam, 1.0)) for lam in audit.lam)
    low, high = (end.n_e_over_n_r for end in ends)
    return (
        f"<code>madlib plan</code>, for {best.n_r:,.0f} real items that are new in every round, "
        f"{best.n_s:,} synthetic ones, lam = {best.lam:.3g} and the effective dimension "
        f"{best.effective_dimension:.3g} of your real items: {html.escape(best.verdict)} "
        f"{html.escape(best.assumption)} Over the interval of lam, n<sub>e</sub>/n<sub>r</sub> is "
        f"between {low:.3g} and {high:.3g}. It takes all loss of variance for a sampling bias, "
        "and the model for a Gaussian."
    )


def _row(audit: Any, name: str) -> str:
    cells = [_cell(row, name) for row in (audit.floors, *audit.generations)]
    return f"<tr><td>{_NAMES[name]}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"


def _cell(row: dict[str, Any], name: str) -> str:
    if row.get(name) is None:
        return "-"
    value = f"{row[name]:.3g}" if row[name] < 1000 else f"{row[name]:,.0f}"
    if row.get(f"{name}_low") is None:
        return value
    ends = (row[f"{name}_{end}"] for end in ("low", "high"))
    return f"{value} <small>({' to '.join(f'{x:.3g}' for x in ends)})</small>"


def _span(values: Any, unit: str = "") -> str:
    value, low, high = (f"{x:.3g}".replace("inf", "infinitely many") for x in values)
    return f"{value} {unit} (between {low} and {high})".replace("  ", " ")


def _learning_curve(audit: Any) -> Any:
    from madlib.book.figures import COLORS, subplots

    fig, ax = subplots(width="page", height=70)
    n, distance = audit.learning.T
    rows = audit.generations
    most = max(n.max(), *(row["n"] for row in rows))
    least = min(n.min(), *(row["n_e_low"] for row in rows))
    sizes = np.geomspace(max(least / 1.5, 2.0), 1.5 * most, 100)
    ax.plot(sizes, [audit.curve(size) for size in sizes], color="#bdbdbd", lw=3, zorder=0)
    ax.plot(n, np.maximum(distance, 1e-12), ".", color=COLORS["real"], ms=3)
    for t, row in enumerate(rows, 1):
        bar = np.abs(np.array([[row["n_e_low"]], [row["n_e_high"]]]) - row["n_e"])
        ax.errorbar(row["n_e"], row["distance"], xerr=bar, color="#000000", lw=0.8, fmt="o")
        ax.annotate(f"{t}", (row["n_e"], row["distance"]), (3, 3), textcoords="offset points")
    ax.set(xscale="log", yscale="log", xlabel="real items $n$", ylabel="Frechet distance")
    return fig


def _by_generation(audit: Any) -> Any:
    from madlib.book.figures import subplots

    names = ("variance", "recall", "precision", "entropy")
    fig, axes = subplots(len(names), width="page", height=55)
    table = audit.table
    for ax, name in zip(axes, names, strict=True):
        values = table[name].to_numpy(float)
        bars = np.abs(table[[f"{name}_low", f"{name}_high"]].to_numpy(float).T - values)
        if name in audit.floors:
            low, high = (audit.floors[f"{name}_{end}"] for end in ("low", "high"))
            ax.axhspan(low, high, color="#bdbdbd", lw=0, zorder=0)
        else:
            ax.axhline(1.0, color="#bdbdbd", lw=3, zorder=0)
        ax.errorbar(table["generation"], values, yerr=bars, color="#000000", lw=0.8, fmt="o-")
        ax.set(title=name, xlabel="generation")
        ax.margins(x=0.1)
    return fig
