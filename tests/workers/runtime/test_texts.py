"""Texts from their bytes to what an answer tells: words, their numbers, and what did not fit, by the demo model."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from tests import toys
from tests.workers.models.texts import text_work
from workers.explanation.errors import InvalidTensor, InvalidText
from workers.explanation.tensors import digest_tensor, encode_npy
from workers.jobs.stored_results import Finished
from workers.jobs.work import Work
from workers.runtime.execute.model_inputs import padded, prepared
from workers.runtime.execute.run import run

LINES = ["le chat dort sous la grande table", "die Katze, sagte er", "the children walked home through the rain"]


language = cache(toys.language)


def told(*works: Work) -> list[Finished]:
    found = dict(run(works, lambda _: language()))
    answers = [found[work] for work in works]
    assert all(isinstance(answer, Finished) for answer in answers), answers
    return answers  # type: ignore[return-value]


def answer(text: str, method: Any) -> dict[str, Any]:
    return dict(told(text_work(text, method))[0].meta)


def array(answer: Finished, name: str = "attribution") -> np.ndarray[Any, Any]:
    import io

    found: np.ndarray[Any, Any] = np.load(io.BytesIO(answer.arrays[name]))
    return found


def test_an_answer_tells_words_and_tokens_with_their_numbers() -> None:
    meta = answer(LINES[1], {"name": "integrated_gradients", "steps": 100})
    (text,) = meta["texts"].values()
    assert [word["text"] for word in text["words"]] == ["die", "Katze", ",", "sagte", "er"]
    assert [LINES[1][word["start"] : word["end"]] for word in text["words"]] == [word["text"] for word in text["words"]]
    assert meta["prediction"][0]["label"] == "German"
    values = [token["value"] for token in text["tokens"]]
    assert sum(values) == pytest.approx(meta["attribution"]["sum"], rel=1e-5)
    assert sum(word["value"] for word in text["words"]) == pytest.approx(sum(values), rel=1e-5)
    (check,) = meta["checks"]
    assert check["observed"] == pytest.approx(check["expected"], rel=5e-3)
    assert text["truncated"] is None


@pytest.mark.parametrize(
    "method",
    ["gradient", "input_times_gradient", "deep_lift", "lrp", "smooth_grad", "occlusion", "lime", "kernel_shap",
     "shapley_sampling", "expected_gradients", {"name": "integrated_gradients", "baseline": "mask"},
     {"name": "occlusion", "fill": "pad"}, {"name": "kernel_shap", "segments": "token", "samples": 200},
     {"name": "word_deletion", "of": ["lrp", "gradient"], "steps": 4}],
)  # fmt: skip
def test_a_text_in_company_is_explained_as_alone(method: Any) -> None:
    """Texts of other lengths, and of the same padded length, share what they can."""
    works = [text_work(line, method) for line in (*LINES, "je ne sais pas")]
    name = "scores" if isinstance(method, dict) and method["name"] == "word_deletion" else "attribution"
    for work, together in zip(works, told(*works), strict=True):
        (alone,) = told(work)
        one, other = array(together, name), array(alone, name)
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * (np.abs(other).max() + 1e-12))


def test_words_and_tokens_have_the_same_sum_by_every_game() -> None:
    for cut in ("word", "token"):
        meta = answer("le chat dort", {"name": "shapley_sampling", "segments": cut, "fill": "pad"})
        (check,) = meta["checks"]
        assert meta["attribution"]["sum"] == pytest.approx(check["expected"], rel=1e-5)


def test_one_word_hidden_is_what_its_pieces_hidden_together_are() -> None:
    """Occlusion of a word of several pieces is the score's loss when all of them are filled at once."""
    model, work = language(), text_work(LINES[0])
    given = prepared(work, model.card.named, model.tokenizers)
    own = model.sized(given.shapes)
    x = own.join({name: torch.from_numpy(row)[None] for name, row in given.rows.items()})
    part = next(part for part in own.card.input.parts if part.embedding)
    words = given.rows["input.words"]
    meta = answer(LINES[0], "occlusion")
    target = meta["target"]["index"]
    for number, word in enumerate(meta["texts"]["input"]["words"]):
        hidden = x.clone()
        hidden[:, part.start : part.stop].view(1, *part.shape)[:, torch.from_numpy(words == number)] = 0
        loss = (own.forward(x) - own.forward(hidden))[0, target].item()
        assert word["value"] == pytest.approx(loss, abs=1e-4)


def test_ids_are_taken_for_the_text_that_they_are_of() -> None:
    work = text_work(LINES[0], "integrated_gradients")
    ids = np.array(language().tokenizers["input"].encode(LINES[0]).ids, np.float32)
    job = work.job.model_copy(update={"input": digest_tensor(ids)})
    by_ids = Work(job.id, job, "toy", 0.0, 0.0, kind="tensor", data=encode_npy(ids))
    by_text, others = told(work, by_ids)
    np.testing.assert_allclose(array(by_text), array(others), rtol=1e-4, atol=1e-6)
    assert others.meta["texts"]["input"]["tokens"][0]["text"] == "le"


def test_a_long_text_is_cut_and_says_so() -> None:
    text = " ".join(LINES * 20)
    cut = answer(text, "gradient")["texts"]["input"]["truncated"]
    assert cut["tokens"] == 64
    assert cut["of"] > 64
    again = answer(text[: cut["from"]], "gradient")
    assert again["texts"]["input"]["truncated"] is None
    assert again["attribution"]["sum"] == pytest.approx(answer(text, "gradient")["attribution"]["sum"], rel=1e-5)


def test_what_is_no_text_is_refused_in_a_sentence() -> None:
    model = language()
    for data, kind, error, why in (
        (b"\xff", "text", InvalidText, "not UTF-8"),
        (b"  ", "text", InvalidText, "empty"),
        (encode_npy(np.array([1, 99999], np.float32)), "tensor", InvalidTensor, "no token 99999"),
        (encode_npy(np.array([1.5], np.float32)), "tensor", InvalidTensor, "whole"),
        (encode_npy(np.ones((2, 3), np.float32)), "tensor", InvalidTensor, r"shape \[2, 3\]"),
    ):
        work = Work("0" * 64, text_work("a").job, "toy", 0.0, 0.0, kind=kind, data=data)  # type: ignore[arg-type]
        with pytest.raises(error, match=why):
            prepared(work, model.card.named, model.tokenizers)


def test_texts_are_padded_to_one_of_few_lengths() -> None:
    spec = language().takes["input"]
    assert [padded(count, spec) for count in (1, 8, 9, 33, 64)] == [8, 8, 12, 48, 64]


def drawn(count: int) -> list[str]:
    """Lines of the examples' words, mixed by language."""
    draw = np.random.default_rng(3)
    more = ("la ragazza mangia una mela rossa", "los libros viejos cuentan historias")
    words = [line.split() for line in (*LINES, *more)]
    return [" ".join(draw.choice(words[i % 5], 6)) for i in range(count)]


def test_deleting_what_lrp_and_integrated_gradients_name_hurts_more_than_what_the_gradient_names() -> None:
    """And that more than words by chance (so do 200 lines of the demo's test words: reproductions/word_deletion.md)."""
    of = ["lrp", "integrated_gradients", {"name": "gradient", "reduce": "square"}]
    scores = {}
    for order in ("morf", "random"):
        works = [text_work(line, {"name": "word_deletion", "of": of, "steps": 4, "order": order}) for line in drawn(20)]
        scores[order] = np.mean([array(one, "scores") for one in told(*works)], axis=0)
    lrp, integrated, gradient = scores["morf"]
    assert min(lrp, integrated) > gradient > scores["random"][0]
