"""What holds for every generator: a row of the table below tests a new one."""

import dataclasses
import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_mean, compilations, examples, keys, refused

from madlib import generators
from madlib.datasets import Samples
from madlib.generators import (
    VAE,
    WGAN,
    Categorical,
    CouplingFlow,
    Diffusion,
    Gaussian,
    GaussianMixture,
    KernelDensity,
    LanguageModel,
    LinearRegression,
    Location,
    SelfGuidedDiffusion,
    SelfGuidedGaussian,
    Training,
    TrigonometricRegression,
    Trigram,
)
from madlib.protocols import Generator

N = 24  # rows of most training sets, of which compiled programs are shared.
SHORT = Training(n_steps=13, batch_size=4, learning_rate=1e-2)
LATENT = {"n_latent": 2, "hidden": 8, "training": SHORT}

GENERATORS = {
    "gaussian": Gaussian(2),
    "gaussian, ddof 0": Gaussian(3, ddof=0),
    "gaussian points": Gaussian(2, exact=False),
    "location": Location(2),
    "guided gaussian": SelfGuidedGaussian(2, ddof=0, weight=0.3, n_own=20),
    "regression": LinearRegression(2),
    "regression points": LinearRegression(2, exact=False),
    "trigonometric": TrigonometricRegression(5, degree=1, n_steps=9),
    "trigonometric points": TrigonometricRegression(5, exact=False),
    "categorical": Categorical(5),
    "categorical points": Categorical(5, exact=False),
    "mixture": GaussianMixture(2, 3),
    "kernels": KernelDensity(2, n_points=60, bandwidth=0.5),
    "scott": KernelDensity(2, n_points=60),
    "flow": CouplingFlow(2, n_couplings=2, hidden=4, training=SHORT),
    "diffusion": Diffusion(2, 3, width=8, n_blocks=1, n_calls=3, training=SHORT),
    "guided diffusion": SelfGuidedDiffusion(
        2, 3, width=8, n_blocks=1, n_calls=3, training=SHORT, n_own=20
    ),
    "vae": VAE(2, **LATENT),
    "wgan": WGAN(2, **LATENT),
    "language": LanguageModel(3, 4, context=2, embedding=2, hidden=4, training=SHORT),
    "trigram": Trigram(3, 4),
}
each = pytest.mark.parametrize("name", GENERATORS)


def has_density(name):
    return type(GENERATORS[name]).log_prob is not Generator.log_prob


def each_but(*excepted):
    return pytest.mark.parametrize("name", [name for name in GENERATORS if name not in excepted])


def test_every_generator_is_in_the_table():
    classes = {value for value in vars(generators).values() if inspect.isclass(value)}
    public = {cls for cls in classes if issubclass(cls, Generator)}
    assert public == {type(generator) for generator in GENERATORS.values()}


@functools.cache
def programs(name):
    """fit, draw, sample and log_prob, each compiled once for all tests."""
    generator = GENERATORS[name]
    return (
        jax.jit(lambda key, dataset: generator.fit(key, generator.summarize(dataset))),
        jax.jit(lambda key, params, lam: generator.draw(key, params, 7, lam)),
        jax.jit(lambda key, params, lam: generator.sample(key, params, 7, lam)),
        jax.jit(generator.log_prob),
    )


def training_set(name):
    return examples(GENERATORS[name].space, N)


@functools.cache
def fitted(name):
    return programs(name)[0](jax.random.key(1), training_set(name))


def assert_close(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)


def lowest_bias(name):
    return GENERATORS[name].lam_range[0]


def assert_in_space(generator, points, n):
    dim, n_symbols, _ = generator.space
    assert points.shape == (n, dim) and points.dtype == jnp.float32
    assert np.isfinite(points).all()
    if n_symbols:
        assert np.isin(points, np.arange(n_symbols)).all()


@each
def test_shapes_and_space(name):
    """Parameters are finite; draws are in the space of the generator, with any bias."""
    generator, params = GENERATORS[name], fitted(name)
    fit, draw, sample, _ = programs(name)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    again = fit(jax.random.key(2), training_set(name))
    shapes = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), p) for p in (params, again)]
    assert shapes[0] == shapes[1]
    for lam in (1.0, 0.5, lowest_bias(name)):
        assert_in_space(generator, sample(jax.random.key(0), params, lam), 7)
        drawn = draw(jax.random.key(0), params, lam)
        assert isinstance(drawn, Samples) != generator.exact
        if generator.exact:  # what is drawn adds to what is summarized.
            total = drawn + generator.summarize(training_set(name))
            assert jax.tree.structure(total) == jax.tree.structure(drawn)
        else:
            assert_in_space(generator, drawn.points, 7)
            assert np.array_equal(drawn.weight, np.ones(7))
            assert (drawn.label is None) == (generator.space.n_classes == 0)
            if drawn.label is not None:
                assert np.isin(drawn.label, np.arange(generator.space.n_classes)).all()
    none = generator.sample(jax.random.key(0), params, 0)
    assert none.shape == (0, generator.space.dim)


@each
def test_pointwise_draws_points(name):
    generator = GENERATORS[name]
    points = generator.pointwise()
    assert not points.exact and points.space == generator.space
    assert generator.exact or points is generator
    assert isinstance(points.draw(jax.random.key(0), fitted(name), 3), Samples)


@each
def test_settings_are_hashable_and_converted(name):
    """NumPy's numbers and whole floats are the same settings, and compile nothing new."""
    generator = GENERATORS[name]
    fields = [field.name for field in dataclasses.fields(generator)]
    numbers = {f: getattr(generator, f) for f in fields if type(getattr(generator, f)) is int}
    assert numbers, "every generator has a size."
    for convert in (np.int64, np.uint8, float, np.float32):
        other = dataclasses.replace(generator, **{f: convert(v) for f, v in numbers.items()})
        assert other == generator and hash(other) == hash(generator)
        assert all(type(getattr(other, f)) is int for f in numbers)


@each
def test_second_call_compiles_nothing(name):
    fit, draw, sample, log_prob = programs(name)
    fitted(name), draw(jax.random.key(0), fitted(name), 1.0)
    sample(jax.random.key(0), fitted(name), 1.0)
    dataset = training_set(name)
    other = dataset._replace(weight=dataset.weight.at[3].set(2.0))
    key = jax.random.key(5)
    if has_density(name):
        log_prob(fitted(name), dataset.points)
    with compilations() as seconds:
        params = fit(key, other)
        draw(key, params, 0.5), sample(key, params, 0.5)
        if has_density(name):
            log_prob(params, other.points)
    assert not seconds


@each
def test_replicates_are_a_vmap(name):
    fit, _, sample, _ = programs(name)
    dataset = training_set(name)
    many = jax.jit(jax.vmap(fit, (0, None)))(keys(2), dataset)
    for i, key in enumerate(keys(2)):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], many)
        assert_close(one, fit(key, dataset))
    drawn = jax.jit(jax.vmap(sample, (0, 0, None)))(keys(2), many, 0.5)
    second = jax.tree.map(lambda leaf: leaf[1], many)
    np.testing.assert_allclose(drawn[1], sample(keys(2)[1], second, 0.5), rtol=1e-3, atol=1e-4)


@each
def test_rows_of_weight_zero_may_hold_anything(name):
    """Among the others, NaN and labels of no class: the fit is that of the others alone."""
    fit, dataset = programs(name)[0], training_set(name)
    rejected = np.array([0, 5, 6, 11, N - 1])
    weight = dataset.weight.at[rejected].set(0.0)
    fits = []
    for garbage in (0.0, 1e30, np.nan, -np.inf):
        points = dataset.points.at[rejected].set(garbage)
        label = dataset.label
        label = label if label is None else label.at[rejected].set(-7 if garbage else 99)
        fits.append(fit(jax.random.key(1), Samples(points, weight, label)))
    for other in fits[1:]:
        for a, b in zip(jax.tree.leaves(fits[0]), jax.tree.leaves(other), strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fits[0]))
    alone = jax.tree.map(lambda leaf: jnp.delete(leaf, rejected, axis=0), dataset)
    assert_same_model(name, fits[0], fit(jax.random.key(1), alone))


@each_but("gaussian", "gaussian points", "scott")
def test_a_weight_is_a_number_of_copies(name):
    """w times a dataset is the dataset that holds each example w times.

    Not for the unbiased covariance and Scott's rule, which count independent examples: they are
    tested in their own files.
    """
    fit, dataset = programs(name)[0], training_set(name)
    weight = np.random.default_rng(0).integers(0, 4, N)
    copies = jax.tree.map(lambda leaf: jnp.repeat(leaf, weight, axis=0), dataset)
    ours = fit(jax.random.key(1), dataset._replace(weight=jnp.asarray(weight, jnp.float32)))
    assert_same_model(name, ours, fit(jax.random.key(1), copies))


def assert_same_model(name, ours, theirs):
    """The same parameters; of kernels, which keep their rows, the same density."""
    if isinstance(GENERATORS[name], KernelDensity):
        at = jnp.asarray(np.random.default_rng(3).standard_normal((20, 2)), jnp.float32)
        ours, theirs = (programs(name)[3](params, at) for params in (ours, theirs))
    assert_close(ours, theirs)


UNDETERMINED = [name for name in GENERATORS if name.startswith(("regression", "trigonometric"))]


@each_but(*UNDETERMINED)  # by identical examples.
def test_collapse_is_legal(name):
    """Identical examples leave a finite model, which draws them again if it is exact."""
    fit, draw, sample, log_prob = programs(name)
    generator, dataset = GENERATORS[name], training_set(name)
    same = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), dataset)
    same = same._replace(weight=dataset.weight)
    params = fit(jax.random.key(1), same)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    points = sample(jax.random.key(0), params, 1.0)
    assert_in_space(generator, points, 7)
    drawn = draw(jax.random.key(0), params, 1.0)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(drawn))
    if has_density(name):
        assert not np.isnan(log_prob(params, same.points)).any()
    approximate = Location, CouplingFlow, LanguageModel, Trigram
    kernel = isinstance(generator, KernelDensity) and generator.bandwidth != "scott"
    if not isinstance(generator, approximate) and not kernel:
        np.testing.assert_allclose(points, np.repeat(same.points[:1], 7, 0), atol=1e-6)


@pytest.mark.parametrize("name", list(filter(has_density, GENERATORS)))
def test_samples_without_bias_have_the_density(name):
    r"""$E[q(x) / p(x)] = 1$ for x from p and any density q, to 5 standard errors."""
    generator, params, n = GENERATORS[name], fitted(name), 20_000
    *_, log_prob = programs(name)
    points = jax.jit(lambda key: generator.sample(key, params, n))(jax.random.key(3))
    dim, n_symbols, _ = generator.space
    if n_symbols:
        log_q = -dim * np.log(n_symbols)
    else:  # a normal distribution inside the bulk of the model.
        points_64 = np.asarray(points, np.float64)
        deviation = points_64.std(axis=0).min() / 2
        squares = np.sum((points_64 - points_64.mean(axis=0)) ** 2, axis=1) / deviation**2
        log_q = -squares / 2 - dim * np.log(deviation * np.sqrt(2 * np.pi))
    ratio = np.exp(log_q - np.asarray(log_prob(params, points), np.float64))
    assert ratio.std() / np.sqrt(n) < 0.1
    assert_mean("density ratio", ratio, 1.0)


@each
def test_bias_is_one_by_default(name):
    _, draw, sample, _ = programs(name)
    generator, params, key = GENERATORS[name], fitted(name), jax.random.key(4)
    np.testing.assert_allclose(
        generator.sample(key, params, 7), sample(key, params, 1.0), rtol=1e-3, atol=1e-4
    )
    assert_close(generator.draw(key, params, 7), draw(key, params, 1.0))


@each
def test_direct_calls_are_checked(name):
    """What could not be meant is one line, from every method, without a trace of JAX."""
    generator, params = GENERATORS[name], fitted(name)
    key, dataset = jax.random.key(0), training_set(name)
    dim, n_symbols, n_classes = generator.space
    learn = generator.summarize if generator.exact else lambda d: generator.fit(key, d)
    for call in (generator.sample, generator.draw):
        with refused("n must be a whole number", "got -1"):
            call(key, params, -1)
        with refused("n must be a whole number", "got 2.5"):
            call(key, params, 2.5)
        with refused("n must be", "got None"):
            call(key, params, None)
        with refused(f"lam must be a number from {lowest_bias(name):g} to 1", "got 1.5"):
            call(key, params, 3, 1.5)
        with refused("lam must be", "got nan"):
            call(key, params, 3, lam=np.nan)
        with refused("lam must be", "got [0.5, 1.0]"):
            call(key, params, 3, lam=jnp.array([0.5, 1.0]))
    with refused("dataset must be one of madlib.datasets", "Samples.of(points)"):
        generator.fit(key, dataset.points)
    wide = jnp.concatenate([dataset.points, dataset.points[:, :1]], axis=1)
    with refused(f"points must be [n, {dim}]", f"got shape ({N}, {dim + 1})"):
        learn(dataset._replace(points=wide))
    with refused("weight must be numbers >= 0", "-1"):
        learn(dataset._replace(weight=dataset.weight.at[1].set(-1.0)))
    with refused("the sum of all weights must be a number > 0", "got 0"):
        learn(dataset._replace(weight=0 * dataset.weight))
    with refused("finite"):
        learn(dataset._replace(points=dataset.points.at[1, 0].set(jnp.nan)))
    if n_symbols:
        with refused(f"symbols must be whole numbers from 0 to {n_symbols - 1}"):
            learn(dataset._replace(points=dataset.points.at[1, 0].set(n_symbols)))
    if n_classes:
        with refused("labeled samples", "without"):
            learn(dataset._replace(label=None))
        for wrong in (-1, n_classes):
            with refused(f"labels must be whole numbers from 0 to {n_classes - 1}"):
                learn(dataset._replace(label=dataset.label.at[2].set(wrong)))
    if has_density(name):
        for points in (wide, dataset.points[:, 0], dataset.points[0]):
            with refused(f"points must be [n, {dim}]", f"got shape {points.shape}"):
                generator.log_prob(params, points)
        with refused(f"points must be [n, {dim}]"):  # of a traced array there is a shape.
            jax.jit(generator.log_prob)(params, wide)


@each
def test_whole_numbers_of_any_kind_are_sizes(name):
    generator, params, key = GENERATORS[name], fitted(name), jax.random.key(0)
    points = generator.sample(key, params, 3)
    for n in (np.int64(3), np.uint8(3), 3.0, jnp.asarray(3)):
        assert np.array_equal(generator.sample(key, params, n), points)
