r"""Near pairs of two large sets of points on a CPU: screened by products, decided by differences.

$|p - q|^2 = |p|^2 + |q|^2 - 2 p \cdot q$ is a matrix product, much faster than differences, and
wrong by about $\epsilon d (|p|^2 + |q|^2)$. So pairs are screened by products with that margin; of
those that are left, few where points spread, distances are sums of squared differences in double
precision, as if all pairs had been computed so. Blocks of rows keep memory bounded, on all cores.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

_BLOCK = 2**22  # products held at once by a thread.
_SAMPLE = 1024  # columns that bound the k-th nearest of all.


class TooMany(Exception):
    """More near pairs than screening is good for: points that coincide, for instance."""


def kth_nearest(points: NDArray, others: NDArray, k: int) -> NDArray[np.float64]:
    """Squared distance [n] of each of points [n, d] to one of others [m, d], the nearest is k = 0.

    Raises:
        TooMany: see there.
    """
    n_sample = max(_SAMPLE, 4 * k)
    others = np.random.default_rng(0).permutation(others)  # so that the first are a sample

    def nearest(start: int, gap: NDArray, margin: NDArray) -> NDArray:
        bound = np.partition(gap[:, :n_sample], k, axis=1)[:, k] + 2 * margin
        row, column = _pairs(gap <= bound[:, None])
        bound = _ranked(row, gap[row, column], len(gap), k) + 2 * margin
        near = gap[row, column] <= bound[row]
        row, column = row[near], column[near]
        return _ranked(row, _squared(points, start + row, others, column), len(gap), k)

    return np.concatenate([*_map_blocks(nearest, points, others)])


def near_counts(
    points: NDArray, others: NDArray, reach: NDArray, reached: NDArray, holds: Callable
) -> tuple[NDArray, NDArray, NDArray]:
    """How many of others lie within reach of each point and the reverse; which reach any point.

    Args:
        points, others: [n, d], [m, d].
        reach: [n], squared radii of the balls about points.
        reached: [m], squared radii of the balls about others.
        holds: `holds(d2, radius2)`, whether a ball has a point at this squared distance.

    Returns:
        [m], balls of points that hold each of the others; [n], others in the ball of each point;
        [n], balls of others that hold each point.

    Raises:
        TooMany: see there.
    """

    def count(start: int, gap: NDArray, margin: NDArray) -> Any:
        near = gap <= (reach[start : start + len(gap)] + margin).astype(np.float32)[:, None]
        near |= gap <= (reached + margin.max()).astype(np.float32)
        row, column = _pairs(near)
        distance = _squared(points, start + row, others, column)
        ours = holds(distance, reach[start + row])
        theirs = holds(distance, reached[column])
        return (
            np.bincount(column[ours], minlength=len(others)),
            np.bincount(row[ours], minlength=len(gap)),
            np.bincount(row[theirs], minlength=len(gap)),
        )

    held = np.zeros(len(others), np.int64)
    rows = []
    for by_other, *by_point in _map_blocks(count, points, others):
        held += by_other
        rows.append(by_point)
    inside, holding = (np.concatenate(column) for column in zip(*rows, strict=True))
    return held, inside, holding


def _map_blocks(function: Callable, points: NDArray, others: NDArray) -> Iterator[Any]:
    """function(start, gap, margin) for blocks of rows: squared distances [b, m], off by margin."""
    points, others = points.astype(np.float32), others.astype(np.float32)
    (n, d), m = points.shape, len(others)
    rows = np.concatenate([-2 * points, np.ones((n, 1)), _norms(points)[:, None]], 1, dtype="f4")
    columns = np.concatenate([others, _norms(others)[:, None], np.ones((m, 1))], 1, dtype="f4")
    # Rounded once more, upwards, where it is added to a radius in single precision.
    margin = 2 * (d + 8) * np.finfo(np.float32).eps * (_norms(points) + _norms(others).max())
    columns, margin, n_rows = columns.T.copy(), margin.astype(np.float32), max(1, _BLOCK // m)

    here = threading.local()

    def block(start: int) -> Any:
        part = rows[start : start + n_rows]
        if not hasattr(here, "room"):  # of which the operating system zeroes the pages once.
            here.room = np.empty((n_rows, m), np.float32)
        gap = np.matmul(part, columns, out=here.room[: len(part)])
        return function(start, gap, margin[start : start + n_rows])

    # A block for each core: threads within a product would wait for one another.
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(block, range(0, n, n_rows))


def _norms(points: NDArray) -> NDArray[np.float64]:
    """Squared length of each point."""
    return np.einsum("ij,ij->i", points, points, dtype=np.float64)


def _pairs(near: NDArray[np.bool_]) -> tuple[NDArray, NDArray]:
    """Row and column of each pair that is near."""
    flat = np.flatnonzero(near)
    if flat.size > max(near.size / 8, 2**16):
        raise TooMany
    return flat // near.shape[1], flat % near.shape[1]


def _squared(points: NDArray, rows: NDArray, others: NDArray, columns: NDArray) -> NDArray:
    """Squared distances of pairs, in double precision."""
    result = np.empty(len(rows))
    for start in range(0, len(rows), 2**15):
        part = slice(start, start + 2**15)
        gap = points[rows[part]].astype(np.float64) - others[columns[part]]
        result[part] = np.einsum("ij,ij->i", gap, gap)
    return result


def _ranked(row: NDArray, values: NDArray, n: int, k: int) -> NDArray:
    """Of each of n rows, in order, the value of rank k."""
    count = np.bincount(row, minlength=n)
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    table = np.full((n, count.max()), np.inf, values.dtype)
    table[row, place] = values
    return np.partition(table, k, axis=1)[:, k]
