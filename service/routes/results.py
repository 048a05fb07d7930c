"""The parts of a finished result at addresses of their own: pictures, arrays, the receipt."""

from typing import Annotated, Literal, cast, get_args

import orjson
from anyio import to_thread
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from service.deps import Key, Wait, awaited, dependencies_of
from service.explanations.documents import MEDIA, Meta, offers
from service.explanations.representations import RENDERING, arrays_for, drawing, matches, permanent, represent
from service.explanations.responses import checked_id, stored_result
from service.http.addresses import API
from service.http.errors import NotFound
from service.http.negotiation import JSON, NPY, PNG, SAFETENSORS
from service.render import side_by_side
from service.render.by_kind import DrawnKind, Form, drawn
from service.render.side_by_side import drawn_arrays
from service.render.style import Look, Picture
from service.routes import descriptions

router = APIRouter(prefix=API + "/explanations/{id}", tags=["explanations"])


class PictureQuery(Look):
    """The look of a picture, and how long to wait for it."""

    wait: float = Field(default=0, ge=0, description="Seconds to wait for the explanation to finish.")


@router.get("/{name}.png", summary="A picture", **descriptions.PICTURE)
async def picture(
    request: Request, key: Key, name: Picture | DrawnKind, query: Annotated[PictureQuery, Query()]
) -> Response:
    """The attribution as a PNG with a colour bar and numbers; how it is drawn never changes the numbers.

    A result of another kind has one picture, named like its kind.
    """
    if name in get_args(DrawnKind):
        return await _drawing(request, key, name, "png", query)
    meta, _ = await _stored(request, key, wait=query.wait)
    _, arrays = await _stored(request, key, *drawn_arrays(meta), wait=0)
    tag = f'"{key}.{name}.{RENDERING}"'
    if _known(request, tag):
        return Response(status_code=304, headers=permanent(tag))
    content = await to_thread.run_sync(side_by_side.picture, cast(Picture, name), meta, arrays, query)
    return Response(content, headers=permanent(tag), media_type=PNG)


@router.get("/graph.svg", summary="A graph as SVG", **descriptions.DRAWING)
async def svg(request: Request, key: Key, wait: Wait = 0) -> Response:
    """The graph drawn top to bottom; what several units share is ringed, and each node tells what it is."""
    return await _drawing(request, key, "graph", "svg", PictureQuery(wait=wait))


@router.get("/{name}.csv", summary="A table of numbers", **descriptions.TABLE)
async def csv(request: Request, key: Key, name: Literal["clustering", "scores"], wait: Wait = 0) -> Response:
    """The numbers of a clustering, or of scores, as a table."""
    return await _drawing(request, key, name, "csv", PictureQuery(wait=wait))


@router.get("/{name}.npy", summary="An array of numbers", **descriptions.NUMBERS)
async def npy(request: Request, key: Key, name: str, wait: Wait = 0) -> Response:
    """An array of the result by its name (`attribution`), or `input`: what the model saw."""
    _, arrays = await _stored(request, key, name, wait=wait)
    return _file(request, f'"{key}.{name}.npy"', arrays[0], NPY)


@router.get("/{name}.safetensors", summary="The numbers as safetensors", **descriptions.SAFETENSORS)
async def safetensors(request: Request, key: Key, name: str, wait: Wait = 0) -> Response:
    """What the result is named for (`attribution`, `scores`), with its id, model and method in the file's header."""
    meta, _ = await _stored(request, key, wait=wait)
    if meta["kind"] != name or SAFETENSORS not in offers(meta):
        raise _of_another_kind(meta)
    _, arrays = await _stored(request, key, *arrays_for(SAFETENSORS, meta), wait=0)
    return represent(meta, arrays, SAFETENSORS)


@router.get("/receipt", summary="What determines the result", **descriptions.RECEIPT)
async def receipt(request: Request, key: Key, wait: Wait = 0) -> Response:
    """Digests of model and input, all parameters, versions, device: enough to compute it again and compare."""
    meta, _ = await _stored(request, key, wait=wait)
    return _file(request, f'"{key}.receipt"', orjson.dumps(meta["receipt"]), JSON)


async def _drawing(request: Request, key: Key, kind: str, form: Form, query: PictureQuery) -> Response:
    """What is drawn of a result that is no attribution; raises NotFound where it is of another kind."""
    meta, _ = await _stored(request, key, wait=query.wait)
    if meta["kind"] != kind or form not in drawn(meta):
        raise _of_another_kind(meta)
    tag = f'"{key}.{kind}.{form}.{RENDERING}"'
    if _known(request, tag):
        return Response(status_code=304, headers=permanent(tag))
    _, arrays = await _stored(request, key, *sorted(meta["arrays"]), wait=0)
    content = await to_thread.run_sync(drawing, meta, arrays, form, query)
    return Response(content, headers=permanent(tag), media_type=MEDIA[form])


def _of_another_kind(meta: Meta) -> NotFound:
    return NotFound(f"this result is of the kind {meta['kind']}; its links name what there is of it")


async def _stored(request: Request, key: Key, *arrays: str, wait: float) -> tuple[Meta, list[bytes]]:
    if wait:
        await awaited(request, checked_id(key), wait)
    return await stored_result(dependencies_of(request).queue, key, *arrays)


def _file(request: Request, tag: str, content: bytes, media: str) -> Response:
    if _known(request, tag):
        return Response(status_code=304, headers=permanent(tag))
    return Response(content, headers=permanent(tag), media_type=media)


def _known(request: Request, tag: str) -> bool:
    return matches(request.headers.get("if-none-match"), tag)
