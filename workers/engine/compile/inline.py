"""Inlining: regions that a model ran without gradients, or in mixed precision, become part of its graph.

Their precision is the whole graph's, as `precision` says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import fx

from workers.engine.graph import ops
from workers.explanation.errors import InvalidFolder

_REGIONS = frozenset({"wrap_with_set_grad_enabled", "wrap_with_autocast"})


def inline(graph: fx.Graph, owner: fx.GraphModule) -> None:
    """Put each region's calls in its place; `owner` holds their graphs.

    Raises InvalidFolder for control flow that depends on values.
    """
    _inline(graph, list(graph.nodes), owner)
    for node in list(graph.nodes):
        if node.op == "get_attr" and not node.users:
            graph.erase_node(node)
        elif node.op == "get_attr":
            reader = next(iter(node.users))
            raise InvalidFolder(
                f"{reader.name} chooses what to compute by the values it meets; export one of its courses alone"
            )


def _inline(graph: fx.Graph, nodes: Iterable[fx.Node], owner: fx.GraphModule) -> None:
    for node in nodes:
        if ops.name(node) not in _REGIONS:
            continue
        start = next(i for i, a in enumerate(node.args) if isinstance(a, fx.Node) and a.op == "get_attr")
        called: Any = node.args[start]
        body = owner.get_submodule(called.target)
        assert isinstance(body, fx.GraphModule)
        given = [inner for inner in body.graph.nodes if inner.op == "placeholder"]
        copies: dict[fx.Node, fx.Node] = dict(zip(given, node.args[start + 1 :], strict=True))  # type: ignore[arg-type]
        with graph.inserting_before(node):
            returned: Any = graph.graph_copy(body.graph, copies)
        for item in list(node.users):
            item.replace_all_uses_with(returned[item.args[1]])
            graph.erase_node(item)
        graph.erase_node(node)
        _inline(graph, [copies[inner] for inner in body.graph.nodes if inner in copies and inner not in given], body)
