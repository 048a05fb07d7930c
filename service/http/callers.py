"""Whose request it is."""

from typing import cast

from starlette.requests import Request


def caller_of(request: Request) -> str:
    """The id of the API key that the request came with; "" for everyone without one."""
    return cast(str, request.scope.get("caller", ""))
