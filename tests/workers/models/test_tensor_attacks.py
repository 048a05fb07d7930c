"""Attacks by an archive's tables of tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.workers.models.archives import Entries, archive_folder, edited, entries, saved
from tests.workers.models.attack_edits import TOUCH, refusal, tensor
from tests.workers.models.loading_cases import WEIGHTS
from workers.models.folder import read_folder
from workers.models.loading import load


@pytest.fixture(scope="module")
def content() -> Entries:
    return entries(saved())


@pytest.mark.parametrize(
    "change",
    [
        tensor(sizes=[{"as_int": 10**9}] * 4),
        tensor(sizes=[{"as_int": -2}, {"as_int": 3}, {"as_int": 3}, {"as_int": 3}]),
        tensor(sizes=[{"as_int": 2}]),
        tensor(sizes=[{"as_expr": {"expr_str": TOUCH, "hint": None}}] * 4),
        tensor(sizes=[{"as_int": 2**50}] * 4, strides=[{"as_int": 0}] * 4),
        tensor(strides=[{"as_int": 2**39}] * 4),
        tensor(strides=[{"as_int": -1}] * 4),
        tensor(storage_offset={"as_int": 2**39}),
        tensor(storage_offset={"as_int": 10}),
        tensor(dtype=8),
        tensor(dtype=77),
        tensor(layout=1),
        tensor(device={"type": "meta", "index": None}),
        tensor(device={"type": "cuda:0'); print('", "index": None}),
        tensor(tensor_meta=None),
        tensor(use_pickle="no"),
        tensor(path_name="custom_obj_0"),
        tensor(path_name="../weights/weight_0"),
    ],
)
def test_a_tensor_that_is_not_in_its_bytes_is_refused(tmp_path: Path, content: Entries, change: Any) -> None:
    assert "weight" in refusal(tmp_path / "toy", edited(content, WEIGHTS, change))


def test_memory_that_nobody_wrote_is_zero(tmp_path: Path) -> None:
    """It may hold what another client sent: `empty` is run as `zeros`."""

    class Uninitialised(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made = torch.empty(5).repeat(x.shape[0], 1) + x.new_empty(x.shape[0], 5)
            return made + torch.empty_like(x).sum((1, 2, 3))[:, None] + 0 * x.sum((1, 2, 3))[:, None]

    model = load(read_folder(archive_folder(tmp_path / "toy", saved(Uninitialised()))))
    assert not model.forward(torch.ones(2, 3, 6, 6)).any()
