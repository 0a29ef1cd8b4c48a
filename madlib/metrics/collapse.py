r"""Eight definitions of collapse, each a function of a trajectory.

The literature uses the word for eight different things (Schaeffer et al. 2025, whose names these
are). Each function takes what a simulation recorded, [n_replicates, n_rows] with rows evenly spaced
from generation 1 on, and returns `Evidence`: a number, its standard error over replicates, and the
threshold beyond which the definition holds. Definitions that name no threshold get a stated one.

Of $t \to \infty$ a trajectory shows no more than its trend. The means A, B, C over three spans of
rows, (1/8, 1/4], (1/4, 1/2] and (1/2, 1] of all, tell growth from saturation at any scale of time:
(C - B)/(B - A) is 2 for t, 1 for log t, 1/2 where a limit is approached as 1/t, and less where it
is approached sooner. A quantity diverges if it rises, and if C - B exceeds 3/4 of B - A.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from madlib.errors import NonNegative, NonNegatives, Positive, Positives, checked, require

N_STANDARD_ERRORS = 5.0


def tolerance(n_replicates: int) -> float:
    """Standard errors beyond which chance goes as rarely as a normal variable goes beyond five."""
    return float(-special.stdtrit(n_replicates - 1, special.ndtr(-N_STANDARD_ERRORS)))


class Evidence(NamedTuple):
    """A statistic and the threshold of a definition.

    Attributes:
        value: of the statistic; larger means more of a collapse.
        se: its standard error over replicates.
        threshold: beyond which the definition holds.
        n_replicates: that the standard error comes from.
        tolerance: how far beyond the threshold still counts as nothing, where the value is sure to
            be smaller.

    Example:
        >>> from madlib import metrics
        >>> metrics.Evidence(value=3.0, se=0.1, threshold=2.0, n_replicates=100).holds
        True
    """

    value: float
    se: float
    threshold: float
    n_replicates: int
    tolerance: float = 0.0

    @property
    def margin(self) -> float:
        """Five standard errors; more for few replicates, as Student's t has it."""
        return tolerance(self.n_replicates) * self.se

    @property
    def holds(self) -> bool | None:
        """Whether the definition holds; None where noise hides it."""
        gap = self.value - self.threshold
        if gap > self.margin:
            return True
        return False if gap + self.margin < self.tolerance else None


@checked
def catastrophic_increase(risk: NonNegatives, factor: Positive = 10.0) -> Evidence:
    """Catastrophic increase of population risk: the last risk is above `factor` times the first.

    Example:
        >>> from madlib import metrics
        >>> metrics.catastrophic_increase([[1, 5, 20], [1, 6, 20]]).holds
        True
    """
    return _exceeds(*_ends(risk), factor)


@checked
def any_increase(risk: NonNegatives) -> Evidence:
    """Any increase of population risk: the last risk is above the first.

    Example:
        >>> from madlib import metrics
        >>> metrics.any_increase([[1, 0.6, 0.5], [1.1, 0.7, 0.6]]).holds
        False
    """
    return _exceeds(*_ends(risk), 1.0)


@checked
def asymptotic_divergence(risk: NonNegatives, tolerance: NonNegative = 0.02) -> Evidence:
    """Asymptotically diverging population risk: it rises, and its rise does not die out.

    Args:
        risk: [n_replicates, n_rows], at least 8 rows.
        tolerance: less is no rise: C - B beyond 3/4 of B - A (see above), as a share of B.

    Example:
        >>> import numpy as np
        >>> from madlib import metrics
        >>> t = np.arange(1, 65) + np.zeros((2, 1))
        >>> [metrics.asymptotic_divergence(risk).holds for risk in (t, 1 + np.log(t), 2 - 1 / t)]
        [True, True, False]
    """
    return _diverges(risk, None, tolerance)


@checked
def scaling_law_change(risk: Positives, n: Positives, change: Positive = 0.1) -> Evidence:
    """Change in scaling law: the exponent of the risk in n is another one than at generation 1.

    Args:
        risk: [n_sizes, n_replicates, n_rows]; replicate i of all sizes may share its key.
        n: [n_sizes].
        change: of the exponent, that counts as one.

    Example:
        >>> import numpy as np
        >>> from madlib import metrics
        >>> n = np.array([10, 100, 1000])
        >>> risk = np.stack([1 / n, 1 / n + 0.1], axis=1)  # a floor at the second row
        >>> metrics.scaling_law_change(np.stack([risk, risk], axis=1), n).holds
        True
    """
    fine = risk.ndim == 3 and n.shape == risk.shape[:1] and len({*n}) > 1
    required = "risk must be [n_sizes, n_replicates, n_rows], and n have 2 sizes or more"
    require(fine, required, f"{risk.shape} and {n.shape}", "Simulate on a grid of sizes.")
    x = np.log(n) - np.log(n).mean()
    slope = x / np.sum(x**2)
    first, last = (slope @ np.log(risk[..., row].mean(1)) for row in (0, -1))
    # What each replicate adds to either slope, to first order.
    parts = risk / risk.mean(axis=1, keepdims=True)
    _, se = _mean(np.einsum("i,ij->j", slope, parts[..., -1] - parts[..., 0]))
    return Evidence(float(abs(last - first)), se, change, risk.shape[1])


@checked
def collapsing_variance(variance: NonNegatives, tolerance: NonNegative = 0.02) -> Evidence:
    r"""Collapsing variance: the variance of a typical model tends to 0, so that -log v diverges.

    Args:
        variance: [n_replicates, n_rows], at least 8 rows; 0 is a collapse.
        tolerance: less is no rise of -log v, in nats: C - B beyond 3/4 of B - A (see above).

    Example:
        >>> import numpy as np
        >>> from madlib import metrics
        >>> t = np.arange(1, 65) + np.zeros((2, 1))
        >>> [metrics.collapsing_variance(v).holds for v in (0.99**t, 1 / t, 0.5 + 0.5**t)]
        [True, True, False]
    """
    if not _ends(variance)[1].all():
        return Evidence(np.inf, 0.0, 0.0, len(variance), tolerance)
    return _diverges(-np.log(np.maximum(variance, np.finfo(float).tiny)), 1.0, tolerance)


@checked
def entangled_modes(between: NonNegatives, factor: Positive = 2.0) -> Evidence:
    """Entanglement of real data modes: more than `factor` times as much lies between them.

    Args:
        between: [n_replicates, n_rows], the share of samples between the modes.
        factor: of the first row.

    Example:
        >>> from madlib import metrics
        >>> metrics.entangled_modes([[0, 0.2], [0, 0.2]]).holds
        True
    """
    return _exceeds(*_ends(between), factor)


@checked
def disappearing_tails(share: NonNegatives, real: Positive, factor: Positive = 2.0) -> Evidence:
    """Disappearance of real tail data: the share beyond a real quantile is below real / factor.

    Args:
        share: [n_replicates, n_rows], of the samples of each model, enough of them that a hundred
            real ones would lie there.
        real: the share of the real distribution.
        factor: by which it has to fall.

    Returns:
        Evidence of the lost share of the tail, 1 - share / real.

    Example:
        >>> from madlib import metrics
        >>> metrics.disappearing_tails([[0.05, 0.01], [0.04, 0.01]], real=0.05).holds
        True
    """
    _, last = _ends(share)
    value, se = _mean(1 - last / real)
    return Evidence(value, se, 1 - 1 / factor, len(share))


@checked
def hallucinated_data(share: NonNegatives, factor: Positive = 2.0) -> Evidence:
    """Appearance of hallucinated data: more than `factor` times as much of what is hardly real.

    Args:
        share: [n_replicates, n_rows], of samples where real data hardly lies.
        factor: of the first row.

    Example:
        >>> from madlib import metrics
        >>> metrics.hallucinated_data([[0.01, 0.2], [0.01, 0.2]]).holds
        True
    """
    return _exceeds(*_ends(share), factor)


def _ends(values: NDArray) -> tuple[NDArray, NDArray]:
    """First and last row, [n_replicates] each."""
    fine = values.ndim == 2 and min(values.shape) >= 2
    required = "a trajectory must be [n_replicates, n_rows], at least 2 of each"
    require(fine, required, f"shape {values.shape}", "Simulate more, or record one number.")
    return values[:, 0], values[:, -1]


def _exceeds(first: NDArray, last: NDArray, factor: float) -> Evidence:
    _, se = _mean(last - factor * first)
    return Evidence(float(last.mean()), se, float(factor * first.mean()), len(first))


def _diverges(values: NDArray, scale: Any, tolerance: float) -> Evidence:
    """Evidence that a quantity rises, and not towards a limit, in units of scale or of its mean."""
    _ends(values)
    n_rows = values.shape[1]
    require(n_rows >= 8, "a trend needs at least 8 rows", n_rows, "Simulate for longer.")
    ends = [-(-n_rows // 8), -(-n_rows // 4), -(-n_rows // 2), n_rows]
    spans = zip(ends, ends[1:], strict=False)
    a, b, c = (values[:, start:end].mean(axis=1) for start, end in spans)
    scale = b.mean() if scale is None else scale
    earlier, later = b - a, c - b
    excess = later - 0.75 * earlier if earlier.mean() > 0 else later
    value, se = _mean(excess / (scale or 1.0))
    return Evidence(value, se, 0.0, len(values), tolerance)


def _mean(values: NDArray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
