"""Grad-CAM: a layer's channels, weighted by the target's gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.result import Attribution
from workers.methods.method import Method, SpatialLayer

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class GradCam(Method):
    """A layer's activations summed over channels, each weighted by its mean gradient, then rectified (S3 eq. 25).

    One channel, upsampled to the input's size; `map` holds it at the layer's own size. Source: Selvaraju et al. 2017.
    """

    citation = "Selvaraju et al. 2017, Grad-CAM"
    question = "Where in the image does a layer see what speaks for the target?"
    needs = frozenset({"gradients", "layer"})
    reduced = True
    places = True
    revision = 2

    layer: SpatialLayer = None
    relu: bool = Field(default=True, description="Keep only what speaks for the target; otherwise the signed map.")

    def refuse(self, model: Model) -> None:
        from workers.engine.layers.spatial import spatial_layer

        model.check_start()
        spatial_layer(model, self.layer)

    def speaks_of(self, model: Model) -> frozenset[str]:
        from workers.engine.layers.spatial import inputs_of, spatial_layers

        return inputs_of(spatial_layers(model, self.layer))

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.layers import cam

        maps = cam.small_maps(model, batch, self.layer, cam.mean_gradients)
        drawn = cam.drawn(model, batch, maps, self.relu)
        return Attribution(drawn.arrays, info=drawn.info)
