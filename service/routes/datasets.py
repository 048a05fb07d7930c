"""Datasets, for methods that look at many inputs: send one, list them, read about one, delete one."""

from pathlib import Path
from typing import Any

import orjson
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.deps import dependencies_of
from service.explanations.documents import timestamp
from service.http.addresses import DATASETS
from service.http.errors import DatasetPlaced, NotFound
from service.http.negotiation import JSON
from service.routes import descriptions
from service.settings import Settings
from workers.contract import DatasetCard, Limits, UnknownDataset

UNPACKED_AT_ONCE = 2

router = APIRouter(prefix=DATASETS, tags=["datasets"])
_unpacking = CapacityLimiter(UNPACKED_AT_ONCE)


@router.post("", summary="Send a dataset", **descriptions.SEND_DATASET)
async def create(request: Request) -> Response:
    """The body is a .npz of arrays, or a .zip, .tar or .tar.gz of images in class folders; equal items, one dataset."""
    deps = dependencies_of(request)
    with deps.datasets.room() as room:
        upload = room / "upload"
        await _write(request, upload)
        card, new = await to_thread.run_sync(deps.datasets.add, upload, limits(deps.settings), limiter=_unpacking)
    headers = {"location": path_of(card)}
    return Response(orjson.dumps(dataset_document(card)), 201 if new else 200, headers, JSON)


@router.get("", summary="All datasets", **descriptions.DATASETS)
async def datasets(request: Request) -> Response:
    """The operator's own by name, then those sent, newest first."""
    cards = await to_thread.run_sync(dependencies_of(request).datasets.cards)
    return Response(orjson.dumps({"datasets": [dataset_document(card) for card in cards]}), media_type=JSON)


@router.get("/{name}", summary="One dataset", **descriptions.DATASET)
async def dataset(request: Request, name: str) -> Response:
    """By its digest or its name."""
    return Response(orjson.dumps(dataset_document(await _found(request, name))), media_type=JSON)


@router.delete("/{name}", summary="Delete a dataset", **descriptions.DELETE_DATASET)
async def delete(request: Request, name: str) -> Response:
    """Only what was sent can be deleted; what was computed from it stays."""
    card = await _found(request, name)
    if card.name is not None:
        raise DatasetPlaced("this dataset lies in a folder of the server; its operator removes it there")
    await to_thread.run_sync(dependencies_of(request).datasets.remove, card.digest)
    return Response(status_code=204)


def dataset_document(card: DatasetCard) -> dict[str, Any]:
    shown = {**card.model_dump(mode="json"), "created_at": timestamp(card.created_at)}
    return {**shown, "links": {"self": path_of(card)}}


def path_of(card: DatasetCard) -> str:
    return f"{DATASETS}/{card.name or card.digest}"


def limits(settings: Settings) -> Limits:
    return Limits(
        unpacked=settings.dataset_unpacked,
        item=settings.body_limit,
        pixels=settings.pixel_limit,
        items=settings.dataset_items,
        space=settings.dataset_space,
    )


async def _write(request: Request, path: Path) -> None:
    """The body as it comes in: it is never whole in memory."""
    with path.open("wb") as file:
        async for part in request.stream():
            await to_thread.run_sync(file.write, part)


async def _found(request: Request, name: str) -> DatasetCard:
    try:
        return await to_thread.run_sync(dependencies_of(request).datasets.card, name)
    except UnknownDataset as error:
        raise NotFound(error.detail) from None
