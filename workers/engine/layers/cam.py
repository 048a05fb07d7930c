"""Class activation maps: a layer's channels, weighted and summed, at the places of the input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.graph import Node
from workers.engine.layers.spatial import Spatial, spatial_layer, spatial_layers, upsample
from workers.engine.model.batch import Batch
from workers.engine.model.inputs import by_part, shares
from workers.engine.model.model import Model
from workers.engine.model.target_masks import entry_of
from workers.explanation.card import Part
from workers.explanation.errors import Instead, InvalidParameter, MethodNotApplicable, methods
from workers.explanation.target import RankTarget, Target

BLANK = "the map is zero everywhere: no channel of this layer speaks for the target; relu=false shows what is against"


class Seen(NamedTuple):
    """A spatial layer's activations (n, channels, *places) and the target's gradients there."""

    layer: Spatial
    activations: Tensor
    gradients: Tensor

    @property
    def spatial_axes(self) -> tuple[int, ...]:
        return tuple(range(2, self.activations.dim()))


def seen(model: Model, batch: Batch, name: str | None) -> list[Seen]:
    """What the named layer, or the last spatial one of each input, shows of the batch."""
    layers = spatial_layers(model, name)
    _, found = model.gradients(batch, to=[layer.node.index for layer in layers])
    return [
        Seen(layer, values, layer.ordered(found[layer.node.index]))
        for layer, values in zip(layers, activations(model, batch, layers), strict=True)
    ]


def activations(model: Model, batch: Batch, layers: Sequence[Spatial]) -> list[Tensor]:
    """What each of the layers says of the batch (n, channels, *places)."""
    values = model.tape(batch).values
    return [layer.ordered(values[layer.node.index]) for layer in layers]


class Small(NamedTuple):
    """The map (n, 1, *places) of a layer, as large as that is."""

    layer: Spatial
    map: Tensor


def small_maps(model: Model, batch: Batch, name: str | None, weigh: Callable[[Seen], Tensor]) -> list[Small]:
    """Of each layer that `seen` looks at, the channels summed by the weights that it is given."""
    return [Small(at.layer, weighted(at.activations, weigh(at))) for at in seen(model, batch, name)]


class Drawn(NamedTuple):
    """Maps as a result's arrays and info: at the places of the inputs, and at those of the layers.

    `whole` are those of the inputs as they are, where the attribution has a share for each channel.
    """

    arrays: dict[str, Tensor]
    info: list[dict[str, Any]]
    whole: Tensor


def drawn(model: Model, batch: Batch, maps: Sequence[Small], relu: bool = False) -> Drawn:
    """The maps, rectified if asked, upsampled; blank ones say so."""
    maps = [Small(layer, small.relu() if relu else small) for layer, small in maps]
    spec, info = model.card.input, _told(maps, several=bool(model.card.input.parts))
    if not spec.parts:
        ((layer, small),) = maps
        whole = at_places(small, layer.inputs[0])
        return Drawn({"attribution": whole, "map": small}, info, whole)
    by_name = {part.name: small for layer, small in maps for part in layer.inputs}

    def make(zero: Tensor, part: Part) -> Tensor:
        return at_places(by_name[part.name], part).expand_as(zero) if part.name in by_name else zero

    whole = by_part(torch.zeros_like(batch.x), spec, make)
    arrays = {f"map.{name}": small for name, small in by_name.items()}
    return Drawn({"attribution": whole * shares(spec, whole), **arrays}, info, whole)


def _told(maps: Sequence[Small], several: bool) -> list[dict[str, Any]]:
    """Of each row the layers, and whether all that is seen there is blank, or of which inputs it is."""
    of = [(part.name, layer.node.layer, small) for layer, small in maps for part in layer.inputs]
    told = {"layers": {name: layer for name, layer, _ in of}} if several else {"layer": of[0][1]}
    empty = {name: (small == 0).flatten(1).all(1).tolist() for name, _, small in of}
    found: list[dict[str, Any]] = []
    for row in range(len(of[0][2])):
        blank = [name for name, rows in empty.items() if rows[row]]
        note = BLANK if len(blank) == len(empty) else f"of {', '.join(blank)} {BLANK}" if blank else None
        found.append({**told, **({"note": note} if note else {})})
    return found


def at_places(small: Tensor, part: Part) -> Tensor:
    """The map (n, 1, *places of a layer) at the places of an input, with one channel where that has its own."""
    return upsample(small, part.spatial_shape).movedim(1, (part.channels or 0) + 1)


def pooled_layer(model: Model) -> tuple[Spatial, Tensor]:
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
    weight, read = last.args[1], graph.nodes[node.inputs[0]]
    try:
        layer = spatial_layer(model, read.layer)
    except InvalidParameter:
        raise _not_pooled(f"{read.layer}, which {node.layer} averages, has no places of the input") from None
    if weight.shape[1] != layer.channels or not _averages_places(node, layer):
        raise _not_pooled(f"{node.layer} does not average all places of {layer.node.layer}")
    return layer, weight


def _averages_places(node: Node, layer: Spatial) -> bool:
    """Whether what is left are the channels: of a mean the axes say so, a pool is over the last ones."""
    if node.op != "mean":
        return layer.order == tuple(range(len(layer.order))) and set((node.shape or ())[1:]) == {1}
    rank, axes = len(layer.order) + 1, node.args[1]
    axes = axes if isinstance(axes, list | tuple) else [axes]
    return {axis % rank - 1 for axis in axes} == set(layer.order[1:])


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


def mean_gradients(found: Seen) -> Tensor:
    """Grad-CAM's weights (n, channels, 1, ..): a channel's gradient, averaged over its places."""
    return found.gradients.mean(found.spatial_axes, keepdim=True)


def plus_plus(found: Seen) -> Tensor:
    """Grad-CAM++'s weights (n, channels, 1, ..): positive gradients, each by its share of second-order size."""
    gradients, places = found.gradients, found.spatial_axes
    total = found.activations.sum(places, keepdim=True)
    denominator = 2 * gradients.square() + total * gradients**3
    alpha = torch.where(gradients != 0, gradients.square() / torch.where(denominator != 0, denominator, 1.0), 0.0)
    return (alpha * gradients.relu()).sum(places, keepdim=True)
