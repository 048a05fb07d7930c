"""The app in this process, over a fake queue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO

import httpx
import pytest
from PIL import Image

from service.app import create_app
from service.settings import Settings
from tests.service.fakes import FakeQueue


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def settings() -> Settings:
    return Settings(body_limit=100_000, pixel_limit=10_000, log_level="CRITICAL")


@pytest.fixture
async def client(queue: FakeQueue, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(settings, queue))
    async with httpx.AsyncClient(transport=transport, base_url="http://whence") as client:
        yield client


@pytest.fixture
def png() -> bytes:
    """A grey image of 8 by 8 pixels."""
    out = BytesIO()
    Image.new("L", (8, 8), 128).save(out, "PNG")
    return out.getvalue()
