"""The cures for kombu and Celery: pinned to the faults, so that they go when those heal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest
from celery.worker.consumer import Consumer
from kombu.transport import redis as kombu_redis
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from workers.jobs import doorbell
from workers.runtime.supervise import consumer, kombu_ack_fix


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
        kombu_ack_fix.ack(qos, "tag")
    assert "tag" in qos._dirty


def test_kombu_still_needs_the_patch() -> None:
    qos = QoS()
    with pytest.raises(NoConnection):
        kombu_ack_fix._ack(qos, "tag")  # type: ignore[no-untyped-call]
    assert "tag" not in qos._dirty


def test_the_patch_is_where_kombu_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kombu_redis.QoS, "ack", kombu_ack_fix._ack)
    monkeypatch.setattr(kombu_redis.QoS, "restore_visible", kombu_ack_fix._restore_visible)
    kombu_ack_fix.apply()
    assert kombu_redis.QoS.ack is kombu_ack_fix.ack
    assert kombu_redis.QoS.restore_visible is kombu_ack_fix.restore_visible


class Connected(kombu_redis.QoS):
    """It has a connection, which fails with `error`."""

    unacked_mutex_key, unacked_mutex_expire, visibility_timeout, _vrestore_count = "mutex", 1, 1, 0

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.channel = self

    @contextmanager
    def conn_or_acquire(self) -> Iterator[None]:
        if self.error:
            raise self.error
        yield


@pytest.mark.parametrize("error", [ReadOnlyError(), OutOfMemoryError(), ResponseError("MISCONF Errors writing")])
def test_messages_that_cannot_be_restored_now_are_left_for_the_next_time(error: Exception) -> None:
    qos = Connected(error)
    kombu_ack_fix.restore_visible(qos, interval=1)
    with pytest.raises(ResponseError):
        kombu_ack_fix._restore_visible(qos, interval=1)  # type: ignore[no-untyped-call]
    with pytest.raises(ResponseError):
        kombu_ack_fix.restore_visible(Connected(ResponseError("WRONGTYPE")), interval=1)


@pytest.mark.parametrize(("error", "pauses"), [(ReadOnlyError(), [consumer.PAUSE_S]), (NoConnection(), [])])
def test_a_broker_that_takes_no_writes_is_not_asked_as_fast_as_it_goes(
    monkeypatch: pytest.MonkeyPatch, error: Exception, pauses: list[float]
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("workers.runtime.supervise.consumer.time.sleep", slept.append)
    monkeypatch.setattr(Consumer, "on_connection_error_before_connected", lambda *_: None)
    monkeypatch.setattr(Consumer, "on_connection_error_after_connected", lambda *_: None)
    patient = consumer.Patient.__new__(consumer.Patient)
    patient.on_connection_error_before_connected(error)
    assert slept == pauses
    patient.on_connection_error_after_connected(error)
    assert slept == 2 * pauses


def test_it_is_the_consumer_of_workers() -> None:
    module, _, name = doorbell.consumer("redis://127.0.0.1:1/0").conf.worker_consumer.partition(":")
    assert getattr(import_module(module), name) is consumer.Patient
