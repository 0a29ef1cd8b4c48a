r"""Targets: the real distributions $P_r$.

Real data comes by the same verbs, `draw` and `sample`, as synthetic data.
"""

from madlib.targets.data import Empirical, digits, empirical, images, mnist
from madlib.targets.laws import (
    Rosenbrock,
    categorical,
    mixture,
    mode_grid,
    normal,
    regression,
    rosenbrock,
    standard_normal,
    zipf,
)
from madlib.targets.text import corpus, decode, encode, normalize, passages, text

__all__ = [
    "Empirical",
    "Rosenbrock",
    "categorical",
    "corpus",
    "decode",
    "digits",
    "empirical",
    "encode",
    "images",
    "mixture",
    "mnist",
    "mode_grid",
    "normal",
    "normalize",
    "passages",
    "regression",
    "rosenbrock",
    "standard_normal",
    "text",
    "zipf",
]
