"""The benchmarks of networks train what the package has."""

import jax
import pytest

from benchmarks import networks


@pytest.mark.parametrize("contest", networks.contests(), ids=lambda contest: contest.name)
def test_a_contest_can_be_held(contest):
    key = jax.random.key(0)
    examples = contest.target.draw(key, contest.n)
    fitted = jax.eval_shape(contest.generator.fit, key, examples)
    assert jax.tree.leaves(fitted) and networks._flops_per_step(contest.generator) > 0
