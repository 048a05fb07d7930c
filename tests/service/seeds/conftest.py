"""A client of a whole Whence that serves what the test module's `models()` gives, started once for the module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.redis_server import RedisServer
from tests.service.whole import whole
from whence import Client


@pytest.fixture(scope="module")
def client(
    request: pytest.FixtureRequest, _server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    _server.client.flushall()
    folder = tmp_path_factory.mktemp("datasets")
    with whole(request.module.models(), _server.url, folder) as url, Client(url, patience=60) as client:
        yield client
