"""What a simulation leaves."""

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from madlib.errors import require

if TYPE_CHECKING:
    import pandas as pd


class Trajectory(NamedTuple):
    """Rows of one or many loops; axes [*grid, n_replicates, n_rows] lead, only rows in `run_loop`.

    Attributes:
        generation: [n_rows], t of each row, counted from 1.
        params: the model's parameters, or None where they were not kept.
        record: metric name -> values.
    """

    generation: Any
    params: Any
    record: dict[str, Any]

    def __getitem__(self, name: Any) -> Any:
        """The values of a metric by its name; a field by its number, as of any tuple."""
        return self.record[name] if isinstance(name, str) else tuple.__getitem__(self, name)

    def params_at(self, t: int, *at: Any) -> Any:
        """Parameters of the model of generation t, at these indices of the leading axes.

        Raises:
            ParameterError: if generation t has no row.
        """
        require(
            t in self.generation,
            "t must be a generation with a row",
            t,
            f"Rows are kept of {', '.join(map(str, np.asarray(self.generation)[:5]))}, ...",
        )
        row = (*at, int(np.argmax(np.asarray(self.generation) == t)))
        return jax.tree.map(lambda leaf: leaf[row], self.params)

    def to_frame(self) -> "pd.DataFrame":
        """Tidy: a row per grid point, replicate and generation, a column per scalar metric.

        Raises:
            ParameterError: if the record has metrics, and none is a scalar.
        """
        import pandas as pd

        values = {name: np.asarray(value) for name, value in self.record.items()}
        shapes = [value.shape for value in values.values()]
        shape = min(shapes, key=len, default=(len(self.generation),))
        require(
            shape[-1:] == (len(self.generation),),
            "a table has a column per scalar metric",
            f"only {', '.join(values)}, of more numbers each",
            "Record a scalar metric too, or use the arrays in `record`.",
        )
        values = {name: value for name, value in values.items() if value.shape == shape}
        axes = [f"grid_{i}" for i in range(len(shape) - 2)] + ["replicate"] * (len(shape) > 1)
        index = np.indices(shape).reshape(len(shape), -1)
        columns: dict[str, Any] = dict(zip(axes, index[:-1], strict=True))
        columns["generation"] = np.asarray(self.generation)[index[-1]]
        return pd.DataFrame(columns | {name: value.ravel() for name, value in values.items()})
