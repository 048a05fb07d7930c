"""The JSON documents of the API: of a result, of a status."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from service.errors import problem
from service.negotiation import HTML, JSON, NPY, PNG, SAFETENSORS
from service.orders import Status

API = "/api/v1"
DATASETS = API + "/datasets"

Meta = dict[str, Any]


def path_of(key: str) -> str:
    return f"{API}/explanations/{key}"


def offers(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """The media types that this result can be given as."""
    numbers = (NPY, SAFETENSORS) if meta["kind"] in meta else ()
    picture = (PNG,) if meta["kind"] == "attribution" else ()
    return (JSON, *picture, *numbers, HTML)


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
    if PNG in offered:
        found |= {name: f"{here}/{name}.png" for name in ("heatmap", "overlay", "gray")}
    if NPY in offered:
        found |= {"npy": f"{here}/{kind}.npy", "safetensors": f"{here}/{kind}.safetensors"}
    return found


def status_document(status: Status) -> dict[str, Any]:
    """The JSON of a status; times as RFC 3339, the error as a problem."""
    error = status.error
    errors = [{"pointer": error.pointer, "detail": error.detail}] if error and error.pointer is not None else ()
    return {
        "id": status.id,
        "status": status.status,
        "model": status.model,
        "progress": status.progress.model_dump() if status.progress else None,
        "position": status.position,
        "created_at": timestamp(status.created_at),
        "started_at": timestamp(status.started_at),
        "finished_at": timestamp(status.finished_at),
        "deadline": timestamp(status.deadline),
        "attempts": status.attempts,
        "error": problem(error.code, error.detail, errors) if error else None,
        "links": {"self": path_of(status.id)},
    }


def timestamp(seconds: float | None) -> str | None:
    """Unix seconds as RFC 3339, in UTC with milliseconds."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
