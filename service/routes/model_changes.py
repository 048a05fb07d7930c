"""Models come and go over HTTP: sent, removed, loaded, unloaded, read anew; for keys of scope `admin`."""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path

import orjson
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.deps import Dependencies, dependencies_of
from service.explanations.model_documents import document
from service.http.addresses import MODELS
from service.http.errors import ModelPlaced, ModelRefused, UploadsOff
from service.http.negotiation import JSON, parse_prefer
from service.queue.served import OnWorker, Served, Summary
from service.routes import descriptions
from workers.contract import InvalidFolder, check_sent

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
SEEN_S = 2.5  # in which every worker has seen a wish, and told what came of it

router = APIRouter(prefix=MODELS, tags=["models"])
_unpacking = CapacityLimiter(2)


@router.put("/{name}", summary="Send a model", **descriptions.SEND_MODEL)
async def send(request: Request, name: str) -> Response:
    """The body is a zip or tar of a model's folder, as `whence export` writes it; it replaces the one of this name.

    200 once a worker serves it, or 202 where that takes longer than the request waits.
    """
    deps = dependencies_of(request)
    _check_uploads(deps)
    if not NAME.fullmatch(name):
        raise ModelRefused("a model's name has letters, digits, '.', '_' and '-' alone, 128 of them at most")
    with tempfile.TemporaryDirectory(prefix="whence-model-") as draft:
        packed = Path(draft) / "sent"
        with packed.open("wb") as file:
            async for chunk in request.stream():
                await to_thread.run_sync(file.write, chunk)
        try:
            await to_thread.run_sync(check_sent, packed, name, deps.settings.model_unpacked, limiter=_unpacking)
        except InvalidFolder as error:
            raise ModelRefused(error.detail) from None
        sent = await deps.queue.repository.send(name, packed)
    model = await deps.queue.repository.until(
        name, lambda one: any(place.told.sent == sent.mark for place in _done(one)), wait_of(request)
    )
    of = [place for place in _done(model) if place.told.sent == sent.mark] if model else []
    if of and all(place.told.state == "failed" for place in of):
        await deps.queue.repository.restore(sent)
        raise ModelRefused(of[0].told.reason or "the model cannot be served")
    return _answer(deps.queue.models(), name, 200 if of else 202)


@router.delete("/{name}", summary="Remove a model", **descriptions.DELETE_MODEL)
async def remove(request: Request, name: str) -> Response:
    """Only what was sent can be removed. Who began with it gets its answer; results stay."""
    repository = dependencies_of(request).queue.repository
    if not await repository.remove(name):
        repository.known(name)
        raise ModelPlaced(
            "this model lies in a folder of the workers; its operator removes it there, or unloads it: POST "
            f"{MODELS}/{name}/unload"
        )
    return Response(status_code=204)


@router.post("/{name}/load", summary="Load a model into memory", **descriptions.CHANGE_MODEL)
async def load(request: Request, name: str) -> Response:
    """Every worker that serves it loads it now; one that was unloaded is served again."""
    queue = dependencies_of(request).queue
    model = await queue.repository.loaded(name, wait_of(request))
    return _answer(queue.models(), name, 200 if model is not None else 202)


@router.post("/{name}/unload", summary="Unload a model", **descriptions.CHANGE_MODEL)
async def unload(request: Request, name: str) -> Response:
    """It is served no more, until it is loaded again; its folder stays."""
    queue = dependencies_of(request).queue
    model = await queue.repository.unloaded(name, wait_of(request))
    return _answer(queue.models(), name, 200 if model is not None else 202)


@router.post("/{name}/reload", summary="Read a model's folder anew", **descriptions.CHANGE_MODEL)
async def reload(request: Request, name: str) -> Response:
    """For folders of which no change is told, as on some network file systems."""
    queue = dependencies_of(request).queue
    queue.repository.known(name)
    await queue.repository.reload(name)
    await asyncio.sleep(SEEN_S)
    model = await queue.repository.until(name, lambda one: one.state in ("ready", "failed"), wait_of(request))
    return _answer(queue.models(), name, 200 if model is not None else 202)


def wait_of(request: Request) -> float:
    """Seconds that a change may take until it is answered with 202."""
    settings = dependencies_of(request).settings
    if "prefer" not in request.headers:
        return settings.protocol_wait
    return parse_prefer(request.headers.getlist("prefer"), settings.protocol_wait, settings.longest_wait).wait


def _done(model: Summary | None) -> list[OnWorker]:
    return [place for place in (model.places if model else ()) if place.told.state in ("ready", "failed")]


def _check_uploads(deps: Dependencies) -> None:
    if deps.settings.keys is None:
        raise UploadsOff(
            "models are sent by keys of scope admin alone, and there are no keys here (WHENCE_KEYS); put the folder "
            "where the workers look, and it is served"
        )
    if not deps.queue.repository.objects.open:
        raise UploadsOff("there is no store for what is sent: set WHENCE_OBJECTS for the API and the workers")


def _answer(models: Served, name: str, status: int) -> Response:
    model = models.models.get(name)
    content = {"name": name, "state": "loading"} if model is None else document(models, model)
    headers = {"cache-control": "no-store", "location": f"{MODELS}/{name}"}
    if status == 202:
        headers["retry-after"] = "1"
    return Response(orjson.dumps(content), status, headers, JSON)
