"""Create an explanation, and read it: its state while it is open, its result when it is finished."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from service.deps import Dependencies, Key, Wait, awaited, dependencies_of, preferred_wait
from service.explanations.documents import possible
from service.explanations.orders import orders_of
from service.explanations.requests import CheckedRequest, read_request
from service.explanations.responses import (
    arrays_at_first,
    checked_id,
    list_response,
    raise_for_status,
    result_response,
    single_response,
    status_response,
)
from service.explanations.waiting import while_connected
from service.http.addresses import API
from service.http.negotiation import ALL, JSON, Prefer, choose
from service.queue.events import News
from service.queue.submission import Ticket
from service.routes import descriptions
from service.routes.hits import HIT, REPEAT

router = APIRouter(prefix=API, tags=["explanations"])


@router.post("/explanations", summary="Explain a prediction", **descriptions.CREATE)
async def create(request: Request) -> Response:
    """Answers at once from the cache, within the wait with the result, or else with 202 and where it will be."""
    deps = dependencies_of(request)
    accept = request.headers.get("accept", "*/*")
    choose(accept, ALL)
    prefer = preferred_wait(request)
    checked = await read_request(request, deps.queue, deps.settings, deps.datasets)
    _check_accept(checked, accept)
    webhook = checked.request.webhook
    if webhook is not None:
        deps.webhooks.check(webhook.url)
    orders = await orders_of(checked, deps.queue, deps.settings.most_explanations)
    if REPEAT in request.scope:
        request.scope[REPEAT].note(checked, orders, deps.queue.models())
    with deps.queue.news([order.job.id for order in orders], ends=True) as news:
        tickets = await deps.queue.submit(orders, wait=prefer.wait, arrays=arrays_at_first(accept))
        if webhook is not None:
            await deps.webhooks.register(webhook.url, [ticket.id for ticket in tickets], checked.terms.caller)
        deps.metrics.count_explanations(ticket.outcome for ticket in tickets)
        response = _response(deps, checked, tickets, prefer, accept, news)
        at_once = prefer.wait == 0 or all(ticket.outcome == "hit" for ticket in tickets)
        return await (response if at_once else while_connected(request, response))


@router.get("/explanations/{id}", summary="Read an explanation", **descriptions.READ)
async def read(
    request: Request,
    key: Key,
    wait: Wait = 0,
    inline: Annotated[bool, Query(description="Put the numbers into the JSON too.")] = False,
) -> Response:
    """The result once it is finished, in the form that Accept asks for; until then its status."""
    queue = dependencies_of(request).queue
    accept = request.headers.get("accept", "*/*")
    known = request.headers.get("if-none-match")
    found = await result_response(queue, checked_id(key), accept, inline=inline, if_none_match=known)
    if found is None:
        status = await awaited(request, key, wait)
        if status.status == "succeeded":
            found = await result_response(queue, key, accept, inline=inline, if_none_match=known)
        if found is None:
            if status.final and status.status != "cancelled":
                raise_for_status(status)
            return status_response(status, 200)
    found.headers["cache-status"] = HIT
    return found


def _check_accept(checked: CheckedRequest, accept: str) -> None:
    """Raises NotAcceptable before any work is queued for what could not be delivered."""
    if checked.request.many:
        choose(accept, (JSON,))
    else:
        choose(accept, possible(checked.methods[0].kind))


async def _response(
    deps: Dependencies, checked: CheckedRequest, tickets: Sequence[Ticket], prefer: Prefer, accept: str, news: News
) -> Response:
    if checked.request.many:
        response = await list_response(deps.queue, tickets, prefer.wait, news)
    else:
        response = await single_response(deps.queue, tickets[0], prefer.wait, accept, news)
    if prefer.applied is not None:
        response.headers["preference-applied"] = prefer.applied
    return response
