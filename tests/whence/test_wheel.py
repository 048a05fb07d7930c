"""What is released, installed where nothing else is: `import whence` works there, and torch does not come along."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.tree import ROOT

VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
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


def tree(to: Path) -> Path:
    """The checkout without what was made in it: of `build` a wheel takes what an earlier one left, and files gone."""
    made = {".git", ".venv", "build", "dist", "out", "datasets"}
    return Path(shutil.copytree(ROOT, to, ignore=lambda folder, _: made if Path(folder) == ROOT else ()))


def wheel_of(source: Path, to: Path) -> Path:
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", to, source)
    (wheel,) = to.glob("whence-*.whl")
    return wheel


def contents(wheel: Path) -> dict[str, int]:
    """The files of a wheel with their checksums; without its list of these."""
    with zipfile.ZipFile(wheel) as file:
        return {one.filename: one.CRC for one in file.infolist() if not one.filename.endswith("RECORD")}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_source_distribution_makes_the_same_wheel(tmp_path: Path) -> None:
    run(sys.executable, "-c", f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})")
    (source,) = tmp_path.glob("whence-*.tar.gz")
    with tarfile.open(source) as tar:
        names = [name.partition("/")[2] for name in tar.getnames()]
    assert {"README.md", "LICENSE", "pyproject.toml", "PKG-INFO"} <= set(names)
    assert not [name for name in names if name.startswith((".venv", "out", "models/.whence"))]
    assert contents(wheel_of(source, tmp_path / "of_source")) == contents(
        wheel_of(tree(tmp_path / "tree"), tmp_path / "of_tree")
    )
    print(f"source distribution {source.stat().st_size / 2**20:.2f} MiB, {len(names)} files")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_wheel_in_an_empty_environment(tmp_path: Path) -> None:
    wheel = wheel_of(tree(tmp_path / "tree"), tmp_path)
    assert wheel.name.startswith(f"whence-{VERSION}-py3")
    with zipfile.ZipFile(wheel) as file:
        assert {"service/page/index.html", "workers/jobs/scripts/claim.lua"} <= set(file.namelist())
    run(sys.executable, "-m", "venv", tmp_path / "empty")
    python = tmp_path / "empty" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--no-compile", "-c", "constraints.txt", wheel)
    size = sum(file.stat().st_size for file in (tmp_path / "empty" / "lib").rglob("*") if file.is_file())
    print(f"wheel {wheel.stat().st_size / 2**20:.2f} MiB, with what it needs {size / 2**20:.0f} MiB")
    said = run(python, "-c", LOOK)
    print(said)
    assert "no Whence answers at" in said
    assert run(tmp_path / "empty" / "bin" / "whence", "--version") == f"whence {VERSION}\n"
    assert "explain" in run(tmp_path / "empty" / "bin" / "whence", "--help")


def test_the_version_is_one_everywhere() -> None:
    """Of the package, of the newest entry of the changelog that has one, of the API's description and its examples."""
    log = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", log, re.MULTILINE)[0] == VERSION
    told = re.findall(r'"(?:version|whence)": "(\d+\.\d+\.\d+)"', (ROOT / "openapi" / "openapi.json").read_text())
    assert set(told) == {VERSION}
