"""The cure for kombu's leaking prefetch slot: pinned to the fault, so that it goes when kombu heals."""

from __future__ import annotations

from typing import Any

import pytest
from kombu.transport import redis as kombu_redis
from redis.exceptions import ConnectionError as NoConnection

from workers import kombu_patch


class QoS(kombu_redis.QoS):
    """One unacknowledged message, and no Redis to acknowledge it in."""

    def __init__(self) -> None:
        self._dirty: set[str] = set()
        self._quick_ack = self._dirty.add

    def _remove_from_indices(self, delivery_tag: str, pipe: Any = None) -> Any:
        raise NoConnection


def test_a_failed_acknowledgement_frees_the_slot() -> None:
    qos = QoS()
    with pytest.raises(NoConnection):
        kombu_patch.ack(qos, "tag")
    assert "tag" in qos._dirty


def test_kombu_still_needs_the_patch() -> None:
    qos = QoS()
    with pytest.raises(NoConnection):
        kombu_patch._ack(qos, "tag")  # type: ignore[no-untyped-call]
    assert "tag" not in qos._dirty


def test_the_patch_is_where_kombu_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kombu_redis.QoS, "ack", kombu_patch._ack)
    kombu_patch.apply()
    assert kombu_redis.QoS.ack is kombu_patch.ack
