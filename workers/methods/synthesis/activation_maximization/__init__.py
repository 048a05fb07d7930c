"""Activation maximisation: an input made up so that a unit grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from workers.explanation.priors import L2, Expert, Learned, Prior
from workers.explanation.result import Synthesis
from workers.methods.method import DatasetName, Extent, Method, ModelName, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model

Index = Annotated[int, Field(ge=0)]


class Also(BaseModel):
    """Another class, channel or unit that is to grow too, or with a negative weight to shrink."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    of_class: int | Annotated[str, Field(max_length=1000)] | None = Field(
        default=None, description="A class, by its index or label."
    )
    layer: str | None = Field(default=None, max_length=300, description="A layer, with a channel or an index.")
    channel: Index | None = Field(default=None, description="A channel of the layer.")
    index: tuple[Index, ...] | None = Field(default=None, max_length=8, description="One unit of the layer.")
    weight: float = Field(default=1.0, ge=-1e3, le=1e3, description="By which its value counts.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        of_layer = self.of_class is None and self.layer is not None and (self.channel is None) != (self.index is None)
        of_output = self.of_class is not None and (self.layer, self.channel, self.index) == (None, None, None)
        if not (of_layer or of_output):
            raise ValueError("name a class by of_class, or a layer with a channel or an index")
        return self

    @property
    def target(self) -> Any:
        """As a request names a target."""
        if self.of_class is not None:
            return self.of_class
        unit = {"channel": self.channel} if self.index is None else {"index": list(self.index)}
        return {"layer": self.layer, **unit}


class ActivationMaximization(Method):
    """Inputs that a unit, channel or class prefers, found by steps up its gradient under priors (S3 2.1.1; S4 ch. 4).

    `synthesis` holds `count` inputs (count, *shape) in the model's own units, within the input's range where the card
    gives one; `trace` the objective at every step, as the transformed input scored (count, steps). The info gives each
    one's activation at the start and at the end. With a `generator` the code is moved, and its L2 is on the code.
    Raises InvalidTarget for a rank, InvalidParameter for a generator that does not make this model's inputs, and
    MethodNotApplicable for a prior that the input has no places for. Source: S3 eq. 1-2; S4 eq. 4.1-4.7.
    """

    one_input = "makes one input up"
    kind = "synthesis"
    citation = (
        "Erhan et al. 2009; Nguyen, Yosinski, Clune 2019, Understanding Neural Networks via Feature Visualization"
    )
    question = "What input would this unit like best?"
    needs = frozenset({"gradients"})
    takes_input = False
    cost = "hundreds of passes"

    score: Literal["activation", "log_probability"] = Field(
        default="activation",
        description="What grows: the target's own value, or the logarithm of its probability, which takes the others "
        "down with it: of a class among the classes (S4 table 4.1), of a unit of a layer that of a softmax over the "
        "layer's channels (S4 4.4.1), over all places of a channel.",
    )
    also: tuple[Also, ...] = Field(default=(), max_length=20, description="Others that grow or shrink beside it.")
    start: Literal["noise", "mean", "sample", "facets"] = Field(
        default="noise",
        description="Noise, or of the dataset's items of the class the mean, some by chance, or the means of `count` "
        "clusters: one input for each facet of the unit (S4 4.2).",
    )
    dataset: DatasetName | None = Field(default=None, description="Where means and samples come from.")
    generator: ModelName | None = Field(
        default=None, description="A served model that makes inputs of codes: then the code is moved, from noise."
    )
    priors: Annotated[tuple[Prior, ...], Field(max_length=12)] | None = Field(
        default=None,
        description="What keeps it from becoming noise, in the order in which it is applied; by default jitter and "
        "gradient_blur where the input has places, else, and with a generator, l2.",
    )
    steps: int = Field(default=256, ge=1, le=5000, description="Steps up the gradient.")
    rate: float = Field(
        default=0.02, gt=0, le=10, description="Length of the first step, as a share of the range; the last is near 0."
    )
    count: int = Field(default=1, ge=1, le=64, description="How many inputs are made, side by side.")
    diversity: float = Field(
        default=0.0, ge=0, le=1e6, description="Weight of the mean cosine between them, which is taken off."
    )
    seed: Seed = 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        priors = self.priors or ()
        pulled = any(isinstance(prior, Expert) or (isinstance(prior, L2) and prior.to == "mean") for prior in priors)
        if self.dataset is None and (self.start != "noise" or pulled):
            raise ValueError("means, samples, facets and experts are of a dataset; name it by `dataset`")
        if self.start == "mean" and self.count > 1:
            raise ValueError(
                "several inputs that start from one mean stay the same; start from noise, sample or facets"
            )
        if self.generator is not None:
            wrong = [prior.kind for prior in priors if prior.of_pixels]
            if self.start != "noise" or wrong:
                what = f"the prior {wrong[0]} changes" if wrong else f"the start {self.start} is of"
                raise ValueError(
                    f"{what} the input itself, and a generator makes the input from its code; leave it out"
                )
        return self

    def passes(self, at: Extent, /) -> int:
        begin = at.items(self.dataset) if self.dataset else 0
        learned = self.steps * sum(isinstance(prior, Learned) for prior in self.priors or ())
        return begin + ((1 if self.generator is None else 2) * (self.steps + 2) + learned) * self.count

    def refuse(self, model: Model) -> None:
        from workers.engine.graph.embeddings import check_slope
        from workers.methods.synthesis.activation_maximization import maximisation
        from workers.methods.synthesis.activation_maximization.priors import check

        check_slope(model.graph)
        check(self.priors or (), model.card.input)
        for target in model.targets:
            maximisation.check(model, maximisation.named(target), self.score == "log_probability")

    def explain(self, model: Model, batch: Batch) -> Synthesis:
        from workers.methods.synthesis.activation_maximization.maximisation import Wish, make
        from workers.methods.synthesis.activation_maximization.priors import usual

        priors = usual(model.card.input, self.generator is not None) if self.priors is None else self.priors
        also = tuple((one.target, one.weight) for one in self.also)
        wish = Wish(
            also, self.score == "log_probability", self.start, self.dataset, self.generator, priors, self.steps,
            self.rate, self.count, self.diversity,
        )  # fmt: skip
        made = make(model, batch, wish)
        return Synthesis({"synthesis": made.x[None], "trace": made.trace[None]}, info=[made.info])
