"""An uploaded archive, whatever its kind, unpacked into a folder: .npz, .zip, .tar, .tar.gz. Told by its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO
from zipfile import ZipFile

from workers.datasets.arrays import extract, is_npz
from workers.datasets.card import Limits
from workers.datasets.images import pack
from workers.explanation.archives.bounds import GZIP, check_unpacked, gunzipped
from workers.explanation.archives.errors import InvalidArchive
from workers.explanation.archives.tar import BLOCK, looks_like_tar, tar_entries
from workers.explanation.archives.zip import ZIP, open_zip
from workers.explanation.errors import InputTooLarge, InvalidDataset
from workers.explanation.file_types import describe_file
from workers.explanation.tensors import MAGIC


def unpack(upload: Path, into: Path, limits: Limits) -> None:
    """Write what the archive holds into a folder, under names of our own; raises InvalidDataset, InputTooLarge."""
    try:
        with upload.open("rb") as file:
            _unpack(file, upload, into, limits)
    except InvalidArchive as error:
        raise InvalidDataset(error.detail) from None


def _unpack(file: IO[bytes], upload: Path, into: Path, limits: Limits) -> None:
    head, size = file.read(BLOCK), upload.stat().st_size
    file.seek(0)
    if head.startswith(ZIP):
        with open_zip(upload, limits.entries, limits.unpacked) as archive:
            if is_npz(archive):
                extract(archive, into)
            else:
                pack(zip_entries(archive, limits.item), into, limits)
    elif head.startswith(GZIP):
        with gunzipped(file, size, limits.unpacked) as stream:
            if not looks_like_tar(stream.peek(BLOCK)):
                raise InvalidDataset("what was compressed is no tar; send a .tar.gz of images in class folders")
            pack(tar_entries(stream, limits.item, limits.entries), into, limits)
    elif looks_like_tar(head):
        check_unpacked(size, size, limits.unpacked)
        pack(tar_entries(file, limits.item, limits.entries), into, limits)
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
