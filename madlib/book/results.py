"""Where the results of a chapter land, and how they are written: whole or not at all."""

import os
import tempfile
from pathlib import Path

from madlib.errors import ParameterError

__all__ = ["results_dir", "write_result"]


def results_dir() -> Path:
    """The folder of figures and verdicts: `$MADLIB_RESULTS`, or `_build/madlib` here."""
    root = os.environ.get("MADLIB_RESULTS", "").strip()
    return Path(root).expanduser().absolute() if root else Path.cwd() / "_build" / "madlib"


def write_result(relative: str, content: bytes) -> Path:
    """Write one file under `results_dir()`, whole or not at all.

    Args:
        relative: path inside the results folder, such as `figures/fig-loop.svg`.
        content: the bytes of the file.

    Returns:
        The path written.

    Raises:
        ParameterError: if the folder cannot be written.
    """
    path = results_dir() / relative
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=path.parent) as part:
            whole = Path(part, path.name)
            whole.write_bytes(content)
            whole.replace(path)
    except OSError as error:
        raise ParameterError(
            f"the results folder must be writable; got {results_dir()} ({error.strerror}). "
            "Set MADLIB_RESULTS to a folder you can write to."
        ) from error
    return path
