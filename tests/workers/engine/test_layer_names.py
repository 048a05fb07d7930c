"""No two layers share a name, whatever inputs, modules, calls, outputs and buffers are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.several import model_of_inputs, toy
from workers.engine.graph.graph import Graph
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.explanation.request_target import parse_targets
from workers.methods.method import parse_method


class Prompted(nn.Module):
    """Two modules named as the inputs that they read."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.prompt, self.head = nn.Linear(4, 3), nn.Linear(4, 5), nn.Linear(8, 2)

    def forward(self, image: Tensor, prompt: Tensor) -> Tensor:
        output: Tensor = self.head(torch.cat([torch.tanh(self.image(image)), torch.tanh(self.prompt(prompt))], 1))
        return output


class Input(nn.Module):
    """The first module is called as all that a model takes is."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.head = nn.Sequential(nn.Linear(4, 5), nn.ReLU()), nn.Linear(5, 2)

    def forward(self, row: Tensor) -> Tensor:
        output: Tensor = self.head(self.input(row))
        return output


class Steps(nn.Module):
    """A recurrent layer of that name, and a call that is named like another module."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.tanh, self.head = nn.LSTM(2, 3, batch_first=True), nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, series: Tensor) -> Tensor:
        output: Tensor = self.head(self.tanh(torch.tanh(self.input(series)[0][:, -1])))
        return output


class Calls(nn.Module):
    """Calls named like modules that come later, one of them a number behind its name."""

    def __init__(self) -> None:
        super().__init__()
        self.tanh, self.tanh_1, self.linear = nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, row: Tensor) -> Tensor:
        h = torch.tanh(functional.linear(row, self.tanh_1.weight))
        output: Tensor = self.linear(self.tanh(self.tanh_1(torch.tanh(h))))
        return output


class Nested(nn.Module):
    """Modules within modules, called as inputs, as the list of these, and as calls are."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = nn.ModuleDict({"left": nn.Linear(4, 3), "inputs": nn.Sequential(nn.Linear(4, 3), nn.Tanh())})
        self.inputs_1, self.reshape = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, inputs: Tensor, left: Tensor) -> Tensor:
        h = self.inputs["left"](left) * self.inputs["inputs"](inputs)
        output: Tensor = self.reshape(self.inputs_1(h.reshape(-1, 3)))
        return output


class Buffers(nn.Module):
    """Buffers and weights called as inputs are, and inputs as torch calls these."""

    row: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("row", torch.tensor([1.0, 2.0, 3.0, 4.0]))
        self.head = nn.Linear(4, 2)

    def forward(self, row: Tensor, b_row: Tensor, p_head_weight: Tensor) -> Tensor:
        output: Tensor = self.head(row * self.row + torch.tanh(b_row) * p_head_weight)
        return output


ROW, SERIES = InputSpec(shape=(4,)), InputSpec(shape=(3, 2))
NETS: dict[str, tuple[Callable[[], nn.Module], dict[str, InputSpec]]] = {
    "prompted": (Prompted, {"image": ROW, "prompt": ROW}),
    "prompted, by place": (Prompted, {"head": ROW, "cat": ROW}),
    "input": (Input, {"row": ROW}),
    "input, by name": (Input, {"input": ROW}),
    "steps": (Steps, {"series": SERIES}),
    "calls": (Calls, {"row": ROW}),
    "calls, by name": (Calls, {"tanh": ROW}),
    "nested": (Nested, {"inputs": ROW, "left": ROW}),
    "nested, by place": (Nested, {"output": ROW, "input": ROW}),
    "buffers": (Buffers, {"row": ROW, "b_row": ROW, "p_head_weight": ROW}),
    "buffers, by place": (Buffers, {"p_head_bias": ROW, "b_row_1": ROW, "row_1": ROW}),
}


@pytest.fixture(params=NETS)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Model, dict[str, Tensor]]:
    make, specs = NETS[request.param]
    torch.manual_seed(0)
    module, draw = make().eval(), torch.Generator().manual_seed(1)
    rows = {name: torch.randn(2, *spec.shape, generator=draw) for name, spec in specs.items()}
    return module.double(), model_of_inputs(module.float(), specs, rows), {k: r.double() for k, r in rows.items()}


def names(graph: Graph) -> Counter[str]:
    """How many nodes have each name."""
    return Counter(name for node in graph.nodes for name in {node.layer, *node.aliases})


def hooked(module: nn.Module, rows: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What each module that is called once returns, and the gradients of the first number of it by input."""
    values: dict[str, Any] = {}
    given = {name: row.clone().requires_grad_() for name, row in rows.items()}
    hooks = [
        one.register_forward_hook(lambda _, __, out, path=path: values.__setitem__(path, out))
        for path, one in module.named_modules() if path
    ]  # fmt: skip
    module.double()(*given.values())
    for hook in hooks:
        hook.remove()
    return {path: out for path, out in values.items() if isinstance(out, Tensor)}, given


def test_no_two_layers_share_a_name(case: tuple[nn.Module, Model, dict[str, Tensor]]) -> None:
    _, model, _ = case
    for graph in (model.graph, model.folded):
        shared = {name: n for name, n in names(graph).items() if n > 1}
        assert not shared
    assert model.layer("input").index == 0


def test_a_unit_of_a_module_is_the_module_s_own(case: tuple[nn.Module, Model, dict[str, Tensor]]) -> None:
    module, model, rows = case
    values, given = hooked(module, rows)
    assert values
    for path, value in values.items():
        name = path if path != "input" else next(n for n in ("input_1", "input_2") if model.card.layer(n))
        found = model.card.layer(name)
        assert found is not None
        assert found.shape == tuple(value.shape[1:])
        (target,) = parse_targets({"layer": name, "index": [0] * len(found.shape)}, model.card)
        batch = Batch(model.join(rows), [target] * 2)
        slope = parse_method("gradient").explain(model, batch).arrays["attribution"]
        exact = torch.autograd.grad(
            value[:, 0].sum(), [*given.values()], retain_graph=True, allow_unused=True, materialize_grads=True
        )
        expected = exact[0] if not model.card.input.parts else torch.cat([one.flatten(1) for one in exact], 1)
        torch.testing.assert_close(torch.as_tensor(slope), expected)


def test_relevance_is_read_at_what_is_named(case: tuple[nn.Module, Model, dict[str, Tensor]]) -> None:
    module, model, rows = case
    values, _ = hooked(module, rows)
    x = model.join(rows)
    batch = Batch(x, parse_targets([0] * len(x), model.card))
    assert parse_method("lrp").explain(model, batch).arrays["attribution"].shape == x.shape
    for path in values.keys() - {"input"}:
        found = parse_method({"name": "lrp", "to": path}).explain(model, batch).arrays["attribution"]
        assert found.shape == values[path].shape


class Outputs(nn.Module):
    """Outputs called as modules and inputs that they are not, one of them as it was given, one cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.scores, self.boxes, self.drop = nn.Linear(4, 3), nn.Sequential(nn.Linear(4, 2), nn.Tanh()), nn.Dropout()

    def forward(self, row: Tensor) -> dict[str, Any]:
        raw, near = self.scores(row), self.boxes(row)
        return {"boxes": raw.exp(), "scores": near.square(), "sum": near + 1, "tanh": self.drop(raw), "row": row}


@pytest.mark.parametrize("select", ["scores", "boxes", "tanh"])
def test_an_output_is_reached_by_its_name_though_a_module_has_it(select: str) -> None:
    torch.manual_seed(0)
    module, x = Outputs().eval(), torch.randn(2, 4, generator=torch.Generator().manual_seed(1))
    model = model_of_inputs(module, {"row": ROW}, {"row": x}, output="value", select=select)
    x = x.double().requires_grad_()
    expected = module.double()(x)
    assert model.card.returned.keys() == {"boxes", "scores", "sum", "tanh"}
    assert max(names(model.graph).values()) == 1
    for name in model.card.returned:
        (target,) = parse_targets({"output": name, "index": [1]}, model.card)
        found = parse_method("gradient").explain(model, Batch(x.detach(), [target] * 2)).arrays["attribution"]
        (slope,) = torch.autograd.grad(expected[name][:, 1].sum(), x, retain_graph=True)
        torch.testing.assert_close(torch.as_tensor(found), slope)
    for path in ("scores", "boxes"):
        (target,) = parse_targets({"layer": path, "index": [1]}, model.card)
        found = parse_method("gradient").explain(model, Batch(x.detach(), [target] * 2)).arrays["attribution"]
        (slope,) = torch.autograd.grad(module.get_submodule(path)(x)[:, 1].sum(), x)
        torch.testing.assert_close(torch.as_tensor(found), slope)


@pytest.mark.parametrize(
    ("name", "first"),
    [("image and row", ["image", "row_1"]), ("siamese", ["left", "right"]), ("rgbd", ["rgb", "depth"])],
)
def test_inputs_are_listed_in_the_order_in_which_the_model_takes_them(name: str, first: list[str]) -> None:
    _, model, _ = toy(name)
    assert [layer.name for layer in model.card.layers[:2]] == first
