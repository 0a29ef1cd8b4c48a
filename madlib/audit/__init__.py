"""An audit of somebody's own loop: real items, those of each generation, and a verdict."""

from madlib.audit.examination import Audit, audit

__all__ = ["Audit", "audit"]
