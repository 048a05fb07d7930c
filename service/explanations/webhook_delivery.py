"""Sending a webhook: signed as Standard Webhooks say, to an address that was looked up and judged once."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from importlib.metadata import version

import httpx

from service.explanations.webhook_addresses import PORTS, Rules, check, resolve
from service.http.negotiation import JSON

LONGEST_S = 15.0


def secret_of(master: str, caller: str) -> str:
    """The secret of one API key ("" for all without one), as its receiver is given it; the master is never told."""
    derived = hmac.new(master.encode(), f"webhook:{caller}".encode(), hashlib.sha256).digest()
    return "whsec_" + base64.b64encode(derived).decode()


def signed(secret: str, identity: str, now: int, body: bytes) -> dict[str, str]:
    """The headers of a delivery: its id (the same however often it is tried), the time of this try, the signature."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = hmac.new(key, f"{identity}.{now}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(now),
        "webhook-signature": "v1," + base64.b64encode(signature).decode(),
    }


def sender(transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """Follows no redirect, knows no proxy, and keeps no connection: it was made for one host, not for its address."""
    return httpx.AsyncClient(
        transport=transport,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(10, connect=5),
        limits=httpx.Limits(max_keepalive_connections=0),
    )


async def send(client: httpx.AsyncClient, url: str, headers: dict[str, str], body: bytes, rules: Rules) -> int:
    """The status of the answer, of which nothing more is read.

    Raises PlaceRefused, Invalid, httpx.HTTPError, TimeoutError.
    """
    async with asyncio.timeout(LONGEST_S):
        place = check(url, rules)
        address = await resolve(place, rules)
        host = place.raw_host.decode("ascii")
        own = {
            "host": place.netloc.decode("ascii"),
            "content-type": JSON,
            "user-agent": f"whence/{version('whence')}",
            **headers,
        }
        there = place.copy_with(host=address, port=place.port or PORTS[place.scheme])
        asked = client.build_request("POST", there, content=body, headers=own, extensions={"sni_hostname": host})
        answer = await client.send(asked, stream=True)
        await answer.aclose()
        return answer.status_code
