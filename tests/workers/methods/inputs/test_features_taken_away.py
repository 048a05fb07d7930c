"""What is taken away to judge a map of several inputs: places of pictures, columns, a text's own tokens alike."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from tests.several import IMAGE, ROW, batch_of_inputs, model_of_inputs, rows_of
from tests.toys import batch_of, model_of
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidParameter
from workers.explanation.result import Row
from workers.methods import claims
from workers.methods.catalogue import catalogue
from workers.methods.method import parse_method
from workers.runtime.execute.model_support import support

IDS = InputSpec(shape=(6,), dtype="int64", padding=0)


class Linear(nn.Module):
    """Weights of each pixel, column and vector of a token: what each counts is known."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.image, self.row = nn.Linear(192, 3, bias=False), nn.Linear(5, 3, bias=False)
        self.words = nn.Embedding(9, 4, padding_idx=0)
        self.text = nn.Linear(4, 3, bias=False)

    def forward(self, image: Tensor, row: Tensor, ids: Tensor) -> Tensor:
        output: Tensor = self.image(image.flatten(1)) + self.row(row) + self.text(self.words(ids).sum(1))
        return output


def made(picture: InputSpec) -> Model:
    specs = {"image": picture, "row": ROW, "ids": IDS}
    return model_of_inputs(Linear().eval(), specs, given(2))


@pytest.fixture(scope="module")
def model() -> Model:
    return made(IMAGE)


def given(n: int) -> dict[str, Tensor]:
    """Texts of 4 tokens, and two places of padding."""
    ids = torch.randint(1, 9, (n, 6), generator=torch.Generator().manual_seed(1))
    ids[:, 4:] = 0
    return {**rows_of({"image": IMAGE, "row": ROW}, n), "ids": ids}


def judged(model: Model, method: dict[str, object]) -> list[Row]:
    made = parse_method(method)
    made.refuse(model)
    return made.explain(model, batch_of_inputs(model, given(2), seeds=[0, 1])).rows()


def test_of_a_linear_model_of_several_inputs_any_of_its_places_lose_what_they_count(model: Model) -> None:
    for row in judged(model, {"name": "sensitivity_n", "of": "input_times_gradient", "sizes": [1, 7, 60]}):
        torch.testing.assert_close(torch.as_tensor(row.arrays["curves"]), torch.ones(1, 3))
        assert torch.as_tensor(row.arrays["gaps"]).max() < 1e-4


def test_as_many_go_as_there_are_places_of_the_inputs_themselves(model: Model) -> None:
    """Of the image 64, of the row 5, of the text its 4 tokens."""
    with pytest.raises(InvalidParameter, match="subsets of 73 features cannot be drawn from 73"):
        judged(model, {"name": "sensitivity_n", "sizes": [73]})
    judged(model, {"name": "sensitivity_n", "sizes": [72], "subsets": 2})


def counted(row: int) -> dict[str, Tensor]:
    """What each number of each input counts for the class."""
    module, rows = Linear(), given(2)
    image = module.image.weight[1].view(3, 8, 8) * rows["image"][row]
    text = module.words(rows["ids"][row]) @ module.text.weight[1]
    return {"image": image.detach(), "row": (module.row.weight[1] * rows["row"][row]).detach(), "ids": text.detach()}


FLIPPING = {"name": "pixel_flipping", "of": "input_times_gradient", "fill": "zero", "score": "logit", "steps": 80}


def falls(row: Row) -> Tensor:
    curve = torch.as_tensor(row.arrays["curves"])[0].double()
    return curve[:-1] - curve[1:]


def test_a_map_s_blocks_columns_and_tokens_go_in_one_order() -> None:
    """Of what is linear the score falls by what each counts, the most first: 16 blocks, 5 columns, 4 tokens."""
    model = made(InputSpec(shape=(3, 8, 8)))
    for at, row in enumerate(judged(model, {**FLIPPING, "segments": "token", "count": 16})):
        each = counted(at)
        blocks = each["image"].sum(0).view(4, 2, 4, 2).sum((1, 3)).flatten()
        due = torch.cat([blocks, each["row"], each["ids"][:4]]).double().sort(descending=True).values
        torch.testing.assert_close(falls(row)[:25], due, rtol=1e-4, atol=1e-5)
        assert not falls(row)[25:].any()
        lost = torch.cat([torch.zeros(1), due.cumsum(0)])
        assert row.arrays["scores"][0] == pytest.approx(float(lost.mean()), rel=1e-4)


def test_without_a_word_a_picture_s_superpixels_go_beside_columns_and_tokens(model: Model) -> None:
    for at, row in enumerate(judged(model, FLIPPING)):
        found = falls(row)
        going = int(found.nonzero().max()) + 1
        assert 9 < going < 80
        assert (found[:going].diff() <= 1e-5).all()
        assert float(found.sum()) == pytest.approx(sum(map(float, map(torch.sum, counted(at).values()))), rel=1e-4)
        assert row.info["axes"]["x"] == "segments taken away"


def test_a_lone_column_and_a_token_are_gone_without_a_mean(model: Model) -> None:
    """The mean of one number is that number: nothing would go."""
    for at, row in enumerate(judged(model, {**FLIPPING, "fill": "patch_mean", "order": "random"})):
        each = counted(at)
        assert float(falls(row).sum()) != 0
        kept = float(each["image"].sum() + each["row"].sum() + each["ids"].sum() - falls(row).double().sum())
        assert abs(kept) > 1e-3  # the picture keeps each segment's mean


def test_a_column_of_a_table_alone_is_gone_by_default() -> None:
    model = model_of(nn.Linear(4, 3, bias=False), (4,))
    method = parse_method({"name": "pixel_flipping", "score": "logit"})
    (row,) = method.explain(model, batch_of(torch.tensor([[1.0, 2.0, -1.0, 3.0]]), 1)).rows()
    assert row.arrays["curves"][0, -1] == pytest.approx(0, abs=1e-6)


def test_squares_and_segments_are_not_asked_for_together() -> None:
    with pytest.raises(ValidationError, match="give one of the two"):
        parse_method({"name": "pixel_flipping", "patch": 2, "segments": "grid"})


@pytest.mark.parametrize("name", ["minimal_deletion", "continuity", "input_shift_invariance"])
def test_what_judges_by_one_array_names_what_judges_by_several(name: str, model: Model) -> None:
    told = support(model, name)
    assert not told.supported
    assert "image" in (told.reason or "")
    assert [one["method"]["name"] for one in told.alternatives] == ["pixel_flipping", "sensitivity_n"]
    assert all(support(model, one["method"]["name"]).supported for one in told.alternatives)
    assert claims.inputs(catalogue()[name]) == "one alone, of any rank"
