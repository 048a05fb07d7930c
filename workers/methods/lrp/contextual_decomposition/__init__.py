"""Contextual decomposition: what of the score comes of some steps alone, carried forward beside all else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.result import Attribution, Check
from workers.methods.method import Extent, Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class ContextualDecomposition(Method):
    """Every value in two parts, beta of a phrase of the input and gamma of all else, through every node (S4 11.4).

    A phrase is each step of the input's first axis that is no channel in turn, or that which is asked for. Shape of the
    input: a step's beta is spread evenly over its features, and sums to it; units of score. `beta` and `gamma` (steps,)
    are the parts; the check is that they sum to the score. Linear maps are split as they are and biases apart from
    both; activations by the mean of both orders; of products what holds a factor of the phrase and none of the rest is
    the phrase's. What two biases make is the phrase's in its own steps (Murdoch's rule). Raises MethodNotApplicable
    naming the node that no such rule is known for. Source: Murdoch, Liu, Yu 2018; S4 l.4085, Table 11.2.
    """

    citation = (
        "Murdoch, Liu, Yu 2018, Beyond Word Importance: Contextual Decomposition to Extract Interactions from LSTMs"
    )
    question = "How much of the score do these steps make by themselves, without what they do together with others?"
    needs = frozenset({"graph"})
    cost = "tens of passes"

    phrase: tuple[int, int] | None = Field(
        default=None, description="One phrase: its first step, and the first behind it; by default each step is one."
    )
    axis: int | None = Field(
        default=None,
        ge=-8,
        le=7,
        description="The axis of the input that has the steps, as it is counted without the batch; by default the one "
        "named time, else the first.",
    )
    output_gate: bool = Field(
        default=False,
        description="Split an LSTM's output gate as its others; the paper leaves it whole, having found no gain in it.",
    )

    def passes(self, at: Extent, /) -> int:
        from workers.methods.nested.steps import count

        return 1 + 6 * (1 if self.phrase else count(at.input, self.axis))

    def refuse(self, model: Model) -> None:
        from workers.methods.lrp.contextual_decomposition import compute
        from workers.methods.nested.steps import axis_of

        axis_of(model.card, self.axis)
        compute.check(model)

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.methods.lrp.contextual_decomposition import compute

        found = compute.decomposed(model, batch, self.phrase, self.axis, self.output_gate)
        pairs = zip(found.scores.tolist(), (found.beta + found.gamma).tolist(), strict=True)
        checks = [(Check("beta + gamma", score, max(sums, key=lambda one: abs(one - score))),) for score, sums in pairs]
        arrays = {"attribution": found.maps, "beta": found.beta, "gamma": found.gamma}
        return Attribution(arrays, checks)
