"""madlib: what happens when generative models train on the output of generative models.

One loop, regimes that say what is trained on, generators that are trained, targets that are real:

>>> import jax
>>> import madlib
>>> from madlib import FreshData, FullySynthetic, Gaussian, SyntheticAugmentation
>>> for regime in (FullySynthetic(n_s=100), SyntheticAugmentation(n_s=100), FreshData(100, 100)):
...     run = madlib.simulate(
...         jax.random.key(0),
...         Gaussian(dim=1),
...         regime,
...         madlib.targets.standard_normal(1),
...         n_ini=100,
...         n_generations=101,
...         n_replicates=1000,
...         record=(madlib.metrics.wasserstein2_squared,),
...     )
...     last = run["wasserstein2_squared"][:, -1]
...     print(isinstance(run, madlib.Trajectory), f"{last.mean():.2f}")
True 1.41
True 0.02
True 0.01

Whoever breaks a rule is told in one line:

>>> try:
...     FullySynthetic(n_s=100), Gaussian(dim=0)
... except madlib.ParameterError as error:
...     print(isinstance(error, madlib.MadlibError), error)
True dim must be a whole number from 1 to 1e+15; got 0. Use 1, say.

`run_loop` is a single replicate, a pure function; parts of your own derive from `Generator`,
`Regime` and `Target`, and any function of (model, target) is a `Metric`:

>>> def mean(model, target):
...     return model.params.mean[0]
>>> isinstance(mean, madlib.Metric), issubclass(FullySynthetic, madlib.Regime)
(True, True)
>>> isinstance(Gaussian(1), madlib.Generator)
True
>>> target = madlib.targets.normal(5.0, 1.0)
>>> isinstance(target, madlib.Target), mean(madlib.Model(Gaussian(1), target.params), target).item()
(True, 5.0)
>>> parts = jax.random.key(0), Gaussian(1), FullySynthetic(10**12), target
>>> one = madlib.run_loop(*parts, n_ini=10**12, n_generations=3, record=(mean,))
>>> one["mean"].round(3).tolist()
[5.0, 5.0, 5.0]
"""

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import warnings
from pathlib import Path

# Small matrices on many lanes: threads inside each LAPACK call cost ten times what they give.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax

if "JAX_NUM_CPU_DEVICES" not in os.environ:
    # One XLA device per core, over which replicates spread; refused once JAX has computed
    # something. At least two: programs for one device only are fused, and so rounded, otherwise.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", max(2, os.cpu_count() or 1))
if jax.config.values.get("jax_compilation_cache_dir") is None:
    # Programs that took a while to compile wait for the next process. A folder for each machine,
    # since they hold its instructions; one that is damaged or cannot be written costs its time.
    with contextlib.suppress(OSError, RuntimeError):
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        machine = hashlib.sha256("-".join(platform.uname()).encode()).hexdigest()[:12]
        folder = cache / "madlib" / machine
        folder.mkdir(parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")

from madlib import generators, metrics, regimes, targets, theory
from madlib.errors import MadlibError, ParameterError
from madlib.generators import Gaussian
from madlib.loop import run_loop
from madlib.planning import plan
from madlib.protocols import Generator, Metric, Model, Regime, Target
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
    "Model",
    "ParameterError",
    "Regime",
    "SyntheticAugmentation",
    "Target",
    "Trajectory",
    "generators",
    "metrics",
    "plan",
    "regimes",
    "run_loop",
    "simulate",
    "targets",
    "theory",
]
