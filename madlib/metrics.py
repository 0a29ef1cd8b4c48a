r"""How far a model is from the truth, how good and how varied its samples are.

Three groups:

* **Model metrics**, `metric(params, reference) -> scalar`, look at fitted parameters and need no
  samples. They are what `simulate(..., record=(...))` evaluates at every generation. `reference`
  holds the target's parameters in the same family; metrics of the model alone ignore it. A
  collapsed model (zero or singular covariance, one symbol left) has its right limit, never NaN.
* **Sample metrics** compare point sets, real [n, d] and synthetic [m, d]. Say which real set was
  used, held-out real data unless said otherwise, and show beside it the same metric between two
  real sets: finite samples never reach the ideal value.

* **Metrics of samples in the loop**, `SampleScores`, `TailShares`, `NgramScores` and `Examples`:
  objects with `n_samples`, for generators whose parameters say nothing by themselves.
  `simulate(..., record=(...))` draws that many samples of the model, with its bias, and hands them
  over. `KullbackLeibler` and `HeldOutBits` are for models with a density.

One replicate everywhere; `jax.vmap` gives many.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key

from madlib.datasets import triangular_root
from madlib.parameters import ParameterError

if TYPE_CHECKING:
    from madlib.datasets import Samples
    from madlib.generators.categorical import CategoricalParams
    from madlib.generators.gaussian import NormalParams
    from madlib.generators.mixture import MixtureParams

Ball = Literal["closed", "open"]

# Numbers held at once by a chunk of coordinate differences: 16 MiB of float32.
_CHUNK = 2**22


def wasserstein2_squared(params: "NormalParams", reference: "NormalParams") -> Float[Array, ""]:
    r"""Squared 2-Wasserstein distance between two normal laws, $W_2^2$ (squared, as in FID).

    $$|\mu_1 - \mu_2|^2 + \operatorname{tr}\bigl(\Sigma_1 + \Sigma_2
      - 2 (\Sigma_1^{1/2} \Sigma_2 \Sigma_1^{1/2})^{1/2}\bigr)$$

    The trace is computed as $\min_U \|L_1 - L_2 U\|_F^2$ over orthogonal U (Procrustes), with
    $\Sigma_i = L_i L_i^T$: the same number, but a sum of squares of small differences where the
    trace would cancel.

    Args:
        params: mean [d] and lower triangular chol [d, d] of any rank; zero is a point mass.
        reference: the same, with the same d.

    Returns:
        [], at least 0.

    Raises:
        ParameterError: if either is not one normal law, or the dimensions differ.
    """
    mean, chol = _normal(params)
    mean_ref, chol_ref = _normal(reference)
    _require_same_shape(mean, mean_ref)
    return jnp.sum((mean - mean_ref) ** 2) + _procrustes_squared(chol, chol_ref)


def mean_error_squared(params: "NormalParams", reference: "NormalParams") -> Float[Array, ""]:
    r"""$|\mu - \mu_{ref}|^2$, the squared error of the mean."""
    mean, _ = _normal(params)
    mean_ref, _ = _normal(reference)
    _require_same_shape(mean, mean_ref)
    return jnp.sum((mean - mean_ref) ** 2)


def total_variance(params: "NormalParams", reference: Any = None) -> Float[Array, ""]:
    r"""$\operatorname{tr} \Sigma$, the sum of the variances of the d coordinates."""
    del reference
    return jnp.sum(_normal(params)[1] ** 2)


def standard_deviation(params: "NormalParams", reference: Any = None) -> Float[Array, ""]:
    r"""$\sqrt{\operatorname{tr} \Sigma / d}$, root mean square over coordinates; $\sigma$ if d = 1.

    Does not underflow before chol does, so it follows a collapse for twice as many decades as
    `total_variance`.
    """
    del reference
    _, chol = _normal(params)
    largest = jnp.max(jnp.abs(chol))
    scaled = chol / jnp.where(largest > 0, largest, 1.0)
    return largest * jnp.sqrt(jnp.sum(scaled**2) / chol.shape[0])


def log_determinant(params: "NormalParams", reference: Any = None) -> Float[Array, ""]:
    r"""$\log \det \Sigma$, the log of the generalized variance; -inf once a dimension is lost."""
    del reference
    return 2 * jnp.sum(jnp.log(jnp.abs(jnp.diagonal(_normal(params)[1]))))


def entropy(params: "CategoricalParams", reference: Any = None) -> Float[Array, ""]:
    r"""Shannon entropy $-\sum_i p_i \log p_i$ in nats; 0 when one symbol is left."""
    del reference
    probs = _probs(params)
    return -jnp.sum(probs * jnp.log(jnp.where(probs > 0, probs, 1.0)))


def support_size(params: "CategoricalParams", reference: Any = None) -> Int[Array, ""]:
    """Number of symbols of positive probability: those that can still be drawn."""
    del reference
    return jnp.sum(_probs(params) > 0)


def heterozygosity(params: "CategoricalParams", reference: Any = None) -> Float[Array, ""]:
    r"""$1 - \sum_i p_i^2$: the chance that two draws differ (also the Gini-Simpson index).

    The name is population genetics': under a fully synthetic loop its expectation decays as
    $(1 - 1/n)^t$, exactly, by genetic drift.
    """
    del reference
    probs = _probs(params)
    # Not 1 - sum p^2, which cancels when one symbol has nearly all the mass.
    return jnp.sum(probs * (1 - probs))


def total_variation(
    params: "CategoricalParams", reference: "CategoricalParams"
) -> Float[Array, ""]:
    r"""Total variation distance $\frac12 \sum_i |p_i - q_i|$ on the same k symbols, in [0, 1]."""
    probs, probs_ref = _probs(params), _probs(reference)
    _require_same_shape(probs, probs_ref)
    return jnp.sum(jnp.abs(probs - probs_ref)) / 2


def mixture_variance(params: "MixtureParams", reference: Any = None) -> Float[Array, ""]:
    r"""Total variance of a mixture, the trace of its covariance: $\operatorname{tr} \Sigma$.

    The sum of what its modes vary, `modal_variance`, and of what lies between them.
    """
    del reference
    weight, mean, chol = _mixture(params)
    gap = mean - (weight @ mean)[None, :]
    return weight @ (jnp.sum(chol**2, axis=(1, 2)) + jnp.sum(gap**2, axis=1))


def modal_variance(params: "MixtureParams", reference: "MixtureParams") -> Float[Array, ""]:
    r"""Average modal variance: trace of the covariance of each mode, averaged by weight.

    Each component belongs to the mode of the reference whose center is nearest, so that a mode
    described by several components varies as much as one described by a single one.
    """
    weight, mean, chol = _mixture(params)
    belongs = _belongs(mean, reference)
    of_mode = belongs @ weight
    center = belongs @ (weight[:, None] * mean) / jnp.where(of_mode > 0, of_mode, 1.0)[:, None]
    gap = mean - belongs.T @ center
    return weight @ (jnp.sum(chol**2, axis=(1, 2)) + jnp.sum(gap**2, axis=1))


def mode_weights(params: "MixtureParams", reference: "MixtureParams") -> Float[Array, " k"]:
    """Weight of each of the k modes of the reference: of the components nearest to its center."""
    weight, mean, _ = _mixture(params)
    return _belongs(mean, reference) @ weight


def n_modes(params: "MixtureParams", reference: "MixtureParams") -> Int[Array, ""]:
    """Modes of the reference that a mixture still has.

    The rule: a mode is there while the components nearest to its center weigh, together, at least a
    tenth of what it weighs in the reference.
    """
    return jnp.sum(mode_weights(params, reference) >= _mixture(reference)[0] / 10)


def mixture_l2_distance(params: "MixtureParams", reference: "MixtureParams") -> Float[Array, ""]:
    r"""$L_2$ distance between two mixture densities, $\bigl(\int (p - q)^2\bigr)^{1/2}$, exactly.

    The product of two normal densities integrates to one at the difference of their means:
    $\int N(x; \mu_i, \Sigma_i) N(x; \mu_j, \Sigma_j) dx = N(\mu_i; \mu_j, \Sigma_i + \Sigma_j)$.
    A mixture with a collapsed component is at an infinite distance: the density of a point has no
    $L_2$ norm.
    """
    ours, theirs = _mixture(params), _mixture(reference)
    _require_same_shape(ours[1][0], theirs[1][0])
    square = _overlap(ours, ours) + _overlap(theirs, theirs) - 2 * _overlap(ours, theirs)
    return jnp.sqrt(jnp.maximum(square, 0.0))


class SampleScores(eqx.Module):
    """Precision, recall, density, coverage and Frechet distance of a model's samples.

    Attributes:
        real: [m, d], the real set that samples are compared with: held out, as a rule.
        n_samples: how many samples of the model are drawn for it.
        features: maps points [n, d] to the space [n, f] in which distances are taken; the points
            themselves by default.
        prefix: of the names of the scores, to tell two spaces apart.
        k: neighbors, see `manifold_scores`.
    """

    real: Float[Array, "m d"]
    n_samples: int = eqx.field(static=True)
    features: Callable[[Array], Array] | None = None
    prefix: str = eqx.field(default="", static=True)
    k: int = eqx.field(default=5, static=True)

    def __call__(self, samples: "Samples", reference: Any = None) -> dict[str, Array]:
        del reference
        features = self.features or (lambda points: points)
        real, synthetic = features(self.real), features(samples.points)
        scores = manifold_scores(real, synthetic, k=self.k)._asdict()
        scores["frechet_distance"] = frechet_distance(real, synthetic)
        return {f"{self.prefix}{name}": value for name, value in scores.items()}


class ClassScores(eqx.Module):
    """What a classifier makes of labeled samples: are they what they were meant to be, and how far
    apart are the classes?

    Attributes:
        classifier: has `labels(points)` and `features(points)`; see `madlib.classifier`.
        n_samples: how many samples of the model are drawn for it.
    """

    classifier: Any
    n_samples: int = eqx.field(static=True)

    def __call__(self, samples: "Samples", reference: Any = None) -> dict[str, Array]:
        """Returns three values.

        label_accuracy: share of the samples that the classifier puts into their class.
        variance_within: mean squared distance of a sample's features from the mean of its class.
        variance_between: mean squared distance of the class means from the mean of all samples.
        """
        del reference
        right = self.classifier.labels(samples.points) == samples.label
        features = self.classifier.features(samples.points)
        same = (samples.label[:, None] == samples.label[None, :]).astype(features.dtype)
        center = same @ features / jnp.sum(same, axis=1, keepdims=True)
        between = center - jnp.mean(features, axis=0, keepdims=True)
        return {
            "label_accuracy": jnp.mean(right),
            "variance_within": jnp.mean(jnp.sum((features - center) ** 2, axis=1)),
            "variance_between": jnp.mean(jnp.sum(between**2, axis=1)),
        }


class Examples(eqx.Module):
    """The first samples of a model themselves, to look at: record["examples"], [..., n_samples, d].

    Where samples have labels, record["labels"], [..., n_samples], has them.

    Attributes:
        n_samples: how many.
    """

    n_samples: int = eqx.field(static=True)

    def __call__(self, samples: "Samples", reference: Any = None) -> dict[str, Array]:
        del reference
        labels = {} if samples.label is None else {"labels": samples.label}
        return {"examples": samples.points} | labels


class TailShares(eqx.Module):
    """How often a model's samples go far out: the share of them with |x_1| beyond each threshold.

    Attributes:
        thresholds: how far.
        n_samples: how many samples of the model are drawn for it.
    """

    thresholds: tuple[float, ...] = eqx.field(static=True)
    n_samples: int = eqx.field(static=True)

    def __call__(self, samples: "Samples", reference: Any = None) -> dict[str, Array]:
        del reference
        size = jnp.abs(samples.points[:, 0])
        return {f"beyond_{c:g}": jnp.mean(size > c) for c in self.thresholds}


class KullbackLeibler(eqx.Module):
    r"""$KL(P_r \| G^t)$ in nats, of models with a density, on held-out real points $x_i$.

    The mean of $\log p(x_i) - \log q(x_i)$. It is what the negative log-likelihood of the points
    exceeds the entropy of $P_r$ by, without the noise of $\log p(x_i)$ itself.

    Attributes:
        generator: has `log_prob(params, points)`.
        points: [n, d], held out.
        log_prob: [n], their true log-density.
    """

    generator: Any = eqx.field(static=True)
    points: Float[Array, "n d"]
    log_prob: Float[Array, " n"]
    __name__ = "kullback_leibler"

    def __call__(self, params: Any, reference: Any = None) -> Float[Array, ""]:
        del reference
        return jnp.mean(self.log_prob - self.generator.log_prob(params, self.points))


class HeldOutBits(eqx.Module):
    r"""Bits per symbol of real passages under a language model: $-\log_2 p$, a mean.

    The model is asked for what comes next at every position of every passage, from the first on.

    Attributes:
        real: [m, length], held-out passages.
        generator: the language model, `log_prob(params, real)` in nats.
    """

    real: Float[Array, "m length"]
    generator: Any = eqx.field(static=True)

    @property
    def __name__(self) -> str:
        return "bits_per_symbol"

    def __call__(self, params: Any, reference: Any = None) -> Float[Array, ""]:
        del reference
        log_prob = self.generator.log_prob(params, self.real)
        return -jnp.mean(log_prob) / (self.real.shape[1] * np.log(2))


class NgramScores(eqx.Module):
    r"""How varied generated passages are: different n-grams, and the entropy of n-grams.

    Of all n-grams within passages, with N of them in all and c(g) occurrences of g:
    `distinct_n`, the number of different ones over N (distinct-n of Li et al. 2016), and
    `entropy_n`, $-\sum_g c(g)/N \log_2 c(g)/N$ in bits. Both depend on N: compare with the same
    number of real passages. `entropy_n - entropy_{n-1}` estimates the entropy of a symbol given
    the n - 1 before it, in this metric and not in the model's own opinion.

    Attributes:
        n_symbols: size of the alphabet; its power n must not exceed 2^32.
        n_samples: passages drawn for it.
        orders: n.
    """

    n_symbols: int = eqx.field(static=True)
    n_samples: int = eqx.field(static=True)
    orders: tuple[int, ...] = eqx.field(default=(2, 3, 4), static=True)

    def __check_init__(self):
        for n in self.orders:
            if n < 1 or self.n_symbols**n > 2**32:
                raise ParameterError(
                    f"orders must be >= 1 and n_symbols**order at most 2**32; got {n} with "
                    f"n_symbols={self.n_symbols}. Use smaller orders."
                )

    @eqx.filter_jit
    def __call__(self, samples: "Samples", reference: Any = None) -> dict[str, Array]:
        del reference
        symbols = samples.points.astype(jnp.uint32)
        scores = {}
        for n in self.orders:
            n_places = symbols.shape[1] - n + 1
            code = jnp.zeros((len(symbols), n_places), jnp.uint32)
            for i in range(n):
                code = code * np.uint32(self.n_symbols) + symbols[:, i : i + n_places]
            code = jnp.sort(code.ravel())
            # Where a run begins and ends, by bisection: running maxima take long to compile.
            first, after = (jnp.searchsorted(code, code, side) for side in ("left", "right"))
            scores[f"distinct_{n}"] = jnp.mean(first == jnp.arange(code.size))
            scores[f"entropy_{n}"] = -jnp.mean(jnp.log2((after - first) / code.size))
        return scores


class ManifoldScores(NamedTuple):
    """Quality and diversity from nearest neighbors.

    The manifold of a set is the union of balls around its points, each reaching to the k-th nearest
    other point.

    Attributes:
        precision: [], share of synthetic points inside the real manifold (quality).
        recall: [], share of real points inside the synthetic manifold (diversity).
        density: [], mean number of real balls holding a synthetic point, over k (quality; may
            exceed 1).
        coverage: [], share of real balls holding a synthetic point (diversity).
    """

    precision: Float[Array, ""]
    recall: Float[Array, ""]
    density: Float[Array, ""]
    coverage: Float[Array, ""]


def manifold_scores(
    real: Float[Array, "n d"], synthetic: Float[Array, "m d"], *, k: int = 5, ball: Ball = "closed"
) -> ManifoldScores:
    r"""Precision, recall (Kynkaanniemi et al. 2019), density, coverage (Naeem et al. 2020).

    For two samples of one continuous law E density = 1 and
    E coverage = $1 - \prod_{i=1}^k (n-i)/(n+m-i)$. Costs O((n + m)^2 d) time and bounded memory;
    distances are taken of differences, so they keep their digits when the samples have collapsed.

    Args:
        real: [n, d].
        synthetic: [m, d].
        k: the ball of a point reaches to its k-th nearest neighbor in its own set, itself excluded.
        ball: "closed" holds the points at distance <= radius (Kynkaanniemi et al.), "open" those at
            distance < radius (Naeem et al. and their package `prdc`). They differ by ties alone,
            which collapse makes common: two identical constant sets have precision, recall and
            coverage 1 and density n/k with closed balls, and 0 throughout with open ones.

    Returns:
        The four scores.

    Raises:
        ParameterError: if k is not in [1, min(n, m) - 1], the dimensions differ or a point is not
            finite.
    """
    return _manifold_scores(*_check_manifold(real, synthetic, k, ball), k, ball)


def precision(
    real: Float[Array, "n d"], synthetic: Float[Array, "m d"], *, k: int = 5, ball: Ball = "closed"
) -> Float[Array, ""]:
    """Quality: share of synthetic points inside the real manifold. See `manifold_scores`."""
    return _manifold_score("precision", *_check_manifold(real, synthetic, k, ball), k, ball)


def recall(
    real: Float[Array, "n d"], synthetic: Float[Array, "m d"], *, k: int = 5, ball: Ball = "closed"
) -> Float[Array, ""]:
    """Diversity: share of real points inside the synthetic manifold. See `manifold_scores`."""
    return _manifold_score("recall", *_check_manifold(real, synthetic, k, ball), k, ball)


def density(
    real: Float[Array, "n d"], synthetic: Float[Array, "m d"], *, k: int = 5, ball: Ball = "closed"
) -> Float[Array, ""]:
    """Quality: mean number of real balls holding a synthetic point, over k.

    See `manifold_scores`.
    """
    return _manifold_score("density", *_check_manifold(real, synthetic, k, ball), k, ball)


def coverage(
    real: Float[Array, "n d"], synthetic: Float[Array, "m d"], *, k: int = 5, ball: Ball = "closed"
) -> Float[Array, ""]:
    """Diversity: share of real balls holding a synthetic point. See `manifold_scores`."""
    return _manifold_score("coverage", *_check_manifold(real, synthetic, k, ball), k, ball)


def frechet_distance(real: Float[Array, "n d"], synthetic: Float[Array, "m d"]) -> Float[Array, ""]:
    r"""Frechet distance: $W_2^2$ (squared) between normal laws fitted to the two sets.

    FID when the points are features of a network (Heusel et al. 2017). Covariances are unbiased,
    the distance is not: between two samples of $N(0, I_d)$ it is about
    $d(d + 5)/4 \cdot (1/n + 1/m)$, so show the value between two real sets beside it.

    Args:
        real: [n, d], n >= 2; n <= d is allowed.
        synthetic: [m, d], m >= 2.

    Returns:
        [], at least 0.

    Raises:
        ParameterError: if a set has fewer than 2 points, the dimensions differ or a point is not
            finite.
    """
    return _frechet_distance(*_check_points(real, synthetic, minimum=2))


def sliced_wasserstein2_squared(
    key: Key[Array, ""],
    real: Float[Array, "n d"],
    synthetic: Float[Array, "m d"],
    n_projections: int = 100,
) -> Float[Array, ""]:
    r"""Sliced $W_2^2$: the mean over random directions of $W_2^2$ between the projected samples.

    Each one-dimensional distance is exact for any two sizes: the integral of the squared difference
    of the two quantile functions (Rabin et al. 2012; Bonneel et al. 2015). With d = 1 it is $W_2^2$
    itself. A shift by $\delta$ gives $|\delta|^2/d$ on average.

    Args:
        key: for the directions, uniform on the sphere.
        real: [n, d].
        synthetic: [m, d].
        n_projections: number of directions; the standard error falls as one over its root.

    Returns:
        [], at least 0.

    Raises:
        ParameterError: if n_projections < 1, the dimensions differ or a point is not finite.
    """
    if n_projections < 1:
        raise ParameterError(
            f"n_projections must be at least 1; got {n_projections}. Use 100 or more."
        )
    real, synthetic = _check_points(real, synthetic, minimum=1)
    return _sliced_wasserstein2_squared(key, real, synthetic, n_projections)


def _procrustes_squared(a: Float[Array, "d d"], b: Float[Array, "d d"]) -> Float[Array, ""]:
    """min over orthogonal U of |a - b U|_F^2, for lower triangular a and b.

    The minimizer is the orthogonal polar factor of b^T a.
    """
    a, b = _nonnegative_diagonal(a), _nonnegative_diagonal(b)
    gap = a - b
    if a.shape[0] == 1:
        return jnp.sum(gap**2)
    if a.shape[0] == 2:
        return _procrustes_squared_2d(a, b, gap)
    # U = 1 is admissible too; the better of the two makes the distance of a law from itself 0.
    return jnp.minimum(jnp.sum((a - b @ _polar_factor(b.T @ a)) ** 2), jnp.sum(gap**2))


@jax.custom_batching.sequential_vmap
def _polar_factor(matrix: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """Nearest orthogonal matrix; one at a time under vmap, as `madlib.datasets` explains."""
    left, _, right = jnp.linalg.svd(matrix)
    return left @ right


def _procrustes_squared_2d(a: Array, b: Array, gap: Array) -> Float[Array, ""]:
    """The same in closed form: det(b^T a) >= 0, so U is a rotation.

    Its angle is that of (trace, antisymmetric part) of b^T a. Written in gap = a - b and in U - 1,
    which both keep their digits when the laws are near. When they are not, a takes the place of
    gap: the rounding of b is no angle, and a point mass a has none.
    """
    along = b[0, 0] * a[0, 0] + b[1, 0] * a[1, 0] + b[1, 1] * a[1, 1]
    turned = jnp.where(jnp.sum(gap**2) < jnp.sum(b**2) / 4, gap, a)
    across = b[1, 1] * turned[1, 0] - b[1, 0] * turned[1, 1]
    norm = jnp.hypot(along, across)
    norm_safe = jnp.where(norm > 0, norm, 1.0)
    cos = jnp.where(norm > 0, along / norm_safe, 1.0)
    sin = across / norm_safe
    versine = jnp.where(cos > 0, sin**2 / (1 + jnp.abs(cos)), 1 - cos)
    rotated = (
        gap[0, 0] + b[0, 0] * versine,
        b[0, 0] * sin,
        gap[1, 0] + b[1, 0] * versine - b[1, 1] * sin,
        gap[1, 1] + b[1, 0] * sin + b[1, 1] * versine,
    )
    return sum(entry**2 for entry in rotated)


def _nonnegative_diagonal(chol: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """Flips columns so that the diagonal is not negative; the covariance is the same."""
    return jnp.where(jnp.diagonal(chol) < 0, -1.0, 1.0)[None, :] * chol


@partial(jax.jit, static_argnames=("k", "ball"))
def _manifold_scores(real: Array, synthetic: Array, k: int, ball: Ball) -> ManifoldScores:
    holds = jnp.less_equal if ball == "closed" else jnp.less
    radius_real = _map_distances(partial(_smallest, rank=k), real, real)
    radius_synthetic = _map_distances(partial(_smallest, rank=k), synthetic, synthetic)

    n_holding = _map_distances(lambda d2: jnp.sum(holds(d2, radius_real)), synthetic, real)
    recalled, nearest = _map_distances(
        lambda d2: (jnp.any(holds(d2, radius_synthetic)), jnp.min(d2)), real, synthetic
    )
    return ManifoldScores(
        precision=jnp.mean(n_holding > 0),
        recall=jnp.mean(recalled),
        density=jnp.mean(n_holding) / k,
        coverage=jnp.mean(holds(nearest, radius_real)),
    )


@partial(jax.jit, static_argnames=("name", "k", "ball"))
def _manifold_score(name: str, real: Array, synthetic: Array, k: int, ball: Ball) -> Array:
    # Compiled apart, so that what the other three scores need is dropped as dead code.
    return getattr(_manifold_scores(real, synthetic, k, ball), name)


def _map_distances(
    function: Callable[[Float[Array, " m"]], Any],
    points: Float[Array, "n d"],
    others: Float[Array, "m d"],
) -> Any:
    """[n]: function of the squared distances [m] of each point to all others, chunk by chunk."""
    batch_size = max(1, min(len(points), _CHUNK // others.size))
    return lax.map(
        lambda point: function(jnp.sum((others - point[None, :]) ** 2, axis=1)),
        points,
        batch_size=batch_size,
    )


def _smallest(values: Float[Array, " n"], rank: int) -> Float[Array, ""]:
    """The value of the given rank, counted from 0 with multiplicity: walks up the distinct values.

    rank + 1 rounds of a minimum: `lax.top_k` sorts on CPU, twenty times slower at 5,000 values.
    """

    def step(_, value):
        above = jnp.min(jnp.where(values > value, values, jnp.inf))
        return jnp.where(jnp.sum(values <= value) > rank, value, above)

    return lax.fori_loop(0, rank + 1, step, jnp.array(-1.0, values.dtype))


@jax.jit
def _frechet_distance(real: Array, synthetic: Array) -> Float[Array, ""]:
    mean, root = _fit_normal(real)
    mean_synthetic, root_synthetic = _fit_normal(synthetic)
    return jnp.sum((mean - mean_synthetic) ** 2) + _procrustes_squared(root, root_synthetic)


def _fit_normal(points: Float[Array, "n d"]) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    """Mean and a triangular root of the unbiased covariance, of any rank."""
    n, d = points.shape
    mean = jnp.mean(points, axis=0)
    # QR of the points: a Cholesky factor of their covariance would lose half of the digits.
    rows = jnp.pad(points - mean[None, :], ((0, max(0, d - n)), (0, 0)))
    return mean, _qr_upper(rows).T / np.sqrt(n - 1)


@jax.custom_batching.sequential_vmap
def _qr_upper(rows: Float[Array, "n d"]) -> Float[Array, "d d"]:
    """The upper triangle of QR; one at a time under vmap, as `madlib.datasets` explains."""
    return jnp.linalg.qr(rows, mode="r")


@partial(jax.jit, static_argnames="n_projections")
def _sliced_wasserstein2_squared(
    key: Array, real: Array, synthetic: Array, n_projections: int
) -> Float[Array, ""]:
    weight, row_real, row_synthetic = _quantile_coupling(len(real), len(synthetic))
    normals = jax.random.normal(key, (n_projections, real.shape[1]), real.dtype)
    directions = normals / jnp.linalg.norm(normals, axis=1, keepdims=True)

    def distance(direction):
        sorted_real = jnp.sort(real @ direction)
        sorted_synthetic = jnp.sort(synthetic @ direction)
        gap = sorted_real[row_real] - sorted_synthetic[row_synthetic]
        return jnp.sum(weight.astype(gap.dtype) * gap**2)

    batch_size = max(1, min(n_projections, _CHUNK // len(weight)))
    return jnp.mean(lax.map(distance, directions, batch_size=batch_size))


def _quantile_coupling(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pieces on which both empirical quantile functions are constant: weights, ranks in each."""
    # In units of 1/(n m), so that the breakpoints are whole numbers.
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    starts = np.concatenate([[0], ends[:-1]])
    return (ends - starts) / (n * m), starts // m, starts // n


def _normal(params: "NormalParams") -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    mean, chol = getattr(params, "mean", None), getattr(params, "chol", None)
    if mean is None or chol is None:
        raise ParameterError(
            "this metric needs normal parameters, with mean and chol; "
            f"got {type(params).__name__}. Record a metric of the generator's own family."
        )
    if jnp.ndim(mean) != 1 or jnp.shape(chol) != 2 * jnp.shape(mean):
        raise ParameterError(
            "this metric needs one normal law, mean [d] and chol [d, d]; "
            f"got shapes {jnp.shape(mean)} and {jnp.shape(chol)}. Use jax.vmap for many."
        )
    return mean, chol


def _mixture(params: "MixtureParams") -> tuple[Array, Array, Array]:
    parts = [getattr(params, name, None) for name in ("weight", "mean", "chol")]
    if any(part is None for part in parts):
        raise ParameterError(
            "this metric needs the parameters of a mixture, with weight, mean and chol; "
            f"got {type(params).__name__}. Record a metric of the generator's own family."
        )
    if jnp.ndim(parts[0]) != 1 or jnp.ndim(parts[1]) != 2:
        raise ParameterError(
            "this metric needs one mixture, weight [k] and mean [k, d]; "
            f"got shapes {jnp.shape(parts[0])} and {jnp.shape(parts[1])}. Use jax.vmap for many."
        )
    return tuple(parts)


def _belongs(mean: Float[Array, "k d"], reference: "MixtureParams") -> Float[Array, "m k"]:
    """1 where the center of a mode of the reference is the nearest to a mean, else 0."""
    centers = _mixture(reference)[1]
    _require_same_shape(mean[0], centers[0])
    distance = jnp.sum((centers[:, None] - mean[None]) ** 2, axis=2)
    nearest = jnp.argmin(distance, axis=0)
    return (nearest[None, :] == jnp.arange(len(centers))[:, None]).astype(mean.dtype)


def _overlap(ours: tuple, theirs: tuple) -> Float[Array, ""]:
    """The integral of the product of two mixture densities."""

    def pair(mean, chol, other_mean, other_chol):
        root = triangular_root(jnp.concatenate([chol, other_chol], axis=1))
        scale = jnp.diagonal(root)
        # Where the square of 1 / scale would overflow, the component is a point.
        scale = jnp.where(scale > 1e-18, scale, 0.0)
        safe = root + jnp.diag(jnp.where(scale > 0, 0.0, 1.0))
        gap = mean - other_mean
        squares = jnp.sum(_solve_lower(safe, gap) ** 2)
        log_density = -squares / 2 - jnp.sum(jnp.log(scale)) - len(gap) / 2 * np.log(2 * np.pi)
        point = jnp.where(jnp.any(gap != 0), 0.0, jnp.inf)
        return jnp.where(jnp.all(scale > 0), jnp.exp(log_density), point)

    across = jax.vmap(jax.vmap(pair, (None, None, 0, 0)), (0, 0, None, None))
    density = across(*ours[1:], *theirs[1:])
    weight = ours[0][:, None] * theirs[0][None, :]
    return jnp.sum(jnp.where(weight > 0, weight * density, 0.0))


def _solve_lower(lower: Float[Array, "d d"], vector: Float[Array, " d"]) -> Float[Array, " d"]:
    """Forward substitution."""

    def step(i, solution):
        rest = vector[i] - lower[i] @ solution
        return solution.at[i].set(rest / lower[i, i])

    return lax.fori_loop(0, len(vector), step, jnp.zeros_like(vector))


def _probs(params: "CategoricalParams") -> Float[Array, " k"]:
    probs = getattr(params, "probs", None)
    if probs is None:
        raise ParameterError(
            f"this metric needs categorical parameters, with probs; got {type(params).__name__}. "
            "Record a metric of the generator's own family."
        )
    if jnp.ndim(probs) != 1:
        raise ParameterError(
            f"this metric needs one categorical law, probs [k]; got shape {jnp.shape(probs)}. "
            "Use jax.vmap for many."
        )
    return probs


def _require_same_shape(ours: Array, reference: Array) -> None:
    if ours.shape != reference.shape:
        raise ParameterError(
            "params and reference must have the same dimension; got "
            f"{ours.shape[0]} and {reference.shape[0]}. Compare with the target of the model."
        )


def _check_manifold(
    real: Array, synthetic: Array, k: int, ball: str
) -> tuple[Float[Array, "n d"], Float[Array, "m d"]]:
    if ball not in ("closed", "open"):
        raise ParameterError(
            f"ball must be 'closed' or 'open'; got {ball!r}. Use 'closed' for distance <= radius."
        )
    real, synthetic = _check_points(real, synthetic, minimum=2)
    largest = min(len(real), len(synthetic)) - 1
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= largest:
        raise ParameterError(
            f"k must be a whole number in [1, {largest}], less than the points in either set; "
            f"got k={k!r} with {len(real)} real and {len(synthetic)} synthetic points. "
            "Lower k or draw more."
        )
    return real, synthetic


def _check_points(
    real: Array, synthetic: Array, minimum: int
) -> tuple[Float[Array, "n d"], Float[Array, "m d"]]:
    real = _check_point_set("real", real, minimum)
    synthetic = _check_point_set("synthetic", synthetic, minimum)
    if real.shape[1] != synthetic.shape[1]:
        raise ParameterError(
            "real and synthetic points must have the same dimension; "
            f"got {real.shape[1]} and {synthetic.shape[1]}. Compare points of one space."
        )
    return real, synthetic.astype(real.dtype)


def _check_point_set(name: str, points: Array, minimum: int) -> Float[Array, "n d"]:
    if not isinstance(points, jax.Array):
        points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] < 1:
        raise ParameterError(
            f"{name} must be points [n, d]; got shape {points.shape}. "
            "Use x[:, None] for points on a line, and jax.vmap for many sets."
        )
    if len(points) < minimum:
        raise ParameterError(
            f"{name} must hold at least {minimum} points; got {len(points)}. Draw more."
        )
    # Under tracing there are no values to look at.
    if not isinstance(points, jax.core.Tracer):
        n_bad = len(points) - np.count_nonzero(np.isfinite(points).all(axis=1))
        if n_bad:
            raise ParameterError(
                f"{name} points must be finite; got {n_bad} of {len(points)} with NaN or infinity. "
                "Remove them, or look at the generator that made them."
            )
    points = jnp.asarray(points)
    return points if jnp.issubdtype(points.dtype, jnp.floating) else points.astype(float)
