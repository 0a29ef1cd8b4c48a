"""Keeping everything: D^t = D^{t-1} + D_s^t (Gerstgrasser et al. 2024), or n of all so far.

A subsample is drawn without replacement (Kazdan et al. 2024). It is not a function of the moments,
so there the points themselves are accumulated.
"""

import jax
import jax.numpy as jnp
import numpy as np

from madlib.datasets import Moments
from madlib.errors import require
from madlib.protocols import Regime, Size


class Accumulate(Regime):
    """Everything there ever was: the real data of generation 1 and all synthetic data since.

    Attributes:
        n_s: synthetic samples added per generation.
    """

    n_s: Size

    def smallest_size(self, n_ini, n_generations):
        return n_ini + self.n_s

    def init(self, real, n_generations):
        return real + real.empty(self.n_s * (n_generations - 1))

    def training_set(self, key, turn, memory):
        memory = memory.extend(turn.synthetic(key, self.n_s))
        return memory, memory


class AccumulateFresh(Regime):
    """Everything there ever was, with new real data in every batch: a crawl that is kept."""

    n_r: Size
    n_s: Size

    def smallest_size(self, n_ini, n_generations):
        return n_ini + self.n_r + self.n_s

    def init(self, real, n_generations):
        return real + real.empty((self.n_r + self.n_s) * (n_generations - 1))

    def training_set(self, key, turn, memory):
        k_real, k_synthetic = jax.random.split(key)
        batch = turn.real(k_real, self.n_r) + turn.synthetic(k_synthetic, self.n_s)
        memory = memory.extend(batch)
        return memory, memory


class AccumulateCorrected(Regime):
    r"""`AccumulateFresh` where nobody labels the real data, but their share is known.

    A batch has the mean Y, the last model the mean $\theta$, and its share of real data is $a =
    n_r/(n_r + n_s)$. The batch is moved to the mean $[Y - (1 - a) \theta]/a$, which is on average
    that of the real distribution. Of a mean only, so for `Location`.

    Example:
        >>> from madlib.regimes import AccumulateCorrected
        >>> AccumulateCorrected(n_r=10, n_s=90).smallest_size(100, n_generations=5)
        200
    """

    n_r: Size
    n_s: Size

    def smallest_size(self, n_ini, n_generations):
        some = np.all(np.asarray(self.n_r) > 0)
        require(some, "n_r must be > 0", self.n_r, "A batch without real data cannot be corrected.")
        return n_ini + self.n_r + self.n_s

    def init(self, real, n_generations):
        return real + real.empty((self.n_r + self.n_s) * (n_generations - 1))

    def training_set(self, key, turn, memory):
        k_real, k_synthetic = jax.random.split(key)
        batch = turn.real(k_real, self.n_r) + turn.synthetic(k_synthetic, self.n_s)
        own = turn.model.params.mean
        move = self.n_s / self.n_r * (turn.model.generator.summarize(batch).mean - own)
        if isinstance(batch, Moments):
            batch = batch._replace(mean=batch.mean + move)
        else:
            batch = batch._replace(points=batch.points + move[None, :])
        memory = memory.extend(batch)
        return memory, memory


class AccumulateSubsample(Regime):
    """A fixed number of examples, drawn without replacement from everything there ever was.

    Attributes:
        n_s: synthetic samples added per generation.
        n: size of the training set, at most n_ini + n_s (what there is at generation 2).
    """

    n_s: Size
    n: Size

    @property
    def needs_points(self):
        return True

    def smallest_size(self, n_ini, n_generations):
        require(
            self.n <= n_ini + self.n_s,
            "n must be at most n_ini + n_s, all there is at generation 2",
            f"n={self.n}, n_ini={n_ini}, n_s={self.n_s}",
            f"Use n <= {n_ini + self.n_s}.",
        )
        return self.n

    def init(self, real, n_generations):
        return real + real.empty(self.n_s * (n_generations - 1))

    def training_set(self, key, turn, memory):
        k_synthetic, k_subsample = jax.random.split(key)
        memory = memory.extend(turn.synthetic(k_synthetic, self.n_s))
        uniform = jax.random.uniform(k_subsample, memory.weight.shape)
        _, chosen = jax.lax.top_k(jnp.where(memory.weight > 0, uniform, -1.0), self.n)
        return jax.tree.map(lambda leaf: leaf[chosen], memory), memory
