"""KServe's V1 protocol, which is also that of TensorFlow Serving: /v1/models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import orjson
from fastapi import APIRouter
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from service.deps import dependencies_of
from service.explanations.documents import result_document
from service.explanations.request_schema import MOST_FIELDS
from service.http.errors import Invalid
from service.http.json_text import check_fields, json_object, most_commas
from service.http.negotiation import JSON
from service.http.threads import in_thread
from service.protocols import descriptions
from service.protocols.instances import Answer, Instance, answers, card_of, check_serving, from_rows
from service.settings import Settings
from workers.contract import ModelCard

PREFIX = "/v1"
ROWS = ("instances", "inputs")
TENSOR = {"name", "shape", "datatype", "data"}  # of the Open Inference Protocol
SHOWN = ("id", "method", "target", "explained", "checks", "links")


class _Name(Convertor[str]):
    """A model's name: it holds no colon, for a verb follows one."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("model", _Name())
router = APIRouter(prefix=PREFIX + "/models", tags=["KServe V1"])


@router.get("", summary="Names of the models", **descriptions.V1_MODELS)
async def models(request: Request) -> Response:
    return _json({"models": sorted(dependencies_of(request).queue.cards())})


@router.get("/{name:model}", summary="Is the model ready?", **descriptions.V1_MODEL)
async def ready(request: Request, name: str) -> Response:
    """503 where it is not."""
    card = card_of(request, name)
    await check_serving(request)
    return _json({"name": card.name, "ready": True})


@router.post("/{name:model}:predict", summary="Predict instances", **descriptions.V1_PREDICT)
async def predict(request: Request, name: str) -> Response:
    """The model's outputs for each instance."""
    _, rows = await _asked(request, name)
    found = await answers(request, card_of(request, name), ["predict"], rows)
    return _json({"predictions": [one.array for (one,) in found]})


@router.post("/{name:model}:explain", summary="Explain instances", **descriptions.V1_EXPLAIN)
async def explain(request: Request, name: str) -> Response:
    """The outputs of each instance, and an explanation of its own target (by default of the class it is taken for)."""
    method, rows = await _asked(request, name)
    found = await answers(request, card_of(request, name), [method, "predict"], rows)
    told = {"predictions": [one[-1].array for one in found], "explanations": [_shown(one[0]) for one in found]}
    return _json(told)


async def _asked(request: Request, name: str) -> tuple[Any, Sequence[Instance]]:
    card, body = card_of(request, name), await request.body()
    method, rows = await in_thread(lambda: _read(body, card, dependencies_of(request).settings), len(body))
    return method if method is not None else card.default_method, rows


def _read(body: bytes, card: ModelCard, settings: Settings) -> tuple[Any, list[Instance]]:
    """The method and the instances of a body; raises MalformedBody, Invalid, InputError."""
    given = json_object(body, "", most_commas([card], settings.most_explanations))
    check_fields(given, "", MOST_FIELDS)
    fields = {name: one for name, one in given.items() if one is not None}
    names = [name for name in ROWS if name in fields]
    _check_version(fields, card)
    if len(names) != 1 or fields.keys() - {*ROWS, "parameters", "signature_name"}:
        _refuse("", 'the body is {"instances": [..]} or {"inputs": [..]}, and "parameters" if need be')
    parameters = fields.get("parameters") or {}
    if not isinstance(parameters, Mapping) or parameters.keys() - {"method", "target"}:
        _refuse("/parameters", 'an object with "method" and "target", or one of them')
    target = parameters.get("target", "argmax")
    return parameters.get("method"), from_rows(fields[names[0]], card, settings, target, f"/{names[0]}")


def _check_version(fields: Mapping[str, Any], card: ModelCard) -> None:
    """Raises Invalid, which says where tensors of version 2 are taken."""
    rows: Sequence[Any] = next((fields[name] for name in ROWS if isinstance(fields.get(name), list)), [])
    if rows and isinstance(rows[0], Mapping) and rows[0].keys() >= TENSOR:
        there = f"/v2/models/{card.name}/explain or /infer"
        _refuse("/inputs", f"this is a tensor of protocol V2: send it to {there}, or lists of numbers here")


def _shown(answer: Answer) -> dict[str, Any]:
    """What the native API tells, with the numbers nested under the name of their kind."""
    document = result_document(answer.meta)
    kind = answer.meta["kind"]
    told = document["info"] if answer.numbers is None else answer.numbers
    return {**{name: document.get(name) for name in SHOWN}, kind: told}


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), media_type=JSON)


def _refuse(pointer: str, detail: str) -> NoReturn:
    raise Invalid([{"pointer": pointer, "detail": detail}])
