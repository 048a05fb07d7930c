"""What routes need of each request: the queue, the settings, the metrics; an id, a wait."""

from dataclasses import dataclass
from typing import Annotated, TypeAlias, cast

from fastapi import Path, Query
from starlette.requests import Request

from service.explanations.webhooks import Webhooks
from service.http.metrics import Metrics
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
