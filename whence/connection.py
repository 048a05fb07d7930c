"""Where a Whence is, and how it is spoken to: what both clients have in common."""

from __future__ import annotations

import os
from typing import Any

import httpx

from whence.errors import Unreachable

HERE = "http://127.0.0.1:8000"
PATIENCE_S = 600.0
AT_ONCE = 32  # asked for before the first is waited for, so that the service can batch them


def settings(url: str | None, key: str | None) -> dict[str, Any]:
    """What an httpx client is made with; address and API key come from WHENCE_URL and WHENCE_KEY where not given.

    Raises Unreachable where the address is none.
    """
    address = (url or os.environ.get("WHENCE_URL") or HERE).rstrip("/")
    if not address.startswith(("http://", "https://")):
        address = f"http://{address}"
    _check(address)
    key = key or os.environ.get("WHENCE_KEY")
    return {
        "base_url": address,
        "headers": {"Authorization": f"Bearer {key}"} if key else {},
        "timeout": httpx.Timeout(10, read=120, pool=None),  # who asks for more at once than is answered waits
        "limits": httpx.Limits(max_connections=AT_ONCE),
        "trust_env": False,
    }


def _check(address: str) -> None:
    """Not repeated where it is wrong: it may hold a password."""
    try:
        httpx.URL(address).host.encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        why = f"the address that was given, or WHENCE_URL, is none; it is one as {HERE}"
        raise Unreachable(why, code="unreachable") from None


def unreachable(url: httpx.URL, error: httpx.TransportError) -> Unreachable:
    why, there = str(error) or type(error).__name__, url.copy_with(userinfo=b"")  # a password is nobody's business
    return Unreachable(f"no Whence answers at {there} ({why}); start one with `whence up`", code="unreachable")
