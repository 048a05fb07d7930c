"""Clusters of dependency graphs: which classes build on the same units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from workers.explanation.result import Clustering
from workers.methods.fields.held import DependencyGraph
from workers.methods.method import Extent, Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


_TWO: Any = tuple({"name": "ssa", "dataset": "training", "classes": [c]} for c in (0, 1))  # validated with the field


class SsaClusters(Method):
    """Dependency graphs as bags of nodes, clustered by Ward's criterion with cosine distance (S1 4.2.1).

    `clustering` holds the cluster of each graph; `presence` (graphs, nodes) which nodes below the classes it has,
    `merges` and `node_merges` the two trees as scipy tells them, `order` and `node_order` their leaves as drawn. The
    info names graphs and nodes. Raises what the graphs raise. Source: S1 4.2.1, Fig. 4.
    """

    kind = "clustering"
    citation = "Step-wise sensitivity analysis: identifying partially distributed representations, 2019"
    question = "Which classes build on the same units?"
    needs = frozenset({"graph", "dataset"})
    takes_input = False
    takes_target = False
    cost = "thousands of passes"
    revision = 2

    graphs: tuple[DependencyGraph, ...] = Field(
        default=_TWO,
        min_length=2,
        max_length=100,
        description="The graphs: an ssa for each, all with the same `layers`.",
    )
    clusters: int = Field(default=2, ge=1, le=100, description="Into how many clusters at most the tree is cut.")

    def passes(self, at: Extent, /) -> int:
        return sum(graph.passes(at) for graph in self.graphs)

    def refuse(self, model: Model) -> None:
        for graph in self.graphs:
            graph.refuse(model)

    def explain(self, model: Model, batch: Batch) -> Clustering:
        from workers.methods.structure.ssa_clusters.graph_bags import bags

        found = bags(model, batch, self.graphs, self.clusters)
        return Clustering({name: array[None] for name, array in found.arrays.items()}, info=[found.info])
