"""Layer names: a node goes by its module's path where it is what the module returns, else by its own name.

No two nodes have a name in common: `input` is all that the model takes, what modules are called is theirs, and the
input, the call or the module that would have such a name has a number behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import count

from torch import fx

from workers.engine.compile.outputs import OUTPUT

Call = tuple[str, str]  # (key of one call of a module, the module's path): a module used twice has two calls
WHOLE = "input"  # the name of all that a model takes, at which methods read relevance where nobody says otherwise
LAYER = "layer"  # in a node's meta: the name of the input that it is


@dataclass(frozen=True, slots=True)
class Name:
    """`layer` is the one canonical name; `aliases` are outer modules that return this very node, and outputs."""

    layer: str
    aliases: tuple[str, ...]


def free(name: str, taken: Collection[str]) -> str:
    """The name, or with the first number behind it that makes it nobody's."""
    return name if name not in taken else next(one for n in count(1) if (one := f"{name}_{n}") not in taken)


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
    modules = {node: _modules(node, stack, last, containers, uses) for node, stack in stacks.items()}
    return _apart(modules)


def _modules(
    node: fx.Node, stack: list[Call], last: dict[str, fx.Node], containers: set[str], uses: dict[str, int]
) -> tuple[bool, list[str]]:
    """The modules that return the node, and whether the first is what computes it."""
    returned = [(key, path) for key, path in reversed(stack) if path and last[key] is node]
    names = [f"{path}@{uses[key]}" if uses[key] else path for key, path in returned]
    return bool(returned) and returned[0][0] == stack[-1][0] and returned[0][0] not in containers, names


def _apart(modules: dict[fx.Node, tuple[bool, list[str]]]) -> dict[fx.Node, Name]:
    """The names by those of modules: first come these, then inputs, calls, and outputs last."""
    taken = {WHOLE, *(name for _, names in modules.values() for name in names)}
    calls = {node.name for node, (own, _) in modules.items() if not own}
    found = {}
    for node, (own, names) in modules.items():
        names = [name if name != WHOLE else free(name, taken | calls) for name in names]
        taken.update(names)
        found[node] = Name(names[0], tuple(names[1:])) if own else Name("", tuple(names))
    for node in sorted(modules, key=lambda one: LAYER not in one.meta):
        if not found[node].layer:
            wanted = node.meta.get(LAYER, node.name)
            kept = wanted not in taken or wanted in found[node].aliases
            layer = wanted if kept else free(wanted, taken | calls)
            taken.add(layer)
            found[node] = Name(layer, found[node].aliases)
    for node, name in found.items():
        outputs = [one for one in node.meta.get(OUTPUT, ()) if one not in taken]
        found[node] = Name(name.layer, (*name.aliases, *outputs))
    return found


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
