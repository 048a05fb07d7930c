"""Folding: batch norm becomes part of the linear layer beside it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from workers.engine.compile.constants import Constants, add_constant
from workers.engine.graph import ops
from workers.engine.graph.graph import Graph


def fold_batch_norm(graph: fx.Graph, constants: Constants) -> dict[fx.Node, fx.Node]:
    """Fold each batch norm into the linear layer before it, else into the one after; says which node stands for each.

    Folds only where no other node reads what lies between the two, and into the layer after only where that pads with
    no zeros. What is left keeps a rule of its own. Nothing stands for a batch norm that went into the layer after it.
    """
    stands: dict[fx.Node, fx.Node] = {}
    for node in list(graph.nodes):
        if ops.name(node) not in ops.BATCH_NORM:
            continue
        before, after = node.args[0], next(iter(node.users))
        scale, shift = _affine(node, constants)
        if _weights(before, constants) is not None and len(before.users) == 1:
            _after(graph, before, constants, scale, shift)
            node.replace_all_uses_with(before)
            stands[node] = before
        elif len(node.users) == 1 and _weights(after, constants) is not None and _is_unpadded(after):
            _before(graph, after, constants, scale, shift)
            node.replace_all_uses_with(before)
        else:
            continue
        graph.erase_node(node)
    graph.eliminate_dead_code()
    return stands


def _weights(node: Any, constants: Constants) -> Tensor | None:
    """The weight of a linear layer whose weight is constant."""
    if not isinstance(node, fx.Node) or ops.name(node) not in ops.FOLDABLE:
        return None
    weight = node.args[1]
    return constants.get(weight.name) if isinstance(weight, fx.Node) else None


def _is_unpadded(linear: fx.Node) -> bool:
    """Whether every output reads the same number of channels' values: no zeros around, one row of features."""
    if ops.name(linear) == "linear":
        return len(linear.meta["val"].shape) == 2
    if ops.name(linear) not in ops.CONVOLUTION or _outputs_axis(linear) == 1:
        return False
    padding = linear.args[4] if len(linear.args) > 4 else 0
    return padding == "valid" or not any(padding if isinstance(padding, list | tuple) else [padding])


def _affine(node: fx.Node, constants: Constants) -> tuple[Tensor, Tensor]:
    """The batch norm as x * scale + shift, per channel, computed in float64."""
    weight, bias, mean, variance, epsilon = ops.batch_norm_parts(node)
    mean64, variance64 = constants[mean].double(), constants[variance].double()
    weight64 = constants[weight].double() if weight else torch.ones_like(mean64)
    bias64 = constants[bias].double() if bias else torch.zeros_like(mean64)
    scale = weight64 / torch.sqrt(variance64 + epsilon)
    return scale, bias64 - mean64 * scale


def _after(graph: fx.Graph, linear: fx.Node, constants: Constants, scale: Tensor, shift: Tensor) -> None:
    """linear(x) * scale + shift as one layer."""
    weight, bias = _parts(linear, constants)
    if _outputs_axis(linear) == 1:  # a transposed convolution holds its outputs per group in axis 1
        groups = _groups(linear)
        per_group = scale.view(groups, -1).repeat_interleave(weight.shape[0] // groups, 0)
        weight = weight * per_group.view(weight.shape[0], -1, *[1] * (weight.dim() - 2))
    else:
        weight = weight * scale.view(-1, *[1] * (weight.dim() - 1))
    _replace(graph, linear, constants, weight, bias * scale + shift)


def _before(graph: fx.Graph, linear: fx.Node, constants: Constants, scale: Tensor, shift: Tensor) -> None:
    """linear(x * scale + shift) as one layer."""
    weight, bias = _parts(linear, constants)
    groups = _groups(linear)
    rows = weight.shape[0] // groups

    def per_input(values: Tensor) -> Tensor:
        """For each output the values of the channels that it reads, shaped to multiply the weight."""
        return values.view(groups, -1).repeat_interleave(rows, 0).view(*weight.shape[:2], *[1] * (weight.dim() - 2))

    bias = bias + (weight * per_input(shift)).flatten(1).sum(1)
    _replace(graph, linear, constants, weight * per_input(scale), bias)


def _outputs_axis(linear: fx.Node) -> int:
    return ops.channel_axis_of_weight(ops.name(linear), linear.args)


def _groups(linear: fx.Node) -> int:
    return ops.groups(ops.name(linear), linear.args)


def _parts(linear: fx.Node, constants: Constants) -> tuple[Tensor, Tensor]:
    """Weight and bias in float64, zeros for none."""
    arguments: tuple[Any, ...] = linear.args
    weight = constants[arguments[1].name].double()
    if len(arguments) > 2 and arguments[2] is not None:
        return weight, constants[arguments[2].name].double()
    outputs = weight.shape[1] * _groups(linear) if _outputs_axis(linear) == 1 else weight.shape[0]
    return weight, weight.new_zeros(outputs)


def _replace(graph: fx.Graph, linear: fx.Node, constants: Constants, weight: Tensor, bias: Tensor) -> None:
    arguments: tuple[Any, ...] = linear.args
    kind = constants[arguments[1].name].dtype
    new = [
        add_constant(graph, constants, f"folded_{linear.name}_{what}", value.to(kind))
        for what, value in (("weight", weight), ("bias", bias))
    ]
    linear.args = (arguments[0], *new, *arguments[3:])


def norm_folded_into(layer: str, folded: Graph, exported: Graph) -> str | None:
    """The batch norm that was folded into a layer of the exported graph."""
    after, own = folded.find(layer), exported.find(layer)
    for alias in after.aliases if after and own else ():
        norm = exported.find(alias)
        if norm and own and norm.op in ops.BATCH_NORM and norm.index > own.index:
            return alias
    return None
