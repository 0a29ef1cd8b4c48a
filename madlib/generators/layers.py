"""Layers that XLA computes fast on a CPU, and the weights of networks made of them."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key


def untrained(key: Key[Array, ""], network: Callable[[Key[Array, ""]], Any]) -> Any:
    """`network(key)` with linear layers drawn from one random vector.

    Weights and biases are uniform within 1 / sqrt(inputs), Equinox's distribution. Initialization
    compiles in a tenth of the time. Everything but linear layers is drawn by `network` itself.
    """
    is_linear = lambda node: isinstance(node, eqx.nn.Linear)  # noqa: E731
    modules, tree = jax.tree.flatten(network(key), is_leaf=is_linear)
    ends = np.cumsum([leaf.size for leaf in jax.tree.leaves(list(filter(is_linear, modules)))])
    uniform = iter(jnp.split(jax.random.uniform(key, (ends[-1],), minval=-1.0), ends[:-1]))

    def drawn(layer: Any) -> Any:
        root = layer.in_features**0.5
        return jax.tree.map(lambda leaf: next(uniform).reshape(leaf.shape) / root, layer)

    return jax.tree.unflatten(tree, [drawn(m) if is_linear(m) else m for m in modules])


def dense(layer: eqx.nn.Linear, inputs: Float[Array, "n inputs"]) -> Float[Array, "n outputs"]:
    """A linear layer on a whole minibatch, `jax.vmap(layer)(inputs)`.

    `jax.vmap` multiplies from the other side: its results lie in memory feature by feature, and
    operations that read them example by example take twice the time.
    """
    outputs = _product(inputs, layer.weight)
    return outputs if layer.bias is None else outputs + layer.bias[None, :]


@jax.custom_jvp
def _product(
    inputs: Float[Array, "n inputs"], weight: Float[Array, "outputs inputs"]
) -> Float[Array, "n outputs"]:
    """inputs weight^T, with a gradient faster than the one that JAX would derive.

    The gradient of the weights is cotangent^T inputs. XLA, on a CPU, multiplies by a transposed
    matrix on the left at two thirds of the rate of other products, unless the transpose is written
    to memory first. JAX transposes the derivative to get the gradient: a product that is written
    before its transpose here becomes a transpose that is written before its product there.
    """
    return inputs @ weight.T


@_product.defjvp
def _product_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]):
    (inputs, weight), (inputs_dot, weight_dot) = primals, tangents
    if inputs.shape[1] == 1:  # XLA multiplies vectors faster as they are.
        from_weight = inputs @ weight_dot.T
    else:
        from_weight = jax.lax.optimization_barrier(weight_dot @ inputs.T).T
    return _product(inputs, weight), inputs_dot @ weight.T + from_weight


@jax.custom_jvp
def silu(inputs: Array) -> Array:
    """x times the logistic function of x, as `jax.nn.silu`, by a tanh, which is faster."""
    return inputs * (0.5 + 0.5 * jnp.tanh(0.5 * inputs))


@silu.defjvp
def _silu_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (inputs,), (tangent,) = primals, tangents
    logistic = 0.5 + 0.5 * jnp.tanh(0.5 * inputs)
    outputs = inputs * logistic
    return outputs, tangent * (logistic + outputs * (1 - logistic))


def rebuild(network: Callable[[Key[Array, ""]], Any], weights: Any) -> Any:
    """`network(key)` with these weights in place of its own."""
    template = eqx.filter_eval_shape(network, jax.random.key(0))
    _, static = eqx.partition(template, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    return eqx.combine(weights, static)
