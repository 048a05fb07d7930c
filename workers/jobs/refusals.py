"""Refusals to write, by error.

A Redis that answers and takes no writes is a replica, has used its memory up, or cannot write to its disk.
"""

from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

_FULL = ("OOM", "MISCONF")  # a script or a transaction fails with a longer sentence that has the word in it
_NO_WRITES = ("READONLY", "NOREPLICAS")


def full(error: Exception) -> bool:
    """Whether there is no room: in its memory, or on the disk that it writes to."""
    return isinstance(error, OutOfMemoryError) or _says(error, _FULL)


def refuses_writes(error: Exception) -> bool:
    """Whether it is full, or takes no writes for another reason."""
    return full(error) or isinstance(error, ReadOnlyError) or _says(error, _NO_WRITES)


def _says(error: Exception, words: tuple[str, ...]) -> bool:
    return isinstance(error, ResponseError) and any(word in str(error) for word in words)
