"""The trigram against Kneser-Ney smoothing with dictionaries."""

import itertools
import math
from collections import Counter

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused

from madlib.datasets import Samples
from madlib.generators import Trigram


def kneser_ney(rows, k):
    """p(w | u, v) as a function, by dictionaries."""
    grams = Counter()
    for row in rows:
        padded = [k, k, *row]
        grams.update(zip(padded, padded[1:], padded[2:], strict=False))
    pairs = Counter((v, w) for _, v, w in grams)
    singles = Counter((w,) for _, w in pairs)

    def level(counts, lower):
        once, twice = (sum(c == times for c in counts.values()) for times in (1, 2))
        discount = once / (once + 2 * twice) if once else 0.5

        def prob(context, w):
            after = {gram[-1]: c for gram, c in counts.items() if gram[:-1] == context}
            if not after:
                return lower(context[1:], w)
            kept = max(after.get(w, 0) - discount, 0)
            rest = discount * len(after) * lower(context[1:], w)
            return (kept + rest) / sum(after.values())

        return prob

    uniform = lambda context, w: 1 / k  # noqa: E731
    return level(grams, level(pairs, level(singles, uniform)))


@pytest.mark.parametrize("n", [1, 7, 60])
def test_trigram_is_kneser_ney(n):
    rows = np.random.default_rng(n).choice(5, (n, 6), p=[0.5, 0.2, 0.2, 0.1, 0.0])
    params = Trigram(5, 6).fit(None, Samples.of(jnp.asarray(rows, jnp.float32)))
    slow = kneser_ney(rows.tolist(), 5)
    for u, v, w in itertools.product(range(6), range(6), range(5)):
        assert params.probs[u, v, w] == pytest.approx(slow((u, v), w), rel=1e-4)
    measured = Trigram(5, 6).log_prob(params, jnp.asarray(rows[:1], jnp.float32))
    first = [5, 5, *rows[0].tolist()]
    by_hand = sum(math.log(slow(tuple(first[i : i + 2]), first[i + 2])) for i in range(6))
    assert float(measured[0]) == pytest.approx(by_hand, rel=1e-4)


def test_fractions_of_a_count_are_smoothed_too():
    points = np.random.default_rng(0).integers(0, 3, (30, 4)).astype(np.float32)
    weight = jnp.where(jnp.arange(30) % 2 == 0, 0.3, 0.1)
    probs = Trigram(3, 4).fit(None, Samples(jnp.asarray(points), weight)).probs
    np.testing.assert_allclose(probs.sum(-1), 1, rtol=1e-5)
    assert probs.min() > 0


def test_settings_are_checked():
    with refused("length must be a whole number from 1", "got 0"):
        Trigram(3, 0)
