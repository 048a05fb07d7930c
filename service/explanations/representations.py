"""A stored result as a response, in the representation that was chosen."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.responses import Response

from service.explanations.collections import collection_of
from service.explanations.documents import Meta, result_document
from service.http.negotiation import CSV, HTML, JSON, NPY, PNG, SAFETENSORS, SVG
from service.render.by_kind import DRAWINGS, Form, drawn
from service.render.page import page
from service.render.side_by_side import drawn_arrays, names, picture
from service.render.style import DEFAULT_LOOK, Look
from workers.contract import encode_safetensors

RENDERING = 1
FIRST_ITEMS = 100  # of a collection, in its document
IMMUTABLE = "private, max-age=31536000, immutable"
INLINE = "application/json; inline"

_SUFFIX = {
    JSON: "json",
    INLINE: "inline",
    PNG: "png",
    NPY: "npy",
    SAFETENSORS: "safetensors",
    HTML: "html",
    SVG: "svg",
    CSV: "csv",
}
_DRAWN = (PNG, HTML, SVG, CSV)


def arrays_for(media: str, meta: Meta | None = None) -> tuple[str, ...]:
    """Names of the arrays that a representation is made from; without `meta`, those of an attribution."""
    kind = meta["kind"] if meta else "attribution"
    if media == JSON or (media == INLINE and kind == "collection"):
        return tuple(sorted(meta["arrays"])) if meta and kind == "collection" else ()
    if media not in _DRAWN:
        return (kind,) if meta is None or kind in meta else tuple(f"{kind}.{name}" for name in names(meta))
    if meta is None:
        return (kind, "input")
    if kind == "attribution":
        return drawn_arrays(meta)
    return tuple(sorted(meta["arrays"])) if drawn(meta) else ()


def etag(key: str, media: str) -> str:
    """A strong tag: results never change, so the name of a representation stands for its bytes."""
    return f'"{key}.{_SUFFIX[media]}.{RENDERING}"'


def matches(if_none_match: str | None, tag: str) -> bool:
    """Whether If-None-Match names the tag (RFC 9110 section 13.1.2)."""
    if if_none_match is None:
        return False
    tags = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return tag in tags or "*" in tags


def permanent(tag: str) -> dict[str, str]:
    """The headers of what never changes."""
    return {"etag": tag, "cache-control": IMMUTABLE, "vary": "Accept"}


def represent(meta: Meta, arrays: Sequence[bytes | None], media: str) -> Response:
    """A finished result; `arrays` are those that `arrays_for` names, as .npy bytes."""
    content = _WRITERS[media](meta, [data for data in arrays if data is not None])
    return Response(content, headers=permanent(etag(meta["id"], media)), media_type=media.partition(";")[0])


def _json(meta: Meta, arrays: Sequence[bytes]) -> bytes:
    shown = result_document(meta)
    if meta["kind"] == "collection":
        of = collection_of(meta, arrays)
        shown["items"] = of.items(range(min(of.count, FIRST_ITEMS)))
    return orjson.dumps(shown)


def _inline(meta: Meta, arrays: Sequence[bytes]) -> bytes:
    if meta["kind"] == "collection":
        return _json(meta, arrays)
    shown = result_document(meta)
    kind, several = meta["kind"], names(meta)
    if several:
        told = zip(several, arrays, strict=True)
        shown[f"{kind}s"] = {name: {**shown[f"{kind}s"][name], "data": _loaded(data).ravel()} for name, data in told}
    elif arrays:
        shown[kind] = {**shown[kind], "data": _loaded(arrays[0]).ravel()}
    return orjson.dumps(shown, option=orjson.OPT_SERIALIZE_NUMPY)


def drawing(meta: Meta, arrays: Sequence[bytes], form: Form, look: Look = DEFAULT_LOOK) -> bytes:
    """A result that is no attribution in one of the forms of its kind; `arrays` are all of its arrays by name."""
    named = zip(sorted(meta["arrays"]), arrays, strict=True)
    loaded = {name: _loaded(data) for name, data in named}
    return DRAWINGS[meta["kind"]][form](meta, loaded, look)


def _loaded(data: bytes) -> NDArray[Any]:
    """An array of a result: ours, so none of what a client's array may not be; an axis may be empty."""
    array: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return array


def _png(meta: Meta, arrays: Sequence[bytes]) -> bytes:
    if meta["kind"] == "attribution":
        return picture("heatmap", meta, arrays, DEFAULT_LOOK)
    return drawing(meta, arrays, "png")


def _svg(meta: Meta, arrays: Sequence[bytes]) -> bytes:
    return drawing(meta, arrays, "svg")


def _csv(meta: Meta, arrays: Sequence[bytes]) -> bytes:
    return drawing(meta, arrays, "csv")


def _npy(_: Meta, arrays: Sequence[bytes]) -> bytes:
    return arrays[0]


def _safetensors(meta: Meta, arrays: Sequence[bytes]) -> bytes:
    said = {"id": meta["id"], "model": meta["model"]["digest"], "method": orjson.dumps(meta["method"]).decode()}
    several = [f"{meta['kind']}.{name}" for name in names(meta)]
    return encode_safetensors(dict(zip(several or [meta["kind"]], map(_loaded, arrays), strict=True)), said)


def _html(meta: Meta, arrays: Sequence[bytes]) -> bytes:
    return page(meta, _png(meta, arrays) if arrays else None)


_WRITERS: Mapping[str, Callable[[Meta, Sequence[bytes]], bytes]] = {
    JSON: _json,
    INLINE: _inline,
    PNG: _png,
    NPY: _npy,
    SAFETENSORS: _safetensors,
    HTML: _html,
    SVG: _svg,
    CSV: _csv,
}
