"""D^t = D_r^t + D_s^t: new real data at every generation (Alemohammad et al. 2023, Sec. 3)."""

import jax

from madlib.protocols import Regime, Size


class FreshData(Regime):
    """New real data at every generation, beside the previous model's samples.

    Attributes:
        n_r: fresh real samples per generation.
        n_s: synthetic samples per generation; 0 is the real-only baseline.
    """

    n_r: Size
    n_s: Size

    def smallest_size(self, n_ini, n_generations):
        return self.n_r + self.n_s

    def training_set(self, key, turn, memory):
        k_real, k_synthetic = jax.random.split(key)
        return turn.real(k_real, self.n_r) + turn.synthetic(k_synthetic, self.n_s), memory
