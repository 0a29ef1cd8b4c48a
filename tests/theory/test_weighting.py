"""Means in the loop: provenance, bias and dwindling shares, against numbers and examples drawn."""

import numpy as np
import pytest
from plain_loops import assert_agrees

from madlib import theory
from madlib.errors import ParameterError
from madlib.regimes import AccumulateFresh, Dwindling, FreshData, Growing, Weighted


@pytest.mark.parametrize(
    ("share", "nothing", "known", "labels"),
    [
        (0.1, 0.437, 0.0479, 0.0050),
        (0.25, 0.0628, 0.0079, 0.0020),
        (0.75, 0.0010, 0.00089, 0.00067),
    ],
)
def test_numbers_of_provenance(share, nothing, known, labels):
    """The numbers are of a simulation, of a standard error of a percent or two."""
    wanted = {"nothing": nothing, "share": known, "labels": labels}
    for what, value in wanted.items():
        v = theory.provenance_variance(share, n=1, generation=2000, known=what)
        assert v == pytest.approx(value, rel=0.05), what


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("known", ["nothing", "share", "labels"])
def test_provenance_of_examples_really_drawn(share, known):
    rng, n, n_replicates, n_generations = np.random.default_rng(0), 10, 40_000, 8
    n_r = round(share * n)
    real = rng.standard_normal((n_replicates, n)).mean(1)
    n_real, batches = n, [real]
    for _ in range(n_generations - 1):
        model = real if known == "labels" else np.mean(batches, axis=0)
        new = rng.standard_normal((n_replicates, n))
        new[:, n_r:] += model[:, None]
        mean = new.mean(1)
        if known == "labels":
            real = (n_real * real + n_r * new[:, :n_r].mean(1)) / (n_real + n_r)
            n_real += n_r
        else:
            batches.append(mean if known == "nothing" else (mean - (1 - share) * model) / share)
    model = real if known == "labels" else np.mean(batches, axis=0)
    law = theory.provenance_variance(share, n=n, generation=n_generations, known=known)
    assert_agrees(f"{known}, share {share}", model**2, law)


def test_less_than_half_real_learns_more_slowly():
    t = np.array([10_000, 40_000])
    for share, exponent in [(0.1, 0.2), (0.25, 0.5), (0.75, 1), (0.95, 1)]:
        v = theory.provenance_variance(share, n=1, generation=t)
        assert np.log(v[0] / v[1]) / np.log(4) == pytest.approx(exponent, rel=0.02)
    v = theory.provenance_variance(0.5, n=1, generation=t)
    np.testing.assert_allclose(v * t / np.log(t), 1, rtol=0.2)
    assert theory.provenance_variance(0.75, n=1, generation=t)[1] * t[1] == pytest.approx(
        2, rel=0.02
    )


def test_provenance_is_the_recursion_of_a_pool():
    regime = AccumulateFresh(n_r=20, n_s=80)
    by_recursion = theory.location_variance(regime, n_ini=100, n_generations=30)
    t = np.arange(1, 31)
    np.testing.assert_allclose(theory.provenance_variance(0.2, n=100, generation=t), by_recursion)


def test_worth_of_biased_samples():
    def worth(n_r, n_s, **settings):
        return theory.biased_effective_sample_size(n_r, n_s, **settings)

    assert worth(100, 1000, bias=0.1) == pytest.approx(190.9, abs=0.05)
    assert worth(100, 1000, bias=0.1, weighted=False) == pytest.approx(108.9, abs=0.2)
    assert worth(1000, 1000, bias=0.1) == pytest.approx(1091, abs=0.5)
    assert worth(1000, 1000, bias=0.1, weighted=False) == pytest.approx(334, abs=1)
    assert worth(100, 1e12, bias=0.1) == pytest.approx(200, rel=1e-6)  # the cap, n_r + 1/bias^2
    # No weight is better than the best.
    x = np.linspace(0.001, 0.999, 9999)
    error = x**2 / 100 + (1 - x) ** 2 * (0.1**2 + 1 / 1000)
    assert worth(100, 1000, bias=0.1) == pytest.approx(1 / error.min(), rel=1e-6)
    with pytest.raises(ParameterError, match="n_r \\+ n_s must be > 0"):
        worth(0, 0, bias=0.1)


def test_golden_ratio_is_the_best_share_of_a_mean():
    for k in (0.25, 1.0, 4.0):
        x = np.append(np.linspace(0.05, 0.95, 19), theory.best_real_share(k))
        loop = Weighted(FreshData(1000 * k, 1000), x / (1 - x) / k)
        v = theory.location_variance(loop, n_ini=1000, n_generations=400)[:, -1]
        assert v.argmin() == 19
        assert v[19] * 1000 * k == pytest.approx(x[19], rel=1e-9)


@pytest.mark.parametrize(
    ("c", "growth", "value"), [(1, 0, 1 / 3), (1, 1, 0.5), (0.25, 1, 2), (2, 0, 0.2)]
)
def test_dwindling_share(c, growth, value):
    """v_t t^(g-1) at t = 3000."""
    assert theory.dwindling_share_coefficient(c, growth) == pytest.approx(value)
    n, t = 10**6, 3000
    parts = {name: Dwindling(c, growth, name == "n_r") for name in ("n_r", "n_s")}
    v = theory.location_variance(Growing(FreshData(n, n), parts), n_ini=n, n_generations=t)
    assert n * v[-1] * t ** (growth - 1) == pytest.approx(value, rel=0.02)
