"""Any method, averaged over noisy copies of the input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from workers.explanation.perturbation import SHARE_OF, NoiseOf
from workers.explanation.result import Attribution
from workers.methods.method import AnyMethod, Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function


class SmoothGrad(Method):
    """The mean, mean square or variance of a method's attributions under Gaussian noise on the input (S3 eq. 6).

    Shape and units of the inner method's attribution (squared for `square` and `variance`; of a token, of its sum over
    the embedding). `standard_error` holds the standard error of each value of the mean. Source: Smilkov et al. 2017;
    VarGrad: Adebayo et al. 2018.
    """

    citation = "Smilkov et al. 2017, SmoothGrad: removing noise by adding noise; Adebayo et al. 2018 (VarGrad)"
    question = "What does the method say once the noise of a single gradient is averaged away?"
    cost = "tens of passes"
    revision = 4
    reduced = True

    of: AnyMethod = Field(default="gradient", description="The method that is averaged.")  # type: ignore[assignment]  # validated from its name
    samples: int = Field(default=50, ge=1, le=5000, description="Noisy copies of the input.")
    noise: float = Field(
        default=0.15, ge=0, le=10, description="Standard deviation of the noise, as a share of what `noise_of` says."
    )
    noise_of: NoiseOf = Field(default="range", description=f"{SHARE_OF} The seed's is the latter (S3 l.141).")
    reduce: Literal["mean", "square", "variance"] = Field(
        default="mean", description="What is made of the samples; variance is VarGrad."
    )
    seed: Seed = 0

    @field_validator("of")
    @classmethod
    def _attributes(cls, of: Method) -> Method:
        if of.kind != "attribution":
            raise ValueError(f"smooth_grad averages attributions, and {of.name} makes none")
        return of

    def passes(self, at: Extent, /) -> int:
        return self.samples * self.of.passes(at)

    def refuse(self, model: Function) -> None:
        from workers.engine.graph.embeddings import check_slope
        from workers.engine.model.model import Model

        if isinstance(model, Model):
            check_slope(model.folded)
        self.of.refuse(model)

    def explain(self, model: Function, batch: Batch) -> Attribution:
        from workers.methods.gradient.smooth_grad.noisy_copies import sample

        found = sample(model, batch, self.of, self.samples, self.noise, self.noise_of)
        if self.reduce == "mean":
            error = found.standard_error(self.samples)
            return Attribution({"attribution": found.mean(self.samples), "standard_error": error})
        reduced = found.mean_square if self.reduce == "square" else found.variance
        return Attribution({"attribution": reduced(self.samples)})
