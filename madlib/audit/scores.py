"""Scores of sets of items against real ones, with the band that chance gives each."""

import collections
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy
from numpy.typing import NDArray

from madlib import metrics, targets
from madlib.audit.reading import PASSAGE, Items
from madlib.audit.worth import Blocks, blocks, moments
from madlib.datasets import Samples
from madlib.generators import Trigram

MAX_DIRECTIONS = 128  # in which moments are taken; random ones where there are more columns.
MAX_NEIGHBORS = 2000  # items of each set among which neighbors are found
N_HALVES = 12
N_QUERIES = 256  # items of which the nearest real one is found
TAIL = 0.01  # beyond either end
MAX_SYMBOLS = 100  # of an alphabet, for the table of a trigram model
_ROWS = 4096
RANGES = dict.fromkeys(("precision", "recall", "coverage", "copies", "words_lost"), (0.0, 1.0))
RANGES |= dict.fromkeys(("density", "tails", "least_tail", "novelty"), (0.0, np.inf))

Score = tuple[float, float, float]  # value, low and high end of its band


class View(NamedTuple):
    """A set in the unit of the real items: its moments, and the rows that are looked at closely.

    Attributes:
        name: of the set.
        directions: [n, k], columns or random directions, standardized by the real items.
        blocks: their sums.
        rows: [n', d], at most `MAX_NEIGHBORS` standardized items, at random.
        text: passages of text, as many; else None.
    """

    name: str
    directions: NDArray[np.float32]
    blocks: Blocks
    rows: NDArray[np.float32]
    text: list[str] | None

    @property
    def n(self) -> int:
        return len(self.directions)

    @property
    def variance(self) -> tuple[float, float]:
        """Trace of the covariance, and its relative standard error."""
        mean, cov = moments(self.blocks, np.ones(len(self.blocks.n)))
        total = max(float(np.trace(cov)), np.finfo(float).tiny)
        squares = np.sum((self.directions - mean.astype(np.float32)) ** 2, axis=1, dtype=float)
        return total, float(squares.std(ddof=1) / np.sqrt(self.n) / total)


class Unit(NamedTuple):
    """Mean [d] and standard deviation [d] of the real items, and the directions looked at."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    projection: NDArray[np.float32] | None

    def __call__(self, points: NDArray) -> NDArray[np.float32]:
        return ((points.astype(np.float64) - self.mean) / self.scale).astype(np.float32)


def unit_of(rng: np.random.Generator, points: NDArray, raw: bool) -> Unit:
    """The unit of real points, one for each column; the same for all where they are raw.

    Means are taken in double precision, of differences from the first row.
    """
    n, d = points.shape
    first = points[0].astype(np.float64)
    chunks = [slice(start, start + _ROWS) for start in range(0, n, _ROWS)]
    mean = first + sum((points[rows] - first).sum(axis=0) for rows in chunks) / n
    squares = sum(((points[rows] - mean) ** 2).sum(axis=0) for rows in chunks)
    scale = np.sqrt(squares / (n - 1))
    scale = np.full(d, np.sqrt(np.mean(scale**2))) if raw else scale
    k = min(d, MAX_DIRECTIONS, max(1, n // 16))
    projection = None
    if k < d:
        orthonormal, _ = np.linalg.qr(rng.standard_normal((d, k)))
        projection = (orthonormal * np.sqrt(d / k)).astype(np.float32)
    return Unit(mean, np.where(scale > 0, scale, 1.0), projection)


def view(rng: np.random.Generator, items: Items, unit: Unit) -> View:
    """A set as the audit looks at it; nothing of the size of the set is copied but directions."""
    n = len(items.points)
    parts = []
    for start in range(0, n, _ROWS):
        rows = unit(items.points[start : start + _ROWS])
        parts.append(rows if unit.projection is None else rows @ unit.projection)
    directions = np.concatenate(parts)
    # Twice as many, for two sets of real items.
    chosen = rng.permutation(n)[: 2 * MAX_NEIGHBORS]
    text = None if items.passages is None else [items.passages[i] for i in chosen]
    return View(items.name, directions, blocks(rng, directions), unit(items.points[chosen]), text)


def neighbor_scores(
    rng: np.random.Generator, real: NDArray, synthetic: NDArray
) -> dict[str, Score]:
    """Scores that compare equally many items [n, d], with bands of 90 %.

    The standard deviation of a score of halves, drawn without repetition, is the standard error of
    that of the whole.
    """
    n = len(real)
    bandwidth = _median_distance(real)

    def scores(real: NDArray, synthetic: NDArray) -> dict[str, float]:
        k = min(5, len(real) - 1)
        found = metrics.manifold_scores(real, synthetic, k=k)._asdict()
        found["mmd_squared"] = float(metrics.mmd_squared(real, synthetic, bandwidth=bandwidth))
        found["entropy"] = metrics.knn_entropy(synthetic, k=k)
        found["effective_rank"] = metrics.effective_rank(synthetic)
        return {name: float(value) for name, value in found.items()}

    whole = scores(real, synthetic)
    halves = []
    for _ in range(N_HALVES):
        first, second = (rng.permutation(n)[: n // 2] for _ in range(2))
        halves.append(scores(real[first], synthetic[second]))
    finite = {name: np.nan_to_num([half[name] for half in halves], neginf=0.0) for name in whole}
    deviation = {name: np.std(values, ddof=1) for name, values in finite.items()}
    return {name: _band(value, deviation[name]) for name, value in whole.items()}


def tails(thresholds: NDArray, directions: NDArray) -> dict[str, Score]:
    """Share of items beyond the real 1st and 99th percentiles of a direction, over 2 %.

    `tails` is the mean over directions, `least_tail` that of the direction where it is smallest.
    """
    outside = (directions < thresholds[0]) | (directions > thresholds[1])
    share = outside.mean(axis=1) / (2 * TAIL)
    each = outside.mean(axis=0) / (2 * TAIL)
    se = np.sqrt(each.min() * (1 / (2 * TAIL) - each.min()) / len(directions))
    return {
        "tails": _band(share.mean(), share.std(ddof=1) / np.sqrt(len(share))),
        "least_tail": _band(each.min(), se),
    }


def novelty(real: NDArray, queries: NDArray, own: NDArray | None = None) -> NDArray[np.float64]:
    """Distance of queries [q, k] to the nearest real item; own are their rows among these."""
    norms = np.einsum("ij,ij->i", real, real)
    gaps = norms - 2 * queries @ real.T
    if own is not None:
        gaps[np.arange(len(own)), own] = np.inf
    # The nearest of a few: their differences have digits where those of the squares have none.
    few = np.argpartition(gaps, min(3, len(real) - 1), axis=1)[:, :4]
    found = np.linalg.norm(real[few] - queries[:, None], axis=2)
    if own is not None:
        found[few == own[:, None]] = np.inf
    return found.min(axis=1).astype(float)


def novelty_scores(
    rng: np.random.Generator, distances: NDArray, typical: float
) -> dict[str, Score]:
    """Median distance to the nearest real item in units of the real ones', and share of copies."""
    q = len(distances)
    medians = [np.median(distances[rng.integers(0, q, q)]) for _ in range(200)]
    copies = np.mean(distances <= 1e-5 * typical)
    return {
        "novelty": _band(np.median(distances) / typical, np.std(medians) / typical),
        "copies": _band(copies, np.sqrt(copies * (1 - copies) / q)),
    }


def text_scores(real: list[str], synthetic: list[str], alphabet: str) -> dict[str, Any]:
    """Variety of equally many passages, words of the real ones that are lost, bits per character.

    Returns:
        `distinct_trigrams`, the number of different character trigrams; `distinct_words`;
        `words_lost`, the share of the words that occur 5 times in the real passages and not in the
        others; `bits_per_character` of the others under a trigram model of the real passages, None
        for alphabets of more than 100 symbols. The last two have bands, of words and of passages
        that are independent.
    """
    words, others = (metrics.whole_words(*passages) for passages in (real, synthetic))
    frequent = {word for word, count in collections.Counter(words).items() if count >= 5}
    trigrams = {passage[i : i + 3] for passage in synthetic for i in range(PASSAGE - 2)}
    bits = None
    if len(alphabet) <= MAX_SYMBOLS:
        model = Trigram(n_symbols=len(alphabet), length=PASSAGE)
        points, new = (
            jnp.asarray(targets.encode("".join(passages), alphabet).reshape(-1, PASSAGE), float)
            for passages in (real, synthetic)
        )
        log_prob = model.log_prob(model.fit(None, Samples.of(points)), new)
        per_passage = -np.asarray(log_prob) / PASSAGE / np.log(2)
        bits = _band(per_passage.mean(), per_passage.std(ddof=1) / np.sqrt(len(per_passage)))
    n_frequent = max(len(frequent), 1)
    lost = len(frequent - {*others}) / n_frequent
    return {
        "distinct_trigrams": float(len(trigrams)),
        "distinct_words": float(len({*others})),
        "words_lost": _band(lost, np.sqrt(lost * (1 - lost) / n_frequent)),
        "bits_per_character": bits,
    }


def _median_distance(points: NDArray) -> float:
    return float(np.median(scipy.spatial.distance.pdist(points[:500]))) or 1.0


def _band(value: Any, se: Any) -> Score:
    """A value with its band of 90 %."""
    value, se = float(value), float(np.nan_to_num(se, posinf=0.0))
    return value, value - 1.645 * se, value + 1.645 * se
