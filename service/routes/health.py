"""Is it alive, is it ready, what has it counted?"""

import orjson
from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from service.deps import dependencies_of
from service.http.errors import ModelLoading, NoWorker
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
    """200 while Redis takes writes, a worker lives, and no model of its folder is loading.

    Where the operator has named the models that are required, while each of these is served.
    """
    deps = dependencies_of(request)
    await deps.queue.ping()
    served = deps.queue.models()
    if not served.workers:
        raise NoWorker(served.idle())
    served.check_required(deps.settings.required)
    loading = [name for name, model in served.models.items() if model.state == "loading"]
    if not deps.settings.required and (loading or served.opening):
        raise ModelLoading(f"not served yet: {', '.join(loading) or 'the models are looked for'}")
    failed = {name: model.reason for name, model in served.models.items() if model.state == "failed"}
    content = {"status": "ready", "workers": served.workers, "models": sorted(served.cards), "failed": failed}
    return Response(orjson.dumps(content), headers={"cache-control": "no-store"}, media_type=JSON)


@router.get("/metrics", summary="Metrics", **descriptions.METRICS)
async def metrics(request: Request) -> Response:
    """What this process has counted, and how full the queue is, for Prometheus; workers serve their own."""
    deps = dependencies_of(request)
    try:
        readings = await deps.queue.readings()
    except QueueUnavailable:
        readings = None
    about_queue = gauges.text(readings, deps.queue.workers(), deps.queue.models())
    return Response(deps.metrics.text() + about_queue, headers={"content-type": CONTENT_TYPE_LATEST})
