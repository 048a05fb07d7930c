"""What routes need of each request: the queue, the settings, the metrics; an id, a wait, and waiting itself."""

from dataclasses import dataclass
from typing import Annotated, TypeAlias, cast

from fastapi import Path, Query
from starlette.requests import Request

from service.explanations.responses import find_status
from service.explanations.waiting import while_connected
from service.explanations.webhooks import Webhooks
from service.http.access import caller_of
from service.http.metrics import Metrics
from service.http.negotiation import Prefer, parse_prefer
from service.queue.queue import Queue
from service.queue.status import Status
from service.settings import Settings
from workers.contract import Datasets

Key: TypeAlias = Annotated[str, Path(alias="id", description="The id of an explanation: 64 hex digits.")]
Wait: TypeAlias = Annotated[float, Query(ge=0, allow_inf_nan=False, description="Seconds to wait for it to finish.")]


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the routes of a running app depend on."""

    queue: Queue
    settings: Settings
    metrics: Metrics
    datasets: Datasets
    webhooks: Webhooks


def dependencies_of(request: Request) -> Dependencies:
    return cast(Dependencies, request.app.state.dependencies)


def preferred_wait(request: Request) -> Prefer:
    """How long a request waits for its result: what its Prefer headers ask for, or what the settings say."""
    settings = dependencies_of(request).settings
    return parse_prefer(request.headers.getlist("prefer"), settings.wait, settings.longest_wait)


async def awaited(request: Request, key: str, wait: float) -> Status:
    """The status, as soon as it is final or after `wait` seconds, which are capped; raises NotFound, ClientDisconnect.

    As long as it waits, its connection is one that wants the explanation.
    """
    queue, longest = dependencies_of(request).queue, dependencies_of(request).settings.longest_wait
    status, seconds = await find_status(queue, key), min(wait, longest)
    if status.final or not seconds:
        return status
    async with queue.attached([key], caller_of(request), seconds):
        return await while_connected(request, find_status(queue, key, seconds))
