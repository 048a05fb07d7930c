"""The events of an explanation: the current state first, nothing twice, nothing missed, an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.app import create_app
from service.explanations import event_stream
from service.explanations.event_stream import told
from service.queue.connection import QueueUnavailable
from service.queue.queue import Queue
from service.queue.status import Problem, Progress, Status
from service.settings import Settings
from tests.orders import a_row, claimed, order
from tests.redis_server import RedisServer
from tests.service.connection import Connection, Told, all_told
from tests.service.fakes import FakeQueue
from workers.explanation.tensors import encode_npy
from workers.jobs.records import Store
from workers.jobs.stored_results import Finished, Results

KEY = "0" * 64
URL = f"/api/v1/explanations/{KEY}/events"


def progress(done: int, total: int = 10) -> Progress:
    return Progress(done=done, total=total, unit="steps")


@pytest.fixture
def app(queue: FakeQueue, settings: Settings) -> FastAPI:
    return create_app(settings, queue)


async def test_a_job_is_followed_from_the_queue_to_its_end(app: FastAPI, queue: FakeQueue) -> None:
    queue.put(KEY, "queued", position=3)
    async with Connection(app, "GET", URL) as connection:
        first = await connection.event()
        assert first[:2] == ("queued", {"position": 3})
        assert connection.headers["content-type"].startswith("text/event-stream")
        assert connection.headers["cache-control"] == "no-cache"
        queue.put(KEY, "queued", position=0)
        assert (await connection.event())[:2] == ("queued", {"position": 0})
        queue.put(KEY, "running", started_at=1.7e9 + 1, attempts=1)
        assert (await connection.event())[:2] == (
            "started",
            {"started_at": "2023-11-14T22:13:21.000Z", "attempts": 1},
        )
        queue.put(KEY, "running", started_at=1.7e9 + 1, attempts=1, progress=progress(4))
        assert (await connection.event())[:2] == ("progress", {"done": 4, "total": 10, "unit": "steps"})
        queue.put(KEY, "succeeded", finished_at=1.7e9 + 2)
        name, document, _ = await connection.event()
        assert (name, document["status"]) == ("succeeded", "succeeded")
        assert document["links"]["self"] == URL.removesuffix("/events")
        assert await connection.ended()


async def test_the_current_state_comes_first(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    queue.put(KEY, "failed", Problem(code="out_of_memory", detail="it did not fit"), finished_at=1.7e9)
    (event,) = all_told((await client.get(URL)).text)
    assert (event.name, event.data["error"]["code"]) == ("failed", "out_of_memory")
    queue.put(KEY, "cancelled", finished_at=1.7e9)
    (event,) = all_told((await client.get(URL)).text)
    assert event.name == "cancelled"


async def test_a_client_that_comes_back_is_told_what_is_new(app: FastAPI, queue: FakeQueue) -> None:
    queue.put(KEY, "running", started_at=1.7e9 + 1, attempts=1, progress=progress(4))
    async with Connection(app, "GET", URL) as connection:
        assert (await connection.event()).name == "started"
        seen = await connection.event()
        assert seen.name == "progress"
    async with Connection(app, "GET", URL, last_event_id=seen.id) as connection:
        assert await connection.started() == 200
        queue.put(KEY, "running", started_at=1.7e9 + 1, attempts=1, progress=progress(5))
        event = await connection.event()
        assert (event.name, event.data["done"]) == ("progress", 5)
    queue.put(KEY, "succeeded", finished_at=1.7e9 + 2)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whence") as client:
        (last,) = all_told((await client.get(URL, headers={"last-event-id": seen.id})).text)
        assert last.name == "succeeded"
        again = await client.get(URL, headers={"last-event-id": last.id})
        assert (again.status_code, again.content) == (204, b"")  # an EventSource then stays away


def running(since: float, done: int | None = None) -> Status:
    return Status(id=KEY, status="running", started_at=since, progress=None if done is None else progress(done))


STATES = [
    Status(id=KEY, status="queued", created_at=1.0, position=1),
    Status(id=KEY, status="queued", created_at=1.0, position=0),
    running(2.0),
    running(2.0, 3),
    running(2.0, 4),
    Status(id=KEY, status="queued", created_at=1.0, position=0),
    running(5.0),
    running(5.0, 3),
    Status(id=KEY, status="succeeded", created_at=1.0, finished_at=6.0),
]


@pytest.mark.parametrize("missed", range(len(STATES)))
def test_wherever_a_client_left_it_is_told_each_change_once(missed: int) -> None:
    """One that saw the states up to some, and came back for the others, gets what one that stayed gets."""

    def events(states: list[Status], seen: str | None) -> tuple[list[tuple[str | None, str | None]], str | None]:
        found = []
        for state in states:
            for event in told(state, seen):
                found.append((event.event, event.id))
                seen = event.id
        return found, seen

    whole, _ = events(STATES, None)
    before, seen = events(STATES[: missed + 1], None)
    after, _ = events(STATES[missed:], seen)
    assert before + after == whole
    assert len(whole) == len(STATES)


@pytest.mark.parametrize("since", [2.0, 5.0])
def test_one_that_comes_back_to_another_run_is_told_that_it_started(since: float) -> None:
    seen = told(running(2.0, 4), None)[-1].id
    assert [event.event for event in told(running(since, 5), seen)] == ["started", "progress"][since == 2.0 :]


@pytest.mark.parametrize(("key", "status", "code"), [(KEY, 404, "not_found"), ("7", 404, "not_found")])
async def test_an_unknown_id_is_not_found(client: httpx.AsyncClient, key: str, status: int, code: str) -> None:
    answer = await client.get(f"/api/v1/explanations/{key}/events")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_what_is_stored_no_longer_is_gone(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    queue.put(KEY, "expired")
    answer = await client.get(URL)
    assert (answer.status_code, answer.json()["code"]) == (410, "result_expired")
    queue.alive = False
    answer = await client.get(URL)
    assert (answer.status_code, answer.json()["code"]) == (503, "queue_unavailable")


async def test_a_stream_bears_that_what_is_shown_cannot_be_looked_for(
    app: FastAPI, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([QueueUnavailable("away"), None])

    async def has_preview(_: str) -> bool:
        if (away := next(looks, None)) is not None:
            raise away
        return False

    monkeypatch.setattr(queue, "has_preview", has_preview)
    monkeypatch.setattr(event_stream, "POLL_S", 0.01)
    queue.put(KEY, "running", started_at=1.7e9 + 1, attempts=1, progress=progress(4))
    async with Connection(app, "GET", URL) as connection:
        assert [(await connection.event()).name for _ in range(3)] == ["comment", "started", "progress"]


async def test_an_open_stream_counts_as_one_who_waits(app: FastAPI, queue: FakeQueue) -> None:
    queue.put(KEY, "queued", position=0)
    async with Connection(app, "GET", URL) as one, Connection(app, "GET", URL) as other:
        await one.event()
        await other.event()
        assert queue.open == [(KEY, "")] * 2
        await one.leave()
        assert queue.open == [(KEY, "")]
    assert queue.open == []
    assert queue.waiting() == 0


async def test_a_silent_stream_is_kept_alive(app: FastAPI, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.05)
    queue.put(KEY, "queued", position=0)
    async with Connection(app, "GET", URL) as connection:
        await connection.event()
        assert await connection.event() == Told("comment", "ping")


async def test_what_vanishes_on_the_way_ends_the_stream(app: FastAPI, queue: FakeQueue) -> None:
    queue.put(KEY, "queued", position=0)
    async with Connection(app, "GET", URL) as connection:
        await connection.event()
        del queue.known[KEY]
        event = await connection.event()
        assert (event.name, event.data["error"]["code"]) == ("failed", "result_expired")
        assert await connection.ended()


@pytest.fixture
async def real(redis_server: RedisServer) -> AsyncIterator[tuple[FastAPI, Queue]]:
    async with Queue(redis_server.url) as queue:
        yield create_app(Settings(log_level="CRITICAL"), queue), queue


async def test_the_events_of_a_real_job(
    real: tuple[FastAPI, Queue], store: Store, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "POLL_S", 60)  # what comes has to come by pub/sub
    app, queue = real
    asked = order()
    await queue.submit([asked])
    place = f"/api/v1/explanations/{asked.job.id}/events"
    async with Connection(app, "GET", place) as one, Connection(app, "GET", place) as other:

        async def next_names() -> set[str]:
            return {(await connection.event()).name for connection in (one, other)}

        assert await next_names() == {"queued"}
        claimed(store, asked.job.group)
        assert await next_names() == {"started"}
        store.report([asked.job.id], 3, 10, "steps")
        assert await next_names() == {"progress"}
        row = a_row()
        results.save(asked.job.id, Finished({"kind": row.kind}, {k: encode_npy(v) for k, v in row.arrays.items()}))
        store.finish(asked.job.id, "w")
        assert await next_names() == {"succeeded"}
        assert await one.ended()
        assert await other.ended()
        subscribers: Any = store.jobs.pubsub_numsub("whence:events")
        assert subscribers[0][1] == 1


async def test_a_stream_outlives_an_absence_of_redis(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "POLL_S", 0.1)
    server = RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    try:
        async with Queue(server.url) as queue:
            app = create_app(Settings(log_level="CRITICAL"), queue)
            asked = order()
            await queue.submit([asked])
            async with Connection(app, "GET", f"/api/v1/explanations/{asked.job.id}/events") as connection:
                assert (await connection.event()).name == "queued"
                server.kill()
                assert (await connection.event()).name == "comment"
                await asyncio.to_thread(server.start)
                while (event := await connection.event()).name == "comment":
                    pass
                assert event.name == "queued"
    finally:
        server.stop()
