"""select(D): any regime whose data is curated before anybody trains on it.

A selector is `select(key, data, turn)` and returns the same dataset with other weights, 0 for an
example that it rejects. Any function will do; one that holds arrays, or can do without the points,
derives from `Selector`.
"""

from typing import Any, Literal

import equinox as eqx
import jax
from jaxtyping import Array, Key

from madlib.protocols import Turn
from madlib.regimes.wrapper import Wrapper


class Selector(eqx.Module):
    """Chooses among data; the arrays in it are constants."""

    @property
    def needs_points(self) -> bool:
        """Whether it looks at the points, as nearly all do."""
        return True

    def __call__(self, key: Key[Array, ""], data: Any, turn: Turn) -> Any: ...


class Curated(Wrapper):
    """A regime that sees data through a selector.

    Attributes:
        regime: the rule.
        select: `select(key, data, turn)`, a function or a `Selector`.
        of: which data: "synthetic", new "real" examples, or "all", the training set as mixed.
    """

    select: Any
    of: Literal["synthetic", "real", "all"] = eqx.field(default="synthetic", static=True)

    @property
    def needs_points(self):
        looks = self.select.needs_points if isinstance(self.select, Selector) else True
        return self.regime.needs_points or looks

    def training_set(self, key, turn, memory):
        if self.of == "all":
            k_data, k_select = jax.random.split(key)
            data, memory = self.regime.training_set(k_data, turn, memory)
            return self.select(k_select, data, turn), memory
        draw = turn.real if self.of == "real" else turn.synthetic

        def selected(key, n):
            k_draw, k_select = jax.random.split(key)
            return self.select(k_select, draw(k_draw, n), turn)

        return self.regime.training_set(key, turn._replace(**{self.of: selected}), memory)
