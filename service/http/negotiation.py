"""Which representation a client takes (RFC 9110 section 12), and what it prefers to wait for (RFC 7240)."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from service.http.errors import NotAcceptable

JSON = "application/json"
PNG = "image/png"
NPY = "application/x-npy"
SAFETENSORS = "application/vnd.safetensors"
HTML = "text/html"
SVG = "image/svg+xml"
CSV = "text/csv"

MOST_RANGES = 100  # of a header, and preferences; those that follow are not looked at
ALL = (JSON, PNG, NPY, SAFETENSORS, HTML, SVG, CSV)


class Prefer(NamedTuple):
    """How long to wait, in seconds, and the Preference-Applied that says so (None where nothing was asked)."""

    wait: float
    applied: str | None


@lru_cache(maxsize=1024)
def choose(accept: str, offers: tuple[str, ...]) -> str:
    """The offer that the Accept header weighs highest, the first among equals; raises NotAcceptable."""
    parts = accept.split(",", MOST_RANGES)[:MOST_RANGES]
    ranges = [_weighed(part) for part in parts if part.strip()] or [("*/*", 1.0)]
    weights = [_weight(offer, ranges) for offer in offers]
    best = max(weights)
    if best <= 0:
        raise NotAcceptable(f"this can be given as {', '.join(offers)}; Accept names none of them")
    return offers[weights.index(best)]


def parse_prefer(values: Sequence[str], default: float, longest: float) -> Prefer:
    """The wait that the Prefer headers ask for, capped; preferences that make no sense are ignored."""
    parts = [part for value in values[:MOST_RANGES] for part in value.split(",", MOST_RANGES)[:MOST_RANGES]]
    preferences = [part.strip().lower() for part in parts[:MOST_RANGES]]
    applied = ["respond-async"] if "respond-async" in preferences else []
    wait = 0.0 if applied else default
    for preference in preferences:
        name, _, seconds = preference.partition("=")
        if name.strip() == "wait" and seconds.strip().isdecimal():
            wait = min(float(seconds), longest)
            applied.append(f"wait={wait:g}")
            break
    return Prefer(wait, ", ".join(applied) or None)


def _weighed(part: str) -> tuple[str, float]:
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
    try:
        return media, min(max(float(quality), 0.0), 1.0)
    except ValueError:
        return media, 0.0


def _weight(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The quality of the most specific range that covers the offer."""
    kind = offer.partition("/")[0]
    for pattern in (offer, f"{kind}/*", "*/*"):
        found = [quality for media, quality in ranges if media == pattern]
        if found:
            return max(found)
    return 0.0
