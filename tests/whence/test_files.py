"""What is written is there whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.small_disk import filled, small_disk
from whence.files import new_file, write


def test_a_full_disk_is_told_with_the_file_and_nothing_is_left(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        with filled(disk), pytest.raises(OSError, match=r"No space left on device: .*heat.png"):
            write(disk / "heat.png", bytes(100))
        assert list(disk.iterdir()) == []
        write(disk / "heat.png", bytes(100))
        assert (disk / "heat.png").read_bytes() == bytes(100)


def interrupted(path: Path) -> None:
    with new_file(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt


def test_what_does_not_come_to_its_end_is_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "all.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_device_stays() -> None:
    with pytest.raises(ValueError, match="no end"), new_file("/dev/null"):
        raise ValueError("no end")
    assert Path("/dev/null").exists()
