"""The zoo law: on every kind of net every method answers rightly, alone and in company, or refuses with a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from tests.zoo import moving, oracle, outputs, sequences, several, tables, texts, vision, volumes
from tests.zoo.animals import ZOO
from tests.zoo.asking import Answer, Refusal, asked, few, given, loaded
from workers.engine.model.inputs import named
from workers.explanation.request_target import parse_targets
from workers.explanation.result import Attribution, Row
from workers.explanation.target import Target
from workers.methods.catalogue import catalogue, parse_method
from workers.methods.method import Method
from workers.runtime.execute.model_support import support

HALLS = (moving, outputs, sequences, several, tables, texts, vision, volumes)
QUICK = ("one_logit", "image_and_words")
EVERY = [name if name in QUICK else pytest.param(name, marks=pytest.mark.zoo) for name in ZOO]
ROWS = 8
ON_VALUES = "decomposes a positive score"  # of which nobody knows before there is an input
EXACT = ("gradient", "input_times_gradient")

pytestmark = pytest.mark.timeout(1200)  # a net is asked some hundred questions


def test_the_zoo_is_large() -> None:
    assert len(ZOO) >= 30


def targets_of(name: str) -> dict[str, Target]:
    """A target of each kind that the card offers: the output's, a channel and a unit of two layers."""
    card = loaded(name).card
    raw: dict[str, object] = {"argmax": "argmax"}
    if card.output not in ("value", "binary"):
        raw["class 1"] = 1
    if card.output == "value" and card.outputs and np.prod(card.outputs) > 1:
        raw = {"sum": {"reduce": "sum"}, "element": {"index": [n // 2 for n in card.outputs]}}
    layers = [layer for layer in card.layers if layer.shape]
    for layer in {one.name: one for one in (layers[0], layers[len(layers) // 2])}.values():
        raw[f"unit of {layer.name}"] = {"layer": layer.name, "index": [n // 2 for n in layer.shape]}
        for axis in {"channel", "token"} & set(layer.axes):
            raw[f"{axis} of {layer.name}"] = {"layer": layer.name, axis: 0}
    return {told: parse_targets(each, card)[0] for told, each in raw.items()}


def questions(name: str) -> Iterator[Method]:
    """Every method that the card says is supported, with few passes."""
    for method in catalogue():
        if support(loaded(name), method).supported:
            yield parse_method(few(method))


def apart(found: Row, expected: Row) -> float:
    """The largest difference of two rows' arrays, over the size of the expected one where that is no rounding."""
    gaps = [0.0]
    for key, array in expected.arrays.items():
        if np.asarray(array).dtype.kind == "f":
            size = max(float(np.abs(array).max(initial=0)), 1e-5)
            gaps.append(float(np.abs(np.asarray(found.arrays[key]) - array).max(initial=0)) / size)
    return max(gaps)


@pytest.mark.parametrize("name", EVERY)
def test_alone_and_in_company_every_method_answers_alike_and_rightly(name: str) -> None:
    wrong, told, offered = [], Counter[str](), targets_of(name)
    for method in questions(name):
        for what, target in offered.items() if method.takes_target else [("no target", None)]:
            try:
                told[verdict(name, method, target, list(offered.values()))] += 1
            except Exception as error:
                wrong.append(f"{method.name} of {what}: {type(error).__name__}: {str(error)[:200]}")
    print(name, dict(told))
    assert not wrong, f"{len(wrong)} wrong on {name}:\n" + "\n".join(wrong)


def verdict(name: str, method: Method, target: Target | None, others: list[Target]) -> str:
    """`answered` or `refused`; raises where the answer is wrong, or where there is neither."""
    x, seeds = given(name, ROWS), [3, *range(10, 9 + ROWS)]
    alone = asked(name, method, x[:1], [target] if target else [], seeds[:1])
    if isinstance(alone, Refusal):
        check_refusal(name, alone, method, target)
        return "refused"
    if not method.takes_input:
        return "answered"
    if target is not None:
        check_scalar(name, method, target, alone)
    if loaded(name).rows == 1:  # the worker gives it one row after the other
        return "answered"
    # A neighbour's target may be refused, and the worker then leaves that row out.
    mixed = [one for one in others if not refused(name, method, one)] if target else []
    company = [target, *(mixed * ROWS)[: ROWS - 1]] if target else []
    together = asked(name, method, x, company, seeds)
    if isinstance(together, Refusal):  # what a neighbour's value forbids; the worker halves such a batch
        rows = zip(x[1:], company[1:], seeds[1:], strict=True)
        assert any(isinstance(asked(name, method, row[None], [aim], [seed]), Refusal) for row, aim, seed in rows), (
            f"refused in company alone: {together.error.detail}"
        )
        return "answered"
    assert (gap := apart(together.rows[0], alone.rows[0])) <= 1e-6, f"in company off by {gap:.2g}"
    if target is not None:
        assert together.scores[0] == pytest.approx(alone.scores[0], rel=1e-6, abs=1e-9)
    return "answered"


def check_scalar(name: str, method: Method, target: Target, answer: Answer) -> None:
    """The score told is the scalar explained, and its gradient is the gradient that autograd gives."""
    x, spec = given(name, ROWS)[0], loaded(name).card.input
    scalar = oracle.scalar(name, x, target, spec)
    if scalar is None:
        return
    assert answer.scores[0] == pytest.approx(scalar.item(), rel=1e-6, abs=1e-9), "the score told"
    if method.name in EXACT:
        slope = oracle.gradient(name, x, target, spec)
        assert slope is not None
        slope = slope * x if method.name == "input_times_gradient" else slope
        expected = named(Attribution({"attribution": slope[None]}), spec, maps=False).arrays
        assert answer.rows[0].arrays.keys() == expected.keys()
        for key, one in expected.items():
            found = torch.as_tensor(answer.rows[0].arrays[key]).double()
            torch.testing.assert_close(found, one[0], rtol=1e-5, atol=1e-8)


@cache
def refused(name: str, method: Method, target: Target) -> bool:
    return isinstance(asked(name, method, given(name, 1), [target], [0]), Refusal)


def check_refusal(name: str, refusal: Refusal, method: Method, target: Target | None) -> None:
    """What it advises is answered."""
    for instead in refusal.error.alternatives:
        other = parse_method(instead["method"]) if "method" in instead else method
        aim = parse_targets(instead["target"], loaded(name).card)[0] if "target" in instead else target
        assert (reason := against(name, hurried(other), aim)) is None, f"advises {dict(instead)}, refused: {reason}"


def against(name: str, method: Method, target: Target | None) -> str | None:
    """Why the method is refused, None where it answers; where that hangs on the input, any that it takes will do."""
    reason = None
    for x in given(name, ROWS):
        answer = asked(name, method, x[None], [target] if target else [], [0])
        if isinstance(answer, Answer):
            return None
        reason = answer.error.detail
    return None if reason and ON_VALUES in reason else reason


def hurried(method: Method) -> Method:
    """The method with few passes, all else as it is."""
    changes: Mapping[str, Any] = {key: value for key, value in few(method.name).items() if key not in ("name", "of")}
    return parse_method({**method.to_json(), **changes})


@pytest.mark.parametrize("name", EVERY)
def test_what_the_card_says_of_a_method_that_it_does_not_support_holds(name: str) -> None:
    model = loaded(name)
    target = next(iter(targets_of(name).values()))
    for each in (support(model, method) for method in catalogue()):
        if each.supported:
            continue
        assert each.reason
        for instead in each.alternatives:
            other = parse_method(instead.get("method", few(each.name)))
            aim = parse_targets(instead["target"], model.card)[0] if "target" in instead else target
            reason = against(name, hurried(other), aim)
            assert reason is None, f"{each.name} advises {instead}, refused: {reason}"
