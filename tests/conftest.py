"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from redis import Redis

from service.queue import Queue
from tests.redis_server import RedisServer
from workers.results import Results
from workers.store import Store


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def redis_server(_server: RedisServer) -> RedisServer:
    """A real Redis, empty."""
    _server.client.flushall()
    return _server


@pytest.fixture
async def queue(redis_server: RedisServer) -> AsyncIterator[Queue]:
    """The API's side."""
    async with Queue(redis_server.url) as queue:
        yield queue


@pytest.fixture
def jobs(redis_server: RedisServer) -> Iterator[Redis]:
    with Redis.from_url(redis_server.url) as client:
        yield client


@pytest.fixture
def store(jobs: Redis) -> Store:
    """The worker's side."""
    return Store(jobs)


@pytest.fixture
def results(jobs: Redis) -> Results:
    return Results(jobs, ttl=60)
