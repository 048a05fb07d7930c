"""Inputs that came in a parameter, as a model takes them: read where all inputs lie, prepared as all are."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias, cast

import torch
from torch import Tensor

from workers.explanation.bundle import Kind
from workers.explanation.errors import InputError, InternalError, UnknownInput
from workers.runtime.execute.model_inputs import decoded

if TYPE_CHECKING:
    from workers.engine.model.function import Function

Read: TypeAlias = Callable[[str], Mapping[bytes, bytes] | InternalError]
KEPT = 16


def nowhere(_: str) -> Mapping[bytes, bytes]:
    """Of a worker that has no inputs but those of its works."""
    return {}


class GivenInputs:
    """Those of one worker; the latest are kept prepared."""

    def __init__(self, read: Read = nowhere) -> None:
        self._read = read
        self._recent: OrderedDict[tuple[str, str], Tensor] = OrderedDict()

    def of(self, model: Function, digest: str) -> Tensor:
        """The input (*shape) where the model computes; raises UnknownInput, InvalidTensor, InvalidImage."""
        key = model.card.digest, digest
        if (found := self._recent.get(key)) is None:
            found = self._recent[key] = self._prepared(model, digest)
            while len(self._recent) > KEPT:
                self._recent.popitem(last=False)
        return found.to(model.device, model.dtype)

    def _prepared(self, model: Function, digest: str) -> Tensor:
        stored = self._read(digest)
        if isinstance(stored, InternalError):
            raise stored
        if b"data" not in stored:
            raise UnknownInput("an input of a parameter is stored no more; send it again", pointer="/method")
        kind = cast(Kind, stored[b"kind"].decode())
        try:
            found = decoded(kind, stored[b"data"], model.takes, model.tokenizers)
        except InputError as error:
            raise type(error)(f"an input of a parameter: {error.detail}", pointer="/method") from None
        own = model.sized(found.shapes)
        return own.join({name: torch.from_numpy(row[None].copy()) for name, row in found.rows.items()})[0].cpu()
