"""Every closed form on arguments good and absurd: finite numbers of one shape, or one line."""

import re
import time
import warnings

import numpy as np
import pytest
import scipy
from helpers import ABSURD
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from madlib import regimes, theory
from madlib.errors import ParameterError
from madlib.sizes import map_numbers

absurd = st.sampled_from(ABSURD)
sizes = st.one_of(
    st.integers(2, 300),
    st.floats(1, 1e6),
    st.integers(2, 10**12),
    st.lists(st.integers(2, 50), min_size=1, max_size=3),
    absurd,
)
shares = st.one_of(
    st.floats(0, 1), st.sampled_from([0, 1]), st.lists(st.floats(0, 1), min_size=2, max_size=2)
)
shares = st.one_of(shares, absurd)
lengths = st.one_of(st.integers(1, 12), absurd)
counts = st.one_of(st.integers(1, 60), absurd)
positives = st.one_of(st.floats(1e-12, 1e3), sizes)
weights = st.one_of(st.floats(0, 10), shares)
levels = st.one_of(st.floats(1e-9, 1 - 1e-9), shares)
probs = st.one_of(
    st.lists(st.floats(0.01, 1), min_size=1, max_size=5).map(lambda p: list(np.array(p) / sum(p))),
    shares,
)
covs = st.one_of(
    st.sampled_from([np.eye(3), 1e200 * np.eye(2), np.ones((2, 2, 2)), np.ones((2, 3))]), absurd
)
plain = st.one_of(
    st.builds(regimes.FullySynthetic, sizes),
    st.builds(regimes.FreshData, sizes, sizes),
    st.builds(regimes.SyntheticAugmentation, sizes),
    st.builds(regimes.Accumulate, sizes),
    st.builds(regimes.AccumulateFresh, sizes, sizes),
    st.builds(regimes.AccumulateSubsample, sizes, sizes),
    st.builds(regimes.LongMemory, sizes, sizes, st.sampled_from([1, 2, 3, 0, -1, 10**9])),
)
powers = st.builds(regimes.Power, st.one_of(st.floats(-1, 2), absurd))
wrapped = st.one_of(
    st.builds(regimes.Weighted, plain, weights),
    st.builds(regimes.Growing, plain, powers),
    st.builds(regimes.Weighted, st.builds(regimes.Growing, plain, powers), weights),
)
rules = st.one_of(plain, plain, wrapped, st.sampled_from([None, 3, regimes.FreshData, object()]))
loop = {"n_ini": sizes, "n_generations": lengths}
gaussian = {"lam": shares, "ddof": shares}
chain = {"probs": probs, "n_ini": counts, "n_s": counts, "n_generations": lengths}
noisy = {"n": sizes, "n_features": counts, "noise": positives}
flags = st.booleans()
ARGUMENTS = {
    "accumulated_regression_risk": {"n_generations": lengths, **noisy},
    "accumulated_selection": {"share": shares, "n_generations": lengths},
    "best_real_share": {"ratio": positives},
    "biased_effective_sample_size": {
        **{"n_r": sizes, "n_s": sizes, "bias": positives, "weighted": flags}
    },
    "detector_moments": {
        **{"mean": st.one_of(st.floats(-3, 3), absurd), "variance": positives},
        **{"share": shares, "power": positives, "threshold": flags},
    },
    "expected_divergence": {"n_s": sizes, "dim": counts, **loop},
    "group_heterozygosity": {
        **{"share": shares, "n_ini": counts, "n_s": counts, "n_generations": lengths},
        **{"reparation": flags},
    },
    "kernel_squared_error": {"bandwidth": positives, "n_s": sizes, "dim": counts, **loop},
    "surviving_sample_size": {"regime": rules, **loop},
    "three_errors": {
        **{"theta": st.one_of(st.just([1.0, 0.5]), absurd), "n_s": sizes, "n_r": sizes, **loop},
        **{"degree": st.one_of(counts, st.none()), "learned": shares, "noise": positives},
    },
    "detected_share": {"share": shares, "false_positive": shares, "false_negative": shares},
    "dwindling_share_coefficient": {"c": positives, "growth": positives},
    "location_variance": {"regime": rules, "lam": shares, **loop},
    "negative_guidance_variance": {"base": positives, "own": positives, "weight": positives},
    "negative_guidance_weight": {"deviation": positives, "factor": shares},
    "plural_preference": {"weight": shares, "reward": positives},
    "provenance_variance": {
        **{"share": shares, "n": sizes, "generation": st.one_of(st.integers(1, 500), absurd)},
        "known": st.sampled_from(["nothing", "share", "labels"]),
    },
    "regression_risk": noisy,
    "replaced_regression_risk": {"n_generations": lengths, **noisy},
    "selection_factor": {"share": shares, "likeliest": flags},
    "shifted_regression_risk": {"share": shares, "shift": positives, **noisy},
    "temperature_balance": {"leader": shares, "temperature": shares, "n_answers": counts},
    "temperature_cure": {"temperature": shares, "n_answers": counts},
    "temperature_stability": {"temperature": shares},
    "verifier_contraction": {"half_width": positives},
    "verifier_limit": {"half_width": positives, "real_share": shares},
    "admissible_n_s": {"n_r": sizes, "dim": sizes, "lam": shares},
    "admissible_n_s_limit": {"lam": shares, "dim": sizes},
    "effective_directions": {"cov": covs, "n_s": sizes, "n_generations": lengths},
    "effective_sample_size": {"distance": positives, "dim": sizes},
    "exact_wasserstein2_squared": {"regime": rules, **loop, **gaussian},
    "expected_missing_mass": {"probs": probs, "n_r": sizes, "n_s": sizes},
    "expected_support_size": chain,
    "extinction_probability": chain,
    "heterozygosity": {"regime": rules, "probs": probs, **loop},
    "kernel_variance": {"regime": rules, "bandwidth": positives, "lam": shares, **loop},
    "limit": {"regime": rules, "n_ini": sizes, **gaussian},
    "log_variance_moments": {
        **{"generation": sizes, "n_ini": sizes, "n_s": sizes, "dim": counts},
        **gaussian,
    },
    "log_variance_quantiles": {
        **{"q": levels, "generation": sizes, "n_ini": sizes, "n_s": sizes, "dim": counts},
        **gaussian,
    },
    "moments": {"regime": rules, **loop, **gaussian},
    "plateau": {"real_fraction": shares, "lam": shares},
    "poisson_survival_probability": {"regime": rules, "probs": probs, **loop},
    "real_data_wasserstein2_squared": {"n": positives, "dim": sizes, "ddof": shares},
    "spectral_wasserstein2_squared": {
        **{"regime": rules, "dim": counts, "n_ini": sizes, "lam": shares},
        "n_generations": st.one_of(st.integers(1, 3), st.sampled_from([0, -1, 2**32, None, "5"])),
    },
    "typical_variance": {"generation": sizes, "n_ini": sizes, "n_s": sizes, **gaussian},
    "unbiased_worth": {"regime": rules, "n_ini": sizes},
    "variance_squared_cv": {"generation": sizes, "n_ini": sizes, "n_s": sizes},
    "wasserstein2_squared": {"regime": rules, "dim": sizes, **loop, **gaussian},
    "wasserstein2_squared_limit": {"regime": rules, "dim": sizes, "n_ini": sizes, "lam": shares},
    "worth": {"regime": rules, "dim": sizes, "n_ini": sizes, "lam": shares},
}
# Of a moment of the logarithm, and of the border without bias.
INFINITE = {
    "admissible_n_s",
    "admissible_n_s_limit",
    "log_variance_moments",
    "log_variance_quantiles",
}


OWN_AXES = {"dim", "q", "probs", "cov", "n_generations", "theta"}


def shape_of(name, given):
    """The documented shape of a result."""
    shapes = {key: np.shape(value) for key, value in given.items() if key != "regime"}
    numbers = []
    map_numbers(lambda *field: numbers.append(np.shape(field[-1])), given.get("regime"))
    wide = name.startswith("poisson") or name in ("admissible_n_s", "admissible_n_s_limit")
    wide = wide or name.endswith(("wasserstein2_squared", "_limit", "worth", "sample_size"))
    own = (OWN_AXES - {"dim", "probs"} if wide else OWN_AXES) | {"n_generations"}
    grid = [shape for key, shape in shapes.items() if key not in own]
    before = shapes["q"] if name == "log_variance_quantiles" else ()
    if name == "extinction_probability":
        before = shapes["probs"]
    after = (int(given["n_generations"]),) if "n_generations" in given else ()
    return *before, *np.broadcast_shapes(*grid, *numbers), *after


@pytest.fixture(scope="module", autouse=True)
def loaded():
    """The larger parts of SciPy, whose first use is not timed."""
    return scipy.integrate, scipy.interpolate, scipy.optimize, scipy.stats


def test_every_function_is_tried():
    functions = {name for name in theory.__all__ if not isinstance(getattr(theory, name), type)}
    assert functions - {"recursion", "steady"} == set(ARGUMENTS)


@pytest.mark.parametrize("name", ARGUMENTS)
@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # a slow function is not called a thousand times more to shrink
)
@given(data=st.data())
def test_finite_numbers_or_one_line(name, data):
    given = data.draw(st.fixed_dictionaries(ARGUMENTS[name]))
    function, start = getattr(theory, name), time.process_time()
    try:
        with warnings.catch_warnings(action="error"):
            result = function(**given)
    except ParameterError as error:
        assert re.fullmatch(r"[^\n]*; got [^\n]*", str(error))
    else:
        for values in result if isinstance(result, tuple) else (result,):
            assert not np.isnan(values).any()
            assert name in INFINITE or np.isfinite(values).all()
            assert np.shape(values) == shape_of(name, given)
    assert time.process_time() - start < 1
