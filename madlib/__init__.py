"""madlib: what happens when generative models train on the output of generative models.

One loop, regimes that say what is trained on, generators that are trained, targets that are real::

    import jax
    import madlib

    trajectory = madlib.simulate(
        jax.random.key(0),
        madlib.Gaussian(dim=2),
        madlib.FreshData(n_r=100, n_s=900),
        madlib.targets.standard_normal(2),
        n_ini=100,
        n_generations=50,
        n_replicates=1000,
        record=(madlib.metrics.wasserstein2_squared,),
    )
"""

import contextlib
import os

import jax

n_cores = os.cpu_count() or 1
# Small matrices on many lanes: threads inside each LAPACK call cost ten times what they give.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if "JAX_NUM_CPU_DEVICES" not in os.environ:
    # One XLA device per core, over which replicates spread; refused once JAX has computed
    # something. At least two: programs for one device only are fused, and so rounded, otherwise.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", max(2, n_cores))

from madlib import claims, figures, metrics, planning, targets, text, theory
from madlib.generators import Categorical, Gaussian, GaussianMixture, KernelDensity
from madlib.loop import Trajectory, run_loop
from madlib.parameters import ParameterError, check_parameters
from madlib.regimes import (
    Accumulate,
    AccumulateSubsample,
    FreshData,
    FullySynthetic,
    SyntheticAugmentation,
)
from madlib.simulation import simulate

__version__ = "0.1.0"

__all__ = [
    "Accumulate",
    "AccumulateSubsample",
    "Categorical",
    "FreshData",
    "FullySynthetic",
    "Gaussian",
    "GaussianMixture",
    "KernelDensity",
    "ParameterError",
    "SyntheticAugmentation",
    "Trajectory",
    "check_parameters",
    "claims",
    "figures",
    "metrics",
    "planning",
    "run_loop",
    "simulate",
    "targets",
    "text",
    "theory",
]
