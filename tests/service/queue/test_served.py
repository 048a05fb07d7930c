"""Which version of a model a name stands for, in fleets whose workers differ."""

from __future__ import annotations

from typing import Any

import pytest

from service.http.errors import NoWorker
from service.queue.served import Served, summed
from tests.repositories import TOY
from workers.contract import ModelState

OLD, NEW = (TOY.model_copy(update={"digest": f"sha256:{version * 64}"}) for version in "12")
CARDS = {card.digest: card for card in (OLD, NEW)}
STATES = {
    name: [ModelState(name="toy", state="ready", digest=card.digest, card=card.digest, since=since)]
    for name, card, since in (("old", OLD, 1.0), ("new", NEW, 2.0))
}


def served(*workers: tuple[str, str], own: str, ends: str = "") -> Served:
    """By workers of these states and methods, as an API with methods of its own sees it."""
    beats: list[dict[str, Any]] = [
        {"id": f"{states}-{methods}", "states": states, "methods": methods, "ends": methods == ends}
        for states, methods in workers
    ]
    return summed(beats, STATES, CARDS, own)


@pytest.mark.parametrize(
    ("workers", "own", "expected"),
    [
        ([("old", "m1"), ("new", "m1")], "m1", NEW),  # what became ready last
        ([("old", "m1"), ("new", "m2")], "m1", OLD),  # a rolling update, of the API as of the workers
        ([("old", "m1"), ("new", "m2")], "m2", NEW),
        ([("old", "m2"), ("new", "m1")], "m2", OLD),  # and its rollback
        ([("old", "m1"), ("new", "m1")], "m2", NEW),  # nobody has these methods: some are the same all the same
        ([("new", "m1")], "m2", NEW),
    ],
)
def test_a_name_stands_for_a_version_that_can_be_asked_for(
    workers: list[tuple[str, str]], own: str, expected: object
) -> None:
    assert served(*workers, own=own).card("toy") == expected


def test_models_are_those_of_workers_that_compute_as_the_api_asks() -> None:
    beats: list[dict[str, Any]] = [
        {"id": "plain", "states": "new", "methods": "m"},  # of a version that had but one
        {"id": "short", "states": "old", "methods": "m", "precisions": ["float32", "bfloat16"]},
    ]
    plain, short, tf32 = (summed(beats, STATES, CARDS, "m", one) for one in ("float32", "bfloat16", "tf32"))
    assert (plain.card("toy"), plain.workers) == (NEW, 2)
    assert short.card("toy") == OLD.model_copy(update={"precision": "bfloat16"})
    assert (short.workers, short.others) == (1, 1)
    with pytest.raises(
        NoWorker, match=r"computes in tf32, .*\(2 in others\); start workers with WHENCE_PRECISION=tf32"
    ):
        tf32.card("toy")


def test_any_version_can_be_named() -> None:
    both = served(("old", "m1"), ("new", "m2"), own="m1")
    assert both.card("toy@222222") == NEW
    assert both.card("toy@111111") == OLD


def test_who_ends_is_asked_no_more() -> None:
    assert served(("old", "m1"), ("new", "m2"), own="m1", ends="m1").card("toy") == NEW
