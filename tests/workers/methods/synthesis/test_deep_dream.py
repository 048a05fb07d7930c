"""DeepDream, and pictures of what was made up."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from service.render.frame import Caption
from service.render.style import Look
from service.render.synthesis import draw_synthesis, notes_of, pixels
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.synthesis.synthesis_runs import linear
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.explanation.images.decoding import prepare
from workers.explanation.result import Row
from workers.methods.catalogue import parse_method
from workers.methods.synthesis.deep_dream.compute import octaves


def dreamt(model: Model, x: Tensor, **fields: Any) -> Row:
    method = parse_method({"name": "deep_dream", **fields})
    method.refuse(model)
    return method.explain(model, batch_of(x, seeds=[0] * len(x))).rows()[0]


def test_one_step_of_a_dream_is_the_gradient_of_the_layer() -> None:
    module, x = net(), inputs(1) / 4
    model = model_of(module, (1, 8, 8))
    still: dict[str, Any] = {"octaves": 1, "steps": 1, "roll": 0, "noise": 0, "decay": 0, "rate": 0.05}
    for channel in (None, 2):
        leaf = x.clone().requires_grad_()
        value = module.act(module.bn1(module.conv1(leaf)))
        goal = value.square().mean() / 2 if channel is None else value[:, channel].mean()
        (slope,) = torch.autograd.grad(goal, leaf)
        row = dreamt(model, x, layer="act", channel=channel, **still)
        np.testing.assert_allclose(
            row.arrays["synthesis"][0], (x + 0.05 * slope / slope.abs().mean())[0], rtol=1e-4, atol=1e-6
        )
        assert row.arrays["trace"][0] == pytest.approx(float(goal.detach()), rel=1e-5)


class Pointwise(nn.Module):
    """A layer that looks at each place alone: then tiles cannot matter."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.look, self.fc = nn.Conv2d(1, 3, 1), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.look(x).mean((2, 3)))
        return output


@pytest.mark.parametrize("enlarge", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("roll", [0, 5])
def test_tiles_and_rolls_leave_the_gradient_as_it_is(enlarge: float, roll: int) -> None:
    module, x = Pointwise(), inputs(1, shape=(1, 6, 6))
    model = model_of(module, (1, 6, 6))
    row = dreamt(
        model, x, layer="look", octaves=1, steps=1, roll=roll, noise=0, decay=0, rate=0.05, enlarge=enlarge
    )  # fmt: skip
    side = round(6 * enlarge)
    canvas = torch.nn.functional.interpolate(x, (side, side), mode="bilinear", antialias=True)
    leaf = canvas.clone().requires_grad_()
    (slope,) = torch.autograd.grad(module.look(leaf).square().sum(), leaf)
    expected = canvas + 0.05 * slope / slope.abs().mean()
    assert row.arrays["synthesis"].shape == (1, 1, side, side)
    np.testing.assert_allclose(row.arrays["synthesis"], expected.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_dream_raises_what_the_layer_sees_and_stays_in_range() -> None:
    model = model_of(net(), (1, 8, 8), image=True)
    x = inputs(1).clamp(-1, 1) / 4
    row = dreamt(model, x, layer="act", octaves=3, ratio=1.4, rate=0.03, steps=20)
    assert row.info["sizes"] == [[4, 4], [6, 6], [8, 8]]
    assert np.abs(row.arrays["synthesis"]).max() <= 1
    node = model.folded.find("act")
    assert node is not None
    before, after = (
        float(model.folded.run(values, [node.index])[1][node.index].square().mean())
        for values in (x, torch.from_numpy(row.arrays["synthesis"]))
    )
    assert after > 1.3 * before
    assert octaves(model.card.input, 2, 2.0, 2.0) == ((8, 8), (16, 16))


def test_a_dream_of_what_is_not_there_is_refused() -> None:
    model = model_of(net(), (1, 8, 8))
    with pytest.raises(InvalidParameter, match="conv2 has the channels 0 to 3"):
        dreamt(model, inputs(1), layer="conv2", channel=4)
    flat, _ = linear()
    with pytest.raises(MethodNotApplicable, match="deep_dream works on images"):
        dreamt(flat, inputs(1, shape=(6,)))


@pytest.mark.parametrize("mode", ["RGB", "BGR", "L"])
def test_a_picture_undoes_the_cards_preprocessing(mode: str) -> None:
    channels = 1 if mode == "L" else 3
    shape = (channels, 6, 5)
    image = np.random.default_rng(0).integers(0, 256, (6, 5) if mode == "L" else (6, 5, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG")
    spec = model_spec(mode, channels)
    x, _ = prepare(data.getvalue(), spec, shape)
    expected = image[..., None].repeat(3, 2) if mode == "L" else image
    np.testing.assert_array_equal(pixels(x, spec), expected)


def model_spec(mode: Any, channels: int) -> Any:
    from workers.explanation.card import ImageSpec

    return ImageSpec(mode=mode, scale=255.0, mean=(104.0, 117.0, 123.0)[:channels], std=(1.0, 0.5, 2.0)[:channels])


def test_pictures_hold_every_image_and_say_where_no_card_is_known() -> None:
    made_up = np.random.default_rng(0).standard_normal((5, 1, 8, 8))
    info = {"activation": [1.0, 2.0, 3.0, 4.0, 5.0], "activation_at_start": [0.1] * 5}
    assert notes_of(info)[1] == "2 (start 0.1)"
    assert notes_of({"activation": [2.0], "items": [7]}) == ["item 7: 2"]
    drawn = draw_synthesis(made_up, np.ones((5, 1)), None, Look(size=300), Caption("t", "s"), notes_of(info))
    with Image.open(io.BytesIO(drawn)) as picture:
        assert picture.width >= 3 * 96
        assert picture.height >= 2 * 96
