"""Layers that keep the places of the input, or of one of several: what CAM methods read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn.functional import interpolate

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node
from workers.engine.model.model import Model
from workers.engine.model.prediction import input_axes
from workers.explanation.card import Part
from workers.explanation.errors import ANY_FUNCTION, InvalidParameter, MethodNotApplicable
from workers.explanation.inputs import ONE, explained

_SPATIAL = ops.LINEAR | ops.ACTIVATION | ops.BATCH_NORM | ops.ADDITION | ops.MAX_POOLING | ops.AVERAGING | {"cat"}
_INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True)
class Spatial:
    """A layer with channels and places, and the inputs whose places these are.

    `order` are the axes of its value behind the batch: that of its channels, then its places as the inputs have them.
    """

    node: Node
    order: tuple[int, ...]
    inputs: tuple[Part, ...]

    @property
    def channels(self) -> int:
        """How many it has."""
        return (self.node.shape or ())[self.order[0]]

    def ordered(self, values: Tensor) -> Tensor:
        """What is shaped as its value, as (n, channels, *places)."""
        return values.permute(0, *(axis + 1 for axis in self.order))


def spatial_layer(model: Model, name: str | None) -> Spatial:
    """The named layer, or the last one with channels and places, that lies between the input and the output.

    Raises InvalidParameter for a named layer without places, MethodNotApplicable for a model that has none.
    """
    return spatial_layers(model, name)[-1]


def spatial_layers(model: Model, name: str | None) -> list[Spatial]:
    """As `spatial_layer`, of several inputs the last one of each, in the graph's order, where none is named."""
    places = _Places(model)
    if name is not None:
        return [_named(places, name)]
    found: list[Spatial] = []
    missing = {part.name for part in places.inputs}
    for node in reversed(model.folded.nodes[1:]):
        layer = places.of(node) if missing and node.op in _SPATIAL else None
        if layer and (inputs := tuple(part for part in layer.inputs if part.name in missing)):
            found.append(replace(layer, inputs=inputs))
            missing -= {part.name for part in inputs}
    if not found:
        raise MethodNotApplicable(
            "no layer of this model keeps the input's places (channels by height by width), which a class activation "
            "map is drawn from",
            pointer="/method",
            instead=ANY_FUNCTION,
        )
    return found[::-1]


def inputs_of(layers: Sequence[Spatial]) -> frozenset[str]:
    """The names of the inputs whose places they keep."""
    return frozenset(part.name for layer in layers for part in layer.inputs)


def _named(places: _Places, name: str) -> Spatial:
    node, norm = places.model.layer(name), places.model.norm_after(name)
    if norm is not None:
        raise InvalidParameter(
            f"{norm} is folded into {name}, whose own activations are not kept; name {norm} for those after it",
            pointer="/method/layer",
        )
    if not node.rows.plain:
        raise InvalidParameter(
            f"the layer {name} has the shape {list(node.part or ())} for one input: its batch axis holds more than "
            "the inputs, so that its places are not the input's; name a layer after they are apart again",
            pointer="/method/layer",
        )
    found = places.of(node)
    if found is None:
        raise InvalidParameter(
            f"the layer {name} has the shape {list(node.shape or ())}, not channels by places of "
            + (" or ".join(places.named) or "the input"),
            pointer="/method/layer",
        )
    return found


class _Places:
    """The inputs of a model that have places, and which layers keep them."""

    def __init__(self, model: Model) -> None:
        self.model = model
        spec, graph = model.card.input, model.folded
        self.axes: Mapping[str, Sequence[str]] = {layer.name: layer.axes for layer in model.card.layers}
        shape = graph.nodes[0].shape or ()
        whole = Part(name=ONE, shape=shape, start=0, channels=spec.channel_axis if len(shape) > 1 else None)
        self.inputs = tuple(
            part
            for part in (explained(spec) if spec.parts else (whole,))
            if part.channels is not None and not part.embedding and len(part.spatial_shape) in _INTERPOLATION
        )
        self.reached = {part.name: graph.reaching(_source(graph, part) if spec.parts else 0) for part in self.inputs}

    @property
    def named(self) -> list[str]:
        """Of several, their names."""
        return [part.name for part in self.inputs] if self.model.card.input.parts else []

    def of(self, node: Node) -> Spatial | None:
        """The layer of a node that has channels, and then as many axes as an input's places, no longer than those."""
        reached = [part for part in self.inputs if self.reached[part.name][node.index]]
        fits = {part: order for part in reached if (order := self._order(node, part)) is not None}
        if len(fits) > 1:
            fits = {part: order for part, order in fits.items() if self._kept(part, node)} or fits
        orders = list(fits.values())
        return Spatial(node, orders[0], tuple(part for part in fits if fits[part] == orders[0])) if fits else None

    def _order(self, node: Node, part: Part) -> tuple[int, ...] | None:
        """The node's axes, channels first, then in the order of the part's places, where these it may be."""
        shape = node.shape or ()
        if not node.rows.plain or len(shape) != len(part.shape):
            return None
        names = self.axes.get(node.layer, ())
        channels = names.index("channel") if "channel" in names else 0
        behind = [axis for axis in range(len(shape)) if axis != channels]
        wanted = self._names(part)
        if len(names) == len(shape) and sorted(wanted) == sorted({names[axis] for axis in behind}):
            behind.sort(key=lambda axis: wanted.index(names[axis]))
        places = [shape[axis] for axis in behind]
        fits = max(places) > 1 and all(0 < have <= most for have, most in zip(places, part.spatial_shape, strict=True))
        return (channels, *behind) if fits else None

    def _names(self, part: Part) -> list[str]:
        """What the axes of a part's places are called, as far as its card says."""
        card = self.model.card
        names = input_axes(card.named[part.name] if card.input.parts else card.input)
        return [name for axis, name in enumerate(names) if axis != part.channels]

    def _kept(self, part: Part, until: Node) -> bool:
        """Whether a part's values come to a node on a way on which they never lost their places."""
        graph = self.model.folded
        source = _source(graph, part)
        kept = {source}
        for node in graph.nodes[source + 1 : until.index + 1]:
            if source in node.inputs or (kept.intersection(node.inputs) and self._order(node, part) is not None):
                kept.add(node.index)
        return until.index in kept


def _source(graph: Graph, part: Part) -> int:
    """The node that cuts a part out of the list of all."""
    cuts = (node for node in graph.nodes[1:] if node.inputs == (0,) and node.op == "slice")
    return next(node.index for node in cuts if list(node.args[1:4]) == [1, part.start, part.stop])


def upsample(small: Tensor, sizes: Sequence[int]) -> Tensor:
    """The map (n, 1, *places) at so many places, by linear interpolation."""
    return interpolate(small, size=tuple(sizes), mode=_INTERPOLATION[len(sizes)], align_corners=False)
