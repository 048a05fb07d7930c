"""Open sizes: a program for inputs of any length, made one for the lengths that are at hand.

A net of open sizes is one net for each size: what is read of sizes (rules, layers, places, masks) is then known of
each, as it is of a program that was exported for that size alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import fx

from workers.explanation.errors import InvalidTensor

Sizes: TypeAlias = Mapping[str, tuple[int, ...]]
Symbols: TypeAlias = dict[Any, int]
ASSERTIONS = ("_assert_scalar", "_assert_tensor_metadata", "_assert_async", "sym_constrain_range")


def nominal(source: fx.Node) -> tuple[int, ...]:
    """The shape behind the batch axis that an input was traced with."""
    return tuple(map(_hint, source.meta["val"].shape[1:]))


def fix(graph: fx.Graph, sources: Mapping[str, fx.Node], sizes: Sizes) -> None:
    """Put these sizes in place of the program's open ones; raises InvalidTensor where it does not take them."""
    symbols = _symbols(sources, sizes)
    if not symbols:
        return
    for node in list(graph.nodes):
        if node.op == "call_function" and any(name in str(node.target) for name in ASSERTIONS):
            graph.erase_node(node)  # they check what has been decided here
            continue
        value = node.meta.get("val")
        node.meta = {**node.meta, "val": _fixed(value, symbols)}
        if isinstance(value, torch.SymInt) and isinstance(node.meta["val"], int):
            _replace(node, node.meta["val"])
    graph.eliminate_dead_code()


def _symbols(sources: Mapping[str, fx.Node], sizes: Sizes) -> Symbols:
    """The value of each open symbol."""
    found: Symbols = {}
    for name, source in sources.items():
        shape = source.meta["val"].shape[1:]
        if len(shape) != len(sizes[name]):
            continue  # it is told with the shapes themselves
        for axis, (size, given) in enumerate(zip(shape, sizes[name], strict=True)):
            if isinstance(size, int):
                continue
            expression = size.node.expr.subs(found)
            for symbol in expression.free_symbols:  # of an axis that is a multiple of something, that
                start, step = (int(expression.subs(symbol, at)) for at in (0, 1))
                found[symbol] = (given - start) // ((step - start) or 1)
            if int(expression.subs(found)) != given:
                raise InvalidTensor(
                    f"axis {axis} of {name} has the length {given}; the model takes {size} there", pointer="/input"
                )
    return found


def _fixed(value: Any, symbols: Symbols) -> Any:
    """A value's meta with the open sizes replaced."""
    if isinstance(value, list | tuple):
        return type(value)(_fixed(one, symbols) for one in value)
    if isinstance(value, torch.SymInt):
        return _size(value, symbols)
    if not isinstance(value, torch.Tensor) or all(isinstance(size, int) for size in value.shape):
        return value
    sizes = [_size(size, symbols) for size in value.shape]
    if any(isinstance(size, int) and size < 0 for size in sizes):
        raise InvalidTensor(
            "the input is too small for the model: nothing would be left of it; send a larger one", pointer="/input"
        )
    return value.new_empty(sizes)


def _size(size: int | torch.SymInt, symbols: Symbols) -> int | torch.SymInt:
    if isinstance(size, int):
        return size
    if size.node.hint is None:  # read from a value, as a check of lengths does
        return size
    expression = size.node.expr.subs(symbols)
    if expression.is_number:
        return int(expression)
    hint = _hint(size)
    made: torch.SymInt = size.node.shape_env.create_symintnode(expression, hint=hint)
    return made


def _replace(node: fx.Node, value: int) -> None:
    """The number in place of a node that computed it."""
    for user in list(node.users):
        user.args = fx.map_arg(user.args, lambda read: value if read is node else read)
        user.kwargs = fx.map_arg(user.kwargs, lambda read: value if read is node else read)


def _hint(size: int | torch.SymInt) -> int:
    return size if isinstance(size, int) else int(size.node.hint)
