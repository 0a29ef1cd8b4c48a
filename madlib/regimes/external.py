"""Synthetic data of somebody else's model, the same one at every generation."""

from typing import Any

from madlib.regimes.wrapper import Wrapper


class External(Wrapper):
    """A regime whose synthetic data comes from a fixed model of the generator's family.

    Attributes:
        regime: the rule.
        params: of that model, constants.
    """

    params: Any

    def training_set(self, key, turn, memory):
        def synthetic(key, n):
            return turn.model.generator.draw(key, self.params, n, turn.model.lam)

        return self.regime.training_set(key, turn._replace(synthetic=synthetic), memory)
