"""TorchServe's inference API: /ping, /predictions, /explanations; of its management API, /models.

The default target is the predicted class, where TorchServe's own explanations took class 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.deps import dependencies_of
from service.http.errors import ModelLoading
from service.http.json_text import most_commas
from service.http.negotiation import JSON
from service.http.threads import in_thread
from service.protocols import descriptions
from service.protocols.forms import Call, read_call
from service.protocols.instances import Answer, Instance, answers, card_of, check_ready, from_data
from service.queue.served import SHOWN, Summary
from workers.contract import ModelCard, UnknownModel, meant

STATES = {"ready": "READY", "loading": "LOADING"}

router = APIRouter(tags=["TorchServe"])


@router.get("/ping", summary="Is it healthy?", **descriptions.PING)
async def ping(request: Request) -> Response:
    """503 where Redis does not answer, no worker is alive, or a model that the operator requires is not served."""
    await check_ready(request)
    return _json({"status": "Healthy"})


@router.get("/models", summary="Names of the models", **descriptions.TS_MODELS)
async def models(request: Request) -> Response:
    """Those that can be asked for now."""
    return _json({"models": [_named(name) for name in sorted(dependencies_of(request).queue.cards())]})


@router.get("/models/{name}", summary="A model and its workers", **descriptions.TS_MODEL)
async def model(request: Request, name: str) -> Response:
    """In whatever state."""
    found = _known(request, name)
    workers = [
        {"id": place.worker, "status": STATES.get(place.state, "UNLOADING"), "memoryUsage": place.memory}
        for place in found.places
    ]
    version = (found.digest or "").removeprefix("sha256:")[:SHOWN]
    return _json([{**_named(name), "modelVersion": version, "loadedAtStartup": True, "workers": workers}])


@router.delete("/models/{name}", summary="Take a model out of service", **descriptions.TS_REMOVE)
async def remove(request: Request, name: str) -> Response:
    """What was sent over HTTP is removed; what lies in a folder of the workers is unloaded."""
    _known(request, name)
    deps = dependencies_of(request)
    queue = deps.queue
    removed = await queue.repository.remove(name)
    if not removed and await queue.repository.unloaded(name, deps.settings.protocol_wait) is None:
        raise ModelLoading(f"the model {name} is still served by a worker; ask again")
    return _json({"status": f'Model "{name}" unregistered'})


# curl -T, in every example of TorchServe's, is a PUT.
@router.put(
    "/predictions/{name}",
    summary="Predict, by PUT",
    operation_id="torchserve_put_predictions",
    **descriptions.PREDICTIONS,
)
@router.post("/predictions/{name}", summary="Predict", **descriptions.PREDICTIONS)
async def predictions(request: Request, name: str) -> Response:
    """The highest classes with their probabilities; the outputs, where the model has no labels."""
    card = card_of(request, name)
    _, rows, several = await _asked(request, card)
    found = [_predicted(one, card) for (one,) in await answers(request, card, ["predict"], rows)]
    return _json(found if several else found[0])


@router.put(
    "/explanations/{name}",
    summary="Explain, by PUT",
    operation_id="torchserve_put_explanations",
    **descriptions.EXPLANATIONS,
)
@router.post("/explanations/{name}", summary="Explain", **descriptions.EXPLANATIONS)
async def explanations(request: Request, name: str) -> Response:
    """The attribution as nested lists; of several instances, a list of these."""
    card = card_of(request, name)
    call, rows, several = await _asked(request, card)
    found = [_attributed(one) for (one,) in await answers(request, card, [call.method or card.default_method], rows)]
    return _json(found if several else found[0])


def _known(request: Request, name: str) -> Summary:
    models = dependencies_of(request).queue.models().models
    if name not in models:
        raise UnknownModel(f"Model not found: {name}; {meant(name, models)}")
    return models[name]


def _named(name: str) -> dict[str, str]:
    return {"modelName": name, "modelUrl": name}


async def _asked(request: Request, card: ModelCard) -> tuple[Call, Sequence[Instance], bool]:
    """The call, its instances, and whether it sent a list of them."""
    settings = dependencies_of(request).settings
    call = await read_call(request, most_commas([card], settings.most_explanations))
    rows, several = await in_thread(lambda: from_data(call.data, card, settings, call.target), call.size)
    return call, rows, several


def _predicted(answer: Answer, card: ModelCard) -> Any:
    """Probabilities by label, highest first, as TorchServe's image_classifier says them; else the outputs."""
    ranking = answer.meta["prediction"]
    if len(set(card.labels)) < max(1, len(card.labels)) or any(one["probability"] is None for one in ranking):
        return answer.array
    return {one["label"]: one["probability"] for one in ranking}


def _attributed(answer: Answer) -> Any:
    return answer.meta["info"] if answer.numbers is None else answer.numbers


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), media_type=JSON)
