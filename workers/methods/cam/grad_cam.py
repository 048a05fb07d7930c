"""Grad-CAM: a layer's channels, weighted by the target's gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.method import Method
from workers.result import Attribution

if TYPE_CHECKING:
    from workers.engine.batch import Batch
    from workers.engine.model import Model


class GradCam(Method):
    """A layer's activations summed over channels, each weighted by its mean gradient, then rectified (S3 eq. 25).

    One channel, upsampled to the input's size; `map` holds it at the layer's own size. Source: Selvaraju et al. 2017.
    """

    citation = "Selvaraju et al. 2017, Grad-CAM"
    question = "Where in the image does a layer see what speaks for the target?"
    needs = frozenset({"gradients", "layer"})

    layer: str | None = Field(
        default=None, max_length=300, description="The layer whose channels are mapped; else the last spatial one."
    )
    relu: bool = Field(default=True, description="Keep only what speaks for the target; otherwise the signed map.")

    def refuse(self, model: Model) -> None:
        from workers.engine.spatial import spatial_layer

        spatial_layer(model, self.layer)

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.spatial import spatial_layer, upsample

        node = spatial_layer(model, self.layer)
        _, found = model.gradients(batch, to=[node.index])
        activations, gradients = model.tape(batch).values[node.index], found[node.index]
        places = tuple(range(2, activations.dim()))
        small = (activations * gradients.mean(places, keepdim=True)).sum(1, keepdim=True)
        small = small.relu() if self.relu else small
        blank = (small == 0).flatten(1).all(1).tolist()
        return Attribution(
            {"attribution": upsample(small, batch.x), "map": small},
            info=[{"layer": node.layer, **({"note": _BLANK} if is_blank else {})} for is_blank in blank],
        )


_BLANK = "the map is zero everywhere: no channel of this layer speaks for the target; relu=false shows what is against"
