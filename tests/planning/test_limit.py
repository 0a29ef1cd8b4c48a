"""Planning: sample sizes read off a curve, and loops run until they settle."""

import jax
import numpy as np
import pytest

from madlib import (
    FreshData,
    FullySynthetic,
    Gaussian,
    SyntheticAugmentation,
    metrics,
    planning,
    simulate,
    targets,
    theory,
)
from madlib.errors import ParameterError
from madlib.generators import KernelDensity
from madlib.regimes import Weighted

N = np.array([10.0, 100.0, 1000.0, 10_000.0])
CURVE = 5 / N


def test_power_law_is_interpolated_exactly():
    n = np.array([10.0, 33.0, 700.0, 10_000.0])
    np.testing.assert_allclose(planning.effective_sample_size(5 / n, N, CURVE), n, rtol=1e-12)
    assert planning.effective_sample_size(0.05, N, CURVE).shape == ()


def test_agrees_with_the_closed_form_on_both_sides_of_the_dimension():
    dim, n = 20, np.geomspace(3, 1e5, 200)
    curve = theory.real_data_wasserstein2_squared(n, dim)
    distance = curve[[10, 60, 150]] * 1.01
    expected = theory.effective_sample_size(distance, dim)
    # Chords of 200 points over 4.5 decades: each spans 5 %, and the slope changes by less than 1.
    np.testing.assert_allclose(
        planning.effective_sample_size(distance, n, curve), expected, rtol=1e-3
    )


def test_extrapolates_as_one_over_n():
    far = planning.effective_sample_size(5 / 1e6, N, CURVE, extrapolate=True)
    np.testing.assert_allclose(far, 1e6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((5 / 5.0, N, CURVE), ["smaller n", "extrapolate=True"]),
        ((5 / 1e5, N, CURVE), ["larger n", "0.0005"]),
        ((np.nan, N, CURVE), ["finite and real"]),
        ((0.0, N, CURVE), ["distance must be numbers > 0"]),
        ((0.1, N, CURVE[::-1]), ["strictly decrease"]),
        ((0.1, N[:1], CURVE[:1]), ["m >= 2"]),
        ((0.1, N, CURVE[:2]), ["(4,)", "(2,)"]),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, words):
    with pytest.raises(ParameterError) as error:
        planning.effective_sample_size(*arguments)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_generations_to_limit_is_the_first_that_stays_near():
    regime = FreshData(np.array([10, 100]), 100)
    needed = planning.generations_to_limit(regime, dim=3, n_ini=50, lam=np.array([[0.8], [1.0]]))
    assert needed.shape == (2, 2)
    distance = theory.wasserstein2_squared(
        regime, dim=3, n_ini=50, n_generations=2000, lam=np.array([[0.8], [1.0]])
    )
    off = np.abs(distance / distance[..., -1:] - 1)
    for cell in np.ndindex(2, 2):
        assert (off[cell][needed[cell] - 1 :] <= 0.01).all()
        assert needed[cell] == 1 or off[cell][needed[cell] - 2] > 0.01


def test_a_loop_without_limit_is_refused():
    with pytest.raises(ParameterError, match="Increase n_generations"):
        planning.generations_to_limit(FullySynthetic(100), dim=1, n_ini=100)


def test_tolerance_is_a_number():
    with pytest.raises(ParameterError, match="tolerance must be a number > 0; got nan"):
        planning.generations_to_limit(FreshData(100, 100), dim=1, n_ini=100, tolerance=np.nan)


@pytest.mark.parametrize(
    "settings", [{"n_replicates": 2.5}, {"lam": [[0.5], [0.6, 0.7]]}, {"n_ini": [9, 9, 9]}]
)
def test_a_grid_that_is_none_is_refused(settings):
    settings = {"n_ini": 9, "n_replicates": 2, "record": (metrics.total_variance,)} | settings
    regime, target = FreshData([9, 9], 9), targets.standard_normal(1)
    with pytest.raises(ParameterError, match=r"^[^\n]*; got [^\n]*\.$"):
        planning.simulate_to_limit(jax.random.key(0), Gaussian(1), regime, target, **settings)


def test_only_an_exact_gaussian_has_a_known_limit():
    for generator in (KernelDensity(1, n_points=9, bandwidth=0.1), Gaussian(1, exact=False)):
        with pytest.raises(ParameterError, match="must be an exact Gaussian; got"):
            planning.simulate_to_limit(
                jax.random.key(0),
                generator,
                FreshData(9, 9),
                targets.standard_normal(1),
                n_ini=9,
                n_replicates=2,
                record=(metrics.total_variance,),
            )


def test_a_grid_settles_at_its_fixed_points(monkeypatch):
    monkeypatch.setattr(planning.limit, "BATCH_SIZE", 4000)  # of one dimension, more fit.
    monkeypatch.setattr(planning.limit, "LENGTHS", (50, 240))
    n_r, n_s, lam = np.array([20, 200]), np.array([[10], [300]]), np.array([[[0.6]], [[1.0]]])
    record = (metrics.total_variance, metrics.mean_error_squared)
    limit = planning.simulate_to_limit(
        jax.random.key(0),
        Gaussian(1),
        FreshData(n_r, n_s),
        targets.standard_normal(1),
        n_ini=100,
        lam=lam,
        n_replicates=4000,
        tolerance=1e-4,
        record=record,
    )
    v, s = theory.limit(FreshData(n_r, n_s), lam=lam)
    assert limit.generation.shape == (2, 2, 2)
    for metric, expected in zip(record, (s, v), strict=True):
        sample = limit.record[metric.__name__]
        assert sample.shape == (2, 2, 2, 4000)
        se = sample.std(-1, ddof=1) / np.sqrt(4000)
        z = (sample.mean(-1) - expected) / se
        assert np.abs(z).max() <= 5, z


def test_weighted_loops_settle_too():
    regime = Weighted(FreshData([10, 40], 40), 2.0)
    limit = planning.simulate_to_limit(
        jax.random.key(1),
        Gaussian(1),
        regime,
        targets.standard_normal(1),
        n_ini=10,
        n_replicates=4000,
        tolerance=1e-3,
        record=(metrics.total_variance,),
    )
    sample, (_, expected) = limit.record["total_variance"], theory.limit(regime)
    z = (sample.mean(-1) - expected) / (sample.std(-1, ddof=1) / np.sqrt(4000))
    assert np.abs(z).max() <= 5, z


def test_worth_is_that_of_pairs_and_their_jackknife():
    target, key = targets.standard_normal(2), jax.random.key(2)
    loop = {"n_ini": 30, "n_replicates": 12, "lam": 0.9, "n_generations": 5}
    worth = planning.simulate_worth(key, Gaussian(2), FreshData([20, 20], [0, 40]), target, **loop)
    np.testing.assert_allclose(worth[0], 1)
    far = [
        simulate(
            key,
            Gaussian(2),
            FreshData(20, n_s),
            target,
            **loop,
            record=(metrics.wasserstein2_squared,),
        )["wasserstein2_squared"][:, -1]
        for n_s in (40, 0)
    ]

    def ratio(keep):
        loop, alone = (theory.effective_sample_size(np.mean(w[keep]), 2) for w in far)
        return loop / alone

    rows = np.arange(12)
    expected = [12 * ratio(rows) - 11 * ratio(np.delete(rows, i)) for i in rows]
    np.testing.assert_allclose(worth[1], expected, rtol=1e-4)


def test_worth_tends_to_the_closed_form():
    regime = FreshData(5000, np.array([50, 500, 5000, 20_000]))
    lam = np.array([[0.9], [1.0]])
    worth = planning.simulate_worth(
        jax.random.key(3),
        Gaussian(2),
        regime,
        targets.standard_normal(2),
        n_ini=100,
        n_replicates=800,
        lam=lam,
        tolerance=1e-3,
    )
    mean, se = worth.mean(-1), worth.std(-1, ddof=1) / np.sqrt(800)
    z = (mean - theory.worth(regime, dim=2, lam=lam) / 5000) / se
    assert np.abs(z).max() <= 5, z
    assert se[1, 0] < 0.2 / np.sqrt(800)  # unpaired: at least the spread of W2 squared, 0.75


def test_the_border_is_measured_where_the_closed_form_has_it():
    n_r = np.array([300, 1000])
    border = planning.simulate_border(jax.random.key(4), n_r, dim=10, lam=0.8, n_replicates=100)
    expected = theory.admissible_n_s(n_r, dim=10, lam=0.8)
    z = (border.mean(-1) - expected) / (border.std(-1, ddof=1) / 10)
    assert np.abs(z).max() <= 5, z
    assert (border.std(-1, ddof=1) / 10 < 0.1 * expected).all()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"regime": SyntheticAugmentation(9)}, "regime must be FreshData"),
        ({"n_replicates": 1}, "n_replicates must be a whole number from 2"),
        ({"n_generations": 1}, "n_generations must be a whole number from 2"),
        ({"generator": Gaussian(1, exact=False)}, "must be an exact Gaussian"),
    ],
)
def test_a_worth_that_cannot_be_measured_is_refused(settings, told):
    given = {"generator": Gaussian(1), "regime": FreshData(9, 9), "n_replicates": 4} | settings
    target = targets.standard_normal(1)
    with pytest.raises(ParameterError, match=told):
        planning.simulate_worth(jax.random.key(0), target=target, n_ini=9, **given)
