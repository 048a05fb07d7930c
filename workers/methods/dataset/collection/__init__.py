"""A method over many inputs in one job: each item of a dataset is explained as it would be alone, and kept so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from workers.explanation.result import Collection as Items
from workers.methods.fields.held import OfAnInput
from workers.methods.method import DatasetName, Extent, Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function


class Collection(Method):
    """Explanations of a dataset's items, each under the id that it has alone, and what they say together.

    `collection` is 1 where an item was explained and 0 where it was not (items); `ids` (items, 32) are the bytes of
    their ids, `labels`, `predicted` and `targets` class indices, -1 where there is none; `expected`, `observed` and
    `gaps` (items, checks) are the checks, a gap of -1 where an item has none. `means` (classes, *map) are the mean maps
    by class: that of the label, else of the target; of several inputs each has its own, `means.NAME`. Of texts `info`
    has the words that count most. Raises what every item of the first batch is refused with.
    Source: what the method held says of one.
    """

    kind = "collection"
    citation = "That of the method which is held."
    question = "What does a method say of each item of a dataset, and of all of them together?"
    needs = frozenset({"dataset"})
    takes_input = False
    cost = "thousands of passes"
    reduced = True

    of: OfAnInput = Field(
        default={"name": "gradient"},  # type: ignore[assignment]  # validated from its name
        description="The method that explains each item.",
    )
    dataset: DatasetName = "training"
    start: int = Field(default=0, ge=0, le=10**9, description="The first item.")
    stop: int | None = Field(
        default=None, ge=1, le=10**9, description="The item that is the first of those left out; by default none is."
    )

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.stop is not None and self.stop <= self.start:
            raise ValueError("stop lies behind start: the items are start, start + 1, ..., stop - 1")
        return self

    def passes(self, at: Extent, /) -> int:
        last = at.items(self.dataset, self.stop)
        return max(1, last - self.start) * self.of.passes(at)

    def refuse(self, model: Function) -> None:
        self.of.refuse(model)

    def explain(self, model: Function, batch: Batch) -> Items:
        from workers.methods.dataset.collection.compute import gather

        target = batch.targets[0] if self.of.takes_target and batch.targets else None
        found = gather(model, batch, self.of, target, self.dataset, self.start, self.stop)
        return Items({name: array[None] for name, array in found.told().items()}, info=[found.info()])
