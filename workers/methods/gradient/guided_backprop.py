"""Guided backpropagation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.explanation.result import Attribution
from workers.methods.method import Method, SignalStart

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class GuidedBackprop(Method):
    """The gradient, but at every rectifier only a positive signal passes, and only where the neuron is active.

    Shape of the input; units of score per unit of input, like the gradient, times those of the score where the signal
    starts from it; no completeness: it sums to nothing in particular. Gates, norms and every other node hand back
    their own derivative. Raises MethodNotApplicable for a net without a rectifier (one of GELU or leaky ReLU alone).
    Source: Springenberg et al. 2015; S2 A.2.2; S3 l.124.
    """

    citation = "Springenberg et al. 2015, Striving for Simplicity: The All Convolutional Net"
    question = "Which input pattern do the active neurons that speak for the score respond to?"
    needs = frozenset({"graph"})
    reduced = True

    start: SignalStart = "one"

    def refuse(self, model: Model) -> None:
        from workers.engine.rules.rectifiers import Guided, signals

        model.check_start()
        signals(model.folded, Guided(), self.name)

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.rules.backward import propagate
        from workers.engine.rules.rectifiers import Guided, signals

        rules = signals(model.folded, Guided(), self.name)
        begin = model.signal(batch, self.start)
        return Attribution({"attribution": propagate(model.tape(batch), begin, lambda at: rules[at.node.index])[0]})
