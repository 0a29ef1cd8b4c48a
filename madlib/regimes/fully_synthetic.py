"""D^t = D_s^t: only the previous model's samples (Alemohammad et al. 2023, Sec. 3)."""

from madlib.protocols import Regime, Size


class FullySynthetic(Regime):
    """Only the previous model's samples, n_s of them."""

    n_s: Size

    def smallest_size(self, n_ini, n_generations):
        return self.n_s

    def training_set(self, key, turn, memory):
        return turn.synthetic(key, self.n_s), memory
