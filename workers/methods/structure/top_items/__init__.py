"""Top items: what in a dataset a unit is strongest for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.result import Synthesis
from workers.methods.method import DatasetName, Extent, Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class TopItems(Method):
    """The items of a dataset that a class, unit or channel is highest for, with what of them the unit sees (S4 l.1081).

    `synthesis` holds those items (count, *shape), highest first, in the model's own units: items of the dataset, and
    nothing made up (of several inputs each by its name, of texts their ids). Of a channel with places each counts by
    its highest place, and what lies outside that place's receptive field is faded towards the item's mean, unless
    `whole`. `items` are their numbers in the dataset, `scores` the unit's values, `patches` (count, axes, 2) first and
    last place that is seen along each axis of the input. Raises InvalidTarget for a rank. Source: S4 l.1081, l.4415.
    """

    kind = "synthesis"
    citation = "Zeiler, Fergus 2014, Visualizing and understanding convolutional networks; book ch. 4.1, 12.2"
    question = "Which inputs of this data does the unit like best?"
    needs = frozenset({"graph", "dataset"})
    takes_input = False
    cost = "thousands of passes"
    revision = 3

    dataset: DatasetName = "training"
    count: int = Field(default=9, ge=1, le=100, description="How many items.")
    lowest: bool = Field(default=False, description="Take the items that the unit is lowest for.")
    whole: bool = Field(default=False, description="Leave the items whole; else what the unit does not see is faded.")

    def passes(self, at: Extent, /) -> int:
        return at.items(self.dataset)

    def refuse(self, model: Model) -> None:
        from workers.methods.structure.top_items.compute import check

        check(model)

    def explain(self, model: Model, batch: Batch) -> Synthesis:
        from workers.methods.structure.top_items.compute import top

        found = top(model, batch, self.dataset, self.count, self.lowest)
        shown = found.x if self.whole else found.faded()
        arrays = {"synthesis": shown, "scores": found.scores, "items": found.items, "patches": found.patches}
        info = {"items": found.items.tolist(), "activation": found.scores.tolist(), "sees_all": found.sees_all}
        return Synthesis({name: array[None] for name, array in arrays.items()}, info=[info])
