"""The quality of fitted signal estimators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.result import Scores
from workers.methods.fields.held import Patterns
from workers.methods.method import DatasetName, Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class SignalQuality(Method):
    """How little of a unit's output a linear readout finds in what an estimator leaves of its input (S2 eq. 1).

    `scores` holds, for every layer with weights, the mean over its units of rho = 1 - max_v corr(y, v . (x - S(x))):
    1 where nothing is left; `random` that of random patterns, drawn by `seed`. S is a y as printed, and a (y - E[y]) of
    centred patterns. v is found on `dataset` and rho read on `read_on`: give two that the patterns were not fitted on,
    as the seed does. `layers` in the info names the layers, `left_out` those that are too wide to measure or
    transposed. Raises MethodNotApplicable as pattern_fit does. Source: S2 4.1, 5, Fig. 3.
    """

    kind = "scores"
    citation = "Kindermans et al. 2018, Learning how to explain neural networks: PatternNet and PatternAttribution"
    question = "How good are the fitted patterns: is what they leave of the input free of the unit's output?"
    needs = frozenset({"graph", "dataset"})
    takes_input = False
    takes_target = False
    cost = "thousands of passes"
    revision = 2

    patterns: Patterns = Field(default="pattern_fit", description="The pattern_fit that is measured.")  # type: ignore[assignment]  # validated from its name
    dataset: DatasetName = "training"
    read_on: DatasetName | None = Field(
        default=None,
        description="The dataset that rho is read on; by default that on which v is found, which lowers it by chance: "
        "to 1 - sqrt(d / (N - 1)) for N items of a residual in d dimensions that tells nothing of the output.",
    )
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        return at.items(self.dataset) + (at.items(self.read_on) if self.read_on else 0)

    def refuse(self, model: Model) -> None:
        self.patterns.refuse(model)

    def explain(self, model: Model, batch: Batch) -> Scores:
        import torch

        from workers.methods.pattern.signal_quality.compute import qualities

        state = batch.resources.state(model, self.patterns)
        generator = torch.Generator().manual_seed(self.seed)
        found, left_out = qualities(model, batch, state, self.dataset, self.read_on, generator)
        columns = {"scores": [q.fitted for q in found], "random": [q.random for q in found]}
        layers = [{"layer": q.layer, "units": q.units, "rho": q.fitted, "random": q.random} for q in found]
        return Scores(
            {name: torch.tensor([values]) for name, values in columns.items()},
            info=[{"layers": layers, "left_out": left_out}],
        )
