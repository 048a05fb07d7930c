"""Integrated gradients along the straight line from a baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from workers.explanation.perturbation import DESCRIPTION, Baseline
from workers.explanation.result import Attribution, Check
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model

Rule = Literal["gauss_legendre", "midpoint", "right"]


class IntegratedGradients(Method):
    """The gradient averaged along the line from the baseline to the input, times their difference (S3 eq. 5).

    Shape of the input; units of score. Completeness: it sums to f(input) - f(baseline), and the check says by how much
    the sum misses that. Source: Sundararajan, Taly, Yan 2017; S4 22.2.
    """

    citation = "Sundararajan, Taly, Yan 2017, Axiomatic Attribution for Deep Networks; book ch. 22.2"
    question = "How is the difference in score between a baseline and this input shared among the features?"
    needs = frozenset({"gradients"})
    cost = "tens of passes"
    reduced = True

    steps: int = Field(default=50, ge=1, le=2000, description="Points on the line.")
    tolerance: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Double the steps until the relative completeness gap is below this, up to max_steps.",
    )
    max_steps: int = Field(default=1600, ge=1, le=20000, description="Where `tolerance` stops doubling.")
    rule: Rule = Field(default="gauss_legendre", description="How the integral is approximated.")
    baseline: Baseline = Field(default="zero", description=DESCRIPTION)
    value: float = Field(default=0.0, description="The value of a constant baseline.")
    times_input: bool = Field(
        default=True, description="Multiply by input minus baseline; otherwise the averaged gradient, with no check."
    )
    seed: Seed = 0

    def passes(self, _: Extent, /) -> int:
        if self.tolerance is None:
            return self.steps + 2
        return 2 * max(self.steps, self.max_steps) + 2  # each doubling runs its points anew

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.perturbation.baselines import baseline
        from workers.methods.gradient.integrated_gradients import compute

        start = baseline(model, batch, self.baseline, self.value)
        found = compute.integrate(model, batch, start, self.rule, self.steps, self.tolerance, self.max_steps)
        values = found.gradients * (batch.x - start) if self.times_input else found.gradients
        return Attribution(
            {"attribution": values},
            [(Check("completeness", *pair),) for pair in zip(found.expected, found.observed, strict=True)],
            [{"steps": steps} for steps in found.steps],
        )
