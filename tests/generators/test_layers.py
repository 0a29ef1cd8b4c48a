"""Layers on minibatches, initial weights and rebuilt networks are those of Equinox."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from madlib.generators.layers import dense, rebuild, silu, untrained


def test_untrained_networks_are_those_of_equinox():
    def network(key):
        return eqx.nn.MLP(50, 20, 80, 2, key=key)

    ours, theirs = untrained(jax.random.key(0), network), network(jax.random.key(1))
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


def test_all_but_linear_layers_is_left_as_it_is():
    class Mixed(eqx.Module):
        layer: eqx.nn.Linear
        scale: jax.Array

    def network(key):
        return Mixed(eqx.nn.Linear(2, 3, key=key), jnp.full(4, 7.0))

    found = untrained(jax.random.key(0), network)
    assert np.array_equal(found.scale, np.full(4, 7.0))
    assert not np.array_equal(found.layer.weight, network(jax.random.key(0)).layer.weight)


def test_layers_on_minibatches_are_those_of_equinox_on_examples():
    layer = eqx.nn.Linear(5, 3, key=jax.random.key(0))
    inputs = jax.random.normal(jax.random.key(1), (7, 5))
    np.testing.assert_allclose(dense(layer, inputs), jax.vmap(layer)(inputs), rtol=1e-5)
    bare = eqx.nn.Linear(5, 3, use_bias=False, key=jax.random.key(0))
    np.testing.assert_allclose(dense(bare, inputs), jax.vmap(bare)(inputs), rtol=1e-5)
    x = jnp.linspace(-20, 20, 101)
    np.testing.assert_allclose(silu(x), jax.nn.silu(x), atol=2e-6)
    slope, exact = (jax.vmap(jax.grad(f))(x) for f in (silu, jax.nn.silu))
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

    ours, exact = gradients(dense), gradients(lambda layer, x: jax.vmap(layer)(x))
    for got, wanted in zip(jax.tree.leaves(ours), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_rebuild_puts_the_weights_back():
    def network(key):
        return eqx.nn.MLP(3, 2, 4, 1, key=key)

    original = network(jax.random.key(3))
    weights, _ = eqx.partition(original, eqx.is_inexact_array)
    x = jnp.array([0.3, -1.0, 2.0])
    assert np.array_equal(rebuild(network, weights)(x), original(x))
