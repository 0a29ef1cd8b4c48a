"""`make` refuses an interpreter or a folder that it cannot use, in one line."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("PYTHON=python0", "needs Python 3.11 or newer with its venv module; python0 is not one."),
        ("PYTHON=/bin/false", "needs Python 3.11 or newer"),
        ("VENV=my environment", "VENV must be a path without spaces"),
    ],
)
def test_setup_refuses(argument, reason):
    # `make test` tells its children that they are.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    command = ["make", "setup", argument]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode
    assert reason in run.stderr
    assert len(run.stderr.strip().splitlines()) <= 2  # ours, and make's own
    assert not run.stdout
