"""Ids reshaped before they are looked up: explained as those that are looked up as they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
import torch
from torch import Tensor, nn

from tests.several import batch_of_inputs, model_of_inputs
from workers.engine.model.inputs import named
from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidFolder
from workers.methods.method import parse_method

Look: TypeAlias = Callable[[Tensor], Tensor]
IDS = InputSpec(shape=(4,), dtype="int64", padding=0)
SENTENCES = InputSpec(shape=(2, 4), dtype="int64", padding=0)
METHODS: list[dict[str, Any]] = [
    {"name": "gradient"},
    {"name": "integrated_gradients", "steps": 8},
    {"name": "deep_lift"},
    {"name": "lrp"},
    {"name": "occlusion"},
    {"name": "kernel_shap", "samples": 64},
]


class Flattened(nn.Module):
    """A reader of tokens that looks them up by whatever it makes of their ids."""

    def __init__(self, look_up: Callable[[Look, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.head = nn.Embedding(10, 5), nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
        self.look_up = look_up

    def forward(self, ids: Tensor) -> Tensor:
        vectors = self.look_up(self.words, ids).reshape(ids.shape[0], -1, 5)
        output: Tensor = self.head(torch.tanh(vectors).mean(1))
        return output


def flat(words: Look, ids: Tensor) -> Tensor:
    return words(ids.view(-1)).view(*ids.shape, -1)


def of_sentences(words: Look, ids: Tensor) -> Tensor:
    return words(ids.flatten(0, 1)).view(*ids.shape, -1)


def turned_and_flat(words: Look, ids: Tensor) -> Tensor:
    return words(ids.t().reshape(-1)).view(ids.shape[1], ids.shape[0], -1).transpose(0, 1)


def shifted_and_flat(words: Look, ids: Tensor) -> Tensor:
    return words((ids + 1).view(-1)).view(*ids.shape, -1)


def plain(words: Look, ids: Tensor) -> Tensor:
    return words(ids)


def shifted(words: Look, ids: Tensor) -> Tensor:
    return words(ids + 1)


CASES = {
    "flat": (flat, plain, IDS),
    "turned": (turned_and_flat, plain, IDS),
    "sentences": (of_sentences, plain, SENTENCES),
    "shifted": (shifted_and_flat, shifted, IDS),
}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["name"])
@pytest.mark.parametrize("case", CASES)
def test_ids_reshaped_before_the_embedding_are_explained_as_plain_ones(case: str, method: dict[str, Any]) -> None:
    look_up, as_they_come, spec = CASES[case]
    ids = torch.randint(1, 9, (3, *spec.shape), generator=torch.Generator().manual_seed(1))
    ids[1, ..., -1] = 0
    found = []
    for each in (look_up, as_they_come):
        model = model_of_inputs(Flattened(each).eval(), {"ids": spec}, {"ids": ids})
        result = parse_method(method).explain(model, batch_of_inputs(model, {"ids": ids}, seeds=[0] * 3))
        found.append(torch.as_tensor(named(result, model.card.input, maps=False).arrays["attribution.ids"]))
    assert found[0].abs().sum() > 0
    torch.testing.assert_close(*found)


def test_ids_of_several_rows_at_once_are_refused_with_what_works() -> None:
    def repeated(words: Look, ids: Tensor) -> Tensor:
        return words(ids.repeat(2, 1)).view(2, *ids.shape, -1).mean(0)

    def vectors_repeated(words: Look, ids: Tensor) -> Tensor:
        return words(ids).repeat(2, 1, 1).view(2, *ids.shape, -1).mean(0)

    ids = torch.randint(1, 9, (3, 4), generator=torch.Generator().manual_seed(1))
    with pytest.raises(
        InvalidFolder, match=r"the embedding embedding .* looks up, repeat, .* repeat or move the vectors"
    ):
        model_of_inputs(Flattened(repeated).eval(), {"ids": IDS}, {"ids": ids})
    model_of_inputs(Flattened(vectors_repeated).eval(), {"ids": IDS}, {"ids": ids})
