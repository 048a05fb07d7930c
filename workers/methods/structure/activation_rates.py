"""How often each unit is active over a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.explanation.result import State
from workers.methods.method import DatasetName, Extent, Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class ActivationRates(Method):
    """The share m_i / N of a dataset's items for which each rectified unit is active (S0 eq. 8, Table 2).

    One array per rectified layer, named for the layer before its ReLU and of its shape; shares from 0 to 1. The info
    holds the number of units, the mean share of them that an input activates (`active`, v > 0, which is what Table 2
    counts), and the share that is active and passed on by max pooling (`passed`: S0's active subnetwork). Raises
    MethodNotApplicable for a net without ReLUs, InvalidParameter for an unknown or empty dataset. Source: S0 l.230.
    """

    kind = "state"
    citation = (
        "Switched linear projections and inactive state sensitivity for deep neural network interpretability, 2019"
    )
    question = "Which units does this data switch on, and how often?"
    needs = frozenset({"graph", "dataset"})
    revision = 2
    takes_input = False
    takes_target = False
    cost = "thousands of passes"

    dataset: DatasetName = "training"

    def passes(self, at: Extent, /) -> int:
        return at.items(self.dataset)

    def refuse(self, model: Model) -> None:
        from workers.engine.layers.rectified import check

        check(model)

    def explain(self, model: Model, batch: Batch) -> State:
        from workers.engine.layers.rectified import activation_rates

        found = activation_rates(model, batch, self.dataset)
        units = sum(one.counts.numel() for one in found)
        layers = {
            one.layer.layer: {
                "units": one.counts.numel(),
                "active": float(one.rates.mean()),
                "passed": one.share_passed,
            }
            for one in found
        }
        of_all = {
            share: sum(layer["units"] * layer[share] for layer in layers.values()) / units
            for share in ("active", "passed")
        }
        info = {"units": units, **of_all, "layers": layers}
        return State({one.layer.layer: one.rates[None] for one in found}, info=[info])
