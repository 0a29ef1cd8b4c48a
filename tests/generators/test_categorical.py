"""The categorical distribution: temperature, draws and counts of symbols."""

import jax
import jax.numpy as jnp
import numpy as np
from helpers import LEVEL, keys
from scipy import stats

from madlib.datasets import Samples
from madlib.generators import Categorical, CategoricalParams
from madlib.generators.categorical import tempered
from madlib.statistics import Counts

PARAMS = CategoricalParams(jnp.array([0.4, 0.0, 0.25, 0.05, 0.3]))


def test_temperature():
    probs = jnp.asarray([0.1, 0.4, 0.4, 0.0, 0.1])
    np.testing.assert_allclose(tempered(probs, 1.0), probs, rtol=1e-6)
    np.testing.assert_allclose(tempered(probs, 0.5), probs**2 / (probs**2).sum(), rtol=1e-5)
    np.testing.assert_array_equal(tempered(probs, 0.0), [0, 0.5, 0.5, 0, 0])
    np.testing.assert_array_equal(tempered(probs, 1e-3), [0, 0.5, 0.5, 0, 0])


def test_symbols_are_drawn_and_counted():
    generator, n = Categorical(5), 20_000
    for lam in (1.0, 0.5, 0.0):
        points = generator.sample(jax.random.key(0), PARAMS, n, lam)
        counts = generator.summarize(Samples.of(points))
        assert np.array_equal(counts.count, np.bincount(points[:, 0].astype(int), minlength=5))
        probs = np.asarray(tempered(PARAMS.probs, lam), np.float64)
        alive = probs > 0
        observed = np.asarray(counts.count, np.float64)
        assert observed[alive].sum() == n
        if lam:
            assert stats.chisquare(observed[alive], n * probs[alive] / probs.sum()).pvalue > LEVEL


def test_counts_drawn_are_those_of_symbols_drawn():
    """The exact path and the slow one, by their counts of each symbol."""

    def counts(generator):
        def draw(key):
            return generator.summarize(generator.draw(key, PARAMS, 12, 0.7)).count

        return np.asarray(jax.jit(jax.vmap(draw))(keys(5_000)))

    exact, slow = counts(Categorical(5)), counts(Categorical(5, exact=False))
    for ours, theirs in zip(exact.T, slow.T, strict=True):
        table = [np.bincount(column.astype(int), minlength=13) for column in (ours, theirs)]
        often = np.sum(table, axis=0) > 10
        if often.sum() > 1:
            assert stats.chi2_contingency(np.array(table)[:, often]).pvalue > LEVEL


def test_fit_is_relative_frequency():
    fitted = Categorical(5).fit(None, Counts(jnp.array([2.0, 0.0, 6.0, 0.0, 0.0])))
    assert np.array_equal(fitted.probs, [0.25, 0, 0.75, 0, 0])
    points = jnp.array([[0.0], [2.0], [0.0]])
    fitted = Categorical(5).fit(None, Samples(points, jnp.array([1.0, 6.0, 1.0])))
    assert np.array_equal(fitted.probs, [0.25, 0, 0.75, 0, 0])


def test_sizes_up_to_that_of_the_internet():
    """Concrete whole numbers, beyond those of 32 bits too."""
    for n in (10**12, 1e12, np.float64(1e12)):
        count = Categorical(5).draw(jax.random.key(0), PARAMS, n).count
        np.testing.assert_allclose(count / 1e12, PARAMS.probs, atol=5e-6)
