"""The files of a collection of thousands: what is drawn, read at once and held, whatever its size."""

from __future__ import annotations

import io
import zipfile
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from service.explanations import collection_files
from service.explanations.collection_files import MOST_READ, SHEETS, archive, stacked
from service.explanations.collections import Collection
from service.queue.queue import Queue
from service.render.contact_sheet import PER_SHEET


def npy(values: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


class Stored:
    """A queue that has maps whose values are their row; it notes how many bytes each reading took."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.reads: list[int] = []

    async def several(self, ids: list[str], *arrays: str) -> list[list[bytes]]:
        found = [[npy(np.full(self.shape, int(one, 16), np.float32)) for _ in arrays] for one in ids]
        self.reads.append(sum(len(data) for one in found for data in one))
        return found


def collection(count: int) -> Collection:
    """Every seventh item was not explained; the last has the worst check."""
    there = np.arange(count) % 7 != 6
    ids = np.array([list(row.to_bytes(32, "big")) for row in range(count)], np.uint8)
    zeros, numbers = np.zeros(count), np.zeros(count, int)
    per_check = {name: np.linspace(0, 1, count)[:, None] for name in ("gaps", "expected", "observed")}
    arrays = {
        "collection": there, "ids": ids, "labels": numbers, "targets": numbers, "predicted": numbers.copy(),
        "scores": zeros, "probabilities": zeros, "explained": zeros, **per_check,
    }  # fmt: skip
    info = {"failed": [], "dataset_classes": [], "names": {}, "checks": ["c"], "explained": count, "items": count}
    method = {"start": 0, "of": {"name": "lrp"}}
    return Collection({"id": "", "method": method, "model": {"name": "m", "digest": "d"}, "info": info}, arrays)


async def zipped(of: Collection, stored: Stored, **asked: Any) -> zipfile.ZipFile:
    parts = [part async for part in archive(of, cast(Queue, stored), b"summary", **asked)]
    return zipfile.ZipFile(io.BytesIO(b"".join(parts)))


def sheets(file: zipfile.ZipFile) -> list[str]:
    return [name for name in file.namelist() if name.startswith("contact_sheets/")]


async def test_an_archive_of_thousands_has_every_map_and_some_sheets() -> None:
    """All sheets of 10,000 took 37 of 39 seconds, longer than to explain the items."""
    of, stored = collection(2000), Stored((1, 2, 2))
    file = await zipped(of, stored)
    maps = [name for name in file.namelist() if name.startswith("attributions/")]
    assert maps == [f"attributions/{row:04}.npy" for row in of.explained()]
    assert float(np.load(io.BytesIO(file.read("attributions/1234.npy"))).max()) == 1234
    assert sheets(file) == [f"contact_sheets/{number:04}.png" for number in range(1, SHEETS + 1)]
    assert len(stored.reads) < 2000 / MOST_READ + SHEETS + 12, "items are not read one by one"


@pytest.mark.parametrize(("asked", "drawn"), [(0, 0), (1, 1), (3, 3), (10_000, 4)])
async def test_the_sheets_are_as_many_as_are_asked_for(asked: int, drawn: int) -> None:
    file = await zipped(collection(3 * PER_SHEET + 1), Stored((1, 2, 2)), sheets=asked)
    assert len(sheets(file)) == drawn


async def test_sheets_may_be_of_the_worst_checks() -> None:
    of = collection(10 * PER_SHEET)
    drawn = [
        (await zipped(of, Stored((1, 2, 2)), sheets=1, sort=sort)).read("contact_sheets/0001.png")
        for sort in ("index", "worst")
    ]
    assert drawn[0] != drawn[1]


def test_mistaken_predictions_come_first_by_their_names() -> None:
    """The dataset numbers its classes otherwise; the last item was not explained, so nothing was predicted."""
    of = collection(7)
    of.arrays["labels"][:] = [0, 1, 0, 1, 0, -1, 1]
    of.arrays["predicted"][:] = [5, 5, 3, 3, 5, 3, 5]
    of.meta["info"] |= {"dataset_classes": ["cat", "dog"], "names": {"3": "dog", "5": "cat"}}
    assert of.ordered("mistaken") == [1, 2, 0, 3, 4, 5, 6]
    assert [of.title(row)[1] for row in (0, 1, 5)] == [False, True, False]


def test_labels_that_are_numbers_are_those_of_the_models_classes() -> None:
    """As of arrays, whose labels have no names, while the model's classes have some."""
    of = collection(3)
    of.arrays["labels"][:] = [0, 1, 1]
    of.arrays["predicted"][:] = [0, 0, 1]
    of.meta["info"] |= {"dataset_classes": ["0", "1"], "names": {"0": "cat", "1": "dog"}}
    assert of.ordered("mistaken") == [1, 0, 2]
    assert [of.title(row)[1] for row in range(3)] == [False, True, False]
    of.meta["info"] |= {"names": {"0": "1", "1": "0"}}  # where the model's labels are numbers, these are names
    assert [of.title(row)[1] for row in range(3)] == [True, False, True]


@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 60, 60), (1, 200, 200)])
async def test_what_is_held_at_once_is_bounded_whatever_the_size(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection_files, "READ_BYTES", 2**16)
    of, stored = collection(60), Stored(shape)
    size = 4 * int(np.prod(shape))
    length = sum([len(part) async for part in stacked(of, cast(Queue, stored))])
    assert length > 60 * size
    assert max(stored.reads) <= max(2**16, size + 128)
