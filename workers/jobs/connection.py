"""Redis connections of a worker: patient enough for a restart, never hanging for ever."""

from typing import Any

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ReadOnlyError
from redis.retry import Retry

from workers.jobs import redis_address


def connect(url: str) -> Redis:
    """A client that answers bytes; a call fails after about 10 s without Redis.

    Where it meets a replica it connects anew, for after a failover the master is elsewhere.
    """
    keepalive: dict[str, Any] = {} if url.startswith("unix:") else {"socket_keepalive": True}
    return redis_address.client(
        url,
        socket_timeout=5,
        socket_connect_timeout=2,
        health_check_interval=10,
        retry=Retry(ExponentialBackoff(cap=2, base=0.05), 6),
        retry_on_error=[ReadOnlyError],
        **keepalive,
    )
