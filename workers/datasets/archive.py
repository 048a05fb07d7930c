"""An uploaded archive, whatever its kind, unpacked into a folder: .npz, .zip, .tar, .tar.gz. Told by its bytes."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import IO, Any

from workers.datasets.arrays import extract, is_npz
from workers.datasets.card import Limits
from workers.datasets.images import pack
from workers.datasets.tar import BLOCK, looks_like_tar, tar_entries
from workers.datasets.zip import open_zip, zip_entries
from workers.explanation.errors import InputTooLarge, InvalidDataset
from workers.explanation.file_types import told
from workers.explanation.tensors import MAGIC

ZIP, GZIP = b"PK\3\4", b"\x1f\x8b"


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
            what = "an array in .npy; save it with numpy.savez(file, inputs=array)" if head[:6] == MAGIC else told(head)
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
