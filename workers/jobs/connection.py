"""Redis connections of a worker: patient enough for a restart, never hanging for ever; and refusals to write, by error.

A Redis that answers and takes no writes is a replica, has used its memory up, or cannot write to its disk.
"""

from typing import Any

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError
from redis.retry import Retry

from workers.jobs import redis_address

_FULL = ("OOM", "MISCONF")  # a script or a transaction fails with a longer sentence that has the word in it
_NO_WRITES = ("READONLY", "NOREPLICAS")


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


def full(error: Exception) -> bool:
    """Whether there is no room: in its memory, or on the disk that it writes to."""
    return isinstance(error, OutOfMemoryError) or _says(error, _FULL)


def refuses_writes(error: Exception) -> bool:
    """Whether it is full, or takes no writes for another reason."""
    return full(error) or isinstance(error, ReadOnlyError) or _says(error, _NO_WRITES)


def _says(error: Exception, words: tuple[str, ...]) -> bool:
    return isinstance(error, ResponseError) and any(word in str(error) for word in words)
