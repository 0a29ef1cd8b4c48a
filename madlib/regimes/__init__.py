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
from madlib.regimes.growing import Dwindling, Growing, Power
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
    "SyntheticAugmentation",
    "Weighted",
    "selectors",
]
