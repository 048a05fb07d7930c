"""Any method, on the model whose logits a temperature divides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.result import Attribution
from workers.methods.fields.held import Attributing, Calibration
from workers.methods.method import Extent, Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class AtTemperature(Method):
    """What a method says of the calibrated model, whose logits are divided by a temperature (S3 3.3).

    Shape and units of the inner method's. Of a logit the attribution is divided by the temperature too, whatever the
    method that is linear in the score; of a probability or log-odds, that of the calibrated one is explained. The info
    has the temperature. Raises MethodNotApplicable for a model whose output is no logits. Source: Guo, Pleiss, Sun,
    Weinberger 2017; S3 3.3, l.423.
    """

    citation = "Guo, Pleiss, Sun, Weinberger 2017, On Calibration of Modern Neural Networks; S3 3.3"
    question = "What does the explanation look like for the model that is as sure as it should be?"
    needs = frozenset({"graph"})

    of: Attributing = Field(default="deep_lift", description="The method that explains.")  # type: ignore[assignment]  # validated from its name
    temperature: float = Field(
        default=1.0, gt=0, le=1e3, description="What logits are divided by, where `fitted` names no other."
    )
    fitted: Calibration | None = Field(
        default=None, description="A `temperature` over a labelled dataset: the one that it finds is taken."
    )

    def passes(self, at: Extent, /) -> int:
        return self.of.passes(at)

    def refuse(self, model: Model) -> None:
        from workers.methods.nested.attributions import refuse
        from workers.methods.uncertainty.at_temperature.compute import check

        check(model)
        refuse(model, (self.of,))

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.methods.uncertainty.at_temperature.compute import scaled

        value = self.temperature
        if self.fitted is not None:
            value = float(batch.resources.state(model, self.fitted)["scores"])
        calibrated, wanted = scaled(model, value), model.resolve(batch)
        own = type(batch)(batch.x, wanted, [getattr(self.of, "seed", 0)] * len(batch), batch.report,
                          resources=batch.resources)  # fmt: skip
        found = self.of.explain(calibrated, own)
        told = found.info or [{}] * len(batch)
        return Attribution(found.arrays, found.checks, [{**row, "temperature": value} for row in told])
