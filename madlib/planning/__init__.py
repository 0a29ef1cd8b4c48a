"""Planning with real data: may I mix, what is a loop worth, how long to run it to find out.

`plan` answers for a reader's own sizes, from theory alone, in a second.

The effective sample size n_e of a model is the number of real samples of which a single fit would
be as far from the target (Alemohammad et al. 2023, Section 5). `effective_sample_size` reads it off
a measured curve, so it needs no closed form and serves any generator and any distance;
`madlib.theory.effective_sample_size` is its counterpart for Gaussians and W2 squared.
"""

from madlib.planning.curve import effective_sample_size, learning_curve_dimension
from madlib.planning.limit import (
    Limit,
    generations_to_limit,
    simulate_border,
    simulate_to_limit,
    simulate_worth,
)
from madlib.planning.planner import Plan, Round, plan

__all__ = [
    "Limit",
    "Plan",
    "Round",
    "effective_sample_size",
    "generations_to_limit",
    "learning_curve_dimension",
    "plan",
    "simulate_border",
    "simulate_to_limit",
    "simulate_worth",
]
