"""Insens: what in the input keeps the inactive units of a layer inactive."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from workers.explanation.result import Attribution
from workers.methods.extent import RECTIFIERS, side_by_side
from workers.methods.fields.held import Rates
from workers.methods.method import Extent, Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class Insens(Method):
    """The sum or mean over a layer's inactive units of v / (w . w) w, weighted by how often each is active elsewhere.

    v and w are a unit's activity and switched weights, so that the term is the input as that unit sees it from its
    centre. The mean is over all inactive units, also those that are never active and add nothing. Shape and units of
    the input. Raises MethodNotApplicable for a net that is not piecewise linear up to the
    layer, naming the node, or has no ReLU; InvalidParameter for a layer that is not rectified. Source: S0 eq. 7, 8.
    """

    citation = (
        "Switched linear projections and inactive state sensitivity for deep neural network interpretability, 2019"
    )
    question = "Which pattern in the input keeps the silent units of this layer silent?"
    needs = frozenset({"gradients", "graph", "layer", "dataset"})
    takes_target = False
    cost = "thousands of passes"
    revision = 2

    layer: str | None = Field(
        default=None, max_length=300, description="A layer followed by a ReLU; by default the last such layer."
    )
    rates: Rates = Field(default="activation_rates", description="The activation_rates that weight the units.")  # type: ignore[assignment]  # validated from its name
    include_active: bool = Field(default=False, description="Take in the active units too.")
    reduce: Literal["sum", "mean"] = Field(
        default="sum", description="Add the units' terms up, or average them, which compares layers of different size."
    )

    def passes(self, at: Extent, /) -> int:
        layer = at.layer(self.layer) or next((one for one in reversed(at.layers) if one.op in RECTIFIERS), None)
        if layer is None:
            return 1000
        # A walk back from each silent unit, or forward from each place of the input, whichever are fewer; side by side.
        widest = max(math.prod(one.shape) for one in at.layers)
        walks = min(math.prod(layer.shape), math.prod(at.input.shape))
        return 1 + side_by_side(widest) + walks

    def refuse(self, model: Model) -> None:
        from workers.engine.layers import rectified
        from workers.engine.propagation import piecewise_linear

        piecewise_linear.check(model, rectified.rectified_layer(model, self.layer).index)

    def explain(self, model: Model, batch: Batch) -> Attribution:
        import torch

        from workers.engine.layers.rectified import rectified_layer
        from workers.methods.structure.insens.inactive_sensitivity import Layer, insens

        layer = Layer(model, rectified_layer(model, self.layer))
        rates = torch.as_tensor(batch.resources.state(model, self.rates)[layer.node.layer]).to(batch.x)
        found = []
        for row in range(len(batch)):

            def report(done: int, total: int, row: int = row) -> None:
                batch.report(row * total + done, len(batch) * total, "groups of units")

            found.append(insens(layer, batch.x[row : row + 1], rates, self.include_active, report))
        values = torch.cat([one.values for one in found])
        if self.reduce == "mean":
            values = values / values.new_tensor([max(1, one.of) for one in found]).view(-1, *[1] * (values.dim() - 1))
        info = [
            {"layer": layer.node.layer, "units": rates.numel(), "inactive": one.inactive, "summed": one.summed}
            for one in found
        ]
        return Attribution({"attribution": values}, info=info)
