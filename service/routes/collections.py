"""Explanations of many inputs in one job: their items in pages, contact sheets, and everything as one file."""

from typing import Annotated

import orjson
from anyio import to_thread
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from service.deps import Key, Wait, awaited, dependencies_of
from service.explanations.collection_files import (
    SHEETS,
    archive,
    beeswarm,
    check_stackable,
    check_there,
    sheet,
    stacked,
)
from service.explanations.collections import Collection, Order, collection_of, table
from service.explanations.documents import is_of_features, path_of
from service.explanations.representations import drawing, permanent
from service.explanations.responses import checked_id, stored_result
from service.http.addresses import API
from service.http.errors import NotFound
from service.http.negotiation import CSV, JSON, PNG, SAFETENSORS
from service.render.contact_sheet import PER_SHEET
from service.routes import descriptions

MOST_SHEETS = 10_000

router = APIRouter(prefix=API + "/explanations/{id}", tags=["many inputs"])

Sort = Annotated[
    Order,
    Query(description="By their number, the worst checks first, or those first whose prediction is not their label."),
]
Start = Annotated[int, Query(ge=0, description="How many items lie before the page.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Most items of the page.")]
Sheets = Annotated[
    int,
    Query(
        ge=0, le=MOST_SHEETS, description=f"Most contact sheets in it, of {PER_SHEET} items each, the first by `sort`."
    ),
]
Page = Annotated[int, Query(ge=1, description=f"Which sheet, of {PER_SHEET} items each.")]


@router.get("/items", summary="Items of a collection", **descriptions.ITEMS)
async def items(
    request: Request, key: Key, start: Start = 0, limit: Limit = 100, sort: Sort = "index", wait: Wait = 0
) -> Response:
    """What became of each: prediction, checks, and the id of its explanation."""
    of = await _collection(request, key, wait)
    rows = of.ordered(sort)[start : start + limit]
    links = {"self": f"{path_of(key)}/items?start={start}&limit={limit}&sort={sort}"}
    if start + limit < of.count:
        links["next"] = f"{path_of(key)}/items?start={start + limit}&limit={limit}&sort={sort}"
    found = {"count": of.count, "items": of.items(rows), "links": links}
    return Response(orjson.dumps(found), headers=permanent(f'"{key}.items.{start}.{limit}.{sort}"'), media_type=JSON)


@router.get("/items.csv", summary="Items as a table", **descriptions.ITEMS_TABLE)
async def items_table(request: Request, key: Key, wait: Wait = 0) -> Response:
    """A line for each: its number, id, label, prediction, target, and the gaps of its checks."""
    of = await _collection(request, key, wait)
    return StreamingResponse(table(of), headers=permanent(f'"{key}.items.csv"'), media_type=CSV)


@router.get("/contact_sheet.png", summary="Inputs beside their maps", **descriptions.SHEET)
async def contact_sheet(request: Request, key: Key, page: Page = 1, sort: Sort = "index", wait: Wait = 0) -> Response:
    """A sheet of items; `Link` names the next."""
    of = await _collection(request, key, wait)
    last = -(-of.count // PER_SHEET)
    if page > last:
        raise NotFound(f"there are {last} sheets of {PER_SHEET} items each")
    rows = of.ordered(sort)[(page - 1) * PER_SHEET : page * PER_SHEET]
    content = await sheet(of, dependencies_of(request).queue, rows, f"sheet {page} of {last}")
    headers = {"cache-control": "no-store"}
    if page < last:
        headers["link"] = f'<{path_of(key)}/contact_sheet.png?page={page + 1}&sort={sort}>; rel="next"'
    return Response(content, headers=headers, media_type=PNG)


@router.get("/beeswarm.png", summary="What each feature does over all", **descriptions.SHEET)
async def beeswarm_picture(request: Request, key: Key, wait: Wait = 0) -> Response:
    """A dot for each input in the line of each feature: across what the feature did there, coloured by its value."""
    of = await _collection(request, key, wait)
    if not is_of_features(of.meta):
        raise NotFound("a beeswarm is drawn of attributions that have one number a feature, as those of tables have")
    queue = dependencies_of(request).queue
    await check_there(of, queue)
    return Response(await beeswarm(of, queue), headers={"cache-control": "no-store"}, media_type=PNG)


@router.get("/archive.zip", summary="All of a collection", **descriptions.ARCHIVE)
async def whole(request: Request, key: Key, sheets: Sheets = SHEETS, sort: Sort = "index", wait: Wait = 0) -> Response:
    """A .npy of each item, a table of all, the summary, and contact sheets. It is made as it is sent."""
    of = await _collection(request, key, wait)
    queue = dependencies_of(request).queue
    await check_there(of, queue)
    _, arrays = await stored_result(queue, key, *sorted(of.meta["arrays"]))
    picture = await to_thread.run_sync(drawing, of.meta, arrays, "png")
    headers = {"content-disposition": f'attachment; filename="{key[:12]}.zip"', "cache-control": "no-store"}
    return StreamingResponse(archive(of, queue, picture, sheets, sort), headers=headers, media_type="application/zip")


@router.get("/collection.safetensors", summary="All maps, stacked", **descriptions.STACKED)
async def safetensors(request: Request, key: Key, wait: Wait = 0) -> Response:
    """The maps along a first axis, zeros where an item has none; `index` are the items' numbers."""
    of = await _collection(request, key, wait)
    check_stackable(of)
    queue = dependencies_of(request).queue
    await check_there(of, queue)
    return StreamingResponse(stacked(of, queue), headers={"cache-control": "no-store"}, media_type=SAFETENSORS)


async def _collection(request: Request, key: str, wait: float) -> Collection:
    """Raises NotFound where the explanation is of one input."""
    if wait:
        await awaited(request, checked_id(key), wait)
    queue = dependencies_of(request).queue
    meta, _ = await stored_result(queue, key)
    if meta["kind"] != "collection":
        raise NotFound(f"this is one explanation of the kind {meta['kind']}; its links name what there is of it")
    _, arrays = await stored_result(queue, key, *sorted(meta["arrays"]))
    return await to_thread.run_sync(collection_of, meta, arrays)
