"""Noisy inputs: what the model sees in them, by the class that it takes them for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.perturbation import SHARE_OF, NoiseOf
from workers.explanation.result import Attribution
from workers.methods.fields.held import Attributing
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function


class NoisyInputs(Method):
    """Mean attributions over noisy copies of the input, by the class that each copy is taken for (S3 l.416, Fig. 23).

    Each copy is explained for the class that it is predicted as. `by_class` (classes, *map) holds the mean of each of
    the most frequent classes, told by `classes` and `counts` (of `samples`) in the info; `attribution` the mean over
    all copies, so that sum_c counts_c by_class_c = samples * attribution where every class is there. Raises
    MethodNotApplicable for a model without several classes. Source: S3 3.1, experiment 2.
    """

    citation = "nn_interpretability, section 3.1, experiment 2"
    question = "When noise misleads the model, what does it see instead?"
    cost = "hundreds of passes"
    revision = 2

    of: Attributing = Field(default="deep_lift", description="The method that explains every copy.")  # type: ignore[assignment]  # validated from its name
    samples: int = Field(default=100, ge=1, le=10000, description="Noisy copies of the input; the seed's are 2000.")
    noise: float = Field(
        default=0.3, ge=0, le=10, description="Standard deviation of the noise, as a share of what `noise_of` says."
    )
    noise_of: NoiseOf = Field(default="range", description=SHARE_OF)
    classes: int = Field(default=10, ge=1, le=100, description="How many classes have a map: the most frequent.")
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        return self.samples * (1 + self.of.passes(at))

    def refuse(self, model: Function) -> None:
        from workers.methods.nested.attributions import refuse
        from workers.methods.uncertainty.noisy_inputs.compute import check

        check(model)
        refuse(model, (self.of,))

    def explain(self, model: Function, batch: Batch) -> Attribution:
        from workers.methods.uncertainty.noisy_inputs.compute import observe

        seen = observe(model, batch, self.of, self.samples, self.noise, self.noise_of)
        return Attribution(seen.arrays(self.classes), info=seen.info(self.classes, model.card))
