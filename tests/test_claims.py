"""Verdicts follow from standard errors, records are the same bytes, and the ledger is sound."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from madlib.parameters import ParameterError

from madlib import claims

LEDGER = """
- {id: equal-thing, source: a2020, where: Fig. 1, statement: A < B., kind: equality,
   chapter: 01_x, verdict: reproduced}
- {id: order-thing, source: a2020, where: Fig. 2, statement: Up., kind: order, chapter: 01_x,
   verdict: reproduced}
- {id: bound-thing, source: a2020, where: Fig. 3, statement: Low., kind: inequality, chapter: 02_y,
   verdict: contradicted, note: It saturates.}
- {id: idle-thing, source: a2020, where: Fig. 4, statement: Big., kind: not attempted,
   chapter: null, verdict: not attempted, note: Too big.}
"""
BOOK = Path(__file__).parent.parent / "book"


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path):
    (tmp_path / "claims.yaml").write_text(LEDGER)
    monkeypatch.setenv("MADLIB_LEDGER", str(tmp_path / "claims.yaml"))
    monkeypatch.setenv("MADLIB_RESULTS", str(tmp_path / "results"))
    return tmp_path


def record(tmp_path, id):
    return json.loads((tmp_path / "results" / "claims" / f"{id}.json").read_text())


@pytest.mark.parametrize(
    ("measured", "se", "expected", "verdict", "z"),
    [
        (1.0, 0.1, 1.49, "reproduced", -4.9),
        (1.0, 0.1, 1.51, "contradicted", -5.1),
        ([0.0, 3.0], [1.0, 0.5], [0.0, 1.0], "reproduced", 4.0),
        ([0.0, 3.0], 0.1, 0.0, "contradicted", 30.0),
        (0.1 + 0.2, 0.0, 0.3, "reproduced", 0.0),
        (1.0, 0.0, 1.1, "contradicted", -math.inf),
    ],
)
def test_equality(places, measured, se, expected, verdict, z):
    result = claims.check("equal-thing", measured=measured, se=se, expected=expected)
    assert result.verdict == verdict
    assert result.score == pytest.approx(z)
    assert record(places, "equal-thing")["verdict"] == verdict


@pytest.mark.parametrize(
    ("values", "se", "verdict", "margin"),
    [
        ([1, 2, 3], 0.1, "reproduced", 1 / (0.1 * math.sqrt(2))),
        ([1, 2, 2.1], 0.1, "undecided", 0.1 / (0.1 * math.sqrt(2))),
        ([3, 2, 4], 0.1, "contradicted", -1 / (0.1 * math.sqrt(2))),
        ([1, 2], 0.0, "reproduced", math.inf),
        ([1, 1], 0.0, "undecided", 0.0),
        ([2, 1], [0.0, 0.0], "contradicted", -math.inf),
    ],
)
def test_order(values, se, verdict, margin):
    result = claims.check_order("order-thing", values, se=se)
    assert result.verdict == verdict
    assert result.score == pytest.approx(margin)


@pytest.mark.parametrize(
    ("bounds", "measured", "verdict", "margin"),
    [
        ({"at_least": 1.0}, 2.0, "reproduced", 10),
        ({"at_least": [1.0, 1.9]}, 2.0, "undecided", 1),
        ({"at_most": 1.0}, 2.0, "contradicted", -10),
        ({"at_most": 3.0}, [2.0, 1.0], "reproduced", 10),
    ],
)
def test_inequality(bounds, measured, verdict, margin):
    result = claims.check_inequality("bound-thing", measured=measured, se=0.1, **bounds)
    assert result.verdict == verdict
    assert result.score == pytest.approx(margin)


def test_records_are_deterministic_and_shapes_are_kept(places):
    values = np.float32([[0.25, 0.5], [0.75, 1.0]])
    claims.check("equal-thing", measured=values, se=0.1, expected=values)
    first = (places / "results/claims/equal-thing.json").read_bytes()
    claims.check("equal-thing", measured=values, se=0.1, expected=values)
    assert (places / "results/claims/equal-thing.json").read_bytes() == first
    assert record(places, "equal-thing")["measured"] == [[0.25, 0.5], [0.75, 1.0]]
    claims.check("equal-thing", measured=1.0, se=0.0, expected=2.0)
    assert record(places, "equal-thing")["z"] == "-inf"


def test_a_verdict_shows_itself():
    verdict = claims.check("equal-thing", measured=1.0, se=0.5, expected=0.35)
    assert str(verdict) == repr(verdict) == "equal-thing: reproduced (|z| = 1.3)"
    page = verdict._repr_html_()
    assert 'class="madlib-verdict reproduced"' in page
    assert "A &lt; B." in page and "|z| = 1.3" in page
    order = claims.check_order("order-thing", [1, 2], se=0)
    assert "exact" in str(order)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: claims.check("equal-thign", measured=1, se=1, expected=1), ["equal-thing'?"]),
        (lambda: claims.check("zzz", measured=1, se=1, expected=1), ["'zzz'", "Add it"]),
        (lambda: claims.check("order-thing", measured=1, se=1, expected=1), ["check_order"]),
        (lambda: claims.check("idle-thing", measured=1, se=1, expected=1), ["not attempted"]),
        (lambda: claims.check("equal-thing", measured=math.nan, se=1, expected=1), ["finite"]),
        (
            lambda: claims.check("equal-thing", measured=1, se=math.inf, expected=1),
            ["se", "finite"],
        ),
        (lambda: claims.check("equal-thing", measured=1, se=-1, expected=1), ["positive"]),
        (lambda: claims.check("equal-thing", measured="x", se=1, expected=1), ["numbers"]),
        (lambda: claims.check("equal-thing", measured=[], se=1, expected=1), ["nothing"]),
        (lambda: claims.check("equal-thing", measured=[1, 2], se=[1] * 3, expected=1), ["shapes"]),
        (lambda: claims.check_order("order-thing", [1], se=1), ["two values"]),
        (lambda: claims.check_inequality("bound-thing", measured=1, se=1), ["neither"]),
        (
            lambda: claims.check_inequality("bound-thing", measured=1, se=1, at_least=1, at_most=1),
            ["both", "exactly one"],
        ),
    ],
)
def test_mistakes_give_one_line(places, call, words):
    with pytest.raises(ParameterError) as caught:
        call()
    assert "\n" not in str(caught.value)
    for word in [*words, "; got "]:
        assert word in str(caught.value)
    assert not (places / "results").exists()


def test_audit_names_every_mismatch(places):
    results = places / "results"
    claims.check("equal-thing", measured=1, se=0.1, expected=9)
    claims.check_inequality("bound-thing", measured=1, se=0.1, at_least=9)
    (results / "claims" / "stray.json").write_text('{"id": "stray", "verdict": "reproduced"}')
    (results / "claims" / "torn.json").write_text("{")
    lines = claims.audit(results)
    assert len(lines) == 4
    for line, words in zip(
        sorted(lines),
        [
            ["equal-thing", "says reproduced", "contradicted"],
            ["order-thing", "not measured", "01_x"],
            ["stray", "not in the ledger"],
            ["torn", "cannot be read"],
        ],
        strict=True,
    ):
        assert "\n" not in line
        assert all(word in line for word in words)
    built = [claim for claim in claims.ledger() if claim.chapter == "02_y"]
    (results / "claims" / "stray.json").unlink()
    (results / "claims" / "torn.json").unlink()
    assert claims.audit(results, built) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", ["valid YAML"]),
        ("a: 1", ["list of claims"]),
        ("- 3", ["entry 1"]),
        (LEDGER.replace("order-thing", "equal-thing"), ["unique", "equal-thing"]),
        (LEDGER.replace("kind: order", "kind: ordre"), ["kind", "'ordre'"]),
        (LEDGER.replace("where: Fig. 2, ", ""), ["'where'", "Add it"]),
        (LEDGER.replace("where: Fig. 2", "were: Fig. 2"), ["'were'"]),
        (LEDGER.replace("note: Too big.", "note: ''"), ["needs a note"]),
        (LEDGER.replace("kind: order, chapter: 01_x", "kind: order, chapter: null"), ["agree"]),
    ],
)
def test_a_broken_ledger_is_one_line(places, text, words):
    (places / "broken.yaml").write_text(text)
    with pytest.raises(ParameterError) as caught:
        claims.ledger(places / "broken.yaml")
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words)


def test_a_missing_ledger_is_one_line(places):
    with pytest.raises(ParameterError, match="Set MADLIB_LEDGER"):
        claims.ledger(places / "nowhere.yaml")


def test_the_ledger_of_the_book():
    book = claims.ledger(BOOK / "claims.yaml")
    keys = set(re.findall(r"^@\w+\{([^,]+),", (BOOK / "references.bib").read_text(), re.MULTILINE))
    assert [claim.source for claim in book[:10]] == ["founding"] * 10
    assert sum(claim.kind != "not attempted" for claim in book) >= 25
    assert {claim.source for claim in book} <= keys
    for claim in book:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", claim.id), claim.id
        assert claim.statement.endswith("."), claim.id
        assert (claim.measure is None) == (claim.kind == "not attempted"), claim.id
    assert any(claim.verdict == "contradicted" for claim in book)


def test_estimate_of_a_mean_and_of_a_ratio():
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 1.0, size=(2, 4000))
    mean, se = claims.estimate(x)
    np.testing.assert_allclose(mean, x.mean(1))
    np.testing.assert_allclose(se, x.std(1, ddof=1) / np.sqrt(4000))
    np.testing.assert_allclose(claims.estimate(x.T, axis=0).se, se)
    # What numerator and denominator share cancels: 2x / x is known exactly.
    ratio = claims.estimate(2 * x, over=x)
    np.testing.assert_allclose(ratio.mean, 2)
    np.testing.assert_allclose(ratio.se, 0, atol=1e-12)
    # Independent ones: relative variances add.
    y = rng.normal(5.0, 0.5, size=(2, 4000))
    relative = np.hypot(1 / 3, 0.5 / 5) / np.sqrt(4000)
    np.testing.assert_allclose(claims.estimate(x, over=y).se, 0.6 * relative, rtol=0.1)
    for values, over in (([1.0], None), (3.0, None), ([1, np.nan], None), ("ab", None)):
        with pytest.raises(ParameterError, match="; got"):
            claims.estimate(values, over=over)
    for over in ([1.0, 2.0, 3.0], [0.0, 0.0]):
        with pytest.raises(ParameterError, match="; got"):
            claims.estimate([1.0, 2.0], over=over)
