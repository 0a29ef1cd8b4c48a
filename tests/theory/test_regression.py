"""Regressions in the loop, against examples really drawn."""

import numpy as np
import pytest
from plain_loops import assert_agrees

from madlib import theory
from madlib.errors import ParameterError


@pytest.mark.parametrize(("n", "share"), [(12, 0.25), (40, 0.5), (40, 1.0)])
def test_shifted_labels_really_drawn(n, share):
    rng, d, shift, noise, n_replicates = np.random.default_rng(0), 4, 1.5, 0.7, 20_000
    x = rng.standard_normal((n_replicates, n, d))
    y = noise * rng.standard_normal((n_replicates, n))
    n_shifted = round(share * n)
    y[:, :n_shifted] += shift * x[:, :n_shifted, 0]
    gram = x.swapaxes(1, 2) @ x
    theta = np.linalg.solve(gram, np.einsum("rni,rn->ri", x, y)[..., None])[..., 0]
    law = {"n_features": d, "share": share, "shift": shift, "noise": noise}
    expected = theory.shifted_regression_risk(n, **law)
    assert_agrees(f"n = {n}, share = {share}", np.sum(theta**2, 1), expected)


def test_floor_of_shifted_labels():
    """To first order in 1/T it is the published decomposition; its numbers for d = 20."""
    n, law = np.array([200, 2000, 20000]), {"n_features": 20, "share": 0.1, "shift": 1.0}
    first_order = 20 / (n - 21) + 0.01 + 0.09 * 21 / n
    np.testing.assert_allclose(first_order, [0.131, 0.0211, 0.0111], rtol=0.005)
    exact = theory.shifted_regression_risk(n, **law)
    np.testing.assert_allclose(exact, first_order, rtol=0.01)
    assert theory.shifted_regression_risk(1e12, **law) == pytest.approx(0.01, rel=1e-6)


@pytest.mark.parametrize(("n_r", "n_s"), [(0, 20), (6, 14), (20, 0)])
@pytest.mark.parametrize(("degree", "learned"), [(1, 1.0), (2, 0.8), (None, 0.8)])
def test_three_errors_of_points_really_drawn(n_r, n_s, degree, learned):
    rng, n_ini, noise, n_replicates = np.random.default_rng(1), 25, 0.5, 20_000
    theta = np.array([0.3, 1.0, -0.5, 0.4, 0.2])
    d = 5 if degree is None else 2 * degree + 1

    def basis(n):
        angle = 2 * np.pi * np.arange(n)[:, None] / n * np.array([1, 2])
        pairs = np.stack([np.cos(angle), np.sin(angle)], -1).reshape(n, 4)
        return np.concatenate([np.ones((n, 1)), np.sqrt(2) * pairs], axis=1)

    def responses(coefficients, n):
        return basis(n), coefficients @ basis(n).T + noise * rng.standard_normal((n_replicates, n))

    model, errors = None, []
    for t in range(4):
        sets = [responses(np.tile(theta, (n_replicates, 1)), n_r if t else n_ini)]
        sets += [responses(model, n_s)] if t else []
        x = np.concatenate([one[0] for one in sets])[:, :d]
        y = np.concatenate([one[1] for one in sets], axis=1)
        fit = np.linalg.lstsq(x, y.T, rcond=None)[0].T
        model = np.pad(learned * fit, ((0, 0), (0, 5 - d)))
        errors.append(np.sum((model - theta) ** 2, axis=1))
    law = {"n_ini": n_ini, "n_s": n_s, "n_r": n_r, "noise": noise, "n_generations": 4}
    parts = theory.three_errors(theta, degree=degree, learned=learned, **law)
    assert_agrees("all three", np.stack(errors, 1), sum(parts))
    outside = np.sum(theta[d:] ** 2)
    np.testing.assert_allclose(parts.expressivity, outside)
    if n_r == 0:
        t = np.arange(1, 5)
        bias = (1 - learned**t) ** 2 * np.sum(theta[:d] ** 2)
        np.testing.assert_allclose(parts.approximation, bias)
        if learned == 1:
            np.testing.assert_allclose(parts.statistical, noise**2 * d * (1 / 25 + (t - 1) / 20))


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.shifted_regression_risk(5, n_features=4, share=0.1, shift=1.0),
        lambda: theory.shifted_regression_risk(50, n_features=4, share=1.1, shift=1.0),
        lambda: theory.three_errors([1.0], n_ini=5, n_s=0, n_generations=2),
        lambda: theory.three_errors([1.0], n_ini=5, n_s=5, n_generations=2, learned=2.0),
    ],
)
def test_refusals_are_one_line(call):
    with pytest.raises(ParameterError, match=r"\A[^\n]*; got [^\n]*\Z"):
        call()
