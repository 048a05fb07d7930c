"""A Whence on a real port, over a queue that a test fills."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.app import create_app
from service.settings import Settings
from tests.service.fakes import FakeQueue
from tests.service.live import serving
from whence import Client


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def url(queue: FakeQueue) -> Iterator[str]:
    with serving(create_app(Settings(log_level="CRITICAL"), queue)) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, patience=20) as client:
        yield client
