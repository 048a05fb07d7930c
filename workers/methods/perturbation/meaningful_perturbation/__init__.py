"""Meaningful perturbation: the smallest smooth mask whose deletion takes the score away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from workers.explanation.perturbation import DESCRIPTION, Baseline, FillValue, Score
from workers.explanation.result import Attribution
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model
    from workers.methods.perturbation.meaningful_perturbation.fills import Erase


class MeaningfulPerturbation(Method):
    """How far each place is deleted by a small smooth mask, learned to lower the score (S4 8.3, eq. 8.9).

    One channel, the input's places, from 0 to 1: deleted, or in the preservation game kept. `perturbed` is the input
    under the mask, in the model's own units. The info gives the score of the input, of that, and of the input with
    everything deleted. Raises MethodNotApplicable for a flat input, which has no places. Source: Fong, Vedaldi 2017.
    """

    one_input = "learns a smooth mask over the places of one input"
    citation = "Fong, Vedaldi 2017, Interpretable Explanations of Black Boxes by Meaningful Perturbation; book ch. 8.3"
    question = "Which is the smallest region that the score cannot do without, or can do with alone?"
    needs = frozenset({"gradients"})
    cost = "hundreds of passes"

    game: Literal["deletion", "preservation"] = Field(
        default="deletion", description="Delete little and lower the score, or keep little and keep the score."
    )
    perturbation: Literal["blur", "constant", "noise"] = Field(
        default="blur", description="How a place is deleted: blurred, mixed with `fill`, or with Gaussian noise."
    )
    blur: float = Field(default=10.0, gt=0, le=200, description="Standard deviation of the strongest blur, in places.")
    fill: Baseline = Field(default="mean", description=DESCRIPTION)
    value: FillValue = 0.0
    score: Score = "probability"
    steps: int = Field(default=300, ge=1, le=5000, description="Steps of Adam.")
    rate: float = Field(default=0.1, gt=0, le=10, description="Learning rate of Adam.")
    area: float = Field(default=1e-4, ge=0, le=100, description="Weight of each deleted (or kept) cell of the mask.")
    smoothness: float = Field(default=1e-2, ge=0, le=100, description="Weight of the mask's total variation.")
    power: float = Field(default=3.0, ge=1, le=10, description="Power of the differences in the total variation.")
    cells: int = Field(default=28, ge=1, le=512, description="Cells of the mask along the longest side, at most.")
    jitter: int | None = Field(
        default=None,
        ge=0,
        le=512,
        description="The mask is shifted at random by so many places in all; by default a 56th of the longest side.",
    )
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        return self.steps + min(self.cells, max(at.spatial_shape)) + 3

    def refuse(self, model: Model) -> None:
        from workers.engine.perturbation.windows import check_score
        from workers.methods.perturbation.meaningful_perturbation.smooth_masks import check

        check(model.card.input)
        check_score(model, self.score)

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.methods.perturbation.meaningful_perturbation.mask_optimisation import Game, begin, play
        from workers.methods.perturbation.meaningful_perturbation.smooth_masks import Cells

        spec, sources, keep = model.card.input, batch.generators(), self.game == "preservation"
        erase, cells = self._erase(model, batch), Cells.over(spec, self.cells, batch.x)
        game = Game(
            model, model.resolve(batch), cells, erase, keep, self.score == "probability", self.area, self.smoothness,
            self.power,
        )  # fmt: skip
        start = begin(game, batch, self)
        jitter = self.jitter if self.jitter is not None else round(max(spec.spatial_shape) / 56)
        found = play(game, batch, start.masks, self.steps, self.rate, jitter, sources)
        scores = zip(start.whole.tolist(), found.scores.tolist(), start.nothing.tolist(), strict=True)
        return Attribution(
            {"attribution": found.masks if keep else 1 - found.masks, "perturbed": found.erased},
            info=[
                {"score": f, "perturbed_score": p, "score_of_nothing": n, "cells": [*cells.counts]}
                for f, p, n in scores
            ],
        )

    def _erase(self, model: Model, batch: Batch) -> Erase:
        from workers.engine.perturbation.baselines import baseline
        from workers.methods.perturbation.meaningful_perturbation import fills

        if self.perturbation == "blur":
            return fills.blurring(batch.x, model.card.input, self.blur)
        if self.perturbation == "noise":
            return fills.towards(batch.x, fills.noise(model, batch, batch.generators()))
        return fills.towards(batch.x, baseline(model, batch, self.fill, self.value, asked="fill"))
