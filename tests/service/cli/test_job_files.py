"""The archive of a job of many inputs as a folder."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import cast

import pytest

from service.cli.job import _unpacked
from whence import Collection


class Made:
    """A collection of no named files."""

    names: tuple[str, ...] = ()


def test_what_lies_outside_the_folder_is_not_written(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as file:
        file.writestr("maps/1.npy", b"one")
        file.writestr("../outside", b"two")
    with zipfile.ZipFile(tmp_path / "all.zip") as file, pytest.raises(ValueError, match="outside"):
        _unpacked(file, cast(Collection, Made()), tmp_path / "to")
    assert (tmp_path / "to" / "maps" / "1.npy").read_bytes() == b"one"
    assert not (tmp_path / "outside").exists()
