"""Fleets of real processes under one Redis: APIs and workers of a test's own, of this version of Whence or another."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import torch
from torch import nn

from service.cli.local.redis_binary import free_port
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer
from tests.tree import ROOT
from workers.models.folder import read_folder

PAUSE_S = 0.05  # of a client, that workers have a processor too
CARD = '[model]\nsource = "model.pt2"\noutput = "value"\n[input]\nkind = "tensor"\nshape = [3]\n'
# `module` on a Redis that answers, if slowly on a slow machine; of a version of Whence whose gradient may have another
# revision.
PROGRAM = """
from workers.methods.gradient.gradient import Gradient
Gradient.revision = {revision} or Gradient.revision
import runpy, sys
if {module!r}.startswith("service"):
    from service.queue import connection
    connection.WAIT_S = connection.ANSWER_S = {patience}
sys.argv = {argv!r}
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""


def write(folder: Path, version: int) -> str:
    """A model whose gradient is its version, everywhere; its digest."""
    net = nn.Linear(3, 1, bias=False).eval().requires_grad_(False)
    net.weight.copy_(torch.full((1, 3), float(version)))
    out = io.BytesIO()
    torch.export.save(torch.export.export(net, (torch.zeros(2, 3),), dynamic_shapes=({0: torch.export.Dim("n")},)), out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pt2").write_bytes(out.getvalue())
    (folder / "card.toml").write_text(CARD)
    return read_folder(folder).digest


@dataclass
class Fleet:
    """Processes that end with the test."""

    folder: Path
    redis: RedisServer
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, module: str, *arguments: str, revision: int | None = None, **env: str) -> subprocess.Popen[bytes]:
        place = {"WHENCE_REDIS_URL": self.redis.url, "WHENCE_OBJECTS": str(self.folder / "objects")}
        told = {**os.environ, **place, "WHENCE_THREADS": "1", "WHENCE_DATASETS": str(self.folder / "data"), **env}
        argv = [module, *arguments]
        code = PROGRAM.format(revision=revision, patience=PATIENCE_S, argv=argv, module=f"{module}.__main__")
        command = [sys.executable, "-W", "ignore", "-c", code]
        with (self.folder / f"{module}-{len(self.running)}.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=told, stdout=log, stderr=log)
        self.running.append(process)
        return process

    def worker(self, models: Path, revision: int | None = None, **env: str) -> subprocess.Popen[bytes]:
        return self.start("workers", revision=revision, WHENCE_MODELS=str(models), **env)

    def api(self, revision: int | None = None, **env: str) -> tuple[str, subprocess.Popen[bytes]]:
        port = free_port()
        process = self.start("service", "--port", str(port), revision=revision, **env)
        return f"http://127.0.0.1:{port}", process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """In order."""
        process.terminate()
        process.wait(PATIENCE_S)


@contextmanager
def fleet(folder: Path) -> Iterator[Fleet]:
    folder.mkdir(exist_ok=True)
    (folder / "redis").mkdir()
    server = RedisServer(folder / "redis", port=free_port())
    found = Fleet(folder, server)
    try:
        yield found
    finally:
        for process in found.running:
            process.kill()
            process.wait()
        server.stop()


def until(condition: Callable[[], Any], why: str, seconds: float = 5 * PATIENCE_S) -> Any:
    end = time.monotonic() + seconds
    while True:
        try:
            if found := condition():
                return found
        except httpx.HTTPError:
            pass
        assert time.monotonic() < end, f"not in time: {why}"
        time.sleep(0.1)


def state(url: str, name: str, **headers: str) -> dict[str, Any]:
    """The document of a model; empty where there is none."""
    answer = httpx.get(f"{url}/api/v1/models/{name}", timeout=PATIENCE_S, trust_env=False, headers=headers)
    found: dict[str, Any] = answer.json() if answer.is_success else {}
    return found


def current(url: str, name: str) -> str | None:
    """The digest that a name stands for."""
    found = state(url, name)
    return found["digest"] if found.get("state") == "ready" else None


@dataclass
class Asking:
    """Clients that ask without a pause: what each was told, by phase: a version's number, or a status with its code.

    What an answer says of its version and what its numbers say have to agree.
    """

    urls: list[str]
    digests: dict[str, int]
    model: str = "m"
    phase: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    told: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    mixed: list[Any] = field(default_factory=list)
    _going: bool = True
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, clients: int) -> Asking:
        for number in range(clients):
            thread = threading.Thread(target=self._ask, args=(number,), daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def stop(self) -> None:
        self._going = False
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def at(self, phase: str, seconds: float) -> None:
        """Go on so long under that name, and until each client has had an answer."""
        self.phase = phase
        time.sleep(seconds)
        until(lambda: len({who for who, of, _ in [*self.told] if of == phase}) == len(self._threads), phase)

    def of(self, phase: str) -> dict[str, int]:
        """What all clients were told in a phase."""
        found: Counter[str] = Counter()
        for (_, of, word), count in self.told.items():
            found[word] += count if of == phase else 0
        return {word: count for word, count in sorted(found.items()) if count}

    def table(self) -> str:
        phases = list(dict.fromkeys(of for _, of, _ in self.told))
        rows = ["| client | " + " | ".join(phases) + " |", "|---" * (len(phases) + 1) + "|"]
        for client in sorted({one for one, _, _ in self.told}):
            cells = []
            for phase in phases:
                told = {word: n for (who, of, word), n in sorted(self.told.items()) if (who, of) == (client, phase)}
                cells.append(", ".join(f"{word}: {n}" for word, n in told.items()))
            rows.append(f"| {client} | " + " | ".join(cells) + " |")
        return "\n".join(rows)

    def _ask(self, client: int) -> None:
        draw = random.Random(client)
        with httpx.Client(timeout=PATIENCE_S, trust_env=False) as http:
            while self._going:
                phase, tensor = self.phase, {"shape": [3], "data": [draw.random() for _ in range(3)]}
                body = {"model": self.model, "method": "gradient", "target": "value", "input": {"tensor": tensor}}
                self.told[client, phase, self._answer(http, body)] += 1
                time.sleep(PAUSE_S)

    def _answer(self, http: httpx.Client, body: dict[str, Any]) -> str:
        for url in list(self.urls):
            try:
                answer = http.post(
                    f"{url}/api/v1/explanations", json=body, headers={"Prefer": "wait=30", **self.headers}
                )
            except httpx.TransportError:
                continue  # a balancer asks the next
            if answer.status_code == 202:  # a slow machine: it goes on, and comes to an end of its own
                answer = self._end_of(http, url, answer.headers["location"])
            told = answer.json()
            if answer.status_code != 200:
                return f"{answer.status_code} {told.get('code', '')}"
            version, numbers = self.digests[told["model"]["digest"]], told["attribution"]["sum"] / 3
            if abs(numbers - version) > 1e-6:
                self.mixed.append((version, numbers))
            return f"v{version}"
        return "no answer"

    def _end_of(self, http: httpx.Client, url: str, place: str) -> httpx.Response:
        """From whichever API is there by then."""
        end = time.monotonic() + 2 * PATIENCE_S
        while True:
            for one in dict.fromkeys((url, *self.urls)):
                with suppress(httpx.TransportError):
                    answer = http.get(f"{one}{place}", params={"wait": 30}, headers=self.headers)
                    waits = answer.is_success and answer.json()["status"] in ("queued", "running")
                    if not waits or time.monotonic() > end:
                        return answer


def ready(url: str, models: Sequence[str] = ()) -> None:
    """Returns once the service is ready and has these models."""

    def there() -> bool:
        answer = httpx.get(f"{url}/readyz", timeout=PATIENCE_S, trust_env=False)
        return answer.is_success and set(models) <= set(answer.json()["models"])

    until(there, f"ready with {models}")
