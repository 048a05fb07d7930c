"""The reconciler: puts back what a dead worker held, and rings bells that were lost. One worker's parent runs it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from redis.exceptions import RedisError

from workers.jobs import keys
from workers.jobs.records import Store
from workers.telemetry import metrics

PERIOD_S = 3.0
RING_AFTER_S = 5.0  # a bell that has not been answered for so long, and is not in the broker, rings again

log = structlog.get_logger()


def reconcile(store: Store, name: str, ring: Callable[[str], None]) -> bool:
    """One round, unless another worker has this one; whether it was ours."""
    if not elected(store, name):
        return False
    lost, due = store.reconcile(RING_AFTER_S)
    metrics.REQUEUED.inc(len(lost))
    metrics.RUNG_AGAIN.inc(len(due))
    for job in lost:
        log.warning("a job had lost its worker and is queued again", job=job)
    for priority in due:
        ring(priority)
    return True


def elected(store: Store, name: str) -> bool:
    """Whether this worker reconciles now: the first to come, for as long as it keeps coming."""
    ttl = int(PERIOD_S * 2000)
    if store.jobs.set(keys.RECONCILER, name, nx=True, px=ttl):
        return True
    if store.jobs.get(keys.RECONCILER) != name.encode():
        return False
    store.jobs.pexpire(keys.RECONCILER, ttl)
    return True


def start(store: Store, name: str, ring: Callable[[str], None]) -> None:
    """Reconcile in the background for as long as the process lives, through absences of Redis."""

    def rounds() -> None:
        pause = threading.Event()
        while not pause.wait(PERIOD_S):
            try:
                reconcile(store, name, ring)
            except RedisError as error:
                log.warning("could not reconcile", error=type(error).__name__)
            except Exception:
                log.exception("could not reconcile")  # and try again: without rounds, lost work stays lost

    threading.Thread(target=rounds, name="reconciler", daemon=True).start()
