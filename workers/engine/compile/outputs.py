"""Outputs: which of several a model is explained by; the others stay layers, by their names, and can be targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import fx
from torch.utils import _pytree as pytree

from workers.explanation.errors import InvalidFolder

OUTPUT = "output"  # in a node's meta: the names that it has among the outputs


def choose(graph: fx.Graph, program: torch.export.ExportedProgram, select: int | str | None) -> None:
    """Put the selected output first of those that the graph returns, and note the names of all of them.

    Raises InvalidFolder, naming those there are, where it is none of them, or several are there and none is selected.
    """
    returned = graph.output_node()
    given: Any = returned.args[0]
    found = list(given) if isinstance(given, list | tuple) else [given]
    named: dict[str, fx.Node] = {
        name: found[i] for name, i in names(program, len(found)) if isinstance(found[i], fx.Node)
    }
    if not named:
        raise InvalidFolder("the model returns no tensor; let it return one of float32")
    if select is None and len(named) == 1:
        select = next(iter(named))
    if str(select) not in named:
        there = "; ".join(f"{name or 'the output'} {_shape(node)}" for name, node in named.items())
        what = f"[output] select is {select!r}, and" if select is not None else "several outputs:"
        raise InvalidFolder(
            f"{what} the model returns {there}; say which is explained, as select = "
            f"{_written(next(iter(named)))} in [output] of card.toml (whence export: --select)"
        )
    for name, node in named.items():
        if name and len(named) > 1:
            node.meta = {**node.meta, OUTPUT: (*node.meta.get(OUTPUT, ()), name)}
    first = named[str(select)]
    others = [node for node in dict.fromkeys(named.values()) if node is not first]
    returned.args = ((first, *others),)


def names(program: torch.export.ExportedProgram, count: int) -> Iterator[tuple[str, int]]:
    """The name and place of each output, in order: its index in a tuple, its key in a mapping; "" of a lone tensor."""
    spec = program.call_spec.out_spec
    if spec is None or spec.num_leaves != count:
        yield from ((str(i), i) for i in range(count))
        return
    try:
        tree = pytree.tree_unflatten(list(range(count)), spec)
    except Exception:  # a class of the model's own, that is not here
        tree = list(range(count))
    yield from _paths(tree, "")


def _paths(tree: object, at: str) -> Iterator[tuple[str, int]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _paths(value, f"{at}.{key}" if at else str(key))
    elif isinstance(tree, list | tuple):
        for i, value in enumerate(tree):
            yield from _paths(value, f"{at}.{i}" if at else str(i))
    elif isinstance(tree, int):
        yield at, tree


def _shape(node: fx.Node) -> str:
    value = node.meta.get("val")
    return f"[{', '.join(map(str, value.shape))}]" if isinstance(value, torch.Tensor) else ""


def _written(name: str) -> str:
    return name if name.isdecimal() else f'"{name}"'
