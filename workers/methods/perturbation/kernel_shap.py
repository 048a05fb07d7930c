"""Kernel SHAP: Shapley values of the input's segments, by regression."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.perturbation import DESCRIPTION, Baseline, FillValue, Score, SegmentCount, Segments
from workers.explanation.result import Attribution
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function


class KernelShap(Method):
    """The Shapley values of the segments, a hidden segment being filled, by least squares over coalitions of segments.

    Exact where all coalitions are within `samples`; else drawn from the Shapley kernel, each with its complement.
    Each place holds its segment's value: one channel, the input's places; units of score. `segments` numbers the
    segments, `standard_error` holds the sampling error of each value. Completeness: the segments' values sum to
    f(input) - f(fill). Raises InvalidParameter for fewer samples than two per segment.
    Source: Lundberg, Lee 2017; Covert, Lee 2021 (pairs).
    """

    citation = "Lundberg, Lee 2017, A Unified Approach to Interpreting Model Predictions; Covert, Lee 2021"
    places = True
    question = "How do the segments share the difference in score between this input and a filled one, by regression?"
    cost = "thousands of passes"
    averages_background = True
    reduced = True

    segments: Segments = None
    count: SegmentCount = 50
    samples: int = Field(default=1000, ge=4, le=20000, multiple_of=2, description="Coalitions that are scored.")
    fill: Baseline = Field(default="zero", description=DESCRIPTION)
    value: FillValue = 0.0
    score: Score = "logit"
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        players = at.segments(self.count)
        coalitions = min(self.samples, 1 << players) if self.segments != "quickshift" else self.samples
        return coalitions * at.fills(self.fill)

    def refuse(self, model: Function) -> None:
        from workers.engine.perturbation.segments import chosen
        from workers.engine.perturbation.windows import check_score

        check_score(model, self.score)
        chosen(model, self.segments)

    def explain(self, model: Function, batch: Batch) -> Attribution:
        from workers.engine.perturbation.coalitions import pairs
        from workers.engine.perturbation.games import solved
        from workers.engine.perturbation.surrogate import shapley_regression

        return solved(model, batch, self, pairs, shapley_regression)
