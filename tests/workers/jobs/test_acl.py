"""The API and a worker under the Redis rules of docs/security.md: all works, and Redis refuses nothing."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import NoPermissionError

from service.cli.local.redis_binary import free_port
from service.explanations.webhooks import Webhooks
from service.queue.admission import Caps
from service.queue.queue import Queue
from service.queue.status import Status
from service.queue.storage import Input
from service.queue.submission import Order
from service.settings import Settings
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer
from tests.tree import ROOT
from workers.contract import Job, digest_image, parse_method
from workers.explanation.target import RankTarget

OLD = ["+client|setinfo", "+client|maint_notifications"]  # Redis 6.2 does not know them, and logs their refusal
NEW = ["+client|setinfo"]
SECONDS_LONG = {"name": "smooth_grad", "samples": 30, "of": {"name": "integrated_gradients", "steps": 50}}


def rules() -> dict[str, list[str]]:
    """By user, as the page on security gives them."""
    page = (ROOT / "docs" / "security.md").read_text()
    return {name: given.split() for name, given in re.findall(r"^user (\w+) (.+)$", page, re.MULTILINE)}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, port=free_port())
    try:
        version = tuple(map(int, server.client.info("server")["redis_version"].split(".")[:2]))
        for name, given in rules().items():
            newer = OLD if version < (7, 0) else NEW if version >= (7, 2) else []
            server.client.execute_command("ACL", "SETUSER", name, *given, *newer, ">secret")  # type: ignore[no-untyped-call]
        yield server
    finally:
        server.stop()


def url(server: RedisServer, user: str) -> str:
    return server.url.replace("redis://", f"redis://{user}:secret@")


def order(queue: Queue, method: object, **fields: object) -> Order:
    data = (ROOT / "examples" / "7.png").read_bytes()
    model, target = queue.cards()["digits"].digest, RankTarget(rank=0)
    job = Job(model=model, input=digest_image(data), target=target, method=parse_method(method))
    return Order(job, "digits", Input(digest_image(data), "image", data), **fields)  # type: ignore[arg-type]


async def state(queue: Queue, asked: Order, *wanted: str) -> Status:
    async with asyncio.timeout(PATIENCE_S):
        while (status := await queue.status(asked.job.id)) is None or status.status not in wanted:
            await asyncio.sleep(0.05)
    return status


async def worked(server: RedisServer, worker: subprocess.Popen[bytes]) -> None:
    settings = Settings(redis_url=url(server, "api"), webhook_secret="m" * 32, webhook_inside=True)
    async with Queue(settings.redis_url, caps=Caps(rate=10.0)) as queue, Webhooks(queue, settings) as hooks:
        async with asyncio.timeout(PATIENCE_S):
            while "digits" not in queue.cards() or not queue.workers():
                await asyncio.sleep(0.05)
        quick, long = order(queue, "lrp"), order(queue, SECONDS_LONG, caller="a")
        await queue.submit([quick], wait=5)
        async with queue.attached([quick.job.id], "", 5):
            assert (await queue.wait([quick.job.id], PATIENCE_S))[0].status == "succeeded"  # type: ignore[union-attr]
        assert await queue.read(quick.job.id, "attribution", "input")
        await queue.submit([order(queue, "lrp", recompute=True)])
        await state(queue, quick, "succeeded")
        await hooks.register("http://127.0.0.1:9/", [quick.job.id, long.job.id], "a")
        await queue.submit([long])
        await state(queue, long, "running")
        assert await queue.withdraw(long.job.id, "a") == "withdrawn"
        await state(queue, long, "cancelled")
        assert len((await queue.listing(None, None, 10, None)).statuses) == 2
        await queue.submit([order(queue, SECONDS_LONG)])
        await state(queue, long, "running")
        worker.terminate()  # it hands the work back
        assert await asyncio.to_thread(worker.wait, PATIENCE_S) == 0
        await asyncio.sleep(1.2)


@pytest.mark.slow
async def test_nothing_that_whence_does_is_refused(server: RedisServer, tmp_path: Path) -> None:
    told = {"WHENCE_REDIS_URL": url(server, "worker"), "WHENCE_MODELS": str(ROOT / "models"), "WHENCE_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "workers"]
    log = tmp_path / "worker.log"  # not a pipe, which the worker's own children would keep open
    with log.open("wb") as said:
        worker = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **told}, stderr=said, stdout=said)
    try:
        await worked(server, worker)
    finally:
        worker.kill()
        worker.wait()
        refused = server.client.acl_log()
    assert refused == []
    assert b"secret" not in log.read_bytes()  # the URL's password


@pytest.mark.parametrize(
    "command",
    [["FLUSHALL"], ["CONFIG", "GET", "*"], ["KEYS", "*"], ["GET", "other"], ["ACL", "LIST"], ["SHUTDOWN", "NOSAVE"]],
)
@pytest.mark.parametrize("user", ["api", "worker"])
def test_nothing_else_is_allowed(server: RedisServer, user: str, command: list[str]) -> None:
    server.client.auth("secret", user)
    with pytest.raises(NoPermissionError, match=r"permission"):
        server.client.execute_command(*command)  # type: ignore[no-untyped-call]
