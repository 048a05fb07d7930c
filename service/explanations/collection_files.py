"""All of a collection as files that are made as they are sent: an archive, a stack, sheets."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import orjson
from anyio import to_thread

from service.explanations.collections import Collection, table
from service.http.errors import Expired
from service.queue.queue import Queue
from service.render.contact_sheet import PER_SHEET, Cell, contact_sheet
from service.render.thumbnails import heading
from workers.contract import catalogue

LATEST = (1980, 1, 1, 0, 0, 0)  # of the files in an archive: the same archive, the same bytes
READ_AT_ONCE = PER_SHEET


async def check_there(of: Collection, queue: Queue) -> None:
    """Raises Expired where explanations of items are no longer stored: then the collection is forgotten too."""
    ids = of.ids(of.explained())
    gone = len(ids) - await queue.stored(ids)
    if gone:
        await queue.forget(of.meta["id"])
        raise Expired(f"{gone} of its {len(ids)} explanations are no longer stored; the same request makes these again")


async def sheet(of: Collection, queue: Queue, rows: Sequence[int], page: str) -> bytes:
    """A contact sheet of these items."""
    found = await _read(of, queue, rows)
    return await to_thread.run_sync(_sheet, of, rows, found, page)


async def archive(of: Collection, queue: Queue, summary: bytes) -> AsyncIterator[bytes]:
    """A zip as it is made: a .npy of each item, a table of all, the summary, sheets; few items are held at once."""
    out = _Unseekable()
    with zipfile.ZipFile(out, "w") as file:
        await to_thread.run_sync(_put, file, "index.csv", "".join(table(of)).encode())
        await to_thread.run_sync(_put, file, "summary.png", summary)
        digits = len(str(of.start + of.count - 1))
        for number, first in enumerate(range(0, of.count, READ_AT_ONCE), 1):
            rows = range(first, min(first + READ_AT_ONCE, of.count))
            found = await _read(of, queue, rows)
            page = f"items {of.start + rows[0]} to {of.start + rows[-1]}"
            drawn = await to_thread.run_sync(_sheet, of, rows, found, page)
            for row, arrays in zip(rows, found, strict=True):
                if arrays[0] is not None:
                    _put(file, f"{_kind(of)}s/{of.start + row:0{digits}}.npy", arrays[0])
            _put(file, f"contact_sheets/{number:04}.png", drawn)
            yield out.taken()
    yield out.taken()


async def stacked(of: Collection, queue: Queue) -> AsyncIterator[bytes]:
    """A safetensors file as it is made: the items' maps along a first axis, zeros where there is none."""
    first = next(iter(of.explained()), None)
    ((like, _),) = await _read(of, queue, [first]) if first is not None else [(None, None)]
    shape = np.load(io.BytesIO(like), allow_pickle=False).shape if like is not None else ()
    size, index = int(np.prod(shape, dtype=np.int64)) * 4, np.arange(of.start, of.start + of.count, dtype="<i8")
    end = size * of.count
    method = orjson.dumps(of.meta["method"]).decode()
    head = {
        "__metadata__": {"id": of.meta["id"], "model": of.meta["model"]["digest"], "method": method},
        _kind(of): {"dtype": "F32", "shape": [of.count, *shape], "data_offsets": [0, end]},
        "index": {"dtype": "I64", "shape": [of.count], "data_offsets": [end, end + index.nbytes]},
    }  # fmt: skip
    text = orjson.dumps(head)
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for at in range(0, of.count, READ_AT_ONCE):
        rows = range(at, min(at + READ_AT_ONCE, of.count))
        found = await _read(of, queue, rows)
        yield b"".join(bytes(size) if data is None else _flat(data, size) for data, _ in found)
    yield index.tobytes()


def _flat(data: bytes, size: int) -> bytes:
    values: bytes = np.load(io.BytesIO(data), allow_pickle=False).astype("<f4").tobytes()
    if len(values) != size:
        raise ValueError("items whose maps differ in shape cannot be stacked")
    return values


def _kind(of: Collection) -> str:
    return catalogue()[of.meta["method"]["of"]["name"]].kind


async def _read(of: Collection, queue: Queue, rows: Sequence[int]) -> list[tuple[bytes | None, bytes | None]]:
    """Map and input of each item, both None where it has none."""
    there = [row for row in rows if of.arrays["collection"][row]]
    found = dict(zip(there, await queue.several(of.ids(there), _kind(of), "input"), strict=True))
    return [(found[row][0], found[row][1]) if row in found else (None, None) for row in rows]


def _sheet(of: Collection, rows: Sequence[int], found: Sequence[tuple[bytes | None, bytes | None]], page: str) -> bytes:
    cells = []
    for row, (values, seen) in zip(rows, found, strict=True):
        title, wrong = of.title(row)
        cells.append(Cell(title, wrong, *(None if one is None else np.load(io.BytesIO(one)) for one in (values, seen))))
    return contact_sheet(cells, heading(of.meta).adding(f"{page}; each map on its own scale"))


class _Unseekable(io.RawIOBase):
    """What was written since it was last taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        found, self._parts = b"".join(self._parts), []
        return found


def _put(file: zipfile.ZipFile, name: str, data: bytes) -> None:
    how = zipfile.ZIP_DEFLATED if name.endswith((".csv", ".npy")) else zipfile.ZIP_STORED
    file.writestr(zipfile.ZipInfo(name, LATEST), data, compress_type=how, compresslevel=1)
