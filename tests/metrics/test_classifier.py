"""The classifier, and the scores that it gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from madlib import ParameterError, metrics, targets
from madlib.datasets import Samples
from madlib.errors import Diverged
from madlib.generators import Gaussian, Training
from madlib.protocols import Model


def blobs(n, key=0):
    """Three normal classes in the plane; the best possible rule puts about 97 % right."""
    rng = np.random.default_rng(key)
    label = np.arange(n) % 3
    angle = 2 * np.pi * label / 3
    points = 2.5 * np.stack([np.cos(angle), np.sin(angle)], 1) + rng.standard_normal((n, 2))
    return points.astype(np.float32), label


@pytest.fixture(scope="module")
def classifier():
    training = Training(n_steps=300, batch_size=64, learning_rate=1e-2)
    target = targets.empirical(*blobs(600))
    return metrics.fit_classifier(
        jax.random.key(0), target, width=16, n_features=4, training=training
    )


def test_it_is_as_good_as_the_best_rule(classifier):
    points, label = blobs(3000, key=1)
    angle = 2 * np.pi * np.arange(3) / 3
    centers = 2.5 * np.stack([np.cos(angle), np.sin(angle)], 1)
    best = np.mean(((points[:, None] - centers) ** 2).sum(-1).argmin(1) == label)
    samples = Samples.of(jnp.asarray(points), jnp.asarray(label))
    accuracy = float(classifier.accuracy(samples))
    se = np.sqrt(best * (1 - best) / len(points))
    assert best - 5 * se < accuracy < best + 5 * se, (accuracy, best, se)
    assert accuracy == pytest.approx(np.mean(classifier.labels(jnp.asarray(points)) == label))


def test_features_are_scored_under_jit(classifier):
    points, label = blobs(90)
    samples = Samples.of(jnp.asarray(points), jnp.asarray(label))
    real = jnp.asarray(blobs(80, key=2)[0])
    scores = metrics.SampleScores(real, 90, features=classifier.features, prefix="feature_")
    classes = metrics.ClassScores(classifier, 90)
    target = targets.standard_normal(2)

    @jax.jit
    def score(samples):
        model = Model(Gaussian(2), target.params, _drawn={90: samples})
        return scores(model, target) | classes(model, target)

    found = score(samples)
    features = np.asarray(classifier.features(samples.points), np.float64)
    assert features.shape == (90, 4)
    direct = metrics.manifold_scores(classifier.features(real), classifier.features(samples.points))
    assert float(found["feature_precision"]) == pytest.approx(float(direct.precision))
    assert float(found["label_accuracy"]) == pytest.approx(float(classifier.accuracy(samples)))
    means = np.stack([features[label == c].mean(0) for c in range(3)])
    within = np.mean(((features - means[label]) ** 2).sum(1))
    between = np.mean(((means[label] - features.mean(0)) ** 2).sum(1))
    assert float(found["variance_within"]) == pytest.approx(within, rel=1e-4)
    assert float(found["variance_between"]) == pytest.approx(between, rel=1e-4)


def test_labels_are_needed():
    with pytest.raises(ParameterError, match="needs labels"):
        metrics.fit_classifier(jax.random.key(0), targets.digits())


def test_an_accuracy_needs_labels(classifier):
    with pytest.raises(ParameterError, match="an accuracy needs labels"):
        classifier.accuracy(Samples.of(jnp.zeros((3, 2))))


@pytest.mark.parametrize(
    ("name", "value"),
    [("width", 0), ("width", 2.5), ("n_features", 0), ("noise", -1), ("noise", np.nan)]
    + [("noise", "much"), ("training", None)],
)
def test_bad_parameters_get_one_line(name, value):
    with pytest.raises(ParameterError, match=f"{name} must be") as refused:
        metrics.fit_classifier(jax.random.key(0), targets.empirical(*blobs(90)), **{name: value})
    assert "\n" not in str(refused.value)


def test_coordinates_that_do_not_vary_are_no_part_of_the_scale():
    points, label = blobs(90)
    still = np.concatenate([1e-3 * points, np.ones((90, 98), np.float32)], axis=1)
    training = Training(n_steps=2, batch_size=8, learning_rate=1e-3)
    few = metrics.fit_classifier(
        jax.random.key(0), targets.empirical(still, label), training=training
    )
    assert float(few.scale[0]) == pytest.approx(1e-3 * np.sqrt(points.var(0).sum() / 100), rel=1e-3)


def test_a_divergence_is_named():
    wild = Training(n_steps=20, batch_size=8, learning_rate=1e38)
    with pytest.raises(Diverged, match="loss of the classifier must stay finite; got NaN"):
        metrics.fit_classifier(jax.random.key(0), targets.empirical(*blobs(90)), training=wild)
