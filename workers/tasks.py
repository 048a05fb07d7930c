"""The Celery task, and what a worker's processes do when they start and end: thin. The child alone opens torch."""

from __future__ import annotations

import functools
import os
import socket
from typing import TYPE_CHECKING, Any

from celery.signals import setup_logging, worker_process_init, worker_ready, worker_shutting_down

from workers import kombu_patch, log, reconcile, stopping
from workers.app import RING, consumer
from workers.app import ring as ring_bell
from workers.connect import connect
from workers.settings import Settings
from workers.store import Store

if TYPE_CHECKING:
    from workers.worker import Worker

settings = Settings()
app = consumer(settings.redis_url)
ring_group = functools.partial(ring_bell, app)
kombu_patch.apply()
_worker: Worker | None = None


@app.task(name=RING)  # type: ignore[untyped-decorator]
def ring(group: str) -> None:
    """A group has waiting work."""
    assert _worker is not None
    _worker.answer(group)


@setup_logging.connect  # type: ignore[untyped-decorator]
def _log(**_: Any) -> None:
    log.configure(settings.log_level, as_json=settings.log_json)


@worker_ready.connect  # type: ignore[untyped-decorator]
def _parent_ready(**_: Any) -> None:
    store = Store(connect(settings.redis_url))
    reconcile.start(store, f"{socket.gethostname()}-{os.getpid()}", ring_group)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _parent_ends(**_: Any) -> None:
    stopping.ask()


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _child_starts(**_: Any) -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin starve all others on shared cores
    from workers.opening import open_worker

    global _worker
    _worker = open_worker(settings, f"{socket.gethostname()}-{os.getppid()}", ring_group)
