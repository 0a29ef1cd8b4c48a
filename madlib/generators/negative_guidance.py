r"""Negative guidance: a model that keeps away from what its own samples would teach.

    base  fitted to the training set
    own   fitted to samples of base
    drawn from the extrapolation through both, (1 + w) base - w own.

Alemohammad et al. 2024 (SIMS, arXiv 2408.16333) extrapolate scores, Alemohammad et al. 2025 (Neon)
parameters. Of a Gaussian, in the coordinates in which base is N(0, I) and own N(u, diag e),

    score       variance  f = 1 / (1 + w - w / e),      mean  -w f u / e
    parameters  variance  f = e^-w, their logarithms,   mean  -w u .

Of a diffusion model the denoiser is extrapolated, which is its score up to known terms.
"""

import dataclasses
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from madlib.datasets import Moments, Samples
from madlib.errors import AtLeastTwo, NonNegative, Share, one_of
from madlib.generators.diffusion import Diffusion, DiffusionParams
from madlib.generators.gaussian import Gaussian, NormalParams
from madlib.linalg import inverse_root, triangular_root


@dataclasses.dataclass(frozen=True)
class SelfGuidedGaussian(Gaussian):
    r"""Gaussian that is extrapolated away from the one that its own samples teach.

    Where the extrapolated precision is not positive there is no distribution, and params are NaN.

    Attributes:
        dim, ddof, exact: as for `Gaussian`.
        weight: w; 0 is `Gaussian`.
        n_own: samples of base that own is fitted to.
        own_lam: their sampling bias, which the loop does not tell: $\lambda$ to undo its bias.
        rule: "score" or "parameters".

    Example:
        >>> data = Samples.of(jnp.array([[-1.0], [0.0], [1.0]]))
        >>> guided = SelfGuidedGaussian(1, weight=1.0, n_own=10**9, own_lam=0.5, rule="parameters")
        >>> guided.fit(jax.random.key(0), data).cov.round(2).tolist()
        [[2.0]]
    """

    weight: NonNegative = 1.0
    n_own: AtLeastTwo = 1000
    own_lam: Share = 1.0
    rule: Annotated[str, one_of("score", "parameters")] = "score"

    def fit(self, key: Key[Array, ""], dataset: Samples | Moments) -> NormalParams:
        base = super().fit(None, dataset)
        own = super().fit(None, self.draw(key, base, self.n_own, self.own_lam))
        whole = jnp.diagonal(base.chol).all()  # else it has collapsed, and stays as it is.
        whiten, w = inverse_root(jnp.where(whole, base.chol, jnp.eye(self.dim))), self.weight
        shift = whiten @ (own.mean - base.mean)
        if self.dim == 1:
            e, axes = (whiten @ own.chol)[0] ** 2, jnp.eye(1)
        else:
            e, axes = _eigh(whiten @ own.cov @ whiten.T)
        if self.rule == "score":
            factor = 1 / (1 + w - w / e)
            moved = factor / e
        else:
            factor, moved = e**-w, jnp.ones_like(e)
        mean = base.mean - w * base.chol @ axes @ (moved * (axes.T @ shift))
        root = base.chol @ axes * jnp.sqrt(factor)[None, :]
        guided = NormalParams(mean, triangular_root(root))
        return jax.tree.map(lambda ours, theirs: jnp.where(whole, ours, theirs), guided, base)


@dataclasses.dataclass(frozen=True)
class SelfGuidedDiffusion(Diffusion):
    """Diffusion model whose denoiser is extrapolated away from that of its own samples.

    Attributes:
        dim, n_classes, width, n_blocks, n_calls, training, common_scale: as for `Diffusion`, of
            both models.
        weight: w; 0 is `Diffusion`.
        n_own: samples of base that own is trained on.
        own_lam: their sampling bias.

    Example:
        >>> guided = SelfGuidedDiffusion(2, n_classes=1, weight=0.5, n_own=100)
        >>> isinstance(guided, Diffusion), guided.weight
        (True, 0.5)
    """

    weight: NonNegative = 1.0
    n_own: AtLeastTwo = 1000
    own_lam: Share = 1.0

    def fit(self, key: Key[Array, ""], dataset: Samples) -> DiffusionParams:
        k_base, k_draw, k_own = jax.random.split(key, 3)
        base = super().fit(k_base, dataset)
        drawn = Diffusion.draw(self, k_draw, base, self.n_own, self.own_lam)
        # In the units of base: one noise level is then the same for both.
        own = self._train(k_own, drawn, self._statistics(drawn, base))
        return base._replace(own=own)

    def _denoised(self, params: DiffusionParams, points, sigma, label) -> Float[Array, "n d"]:
        clean, own = super()._denoised(params, points, sigma, label), params.own
        if own is None:
            return clean
        return clean + self.weight * (clean - super()._denoised(own, points, sigma, label))


@jax.custom_batching.sequential_vmap
def _eigh(matrix: Float[Array, "d d"]) -> Any:
    return jnp.linalg.eigh(matrix)
