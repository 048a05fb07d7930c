"""Dependency graphs and their clusters as pictures: what is drawn where, and that it is well formed."""

from __future__ import annotations

from io import BytesIO
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from service.render.plots import clustermap, graph
from service.render.plots.clustermap import brackets
from service.render.plots.graph_layout import MOST, NODE, layout

SVG = "{http://www.w3.org/2000/svg}"


def meta(nodes: list[tuple[str, int]], edges: list[tuple[int, int]]) -> dict[str, Any]:
    """Of a graph whose nodes are layers and units, each half as frequent as the one before it in the list."""
    layers = list(dict.fromkeys(layer for layer, _ in nodes))
    told = [
        {"layer": layer, "unit": unit, "label": "<zebra> & co" if at == 0 else None, "frequency": 1 / (at + 1),
         "in_degree": sum(below == at for _, below in edges)}
        for at, (layer, unit) in enumerate(nodes)
    ]  # fmt: skip
    joined = [{"from": top, "to": below, "frequency": 0.5, "weight": 1.0} for top, below in edges]
    info = {"images": 7, "layers": [{"layer": name, "units": 99} for name in layers], "nodes": told, "edges": joined}
    return {"method": {"name": "ssa"}, "model": {"name": "toy"}, "info": info}


@pytest.fixture
def diamond() -> dict[str, Any]:
    return meta([("fc", 2), ("relu_1", 5), ("relu_1", 1), ("relu", 9)], [(0, 1), (0, 2), (1, 3), (2, 3)])


def test_layers_are_drawn_from_the_top_down(diamond: dict[str, Any]) -> None:
    placed = layout(diamond["info"])
    heights = [placed.nodes[at].y for at in range(4)]
    assert heights[0] < heights[1] == heights[2] < heights[3]
    assert [row.name for row in placed.rows] == ["fc", "relu_1", "relu"]
    assert placed.nodes[3].shared == 2
    assert not placed.nodes[1].shared
    assert placed.nodes[0].start
    assert len(placed.edges) == 4


def test_boxes_never_overlap_and_lie_within_the_picture() -> None:
    many = [("fc", 0), *[("a", unit) for unit in range(30)], *[("b", unit) for unit in range(60)]]
    placed = layout(meta(many, [(0, at) for at in range(1, 31)] + [(at % 30 + 1, 31 + at) for at in range(60)])["info"])
    by_row: dict[float, list[float]] = {}
    for node in placed.nodes.values():
        by_row.setdefault(node.y, []).append(node.x)
        assert NODE / 2 < node.x < placed.width - NODE / 2
    for places in by_row.values():
        assert min(np.diff(sorted(places)), default=NODE) >= NODE
    assert placed.hidden == 60 - MOST
    assert placed.rows[2].note == f"and {60 - MOST} more"
    assert all(top in placed.nodes and below in placed.nodes for top, below, _ in placed.edges)


def test_edges_that_need_not_cross_do_not() -> None:
    crossed = meta([("fc", 0), ("a", 0), ("a", 1), ("b", 0), ("b", 1)], [(0, 1), (0, 2), (1, 4), (2, 3)])
    nodes = layout(crossed["info"]).nodes
    assert (nodes[1].x < nodes[2].x) == (nodes[4].x < nodes[3].x)


def test_the_svg_is_well_formed_and_tells_every_node(diamond: dict[str, Any]) -> None:
    root = ET.fromstring(graph.svg(diamond, {}))
    assert len(root.findall(f"{SVG}line")) == 4
    boxes = root.findall(f"{SVG}g")
    assert [box.findtext(f"{SVG}text") for box in boxes] == ["2", "5", "1", "9"]
    assert (boxes[3].findtext(f"{SVG}title") or "").startswith("relu unit 9: frequency 0.25, 2 from above")
    assert "<zebra> & co" in (root.findtext(f"{SVG}title") or "")
    rings = {box.find(f"{SVG}rect").get("stroke") for box in boxes}  # type: ignore[union-attr]
    assert rings == {boxes[3].find(f"{SVG}rect").get("stroke"), boxes[0].find(f"{SVG}rect").get("stroke")}  # type: ignore[union-attr]
    assert len(rings) == 2


def test_the_png_shows_the_shared_node_ringed(diamond: dict[str, Any]) -> None:
    pixels = np.asarray(Image.open(BytesIO(graph.png(diamond, {}))).convert("RGB")).astype(int)
    placed = layout(diamond["info"])
    assert pixels.shape == (placed.height, placed.width, 3)
    red = (pixels[..., 0] - pixels[..., 1:].max(-1)) > 90
    rows, columns = np.nonzero(red)
    assert abs(rows.mean() - placed.nodes[3].y) < 2
    assert abs(columns.mean() - placed.nodes[3].x) < 2


def test_a_graph_that_ends_at_its_start_is_drawn() -> None:
    for drawn in (graph.png, graph.svg):
        assert drawn(meta([("fc", 3)], []), {})


def clustering(nodes: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Three graphs, the first and last alike."""
    presence = np.zeros((3, nodes), np.uint8)
    presence[[0, 2], : nodes // 2] = 1
    presence[1, nodes // 2 :] = 1
    merges = np.array([[0, 2, 0.0, 2], [1, 3, 1.5, 3]])
    arrays = {
        "presence": presence, "order": np.array([1, 0, 2]), "node_order": np.arange(nodes)[::-1].copy(),
        "merges": merges, "node_merges": np.zeros((0, 4)), "clustering": np.array([1, 0, 1]),
    }  # fmt: skip
    info = {
        "graphs": [{"classes": [c], "labels": [name], "cluster": k, "nodes": 1}
                   for c, (name, k) in enumerate((("cat", 1), (None, 0), ("dog, big", 1)))],
        "nodes": [{"layer": "b" if i % 2 else "a", "unit": i} for i in range(nodes)],
        "layers": ["a", "b"], "shared_by_all": 0,
    }  # fmt: skip
    return {"method": {"name": "ssa_clusters"}, "model": {"name": "toy"}, "info": info}, arrays


def test_the_table_has_a_line_for_each_graph_in_the_order_of_the_tree() -> None:
    lines = clustermap.csv(*clustering(4)).decode().splitlines()
    assert lines == [
        "graph,classes,cluster,b:3,a:2,b:1,a:0",
        "class 1,1,0,1,1,0,0",
        "cat,0,1,0,0,1,1",
        '"dog, big",2,1,0,0,1,1',
    ]


@pytest.mark.parametrize("nodes", [0, 4, 3000])
def test_the_map_is_drawn_whatever_its_size(nodes: int) -> None:
    picture = Image.open(BytesIO(clustermap.png(*clustering(nodes))))
    assert 720 <= picture.width <= 3400
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    red = (pixels[..., 0] - pixels[..., 1:].max(-1)) > 90
    assert red.any() == bool(nodes)


def test_brackets_join_their_branches_at_the_height_of_the_merge() -> None:
    first, second = brackets(np.array([[0, 2, 0.5, 2], [1, 3, 2.0, 3]]), [1, 0, 2])
    assert (first.first, first.second, first.height) == (1.5, 2.5, 0.25)
    assert (second.first, second.second, second.height) == (0.5, 2.0, 1.0)
    assert (second.low_first, second.low_second) == (0.0, 0.25)
