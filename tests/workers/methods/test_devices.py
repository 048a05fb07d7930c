"""Every method on a device that is not the CPU, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.patience import PATIENCE_S
from tests.tree import ROOT

CASES = "tests/workers/methods/on_another_device.py"


@pytest.mark.timeout(11 * PATIENCE_S)
def test_every_method_computes_where_its_model_is() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", CASES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=10 * PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
