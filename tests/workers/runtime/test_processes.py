"""The queue, a Celery worker in processes of its own, Redis and the digits model, from end to end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from service.queue.queue import Queue
from service.queue.status import Status
from service.queue.storage import Input
from service.queue.submission import Order
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer
from tests.tree import ROOT
from workers.explanation.target import RankTarget
from workers.explanation.tensors import digest_image
from workers.jobs.job import Job
from workers.methods.method import parse_method

SECONDS_LONG = {"name": "smooth_grad", "samples": 30, "of": {"name": "integrated_gradients", "steps": 50}}


def start_worker(server: RedisServer) -> subprocess.Popen[bytes]:
    ours = {"WHENCE_REDIS_URL": server.url, "WHENCE_MODELS": str(ROOT / "models"), "WHENCE_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-W", "ignore", "-m", "workers"], cwd=ROOT, env={**os.environ, **ours})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def worker(server: RedisServer) -> Iterator[subprocess.Popen[bytes]]:
    server.client.flushall()
    process = start_worker(server)
    yield process
    process.kill()
    process.wait()


@asynccontextmanager
async def ready(server: RedisServer) -> AsyncIterator[Queue]:
    """A queue once the worker lives and has published the card of the digits."""
    async with Queue(server.url) as queue:
        while "digits" not in queue.cards() or not queue.workers():
            await asyncio.sleep(0.05)
        yield queue


def order(queue: Queue, digit: int, method: object) -> Order:
    data = (ROOT / "examples" / f"{digit}.png").read_bytes()
    digest = digest_image(data)
    model = queue.cards()["digits"].digest
    job = Job(model=model, input=digest, target=RankTarget(rank=0), method=parse_method(method))
    return Order(job, "digits", Input(digest, "image", data))


async def until_running(queue: Queue, asked: Order) -> None:
    await queue.submit([asked])
    while (status := await queue.status(asked.job.id)) is None or status.status != "running":
        await asyncio.sleep(0.01)


async def final(queue: Queue, asked: Order) -> Status:
    (status,) = await queue.wait([asked.job.id], PATIENCE_S)
    assert status is not None
    return status


async def test_a_digit_is_explained(server: RedisServer, worker: subprocess.Popen[bytes]) -> None:
    async with ready(server) as queue:
        orders = [order(queue, 7, name) for name in ("predict", "gradient", "lrp")]
        await queue.submit(orders)
        found = await queue.wait([each.job.id for each in orders], PATIENCE_S)
        assert [status and status.status for status in found] == ["succeeded"] * 3
        for each in orders:
            meta = await queue.meta(each.job.id)
            assert meta is not None
            assert (meta["prediction"][0]["label"], meta["target"]["label"]) == ("7", "7")
        assert "torch" not in Path(f"/proc/{worker.pid}/maps").read_text()  # the parent must stay fit for forking


@pytest.mark.slow
async def test_a_killed_worker_loses_nothing(server: RedisServer, worker: subprocess.Popen[bytes]) -> None:
    async with ready(server) as queue:
        asked = order(queue, 3, SECONDS_LONG)
        await until_running(queue, asked)
        os.kill(queue.workers()[0]["pid"], signal.SIGKILL)
        status = await final(queue, asked)
        assert (status.status, status.attempts) == ("succeeded", 2)


@pytest.mark.slow
async def test_a_worker_that_is_asked_to_end_finishes_or_hands_back(
    server: RedisServer, worker: subprocess.Popen[bytes]
) -> None:
    async with ready(server) as queue:
        asked = order(queue, 4, SECONDS_LONG)
        await until_running(queue, asked)
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait, PATIENCE_S) == 0
        left = await queue.status(asked.job.id)
        assert left is not None
        assert (left.status, left.attempts) in (("succeeded", 1), ("queued", 0))
        with start_worker(server) as another:
            status = await final(queue, asked)
            another.terminate()
        assert (status.status, status.attempts) == ("succeeded", 1)


@pytest.mark.slow
async def test_a_worker_outlives_a_restart_of_redis(server: RedisServer, worker: subprocess.Popen[bytes]) -> None:
    async with ready(server) as queue:
        asked = order(queue, 5, "gradient")
        server.kill()
        await asyncio.sleep(1)
        server.start()
        await queue.submit([asked])
        assert (await final(queue, asked)).status == "succeeded"
