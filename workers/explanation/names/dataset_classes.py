"""Which of a model's classes the classes of a dataset are: a part of a job, for a model's labels are in no digest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from workers.explanation.card import ModelCard
from workers.explanation.names.references import own_datasets, own_models

MOST_DIGITS = 9
# By the dataset's digest, for each of its classes the model's; of another model that a method names by both digests.
Classes: TypeAlias = Mapping[str, tuple[int, ...]]


def is_binary(card: ModelCard) -> bool:
    """Whether the output is one number that says whether the input is of a class: datasets have a second."""
    return card.is_number and card.output in ("binary", "multilabel", "probabilities")


def classes_by_name(names: Sequence[str], card: ModelCard) -> tuple[int, ...]:
    """For each class of a dataset the model's class of that label, or number, -1 of what a lone class is not.

    Empty where the names do not tell, or tell what the order does.
    """
    if is_binary(card):
        found = _of_a_lone_class(names, card)
        return () if found == (-1, 0) else found
    found = _of_classes(names, card)
    return () if found == tuple(range(len(names))) else found


def classes_in(
    method: object, names_of: Callable[[str], Sequence[str]], card: ModelCard, others: Mapping[str, ModelCard]
) -> Classes:
    """As `classes_by_name`, of each dataset that a method names by its digest; of most there is nothing to say.

    `others` has the cards of all models that it names, by their digests, which look at the same datasets.
    """
    cards = {**others, card.digest: card}
    return _keyed(method, card.digest, lambda data, model: classes_by_name(names_of(data), cards[model]))


def classes_for(method: object, model: str, classes: Classes, own: str) -> Classes:
    """Of the classes of a job whose model has the digest `own` those of a method held in its, as of a job by itself.

    That is of `model`: the same, or another that the job's method names.
    """
    return _keyed(method, model, lambda data, of: classes.get(_key(data, of, own), ()))


def _keyed(method: object, own: str, classes_of: Callable[[str, str], tuple[int, ...]]) -> Classes:
    models = {own, *own_models(method)}
    found = {_key(data, model, own): classes_of(data, model) for data in own_datasets(method) for model in models}
    return {key: classes for key, classes in found.items() if classes}


def _key(dataset: str, model: str, own: str) -> str:
    return dataset if model == own else f"{dataset} {model}"


def _of_a_lone_class(names: Sequence[str], card: ModelCard) -> tuple[int, ...]:
    if len(names) > 2 or not card.labels or list(names).count(card.labels[0]) != 1:
        return ()
    return tuple(0 if name == card.labels[0] else -1 for name in names)


def _of_classes(names: Sequence[str], card: ModelCard) -> tuple[int, ...]:
    known = told_apart(card.labels)
    if all(name in known for name in names):
        return tuple(known[name] for name in names)
    return () if two_ways(names, card) else _numbers(names, card)


def two_ways(names: Sequence[str], card: ModelCard) -> str | None:
    """A class, named by a number, of a model without labels that may have been trained on folders of just these names.

    They sort as words, so that 10 is the third; None where each number is its place, or the model has more classes.
    """
    numbers = _numbers(names, card)
    if card.labels or len(numbers) < card.heads:
        return None
    return next((name for place, name in enumerate(names) if numbers[place] != place), None)


def unknown(names: Sequence[str], card: ModelCard) -> list[str]:
    """The classes of a dataset of which nobody can tell what they are in the model: some have labels, and these none.

    None where all of them go by their order: as many as the model has, or of a model without labels.
    """
    known = told_apart(card.labels)
    strange = [name for name in names if name not in known]
    by_order = not card.labels or len(strange) == len(names) == card.heads
    return [] if by_order or _numbers(names, card) else strange


def _numbers(names: Sequence[str], card: ModelCard) -> tuple[int, ...]:
    """The names as different numbers of classes, zeros in front or not; empty where some are none."""
    digits = [name for name in names if name.isascii() and name.isdecimal() and len(name) <= MOST_DIGITS]
    found = tuple(map(int, digits))
    return found if len(set(found)) == len(names) and max(found, default=0) < card.heads else ()


def told_apart(labels: Sequence[str]) -> Mapping[str, int]:
    """The class of each label that only one has."""
    often = Counter(labels)
    return {label: index for index, label in enumerate(labels) if often[label] == 1}
