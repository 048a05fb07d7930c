"""Targets in a request's words: what each kind of output takes, and that the advice of a refusal is taken."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import TypeAdapter

from workers.engine.model.outputs import has_chances
from workers.explanation.card import OPEN, InputSpec, ModelCard, Output
from workers.explanation.card_checks import check_output
from workers.explanation.errors import InvalidFolder, InvalidTarget
from workers.explanation.request_target import parse_targets
from workers.explanation.target import (
    ClassTarget,
    ElementTarget,
    MaskTarget,
    RankTarget,
    ReducedTarget,
    Target,
    ValueTarget,
)

ADVISED = re.compile(r"as (\{.*?\})|or (\{.*?\})")


def card(output: Output, *outputs: int, labels: tuple[str, ...] = ()) -> ModelCard:
    named = check_output(output, outputs, labels)
    found = ModelCard(name="toy", digest="", output=output, input=InputSpec(shape=(1,)), outputs=(), labels=named)
    return found.model_copy(update={"outputs": outputs})


@pytest.mark.parametrize(
    ("known", "raw", "target"),
    [
        (card("value", 4), {"index": 3}, ElementTarget(index=(3,))),
        (card("value", 4), {"index": [3]}, ElementTarget(index=(3,))),
        (card("value", 4), 3, ElementTarget(index=(3,))),
        (card("value", 4), "3", ElementTarget(index=(3,))),
        (card("value", 2, labels=("width", "height")), "height", ElementTarget(index=(1,))),
        (card("value", 2, 3, 3), {"index": [1, 0, 2]}, ElementTarget(index=(1, 0, 2))),
        (card("value", 2, 3, 3), {"reduce": "mean"}, ReducedTarget(reduce="mean")),
        (card("value", 2, OPEN), {"index": [1, 40]}, ElementTarget(index=(1, 40))),
        (card("value", OPEN, OPEN), {"index": [0, 0]}, ElementTarget(index=(0, 0))),
        (card("value", OPEN), {"reduce": "sum"}, ReducedTarget(reduce="sum")),
        (card("value", 1), {"reduce": "sum"}, ValueTarget()),
        (card("value"), {"index": 0}, ValueTarget()),
        (card("value", 1), 0, ValueTarget()),
        (card("value"), "argmax", ValueTarget()),
        (card("binary"), "argmax", RankTarget(rank=0)),
        (card("binary", 1), 0, ClassTarget(index=0)),
        (card("binary", 1, labels=("dog",)), "dog", ClassTarget(index=0)),
        (card("binary", 1, labels=("cat", "dog")), "dog", ClassTarget(index=0)),
        (card("probabilities"), {"top_k": 1}, RankTarget(rank=0)),
        (card("multilabel", 3), {"class": 2}, ClassTarget(index=2)),
        (card("segmentation", 2, 3), {"class": 1, "mask": [1, 0, 1]}, MaskTarget(index=1, mask=(True, False, True))),
        (
            card("segmentation", 2, 1, 2, 2), {"class": 1, "mask": [[[True, False], [False, True]]]},
            MaskTarget(index=1, mask=(((True, False), (False, True)),)),
        ),
    ],
)  # fmt: skip
def test_a_request_names(known: ModelCard, raw: Any, target: Target) -> None:
    assert parse_targets(raw, known) == [target]
    adapter: TypeAdapter[Target] = TypeAdapter(Target)
    assert adapter.validate_json(adapter.dump_json(target)) == target
    assert hash(target) == hash(adapter.validate_python(adapter.dump_python(target, mode="json")))


@pytest.mark.parametrize(
    "raw", ["value", "argmax", {"index": [9, 9]}, {"index": 9}, 9, "height", {"class": 0}, {"top_k": 1}]
)
@pytest.mark.parametrize("outputs", [(4,), (2, 3, 3), (2, OPEN, 3)])
def test_several_numbers_want_one_named_and_what_the_refusal_advises_is_taken(
    outputs: tuple[int, ...], raw: Any
) -> None:
    known = card("value", *outputs)
    with pytest.raises(InvalidTarget, match="the target names one of them") as refused:
        parse_targets(raw, known)
    advised = [json for pair in ADVISED.findall(refused.value.detail) for json in pair if json]
    assert len(advised) == 3
    for one in advised:
        (target,) = parse_targets(TypeAdapter(Any).validate_json(one), known)
        assert isinstance(target, ElementTarget | ReducedTarget)


@pytest.mark.parametrize(
    ("known", "raw", "reason"),
    [
        (card("binary", labels=("cat", "dog")), "cat", "its one logit is the target 0 or 'dog'"),
        (card("binary", 1), 1, "from 0 to 0"),
        (card("logits", 3), "value", "'argmax'"),
        (card("logits", 3), {"reduce": "sum"}, '{"class": 0}'),
        (card("logits", 3), {"index": 0}, '{"class": 0}'),
        (card("logits", 3), {"class": 0, "mask": [1]}, "classes have places"),
        (card("value", 4), {"reduce": "max"}, "reduce"),
        (card("segmentation", 2, 3), {"class": 0, "mask": [1, 0]}, r"\[3\]"),
        (card("segmentation", 2, 2, 2), {"class": 0, "mask": [[1, 0], [1]]}, "differ in length"),
        (card("segmentation", 2, 3), {"class": 0, "mask": [0, 0, 0]}, "holds no place"),
        (card("segmentation", 2, 3), {"class": 0, "mask": [1, 2, 0]}, "true and false"),
    ],
)  # fmt: skip
def test_a_target_that_the_output_has_not_is_refused_with_the_reason(known: ModelCard, raw: Any, reason: str) -> None:
    with pytest.raises(InvalidTarget, match=reason):
        parse_targets(raw, known)


@pytest.mark.parametrize(
    ("output", "outputs", "labels", "reason"),
    [
        ("binary", (3,), (), 'say "multilabel"'),
        ("logits", (), (), 'say output = "binary"'),
        ("evidence", (), (), 'say output = "binary"'),
        ("binary", (1,), ("a", "b", "c"), "3 classes and the model has 1"),
        ("logits", (3,), ("a", "b"), "2 classes and the model has 3"),
    ],
)
def test_an_output_that_is_not_of_its_kind_is_refused(
    output: Output, outputs: tuple[int, ...], labels: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(InvalidFolder, match=reason):
        card(output, *outputs, labels=labels)


def test_a_lone_number_is_a_probability_only_where_its_card_says_of_what() -> None:
    assert [has_chances(card(kind, 1)) for kind in ("binary", "multilabel", "probabilities", "segmentation")] == [
        True
    ] * 4
    assert [has_chances(card(kind, 1)) for kind in ("logits", "evidence", "value")] == [False] * 3
