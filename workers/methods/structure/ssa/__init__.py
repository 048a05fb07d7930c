"""Step-wise sensitivity analysis: the graph of the units that a class depends on, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from workers.explanation.result import Graph
from workers.methods.method import DatasetName, Extent, Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class _WithoutDataset:
    """Whether a method looks at the input and target of its job; with a dataset it is told its items and classes."""

    def __get__(self, method: Ssa | None, _: type[Ssa]) -> bool:
        return method is None or method.dataset is None


class Ssa(Method):
    """The units that the target depends on most, those that each of these depends on most, and so on down (S1).

    A step takes the derivative of a unit's mean over places in each unit of the layer below, summed over its places;
    units beyond Tukey's upper fence are outliers, and the most frequent over the inputs are kept. `nodes` in the info
    (layer, unit, frequency from 0 to 1, in_degree from above) and `edges` between their numbers; `frequency` holds that
    of every unit of every layer. Of each step, by the layer that it goes down from: `layer.units` (n,) those that were
    followed, `layer.counts` (n, units below) for how many inputs each unit below was an outlier, chosen or not, and
    `layer.omega` (inputs, n, units below) the derivatives; the units below are those of the layers that `below` in the
    info names, one after the other. With a dataset it takes no input. Raises MethodNotApplicable for a net without
    layers between input and output, InvalidParameter for items that show no such class. Source: S1 Alg. 1.
    """

    kind = "graph"
    citation = "Step-wise sensitivity analysis: identifying partially distributed representations, 2019"
    question = "Which units of each layer does this class build on, and which are shared?"
    needs = frozenset({"graph"})
    cost = "tens of passes"
    revision = 3
    takes_input = _WithoutDataset()
    takes_target = _WithoutDataset()

    dataset: DatasetName | None = Field(
        default=None, description="Look at the items of this dataset together, instead of at one input."
    )
    classes: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(), max_length=100, description="With a dataset: the classes that the graph begins at."
    )
    confidence: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="With a dataset: the least probability of its class that an item counts with; the seed's is 0.99. "
        "Where items have labels, those of other classes never count.",
    )
    images: int = Field(default=100, ge=1, le=1000, description="With a dataset: how many items of each class.")
    branching: int = Field(default=3, ge=1, le=65536, description="How many units below each unit are followed.")
    fence: float = Field(
        default=1.5, ge=0, le=100, description="How many interquartile ranges above the third quartile outliers begin."
    )
    zeros: bool = Field(
        default=False,
        description="Count derivatives of exactly zero in the quartiles, as the paper does. By default they are left "
        "out: units on which there is no path, which would draw the fence to zero.",
    )
    omegas: bool = Field(default=False, description="Give each input's derivatives too, not their counts alone.")
    layers: tuple[Annotated[str, Field(max_length=300)], ...] = Field(
        default=(),
        max_length=1000,
        description="The layers to step between; by default what those with weights read, pooling passed through.",
    )
    score: Literal["logit", "probability"] = Field(
        default="logit",
        description="What the first step goes down from. The logit is what other methods explain, and says nothing of "
        "other classes; but its derivative in the last layer is the same for every input, so that each frequency of "
        "that step is 0 or 1. The seed's is the probability, p_c (w_c - sum_j p_j w_j). Of a unit, and of an output "
        "that is no logits, both are its own value.",
    )

    @model_validator(mode="after")
    def _told_what_to_look_at(self) -> Ssa:
        if (self.dataset is None) != (not self.classes):
            raise ValueError("a dataset and the classes to begin at are given together; without them the target is")
        return self

    def passes(self, at: Extent, /) -> int:
        if self.dataset is None:
            return 2
        items = at.items(self.dataset)
        again = min(items, len(self.classes) * self.images)  # a softmax mixes classes, and is gone through once more
        return items + (again if self.score == "probability" else 0)

    def refuse(self, model: Model) -> None:
        from workers.engine.perturbation.windows import check_score
        from workers.methods.structure.ssa import dependency_graph
        from workers.methods.structure.ssa.walk import steps_between

        check_score(model, self.score)
        dependency_graph.check(model)
        steps_between(model, self.layers, model.folded.nodes[model.folded.output])

    def explain(self, model: Model, batch: Batch) -> Graph:
        import torch

        from workers.engine.data.examples import Choice
        from workers.methods.structure.ssa import dependency_graph
        from workers.methods.structure.ssa.walk import Walk

        walk = Walk(self.branching, self.fence, self.zeros, self.omegas)
        rules = dependency_graph.Rules(self.layers, self.score == "probability", walk)
        if self.dataset is None:
            found = dependency_graph.of_inputs(model, batch, rules)
        else:
            choice = Choice(self.dataset, self.classes, self.confidence, self.images)
            found = [dependency_graph.of_dataset(model, batch, rules, choice)]
        rows = [torch.tensor(dependency_graph.frequencies(model, self.layers, one)) for _, one in found]
        info = [dependency_graph.described(model, *one) for one in found]
        own = [dependency_graph.arrays(model, one) for _, one in found]
        return Graph({"frequency": torch.stack(rows)}, info=info, own=own)
