"""All of a collection as files that are made as they are sent: an archive, a stack, sheets."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator, Sequence
from typing import Any, NoReturn

import numpy as np
import orjson
from anyio import to_thread

from service.explanations.collections import Collection, Order, table
from service.http.errors import Expired, NotFound
from service.queue.queue import Queue
from service.render.axis_kinds import Layout
from service.render.contact_sheet import PER_SHEET, Cell, contact_sheet
from service.render.plots.beeswarm import DOTS, draw_beeswarm
from service.render.thumbnails import heading
from workers.contract import catalogue

LATEST = (1980, 1, 1, 0, 0, 0)  # of the files in an archive: the same archive, the same bytes
READ_BYTES = 2**24  # of maps and inputs, at once
MOST_READ = 512  # items, likewise
SHEETS = 20  # in an archive: to draw all of thousands of items takes longer than to explain them


async def check_there(of: Collection, queue: Queue) -> None:
    """Raises Expired where explanations of items are no longer stored: then the collection is forgotten too."""
    ids = await to_thread.run_sync(lambda: of.ids(of.explained()))
    gone = len(ids) - await queue.stored(ids)
    if gone:
        await _forget(of, queue, gone)


async def _forget(of: Collection, queue: Queue, gone: int) -> NoReturn:
    await queue.forget(of.meta["id"])
    count = len(of.explained())
    raise Expired(f"{gone} of its {count} explanations are no longer stored; the same request makes these again")


async def sheet(of: Collection, queue: Queue, rows: Sequence[int], page: str) -> bytes:
    """A contact sheet of these items."""
    found = await _read(of, queue, rows, _kind(of), "input")
    return await to_thread.run_sync(_sheet, of, rows, found, page)


async def beeswarm(of: Collection, queue: Queue) -> bytes:
    """What each feature does over the items, of which so many are drawn as can be told apart."""
    there = of.explained()
    if not there:
        raise NotFound("none of its items was explained, so there is nothing to draw")
    rows = [there[at] for at in np.unique(np.linspace(0, len(there) - 1, min(DOTS, len(there))).round().astype(int))]
    found = []
    for at in range(0, len(rows), MOST_READ):
        for pair in await _read(of, queue, rows[at : at + MOST_READ], "attribution", "input"):
            found.append([np.load(io.BytesIO(one), allow_pickle=False).ravel() for one in pair if one is not None])
    values, seen = (np.stack([pair[which] for pair in found if len(pair) == 2]) for which in (0, 1))
    said = heading(of.meta)
    if len(rows) < len(there):
        said = said.adding(f"{len(rows)} of them are drawn")
    return await to_thread.run_sync(draw_beeswarm, values, seen, Layout.of(of.meta), said)


async def archive(
    of: Collection, queue: Queue, summary: bytes, sheets: int = SHEETS, sort: Order = "index"
) -> AsyncIterator[bytes]:
    """A zip as it is made: a .npy of each item, a table of all, the summary, so many sheets; few items are held."""
    out = _Unseekable()
    with zipfile.ZipFile(out, "w") as file:
        await to_thread.run_sync(_put_table, file, of)
        await to_thread.run_sync(_put, file, "summary.png", summary)
        async for first, maps in _maps(of, queue):
            await to_thread.run_sync(_put_maps, file, of, first, maps)
            yield out.taken()
        ordered, last = of.ordered(sort), -(-of.count // PER_SHEET)
        for number in range(1, min(sheets, last) + 1):
            rows = ordered[(number - 1) * PER_SHEET : number * PER_SHEET]
            drawn = await sheet(of, queue, rows, f"sheet {number} of {last}")
            await to_thread.run_sync(_put, file, f"contact_sheets/{number:04}.png", drawn)
            yield out.taken()
    yield out.taken()


def _put_table(file: zipfile.ZipFile, of: Collection) -> None:
    _put(file, "index.csv", "".join(table(of)).encode())


def _put_maps(file: zipfile.ZipFile, of: Collection, first: int, maps: Sequence[bytes | None]) -> None:
    digits = len(str(of.start + of.count - 1))
    for row, data in enumerate(maps, first):
        if data is not None:
            _put(file, f"{_kind(of)}s/{of.start + row:0{digits}}.npy", data)


async def stacked(of: Collection, queue: Queue) -> AsyncIterator[bytes]:
    """A safetensors file as it is made: the items' maps along a first axis, zeros where there is none."""
    first = next(iter(of.explained()), None)
    ((like,),) = await _read(of, queue, [first], _kind(of)) if first is not None else [(None,)]
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
    async for _, maps in _maps(of, queue):
        yield b"".join(bytes(size) if data is None else _flat(data, size) for data in maps)
    yield index.tobytes()


def _flat(data: bytes, size: int) -> bytes:
    values: bytes = np.load(io.BytesIO(data), allow_pickle=False).astype("<f4").tobytes()
    if len(values) != size:
        raise ValueError("items whose maps differ in shape cannot be stacked")
    return values


def _kind(of: Collection) -> str:
    return catalogue()[of.meta["method"]["of"]["name"]].kind


async def _maps(of: Collection, queue: Queue) -> AsyncIterator[tuple[int, list[bytes | None]]]:
    """All maps in their order, None where an item has none: some at a time, each time with the first one's row."""
    at, count, largest = 0, 1, 1
    while at < of.count:
        rows = range(at, min(at + count, of.count))
        maps = [one for (one,) in await _read(of, queue, rows, _kind(of))]
        yield at, maps
        at += len(rows)
        largest = max(largest, *(len(one) for one in maps if one is not None), 1)
        count = max(1, min(MOST_READ, 2 * count, READ_BYTES // largest))


async def _read(of: Collection, queue: Queue, rows: Sequence[int], *arrays: str) -> list[tuple[bytes | None, ...]]:
    """These arrays of each item, all of them None where it has none.

    Raises Expired where one has gone: a file that is half sent then breaks off, rather than to hold nothing of it.
    """
    there = [row for row in rows if of.arrays["collection"][row]]
    found = dict(zip(there, await queue.several(of.ids(there), *arrays), strict=True))
    if gone := sum(None in one for one in found.values()):
        await _forget(of, queue, gone)
    return [tuple(found[row]) if row in found else (None,) * len(arrays) for row in rows]


def _sheet(of: Collection, rows: Sequence[int], found: Sequence[tuple[bytes | None, ...]], page: str) -> bytes:
    cells = []
    for row, (values, seen) in zip(rows, found, strict=True):
        title, wrong = of.title(row)
        arrays = (None if one is None else np.load(io.BytesIO(one), allow_pickle=False) for one in (values, seen))
        cells.append(Cell(title, wrong, *arrays))
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
