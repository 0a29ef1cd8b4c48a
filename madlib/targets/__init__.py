r"""Targets: the real distributions $P_r$.

Real data comes by the same verbs, `draw` and `sample`, as synthetic data.
"""

from madlib.targets.data import (
    Deformed,
    Empirical,
    dealt,
    deformed_digits,
    digits,
    empirical,
    images,
    mnist,
)
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
from madlib.targets.own import from_file
from madlib.targets.text import (
    alphabet_of,
    corpus,
    decode,
    docstring_prose,
    dropped_share,
    encode,
    normalize,
    passages,
    text,
)

__all__ = [
    "Deformed",
    "Empirical",
    "Rosenbrock",
    "alphabet_of",
    "categorical",
    "corpus",
    "dealt",
    "decode",
    "deformed_digits",
    "digits",
    "docstring_prose",
    "dropped_share",
    "empirical",
    "encode",
    "from_file",
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
