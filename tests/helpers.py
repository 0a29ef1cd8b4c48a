"""Shared by the tests: refusals of one line, standard errors, examples of a space, compilations."""

import contextlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from madlib.datasets import Samples
from madlib.errors import ParameterError

LEVEL = 1e-3  # of every test of a distribution, at a fixed key.


def keys(n, seed=0):
    return jax.random.split(jax.random.key(seed), n)


@contextlib.contextmanager
def refused(*words, error=ParameterError):
    """The block raises an error of one line that holds all words."""
    with pytest.raises(error) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


def assert_mean(what, sample, expected, rounding=1e-6):
    """The mean of independent rows [n, ...] is within 5 standard errors of the expected one."""
    sample = np.asarray(sample, np.float64)
    se = sample.std(0) / np.sqrt(len(sample))
    error = np.abs(sample.mean(0) - expected)
    assert (error <= 5 * se + rounding).all(), f"{what}: {sample.mean(0)}, {expected}, SE {se}"


def examples(space, n, seed=0):
    """n examples of a space, with labels where it has classes."""
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((n, space.dim))
    if space.n_symbols:
        points = rng.integers(0, space.n_symbols, (n, space.dim))
    label = jnp.asarray(rng.integers(0, space.n_classes, n)) if space.n_classes else None
    return Samples.of(jnp.asarray(points, jnp.float32), label)


@contextlib.contextmanager
def compilations():
    """A list of the durations of all compilations in the block."""
    seconds = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            seconds.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seconds
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def affine_network(matrix, bias):
    """A network of two hidden layers that is z -> matrix z + bias, as x = silu(x) - silu(-x)."""
    n_out, n_in = np.shape(matrix)
    network = eqx.nn.MLP(n_in, n_out, 2 * n_in, 2, jax.nn.silu, key=jax.random.key(0))
    both = np.concatenate([np.eye(n_in), -np.eye(n_in)])
    weights = both, both @ both.T, matrix @ both.T
    biases = np.zeros(2 * n_in), np.zeros(2 * n_in), bias
    arrays = [jnp.asarray(array, jnp.float32) for array in (*weights, *biases)]
    return eqx.tree_at(
        lambda network: (
            [layer.weight for layer in network.layers] + [layer.bias for layer in network.layers]
        ),
        network,
        arrays,
    )


# Arguments that some public function cannot take.
ABSURD = [
    *(0, -1, -5.5, 0.5, 1, 2, 1e15, 10**15, 1e16, 1e300, 10**400, 2**32, 1e-300, 1 + 1e-7, -0.0),
    *(float("inf"), float("nan"), True, None, "5", b"x", 1j, {}, [], [5, [6]], object(), range),
    *(np.int8(100), np.uint8(7), np.float32(7), np.ma.masked, np.array([2, np.nan])),
    *([1, 2, 3], [[3], [4.5]], np.ones((2, 3)), np.zeros((0, 2))),
]
