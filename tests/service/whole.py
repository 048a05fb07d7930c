"""A whole Whence in this process: the API on a port, its queue on a real Redis, and a worker in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from service.app import create_app
from service.queue.queue import Queue
from service.queue.served import Served
from service.settings import Settings
from tests.orders import serving as offering
from tests.service.live import serving
from workers.datasets.library import Datasets
from workers.engine.model.function import Function
from workers.jobs import keys
from workers.jobs.partials import Partials
from workers.jobs.records import Store
from workers.jobs.stored_results import Results
from workers.runtime.execute.resources import Stock
from workers.runtime.worker import Worker

PAUSE_S = 0.02


@contextmanager
def whole(models: Mapping[str, Function], redis_url: str, folder: Path) -> Iterator[str]:
    """Its URL, under which it serves models of different digests by these names."""
    cards = {name: model.published.model_copy(update={"name": name}) for name, model in models.items()}
    loaded = {model.card.digest: model for model in models.values()}
    datasets, over = Datasets(folder), threading.Event()
    with Redis.from_url(redis_url) as jobs, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Queue, "models", lambda _: Served(cards, workers=1))
        results = Results(jobs, ttl=600)
        store = offering(Store(jobs), *loaded)
        stock = Stock(datasets, results, Partials(jobs), {**models, **loaded}.__getitem__, store.input)
        worker = Worker("w1", store, results, lambda work: loaded[work.job.model], lambda _: None, 60, stock.of)

        def work() -> None:
            while not over.wait(PAUSE_S):
                for bell in keys.PRIORITIES:
                    worker.answer(bell)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            with serving(
                create_app(Settings(log_level="CRITICAL", redis_url=redis_url, datasets=datasets.folder))
            ) as url:
                yield url
        finally:
            over.set()
            thread.join()
