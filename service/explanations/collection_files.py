"""All of a collection as files that are made as they are sent: an archive, a stack, sheets."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import orjson
from anyio import to_thread

from service.explanations.collections import Collection, Order, table
from service.explanations.documents import Meta
from service.http.errors import Expired, NotFound
from service.queue.queue import Queue
from service.render.axis_kinds import Layout
from service.render.contact_sheet import PER_SHEET, Cell, contact_sheet, sheet_of_pictures
from service.render.plots.beeswarm import DOTS, draw_beeswarm
from service.render.side_by_side import drawn_arrays, picture
from service.render.style import DEFAULT_LOOK
from service.render.thumbnails import heading

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
    if of.of_texts or of.of_several:
        return await to_thread.run_sync(_pictures, of, rows, await _drawn(of, queue, rows), page)
    found = await _read(of, queue, rows, *of.maps, "input")
    return await to_thread.run_sync(_sheet, of, rows, found, page)


async def _drawn(of: Collection, queue: Queue, rows: Sequence[int]) -> dict[int, bytes]:
    """The picture that each of these has alone."""
    there = [row for row in rows if of.arrays["collection"][row]]
    metas, found = await queue.metas(of.ids(there)), {}
    for row, key in zip(there, of.ids(there), strict=True):
        if key not in metas:
            await _forget(of, queue, len(there) - len(metas))
        (stored,) = await queue.several([key], *drawn_arrays(metas[key]))
        arrays = [one for one in stored if one is not None]
        if metas[key]["kind"] == "attribution" and len(arrays) == len(stored):
            found[row] = await to_thread.run_sync(_heatmap, metas[key], arrays)
    return found


def _heatmap(meta: Meta, arrays: Sequence[bytes]) -> bytes:
    return picture("heatmap", meta, arrays, DEFAULT_LOOK)


def _pictures(of: Collection, rows: Sequence[int], drawn: Mapping[int, bytes], page: str) -> bytes:
    cells = [(*of.title(row), drawn.get(row)) for row in rows]
    return sheet_of_pictures(cells, heading(of.meta).adding(f"{page}; each on its own scale"))


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
    """A zip as it is made: a .npy of each item, a table of all, the summary, so many sheets; few items are held.

    Of texts there is a line of JSON for each, which says whose the numbers are.
    """
    out = _Unseekable()
    with zipfile.ZipFile(out, "w") as file:
        await to_thread.run_sync(_put_table, file, of)
        await to_thread.run_sync(_put, file, "summary.png", summary)
        async for first, maps in _maps(of, queue, *of.maps):
            await to_thread.run_sync(_put_maps, file, of, first, maps)
            yield out.taken()
        if of.of_texts:
            await _put_texts(file, of, queue)
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


def _put_maps(file: zipfile.ZipFile, of: Collection, first: int, maps: Sequence[Sequence[bytes | None]]) -> None:
    digits = len(str(of.start + of.count - 1))
    for row, arrays in enumerate(maps, first):
        for name, data in zip(of.maps, arrays, strict=True):
            kind, dot, own = name.partition(".")
            if data is not None:
                _put(file, f"{kind}s/{of.start + row:0{digits}}{dot}{own}.npy", data)


async def _put_texts(file: zipfile.ZipFile, of: Collection, queue: Queue) -> None:
    lines, there = [], of.explained()
    for at in range(0, len(there), MOST_READ):
        rows = there[at : at + MOST_READ]
        metas = await queue.metas(of.ids(rows))
        for row, key in zip(rows, of.ids(rows), strict=True):
            lines.append(orjson.dumps({"index": of.start + row, "texts": metas[key]["texts"]} if key in metas else {}))
    await to_thread.run_sync(_put, file, "texts.jsonl", b"\n".join([*lines, b""]))


def check_stackable(of: Collection) -> None:
    """Raises NotFound for maps of texts, which differ in length."""
    if of.of_texts:
        raise NotFound("texts differ in length, so that their numbers do not stack; archive.zip has those of each")


async def stacked(of: Collection, queue: Queue) -> AsyncIterator[bytes]:
    """A safetensors file as it is made: the items' maps along a first axis, zeros where there is none."""
    first = next(iter(of.explained()), None)
    (likes,) = await _read(of, queue, [first], *of.maps) if first is not None else [(None,) * len(of.maps)]
    shapes = [np.load(io.BytesIO(like), allow_pickle=False).shape if like is not None else () for like in likes]
    sizes = [int(np.prod(shape, dtype=np.int64)) * 4 for shape in shapes]
    index, method = np.arange(of.start, of.start + of.count, dtype="<i8"), orjson.dumps(of.meta["method"]).decode()
    head: dict[str, Any] = {
        "__metadata__": {"id": of.meta["id"], "model": of.meta["model"]["digest"], "method": method}
    }
    end = 0
    for name, shape, size in zip(of.maps, shapes, sizes, strict=True):
        head[name] = {"dtype": "F32", "shape": [of.count, *shape], "data_offsets": [end, end + size * of.count]}
        end += size * of.count
    head["index"] = {"dtype": "I64", "shape": [of.count], "data_offsets": [end, end + index.nbytes]}
    text = orjson.dumps(head)
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name, size in zip(of.maps, sizes, strict=True):
        async for _, maps in _maps(of, queue, name):
            yield b"".join(bytes(size) if data is None else _flat(data, size) for (data,) in maps)
    yield index.tobytes()


def _flat(data: bytes, size: int) -> bytes:
    values: bytes = np.load(io.BytesIO(data), allow_pickle=False).astype("<f4").tobytes()
    if len(values) != size:
        raise ValueError("items whose maps differ in shape cannot be stacked")
    return values


async def _maps(of: Collection, queue: Queue, *names: str) -> AsyncIterator[tuple[int, list[tuple[bytes | None, ...]]]]:
    """Maps by these names in their order, None where an item has none: some at a time, with the first one's row."""
    at, count, largest = 0, 1, 1
    while at < of.count:
        rows = range(at, min(at + count, of.count))
        maps = await _read(of, queue, rows, *names)
        yield at, maps
        at += len(rows)
        largest = max(largest, *(sum(len(one) for one in each if one is not None) for each in maps))
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
