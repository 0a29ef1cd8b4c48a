"""What wrappers of regimes share: everything that they do not change."""

from madlib.protocols import Regime


class Wrapper(Regime):
    """A regime around another one, whose sizes, memory and needs are its own."""

    regime: Regime

    @property
    def needs_points(self):
        return self.regime.needs_points

    def smallest_size(self, n_ini, n_generations):
        return self.regime.smallest_size(n_ini, n_generations)

    def init(self, real, n_generations):
        return self.regime.init(real, n_generations)
