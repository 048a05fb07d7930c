"""Withdrawing: by DELETE, and by going away while waiting."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.app import create_app
from service.queue.queue import Queue
from service.settings import Settings
from tests.orders import order
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer
from tests.service.connection import Connection
from tests.service.fakes import FakeQueue

KEY = "0" * 64
URL = f"/api/v1/explanations/{KEY}"


@pytest.fixture
def app(queue: FakeQueue, settings: Settings) -> FastAPI:
    return create_app(settings, queue)


async def test_withdrawn_work_says_so(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    queue.put(KEY, "queued", position=4)
    answer = await client.delete(URL)
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    assert answer.headers["location"] == URL
    assert queue.withdrawn == [(KEY, "")]
    assert "retry-after" not in answer.headers


async def test_work_that_another_waits_for_goes_on(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    queue.put(KEY, "running")
    async with queue.attached([KEY], "another", 9):
        answer = await client.delete(URL)
    assert (answer.status_code, answer.json()["status"]) == (202, "running")


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled", "expired"])
async def test_what_is_finished_cannot_be_withdrawn(client: httpx.AsyncClient, queue: FakeQueue, state: Any) -> None:
    queue.put(KEY, state)
    answer = await client.delete(URL)
    assert (answer.status_code, answer.json()["code"]) == (409, "already_finished")
    assert state in answer.json()["detail"]


@pytest.mark.parametrize("key", [KEY, "7"])
async def test_what_is_unknown_cannot_be_withdrawn(client: httpx.AsyncClient, key: str) -> None:
    answer = await client.delete(f"/api/v1/explanations/{key}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def until_waiting(queue: FakeQueue, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while queue.waiting() != count:
            await asyncio.sleep(0.005)


BODY = b'{"model": "digits", "input": {"tensor": {"shape": [1, 8, 8], "data": [' + b"0," * 63 + b"0]}}}"


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("GET", f"{URL}?wait=60", b""),
        ("GET", f"{URL}/heatmap.png?wait=60", b""),
        ("POST", "/api/v1/explanations", BODY),
    ],
)
async def test_a_wait_ends_when_its_client_goes(
    app: FastAPI, queue: FakeQueue, method: str, url: str, body: bytes
) -> None:
    """At once, and nothing of it is left: no task, no place in a list, no connection that counts."""
    queue.put(KEY, "running")
    queue.runs_at_once = False
    queue.waits = True
    before = asyncio.all_tasks()
    async with Connection(app, method, url, body, content_type="application/json", prefer="wait=60") as connection:
        await until_waiting(queue, 1)
        await connection.leave()
        assert queue.waiting() == 0
        assert queue.open == []
        assert asyncio.all_tasks() == before
        assert await connection.started() == 499


async def test_a_wait_counts_as_one_who_waits(app: FastAPI, queue: FakeQueue) -> None:
    queue.put(KEY, "running")
    queue.waits = True
    async with Connection(app, "GET", f"{URL}?wait=60") as connection:
        await until_waiting(queue, 1)
        assert queue.open == [(KEY, "")]
        queue.put(KEY, "cancelled")
        assert await connection.started() == 200
        assert queue.open == []


async def test_the_last_to_go_ends_the_work(redis_server: RedisServer) -> None:
    """The caller withdraws while two of its connections are open: the job ends when the second has gone."""
    async with Queue(redis_server.url) as queue:
        asked = order()
        await queue.submit([asked])
        app = create_app(Settings(log_level="CRITICAL"), queue)
        place = f"/api/v1/explanations/{asked.job.id}"

        async def state() -> str:
            status = await queue.status(asked.job.id)
            assert status is not None
            return status.status

        async with Connection(app, "GET", f"{place}/events") as one, Connection(app, "GET", f"{place}/events") as other:
            assert {(await one.event()).name, (await other.event()).name} == {"queued"}
            async with Connection(app, "DELETE", place) as withdrawal:
                assert await withdrawal.started() == 202
            assert await state() == "queued"
            await one.leave()
            assert await state() == "queued"
            await other.leave()
            assert await state() == "cancelled"
        async with Connection(app, "GET", f"{place}/events") as late:
            assert (await late.event()).name == "cancelled"
        async with Connection(app, "DELETE", place) as again:
            assert await again.started() == 409
        await queue.submit([asked])
        assert await state() == "queued"
