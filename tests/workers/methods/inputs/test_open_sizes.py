"""Models of open sizes: an input of any length, explained as by the model that was exported for that length alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.several import model_of_inputs
from tests.toys import model_of
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.card import OPEN, InputSpec
from workers.explanation.errors import InvalidTarget, InvalidTensor
from workers.explanation.request_target import check_target, parse_targets
from workers.explanation.target import ClassTarget, UnitTarget
from workers.methods.method import parse_method


class UNet(nn.Module):
    """Two levels; what comes out has the places of what goes in."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.bottom = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.up, self.head = nn.ConvTranspose2d(6, 4, 2, 2), nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.relu(self.down(x))
        below = torch.relu(self.norm(self.bottom(torch.max_pool2d(seen, 2))))
        output: Tensor = self.head(torch.cat([seen, self.up(below)], 1))
        return output


class Series(nn.Module):
    """A series of any length, pooled over it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv1d(2, 5, 3, padding=1), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.head(torch.relu(self.conv(x)).mean(2))
        return output


NETS = {
    "u-net": (UNet, InputSpec.model_validate({"shape": (3, "*", "*")}), (3, 16, 24), "segmentation"),
    "series": (Series, InputSpec.model_validate({"shape": (2, "*"), "axes": ("channel", "time")}), (2, 31), "logits"),
}


def loaded(name: str) -> tuple[nn.Module, Model]:
    make, spec, _, output = NETS[name]
    torch.manual_seed(0)
    module = make().eval()
    traced = torch.randn(2, *[12 if size == OPEN else size for size in spec.shape])
    model = model_of_inputs(module, {"input": spec}, {"input": traced}, output=output)
    return module, model


@pytest.mark.parametrize("method", ["integrated_gradients", "lrp", "deep_lift", "occlusion", "kernel_shap"])
@pytest.mark.parametrize("name", NETS)
def test_any_size_is_explained_as_if_it_were_the_only_one(name: str, method: str) -> None:
    module, model = loaded(name)
    _, _, shape, output = NETS[name]
    alone = model_of(module.float(), shape, torch.float64, output=output)
    sized = model.sized((shape,))
    assert sized.card.outputs == alone.card.outputs
    x = torch.randn(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    configured = parse_method({"name": method, "samples": 400} if method == "kernel_shap" else method)
    found, expected = (
        configured.explain(one, Batch(x, [ClassTarget(index=1)] * 2, [0, 0])).arrays["attribution"]
        for one in (sized, alone)
    )
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), rtol=1e-6, atol=1e-10)


def test_the_card_says_what_is_open() -> None:
    _, model = loaded("u-net")
    told = model.published.model_dump(mode="json")
    assert list(told["outputs"]) == [2, "*", "*"]
    shapes = {layer["name"]: list(layer["shape"]) for layer in told["layers"]}
    assert shapes["bottom"] == [6, "*", "*"]
    assert parse_targets({"layer": "bottom", "index": [5, 400, 3]}, model.published)


def test_what_a_size_has_not_is_refused() -> None:
    _, model = loaded("u-net")
    with pytest.raises(InvalidTensor, match="does not take the size"):
        model.sized(((3, 15, 16),))
    with pytest.raises(InvalidTarget, match="for an input of this size"):
        check_target(UnitTarget(layer="bottom", index=(5, 8, 0)), model.sized(((3, 16, 16),)).card)
    check_target(UnitTarget(layer="bottom", index=(5, 7, 0)), model.sized(((3, 16, 16),)).card)


@pytest.mark.parametrize("most", [20, 100])
def test_a_table_of_places_says_how_long_an_input_may_be(most: int) -> None:
    """Longer ones are refused as the input's fault; the card's open axes are told by a size that the table has."""

    class Placed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places, self.head = nn.Embedding(9, 4), nn.Embedding(most, 4), nn.Linear(4, 3)

        def forward(self, ids: Tensor) -> Tensor:
            output: Tensor = self.head(torch.relu(self.tokens(ids) + self.places(torch.arange(ids.shape[1]))).mean(1))
            return output

    spec = InputSpec.model_validate({"shape": ("*",), "dtype": "int64", "axes": ("token",)})
    model = model_of_inputs(Placed(), {"input": spec}, {"input": torch.ones(2, min(most, 64)).long()})
    assert next(layer for layer in model.published.layers if layer.name == "tokens").shape == (OPEN, 4)
    assert model.sized(((most,),)).card.outputs == (3,)
    with pytest.raises(InvalidTensor, match=rf"does not take the size \[{most + 1}\]"):
        model.sized(((most + 1,),))


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_what_is_shorter_than_a_kernel_is_told_as_the_inputs_fault(length: int) -> None:
    class Valid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv1d(2, 5, 5), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.head(torch.relu(self.conv(x)).mean(2))
            return output

    spec = InputSpec.model_validate({"shape": (2, "*")})
    model = model_of_inputs(Valid(), {"input": spec}, {"input": torch.randn(2, 2, 12)})
    assert model.sized(((2, 5),)).card.input.shape == (2, 5)
    with pytest.raises(InvalidTensor):
        model.sized(((2, length),))
