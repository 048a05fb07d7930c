"""A running Whence: Redis, a worker and the API, each a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from service.cli.local.redis_binary import free_port
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer
from tests.tree import ROOT


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[str]:
    """The URL of the API, once it is ready for the digits."""
    server, port = RedisServer(folder), free_port()
    ours = {"WHENCE_REDIS_URL": server.url, "WHENCE_MODELS": str(ROOT / "models"), "WHENCE_THREADS": "1"}
    env = {**os.environ, **ours, "WHENCE_LOG_LEVEL": "WARNING", **settings}
    commands = ["workers"], ["service", "--port", str(port)]
    processes = [subprocess.Popen([sys.executable, "-W", "ignore", "-m", *c], cwd=ROOT, env=env) for c in commands]
    try:
        url = f"http://127.0.0.1:{port}"
        _until_ready(url)
        yield url
    finally:
        for process in processes:
            process.kill()
            process.wait()
        server.stop()


def _until_ready(url: str) -> None:
    end = time.monotonic() + 3 * PATIENCE_S
    with httpx.Client(trust_env=False, base_url=url) as client:
        while time.monotonic() < end:
            try:
                if "digits" in client.get("/readyz").json().get("models", []):
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
    raise AssertionError("Whence was not ready in time")
