"""RISE: the score seen through random masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.perturbation import DESCRIPTION, Baseline, FillValue, Score
from workers.explanation.result import Attribution
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function


class Rise(Method):
    """The mean score of the input seen through random masks, weighted by how much each mask shows of a place (S4 8.4).

    An unbiased estimate of E[score * mask] / keep at each place, with less noise than the paper's (see the engine's
    `weighted_mean`). One channel, the input's places; units of score. `standard_error` holds the error of each value.
    Source: Petsiuk, Das, Saenko 2018.
    """

    one_input = "hides places beside each other of one input by masks drawn over it"
    citation = "Petsiuk, Das, Saenko 2018, RISE: Randomized Input Sampling for Explanation of Black-box Models"
    question = "Which places, when they happen to be shown, go with a high score?"
    cost = "thousands of passes"
    reduced = True

    masks: int = Field(default=4000, ge=10, le=20000, description="Random masks.")
    cells: int = Field(default=7, ge=1, le=100, description="Cells of a mask's grid along each axis.")
    keep: float = Field(default=0.5, gt=0, lt=1, description="The probability that a cell is shown.")
    fill: Baseline = Field(default="zero", description=DESCRIPTION)
    value: FillValue = 0.0
    score: Score = "logit"
    seed: Seed = 0

    def passes(self, _: Extent, /) -> int:
        return self.masks

    def refuse(self, model: Function) -> None:
        from workers.engine.perturbation.windows import check_score

        check_score(model, self.score)

    def explain(self, model: Function, batch: Batch) -> Attribution:
        import torch

        from workers.engine.perturbation.baselines import baseline
        from workers.engine.perturbation.maps import over_channels
        from workers.methods.perturbation.rise import random_masks

        spec = model.card.input
        drawn = [random_masks.draw(spec, self.cells, self.keep, self.masks, g) for g in batch.generators()]
        fill = baseline(model, batch, self.fill, self.value, asked="fill")
        scores = random_masks.masked_scores(model, batch, self, drawn, fill, self.score == "probability")
        found = [random_masks.weighted_mean(*pair, self.keep, model.chunk) for pair in zip(drawn, scores, strict=True)]
        values, errors = (over_channels(torch.stack(maps), spec) for maps in zip(*found, strict=True))
        return Attribution(
            {"attribution": values, "standard_error": errors},
            info=[{"masks": self.masks, "standard_error": float(row.mean())} for row in errors],
        )
