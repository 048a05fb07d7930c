"""DeepDream: what a layer sees in an input is drawn into it, octave by octave (S3 2.1.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from workers.engine.data.initial_inputs import span
from workers.engine.data.preview import Preview
from workers.engine.layers.spatial import Spatial
from workers.engine.model.batch import Report
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidParameter, MethodNotApplicable, methods

SMALLEST = 1e-12


@dataclass(frozen=True)
class Dream:
    """How an image is dreamed on; lengths and noise are shares of the input's range."""

    model: Model
    layer: Spatial
    channel: int | None
    sizes: tuple[tuple[int, int], ...]
    steps: int
    rate: float
    roll: int
    noise: float
    decay: float

    def run(
        self, x: Tensor, source: torch.Generator, report: Report, done: int, total: int, preview: Preview
    ) -> tuple[Tensor, Tensor]:
        """One image (1, c, h, w) at the last octave's size, and the objective at each step, (octaves * steps)."""
        width, bounds = span(self.model), self.model.range()
        detail, trace = torch.zeros_like(x), []
        for size in self.sizes:
            plain = resized(x, size)
            drawn = torch.randn(plain.shape, generator=source).to(plain)
            canvas = plain + resized(detail, size) + self.noise * width * drawn
            for _ in range(self.steps):
                value, slope = self.slope(canvas, self._moves(source))
                slope = slope / slope.abs().mean().clamp(min=SMALLEST)
                canvas = canvas + self.rate * width * slope - self.decay * (canvas - plain)
                canvas = canvas.clamp(*bounds) if bounds else canvas
                trace.append(value)
                done += 1
                preview(partial(Tensor.detach, canvas))
                report(done, total, "steps")
            detail = canvas - plain
        return canvas, torch.stack(trace)

    def slope(self, canvas: Tensor, moves: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The mean objective of the canvas's tiles and its gradient, with the canvas rolled by that much.

        A tile is of the model's input's size; those that do not fit go round the canvas's edge, and a place that
        several show has the mean of their gradients.
        """
        tiles = [(rows, columns) for rows in self._spans(canvas, 2, moves) for columns in self._spans(canvas, 3, moves)]
        slope, seen = torch.zeros_like(canvas), torch.zeros_like(canvas[:, :1])
        values = []
        for at in range(0, len(tiles), self.model.chunk):
            part = tiles[at : at + self.model.chunk]
            leaf = torch.cat([canvas[:, :, r[:, None], c] for r, c in part]).requires_grad_()
            with torch.enable_grad():
                value = self.objective(leaf)
            values.append(value.detach())
            for (r, c), found in zip(part, torch.autograd.grad(value.sum(), leaf)[0], strict=True):
                _add(slope, r, c, found)
                _add(seen, r, c, torch.ones_like(found[:1]))
        return torch.cat(values).mean(), slope / seen

    def objective(self, x: Tensor) -> Tensor:
        """Of each input half the mean square of the layer, or the mean of its channel, (n,)."""
        index = self.layer.node.index
        value = self.layer.ordered(self.model.folded.run(x, [index])[1][index])
        if self.channel is None:
            return value.square().flatten(1).mean(1) / 2
        return value[:, self.channel].flatten(1).mean(1)

    def _moves(self, source: torch.Generator) -> tuple[int, int]:
        down, right = torch.randint(-self.roll, self.roll + 1, (2,), generator=source).tolist()
        return down, right

    def _spans(self, canvas: Tensor, axis: int, moves: tuple[int, int]) -> Iterator[Tensor]:
        """The places along one axis that each row of tiles shows."""
        size, side = canvas.shape[axis], self.model.card.input.shape[axis - 1]
        for start in range(0, size, side):
            yield (torch.arange(start, start + side, device=canvas.device) + moves[axis - 2]) % size


def _add(canvas: Tensor, rows: Tensor, columns: Tensor, values: Tensor) -> None:
    """Add values (c, k, l) to the canvas (1, c, h, w) at those rows and columns, each as often as it is named."""
    canvas.permute(2, 3, 0, 1).index_put_(
        (rows[:, None], columns), values.permute(1, 2, 0)[:, :, None], accumulate=True
    )


def octaves(spec: InputSpec, count: int, ratio: float, enlarge: float) -> tuple[tuple[int, int], ...]:
    """The sizes of the canvas, smallest first; the last is the input's, times `enlarge`."""
    height, width = (side * enlarge for side in spec.shape[1:])
    shares = [ratio**-k for k in reversed(range(count))]
    return tuple((max(1, round(height * share)), max(1, round(width * share))) for share in shares)


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    return x if x.shape[2:] == size else interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)


def check(spec: InputSpec) -> None:
    """Raise MethodNotApplicable for what is no image."""
    if len(spec.shape) != 3 or spec.channel_axis != 0:
        raise MethodNotApplicable(
            f"deep_dream works on images, channels first, and this model's input has the shape {list(spec.shape)}",
            pointer="/method",
            instead=methods("activation_maximization"),
        )


def check_channel(layer: Spatial, channel: int | None) -> None:
    """Raise InvalidParameter for a channel that the layer has not."""
    count = layer.channels
    if channel is not None and channel >= count:
        raise InvalidParameter(
            f"the layer {layer.node.layer} has the channels 0 to {count - 1}", pointer="/method/channel"
        )
