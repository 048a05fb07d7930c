"""Expected gradients: integrated gradients from many random baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from workers.explanation.perturbation import SHARE_OF, NoiseOf
from workers.explanation.result import Attribution, Check
from workers.methods.method import DatasetName, Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class ExpectedGradients(Method):
    """The mean over random baselines and points of their lines of the gradient times input minus baseline.

    Shape of the input; units of score. In expectation it sums to f(input) less the mean f(baseline): the check says by
    how much the sum misses that, `completeness_error` how much of it chance explains, and `standard_error` holds the
    error of each value. Raises InvalidParameter for an unknown or empty dataset. Source: Erion et al. 2021; as
    GradientShap, Lundberg, Lee 2017.
    """

    citation = (
        "Erion, Janizek, Sturmfels, Lundberg, Lee 2021, Improving performance of deep learning models with axiomatic "
        "attribution priors and expected gradients; Lundberg, Lee 2017 (GradientShap)"
    )
    question = "How is the difference in score between typical inputs and this one shared among the features?"
    needs = frozenset({"gradients"})
    cost = "hundreds of passes"
    revision = 4
    reduced = True

    samples: int = Field(default=100, ge=1, le=10000, description="Random baselines, each with one point of its line.")
    dataset: DatasetName | None = Field(
        default=None, description="The dataset whose items are the baselines; without one, `noise` is."
    )
    noise: Literal["uniform", "gaussian"] = Field(
        default="uniform",
        description="Baselines where there is no dataset: uniform over the input's range (the row's own where the card "
        "gives none), or the input itself under Gaussian noise.",
    )
    width: float = Field(
        default=0.5,
        gt=0,
        le=10,
        description="Standard deviation of Gaussian noise, as a share of what `noise_of` says.",
    )
    noise_of: NoiseOf = Field(default="range", description=SHARE_OF)
    seed: Seed = 0

    def passes(self, _: Extent, /) -> int:
        return 2 * self.samples

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.methods.gradient.expected_gradients import compute

        sources = batch.generators()
        if self.dataset is not None:
            baselines = compute.from_dataset(model, batch, self.dataset, self.samples, sources)
        elif self.noise == "uniform":
            baselines = compute.uniform(model, batch, sources)
        else:
            baselines = compute.gaussian(model, batch, sources, self.width, self.noise_of)
        found = compute.expect(model, batch, self.samples, sources, baselines)
        sums = found.sums
        return Attribution(
            {"attribution": sums.mean(self.samples), "standard_error": sums.standard_error(self.samples)},
            [(Check("completeness", *pair),) for pair in zip(found.expected, found.observed, strict=True)],
            [{"samples": self.samples, "completeness_error": error} for error in found.errors],
        )
