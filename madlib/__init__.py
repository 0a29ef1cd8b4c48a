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
import importlib.metadata
import os

import jax

# Small matrices on many lanes: threads inside each LAPACK call cost ten times what they give.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if "JAX_NUM_CPU_DEVICES" not in os.environ:
    # One XLA device per core, over which replicates spread; refused once JAX has computed
    # something. At least two: programs for one device only are fused, and so rounded, otherwise.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", max(2, os.cpu_count() or 1))

from madlib import generators, metrics, regimes, targets, theory
from madlib.errors import MadlibError, ParameterError
from madlib.generators import Gaussian
from madlib.loop import run_loop
from madlib.protocols import Generator, Metric, Regime, Target
from madlib.regimes import FreshData, FullySynthetic, SyntheticAugmentation
from madlib.simulate import simulate
from madlib.trajectory import Trajectory

__version__ = importlib.metadata.version("madlib")

__all__ = [
    "FreshData",
    "FullySynthetic",
    "Gaussian",
    "Generator",
    "MadlibError",
    "Metric",
    "ParameterError",
    "Regime",
    "SyntheticAugmentation",
    "Target",
    "Trajectory",
    "generators",
    "metrics",
    "regimes",
    "run_loop",
    "simulate",
    "targets",
    "theory",
]
