"""Outcomes follow from standard errors, records are the same bytes, and the ledger is sound."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import scipy

from madlib.book import claims
from madlib.book.claims import Estimate
from madlib.errors import ParameterError

LEDGER = """
- {id: equal-thing, source: a2020, where: Fig. 1, statement: A < $B_2$., kind: equality,
   chapter: 01_x, verdict: reproduced}
- {id: order-thing, source: a2020, where: Fig. 2, statement: Up., kind: order, chapter: 01_x,
   verdict: reproduced}
- {id: bound-thing, source: a2020, where: Fig. 3, statement: Low., kind: inequality, chapter: 02_y,
   verdict: contradicted, note: It saturates.}
- {id: idle-thing, source: a2020, where: Fig. 4, statement: Big., kind: not attempted,
   chapter: null, verdict: not attempted, note: Too big.}
"""
BOOK = Path(__file__).parents[2] / "book"


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path):
    (tmp_path / "claims.yaml").write_text(LEDGER)
    monkeypatch.setenv("MADLIB_LEDGER", str(tmp_path / "claims.yaml"))
    monkeypatch.setenv("MADLIB_RESULTS", str(tmp_path / "results"))
    return tmp_path


def record(tmp_path, id):
    return json.loads((tmp_path / "results" / "claims" / f"{id}.json").read_text())


@pytest.mark.parametrize(
    ("measured", "se", "n", "expected", "outcome", "z"),
    [
        (1.0, 0.1, None, 1.49, "holds", -4.9),
        (1.0, 0.1, None, 1.51, "fails", -5.1),
        (1.0, 0.1, 8, 1.49, "holds", -4.9),
        (1.0, 0.1, 4, 1.51, "undecided", -5.1),
        (1.0, 0.1, 8, 2.72, "fails", -17.2),
        ([0.0, 3.0], [1.0, 0.5], 10**9, [0.0, 1.0], "holds", 4.0),
        ([0.0, 3.0], 0.1, 8, 0.0, "fails", 30.0),
        (0.1 + 0.2, 0.0, None, 0.3, "holds", 0.0),
        (1.0, 0.0, None, 1.1, "fails", -math.inf),
    ],
)
def test_equality(places, measured, se, n, expected, outcome, z):
    result = claims.check("equal-thing", Estimate(measured, se, n), expected=expected)
    assert result.outcome == outcome
    assert result.margin == pytest.approx(z)
    written = record(places, "equal-thing")
    assert written["outcome"] == outcome and float(written["margin"]) == pytest.approx(z)
    assert written["n"] == n and written["kind"] == "equality"
    assert written["entry"] == np.argmax(np.abs(np.subtract(measured, expected)))
    np.testing.assert_allclose(written["expected"], expected)


@pytest.mark.parametrize(
    ("values", "se", "outcome", "margin"),
    [
        ([1, 2, 3], 0.1, "holds", 1 / (0.1 * math.sqrt(2))),
        ([1, 2, 2.1], 0.1, "undecided", 0.1 / (0.1 * math.sqrt(2))),
        ([3, 2, 4], 0.1, "fails", -1 / (0.1 * math.sqrt(2))),
        ([1, 2], 0.0, "holds", math.inf),
        ([1, 1], 0.0, "undecided", 0.0),
        ([2, 1], [0.0, 0.0], "fails", -math.inf),
    ],
)
def test_order(values, se, outcome, margin):
    result = claims.check("order-thing", Estimate(values, se))
    assert result.outcome == outcome
    assert result.margin == pytest.approx(margin)


def test_the_tolerance_goes_by_the_number_of_replicates(places):
    """Five standard errors, and so many that chance alone goes there less than once in 1000."""
    for n in (3, 4, 6, 8, 20, 100, 10**6):
        needed = claims.tolerance(n)
        assert needed == pytest.approx(max(5, scipy.stats.t.isf(1e-3, n - 1)), rel=1e-6)
        for margin, outcome in ((0.99, "undecided"), (1.01, "holds"), (-1.01, "fails")):
            estimate = Estimate(margin * needed, 1.0, n)
            assert claims.check("bound-thing", estimate, at_least=0).outcome == outcome
        assert record(places, "bound-thing")["tolerance"] == pytest.approx(needed, rel=1e-4)
    result = claims.check("bound-thing", Estimate(20, 1, 4) - Estimate(10, 1), at_least=0)
    assert "margin = 7.07 SE, 10.2 decide" in str(result)
    assert "decide" not in str(claims.check("bound-thing", Estimate(9, 1, 10**6), at_least=0))


def test_order_of_paired_values():
    """Values that share noise: their differences are known where the values are not."""
    noise = np.random.default_rng(0).normal(0, 10, (1, 50))
    own = np.random.default_rng(1).normal(0, 0.01, (3, 50))
    values = np.arange(3)[:, None] + noise + own
    assert claims.check("order-thing", Estimate.of(values)).outcome == "undecided"
    steps = Estimate.of(np.diff(values, axis=0))
    assert steps.n == 50
    assert claims.check("order-thing", steps, at_least=0).outcome == "holds"


@pytest.mark.parametrize(
    ("bounds", "measured", "outcome", "margin"),
    [
        ({"at_least": 1.0}, 2.0, "holds", 10),
        ({"at_least": [1.0, 1.9]}, 2.0, "undecided", 1),
        ({"at_most": 1.0}, 2.0, "fails", -10),
        ({"at_most": 3.0}, [2.0, 1.0], "holds", 10),
    ],
)
def test_inequality(places, bounds, measured, outcome, margin):
    result = claims.check("bound-thing", Estimate(measured, 0.1), **bounds)
    assert result.outcome == outcome
    assert result.margin == pytest.approx(margin)
    ((side, bound),) = bounds.items()
    assert record(places, "bound-thing")[side] == bound


def test_records_are_deterministic_and_shapes_are_kept(places):
    values = np.float32([[0.25, 0.5], [0.75, 1.0]])
    claims.check("equal-thing", Estimate(values, 0.1, 3), expected=values)
    first = (places / "results/claims/equal-thing.json").read_bytes()
    claims.check("equal-thing", Estimate(values, 0.1, 3), expected=values)
    assert (places / "results/claims/equal-thing.json").read_bytes() == first
    assert record(places, "equal-thing")["measured"] == [[0.25, 0.5], [0.75, 1.0]]
    assert record(places, "equal-thing")["se"] == [[0.1, 0.1], [0.1, 0.1]]
    claims.check("equal-thing", Estimate(1.0, 0.0), expected=2.0)
    assert record(places, "equal-thing")["margin"] == "-inf"
    assert claims.recorded(places / "results")["equal-thing"]["margin"] == -math.inf


@pytest.mark.parametrize(
    ("id", "estimate", "bounds"),
    [
        ("order-thing", Estimate([1.0], 0.1), {}),
        ("equal-thing", Estimate(np.ones((0, 3)), 0.1), {"expected": [1.0, 2.0, 3.0]}),
        ("bound-thing", claims.estimate(np.diff(np.ones((1, 9)), axis=0)), {"at_least": 0}),
    ],
)
def test_a_claim_about_more_values_than_there_are_is_not_measured(places, id, estimate, bounds):
    verdict = claims.check(id, estimate, **bounds)
    assert str(verdict) == f"{id}: not measured (too few values)"
    assert not (places / "results").exists(), "no outcome is on record"
    assert any(f"{id}: the ledger says" in line for line in claims.audit(places / "results"))


def test_replicates_are_estimated_and_claims_of_one_form_checked_in_order(places):
    values = np.arange(12.0).reshape(4, 3)
    claims.check("equal-thing", Estimate.of(values, axis=0), expected=[4.0, 5.0, 6.0])
    first = record(places, "equal-thing")
    verdict = claims.check("equal-thing", values, axis=0, expected=[4.0, 5.0, 6.0])
    assert record(places, "equal-thing") == first and first["n"] == 4
    both = claims.check_all({"bound-thing": values.T, "order-thing": [1.0, 2.0]}, at_least=0)
    assert [one.claim.id for one in both] == ["bound-thing", "order-thing"]
    assert both[0] == claims.check("bound-thing", values, axis=0, at_least=0)
    assert str(both).splitlines() == [str(one) for one in both]
    assert both._repr_html_().count("madlib-verdict") == 2 and len(verdict) == 4


def test_an_outcome_shows_itself():
    verdict = claims.check("equal-thing", Estimate(1.0, 0.5), expected=0.35)
    assert str(verdict) == repr(verdict) == "equal-thing: holds (|z| = 1.3)"
    page = verdict._repr_html_()
    assert 'class="madlib-verdict holds" id="check-equal-thing"' in page
    assert r'A &lt; <span class="math notranslate nohighlight">\(B_2\)</span>.' in page
    assert "|z| = 1.3" in page
    assert 'href="claims.html#claim-equal-thing"' in page
    assert "exact" in str(claims.check("order-thing", Estimate([1, 2], 0)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: claims.check("equal-thign", Estimate(1, 1), expected=1), ["equal-thing'?"]),
        (lambda: claims.check("zzz", Estimate(1, 1), expected=1), ["'zzz'", "Add it"]),
        (lambda: claims.check("order-thing", Estimate(1, 1), expected=1), ["order takes"]),
        (lambda: claims.check("order-thing", Estimate([1, 2], 1), at_most=1), ["order takes"]),
        (lambda: claims.check("bound-thing", Estimate(1, 1), expected=1), ["inequality takes"]),
        (lambda: claims.check("equal-thing", Estimate(1, 1), at_most=1), ["equality takes"]),
        (lambda: claims.check("equal-thing", Estimate(1, 1)), ["equality takes", "no bound"]),
        (lambda: claims.check("idle-thing", Estimate(1, 1), expected=1), ["not attempted"]),
        (lambda: claims.check("equal-thing", Estimate(math.nan, 1), expected=1), ["finite"]),
        (lambda: claims.check("equal-thing", Estimate(1, math.inf), expected=1), ["se", "finite"]),
        (lambda: claims.check("equal-thing", Estimate(1, -1), expected=1), ["positive"]),
        (lambda: claims.check("equal-thing", Estimate(1, 1, 1), expected=1), ["at least 2"]),
        (lambda: claims.check("equal-thing", Estimate("x", 1), expected=1), ["finite"]),
        (lambda: claims.check("equal-thing", Estimate(1, 1), expected="x"), ["expected", "finite"]),
        (lambda: claims.check("equal-thing", Estimate([1, 2], [1] * 3), expected=1), ["shape"]),
        (lambda: claims.check("equal-thing", Estimate([1, 2], 1), expected=[1] * 3), ["shape"]),
        (lambda: claims.check("order-thing", Estimate(1, 1)), ["one row"]),
        (lambda: claims.check("bound-thing", Estimate([], 1)), ["no bound"]),
        (lambda: claims.check("bound-thing", Estimate(1, 1)), ["no bound"]),
        (
            lambda: claims.check("bound-thing", Estimate(1, 1), at_least=1, at_most=1),
            ["at_least and at_most"],
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
    claims.check("equal-thing", Estimate(1, 0.1), expected=9)
    claims.check("bound-thing", Estimate(1, 0.1), at_least=9)
    (results / "claims" / "stray.json").write_text('{"outcome": "holds", "margin": 6}')
    (results / "claims" / "torn.json").write_text("{")
    lines = claims.audit(results)
    assert len(lines) == 4
    for line, words in zip(
        sorted(lines),
        [
            ["equal-thing", "says reproduced", "fails"],
            ["order-thing", "not measured", "01_x"],
            ["stray", "not in the ledger"],
            ["torn", "cannot be read"],
        ],
        strict=True,
    ):
        assert "\n" not in line
        assert all(word in line for word in words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", ["valid YAML"]),
        ("a: 1", ["list of claims"]),
        ("- 3", ["entry 1"]),
        ("[]", ["list of claims"]),
        (b"\xff", ["valid YAML"]),
        (LEDGER.replace("order-thing", "equal-thing"), ["unique", "equal-thing"]),
        (LEDGER.replace("order-thing", "../thing"), ["'../thing'", "entry 2"]),
        (LEDGER.replace("kind: order", "kind: ordre"), ["kind", "'ordre'"]),
        (LEDGER.replace("where: Fig. 2, ", ""), ["'where'", "entry 2 (order-thing)"]),
        (LEDGER.replace("where: Fig. 2", "where: 2"), ["where", "2 is not of type"]),
        (LEDGER.replace("where: Fig. 2", "were: Fig. 2"), ["'were'"]),
        (LEDGER.replace("note: Too big.", "note: ''"), ["note"]),
        (LEDGER.replace(", note: It saturates.", ""), ["'note'", "entry 3 (bound-thing)"]),
        (
            LEDGER.replace("verdict: contradicted, note: It saturates.", "verdict: not attempted"),
            ["verdict", "entry 3"],
        ),
        (LEDGER.replace("verdict: not attempted", "verdict: reproduced"), ["verdict", "entry 4"]),
        (LEDGER.replace("kind: order, chapter: 01_x", "kind: order, chapter: null"), ["chapter"]),
        (LEDGER.replace("verdict: reproduced", "verdict: passes", 1), ["source", "'madlib'"]),
    ],
)
def test_a_broken_ledger_is_one_line(places, text, words):
    (places / "broken.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
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
    tried = [claim for claim in book if claim.kind != "not attempted"]
    assert len(tried) >= 25 and len(book) - len(tried) <= 10
    assert {claim.source for claim in book} <= keys | {"expectation"}
    for claim in book:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", claim.id), claim.id
        assert claim.setting or claim not in tried, claim.id
        assert claim.statement.endswith("."), claim.id
        assert (claim.measure is None) == (claim.kind == "not attempted"), claim.id
    assert any(claims.OUTCOMES[claim.verdict] == "fails" for claim in book)


@pytest.mark.parametrize(
    ("verdict", "note", "holds"),
    [
        ("reproduced", "", True),
        ("in miniature", "", True),
        ("passes", "", True),
        ("does not carry over", ", note: Elsewhere.", False),
        ("contradicted", ", note: No.", False),
    ],
)
def test_a_verdict_needs_its_outcome(places, verdict, note, holds):
    entry = (
        "- {id: a-b, source: madlib, where: b, statement: C., kind: equality, chapter: d, "
        f"setting: Small., verdict: {verdict}{note}}}"
    )
    (places / "claims.yaml").write_text(entry)
    for expected, outcome in ((1, True), (2, False)):
        claims.check("a-b", Estimate(1, 0.1), expected=expected)
        lines = claims.audit(places / "results")
        assert (lines == []) == (outcome == holds), lines
    assert claims.ledger()[0].setting == "Small."


def test_estimate_of_a_mean_and_of_a_ratio():
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 1.0, size=(2, 4000))
    of = claims.estimate(x)
    np.testing.assert_allclose(of.mean, x.mean(1))
    np.testing.assert_allclose(of.se, x.std(1, ddof=1) / np.sqrt(4000))
    assert of.n == 4000
    np.testing.assert_allclose(claims.estimate(x.T, axis=0).se, of.se)
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


def test_a_function_of_means_by_the_jackknife():
    """Of a square, (E x)^2: unbiased, and the delta method's error, 2 E x sd / sqrt(n)."""
    rng, n = np.random.default_rng(5), 200
    each = [Estimate.of_mean(lambda mean: mean**2, 3 + rng.normal(size=(n, 2))) for _ in range(400)]
    mean, se = np.stack([e.mean for e in each]), np.stack([e.se for e in each])
    assert each[0].n == n and mean.shape == (400, 2)
    assert abs(mean.mean() - 9) < 5 * mean.std() / np.sqrt(mean.size)
    assert se.mean() == pytest.approx(6 / np.sqrt(n), rel=0.01)
    assert mean.std() == pytest.approx(se.mean(), rel=0.1)
    with pytest.raises(ParameterError, match="at least two replicates"):
        Estimate.of_mean(np.square, np.ones((1, 3)))


def test_cells_that_spread_alike_pool_their_variance():
    """Degrees of freedom add; against the analysis of variance, written out."""
    x = np.random.default_rng(0).normal(0, [[[1.0]], [[2.0]]], (2, 6, 4))
    pooled = Estimate.of(x, pool=1)
    residuals = x - x.mean(-1, keepdims=True)
    own = residuals.std(-1, ddof=1) / 2
    error = np.sqrt(np.sum(residuals**2, axis=(1, 2)) / (6 * 3) / 4)
    assert pooled.n - 1 == 6 * 3
    np.testing.assert_allclose(pooled.se, np.maximum(own, error[:, None]))
    np.testing.assert_allclose(pooled.mean, x.mean(-1))
    assert Estimate.of(x, pool=(0, 1)).n - 1 == 12 * 3


def test_estimates_are_reckoned_with():
    """Against the sample standard errors of the same arithmetic on the replicates."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(3.0, 1.0, (2, 1000)), rng.normal(5.0, 0.5, (2, 500))
    e, f = Estimate.of(x), Estimate.of(y)
    c = np.array([2.0, -4.0])
    for made, replicates in (
        (e[1], x[1]),
        (e[::-1], x[::-1]),
        (c * e, c[:, None] * x),
        (e * c, c[:, None] * x),
        (e / c, x / c[:, None]),
        (-e, -x),
        (e + c, x + c[:, None]),
        (c - e, c[:, None] - x),
        (e - 1.5, x - 1.5),
    ):
        expected = Estimate.of(replicates)
        np.testing.assert_allclose(made.mean, expected.mean)
        np.testing.assert_allclose(made.se, expected.se)
        assert made.n == 1000
    for made, sign in ((e + f, 1), (e - f, -1)):
        np.testing.assert_allclose(made.mean, x.mean(1) + sign * y.mean(1))
        np.testing.assert_allclose(made.se**2, x.var(1, ddof=1) / 1000 + y.var(1, ddof=1) / 500)
        assert made.n == 500
    assert (e - Estimate(1, 0)).n == 1000 and Estimate(1, 0).n is None
