"""Opens a worker in its child process: torch, Redis, its repository of models, heartbeat."""

from __future__ import annotations

import functools
import os
import threading
from pathlib import Path
from typing import Any, cast

import torch
from redis import Redis
from redis.exceptions import RedisError

from workers.datasets.library import Datasets
from workers.engine.arithmetic import settle
from workers.engine.model.recorded_pass import Recorder
from workers.explanation.card import FULL, Precision
from workers.jobs import keys
from workers.jobs.blobs import Objects
from workers.jobs.connection import connect
from workers.jobs.doorbell import ring as ring_bell
from workers.jobs.partials import Partials
from workers.jobs.records import Store
from workers.jobs.signatures import Signer
from workers.jobs.stored_results import Results
from workers.models.kept_cards import KeptCards
from workers.models.reading import Reader
from workers.models.repository import ModelRepository
from workers.runtime.aside import Aside
from workers.runtime.execute.hardware import memory, set_threads
from workers.runtime.execute.model_cache import ModelCache
from workers.runtime.execute.model_support import with_support
from workers.runtime.execute.resources import Stock
from workers.runtime.lanes import Lanes
from workers.runtime.model_versions import began, waits
from workers.runtime.settings import SettingRefused, Settings
from workers.runtime.supervise import heap
from workers.runtime.supervise.heartbeat import CARD_TTL_S, Beat
from workers.runtime.watch import Watch, served
from workers.runtime.wishes import Asked
from workers.runtime.worker import Worker
from workers.telemetry import metrics

SHORT_SINCE = (8, 0)  # the first compute capability that multiplies in tf32 and bfloat16


def open_worker(settings: Settings, name: str) -> Worker:
    """A worker that answers, whose heart beats, and whose models appear as they are read."""
    heap.watch()
    set_threads(settings.torch_threads)
    device, precisions = _settled(settings)
    jobs = connect(settings.redis_url)
    cache = connect(settings.cache_url) if settings.cache_url else jobs
    objects = Objects(settings.objects, settings.objects_from)
    store = Store(jobs, objects)
    ring = functools.partial(ring_bell, jobs)
    repository = _repository(settings, jobs)
    warm = ModelCache(repository, device, settings.model_memory, precisions)

    def describe() -> dict[str, Any]:
        loaded, taken = warm.sizes(), memory(device)
        metrics.MODELS.set(len(loaded))
        for kind, size in taken.items():
            metrics.MEMORY.labels(device, kind).set(size)
        return {"id": name, "pid": os.getpid(), "device": device, "loaded": loaded, "memory": taken}

    def used() -> list[Path]:
        return [one.folder.path for one in repository.versions()]

    aside = Aside()
    beat = Beat(store, repository, describe, ring, aside.full, precisions)
    asked = Asked(jobs, objects, repository.models, settings.model_unpacked, used)
    beat.start()
    Watch(repository, asked, warm.named).start()
    threading.Thread(target=warm.prepare, name="preparing", daemon=True).start()
    signer = Signer.from_file(settings.receipt_key) if settings.receipt_key else None
    results = Results(cache, settings.result_ttl, objects, signer)
    return Worker(
        name=name,
        store=store,
        results=results,
        load=warm.model,
        ring=ring,
        time_limit=settings.time_limit,
        fit_limit=settings.fit_limit,
        serves=settings.queues,
        supply=Stock(Datasets(settings.datasets.absolute()), results, Partials(cache), warm.named, store.input).of,
        tell=beat.once,
        retire=beat.end,
        elsewhere=warm.elsewhere,
        limit=beat.offer,
        aside=aside,
        lanes=Lanes(settings.torch_threads if device == "cpu" else 1, warm.holds),
    )


def _settled(settings: Settings) -> tuple[str, tuple[Precision, ...]]:
    """The device, with what holds of all that is computed there, and the precisions that it bears."""
    device = chosen(settings.device)
    settle(device)
    Recorder.allowed = settings.cuda_graphs
    return device, borne(settings.precision, device)


def _repository(settings: Settings, jobs: Redis) -> ModelRepository:
    models = settings.models.absolute()

    def get(kept: str) -> bytes | None:
        try:
            return cast("bytes | None", jobs.get(keys.card(kept)))
        except RedisError:
            return None

    def put(kept: str, card: bytes) -> None:
        try:
            jobs.set(keys.card(kept), card, ex=CARD_TTL_S)
        except RedisError:
            return  # it is published with the next heartbeat

    reader = Reader(settings.load_limit, with_support, KeptCards(models, get, put))
    return ModelRepository(models, reader, served(settings.serves), began(jobs), waits(jobs))


def chosen(device: str) -> str:
    """The device that "auto" means here; raises SettingRefused where a GPU is named that torch cannot use."""
    there = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if there else "cpu"
    if device.startswith("cuda") and not there:
        why = "sees none: is there one, with its driver?" if torch.version.cuda else "is built without CUDA"
        raise SettingRefused(f"WHENCE_DEVICE is {device}, and torch {torch.__version__} {why}; cpu or auto works here")
    if device.startswith("cuda:") and (torch.device(device).index or 0) >= (count := torch.cuda.device_count()):
        seen = f"cuda:0 to cuda:{count - 1}" if count > 1 else "cuda:0 alone"
        raise SettingRefused(
            f"WHENCE_DEVICE is {device}, and torch sees {seen} (CUDA_VISIBLE_DEVICES counts anew from 0)"
        )
    return device


def borne(precision: Precision, device: str) -> tuple[Precision, ...]:
    """What a worker of that setting computes in, float32 always; raises SettingRefused for what its device has not."""
    if precision == FULL:
        return (FULL,)
    told = f"WHENCE_PRECISION is {precision}, and"
    if precision == "tf32" and not device.startswith("cuda"):
        raise SettingRefused(
            f"{told} this worker computes on the {device}: tf32 is of CUDA alone; take float32 or bfloat16"
        )
    if device.startswith("cuda") and (found := torch.cuda.get_device_capability(device)) < SHORT_SINCE:
        raise SettingRefused(
            f"{told} this GPU (sm_{found[0]}{found[1]}) has no such products, sm_80 is the first; take float32"
        )
    return FULL, precision
