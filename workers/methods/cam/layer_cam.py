"""Layer-CAM: a layer's activations, each weighted by its own positive gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.explanation.result import Attribution
from workers.methods.method import Method, SpatialLayer

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class LayerCam(Method):
    """A layer's activations times their positive gradients, place by place, summed over channels and rectified.

    One channel, upsampled to the input's size; `map` holds it at the layer's own size, so that lower layers give finer
    maps. Source: Jiang et al. 2021.
    """

    citation = "Jiang et al. 2021, LayerCAM"
    question = "Which places of a layer, a low one too, speak for the target?"
    needs = frozenset({"gradients", "layer"})
    reduced = True
    places = True
    revision = 2

    layer: SpatialLayer = None

    def refuse(self, model: Model) -> None:
        from workers.engine.layers.spatial import spatial_layer

        model.check_start()
        spatial_layer(model, self.layer)

    def speaks_of(self, model: Model) -> frozenset[str]:
        from workers.engine.layers.spatial import inputs_of, spatial_layers

        return inputs_of(spatial_layers(model, self.layer))

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.layers import cam

        maps = cam.small_maps(model, batch, self.layer, lambda at: at.gradients.relu())
        drawn = cam.drawn(model, batch, maps, relu=True)
        return Attribution(drawn.arrays, info=drawn.info)
