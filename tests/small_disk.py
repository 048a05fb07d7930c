"""A file system of few bytes, for what happens where a disk is full."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """Mounted in a new folder, of so many bytes as mount reads them ("16m"); skips where only root may mount."""
    place.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}", "none", str(place)]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[None]:
    """No byte more finds room there."""
    rest = disk / "rest"
    with contextlib.suppress(OSError), rest.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    try:
        yield
    finally:
        rest.unlink()
