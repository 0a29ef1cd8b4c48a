"""The house: imports point down the floors, and never in a circle."""

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "madlib"
# Who may import whom. Files of one room may import each other; a circle among files is an error.
FLOORS = {
    "errors": set(),
    "protocols": set(),
    "sizes": set(),
    "linalg": set(),
    "random": set(),
    "trajectory": {"errors"},
    "datasets": {"errors", "linalg"},
    "statistics": {"datasets"},
    "loop": {"errors", "protocols", "trajectory"},
    "regimes": {"errors", "protocols", "datasets", "statistics", "linalg", "random", "sizes"},
    "generators": {"errors", "protocols", "datasets", "statistics", "linalg", "random"},
    "targets": {"errors", "protocols", "datasets", "linalg", "random", "generators"},
    "metrics": {"errors", "protocols", "datasets", "linalg", "random", "generators"},
    # Dispatch by class needs the classes.
    "theory": {"errors", "protocols", "datasets", "linalg", "random", "regimes", "sizes"},
    "checks": {"errors", "protocols", "loop", "sizes"},
    "batches": {"errors"},
    "simulate": {"errors", "protocols", "loop", "trajectory", "checks", "batches", "sizes"},
}
CORE = set(FLOORS)
FLOORS |= {
    "config": CORE,
    "planning": CORE | {"config"},
    "sweep": CORE | {"config"},
    "book": CORE | {"config", "planning", "sweep", "__init__"},
    "audit": CORE | {"config", "planning", "book"},
    "__init__": CORE | {"planning"},
    "__main__": CORE | {"config", "planning", "sweep", "book", "audit", "__init__"},
}


def room(module: str) -> str:
    """The part of the package that a module belongs to: madlib.regimes.growing -> regimes."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            named = below & MODULES
            found |= named if named and len(named) == len(below) else named | {str(node.module)}
    return {name for name in found if name in MODULES}


PATHS = sorted(ROOT.rglob("*.py"))
MODULES = {module_of(path) for path in PATHS}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_point_down(path):
    here = room(module_of(path))
    assert here in FLOORS, f"{here} is a new part: say in FLOORS what it may import"
    for name in imports(path):
        there = room(name)
        assert there == here or there in FLOORS[here], f"{module_of(path)} must not import {name}"


def test_no_circle_among_files():
    graph = {module_of(path): imports(path) for path in PATHS}
    graph.pop("madlib")  # the public face gathers everything, and nothing inside imports it.
    arrows = {name: below - {"madlib", name} for name, below in graph.items()}
    list(graphlib.TopologicalSorter(arrows).static_order())


def test_floors_have_no_circle():
    list(graphlib.TopologicalSorter(FLOORS).static_order())
