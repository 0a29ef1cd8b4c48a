"""The neural language model: what it learns, what it leaves in one line."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused
from test_sequences import EVERY_PASSAGE, TINY, fit, fitted, log_prob, passages, probs

from madlib import simulate, targets
from madlib.errors import Diverged
from madlib.generators import LanguageModel, Training, Trigram
from madlib.generators.language_model import NextSymbol, tempered
from madlib.regimes import FullySynthetic


def test_initial_weights_have_their_variances():
    network = NextSymbol.untrained(jax.random.key(0), 60, 4, 50, 200)
    parts = (network.embedding, 1), (network.inner, 4 * 50), (network.outer, 200)
    for weights, fan_in in parts:
        assert np.abs(weights).max() <= math.sqrt(3 / fan_in)
        # Uniform on [-a, a]: E u^2 = a^2 / 3 with a standard deviation of 2 a^2 / sqrt(45).
        se = 6 / fan_in / np.sqrt(45 * weights.size)
        assert abs(np.mean(np.square(weights)) - 1 / fan_in) < 5 * se
    assert not network.inner_bias.any() and not network.outer_bias.any()


def test_temperature():
    probs = jnp.array([[0.1, 0.4, 0.4, 0.1]])
    logits = jnp.log(probs) + 7
    for lam in (1.0, 0.5):
        expected = (probs / 0.4) ** (1 / lam)
        np.testing.assert_allclose(tempered(logits, lam), expected, rtol=1e-5)
    np.testing.assert_array_equal(tempered(logits, 0.0), [[0, 1, 1, 0]])


def test_the_network_approaches_the_distribution_it_is_trained_on():
    model = LanguageModel(3, 4, 2, 3, 16, Training(600, 64, 0.02))
    gap = []
    for seed in range(4):
        params = fitted(model, passages(seed, 2000), seed=seed)
        first = np.log(np.full(81, 1 / 3))
        moves = np.diff(EVERY_PASSAGE.astype(int), axis=1) % 3
        exact = first + np.log(np.array([0.2, 0.7, 0.1])[moves]).sum(1)
        gap.append(np.sum(np.exp(exact) * (exact - np.log(probs(model, params)))))
    # Maximum likelihood with p free parameters is p / 2n from the truth on average: 2 for the
    # first symbol and, as the network sees positions only by the symbols before, 6 + 3 x 6 pairs
    # for the others; a stationary second-order source is the largest it can represent.
    assert 0 < np.mean(gap) < 3 * (2 + 6 + 18) / (2 * 2000), gap


def test_diverging_training_is_named():
    model = LanguageModel(3, 4, 2, 3, 8, Training(30, 4, 1e38))
    target = targets.empirical(passages(0, 20), symbols=("a", "b", "c"))
    settings = {"n_ini": 10, "n_generations": 2, "n_replicates": 2}
    with refused("NaN or infinity in generation 1", error=Diverged):
        simulate(jax.random.key(0), model, FullySynthetic(10), target, **settings)


def test_better_than_a_trigram_on_real_english():
    target, held_out = (targets.passages(32, part=part) for part in ("training", "held out"))
    k = len(target.symbols)
    model = LanguageModel(k, 32, training=Training(250, 16, 2e-2))
    real, gain = held_out.params.points[:300], []
    for seed in range(4):
        data = target.draw(jax.random.key(seed), 2000)
        bits = [
            -float(log_prob(m, fit(m, jax.random.key(seed), data), real).mean()) / math.log(2) / 32
            for m in (Trigram(k, 32), model)
        ]
        gain.append(bits[0] - bits[1])
    assert np.mean(gain) > 5 * np.std(gain, ddof=1) / 2, gain


def test_long_lists_of_passages_are_scored_like_short_ones():
    params, points = fitted(TINY, passages(0, 200)), passages(1, 37)
    many = log_prob(TINY, params, points)
    few = [log_prob(TINY, params, points[i : i + 1])[0] for i in range(37)]
    np.testing.assert_allclose(many, few, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_symbols": 0}, ["n_symbols must be a whole number from 1", "got 0"]),
        ({"context": 0}, ["context must be a whole number from 1", "got 0"]),
        ({"length": 2.5}, ["length", "got 2.5"]),
    ],
)
def test_settings_are_checked(settings, words):
    with refused(*words):
        LanguageModel(**{"n_symbols": 3, "length": 5} | settings)
