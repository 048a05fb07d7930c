"""Short methods on one model in two threads at once: each answers what it answers by itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.orders import work
from tests.zoo import asking
from tests.zoo.asking import Answer, asked, few, given, shapes_of
from tests.zoo.test_law import EVERY, apart, questions, targets_of
from workers.engine.model.model import Model
from workers.explanation.result import Row
from workers.methods.method import Method
from workers.runtime.short import short

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
    methods = [one for one in questions(name) if short([work(method=few(one.name))])]
    assert methods
    expected = dict(answers(name, methods, asking.loaded(name)))
    shared = asking.any_length.__wrapped__(name).sized(shapes_of(name))  # nothing is made of it yet
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda order: answers(name, order * TIMES, shared), [methods, methods[::-1]]))
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


def answers(name: str, methods: Sequence[Method], model: Model) -> list[tuple[str, Sequence[Row]]]:
    """By name the rows of each; none where it is refused, as it is of some inputs."""
    x = given(name, model.rows or 2)
    targets = [next(iter(targets_of(name).values()))] * len(x)
    found = [(one.name, asked(name, one, x, targets, [0] * len(x), model=model)) for one in methods]
    return [(method, one.rows if isinstance(one, Answer) else []) for method, one in found]
