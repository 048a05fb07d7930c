"""Ten thousand digits as one job: seconds, the memory of each process, and the size of the archive.

Use: python -m benchmarks.many URL MNIST.npz [COUNT], beside a running `whence up` of this machine that serves digits.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil

from whence import Client

KINDS = {"workers": "worker", "service": "API", "redis-server": "Redis"}


def kind_of(process: psutil.Process) -> str | None:
    """What part of Whence a process is, by its command line."""
    line = process.cmdline()
    return next((name for word, name in KINDS.items() if any(word in one for one in line)), None)


def processes(port: int) -> dict[int, str]:
    """Those of the `whence up` whose API listens at the port: the API's siblings, and their children."""
    (api,) = [one.pid for one in psutil.net_connections("tcp") if one.status == "LISTEN" and one.laddr.port == port]
    house = psutil.Process(api).parent()
    assert house is not None
    return {one.pid: name for one in house.children(recursive=True) if (name := kind_of(one))}


def main(url: str, mnist: Path, count: int) -> None:
    """Prints the figures; the method is the model's default."""
    with np.load(mnist) as data:
        digits = data["x_test"][:count, None].astype(np.float32) / 255
    pids, most, over = processes(urlsplit(url).port or 80), dict.fromkeys(KINDS.values(), 0), threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            for pid, name in pids.items():
                most[name] = max(most[name], psutil.Process(pid).memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    client = Client(url)
    made = client.explain_dataset("digits", digits, "integrated_gradients")
    explained = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "archive.zip"
        client.download(f"/api/v1/explanations/{made.id}/archive.zip", packed)
        archived = time.perf_counter() - began - explained
        size = packed.stat().st_size
        with zipfile.ZipFile(packed) as archive:
            files = len(archive.namelist())
    over.set()
    watcher.join()
    memory = ", ".join(f"{name} {bytes_ / 2**20:.0f} MiB" for name, bytes_ in most.items())
    print(f"{count} digits: {explained:.0f} s; at most, of the largest process: {memory}")
    print(f"archive: {size / 2**20:.1f} MiB, {files} files, in {archived:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 10_000)
