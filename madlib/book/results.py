"""Where the results of a chapter land, and how they are written: whole or not at all."""

import codecs
import io
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from madlib.errors import ParameterError

__all__ = ["provenance", "results_dir", "write_result"]

_DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}"
_ESCAPED = {b"n": b"\n", b"r": b"\r"}  # in a string of a pdf


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


def provenance(figure: str) -> dict[str, Any]:
    """How a figure came about: label, caption, parameters, versions, checksum of its numbers.

    Args:
        figure: a label, looked up in `results_dir()`, or one of its files; a pdf, svg or png tells
            it by itself, wherever it is now.

    Raises:
        ParameterError: for what is no file of a figure.
    """
    path = Path(figure) if Path(figure).suffix else results_dir() / "figures" / f"{figure}.json"
    try:
        record = json.loads(_description(path.suffix, path.read_bytes()))
        return {"label": record["label"], **record}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SyntaxError) as error:
        raise ParameterError(
            "a figure is named by its label, or by a json, pdf, svg or png file that was saved; "
            f"got {figure!r} ({error}). Build its chapter, or set MADLIB_RESULTS."
        ) from None


def _description(kind: str, content: bytes) -> str:
    """The record that `figures.save` put into a file."""
    if kind == ".png":
        from PIL import Image

        return Image.open(io.BytesIO(content)).info["Description"]
    if kind == ".svg":
        return ElementTree.fromstring(content).findtext(f".//{_DUBLIN_CORE}description") or ""
    if kind == ".pdf":
        (told,) = re.findall(rb"/Subject \(((?:\\.|[^\\)])*)\)", content, re.DOTALL)
        told = re.sub(rb"\\(.)", lambda m: _ESCAPED.get(m[1], m[1]), told, flags=re.DOTALL)
        return told.decode("utf-16" if told.startswith(codecs.BOM_UTF16_BE) else "ascii")
    return content.decode()
