"""Repeats: which explanation the same body asked for lately, so that it need not be read and checked anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from service.explanations.requests import CheckedRequest
from service.queue.served import Served
from service.queue.submission import Order

MOST = 4096  # of the latest
LARGEST = 2**19  # bytes of a body: they are hashed in the time in which they arrive
_TOLD = frozenset({b"cache-control", b"whence-deadline", b"whence-priority"})  # headers that a hit would have to check
_UNREAD = b"multipart/"  # each has a boundary of its own, so none comes twice


@dataclass
class Repeats:
    """The ids of explanations by their requests, all of one era: of models that are served since it began."""

    ids: dict[bytes, str] = field(default_factory=dict)
    era: int = 0
    _served: Served = field(default_factory=Served)

    def of(self, kind: bytes, query: bytes, body: bytes, served: Served) -> Repeat:
        """The request of this media type, query and body, while this is served."""
        self.follow(served)
        digest = sha256(b"%d %d " % (len(kind), len(query)))
        for part in (kind, query, body):
            digest.update(part)
        return Repeat(self, digest.digest(), self.era)

    def follow(self, served: Served) -> None:
        """Begin another era where other models are served than before."""
        if served is self._served:
            return
        if (served.cards, served.versions) != (self._served.cards, self._served.versions):
            self.ids.clear()
            self.era += 1
        self._served = served


@dataclass(frozen=True, slots=True)
class Repeat:
    """A request by the digest of all that its explanation follows from, and the era of models in which it came."""

    among: Repeats
    digest: bytes
    era: int

    def find(self) -> str | None:
        """The id of the explanation that it asked for; None where that is not known any more."""
        found = self.among.ids.pop(self.digest, None)
        if found is not None:
            self.among.ids[self.digest] = found  # as the latest
        return found

    def note(self, checked: CheckedRequest, orders: Sequence[Order], served: Served) -> None:
        """Remember what was made of it, if the same body must ask for the same again while this is served."""
        self.among.follow(served)
        if self.era == self.among.era and lasting(checked, orders):
            self.among.ids[self.digest] = orders[0].job.id
            if len(self.among.ids) > MOST:
                del self.among.ids[next(iter(self.among.ids))]


def lasting(checked: CheckedRequest, orders: Sequence[Order]) -> bool:
    """Whether one explanation of an input that came with it was asked for, and nothing else looked at or done."""
    came = checked.input is not None and checked.input.data is not None
    asked = checked.request
    alone = len(orders) == 1 and not asked.many and asked.webhook is None
    return came and alone and not checked.given and not checked.dataset_classes


def may_repeat(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a body of known, small size comes, with no header that asks for more than a stored result."""
    size = 0
    for name, value in headers:
        if name in _TOLD or (name == b"content-type" and value.lstrip().lower().startswith(_UNREAD)):
            return False
        if name == b"content-length":
            size = int(value) if value.isdigit() and len(value) < 20 else 0
    return 0 < size <= LARGEST
