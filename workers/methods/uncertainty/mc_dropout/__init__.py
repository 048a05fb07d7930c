"""Monte Carlo dropout: how sure the model is of what a method says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from workers.explanation.result import Attribution
from workers.methods.fields.held import Attributing
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class McDropout(Method):
    """Mean and standard deviation of a method's attributions over passes with the net's dropout on (S3 3.1).

    `attribution` and `std` are those of the target, shaped as the inner method's. By class (`classes` in the info, the
    target's among them): `by_class` and `by_class_std`, (classes, *map), `outputs` what every sample said of them,
    (samples, classes); `predicted` counts the samples that each class won. Approach `predicted` explains the class that
    the sample itself predicts (the seed's approach 1; times `predicted`, its sums), `all` every class of every sample
    (Algorithm 1, one pass shared by the classes). The info tells entropy and mutual information of logits, in nats.
    Raises MethodNotApplicable where the exported graph holds no dropout.
    Source: Gal, Ghahramani 2016; S3 3.1, Algorithm 1.
    """

    citation = "Gal, Ghahramani 2016, Dropout as a Bayesian Approximation; nn_interpretability, section 3.1"
    question = "Does the explanation hold when other units are dropped, and which other classes does it waver to?"
    needs = frozenset({"graph"})
    cost = "hundreds of passes"
    revision = 2

    of: Attributing = Field(default="lrp", description="The method whose attributions are sampled.")  # type: ignore[assignment]  # validated from its name
    samples: int = Field(default=100, ge=1, le=10000, description="Passes, each with units dropped by chance.")
    approach: Literal["target", "predicted", "all"] = Field(
        default="target",
        description="Explain the target alone, or besides by class: that which each sample predicts, or all.",
    )
    classes: int = Field(
        default=10, ge=1, le=100, description="How many classes are looked at one by one: the highest, and the target."
    )
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        walks = {"target": 1, "predicted": 2, "all": 1 + self.classes}
        return self.samples * self.of.passes(at) * walks[self.approach]

    def refuse(self, model: Model) -> None:
        from workers.methods.uncertainty.mc_dropout import dropout_model, dropout_passes

        dropout_model.check(model)
        dropout_passes.check(model, self.approach)
        self.of.refuse(model)

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.methods.uncertainty.mc_dropout.dropout_model import Stochastic
        from workers.methods.uncertainty.mc_dropout.dropout_passes import observe

        net = Stochastic(model)
        seen = observe(model, net, batch, self.of, self.samples, self.approach, self.classes)
        return Attribution(seen.arrays(), info=seen.info(model, net))
