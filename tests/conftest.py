"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator

import pytest
from redis import Redis

from service.queue.queue import Queue
from tests import skipped
from tests.orders import serving
from tests.redis_server import RedisServer
from tests.service.through_redis import patient_queue
from workers.jobs.records import Store
from workers.jobs.stored_results import Results


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--last-bits", action="store_true", help="float32 kernels of another processor")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if line := skipped.told(terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The zoo first: no other file takes as long, and who begins it last is waited for."""
    items.sort(key=lambda item: "zoo" not in item.path.parts)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if not item.config.getoption("--last-bits"):
        return (yield)
    from tests.last_bits import another_processor

    with another_processor():
        return (yield)


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
async def queue(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Queue]:
    """The API's side, on a Redis that answers, if slowly on a slow machine."""
    async with patient_queue(redis_server.url, monkeypatch) as queue:
        yield queue


@pytest.fixture
def jobs(redis_server: RedisServer) -> Iterator[Redis]:
    with Redis.from_url(redis_server.url) as client:
        yield client


@pytest.fixture
def store(jobs: Redis) -> Store:
    """The worker's side: it serves the model of `tests.orders`."""
    return serving(Store(jobs))


@pytest.fixture
def results(jobs: Redis) -> Results:
    return Results(jobs, ttl=60)
