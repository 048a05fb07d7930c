"""Prediction difference analysis: how the prediction changes when a window of the input is unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from workers.explanation.perturbation import DESCRIPTION, Baseline, FillValue
from workers.explanation.result import Attribution
from workers.methods.method import DatasetName, Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function
    from workers.methods.perturbation.prediction_difference.marginalisation import Fill


class PredictionDifference(Method):
    """The target's score less its mean over what a window could hold, averaged over the windows at a place (S2 B).

    What it could hold is drawn from a dataset: given the window's surroundings, or as the same window of other items;
    without a dataset it is `fill`. One channel, the input's places; in bits of log-odds, or units of score. With
    several samples, `standard_error` holds the error of each value. Raises InvalidParameter for an unknown or empty
    dataset. Source: Zintgraf et al. 2017; S4 9.3.
    """

    one_input = "draws windows anew from what lies around them in one input"
    citation = (
        "Zintgraf, Cohen, Adel, Welling 2017, Visualizing Deep Neural Network Decisions: Prediction Difference "
        "Analysis; book ch. 9.3"
    )
    question = "Which regions speak for the class and which against it, compared with not knowing them?"
    cost = "thousands of passes"
    averages_background = True

    window: int | None = Field(
        default=None, ge=1, le=4096, description="Side of the window; by default a fourteenth of the longest side."
    )
    stride: int | None = Field(
        default=None, ge=1, le=4096, description="Step of the window; by default its side, which leaves no overlap."
    )
    padding: int = Field(
        default=2, ge=0, le=64, description="How far the surroundings of a window reach; of a flat input, everywhere."
    )
    samples: int = Field(default=10, ge=1, le=1000, description="Draws for each window; `fill` is but one.")
    dataset: DatasetName | None = Field(
        default=None, description="The dataset that windows are drawn from; without one they get `fill`."
    )
    sampling: Literal["conditional", "marginal"] = Field(
        default="conditional",
        description="Draw from a Gaussian of patches given the surroundings, or the same window of a random item.",
    )
    fill: Baseline = Field(default="mean", description=DESCRIPTION)
    value: FillValue = 0.0
    score: Literal["weight_of_evidence", "probability", "logit"] = Field(
        default="weight_of_evidence",
        description="What is compared: the log2-odds of the probability, that itself, or the model's own output.",
    )
    instances: int = Field(
        default=1_000_000,
        ge=1,
        le=10**12,
        description="Training examples in the Laplace correction, which keeps log-odds finite: (pN+1) / (N+classes).",
    )
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        return at.windows(self.window, self.stride) * (self.samples if self.dataset else at.fills(self.fill))

    def refuse(self, model: Function) -> None:
        from workers.methods.perturbation.prediction_difference.marginalisation import check

        check(model, self.score)

    def explain(self, model: Function, batch: Batch) -> Attribution:
        from workers.engine.model.outputs import independent
        from workers.engine.perturbation.windows import windows
        from workers.methods.perturbation.prediction_difference import marginalisation
        from workers.methods.perturbation.prediction_difference.patch_gaussians import as_inputs, over_places

        spec, samples = model.card.input, self.samples if self.dataset else self._fills(model)
        x = over_places(batch.x, spec)
        places = windows(x.shape[1:], self.window or (1 if spec.kind == "table" else None), self.stride)
        fill = self._source(model, batch, max(part.stop - part.start for part in places[0]))
        whole, unknown = marginalisation.unknown_scores(model, batch, self, places, fill, samples, self.score)
        classes = 2 if independent(model.card) else max(2, model.card.heads)
        values, parts = marginalisation.compare(whole, unknown, self.score, classes, self.instances)
        maps = [as_inputs(found, spec) for found in marginalisation.spread(values, parts, places, x)]
        arrays = {"attribution": maps[0]} | ({"standard_error": maps[1]} if samples > 1 else {})
        source = self.sampling if self.dataset else "fill"
        return Attribution(arrays, info=[{"windows": len(places), "samples": samples, "source": source}] * len(batch))

    def _fills(self, model: Function) -> int:
        from workers.engine.perturbation.baselines import background

        return len(background(model)) if self.fill == "background" else 1

    def _source(self, model: Function, batch: Batch, side: int) -> Fill:
        from workers.engine.perturbation.baselines import background, baseline
        from workers.methods.perturbation.prediction_difference import marginalisation
        from workers.methods.perturbation.prediction_difference.patch_gaussians import fit, over_places

        if self.dataset is None and self.fill == "background":
            return marginalisation.each_of(over_places(background(model), model.card.input))
        if self.dataset is None:
            return marginalisation.known(
                over_places(baseline(model, batch, self.fill, self.value, asked="fill"), model.card.input)
            )
        if self.sampling == "marginal":
            return marginalisation.marginal(model, batch, self.dataset, self.samples)
        return marginalisation.conditional(model, batch, fit(model, batch, self.dataset, side, self.padding))
