"""The API's process ends when it is told to: whoever waits is let go, and whatever is queued stays queued."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import httpx
import pytest

from service.cli.local.redis_binary import free_port
from service.queue.queue import Queue
from tests.orders import order
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer
from tests.tree import ROOT


@pytest.fixture
async def api(redis_server: RedisServer) -> AsyncIterator[tuple[subprocess.Popen[bytes], httpx.AsyncClient]]:
    port = free_port()
    ours = {"WHENCE_REDIS_URL": redis_server.url, "WHENCE_LOG_LEVEL": "ERROR"}
    command = [sys.executable, "-m", "service", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **ours})
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE_S) as client:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    await client.get("/healthz")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        yield process, client
    process.kill()
    process.wait()


async def test_open_streams_and_waits_do_not_keep_it(
    api: tuple[subprocess.Popen[bytes], httpx.AsyncClient], redis_server: RedisServer
) -> None:
    (process, client), asked = api, order()
    async with Queue(redis_server.url) as queue:
        await queue.submit([asked])
        await _ended(process, client, f"/api/v1/explanations/{asked.job.id}")
        status = await queue.status(asked.job.id)
        assert status is not None
        assert status.status == "queued"


async def _ended(process: subprocess.Popen[bytes], client: httpx.AsyncClient, place: str) -> None:
    waiting = asyncio.create_task(client.get(f"{place}?wait=30"))
    async with client.stream("GET", f"{place}/events") as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "event: queued"
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            assert "" in [line async for line in lines]
            answer = await waiting
            assert (answer.status_code, answer.json()["status"]) == (200, "queued")
            await asyncio.to_thread(process.wait)
