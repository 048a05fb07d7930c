"""A walk back over maps whose channels lie last: none is copied into another order of axes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.toys import model_of
from workers.engine.model.batch import Batch
from workers.explanation.target import RankTarget
from workers.methods.method import parse_method

COPIES = ("clone", "copy_", "_to_copy", "contiguous")
SHAPE = (3, 12, 12)


class Copies(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the copies of maps of several channels."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.made = Counter[str]()

    def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = call(*args, **(kwargs or {}))
        name = call.overloadpacket.__name__
        if name in COPIES and isinstance(made, Tensor) and made.dim() == 4 and made.shape[1] > 3:
            self.made[f"{name} {tuple(made.shape)}"] += 1
        return made


def net() -> nn.Module:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 40, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(40, 8, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


SPREAD = [{"rule": "epsilon", "std": 0.25}]
TABLES = ("epsilon", "epsilon_plus_flat", "gamma", "alpha2_beta1", SPREAD)
LRP = [{"name": "lrp", "composite": table} for table in TABLES]


@pytest.mark.parametrize("method", [*LRP, "gradient", "guided_backprop", "excitation_backprop", "smooth_grad"], ids=str)
def test_a_walk_back_copies_no_map(method: Any) -> None:
    """By watching what each layer is given `lrp` once copied every map twice, which took half of its time."""
    model, asked = model_of(net(), SHAPE), parse_method(method)
    x = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(1))
    batch = Batch(x, [RankTarget(rank=0)] * 2, [0] * 2)
    asked.explain(model, batch)
    with Copies() as copies:
        asked.explain(model, Batch(x, [RankTarget(rank=0)] * 2, [0] * 2))
    assert not copies.made
