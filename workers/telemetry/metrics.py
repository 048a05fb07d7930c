"""What a worker counts, for Prometheus: children count into files that outlive them, their parent serves the sums.

The files are used where `PROMETHEUS_MULTIPROC_DIR` is set before this is imported; else all is of this process.
"""

from __future__ import annotations

import os

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128)

log = structlog.get_logger()

JOBS = Counter("whence_jobs", "Jobs closed, by outcome: succeeded, or an error's code.", ["model", "method", "outcome"])
WAITED = Histogram("whence_wait_seconds", "Time that a job waited for a worker.", ["priority"], buckets=SECONDS)
COMPUTED = Histogram("whence_compute_seconds", "Time that a batch took.", ["model", "method"], buckets=SECONDS)
ROWS_AT_ONCE = Histogram("whence_batch_rows", "Jobs that shared a batch.", ["method"], buckets=ROWS)
RETRIED = Counter("whence_retries", "Jobs taken that an earlier worker had not finished.")
LEASES_LOST = Counter("whence_leases_lost", "Jobs done in vain: meanwhile something else had closed them.")
REQUEUED = Counter("whence_requeued", "Jobs that the reconciler put back, for their worker was gone.")
RUNG_AGAIN = Counter("whence_bells_rung_again", "Bells that the reconciler rang again, for nobody had answered.")
LOADED = Histogram("whence_model_load_seconds", "Time that it took to load a model.", ["model"], buckets=SECONDS)
UNLOADED = Counter("whence_models_unloaded", "Models that made room for others.", ["model"])
MODELS = Gauge("whence_models_loaded", "Models in memory.", multiprocess_mode="mostrecent")
MEMORY = Gauge("whence_device_memory_bytes", "Memory, by kind.", ["device", "kind"], multiprocess_mode="mostrecent")


def serve(host: str, port: int) -> None:
    """Answer Prometheus from a thread of this process; a port that is taken is logged, and the work goes on."""
    try:
        start_http_server(port, host, registry=gathered())
    except OSError as error:
        log.error("metrics are not served; choose with WHENCE_METRICS_PORT", host=host, port=port, error=str(error))


def gathered() -> CollectorRegistry:
    """A registry of what this process and its children, dead ones too, have counted."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, os.environ[FOLDER])  # type: ignore[no-untyped-call]
    return registry
