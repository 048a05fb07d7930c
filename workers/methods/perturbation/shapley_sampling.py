"""Shapley sampling: what each segment adds when shown after others, averaged over random orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.perturbation import DESCRIPTION, Baseline, FillValue, Score, SegmentCount, Segments
from workers.explanation.result import Attribution
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function


class ShapleySampling(Method):
    """The Shapley values of the segments, from random orders in which filled segments are shown one after the other.

    Exact where all coalitions take no more passes than the orders would; else orders come in pairs, one the reverse
    of the other. Each place holds its segment's value: one channel, the input's places; units of score. `segments`
    numbers the segments, `standard_error` holds the sampling error of each value. Completeness: the segments' values
    sum to f(input) - f(fill), whatever the orders. Source: Castro, Gomez, Tejada 2009; Strumbelj, Kononenko 2010.
    """

    citation = "Castro, Gomez, Tejada 2009; Strumbelj, Kononenko 2010, An Efficient Explanation of Classifications"
    places = True
    question = "What does each segment add to the score when the segments are shown one after the other?"
    cost = "thousands of passes"
    averages_background = True
    reduced = True

    segments: Segments = None
    count: SegmentCount = 50
    samples: int = Field(default=20, ge=4, le=2000, multiple_of=2, description="Orders; each takes a pass per segment.")
    fill: Baseline = Field(default="zero", description=DESCRIPTION)
    value: FillValue = 0.0
    score: Score = "logit"
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        players = at.segments(self.count)
        return min(2 + self.samples * (players - 1), 1 << players) * at.fills(self.fill)

    def refuse(self, model: Function) -> None:
        from workers.engine.perturbation.segments import chosen
        from workers.engine.perturbation.windows import check_score

        check_score(model, self.score)
        chosen(model, self.segments)

    def explain(self, model: Function, batch: Batch) -> Attribution:
        from workers.engine.perturbation.coalitions import orders
        from workers.engine.perturbation.games import solved
        from workers.engine.perturbation.surrogate import mean_entry

        return solved(model, batch, self, orders, mean_entry)
