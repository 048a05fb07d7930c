"""DeepLIFT: differences from a baseline, handed back node by node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from workers.explanation.perturbation import DESCRIPTION, Baseline
from workers.explanation.result import Attribution, Check
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model

Rule = Literal["rescale", "none", "linear", "reveal_cancel", "linear_rescale", "linear_reveal_cancel"]


class DeepLift(Method):
    """Each feature's share of f(input) - f(baseline), every unit's difference shared among its inputs (S4 9.18).

    Shape of the input; units of score. Completeness: with rescale and reveal_cancel it sums to that difference, through
    products, softmax and normalisation too; the check says by how much the sum misses it. Raises MethodNotApplicable
    naming the node that no rule is known for. Source: Shrikumar, Greenside, Kundaje 2017; S3 2.2.6, Fig. 14.
    """

    citation = (
        "Shrikumar, Greenside, Kundaje 2017, Learning Important Features Through Propagating Activation Differences"
    )
    question = (
        "Which features made the score differ from the baseline's, each unit's difference shared among its inputs?"
    )
    needs = frozenset({"graph"})
    reduced = True

    rule: Rule = Field(
        default="rescale",
        description="How nonlinearities pass a difference on: rescale, in proportion; reveal_cancel, positive and "
        "negative contributions apart; none, by the gradient, which sums to the difference in affine models only. The "
        "Linear rule changes something only where positive and negative contributions are kept apart, and is part of "
        "reveal_cancel: so linear is none, linear_rescale is rescale, linear_reveal_cancel is reveal_cancel.",
    )
    baseline: Baseline = Field(default="zero", description=DESCRIPTION)
    value: float = Field(default=0.0, description="The value of a constant baseline.")
    seed: Seed = 0

    def passes(self, _: Extent, /) -> int:
        return 2

    def refuse(self, model: Model) -> None:
        from workers.methods.gradient.deep_lift.assign import assign

        model.check_start()
        if self._mode != "gradient":
            assign(model.folded, model.ends)

    @property
    def _mode(self) -> Literal["gradient", "rescale", "reveal_cancel"]:
        if self.rule in ("none", "linear"):
            return "gradient"
        return "rescale" if self.rule in ("rescale", "linear_rescale") else "reveal_cancel"

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.graph.rows import by_row
        from workers.engine.model import target_masks
        from workers.engine.perturbation.baselines import baseline
        from workers.methods.gradient.deep_lift.assign import multipliers
        from workers.methods.gradient.deep_lift.baseline_pass import contrast

        begin = baseline(model, batch, self.baseline, self.value)
        pair = contrast(model, batch, begin)
        scores, start = model.start(batch)
        values = multipliers(pair, start, self._mode) * (batch.x - begin)
        expected = scores.double() - target_masks.scores(start, model.folded, pair.base).double()
        sums = by_row(values.double())
        checks = [(Check("completeness", *both),) for both in zip(expected.tolist(), sums.tolist(), strict=True)]
        return Attribution({"attribution": values}, checks)
