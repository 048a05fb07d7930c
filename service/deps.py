"""What routes need of each request: the queue, the settings, the metrics; an id, a wait, and waiting itself."""

from dataclasses import dataclass
from typing import Annotated, TypeAlias, cast

from fastapi import Path, Query
from starlette.requests import Request

from service.explanations.results import state
from service.explanations.waiting import while_connected
from service.explanations.webhooks import Webhooks
from service.http.callers import caller_of
from service.http.metrics import Metrics
from service.queue.orders import Status
from service.queue.queue import Queue
from service.settings import Settings
from workers.contract import Datasets

Key: TypeAlias = Annotated[str, Path(alias="id", description="The id of an explanation: 64 hex digits.")]
Wait: TypeAlias = Annotated[float, Query(ge=0, allow_inf_nan=False, description="Seconds to wait for it to finish.")]


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a running app."""

    queue: Queue
    settings: Settings
    metrics: Metrics
    datasets: Datasets
    webhooks: Webhooks


def parts_of(request: Request) -> Parts:
    return cast(Parts, request.app.state.parts)


async def awaited(request: Request, key: str, wait: float) -> Status:
    """The status, as soon as it is final or after `wait` seconds, which are capped; raises NotFound, ClientDisconnect.

    As long as it waits, its connection is one that wants the explanation.
    """
    parts = parts_of(request)
    status, seconds = await state(parts.queue, key), min(wait, parts.settings.longest_wait)
    if status.final or not seconds:
        return status
    async with parts.queue.attached([key], caller_of(request), seconds):
        return await while_connected(request, state(parts.queue, key, seconds))
