"""Sphinx extension of the book: captions from the code, claims, gallery, API, mathematics offline.

A cell with a call that has `label="fig-..."` and `caption="..."` becomes a numbered figure: both
stand in one place, and are read from there. Directives:

* `{madlib-claims}`: the ledger as a table, and the form that chooses among its rows;
* `{madlib-checks}`: the same of what only checks the instruments of the book;
* `{madlib-forest}`: the margins of all claims;
* `{madlib-scoreboard}`: how many claims there are of each verdict;
* `{madlib-gallery}`: every figure, small, with its caption and files;
* `{madlib-figure} fig-...`: a figure of a chapter, on another page;
* `{madlib-table} fig-...`: columns and rows of the table behind a figure;
* `{madlib-api} madlib.regimes`: the public names of a module, from their docstrings;
* `{madlib-build}`: versions, machine and the seconds of each chapter;
* the role `{madlib-source}` with a key of the references: a link to the claims of that work.

Results are filled in after all chapters are read, because a plain `jupyter-book build .` executes
them while it reads. They are in `$MADLIB_RESULTS`; a plain build puts them beside the site.
"""

import ast
import csv
import functools
import html
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

import madlib
from madlib.book import explorer
from madlib.book.claims import OUTCOMES, Claim, Verdict, ledger, recorded
from madlib.book.claims_page import Margin, forest, measured
from madlib.book.figures import format_caption
from madlib.book.parameters import read_cell
from madlib.book.results import results_dir

LOGGER = logging.getLogger(__name__)
FORMATS = {"pdf": "PDF", "svg": "SVG", "png": "PNG", "csv": "CSV", "json": "JSON", "bib": "BibTeX"}
EXPLORER = "explorer.html", "madlib.css"
OURS = {
    "founding": "The founding article",
    "expectation": "An expectation",
    "madlib": "This book",
}
SCOREBOARD = {
    "literature": "Claims of the literature",
    "founding": "Claims of the founding article",
    "madlib": "Results of this book",
    "expectation": "Expectations that one might take from the literature",
}
FILTER = """
<form class="madlib-filter" hidden onsubmit="return false" aria-controls="ledger">
  <label>Verdict <select name="verdict"></select></label>
  <label>Source <select name="source"></select></label>
  <label>Chapter <select name="chapter"></select></label>
  <label>Kind <select name="kind"></select></label>
  <label>Text <input name="text" type="search"></label>
  <p><output></output> <button type="reset">Show all</button></p>
</form>
"""
MATHJAX = "sphinx-mathjax-offline"
REDIRECT = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>{0}</title>
<link rel="canonical" href="{0}.html">
<meta http-equiv="refresh" content="0; url={0}.html">
<script>location.replace("{0}.html" + location.hash)</script>
<p>This chapter is now <a href="{0}.html">{0}</a>.</p>
"""


class Slot(nodes.General, nodes.Element):
    """A place on a page that is filled in when all chapters are read."""


def prepare_source(app: Any, docname: str, source: list[str]) -> None:
    """Give each cell that saves a figure its `mystnb.figure` metadata; fill in the version."""
    source[0] = source[0].replace("{{madlib-version}}", madlib.__version__)
    if Path(app.env.doc2path(docname)).suffix != ".ipynb":
        return
    notebook = json.loads(source[0])
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    parameters: dict[str, Any] = {}
    for cell in cells:
        text = "".join(cell["source"])
        if {"parameters", "injected-parameters"} & set(cell["metadata"].get("tags", [])):
            parameters |= {name: value for name, (_, value) in read_cell(text).items()}
        for label, caption in _saved_figures(text):
            record = results_dir() / "figures" / f"{label}.json"
            if app.config.nb_execution_mode == "off" and record.is_file():  # as it was drawn
                caption = json.loads(record.read_text("utf-8"))["caption"]
            else:
                caption = format_caption(caption, parameters)
            figure = {"name": label, "caption": caption}
            cell["metadata"].setdefault("mystnb", {})["figure"] = figure
            if len(cell.get("outputs", ())) > 1:  # checks before the figure, which comes last
                # MyST-NB leaves out a cell without source, and its outputs with it.
                before = {**cell, "source": "pass", "metadata": {"tags": ["remove-input"]}}
                before["outputs"], cell["outputs"] = cell["outputs"][:-1], cell["outputs"][-1:]
                before["id"] = f"{cell.get('id', label)}-checks"
                notebook["cells"].insert(notebook["cells"].index(cell), before)
    source[0] = json.dumps(notebook)


def _saved_figures(source: str) -> list[tuple[str, str]]:
    """(label, caption) of each call in a cell that saves a figure."""
    try:
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    except SyntaxError:  # A cell of magics.
        return []
    found = []
    for call in calls:
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        if ast.unparse(call.func).endswith("figures.save"):
            given |= dict(zip(("fig", "label"), call.args, strict=False))
        if {"label", "caption"} <= given.keys():
            try:
                found.append((ast.literal_eval(given["label"]), ast.literal_eval(given["caption"])))
            except ValueError as error:
                line = source.splitlines()[call.lineno - 1].strip()
                raise ExtensionError(
                    f"a figure needs label and caption as plain strings; got {line!r}. "
                    "Write them out; {name} in a caption stands for a parameter."
                ) from error
    return found


class Later(SphinxDirective):
    """A place for the scoreboard, the gallery, the build record, or a figure of a chapter."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Leave a slot."""
        self.env.note_dependency(str(_ledger_path(self.env.app)))
        return [Slot(kind=self.name.removeprefix("madlib-"), label="".join(self.arguments))]


class Table(SphinxDirective):
    """Columns and rows of the table behind a figure: numbers that nobody typed."""

    required_arguments = 1
    option_spec = {"columns": directives.unchanged_required, "where": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Leave a slot: `columns: a, b` and `where: a = x or y, b = 1`."""
        columns = [name.strip() for name in self.options["columns"].split(",")]
        pairs = [pair.split("=") for pair in self.options.get("where", "").split(",") if pair]
        where = {key.strip(): [it.strip() for it in of.split(" or ")] for key, of in pairs}
        return [Slot(kind="table", label=self.arguments[0], columns=columns, where=where)]


_LARGEST = "largest"


def table_rows(
    text: str, columns: Sequence[str], where: Mapping[str, Sequence[str]]
) -> list[list[str]]:
    """Cells of a table in CSV: those columns of the rows that have one of the values everywhere.

    The value `largest` stands for the largest number of its column. Numbers have three digits.

    Raises:
        ExtensionError: where the table has no such column or row.

    Example:
        >>> from madlib.book import sphinx_ext
        >>> sphinx_ext.table_rows("a,b\\nx,0.12345\\ny,none\\n", ["b"], {"a": ["x", "y"]})
        [['0.123'], ['none']]
    """
    rows = list(csv.DictReader(text.splitlines()))
    known = list(rows[0]) if rows else []
    for name in {*columns, *where} - {*known}:
        raise ExtensionError(f"the table has no column {name!r}; it has {', '.join(known)}.")
    most = {
        key: max((row[key] for row in rows), key=float) for key in where if _LARGEST in where[key]
    }
    chosen = [
        row
        for row in rows
        if all(row[key] in {*values, most.get(key)} for key, values in where.items())
    ]
    if not chosen:
        raise ExtensionError(f"the table has no row with {where}.")
    return [[_three_digits(row[name]) for name in columns] for row in chosen]


def _three_digits(cell: str) -> str:
    return f"{float(cell):.3g}" if re.fullmatch(r"-?\d*\.?\d+(e-?\d+)?", cell) else cell


class Command(SphinxDirective):
    """A `madlib` command and what it prints, computed when the page is read."""

    required_arguments = 1
    final_argument_whitespace = True
    # The first lines of the output, and the characters in one.
    option_spec = {"lines": directives.positive_int, "width": directives.positive_int}

    def run(self) -> list[nodes.Node]:
        given = ["-m", "madlib", *self.arguments[0].split()]
        done = subprocess.run([sys.executable, *given], capture_output=True, text=True)
        if done.returncode:
            raise self.error(done.stderr)
        lines = [f"$ {' '.join(given[1:])}", "", *done.stdout.splitlines()]
        lines = lines[: self.options["lines"] + 2] if "lines" in self.options else lines
        width = self.options.get("width", 76)
        shown = "\n".join(textwrap.fill(line, width, subsequent_indent="  ") for line in lines)
        return [nodes.literal_block(shown, shown, language="console")]


class Api(SphinxDirective):
    """The public names of a module: those of its `__all__`, those it defines, or those listed."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Hand the names to autodoc, which writes reStructuredText."""
        module = importlib.import_module(self.arguments[0])
        ours = [name for name, it in vars(module).items() if _home(it) == module.__name__]
        names = list(self.content) or getattr(module, "__all__", ours)
        lines = ["```{eval-rst}"]
        for name in names:
            value = getattr(module, name)
            if not name.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value)):
                kind = "class" if inspect.isclass(value) else "function"
                lines += [f".. auto{kind}:: {module.__name__}.{name}", ""]
        block = nodes.container(classes=["madlib-api"])
        self.state.nested_parse(StringList([*lines, "```"]), self.content_offset, block)
        return [block]


def _home(value: Any) -> str:
    return getattr(value, "__module__", "")


# Examples; displayed and other mathematics; code; what reStructuredText would take for its own.
_MARKDOWN = re.compile(
    r"^ *>>>.*?(?=^ *$|\Z)|\$\$(?P<display>.+?)\$\$|\$(?P<math>[^$]+)\$|`+(?P<code>[^`]+)`+|"
    r"[*|\\]|(?<=\w)_(?!\w)",
    re.MULTILINE | re.DOTALL,
)


def mark_up(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Turn the Markdown of docstrings, `code` and $mathematics$, into reStructuredText.

    Below that of a closed form stands the proposition of the derivations that names it.
    """

    def written(match: re.Match[str]) -> str:
        if match["display"]:
            return f".. math:: {' '.join(match['display'].split())}"
        if text := match["math"] or match["code"]:
            text = f":math:`{text}`" if match["math"] else f"``{text}``"
            before, after = match.string[: match.start()], match.string[match.end() :]
            return "\\ " * before[-1:].isalnum() + text + "\\ " * after[:1].isalnum()
        return match[0] if ">>>" in match[0] else f"\\{match[0]}"

    lines[:] = _MARKDOWN.sub(written, "\n".join(lines)).splitlines()
    proofs = _proofs(app) if name.startswith("madlib.") else []
    labels = [f":ref:`{label}`" for label, text in proofs if f"<{name}>" in text]
    if labels:
        sections = (i for i, line in enumerate(lines) if re.fullmatch(r"[A-Z][a-z]+:", line))
        place = next(sections, len(lines))
        lines[place:place] = ["", f"Proof: {', '.join(labels)}.", ""]


def _proofs(app: Any) -> list[tuple[str, str]]:
    """(label, text) of each proposition in the derivations."""
    page = Path(app.srcdir) / "book" / "derivations.md"
    text = page.read_text("utf-8") if page.is_file() else ""
    return re.findall(r"^\((prop-[\w-]+)\)=$(.*?)(?=^\(prop-|\Z)", text, re.MULTILINE | re.DOTALL)


def skip_fields(app: Any, what: str, name: str, value: Any, skip: bool, options: Any) -> Any:
    """Leave out what the attributes of a class already tell: the fields of a NamedTuple."""
    return True if type(value).__name__ == "_tuplegetter" else None


class Claims(SphinxDirective):
    """The ledger as a table. Statements are set now, with their mathematics; results later."""

    def run(self) -> list[nodes.Node]:
        """Lay out the claims, or the checks, in the order of the ledger."""
        self.env.note_dependency(str(_ledger_path(self.env.app)))
        are_checks = self.name == "madlib-checks"
        entries = ledger(_ledger_path(self.env.app))
        chosen = [claim for claim in entries if (claim.verdict == "passes") == are_checks]
        columns = ("Verdict", "Check" if are_checks else "Claim", "Measured", "Expected", "See")
        head = _row([[nodes.paragraph("", name)] for name in columns])
        group = nodes.tgroup("", cols=len(columns))
        group += [nodes.colspec(colwidth=width) for width in (13, 43, 17, 12, 15)]
        group += nodes.thead("", head)
        group += nodes.tbody("", *map(self._claim, chosen))
        table = nodes.table("", group, classes=["madlib-cards", "madlib-ledger", "colwidths-given"])
        return [table] if are_checks else [_raw(FILTER), table]

    def _claim(self, claim: Claim) -> nodes.row:
        source = OURS.get(claim.source) or f"{{cite:t}}`{claim.source}`"
        quiet, place = ["madlib-quiet"], nodes.inline("", "", *self._inline(source))
        place["classes"] += ["madlib-source"]  # what the form calls it
        where = nodes.paragraph("", "", place, *self._inline(f", {claim.where}."), classes=quiet)
        body = [nodes.paragraph("", "", *self._inline(claim.statement)), where]
        for name in ("setting", "note", "measure"):
            if text := getattr(claim, name):
                lead = nodes.emphasis("", {"measure": "Compared:"}.get(name, f"{name.title()}:"))
                words = [lead, nodes.Text(" "), *self._inline(text)]
                body.append(nodes.paragraph("", "", *words, classes=quiet))
        slots = [[Slot(kind=kind, claim=claim.id)] for kind in ("measured", "expected", "see")]
        row = _row([[Slot(kind="verdict", claim=claim.id)], body, *slots])
        row["ids"] += [f"claim-{claim.id}"]
        row["classes"] += [f"source-{claim.source}", f"kind-{claim.kind.replace(' ', '-')}"]
        row["classes"] += [f"chapter-{claim.chapter}"] if claim.chapter else []
        return row

    def _inline(self, text: str) -> list[nodes.Node]:
        parsed, messages = self.state.inline_text(" ".join(str(text).split()), self.lineno)
        return [*parsed, *messages]


class Source(SphinxRole):
    """How many claims of a source are in the ledger, as a link to them; nothing where none is."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Count the claims."""
        self.env.note_dependency(str(_ledger_path(self.env.app)))
        claims = [claim.source == self.text for claim in ledger(_ledger_path(self.env.app))]
        told = f"{sum(claims)} claim{'s' * (sum(claims) > 1)}"
        link = f'<a class="madlib-source" href="claims.html?source={self.text}">{told}</a>'
        return [_raw(link, inline=True)] if any(claims) else [], []


def _row(cells: Sequence[Sequence[nodes.Node]]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", *cell) for cell in cells))


class FillSlots(SphinxPostTransform):
    """Fill the slots, before MyST-NB chooses among the outputs of a cell and references resolve."""

    default_priority = 2
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Fill the slots of this page, then give each figure its row of files."""
        for slot in list(self.document.findall(Slot)):
            slot.replace_self(getattr(self, f"_{slot['kind']}")(slot))
        for figure in list(self.document.findall(nodes.figure)):
            for label in (name for name in figure["ids"] if _has_files(name)):
                figure += _raw(self._files(label))

    def _verdict(self, slot: Slot) -> list[nodes.Node]:
        verdict, evidence = _verdicts(self.app)[slot["claim"]]
        kind = verdict.replace(" ", "-")
        slot.parent.parent["classes"] += [f"verdict-{kind}"]
        evidence = html.escape(evidence.replace("-", "−"))
        told = f"<small>{evidence}</small>" if evidence else ""
        return [_raw(f'<div class="madlib-badge {kind}"><span>{verdict}</span>{told}</div>')]

    def _measured(self, slot: Slot) -> list[nodes.Node]:
        record = _records(self.app).get(slot["claim"])
        return [_raw(measured(record)[0])] if record else []

    def _expected(self, slot: Slot) -> list[nodes.Node]:
        record = _records(self.app).get(slot["claim"])
        return [_raw(measured(record)[1])] if record else []

    def _see(self, slot: Slot) -> list[nodes.Node]:
        if not (place := _places(self.app).get(slot["claim"])):
            return []
        page, links = self._uri(place.docname), []
        if place.figure:
            links = [self._numbered_link(place.docname, place.figure)]
        check = f"{page}#check-{slot['claim']}"
        links.append(f'<a href="{check}">{html.escape(place.section)}</a>')
        chapter = html.escape(place.chapter)
        links.append(f'<small class="madlib-chapter">{chapter}</small>')
        return [_raw("<br>".join(links))]

    def _forest(self, slot: Slot) -> list[nodes.Node]:
        rows = [
            Margin(
                claim.id,
                re.sub(r"^(\d*).*", r"\1", claim.chapter or "") or "+",
                _verdicts(self.app)[claim.id][0],
                claim.kind == "equality",
                record["margin"],
                record["tolerance"],
            )
            for claim in ledger(_ledger_path(self.app))
            if claim.verdict != "passes" and (record := _records(self.app).get(claim.id))
        ]
        return [_raw(forest(rows))]

    def _scoreboard(self, slot: Slot) -> list[nodes.Node]:
        page, counts = self._uri("book/claims"), {}
        for claim in ledger(_ledger_path(self.app)):
            verdict = _verdicts(self.app)[claim.id][0]
            whose = claim.source if claim.source in OURS else "literature"
            whose = "checks" if claim.verdict == "passes" else whose
            counts.setdefault(whose, Counter())[verdict] += 1
        rows = []
        for whose, title in SCOREBOARD.items():
            tiles = "".join(
                f'<a class="{kind}" href="{page}?verdict={kind}&amp;source={whose}">'
                f"<b>{number}</b> {verdict}</a>"
                for verdict, number in sorted(counts.get(whose, {}).items(), key=_place_of)
                for kind in [verdict.replace(" ", "-")]
            )
            if tiles:
                rows.append(f'<div class="madlib-scoreboard"><span>{title}</span>{tiles}</div>')
        return [_raw("".join(rows))]

    def _figure(self, slot: Slot) -> list[nodes.Node]:
        label, known = slot["label"], _figures(self.app)
        if label not in known:
            said = f"no chapter saves {label}; saved: {', '.join(known) or 'none'}"
            LOGGER.warning(said, location=self.env.docname)
            return []
        docname, figure = known[label][0], known[label][1].deepcopy()
        for caption in figure.findall(nodes.caption):
            caption += _raw(f" {self._numbered_link(docname, label)}", inline=True)
        return [figure]

    def _table(self, slot: Slot) -> list[nodes.Node]:
        path = results_dir() / "figures" / f"{slot['label']}.csv"
        if not path.is_file():
            LOGGER.warning(f"no chapter saves {slot['label']}", location=self.env.docname)
            return []
        cells = table_rows(path.read_text("utf-8"), slot["columns"], slot["where"])
        head = "".join(f"<th scope=col>{html.escape(name)}</th>" for name in slot["columns"])
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in cells
        )
        look = "table madlib-numbers"
        return [_raw(f'<table class="{look}"><thead><tr>{head}</tr></thead>{body}</table>')]

    def _gallery(self, slot: Slot) -> list[nodes.Node]:
        cards = nodes.container(classes=["madlib-gallery"])
        for label, (docname, figure) in _figures(self.app).items():
            card = nodes.container(classes=["madlib-card"])
            href = f"{self._uri(docname)}#{label}"
            source = f"{self._top()}figures/{label}.png"
            card += _raw(
                f'<a class="madlib-plate" href="{href}" tabindex="-1" aria-hidden="true">'
                f'<img class="dark-light" src="{source}" alt="" loading="lazy"></a>'
            )
            text = nodes.paragraph(
                "", "", _raw(self._numbered_link(docname, label) + " ", inline=True)
            )
            for caption in figure.findall(nodes.caption):
                text += [child.deepcopy() for child in caption.children]
            card += [text, _raw(self._files(label))]
            cards += card
        # The captions bring mathematics to a page that had none when it was read.
        self.env.get_domain("math").data["has_equations"][self.env.docname] = True
        return [cards]

    def _build(self, slot: Slot) -> list[nodes.Node]:
        path = results_dir() / "build.json"
        record = json.loads(path.read_text()) if path.is_file() else {}
        rows = [("Parameters", record.get("preset") or "as in the chapters")]
        rows += [
            (name.capitalize(), record[name]) for name in ("python", "machine") if name in record
        ]
        rows += [(name, metadata.version(name)) for name in ("jax", "numpy", "scipy", "matplotlib")]
        rows += [(name, f"{seconds:.0f} s") for name, seconds in record.get("seconds", {}).items()]
        cells = "".join(
            f"<tr><th scope=row>{a}</th><td>{html.escape(b)}</td></tr>" for a, b in rows
        )
        return [_raw(f'<table class="table madlib-build">{cells}</table>')]

    def _numbered_link(self, docname: str, label: str) -> str:
        number = self.env.toc_fignumbers.get(docname, {}).get("figure", {}).get(label, ())
        name = f"Figure {'.'.join(map(str, number))}" if number else "Figure"
        return f'<a class="madlib-number" href="{self._uri(docname)}#{label}">{name}</a>'

    def _files(self, label: str) -> str:
        stem = f"{self._top()}figures/{label}"
        links = " ".join(f'<a href="{stem}.{kind}">{name}</a>' for kind, name in FORMATS.items())
        return f'<nav class="madlib-files" aria-label="Files of {label}">{links}</nav>'

    def _uri(self, docname: str) -> str:
        return self.app.builder.get_relative_uri(self.env.docname, docname)

    def _top(self) -> str:
        return "../" * self.env.docname.count("/")


def _raw(text: str, inline: bool = False) -> nodes.Node:
    node = nodes.raw("", text, format="html")
    return node if not inline else nodes.inline("", "", node)


@functools.cache
def _records(app: Sphinx) -> dict[str, dict[str, Any]]:
    """What the checks wrote, of claims in the ledger."""
    records = recorded(results_dir())
    return {c.id: records[c.id] for c in ledger(_ledger_path(app)) if records.get(c.id)}


@functools.cache
def _verdicts(app: Sphinx) -> dict[str, tuple[str, str]]:
    """{id: (verdict, evidence)}: the verdict of the ledger where the check bears it out.

    With other parameters a claim may come out otherwise; then the outcome stands for it.
    """
    verdicts = {}
    for claim in ledger(_ledger_path(app)):
        untried = claim.verdict == "not attempted"
        verdicts[claim.id] = claim.verdict if untried else "not measured", ""
        if record := _records(app).get(claim.id):
            outcome, margin = record["outcome"], record["margin"]
            verdict = claim.verdict if OUTCOMES[claim.verdict] == outcome else outcome
            evidence = Verdict(claim, outcome, margin, record["tolerance"]).evidence
            verdicts[claim.id] = verdict, evidence
    return verdicts


def _place_of(counted: tuple[str, int]) -> int:
    verdicts = [*OUTCOMES, "holds", "fails", "undecided", "not measured"]
    return verdicts.index(counted[0])


class Place(NamedTuple):
    """Where a claim is checked: page, its title, title of the section, label of the figure."""

    docname: str
    chapter: str
    section: str
    figure: str


@functools.cache
def _places(app: Sphinx) -> dict[str, Place]:
    """{id: place} of each claim: the first cell of its chapter that names it.

    The figure is the last one before it in its section, or the next one there, or the last one
    before it.
    """
    found: dict[str, Place] = {}
    for docname in _reading_order(app.env):
        if Path(app.env.doc2path(docname)).suffix != ".ipynb":
            continue
        stem = docname.rpartition("/")[2]
        ids = {claim.id for claim in ledger(_ledger_path(app)) if claim.chapter == stem}
        chapter, section, figure, here, waiting = "", "", "", False, set()
        for node in app.env.get_doctree(docname).findall():
            if isinstance(node, nodes.section):
                section, here, waiting = node[0].astext(), False, set()
                chapter = chapter or section
            elif isinstance(node, nodes.figure) and any(map(_has_files, node["ids"])):
                figure, here = next(filter(_has_files, node["ids"])), True
                found |= {id: found[id]._replace(figure=figure) for id in waiting}
                waiting = set()
            elif isinstance(node, nodes.literal_block):
                named = set(re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)+", node.astext()))
                new = (ids & named) - found.keys()
                found |= {id: Place(docname, chapter, section, figure) for id in new}
                waiting |= new if not here else set()
    return found


@functools.cache
def _figures(app: Sphinx) -> dict[str, tuple[str, nodes.figure]]:
    """{label: (page, figure)} in reading order, as first read."""
    return {
        label: (docname, figure)
        for docname in _reading_order(app.env)
        if Path(app.env.doc2path(docname)).suffix == ".ipynb"
        for figure in app.env.get_doctree(docname).findall(nodes.figure)
        for label in figure["ids"]
        if _has_files(label)
    }


def _reading_order(env: Any) -> list[str]:
    order, todo = [], [env.config.root_doc]
    while todo:
        docname = todo.pop(0)
        if docname not in order:
            order.append(docname)
            todo = env.toctree_includes.get(docname, []) + todo
    return order


def _has_files(label: str) -> bool:
    return (results_dir() / "figures" / f"{label}.json").is_file()


def _ledger_path(app: Sphinx) -> Path:
    return Path(app.srcdir) / "book" / "claims.yaml"


def prepare(app: Sphinx, config: Any) -> None:
    """Tell the chapters of a plain build where results and ledger are; add the style."""
    os.environ.setdefault("MADLIB_RESULTS", str(Path(app.outdir).parent / "results"))
    os.environ.setdefault("MADLIB_LEDGER", str(_ledger_path(app)))
    os.environ.setdefault("TQDM_DISABLE", "1")
    config.html_static_path.append(str(Path(app.srcdir) / "book" / "_static"))


def drop_thebe(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Drop the scripts that would run code in the browser; no page does.

    Sphinx 7 repeats inline scripts, and Thebe's declares a constant: twice, that is an error.
    """
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{script.filename} {script.attributes.get('body')}".lower()
    ]


def copy_files(app: Sphinx, error: Exception | None) -> None:
    """Put the figures at their lasting addresses and MathJax where the pages look for it."""
    if error is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    shutil.rmtree(out / "figures", ignore_errors=True)
    (out / "figures").mkdir()
    for path in sorted((results_dir() / "figures").glob("fig-*")):
        shutil.copy2(path, out / "figures")
    mathjax = Path(str(importlib.import_module(MATHJAX).__file__)).parent / "static" / "mathjax"
    target = out / "_static" / "mathjax"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy2(mathjax / "tex-svg.js", target)
    # MathJax fetches rare macros from here when a formula needs them.
    extensions = "input/tex/extensions"
    shutil.copytree(mathjax / extensions, target / extensions, dirs_exist_ok=True)
    static = out / "_static"
    table = explorer.script(results_dir() / "figures")
    (static / "explorer-data.js").write_text(table, "utf-8")
    form, style = (Path(app.srcdir, "book", "_static", name) for name in EXPLORER)
    alone = explorer.page(form.read_text("utf-8"), style.read_text("utf-8"), table)
    (static / "may-i-mix.html").write_text(alone, "utf-8")
    for old, new in app.config.madlib_redirects.items():
        (out / "book" / f"{old}.html").write_text(REDIRECT.format(new), "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_node(Slot)
    for name in ("scoreboard", "forest", "gallery", "build", "figure"):
        app.add_directive(f"madlib-{name}", Later)
    for name, directive in (
        ("claims", Claims),
        ("checks", Claims),
        ("api", Api),
        ("command", Command),
        ("table", Table),
    ):
        app.add_directive(f"madlib-{name}", directive)
    app.add_role("madlib-source", Source())
    app.add_post_transform(FillSlots)
    app.add_config_value("madlib_redirects", {}, "html")  # renamed chapters, old to new
    app.add_css_file("madlib.css")
    app.add_js_file("madlib.js")
    app.connect("config-inited", prepare)
    app.connect("source-read", prepare_source)
    app.connect("autodoc-process-docstring", mark_up, priority=400)  # before napoleon
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("build-finished", copy_files)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": False}
