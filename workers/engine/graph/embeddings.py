"""Embeddings: an input of tokens has no slope, so gradients and relevance of such a model begin at what it looks up."""

from __future__ import annotations

from collections.abc import Sequence

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node
from workers.explanation.errors import Instead, MethodNotApplicable, methods


def embeddings(graph: Graph) -> list[Node]:
    """The nodes that look up what the input's values say."""
    if not graph.looks_up:
        return []
    chosen = [True] + [False] * (len(graph.nodes) - 1)
    for node in graph.nodes[1:]:
        chosen[node.index] = not node.op.startswith("sym_") and any(chosen[i] for i in node.inputs)
    return [node for node in graph.nodes if node.op in ops.EMBEDDING and chosen[node.index]]


def flows(graph: Graph) -> Sequence[bool]:
    """For each node, whether the input's value flows into it, or what an embedding has looked up for the input."""
    found = graph.reaching(0)
    for node in embeddings(graph):
        found = [one or other for one, other in zip(found, graph.reaching(node.index), strict=True)]
    return found


def check_slope(graph: Graph) -> None:
    """Raise MethodNotApplicable where the input is nothing but tokens, naming the embedding to read relevance at."""
    found = embeddings(graph)
    if found and not graph.reaching(0)[graph.output]:
        layer = found[0].layer
        raise MethodNotApplicable(
            f"the input is looked up in the embedding {layer}, so no gradient or relevance goes back to it",
            pointer="/method",
            instead=(
                Instead(parameters={"to": layer}),
                Instead("lrp", {"to": layer}),
                Instead(parameters={"layer": layer}),
                *methods("occlusion", "kernel_shap"),
            ),
        )
