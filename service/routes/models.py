"""The models that the workers serve, as their cards tell."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.deps import dependencies_of
from service.http.addresses import API
from service.http.errors import NotFound
from service.http.negotiation import JSON
from service.routes import descriptions
from workers.contract import ModelCard

router = APIRouter(prefix=API + "/models", tags=["models"])


@router.get("", summary="All models", **descriptions.MODELS)
async def models(request: Request) -> Response:
    """Every model that a worker has told of."""
    queue = dependencies_of(request).queue
    found = [model_document(card, queue.workers()) for card in queue.cards().values()]
    found += [failed_document(name, reason) for name, reason in queue.failed().items()]
    return Response(orjson.dumps({"models": sorted(found, key=itemgetter("name"))}), media_type=JSON)


@router.get("/{name}", summary="One model", **descriptions.MODEL)
async def model(request: Request, name: str) -> Response:
    """What it takes and gives, its layers, which methods can explain it and why not the others."""
    queue = dependencies_of(request).queue
    cards = queue.cards()
    if name in queue.failed():
        return Response(orjson.dumps(failed_document(name, queue.failed()[name])), media_type=JSON)
    if name not in cards:
        raise NotFound(
            f"there is no such model; there are: {', '.join(sorted(cards)) or 'none, for no worker has started'}"
        )
    return Response(orjson.dumps(model_document(cards[name], queue.workers())), media_type=JSON)


def failed_document(name: str, reason: str) -> dict[str, Any]:
    return {"name": name, "state": "failed", "reason": reason, "links": {"self": f"{API}/models/{name}"}}


def model_document(card: ModelCard, workers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    loaded = [{"worker": w["id"], "device": w.get("device")} for w in workers if card.name in w.get("models", ())]
    links = {"self": f"{API}/models/{card.name}", "explain": f"{API}/explanations?model={card.name}"}
    return {**card.model_dump(mode="json"), "state": "ready", "classes": card.labels, "loaded": loaded, "links": links}
