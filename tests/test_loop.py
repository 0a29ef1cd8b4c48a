"""What holds for every generator under every regime: one table of each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from madlib import (
    Accumulate,
    AccumulateSubsample,
    Categorical,
    FreshData,
    FullySynthetic,
    Gaussian,
    GaussianMixture,
    KernelDensity,
    ParameterError,
    SyntheticAugmentation,
    Trajectory,
    metrics,
    run_loop,
    simulate,
    targets,
)
from madlib.datasets import Samples
from madlib.generators import VAE, WGAN, CouplingFlow, Diffusion, LanguageModel, Training

N_GENERATIONS, BATCH = 5, 8


def normals(shift):
    cov = [[2.0 + shift, 0.5], [0.5, 1.0]]
    return targets.normal([1.0, 2.0 - shift], cov)


def symbols(shift):
    return targets.zipf(5, 1.0 + shift)


def text_passages(shift):
    rows = np.random.default_rng(int(10 * shift)).integers(0, 3, (12, 4))
    return targets.empirical(rows, replace=False, symbols=("a", "b", "c"))


LANGUAGE = LanguageModel(3, 4, context=2, embedding=2, hidden=4, training=Training(4, 2, 1e-2))


def modes(shift):
    return targets.mixture([0.4, 0.6], [[0.0, shift], [3.0, 1.0]], 0.5)


def spread(params, reference):
    return params.points.std()


def kernels(shift):
    family = KernelDensity(2, n_points=12, bandwidth=0.5)
    params = family.fit(None, Samples.of(jnp.array([[1.0, shift], [0.0, 2.0], [-1.0, 1.0]])))
    return targets.Target(params, params, family)


def labeled_points(shift):
    points = np.random.default_rng(0).standard_normal((12, 2)) + shift
    return targets.empirical(points, np.arange(12) % 2)


def class_spread(params, reference):
    return jnp.sum(params.spread)


FLOW = CouplingFlow(2, n_couplings=2, hidden=4, training=Training(4, 4, 1e-2))


def points(shift):
    return targets.empirical(np.random.default_rng(0).standard_normal((12, 2)) + shift)


def scale(params, reference):
    return params.scale


NETWORK = {"n_latent": 2, "hidden": 8, "training": Training(4, 4, 1e-2)}

GENERATORS = {
    "gaussian": (Gaussian(2), normals, metrics.wasserstein2_squared),
    "gaussian points": (Gaussian(2, exact=False), normals, metrics.wasserstein2_squared),
    "categorical": (Categorical(5), symbols, metrics.heterozygosity),
    "categorical points": (Categorical(5, exact=False), symbols, metrics.heterozygosity),
    "language": (
        LANGUAGE,
        text_passages,
        metrics.HeldOutBits(text_passages(1.0).params.points, LANGUAGE),
    ),
    "mixture": (GaussianMixture(2, 2), modes, metrics.mixture_variance),
    "kernel density": (
        KernelDensity(2, n_points=12, bandwidth=0.5),
        kernels,
        spread,
    ),
    "flow": (
        FLOW,
        normals,
        metrics.KullbackLeibler(FLOW, jnp.array([[0.0, 1.0], [2.0, 1.0]]), jnp.zeros(2)),
    ),
    "diffusion": (
        Diffusion(2, 2, width=8, n_blocks=1, n_calls=3, training=Training(4, 4, 1e-2)),
        labeled_points,
        class_spread,
    ),
    "vae": (VAE(2, **NETWORK), points, scale),
    "wgan": (WGAN(2, **NETWORK), points, scale),
}
REGIMES = {
    "fully synthetic": (FullySynthetic(6), FullySynthetic(9)),
    "augmentation": (SyntheticAugmentation(6), SyntheticAugmentation(9)),
    "fresh": (FreshData(5, 6), FreshData(4, 9)),
    "memory": (FreshData(5, 6, memory=3), FreshData(4, 9, memory=3)),
    "accumulate": (Accumulate(6), Accumulate(9)),
    "subsample": (AccumulateSubsample(6, 7), AccumulateSubsample(6, 7)),
}
# Every regime with the first generator; every generator with the two regimes that remember most.
PAIRS = [
    (generator, regime)
    for generator in GENERATORS
    for regime in REGIMES
    if generator == "gaussian" or regime in ("memory", "subsample")
    # Where points are needed an exact generator is its twin that draws them: one program.
    if not (generator.endswith(" points") and regime == "subsample")
]


def bytes_of(trajectory):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(trajectory)]


@pytest.fixture
def compilations():
    """The durations of all compilations since the start of the test."""
    seconds = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            seconds.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seconds
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize(("generator", "regime"), PAIRS)
def test_contract(generator, regime, compilations):
    generator, make_target, metric = GENERATORS[generator]
    usual_target = make_target(0.0)
    regime, other_regime = REGIMES[regime]
    exact = generator.exact and not regime.needs_points

    def run(seed=0, regime=regime, target=usual_target, **settings):
        settings = {"n_ini": 6, "lam": 0.9, "n_replicates": BATCH} | settings
        settings |= {"n_generations": N_GENERATIONS, "record": (metric,), "batch_size": BATCH}
        return simulate(jax.random.key(seed), generator, regime, target, **settings)

    base = run()
    assert compilations, "the listener must hear the first compilation."
    value = base.record[metric.__name__]
    assert np.array_equal(base.generation, np.arange(1, N_GENERATIONS + 1))
    assert value.shape == (BATCH, N_GENERATIONS)
    if type(base.params) is type(usual_target.params):
        for leaf, one in zip(base.params, usual_target.params, strict=True):
            assert leaf.shape == (BATCH, N_GENERATIONS, *one.shape)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(base))
    assert len(np.unique(value[:, 0])) > 1, "replicates must differ"

    assert bytes_of(run()) == bytes_of(base)
    assert bytes_of(run(seed=1)) != bytes_of(base)

    # Generation 1 is fitted to real data only: neither lam nor the regime's sizes touch it.
    del compilations[:]
    biased = run(lam=0.3, regime=other_regime if exact else regime)
    other_target = run(target=make_target(0.5), n_ini=8 if exact else 6)
    assert not compilations, f"{len(compilations)} compilations for other values"
    first, rest = (
        [leaf[:, rows] for leaf in jax.tree.leaves(biased.params)]
        for rows in (slice(1), slice(1, None))
    )
    ours = jax.tree.leaves(base.params)
    assert all(np.array_equal(a[:, :1], b) for a, b in zip(ours, first, strict=True))
    assert any(not np.array_equal(a[:, 1:], b) for a, b in zip(ours, rest, strict=True))
    assert bytes_of(other_target) != bytes_of(base)

    # A grid is many runs in one call; more replicates are more batches, the last one padded.
    grid = run(lam=np.array([0.3, 0.9]), regime=other_regime if exact else regime)
    assert grid.record[metric.__name__].shape == (2, BATCH, N_GENERATIONS)
    point = jax.tree.map(lambda leaf: leaf[0], grid._replace(generation=()))
    assert bytes_of(point) == bytes_of(biased._replace(generation=()))
    more = run(n_replicates=2 * BATCH + 3)._replace(generation=())
    few = jax.tree.map(lambda leaf: leaf[:BATCH], more)
    assert bytes_of(few) == bytes_of(base._replace(generation=()))
    assert not compilations, f"{len(compilations)} compilations for a grid"


def test_run_loop_is_one_replicate_of_simulate():
    generator, regime, target = Categorical(5), FullySynthetic(6), symbols(0.0)
    settings = {"n_ini": 6, "n_generations": 3, "record": (metrics.heterozygosity,)}
    many = simulate(jax.random.key(0), generator, regime, target, n_replicates=3, **settings)
    key = jax.random.fold_in(jax.random.key(0), 2)
    one = jax.jit(lambda key: run_loop(key, generator, regime, target, **settings))(key)
    assert np.array_equal(one.generation, many.generation)
    np.testing.assert_allclose(one.params.probs, many.params.probs[2], rtol=1e-6)
    ours, theirs = (trajectory.record["heterozygosity"] for trajectory in (one, many))
    np.testing.assert_allclose(ours, theirs[2], rtol=1e-5)


def test_to_frame_is_tidy():
    generator, target, metric = GENERATORS["categorical"]
    trajectory = simulate(
        jax.random.key(0),
        generator,
        FullySynthetic(np.array([[6], [9]])),
        target(0.0),
        n_ini=6,
        n_generations=3,
        n_replicates=4,
        lam=np.array([0.5, 1.0, 0.7]),
        record=(metric, metrics.support_size),
    )
    frame = trajectory.to_frame()
    names = ["grid_0", "grid_1", "replicate", "generation", "heterozygosity", "support_size"]
    assert list(frame) == names and len(frame) == 2 * 3 * 4 * 3
    row = frame.query("grid_0 == 1 and grid_1 == 2 and replicate == 3 and generation == 2")
    assert row["heterozygosity"].item() == trajectory.record["heterozygosity"][1, 2, 3, 1]
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
    generator, target, _ = GENERATORS["categorical"]
    settings = {"n_ini": 6, "n_generations": 1, "n_replicates": 2}
    trajectory = simulate(jax.random.key(0), generator, FullySynthetic(6), target(0.0), **settings)
    assert trajectory.record == {} and trajectory.params.probs.shape == (2, 1, 5)
    assert jnp.allclose(trajectory.params.probs.sum(-1), 1)
