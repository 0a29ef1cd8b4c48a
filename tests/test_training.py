"""The training loop against Adam in NumPy; weights, failures and the parts of networks."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from madlib import FreshData, FullySynthetic, ParameterError, simulate, targets
from madlib.datasets import Samples
from madlib.generators import VAE, WGAN, CouplingFlow, Diffusion, LanguageModel, Training
from madlib.generators import training as module
from madlib.generators.training import PointGenerator, train


class Vector(eqx.Module):
    """The simplest network: three numbers."""

    values: jax.Array


def vector(key):
    del key
    return Vector(jnp.array([1.0, -2.0, 0.5]))


def test_train_is_adam_with_warmup_cosine_and_averaging():
    n_steps, rise_steps = 47, 9  # the last chunk is shorter than the others.
    training = Training(n_steps, batch_size=4, learning_rate=0.1, warmup=0.2, average=0.25)
    goal = np.array([0.3, 0.7, 2.0], np.float32)
    points = Samples.of(jnp.asarray(np.tile(goal, (5, 1))))

    def noise(key):
        return jax.random.normal(key, (3,))

    def loss(network, drawn, batch):
        gap = jnp.mean(jnp.sum((network.values[None, :] - batch.points) ** 2, axis=1))
        return gap + drawn @ network.values

    result = train(jax.random.key(0), vector, loss, points, training, noise)
    chunks = jax.random.split(jax.random.split(jax.random.key(0))[1], 5)
    keys = [jax.random.split(jax.random.split(key)[1], module.CHUNK) for key in chunks]
    drawn = np.asarray(jax.vmap(noise)(jnp.concatenate(keys)), float)

    weights = average = np.array([1.0, -2.0, 0.5])
    first = second = np.zeros(3)
    for t in range(1, n_steps + 1):
        # The schedule is read before its counter moves on: step 1 has a rate of zero.
        rise = (t - 1) / rise_steps
        fall = 0.5 * (1 + np.cos(np.pi * (t - 1 - rise_steps) / (n_steps - rise_steps)))
        rate = 0.1 * (rise if rise < 1 else fall)
        gradient = 2 * (weights - goal) + drawn[t - 1]
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        step = (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
        weights = weights - rate * step
        if t % module.CHUNK == 0 or t == n_steps:
            kept = (1 - 1 / (0.25 * n_steps)) ** ((t - 1) % module.CHUNK + 1)
            average = kept * average + (1 - kept) * weights
    np.testing.assert_allclose(result.weights.values, average, rtol=1e-4)
    assert result.diverged == 0


def test_rows_are_drawn_by_weight():
    weight = jnp.array([0.0, 3.0, 0.0, 1.0, 0.5, 0.0])
    n = 100_000
    rows = module.draw_rows(jax.random.key(1), weight, (n // 100, 100))
    share = np.bincount(rows.ravel(), minlength=6) / n
    expected = np.array(weight) / 4.5
    se = np.sqrt(expected * (1 - expected) / n)
    assert (np.abs(share - expected) <= 5 * se).all(), (share, expected, se)


def test_rows_of_weight_zero_are_never_seen():
    flow = CouplingFlow(2, n_couplings=2, hidden=8, training=Training(20, 16, 1e-2))
    points = jax.random.normal(jax.random.key(0), (64, 2))
    used = (jnp.arange(64) < 40).astype(jnp.float32)
    fit = jax.jit(flow.fit)
    fits = [
        fit(jax.random.key(1), Samples(jnp.where(used[:, None] > 0, points, garbage), used))
        for garbage in (0.0, 1e30, jnp.nan)
    ]
    for other in fits[1:]:
        for a, b in zip(jax.tree.leaves(fits[0]), jax.tree.leaves(other), strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


class ShiftParams(NamedTuple):
    values: jax.Array
    diverged: jax.Array


class Shift(PointGenerator):
    """Learns a mean, samples 10 further up, and cannot learn means above 25."""

    dim = 3
    training = Training(n_steps=30, batch_size=4, learning_rate=1.0)

    def fit(self, key, dataset):
        def loss(network, noise, batch):
            del noise
            gap = jnp.sum((network.values[None, :] - batch.points) ** 2)
            return jnp.where(jnp.mean(batch.points) > 25, jnp.nan, gap)

        weights, diverged = train(key, vector, loss, dataset, self.training)
        return ShiftParams(
            jnp.mean(dataset.points, axis=0), diverged + 0 * weights.values[0].astype(int)
        )

    def sample(self, key, params, n, lam=1.0):
        del key, lam
        return jnp.broadcast_to(params.values + 10, (n, 3))


def test_divergence_is_named_with_generation_and_step():
    target = targets.normal(np.zeros(3), np.eye(3) * 1e-4)
    settings = {"n_ini": 10, "n_replicates": 2}
    fine = simulate(
        jax.random.key(0), Shift(), FullySynthetic(10), target, n_generations=3, **settings
    )
    assert np.isfinite(fine.params.values).all() and not fine.params.diverged.any()
    with pytest.raises(ParameterError) as error:
        simulate(
            jax.random.key(0), Shift(), FullySynthetic(10), target, n_generations=6, **settings
        )
    message = str(error.value)
    assert "generation 4, step 1 of the training (2 of 2 replicates)" in message
    assert "\n" not in message


def test_runaway_learning_rate_is_a_divergence():
    flow = CouplingFlow(2, n_couplings=2, hidden=4, training=Training(30, 8, 1e30))
    with pytest.raises(ParameterError, match=r"generation 1, step [2-9] of the training"):
        simulate(
            jax.random.key(0),
            flow,
            FullySynthetic(8),
            targets.rosenbrock(),
            n_ini=8,
            n_generations=2,
            n_replicates=2,
        )


@pytest.mark.parametrize("training", [None, {"n_steps": 100}])
@pytest.mark.parametrize(
    ("generator", "sizes"),
    [(CouplingFlow, (2,)), (Diffusion, (2, 2)), (VAE, (2,)), (WGAN, (2,)), (LanguageModel, (5, 9))],
)
def test_training_is_a_training(generator, sizes, training):
    with pytest.raises(ParameterError, match="training must be a Training; got .* Use Training"):
        generator(*sizes, training=training)


@pytest.mark.parametrize(
    ("n_ini", "regime"),
    [(255, FullySynthetic(256)), (256, FullySynthetic(255)), (256, FreshData(100, 155))],
)
def test_fewer_samples_than_a_minibatch_are_refused(n_ini, regime):
    with pytest.raises(ParameterError, match="must hold at least 256 samples to fit CouplingFlow"):
        simulate(
            jax.random.key(0),
            CouplingFlow(2),
            regime,
            targets.rosenbrock(),
            n_ini=n_ini,
            n_generations=2,
            n_replicates=2,
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_steps": 0}, "n_steps must be a whole number >= 1"),
        ({"batch_size": 1.5}, "batch_size must be a whole number >= 1"),
        ({"learning_rate": 0.0}, "learning_rate must be > 0 and finite; got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be > 0 and finite; got nan"),
        ({"learning_rate": float("inf")}, "learning_rate must be > 0 and finite; got inf"),
        ({"n_steps": 1}, "n_steps must be at least 2; got 1"),
        ({"warmup": 1.5}, r"warmup must lie in \[0, 1\]; got 1.5"),
        ({"average": -0.1}, r"average must lie in \[0, 1\]; got -0.1"),
        ({"warmup": "much"}, r"warmup must lie in \[0, 1\]; got 'much'"),
        ({"betas": (2, 3)}, r"betas must be a tuple of two numbers in \[0, 1\); got \(2, 3\)"),
    ],
)
def test_impossible_training_is_refused(change, message):
    with pytest.raises(ParameterError, match=message):
        Training(**({"n_steps": 5, "batch_size": 4, "learning_rate": 1e-3} | change))


def test_untrained_networks_are_those_of_equinox():
    def network(key):
        return eqx.nn.MLP(50, 20, 80, 2, key=key)

    ours = module.untrained(jax.random.key(0), network)
    theirs = network(jax.random.key(1))
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for one, other in zip(ours.layers, theirs.layers, strict=True):
        assert one.weight.shape == other.weight.shape and one.bias.shape == other.bias.shape
        for values in (one.weight, one.bias, other.weight, other.bias):
            bound = one.in_features**-0.5
            assert np.abs(values).max() <= bound
            # Uniform: E u^2 = bound^2 / 3, and u^2 has standard deviation 2 bound^2 / sqrt(45).
            mean, se = np.mean(values**2), 2 * bound**2 / np.sqrt(45 * values.size)
            assert abs(mean - bound**2 / 3) <= 5 * se, (mean, bound**2 / 3, se)
    values = np.concatenate(
        [leaf.ravel() for leaf in jax.tree.leaves(eqx.filter(ours, eqx.is_array))]
    )
    assert len(np.unique(values)) > 0.99 * values.size


def test_layers_on_minibatches_are_those_of_equinox_on_examples():
    layer = eqx.nn.Linear(5, 3, key=jax.random.key(0))
    inputs = jax.random.normal(jax.random.key(1), (7, 5))
    np.testing.assert_allclose(module.dense(layer, inputs), jax.vmap(layer)(inputs), rtol=1e-5)
    bare = eqx.nn.Linear(5, 3, use_bias=False, key=jax.random.key(0))
    np.testing.assert_allclose(module.dense(bare, inputs), jax.vmap(bare)(inputs), rtol=1e-5)
    x = jnp.linspace(-20, 20, 101)
    np.testing.assert_allclose(module.silu(x), jax.nn.silu(x), atol=2e-6)
    slope, exact = (jax.vmap(jax.grad(f))(x) for f in (module.silu, jax.nn.silu))
    np.testing.assert_allclose(slope, exact, atol=2 * 20 * np.finfo(np.float32).eps)


@pytest.mark.parametrize("n_inputs", [1, 5])
def test_gradients_of_layers_on_minibatches_are_those_of_equinox_on_examples(n_inputs):
    keys = jax.random.split(jax.random.key(n_inputs), 4)
    layers = eqx.filter_vmap(lambda key: eqx.nn.Linear(n_inputs, 3, key=key))(keys)
    inputs = jax.random.normal(jax.random.key(1), (4, 7, n_inputs))  # of four replicates

    def gradients(apply):
        def loss(layer_and_inputs):
            return jnp.sum(jnp.sin(apply(*layer_and_inputs)))

        return eqx.filter_vmap(eqx.filter_grad(loss))((layers, inputs))

    ours, exact = gradients(module.dense), gradients(lambda layer, x: jax.vmap(layer)(x))
    for got, wanted in zip(jax.tree.leaves(ours), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_rebuild_puts_the_weights_back():
    def network(key):
        return eqx.nn.MLP(3, 2, 4, 1, key=key)

    original = network(jax.random.key(3))
    weights, _ = eqx.partition(original, eqx.is_inexact_array)
    x = jnp.array([0.3, -1.0, 2.0])
    assert np.array_equal(module.rebuild(network, weights)(x), original(x))


def test_normalization_is_weighted():
    points = jax.random.normal(jax.random.key(0), (50, 2)) * jnp.array([[3.0, 0.0]]) + 1.0
    weight = jnp.arange(50) % 3
    mean, scale = module.normalization(Samples(points, weight.astype(jnp.float32)))
    repeated = np.repeat(np.asarray(points, np.float64), np.asarray(weight), axis=0)
    np.testing.assert_allclose(mean, repeated.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(scale, [repeated[:, 0].std(), 1.0], rtol=1e-5)
