"""Eight definitions of collapse, each a function of a trajectory.

The literature uses the word for eight different things (Schaeffer et al. 2025, whose names these
are). Each function takes what a simulation recorded, [n_replicates, n_rows] with rows at
generations 1, ..., T, and returns `Evidence`: a number, its standard error, and the threshold
beyond which the definition holds. Definitions that name no threshold get a stated one.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from madlib.errors import Positive, Positives, as_reals, checked, require

N_STANDARD_ERRORS = 5.0


class Evidence(NamedTuple):
    """A statistic and the threshold of a definition.

    Attributes:
        value: of the statistic; larger means more of a collapse.
        se: its standard error over replicates.
        threshold: beyond which the definition holds.
    """

    value: float
    se: float
    threshold: float

    @property
    def holds(self) -> bool | None:
        """Whether the definition holds by five standard errors; None where neither is sure."""
        gap = self.value - self.threshold
        if abs(gap) <= N_STANDARD_ERRORS * self.se:
            return None
        return gap > 0


@checked
def catastrophic_increase(risk: Positives, factor: Positive = 10.0) -> Evidence:
    """Catastrophic increase of population risk: the last risk is `factor` times the first."""
    return _log_ratio(risk[:, -1], risk[:, 0], np.log(factor))


@checked
def any_increase(risk: Positives) -> Evidence:
    """Any increase of population risk: the last risk is above the first."""
    return _log_ratio(risk[:, -1], risk[:, 0], 0.0)


@checked
def asymptotic_divergence(risk: Positives) -> Evidence:
    """Asymptotically diverging population risk: what a doubling of time adds does not die out.

    The increase from T/2 to T over that from T/4 to T/2: 2 where the risk grows linearly, 1 where
    it grows like a logarithm, 1/2 where it comes within 1/t of a limit, less where it settles
    sooner. Diverging is above 3/4. A risk that does not rise at all has none of it.
    """
    n_rows = risk.shape[1]
    require(n_rows >= 8, "risk must hold at least 8 rows", n_rows, "Simulate for longer.")
    quarter, half, last = risk[:, n_rows // 4], risk[:, n_rows // 2], risk[:, -1]
    earlier, later = half - quarter, last - half
    below, se_below = _mean(earlier)
    if below <= N_STANDARD_ERRORS * se_below and _mean(later)[0] <= 5 * _mean(later)[1]:
        return Evidence(0.0, 0.0, 0.75)
    ratio = later.mean() / below
    _, se = _mean(later - ratio * earlier)
    return Evidence(float(ratio), se / abs(below), 0.75)


@checked
def scaling_law_change(risk: Positives, n: Positives) -> Evidence:
    """Change in scaling law: the exponent of the risk in n differs from that of generation 1.

    Args:
        risk: [n_sizes, n_replicates, n_rows].
        n: [n_sizes], increasing.

    Returns:
        Evidence of |exponent at T - exponent at 1| > 0.1.
    """
    x = np.log(n) - np.log(n).mean()
    weight = x / np.sum(x**2)
    means = risk[..., [0, -1]].mean(1)
    change = float(weight @ (np.log(means[:, 1]) - np.log(means[:, 0])))
    # Errors of the logs of means, the sizes taken as independent.
    gap = risk[..., -1] / means[:, 1:] - risk[..., 0] / means[:, :1]
    se = np.sqrt(np.sum(weight**2 * gap.var(1, ddof=1) / gap.shape[1]))
    return Evidence(abs(change), float(se), 0.1)


@checked
def collapsing_variance(variance: Positives, left: Positive = 0.1) -> Evidence:
    """Collapsing variance: a typical model has lost all but a share `left` of its variance."""
    lost, se = _mean(np.log(variance[:, 0]) - np.log(variance[:, -1]))
    return Evidence(lost, se, float(-np.log(left)))


@checked
def entangled_modes(between: Positives, factor: Positive = 2.0) -> Evidence:
    """Entanglement of real data modes: more than `factor` times as much lies between them."""
    return _log_ratio(between[:, -1], between[:, 0], np.log(factor))


@checked
def disappearing_tails(share: Positives, real: Positive, factor: Positive = 2.0) -> Evidence:
    """Disappearance of real tail data: the share beyond a real quantile is below real / factor."""
    return _log_ratio(np.full(len(share), real), share[:, -1], np.log(factor))


@checked
def hallucinated_data(share: Positives, factor: Positive = 2.0) -> Evidence:
    """Appearance of hallucinated data: what the real distribution hardly has grows by `factor`."""
    return _log_ratio(share[:, -1], share[:, 0], np.log(factor))


def _mean(values: ArrayLike) -> tuple[float, float]:
    values = as_reals(values)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size))


def _log_ratio(above: NDArray, below: NDArray, threshold: float) -> Evidence:
    """Evidence of the log of a ratio of means of paired replicates (delta method)."""
    top, bottom = above.mean(), below.mean()
    _, se = _mean(above / top - below / bottom)
    return Evidence(float(np.log(top) - np.log(bottom)), se, float(threshold))
