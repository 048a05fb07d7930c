"""Files of a collection of which items go while they are made; and where the work on them is done."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
import pytest

from service.explanations import collection_files
from service.explanations.collection_files import archive, beeswarm, sheet, stacked
from service.explanations.collections import Collection
from service.http.errors import Expired, NotFound
from service.queue.queue import Queue
from workers.contract import encode_npy

COUNT = 30
MAP, SEEN = encode_npy(np.ones((1, 4, 4), np.float32)), encode_npy(np.zeros((4, 4, 3), np.uint8))


class Stored(Queue):
    """Results of which one may go."""

    def __init__(self, gone: int | None = None) -> None:
        self.gone = gone
        self.forgotten: list[str] = []

    async def several(self, ids: Sequence[str], *names: str) -> list[list[bytes | None]]:
        there: list[bytes | None] = [MAP, SEEN]
        gone: list[bytes | None] = [None, None]
        return [(gone if int(one, 16) == self.gone else there)[: len(names)] for one in ids]

    async def forget(self, job_id: str) -> None:
        self.forgotten.append(job_id)


@pytest.fixture
def collection() -> Collection:
    rows = np.arange(COUNT)
    ids = np.zeros((COUNT, 32), np.uint8)
    ids[:, -1] = rows
    none, zeros = np.full(COUNT, -1), np.zeros(COUNT, np.float32)
    arrays: dict[str, Any] = {"collection": np.ones(COUNT, np.int8), "ids": ids, "labels": none, "predicted": rows}
    arrays |= {"targets": none, "probabilities": zeros, "scores": zeros, "explained": zeros}
    arrays |= {name: np.zeros((COUNT, 0), np.float32) for name in ("expected", "observed", "gaps")}
    info = {"failed": [], "names": {}, "dataset_classes": [], "checks": [], "items": COUNT, "explained": COUNT}
    method = {"name": "collection", "of": {"name": "gradient"}, "start": 0}
    return Collection({"id": "c", "model": {"name": "m", "digest": "d"}, "method": method, "info": info}, arrays)


def zip_of(of: Collection, queue: Queue) -> AsyncIterator[bytes]:
    return archive(of, queue, b"")


@pytest.mark.parametrize("made", [zip_of, stacked])
async def test_what_goes_meanwhile_is_no_zero(
    collection: Collection, made: Callable[[Collection, Queue], AsyncIterator[bytes]]
) -> None:
    """The file breaks off; whole, it would say that the item has no map, or one of zeros."""
    queue = Stored(gone=COUNT - 1)
    with pytest.raises(Expired):
        async for _ in made(collection, queue):
            pass
    assert queue.forgotten == ["c"]  # the same request makes it again


async def test_a_sheet_has_all_of_its_items(collection: Collection) -> None:
    with pytest.raises(Expired):
        await sheet(collection, Stored(gone=3), range(24), "")


async def test_files_are_packed_beside_the_event_loop(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand lines, or pictures, would hold up every other request."""
    where: set[int] = set()
    for name in ("table", "_put", "_sheet"):
        own = getattr(collection_files, name)

        def noted(*args: Any, own: Any = own) -> Any:
            where.add(threading.get_ident())
            return own(*args)

        monkeypatch.setattr(collection_files, name, noted)
    async for _ in archive(collection, Stored(), b""):
        pass
    assert where
    assert threading.get_ident() not in where


async def test_of_nothing_no_beeswarm_is_drawn(collection: Collection) -> None:
    collection.arrays["collection"][:] = 0
    with pytest.raises(NotFound, match="none of its items"):
        await beeswarm(collection, Stored())
