"""Where a webhook may go: to https on public addresses, unless the operator says otherwise."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from service.http.errors import Invalid

LONGEST = 2000
PORTS = {"https": 443, "http": 80}
POINTER = "/webhook/url"
_NAME = re.compile(r"(?=.{1,253}\.?\Z)[\w-]{1,63}(\.[\w-]{1,63})*\.?", re.ASCII)  # what a resolver can be asked
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# IANA's special-purpose registries of 2026, whole: no receiver of a webhook is in any of them. And multicast.
_SPECIAL_4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
            "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        ),
    )
)  # fmt: skip
_UNICAST_6 = ipaddress.IPv6Network("2000::/3")  # beyond it nothing of the public internet has been given out
_SPECIAL_6 = tuple(
    map(
        ipaddress.IPv6Network,
        ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # how a network of IPv6 alone reaches the rest


class PlaceRefused(Exception):
    """The host has an address that nothing is sent to, or none at all."""


@dataclass(frozen=True, slots=True)
class Rules:
    """`inside` lets webhooks go to http, to any port and to private addresses; `hosts`, where not empty, are all."""

    inside: bool = False
    hosts: Sequence[str] = ()


def check(url: str, rules: Rules) -> httpx.URL:
    """The URL, of which no name has been looked up yet; raises Invalid."""
    try:
        place = httpx.URL(url if len(url) <= LONGEST else "")
        host = place.host
    except (httpx.InvalidURL, UnicodeError):
        raise _wrong("this is no URL") from None
    schemes = ("https", "http") if rules.inside else ("https",)
    if place.scheme not in schemes or not host:
        raise _wrong(f"a webhook has a URL of at most {LONGEST} characters that begins with {schemes[0]}://")
    if place.userinfo or place.fragment:
        raise _wrong("a webhook's URL holds no user, password or fragment")
    if not rules.inside and place.port not in (None, PORTS["https"]):
        raise _wrong("a webhook goes to port 443")
    if rules.hosts and host.lower() not in rules.hosts:
        raise _wrong("webhooks do not go to this host; the operator lists those they go to")
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        if not _NAME.fullmatch(place.raw_host.decode("ascii")):
            raise _wrong("the host is no name: 1 to 63 letters, digits or hyphens between dots, 253 in all") from None
        return place
    if not rules.inside and not public(literal):
        raise _wrong("a webhook goes to a public address")
    return place


def public(address: Address) -> bool:
    """Whether the address is one of the public internet's, and no other way to write one that is not."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_4)
    if address in _NAT64:
        return public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _UNICAST_6 and not any(address in network for network in _SPECIAL_6)


async def resolve(place: httpx.URL, rules: Rules) -> str:
    """The one address to connect to; raises PlaceRefused where any address of the host is not public, or none is."""
    host, port = place.raw_host.decode("ascii"), place.port or PORTS[place.scheme]  # the name that the certificate has
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise PlaceRefused(f"the host has no address ({error.strerror})") from None
    addresses = [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    if not addresses or not (rules.inside or all(map(public, addresses))):
        raise PlaceRefused("the host has an address that is not public")
    return str(addresses[0])


def _wrong(detail: str) -> Invalid:
    return Invalid([{"pointer": POINTER, "detail": detail}])
