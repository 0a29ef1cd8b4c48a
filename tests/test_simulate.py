"""Batches, devices and reduction change nothing; collapse is legal; bad input is one line."""

import dataclasses
import functools
import os
import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts.test_pairs import GENERATORS
from scipy import stats

from madlib import Gaussian, Generator, MadlibError, Regime, metrics, simulate, targets
from madlib.datasets import Samples
from madlib.generators import VAE, Categorical, NormalParams, Training
from madlib.protocols import Number, Size
from madlib.regimes import (
    Accumulate,
    AccumulateSubsample,
    FreshData,
    FullySynthetic,
    LongMemory,
    SyntheticAugmentation,
)

KEY = jax.random.key(0)
EXACT, POINTS = Gaussian(2), Gaussian(2, exact=False)
TARGET = targets.normal(1.0, 2.0)
RECORD = (metrics.wasserstein2_squared, metrics.log_determinant)
# Another program for the same numbers may round differently.
SAME = {"rtol": 1e-4, "atol": 1e-5}


def fresh(**settings):
    settings = {"n_ini": 6, "n_generations": 7, "n_replicates": 12, "record": RECORD} | settings
    return simulate(KEY, Gaussian(1), FreshData(5, 6), TARGET, **settings)


@pytest.fixture(scope="module")
def base():
    return fresh()


def assert_same(ours, theirs):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, **SAME)


def leaves(name, batch_size):
    """Of a few replicates of a generator, in the order of its parameters and metrics."""
    generator, make_target, metric = GENERATORS[name]
    trajectory = simulate(
        KEY,
        generator,
        FullySynthetic(12),
        make_target(0.0),
        n_ini=12,
        n_generations=3,
        n_replicates=80,
        record=(metric,),
        batch_size=batch_size,
    )
    return jax.tree.leaves((trajectory.params, trajectory.record))


def test_batches_and_devices_change_not_a_bit(tmp_path):
    """Side by side in whole vectors, and in turn; in processes optimized as users have them."""
    found = []
    for n_devices, batch_size in ((2, 80), (3, 1)):
        path = tmp_path / f"{n_devices}-{batch_size}.npz"
        program = (
            f"import test_simulate as t; assert t.jax.local_device_count() == {n_devices}; "
            f"names = ['gaussian', 'mixture', 'flow']; "
            f"leaves = [leaf for name in names for leaf in t.leaves(name, {batch_size})]; "
            f"t.np.savez({str(path)!r}, *leaves)"
        )
        environment = {"JAX_NUM_CPU_DEVICES": str(n_devices), "XLA_FLAGS": ""}
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=os.path.dirname(__file__),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
            check=True,
        )
        with np.load(path) as file:
            found.append([file[name] for name in file.files])
    assert all(map(np.array_equal, *found))


def test_every_thins(base):
    thin = fresh(every=3)
    assert np.array_equal(thin.generation, [1, 4, 7])
    rows = jax.tree.map(lambda leaf: leaf[:, ::3], (base.params, base.record))
    assert_same((thin.params, thin.record), rows)


def test_reduce_is_reducing_afterwards(base, monkeypatch):
    """Two generations at a time, where memory allows no more."""
    monkeypatch.setattr("madlib.batches.MEMORY_BUDGET", 2 * 12 * 12)
    quantile = functools.partial(np.quantile, q=[0.05, 0.5, 0.95])
    reduced = fresh(reduce=quantile, batch_size=12)
    assert reduced.params is None
    for name, value in base.record.items():
        assert reduced.record[name].shape == (3, 7)
        np.testing.assert_allclose(reduced.record[name], quantile(value, axis=-2), **SAME)


def test_a_full_grid_reduced():
    """Sizes and lam of a phase diagram, as lists, in one call; one point of it on its own."""

    def run(n_r, n_s, lam):
        return simulate(
            KEY,
            Gaussian(1),
            FreshData(n_r, n_s),
            TARGET,
            n_ini=n_r,
            lam=lam,
            n_generations=7,
            n_replicates=4,
            record=RECORD,
            reduce=np.mean,
            batch_size=4,
        )

    n_r, n_s, lam = [5, 8], [[6], [0], [9]], [[[0.7]], [[1.0]]]
    grid, point = run(n_r, n_s, lam), run(8, 9, 0.7)
    for name, value in grid.record.items():
        assert value.shape == (2, 3, 2, 7)
        assert np.array_equal(value[0, 2, 1], point.record[name])


def collapse(generator, regime, target, n_generations=101, *, every=None, n_ini=10, lam=1.0):
    """First and last row of a few replicates, everything finite but log determinants."""
    record = (metrics.total_variance, metrics.wasserstein2_squared, metrics.log_determinant)
    trajectory = simulate(
        KEY,
        generator,
        regime,
        target,
        n_ini=n_ini,
        n_generations=n_generations,
        n_replicates=8,
        lam=lam,
        record=record,
        every=every or n_generations - 1,
    )
    for name, value in trajectory.record.items():
        assert not np.isnan(value).any(), name
        if name != "log_determinant":
            assert np.isfinite(value).all(), name
    assert all(np.isfinite(leaf).all() for leaf in trajectory.params)
    return trajectory


@pytest.mark.parametrize("d", [1, 2])
def test_ten_thousand_generations_end_in_a_point_mass(d):
    target = targets.standard_normal(d)
    trajectory = collapse(Gaussian(d), FullySynthetic(10), target, 10_000)
    mean, chol = (np.asarray(leaf)[:, -1] for leaf in trajectory.params)
    last = {name: value[:, -1] for name, value in trajectory.record.items()}
    assert not chol.any() and not last["total_variance"].any()
    assert (last["log_determinant"] == -np.inf).all()
    np.testing.assert_allclose(last["wasserstein2_squared"], (mean**2).sum(-1) + d, rtol=1e-5)
    assert len(np.unique(mean)) == mean.size, "each path stops at a point of its own"


def test_fewer_samples_than_dimensions_lose_dimensions():
    """n_s draws span n_s - 1 dimensions, and a subspace never grows again."""
    trajectory = collapse(
        Gaussian(4), FullySynthetic(3), targets.standard_normal(4), n_generations=4, every=1
    )
    assert (np.linalg.matrix_rank(trajectory.params.chol[:, 0]) == 4).all()
    singular = np.linalg.svd(trajectory.params.chol[:, 1:], compute_uv=False)
    assert (singular[..., 2:] < 1e-5 * singular[..., :1]).all()
    assert (trajectory.record["log_determinant"][:, 1:] == -np.inf).all()
    # The row space of the first synthetic model holds all later means and covariances.
    mean, chol = (np.asarray(leaf, np.float64) for leaf in trajectory.params)
    basis = np.linalg.svd(chol[:, 1])[0][..., :2]
    for later in (chol[:, 2], chol[:, 3], (mean[:, 2] - mean[:, 1])[..., None]):
        inside = basis @ (basis.swapaxes(-1, -2) @ later)
        np.testing.assert_allclose(inside, later, atol=1e-5)


@pytest.mark.parametrize(
    ("generator", "regime"),
    [
        (EXACT, FullySynthetic(2)),
        (EXACT, SyntheticAugmentation(2)),
        (EXACT, FreshData(1, 1)),
        (EXACT, Accumulate(1)),
        (POINTS, FullySynthetic(2)),
        (POINTS, Accumulate(1)),
        (POINTS, AccumulateSubsample(1, 2)),
    ],
    ids=str,
)
def test_two_samples_in_the_plane(generator, regime):
    """Point mass, line and plane under the same program; the point and the line are never left."""
    for cov in (np.zeros((2, 2)), [[1.0, 1.0], [1.0, 1.0]], np.eye(2)):
        trajectory = collapse(generator, regime, targets.normal([1.0, 1.0], cov), n_ini=2)
        mean, chol = (np.asarray(leaf) for leaf in trajectory.params)
        if not np.any(cov):
            # Points are averaged, to single precision.
            rounding = 0.0 if generator.exact else 1e-6
            np.testing.assert_allclose(mean, 1.0, rtol=0, atol=rounding)
            np.testing.assert_allclose(chol, 0.0, rtol=0, atol=rounding)
        elif np.linalg.matrix_rank(cov) == 1:
            np.testing.assert_allclose(mean[..., 0], mean[..., 1], rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(chol[..., 0, 0], chol[..., 1, 0], rtol=1e-4, atol=1e-4)
            assert np.abs(chol[..., 1, 1]).max() < 1e-3
        if isinstance(regime, FullySynthetic):
            assert (trajectory.record["total_variance"][:, -1] < 1e-6).all()


def test_modes_only():
    """lam = 0 draws the mean again and again: a point mass where nothing real is added."""
    target = targets.standard_normal(2)
    alone = collapse(EXACT, FullySynthetic(2), target, lam=0.0)
    assert not alone.record["total_variance"][:, -1].any()
    assert np.array_equal(alone.params.mean[:, 0], alone.params.mean[:, -1])
    helped = collapse(EXACT, FreshData(5, 5), target, lam=0.0)
    assert (helped.record["total_variance"] > 0).all()


def test_a_metric_may_return_a_plain_number():
    def one(model, target):
        return 1.0

    assert (fresh(record=(one,)).record["one"] == 1).all()


def test_real_data_only_is_the_baseline():
    """n_s = 0 in the fresh-data loop: every generation is a fresh fit to n_r real samples."""
    trajectory = collapse(EXACT, FreshData(10, 0), targets.standard_normal(2))
    variance = trajectory.record["total_variance"]
    assert (variance > 0.1).all() and len(np.unique(variance)) == variance.size


def test_one_symbol_left():
    record = (metrics.support_size, metrics.entropy)
    settings = {"n_ini": 10, "n_replicates": 8, "record": record, "every": 1000}
    trajectory = simulate(
        KEY, Categorical(5), FullySynthetic(10), targets.zipf(5), n_generations=1001, **settings
    )
    assert (trajectory.record["support_size"][:, -1] == 1).all()
    assert not trajectory.record["entropy"][:, -1].any()
    assert np.array_equal(np.sort(trajectory.params.probs[:, -1])[:, -1], np.ones(8))


LINE = Gaussian(1)
ALONE = FullySynthetic(5)


def refused(generator=LINE, regime=ALONE, target=TARGET, **settings):
    settings = {"key": KEY, "n_ini": 5, "n_generations": 3, "n_replicates": 2} | settings
    return lambda: simulate(generator=generator, regime=regime, target=target, **settings)


class Melting(Gaussian):
    """A generator that JAX cannot tell from another."""

    __hash__ = None


class Flat(Gaussian):
    """Draws points without an axis of their dimension."""

    def sample(self, key, params, n, lam=1.0):
        return super().sample(key, params, n, lam)[:, 0]


class Unfitted(Generator):
    """Draws, and never learns."""

    dim = 1

    def __init__(self, dim):
        pass

    def draw(self, key, params, n, lam=1.0):
        return Samples.of(self.sample(key, params, n, lam))

    def sample(self, key, params, n, lam=1.0):
        return jax.random.normal(key, (n, 1))


@dataclasses.dataclass(frozen=True)
class Scikit(Gaussian):
    """Fits outside of JAX."""

    def fit(self, key, dataset):
        mean = np.asarray(dataset.mean)
        return NormalParams(jnp.asarray(mean), dataset.root)


@dataclasses.dataclass(frozen=True)
class Dice(Gaussian):
    """Takes its random numbers from NumPy, which would be drawn once and for all."""

    def sample(self, key, params, n, lam=1.0):
        return params.mean[None, :] + np.random.default_rng(0).standard_normal((n, 1)).astype("f")


def numpy_metric(model, target):
    return np.float32(np.median(model.params.mean))


def misspelled(model, target):
    return model.params.maen


class Forgetful(Regime):
    """Returns nothing where a memory is expected."""

    def init(self, real, n_generations):
        return real

    def smallest_size(self, n_ini, n_generations):
        return 5

    def training_set(self, key, turn, memory):
        return turn.synthetic(key, 5), ()


class Greedy(Forgetful):
    """A memory that grows."""

    def training_set(self, key, turn, memory):
        memory = memory + turn.synthetic(key, 5)
        return memory, memory


class Halves(Forgetful):
    """Half of a sample."""

    def training_set(self, key, turn, memory):
        return turn.synthetic(key, 5 / 2), memory


class Unread:
    """A regime that is no pytree."""

    def training_set(self, key, turn, memory):
        return turn.synthetic(key, 5), memory

    def smallest_size(self, n_ini, n_generations):
        return 5


class Shared(Regime):
    """A training set of n examples, of which some share is real: more than sizes."""

    n: Size
    share: Number

    def training_set(self, key, turn, memory):
        k_real, k_synthetic = jax.random.split(key)
        n_real = jnp.round(self.share * self.n)
        return turn.real(k_real, n_real) + turn.synthetic(k_synthetic, self.n - n_real), memory

    def smallest_size(self, n_ini, n_generations):
        return self.n


def test_a_regime_of_more_than_sizes():
    """With 5 of 11 real it is FreshData(5, 6)."""
    settings = {"n_ini": 6, "n_generations": 30, "every": 29, "n_replicates": 2000}
    name = "wasserstein2_squared"
    known = fresh(**settings).record[name][:, -1]
    settings |= {"record": RECORD[:1]}
    shared = simulate(KEY, Gaussian(1), Shared(11, [5 / 11, 1.0]), TARGET, **settings)
    same, all_real = shared.record[name][..., -1]
    assert stats.ks_2samp(same, known, method="asymp").pvalue > 1e-3
    assert stats.ks_2samp(all_real, known, method="asymp").pvalue < 1e-3


WORDS = targets.zipf(5)
BAD = [
    (refused(n_ini=np.nan), ["n_ini", "finite", "nan"]),
    (refused(n_ini=np.inf), ["n_ini", "finite", "inf"]),
    (refused(n_ini=-1), ["n_ini", "whole number from 0 to 1e+15", "-1"]),
    (refused(n_ini=10**18), ["n_ini", "to 1e+15", "1000000000000000000"]),
    (refused(n_ini=10**400), ["n_ini", "must be finite", "0000"]),
    (refused(regime=FullySynthetic(10**18)), ["n_s", "to 1e+15"]),
    (refused(n_ini=1), ["n_ini", "at least 2", "got 1", "Increase"]),
    (refused(regime=FullySynthetic(-3)), ["n_s", "whole number", "-3"]),
    (refused(regime=FullySynthetic(2.5)), ["n_s", "whole number", "2.5"]),
    (refused(regime=FullySynthetic("5")), ["n_s", "'5'"]),
    (refused(regime=FullySynthetic(True)), ["n_s", "True"]),
    (refused(regime=FullySynthetic(None)), ["n_s", "None"]),
    (refused(regime=FullySynthetic(0)), ["FullySynthetic", "at least 2", "got 0", "Increase"]),
    (refused(regime=FullySynthetic(1)), ["FullySynthetic", "at least 2", "got 1", "Increase"]),
    (refused(Gaussian(1, ddof=0), FullySynthetic(0)), ["at least 1", "got 0"]),
    (refused(regime=FullySynthetic(np.array([5, 1]))), ["at least 2", "got 1", "Increase"]),
    (refused(regime=FreshData(0, 0)), ["FreshData", "at least 2", "got 0"]),
    (refused(regime=FreshData(-1, 5)), ["n_r", "whole number", "-1"]),
    (refused(regime=FullySynthetic), ["regime must derive from madlib.Regime", "class"]),
    (refused(regime=TARGET, target=ALONE), ["regime must derive", "Target"]),
    (refused(regime=Unread()), ["regime must derive from madlib.Regime", "Unread"]),
    (refused(regime="FullySynthetic"), ["regime must derive", "'FullySynthetic'"]),
    (refused(generator="Gaussian"), ["generator must derive", "'Gaussian'"]),
    (refused(target="normal"), ["target must derive", "'normal'"]),
    (refused(target=LINE), ["target must derive", "Gaussian"]),
    (refused(generator=SimpleNamespace(fit=max, sample=max)), ["generator must derive"]),
    (refused(generator=Melting(1)), ["generator must be hashable", "Melting", "frozen=True"]),
    (refused(generator=Unfitted(1)), ["generator must derive", "without fit"]),
    (refused(generator=Flat(1, exact=False)), ["points must be [n, d]", "(5,)"]),
    (refused(lam=[]), ["must not be empty", "(0,)"]),
    (refused(n_ini=[]), ["must not be empty", "(0,)"]),
    (refused(record=None), ["record must hold metrics", "None"]),
    (refused(record=(np.linalg.norm, abs)), ["(model, target)", "abs"]),
    (refused(record=(metrics.Examples,)), ["record", "(model, target)", "class"]),
    (refused(record=RECORD, reduce=abs), ["(values, axis)", "abs", "2 metrics"]),
    (refused(record=RECORD, reduce=lambda x: x), ["(values, axis)", "lambda"]),
    (refused(record=RECORD, reduce=lambda x, axis: 3.0), ["last axis", "shape ()"]),
    (refused(record=RECORD[:1] * 2), ["a name of its own", "wasserstein2_squared", "prefix"]),
    (refused(n_replicates=10**13), ["must fit in memory", "GiB", "Pass reduce"]),
    (refused(n_replicates=10**13, record=RECORD, reduce=np.mean), ["must fit in memory"]),
    (lambda: Gaussian(2, exact="no"), ["exact must be True or False", "'no'"]),
    (refused(lam=1.1), ["lam", "[0, 1]", "1.1"]),
    (refused(lam=-0.1), ["lam", "[0, 1]", "-0.1"]),
    (refused(lam=np.nan), ["lam", "nan"]),
    (refused(lam="1"), ["lam", "'1'"]),
    (refused(lam=True), ["lam", "True"]),
    (refused(lam=[0.5, 2.0]), ["lam", "[0, 1]", "2."]),
    (refused(lam=np.linspace(0, 2, 200)), ["lam", "[0, 1]", "0.01", "..."]),
    (refused(n_ini=[[5], [5, 6]]), ["n_ini", "[[5], [5, 6]]"]),
    (refused(n_ini=["5"]), ["n_ini", "'5'"]),
    (refused(n_ini=5 + 0j), ["n_ini", "5+0j"]),
    (refused(n_ini=[5, 6], lam=[0.1, 0.2, 0.3]), ["broadcast", "(2,)", "(3,)"]),
    (refused(n_generations=0), ["n_generations", "from 1", "0"]),
    (refused(n_generations=3.5), ["n_generations", "whole", "3.5"]),
    (refused(n_replicates="2"), ["n_replicates", "whole", "'2'"]),
    (refused(first_replicate=-1), ["first_replicate", "whole number from 0", "-1"]),
    (refused(every=3, n_generations=5), ["every must divide", "3 and 5", "n_generations=7"]),
    (refused(generator=Gaussian(2)), ["share a space", "dim=2", "dim=1"]),
    (refused(target=WORDS), ["Gaussian", "n_symbols=0", "n_symbols=5"]),
    (refused(generator=Categorical(5)), ["Categorical", "n_symbols=5", "n_symbols=0"]),
    (refused(generator=Categorical(4), target=WORDS), ["n_symbols=4", "n_symbols=5"]),
    (
        refused(Gaussian(1, exact=False), FullySynthetic(np.array([5, 6]))),
        ["n_s", "single int where points are drawn", "once per value"],
    ),
    (
        refused(Gaussian(64), FullySynthetic(np.array([5, 6])), targets.digits()),
        ["n_s", "single int where points are drawn", "once per value"],
    ),
    (refused(Gaussian(1, exact=False), FullySynthetic([5, 6])), ["n_s", "single int"]),
    (
        refused(regime=AccumulateSubsample(np.array([5, 6]), 5)),
        ["n_s", "single int where points are drawn"],
    ),
    (refused(regime=FullySynthetic(np.full(100, -1))), ["n_s", "whole number", "..."]),
    (refused(regime=SyntheticAugmentation([5, 6, 7]), n_ini=[5, 6]), ["broadcast", "(2,)", "(3,)"]),
    (refused(regime=FreshData([5, 6, 7], [5, 6])), ["broadcast", "(3,)", "(2,)"]),
    (refused(key=jax.random.split(KEY, 3)), ["one JAX PRNG key", "(3,)"]),
    (refused(key=0), ["one JAX PRNG key", "int"]),
    (refused(key=jax.random.key(0, impl="rbg")), ["threefry", "key<rbg>", "jax.random.key(seed)"]),
    (
        refused(record=(metrics.Examples(3),), reduce=np.mean),
        ["reduce takes metrics of one number", "examples", "(3, 1)"],
    ),
    (
        refused(Gaussian(1, exact=False), n_ini=50, target=targets.normal(0.0, 1e38)),
        ["models must stay finite", "in generation 1 (2 of 2", "scale the data"],
    ),
    (
        refused(
            VAE(1, n_latent=1, hidden=4, training=Training(20, 4, 1e38)),
            target=targets.empirical(np.arange(9.0)[:, None]),
        ),
        ["models must stay finite", "in generation 1 (2 of 2", "learning rate"],
    ),
    # Parts of a reader's own that JAX cannot trace: the part, the method, the remedy.
    (refused(generator=Scikit(1, exact=False)), ["Scikit.fit must be written for JAX", "Tracer"]),
    (refused(generator=Dice(1, exact=False)), ["Dice.draw must take its random numbers from key"]),
    (refused(record=(numpy_metric,)), ["the metric numpy_metric must be written for JAX"]),
    (refused(record=(misspelled,)), ["the metric misspelled", "no attribute 'maen'"]),
    (refused(regime=Forgetful()), ["Forgetful.training_set must return a memory of the shape"]),
    (refused(Gaussian(1, exact=False), Greedy()), ["Greedy.training_set must return a memory"]),
    (
        refused(Gaussian(1, exact=False), Halves()),
        ["Halves.training_set: n must be a whole number", "2.5"],
    ),
]


@pytest.mark.parametrize("n", [np.int8(100), np.uint8(200), np.float64(150.0), 1e2])
@pytest.mark.parametrize("exact", [True, False])
def test_every_kind_of_whole_number_is_a_size(n, exact):
    settings = {"n_ini": n, "n_generations": 3, "n_replicates": 2, "record": RECORD}
    parts = KEY, Gaussian(1, exact=exact)
    ours = simulate(*parts, LongMemory(n, n, 2), TARGET, **settings)
    settings["n_ini"] = int(n)
    plain = simulate(*parts, LongMemory(int(n), int(n), 2), TARGET, **settings)
    assert all(map(np.array_equal, jax.tree.leaves(ours), jax.tree.leaves(plain)))


@pytest.mark.parametrize("name", ["categorical", "gaussian", "flow"])
def test_double_precision_elsewhere_changes_nothing(name):
    plain = leaves(name, 80)
    with jax.enable_x64(True):
        double = leaves(name, 80)
    assert all(map(np.array_equal, plain, double))


@pytest.mark.parametrize(("call", "words"), BAD)
def test_bad_input_is_refused_in_one_line(call, words):
    with pytest.raises(MadlibError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message and all(word in message for word in words), message
