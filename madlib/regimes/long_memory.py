"""D^t = D_r^t + samples of the last K models (Alemohammad et al. 2023, Fig. 30)."""

import equinox as eqx
import jax
import numpy as np

from madlib.errors import require
from madlib.protocols import Regime, Size


class LongMemory(Regime):
    """New real data at every generation, beside new samples of each of the last `memory` models.

    Attributes:
        n_r: fresh real samples per generation.
        n_s: synthetic samples per generation, n_s / memory of them from each of the last `memory`
            models (fewer models, and so fewer samples, in the first generations).
        memory: K, how many models back; `FreshData` is K = 1.
    """

    n_r: Size
    n_s: Size
    memory: int = eqx.field(static=True)

    def smallest_size(self, n_ini, n_generations):
        require(
            self.memory >= 1 and not np.any(np.mod(self.n_s, max(self.memory, 1))),
            "memory must be >= 1 and divide n_s",
            f"memory={self.memory} and n_s={self.n_s}",
            f"Use a multiple of {max(self.memory, 1)} for n_s.",
        )
        return self.n_r + self.n_s // self.memory

    def init(self, real, n_generations):
        # Old models are not kept: what they will be asked for is drawn at once, and waits. The j-th
        # set is for the j-th generation from now, from K - 1 - j models that are already gone.
        n = self.n_s // self.memory
        return tuple(real.empty(n * waiting) for waiting in range(self.memory - 1, 0, -1))

    def training_set(self, key, turn, memory):
        k_real, k_synthetic = jax.random.split(key)
        keys = jax.random.split(k_synthetic, self.memory)
        draws = jax.vmap(lambda key: turn.synthetic(key, self.n_s // self.memory))(keys)
        now, *later = (jax.tree.map(lambda leaf, i=i: leaf[i], draws) for i in range(self.memory))
        data = turn.real(k_real, self.n_r) + now
        if not later:
            return data, memory
        waiting = [old + new for old, new in zip(memory[1:], later, strict=False)]
        return data + memory[0], (*waiting, later[-1])
