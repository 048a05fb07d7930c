"""BiLRP: pairs of pieces beside closed forms, and beside products of LRP's own maps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.several import LIKENESS, Likeness, Similarity, model_of_inputs, rows_of
from tests.toys import inputs
from tests.workers.methods.lrp.towers import (
    COSINES,
    DISTANCES,
    PRODUCTS,
    asked,
    doubles,
    model_of_towers,
    product,
    towers_rows,
)
from workers.engine.model.batch import Batch
from workers.engine.model.inputs import named
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.explanation.target import ElementTarget, UnitTarget, ValueTarget
from workers.methods.lrp.bilrp.meeting import branches
from workers.methods.method import parse_method

IDS = {name: InputSpec(shape=(6,), dtype="int64") for name in ("one", "other")}


def factor(name: str, a: Tensor, b: Tensor) -> Tensor:
    """By how much each product of numbers counts in a head, (n, numbers)."""
    ones = torch.ones_like(a)
    if name in DISTANCES:
        return 2 * ones
    if name in COSINES:
        share: Tensor = ones / (a.norm(dim=1) * b.norm(dim=1))[:, None]
        return -share / 2 if name.startswith("one less") else share
    if name == "two halves":
        return torch.cat([ones[:, :3], 2 * ones[:, 3:]], 1)
    return 3 * ones if name == "scaled and shifted" else ones


@pytest.mark.parametrize("name", [*PRODUCTS, *COSINES, *DISTANCES])
def test_of_linear_encoders_it_is_the_closed_form(name: str) -> None:
    module, model = model_of_towers({**PRODUCTS, **COSINES, **DISTANCES}[name])
    rows = towers_rows()
    found = asked(model, rows, composite="zero")
    with torch.no_grad():
        a, b = module.user(rows["user"]), module.item(rows["item"])
        expected = torch.einsum(
            "ni,nk,ki,kj,nj->nij",
            rows["user"],
            factor(name, a, b),
            module.user.weight,
            module.item.weight,
            rows["item"],
        )
        scores = module(**rows)
    for row, pairs, score in zip(found, expected, scores.tolist(), strict=True):
        torch.testing.assert_close(row.arrays["pairs"], pairs, rtol=1e-9, atol=1e-12)
        (told,) = row.checks
        assert told.gap < 1e-9
        assert told.expected == pytest.approx(row.info["product"], rel=1e-12)
        if name not in DISTANCES and name not in ("scaled and shifted", "one less half of it"):
            assert told.expected == pytest.approx(score, rel=1e-9)


def test_of_product_neurons_it_is_the_books_rule() -> None:
    """S4 l.3679: R_ij = sum_k x_i y_j w_ik v_jk / (sum_ij x_i y_j w_ik v_jk) R_k."""
    module, model = model_of_towers(product, rectified=True)
    rows = towers_rows(1)
    (row,) = asked(model, rows, composite="zero")
    x, y, w, v = rows["user"][0], rows["item"][0], module.user.weight, module.item.weight
    with torch.no_grad():
        both = torch.einsum("i,j,ki,kj->kij", x, y, w, v)
        neurons = torch.relu(w @ x) * torch.relu(v @ y)
        expected = (both / both.sum((1, 2), keepdim=True) * neurons[:, None, None]).sum(0)
    assert (neurons > 0).any()
    torch.testing.assert_close(row.arrays["pairs"], expected, rtol=1e-9, atol=1e-12)


def likeness(bias: bool = False) -> Model:
    specs = LIKENESS
    return model_of_inputs(Likeness(bias).double(), specs, doubles(rows_of(specs)), output="value")


@pytest.mark.parametrize("composite", ["zero", "gamma", "epsilon_plus"])
def test_pairs_sum_to_the_score_without_biases(composite: str) -> None:
    model = likeness()
    for row in asked(model, rows_of(LIKENESS), composite=composite):
        assert row.checks[0].gap < 1e-4
        assert float(row.arrays["pairs"].sum()) == pytest.approx(row.checks[0].observed)


def test_what_biases_take_is_told() -> None:
    (row, *_) = asked(likeness(bias=True), rows_of(LIKENESS), composite="zero")
    assert row.checks[0].gap > 1e-3
    assert row.checks[0].expected == pytest.approx(row.info["product"])


def test_of_one_encoder_the_inputs_may_change_places() -> None:
    rows = rows_of(LIKENESS)
    there = asked(likeness(), rows)
    back = asked(likeness(), {"left": rows["right"], "right": rows["left"]})
    for one, other in zip(there, back, strict=True):
        torch.testing.assert_close(one.arrays["pairs"], other.arrays["pairs"].T)


def test_half_of_each_pair_is_at_either_end() -> None:
    for row in asked(likeness(), rows_of(LIKENESS), patch=1):
        pairs = row.arrays["pairs"]
        for name, axis in (("left", 1), ("right", 0)):
            torch.testing.assert_close(row.arrays[f"attribution.{name}"].flatten(), pairs.sum(axis) / 2)


def test_patches_hold_the_sums_of_their_pixels() -> None:
    fine, coarse = (asked(likeness(), rows_of(LIKENESS, 1), patch=side)[0] for side in (1, 3))
    blocks = torch.tensor([3 * (r // 3) + c // 3 for r in range(8) for c in range(8)])
    expected = torch.zeros(9, 9, dtype=torch.float64)
    expected.index_put_((blocks[:, None], blocks[None]), torch.as_tensor(fine.arrays["pairs"]), accumulate=True)
    torch.testing.assert_close(coarse.arrays["pairs"], expected)
    assert coarse.info["pieces"] == [{"input": name, "grid": [3, 3], "patch": 3} for name in ("left", "right")]


def test_of_texts_it_is_the_products_of_what_lrp_says_of_each_number() -> None:
    """Token by token: sum_k LRP(a_k, one)_i LRP(b_k, other)_j, of LRP's own answers for units of the embeddings."""
    torch.manual_seed(0)
    rows = rows_of(IDS, 2)
    model = model_of_inputs(Similarity().double(), IDS, rows, output="value")
    found = asked(model, rows, composite="epsilon")
    x, sides = model.join(rows), branches(model, ValueTarget()).sides
    maps = []
    for name, (node,) in zip(IDS, sides, strict=True):
        layer = model.folded.nodes[node].layer
        units = [UnitTarget(layer=layer, index=(k,)) for k in range(5)]
        lrp = parse_method({"name": "lrp", "composite": "epsilon"})
        each = [named(lrp.explain(model, Batch(x, [unit] * 2)), model.card.input, maps=False) for unit in units]
        maps.append(torch.stack([one.arrays[f"attribution.{name}"] for one in each]))
    expected = torch.einsum("kni,knj->nij", *maps)
    assert expected.shape == (2, 6, 6)
    for row, pairs in zip(found, expected, strict=True):
        torch.testing.assert_close(row.arrays["pairs"], pairs)
        assert row.checks[0].gap < 1e-3


def test_every_element_of_several_scores_is_explained_by_itself() -> None:
    module, model = model_of_towers(lambda a, b: (a * b).view(-1, 3, 2).sum(2))
    rows = towers_rows(1)
    for k in range(3):
        (row,) = asked(model, rows, ElementTarget(index=(k,)), composite="zero")
        assert row.checks[0].expected == pytest.approx(module(**rows)[0, k].item())
        assert row.checks[0].gap < 1e-9


def test_progress_is_told_for_each_number() -> None:
    told: list[tuple[int, int]] = []
    model, rows = likeness(), rows_of(LIKENESS, 2)
    x = model.join(rows)
    batch = Batch(x, [ValueTarget()] * 2, report=lambda done, total, unit: told.append((done, total)))
    parse_method("bilrp").explain(model, batch)
    assert told[-1] == (14, 14)
    assert all(total == 14 for _, total in told)


def test_noise_is_paired_as_well() -> None:
    """What speaks for likeness has pairs whatever the inputs: of a picture of noise with itself, too."""
    x = inputs(1).double()
    (row,) = asked(likeness(), {"left": x, "right": x})
    assert abs(row.arrays["pairs"]).max() > 0
    assert row.checks[0].observed > 0


class Columns(nn.Module):
    """A row of two categories, a table for each, beside a row of numbers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.item = nn.Embedding(5, 3), nn.Embedding(4, 3), nn.Linear(5, 3, bias=False)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        one: Tensor = self.first(user[:, 1]) + self.second(user[:, 0])
        score: Tensor = (one * self.item(item)).sum(1)
        return score


def test_columns_of_categories_are_pieces_at_their_places() -> None:
    """Each by its own embedding, in the order of the row: x_i is what is looked up."""
    specs = {"user": InputSpec(shape=(2,), dtype="int64"), "item": InputSpec(shape=(5,))}
    module = Columns().double()
    rows = {"user": torch.tensor([[2, 4], [3, 0]]), "item": rows_of(specs, 2)["item"].double()}
    model = model_of_inputs(module, specs, rows, output="value")
    with torch.no_grad():
        looked_up = torch.stack([module.second(rows["user"][:, 0]), module.first(rows["user"][:, 1])], 1)
        expected = torch.einsum("nik,kj,nj->nij", looked_up, module.item.weight, rows["item"])
    for row, pairs in zip(asked(model, rows, composite="zero"), expected, strict=True):
        torch.testing.assert_close(row.arrays["pairs"], pairs, rtol=1e-9, atol=1e-12)
