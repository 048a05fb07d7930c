"""Opens a worker in its child process: torch, Redis, models, heartbeat."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable
from typing import Any

import torch

from workers import metrics
from workers.beat import Beat
from workers.connect import connect
from workers.datasets import Datasets
from workers.memory import memory
from workers.objects import Objects
from workers.partial import Partials
from workers.reading import Reader
from workers.resources import Stock
from workers.results import Results
from workers.settings import Settings
from workers.signing import Signer
from workers.store import Store
from workers.warm import Warm
from workers.worker import Worker


def open_worker(settings: Settings, name: str, ring: Callable[[str], None]) -> Worker:
    """A worker that answers, whose heart beats, and whose cards appear as its models load."""
    torch.set_num_threads(settings.torch_threads)
    device = chosen(settings.device)
    warm = Warm(settings.models, device, settings.model_memory, Reader(settings.load_limit))

    def describe() -> dict[str, Any]:
        models, taken = warm.names(), memory(device)
        metrics.MODELS.set(len(models))
        for kind, size in taken.items():
            metrics.MEMORY.labels(device, kind).set(size)
        states = {"ready": warm.folders.ready(), "failed": warm.folders.failed()}
        return {"id": name, "pid": os.getpid(), "device": device, "models": models, "memory": taken, **states}

    jobs = connect(settings.redis_url)
    cache = connect(settings.cache_url) if settings.cache_url else jobs
    Beat(jobs, describe).start(warm.each)
    threading.Thread(target=importlib.import_module, args=("workers.engine.readied",), daemon=True).start()
    objects = Objects(settings.objects, settings.objects_from)
    signer = Signer.from_file(settings.receipt_key) if settings.receipt_key else None
    results = Results(cache, settings.result_ttl, objects, signer)
    return Worker(
        name=name,
        store=Store(jobs, objects),
        results=results,
        load=warm.model,
        ring=ring,
        time_limit=settings.time_limit,
        fit_limit=settings.fit_limit,
        serves=settings.queues,
        supply=Stock(Datasets(settings.datasets.absolute()), results, Partials(cache), warm.named).of,
    )


def chosen(device: str) -> str:
    """The device that "auto" means here."""
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"
