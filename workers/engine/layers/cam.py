"""Class activation maps: a layer's channels, weighted and summed, at the places of the input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.graph import Node
from workers.engine.layers.spatial import spatial_layer, upsample
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.model.target_masks import entry_of
from workers.explanation.errors import Instead, MethodNotApplicable, methods
from workers.explanation.target import RankTarget, Target

BLANK = "the map is zero everywhere: no channel of this layer speaks for the target; relu=false shows what is against"


class Seen(NamedTuple):
    """A spatial layer's activations (n, channels, *places) and the target's gradients there."""

    node: Node
    activations: Tensor
    gradients: Tensor

    @property
    def spatial_axes(self) -> tuple[int, ...]:
        return tuple(range(2, self.activations.dim()))


def seen(model: Model, batch: Batch, layer: str | None) -> Seen:
    """What the named layer, or the last spatial one, shows of the batch."""
    node = spatial_layer(model, layer)
    _, found = model.gradients(batch, to=[node.index])
    return Seen(node, model.tape(batch).values[node.index], found[node.index])


class Drawn(NamedTuple):
    """A map as a result's arrays and info: at the input's places, and at the layer's own."""

    arrays: dict[str, Tensor]
    info: list[dict[str, Any]]


def drawn(node: Node, small: Tensor, batch: Batch, relu: bool = False) -> Drawn:
    """The map (n, 1, *places of the layer), rectified if asked, upsampled; a blank one says so."""
    small = small.relu() if relu else small
    blank = (small == 0).flatten(1).all(1).tolist()
    info = [{"layer": node.layer, **({"note": BLANK} if is_blank else {})} for is_blank in blank]
    return Drawn({"attribution": upsample(small, batch.x), "map": small}, info)


def pooled_layer(model: Model) -> tuple[Node, Tensor]:
    """The layer that is averaged over all places and fed to the last linear layer, and that layer's weight.

    Raises MethodNotApplicable, naming the node, where the model does not end so.
    """
    graph = model.folded
    last = graph.nodes[graph.output]
    if last.op != "linear" or not isinstance(last.args[1], Tensor):
        raise _not_pooled(f"its output comes from {last.layer} ({last.op})")
    node = graph.nodes[last.inputs[0]]
    while node.op in ops.VIEWS and node.inputs:
        node = graph.nodes[node.inputs[0]]
    if node.op not in {"mean", "avg_pool1d", "avg_pool2d", "avg_pool3d"} and not node.op.startswith("adaptive_avg"):
        raise _not_pooled(f"{last.layer} reads {node.layer} ({node.op})")
    layer = graph.nodes[node.inputs[0]]
    weight: Tensor = last.args[1]
    if not layer.shape or weight.shape[1] != layer.shape[0]:
        raise _not_pooled(f"{node.layer} does not average all places of {layer.layer}")
    return spatial_layer(model, layer.layer), weight


def classes(model: Model, batch: Batch) -> list[int]:
    """The entry of the output's first axis that each row's target is; raises as `check_class`."""
    check_class(batch.targets)
    return [entry for target in model.resolve(batch) if (entry := entry_of(target)) is not None]


def check_class(wanted: Sequence[Target]) -> None:
    """Raise MethodNotApplicable for a target that is no class, nor one number of a list."""
    if any(entry_of(target) is None and not isinstance(target, RankTarget) for target in wanted):
        raise MethodNotApplicable(
            "cam explains a class, and this target is none",
            pointer="/target",
            instead=(*methods("grad_cam", "layer_cam"), Instead(target="argmax")),
        )


def _not_pooled(reason: str) -> MethodNotApplicable:
    return MethodNotApplicable(
        f"cam needs a model that averages its last layer over all places and ends in one linear layer, and {reason}",
        pointer="/method",
        instead=methods("grad_cam", "layer_cam"),
    )


def weighted(activations: Tensor, weights: Tensor) -> Tensor:
    """Sum over channels of activations times weights, as one channel."""
    return (activations * weights).sum(1, keepdim=True)


def plus_plus(found: Seen) -> Tensor:
    """Grad-CAM++'s weights (n, channels, 1, ..): positive gradients, each by its share of second-order size."""
    gradients, places = found.gradients, found.spatial_axes
    total = found.activations.sum(places, keepdim=True)
    denominator = 2 * gradients.square() + total * gradients**3
    alpha = torch.where(gradients != 0, gradients.square() / torch.where(denominator != 0, denominator, 1.0), 0.0)
    return (alpha * gradients.relu()).sum(places, keepdim=True)
