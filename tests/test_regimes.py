"""What is in the training set of each generation: every row carries the number of its model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from madlib import (
    Accumulate,
    AccumulateSubsample,
    FreshData,
    FullySynthetic,
    ParameterError,
    SyntheticAugmentation,
)
from madlib.datasets import Samples
from madlib.regimes import make_regime

N_INI, N_GENERATIONS = 4, 6
INITIAL, FRESH = -1.0, 0.0  # Labels of real rows; rows of model t are labelled t.


def labelled(label, n):
    return Samples.of(jnp.full((n, 1), label))


def compositions(regime):
    """{label: number of rows} of the training sets of generations 2, 3, ..."""
    memory = regime.init(labelled(INITIAL, N_INI), N_GENERATIONS)
    for t in range(2, N_GENERATIONS + 1):
        data, memory = regime.training_set(
            jax.random.key(t),
            memory,
            lambda key, n: labelled(FRESH, n),
            lambda key, n, model=t - 1: labelled(float(model), n),
        )
        rows = np.asarray(data.points)[np.asarray(data.weight) > 0, 0]
        yield t, dict(zip(*np.unique(rows, return_counts=True), strict=True))


def expected(regime, t):
    """The definition of each regime, as {label: rows}."""
    match regime:
        case FullySynthetic(n_s):
            return {t - 1: n_s}
        case SyntheticAugmentation(n_s):
            return {INITIAL: N_INI, t - 1: n_s}
        case FreshData(n_r, n_s, memory):
            models = range(max(1, t - memory), t)
            return {FRESH: n_r} | dict.fromkeys(models, n_s // memory)
        case Accumulate(n_s):
            return {INITIAL: N_INI} | dict.fromkeys(range(1, t), n_s)


@pytest.mark.parametrize(
    "regime",
    [
        FullySynthetic(3),
        SyntheticAugmentation(3),
        SyntheticAugmentation(0),
        FreshData(5, 3),
        FreshData(5, 0),
        FreshData(0, 3),
        FreshData(5, 6, memory=2),
        FreshData(5, 6, memory=3),
        Accumulate(3),
    ],
    ids=repr,
)
def test_composition_of_the_training_set(regime):
    for t, rows in compositions(regime):
        wanted = {label: n for label, n in expected(regime, t).items() if n}
        assert rows == wanted, f"generation {t}: {rows}, expected {wanted}"


def test_a_subsample_draws_from_everything_so_far():
    for t, rows in compositions(AccumulateSubsample(n_s=3, n=7)):
        assert sum(rows.values()) == 7
        assert rows.get(INITIAL, 0) <= N_INI
        assert all(1 <= label < t and n <= 3 for label, n in rows.items() if label != INITIAL)


def test_a_subsample_is_uniform_without_replacement():
    """All pairs of a pool of 4 + 3 rows are chosen equally often, no row twice."""
    regime, n_pool, n_draws = AccumulateSubsample(n_s=3, n=4), 7, 20_000
    row = jnp.arange(n_pool, dtype=jnp.float32)[:, None]
    memory = regime.init(Samples.of(row[:N_INI]), N_GENERATIONS)

    @jax.jit
    @jax.vmap
    def subsample(key):
        new = Samples.of(row[N_INI:])
        return regime.training_set(key, memory, None, lambda key, n: new)[0]

    data = subsample(jax.random.split(jax.random.key(0), n_draws))
    assert (np.asarray(data.weight) == 1).all()
    chosen = np.asarray(data.points)[..., 0].astype(int)
    present = np.zeros((n_draws, n_pool))
    np.add.at(present, (np.arange(n_draws)[:, None], chosen), 1)
    assert present.max() == 1
    one, two = 4 / 7, 4 * 3 / (7 * 6)
    share = present.T @ present / n_draws
    exact = np.where(np.eye(n_pool), one, two)
    z = (share - exact) / np.sqrt(exact * (1 - exact) / n_draws)
    assert np.abs(z).max() < 5, z


@pytest.mark.parametrize(
    ("name", "sizes", "words"),
    [
        ("FreshDta", {"n_r": 1, "n_s": 1}, ["FreshDta", "FreshData"]),
        ("FreshData", {"n_r": 1, "ns": 1}, ["n_s", "ns"]),
        ("Accumulate", {}, ["n_s", "nothing"]),
        ("FullySynthetic", {"n_s": 1, "n_r": 1}, ["FullySynthetic", "n_r"]),
    ],
)
def test_unknown_names_are_refused(name, sizes, words):
    with pytest.raises(ParameterError) as refused:
        make_regime(name, **sizes)
    message = str(refused.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_make_regime():
    assert make_regime("FreshData", n_r=2, n_s=3) == FreshData(2, 3)
    assert make_regime("FreshData", n_r=2, n_s=3, memory=3) == FreshData(2, 3, memory=3)
