"""The page's scripts can be read, each as the module that it is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from service.routes.page import FOLDER


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.js")), ids=lambda path: path.name)
def test_a_script_is_a_module_without_a_fault(script: Path) -> None:
    source = script.read_bytes()
    read = subprocess.run(["node", "--input-type=module", "--check"], input=source, capture_output=True, check=False)
    assert read.returncode == 0, read.stderr.decode()
