"""Guided backpropagation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.method import Method
from workers.result import Attribution

if TYPE_CHECKING:
    from workers.engine.batch import Batch
    from workers.engine.model import Model


class GuidedBackprop(Method):
    """The gradient, but at every rectifier only a positive signal passes, and only where the neuron is active.

    Shape of the input; units of score per unit of input, like the gradient, and no completeness: it sums to nothing in
    particular. The signal starts from one; the seed starts it from the score, which multiplies it where that is
    positive. Raises MethodNotApplicable for a net with activations that are no rectifiers (GELU, leaky ReLU), for which
    the method says nothing. Source: Springenberg et al. 2015; S2 A.2.2; S3 l.124.
    """

    citation = "Springenberg et al. 2015, Striving for Simplicity: The All Convolutional Net"
    question = "Which input pattern do the active neurons that speak for the score respond to?"
    needs = frozenset({"graph"})

    def refuse(self, model: Model) -> None:
        from workers.engine.rules.activation import Guided, rectified

        rectified(model.folded, Guided(), self.name)

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.backward import propagate
        from workers.engine.rules.activation import Guided, rectified

        rules = rectified(model.folded, Guided(), self.name)
        _, start = model.start(batch)
        return Attribution({"attribution": propagate(model.tape(batch), start, lambda at: rules[at.node.index])[0]})
