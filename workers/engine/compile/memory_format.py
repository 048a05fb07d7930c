"""Memory layout: on a CPU, convolutions run faster on channels-last weights, and what they return follows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from workers.engine.graph import ops

WORTH_IT = 1024  # numbers in a weight: below, nothing is gained


def channels_last(graph: fx.Graph, constants: dict[str, Any]) -> None:
    """Lay the weights of 2-D convolutions out channels-last; the function stays the same.

    Views become reshapes, for a view of the new strides may not exist. A graph that reads strides is left as it is.
    """
    if any(ops.name(node) == "as_strided" for node in graph.nodes):
        return
    for node in graph.nodes:
        if node.target is torch.ops.aten.view.default:
            node.target = torch.ops.aten.reshape.default
        weight = constants.get(node.args[1].name) if ops.name(node) == "conv2d" else None
        if isinstance(weight, Tensor) and weight.numel() >= WORTH_IT:
            constants[node.args[1].name] = weight.to(memory_format=torch.channels_last)
