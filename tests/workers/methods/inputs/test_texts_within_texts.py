"""Documents of sentences, each read by itself, and words of letters: ids that are flattened beside the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.several import batch_of_inputs, model_of_inputs
from workers.engine.model.inputs import named
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.methods.method import parse_method

SENTENCES, WORDS, LETTERS = 3, 4, 5
MANY = InputSpec(shape=(SENTENCES, WORDS), dtype="int64", padding=0)


class Reader(nn.Module):
    """One layer of a transformer over the words of each sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(20, 8, padding_idx=0), nn.Embedding(WORDS, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        vectors = self.words(ids) + self.places(torch.arange(WORDS))
        output: Tensor = self.layer(vectors, src_key_padding_mask=ids == 0)
        return output


class Document(nn.Module):
    """As of captum 329 and 883: the sentences of a document are rows of the reader's batch."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.head = Reader(), nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        read = self.reader(ids.view(-1, WORDS))[:, 0]
        output: Tensor = self.head(torch.tanh(read.view(-1, SENTENCES, 8)).mean(1))
        return output


class Letters(nn.Module):
    """As of captum 510: a word is what it is and how it is written."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.letters = nn.Embedding(20, 4), nn.Embedding(9, 3)
        self.conv, self.head = nn.Conv1d(3, 4, 3), nn.Linear(8, 3)

    def forward(self, words: Tensor, letters: Tensor) -> Tensor:
        written = self.conv(self.letters(letters.view(-1, LETTERS)).transpose(1, 2)).relu().amax(2)
        both = torch.cat([self.words(words), written.view(-1, WORDS, 4)], 2)
        output: Tensor = self.head(torch.tanh(both).mean(1))
        return output


CASES: Mapping[str, tuple[type[nn.Module], dict[str, InputSpec], dict[str, str]]] = {
    "document": (Document, {"ids": MANY}, {"ids": "reader.words"}),
    "letters": (
        Letters,
        {
            "words": InputSpec(shape=(WORDS,), dtype="int64"),
            "letters": InputSpec(shape=(WORDS, LETTERS), dtype="int64"),
        },
        {"words": "words", "letters": "letters"},
    ),
}


def given(name: str) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    rows = {key: torch.randint(1, 9, (2, *spec.shape), generator=draw) for key, spec in CASES[name][1].items()}
    if name == "document":
        rows["ids"][0, :, -1] = 0
    return rows


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Model, dict[str, Tensor], dict[str, str]]:
    make, specs, tables = CASES[request.param]
    torch.manual_seed(0)
    module, rows = make().eval(), given(request.param)
    return module.double(), model_of_inputs(make_again(make), specs, rows), rows, tables


def make_again(make: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().eval()


def explained(model: Model, rows: Mapping[str, Tensor], method: dict[str, Any]) -> dict[str, Tensor]:
    found = parse_method(method).explain(model, batch_of_inputs(model, rows, seeds=[0] * 2))
    arrays = named(found, model.card.input, maps=False).arrays
    return {key.removeprefix("attribution."): torch.as_tensor(one) for key, one in arrays.items()}


def looked_up(module: nn.Module, rows: Mapping[str, Tensor], tables: Mapping[str, str]) -> dict[str, Tensor]:
    """Gradient times embedding by autograd, summed over the vectors, in the shape of the ids."""
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Tensor) -> None:
            output.retain_grad()
            kept[name] = output

        return hook

    hooks = [module.get_submodule(path).register_forward_hook(keep(name)) for name, path in tables.items()]
    with torch.enable_grad():
        module(*rows.values())[:, 1].sum().backward()
    for each in hooks:
        each.remove()
    found = {}
    for name, one in kept.items():
        assert one.grad is not None
        found[name] = (one * one.grad).sum(-1).detach().view(rows[name].shape)
    return found


def test_each_id_has_what_autograd_says_of_its_vector(case: Any) -> None:
    module, model, rows, tables = case
    expected = looked_up(module, rows, tables)
    found = explained(model, rows, {"name": "input_times_gradient"})
    assert found.keys() == expected.keys()
    for name, due in expected.items():
        torch.testing.assert_close(found[name], due, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("method", [{"name": "integrated_gradients", "steps": 200}, {"name": "deep_lift"}])
def test_all_ids_together_come_to_the_score(case: Any, method: dict[str, Any]) -> None:
    _, model, rows, _ = case
    batch = batch_of_inputs(model, rows, seeds=[0] * 2)
    for row in parse_method(method).explain(model, batch).rows():
        (check,) = row.checks
        assert check.observed == pytest.approx(check.expected, rel=5e-3, abs=1e-4)
    assert sum(float(one.abs().sum()) for one in explained(model, rows, method).values()) > 0


@pytest.mark.parametrize("name", ["lrp", "occlusion", "smooth_grad", "kernel_shap", "lime by blocks"])
def test_rows_are_explained_as_alone(case: Any, name: str) -> None:
    _, model, rows, _ = case
    more: dict[str, dict[str, Any]] = {
        "kernel_shap": {"samples": 200, "count": 8},
        "lime by blocks": {"name": "lime", "samples": 40, "segments": "grid", "count": 6},
    }
    method = {"name": name, **more.get(name, {})}
    together = explained(model, rows, method)
    method_alone = parse_method(method)
    for row in range(2):
        own = {key: one[row : row + 1] for key, one in rows.items()}
        found = method_alone.explain(model, batch_of_inputs(model, own, seeds=[0]))
        for key, one in named(found, model.card.input, maps=False).arrays.items():
            if key.startswith("attribution"):
                torch.testing.assert_close(
                    torch.as_tensor(one)[0], together[key.removeprefix("attribution.")][row], rtol=1e-6, atol=1e-9
                )
