"""Network dissection: the concepts that the channels of a layer detect, by the overlap of what both pick out.

Three passes over the data, in memory that does not grow with it: two for each channel's threshold, one for overlaps
(S4 ch. 12).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from workers.engine.data.streaming import Accumulator, items, nonempty
from workers.engine.layers.spatial import Spatial
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidDataset
from workers.methods.structure.dissection.streaming_quantiles import Histogram, threshold

AT_ONCE = 2**22  # numbers of upsampled activations


@dataclass
class Overlaps:
    """What each channel picks out, each concept, and both, over the places of the items that count: all (k, c).

    For a concept those items count that show some concept of its category; `alike` (c, c) says which are of one.
    """

    both: Tensor
    channel: Tensor
    concept: Tensor
    alike: Tensor

    def add(self, picked: Tensor, masks: Tensor, part: slice) -> None:
        """Take in some channels of some items: picked (n, k, places) and masks (n, c, places)."""
        counts = (masks.any(2).double() @ self.alike > 0).double()  # (n, c): whether the item counts for the concept
        self.both[part] += torch.einsum("nkp,ncp->kc", picked, masks).double()
        self.channel[part] += picked.sum(2, dtype=torch.float64).T @ counts
        self.concept[part] += masks.sum((0, 2), dtype=torch.float64)

    @property
    def iou(self) -> Tensor:
        """Of every channel and concept the intersection over the union; 0 of what is never picked out."""
        union = self.channel + self.concept - self.both
        return torch.where(union > 0, self.both / union.clamp(min=1), 0.0)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {one.name: getattr(self, one.name).cpu().numpy() for one in fields(self)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        for name, array in arrays.items():
            getattr(self, name).copy_(torch.from_numpy(array))


@dataclass
class _Counted:
    """A histogram that another worker can go on from."""

    of: Histogram

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {"counts": self.of.counts.cpu().numpy()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.of.counts.copy_(torch.from_numpy(arrays["counts"]))


def dissect(model: Model, batch: Batch, layer: Spatial, dataset: str, quantile: float) -> tuple[Tensor, Overlaps]:
    """The threshold of each channel of a layer (k,), and how it overlaps with the concepts of a dataset with masks.

    Raises InvalidDataset for one without masks.
    """
    channels, concepts = layer.channels, _concepts(batch, dataset)
    first = Histogram.of(channels, model.device)
    for part, maps, _ in _maps(model, batch, layer, dataset, _Counted(first), "thresholds"):
        first.add(maps.movedim(1, 0).flatten(1), part)
    most = torch.full((channels,), int(int(first.counts[0].sum()) * quantile), device=model.device)
    second = Histogram.of(channels, model.device, first.bin_above(most)[0])
    for part, maps, _ in _maps(model, batch, layer, dataset, _Counted(second), "finer thresholds"):
        second.add(maps.movedim(1, 0).flatten(1), part)
    above = threshold(first, second, most)
    both, channel, concept = torch.zeros(3, channels, concepts, dtype=torch.float64, device=model.device)
    category = torch.tensor(nonempty(batch, dataset).categories or [0] * concepts, device=model.device)
    found = Overlaps(both, channel, concept, (category[:, None] == category).double())
    for part, maps, masks in _maps(model, batch, layer, dataset, found, "overlaps"):
        shown = masks.flatten(1).any(1)
        picked = maps[shown] > above[part, None, None]
        found.add(picked.flatten(2).float(), masks[shown].flatten(2).float(), part)
    return above, found


def _concepts(batch: Batch, dataset: str) -> int:
    masks = next(nonempty(batch, dataset).batches(1)).masks
    if masks is None:
        raise InvalidDataset(
            f"the dataset {dataset!r} has no masks; dissection needs, for each item, where each concept is seen",
            pointer="/method/dataset",
        )
    return masks.shape[1]


def _maps(
    model: Model, batch: Batch, layer: Spatial, dataset: str, keeping: Accumulator, phase: str
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """The activations of some channels at the size of the masks (n, k, H, W), which they are, and the masks."""
    for found in items(model, batch, dataset, keeping, phase):
        with torch.no_grad():
            index = layer.node.index
            values = layer.ordered(model.folded.run(found.x, [index])[1][index])
        assert found.masks is not None
        masks = found.masks.to(values.device)
        size = masks.shape[2:]
        each = max(1, AT_ONCE // (len(values) * size.numel()))
        for start in range(0, values.shape[1], each):
            part = slice(start, start + each)
            yield part, interpolate(values[:, part], size=size, mode="bilinear", align_corners=False), masks
