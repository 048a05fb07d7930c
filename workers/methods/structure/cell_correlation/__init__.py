"""Cells and what is known of each step: do memory cells follow what somebody measured?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.result import Scores
from workers.methods.method import DatasetName, Extent, Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class CellCorrelation(Method):
    """Pearson's correlation over the steps between each memory cell and each series of a dataset (S4 19.3.2).

    `matrix` (cells, series) is the mean of it over the items; `items` (cells, series) how many have one: where the cell
    or the series never changes there is none. `scores` (series,) is the correlation of the cell that goes with each
    series most closely, which the info names. Raises InvalidParameter for a dataset without series, or with other
    steps, and MethodNotApplicable for a model without recurrent layers. Source: Kratzert et al. 2019; S4 l.6104.
    """

    kind = "scores"
    citation = "Kratzert et al. 2019, NeuralHydrology: interpreting LSTMs in hydrology; book ch. 19"
    question = "Which memory cells follow a quantity that is known of every step?"
    needs = frozenset({"graph", "dataset"})
    takes_input = False
    takes_target = False
    cost = "thousands of passes"

    dataset: DatasetName = Field(default="training", description="A dataset with `series`.")
    layer: str | None = Field(
        default=None,
        max_length=300,
        description="What each step computes, as the model's card lists it under `cells`: lstm.l0.t*.c. By default the "
        "last memory, or where there is none the last state.",
    )

    def passes(self, at: Extent, /) -> int:
        return at.items(self.dataset)

    def refuse(self, model: Model) -> None:
        from workers.methods.structure.cell_correlation.compute import cell_of

        cell_of(model.card, self.layer)

    def explain(self, model: Model, batch: Batch) -> Scores:
        import numpy as np

        from workers.methods.structure.cell_correlation.compute import cell_of, correlations

        cell = cell_of(model.card, self.layer)
        found = correlations(model, batch, self.dataset, cell)
        best = found.best()
        info = {
            "layer": cell.name, "measure": f"correlation of {cell.name} with each series",
            "concepts": [{"concept": f"series {s}: cell {c}"} for s, (c, _) in enumerate(best)],
            "columns": [f"series {s}" for s in range(len(best))],
            "rows": [f"cell {c}" for c in range(len(found.mean))],
        }  # fmt: skip
        arrays = {"scores": [value for _, value in best], "matrix": found.mean, "items": found.items}
        return Scores({name: np.asarray(array)[None] for name, array in arrays.items()}, info=[info])
