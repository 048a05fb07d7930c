"""Reading what is stored under an id, or saying in HTTP's words why there is nothing to read."""

import re
from collections.abc import Sequence
from typing import NoReturn

from anyio import to_thread
from starlette.responses import Response

from service.explanations.documents import Meta, offers, path_of
from service.explanations.representations import INLINE, arrays_for, etag, matches, permanent, represent
from service.http.errors import Expired, Failed, NotFinished, NotFound
from service.http.negotiation import ALL, JSON, NPY, choose
from service.queue.orders import Status
from service.queue.queue import Queue

_ID = re.compile("[0-9a-f]{64}")
_UNKNOWN = "there is no explanation of this id"


def checked_id(key: str) -> str:
    """The id; raises NotFound where it is no id at all."""
    if _ID.fullmatch(key) is None:
        raise NotFound(_UNKNOWN)
    return key


async def result(
    queue: Queue, key: str, accept: str, *, inline: bool = False, if_none_match: str | None = None
) -> Response | None:
    """The stored result as Accept asks for, 304 where the client has it already; None where there is no result.

    Raises NotAcceptable.
    """
    found = await queue.read(key, *arrays_at_first(accept, inline=inline))
    return found and await presented(queue, *found, accept, inline=inline, if_none_match=if_none_match)


def arrays_at_first(accept: str, *, inline: bool = False) -> tuple[str, ...]:
    """The arrays to read along with a result of which nothing is known yet; raises NotAcceptable."""
    return arrays_for(_chosen(accept, ALL, inline=inline))


async def presented(
    queue: Queue,
    meta: Meta,
    arrays: Sequence[bytes | None],
    accept: str,
    *,
    inline: bool = False,
    if_none_match: str | None = None,
) -> Response | None:
    """As `result`, of a result that was read with the arrays of `arrays_at_first`."""
    key, media = meta["id"], _chosen(accept, offers(meta), inline=inline)
    if matches(if_none_match, tag := etag(key, media)):
        return Response(status_code=304, headers=permanent(tag))
    if (wanted := arrays_for(media, meta)) != arrays_at_first(accept, inline=inline):
        arrays = (await queue.read(key, *wanted) or (meta, [None]))[1]
    if None in arrays:
        return None
    if media in (JSON, NPY):
        return represent(meta, arrays, media)
    return await to_thread.run_sync(represent, meta, arrays, media)


async def stored(queue: Queue, key: str, *arrays: str) -> tuple[Meta, list[bytes]]:
    """The JSON and arrays of a finished result.

    Raises NotFound for an unknown id and for arrays that it has not, NotFinished, Expired, Failed.
    """
    found = await queue.read(checked_id(key), *arrays)
    if found is None:
        status = await state(queue, key)
        found = await queue.read(key, *arrays) if status.status == "succeeded" else None
        if found is None:
            refuse(status)
    meta, data = found
    present = [one for one in data if one is not None]
    if len(present) < len(arrays):
        raise NotFound(f"this result has no such array; it has: {', '.join(sorted(meta['arrays'])) or 'none'}")
    return meta, present


async def state(queue: Queue, key: str, wait: float = 0) -> Status:
    """The status, as soon as it is final or at the latest after `wait` seconds; raises NotFound."""
    status = (await queue.wait([key], wait))[0] if wait else await queue.status(key)
    if status is None:
        raise NotFound(_UNKNOWN)
    return status


def refuse(status: Status) -> NoReturn:
    """Raises what this status means to who wants the result: NotFinished, Failed, Expired."""
    if not status.final:
        raise NotFinished(f"it is {status.status}; {path_of(status.id)} tells how far it is, and takes ?wait=")
    if status.error is not None:
        raise Failed(status.error.code, status.error.detail, status.error.pointer, status.error.alternatives)
    if status.status == "cancelled":
        raise Failed("cancelled", "everyone who waited for it withdrew; a new request runs it again", None)
    raise Expired("the result is no longer stored; the same request makes it again")


def _chosen(accept: str, offered: tuple[str, ...], *, inline: bool) -> str:
    media = choose(accept, offered)
    return INLINE if inline and media == JSON else media
