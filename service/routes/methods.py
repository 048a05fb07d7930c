"""The catalogue of methods, each with the JSON Schema of its parameters."""

from functools import cache
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from service.http.addresses import API
from service.http.errors import NotFound
from service.http.negotiation import JSON
from service.routes import descriptions
from workers.contract import FULL, TOLERANCES, Method, catalogue, claims, inputs, meant

DIALECT = "https://json-schema.org/draft/2020-12/schema"

router = APIRouter(prefix=API + "/methods", tags=["methods"])


@router.get("", summary="All methods", **descriptions.METHODS)
async def methods() -> Response:
    """Every explanation method there is, with its parameters, by family and name."""
    return Response(_all(), media_type=JSON)


@router.get("/{name}", summary="One method", **descriptions.METHOD)
async def method(name: str) -> Response:
    """What it asks of the model, what it needs and costs, its parameters and its source."""
    if name not in catalogue():
        raise NotFound(f"there is no such method; {meant(name, sorted(catalogue()))}")
    return Response(orjson.dumps(method_document(catalogue()[name])), media_type=JSON)


def method_document(kind: type[Method]) -> dict[str, Any]:
    name = kind.model_fields["name"].default
    return {
        "name": name,
        "family": kind.family,
        "kind": kind.kind,
        "question": kind.question,
        "description": " ".join((kind.__doc__ or "").split()),
        "citation": kind.citation,
        "needs": sorted(kind.needs),
        "takes_input": kind.takes_input,
        "precisions": list(TOLERANCES) if kind.reduced else [FULL],
        "cost": kind.cost,
        "inputs": inputs(kind),
        "promises": claims(kind).promises._asdict(),
        "fails": claims(kind).fails._asdict(),
        "revision": kind.revision,
        "parameters": {"$schema": DIALECT, **kind.model_json_schema()},
        "links": {"self": f"{API}/methods/{name}"},
    }


@cache
def _all() -> bytes:
    return orjson.dumps({"methods": [method_document(kind) for kind in catalogue().values()]})
