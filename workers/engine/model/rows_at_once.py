"""How many rows of a batch a model is given at once."""

from __future__ import annotations

import math

import torch

from workers.engine.graph.graph import Graph

KEPT = 2**26  # numbers that one pass keeps, on a CPU
SHARE = 0.5  # of what is free on a GPU, for one pass
WALKED = 3 * 4  # bytes by number of a pass that is walked back: the value, what its call keeps of it, its slope


def numbers(graph: Graph) -> int:
    """How many values of one row the nodes of a graph have."""
    return max(1, sum(math.prod(node.shape or ()) for node in graph.nodes))


def rows_in_memory(graph: Graph, device: torch.device) -> int | None:
    """How many rows of a graph a pass may keep on the device; None where nothing is known of it.

    On a CPU more rows of a large model take more memory and no less time each, and what is known of some need not wait
    for the others. On a GPU it is what is free that limits them.
    """
    if device.type == "cpu":
        return max(1, KEPT // numbers(graph))
    if device.type != "cuda":
        return None
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(1, int(SHARE * free) // (WALKED * numbers(graph)))
