"""Lanes: short works of this machine's own run side by side, so that no core waits while one decodes or stores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog

from workers.engine.device import DeviceLost
from workers.jobs.work import Work
from workers.runtime import openmp
from workers.runtime.execute import faults
from workers.runtime.execute.hardware import set_threads
from workers.runtime.short import short

AT_ONCE = 2
WORTH_S = 0.005  # a row: what takes less is done sooner than a thread begins it

log = structlog.get_logger()


@dataclass
class Lanes:
    """At most two at once, which share torch's `threads`; with one thread, or none to share, none.

    `loaded(digest)` says whether a model is: what builds one needs the process to itself.
    """

    threads: int = 1
    loaded: Callable[[str], bool] = frozenset[str]().__contains__
    _free: list[ThreadPoolExecutor] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.any = self.threads > 1
        self._free += [ThreadPoolExecutor(1, f"lane {n}") for n in range(AT_ONCE)]

    @property
    def running(self) -> int:
        """How many works run at once here."""
        return max(1, AT_ONCE - len(self._free))

    def allow(self, works: Sequence[Work]) -> bool:
        """Whether works may run beside others: short ones, of a model that is loaded."""
        return self.any and self.loaded(works[0].job.model) and short(works)

    def begin(self, work: Callable[[], None]) -> None:
        """Do it in a lane; comes back once another one is free."""
        with self._changed:
            lane = self._free.pop()  # the last that was used, whose memory is at hand
            threads = max(1, self.threads // self.running)
        lane.submit(self._do, lane, work, threads)
        with self._changed:
            self._changed.wait_for(lambda: bool(self._free))

    def wait(self, seconds: float | None = None) -> bool:
        """Whether all that was begun has ended, within so many seconds where they are given."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._free) == AT_ONCE, seconds)

    def alone(self) -> None:
        """Wait until all that was begun has ended; what follows has all threads: MKL's number is one for all."""
        if self.any:
            self.wait()
            set_threads(self.threads)

    def _do(self, lane: ThreadPoolExecutor, work: Callable[[], None], threads: int) -> None:
        set_threads(threads)
        try:
            work()
        except DeviceLost:
            faults.end()
        except Exception:
            log.exception("work in a lane failed; its lease lapses, and it is tried again")
        finally:
            if threads > 1:
                openmp.rest()
            with self._changed:
                self._free.append(lane)
                self._changed.notify_all()
