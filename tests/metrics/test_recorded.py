"""Metrics that the loop records, on given samples: by hand, and by the functions of point sets."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from madlib import FullySynthetic, Gaussian, ParameterError, metrics, simulate, targets
from madlib.datasets import Samples
from madlib.generators import VAE, NormalParams, Training, Trigram
from madlib.protocols import Model

NORMAL = targets.standard_normal(2)


def points(seed, n, d=2):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def model_of(samples):
    """One whose samples are these."""
    return Model(NORMAL.family, NORMAL.params, _drawn={len(samples.weight): samples})


def recorded(metric, generator, target, n=8):
    settings = {"n_ini": n, "n_generations": 2, "n_replicates": 1, "record": (metric,)}
    return simulate(jax.random.key(0), generator, FullySynthetic(n), target, **settings).record


def test_sample_scores_are_those_of_the_functions():
    real, synthetic = points(0, 60), points(1, 50)
    scores = metrics.SampleScores(real, 50, prefix="x_", k=3)(
        model_of(Samples.of(jnp.asarray(synthetic))), NORMAL
    )
    expected = metrics.manifold_scores(real, synthetic, k=3)._asdict()
    expected["frechet_distance"] = metrics.frechet_distance(real, synthetic)
    assert scores == {f"x_{name}": value for name, value in expected.items()}


def test_features_are_taken_of_both_sets():
    real, synthetic = points(0, 60), points(1, 50)
    scores = metrics.SampleScores(real, 50, features=lambda points: points[:, :1])(
        model_of(Samples.of(jnp.asarray(synthetic))), NORMAL
    )
    expected = metrics.manifold_scores(real[:, :1], synthetic[:, :1])
    assert [scores[name] for name in expected._fields] == list(expected)


def test_examples_are_the_samples_and_their_labels():
    samples = Samples.of(jnp.asarray(points(2, 5)))
    assert list(metrics.Examples(5)(model_of(samples), NORMAL)) == ["examples"]
    labeled = samples._replace(label=jnp.arange(5))
    found = metrics.Examples(5)(model_of(labeled), NORMAL)
    assert found["examples"] is labeled.points and found["labels"] is labeled.label


def test_metrics_of_one_row_see_the_same_samples():
    """The points of Examples, scored afterwards, have the scores that were recorded."""
    real = points(3, 40)
    record = metrics.Examples(30), metrics.SampleScores(real, 30), metrics.TailShares([1.0], 30)
    settings = {"n_ini": 50, "n_generations": 3, "n_replicates": 2, "record": record}
    found = simulate(jax.random.key(0), Gaussian(2), FullySynthetic(50), NORMAL, **settings).record
    for row in np.ndindex(2, 3):
        examples = found["examples"][row]
        scores = metrics.manifold_scores(real, examples)
        assert found["precision"][row] == scores.precision
        assert found["beyond_1"][row] == pytest.approx(np.mean(np.abs(examples[:, 0]) > 1))


def test_tail_shares_by_hand():
    samples = Samples.of(jnp.array([[3.0, 0], [-2.5, 9], [1, 9], [0, -9]]))
    shares = metrics.TailShares((0.5, 2, 4), 4)(model_of(samples), NORMAL)
    assert shares == {"beyond_0.5": 0.75, "beyond_2": 0.5, "beyond_4": 0}
    assert metrics.TailShares(np.array([1, 2]), 4).thresholds == (1.0, 2.0)


def test_kullback_leibler_of_normals():
    """Within five standard errors of (s^2 + m^2 - 1)/2 - log s, per coordinate, for N(m, s^2)."""
    n, mean, scale = 20_000, 0.3, 1.5
    held_out = NORMAL.sample(jax.random.key(0), n)
    log_prob = jax.scipy.stats.norm.logpdf(held_out).sum(axis=1)
    model = Model(NORMAL.family, NormalParams(jnp.full(2, mean), scale * jnp.eye(2)))
    measured = metrics.KullbackLeibler(held_out, log_prob)(model, NORMAL)["kullback_leibler"]
    expected = 2 * ((1 + mean**2) / (2 * scale**2) - 0.5 + math.log(scale))
    se = np.std(log_prob - model.log_prob(held_out), ddof=1) / math.sqrt(n)
    assert abs(measured - expected) < 5 * se, (measured, expected, se)
    assert metrics.KullbackLeibler(held_out, NORMAL.log_prob(held_out))(
        Model(NORMAL.family, NORMAL.params), NORMAL
    ) == {"kullback_leibler": 0}


def trigram(k=3, length=4, n=100):
    rows = np.random.default_rng(0).integers(0, k, (n, length))
    generator = Trigram(k, length)
    samples = Samples.of(jnp.asarray(rows, jnp.float32))
    return Model(generator, generator.fit(jax.random.key(0), samples))


def test_held_out_bits_are_those_of_the_log_probabilities():
    model, real = trigram(), np.random.default_rng(1).integers(0, 3, (30, 4))
    by_hand = -np.log2(np.exp(np.float64(model.log_prob(jnp.asarray(real, jnp.float32))))) / 4
    bits = metrics.HeldOutBits(real)(model, NORMAL)
    assert float(bits["bits_per_symbol"]) == pytest.approx(by_hand.mean(), rel=1e-5)


def test_symbols_outside_the_alphabet_are_refused():
    """They cost 0 bits once: a text that nobody could write scored best."""
    metric = metrics.HeldOutBits([[0, 1, 2, 3], [0, 0, 0, 0]])
    with pytest.raises(ParameterError, match="model of at least 4 symbols; got 3"):
        metric(trigram(), NORMAL)
    assert metric(trigram(4), NORMAL)["bits_per_symbol"] > 0
    target = targets.empirical(np.zeros((9, 4)), symbols=("a", "b", "c"))
    with pytest.raises(ParameterError, match="model of at least 4 symbols; got 3"):
        recorded(metric, Trigram(3, 4), target)
    for other in ([[0, 1, -1, 0]], [[0, 1, 0.5, 0]]):
        with pytest.raises(ParameterError, match="real must hold whole numbers >= 0"):
            metrics.HeldOutBits(other)
    with pytest.raises(ParameterError, match="at least 4 symbols; got 0"):
        metric(Model(NORMAL.family, NORMAL.params), NORMAL)


def test_a_model_without_a_density_gets_one_line():
    brief = Training(n_steps=2, batch_size=4, learning_rate=1e-3)
    metric = metrics.KullbackLeibler(points(0, 5), jnp.zeros(5))
    with pytest.raises(ParameterError, match="needs a generator with log_prob; got VAE. Leave it"):
        metric(Model(VAE(2, training=brief), None), NORMAL)
    assert "kullback_leibler" in recorded(metric, Gaussian(2), NORMAL)


def test_class_scores_need_labels():
    class Judge:
        def accuracy(self, samples):
            return metrics.Classifier.accuracy(self, samples)

    with pytest.raises(ParameterError, match="an accuracy needs labels"):
        recorded(metrics.ClassScores(Judge(), 5), Gaussian(2), NORMAL)


REAL = points(0, 5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.Examples(-1), "n_samples must be a whole number from 1"),
        (lambda: metrics.Examples(2.5), "n_samples must be a whole number from 1.*got 2.5"),
        (lambda: metrics.Examples("many"), "n_samples must be a whole number.*got 'many'"),
        (lambda: metrics.ClassScores(None, 0), "n_samples must be"),
        (lambda: metrics.TailShares([1.0], 0), "n_samples must be"),
        (lambda: metrics.TailShares(["far"], 5), r"thresholds must be finite and real; got \['far"),
        (lambda: metrics.NgramScores(3, 0), "n_samples must be"),
        (lambda: metrics.NgramScores(0, 5), "n_symbols must be"),
        (lambda: metrics.SampleScores(REAL, 0), "n_samples must be"),
        (lambda: metrics.SampleScores(REAL, 5, k=0), "k must be a whole number from 1"),
        (lambda: metrics.SampleScores(REAL[:, 0], 5), r"real must be points \[n, d\]"),
        (lambda: metrics.SampleScores(np.nan * REAL, 5), "real must be finite"),
        (lambda: metrics.KullbackLeibler(None, REAL[:, 0]), "points must be finite and real"),
        (lambda: metrics.KullbackLeibler(REAL, [np.nan] * 5), "log_prob must be finite and real"),
        (lambda: metrics.KullbackLeibler(REAL, REAL[:4, 0]), r"one for each point; got \(4,\)"),
        (lambda: metrics.HeldOutBits("text"), "real must be finite and real; got 'text'"),
    ],
)
def test_bad_settings_get_one_line(call, words):
    with pytest.raises(ParameterError, match=words) as refused:
        call()
    assert "\n" not in str(refused.value)


def test_too_few_samples_for_k_are_refused_when_recorded():
    with pytest.raises(ParameterError, match="more than 5 points; got 5 real and 9 synthetic"):
        recorded(metrics.SampleScores(REAL, 9), Gaussian(2), NORMAL)
