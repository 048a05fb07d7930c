"""Sensitivity-n: whether the attributions of some features add up to what the score loses without them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from workers.explanation.perturbation import DESCRIPTION, Baseline, Score
from workers.explanation.result import Scores
from workers.methods.fields.judged import PAIR, UNLESS_DATASET, Judged, Over
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function
    from workers.engine.model.resources import Items


class SensitivityN(Method):
    """How well sums of attributions over n random features agree with the score's loss without them (S4 9.2.4).

    `curves` (methods, sizes) is the correlation over the subsets of each size in `at`, `scores` its mean over the
    sizes; `gaps` the mean distance in shares of the mean loss (0 where equation 9.8 holds); `whole` and `lost` the same
    sums for the input as a whole (sensitivity-N). All methods are asked of the same subsets, by one set of passes. A
    feature is a place with all its channels, of a text one of its tokens. Source: Ancona et al. 2018; S4 9.2.4.
    """

    kind = "scores"
    citation = "Ancona et al. 2018, Towards better understanding of gradient-based attribution methods; book ch. 9.2.4"
    question = "Is what a method says of some features what the score loses when they are gone?"
    cost = "hundreds of passes"
    takes_input: ClassVar[bool] = UNLESS_DATASET
    revision = 3

    of: Judged = PAIR  # type: ignore[assignment]  # validated from their names
    dataset: Over = None
    sizes: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="How many features n go at once; by default eight sizes up to 0.8 of all features."
    )
    subsets: int = Field(default=100, ge=2, le=10000, description="Random subsets of each size.")
    baseline: Baseline = Field(default="zero", description=DESCRIPTION)
    score: Score = "logit"
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        sizes = len(self.sizes) if self.sizes else min(8, math.prod(at.spatial_shape))
        one = sum(method.passes(at) for method in self.of) + 2 + self.subsets * sizes
        return one * at.items(self.dataset)

    def refuse(self, model: Function) -> None:
        from workers.engine.perturbation.windows import check_score
        from workers.methods.nested.attributions import refuse

        check_score(model, self.score)
        refuse(model, self.of)

    def explain(self, model: Function, batch: Batch) -> Scores:
        import torch

        from workers.methods.evaluation.sensitivity_n.compute import sensitivity
        from workers.methods.nested.evaluation import judge

        probability = self.score == "probability"

        def measure(rows: Batch, _: Items | None) -> dict[str, torch.Tensor]:
            found = sensitivity(model, rows, self.of, self.sizes, self.subsets, self.baseline, probability)
            return {
                "scores": found.correlations.mean(2), "curves": found.correlations, "gaps": found.gaps,
                "whole": found.whole, "lost": found.lost, "at": found.sizes,
            }  # fmt: skip

        axes = {"x": "features taken away", "y": "correlation with the loss", "log": True}
        about = {"better": "higher", "axes": axes, "measure": "mean correlation"}
        return judge(model, batch, self, measure, about)
