"""The seeds' row of words over HTTP: of f = sum_t w.e(x_t) every method says w.e(x_t) of each token."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.service.seeds.asking import Answer, answered
from tests.tree import ROOT
from whence import Client
from workers.engine.model.model import Model
from workers.models.folder import read_folder
from workers.models.loading import load

LINE = "die Katze, sagte er, sitzt unter dem Tisch"
TARGET = 2
SUM = '''

class Sum(Language):
    """A score of each piece by itself, all of them added up."""

    def forward(self, ids: Tensor) -> Tensor:
        there = (ids != PAD).unsqueeze(2).to(self.score.weight.dtype)
        return self.score((self.pieces(ids) * there).sum(1))


def summed() -> nn.Module:
    return Sum().eval()
'''


def models() -> dict[str, Model]:
    return {"words": words()}


@cache
def words() -> Model:
    """The demo model's pieces and scores, with nothing between them."""
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "words"
        shutil.copytree(ROOT / "models" / "language", own)
        code, card = own / "net.py", own / "card.toml"
        code.write_text(code.read_text() + SUM)
        card.write_text(card.read_text().replace("net.py:build", "net.py:summed"))
        found = load(read_folder(own))
    assert isinstance(found, Model)
    return found


def parts(target: int) -> list[float]:
    """w.e(x_t) of each token."""
    weights = load_file(ROOT / "models" / "language" / "weights.safetensors")
    made = weights["pieces.weight"] @ weights["score.weight"][target]
    return [float(made[one]) for one in words().tokenizers["input"].encode(LINE).ids]


def asked(client: Client, method: Any) -> Answer:
    return answered(client, "words", method, TARGET, input={"text": LINE})


def shown(found: Answer) -> Any:
    text = found.told["texts"]["input"]
    assert "".join(one["text"] for one in text["tokens"]) == LINE.replace(" ", "")
    return text


TOKENS: list[Any] = [
    "input_times_gradient",
    {"name": "integrated_gradients", "steps": 3},
    {"name": "smooth_grad", "of": "input_times_gradient", "samples": 3, "noise": 0.0},
    {"name": "lrp", "composite": "zero"},
    "deep_lift",
    {"name": "shapley_sampling", "segments": "token", "samples": 4},
]
WORDS: list[Any] = [
    "occlusion",
    {"name": "lime", "alpha": 0.0, "samples": 100},
    {"name": "kernel_shap", "samples": 100},
]


@pytest.mark.parametrize("method", TOKENS)
def test_each_token_has_what_it_adds_to_the_sum(client: Client, method: Any) -> None:
    """G x I = IG from the zero embedding = LRP-0 = w.e(x_t)."""
    values = [one["value"] for one in shown(asked(client, method))["tokens"]]
    np.testing.assert_allclose(values, parts(TARGET), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", WORDS)
def test_a_word_has_what_its_tokens_add_to_the_sum(client: Client, method: Any) -> None:
    text = shown(asked(client, method))
    wanted = np.zeros(len(text["words"]))
    np.add.at(wanted, [one["word"] for one in text["tokens"]], parts(TARGET))
    np.testing.assert_allclose([one["value"] for one in text["words"]], wanted, rtol=1e-3, atol=1e-4)


def test_the_gradient_of_a_token_is_that_of_its_place_in_the_sum(client: Client) -> None:
    """The same w for all."""
    weights = load_file(ROOT / "models" / "language" / "weights.safetensors")["score.weight"][TARGET]
    values = [one["value"] for one in shown(asked(client, "gradient"))["tokens"]]
    np.testing.assert_allclose(values, np.full(len(values), weights.sum()), rtol=1e-4)


def test_the_score_falls_by_what_each_word_had_added(client: Client) -> None:
    """w.e(x_t), the largest first."""
    text = shown(asked(client, {"name": "lrp", "composite": "zero"}))
    method = {"name": "word_deletion", "of": [{"name": "lrp", "composite": "zero"}], "steps": len(text["words"])}
    (curve,) = asked(client, method).arrays["curves"]
    falls = sorted((one["value"] for one in text["words"]), reverse=True)
    np.testing.assert_allclose(-np.diff(curve), falls, rtol=1e-3, atol=1e-4)
