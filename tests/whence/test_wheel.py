"""The wheel, installed where nothing else is: `import whence` works there, and torch does not come along."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tree import ROOT

LOOK = """
import sys, time
began = time.perf_counter()
import whence
took = time.perf_counter() - began
import importlib.util
assert importlib.util.find_spec("torch") is None
try:
    whence.Client("http://127.0.0.1:1").models()
except whence.Unreachable as error:
    print(f"import whence: {took:.2f} s, {len(sys.modules)} modules;", error)
"""


def run(*command: str | Path) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode and ("No matching distribution" in done.stderr or "Could not find a version" in done.stderr):
        pytest.skip("no package index is reachable")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_wheel_in_an_empty_environment(tmp_path: Path) -> None:
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("whence-*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "empty")
    python = tmp_path / "empty" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--no-compile", "-c", "constraints.txt", wheel)
    size = sum(file.stat().st_size for file in (tmp_path / "empty" / "lib").rglob("*") if file.is_file())
    print(f"wheel {wheel.stat().st_size / 2**20:.2f} MiB, with what it needs {size / 2**20:.0f} MiB")
    assert "no Whence answers at" in run(python, "-c", LOOK)
    assert "explain" in run(tmp_path / "empty" / "bin" / "whence", "--help")
