"""Columns of categories as ids: each explained by what its own embedding looks up, as autograd in float64 has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.several import ROW, batch_of_inputs, model_of_inputs
from workers.engine.model.inputs import named
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidFolder
from workers.methods.method import parse_method

IDS = InputSpec(shape=(3,), dtype="int64")
SIZES = ((5, 3), (7, 4), (4, 2))
Take: TypeAlias = Callable[[list[nn.Embedding], Tensor], list[Tensor]]


class Columns(nn.Module):
    """A table of categories and of quantities, as tabular learners build it: an embedding for each column."""

    def __init__(self, take: Take) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(*size) for size in SIZES)
        self.take = take
        self.head = nn.Sequential(nn.Linear(9 + 5, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False))

    def forward(self, ids: Tensor, row: Tensor) -> Tensor:
        found = self.take([*self.tables], ids)
        output: Tensor = self.head(torch.cat([*found, row], 1))
        return output


class Machine(nn.Module):
    """A factorisation machine: all columns share a table, each behind the others' rows, and a second one of weights."""

    offsets: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("offsets", torch.tensor([0, 5, 12]))
        self.weights, self.vectors = nn.Embedding(16, 3), nn.Embedding(16, 4)
        self.row = nn.Linear(5, 3, bias=False)

    def forward(self, ids: Tensor, row: Tensor) -> Tensor:
        ids = ids + self.offsets
        v = self.vectors(ids)
        pairs = (v.sum(1).square() - v.square().sum(1)).sum(1, keepdim=True)
        output: Tensor = self.weights(ids).sum(1) + pairs * self.row(row)
        return output


class Wide(nn.Module):
    """A column in two tables, two columns in one, in another order, and none of the last."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.both = nn.Embedding(5, 3), nn.Embedding(5, 2), nn.Embedding(7, 2)
        self.head = nn.Linear(3 + 2 + 4 + 5, 3, bias=False)

    def forward(self, ids: Tensor, row: Tensor) -> Tensor:
        both = self.both(ids[:, :2].flip(1)).flatten(1)
        found = [torch.tanh(self.one(ids[:, 0])), self.two(ids[:, :1])[:, 0], both, row]
        output: Tensor = self.head(torch.cat(found, 1))
        return output


def by_select(tables: list[nn.Embedding], ids: Tensor) -> list[Tensor]:
    return [table(ids[:, k]) for k, table in enumerate(tables)]


def by_chunk(tables: list[nn.Embedding], ids: Tensor) -> list[Tensor]:
    return [table(column).squeeze(1) for table, column in zip(tables, ids.chunk(3, 1), strict=True)]


def by_unbind(tables: list[nn.Embedding], ids: Tensor) -> list[Tensor]:
    return [table(column) for table, column in zip(tables, ids.unbind(1), strict=True)]


def by_transpose(tables: list[nn.Embedding], ids: Tensor) -> list[Tensor]:
    return [table(ids.t()[k]) for k, table in enumerate(tables)]


def by_clamp(tables: list[nn.Embedding], ids: Tensor) -> list[Tensor]:
    return [table(ids[..., k].clamp(min=0).long() % table.num_embeddings) for k, table in enumerate(tables)]


Taking: TypeAlias = list[tuple[str, tuple[int, ...]]]  # the embeddings, and which columns each takes
EACH: Taking = [("tables.0", (0,)), ("tables.1", (1,)), ("tables.2", (2,))]
NETS: dict[str, tuple[Callable[[], nn.Module], Taking]] = {
    "select": (lambda: Columns(by_select), EACH),
    "chunk": (lambda: Columns(by_chunk), EACH),
    "unbind": (lambda: Columns(by_unbind), EACH),
    "transpose": (lambda: Columns(by_transpose), EACH),
    "clamp": (lambda: Columns(by_clamp), EACH),
    "machine": (Machine, [("vectors", (0, 1, 2)), ("weights", (0, 1, 2))]),
    "wide": (Wide, [("both", (1, 0)), ("one", (0,)), ("two", (0,))]),
}
Case: TypeAlias = tuple[nn.Module, Model, dict[str, Tensor], Taking]


@pytest.fixture(params=NETS)
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(0)
    make, places = NETS[request.param]
    module, draw = make().eval(), torch.Generator().manual_seed(1)
    rows = {
        "ids": torch.stack([torch.randint(size, (4,), generator=draw) for size, _ in ((5, 0), (5, 0), (4, 0))], 1),
        "row": torch.randn(4, 5, generator=draw),
    }
    model = model_of_inputs(module, {"ids": IDS, "row": ROW}, rows)
    return module.double(), model, {**rows, "row": rows["row"].double()}, places


def score(module: nn.Module, rows: dict[str, Tensor], gone: set[tuple[str, int]] | None = None) -> tuple[Tensor, Any]:
    """The class explained, and what each embedding gave; of those gone zeros at that one of its ids."""
    found: dict[str, Tensor] = {}

    def given(path: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Tensor) -> Tensor:
            output = output.detach().view(len(output), -1, output.shape[-1]).clone()
            for name, at in gone or ():
                if name == path:
                    output[:, at] = 0
            found[path] = output.requires_grad_()
            looked_up = module.get_submodule(path)
            shape = (len(output), *shapes[path], looked_up.embedding_dim)
            return found[path].view(shape)  # type: ignore[arg-type]

        return hook

    shapes: dict[str, tuple[int, ...]] = {}
    hooks = []
    for path, one in module.named_modules():
        if isinstance(one, nn.Embedding):
            note = lambda _, args, path=path: shapes.__setitem__(path, tuple(args[0].shape[1:]))  # noqa: E731
            hooks += [one.register_forward_pre_hook(note), one.register_forward_hook(given(path))]
    value = module(*rows.values())[:, 1]
    for each in hooks:
        each.remove()
    return value, found


def explained(model: Model, rows: dict[str, Tensor], method: dict[str, Any]) -> dict[str, Tensor]:
    found = parse_method(method).explain(model, batch_of_inputs(model, rows, seeds=[0] * 4))
    return {key: torch.as_tensor(one) for key, one in named(found, model.card.input, maps=False).arrays.items()}


@pytest.mark.parametrize("method", ["gradient", "input_times_gradient"])
def test_slopes_are_autograd_s_at_each_embedding(case: Case, method: str) -> None:
    module, model, rows, places = case
    given = {**rows, "row": rows["row"].clone().requires_grad_()}
    value, looked_up = score(module, given)
    paths = [path for path, _ in places]
    slopes = torch.autograd.grad(value.sum(), [looked_up[path] for path in paths] + [given["row"]])
    expected = torch.zeros(4, 3, dtype=torch.float64)
    for (path, at), slope in zip(places, slopes, strict=False):
        weight = looked_up[path] if method != "gradient" else torch.ones_like(slope)
        expected.index_add_(1, torch.tensor(at), (slope * weight).sum(2).detach())
    found = explained(model, rows, {"name": method})
    torch.testing.assert_close(found["attribution.ids"], expected)
    own = slopes[-1] * (rows["row"] if method != "gradient" else 1)
    torch.testing.assert_close(found["attribution.row"], own)


@pytest.mark.parametrize(
    "method",
    [
        {"name": "integrated_gradients", "steps": 512},
        {"name": "deep_lift"},
        {"name": "kernel_shap", "samples": 512},
        {"name": "shapley_sampling", "samples": 4},
    ],
    ids=lambda method: method["name"],
)
def test_columns_and_row_come_to_the_score_together(case: Case, method: dict[str, Any]) -> None:
    module, model, rows, places = case
    full = score(module, rows)[0]
    none = score(module, {**rows, "row": rows["row"] * 0}, {(path, k) for path, at in places for k in range(len(at))})
    found = explained(model, rows, method)
    total = found["attribution.ids"].sum(1) + found["attribution.row"].sum(1)
    torch.testing.assert_close(total, (full - none[0]).detach(), rtol=1e-3, atol=1e-3)


def test_relevance_of_a_column_is_that_of_its_embedding(case: Case) -> None:
    _, model, rows, places = case
    found = explained(model, rows, {"name": "lrp"})["attribution.ids"]
    expected = torch.zeros_like(found)
    for path, at in places:
        own = parse_method({"name": "lrp", "to": path}).explain(model, batch_of_inputs(model, rows, seeds=[0] * 4))
        relevance = torch.as_tensor(own.arrays["attribution"]).reshape(4, len(at), -1).sum(2)
        expected.index_add_(1, torch.tensor(at), relevance)
    torch.testing.assert_close(found, expected)


def test_a_column_taken_away_is_its_embedding_taken_away(case: Case) -> None:
    module, model, rows, places = case
    full, expected = score(module, rows)[0].detach(), torch.zeros(4, 3, dtype=torch.float64)
    for path, at in places:
        for k, place in enumerate(at):
            expected[:, place] += full - score(module, rows, {(path, k)})[0].detach()
    found = explained(model, rows, {"name": "occlusion", "fill": "zero"})["attribution.ids"]
    torch.testing.assert_close(found, expected)


def test_segments_are_numbered_where_their_columns_are(case: Case) -> None:
    _, model, rows, places = case
    found = explained(model, rows, {"name": "kernel_shap", "samples": 64})
    taken = sorted({place for _, at in places for place in at})
    for row in found["segments.ids"]:
        assert len(set(row[taken].tolist())) == len(taken)
        assert not set(row[taken].tolist()) & set(found["segments.row"].flatten().tolist())


@pytest.mark.parametrize("method", ["occlusion", "kernel_shap", "shapley_sampling"])
def test_a_column_without_a_value_is_no_feature(method: str) -> None:
    torch.manual_seed(0)
    module, specs = Columns(by_select).eval(), {"ids": IDS.model_copy(update={"padding": 0}), "row": ROW}
    ids = torch.tensor([[1, 0, 2], [0, 3, 0], [0, 0, 0], [4, 4, 3]])
    rows = {"ids": ids, "row": torch.randn(4, 5, generator=torch.Generator().manual_seed(1))}
    model = model_of_inputs(module, specs, rows)
    found = explained(model, {**rows, "row": rows["row"].double()}, {"name": method})["attribution.ids"]
    assert torch.equal(found == 0, ids == 0)


class Mixed(nn.Module):
    """A column that is looked up, and another that is no lookup."""

    def __init__(self, other: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.table, self.other, self.head = nn.Embedding(5, 3), other, nn.Linear(3 + 4, 2)

    def forward(self, ids: Tensor) -> Tensor:
        other = self.other(ids[:, 1]).to(self.head.weight.dtype).reshape(-1, 1).expand(-1, 4)
        output: Tensor = self.head(torch.cat([self.table(ids[:, 0]), other], 1))
        return output


@pytest.mark.parametrize(
    "other",
    [
        Tensor.float,
        Tensor.square,
        lambda ids: functional.one_hot(ids, 5)[:, 0],
        lambda ids: functional.embedding_bag(ids[:, None], torch.ones(5, 1)),
        lambda ids: torch.arange(5.0)[ids],
    ],
)
def test_a_column_of_which_nothing_would_be_said_is_told(other: Callable[[Tensor], Tensor]) -> None:
    rows = {"ids": torch.tensor([[0, 1, 2], [3, 4, 1]])}
    with pytest.raises(InvalidFolder, match=r"input ids the ids 1 .*make them an input of their own"):
        model_of_inputs(Mixed(other).eval(), {"ids": IDS}, rows)


class OneHot(nn.Module):
    """Categories without an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(15, 2, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        output: Tensor = self.head(functional.one_hot(ids, 5).to(self.head.weight.dtype).flatten(1))
        return output


def test_categories_without_an_embedding_are_explained_as_a_table() -> None:
    torch.manual_seed(0)
    module, ids = OneHot().eval(), torch.tensor([[0, 1, 2], [3, 4, 1]])
    with pytest.raises(InvalidFolder, match='kind = "table"'):
        model_of_inputs(module, {"ids": IDS}, {"ids": ids})
    known = {name: tuple(range(5)) for name in ("a", "b", "c")}
    spec = InputSpec.model_validate({"kind": "table", "shape": [3], "names": list(known), "categories": known})
    model = model_of_inputs(module, {"ids": spec}, {"ids": ids})
    model.background = torch.zeros(1, 3, dtype=torch.float64)
    batch = batch_of_inputs(model, {"ids": ids}, seeds=[0, 1])
    weights = module.double().head.weight[1].detach().view(3, 5)
    lost = torch.stack([weights[k][ids[:, k]] - weights[k][0] for k in range(3)], 1)
    for name in ("occlusion", "shapley_sampling", "kernel_shap"):
        found = torch.as_tensor(parse_method(name).explain(model, batch).arrays["attribution"])
        torch.testing.assert_close(found, lost, rtol=1e-6, atol=1e-8)
