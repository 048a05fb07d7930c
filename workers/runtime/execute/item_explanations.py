"""Items of a dataset explained one by one, in batches, each kept under the id that it has alone."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from redis.exceptions import RedisError

from workers.datasets.contents import Contents, sent
from workers.engine.model.batch import Report
from workers.engine.model.resources import ItemExplanation
from workers.explanation.errors import ExplainError, ResultStoreFull
from workers.explanation.names.dataset_classes import Classes
from workers.explanation.target import Target
from workers.jobs import keys
from workers.jobs.job import Job
from workers.jobs.stored_results import Finished, Results
from workers.jobs.work import Work
from workers.methods.method import Method
from workers.runtime.execute.run import Outcome
from workers.runtime.lease import BatchReport, Stopping

if TYPE_CHECKING:
    from workers.engine.model.function import Function

AT_ONCE = 32
TURN_S = 2.0  # after which what is interactive goes first
LONGEST_TURN_S = 60.0  # after which whatever waits has its turn

Run = Callable[[Sequence[Work], Report], Iterable[tuple[Work, Outcome]]]


@dataclass(frozen=True)
class ItemExplanations:
    """The items of one dataset, by one method, of one target, with the `classes` of that method's datasets.

    `run` explains works, `report` is that of the job.
    """

    model: Function
    contents: Contents
    method: Method
    target: Target | None
    classes: Classes
    results: Results
    run: Run
    report: Report

    def __call__(self, start: int, stop: int) -> Iterator[list[ItemExplanation]]:
        """As Resources.explanations; raises Stopping where others should have a turn."""
        began = time.monotonic()
        for first in range(start, stop, AT_ONCE):
            yield self._some(range(first, min(first + AT_ONCE, stop)))
            _give_way(self.report, time.monotonic() - began)

    def _some(self, numbers: range) -> list[ItemExplanation]:
        works: dict[int, Work] = {}
        found: dict[int, ItemExplanation] = {}
        for number in numbers:
            try:
                works[number] = self._work(number)
            except ExplainError as error:
                found[number] = self._made(number, keys.NO_ID, error)
        known = self.results.several([work.id for work in works.values()])
        left = [work for work in works.values() if work.id not in known]
        outcomes = {work.id: outcome for work, outcome in self.run(_unique(left), self._checked)}
        for job_id, outcome in outcomes.items():
            if isinstance(outcome, Finished):
                self._save(job_id, outcome)
        for number, work in works.items():
            found[number] = self._made(number, work.id, known.get(work.id) or outcomes[work.id])
        return [found[number] for number in numbers]

    def _checked(self, *_: object) -> None:
        """Of the steps of some items: how far they are is not how far the job is."""
        if isinstance(self.report, BatchReport):
            self.report.look()

    def _work(self, number: int) -> Work:
        (kind, digest, data), now = sent(self.contents.item(number)), time.time()
        card = self.model.card
        precision = self.model.precision
        job = Job(
            model=card.digest,
            input=digest,
            target=self.target,
            method=self.method,
            precision=precision,
            classes=self.classes,
        )
        return Work(job.id, job, card.name, now, now, kind=kind, data=data)

    def _save(self, job_id: str, outcome: Finished) -> None:
        try:
            self.results.save(job_id, outcome)
        except RedisError:
            raise ResultStoreFull("the result store takes no more; what is there is kept, try again") from None

    def _made(self, number: int, job_id: str, outcome: Outcome) -> ItemExplanation:
        labels = self.contents.labels
        label = None if labels is None else int(labels[number])
        if isinstance(outcome, ExplainError):
            return ItemExplanation(number, job_id, label, error=outcome)
        kind = outcome.meta["kind"]
        maps = {name: _loaded(data) for name, data in outcome.arrays.items() if name.partition(".")[0] == kind}
        return ItemExplanation(number, job_id, label, maps, outcome.meta)


def _give_way(report: Report, seconds: float) -> None:
    """Stop here, to be taken up again from what is kept, where others wait who should have a turn."""
    if not isinstance(report, BatchReport) or seconds < TURN_S:
        return
    waiting = report.lease.store.jobs.exists(keys.callers(keys.INTERACTIVE))
    if waiting or seconds > LONGEST_TURN_S:
        raise Stopping


def _unique(works: Sequence[Work]) -> list[Work]:
    """Equal items are one."""
    return list({work.id: work for work in works}.values())


def _loaded(data: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return array
