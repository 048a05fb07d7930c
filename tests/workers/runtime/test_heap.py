"""What a long search for cycles has left is not searched again, until something large is let go."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from workers.runtime.supervise import heap


class Ring:
    """Held by itself alone."""

    def __init__(self) -> None:
        self.self = self


@pytest.fixture(autouse=True)
def own() -> Iterator[None]:
    before = list(gc.callbacks)
    gc.collect()
    yield
    gc.callbacks[:] = before
    gc.unfreeze()


@pytest.mark.parametrize(("long", "frozen"), [(0.0, True), (3600.0, False)])
def test_only_a_long_search_is_the_last(long: float, frozen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "LONG_S", long)
    heap.watch()
    gc.collect(0)
    gc.collect(1)
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert (gc.get_freeze_count() > 0) is frozen


def test_what_comes_later_is_still_found_and_what_was_frozen_once_it_thaws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "LONG_S", 0.0)
    heap.watch()
    model = Ring()
    gc.collect()
    gone, later = weakref.ref(model), weakref.ref(Ring())
    del model
    gc.callbacks.clear()
    gc.collect()
    assert later() is None
    assert gone() is not None
    heap.thaw()
    gc.collect()
    assert gone() is None
