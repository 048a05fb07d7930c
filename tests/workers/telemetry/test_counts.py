"""What a worker counts, and what survives the death of the child that counted."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from tests.orders import work
from tests.tree import ROOT
from workers.explanation.errors import Cancelled
from workers.jobs.work import Claim, Dropped
from workers.runtime import instrumentation

SERVED = """
import os, sys, urllib.request
from workers.telemetry import metrics

for count in (3, 4):
    if not os.fork():
        metrics.JOBS.labels("toy", "gradient", "succeeded").inc(count)
        metrics.MODELS.set(count)
        os._exit(1)
    os.wait()
metrics.REQUEUED.inc()
metrics.serve("127.0.0.1", int(sys.argv[1]))
print(urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/metrics").read().decode())
"""


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def samples(text: str) -> dict[str, float]:
    return {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}


def serve(port: int, tmp_path: Path) -> str:
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", SERVED, str(port)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_parent_serves_what_its_dead_children_have_counted(tmp_path: Path) -> None:
    told = samples(serve(free_port(), tmp_path))
    assert told["whence_jobs_total"] == 7
    assert told["whence_requeued_total"] == 1
    assert told["whence_models_loaded"] == 4, "the latest child's, not the sum"


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert "choose with WHENCE_METRICS_PORT" in serve(taken.getsockname()[1], tmp_path)


def test_a_batch_is_counted_once_with_its_rows_and_its_time() -> None:
    works = [work(index) for index in (0, 1, 2)]
    before = counted("whence_compute_seconds_count", model="toy", method="gradient")
    rows = counted("whence_batch_rows_sum", method="gradient")
    with instrumentation.batch(works):
        pass
    assert counted("whence_compute_seconds_count", model="toy", method="gradient") == before + 1
    assert counted("whence_batch_rows_sum", method="gradient") == rows + 3


def test_a_batch_that_fails_is_not_timed() -> None:
    before = counted("whence_compute_seconds_count", model="toy", method="gradient")
    with pytest.raises(Cancelled), instrumentation.batch([work()]):
        raise Cancelled("nobody wants it")
    assert counted("whence_compute_seconds_count", model="toy", method="gradient") == before


def test_claims_tell_how_long_they_waited_and_which_had_failed_before() -> None:
    waited = counted("whence_wait_seconds_sum", priority="interactive")
    retried = counted("whence_retries_total")
    first = work()
    dropped = counted("whence_jobs_total", model="toy", method="lime", outcome="worker_crashed")
    instrumentation.claimed(
        Claim([first, replace(first, attempts=2)], False, [Dropped("x", "toy", "lime", "worker_crashed")])
    )
    assert counted("whence_wait_seconds_sum", priority="interactive") - waited == pytest.approx(1.0)
    assert counted("whence_retries_total") == retried + 1
    assert counted("whence_jobs_total", model="toy", method="lime", outcome="worker_crashed") == dropped + 1


def test_what_another_closed_first_was_done_in_vain() -> None:
    done = counted("whence_jobs_total", model="toy", method="gradient", outcome="succeeded")
    lost = counted("whence_leases_lost_total")
    instrumentation.settled(work(), "succeeded", first=True)
    instrumentation.settled(work(), "succeeded", first=False)
    assert counted("whence_jobs_total", model="toy", method="gradient", outcome="succeeded") == done + 1
    assert counted("whence_leases_lost_total") == lost + 1
