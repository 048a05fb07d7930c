"""What a worker does when its bell rings: claim, run, store, finish."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

import structlog
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from workers.explanation.errors import Cancelled, ResultStoreAway, ResultStoreFull
from workers.jobs import keys
from workers.jobs.connection import full
from workers.jobs.records import Foreign, Store, Work
from workers.jobs.stored_results import Finished, Results
from workers.runtime import instrumentation
from workers.runtime.execute.run import Load, Outcome, Supply, run, unsupplied
from workers.runtime.lease import FIT_LIMIT_S, Lease, Stopping
from workers.runtime.pace import Pace

PATIENCE_S = 60.0  # that work of another version waits for a worker of that version
AWHILE_S = 0.1

log = structlog.get_logger()
PASSED_S = 5.0


@dataclass
class Passed:
    """Groups by when they may be looked at again: one whose jobs no worker takes is to come back and fail."""

    until: dict[str, float] = field(default_factory=dict)

    def note(self, groups: Collection[str]) -> None:
        """Pass these by for a while."""
        self.until |= dict.fromkeys(groups, time.monotonic() + PASSED_S)

    def groups(self) -> list[str]:
        """Those to pass by now."""
        now = time.monotonic()
        self.until = {group: until for group, until in self.until.items() if until > now}
        return list(self.until)


@dataclass(frozen=True)
class Worker:
    """One process that explains; `ring(priority)` wakes some worker, `time_limit` is of one batch, in seconds.

    `serves` are the priorities whose work it takes, separated by commas.
    """

    name: str
    store: Store
    results: Results
    load: Load
    ring: Callable[[str], None]
    time_limit: float
    supply: Supply = unsupplied
    fit_limit: float = FIT_LIMIT_S
    serves: str = ",".join(keys.PRIORITIES)
    passed: Passed = field(default_factory=Passed)

    def answer(self, bell: str) -> None:
        """Do what is next, as much as may run together; for what is left the bell rings before the work begins."""
        owner = f"{self.name}:{uuid.uuid4().hex}"
        claim = self.store.claim(bell, owner, self.serves, self.passed.groups())
        ring = {bell} if claim.ring else set()
        ring.update(self._declined(claim.foreign, owner))
        if not claim.works and ring:
            time.sleep(AWHILE_S)  # what waits is for another worker, who waits longer than this one for the next bell
        for priority in ring:
            self._wake(priority)
        instrumentation.claimed(claim)
        if not claim.works:
            return
        open_ids = {work.id for work in claim.works}
        pace = Pace()
        with Lease(self.store, owner, claim.works, self.time_limit, self.fit_limit) as lease:
            try:
                left = [work for work in claim.works if not self._stored(work, owner)]
                works = self.store.with_inputs(left, owner)
                for work, outcome in run(works, pace.apart(self.load), lease.watch, self.supply):
                    self._settle(work, owner, outcome)
                    open_ids.discard(work.id)
                    pace.note(work, finished=isinstance(outcome, Finished))
            except (Stopping, SystemExit) as end:
                for due in self.store.hand_back(owner, sorted(open_ids)):
                    self._wake(due)
                if isinstance(end, SystemExit):
                    raise
        self._tell(pace)

    def _declined(self, foreign: Sequence[Foreign], owner: str) -> list[str]:
        """Work of another version goes back, and its kind is passed by for a while; what no worker took fails."""
        old = [one for one in foreign if self.store.now() - one.created_at > PATIENCE_S]
        for one in old:
            log.warning("work of another version was taken by no worker", job=one.id, reason=one.error.detail)
            self.store.finish(one.id, owner, one.error)
        self.passed.note({one.group for one in foreign})
        return self.store.hand_back(owner, [one.id for one in foreign if one not in old])

    def _wake(self, bell: str) -> None:
        try:
            self.ring(bell)
        except (OperationalError, RedisError) as away:
            log.warning("a bell did not ring; the reconciler will ring it", error=type(away).__name__)

    def _tell(self, pace: Pace) -> None:
        try:
            self.store.paced(pace.measured())
        except RedisError as away:
            log.warning("a pace could not be told", error=type(away).__name__)

    def _stored(self, work: Work, owner: str) -> bool:
        """Whether an earlier worker stored this result and died before it could say so."""
        if work.attempts == 1 or work.recompute:
            return False
        try:
            there = self.results.meta(work.id) is not None
        except RedisError as away:
            log.warning("an earlier result could not be looked up", job=work.id, error=type(away).__name__)
            return False  # an error here would cost every job of the claim an attempt
        if there:
            self.store.finish(work.id, owner)
        return there

    def _settle(self, work: Work, owner: str, outcome: Outcome) -> None:
        """Store the outcome, then close the job; what Redis will not take now is left to the reconciler."""
        told = log.bind(job=work.id, request_id=work.request_id, method=work.job.method.name, model=work.model)
        try:
            error = self._save(work, outcome) if isinstance(outcome, Finished) else outcome
            first = isinstance(error, Cancelled) or self.store.finish(work.id, owner, error)
        except RedisError as away:
            told.error("an outcome could not be stored; the job will run again", error=type(away).__name__)
            return
        became = error.code if error else "succeeded"
        instrumentation.settled(work, became, first=first)
        told.info("finished", outcome=became, first=first)

    def _save(self, work: Work, result: Finished) -> ResultStoreFull | ResultStoreAway | None:
        try:
            self.results.save(work.id, compared(result, self.results.meta(work.id)) if work.recompute else result)
        except RedisError as error:
            if self.results.cache is self.store.jobs and not full(error):
                raise  # the job cannot be closed either, and runs again
            log.error("a result could not be stored", job=work.id, error=type(error).__name__)
            if full(error):
                return ResultStoreFull("the result was computed, and the result store has no room for it; try again")
            return ResultStoreAway("the result was computed, and the result store takes none now; try again")
        return None


def compared(result: Finished, before: dict[str, object] | None) -> Finished:
    """A result computed again, which says whether it equals the stored one in every byte of its arrays."""
    if before is None:
        return result
    receipt = before["receipt"]
    assert isinstance(receipt, dict)
    same = receipt["sha256"] == result.meta["receipt"]["sha256"]
    return replace(result, meta={**result.meta, "recomputed": {"equal": same}})
