r"""Regimes: what is the training set of this generation?

A regime holds sizes and answers one question. It never fits and never measures. The three of
Alemohammad et al. 2023 (Sec. 3) and their kin are a line or two each:

    FullySynthetic          D^t = D_s^t
    SyntheticAugmentation   D^t = D_r + D_s^t          D_r the same at every generation
    FreshData               D^t = D_r^t + D_s^t        D_r^t drawn anew
    Accumulate              D^t = D^{t-1} + D_s^t      Gerstgrasser et al. 2024
    AccumulateSubsample     D^t = n of all so far      Kazdan et al. 2024

`draw_real(key, n)` and `draw_synthetic(key, n)` return datasets; `+` is the mixing. Sizes are
pytree leaves: whole numbers, or arrays when a whole grid of sizes is simulated at once.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from madlib.datasets import Dataset
from madlib.parameters import ParameterError, closest

Draw = Callable[[Key[Array, ""], Any], Dataset]


class Regime(Protocol):
    """What the loop asks of a regime, an `equinox.Module`.

    Fields that are sizes are called n or n_...; there may be others, such as a share. Where draws
    are exact, all of them may be arrays, and arrive in `training_set` traced.

    Attributes:
        needs_points: whether the mixing needs the points themselves, even of a generator that could
            do without.
    """

    needs_points: bool

    def init(self, real: Dataset, n_generations: int) -> Any:
        """Memory before generation 2; real is the training set of generation 1."""
        ...

    def training_set(
        self, key: Key[Array, ""], memory: Any, draw_real: Draw, draw_synthetic: Draw
    ) -> tuple[Dataset, Any]:
        """Training set of this generation, and the memory for the next."""
        ...

    def smallest_size(self, n_ini: Any) -> Any:
        """Smallest training set after generation 1; ParameterError if sizes do not fit."""
        ...


class FullySynthetic(eqx.Module):
    """Only the previous model's samples.

    Attributes:
        n_s: synthetic samples per generation.
    """

    n_s: Any
    needs_points: ClassVar[bool] = False

    def init(self, real, n_generations):
        return ()

    def training_set(self, key, memory, draw_real, draw_synthetic):
        return draw_synthetic(key, self.n_s), memory

    def smallest_size(self, n_ini):
        return self.n_s


class SyntheticAugmentation(eqx.Module):
    """The real data of generation 1, kept, beside the previous model's samples.

    Attributes:
        n_s: synthetic samples per generation; the fixed real set has size n_ini.
    """

    n_s: Any
    needs_points: ClassVar[bool] = False

    def init(self, real, n_generations):
        return real

    def training_set(self, key, memory, draw_real, draw_synthetic):
        return memory + draw_synthetic(key, self.n_s), memory

    def smallest_size(self, n_ini):
        return n_ini + self.n_s


class FreshData(eqx.Module):
    """New real data at every generation, beside samples of the last `memory` models.

    Attributes:
        n_r: fresh real samples per generation.
        n_s: synthetic samples per generation, n_s / memory of them from each of the last `memory`
            models (fewer models, and so fewer samples, in the first generations). 0 is the
            real-only baseline.
        memory: K, how many models back; new samples of each of them at every generation.
    """

    n_r: Any
    n_s: Any
    memory: int = eqx.field(default=1, static=True)
    needs_points: ClassVar[bool] = False

    def init(self, real, n_generations):
        # Old models are not kept: what they will be asked for is drawn at once, and waits. The j-th
        # set is for the j-th generation from now, from K - 1 - j models that are already gone.
        n = self.n_s // self.memory
        return tuple(real.empty(n * waiting) for waiting in range(self.memory - 1, 0, -1))

    def training_set(self, key, memory, draw_real, draw_synthetic):
        k_real, k_synthetic = jax.random.split(key)
        keys = jax.random.split(k_synthetic, self.memory)
        draws = jax.vmap(lambda key: draw_synthetic(key, self.n_s // self.memory))(keys)
        now, *later = (jax.tree.map(lambda leaf, i=i: leaf[i], draws) for i in range(self.memory))
        data = draw_real(k_real, self.n_r) + now
        if not later:
            return data, memory
        waiting = [old + new for old, new in zip(memory[1:], later, strict=False)]
        return data + memory[0], (*waiting, later[-1])

    def smallest_size(self, n_ini):
        if self.memory < 1 or np.any(np.mod(self.n_s, self.memory)):
            raise ParameterError(
                f"memory must be >= 1 and divide n_s; got memory={self.memory} and n_s={self.n_s}. "
                f"Use a multiple of {max(self.memory, 1)} for n_s."
            )
        return self.n_r + self.n_s // self.memory


class Accumulate(eqx.Module):
    """Everything there ever was: the real data of generation 1 and all synthetic data since.

    Attributes:
        n_s: synthetic samples added per generation.
    """

    n_s: Any
    needs_points: ClassVar[bool] = False

    def init(self, real, n_generations):
        return real + real.empty(self.n_s * (n_generations - 1))

    def training_set(self, key, memory, draw_real, draw_synthetic):
        memory = memory.extend(draw_synthetic(key, self.n_s))
        return memory, memory

    def smallest_size(self, n_ini):
        return n_ini + self.n_s


class AccumulateSubsample(eqx.Module):
    """A fixed number of examples, drawn without replacement from everything there ever was.

    A subsample is not a function of the moments, so the points themselves are accumulated.

    Attributes:
        n_s: synthetic samples added per generation.
        n: size of the training set, at most n_ini + n_s (what there is at generation 2).
    """

    n_s: int
    n: int
    needs_points: ClassVar[bool] = True

    def init(self, real, n_generations):
        return real + real.empty(self.n_s * (n_generations - 1))

    def training_set(self, key, memory, draw_real, draw_synthetic):
        k_synthetic, k_subsample = jax.random.split(key)
        memory = memory.extend(draw_synthetic(k_synthetic, self.n_s))
        uniform = jax.random.uniform(k_subsample, memory.weight.shape)
        _, chosen = jax.lax.top_k(jnp.where(memory.weight > 0, uniform, -1.0), self.n)
        return jax.tree.map(lambda leaf: leaf[chosen], memory), memory

    def smallest_size(self, n_ini):
        if self.n > n_ini + self.n_s:
            raise ParameterError(
                f"n must be at most n_ini + n_s, all there is at generation 2; got n={self.n}, "
                f"n_ini={n_ini}, n_s={self.n_s}. Use n <= {n_ini + self.n_s}."
            )
        return self.n


REGIMES = {
    cls.__name__: cls
    for cls in (FullySynthetic, SyntheticAugmentation, FreshData, Accumulate, AccumulateSubsample)
}


def make_regime(name: str, **sizes: Any) -> Regime:
    """A regime by its name, for command lines and configuration files."""
    if name not in REGIMES:
        remedy = closest(name, REGIMES) or " Choose one of those."
        raise ParameterError(f"regime must be one of {', '.join(REGIMES)}; got {name!r}.{remedy}")
    fields = {field.name: field for field in dataclasses.fields(REGIMES[name])}
    required = [n for n, f in fields.items() if f.default is dataclasses.MISSING]
    wrong = sorted(set(sizes) - set(fields)) + sorted(set(required) - set(sizes))
    if wrong:
        raise ParameterError(
            f"{name} takes {', '.join(fields)}; got {', '.join(sizes) or 'nothing'}. "
            f"Check {', '.join(wrong)}."
        )
    return REGIMES[name](**sizes)
