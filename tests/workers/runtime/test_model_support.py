"""A card tells which methods its model supports, and why not the others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.toys import model_of, net
from workers.methods.catalogue import catalogue
from workers.runtime.execute.model_support import with_support


class Product(nn.Module):
    """Nothing that a rule of propagation is known for, and no places."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cumprod(x, 1)


def test_every_method_of_the_catalogue_is_told() -> None:
    card = with_support(model_of(net(), (1, 8, 8), image=True))
    assert [method.name for method in card.methods] == list(catalogue())
    assert card.reason_against("lrp") is None
    assert card.reason_against("grad_cam") is None


def test_what_is_not_supported_says_why() -> None:
    card = with_support(model_of(Product(), (4,)))
    assert card.reason_against("gradient") is None
    assert "cumprod" in (card.reason_against("lrp") or "")
    assert "places" in (card.reason_against("grad_cam") or "")


def test_a_fault_in_one_method_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(catalogue()["lrp"], "refuse", broken)
    card = with_support(model_of(net(), (1, 8, 8)))
    assert "ours to find" in (card.reason_against("lrp") or "")
    assert card.reason_against("gradient") is None
