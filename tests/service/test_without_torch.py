"""The service runs where torch is not installed."""

from __future__ import annotations

import subprocess
import sys

from tests.tree import ROOT

BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "captum"):
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Blocked())
import service.app, service.cli.main
app = service.app.create_app()
assert app.openapi()["paths"]
assert "torch" not in sys.modules
"""


def test_the_app_and_the_command_line_start_with_torch_blocked() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_block_blocks() -> None:
    """Lest the test above passes because nothing is blocked."""
    script = BLOCKED + "\nimport torch"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "torch is blocked" in done.stderr
