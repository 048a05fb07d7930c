"""Implementation invariance: whether two models of one function get one explanation."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from workers.explanation.result import Scores
from workers.methods.fields.judged import PAIR, UNLESS_DATASET, Judged, Noise, Over
from workers.methods.method import Extent, Method, ModelName, Seed

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function
    from workers.engine.model.resources import Items, Resources

SPLIT = "the graph of the model, whose neurons are split, or `other`"


class ImplementationInvariance(Method):
    """By how much the explanation differs between two implementations of the same function (S4 13.3.3).

    `scores` is |R - R'| / |R|, Euclidean: 0 for a method that knows the function alone, and for what is rounding.
    `first` and `second` are the two scores. The second implementation is a model named, or this one with every hidden
    neuron split in copies with outgoing weights w + t and -t (S4 Fig. 13.6). Raises InvalidParameter where the two
    functions differ. Source: S4 13.3.3.
    """

    kind = "scores"
    citation = "Sundararajan et al. 2017, Axiomatic attribution for deep networks; book ch. 13.3.3"
    question = "Does the explanation depend on how the function is built, or on the function alone?"
    takes_input: ClassVar[bool] = UNLESS_DATASET
    revision = 3

    of: Judged = PAIR  # type: ignore[assignment]  # validated from their names
    dataset: Over = None
    other: ModelName | None = Field(
        default=None, description="A served model of the same function; by default this one with its neurons split."
    )
    theta: float = Field(
        default=10.0, ge=0, le=1e4, description="t of a split, in standard deviations of the layer's weights."
    )
    noise: Noise = 0.01
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        one = 2 * sum(method.passes(at) for method in self.of) + 2
        return one * at.items(self.dataset)

    def refuse(self, model: Function) -> None:
        from workers.methods.nested import split_neurons
        from workers.methods.nested.attributions import refuse

        refuse(model, self.of)
        if self.other is None:
            split_neurons.check(self.graph_of(model, SPLIT))

    def explain(self, model: Function, batch: Batch) -> Scores:
        from workers.engine.perturbation.ties import untied
        from workers.explanation.inputs import has_ids
        from workers.methods.evaluation.implementation_invariance.reimplementation import differences
        from workers.methods.nested.attributions import refuse
        from workers.methods.nested.evaluation import judge
        from workers.methods.nested.other_models import counterpart
        from workers.methods.nested.resources import Refitted
        from workers.methods.nested.split_neurons import split

        resources: Resources = Refitted(batch.resources)
        noise = self.noise
        other: Function
        if self.other is None:
            other, layers = split(self.graph_of(model, SPLIT), self.theta)
        else:
            (other, resources), layers = counterpart(model, batch, self.other, "/method/other"), []
            noise = 0.0 if has_ids(model.card.input) else noise  # on one model's vectors it is none of the other's
        refuse(other, self.of)

        def measure(rows: Batch, _: Items | None) -> dict[str, Tensor]:
            return differences(model, other, resources, untied(model, rows, noise), self.of)

        about = {"better": "lower", "measure": "relative difference", "split": layers}
        return judge(model, batch, self, measure, about)
