"""How the vector of a text is made of its tokens': each pooling by its closed form, what is not known refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from workers.explanation.errors import InvalidFolder
from workers.models.export.pretrained_pooling import POOLINGS, pooling_of

HIDDEN = torch.tensor([[[1.0, -8.0], [3.0, -2.0], [5.0, -5.0], [99.0, 99.0]]], dtype=torch.float64)
THERE = torch.tensor([[True, True, True, False]])
EXPECTED = {
    "cls": [1.0, -8.0],
    "max": [5.0, -2.0],
    "mean": [3.0, -5.0],
    "mean_sqrt_len_tokens": [9 / 3**0.5, -15 / 3**0.5],
    "weightedmean": [22 / 6, -27 / 6],
    "lasttoken": [5.0, -5.0],
}


def pooled(folder: Path, said: object, modules: tuple[str, ...] = ()) -> list[float]:
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(said))
    if modules:
        listed = [{"type": f"sentence_transformers.models.{name}", "path": "1_Pooling"} for name in modules]
        (folder / "modules.json").write_text(json.dumps(listed))
    found: list[float] = pooling_of(folder)(SimpleNamespace(last_hidden_state=HIDDEN), THERE)[0].tolist()
    return found


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("older", [True, False])
def test_each_pooling_is_its_closed_form_and_counts_no_padding(name: str, older: bool, tmp_path: Path) -> None:
    said = {POOLINGS[name][0]: True, "pooling_mode_mean_tokens": name == "mean"} if older else {"pooling_mode": name}
    assert pooled(tmp_path, said) == pytest.approx(EXPECTED[name])


def test_several_are_end_to_end_and_a_norm_behind_them_is_kept(tmp_path: Path) -> None:
    both = torch.tensor([*EXPECTED["cls"], *EXPECTED["mean"]])
    said = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}
    found = pooled(tmp_path, said, ("Transformer", "Pooling", "Normalize"))
    assert found == pytest.approx((both / both.norm()).tolist())


def test_nothing_said_is_the_mean(tmp_path: Path) -> None:
    assert pooled(tmp_path, {}) == pytest.approx(EXPECTED["mean"])


def test_what_is_not_known_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidFolder, match="its pooling is 'attention'"):
        pooled(tmp_path, {"pooling_mode": "attention"})
