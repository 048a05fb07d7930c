"""Which of a model's classes those of a dataset are: by their names where these tell, else by their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from workers.explanation.card import InputSpec, ModelCard
from workers.explanation.names.dataset_classes import classes_by_name, classes_for, classes_in, two_ways, unknown
from workers.methods.method import parse_method

SET, OTHER = ("sha256:" + digit * 64 for digit in "12")


def card_of(**fields: Any) -> ModelCard:
    return ModelCard(**{"name": "toy", "digest": "", "input": InputSpec(shape=(1,)), **fields})


@pytest.mark.parametrize(
    ("names", "labels", "found"),
    [
        (("cat", "ant"), ("ant", "bee", "cat"), (2, 0)),
        (("ant", "bee"), ("ant", "bee", "cat"), ()),  # what the numbers say, too
        (("cat", "dog"), ("ant", "bee", "cat"), ()),
        (("cat", "ant"), ("cat", "ant", "cat"), ()),  # which of the two it is, nobody can tell
        (("cat", "ant"), (), ()),
        ((), ("ant", "bee", "cat"), ()),
        (("0", "2"), ("ant", "bee", "cat"), (0, 2)),
        (("1", "2"), (), (1, 2)),
        (("01", "02"), ("ant", "bee", "cat"), (1, 2)),
        (("1", "01"), (), ()),
        (("1", "2", "0"), (), ()),  # trained on folders of these names, it would have them in this order
        (("1", "2", "0"), ("ant", "bee", "cat"), (1, 2, 0)),
        (("2", "0"), ("2", "1", "0"), (0, 2)),  # a label goes before a number
        (("0", "3"), (), ()),
    ],
)
def test_of_several_classes(names: Sequence[str], labels: tuple[str, ...], found: tuple[int, ...]) -> None:
    assert classes_by_name(names, card_of(outputs=(3,), labels=labels)) == found


def test_of_numbers_that_sort_as_words() -> None:
    names = sorted(map(str, range(12)))
    assert two_ways(names, card_of(outputs=(12,))) == "10"
    assert two_ways(names, card_of(outputs=(100,))) is None
    assert classes_by_name(names, card_of(outputs=(100,)))[:4] == (0, 1, 10, 11)
    assert two_ways(names, card_of(outputs=(12,), labels=tuple("abcdefghijkl"))) is None
    padded = [f"{number:02}" for number in range(12)]
    assert (two_ways(padded, card_of(outputs=(12,))), classes_by_name(padded, card_of(outputs=(12,)))) == (None, ())


@pytest.mark.parametrize(
    ("names", "labels", "strange"),
    [
        (("cat", "dog"), ("ant", "bee", "cat"), ["dog"]),
        (("n1", "n2"), ("ant", "bee", "cat"), ["n1", "n2"]),
        (("cat", "ant"), ("cat", "ant", "cat"), ["cat"]),
        (("n1", "n2", "n3"), ("ant", "bee", "cat"), []),  # as many as there are: in their order
        (("0", "2"), ("ant", "bee", "cat"), []),
        (("0", "cat"), ("ant", "bee", "cat"), ["0"]),
        (("dog",), (), []),
        ((), ("ant", "bee", "cat"), []),
    ],
)
def test_of_a_class_that_nobody_knows(names: Sequence[str], labels: tuple[str, ...], strange: list[str]) -> None:
    assert unknown(names, card_of(outputs=(3,), labels=labels)) == strange


@pytest.mark.parametrize(
    ("names", "labels", "found"),
    [
        (("ham", "spam"), ("spam",), ()),  # the second of two, as without names
        (("spam", "ham"), ("spam",), (0, -1)),
        (("spam",), ("spam",), (0,)),
        (("spam", "ham", "eggs"), ("spam",), ()),
        (("a", "b"), ("spam",), ()),
    ],
)
def test_of_a_lone_class(names: Sequence[str], labels: tuple[str, ...], found: tuple[int, ...]) -> None:
    assert classes_by_name(names, card_of(outputs=(1,), labels=labels, output="binary")) == found


def test_of_a_method_those_datasets_alone_that_it_names_at_any_depth() -> None:
    card = card_of(outputs=(3,), labels=("ant", "bee", "cat"))
    method = parse_method({"name": "at_temperature", "fitted": {"name": "temperature", "dataset": SET}})
    assert classes_in(method, {SET: ("cat", "ant"), OTHER: ("bee",)}.__getitem__, card, {}) == {SET: (2, 0)}
    assert classes_in(method, {SET: ("0", "1")}.__getitem__, card, {}) == {}


def test_a_held_method_has_the_classes_that_it_would_have_by_itself() -> None:
    names = {SET: ("cat", "ant"), OTHER: ("0", "1")}
    cards = {
        digest: card_of(outputs=(3,), labels=labels, digest=digest)
        for digest, labels in {"own": ("ant", "bee", "cat"), "far": ("cat", "bee", "ant"), "plain": ()}.items()
    }
    fitted = parse_method({"name": "temperature", "dataset": SET})
    held = {"name": "at_temperature", "fitted": {"name": "temperature", "dataset": SET}}
    method = parse_method({"name": "resampling", "of": held, "models": ["far", "plain"]})
    found = classes_in(method, names.__getitem__, cards["own"], cards)
    assert sorted(found.values()) == [(0, 2), (2, 0)]
    for digest, card in cards.items():
        assert classes_for(fitted, digest, found, "own") == classes_in(fitted, names.__getitem__, card, {})
    assert classes_for(method, "own", found, "own") == found
    swapped = parse_method({"name": "resampling", "of": held, "models": ["own"]})
    expected = classes_in(swapped, names.__getitem__, cards["far"], cards)
    assert classes_for(swapped, "far", found, "own") == expected
