"""Clients that ask a server at once, and what each of their requests took."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from benchmarks.wire import Wire, request

PATIENCE_S = 600


@dataclass
class Side:
    """A server, and how it is asked."""

    name: str
    port: int
    path: Callable[[str], str]
    headers: Mapping[str, str] = field(default_factory=dict)
    group: int | None = None

    @contextmanager
    def awake(self) -> Iterator[None]:
        """A server in a process `group` stands still while it is not asked: LitServe's loops never rest."""
        if self.group is not None:
            os.killpg(self.group, signal.SIGCONT)
        yield
        if self.group is not None:
            os.killpg(self.group, signal.SIGSTOP)

    def message(self, method: str, picture: bytes) -> bytes:
        return request("POST", self.path(method), picture, **self.headers)

    def run(self, method: str, pictures: Sequence[bytes], clients: int) -> Run:
        """Each client sends its next picture when its last one is answered."""
        waiting = iter([self.message(method, picture) for picture in pictures])
        with self.awake(), ThreadPoolExecutor(clients) as pool:
            started = time.perf_counter()
            taken = list(pool.map(lambda wire: list(self._asked(wire, waiting)), self._wires(clients)))
            return Run(time.perf_counter() - started, [one for many in taken for one in many])

    def first(self, method: str, picture: bytes) -> bytes:
        with self.awake():
            return Wire(self.port, PATIENCE_S).ask(self.message(method, picture)).body

    def _wires(self, clients: int) -> list[Wire]:
        return [Wire(self.port, PATIENCE_S) for _ in range(clients)]

    @staticmethod
    def _asked(wire: Wire, waiting: Iterator[bytes]) -> Iterator[float]:
        for message in waiting:
            began = time.perf_counter()
            got = wire.ask(message)
            assert got.status == 200, got
            assert got.headers.get("cache-status", "fwd=miss; stored").endswith("fwd=miss; stored"), got.headers
            yield time.perf_counter() - began


@dataclass(frozen=True)
class Run:
    """How long all took, and each."""

    seconds: float
    each: Sequence[float]

    @property
    def rate(self) -> float:
        return len(self.each) / self.seconds

    def told(self, name: str, ceiling: float) -> str:
        middle, late = statistics.median(self.each), float(np.quantile(self.each, 0.99))
        return f"   {name:48} {self.rate:8.2f} {middle * 1e3:9.0f} ms {late * 1e3:9.0f} ms {self.rate / ceiling:7.2f}"
