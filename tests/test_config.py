"""Parts by name are the parts themselves."""

import pytest

from madlib import regimes
from madlib.config import REGIMES, make_loop, make_regime, make_target
from madlib.errors import ParameterError


def test_regimes_by_name():
    assert set(REGIMES) == set(regimes.__all__) - {
        *("Curated", "External", "Growing", "Weighted"),  # hold a regime or a model
        *("Dwindling", "Power", "Selector", "Stairs", "selectors"),  # no regimes
    }
    for name in ("FreshData", "fresh_data", "freshdata"):
        assert make_regime(name, n_r=3, n_s=4) == regimes.FreshData(3, 4)
    assert make_regime("long_memory", n_r=3, n_s=4, memory=2) == regimes.LongMemory(3, 4, 2)


@pytest.mark.parametrize(
    ("name", "numbers", "said"),
    [
        ("FreshDate", {}, "regime must be one of .*; got 'FreshDate'. Did you mean 'FreshData'"),
        ("", {}, "regime must be one of"),
        ("Weighted", {"w": 2}, "regime must be one of"),
        ("FullySynthetic", {}, "FullySynthetic takes n_s; got nothing. Check n_s"),
        ("FullySynthetic", {"n_s": 3, "n_r": 2}, "FullySynthetic takes n_s; got n_s, n_r"),
    ],
)
def test_mistakes_are_one_line(name, numbers, said):
    with pytest.raises(ParameterError, match=said) as caught:
        make_regime(name, **numbers)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dim", [2_000_000, 2**31 - 1])
def test_a_target_beyond_memory_is_one_line(dim):
    with pytest.raises(ParameterError, match="normal must fit in memory") as caught:
        make_target("normal", dim=dim)
    assert "\n" not in str(caught.value)


def test_text_of_many_symbols_makes_a_loop(tmp_path):
    """As Chinese has: orders of n-grams that can be counted; a table of trigrams is refused."""
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 2000)))
    (tmp_path / "mine.txt").write_text(" ".join([text] * 3), encoding="utf-8")
    setting = str(tmp_path / "mine.txt"), 100, {"length": 16}
    _, target, (_, n_grams) = make_loop("language_model", *setting)
    assert target.space.n_symbols > 1900 and n_grams.orders == (2,)
    with pytest.raises(ParameterError, match="at most 512 symbols; got .*Take a LanguageModel"):
        make_loop("trigram", *setting)
