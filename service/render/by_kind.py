"""How results are drawn that are not attributions: by kind and by form, from all their arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.render.picture import caption
from service.render.plots import clustermap, graph, scores
from service.render.plots.clusters import draw_clusters
from service.render.plots.mean_maps import summary
from service.render.style import Look
from service.render.synthesis import draw_synthesis, notes_of
from workers.contract import ImageSpec

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
Draw: TypeAlias = Callable[[Mapping[str, Any], Arrays, Look], bytes]
Form: TypeAlias = Literal["png", "svg", "csv"]
DrawnKind: TypeAlias = Literal["synthesis", "graph", "clustering", "scores", "collection"]


def _synthesis(meta: Mapping[str, Any], arrays: Arrays, look: Look) -> bytes:
    made = arrays["synthesis"]
    trace = arrays.get("trace", made.reshape(len(made), -1)[:, :0])
    spec = ImageSpec.model_validate(meta["image"]) if "image" in meta else None
    return draw_synthesis(made, trace, spec, look, caption(meta), notes_of(meta.get("info", {})))


def _clustering(meta: Mapping[str, Any], arrays: Arrays, look: Look) -> bytes:
    if "presence" in arrays:
        return clustermap.png(meta, arrays)
    return draw_clusters(arrays["mean"], arrays["clustering"], arrays["embedding"], look, caption(meta))


def _clusters(meta: Mapping[str, Any], arrays: Arrays, _: Look) -> bytes:
    if "presence" in arrays:
        return clustermap.csv(meta, arrays)
    columns = [arrays["items"][:, None], arrays["clustering"][:, None], arrays["embedding"]]
    lines = (f"{item:g},{cluster:g},{x:.9g},{y:.9g}" for item, cluster, x, y in np.concatenate(columns, 1))
    return "\n".join(["item,cluster,x,y", *lines, ""]).encode()


DRAWINGS: Mapping[str, Mapping[Form, Draw]] = {
    "synthesis": {"png": _synthesis},
    "graph": {
        "svg": lambda meta, arrays, _: graph.svg(meta, arrays),
        "png": lambda meta, arrays, _: graph.png(meta, arrays),
    },
    "clustering": {"png": _clustering, "csv": _clusters},
    "collection": {
        "png": summary,
    },
    "scores": {
        "png": lambda meta, arrays, _: scores.png(meta, arrays),
        "csv": lambda meta, arrays, _: scores.csv(meta, arrays),
    },
}


def drawn(meta: Mapping[str, Any]) -> tuple[Form, ...]:
    """The forms that this result is drawn in; a synthesis only where what was made up has places."""
    kind = meta["kind"]
    if kind == "synthesis" and len(meta.get("synthesis", {}).get("shape", ())) != 4:  # count, channels, height, width
        return ()
    return tuple(DRAWINGS.get(kind, ()))
