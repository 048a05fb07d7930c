"""Jobs per second by the number of workers, what each part spends on a job, and what is left of the machine."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from redis import Redis

from benchmarks.scale.hosts import end, spawned
from benchmarks.scale.jobs import done, waiting
from benchmarks.scale.roles import REPLICAS, ask, work
from service.render.plots.lines import plot
from workers.jobs import profile

BACKLOG = 64  # jobs that wait for each worker
FILL_S = 60.0  # that it may take until they do


@dataclass(frozen=True)
class Rate:
    """Of so many workers: jobs a second, and microseconds of processor for a job by part; shares are of all cores."""

    workers: int
    jobs_s: float
    worker_us: float
    api_us: float
    redis_us: float
    redis_thread: float  # of one core
    ours: float
    others: float
    linear: float = 1.0

    def line(self) -> str:
        return (
            f"{self.workers:4d} workers {self.jobs_s:8.0f} jobs/s, {self.linear:.2f} of linear; "
            f"a job costs worker {self.worker_us:.0f}, API {self.api_us:.0f}, Redis {self.redis_us:.0f} us; "
            f"of the cores ours {self.ours:.0%}, others' {self.others:.0%}; Redis's thread {self.redis_thread:.0%}"
        )


def processor_s(jobs: Redis) -> float:
    """That Redis's one thread has spent."""
    told: Any = jobs.info("cpu")
    return float(told["used_cpu_user_main_thread"] + told["used_cpu_sys_main_thread"])


def spent_s(processes: Iterable[Any]) -> float:
    """Of the processor, by processes."""
    return sum(sum(psutil.Process(one.pid).cpu_times()[:2]) for one in processes)


def busy_s() -> float:
    """Of all cores, by whomever."""
    told = psutil.cpu_times()
    return float(sum(told) - told.idle - getattr(told, "iowait", 0.0) - told.guest - told.guest_nice)


def rate(jobs: Redis, url: str, workers: int, seconds: float, hosts: Sequence[str | None]) -> Rate:
    """Measured for so many seconds; the first host has the replicas, the others share the workers."""
    jobs.flushall()
    profile.served(())  # once, and not in every process that is forked
    asking = [spawned(ask, url, BACKLOG * workers, one, host=hosts[0]) for one in range(REPLICAS)]
    working = [spawned(work, url, host=hosts[1 + one % (len(hosts) - 1)]) for one in range(workers)]
    latest = time.monotonic() + FILL_S
    while time.monotonic() < latest and waiting(jobs) < BACKLOG * workers:
        time.sleep(0.1)
    time.sleep(1)

    def now() -> np.ndarray[Any, Any]:
        told = (done(jobs), spent_s(working), spent_s(asking), processor_s(jobs), busy_s(), time.monotonic())
        return np.array(told, float)

    before = now()
    time.sleep(seconds)
    count, worked, asked, redis, busy, took = now() - before
    end([*asking, *working])
    cores, each = psutil.cpu_count() * took, 1e6 / max(count, 1)
    ours = worked + asked + redis
    return Rate(
        workers=workers, jobs_s=count / took, worker_us=worked * each, api_us=asked * each, redis_us=redis * each,
        redis_thread=redis / took, ours=ours / cores, others=(busy - ours) / cores,
    )  # fmt: skip


def curve(url: str, seconds: float, counts: Sequence[int], hosts: Sequence[str | None]) -> list[dict[str, float]]:
    """A rate for each number of workers, each also as a part of what the first, times the workers, would make."""
    jobs = Redis.from_url(url, socket_timeout=60)
    found: list[Rate] = []
    for workers in counts:
        one = rate(jobs, url, workers, seconds, hosts)
        first = found[0] if found else one
        found.append(replace(one, linear=one.jobs_s / (first.jobs_s / first.workers * workers)))
        print(found[-1].line(), flush=True)
    return [asdict(one) for one in found]


def draw(found: Sequence[dict[str, float]], file: Path) -> None:
    """Jobs per second by workers, and what would be linear."""
    at, rates = [one["workers"] for one in found], [one["jobs_s"] for one in found]
    linear = [found[0]["jobs_s"] * workers for workers in at]
    ends = np.array([rates[-1], linear[-1]])
    arrays = {"curves": np.array([rates, linear]), "at": np.array(at), "scores": ends}
    said = {"x": "worker processes", "y": "jobs a second", "log": True}
    plot(arrays, ["measured", "linear"], said, f"at {at[-1]:g}").save(file)
