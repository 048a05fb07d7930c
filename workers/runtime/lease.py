"""Lease: holds claimed works while they run, and tells the running batch when to stop."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from redis.exceptions import RedisError

from workers.explanation.errors import Cancelled, DeadlineExceeded
from workers.jobs import keys
from workers.jobs.records import LEASE_MS, Store
from workers.jobs.work import Work
from workers.runtime.execute.faults import EXIT_CODE
from workers.runtime.supervise import activity, shutdown

RENEW_S = 2.0
REPORT_S = 0.2
FIT_LIMIT_S = 3600.0
HANGS_S = 10.0  # on top of twice the limit

log = structlog.get_logger()


class Stopping(BaseException):
    """The worker must stop now; not an Exception, so that no method takes it for one of its own."""


@dataclass
class Lease:
    """Use as `with Lease(store, owner, works, time_limit) as lease: run(works, load, lease.watch)`.

    `time_limit` is in seconds, for one batch; `fit_limit` for what takes no input, which looks at a whole dataset.
    `lost` holds the ids that are no longer ours or no longer wanted.
    """

    store: Store
    owner: str
    works: Sequence[Work]
    time_limit: float
    fit_limit: float = FIT_LIMIT_S
    lost: set[str] = field(default_factory=set)
    _held: frozenset[str] = frozenset()
    _watch: BatchReport | None = None
    _done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Lease:
        self._held = frozenset(work.id for work in self.works)
        self._watch = self._begun(self.works)  # a model that hangs as it loads is not held for ever either
        threading.Thread(target=self._hold, name="lease", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """What is still held after an error is let go, so that it need not lapse."""
        self._done.set()
        if kind is not None:
            self._let_go(self._held)

    def _let_go(self, ids: Iterable[str]) -> None:
        try:
            self.store.let_go(self.owner, sorted(ids))
        except RedisError as error:
            log.warning("leases are left to lapse", error=type(error).__name__)

    def watch(self, works: Sequence[Work]) -> BatchReport:
        """The report of a batch that starts now; raises Stopping where the worker ends."""
        if shutdown.due():
            raise Stopping
        self._watch = self._begun(works)
        return self._watch

    def _begun(self, works: Sequence[Work]) -> BatchReport:
        whole = all(work.job.method.takes_input for work in works)
        return BatchReport(self, [work.id for work in works], self.time_limit if whole else self.fit_limit)

    @contextmanager
    def leading(self, job_id: str) -> Iterator[bool]:
        """Hold a job that is computed for the sake of another; False where another worker holds it.

        Where it ends well its result is stored, and whoever asked for that job itself is told.
        """
        if not self._taken(job_id):
            yield False
            return
        self._held |= {job_id}
        try:
            yield True
        except BaseException:
            self._settle(job_id, done=False)
            raise
        else:
            self._settle(job_id, done=True)

    def _taken(self, job_id: str) -> bool:
        """A lease that this very worker took before, in this claim or an earlier life, is no other's."""
        try:
            if self.store.jobs.set(keys.lease(job_id), self.owner, nx=True, px=LEASE_MS):
                return True
            holder = self._holder(job_id)
            if holder.rpartition(":")[0] != self.owner.rpartition(":")[0]:
                return False
            self.store.jobs.set(keys.lease(job_id), self.owner, px=LEASE_MS)
        except RedisError as error:  # nobody can tell: twice is better than never
            log.warning("a lease could not be asked for", job=job_id, error=type(error).__name__)
        return True

    def _holder(self, job_id: str) -> str:
        holder = self.store.jobs.get(keys.lease(job_id))
        return holder.decode() if isinstance(holder, bytes) else ""

    def _settle(self, job_id: str, done: bool) -> None:
        if any(work.id == job_id for work in self.works):
            return
        self._held -= {job_id}
        try:
            if done:
                self.store.finish(job_id, self.owner)
        except RedisError as error:
            log.warning("a fit could not be told", job=job_id, error=type(error).__name__)
        else:
            self._let_go([job_id])

    def _hold(self) -> None:
        """Renew until done; a step that hangs far beyond the limit ends the process, and the reconciler takes over."""
        while not self._done.wait(RENEW_S):
            activity.note()
            if self._watch is not None and self._watch.hangs():
                self._end(self._watch.ids)
            try:
                self.lost |= self.store.renew(self.owner, sorted(self._held))
            except RedisError as error:
                log.warning("a lease could not be renewed", error=type(error).__name__)

    def _end(self, ids: Sequence[str]) -> None:
        """End the process; a job that hung alone is to blame, and would hang again."""
        log.critical("a step hangs; this process ends", jobs=ids)
        try:
            if len(ids) == 1:
                self.store.finish(ids[0], self.owner, DeadlineExceeded("a step of the work hung, and was ended"))
        finally:
            os._exit(EXIT_CODE)


@dataclass
class BatchReport:
    """The report of a batch: call it with (done, total, unit).

    Raises Cancelled when nobody wants any of the works, DeadlineExceeded when they take longer than `limit` seconds,
    Stopping when the worker ends.
    """

    lease: Lease
    ids: Sequence[str]
    limit: float
    started: float = field(default_factory=time.monotonic)
    _told: float | None = None

    def __call__(self, done: int, total: int, unit: str) -> None:
        now = time.monotonic()
        activity.note()
        if now - (self._told or self.started) >= REPORT_S or (done == total and self._told is not None):
            self._told = now  # work that is over by then tells nothing on its way
            self._tell(done, total, unit)
        self.look()

    def look(self) -> None:
        """Raise as a report does, where there is nothing to report."""
        now = time.monotonic()
        if self.lease.lost.issuperset(self.ids):
            raise Cancelled("withdrawn by everyone who waited for it")
        if now - self.started > self.limit:
            raise DeadlineExceeded(f"the work took longer than the {self.limit:g} s that the server allows")
        if shutdown.due():
            raise Stopping

    def hangs(self) -> bool:
        """Whether it should have reported, and stopped, long ago."""
        return time.monotonic() - self.started > 2 * self.limit + HANGS_S

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A fit in the midst of the batch: it has a limit of its own, and costs the batch none of its time."""
        began, started, limit = time.monotonic(), self.started, self.limit
        self.limit = max(limit, self.lease.fit_limit)  # before the start and after it: another thread asks if it hangs
        self.started = began
        try:
            yield
        finally:
            self.started = started + time.monotonic() - began
            self.limit = limit

    def _tell(self, done: int, total: int, unit: str) -> None:
        try:
            self.lease.lost |= self.lease.store.report(self.ids, done, total, unit)
        except RedisError as error:
            log.warning("progress could not be told", error=type(error).__name__)
