"""The constants of a graph, and what of it can be computed before there is any input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from workers.engine.graph import ops
from workers.engine.graph.canonizers import sharing_memory

Constants = dict[str, Tensor]


def add_constant(graph: fx.Graph, constants: Constants, name: str, value: Tensor) -> fx.Node:
    """A new constant of the graph."""
    with graph.inserting_before(next(iter(graph.nodes))):
        node = graph.placeholder(name)
    constants[node.name] = value
    return node


def fold_constants(graph: fx.Graph, constants: Constants) -> None:
    """Compute once what does not depend on the input's values, in-place writes included (masks, position tables)."""
    fixed = _fixed(graph, constants)
    values: dict[fx.Node, Any] = {}

    def value_of(node: fx.Node) -> Any:
        if node in values:
            return values[node]
        return constants[node.name] if node.name in constants else _like(node)

    for node in fixed:
        call: Any = node.target
        values[node] = call(*fx.map_arg(node.args, value_of), **fx.map_arg(node.kwargs, value_of))
    for node in fixed:
        if isinstance(values[node], Tensor) and any(user not in values for user in node.users):
            node.replace_all_uses_with(add_constant(graph, constants, f"constant_{node.name}", values[node]))
    for node in reversed(fixed):
        graph.erase_node(node)


def _fixed(graph: fx.Graph, constants: Constants) -> list[fx.Node]:
    """The calls whose value is known beforehand, in order.

    A value is not, if it is written in place with something that is not, or after something that is not has read it.
    """
    calls = [node for node in graph.nodes if node.op == "call_function"]
    varying = {node for node in graph.nodes if node.op == "placeholder" and node.name not in constants}
    varying |= {node for node in calls if _is_random(node) or not _has_value(node)}
    before = -1
    while before != len(varying):
        before = len(varying)
        varying |= {node for node in calls if not _is_fresh(node) and any(s in varying for s in node.all_input_nodes)}
        varying |= _written(graph, calls, varying)
    return [node for node in calls if node not in varying]


def _written(graph: fx.Graph, calls: list[fx.Node], varying: set[fx.Node]) -> set[fx.Node]:
    """The calls that share memory which an in-place call writes at a time that matters to something varying."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    found: set[fx.Node] = set()
    for node in calls:
        if ops.functional_twin(node) is None:
            continue
        written: Any = node.args[0]
        shared = sharing_memory(written, graph)
        readers = {user for alias in shared for user in alias.users if order[user] < order[node]}
        if node in varying or readers & varying:
            found |= {node, *(alias for alias in shared if alias.op == "call_function")}
    return found


def _has_value(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), Tensor | list | tuple)


def _is_random(node: fx.Node) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _is_fresh(node: fx.Node) -> bool:
    """Whether the call makes a tensor of known size, whatever the values of what it is made like."""
    return ops.name(node) in ops.CREATION and len(node.all_input_nodes) == 1 and _is_static(node.meta["val"])


def _is_static(value: Tensor) -> bool:
    return all(isinstance(size, int) for size in value.shape)


def _like(node: fx.Node) -> Tensor:
    """Stands for a value of the input in a call that asks for its type, and its size where that is known, alone."""
    value: Tensor = node.meta["val"]
    return torch.zeros(value.shape if _is_static(value) else (), dtype=value.dtype)
