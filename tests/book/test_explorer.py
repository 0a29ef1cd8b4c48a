"""The tables of the explorer."""

import base64
import json

import numpy as np

import madlib
from madlib.book import explorer


def test_tables_are_those_of_the_planner():
    ratios, rng = explorer.ratios(), np.random.default_rng(1)
    for _ in range(40):
        i, lam, dim, n_r, n_s = (int(rng.integers(n)) for n in np.delete(ratios.shape, 1))
        sizes = {"n_r": explorer.N_R[n_r], "n_s": explorer.N_S[n_s], "lam": explorer.LAM[lam]}
        plan = madlib.plan(regime=explorer.REGIMES[i], dim=explorer.DIM[dim], **sizes)
        expected = [*(one.n_e_over_n_r for one in plan.rounds[:2]), plan.n_e_over_n_r]
        np.testing.assert_allclose(ratios[i, :, lam, dim, n_r, n_s], expected, rtol=1e-6)
    stored = json.loads(explorer.script().removeprefix("globalThis.madlibExplorer = ")[:-2])
    codes = np.frombuffer(base64.b64decode(stored["codes"]), "<u2").reshape(ratios.shape)
    read = np.where(codes > 0, 10.0 ** (12 * (codes.astype(float) - 1) / 65534 - 9), 0)
    np.testing.assert_allclose(read, ratios, rtol=2.5e-4, atol=1e-9)
