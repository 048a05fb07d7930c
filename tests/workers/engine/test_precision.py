"""Products in bfloat16: how far answers are from float32's, and what stays whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.several import model_of_inputs
from tests.toys import batch_of, model_of, net
from tests.tree import ROOT
from workers.engine.graph.graph import Graph
from workers.engine.graph.linearity import is_affine
from workers.engine.graph.reduced import Rounded
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.methods.catalogue import catalogue
from workers.methods.method import Method, parse_method
from workers.models.folder import read_folder
from workers.models.loading import load_model

FEW = {"steps": 8, "samples": 60, "masks": 60}  # in place of a method's default, for time
BEARING = sorted(name for name, kind in catalogue().items() if kind.reduced and kind.takes_input)


@pytest.fixture(scope="module")
def digits() -> Model:
    return load_model(read_folder(ROOT / "models" / "digits"))


def few(name: str) -> Method:
    fields = catalogue()[name].model_fields
    return parse_method({"name": name, **{key: value for key, value in FEW.items() if key in fields}})


def inputs(model: Model) -> Tensor:
    bounds = model.range()
    assert bounds is not None
    low, high = bounds
    drawn = torch.rand(2, *model.card.input.shape, generator=torch.Generator().manual_seed(1))
    return low + (high - low) * drawn


@pytest.mark.parametrize("name", BEARING)
def test_answers_are_near_those_of_float32_and_not_the_same(digits: Model, name: str) -> None:
    x, kind = inputs(digits), catalogue()[name].kind
    target = int(digits.forward(x).sum(0).argmax())
    whole, short = (few(name).explain(one, batch_of(x, target)).rows() for one in (digits, digits.at("bfloat16")))
    for one, other in zip(whole, short, strict=True):
        a, b = (np.asarray(row.arrays[kind], np.float64).ravel() for row in (one, other))
        assert np.corrcoef(a, b)[0, 1] > 0.99
        assert np.linalg.norm(a - b) < 0.1 * np.linalg.norm(a)
        assert not np.array_equal(a, b) or catalogue()[name].family == "cam"  # of which only the head is walked back


@pytest.mark.parametrize("name", ["gradient", "lrp", "occlusion"])
def test_alone_it_is_as_in_company(digits: Model, name: str) -> None:
    """To what the tolerance between machines allows: kernels may sum another way for another number of rows."""
    x, model = inputs(digits), digits.at("bfloat16")
    together = parse_method(name).explain(model, batch_of(x, 3)).rows()
    alone = [parse_method(name).explain(model, batch_of(row[None], 3)).rows()[0] for row in x]
    for one, other in zip(together, alone, strict=True):
        a, b = (np.asarray(row.arrays["attribution"], np.float64) for row in (one, other))
        assert np.linalg.norm(a - b) < 0.02 * np.linalg.norm(a)


def test_a_pass_that_is_walked_back_is_whole_on_its_way_forward() -> None:
    model = model_of(net(), (1, 8, 8))
    short = model.at("bfloat16")
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = model.forward(x)
    assert torch.equal(short.tape(batch_of(x, 0)).output, model.tape(batch_of(x, 0)).output)
    assert 0 < (short.forward(x) - whole).abs().max() < 0.02 * whole.abs().max()
    assert short.forward(x).dtype == short.gradient(x, [*batch_of(x, 0).targets])[1].dtype == torch.float32


def test_one_batch_has_one_set_of_outputs() -> None:
    """Whichever pass came first: a rank is a class by it, before and after a method walked back."""
    model = model_of(net(), (1, 8, 8)).at("bfloat16")
    batch = batch_of(torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    before = model.outputs(batch)
    model.tape(batch)
    assert model.outputs(batch) is before


def test_the_slopes_of_a_product_are_those_of_its_rounded_factors() -> None:
    a, b = (torch.randn(4, 4, generator=torch.Generator().manual_seed(seed)).requires_grad_() for seed in (0, 1))
    weights = torch.randn(4, 4, generator=torch.Generator().manual_seed(2))
    for call, given in ((torch.mm, (a, b)), (torch.einsum, ("ij,jk->ik", [a, b]))):
        product = Rounded(call)(*given)
        assert torch.equal(product, call(*given))
        slopes = torch.autograd.grad(product, (a, b), weights)
        short = [one.detach().bfloat16().double() for one in (weights, a, b)]
        for found, expected in zip(slopes, (short[0] @ short[2].T, short[1].T @ short[0]), strict=True):
            assert (found - expected).abs().max() <= 2**-8 * expected.abs().max()


def test_a_graph_keeps_what_is_known_of_it_whole() -> None:
    model = model_of(net(), (1, 8, 8))
    graph: Graph = model.at("bfloat16").folded
    short = {node.op for node in graph.nodes if isinstance(node.call, Rounded)}
    assert ({"conv2d"}, "linear") == (short, graph.nodes[graph.output].op)
    for node in graph.nodes[1:]:
        assert is_affine(node, graph) == is_affine(model.folded.nodes[node.index], model.folded)


class Attending(nn.Module):
    """Fused attention behind a mask whose lowest number is that of float32."""

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.full((4, 4), torch.finfo(torch.float32).min).triu(1)
        found: Tensor = nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=mask)
        return found.flatten(1) @ torch.ones(12, 2)


def test_a_mask_stays_finite() -> None:
    model = model_of(Attending(), (4, 3)).at("bfloat16")
    x = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(0))
    assert model.forward(x).isfinite().all()
    assert parse_method("gradient").explain(model, batch_of(x, 0)).rows()[0].arrays["attribution"].any()


def test_a_model_has_one_of_each_precision_with_the_card_that_it_has_now() -> None:
    model = model_of(net(), (1, 8, 8))
    short = model.at("bfloat16")
    assert short is model.at("bfloat16")
    assert short.at("bfloat16") is short
    assert (model.precision, short.precision, short.card.precision) == ("float32", "bfloat16", "bfloat16")
    model.card = model.card.model_copy(update={"labels": ("a", "b", "c")})
    assert model.at("bfloat16").card.labels == ("a", "b", "c")
    assert model.at("tf32").graph is model.graph
    assert short.at("float32").graph is short.at("tf32").graph is model.graph


def test_who_holds_a_method_that_needs_float32_needs_it_too() -> None:
    assert parse_method("gradient").computed_in("bfloat16") == "bfloat16"
    assert parse_method("gradient").computed_in("tf32") == "tf32"
    assert parse_method("randomization").computed_in("bfloat16") == "float32"
    assert parse_method({"name": "smooth_grad", "of": "switched_projection"}).computed_in("bfloat16") == "float32"
    assert parse_method({"name": "collection", "of": "gradient"}).computed_in("bfloat16") == "bfloat16"
    assert parse_method({"name": "collection", "of": "switched_projection"}).computed_in("bfloat16") == "float32"


class Series(nn.Module):
    """Of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv1d(2, 5, 3, padding=1), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(torch.relu(self.conv(x)).mean(2))
        return found


def test_a_model_of_any_size_is_so_at_every_size() -> None:
    spec = InputSpec.model_validate({"shape": (2, "*"), "axes": ("channel", "time")})
    torch.manual_seed(0)
    model = model_of_inputs(Series().eval(), {"input": spec}, {"input": torch.randn(2, 2, 9)}, dtype=torch.float32)
    short = model.at("bfloat16")
    own = short.sized(((2, 13),))
    assert (own.precision, own.any_size, own.card.input.shape) == ("bfloat16", short, (2, 13))
    assert model.sized(((2, 13),)).precision == "float32"
    x = torch.rand(1, 2, 13, generator=torch.Generator().manual_seed(1))
    assert 0 < (own.forward(x) - model.sized(((2, 13),)).forward(x)).abs().max() < 0.02
