"""The JSON documents of the API: of a result, of a status."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args

from service.http.addresses import API
from service.http.negotiation import CSV, HTML, JSON, NPY, PNG, SAFETENSORS, SVG
from service.http.problems import problem
from service.queue.status import Status
from service.render.by_kind import DRAWINGS, drawn
from service.render.plots.steps import suits
from service.render.side_by_side import names
from service.render.style import Picture
from workers.contract import catalogue

MEDIA = {"png": PNG, "svg": SVG, "csv": CSV}  # of the forms that a result is drawn in

COLLECTION = (JSON, PNG, HTML)
NAMELESS = ("state", "graph")  # kinds of which no array has the name

Meta = dict[str, Any]


def path_of(key: str) -> str:
    return f"{API}/explanations/{key}"


def offers(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """The media types that this result can be given as."""
    if meta["kind"] == "collection":
        return COLLECTION
    numbers = (NPY, SAFETENSORS) if meta["kind"] in meta else (SAFETENSORS,) if names(meta) else ()
    pictures = (PNG,) if meta["kind"] == "attribution" else tuple(MEDIA[form] for form in drawn(meta))
    return (JSON, *pictures, *numbers, HTML)


def possible(kind: str) -> tuple[str, ...]:
    """The media types that a result of this kind may be given as; which it is, is known once it is there."""
    if kind == "collection":
        return COLLECTION
    forms = ("png",) if kind == "attribution" else tuple(DRAWINGS.get(kind, ()))
    numbers = () if kind in NAMELESS else (NPY, SAFETENSORS)
    return (JSON, *(MEDIA[form] for form in forms), *numbers, HTML)


def result_document(meta: Meta) -> Meta:
    """The JSON of a result: what is stored of it but its receipt, with links."""
    shown = {name: value for name, value in meta.items() if name != "receipt"}
    shown["arrays"] = {
        name: {**about, "npy": f"{path_of(meta['id'])}/{name}.npy"} for name, about in meta.get("arrays", {}).items()
    }
    return {**shown, "status": "succeeded", "created_at": timestamp(meta.get("created_at")), "links": links(meta)}


def links(meta: Mapping[str, Any]) -> dict[str, str]:
    here, kind, offered = path_of(meta["id"]), meta["kind"], offers(meta)
    found = {"self": here, "receipt": f"{here}/receipt"}
    if kind == "attribution":
        pictures = [name for name in get_args(Picture) if name != "waterfall" or suits(meta)]
        found |= {name: f"{here}/{name}.png" for name in pictures}
    found |= {form: f"{here}/{kind}.{form}" for form in drawn(meta)}
    if NPY in offered:
        found |= {"npy": f"{here}/{kind}.npy", "safetensors": f"{here}/{kind}.safetensors"}
    elif SAFETENSORS in offered:
        found |= {f"npy.{name}": f"{here}/{kind}.{name}.npy" for name in names(meta)}
        found["safetensors"] = f"{here}/{kind}.safetensors"
    if kind == "collection":
        found |= {name.partition(".")[0]: f"{here}/{name}" for name in ("items", "archive.zip", "contact_sheet.png")}
        found |= {"safetensors": f"{here}/collection.safetensors", "csv": f"{here}/items.csv"}
        found |= {"beeswarm": f"{here}/beeswarm.png"} if is_of_features(meta) else {}
    return found


def is_of_features(meta: Mapping[str, Any]) -> bool:
    """Whether a collection is of attributions that have one number a feature."""
    shape = meta["arrays"].get("means", {}).get("shape", ())
    return len(shape) == 2 and shape[0] > 0 and catalogue()[meta["method"]["of"]["name"]].kind == "attribution"


def status_document(status: Status) -> dict[str, Any]:
    """The JSON of a status; times as RFC 3339, the error as a problem."""
    error, here = status.error, path_of(status.id)
    errors = [{"pointer": error.pointer, "detail": error.detail}] if error and error.pointer is not None else ()
    return {
        "id": status.id,
        "status": status.status,
        "model": status.model,
        "progress": status.progress.model_dump() if status.progress else None,
        "position": status.position,
        "reason": status.reason,
        "created_at": timestamp(status.created_at),
        "started_at": timestamp(status.started_at),
        "finished_at": timestamp(status.finished_at),
        "deadline": timestamp(status.deadline),
        "attempts": status.attempts,
        "error": problem(error.code, error.detail, errors, error.alternatives) if error else None,
        "links": {"self": here} if status.final else {"self": here, "events": f"{here}/events"},
    }


def timestamp(seconds: float | None) -> str | None:
    """Unix seconds as RFC 3339, in UTC with milliseconds."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
