"""A queue whose orders are run at once, in this process, on models that a test gives it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from torch import Tensor

from service.queue.status import Problem
from service.queue.submission import Order, Ticket
from tests.service.fakes import FakeQueue
from workers.contract import ExplainError
from workers.engine.model.function import Function
from workers.engine.model.model import Model
from workers.engine.model.resources import NoResources
from workers.jobs.work import Work
from workers.runtime.execute.given_inputs import GivenInputs
from workers.runtime.execute.run import run


class _Given(NoResources):
    """The inputs that came in parameters, and nothing else."""

    def __init__(self, inputs: GivenInputs, model: Function) -> None:
        self._inputs, self._model = inputs, model

    def given(self, digest: str) -> Tensor:
        return self._inputs.of(self._model, digest)


class WorkingQueue(FakeQueue):
    """What it serves are the models' own cards; an input that was sent once is found by its digest."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        super().__init__()
        self.loaded = {model.card.digest: model for model in models.values()}
        self.served = {name: model.published.model_copy(update={"name": name}) for name, model in models.items()}
        self.bytes: dict[str, bytes] = {}
        self.clock = itertools.count(1)

    def _ticket(self, order: Order, arrays: Sequence[str] | None) -> Ticket:
        given, key = order.input, order.job.id
        for one in (given, *order.given):
            if one is not None and one.data is not None:
                self.inputs[one.digest], self.bytes[one.digest] = one.kind, one.data
        if key not in self.results or order.recompute:
            data = None if given is None else self.bytes[given.digest]
            now = float(next(self.clock))
            work = Work(key, order.job, order.model, now, now, kind=given.kind if given else None, data=data)
            ((_, outcome),) = run(
                [work], lambda one: self.loaded[one.job.model].at(one.job.precision), supply=self._supply
            )
            if isinstance(outcome, ExplainError):
                self.put(key, "failed", Problem(code=outcome.code, detail=outcome.detail, pointer=outcome.pointer))
                return Ticket(key, "created")
            self.results[key] = (dict(outcome.meta), dict(outcome.arrays))
        self.put(key, "succeeded")
        meta, held = self.results[key]
        return Ticket(key, "created", meta, None if arrays is None else tuple(map(held.get, arrays)))

    def _supply(self, model: Function, *_: object) -> _Given:
        return _Given(GivenInputs(self._stored), model)

    def _stored(self, digest: str) -> dict[bytes, bytes]:
        return {b"kind": self.inputs[digest].encode(), b"data": self.bytes[digest]}
