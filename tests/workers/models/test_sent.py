"""What comes over HTTP as a model's folder and is none is told by what is wrong with it."""

from __future__ import annotations

import errno
import io
import shutil
import warnings
from pathlib import Path
from zipfile import ZipFile

import pytest

from workers.explanation.errors import InvalidFolder
from workers.models.sent import check_sent

CARD = ("card.toml", b"[model]\nsource = 'model.pt2'\n[input]\nkind = 'tensor'\nshape = [6]\n")
MOST = 10**6


def packed(*entries: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), ZipFile(out, "w") as file:
        warnings.simplefilter("ignore")  # of names that come twice
        for name, data in entries:
            file.writestr(name, data)
    return out.getvalue()


def encrypted(data: bytes) -> bytes:
    place = data.index(b"PK\x01\x02") + 8
    return data[:place] + b"\x01" + data[place + 1 :]


def local_name(data: bytes) -> bytes:
    """The first entry is called otherwise where it lies than in the directory at the end."""
    return data.replace(b"card.toml", b"card.yaml", 1)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (packed(CARD, CARD), "'card.toml' comes twice"),
        (packed(CARD, ("./card.toml", b"x")), "'card.toml' comes twice"),
        (packed(CARD, ("x//y", b"1"), ("x/y", b"2")), "'x/y' comes twice"),
        (packed(CARD, ("x", b"1"), ("x/y", b"2")), "'x/y' comes twice, or is a file and a folder"),
        (packed(CARD, ("x/y/z", b"1"), ("x/y", b"2")), "'x/y' comes twice, or is a file and a folder"),
        (encrypted(packed(CARD)), "it is encrypted; pack it without a password"),
        (local_name(packed(CARD)), "no readable zip or tar"),
        (packed(("inner.zip", packed(CARD))), "there is no such file"),
        (packed(CARD, *((f"x{i}", b"") for i in range(1000))), "more than 1000 files"),
        (packed(CARD, ("x", bytes(MOST))), "more than 1000000 bytes"),
    ],
)
def test_a_folder_that_is_none_is_refused_by_what_is_wrong(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "sent").write_bytes(data)
    with pytest.raises(InvalidFolder, match=r"^toy[:/]") as error:
        check_sent(tmp_path / "sent", "toy", MOST)
    assert told in error.value.detail


def test_a_full_disk_is_not_the_fault_of_who_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "sent").write_bytes(packed(CARD))
    check_sent(tmp_path / "sent", "toy", MOST)
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(InvalidFolder, match="toy: there is no room here to unpack it"):
        check_sent(tmp_path / "sent", "toy", MOST)
