"""A zip whose table of contents is checked before anything is unpacked."""

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

from workers.explanation.archives.bounds import check_unpacked
from workers.explanation.archives.errors import InvalidArchive
from workers.explanation.errors import InputTooLarge

ZIP = b"PK\3\4"
ENTRY = b"PK\1\2"  # begins each entry of the table of contents
ENCRYPTED = 1


@contextmanager
def open_zip(path: Path, entries: int, most: int) -> Iterator[ZipFile]:
    """The open archive, of so many entries at most, that unpacks to what it may and to `most` bytes at most.

    What proves broken while it is read is told too. Raises InvalidArchive, InputTooLarge.
    """
    _check_count(path, entries)
    try:
        with ZipFile(path) as file:
            check_unpacked(sum(info.file_size for info in file.infolist()), path.stat().st_size, most)
            _check(file.infolist())
            yield file
    except (BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, struct_error, zlib_error) as error:
        raise InvalidArchive(f"the archive is no readable zip ({type(error).__name__}); write it again") from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # an address beyond any file
            raise
        raise InvalidArchive("the archive is no readable zip; write it again") from None


def _check_count(path: Path, most: int) -> None:
    """Before `ZipFile` makes an object of each entry."""
    count, at = 0, -1
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        while (at := content.find(ENTRY, at + 1)) >= 0:
            count += 1
            if count > most:
                raise InputTooLarge(f"the archive has more than {most} entries")


def _check(infos: list[ZipInfo]) -> None:
    if len({info.filename for info in infos}) < len(infos):
        raise InvalidArchive("a name comes twice in the archive")
    for info in infos:
        if not info.filename:
            raise InvalidArchive("a file in the archive has no name")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InvalidArchive("the archive holds a link or a device; it may hold plain files alone")
        if info.flag_bits & ENCRYPTED:
            raise InvalidArchive("the archive is encrypted; pack it without a password")
        if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise InvalidArchive("the archive is compressed in a way that is not read; zip it with deflate")
