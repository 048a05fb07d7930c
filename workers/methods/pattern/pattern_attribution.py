"""PatternAttribution: how much each part of the detected signal contributes to the score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.result import Attribution, Check
from workers.methods.fields.held import Patterns
from workers.methods.method import Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class PatternAttribution(Method):
    """The score handed back with weights times fitted patterns, w a, in place of the weights (S2 A.3.3).

    Shape of the input; units of score. A deep Taylor decomposition about the point where the signal is taken away. The
    check `conservation` says how much of the score arrives, and `layers` in the info where the rest was lost: in units
    that are inactive, and in padding. Raises MethodNotApplicable as pattern_fit does. Source: S2 4.3.
    """

    citation = "Kindermans et al. 2018, Learning how to explain neural networks: PatternNet and PatternAttribution"
    question = "How much does each part of the signal, its distractors left out, contribute to the score?"
    needs = frozenset({"graph", "dataset"})

    patterns: Patterns = Field(default="pattern_fit", description="The pattern_fit whose patterns are used.")  # type: ignore[assignment]  # validated from its name

    def refuse(self, model: Model) -> None:
        self.patterns.refuse(model)

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.graph.rows import by_row
        from workers.engine.propagation.conservation import Held
        from workers.engine.propagation.patterns import walk

        held, state = Held(), batch.resources.state(model, self.patterns)
        scores, values = walk(model, batch, state, weigh=True, watch=held.watch)
        pairs = zip(scores.tolist(), by_row(values).tolist(), strict=True)
        return Attribution(
            {"attribution": values},
            [(Check("conservation", score, total),) for score, total in pairs],
            [{"layers": layers} for layers in held.rows(len(batch))],
        )
