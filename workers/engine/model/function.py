"""Function: what a model is to those who only ask it, outputs for inputs; where it is computed is not their concern."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

import torch
from torch import Tensor

from workers.engine.copies import moved
from workers.engine.model import prediction, target_masks
from workers.engine.model.batch import Batch, Outputs
from workers.engine.model.chunk_size import fastest
from workers.engine.model.outputs import target_chances
from workers.explanation.card import FULL, InputSpec, ModelCard, Precision
from workers.explanation.inputs import Shapes, given_parts, is_beside
from workers.explanation.target import Target
from workers.explanation.text import Encoder

_look: ContextVar[Callable[[], None] | None] = ContextVar("look", default=None)
SHRUNK_S = 600.0  # memory that was short may be there again


def look() -> None:
    """Raise where the work that this serves is wanted no more; for what waits on something else than this machine."""
    if (asked := _look.get()) is not None:
        asked()


@contextmanager
def looking(ask: Callable[[], None] | None) -> Iterator[None]:
    """What `look` asks meanwhile."""
    token = _look.set(ask)
    try:
        yield
    finally:
        _look.reset(token)


class Function:
    """A model as outputs for inputs, with its card; a subclass says how they are computed.

    `chunk` is how many rows a method with many passes runs at once; it is measured where not given. `rows` is 1 of a
    model that runs a row at a time.
    """

    def __init__(
        self, card: ModelCard, device: torch.device, dtype: torch.dtype, chunk: int | None, rows: int | None = None
    ) -> None:
        self.card = card
        self.published = card  # what clients are told: of a model of open sizes, not those of one
        self.takes: Mapping[str, InputSpec] = card.named
        self.device = device
        self.dtype = dtype
        self.precision: Precision = FULL
        self.rows = rows
        self._chunk = rows or chunk
        self._shrunk_at = -math.inf
        self.targets: tuple[Target, ...] = ()
        self.background: Tensor | None = None  # rows (n, *shape) that stand for the model's usual inputs
        self.seen: Mapping[str, Any] = {}  # of what computes elsewhere, for receipts
        self.tokenizers: Mapping[str, Encoder] = {}
        self.any_size: Function | None = None  # of a model for inputs of one size, that for all of them

    def run(self, x: Tensor) -> Tensor:
        """The outputs (n, ...) for x (n, *shape), by one pass."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise PredictorChanged where it is no longer what was loaded; what is computed here stays."""

    def at(self, precision: Precision) -> Function:  # noqa: ARG002  # what overrides it reads it
        """The same with its products in that precision, made once; what another server computes is as it is.

        Asked of the whole model: `towards` comes after.
        """
        return self

    def towards(self, target: Target | None) -> Self:
        """The same model, asked about this target: methods refuse no more than stands between it and the input."""
        if target is None:
            return self
        model = copy.copy(self)
        model.targets = (target,)
        return model

    @property
    def chunk(self) -> int:
        """How many rows a method with many passes runs at once: measured when first asked for."""
        if self._chunk is None or 0 <= self._shrunk_at < time.monotonic() - SHRUNK_S:
            self._shrunk_at = -math.inf
            self._chunk = self._fastest()
        return self._chunk

    @property
    def most(self) -> int | None:
        """How many rows the device has memory for, walked back; None where nobody knows."""
        return None

    def _fastest(self) -> int:
        row = torch.zeros(1, *self.card.input.shape, device=self.device, dtype=self.dtype)
        with torch.no_grad():
            return fastest(self.run, row, None if self.device.type == "cpu" else self.most)

    @property
    def measured_chunk(self) -> int | None:
        """What `chunk` was last; None where nobody has asked for it."""
        return self._chunk

    def shrink(self) -> bool:
        """Halve the chunk for some minutes, for it did not fit into memory; False where it cannot be smaller.

        Then its size was not to blame, and is measured anew when next asked for.
        """
        if self.rows or self._chunk is None or self._chunk == 1:
            self._chunk = self.rows
            return False
        self._chunk //= 2
        self._shrunk_at = time.monotonic()
        return True

    def give_back(self) -> bool:
        """Give back the memory of what is kept for speed alone; whether there was any."""
        return False

    @property
    def short(self) -> bool:
        """Whether memory ran out lately: what may take more rows than a chunk takes no more now."""
        return self._shrunk_at >= 0

    def outputs(self, batch: Batch) -> Tensor:
        """What the model returns for the batch's inputs, from a pass already made where there is one."""
        return batch.cache.get(Outputs, None, lambda: Outputs(self.forward(batch.x))).values

    def forward(self, x: Tensor) -> Tensor:
        """What the model returns for x (n, *shape), without gradients, in chunks."""
        with torch.no_grad():
            # One row needs no measured size.
            parts = torch.split(x, self.chunk) if len(x) > 1 else [x]
            return torch.cat([self.run(part) for part in parts])

    def resolve(self, batch: Batch) -> list[Target]:
        """The batch's targets with ranks turned into classes, by the outputs for the inputs themselves."""
        if not any(t.kind == "rank" for t in batch.targets):
            return list(batch.targets)
        return target_masks.resolve(batch.targets, self.outputs(batch))

    def prediction(self, batch: Batch, top: int = 5) -> list[list[dict[str, Any]]]:
        """For each row its highest outputs, {index, label, score, probability}, best first."""
        return prediction.predictions(self.card, self.outputs(batch), top)

    def scores(self, x: Tensor, wanted: Sequence[Target], probability: bool = False) -> Tensor:
        """The score of each row's target (n,); targets must be resolved.

        With `probability`, that of its class, the mean over its places; raises InvalidTarget for what is no class, and
        for a layer, which a function has none of.
        """
        outputs = self.run(x)
        if probability:
            return target_chances(self.card, wanted, outputs)
        return target_masks.output_scores(wanted, outputs)

    def range(self) -> tuple[Tensor, Tensor] | None:
        """Lowest and highest value of the input, each broadcastable to it; None where the card does not say."""
        return prediction.input_range(self.card.input, self.device, self.dtype, self.card.named)

    def sized(self, shapes: Shapes) -> Function:  # noqa: ARG002  # what overrides it reads it
        """The model for inputs of these shapes; raises InvalidTensor where it does not take them."""
        return self

    def bounded(self, name: str) -> bool:
        """Whether the card says between what an input's values lie; nothing says so of what ids are embedded as."""
        spec = self.card.named[name]
        return spec.dtype == "float32" and prediction.input_range(spec, self.device, self.dtype) is not None

    def join(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """What methods are given of inputs by name, each (n, *shape): the one tensor, or all of them end to end."""
        spec = self.card.input
        if not spec.parts:
            return moved(next(iter(inputs.values())), self.device, self.dtype)
        given = {name: moved(one, self.device, self.dtype).flatten(1) for name, one in inputs.items()}
        raw = [given[part.name] for part in given_parts(spec)]
        x = self.embedded(torch.cat(raw, 1))
        for part in spec.parts:
            if is_beside(part.name) and part.name in given:
                x[:, part.start : part.stop] = given[part.name]
        return x

    def embedded(self, raw: Tensor) -> Tensor:
        """Inputs end to end (n, numbers) with what embeddings look up for ids; as they are where there are none."""
        return raw
