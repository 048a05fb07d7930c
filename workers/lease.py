"""Lease: holds claimed works while they run, and tells the running batch when to stop."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
from redis.exceptions import RedisError

from workers import stopping
from workers.engine.batch import Report
from workers.errors import Cancelled, DeadlineExceeded
from workers.store import Store, Work

RENEW_S = 2.0
REPORT_S = 0.2

log = structlog.get_logger()


class Stopping(BaseException):
    """The worker must stop now; not an Exception, so that no method takes it for one of its own."""


@dataclass
class Lease:
    """Use as `with Lease(store, owner, works, time_limit) as lease: run(works, load, lease.watch)`.

    `time_limit` is in seconds, for one batch; `lost` holds the ids that are no longer ours or no longer wanted.
    """

    store: Store
    owner: str
    works: Sequence[Work]
    time_limit: float
    lost: set[str] = field(default_factory=set)
    _since: float = field(default_factory=time.monotonic)
    _done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Lease:
        threading.Thread(target=self._hold, name="lease", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()

    def watch(self, works: Sequence[Work]) -> Report:
        """The report of a batch that starts now.

        Its report raises Cancelled when nobody wants any of the works, DeadlineExceeded when they take too long,
        Stopping when the worker ends.
        """
        if stopping.due():
            raise Stopping
        self._since = started = time.monotonic()
        ids = [work.id for work in works]
        told = 0.0

        def report(done: int, total: int, unit: str) -> None:
            nonlocal told
            now = time.monotonic()
            if self.lost.issuperset(ids):
                raise Cancelled("withdrawn by everyone who waited for it")
            if now - started > self.time_limit:
                raise DeadlineExceeded(f"the work took longer than the {self.time_limit:g} s that the server allows")
            if stopping.due():
                raise Stopping
            if now - told >= REPORT_S or done == total:
                told = now
                self._tell(ids, done, total, unit)

        return report

    def _tell(self, ids: Sequence[str], done: int, total: int, unit: str) -> None:
        try:
            self.store.report(ids, done, total, unit)
        except RedisError as error:
            log.warning("progress could not be told", error=type(error).__name__)

    def _hold(self) -> None:
        """Renew until done; a step that hangs far beyond the limit ends the process, and the reconciler takes over."""
        ids = [work.id for work in self.works]
        while not self._done.wait(RENEW_S):
            if time.monotonic() - self._since > 2 * self.time_limit + 30:
                log.critical("a step hangs; this process ends", jobs=ids)
                os._exit(70)
            try:
                self.lost |= self.store.renew(self.owner, ids)
            except RedisError as error:
                log.warning("a lease could not be renewed", error=type(error).__name__)
