"""madlib: what happens when generative models train on the output of generative models.

One loop (`madlib.loop`), regimes that say what is trained on, generators that are trained, targets that are real::

    import jax
    from madlib import FreshData, Gaussian, simulate, standard_normal
    from madlib.metrics import wasserstein2_squared

    trajectory = simulate(
        jax.random.key(0), Gaussian(dim=2), FreshData(n_r=100, n_s=900), standard_normal(2),
        n_ini=100, n_generations=50, n_replicates=1000, record=(wasserstein2_squared,),
    )
"""

import os

import jax

if "JAX_NUM_CPU_DEVICES" not in os.environ:
    # One XLA device per core, so that replicates spread over all of them; too late once JAX has computed something.
    try:
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    except RuntimeError:
        pass

from madlib import claims, figures, metrics, targets, theory
from madlib.datasets import Counts, Moments, Samples
from madlib.generators import Categorical, Gaussian
from madlib.loop import Trajectory, run_loop
from madlib.parameters import ParameterError, check_parameters
from madlib.regimes import Accumulate, AccumulateSubsample, FreshData, FullySynthetic, SyntheticAugmentation
from madlib.simulation import simulate
from madlib.targets import normal, standard_normal

__version__ = "0.1.0"
