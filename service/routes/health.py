"""Is it alive, is it ready, what has it counted?"""

import orjson
from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from service.deps import parts_of
from service.http.errors import NoWorker
from service.http.negotiation import JSON
from service.queue import gauges as measures
from service.queue.orders import QueueAway
from service.routes import descriptions

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Alive?", **descriptions.HEALTHY)
async def healthz() -> Response:
    """200 while this process answers at all."""
    return Response(b'{"status":"alive"}', media_type=JSON)


@router.get("/readyz", summary="Ready?", **descriptions.READY)
async def readyz(request: Request) -> Response:
    """200 while Redis answers, a worker lives, and a model is served."""
    queue = parts_of(request).queue
    await queue.ping()
    workers, cards = queue.workers(), queue.cards()
    if not workers or not cards:
        raise NoWorker("no worker is alive" if not workers else "no model is served yet")
    content = {"status": "ready", "workers": len(workers), "models": sorted(cards)}
    return Response(orjson.dumps(content), headers={"cache-control": "no-store"}, media_type=JSON)


@router.get("/metrics", summary="Metrics", **descriptions.METRICS)
async def metrics(request: Request) -> Response:
    """What this process has counted, and how full the queue is, for Prometheus; workers serve their own."""
    parts = parts_of(request)
    try:
        measured = await parts.queue.measures()
    except QueueAway:
        measured = None
    gauges = measures.text(measured, parts.queue.workers(), len(parts.queue.cards()))
    return Response(parts.metrics.text() + gauges, headers={"content-type": CONTENT_TYPE_LATEST})
