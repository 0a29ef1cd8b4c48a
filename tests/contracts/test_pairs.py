"""What holds for every generator under every regime: one table of each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from madlib import metrics, simulate, targets
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
    Training,
)
from madlib.protocols import Target
from madlib.regimes import (
    Accumulate,
    AccumulateSubsample,
    Curated,
    FreshData,
    FullySynthetic,
    Growing,
    LongMemory,
    Power,
    SyntheticAugmentation,
    Weighted,
)

N_GENERATIONS, BATCH = 5, 8


def normals(shift):
    cov = [[2.0 + shift, 0.5], [0.5, 1.0]]
    return targets.normal([1.0, 2.0 - shift], cov)


def symbols(shift):
    return targets.zipf(5, 1.0 + shift)


def text_passages(shift):
    rows = np.random.default_rng(int(10 * shift)).integers(0, 3, (12, 4))
    return targets.empirical(rows, replace=False, symbols=("a", "b", "c"))


def modes(shift):
    return targets.mixture([0.4, 0.6], [[0.0, shift], [3.0, 1.0]], 0.5)


def kernels(shift):
    family = KernelDensity(2, n_points=12, bandwidth=0.5)
    params = family.fit(
        jax.random.key(0), Samples.of(jnp.array([[1.0, shift], [0.0, 2.0], [-1.0, 1.0]]))
    )
    return Target(params, params, family)


def points(shift):
    return targets.empirical(np.random.default_rng(0).standard_normal((12, 2)) + shift)


def labeled_points(shift):
    rows = np.random.default_rng(0).standard_normal((12, 2)) + shift
    return targets.empirical(rows, np.arange(12) % 2)


def spread(model, target):
    return model.params.points.std()


def class_spread(model, target):
    return jnp.sum(model.params.spread)


def scale(model, target):
    return model.params.scale[0]


LANGUAGE = LanguageModel(3, 4, context=2, embedding=2, hidden=4, training=Training(4, 2, 1e-2))
FLOW = CouplingFlow(2, n_couplings=2, hidden=4, training=Training(4, 4, 1e-2))
NETWORK = {"n_latent": 2, "hidden": 8, "training": Training(4, 4, 1e-2)}
DIVERGENCE = metrics.KullbackLeibler(jnp.array([[0.0, 1.0], [2.0, 1.0]]), jnp.zeros(2))
BITS = metrics.HeldOutBits(text_passages(1.0).params.points)
DENOISER = Diffusion(2, 2, width=8, n_blocks=1, n_calls=3, training=Training(4, 4, 1e-2))

GENERATORS = {
    "gaussian": (Gaussian(2), normals, metrics.wasserstein2_squared),
    "gaussian points": (Gaussian(2, exact=False), normals, metrics.wasserstein2_squared),
    "categorical": (Categorical(5), symbols, metrics.heterozygosity),
    "categorical points": (Categorical(5, exact=False), symbols, metrics.heterozygosity),
    "language": (LANGUAGE, text_passages, BITS),
    "mixture": (GaussianMixture(2, 2), modes, metrics.mixture_variance),
    "kernel density": (KernelDensity(2, n_points=12, bandwidth=0.5), kernels, spread),
    "flow": (FLOW, normals, DIVERGENCE),
    "diffusion": (DENOISER, labeled_points, class_spread),
    "vae": (VAE(2, **NETWORK), points, scale),
    "wgan": (WGAN(2, **NETWORK), points, scale),
}


def half_of_them(key, synthetic, turn):
    """Rejects every other example."""
    kept = jnp.arange(len(synthetic.weight)) % 2
    return kept.astype(float) * synthetic


REGIMES = {
    "fully synthetic": (FullySynthetic(6), FullySynthetic(9)),
    "augmentation": (SyntheticAugmentation(6), SyntheticAugmentation(9)),
    "fresh": (FreshData(5, 6), FreshData(4, 9)),
    "memory": (LongMemory(5, 6, 3), LongMemory(4, 9, 3)),
    "accumulate": (Accumulate(6), Accumulate(9)),
    "subsample": (AccumulateSubsample(6, 7), AccumulateSubsample(6, 7)),
    "weighted": (Weighted(FreshData(5, 6), 2.0), Weighted(FreshData(4, 9), 0.5)),
    "growing": (Growing(FullySynthetic(4), Power(0.5)), Growing(FullySynthetic(5), Power(0.5))),
    "curated": (Curated(Accumulate(6), half_of_them), Curated(Accumulate(6), half_of_them)),
    "all": (
        Weighted(Growing(Curated(FreshData(4, 4), half_of_them), Power(0.5)), 2.0),
        Weighted(Growing(Curated(FreshData(4, 4), half_of_them), Power(0.5)), 0.5),
    ),
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
    assert compilations, "the listener must notice the first compilation."
    (value,) = base.record.values()
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

    # A grid is many runs in one call; more replicates are more batches, the last one padded; a
    # block of replicates is a part of the whole.
    grid = run(lam=np.array([0.3, 0.9]), regime=other_regime if exact else regime)
    (values,) = grid.record.values()
    assert values.shape == (2, BATCH, N_GENERATIONS)
    point = jax.tree.map(lambda leaf: leaf[0], grid._replace(generation=()))
    assert bytes_of(point) == bytes_of(biased._replace(generation=()))
    more = run(n_replicates=2 * BATCH + 3)._replace(generation=())
    few = jax.tree.map(lambda leaf: leaf[:BATCH], more)
    assert bytes_of(few) == bytes_of(base._replace(generation=()))
    block = run(first_replicate=3, n_replicates=2 * BATCH)._replace(generation=())
    assert bytes_of(block) == bytes_of(jax.tree.map(lambda leaf: leaf[3:], more))
    assert not compilations, f"{len(compilations)} compilations for a grid or a block"
