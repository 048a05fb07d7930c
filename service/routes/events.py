"""The events of an explanation as they happen."""

from collections.abc import AsyncIterator
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from service.deps import Key, dependencies_of
from service.explanations.event_stream import last_of, stream
from service.explanations.responses import checked_id, find_status, raise_for_status
from service.http.access import caller_of
from service.http.addresses import API
from service.http.errors import AllSeen, NotFound
from service.http.negotiation import PNG
from service.render.synthesis import draw_preview
from service.routes import descriptions

LONGEST = 24 * 3600.0  # of a connection that nobody closes

router = APIRouter(prefix=API + "/explanations/{id}", tags=["explanations"])
LastSeen = Annotated[
    str | None, Header(alias="Last-Event-ID", description="The id of the last event seen: go on there.")
]


async def _opened(request: Request, key: Key, last_event_id: LastSeen = None) -> AsyncIterator[None]:
    """All that can be refused is refused before the stream begins, and the attachment ends after it has ended."""
    queue = dependencies_of(request).queue
    status = await find_status(queue, checked_id(key))
    if status.status == "expired":
        raise_for_status(status)
    if status.final:
        if last_event_id == last_of(status):
            raise AllSeen
        yield
        return
    async with queue.attached([key], caller_of(request), LONGEST):
        yield


@router.get("/preview.png", summary="What is being made", **descriptions.PICTURE)
async def preview(request: Request, key: Key) -> Response:
    """Of a synthesis that runs: the input made up so far. Its `progress` events name this address once there is one."""
    deps = dependencies_of(request)
    status = await find_status(deps.queue, checked_id(key))
    found = None if status.final else await deps.queue.preview(key)
    if found is None:
        raise NotFound("nothing is being shown: it is no synthesis, has only begun, or has ended")
    card = deps.queue.cards().get(status.model or "")
    content = await to_thread.run_sync(draw_preview, found, status, card.input.image if card else None)
    return Response(content, headers={"cache-control": "no-store"}, media_type=PNG)


@router.get(
    "/events",
    summary="Follow an explanation",
    response_class=EventSourceResponse,
    dependencies=[Depends(_opened)],
    **descriptions.EVENTS,
)
async def events(request: Request, key: Key, last_event_id: LastSeen = None) -> AsyncIterator[ServerSentEvent]:
    """Server-Sent Events: `queued`, `started`, `progress`, and last `succeeded`, `failed` or `cancelled`.

    The current state comes first. A client that comes back with the id of the last event it saw is told what is new.
    """
    async for event in stream(dependencies_of(request).queue, key, last_event_id):
        yield event
