"""What is taken away to judge a map of several inputs: places of pictures, columns, a text's own tokens alike."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.several import IMAGE, ROW, batch_of_inputs, model_of_inputs, rows_of
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidParameter
from workers.explanation.result import Row
from workers.methods.method import parse_method

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


@pytest.fixture(scope="module")
def model() -> Model:
    specs = {"image": IMAGE, "row": ROW, "ids": IDS}
    return model_of_inputs(Linear().eval(), specs, given(2))


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
