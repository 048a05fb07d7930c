"""Layers that keep the input's places: what CAM methods read."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node
from workers.engine.model.model import Model
from workers.explanation.errors import ANY_FUNCTION, InvalidParameter, MethodNotApplicable

_SPATIAL = ops.LINEAR | ops.ACTIVATION | ops.BATCH_NORM | ops.ADDITION | ops.MAX_POOLING | ops.AVERAGING | {"cat"}
_INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}


def spatial_layer(model: Model, name: str | None) -> Node:
    """The named layer, or the last one with channels and places, that lies between the input and the output.

    Raises InvalidParameter for a named layer without places, MethodNotApplicable for a model that has none.
    """
    graph = model.folded
    if name is not None:
        node, norm = model.layer(name), model.norm_after(name)
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
        if not _has_places(node, graph):
            raise InvalidParameter(
                f"the layer {name} has the shape {list(node.shape or ())}, not channels by places of the input",
                pointer="/method/layer",
            )
        return node
    flows = graph.reaching(0)
    found = [n for n in graph.nodes[1:] if flows[n.index] and n.op in _SPATIAL and _has_places(n, graph)]
    if not found or len(graph.nodes[0].shape or ()) - 1 not in _INTERPOLATION:
        raise MethodNotApplicable(
            "no layer of this model keeps the input's places (channels by height by width), which a class activation "
            "map is drawn from",
            pointer="/method",
            instead=ANY_FUNCTION,
        )
    return found[-1]


def _has_places(node: Node, graph: Graph) -> bool:
    """Whether the shape is channels, then as many axes as the input's places, no longer than those, more than one."""
    places, of_input = (node.shape or ())[1:], (graph.nodes[0].shape or ())[1:]
    return (
        node.rows.plain
        and len(places) == len(of_input) > 0
        and max(places) > 1
        and all(0 < have <= most for have, most in zip(places, of_input, strict=True))
    )


def upsample(small: Tensor, x: Tensor) -> Tensor:
    """The map (n, 1, *places) at the places of the inputs, by linear interpolation."""
    return interpolate(small, size=x.shape[2:], mode=_INTERPOLATION[x.dim() - 2], align_corners=False)
