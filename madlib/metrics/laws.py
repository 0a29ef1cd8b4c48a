r"""Distances and sizes of fitted distributions, computed from their parameters alone.

`metric(params, reference)`, or, as the loop records them, `metric(model, target)`. `reference`
holds the target's parameters in the same family; metrics of the model alone ignore it. A collapsed
model (zero or singular covariance, one symbol left) has its right limit, never NaN.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from madlib.errors import ParameterError
from madlib.generators.categorical import CategoricalParams
from madlib.generators.gaussian import NormalParams
from madlib.generators.mixture import MixtureParams
from madlib.linalg import procrustes_squared, triangular_root
from madlib.protocols import Model, Target


def of_params(function: Callable) -> Callable:
    """A metric of the parameters of a model and of its target's reference, or of both directly."""

    @functools.wraps(function)
    def metric(model: Any, target: Any = None) -> Any:
        params = model.params if isinstance(model, Model) else model
        reference = target.reference if isinstance(target, Target) else target
        return function(params, reference)

    return metric


@of_params
def wasserstein2_squared(params: NormalParams, reference: NormalParams) -> Float[Array, ""]:
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
    return jnp.sum((mean - mean_ref) ** 2) + procrustes_squared(chol, chol_ref)


@of_params
def mean_error_squared(params: NormalParams, reference: NormalParams) -> Float[Array, ""]:
    r"""$|\mu - \mu_{ref}|^2$, the squared error of the mean."""
    mean, _ = _normal(params)
    mean_ref, _ = _normal(reference)
    _require_same_shape(mean, mean_ref)
    return jnp.sum((mean - mean_ref) ** 2)


@of_params
def total_variance(params: NormalParams, reference: Any = None) -> Float[Array, ""]:
    r"""$\operatorname{tr} \Sigma$, the sum of the variances of the d coordinates."""
    del reference
    return jnp.sum(_normal(params)[1] ** 2)


@of_params
def standard_deviation(params: NormalParams, reference: Any = None) -> Float[Array, ""]:
    r"""$\sqrt{\operatorname{tr} \Sigma / d}$, root mean square over coordinates; $\sigma$ if d = 1.

    Does not underflow before chol does, so it follows a collapse for twice as many decades as
    `total_variance`.
    """
    del reference
    _, chol = _normal(params)
    largest = jnp.max(jnp.abs(chol))
    scaled = chol / jnp.where(largest > 0, largest, 1.0)
    return largest * jnp.sqrt(jnp.sum(scaled**2) / chol.shape[0])


@of_params
def log_determinant(params: NormalParams, reference: Any = None) -> Float[Array, ""]:
    r"""$\log \det \Sigma$, the log of the generalized variance; -inf once a dimension is lost."""
    del reference
    return 2 * jnp.sum(jnp.log(jnp.abs(jnp.diagonal(_normal(params)[1]))))


@of_params
def entropy(params: CategoricalParams, reference: Any = None) -> Float[Array, ""]:
    r"""Shannon entropy $-\sum_i p_i \log p_i$ in nats; 0 when one symbol is left."""
    del reference
    probs = _probs(params)
    return -jnp.sum(probs * jnp.log(jnp.where(probs > 0, probs, 1.0)))


@of_params
def support_size(params: CategoricalParams, reference: Any = None) -> Int[Array, ""]:
    """Number of symbols of positive probability: those that can still be drawn."""
    del reference
    return jnp.sum(_probs(params) > 0)


@of_params
def heterozygosity(params: CategoricalParams, reference: Any = None) -> Float[Array, ""]:
    r"""$1 - \sum_i p_i^2$: the chance that two draws differ (also the Gini-Simpson index).

    The name is population genetics': under a fully synthetic loop its expectation decays as
    $(1 - 1/n)^t$, exactly, by genetic drift.
    """
    del reference
    probs = _probs(params)
    # Not 1 - sum p^2, which cancels when one symbol has nearly all the mass.
    return jnp.sum(probs * (1 - probs))


@of_params
def total_variation(params: CategoricalParams, reference: CategoricalParams) -> Float[Array, ""]:
    r"""Total variation distance $\frac12 \sum_i |p_i - q_i|$ on the same k symbols, in [0, 1]."""
    probs, probs_ref = _probs(params), _probs(reference)
    _require_same_shape(probs, probs_ref)
    return jnp.sum(jnp.abs(probs - probs_ref)) / 2


@of_params
def mixture_variance(params: MixtureParams, reference: Any = None) -> Float[Array, ""]:
    r"""Total variance of a mixture, the trace of its covariance: $\operatorname{tr} \Sigma$.

    The sum of what its modes vary, `modal_variance`, and of what lies between them.
    """
    del reference
    _mixture(params)
    return params.total_variance


@of_params
def modal_variance(params: MixtureParams, reference: MixtureParams) -> Float[Array, ""]:
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


@of_params
def mode_weights(params: MixtureParams, reference: MixtureParams) -> Float[Array, " k"]:
    """Weight of each of the k modes of the reference: of the components nearest to its center."""
    weight, mean, _ = _mixture(params)
    return _belongs(mean, reference) @ weight


@of_params
def n_modes(params: MixtureParams, reference: MixtureParams) -> Int[Array, ""]:
    """Modes of the reference that a mixture still has.

    The rule: a mode is there while the components nearest to its center weigh, together, at least a
    tenth of what it weighs in the reference.
    """
    return jnp.sum(mode_weights(params, reference) >= _mixture(reference)[0] / 10)


@of_params
def mixture_l2_distance(params: MixtureParams, reference: MixtureParams) -> Float[Array, ""]:
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


def _normal(params: NormalParams) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
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


def _mixture(params: MixtureParams) -> tuple[Array, Array, Array]:
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


def _belongs(mean: Float[Array, "k d"], reference: MixtureParams) -> Float[Array, "m k"]:
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


def _probs(params: CategoricalParams) -> Float[Array, " k"]:
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
