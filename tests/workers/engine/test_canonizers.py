"""Rewrites of the exported graph: the function stays, and relevance does not depend on how a model was written."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, exported, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidFolder


def jolted(norm: nn.Module) -> nn.Module:
    """A batch norm that is not the identity."""
    generator = torch.Generator().manual_seed(3)
    for name, values in norm.state_dict().items():
        if name != "num_batches_tracked":
            values.uniform_(0.5, 2, generator=generator)
    return norm


BEFORE = {
    "linear": (nn.BatchNorm1d(5), nn.Linear(5, 3), (5,)),
    "without bias": (nn.BatchNorm1d(5), nn.Linear(5, 3, bias=False), (5,)),
    "grouped": (nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, groups=2), (4, 6, 6)),
    "valid": (nn.BatchNorm1d(2), nn.Conv1d(2, 3, 3, padding="valid", dilation=2), (2, 9)),
    "unaffine": (nn.BatchNorm3d(1, affine=False), nn.Conv3d(1, 2, 2, stride=2), (1, 4, 4, 4)),
}


@pytest.mark.parametrize("name", BEFORE)
def test_batch_norm_folds_into_the_layer_after_it(name: str) -> None:
    norm, linear, shape = BEFORE[name]
    torch.manual_seed(0)
    model = model_of(nn.Sequential(jolted(norm), linear, nn.Flatten()), shape, dtype=torch.float64)
    x = torch.randn(2, *shape, dtype=torch.float64)
    assert "batch_norm" not in {node.op for node in model.folded.nodes}
    torch.testing.assert_close(model.folded.run(x)[0], model.graph.run(x)[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.BatchNorm2d(2), nn.Conv2d(2, 2, 3, padding=1)],  # the zeros around are not what the norm makes of zeros
        [nn.BatchNorm2d(2), nn.ConvTranspose2d(2, 2, 3)],  # the border's outputs read fewer channels' values
        [nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 1)],
    ],
    ids=["padded", "transposed", "between"],
)
def test_batch_norm_stays_where_folding_would_change_the_function(layers: list[nn.Module]) -> None:
    model = model_of(nn.Sequential(jolted(layers[0]), *layers[1:], nn.Flatten()), (2, 5, 5), dtype=torch.float64)
    x = torch.randn(2, 2, 5, 5, dtype=torch.float64)
    assert "batch_norm" in {node.op for node in model.folded.nodes}
    torch.testing.assert_close(model.folded.run(x)[0], model.graph.run(x)[0], rtol=1e-10, atol=1e-10)


class Everything(nn.Module):
    """Layers that a decomposed export spells otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.group, self.layer, self.rms = nn.GroupNorm(2, 4), nn.LayerNorm(4), nn.RMSNorm(4)
        self.attention, self.fc = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 3)
        jolted(self.bn)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.gelu(self.group(self.bn(self.conv(x)))).flatten(2).transpose(1, 2)
        y = self.layer(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        output: Tensor = self.fc(self.rms(x).mean(1))
        return output


@pytest.mark.parametrize(
    "preset", ["epsilon_plus_flat", *(pytest.param(name, marks=pytest.mark.slow) for name in ("epsilon", "gamma"))]
)
def test_a_decomposed_program_is_explained_as_the_whole_one(preset: str) -> None:
    torch.manual_seed(0)
    module, x = Everything(), inputs(2, shape=(1, 6, 6)).double()
    whole = model_of(module, (1, 6, 6), dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = exported(module, (1, 6, 6)).run_decompositions()
    decomposed = Model.from_program(whole.spec, program, dtype=torch.float64)
    ops = {node.op for node in decomposed.folded.nodes}
    assert {"group_norm", "layer_norm", "softmax", "bmm", "linear"} <= ops
    assert "scaled_dot_product_attention" not in ops
    left, right = (attribution(m, batch_of(x, 1), name="lrp", composite=preset) for m in (whole, decomposed))
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


def test_what_does_not_depend_on_the_input_is_computed_once() -> None:
    """A mask written in place, as windowed attention makes it, is a constant of the graph."""

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.arange(6.0))

        def forward(self, x: Tensor) -> Tensor:
            mask = x.new_zeros((3, 2))
            for i in range(3):
                mask[i : i + 1, :] = i
            bias = self.table[torch.tensor([5, 0])].clone()
            bias[:1].zero_()
            return x + mask * 10 + bias

    model = model_of(Masked(), (3, 2))
    assert [node.op for node in model.graph.nodes] == ["input", "add", "add"]
    x = inputs(2, shape=(3, 2))
    torch.testing.assert_close(model.forward(x), x + torch.tensor([[0.0, 0], [10, 10], [20, 20]]))


def test_a_constant_that_the_input_is_written_into_stays() -> None:
    class Written(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = torch.zeros(2)
            before = y + x
            y.add_(1)
            return before + y

    x = torch.tensor([[1.0, 2.0]])
    assert model_of(Written(), (2,)).forward(x).tolist() == [[2.0, 3.0]]


def test_random_numbers_are_no_constants() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.rand(2)

    assert "rand" in {node.op for node in model_of(Noisy(), (2,)).graph.nodes}


def test_memory_that_a_view_asks_for_is_no_part_of_the_function() -> None:
    class Viewed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.transpose(1, 2).contiguous().view(-1, 6)

    x = inputs(2, shape=(2, 3))
    torch.testing.assert_close(model_of(Viewed(), (2, 3)).forward(x), x.transpose(1, 2).reshape(-1, 6))


def test_a_batch_norm_that_returns_its_statistics_is_folded() -> None:
    whole = model_of(net(), (1, 8, 8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = exported(net(), (1, 8, 8)).run_decompositions()
    decomposed = Model.from_program(whole.spec, program)
    torch.testing.assert_close(decomposed.folded.run(inputs())[0], whole.graph.run(inputs())[0], rtol=1e-5, atol=1e-5)
    assert "batch_norm" not in {node.op for node in decomposed.folded.nodes}


class Regions(nn.Module):
    """A layer run without gradients, and within that a region where mixed precision is off."""

    def __init__(self, precise: bool = True) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.precise = precise

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = self.fc(x)
            with torch.autocast("cpu", enabled=not self.precise):
                z = torch.relu(y)
        output: Tensor = y + z * 2
        return output


def test_regions_are_part_of_the_graph() -> None:
    module, x = Regions(), inputs(2, shape=(4,))
    model = model_of(module, (4,))
    assert [node.op for node in model.graph.nodes] == ["input", "linear", "relu", "mul", "add"]
    assert model.graph.nodes[1].layer == "fc"
    torch.testing.assert_close(model.forward(x), module(x))
    assert attribution(model, batch_of(x, 0), name="gradient").any()


def test_mixed_precision_is_computed_as_the_rest_is() -> None:
    mixed, precise = Regions(precise=False), Regions()
    precise.load_state_dict(mixed.state_dict())
    x = inputs(2, shape=(4,))
    torch.testing.assert_close(model_of(mixed, (4,)).forward(x), precise(x))


def test_control_flow_is_refused() -> None:
    class Chooses(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            chosen: Tensor = torch.cond(x.sum() > 0, lambda x: x * 2, lambda x: x * 3, (x,))
            return chosen

    with pytest.raises(InvalidFolder, match="by the values it meets"):
        model_of(Chooses(), (4,))
