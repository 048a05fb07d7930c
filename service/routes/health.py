"""Is it alive, is it ready, what has it counted?"""

import orjson
from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from service.deps import dependencies_of
from service.http.errors import NoWorker
from service.http.negotiation import JSON
from service.queue import gauges
from service.queue.connection import QueueUnavailable
from service.routes import descriptions

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Alive?", **descriptions.HEALTHY)
async def healthz() -> Response:
    """200 while this process answers at all."""
    return Response(b'{"status":"alive"}', media_type=JSON)


@router.get("/readyz", summary="Ready?", **descriptions.READY)
async def readyz(request: Request) -> Response:
    """200 while Redis answers, a worker lives, and a model is served."""
    queue = dependencies_of(request).queue
    await queue.ping()
    workers, cards = queue.workers(), queue.cards()
    if not workers or not cards:
        raise NoWorker("no worker is alive" if not workers else "no model is served yet")
    content = {"status": "ready", "workers": len(workers), "models": sorted(cards)}
    return Response(orjson.dumps(content), headers={"cache-control": "no-store"}, media_type=JSON)


@router.get("/metrics", summary="Metrics", **descriptions.METRICS)
async def metrics(request: Request) -> Response:
    """What this process has counted, and how full the queue is, for Prometheus; workers serve their own."""
    deps = dependencies_of(request)
    try:
        readings = await deps.queue.readings()
    except QueueUnavailable:
        readings = None
    about_queue = gauges.text(readings, deps.queue.workers(), len(deps.queue.cards()))
    return Response(deps.metrics.text() + about_queue, headers={"content-type": CONTENT_TYPE_LATEST})
