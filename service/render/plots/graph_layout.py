"""Where the nodes of a dependency graph are drawn: a row for each layer from the top down, few crossings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST = 40  # nodes of one row
LABELS = 230
NODE, HEIGHT, GAP = 46, 22, 8
PITCH, HEAD, MARGIN = 88, 64, 16
_SWEEPS = 8


@dataclass(frozen=True)
class Placed:
    """A node with the middle of its box; `shared` where several units above depend on it."""

    x: float
    y: float
    layer: str
    text: str
    frequency: float
    shared: int
    start: bool
    said: str


@dataclass(frozen=True)
class Row:
    """A layer: where its row is, its name, and what is left out of it."""

    y: float
    name: str
    note: str


@dataclass(frozen=True)
class Layout:
    """The whole drawing, in pixels; edges are pairs of nodes with a frequency."""

    width: int
    height: int
    rows: Sequence[Row]
    nodes: Mapping[int, Placed]
    edges: Sequence[tuple[int, int, float]]
    hidden: int


def layout(info: Mapping[str, Any]) -> Layout:
    """The drawing of the `info` of a graph; of a layer with more than 40 nodes the most frequent are drawn."""
    nodes, edges = info["nodes"], info["edges"]
    by_layer: dict[str, list[int]] = {layer["layer"]: [] for layer in info["layers"]}
    for at, node in enumerate(nodes):
        by_layer[node["layer"]].append(at)
    by_layer = {name: members for name, members in by_layer.items() if members}
    shown = {name: _most_frequent(nodes, members) for name, members in by_layer.items()}
    order = _untangled(list(shown.values()), [(edge["from"], edge["to"]) for edge in edges])
    widest = max(len(row) for row in order)
    width = max(2 * MARGIN + LABELS + widest * (NODE + GAP), 480)
    placed: dict[int, Placed] = {}
    rows = []
    for depth, (name, row) in enumerate(zip(shown, order, strict=True)):
        y = HEAD + HEIGHT / 2 + depth * PITCH
        left_out = len(by_layer[name]) - len(row)
        rows.append(Row(y, name, f"and {left_out} more" if left_out else ""))
        middle = MARGIN + LABELS + (width - 2 * MARGIN - LABELS) / 2
        for i, at in enumerate(row):
            x = middle + (i - (len(row) - 1) / 2) * (NODE + GAP)
            placed[at] = _placed(nodes[at], x, y, depth == 0)
    drawn = [(e["from"], e["to"], e["frequency"]) for e in edges if e["from"] in placed and e["to"] in placed]
    height = HEAD + (len(rows) - 1) * PITCH + HEIGHT + MARGIN
    return Layout(width, height, rows, placed, drawn, len(nodes) - len(placed))


def _placed(node: Mapping[str, Any], x: float, y: float, start: bool) -> Placed:
    shared = node["in_degree"] if node["in_degree"] > 1 else 0
    label = f" ({node['label']})" if node.get("label") else ""
    said = (
        f"{node['layer']} unit {node['unit']}{label}: frequency {node['frequency']:.2f}, {node['in_degree']} from above"
    )
    return Placed(x, y, node["layer"], str(node["unit"]), node["frequency"], shared, start, said)


def _most_frequent(nodes: Sequence[Mapping[str, Any]], members: Sequence[int]) -> list[int]:
    """The members of a layer that are drawn, in their order."""
    first = sorted(members, key=lambda at: (-nodes[at]["in_degree"], -nodes[at]["frequency"]))[:MOST]
    return sorted(first)


def _untangled(rows: Sequence[list[int]], edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Each row in the order of the mean places of what its nodes are joined to: the barycentre heuristic."""
    found = [list(row) for row in rows]
    joined: dict[int, list[int]] = {}
    for top, below in edges:
        joined.setdefault(top, []).append(below)
        joined.setdefault(below, []).append(top)
    row_of = {node: depth for depth, row in enumerate(found) for node in row}
    at = {node: (i + 0.5) / len(row) for row in found for i, node in enumerate(row)}
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for depth in range(len(found)) if down else reversed(range(len(found))):
            place = {node: _barycentre(node, joined.get(node, ()), row_of, at, down) for node in found[depth]}
            found[depth].sort(key=place.__getitem__)
            at |= {node: (i + 0.5) / len(found[depth]) for i, node in enumerate(found[depth])}
    return found


def _barycentre(
    node: int, joined: Sequence[int], row_of: Mapping[int, int], at: Mapping[int, float], down: bool
) -> float:
    """The mean place of what a node is joined to: above it on the way down, else below it; else on any side."""
    shown = [other for other in joined if other in at]
    side = [at[other] for other in shown if (row_of[other] < row_of[node]) == down] or [at[other] for other in shown]
    return sum(side) / len(side) if side else at[node]
