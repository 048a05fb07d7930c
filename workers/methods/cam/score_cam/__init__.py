"""Score-CAM: a layer's channels, weighted by the score of the input seen through each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.explanation.result import Attribution
from workers.methods.method import Extent, Method, SpatialLayer

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class ScoreCam(Method):
    """A layer's channels, weighted by the softmax of the scores of the input masked by each channel, rectified.

    A channel's mask is the channel upsampled and scaled to 0..1; the input masked by it goes through the model once.
    One channel, upsampled to the input's size; `map` holds it at the layer's own size. Source: Wang et al. 2020.
    """

    citation = "Wang et al. 2020, Score-CAM"
    question = "Which places does a layer see that by themselves keep the score up, without any gradient?"
    needs = frozenset({"layer"})
    cost = "hundreds of passes"
    reduced = True
    places = True
    revision = 2

    layer: SpatialLayer = None

    def passes(self, at: Extent, /) -> int:
        layer = at.layer(self.layer) or next((one for one in reversed(at.layers) if len(one.shape) > 1), None)
        if layer is None:
            return 501
        return 1 + layer.shape[layer.axes.index("channel") if "channel" in layer.axes else 0]

    def refuse(self, model: Model) -> None:
        from workers.engine.layers.spatial import spatial_layer

        spatial_layer(model, self.layer)

    def speaks_of(self, model: Model) -> frozenset[str]:
        from workers.engine.layers.spatial import inputs_of, spatial_layers

        return inputs_of(spatial_layers(model, self.layer))

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.layers import cam
        from workers.engine.layers.spatial import spatial_layers
        from workers.methods.cam.score_cam.compute import channel_scores

        layers, maps = spatial_layers(model, self.layer), []
        for layer, activations in zip(layers, cam.activations(model, batch, layers), strict=True):
            weights = channel_scores(model, batch, self, layer, activations).softmax(1)
            small = cam.weighted(activations, weights.view(*weights.shape, *[1] * (activations.dim() - 2)))
            maps.append(cam.Small(layer, small))
        drawn = cam.drawn(model, batch, maps, relu=True)
        return Attribution(drawn.arrays, info=drawn.info)
