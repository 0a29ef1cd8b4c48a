r"""The design, on one page: what the parts of a self-consuming loop ask of one another.

    the target draws real data -> a generator is fitted -> it draws synthetic data
      -> a regime mixes real and synthetic into a training set -> a generator is fitted -> ...

A part of your own derives from one of these classes; everything here that has a body is a default.
Keys come first, are split once and never used twice. One replicate is written down; `jax.vmap` and
the devices make many.
"""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
from jaxtyping import Array, Float, Int, Key

# In a regime: a number, or where draws are exact an array of them, which is an axis of a grid.
Size = Annotated[Any, "size"]  # of a data set: whole, at least 0.
Number = Annotated[Any, "number"]  # a weight or a share.


@runtime_checkable
class Dataset(Protocol):
    """What a training set is: points, sufficient statistics, normal equations.

    `a + b` holds both, `w * a` counts every example of a w times. A dataset that grows in the loop
    begins with `empty(n)`, room for n examples; `extend` is `+` without a change of shape.
    """

    def __add__(self, other: Any) -> Any: ...
    def __rmul__(self, w: Any) -> Any: ...
    def empty(self, n: Any) -> Any: ...
    def extend(self, other: Any) -> Any: ...


Draw = Callable[[Key[Array, ""], Any], Any]  # draw(key, n) -> Dataset


class Space(NamedTuple):
    """Where examples live; generator and target share one.

    Attributes:
        dim: d, numbers in an example.
        n_symbols: K, if these are the numbers of symbols; else 0.
        n_classes: C, if examples carry the label of a class; else 0.
    """

    dim: int
    n_symbols: int = 0
    n_classes: int = 0


class Generator:
    """A rule for learning a distribution and drawing from it, as `fit`, `draw` and `sample` say.

    A frozen dataclass of plain numbers: hashable, static under `jax.jit`. What was learned is a
    NamedTuple of arrays, `params`.

    Attributes:
        exact: whether `draw` returns sufficient statistics, at a cost that does not grow with n.
        sequential: whether one fit keeps a core busy, so that replicates take turns.
        minimum_weight: size of the smallest training set that can be fitted.
        lam_range: smallest and largest sampling bias.
        space: of the examples.
    """

    exact: bool = False
    sequential: bool = False
    minimum_weight: int = 2
    lam_range: tuple[float, float] = (0.0, 1.0)
    dim: int

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
        """Parameters learned from a summarized dataset, whose weights are honored."""
        ...

    def draw(self, key: Key[Array, ""], params: Any, n: Any, lam: Any = 1.0) -> Any:
        r"""n synthetic examples as a dataset, with sampling bias $\lambda$."""
        ...

    def sample(self, key: Key[Array, ""], params: Any, n: int, lam: Any = 1.0) -> Array:
        r"""n synthetic examples as points [n, d], with sampling bias $\lambda$."""
        ...

    def log_prob(self, params: Any, points: Float[Array, "n d"]) -> Float[Array, " n"]:
        """Log-density or log-probability of points in nats, [n], where the generator has one."""
        ...


class Target(eqx.Module):
    """The real distribution $P_r$: a generator whose parameters nobody in the loop can see.

    Attributes:
        params: parameters of the family; traced, so changing them compiles nothing.
        reference: parameters that a model of this target is compared with: the target's own or,
            for data, the best that a model of that family could learn; None where there are none.
        family: the generator that draws from them.
        symbols: names of the symbols of a discrete target, in order; else empty.
    """

    params: Any
    reference: Any
    family: Generator = eqx.field(static=True)
    symbols: tuple[str, ...] = eqx.field(default=(), static=True)

    @property
    def space(self) -> Space:
        return self.family.space

    def draw(self, key: Key[Array, ""], n: Any) -> Any:
        """n real examples, as the dataset natural to the family."""
        return self.family.draw(key, self.params, n)

    def sample(self, key: Key[Array, ""], n: int) -> Array:
        """n real examples as points [n, d]."""
        return self.family.sample(key, self.params, n)


@dataclasses.dataclass(frozen=True)
class Model:
    r"""A fitted generator $G^t$ and the bias with which it is sampled.

    Attributes:
        generator: the rule.
        params: what was learned, $\theta_t$.
        lam: sampling bias $\lambda$.
        key: of `samples`, in the row of a metric.
    """

    generator: Generator
    params: Any
    lam: Any = 1.0
    key: Any = None
    _drawn: dict[int, Any] = dataclasses.field(default_factory=dict, repr=False)

    def draw(self, key: Key[Array, ""], n: Any) -> Any:
        """n synthetic examples, as the dataset natural to the generator."""
        return self.generator.draw(key, self.params, n, self.lam)

    def log_prob(self, points: Float[Array, "n d"]) -> Float[Array, " n"]:
        """Log-density of points in nats, [n], without the bias."""
        return self.generator.log_prob(self.params, points)

    def samples(self, n: int) -> Any:
        """n `Samples`, the same ones for all metrics of a row."""
        if n not in self._drawn:
            generator = self.generator.pointwise()
            self._drawn[n] = generator.draw(self.key, self.params, n, self.lam)
        return self._drawn[n]


class Turn(NamedTuple):
    """What one generation may see.

    Attributes:
        generation: [], t of the model to be trained, at least 2.
        n_generations: of the whole loop.
        real: `real(key, n)`, a dataset of n real examples.
        synthetic: `synthetic(key, n)`, one of n examples of $G^{t-1}$, with bias lam.
        model: $G^{t-1}$.
    """

    generation: Int[Array, ""]
    n_generations: int
    real: Draw
    synthetic: Draw
    model: Model


class Regime(eqx.Module):
    """Answers one question: what is the training set of this generation?

    Fields annotated `Size` or `Number` may be arrays, the axes of a grid; all others, arrays among
    them, are constants, the same for every replicate. `needs_points` says whether the mixing needs
    the points themselves, even of a generator that could do without.
    """

    @property
    def needs_points(self) -> bool:
        return False

    def smallest_size(self, n_ini: Any, n_generations: int) -> Any:
        """Size of the smallest training set after generation 1; ParameterError if sizes clash."""
        ...

    def init(self, real: Any, n_generations: int) -> Any:
        """Memory before generation 2; real is the training set of generation 1."""
        del real, n_generations
        return ()

    def training_set(self, key: Key[Array, ""], turn: Turn, memory: Any) -> tuple[Any, Any]:
        """Training set of this generation, and the memory for the next."""
        ...


@runtime_checkable
class Metric(Protocol):
    """A number, or a dict of named ones, for each row of a trajectory.

    A function goes by its `__name__`; an object returns a dict.
    """

    def __call__(self, model: Model, target: Target) -> Any: ...
