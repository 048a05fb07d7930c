"""The padding law: a text is explained as if it were alone, whatever stands beside it and behind it."""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.resources import InMemory
from tests.zoo.animals import ZOO
from tests.zoo.asking import Refusal, any_length, asked, given, supplies
from tests.zoo.test_law import apart, questions, targets_of
from workers.engine.model.model import Model
from workers.explanation.bundle import File, bundle, digest_inputs
from workers.explanation.card import OPEN
from workers.explanation.result import Row
from workers.explanation.target import RankTarget, Target
from workers.explanation.tensors import digest_tensor, encode_npy
from workers.explanation.text import Token, Tokens
from workers.jobs.job import Job
from workers.jobs.stored_results import Finished
from workers.jobs.work import Work
from workers.methods.method import Method
from workers.runtime.execute.run import run

SHORT, LONG = 8, 12
TEXTS = [name for name, one in ZOO.items() if any(s.kind == "text" and OPEN in s.shape for s in one.takes.values())]
OF_TOKENS = ("class_of_each_token", "answers")
QUICK = "similarity"
EVERY = [name if name == QUICK else pytest.param(name, marks=pytest.mark.zoo) for name in TEXTS]

# Of all places of an output: a mean of probabilities, and a walk that begins with one at each, count those of padding.
OF_PLACES = {"excitation_backprop", "pixel_flipping"}


class Ids:
    """Makes tokens of ids: each is a word of its own, but the first, which is the tokenizer's."""

    def encode(self, text: str) -> Tokens:
        raise NotImplementedError

    def of_ids(self, ids: Sequence[int]) -> Tokens:
        tokens = [Token(str(one), 2 * i, 2 * i + 1, i - 1 if i else None) for i, one in enumerate(ids)]
        return Tokens(tuple(ids), tuple(tokens), (0,) * len(ids), " ".join("x" for _ in ids))


@cache
def served(name: str) -> Model:
    model = copy.copy(any_length(name))
    model.tokenizers = {key: Ids() for key, spec in ZOO[name].takes.items() if spec.kind == "text"}
    return model


def work(name: str, seed: int, tokens: int, method: Method, target: Target | None) -> Work:
    """A claimed job about one item, of whose texts each has so many tokens of its own."""
    draw = np.random.default_rng(seed)
    rows: dict[str, NDArray[np.float32]] = {}
    for key, spec in ZOO[name].takes.items():
        if spec.kind == "text":
            rows[key] = np.array([2, *draw.integers(3, ZOO[name].ids, tokens - 1)], np.float32)
        else:
            rows[key] = draw.normal(size=spec.shape).astype(np.float32)
    files = {key: File("tensor", digest_tensor(row), encode_npy(row)) for key, row in rows.items()}
    one = next(iter(files.values()))
    several = len(files) > 1
    job = Job(
        model="sha256:" + "0" * 64, input=digest_inputs(files) if several else one.digest,
        target=target or RankTarget(rank=0), method=method,
    )  # fmt: skip
    return Work(
        job.id, job, name, 0.0, 0.0, kind="inputs" if several else "tensor",
        data=bundle(files) if several else one.data,
    )  # fmt: skip


def told(name: str, *works: Work) -> list[Any]:
    def supply(model: Any, *_: object) -> InMemory:
        text = next(part for part in model.card.input.parts if part.name.endswith(".words"))
        return supplies(name, text.shape[0])

    found = dict(run(works, lambda _: served(name), supply=supply))
    return [found[one] for one in works]


def arrays(found: Finished) -> Mapping[str, NDArray[Any]]:
    return {key: np.load(io.BytesIO(data)) for key, data in found.arrays.items()}


@pytest.mark.parametrize("name", EVERY)
def test_texts_of_8_tokens_beside_texts_of_12_are_explained_as_alone(name: str) -> None:
    wrong, answered = [], 0
    target = next(iter(targets_of(name).values()))
    for method in (one for one in questions(name) if one.takes_input):
        aim = target if method.takes_target else None
        works = [work(name, i, tokens, method, aim) for i, tokens in enumerate((SHORT, LONG, SHORT))]
        for number, (one, together) in enumerate(zip(works, told(name, *works), strict=True)):
            (alone,) = told(name, one)
            if not isinstance(alone, Finished) or not isinstance(together, Finished):
                if type(alone) is not type(together):
                    wrong.append(f"{method.name}: {alone!r:.200}, in company {together!r:.200}")
                continue
            answered += 1
            rows = [Row("attribution", arrays(each), [], {}) for each in (together, alone)]
            if (gap := apart(*rows)) > 1e-5:
                wrong.append(f"{method.name} of item {number}: off by {gap:.2g}")
    assert answered > 30
    assert not wrong, f"{len(wrong)} wrong on {name}:\n" + "\n".join(wrong)


def own(row: Row, expected: Row) -> Row:
    """What the row has where the expected one, of fewer tokens, has something."""
    cut = {
        key: np.asarray(array)[tuple(slice(size) for size in np.shape(expected.arrays[key]))]
        for key, array in row.arrays.items()
    }
    return Row(row.kind, cut, row.checks, row.info)


@pytest.mark.parametrize("name", EVERY)
def test_more_padding_behind_a_text_changes_no_number(name: str) -> None:
    wrong = []
    # A channel of a layer is of all its places, those of padding among them.
    offered = {what: one for what, one in targets_of(name).items() if not what.startswith("channel")}
    for method in questions(name):
        if not method.takes_input:
            continue
        for what, target in offered.items() if method.takes_target else [("no target", None)]:
            if method.name in OF_PLACES and name in OF_TOKENS and not what.startswith(("element", "unit")):
                continue
            aims = [target] * 2 if target else []
            short, long = (asked(name, method, given(name, 2, 1, n), aims, [3, 4], n) for n in (SHORT, LONG))
            if isinstance(short, Refusal) or isinstance(long, Refusal):
                if type(short) is not type(long):
                    wrong.append(f"{method.name} of {what}: refused at one length")
                continue
            for one, other in zip(short.rows, long.rows, strict=True):
                if (gap := apart(own(other, one), one)) > 1e-5:
                    wrong.append(f"{method.name} of {what}: off by {gap:.2g}")
    assert not wrong, f"{len(wrong)} wrong on {name}:\n" + "\n".join(wrong)
