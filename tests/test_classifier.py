"""The classifier, the scores that it gives, and the images of OpenML."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.datasets
from madlib.classifier import fit_classifier

from madlib import ParameterError, metrics, targets
from madlib.datasets import Samples
from madlib.generators import Training


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
    return fit_classifier(jax.random.key(0), target, width=16, n_features=4, training=training)


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
    found = jax.jit(lambda samples: scores(samples) | classes(samples))(samples)
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
        fit_classifier(jax.random.key(0), targets.digits())


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
        fit_classifier(jax.random.key(0), targets.empirical(*blobs(90)), **{name: value})
    assert "\n" not in str(refused.value)


def test_coordinates_that_do_not_vary_are_no_part_of_the_scale():
    points, label = blobs(90)
    still = np.concatenate([1e-3 * points, np.ones((90, 98), np.float32)], axis=1)
    training = Training(n_steps=2, batch_size=8, learning_rate=1e-3)
    few = fit_classifier(jax.random.key(0), targets.empirical(still, label), training=training)
    assert float(few.scale) == pytest.approx(1e-3 * np.sqrt(points.var(0).sum() / 100), rel=1e-3)


def test_mnist_comes_from_openml(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 784))
    pixels[0, :2] = 0, 255
    names = np.array([str(i % 10) for i in range(20)])
    asked = []

    def fetch(name, **options):
        asked.append((name, options["version"], options["as_frame"]))
        return pixels, names

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    monkeypatch.setattr(targets, "N_TRAINING_MNIST", 15)
    whole = targets.images("mnist", labeled=True)
    assert asked == [("mnist_784", 1, False)] and whole.dim == 784
    assert whole.family.n_classes == 10
    np.testing.assert_allclose(whole.params.points, pixels / 255, rtol=1e-6)
    assert np.array_equal(whole.params.label, np.arange(20) % 10)
    training, held_out = (targets.mnist(part, labeled=True) for part in ("training", "held out"))
    assert len(training.params.points) == 15 and len(held_out.params.points) == 5
    parts = np.concatenate([training.params.points, held_out.params.points])
    rows = {row.tobytes() for row in parts}
    assert rows == {row.tobytes() for row in np.asarray(whole.params.points)}


def test_without_a_network_one_line_says_what_to_do(monkeypatch):
    def fetch(*_, **__):
        raise OSError("nobody is there")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    with pytest.raises(ParameterError) as refused:
        targets.mnist()
    message = str(refused.value)
    assert "\n" not in message and "OpenML" in message and "digits" in message, message


def test_mnist_is_asked_for_and_the_refusal_is_passed_on(monkeypatch, tmp_path):
    def nobody(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    monkeypatch.setattr("sklearn.datasets._openml.urlopen", nobody)
    with pytest.raises(ParameterError, match="OpenML.*no route to host. Connect once"):
        targets.mnist()


def test_only_known_images():
    with pytest.raises(ParameterError, match="images must be one of digits, mnist; got 'faces'"):
        targets.images("faces")
    assert np.array_equal(
        targets.images("digits", "held out").params.points, targets.digits("held out").params.points
    )
