"""A tar read member by member, forwards only: plain files are given out, folders passed over, all else refused.

Not `tarfile`, which reads a header's claim of any size into memory, follows chains of headers by recursion, and has
ideas of its own about links, sparse files and negative sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from workers.explanation.archives.errors import InvalidArchive
from workers.explanation.errors import InputTooLarge

BLOCK = 512
PART = 2**20
MOST_BYTES = 2**62  # what any disk holds is less
LONGEST_NAME = 2**16
BINARY = 0x80
FILE, FOLDER, LONG_NAME, EXTENDED, GLOBAL = (b"0", b"\0"), b"5", b"L", b"x", b"g"


def looks_like_tar(head: bytes) -> bool:
    """Whether the first 512 bytes of a file are a tar's."""
    return head[257:262] == b"ustar"


def tar_members(stream: IO[bytes], most: int) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    """Name, size and the bytes in parts of each file, of `most` members; read to its end before the next is asked for.

    Raises InvalidArchive, InputTooLarge.
    """
    name, longer, count = None, None, 0
    while any(block := _exactly(stream, BLOCK)):
        size, kind = _header(block)
        if (count := count + 1) > most:
            raise InputTooLarge(f"the archive has more than {most} entries")
        if kind in FILE or kind == FOLDER:
            name, size = name or _name(block), size if longer is None else longer
            if kind in FILE and not name.endswith("/"):
                yield name, size, _parts(stream, size)
                _exactly(stream, -size % BLOCK)
            elif size:
                raise InvalidArchive("a folder in the archive has contents of its own; it is damaged")
            name = longer = None
        elif kind in (LONG_NAME, EXTENDED, GLOBAL) and size <= LONGEST_NAME:
            text = _exactly(stream, size)
            _exactly(stream, -size % BLOCK)
            if kind == LONG_NAME:
                name = _decoded(text.rstrip(b"\0"))
            elif kind == EXTENDED:
                name, longer = _extended(text)
            else:
                _extended(text)
        else:
            raise InvalidArchive("the archive holds a link, a device or a sparse file; it may hold plain files alone")


def tar_entries(stream: IO[bytes], largest: int, most: int) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file, of at most `largest` bytes; raises InvalidArchive, InputTooLarge."""
    for name, size, parts in tar_members(stream, most):
        if size > largest:
            raise InputTooLarge(f"a file in the archive has {size} bytes; {largest} are allowed")
        yield name, b"".join(parts)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    return b"".join(_parts(stream, size))


def _parts(stream: IO[bytes], size: int) -> Iterator[bytes]:
    while size and (part := stream.read(min(size, PART))):
        yield part
        size -= len(part)
    if size:
        raise InvalidArchive("the archive ends too early; it is damaged, or was cut off")


def _header(block: bytes) -> tuple[int, bytes]:
    """Size and kind of a member."""
    try:
        size, checksum = _size(block[124:136]), int(block[148:156].strip(b" \0"), 8)
    except ValueError:
        raise InvalidArchive("a header in the archive is damaged") from None
    if not 0 <= size < MOST_BYTES or checksum != sum(block[:148]) + sum(block[156:]) + 8 * 32:
        raise InvalidArchive("a header in the archive is damaged")
    return size, block[156:157]


def _size(text: bytes) -> int:
    """Octal digits, or as GNU's writes those of 8 GiB and more."""
    return int.from_bytes(text[1:]) if text[0] == BINARY else int(text.strip(b" \0") or b"0", 8)


def _name(block: bytes) -> str:
    name = block[:100].rstrip(b"\0")
    prefix = block[345:500].rstrip(b"\0") if block[257:263] == b"ustar\0" else b""
    return _decoded(prefix + b"/" + name if prefix else name)


def _extended(records: bytes) -> tuple[str | None, int | None]:
    """The path and the size in a pax header, which is lines of "length key=value"."""
    path, size = None, None
    while records:
        length, space, _ = records.partition(b" ")
        if not space or not length.isdigit() or not len(length) < int(length) <= len(records):
            raise InvalidArchive("a header in the archive is damaged")
        key, _, value = records[len(length) + 1 : int(length) - 1].partition(b"=")
        if key.startswith(b"GNU.sparse") or (key == b"size" and not (value.isdigit() and len(value) < 19)):
            raise InvalidArchive("the archive holds a sparse or an oversized file; it may hold plain files alone")
        path = _decoded(value) if key == b"path" else path
        size = int(value) if key == b"size" else size
        records = records[int(length) :]
    return path, size


def _decoded(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise InvalidArchive("a name in the archive is not UTF-8") from None
