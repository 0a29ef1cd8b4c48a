"""One replicate is a row of many; a trajectory is a tidy table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from madlib import ParameterError, Trajectory, metrics, run_loop, simulate, targets
from madlib.generators import Categorical
from madlib.regimes import FullySynthetic

GENERATOR, TARGET = Categorical(5), targets.zipf(5)


def test_run_loop_is_one_replicate_of_simulate():
    settings = {"n_ini": 6, "n_generations": 3, "record": (metrics.heterozygosity,)}
    parts = GENERATOR, FullySynthetic(6), TARGET
    many = simulate(jax.random.key(0), *parts, n_replicates=3, **settings)
    key = jax.random.fold_in(jax.random.key(0), 2)
    one = jax.jit(lambda key: run_loop(key, *parts, **settings))(key)
    assert np.array_equal(one.generation, many.generation)
    np.testing.assert_allclose(one.params.probs, many.params.probs[2], rtol=1e-6)
    np.testing.assert_allclose(one["heterozygosity"], many["heterozygosity"][2], rtol=1e-5)


def test_to_frame_is_tidy():
    trajectory = simulate(
        jax.random.key(0),
        GENERATOR,
        FullySynthetic(np.array([[6], [9]])),
        TARGET,
        n_ini=6,
        n_generations=3,
        n_replicates=4,
        lam=np.array([0.5, 1.0, 0.7]),
        record=(metrics.heterozygosity, metrics.support_size),
    )
    frame = trajectory.to_frame()
    names = ["grid_0", "grid_1", "replicate", "generation", "heterozygosity", "support_size"]
    assert list(frame) == names and len(frame) == 2 * 3 * 4 * 3
    row = frame.query("grid_0 == 1 and grid_1 == 2 and replicate == 3 and generation == 2")
    assert row["heterozygosity"].item() == trajectory["heterozygosity"][1, 2, 3, 1]
    assert not frame.duplicated(names[:4]).any()

    one = jax.tree.map(lambda leaf: leaf[0, 0, 0], trajectory.record)
    frame = trajectory._replace(record=one).to_frame()
    assert list(frame) == ["generation", "heterozygosity", "support_size"] and len(frame) == 3


def test_to_frame_needs_a_scalar():
    record = {"examples": np.zeros((2, 3, 5, 4))}  # of two replicates, three generations
    trajectory = Trajectory(np.arange(1, 4), None, record)
    with pytest.raises(ParameterError, match="scalar metric; got only examples"):
        trajectory.to_frame()


def test_simulation_does_not_need_a_metric():
    settings = {"n_ini": 6, "n_generations": 1, "n_replicates": 2}
    trajectory = simulate(jax.random.key(0), GENERATOR, FullySynthetic(6), TARGET, **settings)
    assert trajectory.record == {} and trajectory.params.probs.shape == (2, 1, 5)
    assert jnp.allclose(trajectory.params.probs.sum(-1), 1)


def test_params_of_a_generation_are_found_by_its_number():
    """Also with `every`, where the row is not the generation."""
    settings = {"n_ini": 6, "n_generations": 7, "n_replicates": 3, "every": 3, "lam": [1.0, 0.5]}
    run = simulate(jax.random.key(3), GENERATOR, FullySynthetic(6), TARGET, **settings)
    assert np.array_equal(run.params_at(4, 1, 2).probs, run.params.probs[1, 2, 1])
    with pytest.raises(ParameterError, match="a generation with a row"):
        run.params_at(5)
