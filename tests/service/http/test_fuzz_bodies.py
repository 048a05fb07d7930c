"""A few seconds of `make fuzz`: bodies broken at random are answered with what a client can do something about."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tests.fuzz import bodies


@pytest.mark.filterwarnings("ignore:.*SpooledTemporaryFile")  # Starlette leaves a part that never ends to the collector
@pytest.mark.parametrize("broken", bodies.ALL)
def test_a_broken_body_is_answered(broken: Any) -> None:
    became: Counter[str] = Counter()
    with bodies.sending() as send:
        bodies.fuzz(broken(), 60, 1, send, lambda what: became.update([what]))
    assert became.total() >= 60
    assert len(became) > 1


@pytest.mark.parametrize(("path", "document"), bodies.documents())
def test_what_is_broken_was_sound(path: str, document: object) -> None:
    """But for what has no bytes, no file and no secret here."""
    with bodies.sending() as send:
        call = bodies.Call(path, json.dumps(document).encode(), bodies.JSON)
        assert send(call) in ("200", "400", "422 unknown_input", "422 invalid_request")
