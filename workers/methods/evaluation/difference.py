"""Difference: what one explanation says beyond another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from workers.explanation.result import Attribution
from workers.methods.fields.held import Attributing
from workers.methods.method import Extent, Method

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function


class Difference(Method):
    """The map of one method less that of another, each scaled as asked (S0 Fig. 13).

    Shape of the input, or one channel where the two maps differ in their channels, which are summed then. The info has
    the size (largest magnitude, of a text that of a token) of both maps before they were scaled. Source: S0 Fig. 13.
    """

    citation = (
        "Switched linear projections and inactive state sensitivity for deep neural network interpretability, 2019"
    )
    question = "Where does one explanation say more than another, and where less?"
    cost = "tens of passes"
    revision = 2

    of: Attributing = Field(default="integrated_gradients", description="The method whose map it is.")  # type: ignore[assignment]  # validated from its name
    less: Attributing = Field(default="input_times_gradient", description="The method whose map is taken off.")  # type: ignore[assignment]  # validated from its name
    scale: Literal["largest", "sum", "none"] = Field(
        default="largest",
        description="Divide each map first by its largest magnitude, by the sum of its magnitudes, or by nothing.",
    )

    def passes(self, at: Extent, /) -> int:
        return self.of.passes(at) + self.less.passes(at)

    def refuse(self, model: Function) -> None:
        from workers.methods.nested.attributions import refuse

        refuse(model, (self.of, self.less))

    def explain(self, model: Function, batch: Batch) -> Attribution:
        from workers.methods.nested.attributions import attributions
        from workers.methods.nested.map_sums import as_stored, as_told
        from workers.methods.nested.ranks import summed_channels

        spec = model.card.input
        maps = [as_told(each, spec) for each in attributions(model, batch, (self.of, self.less))]
        if maps[0].shape != maps[1].shape:
            maps = [summed_channels(each, spec) for each in maps]
        sizes = [each.flatten(1).abs().amax(1).tolist() for each in maps]
        one, other = (self._scaled(each) for each in maps)
        info = [{"size": list(pair)} for pair in zip(*sizes, strict=True)]
        return Attribution({"attribution": as_stored(one - other, spec)}, info=info)

    def _scaled(self, values: Tensor) -> Tensor:
        """The map by its size; one of zeros stays."""
        if self.scale == "none":
            return values
        flat = values.flatten(1).abs()
        size = (flat.amax(1) if self.scale == "largest" else flat.sum(1)).view(-1, *[1] * (values.dim() - 1))
        return values / size.masked_fill(size == 0, 1)
