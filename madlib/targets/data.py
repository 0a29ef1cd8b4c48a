"""Distributions without a formula: given examples, files, handwritten digits."""

import dataclasses
import math
import os
import warnings
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from madlib.datasets import Samples
from madlib.errors import (
    Flag,
    NonNegative,
    NonNegatives,
    Reals,
    Unavailable,
    as_points,
    as_reals,
    check_fields,
    checked,
    one_of,
    require,
)
from madlib.linalg import origin_of
from madlib.protocols import Generator, Space, Target
from madlib.targets.files import describe, package, read_points
from madlib.targets.laws import normal_params

Part = Annotated[str, one_of("all", "training", "held out")]


@dataclasses.dataclass(frozen=True)
class Empirical(Generator):
    """The distribution that picks one of N given examples at random.

    Its parameters are the examples, as `Samples`; their weights are not looked at.

    Attributes:
        dim: d.
        replace: True draws each example independently; False deals them like cards, a shuffled
            deck after the other, so that n <= N draws are n different examples.
        n_classes: number of classes; 0 where examples have no labels.
        n_symbols: number of symbols where examples are sequences of them; 0 where they are not.
        origin: d numbers that were subtracted from the examples; see `empirical`.

    Example:
        >>> from madlib import targets
        >>> targets.empirical([[1, 2], [3, 4], [5, 6]], replace=False).family
        Empirical(dim=2, replace=False, n_classes=0, n_symbols=0, origin=())
    """

    dim: int
    replace: bool = True
    n_classes: int = 0
    n_symbols: int = 0
    origin: tuple[float, ...] = ()

    @property
    def space(self) -> Space:
        return Space(self.dim, self.n_symbols, self.n_classes)

    def draw(self, key: Key[Array, ""], params: Samples, n: int, lam: Any = 1.0) -> Samples:
        del lam
        (n_examples,) = params.weight.shape
        if self.replace:
            rows = jax.random.randint(key, (n,), 0, n_examples)
        else:
            decks = jax.random.split(key, max(1, -(-n // n_examples)))
            rows = jax.vmap(lambda key: jax.random.permutation(key, n_examples))(decks)
            rows = rows.reshape(-1)[:n]
        drawn = jax.tree.map(lambda leaf: leaf[rows], params)
        return drawn._replace(weight=jnp.ones(n))

    def sample(self, key: Key[Array, ""], params: Samples, n: int, lam: Any = 1.0) -> Array:
        return self.draw(key, params, n, lam).points


@dataclasses.dataclass(frozen=True)
class Deformed(Empirical):
    r"""The distribution of one of N given square images, drawn at random and slightly deformed.

    Every draw shifts, turns and thickens its image anew, so that no image is drawn twice. Pixels
    are interpolated bilinearly, with 0 outside the image; thickness multiplies the odds of ink,
    $x/(1 - x)$, so that pixels stay in [0, 1].

    Attributes:
        shift: largest shift along either axis, in pixels; uniform.
        rotation: largest angle about the center, in degrees; uniform.
        thickness: largest log of the factor of the odds; uniform.

    Example:
        >>> from madlib import targets
        >>> targets.deformed_digits(shift=0.5).family.shift
        0.5
    """

    shift: NonNegative = 0.25
    rotation: NonNegative = 8.0
    thickness: NonNegative = 0.5

    def __post_init__(self):
        check_fields(self)
        square = math.isqrt(self.dim) ** 2 == self.dim
        require(square, "images must be square", f"{self.dim} pixels", "Pad them.")

    def draw(self, key: Key[Array, ""], params: Samples, n: int, lam: Any = 1.0) -> Samples:
        k_rows, k_deformation = jax.random.split(key)
        samples = super().draw(k_rows, params, n, lam)
        return samples._replace(points=self.deform(k_deformation, samples.points))

    def deform(self, key: Key[Array, ""], images: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """The images, each deformed in its own way."""
        side = math.isqrt(self.dim)
        center = (side - 1) / 2
        y, x = jnp.mgrid[:side, :side].astype(float) - center

        def one(uniform: Float[Array, " 4"], image: Float[Array, " d"]) -> Float[Array, " d"]:
            angle = math.radians(self.rotation) * uniform[0]
            cos, sin = jnp.cos(angle), jnp.sin(angle)
            down, right = self.shift * uniform[1:3] + center
            source = [cos * y - sin * x + down, sin * y + cos * x + right]
            ink = jax.scipy.ndimage.map_coordinates(image.reshape(side, side), source, order=1)
            odds = jnp.exp(self.thickness * uniform[3])
            return (odds * ink / (1 + (odds - 1) * ink)).ravel()

        uniform = jax.random.uniform(key, (len(images), 4), minval=-1.0, maxval=1.0)
        return jax.vmap(one)(uniform, images)


_deform = jax.jit(Deformed.deform, static_argnums=0)


class Dealt(Target):
    """A target of N examples of which no loop sees one twice; see `dealt`."""

    deal: tuple[int, ...] = eqx.field(default=(), static=True)  # N, n_ini and n_generations

    def at(self, key, generation, n_ini, n_generations):
        n = len(self.params.weight)
        require(n_ini <= n, f"n_ini must be at most {n}, all the real data", n_ini, "Lower it.")
        if isinstance(generation, int) and generation == 1:  # later ones are traced.
            start, n_dealt = 0, n_ini
        else:
            n_dealt = (n - n_ini) // (n_generations - 1) if n_generations > 1 else n
            start = n_ini + (generation - 2) * n_dealt
        order = jax.random.permutation(jax.random.fold_in(key, 0), n)  # 0 is no generation.
        rows = jax.lax.dynamic_slice_in_dim(order, start, n_dealt)
        hand = jax.tree.map(lambda leaf: leaf[rows], self.params)
        return dataclasses.replace(self, params=hand, deal=(n, n_ini, n_generations))

    def draw(self, key, n):
        n_dealt = len(self.params.weight)
        required = f"no example is dealt twice, so there are {n_dealt} for this draw"
        if self.deal and n > n_dealt:
            n_all, n_ini, n_generations = self.deal
            last = 1 + (n_all - n_ini) // n
            required += (
                f": with {n} for each generation the {n_all} last to {last} of {n_generations}"
            )
        remedy = "Lower n_ini, n_r or n_generations, or bring more data."
        require(n <= n_dealt, required, f"n={n}", remedy)
        return super().draw(key, n)


def dealt(target: Target) -> Target:
    r"""The same examples, of which no loop sees one twice: fresh data from a finite set.

    A shuffle, another one in each replicate, deals n_ini examples to generation 1 and an equal
    share of the rest to each later generation. A regime may draw up to its share, once per
    generation: n_ini + n_r (n_generations - 1) <= N, or `simulate` refuses before it computes.

    Args:
        target: of examples, such as `empirical`, `passages` or `mnist` make.

    Example:
        >>> import jax
        >>> import madlib
        >>> target = madlib.targets.dealt(madlib.targets.empirical([[1], [2], [4], [8], [16]]))
        >>> try:
        ...     madlib.run_loop(
        ...         jax.random.key(0), madlib.Gaussian(1), madlib.FreshData(n_r=2, n_s=2), target,
        ...         n_ini=2, n_generations=3,
        ...     )
        ... except madlib.ParameterError as error:
        ...     print(str(error)[:67])
        no example is dealt twice, so there are 1 for this draw: with 2 for
    """
    fine = isinstance(target, Target) and isinstance(target.family, Empirical)
    require(fine, "only examples can be dealt", repr(target)[:80], "See targets.empirical.")
    family = dataclasses.replace(target.family, replace=False)  # pyright: ignore
    return Dealt(target.params, target.reference, family, target.symbols)


@checked
def empirical(
    points: Any,
    labels: NonNegatives = None,
    *,
    replace: Flag = True,
    symbols: tuple[str, ...] = (),
    origin: Reals = None,
) -> Target:
    """The empirical distribution of given examples, or of those of a file.

    The reference is the normal distribution with their mean and covariance (divided by N), taken in
    double precision; there is none for sequences of symbols.

    The loop computes in single precision. Coordinates more than a thousand times as far from zero
    as they are spread would lose their digits, so an origin is subtracted from them: one found
    here, or the one given, so that several sets share it. Models, samples and the reference are
    relative to it, and `target.family.origin` has it; elsewhere it is 0.

    Args:
        points: [N, d]; or the path of a .npy, .npz (one array, or `points` and `labels`), .csv or
            .parquet file of numbers, a row per example. Nothing in it is unpickled.
        labels: [N], classes counted from 0; None where there are none.
        replace: whether draws are independent, or examples dealt without repetition.
        symbols: names of the symbols 0, 1, ... where examples are sequences of them; else empty.
        origin: [d], or a number; None for the one described above.

    Example:
        >>> from madlib import targets
        >>> target = targets.empirical([[1e8 + 1, 0], [1e8 + 3, 1]])
        >>> target.reference.cov.tolist(), target.family.origin
        ([[1.0, 0.5], [0.5, 0.25]], (100000000.0, 0.0))
    """
    if isinstance(points, str | os.PathLike):
        points, found = read_points(points)
        labels = found if labels is None else labels
    else:
        points = as_reals(points, "points")
    points = as_points(points)
    n, d = points.shape
    if origin is None:
        origin, spread = origin_of(points), np.ptp(points, axis=0)
        origin = np.where((spread > 0) & (np.abs(origin) > 1000 * spread), origin, 0.0)
    points -= origin  # a copy of what was given
    label, n_classes = None, 0
    if labels is not None:
        whole = labels.shape == (n,) and not np.any(labels % 1)
        required = "labels must be N whole numbers, one for each point"
        received = f"shape {labels.shape} for {n} points, or other numbers"
        require(whole, required, received, "Number the classes from 0.")
        label, n_classes = jnp.asarray(labels, jnp.int32), int(labels.max()) + 1
    samples = Samples.of(jnp.asarray(points, jnp.float32), label)
    shift = tuple(np.broadcast_to(origin, d).tolist()) if np.any(origin) else ()
    family = Empirical(d, replace, n_classes, len(symbols), shift)
    if not symbols:
        mean = points.mean(axis=0)
        gaps = points - mean
        return Target(samples, normal_params(mean, gaps.T @ gaps / n), family)
    outside = points[(points % 1 != 0) | (points < 0) | (points >= len(symbols))]
    required = f"symbols must be whole numbers from 0 to {len(symbols) - 1}"
    require(not outside.size, required, outside[:1], "Encode the text with targets.encode.")
    return Target(samples, None, family, tuple(symbols))


N_TRAINING_DIGITS = 1297  # the other 500 are held out.
N_TRAINING_MNIST = 60_000  # the other 10,000 are held out.


@checked
def digits(part: Part = "all", *, labeled: Flag = False, replace: Flag = True) -> Target:
    """The 1797 handwritten digits of scikit-learn, 8 x 8 pixels in [0, 1]: points [n, 64].

    Args:
        part: "all", "training" (1,297 of them) or "held out" (the other 500, no writer's order
            kept: the split is a fixed shuffle).
        labeled: whether examples carry their class, 0 to 9.
        replace: as for `empirical`.

    Raises:
        Unavailable: without scikit-learn.

    Example:
        >>> from madlib import targets
        >>> targets.digits("held out").params.points.shape
        (500, 64)
    """
    points, label = package("sklearn.datasets", "book").load_digits(return_X_y=True)
    return _images(points / 16, label, N_TRAINING_DIGITS, part, labeled, replace)


@checked
def deformed_digits(
    part: Part = "all",
    *,
    labeled: Flag = False,
    replace: Flag = True,
    shift: NonNegative = 0.25,
    rotation: NonNegative = 8.0,
    thickness: NonNegative = 0.5,
) -> Target:
    """Handwritten digits without end: each draw is one of `digits`, deformed as never before.

    Two deformations of one digit are nearly as far apart as a digit and the nearest other one. By
    default they stay readable: a classifier of undeformed digits that is right on 98.8 % of the
    held-out ones is right on 97.5 % of them deformed. The reference is the normal distribution with
    the mean and covariance of 32,768 draws. Compare samples with held-out digits deformed likewise,
    `deformed_digits("held out").sample(key, n)`.

    Args:
        part, labeled, replace: as for `digits`; replace is of the digits that are deformed.
        shift, rotation, thickness: as for `Deformed`.

    Example:
        >>> import jax
        >>> from madlib import targets
        >>> points = targets.deformed_digits("training").sample(jax.random.key(0), 2000)
        >>> len(set(map(bytes, points.__array__())))
        2000
    """
    plain = digits(part, labeled=labeled, replace=replace)
    dim, sizes = plain.space.dim, (shift, rotation, thickness)
    family = Deformed(dim, replace, plain.space.n_classes, 0, (), *sizes)
    images = jnp.resize(plain.params.points, (2**15, dim))
    deformed = _deform(family, jax.random.key(0), images)
    return Target(plain.params, empirical(deformed).reference, family)


@checked
def mnist(part: Part = "all", *, labeled: Flag = False, replace: Flag = True) -> Target:
    """The 70,000 digits of MNIST, 28 x 28 pixels in [0, 1]: points [n, 784].

    They come from OpenML, over the network the first time, and are kept by scikit-learn.

    Args:
        part, labeled, replace: as for `digits`; the held-out part has 10,000 images.

    Raises:
        Unavailable: without scikit-learn, or if the images are not here and OpenML cannot be
            reached.

    Example:
        >>> from madlib import targets
        >>> targets.mnist("training").space.dim  # doctest: +SKIP
        784
    """
    datasets = package("sklearn.datasets", "book")
    try:
        with warnings.catch_warnings(action="ignore"):  # of caches and of another attempt
            points, label = datasets.fetch_openml(
                "mnist_784", version=1, return_X_y=True, as_frame=False, n_retries=1
            )
    except (OSError, ValueError) as error:
        raise Unavailable(
            "MNIST must come from OpenML, over the network, the first time; got "
            f"{describe(error)}. Connect once, or use digits, which need no network."
        ) from None
    return _images(points / 255, label.astype(int), N_TRAINING_MNIST, part, labeled, replace)


@checked
def images(
    name: Annotated[str, one_of("digits", "deformed digits", "mnist")],
    part: Part = "all",
    *,
    labeled: Flag = False,
    replace: Flag = True,
) -> Target:
    """The images of this name, "digits", "deformed digits" or "mnist"; the rest as for `digits`.

    Example:
        >>> from madlib import targets
        >>> targets.images("digits", "training", labeled=True).space
        Space(dim=64, n_symbols=0, n_classes=10)
    """
    kind = {"digits": digits, "deformed digits": deformed_digits, "mnist": mnist}[name]
    return kind(part, labeled=labeled, replace=replace)


def _images(
    points: Any, label: Any, n_training: int, part: str, labeled: bool, replace: bool
) -> Target:
    rows = rows_of_part(len(points), n_training, part)
    return empirical(points[rows], label[rows] if labeled else None, replace=replace)


def rows_of_part(n: int, n_training: int, part: str) -> Any:
    """Rows of "all", "training" or "held out" examples of n, by a fixed shuffle."""
    order = np.random.default_rng(0).permutation(n)
    return {"all": slice(None), "training": order[:n_training]}.get(part, order[n_training:])
