r"""The design, on one page: what the parts of a self-consuming loop ask of one another.

    the target draws real data -> a generator is fitted -> it draws synthetic data
      -> a regime mixes real and synthetic into a training set -> a generator is fitted -> ...

A part of your own derives from one of these classes. Whatever has a body here is a default. Keys
come first and are used once. One replicate is written down; `jax.vmap` and devices make many.
"""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
from jaxtyping import Array, Float, Int, Key

# Fields of a regime that may be axes of a grid where draws are exact; all others are constants.
Size = Annotated[Any, "size"]  # of a data set: whole, at least 0.
Number = Annotated[Any, "number"]  # a weight, a share, an exponent.
Draw = Callable[[Key[Array, ""], Any], Any]  # draw(key, n) -> Dataset


@runtime_checkable
class Dataset(Protocol):
    """A training set: points or statistics; `empty(n)` is room, `extend` a `+` of fixed shape."""

    def __add__(self, other: Any) -> Any: ...
    def __rmul__(self, w: Any) -> Any: ...
    def empty(self, n: Any) -> Any: ...
    def extend(self, other: Any) -> Any: ...


class Space(NamedTuple):
    """Where examples live: d numbers, of n_symbols symbols, of n_classes classes (0: none)."""

    dim: int
    n_symbols: int = 0
    n_classes: int = 0


class Generator:
    """A rule for learning a distribution and drawing from it.

    A frozen dataclass of plain numbers, static under `jax.jit`; params is a NamedTuple of arrays.
    """

    dim: int  # d, numbers in an example
    exact: bool = False  # whether `draw` returns sufficient statistics, at a cost flat in n
    sequential: bool = False  # whether a fit keeps a core busy, so that replicates take turns
    minimum_weight: int = 2  # size of the smallest training set that can be fitted
    lam_range: tuple[float, float] = (0.0, 1.0)

    @property
    def space(self) -> Space:
        return Space(self.dim)

    def pointwise(self) -> "Generator":
        """The same rule, drawing points where it could draw their sufficient statistics."""
        return dataclasses.replace(self, exact=False) if self.exact else self  # pyright: ignore

    def summarize(self, dataset: Any) -> Any:
        """What `fit` needs of a dataset: sufficient statistics, or the dataset itself."""
        return dataset

    def fit(self, key: Key[Array, ""], dataset: Any) -> Any:
        """Params learned from a summarized dataset, whose weights are honored."""
        ...

    def draw(self, key: Key[Array, ""], params: Any, n: Any, lam: Any = 1.0) -> Any:
        r"""n synthetic examples as a dataset, with sampling bias $\lambda$."""
        ...

    def sample(self, key: Key[Array, ""], params: Any, n: int, lam: Any = 1.0) -> Array:
        r"""n synthetic examples as points [n, d], with sampling bias $\lambda$."""
        ...

    def log_prob(self, params: Any, points: Float[Array, "n d"]) -> Float[Array, " n"]:
        """Log-density of points in nats, [n], where the generator has one."""
        ...


class Target(eqx.Module):
    """The real distribution $P_r$: a generator whose parameters nobody in the loop can see."""

    params: Any  # of the family; traced, so changing them compiles nothing
    reference: Any  # params to compare a model with: these or, for data, the best it could learn
    family: Generator = eqx.field(static=True)
    symbols: tuple[str, ...] = eqx.field(default=(), static=True)  # their names, where there are

    @property
    def space(self) -> Space:
        return self.family.space

    def at(self, key: Key[Array, ""], generation: Any, n_ini: Any, n_generations: int) -> "Target":
        """As generation t of the loop with this key may draw from it; finite data can run out."""
        return self

    def draw(self, key: Key[Array, ""], n: Any) -> Any:
        """n real examples as a dataset."""
        return self.family.draw(key, self.params, n)

    def sample(self, key: Key[Array, ""], n: int) -> Array:
        """The same as points [n, d]."""
        return self.family.sample(key, self.params, n)

    def log_prob(self, points: Float[Array, "n d"]) -> Float[Array, " n"]:
        """Log-density or log-probability of points in nats, [n], where the family has one."""
        return self.family.log_prob(self.params, points)


@dataclasses.dataclass(frozen=True)
class Model:
    r"""A fitted generator $G^t$, the bias $\lambda$ of its draws, and the key of its `samples`."""

    generator: Generator
    params: Any
    lam: Any = 1.0
    key: Any = None
    _drawn: dict[int, Any] = dataclasses.field(default_factory=dict, repr=False)

    def draw(self, key: Key[Array, ""], n: Any) -> Any:
        """n synthetic examples as a dataset."""
        return self.generator.draw(key, self.params, n, self.lam)

    def log_prob(self, points: Float[Array, "n d"]) -> Float[Array, " n"]:
        """Log-density of points in nats, [n], without the bias."""
        return self.generator.log_prob(self.params, points)

    def samples(self, n: int) -> Any:
        """n synthetic `Samples`, the same ones for all metrics of a row."""
        if n not in self._drawn:
            self._drawn[n] = self.generator.pointwise().draw(self.key, self.params, n, self.lam)
        return self._drawn[n]


class Turn(NamedTuple):
    """What one generation may see: t, and draws of n real examples and of n by the last model."""

    generation: Int[Array, ""]
    n_generations: int
    real: Draw
    synthetic: Draw
    model: Model


class Regime(eqx.Module):
    """Answers one question: what is the training set of this generation?"""

    @property
    def needs_points(self) -> bool:
        """Whether it needs points, even of a generator that could do without."""
        return False

    def smallest_size(self, n_ini: Any, n_generations: int) -> Any:
        """Size of the smallest training set after generation 1; ParameterError if sizes clash."""
        ...

    def init(self, real: Any, n_generations: int) -> Any:
        """Memory before generation 2; real is the training set of generation 1."""
        return ()

    def training_set(self, key: Key[Array, ""], turn: Turn, memory: Any) -> tuple[Any, Any]:
        """Training set of this generation, and the memory for the next."""
        ...


@runtime_checkable
class Metric(Protocol):
    """A number for each row, recorded under the name of the function; or a dict of named ones."""

    def __call__(self, model: Model, target: Target) -> Any: ...
