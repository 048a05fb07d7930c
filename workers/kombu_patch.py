"""A cure for kombu 5.7: an acknowledgement that fails must free the prefetch slot, or the worker stands still for ever.

kombu removes the message in Redis first and frees the slot after; when Redis is away in between, the slot is never
freed. The message stays unacknowledged in Redis and comes again; its claim then finds nothing to do.
"""

from typing import Any

from kombu.transport import redis, virtual

_ack = redis.QoS.ack


def ack(self: Any, delivery_tag: str) -> None:
    """As kombu's, but the slot is freed in any case."""
    try:
        _ack(self, delivery_tag)  # type: ignore[no-untyped-call]
    except Exception:
        virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]
        raise


def apply() -> None:
    """Patch this process."""
    redis.QoS.ack = ack  # type: ignore[method-assign]
