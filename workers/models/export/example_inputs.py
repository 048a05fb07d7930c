"""Inputs that a model may well be given, for a check before anyone has asked: pictures, whole numbers, noise."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.embeddings import embeddings
from workers.engine.graph.graph import Graph
from workers.engine.model.model import Model
from workers.engine.model.prediction import input_range

ROWS = 3


def plausible(model: Model) -> Iterator[Tensor]:
    """Inputs (3, *shape) in float32, the likeliest first.

    Of a known range: noise, a ramp and extremes within it. Of ids: in range, one row padded at its end. Else noise
    around zero of three sizes, then within 0 to 1, as a logarithm or a square root asks for.
    """
    if model.card.input.parts:
        yield from _several(model)
        return
    draw, shape = torch.Generator().manual_seed(0), model.card.input.shape
    noise = torch.rand(ROWS, *shape, generator=draw)
    limits = input_range(model.card.input, torch.device("cpu"), torch.float32)
    if limits is not None:
        noise[1] = torch.linspace(0, 1, noise[1].numel()).view(shape)
        noise[2] = noise[2].round()
        yield limits[0] + noise * (limits[1] - limits[0])
    elif (found := _vocabulary(model.graph)) is not None:
        yield _ids(noise, *found)
    sizes = torch.tensor([1.0, 3.0, 0.3]).view(ROWS, *[1] * len(shape))
    yield torch.randn(ROWS, *shape, generator=draw) * sizes
    yield torch.rand(ROWS, *shape, generator=draw)
    yield torch.ones(ROWS, *shape)


def _several(model: Model) -> Iterator[Tensor]:
    """Of several inputs: each within its range, else noise around zero, then within 0 to 1; ids, and masks of ones."""
    draw = torch.Generator().manual_seed(0)
    for spread in (True, False):
        made = {}
        for name, spec in model.spec.fed.items():
            noise = torch.rand(ROWS, *spec.shape, generator=draw)
            limits = input_range(spec, torch.device("cpu"), torch.float32)
            if name in model.tables:
                made[name] = torch.ones_like(noise) if model.tables[name] == 2 else _ids(noise, model.tables[name], 0)
            elif limits is not None:
                made[name] = limits[0] + noise * (limits[1] - limits[0])
            else:
                made[name] = torch.randn(noise.shape, generator=draw) if spread else noise
        yield torch.cat([one.flatten(1) for one in made.values()], 1)


def _ids(noise: Tensor, count: int, padding: int) -> Tensor:
    """Whole numbers below `count` that are no padding, but for the last third of the second row."""
    ids = (noise * count).floor().clamp(max=count - 1)
    if count > 1:
        ids = torch.where(ids == padding, (padding + 1) % count, ids)
        flat = ids[1].view(-1)
        flat[len(flat) - len(flat) // 3 :] = padding
    return ids


def _vocabulary(graph: Graph) -> tuple[int, int] | None:
    """How many rows the smallest table has that the input is looked up in, and which is padding; None without one."""
    tables = [node for node in embeddings(graph) if isinstance(node.args[0], Tensor)]
    if tables:
        given = [node.args[2] for node in tables if node.op == "embedding" and len(node.args) > 2]
        padding = next((index for index in given if isinstance(index, int) and index >= 0), 0)
        return min(len(node.args[0]) for node in tables), padding
    looked = [
        n for n in graph.nodes if n.op in ("index", "index_select") and isinstance(n.args[0], Tensor) and n.inputs
    ]
    if looked:
        return min(min(node.args[0].shape) for node in looked), 0
    whole = any(node.op in ops.EMBEDDING | {"one_hot", "to"} and not node.carries for node in graph.nodes)
    return (2, 0) if whole and not graph.reaching(0)[graph.output] else None
