"""Times of programs side by side, for ratios that hold whatever else the machine does."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from madlib.errors import Count, Unavailable, checked, require

__all__ = ["first_result", "side_by_side"]


@checked
def side_by_side(
    contestants: Mapping[str, Callable[[], Any]], *, repeats: Count = 5, per: Any = None
) -> pd.DataFrame:
    """Median time of each, all taking turns, and its ratio to that of the first.

    Each runs once before, which compiles what is compiled. The ratio is the median over the turns
    of the ratios within a turn.

    Args:
        contestants: `{name: function}`, called without arguments.
        repeats: number of turns.
        per: {name: units of work in a call}, by which its times are divided; 1 by default.

    Example:
        >>> from madlib.book import timing
        >>> timing.side_by_side({"a": list, "b": dict}, repeats=3).columns.tolist()
        ['seconds', 'ratio']
    """
    units = dict.fromkeys(contestants, 1.0) | dict(per or {})
    for function in contestants.values():
        function()
    turns: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, function in contestants.items():
            start = time.perf_counter()
            function()
            turns[name].append((time.perf_counter() - start) / units[name])
    table = pd.DataFrame(turns)
    ratio = table.div(table.iloc[:, 0], axis=0).median()
    return pd.DataFrame({"seconds": table.median(), "ratio": ratio})


def first_result(arguments: list[str], folder: str | Path, repeats: int = 3) -> pd.DataFrame:
    """Time of a madlib command in a process of its own, with and without compiled programs kept.

    Args:
        arguments: of the command, such as `["simulate", ...]`.
        folder: an empty one, for the compiled programs.
        repeats: median of so many calls with them; the first call, without, is one.

    Raises:
        Unavailable: if the command fails.
    """
    command = [sys.executable, "-m", "madlib", *arguments]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder)}
    taken = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        taken.append(time.perf_counter() - start)
        said = done.stderr.strip()[-200:]
        require(not done.returncode, "the command must run", said, "Run it.", Unavailable)
    seconds = [taken[0], statistics.median(taken[1:])]
    return pd.DataFrame({"seconds": seconds}, index=["the first time", "from then on"])
