"""PatternNet: the signal that the net detects, projected back to the input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.result import Attribution
from workers.methods.fields.held import Patterns
from workers.methods.method import Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class PatternNet(Method):
    """The score handed back like a gradient, with each unit's fitted pattern in place of its weights (S2 A.2.3).

    Shape and units of the input: an estimate of the signal that made the score. Sums are neurons like others, averages
    and pooling hand back their gradient. Raises MethodNotApplicable as pattern_fit does. Source: S2 4.3.
    """

    citation = "Kindermans et al. 2018, Learning how to explain neural networks: PatternNet and PatternAttribution"
    question = "Which signal in the input is it that drives the score?"
    needs = frozenset({"graph", "dataset"})

    patterns: Patterns = Field(default="pattern_fit", description="The pattern_fit whose patterns are used.")  # type: ignore[assignment]  # validated from its name

    def refuse(self, model: Model) -> None:
        self.patterns.refuse(model)

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.propagation.patterns import walk

        _, values = walk(model, batch, batch.resources.state(model, self.patterns), weigh=False)
        return Attribution({"attribution": values})
