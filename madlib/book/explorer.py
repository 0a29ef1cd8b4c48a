r"""The tables behind the explorer of the landing page: n_e/n_r as `madlib.plan` has it.

The page does not compute: it looks up, at grid points of the sizes, what this module computed when
the book was built. A number is stored as a code c of 16 bits: 0 for 0, else
$\log_{10}$ of it is $12 (c - 1)/65534 - 9$, a step of 0.04 %.
"""

import base64
import functools
import json
import re

import numpy as np
from numpy.typing import NDArray

from madlib.planning.outlook import Case, n_e_alone, rounds, settled

# Keys are names of parameters of `plan`; the last three are axes of the table, in this order.
REGIMES = ("fresh_data", "synthetic_augmentation", "accumulate", "fully_synthetic")
ROUNDS = (1, 5, None)  # None: the limit.
LAM = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 1.0)
DIM = (1, 3, 10, 30, 100, 300, 1000, 10_000)
N_R = tuple(round(x * 10**k) for k in range(2, 7) for x in (1, 2, 5)) + (10**7,)
N_S = N_R


def ratios() -> NDArray[np.float64]:
    """n_e/n_r, axes [regime, round, lam, dim, n_r, n_s]."""
    lam, n_r, n_s = np.meshgrid(LAM, N_R, N_S, indexing="ij")
    found = np.empty((len(REGIMES), len(ROUNDS), len(LAM), len(DIM), len(N_R), len(N_S)))
    for i, regime in enumerate(REGIMES):
        for j, dim in enumerate(DIM):
            real, synthetic, bias = n_r.ravel(), n_s.ravel(), lam.ravel()
            case = Case(regime, real, synthetic, real, bias, np.array([float(dim)]), worth=real)
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


@functools.cache
def script() -> str:
    """A script that holds the table and its axes: `madlibExplorer = {...}`."""
    axes = {"regime": REGIMES, "rounds": ROUNDS, "lam": LAM, "dim": DIM, "n_r": N_R, "n_s": N_S}
    codes = base64.b64encode(coded(ratios()).tobytes()).decode()
    return f"globalThis.madlibExplorer = {json.dumps(axes | {'codes': codes})};\n"


def page(form: str, style: str) -> str:
    """The explorer in one file, with its form, style and table, for use without the book."""
    form = re.sub(r"<script src=.*?</script>", lambda _: f"<script>{script()}</script>", form)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    ink = ":root { color-scheme: light dark; --madlib-line: #8886; --madlib-ui: system-ui; }"
    return (
        f'<!doctype html><html lang="en"><head>{head}<title>May I mix?</title><style>{style}{ink}'
        "body { max-width: 52rem; margin: 1rem auto; padding: 0 1rem; font-family: system-ui; }"
        f"</style></head><body><h1>May I mix?</h1>{form}</body></html>\n"
    )
