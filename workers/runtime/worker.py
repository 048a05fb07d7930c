"""What a worker does when its bell rings: claim, run, store, finish."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

import structlog
from redis.exceptions import RedisError

from workers.explanation.errors import Cancelled, ExplainError, ModelAway, ResultStoreAway, ResultStoreFull
from workers.jobs import keys
from workers.jobs.records import Store
from workers.jobs.refusals import full
from workers.jobs.stored_results import Finished, Results
from workers.jobs.work import Work
from workers.runtime import instrumentation, openmp
from workers.runtime.aside import Aside
from workers.runtime.execute.run import Known, Load, Outcome, Supply, run_together, unsupplied
from workers.runtime.lanes import WORTH_S, Lanes
from workers.runtime.lease import FIT_LIMIT_S, Lease, Stopping
from workers.runtime.pace import Pace
from workers.runtime.supervise import shutdown

AWHILE_S = 0.1
PORTION = 2**21  # bytes that are stored at once
FAREWELL_S = 3.0  # in which every API has seen that this worker ends

log = structlog.get_logger()


def _nothing() -> None:
    """Told to nobody."""


def _here(_: Work) -> bool:
    """No server computes it."""
    return False


@dataclass(frozen=True)
class Worker:
    """One process that explains; `ring(priority)` wakes some worker, `time_limit` is of one batch, in seconds.

    `serves` are the priorities whose work it takes, separated by commas. `tell()` says anew what models it has, and
    `retire()` that it is no more. `elsewhere(work)` says whether a server computes it: then it is done `aside`, and
    `limit()` has no more claimed of the models of which as much is done there as may be. What is short runs in `lanes`.
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
    tell: Callable[[], None] = _nothing
    retire: Callable[[], None] = _nothing
    elsewhere: Callable[[Work], bool] = _here
    limit: Callable[[], None] = _nothing
    aside: Aside = field(default_factory=Aside)
    lanes: Lanes = field(default_factory=Lanes)

    def answer(self, bell: str) -> None:
        """Do what is next, as much as may run together; for what is left the bell rings before the work begins."""
        owner = f"{self.name}:{uuid.uuid4().hex}"
        claim = self.store.claim(bell, owner, self.serves, beside=self.lanes.any)
        if claim.ring:
            if not claim.works:
                time.sleep(AWHILE_S)  # what waits is for another, who waits longer than this one for the next bell
            self._wake(bell)
        for foreign in claim.foreign:
            log.warning("work of another version cannot be done", job=foreign.id, reason=foreign.error.detail)
            self.store.finish(foreign.id, owner, foreign.error)
        instrumentation.claimed(claim)
        if not claim.works:
            return
        if self.elsewhere(claim.works[0]):
            model = claim.works[0].job.model
            self.aside.begin(model, lambda: self._do(claim.works, owner), self._limit)
            if model in self.aside.full():
                self._limit()
            return
        beside = self.lanes.allow(claim.works)
        if beside and claim.works[0].cost >= WORTH_S:
            self.lanes.begin(lambda: self._do(claim.works, owner))
        else:
            self._do(claim.works, owner, alone=not beside)
            if not beside and self.lanes.any:
                openmp.rest()  # or the helpers of a lane would hardly wait for its next loop

    def _do(self, claimed: Sequence[Work], owner: str, *, alone: bool = False) -> None:
        """Run what was claimed under a lease, and settle each outcome as it comes; `alone` once the lanes are empty."""
        open_ids, away = {work.id for work in claimed}, set()
        pace = Pace(running=lambda: self.lanes.running)
        with Lease(self.store, owner, claimed, self.time_limit, self.fit_limit) as lease:
            try:
                if alone:
                    self.lanes.alone()
                left = [work for work in claimed if not self._stored(work, owner)]
                works = self.store.with_inputs(left, owner)
                for known in run_together(works, pace.apart(self.load), lease.watch, self.supply):
                    settled = [(work, one) for work, one in known if not isinstance(one, ModelAway)]
                    away |= {work.id for work, one in known if isinstance(one, ModelAway)}
                    for some in portions(settled):
                        self._settle_together(some, owner)
                        open_ids -= {work.id for work, _ in some}
                    for work, outcome in settled:
                        pace.note(work, finished=isinstance(outcome, Finished))
                if away:
                    self.tell()  # before it is handed back: else we should take it again
                    self._hand_back(owner, away)
            except (Stopping, SystemExit) as end:
                self._hand_back(owner, open_ids)
                if isinstance(end, SystemExit):
                    raise
        self._tell(pace)

    def farewell(self) -> None:
        """Asked to end: what only this worker can do is done, while nobody sends it any more; then it is told gone."""
        try:
            while shutdown.lasting() < FAREWELL_S:
                for priority in keys.PRIORITIES:
                    if priority in self.serves and self.store.waiting([priority], self.store.profile):
                        self.answer(priority)
                time.sleep(AWHILE_S)
            self.lanes.wait(shutdown.GRACE_S)
            self.aside.wait(shutdown.GRACE_S)  # what is not done by then is handed back
            self.retire()
        except RedisError as away:
            log.warning("the worker ends without a word", error=type(away).__name__)

    def _limit(self) -> None:
        try:
            self.limit()
        except RedisError as away:
            log.warning("it could not be told what is claimed; the next heartbeat does", error=type(away).__name__)

    def _hand_back(self, owner: str, ids: Collection[str]) -> None:
        for due in self.store.hand_back(owner, sorted(ids)):
            self._wake(due)

    def _wake(self, bell: str) -> None:
        try:
            self.ring(bell)
        except RedisError as away:
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

    def _settle_together(self, known: Known, owner: str) -> None:
        """As `_settle` of each; those that succeed and are new by one round trip to either Redis."""
        made = {work.id: one for work, one in known if isinstance(one, Finished) and not work.recompute}
        stored = self.results.save_together(made)
        closed = self.store.finish_together(sorted(stored), owner)
        for work, outcome in known:
            if work.id in closed:
                self._settled(work, None, first=closed[work.id])
            else:
                self._settle(work, owner, None if work.id in stored else outcome)

    def _settle(self, work: Work, owner: str, outcome: Outcome | None) -> None:
        """Store the outcome (None: it is), then close the job; what Redis does not take now is the reconciler's."""
        try:
            error = self._save(work, outcome) if isinstance(outcome, Finished) else outcome
            first = isinstance(error, Cancelled) or self.store.finish(work.id, owner, error)
        except RedisError as away:
            _told(work).error("an outcome could not be stored; the job will run again", error=type(away).__name__)
            return
        self._settled(work, error, first=first)

    def _settled(self, work: Work, error: ExplainError | None, *, first: bool) -> None:
        became = error.code if error else "succeeded"
        instrumentation.settled(work, became, first=first)
        _told(work).info("finished", outcome=became, first=first)

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


def portions(known: Known) -> Iterator[Known]:
    """Of about so many bytes: whoever waits for the first need not wait until the last is stored."""
    some: Known = []
    size = 0
    for work, outcome in known:
        some.append((work, outcome))
        size += sum(map(len, outcome.arrays.values())) if isinstance(outcome, Finished) else 0
        if size >= PORTION:
            yield some
            some, size = [], 0
    if some:
        yield some


def _told(work: Work) -> structlog.stdlib.BoundLogger:
    told: structlog.stdlib.BoundLogger = log.bind(
        job=work.id, request_id=work.request_id, method=work.job.method.name, model=work.model
    )
    return told


def compared(result: Finished, before: dict[str, object] | None) -> Finished:
    """A result computed again, which says whether it equals the stored one in every byte of its arrays."""
    if before is None:
        return result
    receipt = before["receipt"]
    assert isinstance(receipt, dict)
    same = receipt["sha256"] == result.meta["receipt"]["sha256"]
    return replace(result, meta={**result.meta, "recomputed": {"equal": same}})
