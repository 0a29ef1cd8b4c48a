"""The Sphinx extension: figures from their calls, read and never executed; docstrings as pages."""

import inspect
import json
from types import SimpleNamespace
from typing import Any

import pytest
from sphinx.errors import ExtensionError

from madlib.book import sphinx_ext


def cell(source: str, *tags: str) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": [source]}


def prepared(*cells: dict[str, Any], execution: str = "force") -> list[dict[str, Any]]:
    """The cells that MyST-NB reads."""
    source = [json.dumps({"cells": [*cells]})]
    app: Any = SimpleNamespace(
        env=SimpleNamespace(doc2path=lambda name: f"{name}.ipynb"),
        config=SimpleNamespace(nb_execution_mode=execution),
    )
    sphinx_ext.prepare_source(app, "book/a", source)
    return json.loads(source[0])["cells"]


def figures_of(*cells: dict[str, Any], **how: str) -> list[dict[str, str] | None]:
    """The figure of each cell, as MyST-NB is told of it."""
    return [cell["metadata"].get("mystnb", {}).get("figure") for cell in prepared(*cells, **how)]


PARAMETERS = (cell("n_s: int = 3", "parameters"), cell("n_s = 40000", "injected-parameters"))
FIGURE = {"name": "fig-a", "caption": "With $n_s = 40,000$ samples."}


@pytest.mark.parametrize(
    "call",
    [
        'figures.save(fig, "fig-a", caption="With $n_s = {n_s}$ "\n "samples.", data=d)',
        'figures.save(fig, label="fig-a", caption="With $n_s = {n_s}$ samples.", data=d)',
        'table = figures.curves(runs, label="fig-a",\n caption="With $n_s = {n_s}$ samples.")',
        'x = f(a)["b"].g(caption="With $n_s = {n_s}$ samples.", label="fig-a")',
    ],
)
def test_label_and_caption_come_from_the_call(monkeypatch, tmp_path, call: str) -> None:
    monkeypatch.setenv("MADLIB_RESULTS", str(tmp_path))
    plot = cell('ax.plot(x, label="fig-b")\n%magic' if "table" in call else 'ax.plot(label="b")')
    assert figures_of(*PARAMETERS, plot, cell(call)) == [None, None, None, FIGURE]


def test_what_a_cell_shows_before_its_figure_stands_before_it(monkeypatch, tmp_path) -> None:
    """In a cell of its own, with a source: MyST-NB drops those without."""
    monkeypatch.setenv("MADLIB_RESULTS", str(tmp_path))
    plot = cell('check()\nf(label="fig-a", caption="With $n_s = {n_s}$ samples.")', "hide-input")
    shown = plot | {"id": "a", "outputs": ["verdict", "table", "figure"]}
    *_, before, after = prepared(*PARAMETERS, shown)
    assert before["outputs"] == ["verdict", "table"] and after["outputs"] == ["figure"]
    assert "".join(before["source"]).strip() and before["metadata"] == {"tags": ["remove-input"]}
    assert after["metadata"]["mystnb"]["figure"] == FIGURE


def test_a_book_that_was_executed_has_the_captions_as_they_were_drawn(
    monkeypatch, tmp_path
) -> None:
    """A producer may add to a caption: how its lines are to be read."""
    monkeypatch.setenv("MADLIB_RESULTS", str(tmp_path))
    drawn = FIGURE["caption"] + " Dashed: theory."
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "fig-a.json").write_text(json.dumps({"caption": drawn}))
    call = cell('figures.save(fig, "fig-a", caption="With $n_s = {n_s}$ samples.")')
    told = figures_of(*PARAMETERS, call, execution="off")
    assert told[-1] == {"name": "fig-a", "caption": drawn}
    assert figures_of(*PARAMETERS, call)[-1] == FIGURE


def test_labels_and_captions_are_plain_strings() -> None:
    for call in ('f(label=name, caption="C.")', 'f(label="fig-a", caption=f"{x}")'):
        with pytest.raises(ExtensionError, match="needs label and caption as plain strings; got"):
            figures_of(cell(call))


def test_parameters_are_read_and_not_executed(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("MADLIB_RESULTS", str(tmp_path))
    evil = f"n_s: int = 3\nx: int = open({str(tmp_path / 'executed')!r}, 'w')"
    call = cell('figures.save(fig, "fig-a", caption="With $n_s = {n_s}$ samples.")')
    told = figures_of(cell(evil, "parameters"), PARAMETERS[1], call)
    assert told[-1] == FIGURE
    assert not (tmp_path / "executed").exists()


def test_docstrings_become_restructuredtext() -> None:
    text = """
    The mean $\\mu_t$ of `w * data`s, |x|^2 * n_ and
    a_b.

    $$\\int f
      + g$$

    Example:
        >>> f(2 * 3) | 1  # `x`
        7 *

    Then ``done`` \\\\.
    """
    lines = inspect.cleandoc(text).splitlines()
    sphinx_ext.mark_up(None, "", "", None, None, lines)
    expected = """
    The mean :math:`\\mu_t` of ``w * data``\\ s, \\|x\\|^2 \\* n\\_ and
    a_b.

    .. math:: \\int f + g

    Example:
        >>> f(2 * 3) | 1  # `x`
        7 *

    Then ``done`` \\\\\\\\.
    """
    assert lines == inspect.cleandoc(expected).splitlines()


def test_a_table_has_the_columns_and_rows_that_are_asked_for() -> None:
    rows = "flow,recall,100,0.123456\nflow,loss,400,1.2e-7\nflow,mean,400,none\n"
    text = f"loop,score,items,level\n{rows}"
    where = {"score": ["loss", "mean"], "items": ["400"]}
    rows = sphinx_ext.table_rows(text, ["score", "level"], where)
    assert rows == [["loss", "1.2e-07"], ["mean", "none"]]
    assert sphinx_ext.table_rows(text, ["level"], {"score": ["recall"]}) == [["0.123"]]
    assert sphinx_ext.table_rows(text, ["score"], {"items": ["largest"]}) == [["loss"], ["mean"]]
    with pytest.raises(ExtensionError, match="has no column 'scores'; it has loop, score"):
        sphinx_ext.table_rows(text, ["level"], {"scores": ["recall"]})
    with pytest.raises(ExtensionError, match="no row"):
        sphinx_ext.table_rows(text, ["level"], {"score": ["precision"]})
