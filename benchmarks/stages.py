"""Where a request's processor time goes: milliseconds of API, worker and Redis, and readings of Redis, a request.

`--beside FOLDER` measures another checkout in turn with this one. `--flames FOLDER` samples the API and the worker with
py-spy while they serve the most clients: a flame graph each, and the share of each stage. `--digits` asks the small
model, whose computing is next to nothing.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
from redis import Redis

from benchmarks.load import Run, Side
from benchmarks.machine import announce, spent
from benchmarks.places import CASES, MEDIA, PHOTOGRAPHS, ROOT, variants
from benchmarks.serving import Processes, pings, serves, shelf
from service.cli.local.redis_binary import CACHE, JOBS, embedded_redis, free_port
from service.cli.local.up import MODULE

LOADS = {1: 40, 8: 160, 32: 320}
ROUNDS = 2
PARTS = ("api", "worker", "worker's parent", "redis")
SAMPLES = 200  # a second
# The innermost frame that is named here tells the stage.
STAGES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "worker": {
        "decoding": (" (workers/explanation/images", " (PIL"),
        "computing": ("explain (workers/methods", "explained_scores (", "rows (workers/explanation/result"),
        "receipt, JSON": ("finished (workers/jobs/receipt", "_fields (workers/jobs/stored_results"),
        "Redis": ("execute_command (redis", "execute (redis", "__call__ (redis"),
        "Celery": ("(kombu", "(billiard", "(celery"),
    },
    "api": {
        "reading the request": ("read_request (", "orders_of ("),
        "Redis": ("(redis", "(service/queue"),
        "metrics and log": ("_record (service/http/edge",),
        "HTTP": ("(uvicorn", "(h11", "(starlette", "(fastapi", "(service/http"),
    },
}


@dataclass(frozen=True)
class Checkout:
    """A running service of one checkout: the processes whose time is read, how it is asked, where its results lie."""

    name: str
    side: Side
    processes: Mapping[str, Sequence[psutil.Process]]
    stores: Sequence[Redis]
    results: str
    folder: Path

    def taken(self) -> dict[str, float]:
        """Processor seconds of each part until now, and how often Redis has read from a connection."""
        taken = {part: sum(spent(one.pid) for one in some) for part, some in self.processes.items()}
        return {**taken, "readings": float(sum(_readings(store) for store in self.stores))}


def main() -> None:
    announce("where a request's time goes; `gradient`, each picture new, .npy back")
    name, (model, picture) = list(CASES.items())[0 if "--digits" in sys.argv else -1]
    flames = option("--flames")
    with ExitStack() as stack:
        folders = {
            "this checkout": ROOT,
            **({"beside": Path(other).resolve()} if (other := option("--beside")) else {}),
        }
        running = [
            stack.enter_context(checkout(title, folder, model, MEDIA[picture.suffix]))
            for title, folder in folders.items()
        ]
        for one in running:
            one.side.run("gradient", files(picture, 32, 99), 8)
        for clients, number in LOADS.items():
            compare(running, picture, clients, number, name)
        for one in running if flames else ():
            burn(one, picture, Path(flames or ""))


def compare(running: Sequence[Checkout], picture: Path, clients: int, number: int, model: str) -> None:
    """Both checkouts in turn, the other way round in each second round."""
    found: dict[str, list[tuple[Run, dict[str, float]]]] = {one.name: [] for one in running}
    for turn in range(ROUNDS):
        asked = files(picture, number // ROUNDS, clients * 100 + turn)
        for one in running[:: -1 if turn % 2 else 1]:
            before = one.taken()
            run = one.side.run("gradient", asked, clients)
            time.sleep(0.3)  # what follows an answer is the request's too
            found[one.name].append((run, {part: now - before[part] for part, now in one.taken().items()}))
    print(f"\n   {model}, {clients} clients, {number} requests; load {os.getloadavg()[0]:.1f}")
    print(f"   {'':16} {'req/s':>7} {'p50':>8} {'p99':>8}" + "".join(f"{part:>17}" for part in (*PARTS, "readings")))
    for title, turns in found.items():
        each = [seconds for run, _ in turns for seconds in run.each]
        rate = len(each) / sum(run.seconds for run, _ in turns)
        mean = {part: sum(taken[part] for _, taken in turns) / len(each) for part in (*PARTS, "readings")}
        told = "".join(f"{mean[part] * 1e3:14.2f} ms" for part in PARTS) + f"{mean['readings']:17.1f}"
        middle, late = statistics.median(each), float(np.quantile(each, 0.99))
        print(f"   {title:16} {rate:7.1f} {middle * 1e3:5.0f} ms {late * 1e3:5.0f} ms{told}")


def burn(one: Checkout, picture: Path, folder: Path) -> None:
    """Flame graphs of both processes under the most clients, and what share of the samples each stage has."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = files(picture, max(LOADS.values()), 7)
    for part, stages in STAGES.items():
        (process,) = one.processes[part]
        raw = folder / f"{part}-{one.name.replace(' ', '-')}.raw"
        spy = ["py-spy", "record", "--gil", "--pid", str(process.pid), "--rate", str(SAMPLES), "--output", str(raw)]
        spy += ["--format", "raw"]
        spying = subprocess.Popen(spy, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)
        before = spent(process.pid)
        one.side.run("gradient", files(picture, len(asked), 8 if part == "api" else 9), max(LOADS))
        each = (spent(process.pid) - before) / len(asked)
        spying.send_signal(2)
        spying.wait()
        stacks = [line.rpartition(" ") for line in raw.read_text().splitlines()]
        counts = Counter[str]()
        for stack, _, seen in stacks:
            counts[_stage(stack, stages)] += int(seen)
        total = sum(counts.values())
        print(f"\n   {part}, {one.name}, {max(LOADS)} clients: {each * 1e3:.2f} ms of processor a request, of it")
        for stage, samples in counts.most_common():
            print(f"      {stage:24} {samples / total:6.1%}")


def _stage(stack: str, stages: Mapping[str, Sequence[str]]) -> str:
    for frame in reversed(stack.split(";")):
        for stage, marks in stages.items():
            if any(mark in frame for mark in marks):
                return stage
    return "the rest"


def files(picture: Path, number: int, seed: int) -> list[bytes]:
    pictures = PHOTOGRAPHS if picture in PHOTOGRAPHS else [picture]
    each = -(-number // len(pictures))
    return [file for i, one in enumerate(pictures) for file in variants(one, seed * 31 + i, each)][:number]


@contextmanager
def checkout(name: str, folder: Path, model: Path, media: str) -> Iterator[Checkout]:
    """`whence up` of a checkout, on two Redis of its own."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="whence-stages-", ignore_cleanup_errors=True)))
        processes = stack.enter_context(Processes(scratch / "log"))
        stores = [embedded_redis(name, scratch, kind) for name, kind in (("jobs", JOBS), ("results", CACHE))]
        redis = [processes.start(store.child.command) for store in stores]
        clients = [stack.enter_context(Redis.from_url(store.url)) for store in stores]
        processes.await_that(lambda: all(pings(client) for client in clients))
        port = free_port()
        up = ["--models", str(shelf(scratch, [model])), "--redis-url", stores[0].url, "--port", str(port)]
        env = {"WHENCE_CACHE_URL": stores[1].url, "PYTHONPATH": str(folder), "WHENCE_LONGEST_WAIT": "600"}
        group = processes.start([*MODULE, "service.cli.main", "up", *up], env)
        processes.await_that(lambda: serves(port, 1))
        headers = {"accept": "application/x-npy", "prefer": "wait=600", "content_type": media}
        path = f"/api/v1/explanations?model={model.name}&method="
        side = Side(name, port, lambda method: path + method, headers)
        found = {**_processes(group), "redis": [psutil.Process(pid) for pid in redis]}
        yield Checkout(name, side, found, clients, stores[1].url, scratch)


def _processes(group: int) -> dict[str, list[psutil.Process]]:
    found: dict[str, list[psutil.Process]] = {"api": [], "worker": [], "worker's parent": []}
    for one in psutil.Process(group).children(recursive=True):
        line = " ".join(one.cmdline())
        if "-m service --host" in line:
            found["api"].append(one)
        elif "-m workers" in line or "celery" in line.lower():
            parent = one.ppid() == group
            found["worker's parent" if parent else "worker"].append(one)
    return found


def _readings(store: Redis) -> int:
    reads: Mapping[str, int] = store.info("stats")
    return reads["total_reads_processed"]


def option(name: str) -> str | None:
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None


if __name__ == "__main__":
    main()
