"""What the tests of worker and worker_stopping share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from service.queue.queue import Queue
from service.queue.status import Status
from service.queue.submission import Order
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.result import Attribution
from workers.methods.gradient.gradient import Gradient

LONG = {"name": "integrated_gradients", "steps": 16}


@dataclass
class Bells:
    rung: list[str] = field(default_factory=list)

    def __call__(self, priority: str) -> None:
        self.rung.append(priority)


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[Batch], None]) -> list[int]:
    """Something happens while the gradient method runs; the sizes of the batches it ran on."""
    ran = []
    explain = Gradient.explain

    def explained(method: Gradient, model: Model, batch: Batch) -> Attribution:
        ran.append(len(batch))
        act(batch)
        result = explain(method, model, batch)
        assert isinstance(result, Attribution)
        return result

    monkeypatch.setattr(Gradient, "explain", explained)
    return ran


async def settled(queue: Queue, orders: Sequence[Order]) -> list[Status]:
    found = await queue.statuses([each.job.id for each in orders])
    return [status for status in found if status is not None]
