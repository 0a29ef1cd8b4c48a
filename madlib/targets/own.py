"""A reader's own file as a target, and the part of it that is held out."""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Float

from madlib.errors import Count, Flag, checked
from madlib.protocols import Target
from madlib.targets.data import dealt, empirical, rows_of_part
from madlib.targets.files import read_points
from madlib.targets.text import passages


@checked
def from_file(
    path: str | os.PathLike, *, length: Count = 64, standardize: Flag = True
) -> tuple[Target, Float[np.ndarray, "m d"]]:
    """Four fifths of the examples of a file as a target, and the others, held out for scores.

    A fixed shuffle decides which. No loop sees an example twice (`dealt`), so that fresh data are
    fresh, and `simulate` refuses sizes for which there are too few. Columns of numbers have units
    of their own, so each is centered and divided by its standard deviation.

    Args:
        path: .npy, .npz, .csv or .parquet, a row of numbers per example (see `empirical`); or .txt,
            UTF-8, whose passages are the examples (see `passages`).
        length: characters of a passage.
        standardize: False leaves columns as they are, about the origin of `empirical`.

    Returns:
        The target; and [m, d], the held-out points in its units, or numbers of symbols.

    Raises:
        ParameterError: for a file that cannot be read, by row and column.

    Example:
        >>> import tempfile
        >>> from madlib import targets
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "mine.csv")
        ...     size = path.write_text("height,weight\\n" + "1.7,70\\n1.8,80\\n" * 10)
        ...     target, held_out = targets.from_file(path)
        >>> target.space.dim, len(target.params.weight), held_out.shape
        (2, 16, (4, 2))
    """
    if Path(path).suffix.lower() == ".txt":
        held_out = passages(length, path, "held out").params.points
        return dealt(passages(length, path, "training")), np.asarray(held_out)
    points, labels = read_points(path)
    n = len(points)
    if standardize:
        spread = points.std(axis=0)
        points = (points - points.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    training, rest = (rows_of_part(n, n - max(1, n // 5), part) for part in ("training", "held"))
    target = empirical(points[training], None if labels is None else labels[training])
    return dealt(target), (points[rest] - (getattr(target.family, "origin", ()) or 0.0)).astype(
        np.float32
    )
