"""Strict numerics for every test, and the book built once for those that read it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).resolve().parents[1]

os.environ.setdefault("TQDM_DISABLE", "1")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture(scope="session")
def madlib() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a folder: ``madlib("book", cwd=...)``."""

    def run(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "madlib", *map(str, arguments)],
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture(scope="session")
def smoke_site(madlib: Callable[..., subprocess.CompletedProcess[str]]) -> Path:
    """The book with the smoke preset. It stays in ``_build``, where only what changed is done again."""
    output = ROOT / "_build" / "smoke"
    done = madlib("book", "--preset", "smoke", "--output", output)
    assert done.returncode == 0, done.stdout + done.stderr
    return output / "html"
