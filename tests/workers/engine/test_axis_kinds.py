"""What the axes of layers are, and targets that name a channel or a token."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, model_of
from tests.workers.methods.gradient.gradient_runs import attribution
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, InvalidTarget
from workers.explanation.request_target import parse_targets
from workers.explanation.target import UnitTarget
from workers.jobs.job import Job
from workers.methods.catalogue import parse_method


class Last(nn.Module):
    """The last step of what a layer returns."""

    def __init__(self, rnn: nn.Module) -> None:
        super().__init__()
        self.rnn, self.fc = rnn, nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.rnn(x)[0][:, -1])
        return output


class Patches(nn.Module):
    """Patches as tokens, an encoder layer, the mean token."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, 4, 2, 2)
        self.encoder = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True)
        self.mix, self.fc = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        output: Tensor = self.fc(self.mix(self.encoder(tokens)).mean(1))
        return output


class ChannelsLast(nn.Module):
    """As a block of ConvNeXt: a convolution, then norm and linear layers over the last axis."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.up = nn.Conv2d(1, 4, 3, padding=1), nn.LayerNorm(4), nn.Linear(4, 6)
        self.down, self.fc = nn.Linear(6, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        z = self.down(torch.relu(self.up(self.norm(y.permute(0, 2, 3, 1))))).permute(0, 3, 1, 2)
        output: Tensor = self.fc((y + z).mean((2, 3)))
        return output


class Mixed(nn.Module):
    """A value whose axes nothing tells of: rows and columns made of one, each taken into the sum."""

    def forward(self, x: Tensor) -> Tensor:
        return (x[:, :, None] * x[:, None, :]).cumsum(1).flatten(1)[:, :2]


IMAGE = (1, 4, 4)
PLACES = ("channel", "height", "width")
NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], dict[str, tuple[str, ...]]]] = {
    "dense over steps": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.LayerNorm(4), nn.Flatten(), nn.Linear(20, 2)), (5, 3),
        {"0": ("token", "channel"), "1": ("token", "channel"), "2": ("token", "channel"), "4": ("channel",)},
    ),
    "convolutions": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 2)), IMAGE,
        {"0": PLACES, "1": PLACES, "2": PLACES, "3": ("channel",)},
    ),
    "series": (
        lambda: nn.Sequential(nn.Conv1d(3, 4, 2), nn.GELU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 2)),
        (3, 5), {"0": ("channel", "length"), "1": ("channel", "length")},
    ),
    "volumes": (
        lambda: nn.Sequential(nn.Conv3d(1, 2, 2), nn.GroupNorm(1, 2), nn.Flatten(), nn.Linear(2, 2)), (1, 2, 2, 2),
        {"0": ("channel", "depth", "height", "width"), "1": ("channel", "depth", "height", "width")},
    ),
    "lstm": (
        lambda: Last(nn.LSTM(3, 4, batch_first=True)), (5, 3), {"rnn": ("time", "channel"), "fc": ("channel",)},
    ),
    "patches": (
        Patches, IMAGE, {"patch": PLACES, "transpose": ("token", "channel"), "mix": ("token", "channel"),
                         "encoder.norm2": ("token", "channel"), "encoder.linear1": ("token", "channel")},
    ),
    "channels last": (
        ChannelsLast, IMAGE, {"conv": PLACES, "norm": ("height", "width", "channel"), "add": PLACES,
                              "up": ("height", "width", "channel"), "fc": ("channel",)},
    ),
}  # fmt: skip


def made(name: str) -> Model:
    torch.manual_seed(0)
    module, shape, _ = NETS[name]
    return model_of(module(), shape, dtype=torch.float64)


@pytest.mark.parametrize("name", NETS)
def test_the_card_names_the_axes_of_a_layer(name: str) -> None:
    layers = {alias: layer for layer in made(name).card.layers for alias in (layer.name, *layer.aliases)}
    assert {layer: layers[layer].axes for layer in NETS[name][2]} == NETS[name][2]
    assert all(len(layer.axes) in (0, len(layer.shape)) for layer in layers.values())


@pytest.mark.parametrize(
    ("name", "layer", "word", "axis", "count"),
    [
        ("dense over steps", "0", "channel", 2, 4),
        ("dense over steps", "0", "token", 1, 5),
        ("convolutions", "0", "channel", 1, 4),
        ("lstm", "rnn", "channel", 2, 4),
        ("lstm", "rnn", "token", 1, 5),
        ("patches", "mix", "channel", 2, 6),
        ("patches", "mix", "token", 1, 4),
        ("channels last", "up", "channel", 3, 6),
    ],
)
def test_a_channel_and_a_token_are_what_they_are_called(
    name: str, layer: str, word: str, axis: int, count: int
) -> None:
    """The gradient of its sum over the other axes, in float64 autograd."""
    model = made(name)
    x = torch.randn(2, *NETS[name][1], generator=torch.Generator().manual_seed(1)).double()
    (target,) = parse_targets({"layer": layer, word: 1}, model.card)
    node, leaf = model.graph.find(layer), x.clone().requires_grad_()
    assert node is not None
    value = model.graph.run(leaf, [node.index])[1][node.index]
    expected = torch.autograd.grad(value.select(axis, 1).sum(), leaf)[0]
    torch.testing.assert_close(attribution(model, batch_of(x, target), name="gradient"), expected)
    with pytest.raises(InvalidTarget, match=f"the {word} of .* from 0 to {count - 1}"):
        parse_targets({"layer": layer, word: count}, model.card)


def test_where_nothing_is_called_so_the_refusal_says_what_to_send() -> None:
    unknown = model_of(Mixed(), (3,))
    layer = next(layer for layer in unknown.card.layers if layer.op == "mul")
    for model, at, word, told in (
        (unknown, layer.name, "channel", r"not known; .*\"index\": \[0, 0\]"),
        (made("convolutions"), "0", "token", r"its axes are channel, height, width.*\"channel\": 0"),
    ):
        with pytest.raises(InvalidTarget, match=told):
            parse_targets({"layer": at, word: 0}, model.card)
    (unit,) = parse_targets({"layer": layer.name, "index": [0, 0]}, unknown.card)
    assert attribution(unknown, batch_of(torch.ones(1, 3), unit), name="gradient").any()


def test_conditional_relevance_chooses_channels_along_their_axis() -> None:
    model = made("dense over steps")
    x = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1)).double()
    parts = [
        attribution(model, batch_of(x, 0), name="lrp", composite="zero", units=[{"layer": "1", "channels": [c]}])
        for c in range(4)
    ]
    whole = attribution(model, batch_of(x, 0), name="lrp", composite="zero")
    torch.testing.assert_close(torch.stack(parts).sum(0), whole)
    with pytest.raises(InvalidParameter, match="0 to 3"):
        parse_method({"name": "lrp", "units": [{"layer": "1", "channels": [4]}]}).refuse(model)


def test_targets_of_the_first_axis_keep_their_ids() -> None:
    old = {"kind": "unit", "layer": "conv1", "channel": 2, "index": None}
    assert UnitTarget(layer="conv1", channel=2).model_dump(mode="json") == old
    gradient = parse_method("gradient")
    ids = {
        Job(model="sha256:m", input="sha256:i", target=target, method=gradient).id
        for target in (
            UnitTarget(layer="0", channel=1), UnitTarget(layer="0", channel=1, axis=1), UnitTarget(layer="0", token=1),
        )
    }  # fmt: skip
    assert len(ids) == 3
