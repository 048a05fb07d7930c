"""What the axes of each layer's value are: channel, token, time, height and width, as its operation tells.

Convolutions, pools and norms over places act on the first axis behind the batch, linear layers and layer norm on the
last, recurrent layers return (time, channel) and embeddings (token, channel). Where an operation moves values about the
names go with them; one that does something to each value keeps them; and what stands before a layer has the axes that
this reads. Where none of it tells, a layer of several axes has none that is called channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node, references

Axes: TypeAlias = tuple[str, ...]
_PLACES: dict[int, Axes] = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
_BEFORE_LAST: dict[int, Axes] = {0: (), 1: ("token",), 2: ("height", "width")}
_RECURRENT = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu"})
_OVER_PLACES = ops.CONVOLUTION | ops.TRANSPOSED | ops.BATCH_NORM | {"group_norm", "instance_norm"}
_POOLS = frozenset(op for op in ops.AVERAGING | ops.MAX_POOLING if "pool" in op or "upsample" in op)
_KEEPING = (
    ops.ACTIVATION | ops.ELEMENTWISE | ops.ADDITION | ops.SCALING | ops.CHOOSING
    | {"dropout", "feature_dropout", "contiguous", "clone", "slice", "pad", "constant_pad_nd", "roll", "flip", "to"}
    | {"cat", "expand", "expand_as"}
    | {"masked_fill", "where", "softmax", "log_softmax", "rms_norm", "alias", "detach", "_to_copy", "narrow"}
)  # fmt: skip


def axes_of(graph: Graph, of_input: Axes) -> list[Axes]:
    """For each node the names of the axes of its value behind the batch; empty where they are not known."""
    found: list[Axes] = [()] * len(graph.nodes)
    found[0] = of_input if len(of_input) == len(graph.nodes[0].shape or ()) else ()
    for node in graph.nodes[1:]:
        found[node.index] = _checked(node, _named(node, graph, found))
    for node in reversed(graph.nodes[1:]):
        for i in node.inputs:
            read = graph.nodes[i]
            if not found[i] and read.shape:
                found[i] = _checked(read, _read_by(node, read, found[node.index]))
    return found


def axes_of_parts(graph: Graph, of_input: Axes) -> list[Axes]:
    """For each node the names of the axes of what belongs to one input; what the batch axis counts else is a `part`."""
    behind = [
        node if node.rows.axis == 0 or node.part is None else replace(node, shape=node.part) for node in graph.nodes
    ]
    found = axes_of(replace(graph, nodes=tuple(behind)), of_input)
    for node in graph.nodes:
        if node.rows.axis == 0 and not node.rows.plain and found[node.index]:
            merged = ("part", "part_within")[: (node.rows.outer > 1) + (node.rows.inner > 1)]
            found[node.index] = (*merged, *found[node.index])
    return found


def _named(node: Node, graph: Graph, found: Sequence[Axes]) -> Axes:
    rank = len(node.shape or ())
    if rank == 1:
        return ("channel",)
    known = next((found[i] for i in references(list(node.args)) if len(found[i]) == rank), ())
    if node.op in _OVER_PLACES or (node.op in _POOLS and not known):
        return _over_places(node, known)
    if node.op == "linear" or (node.op == "layer_norm" and len(node.args[1]) == 1):
        return _last(known, rank)
    if node.op in ops.EMBEDDING:
        return _last((), rank)
    if node.op == "getitem" and graph.nodes[node.inputs[0]].op in _RECURRENT:
        return ("time", "channel") if node.args[1] == 0 and rank == 2 else ()
    if node.op in _KEEPING or node.op in _POOLS or node.op == "layer_norm":
        return known
    moved = _MOVES.get(node.op)
    before = found[node.inputs[0]] if node.inputs else ()
    shape = graph.nodes[node.inputs[0]].shape if node.inputs else None
    return moved(node, before, shape or ()) if moved and before else ()


def _over_places(node: Node, known: Axes) -> Axes:
    rank = len(node.shape or ())
    places = known[1:] if known[:1] == ("channel",) else _PLACES.get(rank - 1, ())
    return ("channel", *places) if places else ()


def _last(known: Axes, rank: int) -> Axes:
    if known:
        before = tuple("channel " if name == "channel" else name for name in known[:-1])
        return () if "channel " in before else (*before, "channel")
    return (*_BEFORE_LAST[rank - 1], "channel") if rank - 1 in _BEFORE_LAST else ()


def _read_by(node: Node, read: Node, axes: Axes) -> Axes:
    """The axes of what a node reads, as it acts on them."""
    rank = len(read.shape or ())
    if node.op in ops.CONVOLUTION | ops.TRANSPOSED or node.op in _OVER_PLACES:
        return ("channel", *_PLACES.get(rank - 1, ()))
    if node.op == "linear":
        return _last((), rank)
    return axes if node.op in _KEEPING and len(axes) == rank else ()


def _axis(value: Any, count: int) -> int:
    return int(value) + count if value < 0 else int(value)


def _permuted(node: Node, before: Axes, _shape: Sequence[int]) -> Axes:
    count = len(before) + 1
    order = [_axis(d, count) for d in node.args[1]]
    return tuple(before[d - 1] for d in order[1:]) if order[0] == 0 else ()


def _transposed(node: Node, before: Axes, _shape: Sequence[int]) -> Axes:
    a, b = (_axis(d, len(before) + 1) for d in node.args[1:3])
    if 0 in (a, b):
        return ()
    turned = list(before)
    turned[a - 1], turned[b - 1] = turned[b - 1], turned[a - 1]
    return tuple(turned)


def _without(node: Node, before: Axes, _shape: Sequence[int]) -> Axes:
    """What is left when one axis, or several, are summed up or picked from."""
    given = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    if given is None or (node.op != "select" and len(node.args) > 2 and node.args[2]) or node.kwargs.get("keepdim"):
        return before if given is not None else ()
    gone = {_axis(d, len(before) + 1) for d in (given if isinstance(given, list | tuple) else [given])}
    return () if 0 in gone else tuple(name for k, name in enumerate(before, 1) if k not in gone)


def _merged(node: Node, before: Axes, shape: Sequence[int]) -> Axes:
    """Places merged into tokens, or tokens laid out as places, while the channels stay an axis at either end."""
    after = node.shape or ()
    if "channel" not in before or len(shape) == len(after) or 0 in (len(shape), len(after)):
        return before if tuple(shape) == tuple(after) else ()
    if before[0] == "channel" and after[0] == shape[0]:
        return ("channel", *(_PLACES[len(after) - 1] if len(after) > 2 else ("token",))) if len(after) < 5 else ()
    if before[-1] == "channel" and after[-1] == shape[-1] and len(after) - 1 in _BEFORE_LAST:
        return (*_BEFORE_LAST[len(after) - 1], "channel")
    return ()


_MOVES: dict[str, Callable[[Node, Axes, Sequence[int]], Axes]] = {
    "permute": _permuted, "transpose": _transposed, "select": _without, "mean": _without, "sum": _without,
    "amax": _without, "flatten": _merged, "reshape": _merged, "view": _merged, "unflatten": _merged,
}  # fmt: skip


def _checked(node: Node, axes: Axes) -> Axes:
    """The names, where there is one for each axis and none twice."""
    return axes if len(axes) == len(node.shape or ()) and len(set(axes)) == len(axes) else ()
