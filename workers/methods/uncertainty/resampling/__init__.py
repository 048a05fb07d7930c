"""Resampling: how much of a map would stand if the data, or the model, had been another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from workers.explanation.result import Attribution
from workers.methods.fields.held import Attributing
from workers.methods.method import Extent, Method, ModelName, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function


class Resampling(Method):
    """Mean, standard deviation and effect size of a method's maps over halves of its data, or over models (S4 3.3).

    Over halves: what the method learns from is split at random, `splits` times; `std` is that of one half's map, from
    the differences within the pairs. Over `models`, as trained on other data or from other seeds: of theirs and this
    model's maps. `attribution` is the mean, `effect` the mean over the standard deviation (over a millionth of the
    map's largest value at least), shaped as the inner method's. The info tells the maps' mean correlation. Raises
    InvalidParameter for a method that looks at no dataset, or for models of another input.
    Source: Strother et al. 2002 (NPAIRS); S4 3.3.
    """

    citation = "Strother et al. 2002, The NPAIRS data analysis framework; Hansen, Rieger 2019, book ch. 3.3"
    question = "Which parts of the map would stand if the data or the model had been another?"
    cost = "thousands of passes"
    revision = 3

    of: Attributing = Field(default="pattern_attribution", description="The method whose maps are compared.")  # type: ignore[assignment]  # validated from its name
    models: Annotated[tuple[ModelName, ...], Field(max_length=100)] = Field(
        default=(), description="Other served models of the same input and output; without any, data is halved."
    )
    splits: int = Field(default=5, ge=1, le=1000, description="How often the data is halved.")
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        if self.models:
            return self.of.passes(at) * (len(self.models) + 1)
        learned = sum(held.passes(at) for held in self.of.inner() if not held.takes_input)  # from each half anew
        return self.splits * (2 * self.of.passes(at) + learned)

    def refuse(self, model: Function) -> None:
        self.of.refuse(model)

    def explain(self, model: Function, batch: Batch) -> Attribution:
        from workers.methods.uncertainty.resampling.map_statistics import over_halves, over_models

        if self.models:
            found = over_models(model, batch, self.of, self.models)
        else:
            found = over_halves(model, batch, self.of, self.splits)
        told = {"models": len(self.models) + 1} if self.models else {"splits": self.splits}
        return Attribution(
            {"attribution": found.mean, "std": found.std(), "effect": found.effect()},
            info=[{**told, "correlation": each} for each in found.agreement],
        )
