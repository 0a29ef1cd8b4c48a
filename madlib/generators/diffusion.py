r"""Denoising diffusion of vectors, with classifier-free guidance of labels (DDPM, Ho et al. 2020).

A denoiser D(x; \sigma, c) is trained to find an example y of class c in x = y + \sigma noise.
Sampling solves the probability-flow equation

    dx / d\sigma = (x - D(x; \sigma, c)) / \sigma       from x ~ N(0, \sigma_max^2 I) to \sigma = 0,

which is DDIM's deterministic sampler (Song et al. 2021) in the variables of Karras et al. 2022,
integrated by the second-order multistep rule of Lu et al. 2022 (DPM-Solver++ 2M): one call per
noise level. The network F adds to the denoiser of a normal distribution per class and coordinate,

    D = m_c + k (x - m_c) + \sigma \sqrt{k} F(x; \sigma, c),      k = v_c / (v_c + \sigma^2),

with m_c and v_c the mean and the variance of the class: the preconditioning of Karras et al. 2022,
for each class and coordinate. The target of F has unit variance, and a class that has collapsed
to a point remains that point.

The label is dropped from one example in ten, which trains the unconditional D as well. Sampling
with bias $\lambda$ is classifier-free guidance of weight w, $\lambda = 1/(1 + w)$ (Ho & Salimans
2022; Alemohammad et al. 2023, Sec. 2),

    D_\lambda = D(x; \sigma, none) + (D(x; \sigma, c) - D(x; \sigma, none)) / \lambda .

1 is unbiased, apart from clipping samples to the bounding box of the training set; 0 would be
guidance without bound. A sample has the label for which it was drawn.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from madlib.datasets import Samples
from madlib.errors import AtLeastTwo, Count, Flag, Natural
from madlib.generators.layers import dense, rebuild, silu, untrained
from madlib.generators.points import TrainedGenerator, unit
from madlib.generators.training import Training, train
from madlib.protocols import Space

LABEL_DROPOUT = 0.1  # share of the examples of a minibatch without their label.
SIGMA_MIN, SIGMA_MAX = 0.05, 20.0  # of sampling, in units of the data's standard deviation.
# Of training: log sigma is normal, as in Karras et al. 2022, Table 1, there with a mean of -1.2.
LOG_SIGMA_MEAN, LOG_SIGMA_STD = -0.2, 1.2
N_FREQUENCIES = 8  # of the Fourier features of log sigma.
# Of the one-hot label. Adam's steps have one size for all weights: a single input of size 1 among a
# hundred would need many of them.
LABEL_SCALE = 12.0


class DiffusionParams(NamedTuple):
    """A trained diffusion model of C >= 0 classes; row C of `center` and `spread` is the whole set.

    Attributes:
        weights: of the network.
        mean: [d], of the training set.
        scale: [d], its standard deviation, per coordinate or in common.
        center: [C + 1, d], mean of each class, in units of scale from the mean.
        spread: [C + 1, d], variance of each class, in units of scale squared.
        low, high: [d], the bounding box of the training set, to which samples are clipped.
        frequency: [C], of the labels.
        own: of the model that keeps away from its own samples; see `negative_guidance`.
    """

    weights: Any
    mean: Float[Array, " d"]
    scale: Float[Array, " d"]
    center: Float[Array, "classes d"]
    spread: Float[Array, "classes d"]
    low: Float[Array, " d"]
    high: Float[Array, " d"]
    frequency: Float[Array, " classes"]
    own: Any = None


class Block(eqx.Module):
    """Residual block, h + W_out silu(W_in h + W_c condition)."""

    inner: eqx.nn.Linear
    outer: eqx.nn.Linear
    condition: eqx.nn.Linear

    def __call__(self, hidden: Array, condition: Array) -> Array:
        activation = dense(self.inner, hidden) + dense(self.condition, condition)
        return hidden + dense(self.outer, silu(activation))


class Denoiser(eqx.Module):
    """Residual network F of points [n, d] and their conditions [n, c], noise level and label."""

    first: eqx.nn.Linear
    blocks: list[Block]
    last: eqx.nn.Linear

    def __call__(self, points: Array, conditions: Array) -> Array:
        hidden = dense(self.first, points)
        for block in self.blocks:
            hidden = block(hidden, conditions)
        return dense(self.last, silu(hidden))


@dataclasses.dataclass(frozen=True)
class Diffusion(TrainedGenerator):
    """Diffusion model, class-conditional where there are classes.

    Attributes:
        dim: d.
        n_classes: C; without classes there is no guidance, and so no sampling bias.
        width: of the network.
        n_blocks: residual blocks of two layers.
        n_calls: noise levels of sampling, each a call of the network.
        training: minibatches.
        common_scale: whether all coordinates have one scale, for pixels; else each has its own.

    Example:
        >>> model = Diffusion(dim=4, n_classes=2, width=8, training=Training(5, 4, 1e-3))
        >>> data = Samples.of(jnp.eye(4), jnp.array([0, 1, 0, 1]))
        >>> params = model.fit(jax.random.key(0), data)
        >>> model.sample_of(jax.random.key(1), params, jnp.array([1, 1, 0]), lam=0.5).shape
        (3, 4)
    """

    dim: Count
    n_classes: Natural = 0
    width: Count = 128
    n_blocks: Count = 2
    n_calls: AtLeastTwo = 12
    training: Training = Training(n_steps=500, batch_size=128, learning_rate=4e-3, average=0.15)
    common_scale: Flag = False

    @property
    def lam_range(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """0 would be guidance without bound."""
        return (1e-3 if self.n_classes else 1.0, 1.0)

    @property
    def space(self) -> Space:
        return Space(self.dim, n_classes=self.n_classes)

    def network(self, key: Key[Array, ""]) -> Denoiser:
        """Untrained; with a last layer of zeros, D is the denoiser of normal distributions."""
        d, width, n_conditions = self.dim, self.width, 2 * N_FREQUENCIES + self.n_classes + 1

        def layers(key: Key[Array, ""]) -> Denoiser:
            linear = functools.partial(eqx.nn.Linear, key=key)
            condition = linear(n_conditions, width, use_bias=False)
            block = Block(linear(width, width), linear(width, width), condition)
            return Denoiser(linear(d, width), [block] * self.n_blocks, linear(width, d))

        network = untrained(key, layers)
        zero = jax.tree.map(jnp.zeros_like, network.last)
        return dataclasses.replace(network, last=zero)

    def fit(self, key: Key[Array, ""], dataset: Samples) -> DiffusionParams:
        return self._train(key, dataset, self._statistics(dataset))

    def _train(
        self, key: Key[Array, ""], dataset: Samples, statistics: DiffusionParams
    ) -> DiffusionParams:
        def loss(network: Denoiser, drawn: Any, batch: Any) -> Float[Array, ""]:
            sigma, dropped, noise = drawn
            none = jnp.full(len(batch.points), self.n_classes)
            label = jnp.where(dropped, none, batch.label) if self.n_classes else none
            noisy = batch.points + sigma[:, None] * noise
            clean, scale = self._denoise(network, statistics, noisy, sigma, label)
            size = jnp.maximum(jnp.mean(scale**2, axis=1), 1e-20)
            return jnp.mean(jnp.mean((clean - batch.points) ** 2, axis=1) / size)

        standard = (dataset.points - statistics.mean[None, :]) / statistics.scale[None, :]
        standard = dataset._replace(points=standard)
        weights = train(key, self.network, loss, standard, self.training, self.noise)
        return statistics._replace(weights=weights)

    def noise(self, key: Key[Array, ""]) -> tuple[Array, Array, Array]:
        """Of a minibatch: sigma [n], whether the label is dropped [n], and N(0, I) noise [n, d].

        Sigma is stratified. The noise is antithetic: that of half of the examples is that of the
        others with its sign changed, and takes half as long to draw.
        """
        k_sigma, k_label, k_points = jax.random.split(key, 3)
        n = self.training.batch_size
        # One of each n-th of the distribution: every minibatch has small and large noise.
        share = (jnp.arange(0.0, n) + jax.random.uniform(k_sigma, (n,), minval=1e-3)) / n
        deviate = jax.scipy.special.ndtri(jnp.minimum(share, min(1 - 1e-3 / n, 1 - 2**-24)))
        sigma = jnp.exp(LOG_SIGMA_MEAN + LOG_SIGMA_STD * deviate)
        dropped = jax.random.uniform(k_label, (n,)) < LABEL_DROPOUT
        half = jax.random.normal(k_points, (math.ceil(n / 2), self.dim))
        return sigma, dropped, jnp.concatenate([half, -half])[:n]

    def draw(self, key: Key[Array, ""], params: DiffusionParams, n: int, lam=1.0) -> Samples:
        """n synthetic examples whose labels, if any, have the frequencies of the training set."""
        k_label, k_points = jax.random.split(key)
        if not self.n_classes:
            return Samples.of(self.sample_of(k_points, params, jnp.zeros(n, int)))
        label = jax.random.categorical(k_label, jnp.log(params.frequency), shape=(n,))
        return Samples.of(self.sample_of(k_points, params, label, lam), label)

    def sample(self, key: Key[Array, ""], params: DiffusionParams, n: int, lam=1.0) -> Array:
        return self.draw(key, params, n, lam).points

    def sample_of(
        self, key: Key[Array, ""], params: DiffusionParams, label: Int[Array, " n"], lam=1.0
    ) -> Float[Array, "n d"]:
        """A synthetic point for each label, [n, d]."""
        (n,) = label.shape
        labels = jnp.concatenate([label, jnp.full(n, self.n_classes)])

        def step(state: tuple[Array, Array], stage: tuple[Array, ...]) -> tuple[Any, None]:
            points, earlier = state
            sigma, keep, new, old = stage
            if self.n_classes:
                both = jnp.concatenate([points, points]), jnp.full(2 * n, sigma), labels
                conditional, free = jnp.split(self._denoised(params, *both), 2)
                clean = free + (conditional - free) / lam
            else:
                clean = self._denoised(params, points, jnp.full(n, sigma), label)
            return (keep * points + new * clean + old * earlier, clean), None

        start = SIGMA_MAX * jax.random.normal(key, (n, self.dim))
        stages = multistep(self.n_calls)
        (points, _), _ = jax.lax.scan(step, (start, jnp.zeros_like(start)), stages)
        points = params.mean[None, :] + params.scale[None, :] * points
        return jnp.clip(points, params.low[None, :], params.high[None, :])

    def _denoised(self, params: DiffusionParams, points, sigma, label) -> Float[Array, "n d"]:
        """D of noisy standardized points [n, d], at sigma [n], for labels [n]."""
        network = rebuild(self.network, params.weights)
        return self._denoise(network, params, points, sigma, label)[0]

    def _statistics(self, dataset: Samples, like: Any = None) -> DiffusionParams:
        """Parameters before training: weighted moments, bounding box and frequencies.

        In the units of a training set of their own, or in those of other parameters.
        """
        points, weight, label = dataset
        share = weight / weight.sum()
        middle = share @ points
        variance = share @ (points - middle[None, :]) ** 2
        own = unit(variance, self.common_scale)
        mean, scale, offset = middle, jnp.where(own > 0, own, 1.0), jnp.zeros(self.dim)
        if like is not None:
            mean, scale = like.mean, like.scale
            offset = (middle - mean) / scale
        standard = (points - mean[None, :]) / scale[None, :]
        label = label if self.n_classes else jnp.zeros(len(points), int)
        member = jax.nn.one_hot(label, self.n_classes, axis=0) * share[None, :]
        frequency = member.sum(axis=1)
        within = member / jnp.where(frequency > 0, frequency, 1.0)[:, None]
        center = within @ standard
        # Deviations before squares: a collapsed class keeps the digits of its variance.
        spread = jnp.einsum("cn,cnd->cd", within, (standard[None] - center[:, None, :]) ** 2)
        whole = (variance / scale**2)[None, :]
        spread = jnp.where(frequency[:, None] > 0, spread, whole)
        center = jnp.concatenate([center, offset[None, :]])
        spread, box = jnp.concatenate([spread, whole]), (points.min(axis=0), points.max(axis=0))
        return DiffusionParams(None, mean, scale, center, spread, *box, frequency)

    def _denoise(self, network, statistics, points, sigma, label) -> tuple[Array, Array]:
        """D of noisy standardized points [n, d] at sigma [n], and the factor of F in it."""
        center, spread = statistics.center[label], statistics.spread[label]
        noise = sigma[:, None] ** 2
        kept = spread / (spread + noise)
        scale = jnp.sqrt(noise * kept)
        inputs = points / jnp.sqrt(statistics.spread[-1:] + noise)
        outputs = network(inputs, self._condition(sigma, label))
        return center + kept * (points - center) + scale * outputs, scale

    def _condition(self, sigma: Float[Array, " n"], label: Int[Array, " n"]) -> Float[Array, "n c"]:
        angle = jnp.pi * jnp.log(sigma / SIGMA_MIN) / np.log(SIGMA_MAX / SIGMA_MIN)
        angle = angle[:, None] * jnp.arange(1.0, 1 + N_FREQUENCIES)[None, :]
        one_hot = LABEL_SCALE * jax.nn.one_hot(label, self.n_classes + 1)
        return jnp.concatenate([jnp.cos(angle), jnp.sin(angle), one_hot], axis=1)


def multistep(n_calls: int) -> tuple[Float[Array, " n_calls"], ...]:
    """The second-order multistep rule: sigma, and weights of x, of D and of the D before it.

    Sigma is evenly spaced in its seventh root (Karras et al. 2022, Eq. 5); after the last comes
    0, where x is D.
    """
    sigma = np.linspace(SIGMA_MAX ** (1 / 7), SIGMA_MIN ** (1 / 7), n_calls) ** 7
    keep = np.append(sigma[1:] / sigma[:-1], 0.0)
    length = -np.log(keep[:-1])
    # The slope of D comes from the step before; the first and the last step are of first order.
    slope = np.zeros(n_calls)
    slope[1:-1] = length[1:] / length[:-1] / 2
    stages = sigma, keep, (1 - keep) * (1 + slope), -(1 - keep) * slope
    return tuple(jnp.asarray(stage, jnp.float32) for stage in stages)
