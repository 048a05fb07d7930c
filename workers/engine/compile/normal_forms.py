"""Plain forms: calls that a decomposed or a hand-written model spells otherwise, written as the layers they are."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import fx

from workers.engine.compile.constants import Constants, add_constant
from workers.engine.graph import ops
from workers.engine.graph.rows import of_sizes
from workers.explanation.errors import InvalidFolder

aten = torch.ops.aten


def plain_forms(graph: fx.Graph, constants: Constants) -> None:
    """Norms that return their statistics become those that do not, products with constant matrices linear layers.

    A view becomes a reshape: the copies that gave it the memory it asks for are no part of the function. A squeeze
    names its axes: else it would take the batch's, too, of a row that is alone.
    """
    for node in list(graph.nodes):
        called = ops.name(node)
        if node.target in (aten.view.default, aten._unsafe_view.default):
            node.target = aten.reshape.default
        elif node.target is aten.squeeze.default:
            _squeeze(node)
        elif called in _NORMS:
            _plain_norm(graph, node)
        elif called == ops.OF_BATCH and node.target is aten.batch_norm.default:
            _norm_of_batch(graph, node, constants)
        elif called in {"mm", "matmul", "bmm", "addmm"}:
            _linear(graph, node, constants)
        elif called == "glu":
            _gated(graph, node)
    graph.eliminate_dead_code()


def _squeeze(node: fx.Node) -> None:
    sizes = cast(fx.Node, node.args[0]).meta["val"].shape
    node.target = aten.squeeze.dims
    node.args = (node.args[0], [axis for axis, size in enumerate(sizes) if isinstance(size, int) and size == 1])


Call = tuple[Any, tuple[Any, ...]]  # what is called, and its arguments


def _layer_norm(x: Any, shape: Any, weight: Any, bias: Any, epsilon: float) -> Call:
    return aten.layer_norm.default, (x, shape, weight, bias, epsilon)


def _group_norm(x: Any, weight: Any, bias: Any, *sizes: Any) -> Call:
    *_, groups, epsilon = sizes
    return aten.group_norm.default, (x, groups, weight, bias, epsilon)


def _batch_norm(x: Any, *parts: Any) -> Call:
    *affine, momentum, epsilon = parts
    return aten.batch_norm.default, (x, *affine, False, momentum, epsilon, False)


_NORMS: dict[str, Callable[..., Call]] = {
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
}


def _plain_norm(graph: fx.Graph, node: fx.Node) -> None:
    """The norm whose first result this node's first item is; one whose statistics are read stays as it is."""
    if any(user.target is not operator.getitem or user.args[1] != 0 for user in node.users):
        return
    target, arguments = _NORMS[ops.name(node)](*node.args)
    for item in list(node.users):
        _replace(graph, item, target, arguments)


def _norm_of_batch(graph: fx.Graph, node: fx.Node, constants: Constants) -> None:
    """A batch norm by the batch's own statistics is, of one input, an instance norm.

    Raises InvalidFolder where one input has but one number for each channel. One whose batch axis holds more than the
    inputs stays.
    """
    arguments: tuple[Any, ...] = node.args
    x, weight, bias, *_, momentum, epsilon, cudnn = arguments
    source = next(each for each in graph.nodes if each.op == "placeholder" and each.name not in constants)
    sizes, rows = of_sizes(x.meta["val"].shape, source.meta["val"].shape[0])
    if sizes is not None and math.prod(sizes) == sizes[1]:
        raise InvalidFolder(
            f"{node.name} is a batch norm without statistics of its own: it takes those of the batch, and of one input "
            "alone there are none. Train and export it with track_running_stats=True"
        )
    if rows.plain:
        of_one = (x, weight, bias, None, None, True, momentum, epsilon, cudnn)
        _replace(graph, node, aten.instance_norm.default, of_one)


def _linear(graph: fx.Graph, node: fx.Node, constants: Constants) -> None:
    """x W (+ b) with a constant matrix as the linear layer of weight W^T."""
    *bias, x, matrix = node.args
    if node.kwargs or not (isinstance(matrix, fx.Node) and isinstance(x, fx.Node) and matrix.name in constants):
        return
    weight = constants[matrix.name]
    if weight.dim() == 3 and weight.stride(0) == 0:  # one matrix, expanded for a product by batches
        weight = weight[0]
    fixed = all(isinstance(b, fx.Node) and b.name in constants and constants[b.name].dim() == 1 for b in bias)
    if weight.dim() == 2 and x.name not in constants and fixed:
        turned = add_constant(graph, constants, f"{node.name}_weight", weight.t().contiguous())
        _replace(graph, node, aten.linear.default, (x, turned, *bias))


def _gated(graph: fx.Graph, node: fx.Node) -> None:
    """glu(x) as the first half of x times the sigmoid of the second."""
    x, axis = node.args[0], node.args[1] if len(node.args) > 1 else -1
    size = node.meta["val"].shape[axis]
    with graph.inserting_before(node):
        signal = graph.call_function(aten.narrow.default, (x, axis, 0, size))
        gate = graph.call_function(aten.narrow.default, (x, axis, size, size))
        squashed = graph.call_function(aten.sigmoid.default, (gate,))
    for made in (signal, gate, squashed):
        made.meta = dict(node.meta)
    _replace(graph, node, aten.mul.Tensor, (signal, squashed))


def separate(graph: fx.Graph) -> None:
    """A value that a product reads twice becomes two, so that each argument has its own share in what is returned."""
    for node in list(graph.nodes):
        if ops.name(node) in ops.BILINEAR:
            node.args = fx.map_arg(node.args, partial(_unshared, graph, node, set()))


def _unshared(graph: fx.Graph, reader: fx.Node, seen: set[fx.Node], read: fx.Node) -> fx.Node:
    if read not in seen:
        seen.add(read)
        return read
    with graph.inserting_before(reader):
        copy = graph.call_function(aten.view_as.default, (read, read))
    copy.meta = {"val": read.meta.get("val")}
    return copy


def _replace(graph: fx.Graph, node: fx.Node, target: Any, arguments: tuple[Any, ...]) -> None:
    with graph.inserting_before(node):
        twin = graph.call_function(target, arguments)
    twin.meta = dict(node.meta)
    node.replace_all_uses_with(twin)
    graph.erase_node(node)
