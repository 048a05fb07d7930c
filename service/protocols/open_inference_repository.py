"""The repository extension of the Open Inference Protocol, as Triton and MLServer have it: /v2/repository."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.deps import dependencies_of
from service.http.errors import Invalid, ModelLoading
from service.http.json_text import json_object
from service.http.negotiation import JSON
from service.protocols import descriptions
from service.protocols.instances import check_serving
from service.protocols.open_inference import VERSION
from service.queue.served import Summary
from workers.contract import State, UnknownModel, meant

# As Triton says them; what is unloaded is there, and not to be had.
STATES: dict[State, str] = {
    "ready": "READY",
    "loading": "LOADING",
    "failed": "UNAVAILABLE",
    "leaving": "UNLOADING",
    "unloaded": "UNAVAILABLE",
}
THEIRS = ("unload_dependents",)  # there are none

router = APIRouter(prefix="/v2/repository", tags=["Open Inference Protocol"])


@router.post("/index", summary="The models and their states", **descriptions.V2_INDEX)
async def index(request: Request) -> Response:
    """`{"ready": true}` asks for those that are ready."""
    asked = await _body(request)
    found = [_told(model) for model in dependencies_of(request).queue.models().models.values()]
    return _json([one for one in found if one["state"] == "READY" or not asked.get("ready")])


@router.post("/models/{name}/load", summary="Load a model", **descriptions.V2_LOAD)
async def load(request: Request, name: str) -> Response:
    """Answers once a worker has it in memory."""
    _check(await _body(request), name)
    await check_serving(request)
    _known(request, name)
    deps = dependencies_of(request)
    if await deps.queue.repository.loaded(name, deps.settings.protocol_wait) is None:
        raise ModelLoading(f"the model {name} is still loading; ask again")
    return _json({"name": name, "load": True})


@router.post("/models/{name}/unload", summary="Unload a model", **descriptions.V2_UNLOAD)
async def unload(request: Request, name: str) -> Response:
    """It is served no more, until it is loaded again."""
    _check(await _body(request), name)
    await check_serving(request)
    _known(request, name)
    deps = dependencies_of(request)
    if await deps.queue.repository.unloaded(name, deps.settings.protocol_wait) is None:
        raise ModelLoading(f"the model {name} is still served by a worker; ask again")
    return _json({"name": name, "unload": True})


def _told(model: Summary) -> dict[str, str]:
    reason = "unloaded" if model.state == "unloaded" else model.reason or ""
    return {"name": model.name, "version": VERSION, "state": STATES[model.state], "reason": reason}


def _known(request: Request, name: str) -> None:
    models = dependencies_of(request).queue.models()
    if name not in models.models:
        raise UnknownModel(f"there is no such model; {meant(name, models.models)}")


def _check(asked: dict[str, Any], name: str) -> None:
    """Raises Invalid where a configuration or files come along: a model has the one that its folder has."""
    parameters = asked.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise Invalid([{"pointer": "/parameters", "detail": "an object"}])
    for key in parameters:
        if key not in THEIRS:
            instead = f"send the folder whole: PUT /api/v1/models/{name}"
            raise Invalid([{"pointer": f"/parameters/{key}", "detail": f"a model is what its folder says; {instead}"}])


async def _body(request: Request) -> dict[str, Any]:
    body = await request.body()
    found: dict[str, Any] = json_object(body, "", 100) if body else {}
    return found


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type=JSON)
