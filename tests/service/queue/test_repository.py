"""Wishes for models in a real Redis: two who send at once, what fails, and a store that is away."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from service.queue.connection import QueueUnavailable
from service.queue.queue import Queue
from service.queue.repository import Repository
from tests.redis_server import RedisServer
from tests.service.through_redis import patient_queue
from workers.contract import Objects
from workers.jobs import keys
from workers.runtime.supervise import blob_cleanup


@pytest.fixture
async def queue(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Queue]:
    async with patient_queue(redis_server.url, monkeypatch) as queue:
        yield queue


@pytest.fixture
def repository(queue: Queue, tmp_path: Path) -> Repository:
    queue.repository.objects = Objects(str(tmp_path / "objects"))
    return queue.repository


def packed(folder: Path, text: str) -> Path:
    file = folder / text
    file.write_text(text)
    return file


def uploads(jobs: Redis) -> Any:
    return jobs.hgetall(keys.UPLOADS)


async def test_what_failed_does_not_undo_what_was_sent_since(
    repository: Repository, jobs: Redis, tmp_path: Path
) -> None:
    """The first is found to be broken only after the second has come."""
    first = await repository.send("m", packed(tmp_path, "first"))
    second = await repository.send("m", packed(tmp_path, "second"))
    assert (first.before, second.before) == ("", first.place)
    await repository.restore(first)
    assert uploads(jobs) == {b"m": second.place.encode()}
    await repository.restore(second)
    assert uploads(jobs) == {b"m": first.place.encode()}
    assert repository.objects.get(second.place) is None  # nobody asks for it any more
    assert repository.objects.get(first.place) == b"first"


async def test_what_two_names_have_stays_as_long_as_one_has_it(
    repository: Repository, jobs: Redis, tmp_path: Path
) -> None:
    one = await repository.send("one", packed(tmp_path, "same"))
    await repository.send("two", packed(tmp_path, "same"))
    assert await repository.remove("one")
    assert not await repository.remove("one")
    assert repository.objects.get(one.place) == b"same"
    assert await repository.remove("two")
    assert repository.objects.get(one.place) is None
    assert uploads(jobs) == {}


async def test_a_store_that_is_away_is_no_fault_of_ours(repository: Repository, jobs: Redis, tmp_path: Path) -> None:
    await repository.send("m", packed(tmp_path, "m"))
    (tmp_path / "file").write_text("no folder")
    repository.objects = Objects(str(tmp_path / "file"))
    with pytest.raises(QueueUnavailable, match="the store for what is sent"):
        await repository.send("n", packed(tmp_path, "n"))
    assert await repository.remove("m")  # it is served no more, whatever is left of it
    assert uploads(jobs) == {}


async def test_what_was_replaced_leaves_the_store_a_day_later(
    repository: Repository, jobs: Redis, tmp_path: Path
) -> None:
    """Not what another name has, nor what was sent again."""
    objects = repository.objects
    sent = [("a", "old"), ("a", "shared"), ("b", "shared"), ("a", "back"), ("a", "new"), ("a", "back")]
    places = {text: (await repository.send(name, packed(tmp_path, text))).place for name, text in sent}

    def there() -> set[str]:
        blob_cleanup.tend(jobs, objects, {"results": 60.0}, 10**9)
        return {text for text, place in places.items() if objects.fs.exists(f"{objects.root}/{place}")}

    for place in places.values():
        os.utime(f"{objects.root}/{place}", (0, 0))
    assert there() == {"old", "shared", "back", "new"}  # they were replaced just now
    replaced: Any = jobs.zrange(keys.REPLACED, 0, -1)
    jobs.zadd(keys.REPLACED, dict.fromkeys(replaced, 0.0))
    os.utime(f"{objects.root}/{places['new']}")  # it is being sent again
    assert there() == {"shared", "back", "new"}
    assert jobs.zcard(keys.REPLACED) == 0
