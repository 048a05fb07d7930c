"""Models of several inputs: the same numbers as Captum gives for tuples, in float64."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import captum.attr
import pytest
import torch
from torch import Tensor, nn

from tests.several import NETS, batch_of_inputs, toy
from workers.engine.model.inputs import named
from workers.engine.model.model import Model
from workers.methods.catalogue import parse_method

TARGET = 1


def ours(model: Model, rows: Mapping[str, Tensor], method: dict[str, Any]) -> dict[str, Tensor]:
    """The attributions by input."""
    configured = parse_method(method)
    result = configured.explain(model, batch_of_inputs(model, rows, TARGET))
    arrays = named(result, model.card.input, configured.of_places()).arrays
    return {name.partition(".")[2]: torch.as_tensor(array) for name, array in arrays.items() if "attribution." in name}


class AtEmbedding(nn.Module):
    """The net from what its embedding looks up, as Captum's tuples take it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *given: Tensor) -> Tensor:
        looked_up = [one for one in given if one.dim() == 3]
        if not looked_up:
            output: Tensor = self.inner(*given)
            return output
        at: Any = self.inner.embedding
        hook = at.register_forward_hook(lambda *_: looked_up[0])
        try:
            found: Tensor = self.inner(*[torch.zeros(one.shape[:2], dtype=torch.int64) if one.dim() == 3 else one
                                         for one in given])  # fmt: skip
            return found
        finally:
            hook.remove()


def captums(module: nn.Module, rows: Mapping[str, Tensor], of: str, **more: Any) -> dict[str, Tensor]:
    """What Captum says, ids at their embedding and summed over it, and held inputs handed on."""
    held = tuple(row for name, row in rows.items() if name == "mask")
    given = {
        name: module.embedding(row).detach() if name == "ids" else row  # type: ignore[operator]
        for name, row in rows.items()
        if name != "mask"
    }
    net = AtEmbedding(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = getattr(captum.attr, of)(net).attribute(
            tuple(given.values()), target=TARGET, additional_forward_args=held or None, **more
        )
    return {name: one.sum(-1) if name == "ids" else one for name, one in zip(given, found, strict=True)}


def assert_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values.to(found[name]), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", NETS)
def test_gradients_and_paths(name: str) -> None:
    module, model, rows = toy(name)
    assert_same(ours(model, rows, {"name": "gradient"}), captums(module, rows, "Saliency", abs=False))
    assert_same(ours(model, rows, {"name": "input_times_gradient"}), captums(module, rows, "InputXGradient"))
    path = {"name": "integrated_gradients", "steps": 40, "rule": "gauss_legendre"}
    assert_same(
        ours(model, rows, path), captums(module, rows, "IntegratedGradients", n_steps=40, method="gausslegendre")
    )


@pytest.mark.parametrize("name", ["image and row", "siamese", "rgbd"])
def test_deep_lift(name: str) -> None:
    module, model, rows = toy(name)
    found = ours(model, rows, {"name": "deep_lift"})
    assert sum(float(one.sum()) for one in found.values()) != 0
    with torch.no_grad():
        expected = (module(*rows.values()) - module(*[torch.zeros_like(row) for row in rows.values()]))[:, TARGET]
    total = sum(one.flatten(1).sum(1) for one in found.values())
    torch.testing.assert_close(total, expected)
