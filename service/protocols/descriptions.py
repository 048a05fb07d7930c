"""What OpenAPI says of the protocols' requests and answers."""

from __future__ import annotations

from typing import Any

from service.explanations.request_schema import MOST_FIELDS
from service.http.bodies import LONGEST_PART
from service.http.negotiation import JSON
from service.http.problems import KINDS
from service.protocols.errors import ERRORS, Error, kserve, status_of, torchserve
from service.protocols.tensor_encoding import InferenceRequest
from service.settings import MOST_EXPLANATIONS
from workers.contract import MOST_NUMBERS

Schema = dict[str, Any]
Route = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_PART: Schema = {"type": "string", "maxLength": LONGEST_PART}
_TRUE: Schema = {"type": "boolean"}
_ANY: Schema = {"description": "Nested numbers."}
_BINARY: Schema = {"type": "string", "format": "binary"}
_ERROR: dict[Error, str] = {kserve: "ProtocolError", torchserve: "TorchServeError"}
_KEYS = (401, 403, 429)  # wherever the operator wants a key
_EVERY = (400, 404, 408, 409, 410, 413, 415, 500, 503)
_LATE = {
    "Location": {"description": "Where the explanation will be.", "schema": _TEXT},
    "Retry-After": {"schema": _TEXT},
}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _errors(error: Error, *statuses: int) -> dict[int, Any]:
    """The refusals that a route may answer with, each with an example."""
    found: dict[int, Any] = {}
    for status in sorted({*statuses, *(_KEYS if statuses else ())}):
        kinds = {c: kind for c, kind in KINDS.items() if status_of({"status": kind.status, "code": c}) == status}
        if not kinds:
            continue
        examples = {code: {"value": error(status, code, kind.title)} for code, kind in kinds.items()}
        content = {JSON: {"schema": _ref(_ERROR[error]), "examples": examples}}
        described = "; ".join(dict.fromkeys(kind.title for kind in kinds.values())) + "."
        found[status] = {"description": described, "content": content}
    if 503 in found:
        found[503]["headers"] = _LATE
    return found


def key_refusals(path: str) -> dict[int, Any] | None:
    """What a route answers to who has no key that allows it; None for a path of no protocol."""
    error = ERRORS.get(path[1:].partition("/")[0])
    return error and {status: _errors(error, status)[status] for status in (401, 403)}


def _route(error: Error, schema: Schema, example: Any, *statuses: int, body: Schema | None = None) -> Route:
    answer = {"description": "", "content": {JSON: {"schema": schema, "example": example}}}
    route: Route = {"responses": {200: answer, **_errors(error, *statuses)}}
    if body is not None:
        route["openapi_extra"] = {"requestBody": {"required": True, "content": body}}
    return route


_INSTANCE: Schema = {
    "description": "Nested numbers, an image in base64, or one of these under `data` with a `target` beside it.",
    "anyOf": [
        {"type": "array", "maxItems": MOST_NUMBERS, "items": {}},
        {"type": "string", "maxLength": 2**30},
        {"type": "object", "maxProperties": MOST_FIELDS},
    ],
}
_ROWS: Schema = {"type": "array", "minItems": 1, "maxItems": MOST_EXPLANATIONS, "items": _INSTANCE}
_METHOD: Schema = {"anyOf": [_ref("MethodName"), _object(name=_ref("MethodName"))]}
_PARAMETERS: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "method": {"description": "A method by name, or with its parameters.", **_METHOD},
        "target": {"description": "One for all instances, or a list of one for each.", **_ref("TargetChoice")},
    },
}
_V1_BODY: Schema = {
    JSON: {
        "schema": _ref("V1Request"),
        "examples": {
            "numbers": {"value": {"instances": [[0.1, 0.2, 0.3, 0.4]]}},
            "images": {"value": {"instances": [{"data": "<base64>", "target": 3}], "parameters": {"method": "lrp"}}},
        },
    }
}
_V1_EXPLANATION = _object(
    id=_TEXT,
    method={"type": "object"},
    target={"type": ["object", "null"]},
    checks=_list({"type": "object"}),
    links={"type": "object"},
)
_PREDICTIONS = {"predictions": [[0.1, 2.5]]}
_EXPLAINED = {
    "id": "0" * 64,
    "attribution": [0.5, -0.25],
    "method": {"name": "gradient"},
    "target": {"kind": "class", "index": 1},
    "checks": [],
    "links": {"self": "/api/v1/explanations/" + "0" * 64},
}

V1_MODELS = _route(kserve, _object(models=_list(_TEXT)), {"models": ["digits"]})
V1_MODEL = _route(kserve, _object(name=_TEXT, ready=_TRUE), {"name": "digits", "ready": True}, 404, 503)
V1_PREDICT = _route(kserve, _object(predictions=_list(_ANY)), _PREDICTIONS, *_EVERY, body=_V1_BODY)
V1_EXPLAIN = _route(
    kserve,
    _object(predictions=_list(_ANY), explanations=_list(_V1_EXPLANATION)),
    {**_PREDICTIONS, "explanations": [_EXPLAINED]},
    *_EVERY,
    body=_V1_BODY,
)

_TENSOR_TOLD = _object(name=_TEXT, datatype=_TEXT, shape=_list({"type": "integer"}))
_METADATA = _object(
    name=_TEXT, versions=_list(_TEXT), platform=_TEXT, inputs=_list(_TENSOR_TOLD), outputs=_list(_TENSOR_TOLD)
)
_TENSOR = {"name": "input", "datatype": "FP32", "shape": [1, 4]}
_INFERENCE: Schema = {
    JSON: {
        "schema": _ref(InferenceRequest.__name__),
        "examples": {"rows": {"value": {"inputs": [{**_TENSOR, "data": [0.1, 0.2, 0.3, 0.4]}]}}},
    },
    "application/octet-stream": {
        "schema": {**_BINARY, "description": "JSON, then bytes; Inference-Header-Content-Length is the JSON's length."}
    },
}
_INFERRED = _object(model_name=_TEXT, model_version=_TEXT, outputs=_list(_TENSOR_TOLD))
_OUTPUT = {"name": "scores", "datatype": "FP32", "shape": [1, 2], "data": [0.1, 2.5]}


def _infers() -> Route:
    example = {"model_name": "digits", "model_version": "1", "outputs": [_OUTPUT]}
    route = _route(kserve, _INFERRED, example, *_EVERY, body=_INFERENCE)
    route["responses"][200]["content"]["application/octet-stream"] = {"schema": _BINARY}
    return route


V2_SERVER = _route(
    kserve,
    _object(name=_TEXT, version=_TEXT, extensions=_list(_TEXT)),
    {"name": "whence", "version": "0.2.0", "extensions": ["binary_tensor_data", "classification"]},
)
V2_LIVE = _route(kserve, _object(live=_TRUE), {"live": True})
V2_READY = _route(kserve, _object(ready=_TRUE), {"ready": True}, 503)
V2_MODELS = V1_MODELS
V2_MODEL = _route(
    kserve,
    _METADATA,
    {"name": "table", "versions": ["1"], "platform": "whence", "inputs": [_TENSOR], "outputs": []},
    *(404, 503),
)
V2_MODEL_READY = _route(kserve, _object(name=_TEXT, ready=_TRUE), {"name": "digits", "ready": True}, 400, 404, 503)
V2_INFER = _infers()
V2_EXPLAIN = _infers()
_STATE = _object(name=_TEXT, version=_TEXT, state=_TEXT, reason=_TEXT)
V2_INDEX = _route(
    kserve,
    _list(_STATE),
    [{"name": "digits", "version": "1", "state": "READY", "reason": ""}],
    *(400, 408, 413, 415),
)
V2_LOAD = _route(kserve, _object(name=_TEXT, load=_TRUE), {"name": "digits", "load": True}, 400, 404, 503)
V2_UNLOAD = _route(kserve, _object(name=_TEXT, unload=_TRUE), {"name": "digits", "unload": True}, 400, 404, 503)

_FILE = _object(data=_BINARY)
_TORCHSERVE_BODY: Schema = {
    "application/octet-stream": {"schema": {**_BINARY, "description": "An image, .npy, .safetensors, or JSON."}},
    "multipart/form-data": {"schema": {**_FILE, "properties": {"data": _BINARY, "target": _PART, "method": _PART}}},
    JSON: {
        "schema": {
            "anyOf": [
                _object(data=_INSTANCE),
                _object(instances=_ROWS),
                {"type": "array", "minItems": 1, "maxItems": MOST_NUMBERS},
            ]
        },
        "examples": {"one": {"value": {"data": [0.1, 0.2, 0.3, 0.4], "target": 1}}},
    },
}
_QUERY = {
    "method": "The method's name; by default the model's own.",
    "target": "The target; by default the predicted class.",
    "parameters": "The method's parameters as a JSON object.",
}


def _torchserve(example: Any) -> Route:
    route = _route(torchserve, _ANY, example, *_EVERY, body=_TORCHSERVE_BODY)
    query = [{"name": name, "in": "query", "description": told, "schema": _TEXT} for name, told in _QUERY.items()]
    route["openapi_extra"]["parameters"] = query
    return route


_REGISTERED = {"modelName": "digits", "modelUrl": "digits"}
TS_MODELS = _route(torchserve, _object(models=_list({"type": "object"})), {"models": [_REGISTERED]})
TS_MODEL = _route(torchserve, _list({"type": "object"}), [{**_REGISTERED, "modelVersion": "1", "workers": []}], 404)
TS_REMOVE = _route(torchserve, _object(status=_TEXT), {"status": 'Model "digits" unregistered'}, 404, 503)
PING = _route(torchserve, _object(status=_TEXT), {"status": "Healthy"}, 503)
PREDICTIONS = _torchserve({"seven": 0.99, "one": 0.01})
EXPLANATIONS = _torchserve([[0.0, 0.5], [-0.25, 0.0]])

SCHEMAS: dict[str, Schema] = {
    "ProtocolError": _object(error=_TEXT),
    "TorchServeError": _object(code={"type": "integer"}, type=_TEXT, message=_TEXT),
    "V1Request": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "instances": _ROWS,
            "inputs": _ROWS,
            "parameters": _PARAMETERS,
            "signature_name": {"type": "string", "maxLength": 1000},
        },
        "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
    },
}
