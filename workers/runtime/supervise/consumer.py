"""Celery's consumer, for a Redis that answers and takes no writes: it is asked again at leisure."""

from __future__ import annotations

import time

import structlog
from celery.worker.consumer import Consumer

from workers.jobs.refusals import refuses_writes

PAUSE_S = 1.0

log = structlog.get_logger()


class Patient(Consumer):  # type: ignore[misc]  # celery has no types
    """Celery counts on a broker that does not answer, for which connecting itself waits."""

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        if not refuses_writes(exc):
            super().on_connection_error_before_connected(exc)
            return
        log.warning("the broker takes no writes; trying again", error=type(exc).__name__)
        time.sleep(PAUSE_S)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        super().on_connection_error_after_connected(exc)
        if refuses_writes(exc):
            time.sleep(PAUSE_S)
