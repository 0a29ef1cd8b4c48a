"""The book: parameters of a chapter, its figures and claims, and the build that executes it.

A chapter calls `check_parameters(globals())`, `figures`, and `claims.check`; nothing else of the
package knows of the book.
"""

from madlib.book.parameters import check_parameters

__all__ = ["check_parameters"]
