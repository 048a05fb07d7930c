"""What a call may raise. Each is a WhenceError: a sentence for people, and the stable `code` of the problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class WhenceError(Exception):
    """Whence could not be reached, refused what was asked, or failed at it.

    `code` is that of the problem document (RFC 9457) where there was one, `status` that of the answer. `errors` name
    what in the request is wrong, `alternatives` what works on this model instead.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        alternatives: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.errors = tuple(errors)
        self.alternatives = tuple(alternatives)


class Unreachable(WhenceError):
    """Nothing answers there."""


class Refused(WhenceError):
    """What was asked for cannot be had: it is wrong, unknown, or not allowed."""


class Busy(WhenceError):
    """There is no room for it now; it may be asked again in so many `seconds`."""

    def __init__(self, message: str, seconds: float, **told: Any) -> None:
        super().__init__(message, **told)
        self.seconds = seconds


class Failed(WhenceError):
    """The work was begun and came to nothing: it failed, or was withdrawn."""


class NotFinished(WhenceError):
    """It took longer than the patience that was given; it goes on, and `id` finds it."""

    def __init__(self, message: str, explanation_id: str) -> None:
        super().__init__(message, code="not_finished")
        self.id = explanation_id
