"""Many models in one folder: seconds to ready and to the first answer, processor, memory; cold, then with cards kept.

The folders are copies of digits, each with weights of its own. --beside CHECKOUT: another version of Whence in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psutil
from safetensors.torch import load_file, save_file

from benchmarks.machine import MEMORY, announce
from benchmarks.places import DIGITS, ROOT
from service.cli.local.redis_binary import free_port

LONGEST_S = 3600.0


def copies(models: Path, count: int) -> None:
    """So many folders, whose weights differ from each other's."""
    weights = load_file(DIGITS / "weights.safetensors")
    first = min(weights)
    for number in range(count):
        folder = models / f"digits-{number:03d}"
        shutil.copytree(DIGITS, folder)
        save_file({**weights, first: weights[first] + 1e-3 * (number + 1)}, folder / "weights.safetensors")


def measured(checkout: Path, models: Path, count: int) -> dict[str, float]:
    """Of one start of `whence up`: seconds, seconds of the processor, and bytes of all its workers together."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "service.cli.main", "up", "--port", str(port), "--models", models]
    environment = {**os.environ, **MEMORY, "PYTHONPATH": str(checkout)}
    began = time.monotonic()
    with TemporaryDirectory() as place, ExitStack() as stack:
        log = Path(place) / "log"
        with log.open("wb") as out:
            up = subprocess.Popen(list(map(str, command)), cwd=checkout, env=environment, stdout=out, stderr=out)
        try:
            http = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=90))
            first, whole = _until(http, began, 1), _until(http, began, count)
            told = {"one ready s": first, "all ready s": whole, **_spent(up.pid)}
            asked = time.monotonic()
            _ask(http, f"digits-{count - 1:03d}")
            return {**told, "first answer s": time.monotonic() - asked, "bytes after it": _spent(up.pid)["bytes"]}
        except BaseException:
            print(log.read_text()[-2000:], file=sys.stderr)
            raise
        finally:
            up.send_signal(signal.SIGINT)
            up.wait()


def _until(http: httpx.Client, began: float, count: int) -> float:
    while time.monotonic() - began < LONGEST_S:
        try:
            answer = http.get("/api/v1/models")
            ready = [one for one in answer.json().get("models", ()) if one.get("state", "ready") == "ready"]
            if answer.is_success and len(ready) >= count:
                return time.monotonic() - began
        except (httpx.HTTPError, json.JSONDecodeError):
            pass
        time.sleep(0.5)
    raise TimeoutError(f"not {count} models within {LONGEST_S:.0f} s")


def _ask(http: httpx.Client, model: str) -> None:
    body = {"model": model, "method": "gradient", "input": {"tensor": {"shape": [1, 28, 28], "data": [0.5] * 784}}}
    answer = http.post("/api/v1/explanations", json=body, headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text


def _spent(pid: int) -> dict[str, float]:
    """Of a process and all below it."""
    whole = psutil.Process(pid)
    total = {"processor s": 0.0, "bytes": 0.0}
    for one in (whole, *whole.children(recursive=True)):
        try:
            times = one.cpu_times()
            total["processor s"] += times.user + times.system + times.children_user + times.children_system
            total["bytes"] += one.memory_full_info().uss
        except psutil.NoSuchProcess:
            continue
    return total


def table(checkouts: Sequence[Path], count: int) -> list[dict[str, Any]]:
    """Of each version, cold and then warm; of each its own folder, for cards lie there."""
    found: list[dict[str, Any]] = []
    with TemporaryDirectory() as place:
        copies(Path(place) / "made", count)
        for checkout in checkouts:
            models = Path(place) / f"models-{len(found)}"
            shutil.copytree(Path(place) / "made", models)
            for start in ("cold", "warm"):
                told = measured(checkout, models, count)
                found.append({"checkout": checkout.name, "start": start, "models": count, **told})
                print("  ".join(f"{key} {_text(value)}" for key, value in found[-1].items()), flush=True)
    return found


def _text(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value / 2**20:.0f} MiB" if value > 2**20 else f"{value:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    announce(f"{asked.models} models in one folder")
    found = table([ROOT, *([asked.beside.resolve()] if asked.beside else [])], asked.models)
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
