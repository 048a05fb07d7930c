"""What is counted and traced of a batch and of a claim."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog

from workers.explanation.errors import ExplainError
from workers.jobs.work import Claim, Work
from workers.runtime.execute import faults
from workers.telemetry import metrics, tracing


def claimed(claim: Claim) -> None:
    """Count what a claim took (how long it waited, whether an earlier worker had it) and what it dropped."""
    for _, model, method, code in claim.dropped:
        metrics.JOBS.labels(model, method, code).inc()
    for work in claim.works:
        metrics.WAITED.labels(work.priority).observe(max(0.0, work.started_at - work.created_at))
        if work.attempts > 1:
            metrics.RETRIED.inc()


def settled(work: Work, outcome: str, *, first: bool) -> None:
    """Count a job that is done: by this worker, where it is the `first` to say so."""
    if first:
        metrics.JOBS.labels(work.model, work.job.method.name, outcome).inc()
    else:
        metrics.LEASES_LOST.inc()


@contextmanager
def batch(works: Sequence[Work]) -> Iterator[None]:
    """Time the batch, and trace it: its span belongs to the request of the first, and is linked to the others'."""
    first = works[0]
    method = first.job.method.name
    facts = {"whence.method": method, "whence.model": first.model, "whence.rows": len(works)}
    started = time.perf_counter()
    with tracing.span(f"explain {method}", tracing.CONSUMER, [work.trace for work in works], facts):
        yield
    metrics.COMPUTED.labels(first.model, method).observe(time.perf_counter() - started)
    metrics.ROWS_AT_ONCE.labels(method).observe(len(works))


def counted_error(error: Exception, works: Sequence[Work]) -> ExplainError:
    """As `faults.client_error`, and a line of the log that it writes names the jobs and the requests."""
    ids = {"jobs": [work.id for work in works], "request_ids": [work.request_id for work in works]}
    with structlog.contextvars.bound_contextvars(**ids):
        return faults.client_error(error)
