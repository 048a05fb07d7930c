"""The nodes of several dependency graphs side by side, and which graphs and nodes go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.engine.layers.levels import levels
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter
from workers.methods.method import Method
from workers.methods.structure.ssa_clusters.clustering import clusters, tree


@dataclass(frozen=True)
class Bags:
    """What a clustering of graphs holds."""

    arrays: Mapping[str, NDArray[Any]]
    info: Mapping[str, Any]


def bags(model: Model, batch: Batch, graphs: Sequence[Method], count: int) -> Bags:
    """The graphs of the held methods, clustered; raises InvalidParameter where they are over different layers."""
    settings = [graph.to_json() for graph in graphs]
    if any(one["layers"] != settings[0]["layers"] for one in settings):
        raise InvalidParameter("graphs over different layers have no units in common", pointer="/method/graphs")
    every = levels(model, settings[0]["layers"], model.folded.nodes[model.folded.output])
    units = [(level.node.layer, unit) for level in every[:-1] for unit in range(level.units)]
    frequency = []
    for done, graph in enumerate(graphs):
        frequency.append(np.asarray(batch.resources.state(model, graph)["frequency"])[: len(units)])
        batch.report(done + 1, len(graphs), "graphs")
    present = np.stack(frequency) > 0
    nodes = np.flatnonzero(present.any(0))
    presence = present[:, nodes]
    rows, columns = tree(presence.astype(float)), tree(presence.T.astype(float))
    found = clusters(rows, count)
    arrays: dict[str, NDArray[Any]] = {
        "clustering": found.astype(np.int32),
        "presence": presence.astype(np.uint8),
        "merges": rows.merges,
        "order": rows.order.astype(np.int32),
        "node_merges": columns.merges,
        "node_order": columns.order.astype(np.int32),
    }
    named = [
        {
            "classes": list(one["classes"]),
            "labels": [model.card.label(c) for c in one["classes"]],
            "cluster": int(cluster),
            "nodes": int(has.sum()),
        }
        for one, cluster, has in zip(settings, found, presence, strict=True)
    ]
    shared = int(presence.all(0).sum())
    info = {
        "graphs": named,
        "nodes": [{"layer": units[i][0], "unit": units[i][1]} for i in nodes.tolist()],
        "layers": [level.node.layer for level in every[:-1]],
        "shared_by_all": shared,
    }
    return Bags(arrays, info)
