"""D^t = D_r + D_s^t: fixed real data and the last model's samples (Alemohammad et al. 2023)."""

from madlib.protocols import Regime, Size


class SyntheticAugmentation(Regime):
    """The real data of generation 1, kept, beside the previous model's samples.

    Attributes:
        n_s: synthetic samples per generation; the fixed real set has size n_ini.
    """

    n_s: Size

    def smallest_size(self, n_ini, n_generations):
        return n_ini + self.n_s

    def init(self, real, n_generations):
        return real

    def training_set(self, key, turn, memory):
        return memory + turn.synthetic(key, self.n_s), memory
