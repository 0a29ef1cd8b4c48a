"""Temperature with real data: borders and fixed points against the map itself, iterated."""

import numpy as np
import pytest

from madlib import theory
from madlib.errors import ParameterError

GOLDEN = {
    0.5: [0.500, 0.556, 0.625, 0.781, 0.941],
    0.8: [0.200, 0.231, 0.274, 0.398, 0.625],
    0.9: [0.100, 0.117, 0.140, 0.214, 0.373],
}


def iterate(probs: np.ndarray, real_share: float, temperature: float, n: int) -> np.ndarray:
    for _ in range(n):
        powered = probs ** (1 / temperature)
        probs = real_share / len(probs) + (1 - real_share) * powered / powered.sum()
    return probs


@pytest.mark.parametrize("temperature", GOLDEN)
def test_golden_numbers_of_the_cure(temperature):
    cure = [theory.temperature_cure(temperature, n_answers=m) for m in (2, 5, 10, 50, 1000)]
    assert np.round(cure, 3).tolist() == GOLDEN[temperature]


@pytest.mark.parametrize(("temperature", "n_answers"), [(0.5, 2), (0.8, 5), (0.9, 50)])
def test_one_answer_stays_below_the_cure_and_goes_above(temperature, n_answers):
    cure = float(theory.temperature_cure(temperature, n_answers=n_answers))
    alone = np.eye(n_answers)[0]
    below, above = (iterate(alone, cure * f, temperature, 4000).max() for f in (0.98, 1.02))
    assert below > 1.1 / n_answers
    assert above == pytest.approx(1 / n_answers, rel=1e-6)


def test_equality_is_stable_above_one_less_the_temperature():
    near = np.full(10, 0.1) + 1e-6 * np.eye(10)[0] - 1e-7
    border = theory.temperature_stability(0.8)
    below, above = (np.ptp(iterate(near, border * f, 0.8, 100)) for f in (0.9, 1.1))
    assert above < np.ptp(near) < below


@pytest.mark.parametrize("n_answers", [2, 10])
def test_balance_is_where_the_map_rests(n_answers):
    rest = iterate(np.eye(n_answers)[0], 0.15, 0.8, 10_000).max()
    balance = theory.temperature_balance(rest, 0.8, n_answers=n_answers)
    assert balance == pytest.approx(0.15, rel=1e-9)
    alike = theory.temperature_balance(1 / n_answers, 0.8, n_answers=n_answers)
    assert alike == pytest.approx(0.2)


def test_balance_refuses_a_leader_behind_the_others():
    with pytest.raises(ParameterError, match="leader must be at least 1/n_answers"):
        theory.temperature_balance(0.1, 0.5, n_answers=2)
