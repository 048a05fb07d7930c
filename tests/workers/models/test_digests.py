"""A model's digest covers what computes: two nets that differ in any file or package that is used differ in it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
import torch

from tests.workers.models.folders import NET, write_folder
from workers.models import code_digest
from workers.models.folder import read_folder
from workers.models.loading import load

PARTS = """
from torch import nn

def activation():
    return nn.ReLU()
"""
BESIDE = NET.replace("from torch import nn", "from torch import nn\nfrom parts import activation").replace(
    "nn.ReLU()", "activation()"
)
PACKAGE = BESIDE.replace("from parts", "from .parts")


def digest(path: Path) -> str:
    return read_folder(path).digest


def outputs(path: Path) -> torch.Tensor:
    return load(read_folder(path)).forward(torch.linspace(-1, 1, 108).view(1, 3, 6, 6))


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A folder whose factory imports a file beside it, and one whose data it reads."""
    path = write_folder(tmp_path / "beside")
    (path / "net.py").write_text(BESIDE)
    (path / "parts.py").write_text(PARTS)
    (path / "tables").mkdir()
    (path / "tables" / "scale.txt").write_text("1")
    return path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package on the path, of no distribution, as an editable checkout is."""
    place = tmp_path / "lib" / "whence_toy_nets"
    (place / "inner").mkdir(parents=True)
    (place / "__init__.py").write_text("")
    (place / "nets.py").write_text(PACKAGE)
    (place / "parts.py").write_text(PARTS)
    (place / "inner" / "table.txt").write_text("1")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    yield place
    for name in [name for name in sys.modules if name.startswith("whence_toy_nets")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("parts.py", PARTS.replace("ReLU", "Tanh")),
        ("net.py", BESIDE + "\n"),
        ("tables/scale.txt", "2"),
        ("tables/new.txt", ""),
        ("config.json", "{}"),
    ],
)
def test_every_file_of_the_folder_counts(beside: Path, file: str, content: str) -> None:
    before = digest(beside)
    (beside / file).write_text(content)
    assert digest(beside) != before


@pytest.mark.parametrize("file", ["labels.txt", "__pycache__/net.cpython-311.pyc", ".git/HEAD", ".swp"])
def test_what_computes_nothing_does_not(beside: Path, file: str) -> None:
    before = digest(beside)
    (beside / file).parent.mkdir(exist_ok=True)
    (beside / file).write_text("v\nw\nx\ny\nz\n")
    assert digest(beside) == before


def test_a_folder_that_is_moved_keeps_its_digest(beside: Path, tmp_path: Path) -> None:
    before = digest(beside)
    (tmp_path / "elsewhere").mkdir()
    beside.rename(tmp_path / "elsewhere" / "beside")
    assert digest(tmp_path / "elsewhere" / "beside") == before


def test_a_linked_folder_counts(beside: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "more.py").write_text("x = 1\n")
    (beside / "linked").symlink_to(tmp_path / "shared")
    (tmp_path / "shared" / "round").symlink_to(tmp_path / "shared")
    before = digest(beside)
    (tmp_path / "shared" / "more.py").write_text("x = 2\n")
    assert digest(beside) != before


@pytest.mark.parametrize("file", ["parts.py", "nets.py", "inner/table.txt"])
def test_every_file_of_a_package_without_a_version_counts(tmp_path: Path, package: Path, file: str) -> None:
    path = write_folder(tmp_path / "toy", {"model.source": "python:whence_toy_nets.nets:build"})
    before = digest(path)
    (package / file).write_text((package / file).read_text().replace("ReLU", "Tanh").replace("1", "2") + "\n")
    assert digest(path) != before


def test_a_package_that_the_folders_code_imports_counts(tmp_path: Path, package: Path) -> None:
    path = write_folder(tmp_path / "toy")
    (path / "net.py").write_text(BESIDE.replace("from parts", "from whence_toy_nets.parts"))
    before = digest(path)
    (package / "parts.py").write_text(PARTS.replace("ReLU", "Tanh"))
    assert digest(path) != before


@pytest.mark.parametrize("namesake", ["whence_toy_nets.safetensors", "whence_toy_nets.txt", "whence_toy_nets"])
def test_a_file_of_a_packages_name_that_is_no_module_hides_it_not(tmp_path: Path, package: Path, namesake: str) -> None:
    path = write_folder(tmp_path / "toy")
    (path / "net.py").write_text(BESIDE.replace("from parts", "from whence_toy_nets.parts"))
    (path / namesake).write_text("")
    before = digest(path)
    (package / "parts.py").write_text(PARTS.replace("ReLU", "Tanh"))
    assert digest(path) != before


def changed(write: Callable[[], object], path: Path) -> None:
    """The digest and the outputs change together."""
    before, computed = digest(path), outputs(path)
    write()
    assert digest(path) != before
    assert not torch.allclose(outputs(path), computed)


def test_what_is_computed_is_what_the_digest_says(tmp_path: Path, package: Path, beside: Path) -> None:
    """In one process: neither the package's modules nor those beside a file are those of before."""
    tanh = PARTS.replace("ReLU", "Tanh")
    path = write_folder(tmp_path / "toy", {"model.source": "python:whence_toy_nets.nets:build"})
    changed(lambda: (package / "parts.py").write_text(tanh), path)
    changed(lambda: (beside / "parts.py").write_text(tanh), beside)


def test_two_folders_may_each_have_a_parts_py(tmp_path: Path, beside: Path) -> None:
    other = write_folder(tmp_path / "other")
    (other / "net.py").write_text(BESIDE)
    (other / "parts.py").write_text(PARTS.replace("ReLU", "Tanh"))
    assert not torch.allclose(outputs(beside), outputs(other))
    assert "parts" not in sys.modules


@pytest.mark.parametrize("library", ["torchvision", "timm", "transformers", "whence_installed"])
def test_an_installed_package_counts_by_its_version(
    tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"{library}:net" if library in code_digest.LIBRARIES else f"python:{library}.nets:build"
    path, found = write_folder(tmp_path / "toy", {"model.source": source}), set()
    for version in ("1.0", "1.1", "1.1"):
        monkeypatch.setattr(code_digest, "_version", lambda name, version=version: f"{name} {version}")
        found.add(digest(path))
    assert len(found) == 2


def test_the_version_is_the_distributions_and_an_editable_package_has_none() -> None:
    assert code_digest._version("numpy") == f"numpy {metadata.version('numpy')}"
    assert code_digest._version("PIL") == f"pillow {metadata.version('pillow')}"
    assert code_digest.is_read_by_files("workers") is False
    assert code_digest._version("a_package_that_is_not_here") is None


def test_a_file_written_again_at_once_in_the_same_size_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    first = code_digest.hash_of(file)
    file.write_text("two")
    assert code_digest.hash_of(file) != first
    past = time.time() - 60
    os.utime(file, (past, past))
    second = code_digest.hash_of(file)
    file.write_text("six")
    os.utime(file, (past, past))
    assert code_digest.hash_of(file) != second
