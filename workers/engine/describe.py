"""What can be said of a loaded model: its card, its input's range, its predictions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from workers.card import InputSpec, Layer, ModelCard
from workers.engine.precision import spoken
from workers.errors import InvalidFolder

if TYPE_CHECKING:
    from workers.engine.model import Model


def card(model: Model) -> ModelCard:
    """The card of a model: what its folder says, what its graph shows, and which methods it supports."""
    folder, graph = model.folder, model.graph
    layers = tuple(
        Layer(name=n.layer, op=n.op, shape=n.shape, aliases=n.aliases) for n in graph.nodes[1:] if n.shape is not None
    )
    outputs = graph.nodes[graph.output].shape
    if outputs is None:
        raise InvalidFolder("the model's output is no float tensor of fixed sizes; Whence explains such outputs only")
    if folder.output != "value" and not outputs:
        raise InvalidFolder('the model returns one number; say output = "value" in [model] of card.toml')
    if folder.labels and outputs and len(folder.labels) != outputs[0]:
        raise InvalidFolder(
            f"the labels file names {len(folder.labels)} classes and the model has {outputs[0]}; one name a line"
        )
    if graph.nodes[0].shape != tuple(folder.input.shape):
        raise InvalidFolder(
            f"[input] shape is {list(folder.input.shape)} and the model was exported for "
            f"{list(graph.nodes[0].shape or ())}"
        )
    return ModelCard(
        name=folder.name, digest=folder.digest, output=folder.output, input=folder.input, outputs=outputs,
        labels=folder.labels, default_method=folder.default_method, accuracy=folder.accuracy, layers=layers,
        precision=spoken(model.dtype), stored=tuple(name for name in model.stored if name != spoken(model.dtype)),
    )  # fmt: skip


def fixed_rows(program: torch.export.ExportedProgram) -> int | None:
    """The batch size that the program was exported for, None where any will do."""
    name = program.graph_signature.user_inputs[0]
    node = next(n for n in program.graph.nodes if n.name == name)
    size = node.meta["val"].shape[0]
    return size if isinstance(size, int) else None


def input_range(spec: InputSpec, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor] | None:
    """Lowest and highest value of each channel, broadcastable to (n, *shape)."""
    low, high = spec.image.range() if spec.image else (spec.low, spec.high)
    if low is None or high is None:
        return None

    def spread(value: float | tuple[float, ...]) -> Tensor:
        flat = torch.tensor(value, dtype=dtype, device=device).reshape(-1)
        return flat.view(1, -1, *[1] * (len(spec.shape) - 1))

    return spread(low), spread(high)


def predictions(card: ModelCard, outputs: Tensor, top: int) -> list[list[dict[str, Any]]]:
    """For each row its highest outputs, {index, label, score, probability}; one entry for an output of one value."""
    if card.output == "value":
        values = outputs.flatten(1).tolist() if outputs.dim() > 1 else [[v] for v in outputs.tolist()]
        return [[{"index": 0, "label": None, "score": row[0], "probability": None}] for row in values]
    totals, probabilities = _totals(outputs), chances(card, outputs)
    order = totals.argsort(dim=1, descending=True, stable=True)[:, :top]
    return [
        [
            {
                "index": i,
                "label": card.label(i),
                "score": float(totals[row, i]),
                "probability": _number(probabilities, row, i),
            }
            for i in indices
        ]
        for row, indices in enumerate(order.tolist())
    ]


def chances(card: ModelCard, outputs: Tensor) -> Tensor | None:
    """The probabilities of the classes (n, classes), over all places; None of an output that has none."""
    totals = _totals(outputs)
    match card.output:
        case "logits" | "segmentation":
            return totals.softmax(1)
        case "probabilities":
            return totals
        case "evidence":
            return (totals.clamp(min=0) + 1) / (totals.clamp(min=0) + 1).sum(1, keepdim=True)
        case _:
            return None


def _totals(outputs: Tensor) -> Tensor:
    return outputs.flatten(2).mean(2) if outputs.dim() > 2 else outputs


def _number(probabilities: Tensor | None, row: int, index: int) -> float | None:
    if probabilities is None:
        return None
    value = float(probabilities[row, index])
    return value if math.isfinite(value) else None
