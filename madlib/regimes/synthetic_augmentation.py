"""D^t = D_r + D_s^t: fixed real data and the last model's samples (Alemohammad et al. 2023)."""

from madlib.protocols import Regime, Size


class SyntheticAugmentation(Regime):
    """The n_ini real samples of generation 1, kept, beside n_s of the previous model."""

    n_s: Size

    def smallest_size(self, n_ini, n_generations):
        return n_ini + self.n_s

    def init(self, real, n_generations):
        return real

    def training_set(self, key, turn, memory):
        return memory + turn.synthetic(key, self.n_s), memory
