"""Explanations as work: the list of them, and a caller's withdrawal."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import Response

from service.deps import Key, dependencies_of
from service.explanations.documents import status_document
from service.explanations.responses import checked_id, find_status, status_response
from service.http.access import caller_of
from service.http.addresses import API
from service.http.errors import AlreadyFinished
from service.http.negotiation import JSON
from service.queue.status import State
from service.routes import descriptions

router = APIRouter(prefix=API + "/explanations", tags=["explanations"])

Limit = Annotated[int, Query(ge=1, le=200, description="Most explanations of the page.")]
Cursor = Annotated[
    str | None, Query(description="Where the page begins: take it from the page before.", max_length=200)
]


@router.get("", summary="List explanations", **descriptions.LIST)
async def listing(
    request: Request,
    status: Annotated[State | None, Query(description="Only those in this state.")] = None,
    model: Annotated[str | None, Query(max_length=300, description="Only those of the model of this name.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The newest first."""
    page = await dependencies_of(request).queue.listing(status, model, limit, cursor)
    links = {"self": _address(request.url)}
    if page.cursor is not None:
        links["next"] = _address(request.url.include_query_params(cursor=page.cursor))
    found: dict[str, Any] = {"explanations": [status_document(one) for one in page.statuses], "links": links}
    return Response(orjson.dumps(found), headers={"cache-control": "no-store"}, media_type=JSON)


@router.delete("/{id}", summary="Withdraw from an explanation", **descriptions.WITHDRAW)
async def withdraw(request: Request, key: Key) -> Response:
    """The work stops once no caller and no open connection still waits for it; a new request runs it again."""
    queue = dependencies_of(request).queue
    outcome = await queue.withdraw(checked_id(key), caller_of(request))
    status = await find_status(queue, key)
    if outcome != "withdrawn":
        raise AlreadyFinished(f"it is {status.status}; there is nothing left to stop")
    return status_response(status, 202)


def _address(url: URL) -> str:
    return f"{url.path}?{url.query}" if url.query else url.path
