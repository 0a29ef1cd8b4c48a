"""Parts of a loop from names and numbers, as a command line or a file of settings has them."""

import dataclasses
from typing import Any

from madlib import regimes
from madlib.errors import closest, require
from madlib.protocols import Number, Regime, Size

# Those that numbers alone make; the others hold a regime or a model.
REGIMES: dict[str, type[Regime]] = {
    name: cls
    for name, cls in vars(regimes).items()
    if isinstance(cls, type) and issubclass(cls, Regime)
    if all(field.type in (Size, Number, int) for field in dataclasses.fields(cls))
}


def make_regime(name: str, **numbers: Any) -> Regime:
    """A regime by its name, `FreshData` or `fresh_data`, and its numbers.

    Args:
        name: of a class in `madlib.regimes`.
        **numbers: its fields.

    Raises:
        ParameterError: for another name, or numbers that are not its fields.

    Example:
        >>> make_regime("fresh_data", n_r=100, n_s=900)
        FreshData(n_r=100, n_s=900)
    """
    known = {known.lower(): known for known in REGIMES}
    plain = name.replace("_", "").lower()
    required = f"regime must be one of {', '.join(REGIMES)}"
    require(plain in known, required, repr(name), closest(name, REGIMES))
    name = known[plain]
    fields = [field.name for field in dataclasses.fields(REGIMES[name])]
    wrong = sorted(set(fields) ^ set(numbers))
    got, remedy = ", ".join(numbers) or "nothing", f"Check {', '.join(wrong)}."
    require(not wrong, f"{name} takes {', '.join(fields)}", got, remedy)
    return REGIMES[name](**numbers)
