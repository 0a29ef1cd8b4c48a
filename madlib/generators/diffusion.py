r"""Denoising diffusion of labeled vectors with classifier-free guidance (DDPM, Ho et al. 2020).

A denoiser D(x; \sigma, c) is trained to find an example y of class c in x = y + \sigma noise. Noise
is taken away along the probability-flow equation

    dx / d\sigma = (x - D(x; \sigma, c)) / \sigma       from x ~ N(0, \sigma_max^2 I) to \sigma = 0,

which is DDIM's deterministic sampler (Song et al. 2021) in the variables of Karras et al. 2022,
integrated by the second-order multistep rule of Lu et al. 2022 (DPM-Solver++ 2M): one call per
noise level. The network F learns what a normal law per class and coordinate would not know,

    D = m_c + k (x - m_c) + \sigma \sqrt{k} F(x; \sigma, c),      k = v_c / (v_c + \sigma^2),

with m_c and v_c the mean and the variance of the class: the preconditioning of Karras et al. 2022,
with a number for each class and coordinate. F has unit variance to explain, and a class that has
collapsed to a point is that point.

The class is withheld from one example in ten, so that D knows the whole set as well, and sampling
with bias $\lambda$ is guidance (Ho & Salimans 2022; Alemohammad et al. 2023, Sec. 2) with weight w,
$\lambda = 1/(1 + w)$,

    D_\lambda = D(x; \sigma, none) + (D(x; \sigma, c) - D(x; \sigma, none)) / \lambda .

1 is unbiased, but for the clipping of samples to the box of the training set; 0 would be guidance
without bound, and is refused. Labels travel with the samples.
"""

import dataclasses
import math
from typing import Annotated, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from madlib.datasets import Samples
from madlib.errors import MAX_SIZE, Count, Rule, require
from madlib.generators.layers import dense, rebuild, silu, untrained
from madlib.generators.points import TrainedGenerator
from madlib.generators.training import Training, train
from madlib.protocols import Space

WITHHELD = 0.1  # share of the examples that the network sees without their class.
# Noise in units of the data's standard deviation: from hardly any to hardly anything else.
LEAST_NOISE, MOST_NOISE = 0.05, 20.0
# Log of the noise of the training examples: normal, as in Karras et al. 2022, Table 1.
LOG_NOISE_MEAN, LOG_NOISE_DEVIATION = -0.2, 1.2
N_FREQUENCIES = 8
# Adam moves all weights at one speed, and would be slow to hear one number in a hundred.
LOUDNESS = 12.0


class DiffusionParams(NamedTuple):
    """A trained diffusion model of C classes; row C of `center` and `spread` is the whole set.

    Attributes:
        weights: of the network.
        mean: [d], of the training set.
        scale: [], its standard deviation, the root mean square over coordinates.
        center: [C + 1, d], mean of each class, in units of scale from the mean.
        spread: [C + 1, d], variance of each class, in units of scale squared.
        low, high: [d], the box that holds the training set, to which samples are clipped.
        frequency: [C], of the labels.
    """

    weights: Any
    mean: Float[Array, " d"]
    scale: Float[Array, ""]
    center: Float[Array, "classes d"]
    spread: Float[Array, "classes d"]
    low: Float[Array, " d"]
    high: Float[Array, " d"]
    frequency: Float[Array, " classes"]


class Block(eqx.Module):
    """h + W_out silu(W_in h + W_c condition)."""

    inner: eqx.nn.Linear
    outer: eqx.nn.Linear
    condition: eqx.nn.Linear

    def __init__(self, width: int, n_conditions: int, key: Key[Array, ""]):
        self.inner = eqx.nn.Linear(width, width, key=key)
        self.outer = eqx.nn.Linear(width, width, key=key)
        self.condition = eqx.nn.Linear(n_conditions, width, use_bias=False, key=key)

    def __call__(self, hidden: Array, condition: Array) -> Array:
        raised = dense(self.inner, hidden) + dense(self.condition, condition)
        return hidden + dense(self.outer, silu(raised))


class Denoiser(eqx.Module):
    """Residual network F of points [n, d] and their conditions, noise and class, [n, c]."""

    enter: eqx.nn.Linear
    blocks: list[Block]
    leave: eqx.nn.Linear

    def __init__(self, dim: int, n_conditions: int, width: int, n_blocks: int, key: Key[Array, ""]):
        self.enter = eqx.nn.Linear(dim, width, key=key)
        self.blocks = [Block(width, n_conditions, key) for _ in range(n_blocks)]
        self.leave = eqx.nn.Linear(width, dim, key=key)

    def __call__(self, points: Array, conditions: Array) -> Array:
        hidden = dense(self.enter, points)
        for block in self.blocks:
            hidden = block(hidden, conditions)
        return dense(self.leave, silu(hidden))


@dataclasses.dataclass(frozen=True)
class Diffusion(TrainedGenerator):
    """Class-conditional diffusion model.

    Attributes:
        dim: d.
        n_classes: C.
        width: of the network.
        n_blocks: residual blocks of two layers.
        n_calls: noise levels that sampling passes through, each a call of the network.
        training: minibatches.
    """

    dim: Count
    n_classes: Count
    width: Count = 128
    n_blocks: Count = 2
    n_calls: Annotated[int, Rule(2, MAX_SIZE, whole=True)] = 12
    training: Training = Training(n_steps=500, batch_size=128, learning_rate=4e-3, average=0.15)

    lam_range = (1e-3, 1.0)  # 0 would be guidance without bound.

    @property
    def space(self) -> Space:
        return Space(self.dim, n_classes=self.n_classes)

    def network(self, key: Key[Array, ""]) -> Denoiser:
        """Untrained; its last layer is zero, so that it begins as the normal laws' own denoiser."""
        sizes = self.dim, 2 * N_FREQUENCIES + self.n_classes + 1, self.width, self.n_blocks
        drawn = untrained(key, lambda key: Denoiser(*sizes, key))
        zero = jax.tree.map(jnp.zeros_like, drawn.leave)
        return eqx.tree_at(lambda network: network.leave, drawn, zero)

    def fit(self, key: Key[Array, ""], dataset: Samples) -> DiffusionParams:
        require(
            dataset.label is not None,
            "a conditional model needs labeled samples",
            "samples without labels",
            "Use Samples.of(points, label), or a target with labels.",
        )
        norms = self._norms(dataset)

        def loss(network, drawn, batch):
            level, withheld, noise = drawn
            label = jnp.where(withheld, self.n_classes, batch.label)
            noisy = batch.points + level[:, None] * noise
            found, scale = self._denoise(network, norms, noisy, level, label)
            size = jnp.maximum(jnp.mean(scale**2, axis=1), 1e-20)
            return jnp.mean(jnp.mean((found - batch.points) ** 2, axis=1) / size)

        standard = (dataset.points - norms.mean[None, :]) / norms.scale
        standard = dataset._replace(points=standard)
        weights = train(key, self.network, loss, standard, self.training, self.noise)
        return norms._replace(weights=weights)

    def noise(self, key: Key[Array, ""]) -> tuple[Array, Array, Array]:
        """Of a minibatch: levels [n], whether the class is withheld [n], and N(0, I) noise [n, d].

        The noise is antithetic: half of the examples see that of the others with its sign changed.
        It takes half as long to draw.
        """
        k_level, k_class, k_points = jax.random.split(key, 3)
        n = self.training.batch_size
        # One level in each n-th of the law: a minibatch sees all kinds of noise.
        share = (jnp.arange(0.0, n) + jax.random.uniform(k_level, (n,), minval=1e-3)) / n
        deviate = jax.scipy.special.ndtri(jnp.minimum(share, min(1 - 1e-3 / n, 1 - 2**-24)))
        level = jnp.exp(LOG_NOISE_MEAN + LOG_NOISE_DEVIATION * deviate)
        withheld = jax.random.uniform(k_class, (n,)) < WITHHELD
        half = jax.random.normal(k_points, (math.ceil(n / 2), self.dim))
        return level, withheld, jnp.concatenate([half, -half])[:n]

    def draw(self, key: Key[Array, ""], params: DiffusionParams, n: int, lam=1.0) -> Samples:
        """n synthetic examples with labels, drawn as often as they were in the training set."""
        k_label, k_points = jax.random.split(key)
        label = jax.random.categorical(k_label, jnp.log(params.frequency), shape=(n,))
        return Samples.of(self.sample_of(k_points, params, label, lam), label)

    def sample(self, key: Key[Array, ""], params: DiffusionParams, n: int, lam=1.0) -> Array:
        return self.draw(key, params, n, lam).points

    def sample_of(
        self, key: Key[Array, ""], params: DiffusionParams, label: Int[Array, " n"], lam=1.0
    ) -> Float[Array, "n d"]:
        """One synthetic point of each class in label, [n, d]."""
        (n,) = label.shape
        network = rebuild(self.network, params.weights)
        labels = jnp.concatenate([label, jnp.full(n, self.n_classes)])

        def step(state, stage):
            points, earlier = state
            level, keep, new, old = stage
            both = jnp.concatenate([points, points]), jnp.full(2 * n, level), labels
            conditional, free = jnp.split(self._denoise(network, params, *both)[0], 2)
            clean = free + (conditional - free) / lam
            return (keep * points + new * clean + old * earlier, clean), None

        start = MOST_NOISE * jax.random.normal(key, (n, self.dim))
        stages = multistep(self.n_calls)
        (points, _), _ = jax.lax.scan(step, (start, jnp.zeros_like(start)), stages)
        points = params.mean[None, :] + params.scale * points
        return jnp.clip(points, params.low[None, :], params.high[None, :])

    def _norms(self, dataset: Samples) -> DiffusionParams:
        """What is known before training: moments, box and frequencies, by weight."""
        points, weight, label = dataset
        share = weight / weight.sum()
        mean = share @ points
        variance = share @ (points - mean[None, :]) ** 2
        total = jnp.sqrt(jnp.mean(variance))
        scale = jnp.where(total > 0, total, 1.0)
        standard = (points - mean[None, :]) / scale
        own = label[None, :] == jnp.arange(self.n_classes)[:, None]
        member = jnp.where(own, share[None, :], 0.0)
        frequency = member.sum(axis=1)
        within = member / jnp.where(frequency > 0, frequency, 1.0)[:, None]
        center = within @ standard
        # Deviations first: a class that has collapsed keeps the digits of its variance.
        spread = jnp.einsum("cn,cnd->cd", within, (standard[None] - center[:, None, :]) ** 2)
        whole = (variance / scale**2)[None, :]
        spread = jnp.where(frequency[:, None] > 0, spread, whole)
        used = weight[:, None] > 0
        return DiffusionParams(
            weights=None,
            mean=mean,
            scale=scale,
            center=jnp.concatenate([center, jnp.zeros((1, self.dim))]),
            spread=jnp.concatenate([spread, whole]),
            low=jnp.min(jnp.where(used, points, jnp.inf), axis=0),
            high=jnp.max(jnp.where(used, points, -jnp.inf), axis=0),
            frequency=frequency,
        )

    def _denoise(self, network, norms, points, level, label) -> tuple[Array, Array]:
        """D of noisy standard points [n, d] at noise level [n], and the size of F's part in it."""
        center, spread = norms.center[label], norms.spread[label]
        noise = level[:, None] ** 2
        kept = spread / (spread + noise)
        scale = jnp.sqrt(noise * kept)
        seen = points / jnp.sqrt(norms.spread[-1:] + noise)
        learned = network(seen, self._condition(level, label))
        return center + kept * (points - center) + scale * learned, scale

    def _condition(self, level: Float[Array, " n"], label: Int[Array, " n"]) -> Float[Array, "n c"]:
        span = np.log(MOST_NOISE / LEAST_NOISE)
        angle = jnp.pi * jnp.log(level / LEAST_NOISE) / span
        angle = angle[:, None] * jnp.arange(1.0, 1 + N_FREQUENCIES)[None, :]
        known = LOUDNESS * jax.nn.one_hot(label, self.n_classes + 1)
        return jnp.concatenate([jnp.cos(angle), jnp.sin(angle), known], axis=1)


def multistep(n_calls: int) -> tuple[Array, Array, Array, Array]:
    """The second-order rule: noise levels, and weights of x, of D and of the D before it.

    Levels are evenly spaced in their seventh root (Karras et al. 2022, Eq. 5); after the last comes
    0, where x is D.
    """
    root = np.linspace(MOST_NOISE ** (1 / 7), LEAST_NOISE ** (1 / 7), n_calls)
    level = root**7
    keep = np.append(level[1:] / level[:-1], 0.0)
    length = -np.log(keep[:-1])
    # The slope of D comes from the step before: none at the first, none wanted at the last.
    slope = np.zeros(n_calls)
    slope[1:-1] = length[1:] / length[:-1] / 2
    stages = level, keep, (1 - keep) * (1 + slope), -(1 - keep) * slope
    return tuple(jnp.asarray(stage, jnp.float32) for stage in stages)
