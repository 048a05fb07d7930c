"""Where what a model makes of two inputs by itself is multiplied: the head of a similarity, found in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node, Ref
from workers.engine.model.model import Model
from workers.engine.model.target_masks import node_of
from workers.explanation.card import InputSpec
from workers.explanation.errors import Instead, MethodNotApplicable, methods
from workers.explanation.inputs import explained
from workers.explanation.target import ReducedTarget, Target
from workers.methods.lrp.bilrp.branches import Branches
from workers.methods.lrp.bilrp.pieces import names
from workers.methods.lrp.bilrp.trial import Trial

WHOLE = ReducedTarget(reduce="sum")  # where no target is asked about yet
HELD = ops.SHARING - {"softmax"}  # sizes: what a product is divided by


def branches(model: Model, target: Target | None) -> Branches:
    """The branches that meet in the target; raises MethodNotApplicable, saying why, where they are not multiplied."""
    graph = model.folded
    end = graph.output if target is None else node_of(target, graph)
    there = names(model)
    sides = _sides(graph, model.card.input, there)
    tried = Trial(model)
    found = _met(graph, end, target or WHOLE, sides)
    if found is not None and tried.is_product(found):
        return found
    told = graph.nodes[end].layer
    if len(sides[end]) < len(there):
        alone = " and ".join(sides[end]) or "no input"
        reason = f"{told} is made of {alone} alone, and bilrp explains what is made of {' and '.join(there)}"
    elif (joined := _joined(graph, sides)) is not None:
        reason = (
            f"{joined.layer} ({joined.op}) lays {' and '.join(there)} one behind the other along the batch, and they "
            "are not told apart from there on; give the encoder each by itself, as encoder(one) * encoder(other)"
        )
    else:
        reason = (
            f"{told} ({graph.nodes[end].op}) is no product of what the model makes of {' and of '.join(there)} by "
            "itself: no scalar product, cosine or squared distance of two embeddings"
        )
    raise MethodNotApplicable(
        reason,
        pointer="/method",
        instead=(*_products(graph, end, sides, tried), *methods("lrp", "input_times_gradient", "occlusion")),
    )


def _products(graph: Graph, end: int, sides: Sequence[tuple[str, ...]], tried: Trial) -> list[Instead]:
    """The last layer below that is such a product, as a target."""
    offered = graph.offered()
    for node in reversed(graph.nodes[:end]):
        if len(sides[node.index]) == 2 and offered[node.index] and node.part is not None and prod(node.part) == 1:
            found = _met(graph, node.index, WHOLE, sides)
            if found is not None and tried.is_product(found):
                return [Instead(target={"layer": node.layer, "index": [0] * len(node.part)})]
    return []


def _joined(graph: Graph, sides: Sequence[tuple[str, ...]]) -> Node | None:
    """The node where two inputs are joined along the first axis, the batch."""
    for node in graph.nodes[1:]:
        if node.op in ("cat", "stack") and len(sides[node.index]) == 2:
            axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
            if axis == 0 and all(len(sides[i]) == 1 for i in node.inputs):
                return node
    return None


def _sides(graph: Graph, spec: InputSpec, order: Sequence[str]) -> list[tuple[str, ...]]:
    """For each node, the names of the inputs that flow into it, in their order."""
    starts = {part.start: part.name for part in explained(spec)}
    flows = graph.reaching(0)
    found: list[tuple[str, ...]] = [()] * len(graph.nodes)
    for node in graph.nodes[1:]:
        if not flows[node.index]:
            continue
        if node.inputs == (0,):
            name = starts.get(node.args[2]) if node.between else None
            found[node.index] = (name,) if name else ()
        else:
            into = {name for i in node.inputs if flows[i] for name in found[i]}
            found[node.index] = tuple(name for name in order if name in into)
    return found


def _met(graph: Graph, end: int, target: Target, sides: Sequence[tuple[str, ...]]) -> Branches | None:
    """The branches of what ends there; None where it is not made of two inputs."""
    if len(sides[end]) != 2:
        return None
    head, tops, ahead = set[int](), set[int](), [end]
    while ahead:
        node = graph.nodes[ahead.pop()]
        if len(sides[node.index]) == 1:
            tops.add(node.index)
        elif len(sides[node.index]) == 2 and node.index not in head and node.op not in HELD:
            head.add(node.index)
            ahead.extend(_multiplied(node))
    one, other = (tuple(sorted(i for i in tops if name in sides[i])) for name in sides[end])
    return Branches(graph, end, target, tuple(sorted(head)), (one, other)) if one and other else None


def _multiplied(node: Node) -> list[int]:
    """What a node reads, but for what it divides by and what is a size."""
    if node.op == "div" and isinstance(node.args[0], Ref):
        return [node.args[0].index]
    return list(node.inputs)
