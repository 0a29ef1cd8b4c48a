"""Layers that XLA computes fast on a processor, and networks put together from them."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key


def untrained(key: Key[Array, ""], network: Callable[[Key[Array, ""]], Any]) -> Any:
    """`network(key)` with the linear layers that Equinox would give it, from one random vector.

    Weights and biases are uniform within 1 / sqrt(inputs). A network of linear layers compiles in a
    tenth of the time; whatever else it holds is drawn by `network` itself.
    """
    is_linear = lambda node: isinstance(node, eqx.nn.Linear)  # noqa: E731
    nodes, tree = jax.tree.flatten(network(key), is_leaf=is_linear)
    leaves, layout = jax.tree.flatten([node for node in nodes if is_linear(node)])
    uniform = jax.random.uniform(key, (sum(leaf.size for leaf in leaves),), minval=-1.0)
    pieces = jnp.split(uniform, np.cumsum([leaf.size for leaf in leaves])[:-1])
    drawn = [piece.reshape(leaf.shape) for piece, leaf in zip(pieces, leaves, strict=True)]
    layers = iter(jax.tree.unflatten(layout, drawn))
    nodes = [
        jax.tree.map(lambda leaf, node=node: leaf / node.in_features**0.5, next(layers))
        if is_linear(node)
        else node
        for node in nodes
    ]
    return jax.tree.unflatten(tree, nodes)


def dense(layer: eqx.nn.Linear, inputs: Float[Array, "n inputs"]) -> Float[Array, "n outputs"]:
    """A linear layer on a whole minibatch.

    The same as `jax.vmap(layer)`, which multiplies from the other side: its results lie in memory
    feature by feature, and everything that reads them example by example takes twice the time.
    """
    outputs = _product(inputs, layer.weight)
    return outputs if layer.bias is None else outputs + layer.bias[None, :]


@jax.custom_jvp
def _product(
    inputs: Float[Array, "n inputs"], weight: Float[Array, "outputs inputs"]
) -> Float[Array, "n outputs"]:
    """inputs weight^T, with a gradient that is computed faster than the one JAX would derive.

    The gradient of the weights is cotangent^T inputs. XLA, on a processor, multiplies by a
    transposed matrix on the left at two thirds of the rate of other products, unless the transpose
    is written to memory first. JAX transposes the derivative to get the gradient: where the one
    writes a product and then its transpose, the other writes the transpose and then a product.
    """
    return inputs @ weight.T


@_product.defjvp
def _product_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]):
    (inputs, weight), (inputs_dot, weight_dot) = primals, tangents
    if inputs.shape[1] == 1:  # A vector, which XLA multiplies faster as it is.
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
    """The network with these weights."""
    template = eqx.filter_eval_shape(network, jax.random.key(0))
    _, static = eqx.partition(template, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    return eqx.combine(weights, static)
