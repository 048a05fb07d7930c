"""What Redis answers, read from its bytes: the kinds of RESP 2 and 3 that commands and scripts of Whence answer with.

Source: the RESP specification of Redis.
"""

from __future__ import annotations

from typing import Any

from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError, ResponseError

END = b"\r\n"
ERRORS = {"NOSCRIPT": NoScriptError, "OOM": OutOfMemoryError, "READONLY": ReadOnlyError}


class Short(Exception):
    """The answer does not end yet; not before `end`."""

    def __init__(self, end: int) -> None:
        super().__init__(end)
        self.end = end


def answer_at(received: bytes | bytearray, at: int) -> tuple[Any, int]:
    """The answer that begins there, and where it ends: bytes, an int, None, a list, or the error that it is.

    Raises Short, and ValueError for what is none.
    """
    end = received.find(END, at)
    if end < 0:
        raise Short(len(received) + 1)
    kind, line, after = received[at], bytes(received[at + 1 : end]), end + 2
    if kind == 36:  # $
        size = int(line)
        if size < 0:
            return None, after
        if len(received) < after + size + 2:
            raise Short(after + size + 2)
        return bytes(memoryview(received)[after : after + size]), after + size + 2
    if kind == 42:  # *
        several: list[Any] | None = [] if int(line) >= 0 else None
        for _ in range(int(line)):
            one, after = answer_at(received, after)
            assert several is not None
            several.append(one)
        return several, after
    if kind == 58:  # :
        return int(line), after
    if kind == 43:  # +
        return line, after
    if kind == 95:  # _
        return None, after
    if kind == 45:  # -
        said = line.decode(errors="replace")
        return ERRORS.get(said.partition(" ")[0], ResponseError)(said), after
    raise ValueError(f"no answer begins with {chr(kind)!r}")
