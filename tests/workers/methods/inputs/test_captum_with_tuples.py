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
from workers.engine.perturbation.extents import extent
from workers.engine.perturbation.segments import grid
from workers.explanation.errors import MethodNotApplicable
from workers.explanation.target import ClassTarget
from workers.methods.catalogue import parse_method
from workers.runtime.execute.alternatives import refuse

TARGET = 1


def ours(model: Model, rows: Mapping[str, Tensor], method: dict[str, Any], **batch: Any) -> dict[str, Tensor]:
    """The attributions by input."""
    configured = parse_method(method)
    result = configured.explain(model, batch_of_inputs(model, rows, TARGET, **batch))
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


@pytest.mark.parametrize("name", NETS)
def test_occlusion(name: str) -> None:
    module, model, rows = toy(name)
    found = ours(model, rows, {"name": "occlusion", "patch": 1})
    windows = {
        key: (1, 6) if key == "ids" else (row.shape[1], 1, 1) if row.dim() == 4 else (1,)
        for key, row in rows.items()
        if key != "mask"
    }
    expected = captums(module, rows, "Occlusion", sliding_window_shapes=tuple(windows.values()))
    for key, values in expected.items():
        one = values / 6 if key == "ids" else values[:, :1] if values.dim() == 4 else values  # each channel has it
        torch.testing.assert_close(found[key], one.to(found[key]), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("game", ["kernel_shap", "shapley_sampling"])
@pytest.mark.parametrize("name", NETS)
def test_shapley_values_of_segments_beside_columns(name: str, game: str) -> None:
    """All coalitions: of few segments the values are exact, and so are Captum's."""
    module, model, rows = toy(name)
    one = {key: row[:1] for key, row in rows.items()}
    method = {"name": game, "segments": "grid", "count": 2, "samples": 2000}
    found = ours(model, one, method)
    masks, first = [], 0
    for key, row in one.items():
        if key != "mask":
            labels = torch.as_tensor(segments_of(key, tuple(row.shape[1:]))) + first
            spread = labels.expand(1, *row.shape[1:]) if key != "ids" else labels.view(1, -1, 1).expand(1, 6, 6)
            masks.append(spread.contiguous())
            first = int(labels.max()) + 1
    expected = captums(module, one, "ShapleyValues", feature_mask=tuple(masks))
    for key, values in expected.items():
        part = values / 6 if key == "ids" else values[:, :1] if values.dim() == 4 else values
        torch.testing.assert_close(found[key], part.to(found[key]), rtol=1e-5, atol=1e-8)


def segments_of(key: str, shape: tuple[int, ...]) -> Any:
    """Two halves of a plane; each column, and each half of a text, by itself."""
    if len(shape) == 3:
        return grid(shape[1:], 2)[None]
    return grid(shape, 2 if key == "ids" else shape[0])


@pytest.mark.parametrize(
    ("preset", "missed"), [("zero", 1e-14), ("epsilon", 1e-5), ("epsilon_plus_flat", 1e-5)]
)  # what the stabiliser keeps
@pytest.mark.parametrize("name", NETS)
def test_relevance_is_conserved_over_all_inputs(name: str, preset: str, missed: float) -> None:
    module, model, rows = toy(name)
    found = ours(model, rows, {"name": "lrp", "composite": preset})
    total = sum(one.flatten(1).sum(1) for one in found.values())
    with torch.no_grad():
        expected = module(*rows.values())[:, TARGET].to(total)
    assert all(one.abs().sum() > 0 for one in found.values())
    torch.testing.assert_close(total, expected, rtol=0, atol=missed)


def test_smooth_grad_is_the_mean_over_its_own_noise_of_each_input() -> None:
    """Noise is a share of each input's own range, and what is held has none: the mean of many tends to the smoothed."""
    _, model, rows = toy("image and text")
    result = parse_method({"name": "smooth_grad", "samples": 6, "noise": 0.1, "seed": 3}).explain(
        model, batch_of_inputs(model, rows, TARGET, seeds=[3, 3, 3])
    )
    parts = {(part.name, part.held): part for part in model.card.input.parts}
    held = [part for (_, is_held), part in parts.items() if is_held]
    values = torch.as_tensor(result.arrays["attribution"])
    assert all(not values[:, part.start : part.stop].any() for part in held)
    x, scale = model.join(rows), 0.1 * extent(model, model.join(rows), "range")
    for row in range(3):
        draw, total = torch.Generator().manual_seed(3), torch.zeros_like(x[:1])
        for _ in range(6):
            noisy = x[row : row + 1] + torch.randn(x.shape[1:], generator=draw).to(x) * scale[row : row + 1]
            total += model.gradient(noisy, [ClassTarget(index=TARGET)])[1]
        torch.testing.assert_close(values[row], (total / 6)[0], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", ["rise", "prediction_difference", "meaningful_perturbation"])
def test_what_is_drawn_over_one_input_names_the_one_at_fault(name: str) -> None:
    _, model, _ = toy("image and row")
    with pytest.raises(MethodNotApplicable, match=r"takes image, row, of which row \(tensor of the shape \[5\]\)"):
        refuse(model, parse_method(name))
