"""The API and a worker of one model on a real Redis, for tests that go through both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from redis import Redis

from service.app import create_app
from service.queue import connection
from service.queue.queue import Queue
from service.queue.served import Served
from service.settings import Settings
from tests.patience import PATIENCE_S
from workers.datasets.library import Datasets
from workers.engine.model.function import Function
from workers.jobs.partials import Partials
from workers.jobs.records import Store
from workers.jobs.stored_results import Results
from workers.runtime.execute.resources import Stock
from workers.runtime.worker import Worker


@asynccontextmanager
async def patient_queue(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Queue]:
    """On a Redis that answers, if slowly on a slow machine."""
    for patience in ("WAIT_S", "ANSWER_S"):
        monkeypatch.setattr(connection, patience, PATIENCE_S)
    async with Queue(url) as queue:
        yield queue


@asynccontextmanager
async def serving(
    queue: Queue, model: Function, datasets: Datasets, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app that knows this model, as a worker would have told it."""
    monkeypatch.setattr(queue, "models", lambda: Served({model.card.name: model.published}, workers=1))
    app = create_app(Settings(log_level="CRITICAL", datasets=datasets.folder), queue)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whence") as client:
        yield client


def worker_of(model: Function, store: Store, results: Results, datasets: Datasets, jobs: Redis) -> Worker:
    """A worker that answers when the test tells it to."""
    stock = Stock(datasets, results, Partials(jobs), lambda _: model)
    return Worker("w1", store, results, lambda _: model, lambda _: None, time_limit=60, supply=stock.of)
