"""Cures for kombu 5.7 where Redis is away, or takes no writes.

An acknowledgement that fails must free the prefetch slot, or the worker stands still for ever: kombu removes the
message in Redis first and frees the slot after; when Redis is away in between, the slot is never freed. The message
stays unacknowledged in Redis and comes again; its claim then finds nothing to do.

Every second kombu looks for such messages, which writes. Where Redis refuses that, it is to try again, and not to fill
the log.
"""

from typing import Any

from kombu.transport import redis, virtual
from redis.exceptions import ResponseError

from workers.jobs.refusals import refuses_writes

_ack, _restore_visible = redis.QoS.ack, redis.QoS.restore_visible


def ack(self: Any, delivery_tag: str) -> None:
    """As kombu's, but the slot is freed in any case."""
    try:
        _ack(self, delivery_tag)  # type: ignore[no-untyped-call]
    except Exception:
        virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]
        raise


def restore_visible(self: Any, *args: Any, **options: Any) -> None:
    """As kombu's, but what takes no writes now is left for the next time."""
    try:
        _restore_visible(self, *args, **options)  # type: ignore[no-untyped-call]
    except ResponseError as error:
        if not refuses_writes(error):
            raise


def apply() -> None:
    """Patch this process."""
    redis.QoS.ack = ack  # type: ignore[method-assign]
    redis.QoS.restore_visible = restore_visible  # type: ignore[method-assign]
