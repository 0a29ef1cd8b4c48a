"""What each selector does to one training set, against NumPy and against integrals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from madlib import theory
from madlib.datasets import Samples
from madlib.generators import Gaussian, NormalParams
from madlib.protocols import Model, Turn
from madlib.regimes import selectors
from madlib.statistics import Counts

N = 200_000
MODEL = Model(Gaussian(1), NormalParams(jnp.array([0.3]), jnp.array([[0.8]])), lam=0.5)
TURN = Turn(jnp.asarray(2), 5, None, None, MODEL)  # pyright: ignore
POINTS = Samples.of(jax.random.normal(jax.random.key(0), (N, 1)))


def selected(select, data=POINTS):
    return select(jax.random.key(1), data, TURN)


@pytest.mark.parametrize("rate", [0.0, 0.006, 0.3, 1.0])
def test_thin_keeps_its_rate(rate):
    kept = np.asarray(selected(selectors.Thin(rate)).weight)
    assert set(kept.tolist()) <= {0.0, 1.0}
    assert abs(kept.mean() - rate) <= 5 * np.sqrt(rate * (1 - rate) / N)


@pytest.mark.parametrize(
    ("half_width", "accepted"), [(0.5, 0.383), (1, 0.683), (2, 0.954), (3, 0.997)]
)
def test_a_verifier_accepts_what_is_near(half_width, accepted):
    kept = selected(selectors.Verifier(jnp.array([0.0]), half_width))
    inside = np.abs(np.asarray(POINTS.points)[:, 0]) <= half_width
    assert np.array_equal(np.asarray(kept.weight) > 0, inside)
    assert abs(inside.mean() - accepted) < 5 * 0.5 / np.sqrt(N) + 5e-4


@pytest.mark.parametrize("likeliest", [True, False])
def test_ranks_of_the_likelihood(likeliest):
    data = POINTS._replace(weight=(jnp.arange(N) % 2).astype(float))  # half is rejected already.
    kept = np.asarray(selected(selectors.Ranked(0.25, likeliest), data).weight) > 0
    assert kept.sum() == N // 4
    assert not kept[::2].any()
    gap = np.abs(np.asarray(POINTS.points)[:, 0] - 0.3)
    ours, others = gap[kept], gap[1::2][~kept[1::2]]
    assert ours.max() <= others.min() if likeliest else ours.min() >= others.max()


@pytest.mark.parametrize("settings", [{"power": 1.0}, {"power": 2.0}, {"threshold": True}], ids=str)
def test_a_posterior_against_theory(settings):
    """Human N(0, 1) and what the model draws with its bias, in equal parts."""
    drawn = MODEL.generator.sample(jax.random.key(2), MODEL.params, N, MODEL.lam)
    crawl = POINTS + Samples.of(drawn)
    human = Gaussian(1), NormalParams(jnp.zeros(1), jnp.eye(1))
    select = selectors.Posterior(
        lambda points: human[0].log_prob(human[1], points),
        selectors.drawn_log_prob,
        0.5,
        **settings,
    )
    kept = selected(select, crawl)
    w, x = np.asarray(kept.weight, float), np.asarray(kept.points, float)[:, 0]
    mean, variance = theory.detector_moments(0.3, 0.32, share=0.5, **settings)
    for values, expected in ((x, mean), ((x - mean) ** 2, variance)):
        measured = np.average(values, weights=w)
        se = np.sqrt(np.sum((w * (values - measured)) ** 2)) / w.sum()
        assert abs(measured - expected) < 5 * se, (measured, expected, se)


@pytest.mark.parametrize("pairwise", [True, False])
def test_preferences_of_symbols_and_points_agree(pairwise):
    """Against loops over all pairs; each of four points stands for its symbol."""
    reward, group = np.array([[0.0, 1.0, -0.5, 2.0], [1.0, 0.0, 0.3, 0.0]]), np.array([0.3, 0.7])
    count = np.array([4.0, 3.0, 2.0, 1.0])
    p = count / count.sum()
    expected = np.zeros(4)
    for w, r in zip(group, reward, strict=True):
        e = np.exp(r)
        if pairwise:
            chosen = [sum(p[y] * 2 * e[x] / (e[x] + e[y]) for y in range(4)) for x in range(4)]
        else:
            chosen = e / (p @ e)
        expected += w * np.asarray(chosen) * count
    by_symbol = selectors.Preference(reward, jnp.asarray(group), pairwise)
    assert not by_symbol.needs_points
    found = selected(by_symbol, Counts(jnp.asarray(count)))
    np.testing.assert_allclose(found.count, expected, rtol=1e-5)
    np.testing.assert_allclose(expected.sum(), count.sum())
    by_point = selectors.Preference(
        lambda points: jnp.asarray(reward)[:, points[:, 0].astype(int)],
        jnp.asarray(group),
        pairwise,
    )
    assert by_point.needs_points
    data = Samples(jnp.arange(4.0)[:, None], jnp.asarray(count))
    np.testing.assert_allclose(selected(by_point, data).weight, expected, rtol=1e-5)


def test_the_first_of_identical_examples_stays():
    rng = np.random.default_rng(3)
    points = rng.integers(0, 3, (300, 4)).astype(np.float32)
    kept = np.asarray(selected(selectors.Deduplicate(), Samples.of(jnp.asarray(points))).weight)
    _, first = np.unique(points, axis=0, return_index=True)
    assert sorted(np.flatnonzero(kept)) == sorted(first)


def test_labels_are_the_classifiers():
    class Sign:
        def labels(self, points):
            return (points[:, 0] > 0).astype(int)

    data = Samples.of(POINTS.points, jnp.zeros(N, int))
    relabeled = selected(selectors.Relabel(Sign()), data)
    assert np.array_equal(relabeled.label, np.asarray(POINTS.points)[:, 0] > 0)
    assert relabeled.weight is data.weight


def test_density_of_biased_draws():
    x = np.linspace(-2, 2, 9, dtype=np.float32)[:, None]
    expected = stats.norm.logpdf(x[:, 0], 0.3, 0.8 * np.sqrt(0.5))
    np.testing.assert_allclose(selectors.drawn_log_prob(MODEL, jnp.asarray(x)), expected, rtol=1e-5)
