"""Layer-wise relevance propagation on the exported graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from workers.composite import PRESETS, Preset, Table
from workers.method import Method
from workers.result import Attribution, Check

if TYPE_CHECKING:
    from workers.engine.batch import Batch
    from workers.engine.model import Model


class Lrp(Method):
    """Relevance handed back from the target's score, layer by layer, by each node's rule (S4 ch. 10, l.3431).

    Shape of the input; units of score. Conservation: it sums to the score, less what biases and stabilisers absorb;
    the check says how much that is. Source: Bach et al. 2015; Montavon et al. 2019.
    """

    citation = "Bach et al. 2015, On Pixel-Wise Explanations; Montavon et al. 2019, book ch. 10"
    question = "Which input features carry the score, when every layer hands its relevance on to what caused it?"
    needs = frozenset({"graph"})

    composite: Preset | Table = Field(
        default="epsilon_plus_flat",
        description="Which rule for which layer: a preset, or an ordered table whose first matching entry holds.",
    )

    @field_validator("composite")
    @classmethod
    def _not_empty(cls, composite: Preset | Table) -> Preset | Table:
        if not composite:
            raise ValueError("a composite's table has at least one entry")
        return composite

    @property
    def table(self) -> Table:
        """The composite as its ordered table."""
        return PRESETS[self.composite] if isinstance(self.composite, str) else self.composite

    def refuse(self, model: Model) -> None:
        model.rules(self.table)

    def explain(self, model: Model, batch: Batch) -> Attribution:
        scores, found = model.propagate(batch, self.table)
        values = found[0]
        sums = values.flatten(1).double().sum(1).tolist()
        checks = [(Check("conservation", score, total),) for score, total in zip(scores.tolist(), sums, strict=True)]
        return Attribution({"attribution": values}, checks, [{"rules": model.rules_by_layer(self.table)}] * len(batch))
