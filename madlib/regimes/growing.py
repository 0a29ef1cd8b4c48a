r"""n(t): any regime whose sizes change from generation to generation.

A schedule multiplies: at generation t a size n becomes the whole number nearest to n schedule(t).
Sizes that grow faster than linearly bound the drift of a fully synthetic loop.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from madlib.errors import Count, as_reals, check_fields, require
from madlib.protocols import Number, Regime
from madlib.regimes.wrapper import Wrapper
from madlib.sizes import map_numbers


class Power(eqx.Module):
    """The schedule t^exponent.

    Attributes:
        exponent: 0 leaves sizes as they are.
    """

    exponent: Number

    def __call__(self, t: Any) -> Any:
        return t**self.exponent


class Dwindling(eqx.Module):
    r"""The schedule of the real, or of the synthetic, part of batches whose real share dwindles.

    A batch grows as $t^g$, and its real share is $c/(t + c - 1)$: all of it for t = 1, later about
    $c/t$. The same size for both parts then makes their sum that size times $t^g$.

    Attributes:
        c: of the share.
        growth: g.
        real: whether the schedule is that of the real part.

    Example:
        >>> from madlib import FreshData
        >>> from madlib.regimes import Dwindling, Growing
        >>> parts = {"n_r": Dwindling(9, 1.0, real=True), "n_s": Dwindling(9, 1.0, real=False)}
        >>> regime = Growing(FreshData(100, 100), parts)
        >>> [round(100 * schedule(11.0)) for schedule in parts.values()]
        [521, 579]
    """

    c: Number
    growth: Number
    real: bool = eqx.field(static=True)

    def __call__(self, t: Any) -> Any:
        return t**self.growth * (self.c if self.real else t - 1) / (t + self.c - 1)


class Stairs(eqx.Module):
    """A schedule of stairs: each height for `length` generations, from generation 2 on.

    So one program lets a loop come to rest at many sizes, one after another; the last generation on
    stair i is 1 + i length. Heights of 0 for n_s yield the learning curve as well.

    Attributes:
        heights: the factors, at least 0, in order; the last one holds from then on.
        length: of each stair, in generations.

    Raises:
        ParameterError: for anything else.

    Example:
        >>> from madlib.regimes import Stairs
        >>> stairs = Stairs((1.0, 0.0, 0.5), length=2)
        >>> [float(stairs(t)) for t in range(2, 9)]
        [1.0, 1.0, 0.0, 0.0, 0.5, 0.5, 0.5]
    """

    heights: tuple[float, ...] = eqx.field(static=True)
    length: Count = eqx.field(static=True)

    def __post_init__(self):
        check_fields(self)
        heights = as_reals(self.heights, "heights").ravel()
        fine, remedy = heights.size and heights.min() >= 0, "Use heights=(1.0, 0.5), say."
        require(fine, "heights must be numbers of at least 0", heights.tolist(), remedy)
        self.heights = tuple(heights.tolist())

    def __call__(self, t: Any) -> Any:
        since = [t - 1 - i * self.length for i in range(len(self.heights))]
        # 0 up to 0 and 1 from 1 on, without a choice, for numbers and traced ones alike.
        reached = [(abs(x) - abs(x - 1) + 1) / 2 for x in since]
        here = [now - later for now, later in zip(reached, [*reached[1:], 0.0], strict=True)]
        return sum(height * share for height, share in zip(self.heights, here, strict=True))


class Growing(Wrapper):
    """A regime whose sizes follow a schedule.

    Where points are drawn, arrays have the largest size of all generations, and the rows beyond
    n(t) weigh nothing.

    Attributes:
        regime: the rule, with the sizes that are multiplied.
        schedule: a function of t, for all sizes; or a dict of them by the name of the size, "n_r"
            or "n_s", where others stay as they are.
    """

    schedule: Callable[[Any], Any] | dict[str, Callable[[Any], Any]]

    def smallest_size(self, n_ini, n_generations):
        require(
            "n" not in self._sizes(self.regime)
            or (isinstance(self.schedule, dict) and "n" not in self.schedule),
            "the size n of a subsample cannot follow a schedule",
            self.schedule,
            'Give schedules by name, such as {"n_s": Power(1.0)}.',
        )
        smallest = np.inf
        for t in range(2, n_generations + 1):
            for name in ("n_r", "n_s"):
                factor = np.asarray(self._factor(name, float(t)), float)
                require(
                    np.isfinite(factor).all() and (factor >= 0).all(),
                    "a schedule must be finite and not negative at every generation",
                    f"{factor.min():g} for {name} at generation {t}",
                    "Use factors of 0 or more.",
                )
            size = self._at(float(t), np).smallest_size(n_ini, n_generations)
            smallest = np.minimum(smallest, size)
        return smallest

    def init(self, real, n_generations):
        return self._largest(n_generations).init(real, n_generations)

    def training_set(self, key, turn, memory):
        t = turn.generation.astype(float)
        if turn.model.generator.exact:
            return self._at(t, jnp).training_set(key, turn, memory)

        largest = self._largest(turn.n_generations)
        ends, peaks = self._sizes(self._at(t, jnp)), self._sizes(largest)

        def used(draw, name):
            def first_rows(key, n):
                n_used = jnp.round(n * ends[name] / peaks[name])
                return (jnp.arange(n, dtype=float) < n_used).astype(float) * draw(key, n)

            return first_rows if name in ends else draw

        turn = turn._replace(real=used(turn.real, "n_r"), synthetic=used(turn.synthetic, "n_s"))
        return largest.training_set(key, turn, memory)

    @staticmethod
    def _sizes(regime: Regime) -> dict[str, Any]:
        sizes: dict[str, Any] = {}
        map_numbers(lambda name, kind, size: sizes.setdefault(name, size), regime)
        return sizes

    def _factor(self, name: str, t: Any) -> Any:
        schedule = self.schedule
        if isinstance(schedule, dict):
            schedule = schedule.get(name, lambda t: t**0)
        return schedule(t)

    def _at(self, t: Any, numpy: Any) -> Regime:
        def grown(name, kind, size):
            if kind != "size":
                return size
            return numpy.round(size * self._factor(name, t))

        return map_numbers(grown, self.regime)

    def _largest(self, n_generations: int) -> Regime:
        def largest(name, kind, size):
            if kind != "size" or not isinstance(size, int):
                return size
            times = range(2, n_generations + 1)
            return max(round(size * float(self._factor(name, float(t)))) for t in times)

        return map_numbers(largest, self.regime)
