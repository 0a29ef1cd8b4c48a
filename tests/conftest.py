"""Strict numerics and quick compilation for every test, and the command line."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jaxtyping
import pytest

# Shapes and types of every annotation in the package are checked at every call of every test.
jaxtyping.install_import_hook("madlib", "beartyped.typechecker")

ROOT = Path(__file__).resolve().parents[1]

os.environ.setdefault("TQDM_DISABLE", "1")
# A runner of CI may ignore signals (as nohup does), and every process would inherit that.
for number, default in [
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGTERM, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
]:
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, default)
# Most of the time of a test is compilation. Programs left nearly as XLA first writes them take half
# of it; `make book` computes every number with all optimizations, as do tests of bits.
quick = "--xla_backend_optimization_level=0"
if jax.__version__.startswith("0.10."):  # XLA refuses flags of other releases.
    quick += " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
os.environ.setdefault("XLA_FLAGS", quick)
# Neither do they need the line of each operation, here and in the chapters.
os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"
jax.config.update("jax_traceback_in_locations_limit", 0)
gc.set_threshold(100_000, 20, 20)  # tracing makes many objects, and nearly all go at once.
# The longest first, so that no worker is left with one of them at the end.
LONGEST = ["test_site", "test_theory_agreement", "test_simulate", "test_sweep", "test_build"]
# No program of an earlier run stands in for one that is compiled here.
jax.config.update("jax_enable_compilation_cache", False)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: position for position, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONGEST)))


@pytest.fixture(scope="session")
def madlib() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a folder: ``madlib("book", cwd=...)``."""

    def run(
        *arguments: object, cwd: Path = ROOT, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "madlib", *map(str, arguments)],
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    return run
