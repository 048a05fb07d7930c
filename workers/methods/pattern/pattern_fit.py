"""Signal estimators, fitted to data: the patterns that PatternNet and PatternAttribution walk back by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from workers.explanation.result import State
from workers.methods.method import DatasetName, Extent, Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class PatternFit(Method):
    """For each unit of each linear layer the direction a in which the signal of its output lies in its inputs (S2 4.3).

    Arrays `layer.positive` and `layer.negative`, or `layer.pattern` where one holds for both signs, shaped like the
    layer's weights, at the length where w . a = 1 (zero for a unit that never varies); of a sum (summands, channels).
    Where centred with two components, `layer.mean` (units,) holds E[y]: the estimator is then a (y - E[y]).
    Biases are no part of y. One pass over the data, in memory that does not grow with it. Raises MethodNotApplicable,
    naming the node, for a net with more than linear neurons, ReLUs and pooling. Source: S2 eq. 3-8; Haufe et al. 2014.
    """

    kind = "state"
    citation = "Kindermans et al. 2018, Learning how to explain neural networks: PatternNet and PatternAttribution"
    question = "In which direction of its inputs does the signal lie that a unit detects?"
    needs = frozenset({"graph", "dataset"})
    takes_input = False
    takes_target = False
    cost = "thousands of passes"
    revision = 2

    dataset: DatasetName = "training"
    estimator: Literal["two_component", "linear", "filter", "identity"] = Field(
        default="two_component",
        description="A pattern where the unit is active and one where not; one for both; the weights themselves; or "
        "the input as it is, all of it signal.",
    )
    centred: bool = Field(
        default=True,
        description="two_component: x and y less their means, the case that equation 8 is derived for. As printed it "
        "is biased where the distractor's mean is not zero, and moves with a shift of the input.",
    )

    def passes(self, at: Extent, /) -> int:
        return at.items(self.dataset)

    def refuse(self, model: Model) -> None:
        from workers.engine.layers.linear_units import check

        check(model)

    def explain(self, model: Model, batch: Batch) -> State:
        from workers.engine.propagation.signal_estimators import fit

        found = fit(model, batch, self.dataset, self.estimator, self.centred)
        return State({name: pattern[None] for name, pattern in found.items()})
