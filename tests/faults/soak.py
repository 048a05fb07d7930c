"""`python -m tests.faults.soak --minutes 10`: twice the load that can be served, deaths all along; nothing may be lost.

32 clients ask for mixed explanations at twice the rate that two workers keep up with; a worker is killed every 20 s,
Redis once. Every accepted job has to end in a result or a stated error, and memory has to stay flat.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
import psutil
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table

from tests.faults.house import FINAL, SWEEP, House, Kept, until
from tests.faults.trouble import Do
from tests.tree import ROOT
from workers.jobs import keys

CLIENTS = 32
WORKERS = 2
KILL_EVERY_S = 20.0
LOOK_EVERY_S = 5.0
WARM_UP_S = 15.0
DRAIN_S = 300.0
GROWTH_MB = 100.0
METHODS: list[Any] = [
    "predict", "gradient", "lrp", "input_times_gradient", "grad_cam",
    {"name": "smooth_grad", "samples": 10}, {"name": "integrated_gradients", "steps": 20},
    {"name": "occlusion", "patch": 7, "stride": 7}, {"name": "rise", "masks": 100},
]  # fmt: skip
TROUBLES = (Do.MEMORY_ERROR, Do.EXIT, Do.RECURSE, Do.DIE)


@dataclass
class Soak:
    """The load, and what is counted: answers, and what became of the accepted."""

    house: House
    answers: Counter[str] = field(default_factory=Counter)
    accepted: dict[str, float] = field(default_factory=dict)
    ended: dict[str, tuple[float, str]] = field(default_factory=dict)
    memory: dict[str, list[float]] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)
    draw: random.Random = field(default_factory=lambda: random.Random(0))
    pause: float = 0.0

    def run(self, seconds: float) -> float:
        """Load it; the rate that was asked for, per second."""
        threads = [threading.Thread(target=self._client, daemon=True) for _ in range(CLIENTS)]
        for act in (*threads, threading.Thread(target=self._watch, daemon=True)):
            act.start()
        time.sleep(WARM_UP_S)
        begun, since = len(self.ended), time.monotonic()
        time.sleep(WARM_UP_S)
        until(lambda: len(self.ended) > begun, why="something ended")  # on a machine that is busy, later
        rate = (len(self.ended) - begun) / (time.monotonic() - since)
        self.pause = CLIENTS / (2 * rate)
        self._torment(seconds)
        self.over.set()
        for thread in threads:
            thread.join()
        end = time.monotonic() + DRAIN_S
        while len(self.ended) < len(self.accepted) and time.monotonic() < end:
            time.sleep(0.5)
        return 2 * rate

    def _client(self) -> None:
        """Ask and wait, until it is known how much is too much; then ask at that rate, and wait for nothing."""
        due = time.monotonic()
        while not self.over.is_set():
            try:
                self._ask(wait=not self.pause)
            except httpx.TransportError as error:
                self.answers[type(error).__name__] += 1
            due = max(due + self.pause, time.monotonic() - 5 * self.pause)
            self.over.wait(max(0.0, due - time.monotonic()))

    def _ask(self, wait: bool) -> None:
        answer = self._trouble() if self.draw.random() < 0.1 else self._digit()
        self.answers[str(answer.status_code)] += 1
        if answer.is_success:
            job = answer.json()["id"]
            self.accepted.setdefault(job, time.monotonic())
            if wait:
                self.house.client.get(f"explanations/{job}?wait=10")
        elif answer.status_code in (429, 503):
            self.over.wait(min(2.0, float(answer.headers["retry-after"])))

    def _digit(self) -> httpx.Response:
        data = [round(self.draw.random(), 3) for _ in range(28 * 28)]
        given = {"tensor": {"shape": [1, 28, 28], "dtype": "float32", "data": data}}
        body = {"model": "digits", "method": self.draw.choice(METHODS), "input": given}
        return self.house.client.post("explanations", json=body, headers={"Prefer": "respond-async"})

    def _trouble(self) -> httpx.Response:
        if self.draw.random() < 0.05:
            return self.house.post(self.draw.choice(TROUBLES))
        return self.house.post(seconds=0.02, method=SWEEP)

    def _torment(self, seconds: float) -> None:
        """Kill workers one way and another, and Redis at half time."""
        end, half = time.monotonic() + seconds, time.monotonic() + seconds / 2
        ways: dict[str, Callable[[Kept], None]] = {
            "child": kill_child,
            "worker": Kept.kill_all,
            "worker asked to end": lambda kept: kept.kill(signal.SIGTERM),
        }
        for number in itertools.count():
            time.sleep(min(KILL_EVERY_S, max(0.0, end - time.monotonic())))
            if time.monotonic() >= end:
                return
            how = list(ways)[number % len(ways)]
            ways[how](self.house.crew[number % WORKERS])
            self.kills[how] += 1
            if not self.kills["redis"] and time.monotonic() >= half:
                self.house.redis.kill()
                self.house.redis.start()
                self.kills["redis"] += 1

    def _watch(self) -> None:
        """See what ends, and how much memory the processes take."""
        looked = 0.0
        while True:
            try:
                for job in [job for job in list(self.accepted) if job not in self.ended]:
                    if (state := self.house.record(job)) in FINAL:
                        self.ended[job] = time.monotonic() - self.accepted[job], state
                if time.monotonic() - looked > LOOK_EVERY_S:
                    looked = time.monotonic()
                    self._weigh()
            except (RedisError, psutil.Error):
                pass
            time.sleep(0.3)

    def _weigh(self) -> None:
        """Of each kind of process the largest."""
        house = self.house
        kinds = {"api": [house.api.pid], "worker": [kept.pid for kept in house.crew]}
        kinds["child"] = [pid for kept in house.crew for pid in kept.children()]
        for kind, pids in kinds.items():
            sizes = [psutil.Process(pid).memory_info().rss for pid in pids]
            self.memory.setdefault(kind, []).append(max(sizes, default=0) / 2**20)
        info: Any = house.jobs.info("memory")
        self.memory.setdefault("redis", []).append(info["used_memory"] / 2**20)

    def lost(self) -> list[str]:
        return [job for job in self.accepted if job not in self.ended]

    def grown(self) -> list[str]:
        """The kinds of process that took much more in the last third than in the first; Redis keeps what was asked."""
        thirds = {kind: (sizes[: len(sizes) // 3], sizes[-len(sizes) // 3 :]) for kind, sizes in self.memory.items()}
        return [
            kind
            for kind, (first, last) in thirds.items()
            if kind != "redis" and first and max(last) - max(first) > GROWTH_MB
        ]


def kill_child(kept: Kept) -> None:
    for pid in kept.children()[:1]:
        os.kill(pid, signal.SIGKILL)


def told(soak: Soak, rate: float, seconds: float) -> Table:
    table = Table("", "", title=f"Soak of {seconds:.0f} s at {rate:.0f} requests a second", show_header=False)
    waits = sorted(wait for wait, _ in soak.ended.values())
    points = quantiles(waits, n=100) if len(waits) > 1 else [0.0] * 99
    states = Counter(state for _, state in soak.ended.values())
    table.add_row("answers", ", ".join(f"{n} x {code}" for code, n in sorted(soak.answers.items())))
    table.add_row("killed", ", ".join(f"{n} x {how}" for how, n in soak.kills.items()))
    table.add_row("accepted jobs", f"{len(soak.accepted)}: {', '.join(f'{n} {s}' for s, n in states.items())}")
    table.add_row("lost", str(len(soak.lost())))
    table.add_row("seconds to the end", f"p50 {points[49]:.1f}, p99 {points[98]:.1f}, most {max(waits, default=0):.1f}")
    for kind, sizes in soak.memory.items():
        every = [f"{size:.0f}" for size in sizes[:: max(1, len(sizes) // 10)]]
        table.add_row(f"largest {kind}, MB over time", ", ".join(every))
    table.add_row("left over in Redis", str(soak.house.leftovers() or "nothing"))
    table.add_row("keys in Redis", str(soak.house.jobs.dbsize()))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    seconds = 60 * parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="whence-soak-", ignore_cleanup_errors=True) as folder:
        options = ("--appendonly", "yes", "--maxmemory-policy", "noeviction")
        digits = ROOT / "models" / "digits"
        with House(Path(folder) / "house", workers=WORKERS, options=options, models=(digits,)) as house:
            soak = Soak(house)
            rate = soak.run(seconds)
            time.sleep(15)
            Console(width=150).print(told(soak, rate, seconds))
            for job in soak.lost()[:5]:
                print("lost", job, house.jobs.hgetall(keys.job(job)), file=sys.stderr)
            for name in soak.grown():
                print("grown", name, file=sys.stderr)
            return bool(soak.lost() or house.leftovers() or soak.grown() or set(soak.answers) & {"500", "502"})


if __name__ == "__main__":
    sys.exit(main())
