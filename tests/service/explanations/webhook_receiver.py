"""What the tests beside share."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from service.explanations.webhooks import Webhooks
from service.settings import Settings
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer
from tests.service.fakes import FakeQueue

MASTER = "m" * 32
HOOK = "https://hooks.example/a?b=1"


class Receiver(httpx.AsyncBaseTransport):
    """Answers with the statuses it was given, then 204; an exception is raised."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.asked.append(request)
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer, headers={"location": "http://127.0.0.1/"})


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    async def found(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)


@asynccontextmanager
async def opened(server: RedisServer, queue: FakeQueue, receiver: Receiver, **fields: Any) -> AsyncIterator[Webhooks]:
    settings = Settings(redis_url=server.url, webhook_secret=MASTER, **fields)
    async with Webhooks(queue, settings, receiver) as hooks:
        yield hooks


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.01)
