r"""Monitors of a loop: every score of a set of points at once, and the round in which each alarms.

A monitor looks at one number in each round. Even if nothing changes the number does, since samples,
training sets and training are random. An alarm is a change for the worse since round 1 that is
larger than all but a share `rate` of the changes between references, where nothing is wrong.
"""

from typing import Annotated, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from madlib.errors import Count, OpenShare, Positive, Reals, checked, one_of, require
from madlib.metrics.samples import (
    frechet_distance,
    knn_entropy,
    manifold_scores,
    mmd_squared,
    novelty,
    two_sets,
)

Harm = Annotated[str, one_of("down", "up", "both")]


class Alarm(NamedTuple):
    """When a monitor gives alarm, and beyond which change.

    Attributes:
        round: [n_replicates], the round of the alarm, counted from 1; inf where there is none.
        threshold: [], of the change since round 1, in the harmful direction.

    Example:
        >>> from madlib import metrics
        >>> metrics.Alarm(round=np.array([3.0, np.inf]), threshold=0.1).threshold
        0.1
    """

    round: NDArray[np.float64]
    threshold: float


@checked
def first_alarm(
    scores: Reals,
    reference: Reals,
    *,
    harm: Harm = "both",
    rate: OpenShare = 0.01,
    looks: Count = 2,
) -> Alarm:
    r"""The first round in which a score has changed for the worse, at a fixed rate of false alarms.

    With $s_t$ the score of round t and $r_i$ the same score of references, the threshold c is the
    $1 - \text{rate}$ quantile of the harm of $r_i - r_j$ over pairs $i \ne j$, and the alarm comes
    in the first round in which the harm of $s_t - s_1$ was above c for `looks` rounds in a row. One
    look gives a false alarm with probability `rate`; a loop has many looks, and asking for two
    keeps its false alarms rare.

    Args:
        scores: [n_replicates, n_rounds].
        reference: [n], scores where nothing is wrong: of first models, each trained on other real
            data and sampled anew; or of real sets, which leave out the noise of training.
        harm: of a change: "down" if the score should not fall, "up" if it should not rise, "both"
            if it should stay.
        rate: of false alarms, of each look.
        looks: in a row.

    Returns:
        The alarms and their threshold.

    Raises:
        ParameterError: for scores of another shape, or too few references for the rate.

    Example:
        >>> from madlib import metrics
        >>> reference = np.linspace(0.9, 1.1, 101)
        >>> scores = [[1.0, 0.7, 1.0, 0.7, 0.6], [1.0, 1.0, 1.0, 1.0, 1.0]]
        >>> metrics.first_alarm(scores, reference, harm="down").round
        array([ 5., inf])
    """
    fine = scores.ndim == 2 and scores.size > 0
    require(fine, "scores must be [n_replicates, n_rounds]", scores.shape, "Pass scores[None].")
    n = reference.size
    required = f"reference must be [n] with n(n - 1) >= {1 / rate:g} pairs for rate={rate:g}"
    enough = reference.ndim == 1 and n * (n - 1) >= 1 / rate
    require(enough, required, reference.shape, "Score more sets, or allow more false alarms.")
    pairs = (reference[:, None] - reference[None, :])[~np.eye(n, dtype=bool)]
    threshold = float(np.quantile(_harm(pairs, harm), 1 - rate, method="higher"))
    beyond = _harm(scores - scores[:, :1], harm) > threshold
    held = np.zeros(len(scores), int)
    found = np.full(len(scores), np.inf)
    for row, is_beyond in enumerate(beyond.T):
        held = np.where(is_beyond, held + 1, 0)
        found = np.where((held >= looks) & np.isinf(found), row + 1.0, found)
    return Alarm(found, threshold)


def _harm(change: NDArray, harm: str) -> NDArray:
    return {"down": -change, "up": change, "both": np.abs(change)}[harm]


# Of a change of each of `point_scores`.
HARM = {
    "variance": "both",
    "effective_rank": "both",
    "tails": "both",
    "entropy": "both",
    "novelty": "both",
    "precision": "down",
    "recall": "down",
    "density": "both",
    "coverage": "down",
    "frechet_distance": "up",
    "mmd_squared": "up",
}


def point_scores(
    real: Any, synthetic: Any, *, bandwidth: Positive = 1.0
) -> dict[str, Float[Array, ""]]:
    """Every score of a set of points against a real one, inside `jax.jit` as outside.

    Args:
        real: [n, d], held out.
        synthetic: [m, d].
        bandwidth: of the kernel of `mmd_squared`.

    Returns:
        The scores named in `HARM`: total variance; effective rank; `tails`, the share of
        coordinates outside the 1st to 99th percentile of the real ones; nearest-neighbor entropy;
        `novelty`, the 5 % quantile of the distance to the nearest real point; precision, recall,
        density and coverage; Frechet distance; maximum mean discrepancy.

    Raises:
        ParameterError: as the functions of these names do.

    Example:
        >>> from madlib import metrics
        >>> real = np.arange(20.0).reshape(10, 2) ** 1.5
        >>> scores = metrics.point_scores(real, real)
        >>> sorted(scores) == sorted(metrics.HARM), float(scores["novelty"])
        (True, 0.0)
    """
    real, synthetic, unit = two_sets(real, synthetic, 5)
    real, synthetic = unit * real, unit * synthetic
    gaps = synthetic - jnp.mean(synthetic, axis=0, keepdims=True)
    each = jnp.linalg.svd(gaps, compute_uv=False) ** 2 / (len(synthetic) - 1)
    share = each / jnp.maximum(jnp.sum(each), jnp.finfo(each.dtype).tiny)
    low, high = jnp.quantile(real, jnp.array([0.01, 0.99]), axis=0)[:, None, :]
    return {
        "variance": jnp.sum(each),
        "effective_rank": jnp.exp(-jnp.sum(share * jnp.log(jnp.where(share > 0, share, 1)))),
        "tails": jnp.mean((synthetic < low) | (synthetic > high)),
        "entropy": knn_entropy(synthetic),
        "novelty": jnp.quantile(novelty(real, synthetic).distance, 0.05),
        **manifold_scores(real, synthetic)._asdict(),
        "frechet_distance": frechet_distance(real, synthetic),
        "mmd_squared": mmd_squared(real, synthetic, bandwidth=bandwidth),
    }
