"""Class activation maps of layers whose channels are not first, and of several inputs, by autograd on the module."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from tests.oracles import vision
from tests.several import IMAGE, ROW, ImageAndRow, batch_of_inputs, model_of_inputs, rows_of, toy
from tests.toys import batch_of, inputs, model_of
from workers.engine.layers.spatial import spatial_layer, spatial_layers
from workers.engine.model.batch import Batch
from workers.engine.model.inputs import named
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.methods.catalogue import parse_method
from workers.methods.method import Method

CAMS = ("grad_cam", "grad_cam_plus_plus", "layer_cam", "score_cam", "guided_grad_cam")


class Behind(nn.Module):
    """Channels behind the places, as in Swin and ConvNeXt; as many as there are rows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patch, self.norm, self.inner = nn.Conv2d(1, 4, 2, stride=2), nn.LayerNorm(4), nn.Linear(4, 4)
        self.head = nn.Linear(4, 3)

    def places(self, x: Tensor) -> Tensor:
        seen = self.norm(self.patch(x).permute(0, 2, 3, 1))
        found: Tensor = seen + torch.tanh(self.inner(seen))
        return found

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.places(x).mean((1, 2)))
        return scores


class Turned(nn.Module):
    """A picture whose height and width change places before the layer that is looked at."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4 * 6 * 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(torch.relu(self.conv(x).transpose(2, 3)).flatten(1))
        return scores


class Modulated(nn.Module):
    """A picture whose channels another picture scales, of which no place is left by then."""

    def __init__(self) -> None:
        super().__init__()
        self.content, self.style, self.head = nn.Conv2d(1, 3, 3), nn.Conv2d(1, 3, 3), nn.Linear(3 * 36, 2)

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        scale = self.style(style).tanh().mean((2, 3), keepdim=True)
        scores: Tensor = self.head(torch.relu(self.content(content) * scale).flatten(1))
        return scores


def weighted(values: Tensor, score: Tensor) -> Tensor:
    """Grad-CAM of values (n, channels, height, width), as Selvaraju et al. write it."""
    (slopes,) = torch.autograd.grad(score.sum(), values, retain_graph=True)
    return (values * slopes.mean((2, 3), keepdim=True)).sum(1, keepdim=True).relu().detach()


def explained(model: Model, batch: Batch, name: str | Method, **parameters: object) -> dict[str, Tensor]:
    """The arrays of a result as they are stored."""
    method = parse_method({"name": name, **parameters} if isinstance(name, str) else name)
    method.refuse(model)
    found = named(method.explain(model, batch), model.card.input, method.of_places(), method.speaks_of(model))
    return {key: torch.as_tensor(array) for key, array in found.arrays.items()}


def test_channels_behind_the_places_are_channels() -> None:
    module, x = Behind().double(), inputs(2).double()
    model = model_of(Behind(), (1, 8, 8), torch.float64)
    values = module.places(x)
    score = module.head(values.mean((1, 2)))[:, 1]
    (slopes,) = torch.autograd.grad(score.sum(), values)
    expected = (values * slopes.mean((1, 2), keepdim=True)).sum(3).relu()[:, None].detach()
    found = explained(model, batch_of(x, 1), "grad_cam")
    torch.testing.assert_close(found["map"], expected)
    torch.testing.assert_close(found["attribution"], interpolate(expected, (8, 8), mode="bilinear"))


def test_cam_of_channels_behind_averages_to_the_logit_less_its_bias() -> None:
    module, x = Behind().double(), inputs(2).double()
    found = explained(model_of(Behind(), (1, 8, 8), torch.float64), batch_of(x, 1), "cam")["map"]
    expected = module(x)[:, 1] - module.head.bias[1]
    torch.testing.assert_close(found.mean((1, 2, 3)), expected.detach())


def test_cam_refuses_a_mean_over_channels() -> None:
    class Across(Behind):
        def forward(self, x: Tensor) -> Tensor:
            scores: Tensor = self.head(self.places(x).mean((2, 3)))
            return scores

    with pytest.raises(MethodNotApplicable, match="does not average all places"):
        parse_method("cam").refuse(model_of(Across(), (1, 8, 8)))


def test_places_lie_as_those_of_the_input() -> None:
    model = model_of(Turned(), (1, 8, 6), torch.float64, image=True)
    module, x = Turned().double(), torch.randn(2, 1, 8, 6, dtype=torch.float64)
    values = module.conv(x)
    relu = torch.relu(values)
    score = module.head(relu.transpose(2, 3).flatten(1))[:, 1]
    torch.testing.assert_close(explained(model, batch_of(x, 1), "grad_cam")["map"], weighted(relu, score))


def test_what_dreams_and_dissects_counts_channels_behind_the_places() -> None:
    layer = spatial_layer(model_of(Behind(), (1, 12, 16)), "inner")
    assert (layer.channels, layer.ordered(torch.zeros(2, 6, 8, 4)).shape) == (4, (2, 4, 6, 8))


def test_of_an_image_and_a_row_the_image_has_a_map() -> None:
    module, model, rows = toy("image and row")
    assert isinstance(module, ImageAndRow)
    seen = module.pool(torch.relu(module.conv(rows["image"])))
    score = module.head(torch.cat([seen.flatten(1), torch.relu(module.row(rows["row"]))], 1))[:, 1]
    small = weighted(seen, score)
    found = explained(model, batch_of_inputs(model, rows), "grad_cam")
    assert found.keys() == {"attribution.image", "map.image"}
    torch.testing.assert_close(found["map.image"], small)
    torch.testing.assert_close(found["attribution.image"], interpolate(small, (8, 8), mode="bilinear"))


@pytest.mark.parametrize("name", CAMS)
def test_two_towers_have_a_map_each(name: str) -> None:
    """Of a picture by itself, as the other one is held, it is the map of a net of one input."""
    module, model, rows = toy("siamese")
    found = explained(model, batch_of_inputs(model, rows), name)

    class Left(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.of, self.right = module, rows["right"][:1]

        def forward(self, x: Tensor) -> Tensor:
            scores: Tensor = self.of(x, self.right * torch.ones_like(x))
            return scores

    alone = explained(
        model_of(Left(), (1, 8, 8), torch.float64), batch_of(rows["left"][:1], 1), name, layer="of.encoder.2"
    )
    assert found.keys() == {f"{kind}.{side}" for kind in ("attribution", "map") for side in ("left", "right")}
    torch.testing.assert_close(found["attribution.left"][:1], alone["attribution"])
    torch.testing.assert_close(found["map.left"][:1], alone["map"])


def test_pictures_that_are_stacked_share_the_map() -> None:
    _, model, rows = toy("rgbd")
    found = explained(model, batch_of_inputs(model, rows), "layer_cam")
    assert found["attribution.rgb"].shape == (3, 1, 8, 8)
    torch.testing.assert_close(found["attribution.rgb"], found["attribution.depth"])


def test_a_picture_that_only_scales_channels_has_no_map_of_the_layer() -> None:
    specs = {"content": InputSpec(shape=(1, 8, 8)), "style": InputSpec(shape=(1, 8, 8))}
    model = model_of_inputs(Modulated(), specs, rows_of(specs))
    found = [(one.node.op, [part.name for part in one.inputs]) for one in spatial_layers(model, None)]
    assert found == [("tanh", ["style"]), ("relu", ["content"])]
    assert [part.name for part in spatial_layer(model, "mul").inputs] == ["content"]


def test_a_layer_without_places_names_the_inputs_that_have_some() -> None:
    _, model, _ = toy("image and row")
    with pytest.raises(InvalidParameter, match="not channels by places of image"):
        parse_method({"name": "grad_cam", "layer": "row"}).refuse(model)


def test_without_any_picture_there_is_no_map() -> None:
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(10, 2)

        def forward(self, one: Tensor, other: Tensor) -> Tensor:
            scores: Tensor = self.head(torch.cat([one, other], 1))
            return scores

    specs = {"one": ROW, "other": ROW}
    with pytest.raises(MethodNotApplicable, match="no layer of this model keeps"):
        parse_method("grad_cam").refuse(model_of_inputs(Rows(), specs, rows_of(specs)))


def test_the_map_of_channels_last_input_lies_on_its_places() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.head = nn.Conv1d(2, 4, 3), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            scores: Tensor = self.head(torch.relu(self.conv(x.transpose(1, 2))).mean(2))
            return scores

    model = model_of(Last(), (9, 2), input=InputSpec(shape=(9, 2), axes=("time", "channel")))
    found = explained(model, batch_of(torch.randn(2, 9, 2), 1), "grad_cam")
    assert (found["attribution"].shape, found["map"].shape) == ((2, 9, 1), (2, 1, 7))


@pytest.mark.parametrize(
    "held",
    [
        {"name": "smooth_grad", "of": "grad_cam", "samples": 2},
        {"name": "consensus", "of": ["grad_cam", "layer_cam"]},
        {"name": "consensus", "of": ["grad_cam", "occlusion"]},
    ],
)
def test_what_holds_such_a_method_tells_of_the_same_inputs(held: dict[str, object]) -> None:
    _, model, rows = toy("image and row")
    found = explained(model, batch_of_inputs(model, rows, seeds=[0] * 3), parse_method(held))
    told = {key for key in found if key.startswith("attribution")}
    assert told == {"attribution.image"}
    assert found["attribution.image"].shape == (3, 1, 8, 8)


def test_a_map_can_be_judged_beside_a_row() -> None:
    _, model, rows = toy("image and row")
    found = explained(model, batch_of_inputs(model, rows, seeds=[0] * 3), "pixel_flipping", of="grad_cam")
    assert found["scores"].isfinite().all()


def test_of_several_an_input_that_is_called_input_keeps_its_name() -> None:
    specs = {"input": IMAGE, "row": ROW}
    rows = rows_of(specs)
    model = model_of_inputs(ImageAndRow(), specs, rows, torch.float32)
    found = explained(model, batch_of_inputs(model, rows), "grad_cam")
    assert found.keys() == {"attribution.input", "map.input"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swin", "convnext"])
def test_maps_of_torchvisions_nets_are_those_of_a_hook_at_their_last_block(name: str) -> None:
    models = vision().models
    torch.manual_seed(0)
    if name == "swin":
        module = models.SwinTransformer([2, 2], 8, [2, 2], [2, 2], [4, 4], num_classes=5)
    else:
        blocks = [models.convnext.CNBlockConfig(8, 16, 1), models.convnext.CNBlockConfig(16, None, 1)]
        module = models.ConvNeXt(blocks, num_classes=5)
    model = model_of(module, (3, 64, 64), torch.float64)
    module, x, kept = module.double().eval(), torch.randn(1, 3, 64, 64, dtype=torch.float64), []
    module.features[-1].register_forward_hook(lambda _, __, output: kept.append(output))
    score = module(x)[:, 1]
    values = kept[0].permute(0, 3, 1, 2) if name == "swin" else kept[0]
    (slopes,) = torch.autograd.grad(score.sum(), kept[0])
    slopes = slopes.permute(0, 3, 1, 2) if name == "swin" else slopes
    expected = (values * slopes.mean((2, 3), keepdim=True)).sum(1, keepdim=True).relu()
    torch.testing.assert_close(explained(model, batch_of(x, 1), "grad_cam")["map"], expected.detach())
