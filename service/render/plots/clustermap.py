"""Graphs by nodes as a clustered map: red where a graph has a node, blue where not, and both trees (S1 Fig. 4)."""

import csv as csv_format
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.render import frame
from service.render.colormaps import colours
from service.render.frame import SMALL, TITLE, WHITE
from service.render.text import FAINT, INK, fitted, write

ROW, TREE, STRIP, MARGIN, NAMES = 24, 96, 12, 16, 190
WIDEST = 1200  # of the map
_CELLS = 14  # pixels of a node, where there is room
_PRESENT, _ABSENT = colours(np.array([0.8, -0.12], np.float32), "blue_red")
Arrays = Mapping[str, NDArray[Any]]


def png(meta: Mapping[str, Any], arrays: Arrays) -> bytes:
    """The map: a row for each graph with its label and cluster, a column for each node, as their trees order them."""
    rows, columns = arrays["order"].tolist(), arrays["node_order"].tolist()
    cell = max(1, min(_CELLS, WIDEST // max(len(columns), 1)))
    width, height = max(cell * len(columns), 1), ROW * len(rows)
    left, top = MARGIN + TREE, MARGIN + TITLE + SMALL + 18 + TREE
    first = top + STRIP + 4
    canvas = Image.new("RGB", (max(left + width + NAMES + MARGIN, 720), first + height + MARGIN), WHITE)
    draw = ImageDraw.Draw(canvas)
    room = canvas.width - 2 * MARGIN
    title, subtitle = _said(meta, len(columns))
    write(draw, (MARGIN, MARGIN), fitted(title, TITLE, room), TITLE)
    write(draw, (MARGIN, MARGIN + TITLE + 6), fitted(subtitle, SMALL, room), SMALL, ink=FAINT)
    if columns:
        cells = np.where(arrays["presence"][np.ix_(rows, columns)][..., None] > 0, _PRESENT, _ABSENT)
        _paste(canvas, _depths(meta["info"])[None, columns], (left, top), (width, STRIP))
        _paste(canvas, cells.astype(np.uint8), (left, first), (width, height))
    for one in brackets(arrays["node_merges"], columns):
        draw.line([(left + at * cell, top - 4 - high * (TREE - 8)) for at, high in one.points], fill=FAINT)
    for one in brackets(arrays["merges"], rows):
        draw.line([(left - 4 - high * (TREE - 8), first + at * ROW) for at, high in one.points], fill=INK, width=2)
    for row, graph in enumerate(rows):
        about, middle = meta["info"]["graphs"][graph], first + (row + 0.5) * ROW
        draw.line((left, first + row * ROW, left + width, first + row * ROW), fill=WHITE)
        text = fitted(f"{about['cluster']}: {_name(about)}", SMALL, NAMES)
        write(draw, (left + width + 8, middle), text, SMALL, anchor="lm")
    return frame.png(canvas)


def _paste(canvas: Image.Image, pixels: NDArray[np.uint8], at: tuple[int, int], size: tuple[int, int]) -> None:
    canvas.paste(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST), at)


def csv(meta: Mapping[str, Any], arrays: Arrays) -> bytes:
    """A line for each graph, as the tree orders them: its classes, its cluster, and 1 for each node that it has."""
    columns = arrays["node_order"].tolist()
    nodes = [meta["info"]["nodes"][i] for i in columns]
    out = StringIO()
    table = csv_format.writer(out)
    table.writerow(["graph", "classes", "cluster", *(f"{node['layer']}:{node['unit']}" for node in nodes)])
    for graph in arrays["order"].tolist():
        about = meta["info"]["graphs"][graph]
        classes = " ".join(map(str, about["classes"]))
        table.writerow([_name(about), classes, about["cluster"], *arrays["presence"][graph, columns].tolist()])
    return out.getvalue().encode()


def _said(meta: Mapping[str, Any], nodes: int) -> tuple[str, str]:
    graphs = meta["info"]["graphs"]
    clusters = len({about["cluster"] for about in graphs})
    return (
        f"{meta['method']['name']}: {len(graphs)} graphs in {clusters} clusters",
        f"model {meta['model']['name']}, {nodes} nodes, {meta['info']['shared_by_all']} of them in every graph; "
        "red: the graph has the node; strip: the darker, the nearer to the output",
    )


def _name(about: Mapping[str, Any]) -> str:
    named = zip(about["labels"], about["classes"], strict=True)
    return ", ".join(label or f"class {c}" for label, c in named)


def _depths(info: Mapping[str, Any]) -> NDArray[np.uint8]:
    """The grey of each node's layer (nodes, 3)."""
    depth = {name: at for at, name in enumerate(info["layers"])}
    share = np.array([(depth[node["layer"]] + 1) / len(depth) for node in info["nodes"]])
    return np.repeat((235 - 190 * share).round().astype(np.uint8)[:, None], 3, axis=1)


@dataclass(frozen=True)
class Bracket:
    """Two branches at places `first` and `second` from heights `low_first` and `low_second`, joined at `height`."""

    first: float
    second: float
    low_first: float
    low_second: float
    height: float

    @property
    def points(self) -> tuple[tuple[float, float], ...]:
        """Its corners, each a place and a height."""
        return (
            (self.first, self.low_first),
            (self.first, self.height),
            (self.second, self.height),
            (self.second, self.low_second),
        )


def brackets(merges: NDArray[Any], order: Sequence[int]) -> list[Bracket]:
    """Places count leaves as they are drawn: the i-th of `order` is at i + 0.5; heights are shares of the root's."""
    place = {int(leaf): i + 0.5 for i, leaf in enumerate(order)}
    height = dict.fromkeys(place, 0.0)
    top = float(merges[:, 2].max(initial=0.0)) or 1.0
    found = []
    for i, (first, second, distance, _) in enumerate(np.asarray(merges, float).tolist()):
        a, b = int(first), int(second)
        found.append(Bracket(place[a], place[b], height[a], height[b], distance / top))
        place[len(order) + i], height[len(order) + i] = (place[a] + place[b]) / 2, distance / top
    return found
