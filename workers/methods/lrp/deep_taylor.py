"""Deep Taylor decomposition: every neuron expanded at a root point of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from workers.explanation.composite import Pooling
from workers.explanation.errors import Instead, InvalidParameter, InvalidTarget, methods
from workers.explanation.result import Attribution, Check
from workers.methods.method import Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model
    from workers.engine.rules.entry import Entry


class DeepTaylor(Method):
    """Relevance handed back from a positive score by the z+ rule, each neuron expanded where it would just be silent.

    Shape of the input; units of score; nowhere negative while the input lies within its bounds. It sums to the score,
    less what positive biases take. Raises InvalidTarget for a negative score, for which the method is not defined
    (S4 Fig. 22.5), and MethodNotApplicable for activations that are no rectifiers. Source: Montavon et al. 2017;
    S2 A.3.1; S3 eq. 9-13; first layers: S4 l.3705.
    """

    citation = "Montavon et al. 2017, Explaining nonlinear classification decisions with deep Taylor decomposition"
    question = "Which input features carry a positive score, counting only what speaks for it?"
    needs = frozenset({"graph"})
    revision = 2
    reduced = True

    bounds: Literal["card", "positive", "real"] | tuple[float, float] = Field(
        default="card",
        description="Where inputs lie, which sets the first layer's rule: the range of the model's card or [low, high] "
        "(z_box), positive numbers (z+), or any real numbers (w_square).",
    )

    pooling: Pooling = Field(
        default="winner_take_all",
        description="How maximum pooling shares relevance: all to the maximum, or in proportion to the positive values "
        "that it read.",
    )

    @field_validator("bounds")
    @classmethod
    def _in_order(cls, bounds: str | tuple[float, float]) -> str | tuple[float, float]:
        if not isinstance(bounds, str) and not bounds[0] < bounds[1]:
            raise ValueError("the low bound lies below the high one")
        return bounds

    def refuse(self, model: Model) -> None:
        from workers.engine.propagation.taylor import check_deep

        model.check_start()
        check_deep(model, lambda: self._first(model))

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.graph.rows import by_row
        from workers.engine.propagation.conservation import Held
        from workers.engine.propagation.taylor import deep_rules
        from workers.engine.rules.backward import propagate

        rules, held, tape = deep_rules(model, self._first(model), self.pooling), Held(), model.tape(batch)
        scores, ones = model.start(batch)
        start = {index: one * tape.values[index] for index, one in ones.items()}
        lowest = min(float(values.min()) for values in start.values())
        if lowest < 0:
            raise InvalidTarget(
                f"deep_taylor decomposes a positive score, and it would start from {lowest:.4g} here",
                pointer="/target",
                instead=methods("lrp", "gradient"),
            )
        values = propagate(tape, start, lambda local: rules[local.node.index], watch=held.watch)[0]
        sums, lows = by_row(values.double()).tolist(), values.flatten(1).amin(1).clamp(max=0).tolist()
        return Attribution(
            {"attribution": values},
            [
                (Check("conservation", score, total), Check("non_negative", 0.0, low))
                for score, total, low in zip(scores.tolist(), sums, lows, strict=True)
            ],
            [{"layers": layers} for layers in held.rows(len(batch))],
        )

    def _first(self, model: Model) -> Entry | None:
        """The rule of the layers that read the input; None for that of all others."""
        from workers.engine.rules.named.flat import WSquareEntry
        from workers.engine.rules.named.z_box import ZBoxEntry

        if self.bounds == "positive":
            return None
        if self.bounds == "real":
            return WSquareEntry(where="first", epsilon=0)
        if self.bounds != "card":
            return ZBoxEntry(where="first", low=self.bounds[0], high=self.bounds[1])
        if model.range() is None:
            raise InvalidParameter(
                "the model's card gives no range of the input; say where inputs lie, as bounds=[low, high]",
                pointer="/method/bounds",
                instead=(Instead(parameters={"bounds": "positive"}), Instead(parameters={"bounds": "real"})),
            )
        return ZBoxEntry(where="first")
