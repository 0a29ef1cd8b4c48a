"""How replicates and grid points are laid out: batches, spans, lanes, devices, memory."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

MEMORY_BUDGET = 2**29  # bytes that the rows of one batch, or of one span of generations, may take.
CACHE_BUDGET = 2**22  # bytes that the replicates of one batch may work on: about a cache, measured.
# On a CPU, replicates that work on fewer bytes are computed side by side, in whole vectors of 16
# lanes, and others in turn: a network fills a core and its cache, and EM ends when it is done. So
# a replicate goes through the same program, and comes out the same, whatever is in its batch.
SIDE_BY_SIDE, N_LANES = 2**14, 16


class Plan(NamedTuple):
    """A layout; it holds numbers only, and computes nothing.

    Attributes:
        grid: shape of the grid that sizes and lam span.
        first_replicate, n_replicates: which replicates, at every grid point.
        n_generations, every: rows are generations 1, 1 + every, ...
        batch_size: items (replicates times grid points) of one compiled call.
        span: rows between two visits of the host.
        in_turn: whether a device computes its items one after the other.
        row_bytes: of one row of one item.
    """

    grid: tuple[int, ...]
    first_replicate: int
    n_replicates: int
    n_generations: int
    every: int
    batch_size: int
    span: int
    in_turn: bool
    row_bytes: int

    @property
    def n_items(self) -> int:
        return math.prod(self.grid) * self.n_replicates

    @property
    def bytes_held(self) -> int:
        """Of the rows that the host holds at once."""
        n_later = (self.n_generations - 1) // self.every
        return self.row_bytes * self.n_items * (1 + min(self.span, n_later))

    @property
    def starts(self) -> range:
        """The first item of each batch."""
        return range(0, self.n_items, self.batch_size)

    @property
    def spans(self) -> list[np.ndarray]:
        """Generations [n_rows, every] of each span, after generation 1."""
        rows = np.arange(2, self.n_generations + 1).reshape(-1, self.every)
        return [rows[i : i + self.span] for i in range(0, len(rows), self.span)]

    def items(self, start: int, varying: Any) -> tuple[jax.Array, Any]:
        """Replicates [batch_size] of the batch that begins at start, and their settings.

        The last batch is padded by repeating its last item.
        """
        item = np.minimum(np.arange(start, start + self.batch_size), self.n_items - 1)

        def pick(leaf: Any) -> jax.Array:
            values = np.broadcast_to(leaf, self.grid).ravel()[item // self.n_replicates]
            return jnp.asarray(values, jnp.float32)

        replicate = (self.first_replicate + item % self.n_replicates) % 2**32
        return jnp.asarray(replicate, jnp.uint32), jax.tree.map(pick, varying)


def make_plan(
    grid: tuple[int, ...],
    *,
    first_replicate: int,
    n_replicates: int,
    n_generations: int,
    every: int,
    row_bytes: int,
    work_bytes: int,
    sequential: bool,
    reduced: bool,
    batch_size: int | None,
    n_devices: int,
    on_cpu: bool,
) -> Plan:
    """The layout that keeps within memory and cache, and every device busy.

    Args:
        grid, first_replicate, n_replicates, n_generations, every: as in `Plan`.
        row_bytes: of one row of one item.
        work_bytes: of model, memory and training set of one item.
        sequential: whether one fit keeps a core busy.
        reduced: whether replicates are reduced span by span.
        batch_size: asked for; None for what fits.
        n_devices: over which a batch is spread.
        on_cpu: whether they are cores.
    """
    n_items = math.prod(grid) * n_replicates
    n_later = (n_generations - 1) // every
    in_turn = on_cpu and (sequential or work_bytes > SIDE_BY_SIDE)
    if batch_size is None:
        n_rows_kept = 1 if reduced else 1 + n_later
        batch_size = MEMORY_BUDGET // max(row_bytes * n_rows_kept, work_bytes)
        if on_cpu:
            batch_size = min(batch_size, n_devices if sequential else CACHE_BUDGET // work_bytes)
    n_batches = math.ceil(n_items / max(batch_size, 1))
    lanes = n_devices * (N_LANES if on_cpu and not in_turn else 1)
    batch_size = lanes * math.ceil(n_items / n_batches / lanes)
    span = max(1, MEMORY_BUDGET // (row_bytes * n_items) if reduced else n_later)
    sizes = grid, first_replicate, n_replicates, n_generations, every
    return Plan(*sizes, batch_size, span, in_turn, row_bytes)
