"""The switched linear projection of any unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from workers.explanation.result import Attribution, Check
from workers.methods.method import Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class SwitchedProjection(Method):
    """A unit of a piecewise linear net as the one linear projection v = x . w + b that it computes for this input (S0).

    Shape of the input; `weights` in units of score per unit of input, `decomposition` w (x - c) in units of score,
    `centre` c in units of the input. The check `exactness` says by how much x . w + b misses v; both are in the info.
    Raises MethodNotApplicable for a net that is not piecewise linear, naming the layer. Source: S0 section 3, eq. 2-6.
    """

    citation = (
        "Switched linear projections and inactive state sensitivity for deep neural network interpretability, 2019"
    )
    question = "Which linear function of the input does this unit compute, with the net switched as this input has it?"
    needs = frozenset({"gradients", "graph"})

    show: Literal["weights", "decomposition", "centre"] = Field(
        default="weights",
        description="The switched weights w; the contributions w (x - c), which sum to v; or the centre c, the nearest "
        "point at which the unit, so switched, is zero.",
    )

    def refuse(self, model: Model) -> None:
        from workers.engine.propagation.piecewise_linear import check

        model.check_start()
        check(model)

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.graph.rows import by_row
        from workers.engine.propagation.piecewise_linear import project

        found = project(model, batch)
        values = {
            "weights": lambda: found.weights,
            "decomposition": lambda: found.weights * found.offset(),
            "centre": lambda: batch.x - found.offset(),
        }[self.show]()
        projected = by_row(batch.x * found.weights) + found.bias
        rows = zip(found.activity.tolist(), projected.tolist(), found.bias.tolist(), found.size.tolist(), strict=True)
        checks, info = [], []
        for activity, observed, bias, size in rows:
            checks.append((Check("exactness", activity, observed),))
            info.append({"activity": activity, "bias": bias} | ({} if size else {"note": NOTE}))
        return Attribution({"attribution": values}, checks, info)


NOTE = "no path from the input to this unit is switched on: its weights are zero, and it has no centre"
