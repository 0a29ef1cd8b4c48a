"""Regimes: what is the training set of this generation? One short file each.

    FullySynthetic          D^t = D_s^t
    SyntheticAugmentation   D^t = D_r + D_s^t          D_r the same at every generation
    FreshData               D^t = D_r^t + D_s^t        D_r^t drawn anew
    Accumulate              D^t = D^{t-1} + D_s^t
    AccumulateSubsample     D^t = n of all so far
    LongMemory              D^t = D_r^t + samples of the last K models

Three more wrap any of these, and each other: `Weighted` counts real examples w times, `Curated`
selects among the synthetic ones, `Growing` changes sizes with t.
"""

from madlib.regimes.accumulate import Accumulate, AccumulateSubsample
from madlib.regimes.curated import Curated, Selector
from madlib.regimes.fresh_data import FreshData
from madlib.regimes.fully_synthetic import FullySynthetic
from madlib.regimes.growing import Growing, Power
from madlib.regimes.long_memory import LongMemory
from madlib.regimes.synthetic_augmentation import SyntheticAugmentation
from madlib.regimes.weighted import Weighted

__all__ = [
    "Accumulate",
    "AccumulateSubsample",
    "Curated",
    "FreshData",
    "FullySynthetic",
    "Growing",
    "LongMemory",
    "Power",
    "Selector",
    "SyntheticAugmentation",
    "Weighted",
]
