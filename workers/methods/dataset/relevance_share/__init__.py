"""Relevance by place along one axis, over a dataset: border and lookahead effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from workers.explanation.result import Scores
from workers.methods.fields.held import Attributing
from workers.methods.method import DatasetName, Extent, Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function


class RelevanceShare(Method):
    """Which share of the relevance lies at each place t of an axis, averaged over a dataset (S4 16.3.2).

    `scores` is the mean share (places), `std` its standard deviation over the items; an item's shares sum to 1. The
    info gives the border effect B of the fit B t^2 + C t + D and the lookahead effect L of the fit L t + A, by least
    squares over t = 1, 2, ..., and how many items were left out, whose relevance sums to nothing. Of a class its items
    are explained, where the dataset has labels. Raises InvalidParameter for an axis that the input has not.
    Source: Anders, Montavon, Samek, Mueller 2019, book ch. 16; S4 eq. 16.3-16.4.
    """

    kind = "scores"
    citation = "Anders, Montavon, Samek, Mueller 2019, Understanding Patch-Based Learning of Video Data, book ch. 16"
    question = "Does the model look more at the borders, or at the end, of this axis than elsewhere?"
    needs = frozenset({"dataset"})
    takes_input = False
    cost = "thousands of passes"
    revision = 2

    of: Attributing = Field(
        default={"name": "gradient", "reduce": "square"},  # type: ignore[assignment]  # validated from its parameters
        description="The method whose relevance is shared out; by default the squared gradient (sensitivity analysis).",
    )
    dataset: DatasetName = "training"
    axis: int | Annotated[str, Field(max_length=300)] = Field(
        default=-1, description="An axis of the input without the batch, by its number or its name in the card."
    )
    size: bool = Field(default=False, description="Shares of the relevance's size, whatever its sign.")
    items: int = Field(default=1000, ge=1, le=100000, description="At most so many items, the first.")

    def passes(self, at: Extent, /) -> int:
        return at.items(self.dataset, self.items) * self.of.passes(at)

    def refuse(self, model: Function) -> None:
        from workers.methods.dataset.relevance_share.compute import one_input, place_axis

        place_axis(one_input(model.card), self.axis)
        self.of.refuse(model)

    def explain(self, model: Function, batch: Batch) -> Scores:
        from workers.methods.dataset.relevance_share.compute import Shares, fits, shares

        found: Shares = shares(model, batch, self.of, self.dataset, batch.targets[0], self.axis, self.size, self.items)
        info = {**fits(found.mean), "items": found.items, "left_out": found.left_out}
        return Scores({"scores": found.mean[None], "std": found.std[None]}, info=[info])
