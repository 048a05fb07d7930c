"""What comes over HTTP as a model's folder and is none is told by what is wrong with it."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Literal
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, ZipFile

import pytest

from tests.small_disk import small_disk
from workers.explanation.archives.tar import tar_members
from workers.explanation.errors import InputTooLarge, InvalidFolder
from workers.jobs.disk import no_room
from workers.models.sent import check_sent, unpack

CARD = ("card.toml", b"[model]\nsource = 'model.pt2'\n[input]\nkind = 'tensor'\nshape = [6]\n")
MOST = 10**6
FOLDER = tarfile.TarInfo("x")
FOLDER.type = tarfile.DIRTYPE


def packed(*entries: tuple[str, bytes], kind: int = ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), ZipFile(out, "w", kind) as file:
        warnings.simplefilter("ignore")  # of names that come twice
        for name, data in entries:
            file.writestr(name, data)
    return out.getvalue()


def taped(*entries: tuple[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as file:
        for name, data in entries:
            member = tarfile.TarInfo(name)
            member.size, member.type = len(data), tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            file.addfile(member, io.BytesIO(data))
    return out.getvalue()


def squeezed(data: bytes) -> bytes:
    """The same bytes at any time."""
    return gzip.compress(data, mtime=0)


def extended(size: int) -> bytes:
    """A PAX header, and a comment of so many bytes in it."""
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.XHDTYPE, size
    return member.tobuf(tarfile.USTAR_FORMAT) + f"{size} comment=".encode().ljust(size, b"0")


def encrypted(data: bytes) -> bytes:
    place = data.index(b"PK\x01\x02") + 8
    return data[:place] + b"\x01" + data[place + 1 :]


def local_name(data: bytes) -> bytes:
    """The first entry is called otherwise where it lies than in the directory at the end."""
    return data.replace(b"card.toml", b"card.yaml", 1)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (packed(CARD, CARD), "a name comes twice in the archive"),
        (packed(CARD, ("./card.toml", b"x")), "'card.toml' comes twice"),
        (packed(CARD, ("x//y", b"1"), ("x/y", b"2")), "'x/y' comes twice"),
        (packed(CARD, ("x", b"1"), ("x/y", b"2")), "'x/y' comes twice, or is a file and a folder"),
        (packed(CARD, ("x/y/z", b"1"), ("x/y", b"2")), "'x/y' comes twice, or is a file and a folder"),
        (encrypted(packed(CARD)), "the archive is encrypted; pack it without a password"),
        (local_name(packed(CARD)), "no readable zip"),
        (packed(CARD)[:-5], "no readable zip"),
        (taped(CARD)[:700], "ends too early"),
        (squeezed(taped(CARD))[:60], "is damaged, or was cut off"),
        (bz2.compress(taped(CARD)), "no readable zip or tar (.tar, .tar.gz)"),
        (packed(CARD, kind=ZIP_BZIP2), "zip it with deflate"),
        (packed(CARD, ("x" * 300, b"")), "a longer name than 255 bytes"),
        (packed(CARD, ("x/" * 200 + "x", b"")), "a longer name than 255 bytes"),
        (packed(("inner.zip", packed(CARD))), "there is no such file"),
    ],
)
def test_a_folder_that_is_none_is_refused_by_what_is_wrong(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "sent").write_bytes(data)
    with pytest.raises(InvalidFolder, match=r"^toy[:/]") as error:
        check_sent(tmp_path / "sent", "toy", MOST)
    assert told in error.value.detail


ZEROS = ("model.pt2", bytes(4 * 2**20))  # deflate makes a thousandth of them
RATIO = ": 100 times its size, or 1048576; pack it with less compression"


@pytest.mark.parametrize(
    ("data", "most", "told"),
    [
        (packed(CARD, *((f"x{i}", b"") for i in range(1000))), MOST, "it holds more than 1000 files"),
        (packed(CARD, ("x", bytes(MOST))), MOST, "; 1000000 are allowed"),
        (taped(CARD, ("x", bytes(MOST))), MOST, "; 1000000 are allowed"),
        (squeezed(taped(CARD, ("x", bytes(MOST)))), MOST, "; 1000000 are allowed"),
        (packed(CARD, ZEROS, kind=ZIP_DEFLATED), 2**40, RATIO),
        (squeezed(taped(CARD, ZEROS)), 2**40, RATIO),
        (squeezed(extended(2**16) * 70), 2**40, RATIO),
        (squeezed(FOLDER.tobuf() * 9000), 2**40, RATIO),
    ],
)
def test_what_unpacks_to_too_much_is_refused_by_the_limit(tmp_path: Path, data: bytes, most: int, told: str) -> None:
    (tmp_path / "sent").write_bytes(data)
    with pytest.raises(InputTooLarge, match=r"^toy: ") as error:
        check_sent(tmp_path / "sent", "toy", most)
    assert told in error.value.detail


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("data", [taped, lambda *files, form: squeezed(taped(*files, form=form))])
def test_a_folder_in_a_tar_of_any_form(tmp_path: Path, data: Callable[..., bytes], form: int) -> None:
    """Where a path is long, PAX and GNU write a header of their own before it."""
    long = "/".join(["a" * 90, "b" * 90]), b"1" * 600
    (tmp_path / "sent").write_bytes(data(CARD, long, form=form))
    unpack(tmp_path / "sent", tmp_path / "toy", MOST)
    assert (tmp_path / "toy" / long[0]).read_bytes() == long[1]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_file_may_be_longer_than_a_header_has_digits_for(form: Literal[1, 2]) -> None:
    """GNU writes such a size as bytes, PAX in a header of its own."""
    member = tarfile.TarInfo("model.pt2")
    member.size = 9 * 2**30
    (found,) = [(name, size) for name, size, _ in islice(tar_members(io.BytesIO(member.tobuf(form)), 3), 1)]
    assert found == ("model.pt2", 9 * 2**30)


def test_a_full_disk_is_not_the_fault_of_who_sent(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        (tmp_path / "sent").write_bytes(packed(CARD, ("model.pt2", bytes(10**5))))
        with pytest.raises(OSError, match="No space left") as error:
            unpack(tmp_path / "sent", disk / "toy", MOST)
        assert no_room(error.value)
        assert list(disk.iterdir()) == []
