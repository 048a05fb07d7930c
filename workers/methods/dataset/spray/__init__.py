"""Spectral relevance analysis: the strategies that a model has for a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from workers.explanation.result import Clustering
from workers.methods.fields.held import Attributing
from workers.methods.method import DatasetName, Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function


class Spray(Method):
    """Clusters of a dataset's heat maps: each a way in which the model comes to its decision (SpRAy; S4 1.4.4).

    Of a class its items are explained, where the dataset has labels, and of a rank every item for its own class.
    `clustering` is each item's cluster, largest first, from 0; `items` their numbers in the dataset; `embedding` a
    place for each (items, 2); `mean` each cluster's mean map (clusters, *places); `eigenvalues` those of the graph of
    neighbours, whose widest gap says how many clusters there are. Maps are summed over channels, averaged down to
    `cells` and brought to length 1. The info names the items nearest to each cluster's centre. Raises
    InvalidParameter for a dataset without items of the class. Source: Lapuschkin et al. 2019; von Luxburg 2007.
    """

    kind = "clustering"
    revision = 3
    citation = "Lapuschkin et al. 2019, Unmasking Clever Hans predictors and assessing what machines really learn"
    question = "In which ways does the model come to this decision, and is one of them a cheat?"
    needs = frozenset({"dataset"})
    takes_input = False
    cost = "thousands of passes"

    of: Attributing = Field(default="lrp", description="The method whose heat maps are clustered.")  # type: ignore[assignment]  # validated from its name
    dataset: DatasetName = "training"
    items: int = Field(default=1000, ge=2, le=20000, description="At most so many items, the first.")
    cells: int = Field(default=24, ge=1, le=128, description="Cells of a map along each axis, at most.")
    neighbours: int = Field(default=10, ge=1, le=200, description="Neighbours that each map is joined to.")
    clusters: int | None = Field(
        default=None, ge=1, le=50, description="How many clusters; by default as many as the eigengap shows."
    )
    most: int = Field(default=10, ge=1, le=50, description="The most clusters that the eigengap is looked for among.")
    embedding: Literal["spectral", "tsne"] = Field(
        default="spectral", description="Places by the graph's second and third eigenvector, or by t-SNE."
    )
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        return at.items(self.dataset, self.items) * self.of.passes(at)

    def refuse(self, model: Function) -> None:
        self.of.refuse(model)

    def explain(self, model: Function, batch: Batch) -> Clustering:
        from workers.methods.dataset.spray.groups import grouped
        from workers.methods.dataset.spray.heatmaps import heatmaps

        found = heatmaps(model, batch, self.of, self.dataset, batch.targets[0], self.items, self.cells)
        groups = grouped(found, self.neighbours, self.clusters, self.most, self.embedding, _seed(batch, self.seed))
        return Clustering({name: values[None] for name, values in groups.arrays.items()}, info=[groups.info])


def _seed(batch: Batch, own: int) -> int:
    return batch.seeds[0] if batch.seeds else own
