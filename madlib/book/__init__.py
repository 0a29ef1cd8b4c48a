"""The book: parameters of a chapter, its figures and claims, and the build that executes it.

A chapter calls `check_parameters(globals())`, `figures`, and `claims.check`; nothing else of the
package knows of the book. What parameters must fulfil together it says with `require`:

>>> from madlib.book import require
>>> require(10 < 100, "n_r must rise", [10, 100], "Use [10, 100].")
"""

from madlib.book.parameters import check_parameters
from madlib.errors import require

__all__ = ["check_parameters", "require"]
