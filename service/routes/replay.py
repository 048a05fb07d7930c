"""A request's body read before the app reads it, which then meets the same messages, and the same error."""

from __future__ import annotations

from typing import TypeAlias

from starlette.types import Message, Receive

Received: TypeAlias = list[Message | Exception]


async def received_whole(receive: Receive) -> Received:
    """All messages of a request's body, or those until it could not be read."""
    received: Received = []
    more = True
    while more:
        try:
            message = await receive()
        except Exception as error:  # a route that reads it meets the same
            received.append(error)
            return received
        received.append(message)
        more = message.get("more_body", False)
    return received


def body_of(received: Received) -> bytes | None:
    """None where it did not come whole."""
    parts = [
        one.get("body", b"") for one in received if not isinstance(one, Exception) and one["type"] == "http.request"
    ]
    return b"".join(parts) if len(parts) == len(received) else None


def again(received: Received, receive: Receive) -> Receive:
    """What was received, once more, and then what comes."""
    left = iter(received)

    async def receive_again() -> Message:
        message = next(left, None)
        if isinstance(message, Exception):
            raise message
        return await receive() if message is None else message

    return receive_again
