"""Diffusion: the sampler against the exact flow, the denoiser against the exact posterior mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import LEVEL, refused
from scipy import stats

from madlib import simulate, targets
from madlib.datasets import Samples
from madlib.errors import Diverged
from madlib.generators import Diffusion, Training
from madlib.generators.diffusion import (
    LABEL_DROPOUT,
    LOG_SIGMA_MEAN,
    LOG_SIGMA_STD,
    SIGMA_MAX,
    SIGMA_MIN,
)
from madlib.regimes import FullySynthetic

TINY = Training(n_steps=4, batch_size=8, learning_rate=1e-3)
SMALL = Diffusion(2, 2, width=8, n_blocks=1, training=Training(4, 4, 1e-3))


def untrained(generator, points, label, weight=None):
    """A model before training, F = 0: a normal distribution per class and coordinate, exactly."""
    samples = Samples.of(jnp.asarray(points, jnp.float32), jnp.asarray(label))
    if weight is not None:
        samples = samples._replace(weight=jnp.asarray(weight, jnp.float32))
    return generator._statistics(samples)._replace(weights=generator.network(jax.random.key(0)))


def two_classes(gap, n=4000):
    """Normal classes of equal variance in three dimensions, means -gap and gap in the first."""
    label = np.arange(n) % 2
    points = np.random.default_rng(0).standard_normal((n, 3))
    points[:, 0] += np.where(label, gap, -gap)
    return points, label


def test_the_sampler_solves_the_flow_to_second_order():
    """For a normal distribution dx/d sigma is linear; the last call goes from SIGMA_MIN to D."""
    points, label = two_classes(2.0)
    key, drawn = jax.random.key(1), jnp.arange(400) % 2
    errors = []
    for n_calls in (20, 40):
        generator = Diffusion(3, 2, width=8, n_blocks=1, n_calls=n_calls)
        params = untrained(generator, points, label)
        params = params._replace(low=params.low - 100, high=params.high + 100)
        found = np.asarray(generator.sample_of(key, params, drawn), np.float64)
        center, v = np.float64(params.center)[drawn], np.float64(params.spread)[drawn]
        start = SIGMA_MAX * np.float64(jax.random.normal(key, (400, 3)))
        shrink = np.sqrt((v + SIGMA_MIN**2) / (v + SIGMA_MAX**2)) * v / (v + SIGMA_MIN**2)
        exact = center + (start - center) * shrink
        exact = np.float64(params.mean) + np.float64(params.scale) * exact
        errors.append(np.sqrt(np.mean((found - exact) ** 2)))
    assert errors[1] < 0.01, errors
    assert 3 < errors[0] / errors[1] < 6, errors


def test_guidance_moves_class_means_apart():
    """With equal variances D is linear, and lam moves the class mean m to m / lam."""
    points, label = two_classes(1.0)
    generator = Diffusion(3, 2, width=8, n_blocks=1, n_calls=40)
    params = untrained(generator, points, label)
    # The whole set as one normal distribution of the variance of each class.
    params = params._replace(spread=jnp.ones((3, 3)), low=params.low - 100, high=params.high + 100)
    for lam in (1.0, 0.5):
        drawn = jnp.arange(4000) % 2
        found = generator.sample_of(jax.random.key(0), params, drawn, lam)
        found = (np.asarray(found) - np.asarray(params.mean)) / np.asarray(params.scale)
        for c in (0, 1):
            own = found[np.asarray(drawn) == c]
            se = own.std(0) / np.sqrt(len(own))
            expected = np.asarray(params.center[c]) / lam
            # The flow begins at SIGMA_MAX and not at infinity: a share 1/SIGMA_MAX is missing.
            tolerance = 5 * se + np.abs(expected) / SIGMA_MAX
            assert (np.abs(own.mean(0) - expected) < tolerance).all(), (lam, own.mean(0), expected)


def test_labels_have_the_weighted_frequencies():
    label = np.array([0, 0, 1, 2, 2, 2])
    weight = np.array([1.0, 2.0, 3.0, 0.0, 0.0, 4.0])
    points = np.random.default_rng(0).standard_normal((6, 2))
    generator = Diffusion(2, 4, width=8, n_blocks=1, n_calls=2)
    params = untrained(generator, points, label, weight)
    np.testing.assert_allclose(params.frequency, [0.3, 0.3, 0.4, 0.0], rtol=1e-6)
    n = 5000
    counts = np.bincount(generator.draw(jax.random.key(0), params, n).label, minlength=4)
    assert counts[3] == 0
    assert stats.chisquare(counts[:3], n * np.array([0.3, 0.3, 0.4])).pvalue > LEVEL
    own = weight * (label == 0)
    mean = own @ points / own.sum()
    standard = np.asarray(params.mean + params.scale * params.center[0])
    np.testing.assert_allclose(standard, mean, atol=1e-6)
    variance = own @ (points - mean) ** 2 / own.sum()
    np.testing.assert_allclose(params.spread[0] * np.square(params.scale), variance, rtol=1e-4)


def test_collapse_has_its_limit():
    """Identical points are drawn again; so is a class of one point; a lost class stays lost."""
    generator = Diffusion(2, 3, width=8, n_blocks=1, n_calls=4, training=TINY)
    fit = jax.jit(lambda samples: generator.fit(jax.random.key(0), samples))
    label = jnp.asarray([0, 0, 0, 1])
    same = Samples.of(jnp.full((4, 2), 0.3), label)
    params = fit(same)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    drawn = generator.draw(jax.random.key(1), params, 200, 0.5)
    assert (drawn.points == 0.3).all() and set(np.asarray(drawn.label)) <= {0, 1}

    spread = jnp.asarray([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [5.0, -3.0]])
    params = fit(same._replace(points=spread))
    drawn = generator.draw(jax.random.key(1), params, 200)
    alone = np.asarray(drawn.points)[np.asarray(drawn.label) == 1]
    np.testing.assert_allclose(alone, np.broadcast_to([5.0, -3.0], alone.shape), atol=1e-4)
    drawn, spread = np.asarray(drawn.points), np.asarray(spread)
    assert (drawn <= spread.max(0)).all() and (drawn >= spread.min(0)).all()


def test_noise_of_a_minibatch():
    """Sigma is stratified, one label in ten is dropped, noise is normal and antithetic."""
    training = Training(n_steps=2, batch_size=25, learning_rate=1e-3)
    generator = Diffusion(3, 2, training=training)
    keys = jax.random.split(jax.random.key(0), 2_000)
    sigma, dropped, noise = map(np.asarray, jax.vmap(generator.noise)(keys))
    share = stats.norm(LOG_SIGMA_MEAN, LOG_SIGMA_STD).cdf(np.log(sigma))
    place = 25 * share - np.arange(25)  # of each sigma in its own part of the distribution
    assert ((place > -1e-4) & (place < 1 + 1e-4)).all()
    assert stats.kstest(place[:, 7], "uniform").pvalue > LEVEL
    error = np.sqrt(LABEL_DROPOUT * (1 - LABEL_DROPOUT) / dropped.size)
    assert abs(dropped.mean() - LABEL_DROPOUT) < 5 * error
    assert noise.shape == (2_000, 25, 3) and (noise[:, 13:] == -noise[:, :12]).all()
    assert stats.kstest(noise[:, :13].ravel(), "norm").pvalue > LEVEL


def test_sigma_of_a_large_minibatch_is_finite(monkeypatch):
    """Its last quantile may be less than rounding away from 1."""
    largest = lambda key, shape, **limits: jnp.full(shape, 1 - 2**-24)  # noqa: E731
    monkeypatch.setattr(jax.random, "uniform", largest)
    training = Training(n_steps=2, batch_size=40_000, learning_rate=1e-3)
    level, *_ = Diffusion(1, 2, training=training).noise(jax.random.key(0))
    assert jnp.isfinite(level).all()


def test_the_denoiser_learns_the_posterior_mean():
    """Each class is two narrow normals at +-1 along its own axis, of which F = 0 has one mean."""
    deviation, n = 0.1, 512
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, n)
    points = deviation * rng.standard_normal((n, 2))
    points[np.arange(n), label] += rng.choice([-1.0, 1.0], n)
    samples = Samples.of(jnp.asarray(points, jnp.float32), jnp.asarray(label))
    training = Training(n_steps=1200, batch_size=64, learning_rate=4e-3, average=0.15)
    generator = Diffusion(2, 2, width=32, n_blocks=1, training=training)
    params = jax.jit(generator.fit)(jax.random.key(0), samples)

    scale, mean = float(params.scale[0]), np.asarray(params.mean)
    level = np.exp(rng.uniform(np.log(0.2), np.log(2.0), 2000))
    rows = rng.integers(0, n, 2000)
    clean, own = points[rows], label[rows]
    noise = scale * level
    noisy = clean + noise[:, None] * rng.standard_normal((2000, 2))
    modes = np.stack([np.where(np.arange(2) == own[:, None], sign, 0.0) for sign in (-1, 1)], 1)
    total = deviation**2 + noise**2
    odds = -(((noisy[:, None] - modes) ** 2).sum(-1)) / 2 / total[:, None]
    odds = np.exp(odds - odds.max(1, keepdims=True))
    odds /= odds.sum(1, keepdims=True)
    kept = (deviation**2 / total)[:, None, None]
    exact = (odds[..., None] * (modes + kept * (noisy[:, None] - modes))).sum(1)

    def error(params):
        standard = jnp.asarray((noisy - mean) / scale, jnp.float32)
        args = standard, jnp.asarray(level, jnp.float32), jnp.asarray(own)
        found, _ = generator._denoise(params.weights, params, *args)
        return np.mean((mean + scale * np.asarray(found) - exact) ** 2)

    before = params._replace(weights=generator.network(jax.random.key(0)))
    assert error(params) < 0.1 * error(before), (error(params), error(before))


def test_labels_that_are_asked_for_are_drawn():
    """One sample of each label given; labels of no class are refused."""
    points, label = two_classes(5.0, n=64)
    generator = Diffusion(3, 2, width=8, n_blocks=1, n_calls=4)
    params = untrained(generator, points, label)
    found = generator.sample_of(jax.random.key(0), params, jnp.array([0, 1, 1]))
    assert np.array_equal(np.sign(found[:, 0]), [-1, 1, 1])
    for wrong in (-1, 2):
        with refused("labels must be whole numbers from 0 to 1", f"{wrong}"):
            generator.sample_of(jax.random.key(0), params, jnp.array([0, wrong]))


def loop(generator, lam=1.0, labels=(0, 1, 0, 1), **settings):
    target = targets.empirical(np.arange(8.0).reshape(4, 2), labels)
    settings = {"n_ini": 4, "n_generations": 2, "n_replicates": 2, "lam": lam} | settings
    return simulate(jax.random.key(0), generator, FullySynthetic(4), target, **settings)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Diffusion(2, -1), ["n_classes must be a whole number", "got -1"]),
        (lambda: Diffusion(2, 2, n_calls=1), ["n_calls must be a whole number from 2", "got 1"]),
        (lambda: loop(SMALL, lam=0.0), ["lam must lie in [0.001, 1]", "got 0"]),
        (lambda: loop(SMALL, lam=np.array([0.5, 0.0])), ["[0.001, 1]"]),
        (lambda: loop(Diffusion(2, 3)), ["share a space", "n_classes=3", "n_classes=2"]),
        (lambda: loop(SMALL, labels=None), ["share a space", "n_classes=2", "n_classes=0"]),
    ],
)
def test_mistakes_are_one_line(call, words):
    with refused(*words):
        call()


def test_a_diverging_fit_is_named():
    wild = Training(n_steps=200, batch_size=4, learning_rate=1e30)
    with refused("NaN or infinity in generation 1", "(2 of 2 replicates)", error=Diverged):
        loop(Diffusion(2, 2, 8, 1, 3, wild), n_generations=1)
