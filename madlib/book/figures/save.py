"""Captions, and `save`, which writes a figure with its data and its provenance."""

import dataclasses
import hashlib
import json
import re
import string
from importlib import metadata
from typing import Any

import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

from madlib.book.figures.page import lay_out, on_white, render, to_page, transparent_svg
from madlib.book.figures.style import STYLE
from madlib.book.results import write_result
from madlib.errors import ParameterError, require

_PACKAGES = ("madlib", "jax", "numpy", "matplotlib")
YEAR = 2026  # of the version, as in CITATION.cff.


@dataclasses.dataclass(frozen=True)
class SavedFigure:
    """A figure on disk, which shows itself on a page in the theme of the page.

    Attributes:
        label: its name everywhere, `fig-...`.
        caption: with the parameters filled in.
        table: the plotted numbers, as in the CSV file.
        svg: the element of the page.
    """

    label: str
    caption: str
    table: pd.DataFrame = dataclasses.field(repr=False, compare=False)
    svg: str = dataclasses.field(repr=False)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.svg, "text/plain": f"{self.label}: {self.caption}"}


def save(
    fig: Figure,
    label: str,
    *,
    caption: str,
    data: pd.DataFrame,
    parameters: dict[str, Any],
    reproduces: str | None = None,
    key: str = "",
) -> SavedFigure:
    r"""Write a figure as pdf, svg, png, csv, json and bib under `results_dir()/figures`.

    Args:
        fig: from `subplots`.
        label: `fig-` and words in lower case, for instance `"fig-fresh-phase"`.
        caption: stands alone; `{n_s}` is replaced by the parameter (write `{{` and `}}` for the
            braces of math).
        data: the plotted numbers, one row per point.
        parameters: returned by `check_parameters`.
        reproduces: bib key and place, for instance `"alemohammad2023, Figure 11"`.
        key: sentences on lines and bands, added to the caption as they are.

    Returns:
        The figure, for the page.

    Raises:
        ParameterError: for a label, caption, table or source that is not as described.
    """
    require(
        isinstance(label, str) and re.fullmatch(r"fig(-[a-z0-9]+)+", label),
        "label must be 'fig-' and words in lower case joined by '-'",
        repr(label),
        "Rename it, for instance 'fig-fresh-phase'.",
    )
    require(
        isinstance(data, pd.DataFrame) and not data.empty,
        "data must be a pandas DataFrame with the plotted numbers",
        f"an empty {type(data).__name__}" if hasattr(data, "empty") else type(data).__name__,
        "Build one with pd.DataFrame({...}).",
    )
    require(
        reproduces is None or re.fullmatch(r"[a-z]+\d{4}[a-z]*, \S.*", reproduces),
        "reproduces must be a bib key, a comma and a place",
        repr(reproduces),
        "Write it as 'alemohammad2023, Figure 11'.",
    )
    text = " ".join([format_caption(caption, parameters), key]).strip()
    csv = data.to_csv(index=False, lineterminator="\n", float_format="%.9g").encode()
    provenance = {
        "label": label,
        "caption": text,
        "reproduces": reproduces,
        "parameters": parameters,
        "versions": {name: _version(name) for name in _PACKAGES},
        "sha256": hashlib.sha256(csv).hexdigest(),
    }
    pretty = {"sort_keys": True, "ensure_ascii": False, "default": _plain}
    record = json.dumps(provenance, **pretty)
    with style.context(["default", STYLE, {"svg.hashsalt": label}]):
        lay_out(fig)
        fig.set_layout_engine("none")
        pdf = render(fig, "pdf", Subject=record, Title=label, CreationDate=None)
        png = render(fig, "png", Description=record, Title=label)
        svg = transparent_svg(fig, Description=record, Title=label, Date=None)
    # The JSON comes last: where it is, the rest is.
    files = {"pdf": pdf, "png": png, "svg": on_white(svg), "csv": csv}
    files["bib"] = _bibtex(label, text, reproduces)
    files["json"] = json.dumps(provenance, **pretty, indent=2) + "\n"
    for kind, content in files.items():
        content = content.encode() if isinstance(content, str) else content
        write_result(f"figures/{label}.{kind}", content)
    return SavedFigure(label, text, data, to_page(svg, label, text, fig))


def format_caption(caption: str, parameters: dict[str, Any]) -> str:
    """Fill `{name}` placeholders: lists as `1, 2 and 3`, whole numbers from 10,000 with commas.

    Args:
        caption: with placeholders in the manner of `str.format`.
        parameters: their values.

    Returns:
        The caption, on one line.

    Example:
        >>> format_caption("{n_s} samples, at {lam}.", {"n_s": 10000, "lam": [1.0, 0.5]})
        '10,000 samples, at 1 and 0.5.'
    """
    require(
        isinstance(caption, str) and caption.strip(),
        "caption must be a sentence that stands alone",
        repr(caption),
        "Write one.",
    )
    try:
        return " ".join(_CaptionFormatter().vformat(caption, (), parameters).split())
    except (KeyError, IndexError, AttributeError) as error:
        raise ParameterError(
            f"caption placeholders must be parameters ({', '.join(parameters) or 'none here'}); "
            f"got {error.args[0]!r}. Write {{{{ and }}}} for the braces of math."
        ) from None
    except ValueError as error:
        raise ParameterError(
            f"caption must have matching braces; got {error}. "
            "Write {{ and }} for the braces of math."
        ) from None


class _CaptionFormatter(string.Formatter):
    def format_field(self, value: Any, spec: str) -> str:
        if isinstance(value, list | tuple):
            words = [self.format_field(item, spec) for item in value]
            return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
        if not spec and isinstance(value, int) and not isinstance(value, bool) and value >= 10_000:
            spec = ","
        if not spec and isinstance(value, float):
            spec = "g"
        return super().format_field(value, spec)


def _bibtex(label: str, caption: str, reproduces: str | None) -> str:
    title = re.split(r"(?<=[.?!])\s", caption)[0].rstrip(".")
    title = re.sub(r"(?<!\\)([%&#])", r"\\\1", title)
    note = f"Figure {label}, madlib {_version('madlib')}"
    if reproduces is not None:
        key, place = reproduces.split(", ", 1)
        source = re.sub(r"([a-z]+)(\d{4})[a-z]*", r"\1 (\2)", key).capitalize()
        note += f"; after {place} of {source}"
    fields = {
        "author": "{The madlib authors}",
        "title": f"{{{title}}}",
        "howpublished": "madlib: a book on self-consuming generative models",
        "year": YEAR,
        "url": _url(),
        "note": note,
    }
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
    return f"@misc{{madlib-{label},\n{lines}}}\n"


def _url() -> str:
    """The home of the book, where the package names one."""
    try:
        urls = metadata.metadata("madlib").get_all("Project-URL") or [""]
    except metadata.PackageNotFoundError:
        return ""
    return urls[0].partition(", ")[2]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _plain(value: Any) -> Any:
    """Turn arrays and array scalars into what JSON can write."""
    require(
        hasattr(value, "tolist"),
        "parameters must be numbers, words, booleans or lists",
        type(value).__name__,
        "Pass the dict of check_parameters.",
    )
    return value.tolist()
