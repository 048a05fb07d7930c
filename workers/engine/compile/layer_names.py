"""Layer names: a node goes by its module's path where it is what the module returns, else by its own name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import fx

Call = tuple[str, str]  # (key of one call of a module, the module's path): a module used twice has two calls


@dataclass(frozen=True, slots=True)
class Name:
    """`layer` is the one canonical name; `aliases` are outer modules that return this very node."""

    layer: str
    aliases: tuple[str, ...]


def layer_names(nodes: Iterable[fx.Node]) -> dict[fx.Node, Name]:
    """The names of all nodes, by DESIGN's rule: `features.3.squeeze`, `relu_1`, and `l@1` for the second use of `l`."""
    nodes = list(nodes)
    stacks = {node: _stack(node) for node in nodes}
    last: dict[str, fx.Node] = {}
    containers: set[str] = set()
    for node, stack in stacks.items():
        for key, _ in stack:
            last[key] = node
        containers.update(key for key, _ in stack[:-1])
    uses = _use_counts(stacks.values())
    return {node: _name(node, stack, last, containers, uses) for node, stack in stacks.items()}


def _name(
    node: fx.Node, stack: list[Call], last: dict[str, fx.Node], containers: set[str], uses: dict[str, int]
) -> Name:
    returned = [(key, path) for key, path in reversed(stack) if path and last[key] is node]
    names = [f"{path}@{uses[key]}" if uses[key] else path for key, path in returned]
    own = bool(returned) and returned[0][0] == stack[-1][0] and returned[0][0] not in containers
    return Name(names[0], tuple(names[1:])) if own else Name(node.name, tuple(names))


def _stack(node: fx.Node) -> list[Call]:
    stack: dict[str, tuple[str, object]] = node.meta.get("nn_module_stack") or {}
    return [(key, path) for key, (path, _) in stack.items() if not path.startswith("_empty_nn_module")]


def _use_counts(stacks: Iterable[list[Call]]) -> dict[str, int]:
    """Which use of its module each call is: 0 for the first, in the order of the graph."""
    seen: dict[str, list[str]] = {}
    for stack in stacks:
        for key, path in stack:
            calls = seen.setdefault(path, [])
            if key not in calls:
                calls.append(key)
    return {key: calls.index(key) for calls in seen.values() for key in calls}
