"""Real data that is fresh each time: deformed digits without end, finite examples dealt once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.neighbors import KNeighborsClassifier

from madlib import FreshData, Gaussian, ParameterError, run_loop, simulate, targets
from madlib.generators import KernelDensity
from madlib.regimes import AccumulateFresh, Growing, LongMemory, Power


def deformed_by_hand(image, angle, down, right, log_odds):
    """Bilinear interpolation with loops, in double precision."""
    side = len(image)
    center, out = (side - 1) / 2, np.zeros((side, side))
    for i in range(side):
        for j in range(side):
            y, x = i - center, j - center
            row = np.cos(angle) * y - np.sin(angle) * x + center + down
            column = np.sin(angle) * y + np.cos(angle) * x + center + right
            for a in range(side):
                for b in range(side):
                    near = max(0, 1 - abs(row - a)) * max(0, 1 - abs(column - b))
                    out[i, j] += near * image[a, b]
    odds = np.exp(log_odds)
    return odds * out / (1 + (odds - 1) * out)


def test_deformations_by_hand():
    family = targets.Deformed(25, shift=1.5, rotation=30, thickness=1.0)
    images = np.random.default_rng(0).uniform(size=(6, 25)).astype(np.float32)
    key = jax.random.key(0)
    ours = np.asarray(family.deform(key, jnp.asarray(images)))
    for ours_i, image, u in zip(
        ours, images, jax.random.uniform(key, (6, 4), minval=-1.0, maxval=1.0), strict=True
    ):
        angle, log_odds = np.deg2rad(30) * u[0], u[3]
        expected = deformed_by_hand(
            image.reshape(5, 5), *map(float, (angle, 1.5 * u[1], 1.5 * u[2], log_odds))
        )
        np.testing.assert_allclose(ours_i, expected.ravel(), atol=2e-6)


def test_no_deformation_is_the_digit_itself():
    plain = targets.digits("held out", labeled=True)
    still = targets.deformed_digits(
        "held out", labeled=True, replace=False, shift=0, rotation=0, thickness=0
    )
    drawn = still.draw(jax.random.key(0), 500)
    order = np.lexsort(np.asarray(drawn.points).T)
    again = np.lexsort(np.asarray(plain.params.points).T)
    np.testing.assert_allclose(drawn.points[order], plain.params.points[again], atol=1e-6)
    assert still.space == plain.space == (64, 0, 10)


def test_digits_without_end_stay_digits():
    """Never the same twice, pixels in [0, 1], as many of each class, and as readable."""
    target = targets.deformed_digits("held out", labeled=True)
    samples = target.draw(jax.random.key(1), 5000)
    points = np.asarray(samples.points)
    assert len(np.unique(points, axis=0)) == 5000
    assert points.min() == 0 and points.max() <= 1
    expected = 10 * np.bincount(target.params.label)
    assert stats.chisquare(np.bincount(samples.label), expected).pvalue > 1e-3
    training = jax.tree.map(np.asarray, targets.digits("training", labeled=True).params)
    held_out, labels = jax.tree.map(np.asarray, (target.params, samples.label))
    judge = KNeighborsClassifier(3).fit(training.points, training.label)
    plain = judge.score(held_out.points, held_out.label)
    accuracy = judge.score(points, labels)
    se = np.sqrt(accuracy * (1 - accuracy) / 500)  # draws of one digit are not independent
    assert plain > 0.97 and accuracy > plain - 0.02 - 5 * se, (plain, accuracy, se)


def test_the_reference_of_deformed_digits_has_their_moments():
    target = targets.deformed_digits("training")
    points = np.asarray(target.sample(jax.random.key(2), 5000), np.float64)
    gap = points.mean(0) - target.reference.mean
    se = points.std(0, ddof=1) / np.sqrt(5000) * np.sqrt(1 + 5000 / 2**15)
    assert np.all(np.abs(gap) <= 5 * se + 1e-6), (gap / np.maximum(se, 1e-9)).round(1)
    squares = ((points - points.mean(0)) ** 2).sum(1)
    se = squares.std(ddof=1) / np.sqrt(5000)
    assert abs(squares.mean() - np.trace(target.reference.cov)) < 5 * se


def test_an_image_must_be_square():
    with pytest.raises(ParameterError, match="images must be square; got 10 pixels"):
        targets.Deformed(10)
    for name, value in [("shift", -1), ("rotation", np.nan), ("thickness", "bold")]:
        with pytest.raises(ParameterError, match=f"{name} must be a number >= 0"):
            targets.deformed_digits(**{name: value})


CARDS = targets.empirical(np.arange(60.0)[:, None])


def training_sets(regime, target, n_ini, n_generations, n_points):
    """Training points of each generation, [3 replicates][generation]: a kernel density has them."""
    generator = KernelDensity(1, n_points=n_points, bandwidth=1.0)
    settings = {"n_ini": n_ini, "n_generations": n_generations, "n_replicates": 3}
    params = simulate(jax.random.key(0), generator, regime, target, **settings).params
    return [
        [points[weight > 0, 0] for points, weight in zip(*rows, strict=True)]
        for rows in zip(params.points, params.weight, strict=True)
    ]


@pytest.mark.parametrize("n_r", [12, 10])
def test_no_example_is_dealt_twice(n_r):
    hands = training_sets(FreshData(n_r, 0), targets.dealt(CARDS), 12, 5, 12)
    for sets in hands:
        assert [len(hand) for hand in sets] == [12] + 4 * [n_r]
        everything = np.concatenate(sets)
        assert len(np.unique(everything)) == len(everything)
        assert set(everything) <= set(range(60))
    assert set(hands[0][0]) != set(hands[1][0]) != set(hands[2][0])
    with_repetition = training_sets(FreshData(n_r, 0), CARDS, 12, 5, 12)
    for sets in with_repetition:
        assert len(np.unique(np.concatenate(sets))) < 12 + 4 * n_r


def test_every_example_is_as_likely_in_every_generation():
    target = targets.dealt(CARDS)
    keys = jax.random.split(jax.random.key(3), 400)

    def hand(key, t):
        return target.at(key, t, 12, 5).draw(jax.random.fold_in(key, t), 12).points[:, 0]

    for t in (2, 5):
        cards = np.asarray(jax.jit(jax.vmap(hand, (0, None)))(keys, t), int)
        assert stats.chisquare(np.bincount(cards.ravel(), minlength=60)).pvalue > 1e-3


def test_other_regimes_deal_from_it_too():
    target = targets.dealt(CARDS)
    for regime in (
        AccumulateFresh(9, 0),
        LongMemory(9, 0, 2),
        Growing(FreshData(3, 0), Power(0.5)),
    ):
        for sets in training_sets(regime, target, 6, 6, 60):
            drawn = sets[-1] if isinstance(regime, AccumulateFresh) else np.concatenate(sets)
            assert len(np.unique(drawn)) == len(drawn), type(regime).__name__


def test_when_it_runs_out_it_says_so():
    target = targets.dealt(CARDS)
    settings = {"n_generations": 5, "n_replicates": 2}
    key = jax.random.key(0)
    for n_ini, n_r, words in [
        (12, 13, "no example is dealt twice, so there are 12 for this draw: .*; got n=13. Lower"),
        (12, 13, "with 13 for each generation the 60 last to 4 of 5"),  # 12 + 3 * 13 = 51
        (40, 6, "5 for this draw: with 6 for each generation the 60 last to 4 of 5; got n=6"),
        (61, 1, "there are 60 for this draw; got n=61"),
    ]:
        with pytest.raises(ParameterError, match=words) as refused:
            simulate(key, Gaussian(1), FreshData(n_r, 2), target, n_ini=n_ini, **settings)
        assert "\n" not in str(refused.value)
    with pytest.raises(ParameterError, match="n_ini must be at most 60, all the real data"):
        run_loop(key, Gaussian(1), FreshData(1, 2), target, n_ini=61, n_generations=5)
    with pytest.raises(ParameterError, match="only examples can be dealt"):
        targets.dealt(targets.standard_normal(2))
    for run, more in ((run_loop, {}), (simulate, {"n_replicates": 1})):
        only = {"n_ini": 60, "n_generations": 1} | more
        alone = run(key, Gaussian(1), FreshData(9, 9), target, **only)
        assert float(np.squeeze(alone.params.mean)) == pytest.approx(29.5)


def test_passages_can_be_dealt():
    letters = np.random.default_rng(0).choice(list("abcdefgh "), 300)
    whole = targets.passages(10, source="".join(letters))
    target, key = targets.dealt(whole), jax.random.key(0)
    hands = [target.at(key, t, 8, 3).draw(jax.random.key(t), 8) for t in (1, 2, 3)]
    found = np.concatenate([targets.decode(hand.points, whole.symbols) for hand in hands])
    assert np.isin(found, targets.decode(whole.params.points, whole.symbols)).all()
    assert len(set(found)) == 24
