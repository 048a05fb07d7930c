"""A whole Whence of a test's own: Redis, API and workers as processes that are started again when they end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psutil
from redis import Redis
from redis.exceptions import RedisError

from service.cli.local.redis_binary import free_port
from tests.faults import trouble
from tests.faults.trouble import Do
from tests.patience import PATIENCE_S, SHARED
from tests.redis_server import RedisServer
from tests.tree import ROOT
from workers.jobs import keys

FINAL = ("succeeded", "failed", "cancelled")
SWEEP = {"name": "occlusion", "patch": 1, "stride": 1}  # 256 places in chunks: some passes, with a report after each
_nonces = count(1)


def until(condition: Callable[[], Any], seconds: float = PATIENCE_S, why: str = "") -> Any:
    """What the condition gives as soon as it gives something."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds} s: {why or condition}"
        time.sleep(0.05)
    return found


class Kept:
    """A process that is started again when it ends, as by `restart: always`; its group goes with it."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.command, self.env, self.log = command, env, log
        self.deaths: list[int] = []
        self.killed = 0
        self._ending = threading.Event()
        self._begin()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def children(self) -> list[int]:
        """The pids of its child processes, without those of its own helpers."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [
                child.pid for child in psutil.Process(self.pid).children() if "resource_tracker" not in _line(child)
            ]
        return []

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill_all(self) -> None:
        """The process and its children at one blow."""
        self.killed += 1
        _kill_group(self.pid)

    def stop(self) -> None:
        self._ending.set()
        self.kill(signal.SIGCONT)
        self.kill_all()
        self._thread.join()

    def _begin(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={**os.environ, **self.env},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _keep(self) -> None:
        while True:
            code = self._process.wait()
            _kill_group(self.pid)
            if self._ending.wait(0.3):
                return
            self.deaths.append(code)
            self._begin()


@dataclass
class House:
    """Use as a context manager. `links` are the ports by which worker after worker reaches Redis; 0 is Redis itself."""

    folder: Path
    workers: int = 1
    env: Mapping[str, str] = field(default_factory=dict)
    worker_env: Mapping[str, str] = field(default_factory=dict)
    options: Sequence[str] = ()
    load_s: float = 0.0
    links: Callable[[int], int] = lambda port: port
    models: Sequence[Path] = ()

    def __enter__(self) -> House:
        self.folder.mkdir(parents=True, exist_ok=True)
        trouble.write(self.folder / "models" / "trouble", self.load_s)
        for model in self.models:
            (self.folder / "models" / model.name).symlink_to(model)
        (self.folder / "redis").mkdir()
        (self.folder / "datasets").mkdir()
        port = free_port()
        self.redis = RedisServer(self.folder / "redis", *self.options, port=port)
        self.jobs: Redis = self.redis.client
        self.link = self.links(port)
        self.api_port = free_port()
        self.api = self.start("api", "service", "--port", str(self.api_port))
        self.crew = [self.start(f"worker-{n}", "workers", port=self.link) for n in range(self.workers)]
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.api_port}/api/v1", timeout=30, trust_env=False,
            limits=httpx.Limits(max_connections=300),
        )  # fmt: skip
        try:
            until(self.ready, 240, f"ready; see {self.folder}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()
        for kept in [*self.crew, self.api]:
            kept.stop()
        self.redis.thaw()
        self.redis.stop()

    def start(self, name: str, module: str, *arguments: str, port: int = 0) -> Kept:
        url = f"redis://127.0.0.1:{port}/0" if port else self.redis.url
        env = {
            "WHENCE_REDIS_URL": url,
            "WHENCE_MODELS": str(self.folder / "models"),
            "WHENCE_DATASETS": str(self.folder / "datasets"),
            "WHENCE_THREADS": "2",  # two lanes
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
            **self.env,
            **(self.worker_env if module == "workers" else {}),
        }
        return Kept([sys.executable, "-W", "ignore", "-m", module, *arguments], env, self.folder / f"{name}.log")

    def ready(self) -> bool:
        """Whether every worker lives and the model's card is there."""
        with contextlib.suppress(httpx.HTTPError, RedisError):
            models = self.client.get("models").json().get("models", [])
            there = {model["name"] for model in models if model["state"] == "ready"}
            return {"trouble", *(model.name for model in self.models)} <= there and len(self.beats()) >= self.workers
        return False

    def beats(self) -> list[bytes]:
        """The heartbeats there are now."""
        return list(self.jobs.scan_iter(f"{keys.PREFIX}worker:*"))

    def post(
        self,
        do: Do = Do.NOTHING,
        seconds: float = 0.0,
        method: Any = "predict",
        nonce: float | None = None,
        **headers: str,
    ) -> httpx.Response:
        """Ask for an explanation of an input of its own, without waiting for it."""
        given = trouble.tensor(do, seconds, next(_nonces) if nonce is None else nonce)
        body = {"model": "trouble", "method": method, "input": given}
        asked = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post("explanations", json=body, headers={"Prefer": "respond-async", **asked})

    def ask(self, do: Do = Do.NOTHING, seconds: float = 0.0, method: Any = "predict", **fields: Any) -> str:
        """The id of an accepted explanation; one that fails sooner than the answer is written is found in the list.

        Where a worker is still starting again, or the machine too busy to hear Redis in time, it is asked again, as a
        client does.
        """
        patience = time.monotonic() + PATIENCE_S
        while (answer := self.post(do, seconds, method, **fields)).status_code == 503:
            assert answer.json()["code"] in ("model_loading", "no_worker", "queue_unavailable"), answer.text
            assert time.monotonic() < patience, answer.text
            time.sleep(0.1)
        assert answer.status_code in (200, 202, 500), (answer.status_code, answer.text)
        if answer.status_code == 500:
            return str(self.client.get("explanations?limit=1").json()["explanations"][0]["id"])
        return str(answer.json()["id"])

    def many(self, n: int, act: Callable[[int], Any], at_once: int = 32) -> list[Any]:
        """What comes of n calls from several threads."""
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(act, range(n)))

    def status(self, job_id: str) -> dict[str, Any]:
        """The status document, or the result's JSON with the status it stands for."""
        answer = self.client.get(f"explanations/{job_id}")
        document: dict[str, Any] = answer.json()
        return document if "status" in document and answer.is_success else {
            **document, "status": "succeeded" if answer.is_success else self.record(job_id)
        }  # fmt: skip

    def record(self, job_id: str) -> str:
        """How the job's record has it."""
        record = self.jobs.hgetall(keys.job(job_id))
        if b"finished_at" not in record:
            return "open" if record else "unknown"
        return "failed" if b"error" in record else "cancelled" if b"cancelled" in record else "succeeded"

    def final(self, job_id: str, seconds: float = PATIENCE_S) -> dict[str, Any]:
        """The record of a job once it is final: status, attempts, error's code, finished_at."""
        until(lambda: self.record(job_id) in FINAL, seconds, f"{job_id} final; see {self.folder}")
        record = {k.decode(): v.decode() for k, v in self.jobs.hgetall(keys.job(job_id)).items()}  # type: ignore[union-attr]
        code = httpx.Response(200, text=record["error"]).json()["code"] if "error" in record else None
        return {**record, "status": self.record(job_id), "attempts": int(record["attempts"]), "code": code}

    def running(self, job_id: str) -> None:
        """Return as soon as a worker computes it."""
        until(lambda: self.jobs.exists(keys.lease(job_id)), why=f"{job_id} running")

    def works(self, seconds: float = PATIENCE_S) -> float:
        """Ask for something healthy, and the seconds it took."""
        began = time.monotonic()
        assert self.final(self.ask(), seconds)["status"] == "succeeded"
        return time.monotonic() - began

    @contextlib.contextmanager
    def hearing(self) -> Iterator[Callable[[], list[str]]]:
        """What is told of jobs from now on: call it for all of it, once."""
        with self.jobs.pubsub(ignore_subscribe_messages=True) as told:  # type: ignore[no-untyped-call]
            told.subscribe(keys.EVENTS)
            told.get_message(timeout=2)

            def heard() -> list[str]:
                return [message["data"].decode() for message in iter(lambda: told.get_message(timeout=0.5), None)]

            yield heard

    def assert_clean(self, seconds: float = 15.0 * SHARED) -> None:
        """Nothing is left of what is done."""
        until(lambda: not self.leftovers(), seconds, f"leftovers {self.leftovers()}")

    def leftovers(self) -> dict[str, Any]:
        """What Redis still holds of unfinished work: names and how much of it."""
        # A bell whose acknowledgement was lost, with its worker or with the link, comes again after a minute.
        excused = 2 * len(self.crew) + sum(kept.killed for kept in self.crew)
        unanswered = self.jobs.zcard(keys.PREFIX + "unacked_index") - excused
        found: dict[str, Any] = {"open": self.jobs.zcard(keys.OPEN), "unacked": max(0, unanswered)}
        for pattern in ("lease:*", "waiting*", *keys.PRIORITIES):
            for key in self.jobs.scan_iter(keys.PREFIX + pattern):
                found[key.decode()] = self.jobs.type(key)
        return {name: what for name, what in found.items() if what}


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _line(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
