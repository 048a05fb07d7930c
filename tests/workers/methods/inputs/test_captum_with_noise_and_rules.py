"""SmoothGrad and DeepLIFT on models of several inputs: the same numbers as Captum gives for tuples, in float64.

Captum's noise is drawn by itself: it is given ours. Its DeepLIFT needs every activation as a module, used once.
"""

from __future__ import annotations

import copy
import warnings

import captum.attr
import pytest
import torch
from torch import Tensor, nn

from tests.several import IDS, IMAGE, MASK, NETS, ROW, model_of_inputs, rows_of, toy
from tests.workers.methods.inputs.test_captum_with_tuples import AtEmbedding, assert_same, ours
from workers.engine.model.inputs import piece
from workers.engine.model.model import Model
from workers.engine.perturbation.extents import extent
from workers.explanation.card import InputSpec

TARGET, SEED, SAMPLES = 1, 3, 6
GREY = InputSpec(shape=(1, 8, 8))


def noise_of(model: Model, x: Tensor) -> Tensor:
    """What our SmoothGrad adds to the one row x: (samples, numbers)."""
    draw = torch.Generator().manual_seed(SEED)
    drawn = torch.stack([torch.randn(x.shape[1:], generator=draw) for _ in range(SAMPLES)])
    return drawn.to(x) * 0.1 * extent(model, x, "range")


@pytest.mark.parametrize("name", NETS)
def test_smooth_grad_is_captums_with_the_same_noise(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, model, rows = toy(name)
    one = {key: row[1:2] for key, row in rows.items()}
    noise = noise_of(model, model.join(one))
    explained = [part for part in model.card.input.parts if not part.held]
    left = [piece(noise, part) for part in explained]

    def noisy(given: Tensor, _: float, samples: int) -> Tensor:
        return given.repeat_interleave(samples, dim=0) + left.pop(0)

    monkeypatch.setattr(captum.attr.NoiseTunnel, "_add_noise_to_input", staticmethod(noisy))
    given = tuple(
        module.embedding(one[part.name]).detach() if part.embedding else one[part.name]  # type: ignore[operator]
        for part in explained
    )
    saliency = captum.attr.Saliency(AtEmbedding(module))
    tunnel = captum.attr.NoiseTunnel(saliency)
    held = tuple(row for key, row in one.items() if key == "mask")
    captums = tunnel.attribute(
        given, nt_samples=SAMPLES, stdevs=0.1, target=TARGET, abs=False, additional_forward_args=held or None
    )
    found = ours(model, one, {"name": "smooth_grad", "samples": SAMPLES, "noise": 0.1}, seeds=[SEED])
    assert_same(
        found,
        {
            part.name: values.sum(-1) if part.embedding else values
            for part, values in zip(explained, captums, strict=True)
        },
    )
    assert not left


class PhotoAndRow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.row, self.act2 = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(5, 6), nn.Sigmoid()
        self.head = nn.Sequential(nn.Linear(4 * 36 + 6, 12), nn.ReLU(), nn.Linear(12, 3))

    def forward(self, image: Tensor, row: Tensor) -> Tensor:
        output: Tensor = self.head(torch.cat([self.act(self.conv(image)).flatten(1), self.act2(self.row(row))], 1))
        return output


class Twins(nn.Module):
    """Two encoders of the same weights, each a module of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 8))
        self.other = copy.deepcopy(self.one)
        self.act, self.head = nn.ReLU(), nn.Linear(8, 2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        output: Tensor = self.head(self.act(self.one(left) - self.other(right)))
        return output


class Stacked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(4, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 3)
        )

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        output: Tensor = self.body(torch.cat([rgb, depth], 1))
        return output


class PhotoAndText(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.embedding, self.act2 = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Embedding(20, 6), nn.Tanh()
        self.head = nn.Sequential(nn.Linear(10, 7), nn.ReLU(), nn.Linear(7, 3))

    def forward(self, image: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        return self.looked_up(image, self.embedding(ids), mask)

    def looked_up(self, image: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        read = (self.act2(tokens) * (mask[..., None] / mask.sum(1)[:, None, None])).sum(1)
        output: Tensor = self.head(torch.cat([self.act(self.conv(image)).mean((2, 3)), read], 1))
        return output


class FromTokens(nn.Module):
    def __init__(self, inner: PhotoAndText) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, image: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        return self.inner.looked_up(image, tokens, mask)


HOOKED = {
    "image and row": (PhotoAndRow, {"image": IMAGE, "row": ROW}),
    "siamese": (Twins, {"left": GREY, "right": GREY}),
    "rgbd": (Stacked, {"rgb": IMAGE, "depth": GREY}),
    "image and text": (PhotoAndText, {"image": IMAGE, "ids": IDS, "mask": MASK}),
}


@pytest.mark.parametrize("name", HOOKED)
def test_deep_lift_is_captums_value_by_value(name: str) -> None:
    make, specs = HOOKED[name]
    torch.manual_seed(0)
    module = make().eval()
    rows = rows_of(specs)
    model = model_of_inputs(module, specs, rows)
    rows = {key: row if row.dtype == torch.int64 else row.double() for key, row in rows.items()}
    module = module.double()
    given, hooked = list(rows.values()), module
    held: tuple[Tensor, ...] = ()
    if isinstance(module, PhotoAndText):
        given, held = [rows["image"], module.embedding(rows["ids"]).detach()], (rows["mask"],)
        hooked = FromTokens(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        captums = captum.attr.DeepLift(hooked, eps=1e-12).attribute(
            tuple(given), target=TARGET, additional_forward_args=held or None
        )
    names = [key for key in rows if key != "mask"]
    expected = {key: one.sum(-1) if key == "ids" else one for key, one in zip(names, captums, strict=True)}
    assert_same(ours(model, rows, {"name": "deep_lift"}), expected)
