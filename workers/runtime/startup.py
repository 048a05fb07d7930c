"""Opens a worker in its child process: torch, Redis, models, heartbeat."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable
from typing import Any

import torch

from workers.datasets.library import Datasets
from workers.jobs.blobs import Objects
from workers.jobs.connection import connect
from workers.jobs.partials import Partials
from workers.jobs.records import Store
from workers.jobs.signatures import Signer
from workers.jobs.stored_results import Results
from workers.models.reading import Reader
from workers.runtime.execute.hardware import memory
from workers.runtime.execute.model_cache import ModelCache
from workers.runtime.execute.resources import Stock
from workers.runtime.settings import Settings
from workers.runtime.supervise.heartbeat import Beat
from workers.runtime.worker import Worker
from workers.telemetry import metrics


def open_worker(settings: Settings, name: str, ring: Callable[[str], None]) -> Worker:
    """A worker that answers, whose heart beats, and whose cards appear as its models load."""
    torch.set_num_threads(settings.torch_threads)
    device = chosen(settings.device)
    warm = ModelCache(settings.models, device, settings.model_memory, Reader(settings.load_limit))

    def describe() -> dict[str, Any]:
        models, taken = warm.names(), memory(device)
        metrics.MODELS.set(len(models))
        for kind, size in taken.items():
            metrics.MEMORY.labels(device, kind).set(size)
        states = {"ready": warm.repository.ready(), "failed": warm.repository.failed()}
        return {"id": name, "pid": os.getpid(), "device": device, "models": models, "memory": taken, **states}

    jobs = connect(settings.redis_url)
    cache = connect(settings.cache_url) if settings.cache_url else jobs
    Beat(jobs, describe).start(warm.each)
    threading.Thread(target=importlib.import_module, args=("workers.models.export.warm_up",), daemon=True).start()
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
