"""A key of very many parts takes the reader of TOML as long as the square of them, and is refused before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.patience import PATIENCE_S
from workers.explanation.errors import InvalidFolder
from workers.models.card_file import read_card

CHAIN = ".".join(["a"] * 40_000)


@pytest.mark.timeout(PATIENCE_S)
@pytest.mark.parametrize("text", [f"{CHAIN} = 1", f"[{CHAIN}]", f"[[{CHAIN}]]", f"x = {{ b = 1, {CHAIN} = 1 }}"])
def test_a_key_of_very_many_parts_is_refused_at_once(text: str, tmp_path: Path) -> None:
    card = tmp_path / "card.toml"
    card.write_text(text)
    with pytest.raises(InvalidFolder, match="nested too deep"):
        read_card(card, "toy/card.toml")


def test_points_in_numbers_and_labels_are_none_of_a_key(tmp_path: Path) -> None:
    card = tmp_path / "card.toml"
    many = ", ".join(["0.5"] * 64)
    card.write_text(
        f'[model]\nsource = "model.pt2"\n[input]\nkind = "image"\nshape = [64, 8, 8]\nmean = [{many}]\nstd = [{many}]\n'
    )
    with pytest.raises(InvalidFolder) as found:  # images have three channels at most
        read_card(card, "toy/card.toml")
    assert "nested" not in str(found.value)
