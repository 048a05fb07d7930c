"""A zip whose table of contents passed every check, before any of it is unpacked."""

from __future__ import annotations

import errno
import mmap
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import error as struct_error
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo
from zlib import error as zlib_error

from workers.datasets.card import Limits
from workers.explanation.errors import InputTooLarge, InvalidDataset

ENTRY = b"PK\1\2"  # begins each entry of the table of contents
ENCRYPTED = 1


@contextmanager
def open_zip(path: Path, limits: Limits) -> Iterator[ZipFile]:
    """The open archive; what proves broken while it is read is told too. Raises InvalidDataset, InputTooLarge."""
    _check_count(path, 2 * limits.items)
    try:
        with ZipFile(path) as file:
            _check(file.infolist(), limits.unpacked_from(path.stat().st_size))
            yield file
    except (BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, struct_error, zlib_error) as error:
        raise InvalidDataset(f"the archive is no readable zip ({type(error).__name__}); write it again") from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # an address beyond any file
            raise
        raise InvalidDataset("the archive is no readable zip; write it again") from None


def zip_entries(file: ZipFile, largest: int) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file, of at most `largest` bytes."""
    for info in file.infolist():
        if not info.is_dir():
            if info.file_size > largest:
                raise InputTooLarge(f"a file in the archive has {info.file_size} bytes; {largest} are allowed")
            with file.open(info) as stream:
                # Asked for its size, the stream unpacks no more than that, whatever its data would give.
                data = stream.read(max(info.file_size, 1))
            yield info.filename, data


def _check_count(path: Path, most: int) -> None:
    """Before `ZipFile` makes an object of each entry."""
    count, at = 0, -1
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        while (at := content.find(ENTRY, at + 1)) >= 0:
            count += 1
            if count > most:
                raise InputTooLarge(f"the archive has more than {most} entries")


def _check(infos: list[ZipInfo], most: int) -> None:
    total = sum(info.file_size for info in infos)
    if total > most:
        raise InputTooLarge(f"the archive unpacks to {total} bytes; {most} are allowed for one of its size")
    if len({info.filename for info in infos}) < len(infos):
        raise InvalidDataset("a name comes twice in the archive")
    for info in infos:
        if not info.filename:
            raise InvalidDataset("a file in the archive has no name")
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InvalidDataset("the archive holds a link or a device; it may hold plain files alone")
        if info.flag_bits & ENCRYPTED:
            raise InvalidDataset("the archive is encrypted")
        if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise InvalidDataset("the archive is compressed in a way that is not read; zip it with deflate")
