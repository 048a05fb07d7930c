"""The rules of nodes without weights: each against its formula written out, and what each conserves."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.toys import batch_of, model_of
from tests.workers.engine.functions import Call, Function, random, relevance
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from workers.explanation.errors import MethodNotApplicable
from workers.explanation.target import UnitTarget
from workers.methods.catalogue import parse_method
from workers.runtime.execute.model_support import check


def linear_part(function: Function, x: Tensor) -> Tensor:
    """x times the gradient of the sum, where the function holds constant what the rule does."""
    leaf = x.clone().requires_grad_()
    return x * torch.autograd.grad(function(leaf).sum(), leaf)[0]


def attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1).detach() @ v


@pytest.mark.parametrize("fused", [True, False])
def test_attention_hands_relevance_through_its_values_alone(fused: bool) -> None:
    """R_v of token j = sum over i of p_ij v_j / z_i R_i, the weights p held; here q, k and v are three parts of x."""

    def attention(x: Tensor) -> Tensor:
        q, k, v = x.chunk(3, -1)
        if fused:
            return functional.scaled_dot_product_attention(q, k, v)
        return torch.softmax(q @ k.transpose(1, 2) / math.sqrt(4), -1) @ v

    x = random(2, 5, 12)
    found = relevance(attention, x)
    torch.testing.assert_close(found, linear_part(lambda x: attended(*x.chunk(3, -1)), x), rtol=1e-4, atol=1e-5)
    assert not found[..., :8].any()


@pytest.mark.parametrize("fused", [True, False])
def test_attention_of_a_value_with_itself(fused: bool) -> None:
    """One tensor as query, key and value: only what it carries as value counts."""

    def attention(x: Tensor) -> Tensor:
        if fused:
            return functional.scaled_dot_product_attention(x, x, x)
        return torch.softmax(x @ x.transpose(1, 2) / 2, -1) @ x

    x = random(2, 5, 4)
    expected = linear_part(lambda x: attended(x.detach(), x.detach(), x), x)
    torch.testing.assert_close(relevance(attention, x), expected, rtol=1e-4, atol=1e-5)


def test_a_product_of_two_signals_is_shared_by_half() -> None:
    x = random(2, 4, 4)
    found = relevance(lambda x: torch.bmm(x, x), x)
    halves = [linear_part(lambda y: torch.bmm(y, x), x), linear_part(lambda y: torch.bmm(x, y), x)]
    torch.testing.assert_close(found, (halves[0] + halves[1]) / 2, rtol=1e-3, atol=1e-5)


GATED: dict[str, tuple[Function, Function]] = {
    "squeeze and excitation": (
        lambda x: x * torch.sigmoid(x.mean((2, 3), keepdim=True)),
        lambda x: x * torch.sigmoid(x.mean((2, 3), keepdim=True)).detach(),
    ),
    "hard gates": (
        lambda x: functional.hardsigmoid(x[:, :2]) * x[:, 2:],
        lambda x: functional.hardsigmoid(x[:, :2]).detach() * x[:, 2:],
    ),
    "gated linear unit": (lambda x: functional.glu(x, 1), lambda x: x[:, :2] * torch.sigmoid(x[:, 2:]).detach()),
    "unit length": (lambda x: functional.normalize(x, dim=1), lambda x: x / x.norm(dim=1, keepdim=True).detach()),
    "rms norm written out": (
        lambda x: x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-6),
        lambda x: x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-6).detach(),
    ),
    "split attention": (
        lambda x: (x * torch.softmax(x.mean((2, 3), keepdim=True), 1)).sum(1),
        lambda x: (x * torch.softmax(x.mean((2, 3), keepdim=True), 1).detach()).sum(1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GATED)
def test_gates_are_held_and_the_signal_carries(name: str) -> None:
    function, held = GATED[name]
    x = random(2, 4, 3, 3)
    torch.testing.assert_close(relevance(function, x), linear_part(held, x), rtol=1e-4, atol=1e-5)


def standardised(x: Tensor, axes: tuple[int, ...], epsilon: float = 1e-5) -> Tensor:
    """(x - mean) / size with the size held."""
    size = torch.sqrt(x.var(axes, correction=0, keepdim=True) + epsilon)
    return (x - x.mean(axes, keepdim=True)) / size.detach()


def weighted(function: Function, factor: Tensor) -> Function:
    return lambda x: function(x) * factor.to(x.dtype)


def test_norms_hold_their_size_and_take_off_the_mean() -> None:
    x = random(2, 4, 3, 5)
    weight = torch.rand(4, dtype=torch.float64) + 0.5
    layer, group, instance = nn.LayerNorm((3, 5)), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True)
    for affine in (group, instance):
        affine.weight.data.copy_(weight)
    by_channel = weight.view(1, 4, 1, 1)
    expected: dict[nn.Module, Function] = {
        layer: lambda x: standardised(x, (2, 3)),
        group: lambda x: by_channel * standardised(x.view(2, 2, -1), (2,)).view(x.shape),
        instance: lambda x: by_channel * standardised(x, (2, 3)),
    }
    # a weighted sum, without which what is centred would sum to nothing
    factor = random(4, 3, 5, seed=1)
    for norm, held in expected.items():
        found = relevance(weighted(norm, factor), x, norm)
        torch.testing.assert_close(found, linear_part(weighted(held, factor), x), rtol=1e-3, atol=1e-4)


def test_what_a_norm_adds_absorbs() -> None:
    """y = (x - mean) / size + b: the sum of relevance is that of y without b."""
    norm, x = nn.LayerNorm(6), random(3, 6)
    norm.bias.data.normal_(generator=torch.Generator().manual_seed(2))
    found = relevance(norm, x, norm).sum(1)
    assert (found.abs() < 1e-3).all()  # all that is left of the centred part sums to zero


def test_a_log_softmax_is_explained_as_its_logit_less_a_constant() -> None:
    x = random(2, 5)
    model = model_of(Call(lambda x: torch.log_softmax(x, 1)), (5,), dtype=torch.float64)
    found = attribution(model, batch_of(x, 2), name="lrp", composite="epsilon")
    expected = torch.zeros_like(x)
    expected[:, 2] = x[:, 2]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


CONSERVED: dict[str, Function] = {
    "pad, roll and flip": lambda x: torch.flip(torch.roll(functional.pad(x, (1, 2, 0, 1)), 2, -1), (-1,)),
    "index and stack": lambda x: torch.stack([x[:, [2, 0, 0]], x[:, :3]], 1),
    "split and concatenate": lambda x: torch.cat([part * 2 for part in torch.split(x, [1, 3], 1)][::-1], 1),
    "unbind": lambda x: torch.unbind(x, 1)[1] + torch.unbind(x, 1)[3],
    "pixel shuffle": lambda x: functional.pixel_shuffle(x, 2),
    "upsampling": lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False),
    "bicubic": lambda x: functional.interpolate(x, size=(5, 7), mode="bicubic"),
    "where": lambda x: torch.where(x > 0, x, x / 2),
    "maximum": lambda x: torch.maximum(x[:, :2], x[:, 2:]),
    "masked": lambda x: x.masked_fill(torch.eye(3, dtype=torch.bool), 0.0),
    "activations": lambda x: functional.gelu(functional.silu(functional.hardswish(x))),
    "powers": lambda x: torch.exp(x).sqrt().pow(3),
    "sums": lambda x: x - x.mean(1, keepdim=True) / 2 + x.cumsum(2),
    "unfold": lambda x: functional.unfold(x, 2),
    "matrix product": lambda x: torch.matmul(x, torch.linspace(-1, 2, 6).view(3, 2).to(x.dtype)),
    "einsum": lambda x: torch.einsum("nchw,wd->nchd", x, torch.linspace(1, 2, 6).view(3, 2).to(x.dtype)),
}


@pytest.mark.parametrize("name", CONSERVED)
def test_relevance_is_conserved(name: str) -> None:
    x = random(2, 4, 3, 3)
    found = relevance(CONSERVED[name], x).flatten(1).sum(1)
    expected = CONSERVED[name](x).flatten(1).sum(1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


class Gated(nn.Module):
    """A layer scaled by a product over its values, which has no rule."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(x)
        return y * torch.sigmoid(torch.cumprod(y, 1))


def test_an_operation_within_a_gate_needs_no_rule_unless_it_is_asked_for() -> None:
    model, x = model_of(Gated(), (4,)), random(1, 4).float()
    parse_method("lrp").refuse(model)
    assert explain(model, batch_of(x), name="lrp").arrays["attribution"].any()
    with pytest.raises(MethodNotApplicable, match="cumprod"):
        explain(model, batch_of(x, UnitTarget(layer="cumprod", index=(1,))), name="lrp")


@pytest.mark.parametrize(
    ("function", "op"),
    [
        (lambda x: torch.fft.rfft(x).real, "fft_rfft"),
        (lambda x: torch.linalg.norm(x, dim=1, keepdim=True), "linalg_norm"),
        (lambda x: torch.cumprod(x, 1), "cumprod"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(function: Function, op: str) -> None:
    with pytest.raises(MethodNotApplicable, match=rf"{op} at .*integrated_gradients"):
        check(model_of(Call(function), (4,)), parse_method("lrp"))


def test_the_gradient_goes_through_complex_values() -> None:
    x = random(2, 6)
    model = model_of(Call(lambda x: torch.fft.rfft(x).abs().pow(3)), (6,), dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    expected = torch.autograd.grad(torch.fft.rfft(leaf).abs().pow(3)[:, 1].sum(), leaf)[0]
    torch.testing.assert_close(attribution(model, batch_of(x, 1), name="gradient"), expected)
