"""The flow's density against its Jacobian by autodiff, and against the density it learned."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_mean, refused

from madlib import targets
from madlib.datasets import Samples
from madlib.generators import CouplingFlow, Training
from madlib.generators.coupling_flow import FlowParams

LOG_2PI = np.log(2 * np.pi)


def random_params(flow: CouplingFlow, seed: int) -> FlowParams:
    """An untrained flow, its weights enlarged so that it bends space."""
    keys = jax.random.split(jax.random.key(seed), 3)
    network = flow.network(keys[0])
    weights = jax.tree.map(lambda leaf: 1.5 * leaf if hasattr(leaf, "shape") else None, network)
    mean = jax.random.normal(keys[1], (flow.dim,))
    scale = jnp.exp(jax.random.normal(keys[2], (flow.dim,)))
    return FlowParams(weights, mean, scale)


@pytest.fixture(scope="module")
def trained():
    """A flow of a few hundred steps on the banana: (flow, params)."""
    flow = CouplingFlow(2, n_couplings=4, hidden=32, training=Training(300, 128, 5e-3))
    points = targets.rosenbrock().draw(jax.random.key(0), 5000)
    return flow, jax.jit(flow.fit)(jax.random.key(1), points)


@pytest.fixture(scope="module")
def density(trained):
    """The density of that flow on a grid that holds nearly all of it: (x, y, [len(y), len(x)])."""
    flow, params = trained
    x, y = np.linspace(-6, 6, 301), np.linspace(-5, 35, 501)
    grid = jnp.asarray(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2), jnp.float32)
    log_prob = np.asarray(jax.jit(flow.log_prob)(params, grid), np.float64)
    return x, y, np.exp(log_prob).reshape(len(y), len(x))


@pytest.mark.parametrize(("dim", "n_couplings"), [(2, 4), (3, 3), (5, 4)])
def test_log_prob_is_the_change_of_variables(dim, n_couplings):
    flow = CouplingFlow(dim, n_couplings=n_couplings, hidden=8)
    params = random_params(flow, dim)
    points = 2 * jax.random.normal(jax.random.key(9), (20, dim))
    one = lambda x: flow.inverse(params, x[None, :])[0]  # noqa: E731
    latent, jacobian = jax.jit(jax.vmap(lambda x: (one(x), jax.jacfwd(one)(x))))(points)
    jacobian = np.asarray(jacobian, np.float64)
    volume = np.linalg.slogdet(jacobian)[1]
    expected = -0.5 * np.sum(latent**2, axis=1) - dim / 2 * LOG_2PI + volume
    assert np.std(volume) > 0.05, "the flow must bend space for the test to mean anything."
    np.testing.assert_allclose(flow.log_prob(params, points), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dim", [2, 3, 5])
def test_every_coordinate_is_moved(dim):
    n_couplings = 2 + dim % 2
    flow = CouplingFlow(dim, n_couplings=n_couplings, hidden=8)
    params = random_params(flow, 1)._replace(mean=jnp.zeros(dim), scale=jnp.ones(dim))
    latent = jax.random.normal(jax.random.key(2), (50, dim))
    points = flow.forward(params, latent)
    gaps = jnp.abs(points[:, :, None] - latent[:, None, :]).max(axis=0)
    assert (gaps > 1e-3).all(), "no coordinate of the points is one of the latent."


def test_inverse_undoes_forward(trained):
    flow, params = trained
    latent = jax.random.normal(jax.random.key(3), (5000, 2))
    back = flow.inverse(params, flow.forward(params, latent))
    assert np.abs(back - latent).max() < 1e-4
    points = targets.rosenbrock().sample(jax.random.key(4), 5000)
    again = flow.forward(params, flow.inverse(params, points))
    assert np.abs(again - points).max() < 1e-4


def test_density_integrates_to_one(density):
    x, y, values = density
    total = values.sum() * (x[1] - x[0]) * (y[1] - y[0])
    assert abs(total - 1) < 0.01, total


def test_a_short_training_learns_the_banana(trained):
    """The divergence from the target is not negative, and small."""
    flow, params = trained
    target = targets.rosenbrock()
    points = target.sample(jax.random.key(5), 20_000)
    truth = target.family.log_prob(target.params, points)
    gap = np.asarray(truth - flow.log_prob(params, points), np.float64)
    se = gap.std(ddof=1) / np.sqrt(gap.size)
    assert -5 * se <= gap.mean() <= 0.05, (gap.mean(), se)


def test_samples_have_the_density(trained, density):
    """The shares of samples beyond a threshold are the integrals of the density there."""
    flow, params = trained
    x, y, values = density
    n = 50_000
    points = np.asarray(flow.draw(jax.random.key(6), params, n).points)
    marginal = values.sum(axis=0) * (y[1] - y[0]) * (x[1] - x[0])
    for threshold in (1.0, 2.0):
        beyond = np.isclose(np.abs(x), threshold) / 2 + (np.abs(x) > threshold + 1e-6)
        assert_mean(f"beyond {threshold}", np.abs(points[:, 0]) > threshold, marginal @ beyond)


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_lam_is_the_variance_of_the_latent(trained, lam):
    flow, params = trained
    n = 20_000
    latent = flow.inverse(params, flow.sample(jax.random.key(7), params, n, lam))
    second = np.mean(np.asarray(latent, np.float64) ** 2, axis=0)
    assert (np.abs(second - lam) <= 5 * lam * np.sqrt(2 / n) + 1e-6).all(), second


def test_a_point_mass_is_legal():
    flow = CouplingFlow(2, n_couplings=4, hidden=8, training=Training(100, 16, 1e-2))
    point = jnp.array([3.0, -2.0])
    params = jax.jit(flow.fit)(jax.random.key(0), Samples.of(jnp.tile(point, (20, 1))))
    points = flow.sample(jax.random.key(1), params, 1000)
    assert np.isfinite(points).all()
    assert np.abs(np.median(points, axis=0) - point).max() < 0.2
    assert np.isfinite(flow.log_prob(params, points)).all()


def test_one_dimension_is_refused():
    with refused("dim must be a whole number from 2", "got 1"):
        CouplingFlow(1)
