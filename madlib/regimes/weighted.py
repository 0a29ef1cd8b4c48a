r"""w D_r + D_s: any regime, with every real example counted w times.

The estimate of a mean from n_r real and n_s synthetic examples gives the real ones the share
w n_r / (w n_r + n_s). With n_r = n_s the best share of the fresh-data loop is 0.618 (He, Xu & Cheng
2025), which is w = 1.618: the golden ratio both times.
"""

import numpy as np

from madlib.errors import require
from madlib.protocols import Number
from madlib.regimes.wrapper import Wrapper


class Weighted(Wrapper):
    """A regime that counts every real example w times, those of generation 1 that it keeps too.

    Attributes:
        regime: the rule.
        w: weight of a real example beside that of a synthetic one, 1.
    """

    w: Number

    def smallest_size(self, n_ini, n_generations):
        require(np.all(np.asarray(self.w) > 0), "w must be > 0", self.w, "1 leaves all alike.")
        return self.regime.smallest_size(n_ini, n_generations)

    def init(self, real, n_generations):
        return self.regime.init(self.w * real, n_generations)

    def training_set(self, key, turn, memory):
        weighted = turn._replace(real=lambda key, n: self.w * turn.real(key, n))
        return self.regime.training_set(key, weighted, memory)
