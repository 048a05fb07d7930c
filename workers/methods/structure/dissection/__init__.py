"""Network dissection: the concept that each channel of a layer detects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.result import Scores
from workers.methods.method import DatasetName, Extent, Method, SpatialLayer

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class Dissection(Method):
    """How well each channel of a layer, where it is highest, picks out each concept: intersection over union.

    `scores` (units,) the IoU with the concept that a unit fits best, `concept` which that is, `iou` of all, `threshold`
    in units of activation. A unit's threshold is passed by the share `quantile` of all places, its map enlarged to the
    masks' size; it is exact to 2**-15 of itself, in two passes, and the overlaps take a third. For a concept those
    items count that show some concept of its category, which the dataset's `categories` say; else all are of one. The
    info lists `detectors`. Raises InvalidDataset for a dataset without masks, MethodNotApplicable for a net that keeps
    no places. Source: S4 eq. 12.1.
    """

    kind = "scores"
    citation = "Bau et al. 2017, Network dissection: quantifying interpretability of deep visual representations"
    question = "Which concept does each unit of this layer detect?"
    needs = frozenset({"graph", "layer", "dataset"})
    takes_input = False
    takes_target = False
    cost = "thousands of passes"
    one_input = "compares the places of one input with masks of it"
    revision = 3

    dataset: DatasetName = "training"
    layer: SpatialLayer = None
    quantile: float = Field(default=0.005, gt=0, lt=1, description="The share of all places that a unit picks out.")
    iou: float = Field(default=0.04, ge=0, le=1, description="The least overlap above which a unit is a detector.")

    def passes(self, at: Extent, /) -> int:
        return 3 * at.items(self.dataset)

    def refuse(self, model: Model) -> None:
        from workers.engine.layers.spatial import spatial_layer
        from workers.explanation.errors import MethodNotApplicable

        spatial_layer(model, self.layer)
        if len(model.card.input.shape) != 3:
            raise MethodNotApplicable(
                f"masks of concepts lie over height and width, and this model's input has the shape "
                f"{list(model.card.input.shape)}",
                pointer="/method",
            )

    def explain(self, model: Model, batch: Batch) -> Scores:
        from workers.engine.layers.spatial import spatial_layer
        from workers.methods.structure.dissection.concept_overlap import dissect

        layer = spatial_layer(model, self.layer)
        above, overlaps = dissect(model, batch, layer, self.dataset, self.quantile)
        best, concept = overlaps.iou.max(1)
        found = [
            {"unit": unit, "concept": c, "iou": score}
            for unit, (score, c) in enumerate(zip(best.tolist(), concept.tolist(), strict=True))
            if score > self.iou
        ]
        info = {"layer": layer.node.layer, "units": len(best), "detectors": found,
                "unique_detectors": len({one["concept"] for one in found})}  # fmt: skip
        arrays = {"scores": best, "concept": concept.int(), "iou": overlaps.iou, "threshold": above}
        return Scores({name: array[None] for name, array in arrays.items()}, info=[info])
