"""Pictures as files of every depth, written byte by byte, so that what they say is known without any library."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Order = Literal["<", ">"]
SIZES = {3: "H", 4: "I", 12: "d"}


def encoded(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def levels(picture: NDArray[Any], bits: int) -> NDArray[np.int64]:
    """Of a picture from 0 to 1, the samples of so many bits."""
    return np.asarray(np.round(np.asarray(picture) * (2**bits - 1)), np.int64)


def packed(values: NDArray[Any], bits: int, order: Order, kind: str = "u") -> bytes:
    """Samples (H, ...) of less than a byte, or of 12 bits, lie side by side; each row begins a byte."""
    if bits % 8 == 0:
        return values.astype(f"{order}{kind}{bits // 8}").tobytes()
    rows = values.reshape(len(values), -1).astype(np.int64)
    places = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return b"".join(np.packbits(row.astype(np.uint8).ravel()).tobytes() for row in places)


def png(values: NDArray[Any], bits: int, colour: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Samples (H, W) or (H, W, channels); `colour` is the colour type of PNG, `chunks` come before the pixels."""
    height, width = values.shape[:2]
    line = len(packed(values[:1], bits, ">"))
    raw, lines = packed(values, bits, ">"), range(height)
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + raw[line * y : line * (y + 1)] for y in lines))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in ((b"IHDR", head), *chunks, (b"IDAT", pixels), (b"IEND", b""))
    )


def tiff(
    values: NDArray[Any],
    bits: int,
    *,
    photometric: int = 1,
    kind: str = "u",
    order: Order = "<",
    deflated: bool = False,
    apart: bool = False,
    tile: int | None = None,
    tags: dict[int, tuple[int, list[Any]]] | None = None,
) -> bytes:
    """Samples (H, W) or (H, W, channels) in strips of seven rows, or in tiles; `tags` are those besides."""
    planes = np.moveaxis(np.atleast_3d(values), 2, 0)[..., None] if apart else np.atleast_3d(values)[None]
    _, height, width, _ = planes.shape
    blocks = [packed(block, bits, order, kind) for plane in planes for block in _blocks(plane, tile)]
    blocks = [zlib.compress(one) if deflated else one for one in blocks]
    starts = 8 + np.cumsum([0, *(len(one) + len(one) % 2 for one in blocks)])
    channels = np.atleast_3d(values).shape[2]
    places, sizes = [int(one) for one in starts[:-1]], [len(one) for one in blocks]
    found = {
        256: (4, [width]), 257: (4, [height]), 258: (3, [bits] * channels), 259: (3, [8 if deflated else 1]),
        262: (3, [photometric]), 277: (3, [channels]), 284: (3, [2 if apart else 1]),
        339: (3, [{"u": 1, "i": 2, "f": 3}[kind]] * channels), **(tags or {}),
    }  # fmt: skip
    if tile is None:
        found |= {273: (4, places), 278: (4, [7]), 279: (4, sizes)}
    else:
        found |= {322: (4, [tile]), 323: (4, [tile]), 324: (4, places), 325: (4, sizes)}
    body = b"".join(one + b"\0" * (len(one) % 2) for one in blocks)
    return (
        {"<": b"II", ">": b"MM"}[order]
        + struct.pack(order + "HI", 42, 8 + len(body))
        + body
        + _table(found, order, 8 + len(body))
    )


def _blocks(plane: NDArray[Any], tile: int | None) -> list[NDArray[Any]]:
    if tile is None:
        return [plane[y : y + 7] for y in range(0, len(plane), 7)]
    down, across = (-side % tile for side in plane.shape[:2])
    whole = np.pad(plane, ((0, down), (0, across), (0, 0)))
    corners = ((y, x) for y in range(0, len(whole), tile) for x in range(0, whole.shape[1], tile))
    return [whole[y : y + tile, x : x + tile] for y, x in corners]


def _table(tags: dict[int, tuple[int, list[Any]]], order: Order, at: int) -> bytes:
    """The directory of a TIFF that lies `at` so many bytes, and the values that do not fit into it."""
    entries, rest = struct.pack(order + "H", len(tags)), b""
    beyond = at + 6 + 12 * len(tags)
    for tag, (kind, values) in sorted(tags.items()):
        data = struct.pack(order + SIZES[kind] * len(values), *values)
        place = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(order + "I", beyond + len(rest))
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + place
        rest += data if len(data) > 4 else b""
    return entries + struct.pack(order + "I", 0) + rest
