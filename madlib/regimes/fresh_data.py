"""D^t = D_r^t + D_s^t: new real data at every generation (Alemohammad et al. 2023, Sec. 3)."""

import jax

from madlib.protocols import Regime, Size


class FreshData(Regime):
    """n_r new real samples at every generation, beside n_s of the previous model."""

    n_r: Size
    n_s: Size  # 0 is the real-only baseline

    def smallest_size(self, n_ini, n_generations):
        return self.n_r + self.n_s

    def training_set(self, key, turn, memory):
        k_real, k_synthetic = jax.random.split(key)
        return turn.real(k_real, self.n_r) + turn.synthetic(k_synthetic, self.n_s), memory
