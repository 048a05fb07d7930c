"""The models of the workers: their states, where they are loaded, and their cards."""

from __future__ import annotations

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.deps import dependencies_of
from service.explanations.model_documents import document
from service.http.addresses import MODELS
from service.http.errors import NotFound
from service.http.negotiation import JSON
from service.routes import descriptions
from workers.contract import meant

HEADERS = {"cache-control": "no-store"}

router = APIRouter(prefix=MODELS, tags=["models"])


@router.get("", summary="All models", **descriptions.MODELS)
async def models(request: Request) -> Response:
    """Every model that a worker has told of, in whatever state."""
    served = dependencies_of(request).queue.models()
    found = [document(served, model) for model in served.models.values()]
    return Response(orjson.dumps({"models": found}), headers=HEADERS, media_type=JSON)


@router.get("/{name}", summary="One model", **descriptions.MODEL)
async def model(request: Request, name: str) -> Response:
    """Its states, what it takes and gives, its layers, which methods explain it; NAME@DIGEST is one version of it."""
    served = dependencies_of(request).queue.models()
    if (plain := name.partition("@")[0]) not in served.models:
        why = "" if served.workers else ", for no worker has started"
        raise NotFound(f"there is no such model; {meant(plain, served.models)}{why}")
    card = served.card(name) if "@" in name else None
    return Response(orjson.dumps(document(served, served.models[plain], card)), headers=HEADERS, media_type=JSON)
