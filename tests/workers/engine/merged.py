"""Nets whose layers have more than the batch in their first axis, or the batch in another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tests.workers.engine.functions import Call


@dataclass(frozen=True)
class Merged:
    """A net for inputs of a shape; of its module `layer`, `part` is what belongs to one row, made of the raw output.

    The raw output is that of a batch of one row. `channel` is the part's axis of channels.
    """

    module: Callable[[], nn.Module]
    shape: tuple[int, ...]
    layer: str
    part: Callable[[Tensor], Tensor]
    channel: int


def frames(first: bool) -> nn.Module:
    """A convolution of every frame, whose axis lies behind the batch's or, of the frames-first kind, before it."""
    torch.manual_seed(0)
    conv, last = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 3)

    def run(x: Tensor) -> Tensor:
        count, x = x.shape[0], x.transpose(0, 1) if first else x
        seen = torch.relu(conv(x.reshape(count * 3, 1, 5, 5))).mean((2, 3))
        return last(seen.view(3, count, 4).amax(0) if first else seen.view(count, 3, 4).amax(1))  # type: ignore[no-any-return]

    return Call(run, conv, last)


def windows() -> nn.Module:
    """Attention within overlapping windows of a series, as many windows a row as there are."""
    torch.manual_seed(1)
    wide, last = nn.Linear(4, 6), nn.Linear(6, 3)

    def run(x: Tensor) -> Tensor:
        cut = x[:, 0].unfold(1, 4, 2).unsqueeze(2).expand(-1, -1, 2, -1)
        seen = wide(cut.reshape(-1, 2, 4))
        mixed = (seen @ seen.transpose(1, 2)).softmax(-1) @ seen
        return last(mixed.view(x.shape[0], 5, 2, 6).mean((1, 2)))  # type: ignore[no-any-return]

    return Call(run, wide, last)


def both_sides() -> nn.Module:
    """The batch between two axes in one: (2 * rows * 3, 4)."""
    torch.manual_seed(2)
    wide, last = nn.Linear(4, 5), nn.Linear(5, 3)

    def run(x: Tensor) -> Tensor:
        seen = torch.relu(wide(x.transpose(0, 1).reshape(-1, 4)))
        return last(seen.view(2, x.shape[0], 3, 5).sum((0, 2)))  # type: ignore[no-any-return]

    return Call(run, wide, last)


def sequence_first() -> nn.Module:
    """A linear layer and a recurrent one on (time, batch, features)."""
    torch.manual_seed(3)
    wide, recurrent, last = nn.Linear(3, 4), nn.LSTM(4, 5), nn.Linear(5, 3)

    def run(x: Tensor) -> Tensor:
        return last(recurrent(wide(x.transpose(0, 1)))[0][-1])  # type: ignore[no-any-return]

    return Call(run, wide, recurrent, last)


NETS = {
    "frames": Merged(lambda: frames(False), (3, 1, 5, 5), "held.0", lambda y: y, 1),
    "frames first": Merged(lambda: frames(True), (3, 1, 5, 5), "held.0", lambda y: y, 1),
    "windows": Merged(windows, (1, 12), "held.0", lambda y: y, 2),
    "both sides": Merged(both_sides, (2, 3, 4), "held.0", lambda y: y.view(2, 3, 5), 2),
    "sequence first": Merged(sequence_first, (4, 3), "held.0", lambda y: y[:, 0], 1),
}
