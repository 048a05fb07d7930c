"""Short methods on one model in two threads at once: each answers what it answers by itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from torch import Tensor

from tests.orders import work
from tests.zoo import asking
from tests.zoo.animals import TOKENS, ZOO
from tests.zoo.asking import few, given
from tests.zoo.test_law import QUICK, apart, questions, targets_of
from workers.engine.model.batch import Batch
from workers.engine.model.inputs import named
from workers.engine.model.model import Model
from workers.explanation.errors import ExplainError
from workers.explanation.inputs import Shapes
from workers.explanation.result import Row
from workers.methods.method import Method
from workers.runtime.execute.model_support import check
from workers.runtime.lanes import short

EVERY = [name if name in QUICK else pytest.param(name, marks=pytest.mark.zoo) for name in ZOO]
TIMES = 3


@pytest.fixture(autouse=True)
def often() -> Iterator[None]:
    """Threads take turns some hundred times as often as they would."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("name", EVERY)
def test_two_at_once_answer_as_each_by_itself(name: str) -> None:
    methods = [one for one in questions(name) if short(work(method=few(one.name)))]
    assert methods
    x = given(name, asking.loaded(name).rows or 2)
    shapes = shapes_of(name)
    expected = {one.name: answer(asking.any_length(name).sized(shapes), one, x) for one in methods}
    shared = asking.any_length.__wrapped__(name).sized(shapes)  # nothing is made of it yet
    with ThreadPoolExecutor(2) as threads:
        orders = [methods * TIMES, methods[::-1] * TIMES]
        found = list(threads.map(lambda order: [(one.name, answer(shared, one, x)) for one in order], orders))
    wrong = {
        method for each in found for method, rows in each
        if len(rows) != len(expected[method])
        or any(apart(*pair) > 1e-12 for pair in zip(rows, expected[method], strict=True))
    }  # fmt: skip
    assert wrong == set()


def test_the_model_for_a_size_is_made_once_whoever_asks() -> None:
    name = "class_of_each_token"
    shared = asking.any_length.__wrapped__(name)
    shapes = [shapes_of(name, tokens) for tokens in (8, 12, 16)]
    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(lambda order: {each: shared.sized(each) for each in order}, [shapes, shapes[::-1]])
    assert all(one[each] is other[each] for each in shapes)


def shapes_of(name: str, tokens: int = TOKENS) -> Shapes:
    return tuple(tuple(row.shape[1:]) for row in ZOO[name].rows(2, tokens=tokens).values())


def answer(model: Model, method: Method, x: Tensor) -> Sequence[Row]:
    """The rows; none where it is refused, as it is of some inputs."""
    target = next(iter(targets_of(model.card.name).values()))
    targets = [target] * len(x) if method.takes_target else []
    try:
        check(model, method, target if method.takes_target else None)
        found = method.explain(model, Batch(x, targets, [0] * len(x)))
    except ExplainError:
        return []
    return named(found, model.card.input, method.of_places()).rows()
