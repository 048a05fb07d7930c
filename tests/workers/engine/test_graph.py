"""The exported graph: names, rewrites that keep the function, and passes that many may share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, inputs, model_of, net
from workers.engine.graph.graph import Graph
from workers.engine.graph.tape import Tape
from workers.explanation.errors import InvalidFolder, InvalidParameter, InvalidTarget
from workers.explanation.target import UnitTarget
from workers.methods.catalogue import parse_method


class Twice(nn.Module):
    """A linear layer and a ReLU used twice, a functional ReLU and a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        self.act = nn.ReLU()
        self.block = nn.Sequential(nn.Linear(4, 4), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.l(x))
        x = self.act(self.l(x))
        x = torch.relu(x) + x
        output: Tensor = self.block(x)
        return output


def test_layers_go_by_their_modules_path_else_by_their_nodes_name() -> None:
    graph = model_of(Twice(), (4,)).graph
    assert [node.layer for node in graph.nodes] == [
        "input", "l", "act", "l@1", "act@1", "relu_2", "add", "block.0", "block.1",
    ]  # fmt: skip
    found = graph.find("block")
    assert found is not None
    assert found.layer == "block.1"
    assert graph.find("nowhere") is None


def test_every_node_is_named_once() -> None:
    layers = [node.layer for node in model_of(net(), (1, 8, 8)).graph.nodes]
    assert len(layers) == len(set(layers))


def test_the_graph_computes_what_the_module_does() -> None:
    module, x = net(), inputs(3)
    model = model_of(module, (1, 8, 8))
    expected = module(x.clone()).detach()
    torch.testing.assert_close(model.graph.run(x)[0], expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(model.folded.run(x)[0], expected, rtol=1e-5, atol=1e-5)
    assert not {"batch_norm", "dropout", "relu_"} & {node.op for node in model.folded.nodes}


@pytest.mark.parametrize(
    ("linear", "norm", "shape"),
    [
        (nn.Conv2d(2, 4, 3, groups=2), nn.BatchNorm2d(4), (2, 6, 6)),
        (nn.ConvTranspose2d(4, 6, 3, groups=2, stride=2), nn.BatchNorm2d(6), (4, 5, 5)),
        (nn.Conv1d(2, 3, 3, dilation=2, bias=False), nn.BatchNorm1d(3), (2, 9)),
        (nn.Conv3d(1, 2, 2), nn.BatchNorm3d(2, affine=False), (1, 4, 4, 4)),
        (nn.Linear(5, 3), nn.BatchNorm1d(3), (5,)),
    ],
    ids=["grouped", "transposed", "1d", "3d", "linear"],
)
def test_batch_norm_folds_into_every_linear_layer(linear: nn.Module, norm: nn.Module, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    for name, values in norm.state_dict().items():
        if name != "num_batches_tracked":
            values.uniform_(0.5, 2)
    model = model_of(nn.Sequential(linear, norm, nn.ReLU(), nn.Flatten()), shape, dtype=torch.float64)
    x = torch.randn(2, *shape, dtype=torch.float64)
    assert len(model.folded.nodes) == len(model.graph.nodes) - 1
    torch.testing.assert_close(model.folded.run(x)[0], model.graph.run(x)[0], rtol=1e-10, atol=1e-10)


def test_batch_norm_stays_where_its_layer_has_another_reader() -> None:
    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return (self.bn(y) + y).flatten(1)  # type: ignore[no-any-return]  # modules return Any

    model = model_of(Forked(), (1, 8))
    assert "batch_norm" in {node.op for node in model.folded.nodes}


def test_readers_after_an_in_place_call_see_the_new_value() -> None:
    class InPlace(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x * 2
            z = y + 1
            y.relu_()
            return y + z

    x = torch.tensor([[-1.0, 2.0]])
    assert model_of(InPlace(), (2,)).graph.run(x)[0].tolist() == [[-1.0, 9.0]]


def test_writing_into_a_view_that_is_read_later_is_refused() -> None:
    class Viewed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x * 2
            y[:, 0].add_(1)
            return y

    with pytest.raises(InvalidFolder, match="in place"):
        model_of(Viewed(), (2,))


def test_several_outputs_of_which_none_is_chosen_are_refused() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x + 1

    with pytest.raises(InvalidFolder, match=r"the model returns 0 .*; 1 .*; say which is explained, as select = 0"):
        model_of(Two(), (2,))


def test_several_methods_on_one_batch_share_one_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    record = Tape.__init__

    def counted(tape: Tape, graph: Graph, x: Tensor) -> None:
        made.append(1)
        record(tape, graph, x)

    monkeypatch.setattr(Tape, "__init__", counted)
    model, batch = model_of(net(), (1, 8, 8)), batch_of(inputs(2))
    shared = [
        parse_method(name).explain(model, batch.sharing(batch.targets, batch.seeds)).arrays["attribution"]
        for name in ("gradient", "lrp", "grad_cam", "input_times_gradient")
    ]
    assert len(made) == 1
    alone = [
        parse_method(name).explain(model, batch_of(inputs(2))).arrays["attribution"]
        for name in ("gradient", "lrp", "grad_cam", "input_times_gradient")
    ]
    for together, single in zip(shared, alone, strict=True):
        torch.testing.assert_close(together, single)


def test_eight_threads_on_one_model_get_the_serial_results() -> None:
    """Hook libraries fail this: most of their results are wrong, without a word."""
    model = model_of(net(), (1, 8, 8), image=True)
    methods = ["gradient", "lrp", "grad_cam", {"name": "integrated_gradients", "steps": 5},
               {"name": "lrp", "composite": "gamma"}, {"name": "smooth_grad", "samples": 3}]  # fmt: skip

    def run(i: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        method = parse_method(methods[i % len(methods)])
        rows = method.explain(model, batch_of(inputs(2, seed=i % 7), i % 3, seeds=[i, i])).rows()
        return np.stack([row.arrays["attribution"] for row in rows])

    serial = [run(i) for i in range(400)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(run, range(400)))
    for one, other in zip(serial, together, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def test_a_layer_that_batch_norm_is_folded_into_is_never_taken_for_the_norm() -> None:
    """What a tape holds there is the norm's output: gradients go round it, propagation says what to name."""
    module, x = net(), inputs(2)
    model = model_of(module, (1, 8, 8))
    unit = UnitTarget(layer="conv1", channel=2)
    found = parse_method("gradient").explain(model, batch_of(x, unit)).arrays["attribution"]
    leaf = x.clone().requires_grad_()
    torch.testing.assert_close(found, torch.autograd.grad(module.conv1(leaf)[:, 2].sum(), leaf)[0])
    with pytest.raises(InvalidTarget, match="bn1 is folded into conv1"):
        parse_method("lrp").explain(model, batch_of(x, unit))
    with pytest.raises(InvalidParameter, match="bn1 is folded into conv1"):
        parse_method({"name": "grad_cam", "layer": "conv1"}).refuse(model)
    after = UnitTarget(layer="bn1", channel=2)
    parse_method("lrp").explain(model, batch_of(x, after))
    slope = parse_method("gradient").explain(model, batch_of(x, after)).arrays["attribution"]
    leaf = x.clone().requires_grad_()
    expected = torch.autograd.grad(module.bn1(module.conv1(leaf))[:, 2].sum(), leaf)[0]
    torch.testing.assert_close(slope, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["gradient", "lrp", "grad_cam"])
def test_the_predicted_class_comes_from_the_pass_that_explains_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A forward pass of its own for the prediction would cost a third of the throughput."""
    model, batch = model_of(net(), (1, 8, 8)), batch_of(inputs(2))

    def forward(x: Tensor) -> Tensor:
        raise AssertionError("a second forward pass")

    monkeypatch.setattr(model, "forward", forward)
    parse_method(name).explain(model, batch)
    assert len(model.prediction(batch)) == 2
