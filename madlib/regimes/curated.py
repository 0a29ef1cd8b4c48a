"""select(D_s): any regime whose synthetic data is curated before anybody trains on it.

A selector is `select(key, synthetic, turn)` and returns the same dataset with other weights, 0 for
what it rejects; or derives from `Selector`, if it holds arrays or can do without the points.
"""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Key

from madlib.protocols import Regime, Turn


class Selector(eqx.Module):
    """Chooses among synthetic data; the arrays in it are constants."""

    @property
    def needs_points(self) -> bool:
        """Whether it looks at the points, as nearly all do."""
        return True

    def __call__(self, key: Key[Array, ""], synthetic: Any, turn: Turn) -> Any: ...


class Curated(Regime):
    """A regime that sees its synthetic data through a selector.

    Attributes:
        regime: the rule.
        select: `select(key, synthetic, turn)`, a function or a `Selector`.
    """

    regime: Regime
    select: Any

    @property
    def needs_points(self):
        looks = self.select.needs_points if isinstance(self.select, Selector) else True
        return self.regime.needs_points or looks

    def smallest_size(self, n_ini, n_generations):
        return self.regime.smallest_size(n_ini, n_generations)

    def init(self, real, n_generations):
        return self.regime.init(real, n_generations)

    def training_set(self, key, turn, memory):
        def synthetic(key, n):
            k_draw, k_select = jax.random.split(key)
            return self.select(k_select, turn.synthetic(k_draw, n), turn)

        return self.regime.training_set(key, turn._replace(synthetic=synthetic), memory)
