r"""Distances between fitted distributions, and their sizes, from the parameters alone.

`metric(params, reference)`, or `metric(model, target)` as the loop records it. The reference is a
distribution of the same family, as a rule the target's own; metrics of the model alone ignore it. A
collapsed model (zero or singular covariance, one symbol left) has its right limit, never NaN.
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from madlib.errors import require
from madlib.generators import CategoricalParams, MixtureParams, NormalParams, RegressionParams
from madlib.linalg import inverse_root, log_normals, procrustes_squared, triangular_root
from madlib.protocols import Model, Target


def of_params(function: Callable[..., Array]) -> Callable[..., Array]:
    """Makes a metric of a function of one model's parameters, and of a reference if it has two.

    The metric takes the parameters themselves, or a `Model` and a `Target`.

    Args:
        function: its annotations name the kinds of parameters, NamedTuples of arrays; the first
            array of each has one axis, the last axis of its last array is the dimension.

    Raises:
        ParameterError: by the metric, for parameters of another kind, of many distributions at
            once, or of different dimensions.

    Example:
        >>> import jax.numpy as jnp
        >>> from madlib import generators, metrics, targets
        >>> @metrics.of_params
        ... def largest_variance(params: generators.NormalParams):
        ...     return jnp.max(jnp.diagonal(params.cov))
        >>> float(largest_variance(targets.normal([0, 0], [[1, 0], [0, 4]]).params))
        4.0
    """
    name = function.__name__
    kinds = [kind for key, kind in inspect.get_annotations(function).items() if key != "return"]

    @functools.wraps(function)
    def metric(params: Any, reference: Any = None) -> Any:
        params = params.params if isinstance(params, Model) else params
        reference = reference.reference if isinstance(reference, Target) else reference
        given = (params, reference)[: len(kinds)]
        for value, kind in zip(given, kinds, strict=True):
            required = f"{name} needs {' and a reference of '.join(k.__name__ for k in kinds)}"
            remedy = "Record metrics of the family of the generator and the target."
            require(isinstance(value, kind), required, type(value).__name__, remedy)
            shape = jnp.shape(value[0])
            require(len(shape) == 1, f"{name} takes one distribution", shape, "Use jax.vmap.")
        dims = [jnp.shape(value[-1])[-1] for value in given]
        remedy = "Compare with the target of the model."
        require(
            len({*dims}) == 1, f"{name} needs one dimension", " and ".join(map(str, dims)), remedy
        )
        return function(*given)

    del metric.__wrapped__  # pyright: ignore[reportAttributeAccessIssue]  # two arguments, always
    metric.is_of_params = True  # pyright: ignore[reportAttributeAccessIssue]
    return metric


@of_params
def wasserstein2_squared(params: NormalParams, reference: NormalParams) -> Float[Array, ""]:
    r"""Squared 2-Wasserstein distance between two normal distributions, $W_2^2$.

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
        ParameterError: if either is not one normal distribution, or the dimensions differ.

    Example:
        >>> from madlib import metrics, targets
        >>> ours, theirs = targets.normal(0, 1), targets.normal(3, 4)
        >>> float(metrics.wasserstein2_squared(ours.params, theirs.params))
        10.0
    """
    return mean_error_squared(params, reference) + procrustes_squared(params.chol, reference.chol)


@of_params
def mean_error_squared(params: NormalParams, reference: NormalParams) -> Float[Array, ""]:
    r"""$|\mu - \mu_{ref}|^2$, the squared error of the mean.

    Example:
        >>> from madlib import metrics, targets
        >>> ours, theirs = targets.normal([0, 0], [[1, 0], [0, 1]]), targets.standard_normal(2)
        >>> float(metrics.mean_error_squared(ours.params, theirs.params))
        0.0
    """
    return jnp.sum((params.mean - reference.mean) ** 2)


@of_params
def normal_divergence(params: NormalParams, reference: NormalParams) -> Float[Array, ""]:
    r"""KL(reference || model) in nats; infinite once a dimension is lost.

    Where the reference has mean and covariance of the real distribution $P_r$, it is
    $KL(P_r \|\, \mathcal G^t)$ less its least value for a Gaussian: the divergence of the best one.

    Example:
        >>> from madlib import metrics, targets
        >>> ours, theirs = targets.normal(1, 1), targets.normal(0, 1)
        >>> float(metrics.normal_divergence(ours.params, theirs.params))
        0.5
    """
    alive = jnp.diagonal(params.chol).all()
    root = jnp.where(alive, params.chol, jnp.eye(len(params.mean), dtype=params.chol.dtype))
    inverse = inverse_root(root)
    ratio, gap = inverse @ reference.chol, inverse @ (reference.mean - params.mean)
    log_ratio = jnp.log(jnp.abs(jnp.diagonal(ratio)))  # of a product of triangular matrices
    divergence = (jnp.sum(ratio**2) + jnp.sum(gap**2) - len(gap)) / 2 - jnp.sum(log_ratio)
    return jnp.where(alive, divergence, jnp.inf)


@of_params
def total_variance(params: NormalParams) -> Float[Array, ""]:
    r"""$\operatorname{tr} \Sigma$, the sum of the variances of the d coordinates.

    Example:
        >>> from madlib import metrics, targets
        >>> float(metrics.total_variance(targets.standard_normal(3).params))
        3.0
    """
    return jnp.sum(params.chol**2)


@of_params
def standard_deviation(params: NormalParams) -> Float[Array, ""]:
    r"""$\sqrt{\operatorname{tr} \Sigma / d}$, root mean square over coordinates; $\sigma$ if d = 1.

    Does not underflow before chol does, so it follows a collapse for twice as many decades as
    `total_variance`.

    Example:
        >>> from madlib import metrics, targets
        >>> float(metrics.standard_deviation(targets.normal(0, 4).params))
        2.0
    """
    largest = jnp.max(jnp.abs(params.chol))
    scaled = params.chol / jnp.where(largest > 0, largest, 1.0)
    return largest * jnp.sqrt(jnp.sum(scaled**2) / len(params.mean))


@of_params
def log_determinant(params: NormalParams) -> Float[Array, ""]:
    r"""$\log \det \Sigma$, the log of the generalized variance; -inf once a dimension is lost.

    Example:
        >>> from madlib import metrics, targets
        >>> float(metrics.log_determinant(targets.standard_normal(2).params))
        0.0
    """
    return 2 * jnp.sum(jnp.log(jnp.abs(jnp.diagonal(params.chol))))


@of_params
def entropy(params: CategoricalParams) -> Float[Array, ""]:
    r"""Shannon entropy $-\sum_i p_i \log p_i$ in nats; 0 when one symbol is left.

    Example:
        >>> from madlib import metrics, targets
        >>> round(float(metrics.entropy(targets.categorical([0.5, 0.5]).params)), 4)
        0.6931
    """
    return -jnp.sum(params.probs * jnp.log(jnp.where(params.probs > 0, params.probs, 1.0)))


@of_params
def support_size(params: CategoricalParams) -> Int[Array, ""]:
    """Number of symbols of positive probability: those that can still be drawn.

    Example:
        >>> from madlib import metrics, targets
        >>> int(metrics.support_size(targets.categorical([0.5, 0, 0.5]).params))
        2
    """
    return jnp.sum(params.probs > 0)


@of_params
def heterozygosity(params: CategoricalParams) -> Float[Array, ""]:
    r"""$1 - \sum_i p_i^2$: the chance that two draws differ (also the Gini-Simpson index).

    The name is population genetics': under a fully synthetic loop its expectation decays as
    $(1 - 1/n)^t$, exactly, by genetic drift.

    Example:
        >>> from madlib import metrics, targets
        >>> float(metrics.heterozygosity(targets.categorical([0.5, 0.5]).params))
        0.5
    """
    # Not 1 - sum p^2, which cancels when one symbol has nearly all the mass.
    return jnp.sum(params.probs * (1 - params.probs))


@of_params
def total_variation(params: CategoricalParams, reference: CategoricalParams) -> Float[Array, ""]:
    r"""Total variation distance $\frac12 \sum_i |p_i - q_i|$ on the same k symbols, in [0, 1].

    Example:
        >>> from madlib import metrics, targets
        >>> ours, theirs = targets.categorical([1, 0]), targets.categorical([0.75, 0.25])
        >>> float(metrics.total_variation(ours.params, theirs.params))
        0.25
    """
    return jnp.sum(jnp.abs(params.probs - reference.probs)) / 2


@of_params
def missing_mass(params: CategoricalParams, reference: CategoricalParams) -> Float[Array, ""]:
    """Real probability of symbols that the model cannot draw: Good's missing mass.

    Example:
        >>> from madlib import metrics, targets
        >>> ours, theirs = targets.categorical([1, 0]), targets.categorical([0.75, 0.25])
        >>> float(metrics.missing_mass(ours.params, theirs.params))
        0.25
    """
    return jnp.sum(jnp.where(params.probs > 0, 0.0, reference.probs))


@of_params
def excess_risk(params: RegressionParams, reference: RegressionParams) -> Float[Array, ""]:
    r"""$|\theta_t - \theta_0|^2$: the mean squared error of predictions, above the noise.

    Example:
        >>> from madlib import metrics, targets
        >>> ours, theirs = targets.regression([1.0, 2.0]), targets.regression([1.0, 0.0])
        >>> float(metrics.excess_risk(ours.params, theirs.params))
        4.0
    """
    return jnp.sum((params.theta - reference.theta) ** 2)


@of_params
def mixture_variance(params: MixtureParams) -> Float[Array, ""]:
    r"""Total variance of a mixture, $\operatorname{tr} \Sigma$: within its modes and between them.

    Example:
        >>> from madlib import metrics, targets
        >>> two = targets.mixture([0.5, 0.5], [[-1], [1]], 0.25)
        >>> float(metrics.mixture_variance(two.params))
        1.25
    """
    return params.total_variance


@of_params
def modal_variance(params: MixtureParams, reference: MixtureParams) -> Float[Array, ""]:
    r"""Average modal variance: trace of the covariance of each mode, averaged by weight.

    Each component belongs to the mode of the reference whose center is nearest, so that a mode
    described by several components varies as much as one described by a single one.

    Example:
        >>> from madlib import metrics, targets
        >>> two = targets.mixture([0.5, 0.5], [[-1], [1]], 0.25)
        >>> float(metrics.modal_variance(two.params, two.params))
        0.25
    """
    weight, mean, chol = params
    belongs = _belongs(mean, reference.mean)
    of_mode = belongs @ weight
    center = belongs @ (weight[:, None] * mean) / jnp.where(of_mode > 0, of_mode, 1.0)[:, None]
    gap = mean - belongs.T @ center
    return weight @ (jnp.sum(chol**2, axis=(1, 2)) + jnp.sum(gap**2, axis=1))


@of_params
def mode_weights(params: MixtureParams, reference: MixtureParams) -> Float[Array, " m"]:
    """Weight of each of the m modes of the reference: of the components nearest to its center.

    Example:
        >>> from madlib import metrics, targets
        >>> two = targets.mixture([0.5, 0.5], [[-1], [1]], 0.25)
        >>> skewed = targets.mixture([0.25, 0.75], [[-1], [1]], 0.25)
        >>> metrics.mode_weights(skewed.params, two.params).tolist()
        [0.25, 0.75]
    """
    return _belongs(params.mean, reference.mean) @ params.weight


@of_params
def n_modes(params: MixtureParams, reference: MixtureParams) -> Int[Array, ""]:
    """Modes of the reference that a mixture still has.

    The rule: a mode is there while the components nearest to its center weigh, together, at least a
    tenth of its weight in the reference.

    Example:
        >>> from madlib import metrics, targets
        >>> two = targets.mixture([0.5, 0.5], [[-1], [1]], 0.25)
        >>> one = targets.mixture([1], [[1]], 0.25)
        >>> int(metrics.n_modes(one.params, two.params))
        1
    """
    return jnp.sum(mode_weights(params, reference) >= reference.weight / 10)


@of_params
def mixture_l2_distance(params: MixtureParams, reference: MixtureParams) -> Float[Array, ""]:
    r"""$L_2$ distance between two mixture densities, $\bigl(\int (p - q)^2\bigr)^{1/2}$, exactly.

    The product of two normal densities integrates to one at the difference of their means:
    $\int N(x; \mu_i, \Sigma_i) N(x; \mu_j, \Sigma_j) dx = N(\mu_i; \mu_j, \Sigma_i + \Sigma_j)$.
    A mixture with a collapsed component is at an infinite distance: the density of a point has no
    $L_2$ norm.

    Example:
        >>> from madlib import metrics, targets
        >>> two = targets.mixture([0.5, 0.5], [[-1], [1]], 0.25)
        >>> float(metrics.mixture_l2_distance(two.params, two.params))
        0.0
    """
    norms = _overlap(params, params) + _overlap(reference, reference)
    across = jnp.where(jnp.isfinite(norms), _overlap(params, reference), 0.0)
    return jnp.sqrt(jnp.maximum(norms - 2 * across, 0.0))


def kernel_squared_error(model: Model, target: Target) -> Float[Array, ""]:
    r"""$\int (p - q)^2$ between a kernel density estimate p and a normal target q, exactly.

    Every term is an overlap of normal densities, as in `mixture_l2_distance`; $O(n^2)$.

    Args:
        model: with `KernelDensityParams`.
        target: a normal distribution.

    Example:
        >>> from madlib import metrics, targets
        >>> from madlib.generators.kernel_density import KernelDensity, KernelDensityParams
        >>> from madlib.protocols import Model
        >>> one = KernelDensityParams(jnp.zeros((1, 1)), jnp.ones(1), jnp.ones((1, 1)))
        >>> model = Model(KernelDensity(dim=1, n_points=1, bandwidth=1.0), one)
        >>> float(metrics.kernel_squared_error(model, targets.standard_normal(1)))
        0.0
    """
    (points, weight, kernel), (mean, chol) = model.params, target.reference
    wide = triangular_root(jnp.concatenate([kernel, chol], axis=1))
    pairs = log_normals(points[:1] * 0, math.sqrt(2) * kernel[None], _differences(points))[0]
    across = log_normals(mean[None], wide[None], points.T)[0]
    own = log_normals(mean[None], math.sqrt(2) * chol[None], mean[:, None])[0, 0]
    both = jnp.exp(pairs) @ (weight[:, None] * weight[None, :]).ravel()
    return both - 2 * jnp.exp(across) @ weight + jnp.exp(own)


def _differences(points: Float[Array, "n d"]) -> Float[Array, "d m"]:
    """Of all ordered pairs, m = n^2."""
    return (points[:, None] - points[None]).reshape(-1, points.shape[1]).T


def kernel_center_variance(model: Model, target: Target) -> Float[Array, ""]:
    """Total variance of the points about which a kernel density estimate has its kernels.

    Args:
        model: with `KernelDensityParams`.
        target: not used.

    Example:
        >>> from madlib import metrics, simulate, targets
        >>> from madlib.generators import KernelDensity
        >>> from madlib.regimes import Accumulate
        >>> run = simulate(
        ...     jax.random.key(0), KernelDensity(1, n_points=300), Accumulate(100),
        ...     targets.standard_normal(1), n_ini=100, n_generations=3, n_replicates=2,
        ...     record=(metrics.kernel_center_variance,),
        ... )
        >>> run["kernel_center_variance"].shape
        (2, 3)
    """
    del target
    points, weight, _ = model.params
    return weight @ jnp.sum((points - (weight @ points)[None, :]) ** 2, axis=1)


def _belongs(mean: Float[Array, "k d"], center: Float[Array, "m d"]) -> Float[Array, "m k"]:
    """1 where the center of a mode is the nearest to a mean, else 0."""
    distance = jnp.sum((center[:, None] - mean[None]) ** 2, axis=2)
    nearest = jnp.argmin(distance, axis=0)
    return (nearest[None, :] == jnp.arange(len(center))[:, None]).astype(mean.dtype)


def _overlap(ours: MixtureParams, theirs: MixtureParams) -> Float[Array, ""]:
    """The integral of the product of two mixture densities."""

    def pair(mean, chol, other_mean, other_chol):
        root = triangular_root(jnp.concatenate([chol, other_chol], axis=1))
        # Where the square of 1 / scale would overflow, the component is a point.
        flat = jnp.diagonal(root) <= 1e-18
        safe = root + jnp.diag(flat.astype(root.dtype))
        log_density = log_normals(other_mean[None], safe[None], mean[:, None])[0, 0]
        point = jnp.where(jnp.any(mean != other_mean), 0.0, jnp.inf)
        return jnp.where(jnp.any(flat), point, jnp.exp(log_density))

    across = jax.vmap(jax.vmap(pair, (None, None, 0, 0)), (0, 0, None, None))
    density = across(*ours[1:], *theirs[1:])
    weight = ours.weight[:, None] * theirs.weight[None, :]
    return jnp.sum(weight * jnp.where(weight > 0, density, 0.0))
