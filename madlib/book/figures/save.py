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

import madlib
from madlib.book.figures.page import lay_out, on_white, render, render_transparent, to_page
from madlib.book.figures.style import STYLE
from madlib.book.results import write_result
from madlib.errors import ParameterError, require

# As in CITATION.cff, of this version; a book with an address has its url here, too.
CITATION = {
    "author": "{The madlib authors}",
    "year": "2026",
    "howpublished": "madlib: a book on self-consuming generative models",
}


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
    data: Any,
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
    fine = isinstance(label, str) and re.fullmatch(r"fig(-[a-z0-9]+)+", label)
    required = "label must be 'fig-' and words in lower case joined by '-'"
    require(fine, required, repr(label), "Rename it, for instance 'fig-fresh-phase'.")
    required = "data must be a pandas DataFrame with the plotted numbers"
    fine = isinstance(data, pd.DataFrame) and len(data)
    require(fine, required, repr(data), "Build one with pd.DataFrame({...}).")
    fine = reproduces is None or re.fullmatch(r"[a-z]+\d{4}[a-z]*, \S.*", reproduces)
    required = "reproduces must be a bib key, a comma and a place"
    require(fine, required, repr(reproduces), "Write it as 'alemohammad2023, Figure 11'.")
    text = f"{format_caption(caption, parameters)} {key}".strip()
    csv = data.to_csv(index=False, lineterminator="\n", float_format="%.9g")
    provenance = {"label": label, "caption": text, "reproduces": reproduces}
    provenance |= {"parameters": parameters, "sha256": hashlib.sha256(csv.encode()).hexdigest()}
    versions = {name: metadata.version(name) for name in ("jax", "numpy", "matplotlib")}
    provenance["versions"] = {"madlib": madlib.__version__} | versions
    pretty = {"sort_keys": True, "ensure_ascii": False, "default": _plain}
    record = json.dumps(provenance, **pretty)
    with style.context([*STYLE, {"svg.hashsalt": label}]):
        lay_out(fig)
        fig.set_layout_engine("none")
        files: dict[str, Any] = {
            "pdf": render(fig, "pdf", Subject=record, Title=label, CreationDate=None),
            "png": render(fig, "png", Description=record, Title=label),
        }
        svg = render_transparent(fig, Description=record, Title=label, Date=None)
    files |= {"svg": on_white(svg), "csv": csv, "bib": _bibtex(label, text, reproduces, parameters)}
    # The JSON comes last: where it is, the rest is.
    files["json"] = json.dumps(provenance, indent=2, **pretty) + "\n"
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
        >>> from madlib.book import figures
        >>> figures.format_caption("{n_s} samples, at {lam}.", {"n_s": 10000, "lam": [1.0, 0.5]})
        '10,000 samples, at 1 and 0.5.'
    """
    fine = isinstance(caption, str) and caption.strip()
    require(fine, "caption must be a sentence that stands alone", repr(caption), "Write one.")
    try:
        return " ".join(_CaptionFormatter().vformat(caption, (), parameters).split())
    except (LookupError, AttributeError, ValueError) as error:
        raise ParameterError(
            f"placeholders of a caption must be parameters ({', '.join(parameters) or 'none here'})"
            f"; got {error.args[0]!r}. Write {{{{ and }}}} for the braces of math."
        ) from None


class _CaptionFormatter(string.Formatter):
    def format_field(self, value: Any, spec: str) -> str:
        if isinstance(value, list | tuple):
            words = [self.format_field(item, spec) for item in value]
            return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
        if not spec and isinstance(value, int | float) and not isinstance(value, bool):
            spec = "g" if isinstance(value, float) else "," if value >= 10_000 else ""
        return super().format_field(value, spec)


def _bibtex(label: str, caption: str, reproduces: str | None, parameters: dict[str, Any]) -> str:
    title = _escaped(re.split(r"(?<=[.?!])\s", caption)[0].rstrip("."))
    note = f"Figure {label}, madlib {madlib.__version__}"
    if reproduces is not None:
        key, place = reproduces.split(", ", 1)
        source = re.sub(r"([a-z]+)(\d{4})[a-z]*", r"\1 (\2)", key).capitalize()
        note += f"; after {place} of {source}"
    given = [f"{name} = {value}" for name, value in parameters.items() if _of_numbers(value)]
    note += ", with " * bool(given) + re.sub(r"([_{}])", r"\\\1", _escaped(", ".join(given)))
    fields = CITATION | {"title": f"{{{title}}}", "note": note}
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return f"@misc{{madlib-{label},\n{lines}}}\n"


def _escaped(text: str) -> str:
    return re.sub(r"(?<!\\)([%&#])", r"\\\1", text)


def _of_numbers(value: Any) -> bool:
    return all(isinstance(x, int | float) for x in (value if isinstance(value, list) else [value]))


def _plain(value: Any) -> Any:
    """Arrays and array scalars as JSON can write them."""
    required = "parameters must be numbers, words, booleans or lists"
    require(hasattr(value, "tolist"), required, type(value).__name__, "Use check_parameters.")
    return value.tolist()
