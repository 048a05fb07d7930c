"""The OpenAPI document; `python -m service.cli.openapi` prints it."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.explanations.request_schema import ExplanationRequest
from service.http.access import OPEN
from service.http.negotiation import JSON
from service.openapi.for_generators import mended
from service.protocols.descriptions import SCHEMAS as PROTOCOLS
from service.protocols.descriptions import key_refusals
from service.protocols.tensor_encoding import InferenceRequest
from service.routes.descriptions import SCHEMAS, problems
from service.routes.examples import EXAMPLES
from service.settings import MOST_EXPLANATIONS
from workers.contract import Method, catalogue

REF = "#/components/schemas/{model}"


def operation_id(route: APIRoute) -> str:
    """What generators of clients name a call after: its tag and its function."""
    tag = "_".join(str(tag).lower() for tag in route.tags[:1]).replace(" ", "_")
    return f"{tag}_{route.name}" if tag else route.name


def schema_of(app: FastAPI) -> dict[str, Any]:
    """The app's document, with a schema per method, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        )
        components = document.setdefault("components", {}).setdefault("schemas", {})
        components |= _documents() | PROTOCOLS | _methods(catalogue())
        _forget_fastapis_problems(document)
        _add_examples(document)
        _add_keys(document)
        mended(document)
        app.openapi_schema = document
    return app.openapi_schema


def _forget_fastapis_problems(document: dict[str, Any]) -> None:
    """FastAPI declares its own 422 wherever a route declares none, and JSON beside whatever else a route answers."""
    for unused in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
    for path in document["paths"].values():
        for operation in path.values():
            if JSON in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]
            for answer in operation["responses"].values():
                if answer.get("content", {}).get(JSON) == {"schema": {}}:
                    del answer["content"][JSON]


def _add_examples(document: dict[str, Any]) -> None:
    """Added here, for FastAPI leaves out what is null in an example of a route's own."""
    answers = (a for path in document["paths"].values() for one in path.values() for a in one["responses"].values())
    for content in (answer["content"][JSON] for answer in answers if JSON in answer.get("content", {})):
        schemas = content["schema"].get("anyOf", [content["schema"]])
        names = [one["$ref"].rpartition("/")[2] for one in schemas if "$ref" in one]
        if found := {name: {"value": EXAMPLES[name]} for name in names if name in EXAMPLES}:
            content["examples"] = found


def _add_keys(document: dict[str, Any]) -> None:
    """Where API keys are on; that they are asked for by default is said nowhere, for they are not."""
    scheme = {"type": "http", "scheme": "bearer", "description": "An API key, where the operator has made keys."}
    document["components"]["securitySchemes"] = {"key": scheme}
    for path, operations in document["paths"].items():
        refusals = key_refusals(path) or problems(401, 403)
        for operation in () if OPEN.fullmatch(path) else operations.values():
            operation["responses"] |= {str(status): answer for status, answer in refusals.items()}


def _documents() -> dict[str, Any]:
    _, schemas = models_json_schema([(model, "serialization") for model in SCHEMAS], ref_template=REF)
    requests: list[type[BaseModel]] = [ExplanationRequest, InferenceRequest]
    _, request = models_json_schema([(model, "validation") for model in requests], ref_template=REF)
    fields = request["$defs"]["ExplanationRequest"]["properties"]
    fields["method"] = {"$ref": REF.format(model="Method"), "description": fields["method"]["description"]}
    request["$defs"]["TargetChoice"] = fields["target"]
    return {**schemas["$defs"], **request["$defs"]}


def _methods(found: Mapping[str, type[Method]]) -> dict[str, Any]:
    """`Method`: a name, an object that the name discriminates, or a list of these."""
    schemas: dict[str, Any] = {}
    for name, kind in found.items():
        own = kind.model_json_schema(ref_template=REF)
        schemas |= own.pop("$defs", {})
        schemas[_component(name)] = {**own, "required": sorted({*own.get("required", []), "name"})}
    mapping = {name: REF.format(model=_component(name)) for name in found}
    one = {
        "title": "MethodObject",
        "oneOf": [{"$ref": ref} for ref in mapping.values()],
        "discriminator": {"propertyName": "name", "mapping": mapping},
    }
    named = {"title": "MethodName", "type": "string", "enum": list(found)}
    single = [{"$ref": REF.format(model="MethodName")}, {"$ref": REF.format(model="MethodObject")}]
    several = {"type": "array", "minItems": 1, "maxItems": MOST_EXPLANATIONS, "items": {"anyOf": single}}
    return schemas | {"MethodName": named, "MethodObject": one, "Method": {"anyOf": [*single, several]}}


def _component(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_")) + "Method"
