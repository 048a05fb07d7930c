"""DeepDream: the input, with what a layer sees in it drawn into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.result import Synthesis
from workers.methods.method import Extent, Method, Seed, SpatialLayer

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class DeepDream(Method):
    """The input moved towards what a layer, or one of its channels, detects in it, from coarse to fine (S3 2.1.2).

    `synthesis` is one image (1, channels, height, width) of the input's size times `enlarge`, in the model's own units,
    within its range where the card gives one; `trace` the objective at every step. The gradient is taken tile by tile,
    each of the size that the model takes, so that memory does not grow with the image. Raises MethodNotApplicable for
    an input that is no image, InvalidParameter for a layer without places or a channel that it has not.
    Source: Mordvintsev et al. 2015.
    """

    one_input = "makes one image over"
    kind = "synthesis"
    citation = "Mordvintsev, Olah, Tyka 2015, Inceptionism: Going Deeper into Neural Networks"
    question = "What does this layer see in the input?"
    needs = frozenset({"gradients"})
    takes_target = False
    cost = "hundreds of passes"
    revision = 2

    layer: SpatialLayer = None
    channel: int | None = Field(
        default=None, ge=0, description="The channel whose mean grows; by default the mean square of the whole layer."
    )
    octaves: int = Field(default=4, ge=1, le=20, description="Sizes of the image, from small to full.")
    ratio: float = Field(default=1.4, gt=1, le=4, description="From one size to the next.")
    enlarge: float = Field(default=1.0, ge=1, le=8, description="Size of the result, as a multiple of the input's.")
    steps: int = Field(default=10, ge=1, le=1000, description="Steps up the gradient at each size.")
    rate: float = Field(
        default=0.01, gt=0, le=1, description="Mean length of a step of each value, as a share of the input's range."
    )
    roll: int = Field(default=16, ge=0, le=512, description="The image is rolled by chance, at most so far either way.")
    noise: float = Field(
        default=0.01, ge=0, le=1, description="Gaussian noise added at each size, as a share of the input's range."
    )
    decay: float = Field(
        default=0.02, ge=0, lt=1, description="Share of what was drawn that is taken off at each step."
    )
    seed: Seed = 0

    def passes(self, _: Extent, /) -> int:
        return round(self.octaves * self.steps * max(1.0, self.enlarge**2))

    def refuse(self, model: Model) -> None:
        from workers.engine.graph.embeddings import check_slope
        from workers.engine.layers.spatial import spatial_layer
        from workers.methods.synthesis.deep_dream.compute import check, check_channel

        check(model.card.input)
        check_slope(model.folded)
        check_channel(spatial_layer(model, self.layer), self.channel)

    def explain(self, model: Model, batch: Batch) -> Synthesis:
        import torch

        from workers.engine.data.preview import Preview
        from workers.engine.layers.spatial import spatial_layer
        from workers.methods.synthesis.deep_dream.compute import Dream, check_channel, octaves

        layer = spatial_layer(model, self.layer)
        check_channel(layer, self.channel)
        sizes = octaves(model.card.input, self.octaves, self.ratio, self.enlarge)
        dream = Dream(
            model, layer, self.channel, sizes, self.steps, self.rate, self.roll, self.noise, self.decay
        )  # fmt: skip
        each, preview = self.octaves * self.steps, Preview(batch)
        images, traces = zip(
            *(
                dream.run(x[None], source, batch.report, row * each, len(batch) * each, preview)
                for row, (x, source) in enumerate(zip(batch.x, batch.generators(), strict=True))
            ),
            strict=True,
        )
        info = {"layer": layer.node.layer, "sizes": [list(size) for size in sizes]}
        arrays = {"synthesis": torch.stack(images), "trace": torch.stack(traces)}
        return Synthesis(arrays, info=[info] * len(batch))
