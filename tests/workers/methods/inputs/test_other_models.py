"""Another model that a method names gets what it would make of the same input, in its own embeddings and sizes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.resources import InMemory, InMemoryDataset
from tests.several import batch_of_inputs, model_of_inputs
from tests.toys import batch_of, inputs, model_of, net
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.card import ImageSpec, InputSpec
from workers.explanation.errors import InvalidParameter, InvalidTensor
from workers.methods.method import parse_method

TEXT = InputSpec(shape=(6,), dtype="int64", padding=0)
ANY = InputSpec.model_validate({"shape": ("*",), "dtype": "int64", "padding": 0})
IDS = torch.tensor([[3, 5, 2, 7, 1, 0], [9, 4, 4, 8, 6, 2]])
GXI = "input_times_gradient"
METHODS: tuple[dict[str, Any], ...] = (
    {"name": "implementation_invariance", "of": [GXI], "other": "two"},
    {"name": "randomization", "of": [GXI], "other": "two"},
    {"name": "resampling", "of": GXI, "models": ["two"]},
)


class Texts(nn.Module):
    """What is looked up, turned into a space of so many numbers, which changes no score."""

    def __init__(self, turned: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.hidden, self.head = nn.Embedding(20, 8, padding_idx=0), nn.Linear(8, 12), nn.Linear(12, 3)
        if turned:
            rows = torch.linalg.qr(torch.randn(turned, turned, dtype=torch.float64))[0][:8]
            table, weight = (one.weight.data.double() @ rows for one in (self.table, self.hidden))
            bias = self.hidden.bias
            self.table, self.hidden = nn.Embedding(20, turned, padding_idx=0), nn.Linear(turned, 12)
            self.table.weight.data, self.hidden.weight.data, self.hidden.bias = table, weight, bias

    def forward(self, ids: Tensor) -> Tensor:
        output: Tensor = self.head(torch.tanh(self.hidden(self.table(ids))).mean(1))
        return output


def of_texts(turned: int = 0, spec: InputSpec = TEXT) -> Model:
    return model_of_inputs(
        Texts(turned).double(), {"text": spec}, {"text": IDS}, digest=f"sha256:{turned:064x}", name=f"texts{turned}"
    )


def asked(model: Model, other: Model, method: dict[str, Any], batch: Batch) -> Any:
    batch.resources = InMemory({}, models={"two": other})
    return parse_method(method).explain(model, batch)


@pytest.mark.parametrize("turned", [8, 13])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["name"])
def test_ids_are_looked_up_in_the_others_own_embeddings(method: dict[str, Any], turned: int) -> None:
    """A model whose vectors are turned, or longer, says the same of each token."""
    model = of_texts()
    found = asked(model, of_texts(turned), method, batch_of_inputs(model, {"text": IDS}, 1))
    if method["name"] == "implementation_invariance":
        assert found.arrays["scores"].abs().max() < 1e-9
    elif method["name"] == "randomization":
        np.testing.assert_allclose(found.arrays["scores"], 1, rtol=1e-9)
    else:
        np.testing.assert_allclose(found.arrays["std"], 0, atol=1e-9)
        assert [one["correlation"] for one in found.info] == pytest.approx([1, 1])


@pytest.mark.parametrize(
    "of",
    [
        {"name": "expected_gradients", "dataset": "d", "samples": 5},
        {"name": "integrated_gradients", "steps": 300, "baseline": {"digest": "sha256:" + "a" * 64}},
    ],
    ids=lambda of: of["name"],
)
def test_what_it_asks_for_is_looked_up_there_too(of: dict[str, Any]) -> None:
    model, draw = of_texts(), torch.Generator().manual_seed(0)
    texts = model.join({"text": torch.randint(1, 20, (7, 6), generator=draw)})
    batch = batch_of_inputs(model, {"text": IDS}, 1, seeds=[0, 0])
    batch.resources = InMemory(
        {"d": InMemoryDataset(texts)}, models={"two": of_texts(13)}, inputs={"sha256:" + "a" * 64: texts[0]}
    )
    found = parse_method({"name": "resampling", "of": of, "models": ["two"]}).explain(model, batch)
    np.testing.assert_allclose(found.arrays["std"], 0, atol=1e-9)
    assert found.arrays["attribution"].abs().max() > 1e-3


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["name"])
def test_of_any_length_both_are_of_the_texts_own(method: dict[str, Any]) -> None:
    whole, other = of_texts(spec=ANY), of_texts(8, spec=ANY)
    ids = IDS[:, :4]
    found, expected = (
        asked(model, two, method, batch_of_inputs(model, {"text": ids}, 1))
        for model, two in ((whole.sized(((4,),)), other), (whole.sized(((4,),)), other.sized(((4,),))))
    )
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)


def reader(words: str) -> Any:
    def of_ids(ids: list[int]) -> Any:
        if max(ids) >= len(words):
            raise InvalidTensor(f"the tokenizer has no token {max(ids)}", pointer="/input")
        return SimpleNamespace(tokens=[SimpleNamespace(text=words[one]) for one in ids if one])

    return SimpleNamespace(of_ids=of_ids)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("-abcdefghi", None),
        ("-abcdegfhi", "the token 'g' is 'f' to the tokenizer of texts8"),
        ("-abcdefg", "of texts8 the tokenizer has no token 9"),
    ],
)
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["name"])
def test_of_texts_that_it_reads_otherwise_nothing_is_compared(
    method: dict[str, Any], words: str, told: str | None
) -> None:
    model, other = of_texts(), of_texts(8)
    model.tokenizers, other.tokenizers = {"text": reader("-abcdefghi")}, {"text": reader(words)}
    batch = batch_of_inputs(model, {"text": IDS}, 1)
    if told is None:
        asked(model, other, method, batch)
        return
    with pytest.raises(InvalidParameter, match=told) as refused:
        asked(model, other, method, batch)
    assert refused.value.pointer in ("/method/other", "/method/models/0")


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["name"])
def test_pictures_that_it_prepares_otherwise_are_not_compared(method: dict[str, Any]) -> None:
    pictures = [ImageSpec(mode="L", mean=(mean,), std=(0.5,)) for mean in (0.5, 0.2)]
    model, other = (
        model_of(
            net(), (1, 8, 8), digest=f"sha256:{at:064x}", input=InputSpec(kind="image", shape=(1, 8, 8), image=one)
        )
        for at, one in enumerate(pictures)
    )
    with pytest.raises(InvalidParameter, match=r"makes other numbers of the same input than toy: \[input\] image"):
        asked(model, other, method, batch_of(inputs(1), 1))


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (("ant", "bee", "cat"), None),
        (("Ant", "honey bee", "cat"), None),
        ((), None),
        (("ant", "cat", "bee"), "'bee' is class 1 of toy, and class 2 of toy; they must be alike"),
    ],
)
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["name"])
def test_classes_in_another_order_are_not_compared(
    method: dict[str, Any], labels: tuple[str, ...], told: str | None
) -> None:
    """Spelled otherwise they may be the same."""
    model, other = (
        model_of(net(), (1, 8, 8), digest=f"sha256:{at:064x}", labels=one)
        for at, one in enumerate((("ant", "bee", "cat"), labels))
    )
    batch = batch_of(inputs(1), 1)
    if told is None:
        asked(model, other, method, batch)
        return
    with pytest.raises(InvalidParameter, match=told):
        asked(model, other, method, batch)
