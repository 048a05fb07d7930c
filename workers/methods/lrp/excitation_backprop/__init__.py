"""Excitation backprop: marginal winning probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.result import Attribution, Check
from workers.methods.method import Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class ExcitationBackprop(Method):
    """How likely each input wins, when the target draws a winner among what excites it, and that one in turn.

    Shape of the input, or of `layer`; probabilities, which sum to 1 where all that is summed is non-negative; the check
    says by how much they miss that. Contrastive, those of the dual unit (the weights of its layer negated) are taken
    away, and what speaks for every target cancels: they sum to 0. From one layer to the next it is the z+ rule. Raises
    MethodNotApplicable for an operation without a rule. Source: Zhang et al. 2018; S4 22.2.2.
    """

    citation = "Zhang et al. 2018, Top-Down Neural Attention by Excitation Backprop"
    question = "Where would a winner-take-all search for what excites the target end up?"
    needs = frozenset({"graph"})
    revision = 2
    reduced = True

    contrastive: bool = Field(
        default=False, description="Take away what speaks against the target: a map that singles it out."
    )
    bias: bool = Field(
        default=False, description="Let positive biases win, too; what they win is lost, and the sum falls below 1."
    )
    layer: str = Field(
        default="input", max_length=300, description="Where the probabilities are read: the input, or a layer."
    )

    def refuse(self, model: Model) -> None:
        from workers.methods.lrp.excitation_backprop.rules import TABLES

        model.check_start()
        model.check_rules(TABLES[self.bias], to=model.layer(self.layer).index)

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.graph.rows import by_row, shares
        from workers.engine.rules.backward import propagate
        from workers.methods.lrp.excitation_backprop.rules import rules

        _, ones = model.start(batch)
        graph = model.folded
        start = {index: shares(one, graph.nodes[index].rows) for index, one in ones.items()}
        to, found = model.layer(self.layer).index, rules(model, self.bias, self.contrastive, start)
        values = propagate(model.tape(batch), start, lambda local: found[local.node.index], [to])[to]
        values = graph.by_row(to, values)
        expected = 0.0 if self.contrastive else 1.0
        checks = [(Check("probability", expected, total),) for total in by_row(values.double()).tolist()]
        return Attribution({"attribution": values}, checks)
