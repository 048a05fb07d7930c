"""Dropout that is an argument of a recurrent layer, or of attention: mc_dropout finds it, and switches it on."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.toys import inputs, model_of
from tests.workers.methods.uncertainty.uncertainty_runs import explained
from workers.engine.model.model import Model
from workers.explanation.errors import MethodNotApplicable
from workers.export import archive
from workers.methods.catalogue import parse_method
from workers.methods.uncertainty.mc_dropout.dropout_model import Stochastic, _masked
from workers.models.export.program import export_module

STEPS, RATE = 4, 0.4
GXI = "input_times_gradient"
KINDS: dict[str, Any] = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}


class Recurrent(nn.Module):
    """Recurrent layers with dropout between them, read at the last step."""

    def __init__(self, kind: str, layers: int = 2, both_ways: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.r = KINDS[kind](3, 4, layers, batch_first=True, dropout=RATE, bidirectional=both_ways)
        self.fc = nn.Linear(4 * (1 + both_ways), 2)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.r(x)[0][:, -1])
        return output


def by_layer(module: Recurrent, x: Tensor, masks: list[Tensor]) -> Tensor:
    """The same net, each of its layers a recurrent net of its own, with a mask for each step in between."""
    both_ways, layers = module.r.bidirectional, module.r.num_layers
    for at in range(layers):
        width = x.shape[-1]
        alone = type(module.r)(width, 4, 1, batch_first=True, bidirectional=both_ways).to(x.dtype)
        for name, value in module.r.named_parameters():
            if f"_l{at}" in name:
                getattr(alone, name.replace(f"_l{at}", "_l0")).data = value.detach().to(x.dtype)
        x = alone(x)[0]
        if at + 1 < layers:
            x = x * torch.stack(masks[at * STEPS : (at + 1) * STEPS])
    return nn.functional.linear(x[:, -1], module.fc.weight.to(x.dtype), module.fc.bias.to(x.dtype))


@pytest.mark.parametrize(
    ("kind", "layers", "both_ways"), [("gru", 2, False), ("lstm", 2, True), ("rnn", 3, False), ("gru", 3, True)]
)
def test_what_a_recurrent_layer_drops_is_dropped_at_each_step(kind: str, layers: int, both_ways: bool) -> None:
    """The maps are those of the net written out with masks drawn from the row's seed, alone and in a batch."""
    module, x = Recurrent(kind, layers, both_ways).eval(), inputs(2, shape=(STEPS, 3)).double()
    model = model_of(module, (STEPS, 3), dtype=torch.float64)
    rows = explained(model, "mc_dropout", x, 1, seeds=[5, 6], of=GXI, samples=3)
    width = 4 * (1 + both_ways)
    for row, (seed, one) in zip(rows, ((5, x[:1]), (6, x[1:])), strict=True):
        source = torch.Generator().manual_seed(seed)
        maps = []
        for _ in range(3):
            masks = [
                (torch.rand(width, generator=source) >= RATE).double() / (1 - RATE) for _ in range(STEPS * (layers - 1))
            ]
            leaf = one.clone().requires_grad_()
            (slope,) = torch.autograd.grad(by_layer(module, leaf, masks)[0, 1], leaf)
            maps.append((one * slope)[0])
        np.testing.assert_allclose(row.arrays["attribution"], torch.stack(maps).mean(0), rtol=1e-5, atol=1e-6)
    (alone,) = explained(model, "mc_dropout", x[1:], 1, seeds=[6], of=GXI, samples=3)
    np.testing.assert_allclose(alone.arrays["attribution"], rows[1].arrays["attribution"], rtol=1e-6, atol=1e-7)
    assert {one["rate"] for one in rows[0].info["dropout"]} == {RATE}
    assert rows[0].info["dropout"][0]["layer"] == "r.l0_dropout.t0"


@pytest.mark.slow
def test_a_recurrent_net_is_served_without_its_dropout() -> None:
    module, x = Recurrent("gru").eval(), inputs(2, shape=(STEPS, 3))
    model = model_of(module, (STEPS, 3))
    torch.testing.assert_close(model.forward(x), module(x).detach(), rtol=1e-5, atol=1e-6)
    twin = Stochastic(model).twin([torch.Generator().manual_seed(0)])
    assert not torch.allclose(twin.forward(x), model.forward(x))
    parse_method("mc_dropout").refuse(model)
    (row,) = explained(model, "mc_dropout", x[:1], 1, seeds=[1], of={"name": "lrp", "to": "r.l1.t0.h"}, samples=2)
    assert row.arrays["attribution"].shape == (4,)


class Attending(nn.Module):
    """Attention with dropout of its weights: fused, or written out by nn.MultiheadAttention, or by hand."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.kind, self.mask = kind, None
        self.a, self.fc = nn.MultiheadAttention(4, 2, dropout=RATE, batch_first=True), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind != "by_hand":
            fc: Tensor = self.fc(self.a(x, x, x, need_weights=self.kind == "weights")[0].mean(1))
            return fc
        rate = RATE if self.training else 0.0
        causal = nn.functional.scaled_dot_product_attention(x, x, x, dropout_p=rate, is_causal=True)
        output: Tensor = self.fc(causal.mean(1))
        return output


@pytest.mark.parametrize("kind", ["fused", "weights", "by_hand"])
def test_what_attention_drops_is_noted_at_the_export_and_kept_in_the_archive(kind: str) -> None:
    module, x = Attending(kind), inputs(2, shape=(STEPS, 4))
    model = packed(module, (STEPS, 4))
    torch.testing.assert_close(model.forward(x), module.eval()(x).detach(), rtol=1e-5, atol=1e-6)
    net = Stochastic(model)
    (dropped,) = net.dropouts
    assert dropped.layer.endswith("dropout")
    assert dropped.rate == RATE
    assert dropped.shape[-2:] == (STEPS, STEPS)
    twin = net.twin([torch.Generator().manual_seed(0)])
    ones = {dropped.node: torch.ones(1, *dropped.shape)}
    for graph in (net._compiled.exported, net._compiled.folded):  # nothing dropped: the served net
        torch.testing.assert_close(_masked(graph, ones).run(x)[0], model.forward(x), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(twin.forward(x), model.forward(x))
    rows = explained(model, "mc_dropout", x, 1, seeds=[5, 6], of=GXI, samples=3)
    (alone,) = explained(model, "mc_dropout", x[1:], 1, seeds=[6], of=GXI, samples=3)
    np.testing.assert_allclose(alone.arrays["attribution"], rows[1].arrays["attribution"], rtol=1e-4, atol=1e-5)
    assert np.abs(alone.arrays["std"]).max() > 0


def test_attention_of_a_foreign_export_says_what_to_do() -> None:
    with pytest.raises(MethodNotApplicable, match=r"attention, of whose dropout .* by whence export"):
        parse_method("mc_dropout").refuse(model_of(Attending("fused"), (STEPS, 4)))


def packed(module: nn.Module, shape: tuple[int, ...]) -> Model:
    """The module exported, written as an archive, checked and read back."""
    written = io.BytesIO(archive(export_module(module, shape, "toy"), "toy"))
    folder = model_of(nn.Linear(4, 2), (4,)).spec
    folder = replace(folder, input=folder.input.model_copy(update={"shape": shape}))
    return Model.from_program(folder, torch.export.load(written), chunk=8)
