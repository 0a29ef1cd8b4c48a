"""Regimes: what is the training set of this generation? One short file each.

    FullySynthetic          D^t = D_s^t
    SyntheticAugmentation   D^t = D_r + D_s^t          D_r the same at every generation
    FreshData               D^t = D_r^t + D_s^t        D_r^t drawn anew
    Accumulate              D^t = D^{t-1} + D_s^t
    AccumulateFresh         D^t = D^{t-1} + D_r^t + D_s^t
    AccumulateCorrected     the same, each batch moved by what its synthetic part did to its mean
    AccumulateSubsample     D^t = n of all so far
    LongMemory              D^t = D_r^t + samples of the last K models

Others wrap any of these, and each other: `Weighted` counts real examples w times, `Curated` selects
(see `madlib.regimes.selectors`), `Growing` changes sizes with t, `External` takes its synthetic
data from somebody else's model.

>>> import jax
>>> import numpy as np
>>> import madlib
>>> from madlib.regimes import *
>>> def typical_variance(regime, generator=madlib.Gaussian(1)):
...     run = madlib.simulate(
...         jax.random.key(0), generator, regime, madlib.targets.standard_normal(1), n_ini=20,
...         n_generations=41, n_replicates=500, record=(madlib.metrics.total_variance,), every=40)
...     return round(float(np.median(run["total_variance"][:, -1])), 1)
>>> [typical_variance(regime) for regime in (
...     FullySynthetic(20), SyntheticAugmentation(20), FreshData(20, 20), LongMemory(20, 20, 2),
...     Accumulate(20), AccumulateFresh(20, 20), AccumulateSubsample(20, 20))]
[0.1, 0.9, 1.0, 1.0, 0.9, 1.0, 0.9]
>>> [typical_variance(regime) for regime in (
...     Growing(FullySynthetic(20), Power(1.5)), Weighted(FreshData(20, 20), 3.0),
...     External(FreshData(20, 20), madlib.targets.normal(0.0, 4.0).params))]
[0.9, 1.0, 2.5]
>>> class Positive(Selector):  # keeps the positive points
...     def __call__(self, key, data, turn):
...         return (data.points[:, 0] > 0).astype(float) * data
>>> typical_variance(Curated(FreshData(20, 20), Positive()))
1.0
"""

from madlib.regimes import selectors
from madlib.regimes.accumulate import (
    Accumulate,
    AccumulateCorrected,
    AccumulateFresh,
    AccumulateSubsample,
)
from madlib.regimes.curated import Curated, Selector
from madlib.regimes.external import External
from madlib.regimes.fresh_data import FreshData
from madlib.regimes.fully_synthetic import FullySynthetic
from madlib.regimes.growing import Dwindling, Growing, Power, Stairs
from madlib.regimes.long_memory import LongMemory
from madlib.regimes.synthetic_augmentation import SyntheticAugmentation
from madlib.regimes.weighted import Weighted

__all__ = [
    "Accumulate",
    "AccumulateCorrected",
    "AccumulateFresh",
    "AccumulateSubsample",
    "Curated",
    "Dwindling",
    "External",
    "FreshData",
    "FullySynthetic",
    "Growing",
    "LongMemory",
    "Power",
    "Selector",
    "Stairs",
    "SyntheticAugmentation",
    "Weighted",
    "selectors",
]
