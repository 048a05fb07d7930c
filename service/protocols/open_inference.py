"""The Open Inference Protocol, version 2, with binary tensors: /v2.

A model `m` predicts; the virtual model `m~method` explains. A method's parameters come flattened, as `whence.steps`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.deps import dependencies_of
from service.http.errors import Invalid, NotFound
from service.http.json_text import most_commas
from service.http.negotiation import JSON
from service.http.threads import in_thread
from service.protocols import descriptions
from service.protocols.flat_parameters import read_parameters
from service.protocols.instances import answers, card_of, check_ready, check_serving
from service.protocols.rows import check_shape, classified, gives, outputs, rows, takes
from service.protocols.tensor_encoding import LENGTH, InferenceRequest, Output, OutputAsked, read_request, written
from workers.contract import MethodNotApplicable, ModelCard, UnknownModel, catalogue, meant

EXTENSIONS = ["binary_tensor_data", "classification", "model_repository"]
VERSION = "1"  # a model has one; which one it is, its digest tells
PREDICT, SCORES = "predict", "scores"

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])


@dataclass(frozen=True, slots=True)
class Served:
    """A model, or a virtual one: a model with the method that its name holds."""

    name: str
    card: ModelCard
    method: str | None

    @property
    def kind(self) -> str:
        return catalogue()[self.method or PREDICT].kind


@router.get("", summary="The server", **descriptions.V2_SERVER)
async def server() -> Response:
    return _json({"name": "whence", "version": version("whence"), "extensions": EXTENSIONS})


@router.get("/health/live", summary="Alive?", **descriptions.V2_LIVE)
async def live() -> Response:
    return _json({"live": True})


@router.get("/health/ready", summary="Ready?", **descriptions.V2_READY)
async def ready(request: Request) -> Response:
    """503 where Redis does not answer, no worker is alive, or a model that the operator requires is not served."""
    await check_ready(request)
    return _json({"ready": True})


@router.get("/models", summary="Names of the models", **descriptions.V2_MODELS)
async def models(request: Request) -> Response:
    return _json({"models": sorted(dependencies_of(request).queue.cards())})


@router.get("/models/{name}/versions/{version}", include_in_schema=False)
@router.get("/models/{name}", summary="A model's inputs and outputs", **descriptions.V2_MODEL)
async def model(request: Request, name: str) -> Response:
    """Of a virtual model `m~method`, those of the method."""
    served = _served(request, name)
    about = {"name": name, "versions": [VERSION], "platform": "whence"}
    return _json({**about, "inputs": takes(served.card), "outputs": gives(served.card, served.kind)})


@router.get("/models/{name}/versions/{version}/ready", include_in_schema=False)
@router.get("/models/{name}/ready", summary="Is the model ready?", **descriptions.V2_MODEL_READY)
async def model_ready(request: Request, name: str) -> Response:
    """503 while it loads or no worker is alive, 400 where the method cannot explain it with default parameters."""
    served = _served(request, name)
    await check_serving(request)
    reason = served.card.reason_against(served.method) if served.method else None
    if reason is not None:
        raise MethodNotApplicable(f"{served.method} cannot explain {served.card.name} as it is by default: {reason}")
    return _json({"name": name, "ready": True})


@router.post("/models/{name}/versions/{version}/infer", include_in_schema=False)
@router.post("/models/{name}/infer", summary="Predict rows, or explain them", **descriptions.V2_INFER)
async def infer(request: Request, name: str) -> Response:
    """A model `m` predicts each row; a virtual model `m~method` explains each, its own target."""
    served = _served(request, name)
    return await _answered(request, served, served.method or PREDICT)


@router.post("/models/{name}:explain", include_in_schema=False)  # as KServe's other protocol has it
@router.post("/models/{name}/versions/{version}/explain", include_in_schema=False)
@router.post("/models/{name}/explain", summary="Explain rows", **descriptions.V2_EXPLAIN)
async def explain(request: Request, name: str) -> Response:
    """By the method of the parameter `whence.method`, else by the model's own default."""
    served = _served(request, name)
    return await _answered(request, served, served.method)


async def _answered(request: Request, served: Served, method: str | None) -> Response:
    body = await request.body()
    length, settings, card = request.headers.get(LENGTH), dependencies_of(request).settings, served.card
    most = most_commas([card], settings.most_explanations)
    fits = partial(check_shape, card=card, most=settings.most_explanations)
    inference, values = await in_thread(lambda: read_request(body, length, most, fits), len(body))
    _check_classes(inference, card)
    wanted = read_parameters(inference.parameters, method, card.default_method)
    instances = await in_thread(lambda: rows(values, card, settings, wanted.target), len(body))
    done = [one for (one,) in await answers(request, card, [wanted.method], instances, wanted.until)]
    return await in_thread(
        lambda: _written(inference, served.name, outputs(done[0].meta["kind"], done), card), len(body)
    )


def _written(inference: InferenceRequest, name: str, held: Mapping[str, Output], card: ModelCard) -> Response:
    """The outputs that were asked for, by default all, each where it was asked to be."""
    for index, one in enumerate(inference.outputs):
        if one.name not in held:
            raise Invalid([{"pointer": f"/outputs/{index}", "detail": f"the outputs are {', '.join(held)}"}])
    chosen = {one.name: _as_asked(one, held[one.name], card) for one in inference.outputs} or held
    everywhere = inference.parameters.get("binary_data_output") is True
    own = {one.name: one.parameters.get("binary_data", everywhere) is True for one in inference.outputs}
    head: dict[str, Any] = {"model_name": name, "model_version": VERSION, "parameters": {"whence.model": card.digest}}
    head |= {"id": inference.id} if inference.id else {}
    document, rest = written(chosen, head, dict.fromkeys(held, everywhere) | own)
    if not rest:
        return _json(document)
    content = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content + rest, headers={LENGTH: str(len(content))}, media_type="application/octet-stream")


def _check_classes(inference: InferenceRequest, card: ModelCard) -> None:
    """Raises Invalid where classes are asked for of what has none."""
    for index, one in enumerate(inference.outputs):
        if one.classes is not None and (one.name != SCORES or len(card.outputs) != 1):
            of = f"of {SCORES}, where they have an axis of classes alone"
            raise Invalid([{"pointer": f"/outputs/{index}/parameters/classification", "detail": f"this is {of}"}])


def _as_asked(output: OutputAsked, values: Output, card: ModelCard) -> Output:
    if output.classes is None or isinstance(values, list):
        return values
    return classified(values, output.classes, card.labels)


def _served(request: Request, name: str) -> Served:
    """Raises UnknownModel, NoWorker, NotFound."""
    wanted = request.path_params.get("version", VERSION)
    if wanted != VERSION:
        raise NotFound(f"there is no such version; the only one is {VERSION}")
    plain, _, method = name.partition("~")
    card = card_of(request, plain)
    if "~" in name and method not in catalogue():
        raise UnknownModel(
            f"there is no such method, and a virtual model is MODEL~METHOD; {meant(method, catalogue())}"
        )
    return Served(name, card, method or None)


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), media_type=JSON)
