"""A disk of the server that is full: who sends is told so, nothing is left, and it goes on once there is room."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.app import create_app
from service.routes import datasets as datasets_route
from service.settings import Settings
from tests.service.fakes import FakeQueue
from tests.service.http.hostile_case import archive
from tests.small_disk import filled, small_disk
from tests.workers.datasets.dataset_files import PETS, npz, tarred, zipped
from workers.contract import Objects
from workers.jobs.disk import no_room

CARD = b'[model]\nsource = "model.pt2"\n[input]\nkind = "tensor"\nshape = [4]\n'
DATA = np.random.default_rng(0)
MODEL = archive({"card.toml": CARD, "model.pt2": DATA.bytes(200_000)})
FORM = {"files": {"input": ("x.npy", DATA.bytes(1_500_000), "application/x-npy")}, "data": {"model": "digits"}}
SENT: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a model": ("PUT", "/api/v1/models/mine", {"content": MODEL}),
    "a zip of images": ("POST", "/api/v1/datasets", {"content": zipped(PETS)}),
    "a tar of images": ("POST", "/api/v1/datasets", {"content": tarred(PETS)}),
    "arrays": ("POST", "/api/v1/datasets", {"content": npz(False, inputs=DATA.random((50, 100)))}),
    "a form": ("POST", "/api/v1/explanations", FORM),
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "4m") as place:
        yield place


@pytest.fixture
def client(queue: FakeQueue, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> httpx.AsyncClient:
    """Everything that the service writes is on the small disk."""
    for name in ("tmp", "objects", "datasets"):
        (disk / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(disk / "tmp"))
    settings = Settings(datasets=disk / "datasets", protocol_wait=0, log_level="CRITICAL")
    queue.repository.objects = Objects(str(disk / "objects"))
    app = create_app(settings, queue)
    keyed = settings.model_copy(update={"keys": tmp_path / "keys.json"})
    app.state.dependencies = replace(app.state.dependencies, settings=keyed)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whence")


def left(disk: Path) -> list[str]:
    return sorted(path.name for path in disk.rglob("*") if path.is_file())


@pytest.mark.parametrize("what", SENT)
async def test_a_full_disk_is_told_and_nothing_is_left(client: httpx.AsyncClient, disk: Path, what: str) -> None:
    method, url, body = SENT[what]
    async with client:
        with filled(disk):
            answer = await client.request(method, url, **body)
            told = answer.json()
            assert (answer.status_code, told["code"]) == (507, "storage_full"), told
            assert "no room on the server's disk" in told["detail"]
            assert "retry-after" not in answer.headers  # it is for people to mend
            assert left(disk) == ["rest"]
        assert (await client.request(method, url, **body)).status_code != 507


@pytest.mark.parametrize("room", [8, 100, 260])
async def test_wherever_a_disk_ends_nothing_is_left(client: httpx.AsyncClient, disk: Path, room: int) -> None:
    """With so many KiB free the one part of the work fails, or the other."""
    async with client:
        with filled(disk):
            with (disk / "rest").open("rb+") as rest:
                rest.truncate((disk / "rest").stat().st_size - room * 1024)
            before = left(disk)
            for body in (zipped(PETS), npz(False, inputs=DATA.random((50, 100)))):
                answer = await client.post("/api/v1/datasets", content=body)
                assert answer.status_code in (201, 507)
                if answer.status_code == 507:
                    assert left(disk) == before
                before = left(disk)
            assert (await client.put("/api/v1/models/mine", content=MODEL)).status_code in (200, 507)
            assert list((disk / "tmp").iterdir()) == []


async def test_another_error_of_a_disk_is_ours(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(datasets_route, "_write", broken)
    async with client:
        answer = await client.post("/api/v1/datasets", content=b"x")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")


def test_no_room_is_told_by_what_an_error_came_of() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    wrapped = ValueError("it failed")
    wrapped.__cause__ = full
    assert no_room(full)
    assert no_room(OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert no_room(wrapped)
    assert not no_room(OSError(errno.EIO, "Input/output error"))
    assert not no_room(ValueError("it failed"))
