"""LIME: a linear model of the score around the input, in its segments."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.perturbation import DESCRIPTION, Baseline, FillValue, Score, SegmentCount, Segments
from workers.explanation.result import Attribution
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function


class Lime(Method):
    """The weights of a ridge regression of the score on which segments are shown, the others being filled.

    Each place holds its segment's weight: one channel, the input's places; units of score. `segments` numbers the
    segments, `standard_error` holds the sampling error of each weight; `r2` says how linear the score is.
    Source: Ribeiro, Singh, Guestrin 2016; S4 l.6960ff.
    """

    citation = "Ribeiro, Singh, Guestrin 2016, Why Should I Trust You?; book ch. 22.2.1"
    places = True
    question = "Which segments carry the score, in a linear model of it around this input?"
    cost = "thousands of passes"
    averages_background = True
    reduced = True

    segments: Segments = None
    count: SegmentCount = 50
    samples: int = Field(default=1000, ge=10, le=20000, description="Random choices of segments that are scored.")
    kernel: float = Field(
        default=0.25, gt=0, le=100, description="Width of the kernel over the cosine distance to the whole input."
    )
    alpha: float = Field(default=1.0, ge=0, le=1e6, description="Strength of the ridge penalty.")
    fill: Baseline = Field(default="zero", description=DESCRIPTION)
    value: FillValue = 0.0
    score: Score = "logit"
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        return self.samples * at.fills(self.fill)

    def refuse(self, model: Function) -> None:
        from workers.engine.perturbation.segments import chosen
        from workers.engine.perturbation.windows import check_score

        check_score(model, self.score)
        chosen(model, self.segments)

    def explain(self, model: Function, batch: Batch) -> Attribution:
        from workers.engine.perturbation.coalitions import halves
        from workers.engine.perturbation.games import solved
        from workers.engine.perturbation.surrogate import local_linear

        return solved(model, batch, self, halves, partial(local_linear, kernel=self.kernel, alpha=self.alpha))
