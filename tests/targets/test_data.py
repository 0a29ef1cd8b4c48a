"""Targets of data: what is given, handwritten digits, MNIST from OpenML; what cannot be one."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import sklearn.datasets
from scipy import stats
from sklearn.datasets import load_digits

from madlib import MadlibError, ParameterError, metrics, targets
from madlib.errors import Unavailable
from madlib.generators import Gaussian, GaussianMixture
from madlib.targets import data

POINTS = np.random.default_rng(0).standard_normal((200, 3)) * [0.1, 1.0, 5.0]


def test_the_reference_is_the_normal_with_the_moments_of_the_examples():
    target = targets.empirical(POINTS)
    np.testing.assert_allclose(target.reference.mean, POINTS.mean(0), rtol=1e-6)
    np.testing.assert_allclose(target.reference.cov, np.cov(POINTS.T, ddof=0), rtol=1e-5)
    assert np.array_equal(target.params.points, POINTS.astype(np.float32))
    single = targets.empirical([[1.0, 2.0]])
    assert single.reference.mean.tolist() == [1, 2] and not single.reference.chol.any()


@pytest.mark.parametrize("shift", [1e6, -1e7, np.array([1e7, 0.0, -3e5])])
def test_a_translation_changes_no_variance_and_no_score(shift):
    """In single precision a reference variance was 1.42, or 31,684, where .0100 is right."""
    near, far = targets.empirical(POINTS), targets.empirical(POINTS + shift)
    np.testing.assert_allclose(near.reference.cov[0, 0], POINTS[:, 0].var(), rtol=1e-6)
    np.testing.assert_allclose(far.reference.cov, near.reference.cov, rtol=1e-6, atol=1e-7)
    mean = np.asarray(far.reference.mean, float) + far.family.origin
    np.testing.assert_allclose(mean, POINTS.mean(0) + shift, rtol=1e-9, atol=1e-7)
    drawn = [target.draw(jax.random.key(1), 500) for target in (near, far)]
    points = np.asarray(drawn[1].points, float) + far.family.origin
    scores = (
        metrics.manifold_scores(POINTS, drawn[0].points),
        metrics.manifold_scores(POINTS + shift, points),
    )
    np.testing.assert_allclose(*map(np.array, scores), atol=1.01 / len(POINTS))
    key = jax.random.key(2)
    for generator, metric in (
        (Gaussian(3), metrics.total_variance),
        (GaussianMixture(3, 2), metrics.mixture_variance),
    ):
        fit = jax.jit(lambda samples, g=generator: g.fit(key, g.summarize(samples)))
        fits = (metric(fit(samples)) for samples in drawn)
        assert float(next(fits)) == pytest.approx(float(next(fits)), rel=1e-4)


def test_points_that_single_precision_holds_keep_their_place():
    for points in (POINTS, POINTS + 100, np.full((5, 2), 1e7), [[2000.0], [2020.0]], [[0.0]]):
        target = targets.empirical(points)
        assert target.family.origin == ()
        assert np.array_equal(target.params.points, np.float32(points))


def test_two_sets_can_share_an_origin():
    first = targets.empirical(POINTS[:100] + 1e6)
    second = targets.empirical(POINTS[100:] + 1e6, origin=first.family.origin)
    whole = targets.empirical(POINTS + 1e6, origin=first.family.origin)
    both = np.concatenate([first.params.points, second.params.points])
    assert np.array_equal(both, whole.params.points)
    np.testing.assert_allclose(both + np.subtract(first.family.origin, 1e6), POINTS, atol=1e-6)


def test_labels_go_with_their_points():
    label = np.arange(200) % 3
    target = targets.empirical(POINTS, label)
    assert target.space == (3, 0, 3)
    samples = target.draw(jax.random.key(0), 50)
    same = (np.asarray(samples.points)[:, None] == np.float32(POINTS)).all(axis=2)
    assert np.array_equal(samples.label, label[same.argmax(axis=1)])


def test_examples_are_dealt_without_repetition():
    target = targets.empirical(POINTS, replace=False)
    points = np.asarray(target.sample(jax.random.key(0), 450))
    for deck in (points[:200], points[200:400]):
        assert np.array_equal(np.sort(deck, axis=0), np.sort(np.float32(POINTS), axis=0))
    assert len(np.unique(points[400:], axis=0)) == 50


def test_tables_and_half_precision_are_points_too():
    table = pd.DataFrame({"size": [1, 2, 3], "age": [0.5, 0.25, 4]})
    expected = targets.empirical(table.to_numpy()).params.points
    for given in (
        table,
        table.astype("Float64"),
        table.astype(np.float16).to_numpy(),
        [*map(list, table.to_numpy())],
    ):
        assert np.array_equal(targets.empirical(given).params.points, expected)


def test_digits_are_the_images_of_scikit_learn():
    target, images = targets.digits(), load_digits().data / 16
    assert target.space.dim == 64 and np.array_equal(
        target.params.points, images.astype(np.float32)
    )
    np.testing.assert_allclose(target.reference.mean, images.mean(0), atol=1e-6)
    np.testing.assert_allclose(target.reference.cov, np.cov(images.T, ddof=0), atol=1e-5)
    drawn = np.asarray(target.sample(jax.random.key(0), 5000))
    originals = {row.tobytes(): i for i, row in enumerate(images.astype(np.float32))}
    picked = np.array([originals[row.tobytes()] for row in drawn])
    blocks = np.bincount(picked * 10 // len(images), minlength=10)
    shares = np.bincount(np.arange(len(images)) * 10 // len(images)) / len(images)
    assert stats.chisquare(blocks, 5000 * shares).pvalue > 1e-3


def test_mnist_comes_from_openml(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 784))
    pixels[0, :2] = 0, 255
    names = np.array([str(i % 10) for i in range(20)])
    asked = []

    def fetch(name, **options):
        asked.append((name, options["version"], options["as_frame"]))
        return pixels, names

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    monkeypatch.setattr(data, "N_TRAINING_MNIST", 15)
    whole = targets.images("mnist", labeled=True)
    assert asked == [("mnist_784", 1, False)] and whole.space.dim == 784
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
    with pytest.raises(Unavailable) as refused:
        targets.mnist()
    message = str(refused.value)
    assert "\n" not in message and "OpenML" in message and "digits" in message, message


def test_mnist_is_asked_for_and_the_refusal_is_passed_on(monkeypatch, tmp_path):
    def nobody(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    monkeypatch.setattr("sklearn.datasets._openml.urlopen", nobody)
    with pytest.raises(Unavailable, match="OpenML.*no route to host. Connect once"):
        targets.mnist()


def test_only_known_images():
    with pytest.raises(
        ParameterError, match="name must be one of 'digits', 'deformed .*; got 'faces'"
    ):
        targets.images("faces")
    for name, part in [("digits", targets.digits), ("deformed digits", targets.deformed_digits)]:
        named, own = targets.images(name, "held out"), part("held out")
        assert named.family == own.family
        assert np.array_equal(named.params.points, own.params.points)


def test_without_scikit_learn_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    for load in (targets.digits, targets.mnist):
        with pytest.raises(
            Unavailable, match=r"package sklearn.*pip install madlib\[book\]"
        ) as lost:
            load()
        assert isinstance(lost.value, MadlibError) and not isinstance(lost.value, ParameterError)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: targets.empirical([[1e39]]), ["points must be finite in single", "1e+39"]),
        (lambda: targets.empirical([[1e30], [-1e30]]), ["covariance must be finite in single"]),
        (lambda: targets.empirical([[1.0, np.nan]]), ["points must be finite", "nan"]),
        (lambda: targets.empirical([1.0, 2.0]), ["[n, d]", "(2,)"]),
        (lambda: targets.empirical([[1.0], [2.0, 3.0]]), ["points must be finite and real"]),
        (lambda: targets.empirical([["a"]]), ["points must be finite and real", "'a'"]),
        (lambda: targets.empirical([[1j]]), ["points must be finite and real"]),
        (
            lambda: targets.empirical(pd.DataFrame({"size": [1.0], "kind": ["a"]})),
            ["points must be finite and real", "kind"],
        ),
        (
            lambda: jax.jit(lambda points: targets.empirical(points).params)(jnp.ones((3, 2))),
            ["points must be finite and real", "Tracer"],
        ),
        (lambda: targets.empirical([[1.0]], [-1]), ["labels must be numbers >= 0"]),
        (lambda: targets.empirical([[1.0]], [0.5]), ["labels must be N whole numbers"]),
        (lambda: targets.empirical([[1.0]], [0, 1]), ["labels must be N whole", "(2,) for 1"]),
        (lambda: targets.empirical([[1.0]], replace="no"), ["replace must be True or False"]),
        (lambda: targets.empirical([[0, 2]], symbols=("a", "b")), ["from 0 to 1", "got [2.]"]),
        (lambda: targets.empirical([[0.5]], symbols=("a", "b")), ["whole numbers", "got [0.5]"]),
        (lambda: targets.digits("test"), ["part must be one of 'all', 'training'", "'test'"]),
        (lambda: targets.mnist("test"), ["part must be one of 'all', 'training'", "'test'"]),
    ],
)
def test_bad_data_are_refused(call, words):
    with pytest.raises(ParameterError) as refused:
        call()
    message = str(refused.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_truth_values_are_0_and_1():
    truths = np.array([[True, False], [False, False], [True, True]])
    points = targets.empirical(truths).params.points
    assert points.tolist() == [[1, 0], [0, 0], [1, 1]]
    same = metrics.effective_rank(truths), metrics.effective_rank(truths.astype(float))
    assert same[0] == same[1]
