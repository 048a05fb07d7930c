"""The explainer's command in a process of its own, called as KServe calls its container."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from service.cli.local.redis_binary import free_port
from tests.patience import PATIENCE_S

COMMAND = (sys.executable, "-m", "service.cli.main", "explainer", "--host", "127.0.0.1")
Wait = Callable[[str], None]


@contextmanager
def explainer(
    name: str, predictor: str, log: Path, args: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Iterator[tuple[str, Wait]]:
    """Its address, and what waits until a path of it answers; `args` are those of the manifest, before KServe's own."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    added = ["--model_name", name, "--predictor_host", predictor, "--http_port", str(port), "--workers", "0"]
    around = {key: value for key, value in os.environ.items() if not key.startswith("WHENCE_")}
    with log.open("wb") as out:
        running = subprocess.Popen([*COMMAND, *args, *added], stdout=out, stderr=out, env={**around, **(env or {})})

    def wait(path: str) -> None:
        until = time.monotonic() + 4 * PATIENCE_S
        while not answers(url + path):
            assert running.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < until, log.read_text()[-2000:]
            time.sleep(0.3)

    try:
        yield url, wait
    finally:
        running.terminate()
        running.wait(PATIENCE_S)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False
