"""The tables of the explorer."""

import base64
import json

import numpy as np

import madlib
from madlib.book import explorer


def test_tables_are_those_of_the_planner(tmp_path):
    ratios, rng = explorer.ratios(), np.random.default_rng(1)
    for _ in range(40):
        i, lam, dim, n_r, n_s = (int(rng.integers(n)) for n in np.delete(ratios.shape, 1))
        sizes = {"n_r": explorer.N_R[n_r], "n_s": explorer.N_S[n_s], "lam": explorer.LAM[lam]}
        regime, more = [*explorer.REGIMES.items()][i]
        plan = madlib.plan(regime=regime, dim=explorer.DIM[dim], **sizes, **more)
        expected = [*(one.n_e_over_n_r for one in plan.rounds[:2]), plan.n_e_over_n_r]
        np.testing.assert_allclose(ratios[i, :, lam, dim, n_r, n_s], expected, rtol=1e-6)
    stored = json.loads(explorer.script(tmp_path).removeprefix("globalThis.madlibExplorer = ")[:-2])
    codes = np.frombuffer(base64.b64decode(stored["codes"]), "<u2").reshape(ratios.shape)
    read = np.where(codes > 0, 10.0 ** (12 * (codes.astype(float) - 1) / 65534 - 9), 0)
    np.testing.assert_allclose(read, ratios, rtol=2.5e-4, atol=1e-9)
    assert stored["measured"] is None


def test_models_are_shown_as_the_book_measured_them(tmp_path):
    (tmp_path / f"{explorer.MEASURED}.csv").write_text(
        "panel,series,n_s_over_n,mean,se,theory\na,kernels,1,0.5,0.1,1.5\na,closed form,1,,,1.5\n"
        "b,kernels,1,3,0.1,\nb,GAN,1,2,0.1,\nb,GAN,4,4,0.1,\n"
    )
    (tmp_path / f"{explorer.MEASURED}.json").write_text('{"parameters": {"n": 300, "n_stair": 3}}')
    kernels, gan = explorer.measured(tmp_path)["models"]
    assert kernels == {"name": "kernels", "by": "n_e", "points": [[1, 0.5]]}
    assert gan == {"name": "GAN", "by": "distance", "points": [[1, 0.5], [4, 0.25]]}
