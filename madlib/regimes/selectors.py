r"""Selectors: what curation rejects, keeps, prefers, relabels, or weighs down.

Thin           every example with one chance: a detector of known error rates
Verifier       what lies within a distance of the verifier's own center
Ranked         the share that the model finds likeliest, or least likely
Posterior      a weight, the chance that an example is human
Preference     Bradley-Terry choices between two, or the best of many, for one or more groups
Deduplicate    the first of identical examples
Relabel        the label that a classifier would give
Reparation     a weight for each group, which restores its share of the data
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from madlib.datasets import Samples
from madlib.protocols import Model
from madlib.regimes.curated import Selector
from madlib.statistics import Counts


class Thin(Selector):
    """Keeps every example with chance `rate`: what a detector lets through, right or wrong."""

    rate: float

    def __call__(self, key, data, turn):
        kept = jax.random.uniform(key, data.weight.shape) < self.rate
        return kept.astype(float) * data


class Verifier(Selector):
    """Keeps points within `half_width` of a center: an opinion of where the truth is.

    Attributes:
        center: [d].
        half_width: [], the largest distance.
    """

    center: Float[Array, " d"]
    half_width: float

    def __call__(self, key, data, turn):
        gap = data.points - self.center[None, :]
        return (jnp.sum(gap**2, axis=1) <= self.half_width**2).astype(float) * data


class Ranked(Selector):
    """Keeps the share that the last model, which has log_prob, finds likeliest or least likely."""

    share: float = eqx.field(static=True)
    likeliest: bool = eqx.field(default=True, static=True)

    def __call__(self, key, data, turn):
        score = turn.model.log_prob(data.points)
        score = jnp.where(data.weight > 0, score if self.likeliest else -score, -jnp.inf)
        _, kept = jax.lax.top_k(score, round(self.share * len(score)))
        return jnp.zeros(len(score)).at[kept].set(1.0) * data


class Posterior(Selector):
    r"""Weighs every example by P(human)^power, of a detector that knows both densities.

    $P(\text{human} | x) = (1 - s) p(x) / [(1 - s) p(x) + s q(x)]$ with q the last model, drawn with
    its bias: power 1 gives back p exactly, at a smaller effective size. With `threshold`, keeps
    what is more likely human than not.

    Attributes:
        log_prob: of the human distribution p, points [n, d] -> [n].
        log_prob_synthetic: (model, points) -> [n], of what the model draws: `drawn_log_prob`, say.
        share: s, synthetic share of the data.
        power, threshold: how the posterior is used.
    """

    log_prob: Callable[[Array], Array]
    log_prob_synthetic: Callable[[Any, Array], Array]
    share: float
    power: float = 1.0
    threshold: bool = eqx.field(default=False, static=True)

    def __call__(self, key, data, turn):
        human = jnp.log1p(-self.share) + self.log_prob(data.points)
        synthetic = jnp.log(self.share) + self.log_prob_synthetic(turn.model, data.points)
        posterior = jax.nn.sigmoid(human - synthetic)
        if self.threshold:
            return (posterior > 0.5).astype(float) * data
        return posterior**self.power * data


def drawn_log_prob(model: Model, points: Float[Array, "n d"]) -> Float[Array, " n"]:
    r"""Log-density of what a Gaussian draws with its bias, $N(\mu_t, \lambda \Sigma_t)$."""
    params = model.params._replace(chol=jnp.sqrt(model.lam) * model.params.chol)
    return model.generator.log_prob(params, points)


class Preference(Selector):
    r"""Weighs examples by how often they are chosen, among K = 2 or many, by groups with rewards.

    Pairwise (Bradley & Terry 1952): $p'(x) = p(x) \sum_g w_g E_y [2 e^{r_g(x)} / (e^{r_g(x)} +
    e^{r_g(y)})]$. Best of many: $p'(x) = p(x) \sum_g w_g e^{r_g(x)} / E_y e^{r_g(y)}$. y is another
    draw of the model.

    Attributes:
        reward: [g, k] by group and symbol; or a function of points [n, d] -> [g, n].
        group: [g], w_g, summing to 1.
        pairwise: whether choices are between two.
    """

    reward: Any
    group: Float[Array, " g"]
    pairwise: bool = eqx.field(default=True, static=True)

    @property
    def needs_points(self):
        return callable(self.reward)

    def __call__(self, key, data: Any, turn):
        by_symbol = isinstance(data, Counts)
        mass = data.count if by_symbol else data.weight
        share = mass / mass.sum()
        reward = jnp.asarray(self.reward if by_symbol else self.reward(data.points))
        if self.pairwise:
            wins = 2 * jax.nn.sigmoid(reward[:, :, None] - reward[:, None, :]) @ share
        else:
            tilt = jnp.exp(reward - reward.max(axis=1, keepdims=True))
            wins = tilt / (tilt @ share)[:, None]
        chosen = self.group @ wins
        return Counts(chosen * mass) if by_symbol else chosen * data


class Deduplicate(Selector):
    """Keeps the first of identical examples, by an exact comparison of all their numbers."""

    def __call__(self, key, data, turn):
        order = jnp.lexsort((jnp.arange(len(data.points)), *data.points.T[::-1]))
        same = (data.points[order[1:]] == data.points[order[:-1]]).all(axis=1)
        first = jnp.concatenate([jnp.ones(1, bool), ~same])
        return jnp.zeros(len(first)).at[order].set(first.astype(float)) * data


class Relabel(Selector):
    """Gives every example the label that a classifier, which has `labels`, would give it."""

    classifier: Any

    def __call__(self, key, data: Samples, turn):
        return data._replace(label=self.classifier.labels(data.points))


class Reparation(Selector):
    """Weighs groups so that each has its share, whatever the sample holds (Wyllie et al. 2024).

    Attributes:
        group: [k], the group of each symbol, counted from 0.
        share: [g], of the total; a group without a single example stays without.
    """

    group: Int[Array, " k"]
    share: Float[Array, " g"]

    @property
    def needs_points(self):
        return False

    def __call__(self, key, data: Counts, turn):
        members = (self.group[None, :] == jnp.arange(len(self.share))[:, None]).astype(float)
        mass = members @ data.count
        factor = data.count.sum() * self.share / jnp.where(mass > 0, mass, 1.0)
        return Counts(factor @ members * data.count)
