"""Scores of text: the variety of passages, and the share of words that are real."""

import re
from collections.abc import Iterable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from madlib.errors import Count, check_fields, require
from madlib.protocols import Model, Target


class NgramScores(eqx.Module):
    r"""How varied generated passages are: different n-grams, and the entropy of n-grams.

    Of all n-grams within passages, with N of them in all and c(g) occurrences of g:
    `distinct_n`, the number of different ones over N (distinct-n of Li et al. 2016), and
    `entropy_n`, $-\sum_g c(g)/N \log_2 c(g)/N$ in bits. Both depend on N: compare with the same
    number of real passages. `entropy_n - entropy_{n-1}` estimates the entropy of a symbol given
    the n - 1 before it, from the passages alone.

    Attributes:
        n_symbols: size of the alphabet; its power n must not exceed 2^32.
        n_samples: passages drawn for it.
        orders: n.

    Example:
        >>> from madlib import metrics
        >>> metrics.NgramScores(n_symbols=31, n_samples=500, orders=(3, 4)).orders
        (3, 4)
    """

    n_symbols: Count = eqx.field(static=True)
    n_samples: Count = eqx.field(static=True)
    orders: tuple[int, ...] = eqx.field(default=(2, 3, 4), static=True)

    def __post_init__(self):
        check_fields(self)
        require(
            all(n >= 1 and self.n_symbols**n <= 2**32 for n in self.orders),
            "orders must be >= 1, and n_symbols**order at most 2**32",
            f"{self.orders} with n_symbols={self.n_symbols}",
            "Use smaller orders.",
        )

    def __call__(self, model: Model, target: Target) -> dict[str, Array]:
        del target
        return ngram_scores(model.samples(self.n_samples).points, self.n_symbols, self.orders)


def ngram_scores(
    passages: Any, n_symbols: int, orders: tuple[int, ...] = (2, 3, 4)
) -> dict[str, Array]:
    """The scores of `NgramScores` of given passages, inside `jax.jit` as outside.

    Args:
        passages: [n, length], the numbers of their symbols.
        n_symbols, orders: as there.

    Example:
        >>> from madlib import metrics
        >>> scores = metrics.ngram_scores([[0, 1, 0, 1]], n_symbols=2, orders=(1,))
        >>> [round(float(score), 4) for score in scores.values()]
        [0.5, 1.0]
    """
    symbols = jnp.asarray(passages).astype(jnp.uint32)
    scores = {}
    for n in orders:
        n_places = symbols.shape[1] - n + 1
        code = jnp.zeros((len(symbols), n_places), jnp.uint32)
        for i in range(n):
            code = code * np.uint32(n_symbols) + symbols[:, i : i + n_places]
        code = jnp.sort(code.ravel())
        # Where a run begins and ends, by bisection: running maxima take long to compile.
        first, after = (jnp.searchsorted(code, code, side) for side in ("left", "right"))
        scores[f"distinct_{n}"] = jnp.mean(first == jnp.arange(code.size))
        scores[f"entropy_{n}"] = -jnp.mean(jnp.log2((after - first) / code.size))
    return scores


def whole_words(*passages: str) -> list[str]:
    """The words of passages, in order; the first and the last of each may be cut: left out.

    Example:
        >>> from madlib import metrics
        >>> metrics.whole_words("ut of the dog's bowl, a")
        ['of', 'the', "dog's", 'bowl']
    """
    # A digit is no letter and no space: a word beside it is beside the end of a passage.
    joined = "0".join(["", *passages, ""])
    return re.findall(r"(?<=[^\w'])[^\W\d_]+(?:'[^\W\d_]+)*(?=[^\w'])", joined)


def word_scores(texts: Any, vocabulary: Iterable[str]) -> dict[str, np.ndarray]:
    """Quality and diversity of the words of generated passages.

    Args:
        texts: [..., n], strings, as `targets.decode` makes them of a record of `Examples`.
        vocabulary: real words.

    Returns:
        Arrays [...]: `real_word_share`, the share of whole words, counted with repetition, that
        are in the vocabulary (quality; NaN without a whole word), and `n_real_words`, the number of
        different words of the vocabulary (diversity).

    Example:
        >>> from madlib import metrics
        >>> scores = metrics.word_scores([" the cat ", " the dag "], {"the", "cat", "dog"})
        >>> float(scores["real_word_share"]), int(scores["n_real_words"])
        (0.75, 2)
    """
    texts, vocabulary = np.asarray(texts), set(vocabulary)
    fine = texts.ndim >= 1 and texts.dtype.kind in "UT"
    require(fine, "texts must be strings [..., n]", texts.dtype, "Use targets.decode.")
    share, number = np.full(texts.shape[:-1], np.nan), np.zeros(texts.shape[:-1], int)
    for place in np.ndindex(*texts.shape[:-1]):
        found = whole_words(*texts[place])
        known = [word for word in found if word in vocabulary]
        share[place] = len(known) / len(found) if found else np.nan
        number[place] = len(set(known))
    return {"real_word_share": share, "n_real_words": number}
