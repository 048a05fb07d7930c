"""Is it alive, is it ready, what has it counted; and the first page."""

import orjson
from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from service import described
from service.deps import parts_of
from service.errors import NoWorker
from service.negotiation import HTML, JSON

router = APIRouter(tags=["health"])

_FIRST_PAGE = b"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Whence</title>
<meta name="viewport" content="width=device-width"></head><body><h1>Whence</h1>
<p>Whence this prediction? Send an image or a tensor, a model and a method; the explanation comes back.</p>
<ul><li><a href="/docs">The API</a></li><li><a href="/api/v1/methods">Methods</a></li>
<li><a href="/api/v1/models">Models</a></li></ul></body></html>"""


@router.get("/healthz", summary="Alive?", **described.HEALTHY)
async def healthz() -> Response:
    """200 while this process answers at all."""
    return Response(b'{"status":"alive"}', media_type=JSON)


@router.get("/readyz", summary="Ready?", **described.READY)
async def readyz(request: Request) -> Response:
    """200 while Redis answers, a worker lives, and a model is served."""
    queue = parts_of(request).queue
    await queue.ping()
    workers, cards = queue.workers(), queue.cards()
    if not workers or not cards:
        raise NoWorker("no worker is alive" if not workers else "no model is served yet")
    content = {"status": "ready", "workers": len(workers), "models": sorted(cards)}
    return Response(orjson.dumps(content), headers={"cache-control": "no-store"}, media_type=JSON)


@router.get("/metrics", summary="Metrics", **described.METRICS)
async def metrics(request: Request) -> Response:
    """What this process has counted, for Prometheus."""
    return Response(parts_of(request).metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})


@router.get("/", include_in_schema=False)
async def first_page(request: Request) -> Response:
    """A page for people; KServe's clients ask here whether the server lives, and take JSON."""
    if HTML in request.headers.get("accept", ""):
        return Response(_FIRST_PAGE, media_type=HTML)
    return Response(b'{"status":"alive"}', media_type=JSON)
