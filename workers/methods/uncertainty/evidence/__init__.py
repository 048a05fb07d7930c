"""Evidential heads: belief in each class, and what is left unsaid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.explanation.result import Check, Scores
from workers.methods.method import Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function


class Evidence(Method):
    """Belief masses b_k = e_k / S and uncertainty u = K / S of an evidential head, S the sum of e_k + 1 (S3 eq. 26-29).

    `scores` are the beliefs (classes); `probability` the Dirichlet's mean, (e_k + 1) / S, and `std` its standard
    deviation. The info gives u, S and the classes, best first; the check that beliefs and u sum to 1. Evidence below 0,
    which a head without a rectifier can give, counts as none. Raises MethodNotApplicable for an output that is no list
    of evidence. Source: Sensoy, Kaplan, Kandemir 2018; S3 3.2.
    """

    kind = "scores"
    citation = "Sensoy, Kaplan, Kandemir 2018, Evidential Deep Learning to Quantify Classification Uncertainty"
    question = "How much of the model's opinion is belief in a class, and how much says: I do not know?"
    takes_target = False

    def refuse(self, model: Function) -> None:
        from workers.methods.uncertainty.evidence.compute import check

        check(model)

    def explain(self, model: Function, batch: Batch) -> Scores:
        from workers.methods.uncertainty.evidence.compute import opinion

        self.refuse(model)
        found = opinion(model.outputs(batch))
        masses = (found.belief.double().sum(1) + found.uncertainty.double()).tolist()
        info = [
            {
                "uncertainty": float(found.uncertainty[row]),
                "strength": float(found.strength[row]),
                "classes": [
                    {"index": i, "label": model.card.label(i), "belief": float(found.belief[row, i])}
                    for i in found.belief[row].argsort(descending=True, stable=True)[:10].tolist()
                ],
            }
            for row in range(len(batch))
        ]
        arrays = {"scores": found.belief, "probability": found.probability, "std": found.std}
        return Scores(arrays, [(Check("belief_and_uncertainty", 1.0, mass),) for mass in masses], info)
