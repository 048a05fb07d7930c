"""Occlusion: the score's loss when a patch is hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.perturbation import DESCRIPTION, Baseline, Score
from workers.explanation.result import Attribution
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function


class Occlusion(Method):
    """How far the score falls when a patch of the input is filled, averaged where patches overlap (S4 22.2.1).

    One channel, the input's places; units of score (or of probability). Source: Zeiler, Fergus 2014.
    """

    citation = "Zeiler, Fergus 2014, Visualizing and Understanding Convolutional Networks; book ch. 22.2.1"
    places = True
    question = "Which regions does the score depend on, seen by hiding them one after the other?"
    cost = "hundreds of passes"
    averages_background = True
    reduced = True

    patch: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="Side of the patch; by default a fourteenth of the longest side; of a text each word.",
    )
    stride: int | None = Field(default=None, ge=1, le=4096, description="Step of the patch; by default its side.")
    fill: Baseline = Field(default="zero", description=DESCRIPTION)
    value: float = Field(default=0.0, description="The value of a constant fill.")
    score: Score = "logit"
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        return at.windows(self.patch, self.stride) * at.fills(self.fill)

    def refuse(self, model: Function) -> None:
        from workers.engine.perturbation.windows import check_score

        check_score(model, self.score)

    def explain(self, model: Function, batch: Batch) -> Attribution:
        from workers.engine.perturbation.baselines import fills
        from workers.engine.perturbation.windows import counts, occlude, windows_of

        patches = windows_of(model.card.input, batch.x, self.patch, self.stride)
        fill = fills(model, batch, self.fill, self.value)
        values = occlude(model, batch, self, patches, fill, probability=self.score == "probability")
        return Attribution({"attribution": values}, info=[{"patches": count} for count in counts(patches, batch.x)])
