"""An uploaded archive, whatever its kind, unpacked into a folder: .npz, .zip, .tar, .tar.gz. Told by its bytes."""

from __future__ import annotations

import errno
import gzip
import io
import mmap
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import error as struct_error
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo
from zlib import error as zlib_error

from workers.datasets.arrays import extract, is_npz
from workers.datasets.card import Limits
from workers.datasets.images import pack
from workers.datasets.tar import BLOCK, looks_like_tar, tar_entries
from workers.explanation.errors import InputTooLarge, InvalidDataset
from workers.explanation.file_types import describe_file
from workers.explanation.tensors import MAGIC

ZIP, GZIP = b"PK\3\4", b"\x1f\x8b"
ENTRY = b"PK\1\2"  # begins each entry of the table of contents
ENCRYPTED = 1


def unpack(upload: Path, into: Path, limits: Limits) -> None:
    """Write what the archive holds into a folder, under names of our own; raises InvalidDataset, InputTooLarge."""
    with upload.open("rb") as file:
        head = file.read(BLOCK)
        file.seek(0)
        if head.startswith(ZIP):
            with open_zip(upload, limits) as archive:
                if is_npz(archive):
                    extract(archive, into)
                else:
                    pack(zip_entries(archive, limits.item), into, limits)
        elif head.startswith(GZIP):
            _unpack_gzip(file, into, limits, limits.unpacked_from(upload.stat().st_size))
        elif looks_like_tar(head):
            pack(tar_entries(file, limits.item), into, limits)
        else:
            what = (
                "an array in .npy; save it with numpy.savez(file, inputs=array)"
                if head[:6] == MAGIC
                else describe_file(head)
            )
            raise InvalidDataset(
                "a dataset is a .npz with an array inputs, or a .zip, .tar or .tar.gz of images in class folders"
                + (f"; this is {what}" if what else "")
            )


def _unpack_gzip(file: IO[bytes], into: Path, limits: Limits, most: int) -> None:
    try:
        with gzip.GzipFile(fileobj=file) as unzipped:
            stream = io.BufferedReader(_Bounded(unzipped, most))
            if not looks_like_tar(stream.peek(BLOCK)):
                raise InvalidDataset("what was compressed is no tar; send a .tar.gz of images in class folders")
            pack(tar_entries(stream, limits.item), into, limits)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InvalidDataset("the archive is damaged, or was cut off") from None


class _Bounded(io.RawIOBase):
    """A stream that ends with InputTooLarge where it gives more than so many bytes."""

    def __init__(self, stream: gzip.GzipFile, most: int) -> None:
        self.stream = stream
        self.most = most
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.stream.read(len(buffer))
        self.taken += len(data)
        if self.taken > self.most:
            raise InputTooLarge(f"the archive unpacks to more than the {self.most} bytes allowed for one of its size")
        buffer[: len(data)] = data
        return len(data)


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
