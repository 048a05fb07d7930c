"""What can be said of a loaded model: its card, its input's range, its predictions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workers.engine.compile.precision import spoken
from workers.engine.graph.axis_kinds import axes_of_parts
from workers.engine.graph.graph import Graph, Node
from workers.engine.model.outputs import class_chances
from workers.engine.model.target_masks import totals
from workers.explanation.card import InputSpec, Layer, ModelCard, steps_of
from workers.explanation.card_checks import check_output
from workers.explanation.errors import InvalidFolder
from workers.explanation.inputs import explained
from workers.explanation.spec import ModelSpec

CELL = re.compile(r"\.l\d+(_reverse)?\.t\*\.")  # what a step of a recurrent layer computes


def card(
    spec: ModelSpec, graph: Graph, dtype: torch.dtype, stored: Sequence[str] = (), folded: Graph | None = None
) -> ModelCard:
    """The card of a model: what its folder says, and what its graph shows; raises InvalidFolder where these differ.

    `folded` is the graph whose recurrent layers are steps.
    """
    axes, offered = axes_of_parts(graph, input_axes(spec.input)), graph.offered()
    layers = tuple(
        Layer(
            name=n.layer,
            op=n.op,
            shape=n.part,
            aliases=n.aliases,
            axes=axes[n.index],
            outputs=tuple(name for name, i in graph.returned.items() if i == n.index),
        )
        for n in graph.nodes[1:]
        if n.part is not None and offered[n.index]
    )
    outputs = graph.nodes[graph.output].shape
    if outputs is None:
        raise InvalidFolder("the model's output is no float tensor of fixed sizes; Whence explains such outputs only")
    if not graph.nodes[graph.output].rows.plain:
        raise InvalidFolder(
            f"the model's output for one input has the shape {list(graph.nodes[graph.output].sizes or ())}, and its "
            "first axis is not the batch; return (batch, classes), by a reshape or a transpose at the end"
        )
    found = card_of_function(spec, outputs)
    shapes = {name: graph.nodes[i].part for name, i in graph.returned.items() if i and offered[i]}
    returned = {name: shape for name, shape in shapes.items() if shape is not None}
    stored = tuple(name for name in stored if name != spoken(dtype))
    return found.model_copy(update={
            "layers": layers, "cells": _cells(folded or graph), "precision": spoken(dtype), "stored": stored,
            "returned": returned,
        })  # fmt: skip


def _cells(graph: Graph) -> tuple[Layer, ...]:
    """What every step of a recurrent layer computes, by names with a star for the step."""
    found: dict[str, dict[int, Node]] = {}
    for node in graph.nodes[1:]:
        if node.rows.plain and len(node.shape or ()) == 1:
            for pattern, step in (one for name in (node.layer, *node.aliases) for one in steps_of(name)):
                found.setdefault(pattern, {})[step] = node
    return tuple(
        Layer(name=name, op=steps[0].op, shape=steps[0].shape or (), axes=("channel",), steps=len(steps))
        for name, steps in found.items()
        if CELL.search(name) or _is_called(name, found)
        if sorted(steps) == list(range(len(steps))) and len({node.shape for node in steps.values()}) == 1
    )


def _is_called(name: str, found: Mapping[str, Mapping[int, Node]]) -> bool:
    """Whether it is of a cell that is called step by step: every call has a state."""
    cell, call, _ = name.rpartition("@*.")
    return bool(call) and 1 < len(found[name]) == len(found.get(f"{cell}@*.h", ()))


def card_of_function(spec: ModelSpec, outputs: tuple[int, ...]) -> ModelCard:
    """The card of a model that is known by its outputs alone; raises InvalidFolder where these are no such outputs."""
    return ModelCard(
        name=spec.name, digest=spec.digest, output=spec.output, input=spec.input, inputs=dict(spec.inputs),
        outputs=outputs, labels=check_output(spec.output, outputs, spec.labels), default_method=spec.default_method,
        accuracy=spec.accuracy, select=spec.select,
    )  # fmt: skip


def input_axes(spec: InputSpec) -> tuple[str, ...]:
    """What the axes of the input are, as far as its card says."""
    if spec.image is not None:
        return ("channel", "height", "width")
    return tuple("channel" if name in ("channels", "feature", "features") else name for name in spec.axes)


def input_range(
    spec: InputSpec, device: torch.device, dtype: torch.dtype, named: Mapping[str, InputSpec] | None = None
) -> tuple[Tensor, Tensor] | None:
    """Lowest and highest value of each channel, broadcastable to (n, *shape); of several inputs, of each value.

    What is held has no range to be moved in.
    """
    if spec.parts:
        return _range_of_parts(spec, device, dtype, named or {})
    low, high = spec.image.range() if spec.image else (spec.low, spec.high)
    if low is None or high is None:
        return None

    def spread(value: float | tuple[float, ...]) -> Tensor:
        flat = torch.tensor(value, dtype=dtype, device=device).reshape(-1)
        return flat.view(1, -1, *[1] * (len(spec.shape) - 1))

    return spread(low), spread(high)


def _range_of_parts(
    spec: InputSpec, device: torch.device, dtype: torch.dtype, named: Mapping[str, InputSpec]
) -> tuple[Tensor, Tensor] | None:
    bounds = torch.zeros(2, 1, *spec.shape, device=device, dtype=dtype)
    for part in explained(spec):
        found = None if part.embedding else input_range(named[part.name], device, dtype)
        if found is None:
            return None
        for row, bound in zip(bounds, found, strict=True):
            row[:, part.start : part.stop] = bound.expand(1, *part.shape).flatten(1)
    return bounds[0], bounds[1]


def predictions(card: ModelCard, outputs: Tensor, top: int) -> list[list[dict[str, Any]]]:
    """For each row its highest outputs, {index, label, score, probability}, best first.

    A class's score is the sum over its places, and its probability the mean. The first numbers of a `value`, in order.
    """
    if card.output == "value":
        flat = outputs.reshape(len(outputs), -1)[:, :top].tolist()
        return [[entry(card, _index(card, at), score) for at, score in enumerate(row)] for row in flat]
    scores, probabilities = totals(outputs), class_chances(card, outputs)
    order = scores.argsort(dim=1, descending=True, stable=True)[:, :top]
    return [
        [entry(card, i, float(scores[row, i]), _number(probabilities, row, i)) for i in indices]
        for row, indices in enumerate(order.tolist())
    ]


def entry(card: ModelCard, index: int | list[int], score: float, probability: float | None = None) -> dict[str, Any]:
    """One of the numbers that a prediction tells."""
    label = card.label(index if isinstance(index, int) else index[0])
    return {"index": index, "label": label, "score": score, "probability": probability}


def _index(card: ModelCard, at: int) -> int | list[int]:
    """The index of a number of a `value` by its place in row-major order."""
    return at if len(card.outputs) < 2 else [int(i) for i in np.unravel_index(at, card.outputs)]


def _number(probabilities: Tensor | None, row: int, index: int) -> float | None:
    if probabilities is None:
        return None
    value = float(probabilities[row, index])
    return value if math.isfinite(value) else None
