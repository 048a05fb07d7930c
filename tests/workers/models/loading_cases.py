"""What the tests of loading and unpickling share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.workers.models.archives import Entries
from workers.explanation.errors import InvalidFolder, ModelError
from workers.models.folder import read_folder
from workers.models.loading import load

WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
PROGRAM = "models/model.json"


def problem(path: Path, error: type[ModelError] = InvalidFolder) -> str:
    with pytest.raises(error) as caught:
        load(read_folder(path))
    return caught.value.detail


def samples() -> Tensor:
    return torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def entry(name: str) -> Callable[[Entries, bytes], Entries]:
    return lambda content, bomb: content | {name: bomb}


def everywhere(key: str, text: str) -> Callable[[Any], None]:
    """Put the text at the first place that has the key."""

    def change(value: Any) -> None:
        waiting = [value]
        while waiting:
            item = waiting.pop()
            if isinstance(item, dict) and item.get(key):
                item[key] = [text] if isinstance(item[key], list) else text
                return
            waiting.extend(item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
        raise KeyError(key)

    return change
