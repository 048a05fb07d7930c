"""What an archive may unpack to: never more than so many times its size."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from workers.explanation.archives.errors import InvalidArchive
from workers.explanation.errors import InputTooLarge

GZIP = b"\x1f\x8b"
MAX_RATIO = 100
LEAST = 2**20  # bytes that any archive may unpack to


def unpacked_from(size: int, most: int) -> int:
    """Bytes that an archive of this size may unpack to, where `most` are allowed of any."""
    return min(most, max(MAX_RATIO * size, LEAST))


def check_unpacked(unpacked: int, size: int, most: int) -> None:
    """Raise InputTooLarge where an archive of so many bytes says that it unpacks to more than it may."""
    if unpacked > (allowed := unpacked_from(size, most)):
        raise InputTooLarge(_too_large(f"{unpacked} bytes", allowed, size, most))


@contextmanager
def gunzipped(file: IO[bytes], size: int, most: int) -> Iterator[io.BufferedReader]:
    """What was compressed, as a stream. Raises InputTooLarge where it gives more than it may, and InvalidArchive."""
    try:
        with gzip.GzipFile(fileobj=file) as unzipped:
            yield io.BufferedReader(_Bounded(unzipped, size, most))
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InvalidArchive("the archive is damaged, or was cut off") from None


class _Bounded(io.RawIOBase):
    def __init__(self, stream: gzip.GzipFile, size: int, most: int) -> None:
        self.stream = stream
        self.size, self.most = size, most
        self.left = unpacked_from(size, most)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.stream.read(len(buffer))
        self.left -= len(data)
        if self.left < 0:
            allowed = unpacked_from(self.size, self.most)
            raise InputTooLarge(_too_large(f"more than {allowed} bytes", allowed, self.size, self.most))
        buffer[: len(data)] = data
        return len(data)


def _too_large(what: str, allowed: int, size: int, most: int) -> str:
    said = f"the archive unpacks to {what}; {allowed} are allowed"
    if allowed == most:
        return said
    return f"{said} of one of {size} bytes: {MAX_RATIO} times its size, or {LEAST}; pack it with less compression"
