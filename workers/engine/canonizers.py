"""Canonizers: rewrites of the exported graph that keep the function."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from workers.engine import ops
from workers.errors import InvalidFolder

Constants = dict[str, Tensor]


def functionalise(graph: fx.Graph) -> None:
    """Replace in-place calls (`relu_`) by their functional twins; later readers of the old value read the new one.

    Raises InvalidFolder where the written tensor is a view of another that is read later: no twin keeps that function.
    """
    for node in list(graph.nodes):
        twin = ops.functional_twin(node)
        if twin is None:
            continue
        written = node.args[0]
        order = {n: i for i, n in enumerate(graph.nodes)}
        for alias in _sharing_memory(written, graph) - {written}:
            reader = next((user for user in alias.users if order[user] > order[node]), None)
            if reader is not None:
                raise InvalidFolder(
                    f"{node.name} writes in place into memory that {alias.name} shares and {reader.name} reads "
                    "afterwards; export the model with that line written without in-place assignment"
                )
        node.target = twin
        later = {user for user in written.users if order[user] > order[node]}
        written.replace_all_uses_with(node, delete_user_cb=later.__contains__)
    graph.lint()


def _sharing_memory(node: fx.Node, graph: fx.Graph) -> set[fx.Node]:
    """The nodes whose value is the same memory as this node's: what it is a view of, and the views of that."""
    base = node
    while ops.name(base) in ops.VIEWS and isinstance(base.args[0], fx.Node):
        base = base.args[0]
    shared = {base}
    for other in graph.nodes:
        if ops.name(other) in ops.VIEWS and other.args[0] in shared:
            shared.add(other)
    return shared


def drop_identity(graph: fx.Graph) -> dict[fx.Node, fx.Node]:
    """Erase calls that return their input unchanged (dropout, detach, alias); says which node stands for each."""
    stands: dict[fx.Node, fx.Node] = {}
    for node in list(graph.nodes):
        if ops.is_identity(node):
            source = node.args[0]
            node.replace_all_uses_with(source)
            graph.erase_node(node)
            stands[node] = source
    graph.eliminate_dead_code()
    return stands


def fold_batch_norm(graph: fx.Graph, constants: Constants) -> dict[fx.Node, fx.Node]:
    """Fold each batch norm into the convolution or linear layer before it; says which node stands for each.

    Folds only where that layer has no other reader. What follows keeps its own rule.
    """
    stands: dict[fx.Node, fx.Node] = {}
    for node in list(graph.nodes):
        if ops.name(node) not in ops.BATCH_NORM:
            continue
        linear = node.args[0]
        if not (isinstance(linear, fx.Node) and ops.name(linear) in ops.FOLDABLE and len(linear.users) == 1):
            continue
        scale, shift = _affine(node, constants)
        _rescale(graph, linear, constants, scale, shift)
        node.replace_all_uses_with(linear)
        graph.erase_node(node)
        stands[node] = linear
    graph.eliminate_dead_code()
    return stands


def _affine(node: fx.Node, constants: Constants) -> tuple[Tensor, Tensor]:
    """The batch norm as x * scale + shift, per channel, computed in float64."""
    weight, bias, mean, variance, epsilon = ops.batch_norm_parts(node)
    mean64, variance64 = constants[mean].double(), constants[variance].double()
    weight64 = constants[weight].double() if weight else torch.ones_like(mean64)
    bias64 = constants[bias].double() if bias else torch.zeros_like(mean64)
    scale = weight64 / torch.sqrt(variance64 + epsilon)
    return scale, bias64 - mean64 * scale


def _rescale(graph: fx.Graph, linear: fx.Node, constants: Constants, scale: Tensor, shift: Tensor) -> None:
    arguments: tuple[Any, ...] = linear.args
    weight_node, bias_node = arguments[1], arguments[2] if len(arguments) > 2 else None
    weight = constants[weight_node.name]
    axis = ops.channel_axis_of_weight(linear)
    groups = ops.groups(linear)
    if axis == 1:  # a transposed convolution holds its outputs per group in axis 1
        per_group = scale.view(groups, -1).repeat_interleave(weight.shape[0] // groups, 0)
        folded = weight.double() * per_group.view(weight.shape[0], -1, *[1] * (weight.dim() - 2))
    else:
        folded = weight.double() * scale.view(-1, *[1] * (weight.dim() - 1))
    bias = constants[bias_node.name].double() * scale + shift if bias_node is not None else shift
    new = []
    for what, value in (("weight", folded), ("bias", bias)):
        with graph.inserting_before(next(iter(graph.nodes))):
            constant = graph.placeholder(f"folded_{linear.name}_{what}")
        constants[constant.name] = value.to(weight.dtype)
        new.append(constant)
    linear.args = (arguments[0], *new, *arguments[3:])
