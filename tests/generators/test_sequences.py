"""Both generators of passages, on an alphabet small enough to enumerate."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import LEVEL, refused
from scipy import stats

from madlib import simulate, targets
from madlib.datasets import Samples
from madlib.generators import LanguageModel, Training, Trigram
from madlib.generators.sequences import pick
from madlib.regimes import FullySynthetic

TINY = LanguageModel(3, 4, context=2, embedding=3, hidden=8, training=Training(150, 16, 0.03))
MODELS = {"network": TINY, "trigram": Trigram(3, 4)}
EVERY_PASSAGE = np.array(list(itertools.product(range(3), repeat=4)), np.float32)

each_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def passages(seed, n):
    """A source with a memory: a symbol is likely to be followed by the next one."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(0, 3, n)]
    for _ in range(3):
        rows.append((rows[-1] + rng.choice(3, n, p=[0.2, 0.7, 0.1])) % 3)
    return jnp.asarray(np.stack(rows, axis=1), jnp.float32)


# Compiled once per model and shape, whatever the test.
fit = jax.jit(lambda model, key, samples: model.fit(key, samples), static_argnums=0)
log_prob = jax.jit(lambda model, params, points: model.log_prob(params, points), static_argnums=0)
sample = jax.jit(lambda model, *arguments: model.sample(*arguments), static_argnums=(0, 3))


def fitted(model, points, seed=0):
    return fit(model, jax.random.key(seed), Samples.of(points))


def probs(model, params):
    return np.exp(np.asarray(log_prob(model, params, EVERY_PASSAGE), np.float64))


@each_model
def test_probabilities_of_all_passages_sum_to_one(model):
    every = probs(model, fitted(model, passages(0, 200)))
    assert every.min() > 0
    assert every.sum() == pytest.approx(1, abs=1e-5)


@each_model
@pytest.mark.parametrize("lam", [1.0, 0.5])
def test_passages_are_drawn_as_often_as_log_prob_says(model, lam):
    params = fitted(model, passages(0, 200))
    n = 20_000
    drawn = sample(model, jax.random.key(1), params, n, lam)
    observed = np.bincount(np.asarray(drawn).astype(int) @ 3 ** np.arange(3, -1, -1), minlength=81)
    # At another temperature each conditional distribution is raised to 1/lam and normalized: the
    # conditionals come from sums of the probabilities of whole passages.
    tree = probs(model, params).reshape(3, 3, 3, 3)
    expected = np.ones_like(tree)
    for i in range(4):
        marginal = tree.sum(axis=tuple(range(i + 1, 4)), keepdims=True)
        power = (marginal / marginal.sum(axis=i, keepdims=True)) ** (1 / lam)
        expected *= power / power.sum(axis=i, keepdims=True)
    expected = n * expected.ravel() / expected.sum()
    often = expected >= 5
    lumped = [np.append(counts[often], counts[~often].sum()) for counts in (observed, expected)]
    assert stats.chisquare(*lumped).pvalue > LEVEL


@each_model
def test_temperature_zero_is_greedy(model):
    params = fitted(model, passages(0, 200))
    key = jax.random.key(0)
    cold, colder = (np.asarray(sample(model, key, params, 50, lam)) for lam in (0.0, 1e-30))
    assert len(np.unique(cold, axis=0)) == 1 and np.array_equal(cold, colder)
    tree, prefix = probs(model, params).reshape(3, 3, 3, 3), ()
    for _ in range(4):
        prefix += (int(np.argmax([tree[(*prefix, symbol)].sum() for symbol in range(3)])),)
    assert tuple(cold[0].astype(int)) == prefix


@each_model
def test_identical_passages_are_reproduced(model):
    same = jnp.tile(jnp.array([[0.0, 2.0, 1.0, 1.0]]), (200, 1))
    params = fitted(model, same)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    drawn = np.asarray(sample(model, jax.random.key(0), params, 200, 0.5))
    assert np.mean((drawn == same[:1]).all(1)) > 0.9


def test_pick_inverts_the_distribution_function():
    weights = jnp.array([[0.0, 2.0, 0.0, 6.0, 0.0]])
    uniform = jnp.array([0.0, 0.5, 0.74, 0.76, 1.0 - 2**-24])
    assert np.array_equal(pick(uniform, jnp.tile(weights, (5, 1))), [3, 3, 3, 1, 1])
    uniform = jax.random.uniform(jax.random.key(0), (20_000,))
    share = np.bincount(pick(uniform, jnp.tile(weights, (20_000, 1))), minlength=5) / 20_000
    se = np.sqrt(0.25 * 0.75 / 20_000)
    assert np.array_equal(share > 0, weights[0] > 0) and abs(share[1] - 0.25) < 5 * se


def test_models_of_other_alphabets_and_lengths_are_refused():
    target = targets.empirical(passages(0, 20), symbols=("a", "b", "c"))
    plain = targets.empirical(passages(0, 20))
    settings = {"n_ini": 10, "n_generations": 2, "n_replicates": 1}
    for model, real, words in (
        (Trigram(4, 4), target, "n_symbols=4"),
        (Trigram(3, 5), target, "dim=5"),
        (Trigram(3, 4), plain, "n_symbols=0"),
    ):
        with refused("share a space", words):
            simulate(jax.random.key(0), model, FullySynthetic(10), real, **settings)
