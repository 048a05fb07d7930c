"""Layer-wise relevance propagation on the exported graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from workers.explanation.composite import Choices, Gate, NamedGate, Pooling, Units
from workers.explanation.result import Attribution, Check
from workers.methods.fields.composites import PRESETS, Preset, Table
from workers.methods.method import Method

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class Lrp(Method):
    """Relevance handed back from the target's score, layer by layer, by each node's rule (S4 ch. 10, l.3431).

    Shape of the input, or of the layer `to`; units of score. Conservation: it sums to the score, less what biases and
    stabilisers absorb; the check says how much that is, and `layers` in the info says where. Source: Bach et al. 2015;
    Montavon et al. 2019; conditional relevance: Achtibat et al. 2023.
    """

    citation = "Bach et al. 2015, On Pixel-Wise Explanations; Montavon et al. 2019, book ch. 10"
    question = "Which input features carry the score, when every layer hands its relevance on to what caused it?"
    needs = frozenset({"graph"})
    revision = 2
    reduced = True

    composite: Preset | Table = Field(
        default="epsilon_plus_flat",
        description="Which rule for which layer: a preset, or an ordered table whose first matching entry holds.",
    )
    head: Literal["logit", "log_odds"] = Field(
        default="logit",
        description="Start from the target's own value, or from the log-odds of the class; that relevance sums to the "
        "log-odds plus the entropy among the other classes.",
    )
    pooling: Pooling = Field(
        default="winner_take_all",
        description="How maximum pooling shares relevance: all to the maximum, or in proportion to the values it read "
        "(meant for values of one sign; of values that nearly cancel each gets much more than there is).",
    )
    gate: Gate = Field(
        default="all",
        description="How a product of two values shares relevance: all to the signal, none to the gate; or to both, in "
        "proportion to what they were before their activations, to the size of that, or half each (S4 table 11.1).",
    )
    gates: tuple[NamedGate, ...] = Field(
        default=(),
        max_length=50,
        description="Which factor of which product is the gate, where `gate` is all; the first that matches holds. A "
        "product that none names goes by its form: squashed values, attention weights and sizes are gates.",
    )
    stabiliser: float | None = Field(
        default=None,
        ge=0,
        le=1e3,
        description="Added to the denominators of `gate` prop (with their sign) and abs, as .001 or .2 in S4 11.4; the "
        "epsilon of the composite where not given.",
    )
    to: str = Field(
        default="input", max_length=300, description="Where relevance is read: the input, or a layer by its name."
    )
    units: tuple[Units, ...] = Field(
        default=(), max_length=50, description="Conditional relevance: of these layers, only these channels pass any."
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

    @property
    def choices(self) -> Choices:
        """How relevance passes nodes that the composite is not about."""
        return Choices(self.pooling, self.gate, self.gates, self.stabiliser)

    def refuse(self, model: Model) -> None:
        from workers.engine.propagation.channel_masks import masks
        from workers.methods.lrp.lrp.class_head import check_log_odds

        model.check_start()
        model.check_rules(self.table, self.choices, model.layer(self.to).index)
        masks(model, self.units)
        if self.head == "log_odds":
            check_log_odds(model)

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.graph.rows import by_row
        from workers.engine.propagation.channel_masks import masks
        from workers.engine.propagation.conservation import Held

        expected, start, told = self._start(model, batch)
        to, held = model.layer(self.to).index, Held()
        through = masks(model, self.units)
        values = model.relevance(batch, start, self.table, [to], through, held.watch, self.choices)[to]
        sums = by_row(values.double()).tolist()
        checks = [(Check("conservation", want, have),) for want, have in zip(expected, sums, strict=True)]
        rules = model.rules_by_layer(self.table, self.choices)
        return Attribution(
            {"attribution": values},
            checks,
            [{"rules": rules, "layers": at, **more} for at, more in zip(held.rows(len(batch)), told, strict=True)],
        )

    def _start(self, model: Model, batch: Batch) -> tuple[list[float], dict[int, Tensor], list[dict[str, float]]]:
        """The sum of each row's relevance as the theory has it, what it starts from, and what is told of a head."""
        from workers.methods.lrp.lrp.class_head import log_odds

        if self.head == "log_odds":
            sums, start, odds = log_odds(model, batch)
            return sums, start, [{"log_odds": each} for each in odds]
        scores, ones = model.start(batch)
        start = {index: one * model.tape(batch).values[index] for index, one in ones.items()}
        return scores.tolist(), start, [{}] * len(batch)
