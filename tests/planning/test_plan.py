"""The planner against simulated loops, golden numbers, and independent computations."""

import dataclasses
import itertools
import json
import math
import re

import jax
import numpy as np
import pytest
from helpers import refused
from scipy import optimize

import madlib
from madlib import metrics, planning, regimes, targets, theory
from madlib.__main__ import main
from madlib.planning import outlook

LOOP = {"n_r": 1000, "n_s": 3000, "lam": 0.85, "dim": 100}
REGIMES = {
    "fully_synthetic": lambda n_r, n_s: regimes.FullySynthetic(n_s),
    "synthetic_augmentation": lambda n_r, n_s: regimes.SyntheticAugmentation(n_s),
    "fresh_data": regimes.FreshData,
    "accumulate": lambda n_r, n_s: regimes.Accumulate(n_s),
    "long_memory": lambda n_r, n_s: regimes.LongMemory(n_r, n_s, 2),
}
CLOSED = "fully_synthetic", "accumulate", "accumulate_subsample"
OWN = {"long_memory": {"memory": 2}}


def simulated(regime, n_r, n_s, lam, dim, n_rounds, n_replicates):
    """W2 squared after the last round, [*grid, n_replicates]."""
    run = madlib.simulate(
        jax.random.key(0),
        madlib.Gaussian(dim),
        regime,
        targets.standard_normal(dim),
        n_ini=n_r,
        lam=lam,
        n_generations=n_rounds + 1,
        n_replicates=n_replicates,
        record=(metrics.wasserstein2_squared,),
        every=n_rounds,
    )
    return np.asarray(run["wasserstein2_squared"][..., -1], float)


def assert_within(rounds, n_r, sample, dim, what):
    """The mean lies between the distances of the bounds of n_e, to 5 standard errors."""
    se = sample.std(ddof=1) / np.sqrt(len(sample))
    last = rounds[-1]
    # n_e is 1 at any distance beyond that of two samples.
    at_most = last.high * n_r
    least = theory.real_data_wasserstein2_squared(at_most if at_most > 1 + 1e-9 else 2.0, dim)
    few = last.low * n_r <= 1 + 1e-9
    most = np.inf if few else theory.real_data_wasserstein2_squared(last.low * n_r, dim)
    rounding = 3e-6 * np.sqrt(dim) * np.sqrt(sample.mean() + 1e-12)  # of single precision
    fine = least - 5 * se - rounding <= sample.mean() <= most + 5 * se + rounding
    assert fine, f"{what}: {least} to {most}, simulated {sample.mean()} with SE {se}"


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("dim", [1, 20])
def test_bounds_hold_simulated_loops(regime, dim):
    n_r = np.array([10, 300, 10**9])[:, None, None]
    ratio, lam = np.array([0.2, 4])[:, None], np.array([0.5, 0.9, 1.0])
    n_s = (n_r * ratio).astype(int)
    sample = simulated(REGIMES[regime](n_r, n_s), n_r, n_s, lam, dim, 5, 300)
    for i, j, k in np.ndindex(3, 2, 3):
        size = {"n_r": int(n_r[i, 0, 0]), "n_s": int(n_s[i, j, 0])}
        case = outlook.Case(
            regime, *size.values(), size["n_r"], lam[k], np.array([float(dim)]), size["n_r"], 2
        )
        moments = (moment[[-1]] for moment in outlook.rounds(case, 5))
        value, low, high = (x[0] / size["n_r"] for x in outlook.n_e(case, *moments))
        last = planning.Round(5, value * size["n_r"], value, low, high, 1.0)
        assert_within([last], size["n_r"], sample[i, j, k], dim, (regime, size, lam[k]))


@pytest.mark.parametrize(
    ("regime", "dim", "n_replicates"),
    [("fresh_data", 1000, 2), ("synthetic_augmentation", 100, 12), ("accumulate", 100, 12)],
)
def test_bounds_hold_in_many_dimensions(regime, dim, n_replicates):
    n_r, n_s, lam = np.array([10, 1000, 10**6]), np.array([10, 2000, 100]), np.array([0.9, 1, 0.5])
    sample = simulated(REGIMES[regime](n_r, n_s), n_r, n_s, lam, dim, 1, n_replicates)
    for i, size in enumerate(n_r.tolist()):
        loop = {"n_r": size, "n_s": int(n_s[i]), "lam": lam[i], "dim": dim, "horizon": 1}
        plan = madlib.plan(regime=regime, **loop, **OWN.get(regime, {}))
        assert_within(plan.rounds, size, sample[i], dim, (regime, size))


@pytest.mark.parametrize("lam", [0.6, 1.0])
@pytest.mark.parametrize(("n_r", "n_s", "n"), [(20, 20, 15), (30, 90, 8)])
def test_bounds_hold_subsamples(n_r, n_s, n, lam):
    sample = simulated(regimes.AccumulateSubsample(n_s, n), n_r, n_s, lam, 3, 5, 2000)
    loop = {"n_r": n_r, "n_s": n_s, "n": n, "lam": lam, "dim": 3, "horizon": 5}
    plan = madlib.plan(regime="accumulate_subsample", **loop)
    assert_within(plan.rounds, n_r, sample, 3, (loop, lam))


def late(plan, n_rounds, regime, n_r, lam, dim, **own):
    v, s, f = theory.recursions.run(regime, float(n_r), n_rounds + 1, lam, 1.0)
    case = outlook.Case(plan.regime, n_r, plan.n_s, n_r, lam, np.array([float(dim)]), n_r, **own)
    return [outlook.n_e(case, v[[t]], s[[t]], f[[t]])[0][0] for t in (n_rounds // 2, n_rounds)]


@pytest.mark.parametrize("regime", ["synthetic_augmentation", "fresh_data", "long_memory"])
@pytest.mark.parametrize("lam", [0.8, 1.0])
def test_limit_is_that_of_many_rounds(regime, lam):
    own = OWN.get(regime, {})
    plan = madlib.plan(regime=regime, n_r=300, n_s=600, lam=lam, dim=5, **own)
    *_, last = late(plan, 400, REGIMES[regime](300.0, 600.0), 300, lam, 5, **own)
    assert plan.n_e == pytest.approx(last, rel=1e-9)


@pytest.mark.parametrize(("n_r", "n_s"), [(3000, 3000), (1000, 4000), (4000, 500)])
@pytest.mark.parametrize("regime", ["accumulate", "accumulate_subsample"])
def test_limit_where_everything_is_kept(regime, n_r, n_s):
    own = {"n": 1500} if regime == "accumulate_subsample" else {}
    rule = {
        "accumulate": regimes.Accumulate(float(n_s)),
        "accumulate_subsample": regimes.AccumulateSubsample(float(n_s), 1500.0),
    }[regime]
    plan = madlib.plan(regime=regime, n_r=n_r, n_s=n_s, dim=5, **own)
    half, last = late(plan, 800, rule, n_r, 1.0, 5, **own)
    # Corrections fall as 1/t, and the next order is 1/n.
    assert plan.n_e == pytest.approx(2 * last - half, rel=3 / min(n_r, n_s, 1500))


def test_golden_numbers():
    plan = madlib.plan(n_r=1000, n_s=4400, lam=0.97, dim=128)
    assert plan.admissible_n_s == pytest.approx(12_750, rel=1e-4)
    spectrum = np.exp(-np.arange(128) / 8)
    plan = madlib.plan(n_r=1000, n_s=4400, lam=0.97, spectrum=spectrum)
    assert plan.effective_dimension == pytest.approx(22.2, abs=0.05)
    assert plan.admissible_n_s == pytest.approx(4400, rel=0.005)
    assert plan.n_e_over_n_r == pytest.approx(1, abs=0.01)
    assert madlib.plan(n_r=10**6, n_s=10**6).n_e_over_n_r == pytest.approx(1.5, rel=1e-4)
    fixed = {"regime": "synthetic_augmentation", "dim": 2}
    plan = madlib.plan(n_r=10**6, n_s=3 * 10**6, **fixed)
    assert plan.n_e_over_n_r == pytest.approx(7 / 10, rel=1e-4)
    plan = madlib.plan(n_r=10**6, n_s=10, loss=0.1, **fixed)
    assert plan.tolerated_n_s == pytest.approx(1e6 / 7, rel=1e-4)  # (1 + 2 k)/(1 + 3 k) = .9
    plan = madlib.plan(n_r=10**6, n_s=10**6, dim=2)
    assert plan.best_share == pytest.approx(0.6180, abs=1e-4)
    assert plan.best_weight_gain == pytest.approx(1.6180 / 1.5, abs=1e-4)
    assert plan.source_price == pytest.approx(118_034, rel=1e-3)
    memory = madlib.plan(n_r=10**6, n_s=6 * 10**6, dim=2, regime="long_memory", memory=3)
    assert memory.n_e_over_n_r == pytest.approx(1 + 6 * 3 / 9, rel=1e-4)
    sharp = madlib.plan(n_r=100, n_s=100, temperature=0.8, n_answers=50)
    assert sharp.least_share_to_stay == pytest.approx(0.2)
    assert sharp.least_share_to_recover == pytest.approx(0.398, abs=5e-4)
    own = madlib.plan(n_r=100, n_s=1000, bias=0.1)
    assert own.n_e == pytest.approx(108.8, abs=0.3)
    assert own.n_e * own.best_weight_gain == pytest.approx(190.9, abs=0.05)
    assert own.cap == pytest.approx(2)
    assert madlib.plan(n_r=1000, n_s=1000, bias=0.1).n_e == pytest.approx(334, abs=1)
    crawl = {"synthetic_share": 0.9, "false_positive": 0.042, "false_negative": 0.006}
    plan = madlib.plan(n_r=10**6, n_s=0, **crawl)
    share = plan.n_hidden / (plan.n_hidden + plan.n_r * (1 - 0.042))
    assert share == pytest.approx(0.053, abs=5e-4)


def test_numbers_agree_with_theory():
    plan = madlib.plan(**LOOP | {"n_r": 10**5, "dim": 10, "n_s": 100})
    assert plan.admissible_n_s == pytest.approx(
        float(theory.admissible_n_s(10**5, dim=10, lam=0.85)), rel=1e-6
    )
    regime = regimes.FreshData(10**5, 100)
    assert plan.n_e == pytest.approx(float(theory.worth(regime, dim=10, lam=0.85)), rel=1e-3)
    v, s = theory.moments(regime, n_ini=10**5, n_generations=21, lam=0.85)
    assert [row.variance for row in plan.rounds] == s[[1, 5, 20]].tolist()


def test_the_best_number_and_weight_are_extremes():
    plan = madlib.plan(**LOOP)

    def n_e(n_s, w=1.0):
        regime = regimes.Weighted(regimes.FreshData(1000.0, n_s), w)
        return theory.worth(regime, dim=100, lam=0.85)

    assert n_e(plan.best_n_s) >= n_e(np.geomspace(10, 10_000, 2000)).max()
    assert n_e(3000.0, plan.best_weight) >= n_e(3000.0, np.geomspace(0.1, 100, 999)).max()
    assert n_e(plan.admissible_n_s) == pytest.approx(1000, rel=1e-6)
    for name, more in (("real_gain", (1, 0)), ("synthetic_gain", (0, 1))):
        there = madlib.plan(**LOOP | {"n_r": 1000 + more[0], "n_s": 3000 + more[1]})
        # The yardstick of n_e near dim depends on n_r, which the derivative holds fixed.
        assert getattr(plan, name) == pytest.approx(there.n_e - plan.n_e, abs=0.02)


def test_gain_of_a_label():
    """The best three weights of labelled real, labelled synthetic and other items, by search."""
    n_r, n_s, labelled = 4000.0, 6000.0, 0.01
    plan = madlib.plan(n_r=int(n_r), n_s=int(n_s), dim=1)

    def variance(log_w):
        w = np.exp([*log_w, 0, 0])
        sizes = np.array([labelled * n_r, labelled * n_s, *((1 - labelled) * np.array([n_r, n_s]))])
        total = sizes @ w
        a = (sizes * w)[[1, 3]].sum() / total
        return sizes @ w**2 / total**2 / (1 - a**2)

    found = optimize.minimize(variance, [0.0, 0.0], tol=1e-14, method="Nelder-Mead").fun
    gain = (1 / found - 1 / variance([0, 0])) / (labelled * (n_r + n_s))
    assert plan.label_gain == pytest.approx(gain, rel=0.02)  # to first order in the share labelled


@pytest.mark.parametrize("regime", ["fully_synthetic", "fresh_data", "long_memory", "accumulate"])
def test_chance_of_the_rarest_category(regime):
    n_r, n_s, n_rounds, n_loops, p = 150, 300, 6, 20_000, 0.01
    rng = np.random.default_rng(0)
    frequency = [rng.binomial(n_r, p, n_loops) / n_r]
    pool = frequency[0] * n_r
    for _ in range(n_rounds):
        if regime == "long_memory":
            models = frequency[-2:]
            count = sum(rng.binomial(n_s // 2, model) for model in models)
            size = n_r + n_s // 2 * len(models)
        else:
            count, size = rng.binomial(n_s, frequency[-1]), n_s
        if regime == "accumulate":
            pool = pool + count
            frequency.append(pool / (n_r + n_s * len(frequency)))
            continue
        if regime != "fully_synthetic":
            size = n_r + n_s if regime == "fresh_data" else size
            count = count + rng.binomial(n_r, p, n_loops)
        frequency.append(count / size)
    lives = np.mean(frequency[-1] > 0)
    se = np.sqrt(lives * (1 - lives) / n_loops)
    loop = {"n_r": n_r, "n_s": n_s, "rarest": p, "horizon": n_rounds}
    plan = madlib.plan(regime=regime, **loop, **OWN.get(regime, {}))
    low, high = plan.intervals.get("rarest_survival", (plan.rarest_survival,) * 2)
    assert low - 5 * se <= lives <= high + 5 * se


def test_half_lives():
    plan = madlib.plan(regime="fully_synthetic", n_r=50, n_s=50)
    generation = 1 + np.array([0, plan.half_life])
    typical = theory.typical_variance(generation, n_ini=50, n_s=50)
    assert typical[1] / typical[0] == pytest.approx(0.5)
    kept = madlib.plan(regime="accumulate", n_r=10**6, n_s=10**6, lam=0.8)
    s = theory.moments(regimes.Accumulate(1e6), n_ini=1e6, n_generations=100, lam=0.8).s
    assert np.flatnonzero(s < 0.5)[0] == math.ceil(kept.half_life)
    assert madlib.plan(n_r=100, n_s=1000).half_life == math.inf
    slow = {"n_r": 1000, "n_s": 10**6, "lam": 0.998}
    s = theory.moments(regimes.FreshData(1e3, 1e6), n_ini=1e3, n_generations=2000, lam=0.998).s
    found = madlib.plan(**slow).half_life
    assert np.flatnonzero(s < 0.5)[0] == pytest.approx(found, abs=2)


@pytest.mark.parametrize(
    ("regime", "n_r", "n_s"),
    [("fresh_data", 100, 900), ("fresh_data", 100, 40_000), ("accumulate", 1000, 1000)],
)
def test_rounds_to_settle(regime, n_r, n_s):
    plan = madlib.plan(regime=regime, n_r=n_r, n_s=n_s, dim=3)
    rule = REGIMES[regime](float(n_r), float(n_s))
    distance = theory.wasserstein2_squared(rule, dim=3, n_ini=n_r, n_generations=4001)
    last = distance[-1] if regime == "fresh_data" else 2 * distance[-1] - distance[2000]
    needed = np.flatnonzero(np.abs(distance / last - 1) > 0.01)[-1] + 1
    assert plan.rounds_to_settle == pytest.approx(needed, rel=0.03, abs=1)


def test_dimension_of_features_and_curves(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "real.npy"
    spectrum = np.exp(-np.arange(40) / 8)
    np.save(path, 1e6 + rng.standard_normal((4000, 40)) * np.sqrt(spectrum))
    loop = {"n_r": 1000, "n_s": 100, "lam": 0.9}
    plan = madlib.plan(features=path, **loop)
    low, high = plan.intervals["effective_dimension"]
    assert low <= metrics.effective_dimension(cov=spectrum) <= high
    n = np.geomspace(100, 10_000, 9)
    curve = tmp_path / "curve.csv"
    np.savetxt(curve, np.stack([n, 2 + 20 * 23 / 4 / n], axis=1), delimiter=",")
    plan = madlib.plan(curve=curve, **loop)
    assert plan.effective_dimension == pytest.approx(20, rel=1e-6)
    eigenvalues = tmp_path / "spectrum.csv"
    np.savetxt(eigenvalues, spectrum)
    assert madlib.plan(spectrum=eigenvalues, **loop).effective_dimension == pytest.approx(
        metrics.effective_dimension(cov=spectrum)
    )


def test_interval_of_a_learning_curve_covers():
    rng, n, hits = np.random.default_rng(1), np.geomspace(100, 5000, 8), 0
    for _ in range(300):
        loss = 3 + 20 * 23 / 4 / n + 0.005 * rng.standard_normal(8)
        _, low, high = planning.learning_curve_dimension(n, loss, at=3000)
        hits += low <= 20 <= high
    assert abs(hits / 300 - 0.9) < 5 * np.sqrt(0.9 * 0.1 / 300)


def test_verdicts_turn_with_what_they_assume():
    assert madlib.plan(**LOOP).verdict.startswith("No: 1,000 real and 3,000 synthetic items")
    assert madlib.plan(**LOOP | {"n_s": 700}).verdict.startswith("Yes: ")
    assert madlib.plan(**LOOP | {"n_s": 1940}).verdict.startswith("Undecided: ")
    plan = madlib.plan(n_r=1000, n_s=1000, dim=20)
    other = madlib.plan(n_r=1000, n_s=1000, dim=20, regime="synthetic_augmentation")
    assert plan.assumption.endswith(
        f"were they always the same n_e/n_r would be {other.n_e_over_n_r:.3g}."
    )
    assert "lose all variety" in madlib.plan(regime="FullySynthetic", n_r=99, n_s=99).verdict
    own = madlib.plan(n_r=100, n_s=1000, bias=0.1)
    assert "stays below" in own.assumption
    turn = float(own.assumption.split()[6])
    assert madlib.plan(n_r=100, n_s=1000, bias=turn).n_e_over_n_r == pytest.approx(1, abs=0.01)


def test_the_question_of_documents(capsys):
    command = "plan --n-r 50000 --n-s 200000 --temperature 0.8"
    assert main(command.split()) == 0
    table = capsys.readouterr().out
    assert table.startswith("No: 50,000 real and 200,000 synthetic items are worth ")
    assert max(map(len, table.splitlines()[3:])) <= 110
    for line in table.splitlines()[3:6]:
        assert "estimate" in line


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"regime": "synthetic_augmentation"},
        {"lam": 1, "rarest": 0.001},
        {"regime": "fully_synthetic"},
        {"dim": None},
        {"dim": None, "lam": None, "bias": 0.2},
    ],
)
def test_json_is_the_result_of_python(capsys, question):
    given = {name: value for name, value in (LOOP | question).items() if value is not None}
    plan = madlib.plan(**given)
    pairs = [(f"--{name.replace('_', '-')}", f"{value}") for name, value in given.items()]
    assert main(["plan", *sum(pairs, ()), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == plan.to_dict()
    for name in ("n_e_over_n_r", "admissible_n_s", "best_n_s", "verdict", "assumption"):
        value = getattr(plan, name)
        assert found[name] == ("Infinity" if value == math.inf else value)
    assert found["rounds"][0]["n_e"] == plan.rounds[0].n_e
    assert set(plan.intervals) <= set(found)


@pytest.mark.parametrize("regime", [*REGIMES, "accumulate_subsample", "external", "detected"])
def test_every_answer_has_its_assumption_and_every_gap_its_reason(regime):
    mine = {
        "external": {"bias": 0.1},
        "detected": {"synthetic_share": 0.1, "false_positive": 0.6, "dim": 10},
    }.get(regime, {"regime": regime, "rarest": 0.01})
    for n_s, lam, loss in itertools.product([0, 500], [1, 0.97, 0], [0, 0.5]):
        if (lam < 1 and "bias" in mine) or (not n_s and regime in CLOSED):
            continue
        plan = madlib.plan(n_r=1000, n_s=n_s, lam=lam, loss=loss, **mine)
        found = plan.to_dict() | plan.rounds[0]._asdict()
        gaps = {name for name, value in found.items() if value is None}
        assert set(plan.omitted) == gaps and all(plan.omitted.values())
        assert all(why in str(plan) for why in plan.omitted.values())
        words = " would | stays |rewards a loss|loses more"
        assert re.search(words, plan.assumption), plan.assumption
        if instead := re.search(r"n_e/n_r (?:would be )?([\d.,]+)\.$", plan.assumption):
            there = float(instead[1].replace(",", ""))
            assert (there >= 1 - loss) != (plan.n_e_over_n_r >= 1 - loss), plan.assumption


@dataclasses.dataclass(frozen=True)
class Off(madlib.Gaussian):
    """A fit whose mean is off in one coordinate, in every round anew."""

    off: float = 0.0

    def fit(self, key, data):
        params = super().fit(key, data)
        return params._replace(mean=params.mean.at[0].add(self.off))


def test_the_bias_that_would_turn_a_verdict_does():
    plan = madlib.plan(n_r=1000, n_s=500, loss=0.5, dim=10)
    off = float(re.search(r"off by ([\d.]+) standard", plan.assumption)[1])
    run = madlib.simulate(
        jax.random.key(0),
        Off(10, off=off),
        regimes.FreshData(1000, 500),
        targets.standard_normal(10),
        n_ini=1000,
        n_generations=16,
        n_replicates=1000,
        every=15,
        record=(metrics.wasserstein2_squared,),
    )["wasserstein2_squared"][:, -1]
    found = theory.effective_sample_size(float(run.mean()), 10)
    assert found == pytest.approx(500, rel=0.02)  # off has three digits


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"n_r": 1}, ["n_r must be a whole number from 2"]),
        ({"n_s": -1}, ["n_s must be a whole number from 0"]),
        ({"n_s": 2.5}, ["n_s must be"]),
        ({"regime": "fresh_date"}, ["regime must be one of", "Did you mean 'fresh_data'"]),
        ({"regime": None}, ["regime must be one of"]),
        ({"lam": 1.1}, ["lam must be a number from 0 to 1"]),
        ({"temperature": 0.8}, ["at most one of lam, temperature and guidance"]),
        ({"lam": None, "guidance": -1}, ["guidance must be a number >= 0"]),
        ({"lam": None, "temperature": "hot"}, ["temperature must be"]),
        ({"dim": 0.5}, ["dim must be a number from 1"]),
        ({"spectrum": [1, 1]}, ["at most one of dim, features, spectrum and curve"]),
        ({"dim": None, "spectrum": [0, 0]}, ["spectrum must hold an eigenvalue above 0"]),
        ({"dim": None, "spectrum": [1, -1]}, ["positive semi-definite"]),
        ({"dim": None, "features": np.ones((50, 3))}, ["features must be points [n, d]"]),
        ({"dim": None, "features": np.eye(5)[:4]}, ["features must be points [n, d]"]),
        ({"dim": None, "features": "nowhere.npy"}, ["nowhere.npy", "Check the path"]),
        ({"dim": None, "features": [["a", "b"]]}, ["features must be finite and real"]),
        ({"dim": None, "curve": [1, 2, 3, 4]}, ["curve must be [m, 2]"]),
        ({"dim": None, "curve": [[1, 1], [2, 1]]}, ["of 4 different n"]),
        (
            {"dim": None, "curve": [[1, 1], [2, 2], [3, 3], [4, 4]]},
            ["held-out loss must fall as n grows"],
        ),
        ({"memory": 2}, ["memory is for regime long_memory"]),
        ({"regime": "long_memory", "memory": 7}, ["memory must divide n_s = 3000"]),
        (
            {"regime": "long_memory", "memory": 1000},
            ["memory must be a whole number from 1 to 100"],
        ),
        ({"n": 10}, ["n is for regime accumulate_subsample"]),
        ({"regime": "accumulate_subsample", "n": 5000}, ["n must be at most n_r + n_s = 4000"]),
        ({"regime": "accumulate", "n_ini": 10}, ["n_ini is for new real items"]),
        ({"regime": "fully_synthetic", "n_s": 1}, ["n_s >= 2 is required"]),
        ({"bias": 0.1}, ["bias is of another generator at lam = 1"]),
        ({"bias": 0.1, "lam": 1}, ["dim is for a generator without bias"]),
        ({"bias": 0, "lam": 1, "dim": None}, ["bias must be a number > 0"]),
        ({"regime": "accumulate", "synthetic_share": 0.1}, ["synthetic_share is for"]),
        ({"false_positive": 0.1}, ["false_positive is for a synthetic_share above 0"]),
        ({"synthetic_share": 1}, ["synthetic_share must be a number from 0 to 0.999"]),
        ({"n_r": 3, "synthetic_share": 0.9}, ["at least 2 real items must pass"]),
        ({"rarest": 0}, ["rarest must be a number between 0 and 1"]),
        ({"n_answers": 1}, ["n_answers must be a whole number from 2"]),
        ({"horizon": 0}, ["horizon must be a whole number from 1 to 1000"]),
        ({"loss": 1}, ["loss must be a number from 0 to 0.99"]),
    ],
)
def test_refusals_are_one_line(question, words):
    with refused(*words):
        madlib.plan(**LOOP | question)


def test_refusals_of_the_command_are_one_line(capsys):
    for command, words in (
        ("--n-r 1000", "Missing option '--n-s'"),
        ("--n-r 1000 --n-s 3000 --lam 2", "lam must be a number from 0 to 1"),
        ("--n-r x --n-s 3000", "whole number"),
        ("--n-r 10 --n-s 10 --features nowhere.csv", "nowhere.csv"),
    ):
        assert main(["plan", *command.split()]) == 2
        said = capsys.readouterr()
        assert words in said.err and said.err.count("\n") == 1 and not said.out
