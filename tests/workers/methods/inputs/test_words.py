"""Of f = sum_t w.e(x_t) every method says w.e(x_t) of each token, and deleting a word takes off what it had added."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.several import batch_of_inputs, model_of_inputs
from tests.zoo.animals import Animal
from tests.zoo.texts import ALONE, VOCABULARY
from workers.engine.model.inputs import named
from workers.engine.model.model import Model
from workers.explanation.inputs import words_of
from workers.methods.catalogue import parse_method

TARGET = 1


class Sum(nn.Module):
    """What each token adds to each of three scores; 0 is padding."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(VOCABULARY, 4), nn.Linear(4, 3)

    def forward(self, ids: Tensor) -> Tensor:
        there = (ids != 0).unsqueeze(2).to(self.head.weight.dtype)
        output: Tensor = self.head((self.table(ids) * there).sum(1))
        return output


ROWS = Animal(Sum, {"text": ALONE}, ids=VOCABULARY).rows(3)
IDS, WORDS = ROWS["text"], ROWS[words_of("text")]


@pytest.fixture(scope="module")
def module() -> Sum:
    torch.manual_seed(0)
    return Sum().double()


@pytest.fixture(scope="module")
def model(module: Sum) -> Model:
    loaded = model_of_inputs(module, {"text": ALONE}, {"text": IDS})
    return loaded.sized(tuple(tuple(row.shape[1:]) for row in ROWS.values()))


def parts(module: Sum) -> Any:
    """w.e(x_t) of each token, (3, tokens); of padding 0."""
    made = module.table(IDS) @ module.head.weight[TARGET]
    return (made * (IDS != 0)).detach().numpy()


def values(model: Model, method: Any) -> Any:
    """One number a token."""
    found = parse_method(method).explain(model, batch_of_inputs(model, ROWS, TARGET))
    return named(found, model.card.input, maps=False).arrays["attribution.text"].numpy()


@pytest.mark.parametrize(
    "method",
    [
        "input_times_gradient",
        {"name": "integrated_gradients", "steps": 3},
        {"name": "smooth_grad", "of": "input_times_gradient", "samples": 3, "noise": 0.0},
        {"name": "lrp", "composite": "zero"},
        {"name": "deep_lift"},
    ],
)
def test_each_token_has_what_it_adds_to_the_sum(module: Sum, model: Model, method: Any) -> None:
    """G x I = IG from the zero embedding = LRP-0 = w.e(x_t); what the tokenizer adds, every baseline has too."""
    own = WORDS.numpy() >= 0
    np.testing.assert_allclose(values(model, method)[own], parts(module)[own], rtol=1e-7, atol=1e-9)


def test_the_gradient_of_every_token_is_w(module: Sum, model: Model) -> None:
    wanted = module.head.weight[TARGET].sum().item() * (IDS != 0).numpy()
    np.testing.assert_allclose(values(model, "gradient"), wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "method", ["occlusion", {"name": "kernel_shap", "samples": 100}, {"name": "lime", "alpha": 0.0}]
)
def test_a_word_has_what_its_tokens_add_to_the_sum(module: Sum, model: Model, method: Any) -> None:
    found, wanted = values(model, method), parts(module)
    for row in range(len(IDS)):
        for word in range(int(WORDS[row].max()) + 1):
            own = WORDS[row].numpy() == word
            assert found[row, own].sum() == pytest.approx(wanted[row, own].sum(), rel=1e-5, abs=1e-6)


def test_the_score_falls_by_what_each_word_had_added(module: Sum, model: Model) -> None:
    """w.e(x_t), the largest first (S4 l.4091)."""
    method = {"name": "word_deletion", "of": [{"name": "lrp", "composite": "zero"}], "steps": 8}
    curves = parse_method(method).explain(model, batch_of_inputs(model, ROWS, TARGET)).arrays["curves"][:, 0]
    for row, one in enumerate(parts(module)):
        of_word = [one[WORDS[row].numpy() == word].sum() for word in range(int(WORDS[row].max()) + 1)]
        falls = -np.diff(curves[row].numpy())
        np.testing.assert_allclose(falls[: len(of_word)], sorted(of_word, reverse=True), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(falls[len(of_word) :], 0, atol=1e-7)


class Dropped(Sum):
    """With a dropout behind its head, as most have that were trained."""

    def forward(self, ids: Tensor) -> Tensor:
        output: Tensor = nn.functional.dropout(super().forward(ids), 0.1, self.training)
        return output


@pytest.mark.parametrize("kind", [Sum, Dropped])
def test_tokens_are_looked_up_without_a_pass(kind: type[Sum]) -> None:
    """Each text, and each baseline of tokens, is looked up: what the model makes of it is not computed for that."""
    model = model_of_inputs(kind().eval(), {"text": ALONE}, {"text": IDS})
    lookup = model.sized(tuple(tuple(row.shape[1:]) for row in ROWS.values())).lookup
    assert lookup is not None
    assert {"linear", "sum", "dropout"}.isdisjoint(node.op for node in lookup.nodes)


class Checked(Sum):
    """It looks whether a text is as long as it may be, as XLM's kin do."""

    def forward(self, ids: Tensor) -> Tensor:
        torch._check((ids != 0).sum(1).max().item() <= ids.shape[1])  # type: ignore[no-untyped-call]
        return super().forward(ids)


def test_a_check_of_lengths_is_none_of_the_model_s_sizes() -> None:
    torch.manual_seed(0)
    model = model_of_inputs(Checked().eval(), {"text": ALONE}, {"text": IDS})
    sized = model.sized(tuple(tuple(row.shape[1:]) for row in ROWS.values()))
    torch.manual_seed(0)
    torch.testing.assert_close(sized.run(sized.join(ROWS)), Sum().double()(IDS))
