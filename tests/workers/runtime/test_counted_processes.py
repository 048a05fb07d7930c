"""A worker in processes of its own: what its child counts, its parent tells Prometheus; its lines are JSON."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.cli.local.redis_binary import free_port
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer
from tests.tree import ROOT
from tests.workers.runtime.test_processes import order, ready


@pytest.mark.slow
async def test_the_parent_tells_what_its_child_counted_and_leaves_nothing_behind(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    port, said = free_port(), tmp_path / "said"
    env = {
        "WHENCE_REDIS_URL": redis_server.url,
        "WHENCE_MODELS": str(ROOT / "models"),
        "WHENCE_METRICS_PORT": str(port),
        "WHENCE_THREADS": "1",
        "TMPDIR": str(tmp_path),
    }
    with said.open("wb") as lines:
        command = [sys.executable, "-W", "ignore", "-m", "workers"]
        worker = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env}, stderr=lines)
        try:
            async with ready(redis_server) as queue:
                asked = order(queue, 7, "gradient")
                await queue.submit([asked])
                (status,) = await queue.wait([asked.job.id], PATIENCE_S)
                assert status is not None
                assert status.status == "succeeded"
            text = await asyncio.to_thread(
                lambda: httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=PATIENCE_S).text
            )
            worker.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(worker.wait, PATIENCE_S) == 0
        finally:
            worker.kill()
            worker.wait()
    told = {
        (one.name, *one.labels.values()): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }
    assert told["whence_jobs_total", "gradient", "digits", "succeeded"] == 1
    assert told["whence_compute_seconds_count", "gradient", "digits"] == 1
    assert told["whence_model_load_seconds_count", "digits"] == 1
    assert told["whence_models_loaded",] == 1
    assert told["whence_device_memory_bytes", "cpu", "resident"] > 10**8
    found = [json.loads(line) for line in said.read_text().splitlines()]
    assert any(line["event"] == "finished" and line["job"] == asked.job.id for line in found)
    assert not list(tmp_path.glob("whence-metrics-*"))
