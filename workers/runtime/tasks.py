"""The Celery task, and what a worker's processes do when they start and end: thin. The child alone opens torch."""

from __future__ import annotations

import functools
import os
import socket
from typing import TYPE_CHECKING, Any, cast

import orjson
import structlog
from celery.signals import (
    setup_logging,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutting_down,
)

from workers.jobs import keys
from workers.jobs.blobs import Kind, Objects
from workers.jobs.connection import connect
from workers.jobs.doorbell import RING, consumer
from workers.jobs.doorbell import ring as ring_bell
from workers.jobs.records import Store
from workers.models import reading
from workers.runtime import openmp
from workers.runtime.settings import SettingRefused, Settings
from workers.runtime.supervise import (
    activity,
    billiard_exit_fix,
    blob_cleanup,
    kombu_ack_fix,
    reconciler,
    shutdown,
    watchdog,
)
from workers.telemetry import metrics, tracing
from workers.telemetry.log import adopt, configure

if TYPE_CHECKING:
    from workers.runtime.worker import Worker

log = structlog.get_logger()
settings = Settings()
app = consumer(settings.redis_url)
kombu_ack_fix.apply()
billiard_exit_fix.apply()
_worker: Worker | None = None


@app.task(name=RING)  # type: ignore[untyped-decorator]
def ring(bell: str) -> None:
    """Work of this priority waits."""
    from workers.engine.device import DeviceLost
    from workers.runtime.execute import faults

    assert _worker is not None
    activity.note()
    try:
        _worker.answer(bell)
    except DeviceLost:
        faults.end()
    except MemoryError:
        # Celery would end the whole worker; as it is the leases lapse, and the work is tried again.
        log.exception("memory ran out between two methods")


@setup_logging.connect  # type: ignore[untyped-decorator]
def _log(**_: Any) -> None:
    configure(settings.log_level, as_json=settings.log_json)
    adopt(settings.log_level, as_json=settings.log_json)


@worker_ready.connect  # type: ignore[untyped-decorator]
def _parent_ready(**_: Any) -> None:
    store = Store(connect(settings.redis_url))
    name = f"{socket.gethostname()}-{os.getpid()}"
    reconciler.start(store, name, functools.partial(ring_bell, store.jobs))
    ttl: dict[Kind, float] = {"results": settings.result_ttl, "inputs": settings.input_ttl}
    blob_cleanup.start(store.jobs, name, Objects(settings.objects, settings.objects_from), ttl, settings.objects_space)
    if settings.metrics_port is not None:
        metrics.serve(settings.metrics_host, settings.metrics_port)
    watchdog.start(lambda: store.waiting(settings.queues.split(","), profile_of(store, name)))


def profile_of(store: Store, name: str) -> str:
    """What the worker of that name serves, as its child said last; all that waits is its work where it said nothing."""
    told = cast("bytes | None", store.jobs.get(keys.worker(name)))
    return str(orjson.loads(told)["profile"]) if told else ""


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _parent_ends(**_: Any) -> None:
    shutdown.request()


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _child_starts(**_: Any) -> None:
    activity.opening()
    openmp.settle()
    global _worker
    try:
        if settings.traces:
            tracing.start("whence-worker")
        reading.warm_up(settings.models.absolute(), "workers.runtime.execute.warm_up")
        from workers.runtime.startup import open_worker

        _worker = open_worker(settings, f"{socket.gethostname()}-{os.getppid()}")
    except SettingRefused as why:
        log.critical("the worker cannot start", reason=str(why))
        activity.fail()
    except Exception:
        log.exception("the worker cannot start")  # Celery would take rings that nobody can answer
        activity.fail()
    else:
        activity.note()


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _child_ends(**_: Any) -> None:
    if _worker is not None and shutdown.asked():
        _worker.farewell()
    tracing.stop()
