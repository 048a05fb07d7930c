"""Create an explanation, and read it: its state while it is open, its result when it is finished."""

from collections.abc import Sequence
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from service.deps import Key, Parts, Wait, awaited, parts_of
from service.explanations.documents import possible
from service.explanations.orders import (
    Asked,
    Terms,
    deadline,
    names_datasets,
    orders,
    priority,
    stored_input,
    understand,
    with_digests,
)
from service.explanations.responses import many, one, status_response
from service.explanations.results import arrays_at_first, checked_id, refuse, result
from service.explanations.size_limits import most_commas
from service.explanations.waiting import while_connected
from service.http.addresses import API
from service.http.bodies import Body, read_body
from service.http.callers import caller_of
from service.http.negotiation import ALL, JSON, Prefer, choose, parse_prefer
from service.http.threads import LARGE, apart
from service.queue.orders import Ticket
from service.routes import descriptions

router = APIRouter(prefix=API, tags=["explanations"])


@router.post("/explanations", summary="Explain a prediction", **descriptions.CREATE)
async def create(request: Request) -> Response:
    """Answers at once from the cache, within the wait with the result, or else with 202 and where it will be."""
    parts = parts_of(request)
    headers = request.headers
    accept = headers.get("accept", "*/*")
    choose(accept, ALL)
    prefer = parse_prefer(headers.getlist("prefer"), parts.settings.wait, parts.settings.longest_wait)
    recompute = "no-cache" in headers.get("cache-control", "").lower()
    terms = Terms(
        deadline(headers.get("whence-deadline")),
        recompute,
        request.scope["request_id"],
        caller_of(request),
        priority(headers.get("whence-priority")),
    )
    body = await read_body(request, most_commas(parts.queue.cards().values()))
    asked = await _understood(parts, body)
    _check_accept(asked, accept)
    webhook = asked.request.webhook
    if webhook is not None:
        parts.webhooks.check(webhook.url)
    given = asked.input or await stored_input(asked, parts.queue)
    size = LARGE if asked.request.many else body.size
    wanted = await apart(size, lambda: orders(asked, given, terms, parts.settings.most_explanations))
    tickets = await parts.queue.submit(wanted, wait=prefer.wait, arrays=arrays_at_first(accept))
    if webhook is not None:
        await parts.webhooks.register(webhook.url, [ticket.id for ticket in tickets], terms.caller)
    for ticket in tickets:
        parts.metrics.explanations.labels(ticket.outcome).inc()
    answer = _answer(parts, asked, tickets, prefer, accept)
    at_once = prefer.wait == 0 or all(ticket.outcome == "hit" for ticket in tickets)
    return await (answer if at_once else while_connected(request, answer))


@router.get("/explanations/{id}", summary="Read an explanation", **descriptions.READ)
async def read(
    request: Request,
    key: Key,
    wait: Wait = 0,
    inline: Annotated[bool, Query(description="Put the numbers into the JSON too.")] = False,
) -> Response:
    """The result once it is finished, in the form that Accept asks for; until then its status."""
    parts = parts_of(request)
    accept = request.headers.get("accept", "*/*")
    known = request.headers.get("if-none-match")
    found = await result(parts.queue, checked_id(key), accept, inline=inline, if_none_match=known)
    if found is None:
        status = await awaited(request, key, wait)
        if status.status == "succeeded":
            found = await result(parts.queue, key, accept, inline=inline, if_none_match=known)
        if found is None:
            if status.final and status.status != "cancelled":
                refuse(status)
            return status_response(status, 200)
    found.headers["cache-status"] = "whence; hit"
    return found


async def _understood(parts: Parts, body: Body) -> Asked:
    cards = parts.queue.cards()
    asked = await apart(body.size, lambda: understand(body, cards, parts.settings, parts.queue.failed()))
    return await to_thread.run_sync(with_digests, asked, parts.datasets) if names_datasets(asked.methods) else asked


def _check_accept(asked: Asked, accept: str) -> None:
    """Raises NotAcceptable before any work is queued for what could not be delivered."""
    if asked.request.many:
        choose(accept, (JSON,))
    else:
        choose(accept, possible(asked.methods[0].kind))


async def _answer(parts: Parts, asked: Asked, tickets: Sequence[Ticket], prefer: Prefer, accept: str) -> Response:
    if asked.request.many:
        response = await many(parts.queue, tickets, prefer.wait)
    else:
        response = await one(parts.queue, tickets[0], prefer.wait, accept)
    if prefer.applied is not None:
        response.headers["preference-applied"] = prefer.applied
    return response
