"""Language models: laws on alphabets small enough to enumerate, and slow computations in Python."""

import itertools
import math
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from madlib import FullySynthetic, ParameterError, metrics, simulate, targets
from madlib.datasets import Samples
from madlib.generators import LanguageModel, Training, Trigram

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


def fitted(model, points, weight=None, seed=0):
    weight = jnp.ones(len(points)) if weight is None else weight
    return fit(model, jax.random.key(seed), Samples(points, weight))


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
    assert stats.chisquare(*lumped).pvalue > 1e-3


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
def test_unused_room_and_weights(model):
    points, rest = passages(0, 160), passages(1, 40)
    weight = jnp.concatenate([jnp.ones(160), jnp.zeros(40)])
    rooms = [
        fitted(model, jnp.concatenate([points, unused]), weight) for unused in (0 * rest, rest)
    ]
    for ours, theirs in zip(*map(jax.tree.leaves, rooms), strict=True):
        assert np.array_equal(ours, theirs)
    other = fitted(model, jnp.concatenate([points, rest]))
    assert not np.allclose(probs(model, rooms[0]), probs(model, other), rtol=1e-3)


def test_a_weight_of_three_is_three_copies_to_a_trigram():
    points = passages(0, 30)
    weight = jnp.where(jnp.arange(30) % 2 == 0, 3.0, 1.0)
    copies = jnp.concatenate([points, points[::2], points[::2]])
    model = MODELS["trigram"]
    ours, theirs = fitted(model, points, weight), fitted(model, copies)
    np.testing.assert_allclose(ours.probs, theirs.probs, rtol=1e-6)
    light = fitted(model, points, weight / 10)
    np.testing.assert_allclose(light.probs.sum(-1), 1, rtol=1e-5)


def test_the_network_approaches_the_law_it_is_trained_on():
    model = LanguageModel(3, 4, 2, 3, 16, Training(600, 64, 0.02))
    gap = []
    for seed in range(4):
        params = fitted(model, passages(seed, 2000), seed=seed)
        first = np.log(np.full(81, 1 / 3))
        moves = np.diff(EVERY_PASSAGE.astype(int), axis=1) % 3
        law = first + np.log(np.array([0.2, 0.7, 0.1])[moves]).sum(1)
        gap.append(np.sum(np.exp(law) * (law - np.log(probs(model, params)))))
    # Maximum likelihood with p free parameters is p / 2n from the truth on average: 2 for the
    # first symbol and, the network knowing positions only by what came before, 6 + 3 x 6 pairs
    # for the others; a stationary second-order source is the largest it can represent.
    assert 0 < np.mean(gap) < 3 * (2 + 6 + 18) / (2 * 2000), gap


def test_identical_passages_are_learned_by_heart():
    same = jnp.tile(jnp.array([[0.0, 2.0, 1.0, 1.0]]), (200, 1))
    for model in MODELS.values():
        params = fitted(model, same)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
        drawn = np.asarray(sample(model, jax.random.key(0), params, 200, 0.5))
        assert np.mean((drawn == same[:1]).all(1)) > 0.9
        assert getattr(params, "diverged", 0) == 0


def test_diverging_training_is_named():
    model = LanguageModel(3, 4, 2, 3, 8, Training(30, 4, 1e38))
    target = targets.empirical(passages(0, 20), symbols=("a", "b", "c"))
    settings = {"n_ini": 10, "n_generations": 2, "n_replicates": 2}
    with pytest.raises(ParameterError, match=r"generation 1, step \d+ of the training"):
        simulate(jax.random.key(0), model, FullySynthetic(10), target, **settings)


def kneser_ney(rows, k):
    """The textbook, with dictionaries: p(w | u, v) as a function."""
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
    params = fitted(Trigram(5, 6), jnp.asarray(rows, jnp.float32))
    slow = kneser_ney(rows.tolist(), 5)
    for u, v, w in itertools.product(range(6), range(6), range(5)):
        assert params.probs[u, v, w] == pytest.approx(slow((u, v), w), rel=1e-4)
    measured = log_prob(Trigram(5, 6), params, jnp.asarray(rows[:1], jnp.float32))
    first = [5, 5, *rows[0].tolist()]
    by_hand = sum(math.log(slow(tuple(first[i : i + 2]), first[i + 2])) for i in range(6))
    assert float(measured[0]) == pytest.approx(by_hand, rel=1e-4)


def test_held_out_bits_are_those_of_the_log_probabilities():
    model = MODELS["trigram"]
    params, real = fitted(model, passages(0, 100)), passages(1, 30)
    metric = metrics.HeldOutBits(real, model)
    by_hand = [-math.log2(p) / 4 for p in np.exp(log_prob(model, params, real))]
    assert metric.__name__ == "bits_per_symbol"
    assert float(metric(params)) == pytest.approx(np.mean(by_hand), rel=1e-5)


@pytest.mark.parametrize("k", [3, 31])
def test_ngram_scores_are_those_of_python(k):
    rows = np.random.default_rng(0).choice(k, (20, 9))
    scores = metrics.NgramScores(k, 20, (1, 2, 3, 6))(Samples.of(jnp.asarray(rows, jnp.float32)))
    for n in (1, 2, 3, 6):
        grams = Counter(tuple(row[i : i + n]) for row in rows.tolist() for i in range(10 - n))
        shares = np.array(list(grams.values())) / grams.total()
        assert float(scores[f"distinct_{n}"]) == pytest.approx(len(grams) / grams.total())
        assert float(scores[f"entropy_{n}"]) == pytest.approx(
            stats.entropy(shares, base=2), rel=1e-5
        )


def test_one_passage_over_and_over_has_its_own_ngrams_only():
    same = jnp.tile(jnp.arange(4.0)[None, :], (50, 1))
    scores = metrics.NgramScores(4, 50, (2, 4))(Samples.of(same))
    assert float(scores["distinct_2"]) == pytest.approx(3 / 150)
    assert float(scores["entropy_2"]) == pytest.approx(math.log2(3), rel=1e-5)
    assert float(scores["entropy_4"]) == 0


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


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: LanguageModel(0, 5), ["n_symbols", ">= 1", "0"]),
        (lambda: LanguageModel(3, 5, context=0), ["context", ">= 1", "0"]),
        (lambda: Trigram(3, 0), ["length", ">= 1", "0"]),
        (lambda: metrics.NgramScores(100, 5, (5,)), ["2**32", "5", "smaller"]),
        (lambda: metrics.NgramScores(10, 5, (0,)), ["orders", ">= 1", "0"]),
    ],
)
def test_bad_settings_are_refused(call, words):
    with pytest.raises(ParameterError) as refused:
        call()
    message = str(refused.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_models_of_other_alphabets_and_lengths_are_refused():
    target = targets.empirical(passages(0, 20), symbols=("a", "b", "c"))
    settings = {"n_ini": 10, "n_generations": 2, "n_replicates": 1}
    for model, words in ((Trigram(4, 4), "n_symbols"), (Trigram(3, 5), "dimension")):
        with pytest.raises(ParameterError, match=words):
            simulate(jax.random.key(0), model, FullySynthetic(10), target, **settings)
    with pytest.raises(ParameterError, match="n_symbols"):
        plain = targets.empirical(passages(0, 20))
        simulate(jax.random.key(0), Trigram(3, 4), FullySynthetic(10), plain, **settings)
