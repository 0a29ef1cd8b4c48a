r"""The tables behind the explorer of the landing page: n_e/n_r as `madlib.plan` has it.

The page does not compute: it looks up, at grid points of the sizes, what this module computed when
the book was built. A number is stored as a code c of 16 bits: 0 for 0, else
$\log_{10}$ of it is $12 (c - 1)/65534 - 9$, a step of 0.04 %. Beside it the page can show what the
chapter across models measured of models that have no closed form.
"""

import base64
import functools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from madlib.planning.outlook import Case, n_e_alone, rounds, settled

# Names of regimes, and what else `plan` is asked for them. Keys of the table are its parameters.
REGIMES: dict[str, dict[str, int]] = {
    "fresh_data": {},
    "long_memory": {"memory": 5},
    "synthetic_augmentation": {},
    "accumulate": {},
    "accumulate_subsample": {},
    "fully_synthetic": {},
}
ROUNDS = (1, 5, None)  # None: the limit.
LAM = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 1.0)
DIM = (1, 3, 10, 30, 100, 300, 1000, 10_000)
N_R = tuple(round(x * 10**k) for k in range(2, 7) for x in (1, 2, 5)) + (10**7,)
N_S = N_R
MEASURED = "fig-across-worth"


def ratios() -> NDArray[np.float64]:
    """n_e/n_r, axes [regime, round, lam, dim, n_r, n_s]."""
    lam, n_r, n_s = np.meshgrid(LAM, N_R, N_S, indexing="ij")
    found = np.empty((len(REGIMES), len(ROUNDS), len(LAM), len(DIM), len(N_R), len(N_S)))
    real, synthetic, bias = n_r.ravel(), n_s.ravel(), lam.ravel()
    for i, (regime, more) in enumerate(REGIMES.items()):
        for j, dim in enumerate(DIM):
            sizes = regime, real, synthetic, real, bias, np.array([float(dim)])
            n = real if regime == "accumulate_subsample" else None
            case = Case(*sizes, worth=real, n=n, **more)
            moments = rounds(case, max(filter(None, ROUNDS)))
            for k, t in enumerate(ROUNDS):
                at = [np.moveaxis(x, -1, 0)[t] for x in moments] if t else settled(case)
                value = n_e_alone(case, *at)
                found[i, k, :, j] = (value / real).reshape(lam.shape)
    return found


def coded(values: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Codes of numbers >= 0, those beyond the ends as these."""
    with np.errstate(divide="ignore"):
        code = np.clip(np.rint((np.log10(values) + 9) / 12 * 65534), 0, 65534) + 1
    return np.where(values > 0, code, 0).astype("<u2")


def measured(figures: Path) -> dict[str, Any] | None:
    """What models without a closed form are worth, from the table of `fig-across-worth`.

    Args:
        figures: the folder of the figures that were built.

    Returns:
        n_e/n of each model by n_s/n, or, of those without a learning curve, the distance of a model
        of real points alone over that of the loop; None if the figure is not there.
    """
    try:
        table = pd.read_csv(figures / f"{MEASURED}.csv").dropna(subset=["mean"])
        settings = json.loads((figures / f"{MEASURED}.json").read_text("utf-8"))["parameters"]
    except FileNotFoundError:
        return None
    known, models = set(table.series[table.panel == "a"]), []
    for name, rows in table.groupby("series", sort=False):
        by, panel = ("n_e", "a") if name in known else ("distance", "b")
        times, found = rows.loc[rows.panel == panel, ["n_s_over_n", "mean"]].to_numpy(float).T
        worth = found if by == "n_e" else 1 / found
        points = np.round(np.transpose([times, worth]), 4).tolist()
        models.append({"name": name, "by": by, "points": points})
    return {"n": settings["n"], "rounds": settings["n_stair"], "models": models}


@functools.cache
def _codes() -> str:
    return base64.b64encode(coded(ratios()).tobytes()).decode()


def script(figures: Path) -> str:
    """A script that holds the table and its axes: `madlibExplorer = {...}`."""
    axes = {"rounds": ROUNDS, "lam": LAM, "dim": DIM, "n_r": N_R, "n_s": N_S}
    more = {"regime": [*REGIMES], "more": REGIMES, "measured": measured(figures)}
    return f"globalThis.madlibExplorer = {json.dumps(axes | more | {'codes': _codes()})};\n"


def page(form: str, style: str, table: str) -> str:
    """The explorer in one file, with its form, style and table, for use without the book."""
    form = re.sub(r"<script src=.*?</script>", lambda _: f"<script>{table}</script>", form)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    ink = ":root { color-scheme: light dark; --madlib-line: #8886; --madlib-ui: system-ui; }"
    return (
        f'<!doctype html><html lang="en"><head>{head}<title>May I mix?</title><style>{style}{ink}'
        "body { max-width: 52rem; margin: 1rem auto; padding: 0 1rem; font-family: system-ui; }"
        f"</style></head><body><h1>May I mix?</h1>{form}</body></html>\n"
    )
