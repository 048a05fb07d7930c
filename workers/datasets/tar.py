"""A tar read member by member, forwards only: plain files are given out, folders passed over, all else refused.

Not `tarfile`, which reads a header's claim of any size into memory, follows chains of headers by recursion, and has
ideas of its own about links, sparse files and negative sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from workers.explanation.errors import InputTooLarge, InvalidDataset

BLOCK = 512
LONGEST_NAME = 2**16
FILE, FOLDER, LONG_NAME, EXTENDED, GLOBAL = (b"0", b"\0"), b"5", b"L", b"x", b"g"


def looks_like_tar(head: bytes) -> bool:
    """Whether the first 512 bytes of a file are a tar's."""
    return head[257:262] == b"ustar"


def tar_entries(stream: IO[bytes], largest: int) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file, of at most `largest` bytes; raises InvalidDataset, InputTooLarge."""
    name: str | None = None
    while any(block := _exactly(stream, BLOCK)):
        size, kind = _header(block)
        if kind in FILE or kind == FOLDER:
            name = name or _name(block)
            if kind in FILE and not name.endswith("/"):
                if size > largest:
                    raise InputTooLarge(f"a file in the archive has {size} bytes; {largest} are allowed")
                yield name, _padded(stream, size)
            elif size:
                raise InvalidDataset("a folder in the archive has contents of its own; it is damaged")
            name = None
        elif kind in (LONG_NAME, EXTENDED, GLOBAL) and size <= LONGEST_NAME:
            text = _padded(stream, size)
            found = _decoded(text.rstrip(b"\0")) if kind == LONG_NAME else _path(text)
            name = found if kind != GLOBAL else name
        else:
            raise InvalidDataset("the archive holds a link, a device or a sparse file; it may hold plain files alone")


def _exactly(stream: IO[bytes], size: int) -> bytes:
    parts = []
    while size and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    if size:
        raise InvalidDataset("the archive ends too early; it is damaged, or was cut off")
    return b"".join(parts)


def _padded(stream: IO[bytes], size: int) -> bytes:
    data = _exactly(stream, size)
    _exactly(stream, -size % BLOCK)
    return data


def _header(block: bytes) -> tuple[int, bytes]:
    """Size and kind of a member."""
    try:
        size, checksum = int(block[124:136].strip(b" \0") or b"0", 8), int(block[148:156].strip(b" \0"), 8)
    except ValueError:
        raise InvalidDataset("a header in the archive is damaged") from None
    if size < 0 or checksum != sum(block[:148]) + sum(block[156:]) + 8 * 32:
        raise InvalidDataset("a header in the archive is damaged")
    return size, block[156:157]


def _name(block: bytes) -> str:
    name = block[:100].rstrip(b"\0")
    prefix = block[345:500].rstrip(b"\0") if block[257:263] == b"ustar\0" else b""
    return _decoded(prefix + b"/" + name if prefix else name)


def _path(records: bytes) -> str | None:
    """The path in a pax header, which is lines of "length key=value"."""
    found = None
    while records:
        length, space, _ = records.partition(b" ")
        if not space or not length.isdigit() or not len(length) < int(length) <= len(records):
            raise InvalidDataset("a header in the archive is damaged")
        key, _, value = records[len(length) + 1 : int(length) - 1].partition(b"=")
        if key == b"size" or key.startswith(b"GNU.sparse"):
            raise InvalidDataset("the archive holds a sparse or an oversized file; it may hold plain files alone")
        found = _decoded(value) if key == b"path" else found
        records = records[int(length) :]
    return found


def _decoded(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise InvalidDataset("a name in the archive is not UTF-8") from None
