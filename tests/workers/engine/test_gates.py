"""Which factor of a product is its gate: as the graph shows it, or as it is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, model_of
from tests.workers.engine.functions import Call, random
from tests.workers.methods.gradient.gradient_runs import attribution
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter
from workers.methods.catalogue import parse_method

STEPS = 4


class Cell(nn.Module):
    """c += i * z, gate and signal each squashed by a function of its own, written in either order."""

    def __init__(self, gate: Callable[[Tensor], Tensor], signal: Callable[[Tensor], Tensor], turned: bool) -> None:
        super().__init__()
        self.gate, self.signal, self.turned = gate, signal, turned
        self.i, self.z, self.o = nn.Linear(1, 3), nn.Linear(1, 3), nn.Linear(3, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        c = torch.zeros(x.shape[0], 3)
        for t in range(STEPS):
            i, z = self.gate(self.i(x[:, t])), self.signal(self.z(x[:, t]))
            c = c + (z * i if self.turned else i * z)
        output: Tensor = self.o(c)
        return output


def cell(gate: Callable[[Tensor], Tensor], signal: Callable[[Tensor], Tensor], turned: bool = False) -> Cell:
    torch.manual_seed(7)
    return Cell(gate, signal, turned)


def given_to_signal(module: Cell, x: Tensor) -> Tensor:
    """R_t = sum_k R_k i_t z_t / c_T, of which LRP-0 hands the signal's layer w x / (w x + b)."""
    double = cell(module.gate, module.signal).double()
    double.load_state_dict(module.state_dict())
    i, z = double.gate(double.i(x[..., :])), double.signal(double.z(x))
    c = (i * z).sum(1, keepdim=True)
    r = double.o.weight * c * (i * z) / c
    w, b = double.z.weight[:, 0], double.z.bias
    return (r * w * x / (w * x + b)).sum(2, keepdim=True).detach()


def lrp(model: Model, x: Tensor, **fields: object) -> Tensor:
    return attribution(model, batch_of(x, 0), name="lrp", composite="zero", **fields)


@pytest.mark.parametrize(
    ("gate", "signal", "turned", "gates"),
    [
        (torch.sigmoid, torch.sigmoid, False, []),
        (torch.sigmoid, torch.tanh, True, []),
        (torch.sigmoid, torch.sigmoid, True, [{"gate": "second"}]),
        (torch.sigmoid, torch.sigmoid, True, [{"products": "mul*", "gate": "sigmoid"}, {"gate": "second"}]),
        (torch.tanh, torch.tanh, False, [{"gate": "first"}]),
        (torch.tanh, torch.sigmoid, False, [{"gate": "first"}]),
    ],
)
def test_the_signal_of_a_cell_takes_all(
    gate: Callable[[Tensor], Tensor], signal: Callable[[Tensor], Tensor], turned: bool, gates: list[dict[str, str]]
) -> None:
    module, x = cell(gate, signal, turned), random(2, STEPS, 1)
    model = model_of(module, (STEPS, 1), dtype=torch.float64)
    found = lrp(model, x, gates=gates)
    torch.testing.assert_close(found, given_to_signal(module, x), rtol=1e-9, atol=1e-12)
    assert (found - lrp(model, x, gate="half")).abs().max() > 1e-3


def held(function: Callable[..., Tensor], x: Tensor) -> Tensor:
    """x times the gradient, where the function holds constant what the rule does."""
    leaf = x.clone().requires_grad_()
    return x * torch.autograd.grad(function(leaf, Tensor.detach).sum(), leaf)[0]


Holding = Callable[[Tensor], Tensor]
W = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(5)) / 2


def mapped(x: Tensor, k: int) -> Tensor:
    return nn.functional.linear(x, W[k].to(x.dtype))


def excited(y: Tensor) -> Tensor:
    return torch.sigmoid(mapped(y.mean(1, keepdim=True), 0))


def highway(x: Tensor, hold: Holding) -> Tensor:
    t = torch.sigmoid(mapped(x, 1))
    return through(mapped(x, 0)) * hold(t) + x * hold(1 - t)


def excitation(x: Tensor, hold: Holding, first: bool) -> Tensor:
    y = through(x)
    return hold(excited(y)) * y if first else y * hold(excited(y))


def linear_unit(x: Tensor, hold: Holding) -> Tensor:
    y = through(x)
    return y[..., :2] * hold(torch.sigmoid(y[..., 2:]))


FORMS: dict[str, Callable[[Tensor, Holding], Tensor]] = {
    "highway, its transform a sigmoid": highway,
    "excitation of sigmoids, signal first": lambda x, hold: excitation(x, hold, False),
    "excitation of sigmoids, gate first": lambda x, hold: excitation(x, hold, True),
    "gates repeated over places": lambda x, hold: through(mapped(x, 0)) * hold(torch.sigmoid(x[:, :1])),
    "attention over sigmoids": lambda x, hold: hold(torch.softmax(mapped(x, 0) @ x.transpose(1, 2), -1)) @ through(x),
    "sigmoids, then attention": lambda x, hold: through(x) @ hold(torch.softmax(mapped(x, 0), -1)),
    "a gated linear unit of sigmoids": linear_unit,
    "swiglu": lambda x, hold: hold(nn.functional.silu(mapped(x, 0))) * mapped(x, 1),
    "geglu, signal first": lambda x, hold: mapped(x, 0) * hold(nn.functional.gelu(mapped(x, 1))),
    "state kept by a gate": lambda x, hold: (through(mapped(x, 0)) + through(x)) * hold(torch.sigmoid(mapped(x, 1))),
}


def through(x: Tensor) -> Tensor:
    """A sigmoid; for the expected value one whose slope hands relevance on whole, as the rule of activations does."""
    y = torch.sigmoid(x)
    return y if torch.compiler.is_exporting() else (y / x).detach() * x


@pytest.mark.parametrize("name", FORMS)
def test_the_form_of_a_product_shows_its_gate(name: str) -> None:
    form, x = FORMS[name], random(2, 4, 4)
    module = Call(lambda x: form(x, lambda value: value).flatten(1).sum(1, keepdim=True))
    found = lrp(model_of(module, (4, 4), dtype=torch.float64), x)
    torch.testing.assert_close(found, held(form, x), rtol=1e-7, atol=1e-9)


def test_two_signals_share_alike_and_lose_nothing_at_zero() -> None:
    x = random(2, 4, 4)
    x[:, 0] = 0
    product = Call(lambda x: (torch.tanh(x[:, :2] + 1) * torch.tanh(x[:, 2:])).flatten(1).sum(1, keepdim=True))
    found = lrp(model_of(product, (4, 4), dtype=torch.float64), x)
    r = torch.tanh(x[:, :2] + 1) * torch.tanh(x[:, 2:]) / 2
    torch.testing.assert_close(found[:, 2:], r, rtol=1e-9, atol=1e-12)


class Product(nn.Module):
    """sigmoid(G x) * tanh(S x), summed."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.signal = nn.Linear(3, 4, bias=False), nn.Linear(3, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return (torch.sigmoid(self.gate(x)) * torch.tanh(self.signal(x))).sum(1, keepdim=True)


@pytest.mark.parametrize("stabiliser", [0.001, 0.2])
@pytest.mark.parametrize("gate", ["prop", "abs"])
def test_the_stabiliser_of_shared_products(gate: str, stabiliser: float) -> None:
    """S4 11.3.2: eps sign(z_g + z_s) for prop, eps for abs; the book takes .001, and .2 for prop."""
    torch.manual_seed(1)
    module, x = Product(), random(2, 3)
    found = lrp(model_of(module, (3,), dtype=torch.float64), x, gate=gate, stabiliser=stabiliser)
    wg, ws = (layer.weight.detach().double() for layer in (module.gate, module.signal))
    zg, zs = x @ wg.T, x @ ws.T
    r = torch.sigmoid(zg) * torch.tanh(zs)
    sizes = (zg, zs) if gate == "prop" else (zg.abs(), zs.abs())
    total = sizes[0] + sizes[1]
    total = total + stabiliser * total.sign()
    expected = (sizes[0] / total * r / zg) @ wg * x + (sizes[1] / total * r / zs) @ ws * x
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_a_name_that_names_no_gate_says_what_there_is() -> None:
    model = model_of(cell(torch.sigmoid, torch.sigmoid), (STEPS, 1))
    for gates, told in (
        ([{"products": "nowhere", "gate": "first"}], "products of two values of the input are mul"),
        ([{"gate": "i"}], "a gate is first, second, or the layer"),
        ([{"gate": "sigmoid*"}], "both factors of mul"),
    ):
        with pytest.raises(InvalidParameter, match=told):
            parse_method({"name": "lrp", "gates": gates}).refuse(model)
    parse_method({"name": "lrp", "gates": [{"products": "mul", "gate": "sigmoid"}]}).refuse(model)
