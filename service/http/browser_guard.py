"""What holds of every answer and every Host, whatever is asked: for browsers, and against pages that misuse them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Scope

from service.http.errors import HeadTooLarge, HostUnknown, MalformedBody

# Inline styles and pictures are those of our own pages, which hold no script.
CONTENT = "; ".join(
    (
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_EVERY = (
    (b"content-security-policy", CONTENT.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
HEADERS = (*_EVERY, (b"cross-origin-resource-policy", b"same-origin"))
SHARED = (*_EVERY, (b"cross-origin-resource-policy", b"cross-origin"))  # where other origins may read

LONGEST_HEAD = 16384

STANDARD = ("authorization", "cache-control", "content-type", "if-none-match", "last-event-id", "prefer")
ASKED = (*STANDARD, "inference-header-content-length", "whence-deadline", "whence-priority", "x-request-id")
TOLD = ["cache-status", "content-location", "etag", "location", "preference-applied", "retry-after", "x-request-id"]


def names(listed: str) -> tuple[str, ...]:
    """The names of a setting that lists them with commas."""
    return tuple(name for one in listed.split(",") if (name := one.strip().lower()))


def unsaid(headers: Iterable[tuple[bytes, bytes]], wanted: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Those that are wanted of every answer and that the route has not said itself."""
    said = {name for name, _ in headers}
    return [one for one in wanted if one[0] not in said]


def refusal(scope: Scope, hosts: Sequence[str]) -> tuple[str, str] | None:
    """Code and detail of what is wrong with the head of a request; None where nothing is."""
    headers = scope["headers"]
    address = (scope.get("raw_path") or b"") + scope["query_string"]
    size = len(address) + sum(len(name) + len(value) for name, value in headers)
    if size > LONGEST_HEAD:  # h11 limits only what comes in pieces
        return HeadTooLarge.code, f"the address and the headers have more than {LONGEST_HEAD} bytes"
    if {b"content-length", b"transfer-encoding"} <= {name for name, _ in headers}:
        return MalformedBody.code, "a body has a Content-Length or a Transfer-Encoding, not both"
    if not host_known(headers, hosts):
        return HostUnknown.code, "this server does not go by the name in the Host header"
    return None


def host_known(headers: Iterable[tuple[bytes, bytes]], known: Sequence[str]) -> bool:
    """Whether the Host header is one of the known names, `*.name` for all below a name; all are where none is named."""
    if not known:
        return True
    given = next((value for name, value in headers if name == b"host"), b"").decode("latin-1").lower()
    host = given[1 : given.find("]")] if given.startswith("[") else given.partition(":")[0]
    return any(host == one or (one.startswith("*.") and host.endswith(one[1:])) for one in known)


def share(app: Starlette, origins: Sequence[str]) -> None:
    """Let pages of these origins call; they send their key themselves, for no cookie is ever read."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=("GET", "POST", "DELETE"),
        allow_headers=ASKED,
        expose_headers=TOLD,
        max_age=3600,
    )
