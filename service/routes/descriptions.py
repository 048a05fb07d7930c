"""What OpenAPI says of each route's request and answers."""

from typing import Any

from pydantic import BaseModel

from service.explanations.item_schemas import CollectionItems
from service.explanations.schemas import (
    DatasetDocument,
    DatasetDocuments,
    Explanation,
    Explanations,
    Health,
    Listing,
    MethodDocument,
    Methods,
    ModelDocument,
    Models,
    ModelStates,
    Problem,
    Ready,
    Receipt,
    StatusDocument,
)
from service.http.bodies import LONGEST_PART
from service.http.negotiation import CSV, HTML, JSON, NPY, PNG, SVG
from service.http.negotiation import SAFETENSORS as SAFETENSORS_TYPE
from service.http.problems import KINDS, MEDIA_TYPE, problem

Answers = dict[int | str, dict[str, Any]]

_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_TEXT: dict[str, Any] = {"schema": {"type": "string"}}
_FILES = {PNG: _BINARY, NPY: _BINARY, SAFETENSORS_TYPE: _BINARY, HTML: _TEXT, SVG: _TEXT, CSV: _TEXT}
_NOT_MODIFIED: Answers = {304: {"description": "The client has it already (If-None-Match)."}}
_RAW = ("image/png", "image/jpeg", NPY, SAFETENSORS_TYPE, "application/octet-stream")


def problems(*statuses: int) -> Answers:
    """The problems that a route may answer with, each with an example."""
    return {status: _problem(status) for status in statuses}


def _problem(status: int) -> dict[str, Any]:
    codes = [code for code, kind in KINDS.items() if kind.status == status]
    examples = {code: {"value": problem(code, KINDS[code].title)} for code in codes}
    return {
        "description": "; ".join(dict.fromkeys(KINDS[code].title for code in codes)) + ".",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}},
    }


def _json(description: str, *models: type[BaseModel]) -> dict[str, Any]:
    schemas = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    return {
        "description": description,
        "content": {JSON: {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}},
    }


def _header(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string", **schema}}


def _query(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": "string"}}


def _finished(*models: type[BaseModel]) -> dict[str, Any]:
    answer = _json("In the form that Accept asks for.", *models)
    return {**answer, "content": {**answer["content"], **_FILES}}


_SECONDS = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 10**9}
_PRIORITIES = {"enum": ["interactive", "batch"]}
_FIELDS = {name: {"type": "string", "maxLength": LONGEST_PART} for name in ("model", "method", "target", "parameters")}
_FORM = {
    "type": "object",
    "properties": {"input": _BINARY["schema"], "request": {"type": "string", "maxLength": LONGEST_PART}, **_FIELDS},
}

_REQUESTS = {
    "image": {"value": {"model": "digits", "input": {"image": "<base64>"}}},
    "tensor": {
        "value": {
            "model": "table",
            "method": {"name": "integrated_gradients", "steps": 20},
            "target": {"top_k": 2},
            "input": {"tensor": {"shape": [4], "data": [0.1, 0.2, 0.3, 0.4]}},
        }
    },
}

CREATE: dict[str, Any] = {
    "responses": {
        200: _finished(Explanation, Explanations),
        202: _json("Not finished yet: Location says where it will be.", StatusDocument, Explanations),
        **problems(400, 406, 408, 409, 410, 413, 415, 422, 429, 500, 503),
    },
    "openapi_extra": {
        "parameters": [
            _query("model", "With a raw body: the model's name."),
            _query("method", "With a raw body: the method's name."),
            _query("target", "With a raw body: the target; JSON where it is an object or a list."),
            _query("parameters", "With a raw body: the method's parameters as a JSON object."),
            _header("Prefer", "`wait=N` seconds for the result, or `respond-async` (RFC 7240)."),
            _header(
                "Whence-Deadline", "Seconds by which the work must have started; else it is dropped unrun.", **_SECONDS
            ),
            _header(
                "Whence-Priority",
                "`interactive` (the default), or `batch`: after all that is interactive.",
                **_PRIORITIES,
            ),
            _header("Cache-Control", "`no-cache` computes again."),
        ],
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": {"$ref": "#/components/schemas/ExplanationRequest"}, "examples": _REQUESTS},
                "multipart/form-data": {"schema": _FORM},
                **dict.fromkeys(_RAW, _BINARY),
            },
        },
    },
}
_PERMANENT = "It never changes."
_OF_RESULT = problems(404, 409, 410, 422, 500, 503)


def _of_result(media: str, content: dict[str, Any]) -> dict[str, Any]:
    answer = {"description": _PERMANENT, "content": {media: content}}
    return {"responses": {200: answer, **_NOT_MODIFIED, **_OF_RESULT}}


def _plain(model: type[BaseModel], *statuses: int) -> dict[str, Any]:
    return {"responses": {200: _json("", model), **problems(*statuses)}}


READ: dict[str, Any] = {
    "responses": {200: _finished(Explanation, StatusDocument), **_NOT_MODIFIED, **problems(406), **_OF_RESULT}
}
LIST = _plain(Listing, 422, 503)
WITHDRAW: dict[str, Any] = {
    "status_code": 202,
    "responses": {
        202: _json("Withdrawn. The work goes on where others wait for it, and its status says so.", StatusDocument),
        **problems(404, 409, 503),
    },
}
EVENTS: dict[str, Any] = {
    "responses": {
        204: {"description": "The client has seen the last event (Last-Event-ID)."},
        **problems(404, 410, 503),
    }
}
PICTURE = _of_result(PNG, _BINARY)
DRAWING = _of_result(SVG, _TEXT)
TABLE = _of_result(CSV, _TEXT)
NUMBERS = _of_result(NPY, _BINARY)
SAFETENSORS = _of_result(SAFETENSORS_TYPE, _BINARY)
RECEIPT = _of_result(JSON, _json(_PERMANENT, Receipt)["content"][JSON])
ITEMS = _of_result(JSON, _json(_PERMANENT, CollectionItems)["content"][JSON])
ITEMS_TABLE = _of_result(CSV, _TEXT)
SHEET = _of_result(PNG, _BINARY)
ARCHIVE = _of_result("application/zip", _BINARY)
STACKED = _of_result(SAFETENSORS_TYPE, _BINARY)
METHODS = _plain(Methods)
METHOD = _plain(MethodDocument, 404)
MODELS = _plain(Models)
MODEL: dict[str, Any] = {"responses": {200: _json("", ModelDocument, ModelStates), **problems(404, 422)}}
_LATER = "It takes longer than the request waits; Location says where its state is."
CHANGE_MODEL: dict[str, Any] = {
    "responses": {
        200: _json("", ModelDocument, ModelStates),
        202: _json(_LATER, ModelDocument, ModelStates),
        **problems(404, 422, 503),
    }
}
DELETE_MODEL: dict[str, Any] = {
    "status_code": 204,
    "responses": {204: {"description": "It goes within seconds."}, **problems(404, 409, 503)},
}
DATASETS = _plain(DatasetDocuments)
DATASET = _plain(DatasetDocument, 404)
DELETE_DATASET: dict[str, Any] = {
    "status_code": 204,
    "responses": {204: {"description": "It is gone."}, **problems(404, 409)},
}
_ARCHIVES = (
    "application/zip",
    "application/x-npz",
    "application/x-tar",
    "application/gzip",
    "application/octet-stream",
)
SEND_DATASET: dict[str, Any] = {
    "responses": {
        200: _json("It was here already.", DatasetDocument),
        201: _json("It is kept: Location says where.", DatasetDocument),
        **problems(408, 413, 422, 507),
    },
    "openapi_extra": {"requestBody": {"required": True, "content": dict.fromkeys(_ARCHIVES, _BINARY)}},
}
_FOLDERS = ("application/zip", "application/x-tar", "application/gzip", "application/octet-stream")
SEND_MODEL: dict[str, Any] = {
    "responses": {
        200: _json("It is served.", ModelDocument, ModelStates),
        202: _json(_LATER, ModelDocument, ModelStates),
        **problems(403, 408, 413, 422, 503, 507),
    },
    "openapi_extra": {
        "requestBody": {"required": True, "content": dict.fromkeys(_FOLDERS, _BINARY)},
        "parameters": [_header("Prefer", "`wait=N` seconds for it to be served, or `respond-async` (RFC 7240).")],
    },
}
HEALTHY = _plain(Health)
READY = _plain(Ready, 503)
METRICS: dict[str, Any] = {
    "responses": {200: {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}}}
}

SCHEMAS = (
    CollectionItems,
    DatasetDocument,
    DatasetDocuments,
    Explanation,
    Explanations,
    Health,
    Listing,
    MethodDocument,
    Methods,
    ModelDocument,
    ModelStates,
    Models,
    Problem,
    Ready,
    Receipt,
    StatusDocument,
)
